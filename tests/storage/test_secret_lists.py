from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from keyturn.arn import Place
from keyturn.rules.listing import ListOrder, SortBy
from keyturn.storage import schema, secret_erasure, secret_lists, secret_versions, secrets
from keyturn.storage.database import Database, Stores, Transaction
from keyturn.storage.secret_lists import ListPosition, SecretList
from keyturn.storage.secret_versions import VersionPosition, VersionRecord
from keyturn.storage.secrets import Access

from .conftest import NOW, PLACE, OpenStores

DAY = datetime(2026, 3, 4, tzinfo=UTC)
ORDERS = [ListOrder(sort_by, descending=descending) for sort_by in SortBy for descending in (False, True)]
MOVING = [order for order in ORDERS if order.moves]


def _label(order: ListOrder) -> str:
    return f"{order.sort_by}-{'desc' if order.descending else 'asc'}"


every_order = pytest.mark.parametrize("order", ORDERS, ids=_label)
every_moving_order = pytest.mark.parametrize("order", MOVING, ids=_label)


def make(transaction: Transaction, name: str, at: datetime = NOW, place: Place = PLACE, **columns: object) -> int:
    return secrets.insert_secret(transaction, place, place.secret_arn(name, "AbCdEf"), name, at, **columns)


def fill(stores: Stores, *names: str, place: Place = PLACE) -> dict[str, int]:
    """Make secrets, a second apart."""
    with stores.state.write() as transaction:
        return {
            name: make(transaction, name, NOW + timedelta(seconds=number), place) for number, name in enumerate(names)
        }


def change(transaction: Transaction, name: str, at: datetime) -> None:
    secret = secrets.lock_secret(transaction, PLACE.secret_arn(name, "AbCdEf"))
    assert secret is not None
    secrets.update_secret(transaction, secret, last_changed_at=at)


def access(transaction: Transaction, number: int, name: str, day: datetime) -> None:
    secrets.record_accesses(transaction, [Access(number, PLACE.secret_arn(name, "AbCdEf"), "v", day, day)])


def begin(state: Database, order: ListOrder, **options: object) -> SecretList:
    """A list as of now."""
    with state.read() as connection:
        return replace(SecretList(PLACE, order, NOW, newest_move=secret_lists.newest_move(connection)), **options)  # type: ignore[arg-type]  # by name


def page(
    state: Database, secret_list: SecretList, after: ListPosition | None, size: int
) -> list[tuple[str, ListPosition]]:
    with state.read() as connection:
        found = secret_lists.load_candidates(connection, secret_list, after, size)
    return [(candidate.texts.name, candidate.position) for candidate in found]


def rest(state: Database, secret_list: SecretList, size: int, after: ListPosition | None = None) -> list[str]:
    """Names of a list from some place on, read in pages."""
    names: list[str] = []
    while found := page(state, secret_list, after, size):
        names += [name for name, _ in found]
        after = found[-1][1]
        if len(found) < size:
            break
    return names


@dataclass(frozen=True)
class _Dates:
    created: int
    changed: int
    accessed: int | None


# Names that a locale would order otherwise; equal dates, and none.
DATED = {
    "b": _Dates(3, 9, None),
    "B": _Dates(1, 4, 2),
    "a/x": _Dates(1, 9, 5),
    "_": _Dates(2, 2, None),
    "A": _Dates(5, 4, 2),
    "-z": _Dates(4, 7, 1),
    "é": _Dates(1, 5, 2),
}


