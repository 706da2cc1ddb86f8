from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue

import pytest

from keyturn.rules.audit_record import AuditRecord
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.audit_writer import AuditWriter
from keyturn.storage.database import StorageError, Stores

from .trail import found, open_log, record

_DEADLINE_SECONDS = 20

Outcomes = SimpleQueue[tuple[int, Exception | None]]


class _GatedAppend:
    """The real append, but each batch waits until it is let through."""

    def __init__(self) -> None:
        self.batches: list[list[AuditRecord]] = []
        self.began: SimpleQueue[int] = SimpleQueue()
        self.failing: Exception | None = None
        self._append = AuditLog.append
        self._gate = threading.Semaphore(0)

    def append(self, log: AuditLog, records: Sequence[AuditRecord]) -> None:
        self.batches.append(list(records))
        self.began.put(len(records))
        assert self._gate.acquire(timeout=_DEADLINE_SECONDS)
        if self.failing:
            raise self.failing
        self._append(log, records)

    def let_through(self, batches: int = 1) -> None:
        self._gate.release(batches)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> _GatedAppend:
    gated = _GatedAppend()

    def append(self: AuditLog, records: Sequence[AuditRecord]) -> None:
        gated.append(self, records)

    monkeypatch.setattr(AuditLog, "append", append)
    return gated


@pytest.fixture
def writer(stores: Stores) -> Iterator[AuditWriter]:
    opened = AuditWriter(open_log(stores), limit=5)
    yield opened
    opened.close()


def _reporter(outcomes: Outcomes, number: int) -> Callable[[Exception | None], None]:
    return lambda error: outcomes.put((number, error))


def test_a_waiter_is_told_when_its_event_can_be_read_by_others(stores: Stores, writer: AuditWriter) -> None:
    seen: SimpleQueue[list[AuditRecord]] = SimpleQueue()

    writer.submit([record(1)], lambda _: seen.put(found(stores)))

    assert seen.get(timeout=_DEADLINE_SECONDS) == [record(1)]


def test_what_gathers_during_a_transaction_becomes_the_next_one(
    stores: Stores, gate: _GatedAppend, writer: AuditWriter
) -> None:
    outcomes: Outcomes = SimpleQueue()
    writer.submit([record(0)], _reporter(outcomes, 0))
    assert gate.began.get(timeout=_DEADLINE_SECONDS) == 1
    for number in (1, 2, 3):
        writer.submit([record(number)], _reporter(outcomes, number))
    gate.let_through(2)

    assert [outcomes.get(timeout=_DEADLINE_SECONDS) for _ in range(4)] == [(number, None) for number in range(4)]
    assert [len(batch) for batch in gate.batches] == [1, 3]
    assert len(found(stores)) == 4


def test_a_commit_that_fails_fails_its_own_waiters_and_no_others(
    stores: Stores, gate: _GatedAppend, writer: AuditWriter
) -> None:
    outcomes: Outcomes = SimpleQueue()
    failure = StorageError("The database failed: database or disk is full.")
    gate.failing = failure
    writer.submit([record(0)], _reporter(outcomes, 0))
    gate.began.get(timeout=_DEADLINE_SECONDS)
    gate.let_through()
    assert outcomes.get(timeout=_DEADLINE_SECONDS) == (0, failure)

    gate.failing = None
    writer.submit([record(1)], _reporter(outcomes, 1))
    gate.let_through()

    assert outcomes.get(timeout=_DEADLINE_SECONDS) == (1, None)
    assert found(stores) == [record(1)]


def test_a_waiter_that_breaks_leaves_the_others_unharmed(
    writer: AuditWriter, gate: _GatedAppend, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes: Outcomes = SimpleQueue()

    def break_down(_error: Exception | None) -> None:
        raise RuntimeError("Event loop is closed")

    gate.let_through(2)
    writer.submit([record(0)], break_down)
    writer.submit([record(1)], _reporter(outcomes, 1))

    assert outcomes.get(timeout=_DEADLINE_SECONDS) == (1, None)
    assert "Event loop is closed" in caplog.text


def test_more_than_the_limit_is_refused_at_once_and_never_called_back(gate: _GatedAppend, writer: AuditWriter) -> None:
    outcomes: Outcomes = SimpleQueue()
    writer.submit([record(0)], _reporter(outcomes, 0))
    gate.began.get(timeout=_DEADLINE_SECONDS)
    for number in range(1, 6):
        writer.submit([record(number)], _reporter(outcomes, number))
    with pytest.raises(StorageError, match="does not keep up"):
        writer.submit([record(6)], _reporter(outcomes, 6))

    gate.let_through(2)
    writer.close()

    assert sorted(outcomes.get_nowait()[0] for _ in range(outcomes.qsize())) == [0, 1, 2, 3, 4, 5]


def test_closing_stores_what_waits_and_refuses_what_comes_later(
    stores: Stores, gate: _GatedAppend, writer: AuditWriter
) -> None:
    outcomes: Outcomes = SimpleQueue()
    writer.submit([record(0)], _reporter(outcomes, 0))
    gate.began.get(timeout=_DEADLINE_SECONDS)
    writer.submit([record(1)], _reporter(outcomes, 1))
    gate.let_through(2)

    writer.close()
    writer.close()

    assert [outcomes.get_nowait(), outcomes.get_nowait()] == [(0, None), (1, None)]
    assert found(stores) == [record(1), record(0)]
    with pytest.raises(StorageError, match="closed"):
        writer.submit([record(2)], _reporter(outcomes, 2))


def test_many_threads_lose_nothing(stores: Stores) -> None:
    writer = AuditWriter(open_log(stores))
    outcomes: Outcomes = SimpleQueue()

    def submit_some(first: int) -> None:
        for number in range(first, first + 50):
            writer.submit([record(number)], _reporter(outcomes, number))

    threads = [threading.Thread(target=submit_some, args=(first,)) for first in range(0, 200, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_DEADLINE_SECONDS)
    writer.close()

    assert sorted(outcomes.get_nowait()[0] for _ in range(200)) == list(range(200))
    assert len({record.event_id for record in found(stores, limit=500)}) == 200


def test_events_of_reads_are_stored_at_once_where_the_database_is_embedded(stores: Stores, writer: AuditWriter) -> None:
    reads = [record(number) for number in range(3)]

    stored = writer.store_at_once(reads)

    assert stored is stores.journal.dialect.is_embedded
    assert found(stores) == (list(reversed(reads)) if stored else [])
    assert not writer.store_at_once([*reads, record(4, read_only=False)])
