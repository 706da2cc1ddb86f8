from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from keyturn.ids import new_event_id
from keyturn.rules.audit_record import AuditRecord
from keyturn.storage import audit_index, audit_log, schema
from keyturn.storage.audit_index import BLOCK_RECORDS, entries_of, index_next_block, stored_entries
from keyturn.storage.audit_lookup import Question, lookup, oldest_time
from keyturn.storage.database import Stores

from .conftest import NOW, PLACE, OpenStores
from .trail import found, open_log, record, store, stored


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_index, "BLOCK_RECORDS", 4)


def _index_all(stores: Stores) -> None:
    while index_next_block(open_log(stores)):
        pass


def test_records_come_back_newest_first_as_stored(stores: Stores) -> None:
    log = open_log(stores)
    denied = record(3, username=None, access_key_id=None, resource_name=None, error_code="AccessDenied")
    log.append([record(1), record(2)])
    log.append([denied])

    assert found(stores) == [denied, record(2), record(1)]


def test_the_moment_of_the_event_decides_and_not_that_of_its_storing(stores: Stores) -> None:
    store(open_log(stores), [record(5), record(1), record(9), record(9, username="bob"), record(3)])

    assert [(one.event_time, one.username) for one in found(stores)] == [
        (9_000, "bob"), (9_000, "alice"), (5_000, "alice"), (3_000, "alice"), (1_000, "alice")
    ]  # fmt: skip


def test_how_far_back_a_trail_reaches_is_the_time_of_its_oldest_record(stores: Stores) -> None:
    with stores.journal.read() as connection:
        assert oldest_time(connection) is None
    store(open_log(stores), [record(5), record(9), record(7)])
    with stores.journal.read() as connection:
        assert oldest_time(connection) == 5_000