@every_order
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pages_hold_each_secret_once_and_in_order(stores: Stores, order: ListOrder, size: int) -> None:
    with stores.state.write() as transaction:
        for name, dates in DATED.items():
            make(
                transaction,
                name,
                NOW + timedelta(seconds=dates.created),
                last_changed_at=NOW + timedelta(seconds=dates.changed),
                last_accessed_at=None if dates.accessed is None else DAY + timedelta(days=dates.accessed),
            )
    age = {name: number for number, name in enumerate(DATED)}
    keys = {
        SortBy.NAME: lambda name: name,
        SortBy.CREATED: lambda name: (DATED[name].created, age[name]),
        SortBy.CHANGED: lambda name: (DATED[name].changed, age[name]),
        SortBy.ACCESSED: lambda name: (DATED[name].accessed or 0, age[name]),
    }

    names = rest(stores.state, begin(stores.state, order), size)

    assert names == sorted(DATED, key=keys[order.sort_by], reverse=order.descending)


@every_order
def test_a_list_is_of_one_account_and_region(stores: Stores, order: ListOrder) -> None:
    fill(stores, "mine")
    fill(stores, "theirs", "mine", place=replace(PLACE, account_id="111111111111"))
    fill(stores, "far", "mine", place=replace(PLACE, region="eu-west-1"))

    assert rest(stores.state, begin(stores.state, order), 10) == ["mine"]


@every_order
def test_what_is_scheduled_for_deletion_is_listed_only_if_asked_for(stores: Stores, order: ListOrder) -> None:
    with stores.state.write() as transaction:
        make(transaction, "alive")
        make(transaction, "dead", deleted_at=NOW, deletion_at=NOW + timedelta(days=7))
        make(transaction, "over", deleted_at=NOW - timedelta(days=7), deletion_at=NOW)
        make(transaction, "being erased", deleted_at=NOW + timedelta(days=1), deletion_at=NOW + timedelta(days=1))

    assert rest(stores.state, begin(stores.state, order), 10) == ["alive"]
    assert set(rest(stores.state, begin(stores.state, order, with_deleted=True), 10)) == {"alive", "dead"}


@every_order
def test_a_list_can_be_of_some_rows_or_of_a_span_of_names(stores: Stores, order: ListOrder) -> None:
    rows = fill(stores, "prod/b", "Prod/a", "prod/a", "prod0", "prod")

    some = rest(stores.state, begin(stores.state, order, among={rows["prod0"], rows["prod/a"]}), 10)
    span = rest(stores.state, begin(stores.state, order, between=("prod/", "prod0")), 10)

    assert sorted(some) == ["prod/a", "prod0"]
    assert sorted(span) == ["prod/a", "prod/b"]


def test_names_are_found_by_the_letters_they_begin_with_and_only_while_they_are_few(stores: Stores) -> None:
    rows = fill(stores, "prod/b", "Prod/a", "prod/a", "prod0", "test")
    fill(stores, "prod/other", place=replace(PLACE, account_id="111111111111"))
    spans = [("prod/", "prod0"), ("test", "tesu")]

    with stores.state.read() as connection:
        assert secret_lists.rows_named(connection, PLACE, spans, 3) == {rows["prod/b"], rows["prod/a"], rows["test"]}
        assert secret_lists.rows_named(connection, PLACE, spans, 2) is None
        assert secret_lists.rows_named(connection, PLACE, [("x", "y")], 3) == set()


def _move(transaction: Transaction, order: ListOrder, rows: dict[str, int], name: str, days: int) -> None:
    """Give a secret another date, by which it moves in a list."""
    if order.sort_by is SortBy.CHANGED:
        change(transaction, name, NOW + timedelta(days=days))
    else:
        access(transaction, rows[name], name, DAY + timedelta(days=days))


@every_moving_order
@pytest.mark.parametrize("moves", [1, 3])
def test_a_secret_that_moves_while_a_list_is_read_is_found_where_it_was(
    stores: Stores, order: ListOrder, moves: int
) -> None:
    rows = fill(stores, *"abcdef")
    with stores.state.write() as transaction:
        for days, name in enumerate("fd", start=1):
            _move(transaction, order, rows, name, days)
    listing = begin(stores.state, order)
    expected = rest(stores.state, listing, 10)
    first = page(stores.state, listing, None, 3)

    for days in range(10, 10 + moves):
        with stores.state.write() as transaction:
            for name in (expected[0], expected[2], expected[3], expected[5]):
                _move(transaction, order, rows, name, days)

    seen = [name for name, _ in first] + rest(stores.state, listing, 2, first[-1][1])
    assert seen == expected
    assert rest(stores.state, begin(stores.state, order), 2) != expected


