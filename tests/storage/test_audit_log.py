from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from keyturn.storage import audit_log
from keyturn.storage.audit_log import AuditRecord, AuditWriter
from keyturn.storage.database import Database, StorageError, Stores

from .conftest import PLACE

_DEADLINE_SECONDS = 20

Outcomes = SimpleQueue[tuple[int, Exception | None]]


def _record(number: int = 0) -> AuditRecord:
    return AuditRecord(
        account_id=PLACE.account_id,
        region=PLACE.region,
        event_id=f"00000000-0000-0000-0000-{number:012}",
        event_time=1_000 * number,
        event_source="secretsmanager.amazonaws.com",
        event_name="GetSecretValue",
        username="alice",
        access_key_id="AKIAEXAMPLE",
        read_only=True,
        resource_name="db",
        error_code=None,
        request_id=f"request-{number}",
        event=f'{{"number": {number}, "who": "Zoë"}}',
    )


def _found(stores: Stores, limit: int = 100, **asked: object) -> list[AuditRecord]:
    with stores.journal.read() as connection:
        return [record for _, record in audit_log.lookup(connection, PLACE, limit=limit, **asked)]  # type: ignore[arg-type]  # passed on as asked


def test_events_come_back_newest_first_as_stored(stores: Stores) -> None:
    denied = _record(3)._replace(username=None, access_key_id=None, resource_name=None, error_code="AccessDenied")
    audit_log.append(stores.journal, [_record(1), _record(2)])
    audit_log.append(stores.journal, [])
    audit_log.append(stores.journal, [denied])

    assert _found(stores) == [denied, _record(2), _record(1)]


def test_pages_follow_one_another_without_gap_or_repeat(stores: Stores) -> None:
    audit_log.append(stores.journal, [_record(number) for number in range(7)])
    pages: list[list[int]] = []
    before_row = None
    with stores.journal.read() as connection:
        while page := audit_log.lookup(connection, PLACE, before_row=before_row, limit=3):
            pages.append([record.event_time // 1_000 for _, record in page])
            before_row = page[-1][0]

    assert pages == [[6, 5, 4], [3, 2, 1], [0]]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("event_id", _record(9).event_id),
        ("event_name", "PutSecretValue"),
        ("event_source", "lambda.amazonaws.com"),
        ("username", "bob"),
        ("access_key_id", "AKIAOTHER"),
        ("read_only", False),
        ("resource_name", "other"),
    ],
)
def test_events_are_found_by_an_attribute(stores: Stores, column: str, value: object) -> None:
    wanted = _record(2)._replace(**{column: value})  # type: ignore[arg-type]  # each row names a column and fits it
    audit_log.append(stores.journal, [_record(1), wanted, _record(3)])

    assert _found(stores, attribute=(column, value)) == [wanted]


def test_both_ends_of_a_time_range_belong_to_it(stores: Stores) -> None:
    audit_log.append(stores.journal, [_record(number) for number in range(1, 6)])

    assert _found(stores, starts_at=2_000, ends_at=4_000) == [_record(4), _record(3), _record(2)]
    assert _found(stores, starts_at=4_001) == [_record(5)]
    assert _found(stores, ends_at=1_999, limit=1) == [_record(1)]


def test_text_that_no_database_takes_harms_neither_the_event_nor_its_neighbours(stores: Stores) -> None:
    strange = _record(2)._replace(resource_name="a\0b", access_key_id="\0", event_name="\ud800", event='"\udfff"')
    audit_log.append(stores.journal, [_record(1), strange])

    stored = strange._replace(resource_name="a\ufffdb", access_key_id="\ufffd", event_name="?", event='"?"')
    assert _found(stores) == [stored, _record(1)]


class _GatedAppend:
    """The real append, but each batch waits until it is let through."""

    def __init__(self) -> None:
        self.batches: list[list[AuditRecord]] = []
        self.began: SimpleQueue[int] = SimpleQueue()
        self.failing: Exception | None = None
        self._append = audit_log.append
        self._gate = threading.Semaphore(0)

    def __call__(self, database: Database, records: list[AuditRecord]) -> None:
        self.batches.append(records)
        self.began.put(len(records))
        assert self._gate.acquire(timeout=_DEADLINE_SECONDS)
        if self.failing:
            raise self.failing
        self._append(database, records)

    def let_through(self, batches: int = 1) -> None:
        self._gate.release(batches)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> _GatedAppend:
    gated = _GatedAppend()
    monkeypatch.setattr(audit_log, "append", gated)
    return gated


@pytest.fixture
def writer(stores: Stores) -> Iterator[AuditWriter]:
    opened = AuditWriter(stores.journal, limit=5)
    yield opened
    opened.close()


def _reporter(outcomes: Outcomes, number: int) -> Callable[[Exception | None], None]:
    return lambda error: outcomes.put((number, error))