@pytest.mark.parametrize("attribute", [None, ("username", "alice")])
@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.usefixtures("small_blocks")
def test_pages_follow_one_another_without_gap_or_repeat(
    stores: Stores, attribute: tuple[str, object] | None, indexed: bool
) -> None:
    store(open_log(stores), [record(number // 2) for number in range(14)])
    if indexed:
        _index_all(stores)
    pages: list[list[int]] = []
    question = Question(PLACE, attribute)
    with stores.journal.read() as connection:
        while page := lookup(connection, question, 4):
            pages.append([chained.sequence for chained in page])
            question = Question(PLACE, attribute, before=(page[-1].record.event_time, page[-1].sequence))

    assert pages == [[14, 13, 12, 11], [10, 9, 8, 7], [6, 5, 4, 3], [2, 1]]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("event_name", "PutSecretValue"),
        ("event_source", "lambda.amazonaws.com"),
        ("username", "bob"),
        ("access_key_id", "AKIAOTHER"),
        ("read_only", False),
        ("resource_name", "other"),
        ("resource_name", "long" * 100),
        ("resource_type", "AWS::Lambda::Function"),
    ],
)
@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.usefixtures("small_blocks")
def test_records_are_found_by_an_attribute(stores: Stores, column: str, value: object, indexed: bool) -> None:
    wanted = record(2, **{column: value})
    similar = record(3, resource_name=f"{'long' * 100}er")
    store(open_log(stores), [record(1), wanted, similar, record(4), record(5)])
    if indexed:
        _index_all(stores)

    assert found(stores, attribute=(column, value)) == [wanted]


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.usefixtures("small_blocks")
def test_a_trail_has_what_happened_in_its_account_and_region_only(stores: Stores, indexed: bool) -> None:
    elsewhere = [record(1, account_id="111111111111"), record(2, region="eu-west-1"), record(3), record(4)]
    store(open_log(stores), elsewhere)
    if indexed:
        _index_all(stores)

    assert found(stores) == [record(4), record(3)]
    assert found(stores, attribute=("username", "alice")) == [record(4), record(3)]


def test_an_event_is_found_by_its_id_and_one_from_before_the_chain_too(stores: Stores) -> None:
    old = record(1)
    with stores.journal.write() as transaction:
        transaction.connection.execute(schema.audit_events.insert(), {**old._asdict(), "sequence": 1})
    moment = int(NOW.timestamp() * 1000)
    new = record(2, event_id=new_event_id(NOW), event_time=moment)
    store(open_log(stores), [new, record(3, event_id=new_event_id(NOW), event_time=moment)])

    assert found(stores, attribute=("event_id", new.event_id)) == [new]
    assert found(stores, attribute=("event_id", old.event_id)) == [old]
    assert found(stores, attribute=("event_id", "no id at all")) == []


@pytest.mark.parametrize("attribute", [None, ("event_name", "GetSecretValue")])
@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.usefixtures("small_blocks")
def test_both_ends_of_a_time_range_belong_to_it(stores: Stores, attribute: Any, indexed: bool) -> None:
    store(open_log(stores), [record(number) for number in range(1, 6)])
    if indexed:
        _index_all(stores)

    asked = {"attribute": attribute}
    assert found(stores, starts_at=2_000, ends_at=4_000, **asked) == [record(4), record(3), record(2)]
    assert found(stores, starts_at=4_001, **asked) == [record(5)]
    assert found(stores, ends_at=1_999, limit=1, **asked) == [record(1)]


def test_a_block_is_indexed_once_it_is_whole_whichever_server_does_it(stores: Stores, open_stores: OpenStores) -> None:
    log, other = open_log(stores), open_log(open_stores())
    rng = random.Random(1)
    store(log, (record(n, resource_name=f"s{rng.randrange(50)}", read_only=n % 7 > 0) for n in range(BLOCK_RECORDS)))

    assert index_next_block(other)
    assert not index_next_block(log)
    with stores.journal.read() as connection:
        assert audit_index.indexed_through(connection) == BLOCK_RECORDS
        assert stored_entries(connection, 0) == entries_of(stored(stores))
    log.append([record(1)])
    assert not index_next_block(log)


def test_two_servers_that_index_the_same_block_store_it_once(
    stores: Stores, open_stores: OpenStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_index, "BLOCK_RECORDS", 4)
    log, other = open_log(stores), open_log(open_stores())
    store(log, [record(number) for number in range(4)])
    asked = audit_log.newest

    def overtaken(connection: Any) -> Any:
        monkeypatch.setattr(audit_log, "newest", asked)
        assert index_next_block(other)
        return asked(connection)

    monkeypatch.setattr(audit_log, "newest", overtaken)
    assert index_next_block(log)
    with stores.journal.read() as connection:
        assert stored_entries(connection, 0) == entries_of(stored(stores))


@pytest.mark.usefixtures("small_blocks")
def test_blocks_of_deleted_records_are_forgotten_and_the_others_stay(stores: Stores) -> None:
    store(open_log(stores), [record(number) for number in range(12)])
    _index_all(stores)
    with stores.journal.write() as transaction:
        audit_index.forget_blocks(transaction.connection, 7)
    with stores.journal.read() as connection:
        assert [bool(stored_entries(connection, block)) for block in range(3)] == [False, True, True]


_RECORDS = st.lists(
    st.builds(
        lambda when, name, user, read_only: record(when, event_name=name, username=user, read_only=read_only),
        st.integers(0, 8),
        st.sampled_from(["A", "B"]),
        st.sampled_from([None, "u", "v"]),
        st.booleans(),
    ),
    max_size=30,
)
_ATTRIBUTES = st.sampled_from([("event_name", "A"), ("username", "v"), ("read_only", False), ("username", "nobody")])


@settings(max_examples=40)
@given(data=st.data(), records=_RECORDS, attribute=_ATTRIBUTES, limit=st.integers(1, 6))
def test_a_lookup_finds_what_reading_everything_finds(
    data: st.DataObject,
    records: list[AuditRecord],
    attribute: tuple[str, object],
    limit: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit_index, "BLOCK_RECORDS", 4)
        stores = Stores.open(f"sqlite:///{tmp_path_factory.mktemp('trail')}/keyturn.db")
        try:
            schema.journal.create_all(stores.journal.engine)
            log = open_log(stores)
            store(log, records)
            for _ in range(data.draw(st.integers(0, len(records) // 4))):
                index_next_block(log)
            before = data.draw(st.none() | st.tuples(st.integers(0, 9_000), st.integers(0, 30)))
            starts_at, ends_at = (
                data.draw(st.none() | st.integers(0, 9_000)),
                data.draw(st.none() | st.integers(0, 9_000)),
            )

            reader = data.draw(st.sampled_from([None, "u", "nobody"]))
            column, value = attribute
            expected = sorted(
                (
                    (chained.record.event_time, chained.sequence)
                    for chained in stored(stores)
                    if getattr(chained.record, column) == value
                    and (before is None or (chained.record.event_time, chained.sequence) < before)
                    and (starts_at is None or chained.record.event_time >= starts_at)
                    and (ends_at is None or chained.record.event_time <= ends_at)
                    and (reader is None or not chained.record.read_only or chained.record.username == reader)
                ),
                reverse=True,
            )[:limit]
            with stores.journal.read() as connection:
                page = lookup(connection, Question(PLACE, attribute, starts_at, ends_at, before, reader), limit)
            assert [(chained.record.event_time, chained.sequence) for chained in page] == expected
        finally:
            stores.close()


def test_an_index_that_lies_is_told_from_the_records(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_index, "BLOCK_RECORDS", 4)
    store(open_log(stores), [record(number, username=f"u{number}") for number in range(4)])
    _index_all(stores)
    hidden = schema.audit_values.c.value == "u2"
    with stores.journal.write() as transaction:
        transaction.connection.execute(delete(schema.audit_values).where(hidden))
    with stores.journal.read() as connection:
        assert stored_entries(connection, 0) != entries_of(stored(stores))