@every_moving_order
def test_a_list_sees_no_half_of_a_write_that_ends_while_it_is_read(
    stores: Stores, open_stores: OpenStores, order: ListOrder
) -> None:
    rows = fill(stores, *"abcd")
    reader = open_stores().state
    expected = rest(reader, begin(reader, order), 10)
    with stores.state.write() as transaction:
        _move(transaction, order, rows, expected[0], 1)
        _move(transaction, order, rows, expected[3], 2)
        # The write is of an earlier moment than the list, and visible only after it has begun.
        listing = begin(reader, order)
        first = page(reader, listing, None, 2)

    assert [name for name, _ in first] + rest(reader, listing, 1, first[-1][1]) == expected


@contextmanager
def _writing(stores: Stores) -> Iterator[Transaction]:
    with stores.state.write() as transaction:
        yield transaction


@every_moving_order
def test_moves_are_numbered_as_they_become_visible(stores: Stores, open_stores: OpenStores, order: ListOrder) -> None:
    if stores.state.dialect.is_embedded:
        pytest.skip("SQLite has one writer at a time")
    rows = fill(stores, *"abcd")
    second, reader = open_stores(), open_stores().state
    with ExitStack() as slow:
        early = slow.enter_context(_writing(stores))
        _move(early, order, rows, "a", 1)
        with second.state.write() as transaction:
            _move(transaction, order, rows, "c", 2)
        # The list knows the second move and not the first, which is committed after it has begun.
        listing = begin(reader, order)
        expected = rest(reader, listing, 10)

    assert rest(reader, listing, 1) == expected


def test_a_move_goes_with_its_secret(stores: Stores) -> None:
    fill(stores, "a")
    with stores.state.write() as transaction:
        change(transaction, "a", NOW)
    with stores.state.write() as transaction:
        secret = secrets.lock_secret(transaction, PLACE.secret_arn("a", "AbCdEf"))
        assert secret is not None
        secret_erasure.erase_secret(transaction, secret)

    assert _moves(stores) == []


def test_a_secret_that_is_changed_and_erased_at_once_leaves_no_move(stores: Stores) -> None:
    fill(stores, "a", "b")
    with stores.state.write() as transaction:
        change(transaction, "a", NOW)
        change(transaction, "b", NOW)
        secret = secrets.lock_secret(transaction, PLACE.secret_arn("a", "AbCdEf"))
        assert secret is not None
        secret_erasure.erase_secret(transaction, secret)
        # Likewise one whose making is taken back.
        savepoint = transaction.connection.begin_nested()
        make(transaction, "c")
        change(transaction, "c", NOW)
        savepoint.rollback()

    assert _moves(stores) == [("last-changed-date", NOW + timedelta(seconds=1))]


def _moves(stores: Stores) -> list[tuple[str, datetime | None]]:
    moves = schema.secret_moves
    with stores.state.read() as connection:
        rows = connection.execute(select(moves).order_by(moves.c.move_id))
        return [(row.sort_by, row.moved_from) for row in rows]


def test_moves_are_forgotten_after_a_while_and_a_few_at_a_time(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_lists, "_FORGOTTEN_AT_ONCE", 2)
    fill(stores, "a")
    for minute in range(6):
        with stores.state.write() as transaction:
            change(transaction, "a", NOW + timedelta(minutes=minute))

    secret_lists.forget_moves(stores.state, NOW + timedelta(minutes=5))

    assert _moves(stores) == [("last-changed-date", NOW + timedelta(minutes=4))]


def _accessed(stores: Stores, number: int) -> tuple[datetime | None, dict[str, datetime | None]]:
    with stores.state.read() as connection:
        secret = secrets.load_secret_by_id(connection, number)
        versions = secret_versions.load_versions(connection, number)
    assert secret is not None
    return secret.last_accessed_at, {version.version_id: version.last_accessed_at for version in versions}