def test_a_waiter_is_told_when_its_event_can_be_read_by_others(stores: Stores, writer: AuditWriter) -> None:
    seen: SimpleQueue[list[AuditRecord]] = SimpleQueue()

    writer.submit([_record(1)], lambda _: seen.put(_found(stores)))

    assert seen.get(timeout=_DEADLINE_SECONDS) == [_record(1)]


def test_what_gathers_during_a_transaction_becomes_the_next_one(
    stores: Stores, gate: _GatedAppend, writer: AuditWriter
) -> None:
    outcomes: Outcomes = SimpleQueue()
    writer.submit([_record(0)], _reporter(outcomes, 0))
    assert gate.began.get(timeout=_DEADLINE_SECONDS) == 1
    for number in (1, 2, 3):
        writer.submit([_record(number)], _reporter(outcomes, number))
    gate.let_through(2)

    assert [outcomes.get(timeout=_DEADLINE_SECONDS) for _ in range(4)] == [(number, None) for number in range(4)]
    assert [len(batch) for batch in gate.batches] == [1, 3]
    assert len(_found(stores)) == 4


def test_a_commit_that_fails_fails_its_own_waiters_and_no_others(
    stores: Stores, gate: _GatedAppend, writer: AuditWriter
) -> None:
    outcomes: Outcomes = SimpleQueue()
    failure = StorageError("The database failed: database or disk is full.")
    gate.failing = failure
    writer.submit([_record(0)], _reporter(outcomes, 0))
    gate.began.get(timeout=_DEADLINE_SECONDS)
    gate.let_through()
    assert outcomes.get(timeout=_DEADLINE_SECONDS) == (0, failure)

    gate.failing = None
    writer.submit([_record(1)], _reporter(outcomes, 1))
    gate.let_through()

    assert outcomes.get(timeout=_DEADLINE_SECONDS) == (1, None)
    assert _found(stores) == [_record(1)]


def test_a_waiter_that_breaks_leaves_the_others_unharmed(
    writer: AuditWriter, gate: _GatedAppend, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes: Outcomes = SimpleQueue()

    def break_down(_error: Exception | None) -> None:
        raise RuntimeError("Event loop is closed")

    gate.let_through(2)
    writer.submit([_record(0)], break_down)
    writer.submit([_record(1)], _reporter(outcomes, 1))

    assert outcomes.get(timeout=_DEADLINE_SECONDS) == (1, None)
    assert "Event loop is closed" in caplog.text


def test_more_than_the_limit_is_refused_at_once_and_never_called_back(gate: _GatedAppend, writer: AuditWriter) -> None:
    outcomes: Outcomes = SimpleQueue()
    writer.submit([_record(0)], _reporter(outcomes, 0))
    gate.began.get(timeout=_DEADLINE_SECONDS)
    for number in range(1, 6):
        writer.submit([_record(number)], _reporter(outcomes, number))
    with pytest.raises(StorageError, match="does not keep up"):
        writer.submit([_record(6)], _reporter(outcomes, 6))

    gate.let_through(2)
    writer.close()

    assert sorted(outcomes.get_nowait()[0] for _ in range(outcomes.qsize())) == [0, 1, 2, 3, 4, 5]


def test_closing_stores_what_waits_and_refuses_what_comes_later(
    stores: Stores, gate: _GatedAppend, writer: AuditWriter
) -> None:
    outcomes: Outcomes = SimpleQueue()
    writer.submit([_record(0)], _reporter(outcomes, 0))
    gate.began.get(timeout=_DEADLINE_SECONDS)
    writer.submit([_record(1)], _reporter(outcomes, 1))
    gate.let_through(2)

    writer.close()
    writer.close()

    assert [outcomes.get_nowait(), outcomes.get_nowait()] == [(0, None), (1, None)]
    assert _found(stores) == [_record(1), _record(0)]
    with pytest.raises(StorageError, match="closed"):
        writer.submit([_record(2)], _reporter(outcomes, 2))


def test_many_threads_lose_nothing(stores: Stores) -> None:
    writer = AuditWriter(stores.journal)
    outcomes: Outcomes = SimpleQueue()

    def submit_some(first: int) -> None:
        for number in range(first, first + 50):
            writer.submit([_record(number)], _reporter(outcomes, number))

    threads = [threading.Thread(target=submit_some, args=(first,)) for first in range(0, 200, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_DEADLINE_SECONDS)
    writer.close()

    assert sorted(outcomes.get_nowait()[0] for _ in range(200)) == list(range(200))
    assert len({record.event_id for record in _found(stores, limit=500)}) == 200


def test_events_of_reads_are_stored_at_once_where_the_database_is_embedded(stores: Stores, writer: AuditWriter) -> None:
    reads = [_record(number)._replace(read_only=True) for number in range(3)]

    stored = writer.store_at_once(reads)

    assert stored is stores.journal.dialect.is_embedded
    assert _found(stores) == (list(reversed(reads)) if stored else [])
    assert not writer.store_at_once([*reads, _record(4)._replace(read_only=False)])