def test_a_day_of_access_is_stored_once_and_never_goes_back(stores: Stores) -> None:
    (number,) = fill(stores, "a").values()
    with stores.state.write() as transaction:
        for version_id in ("v1", "v2"):
            secret_versions.insert_version(
                transaction, number, VersionRecord(version_id, NOW, None, b"x", is_binary=False, kms_key_id=None)
            )
    arn, later, earlier = PLACE.secret_arn("a", "AbCdEf"), DAY + timedelta(days=1), DAY - timedelta(days=1)

    with stores.state.write() as transaction:
        secrets.record_accesses(
            transaction, [Access(number, arn, "v1", DAY, NOW), Access(number, arn, "v2", later, NOW)]
        )
        assert {change["subject"] for change in transaction.touched} == {arn}
    with stores.state.write() as transaction:
        secrets.record_accesses(
            transaction, [Access(number, arn, "v1", earlier, NOW), Access(9999, arn, "v", DAY, NOW)]
        )

    assert _accessed(stores, number) == (later, {"v1": DAY, "v2": later})
    assert _moves(stores) == [("last-accessed-date", None)]


def test_versions_are_listed_without_their_values_oldest_first(stores: Stores) -> None:
    (number,) = fill(stores, "a").values()
    with stores.state.write() as transaction:
        for version_id, seconds, sealed in (("b", 1, b"x"), ("a", 1, b"x"), ("c", 0, b"x"), ("empty", 2, None)):
            made = VersionRecord(
                version_id, NOW + timedelta(seconds=seconds), None, sealed, is_binary=False, kms_key_id="key"
            )
            secret_versions.insert_version(transaction, number, made)
        secrets.store_labels(transaction, number, {}, {"AWSCURRENT": "b", "AWSPENDING": "empty", "x": "b"})

    with stores.state.read() as connection:

        def listed(after: VersionPosition | None = None, limit: int = 9, *, with_deprecated: bool = True) -> list[str]:
            found = secret_versions.load_version_page(
                connection, number, with_deprecated=with_deprecated, after=after, limit=limit
            )
            assert all(version.sealed is None and version.kms_key_id == "key" for version in found)
            return [version.version_id for version in found]

        assert listed() == ["c", "a", "b"]
        assert listed(limit=2) == ["c", "a"]
        assert listed(with_deprecated=False) == ["b"]
        assert listed(VersionPosition(NOW + timedelta(seconds=1), "a")) == ["b"]
        # Behind one that is gone.
        assert listed(VersionPosition(NOW + timedelta(milliseconds=500), "gone")) == ["a", "b"]
        assert secrets.load_labels(connection, number) == {"AWSCURRENT": "b", "AWSPENDING": "empty", "x": "b"}


@every_order
def test_a_page_is_read_from_an_index(stores: Stores, order: ListOrder) -> None:
    """However many secrets there are: nothing is sorted, and no table is read through."""
    if not stores.state.dialect.is_embedded:
        pytest.skip("PostgreSQL reads small tables through, whatever indexes there are")
    after = ListPosition("a" if order.sort_by is SortBy.NAME else NOW, 1)
    seen: list[str] = []
    with stores.state.read() as connection:
        execute = connection.execute

        def explain(statement: object) -> object:
            compiled = statement.compile(connection, compile_kwargs={"literal_binds": True})  # type: ignore[attr-defined]  # a statement
            seen.extend(row[3] for row in execute(text(f"EXPLAIN QUERY PLAN {compiled}")))
            return execute(statement)  # type: ignore[call-overload]  # likewise

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(connection, "execute", explain)
            secret_lists.load_candidates(connection, SecretList(PLACE, order, NOW), after, 10)

    assert seen
    assert not [step for step in seen if step.startswith("SCAN") or "TEMP B-TREE" in step]
