"""Whatever somebody does to the trail in the database is found, also beside a running server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from keyturn.clock import to_milliseconds
from keyturn.rules.audit_anchor import Anchor
from keyturn.rules.audit_chain import LOST, START, Position
from keyturn.rules.audit_proof import FaultKind
from keyturn.rules.audit_report import BEGIN, Known, Report
from keyturn.storage import audit_anchor, audit_index, audit_log, audit_marks, audit_retention, audit_verify, schema
from keyturn.storage.audit_index import index_next_block
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.audit_retention import Unverified, delete_expired
from keyturn.storage.audit_verify import verify
from keyturn.storage.database import Stores

from .conftest import NOW
from .trail import KEY, open_log, record, store, stored

ALL_TRIGGERS = {"audit_events_no_change", "audit_events_no_deletion"}


def _nothing(_done: int, _total: int) -> None:
    pass


def check(stores: Stores, *known: Known) -> Report:
    return verify(stores, KEY, known, _nothing)


def tamper(stores: Stores, *statements: str) -> None:
    """Write to the database past Keyturn, as somebody can who may do anything there."""
    with stores.journal.write() as transaction:
        connection = transaction.connection
        if stores.journal.dialect.is_embedded:
            for trigger in stores.journal.dialect.triggers(connection):
                connection.execute(text(f"DROP TRIGGER {trigger}"))
        else:
            connection.execute(text("ALTER TABLE audit_events DISABLE TRIGGER ALL"))
        for statement in statements:
            connection.execute(text(statement))


def head(stores: Stores) -> Position:
    with stores.journal.read() as connection:
        newest = audit_log.newest(connection)
    assert newest is not None
    return newest


@pytest.fixture
def log(stores: Stores) -> AuditLog:
    opened = open_log(stores)
    store(opened, (record(number) for number in range(1, 21)))
    return opened


@pytest.mark.usefixtures("log")
def test_an_untouched_trail_is_verified(stores: Stores) -> None:
    report = check(stores, Known(head(stores), "now"))

    assert (report.faults, report.notes, report.older) == ([], [], 0)
    assert (report.records, report.newest, len(report.known)) == (20, head(stores), 1)


def test_the_newest_records_alone_can_be_verified(stores: Stores, log: AuditLog) -> None:
    assert log.newest() == head(stores)
    first = Known(Position(3, stored(stores)[2].link or b""), "earlier")

    report = verify(stores, KEY, [first], _nothing, most_records=5)

    assert (report.faults, report.records, report.newest, report.known) == ([], 5, head(stores), [first])
    # What is behind them is not looked at; what is before their first is their beginning.
    tamper(stores, "UPDATE audit_events SET event = '{}' WHERE sequence = 7")
    assert verify(stores, KEY, [], _nothing, most_records=5).faults == []
    tamper(stores, "UPDATE audit_events SET event = '{}' WHERE sequence = 17")
    [fault] = verify(stores, KEY, [], _nothing, most_records=5).faults
    assert (fault.kind, fault.sequence) == (FaultKind.CHANGED, 17)


@pytest.mark.usefixtures("log")
def test_among_the_newest_records_a_missing_one_is_found(stores: Stores) -> None:
    tamper(stores, "DELETE FROM audit_events WHERE sequence IN (15, 16)")

    faults = verify(stores, KEY, [], _nothing, most_records=5).faults

    assert faults


def test_an_empty_trail_is_verified(stores: Stores) -> None:
    assert check(stores).faults == []
    open_log(stores)
    assert (check(stores).faults, check(stores).records) == ([], 0)


@pytest.mark.parametrize(
    ("statement", "kind", "sequence"),
    [
        ("UPDATE audit_events SET event = '{}' WHERE sequence = 7", FaultKind.CHANGED, 7),
        ("UPDATE audit_events SET username = NULL WHERE sequence = 7", FaultKind.CHANGED, 7),
        ("UPDATE audit_events SET event_time = event_time + 1 WHERE sequence = 1", FaultKind.CHANGED, 1),
        ("UPDATE audit_events SET link = NULL WHERE sequence = 7", FaultKind.CHANGED, 7),
        ("UPDATE audit_events SET link = NULL", FaultKind.FOREIGN, 1),
        ("UPDATE audit_events SET event = 'x' WHERE sequence = 20", FaultKind.FOREIGN, 20),
        ("DELETE FROM audit_events WHERE sequence = 7", FaultKind.REMOVED, 7),
        ("DELETE FROM audit_events WHERE sequence BETWEEN 1 AND 3", FaultKind.REMOVED, 1),
        ("UPDATE audit_events SET sequence = 5000 WHERE sequence = 7", FaultKind.MOVED, 7),
        ("UPDATE audit_events SET sequence = 21 WHERE sequence = 20", FaultKind.MOVED, 20),
        ("DELETE FROM audit_marks", FaultKind.REMOVED, None),
        ("UPDATE audit_marks SET sequence = 5 WHERE name = 'checkpoint'", FaultKind.FOREIGN, 5),
        ("UPDATE audit_marks SET at = at + 1 WHERE name = 'checkpoint'", FaultKind.FOREIGN, 0),
    ],
)
@pytest.mark.usefixtures("log")
def test_what_was_done_past_keyturn_is_found(
    stores: Stores, statement: str, kind: FaultKind, sequence: int | None
) -> None:
    tamper(stores, statement)

    (fault, *_) = check(stores).faults
    assert (fault.kind, fault.sequence) == (kind, sequence)


def test_records_that_were_exchanged_are_found(stores: Stores, log: AuditLog) -> None:
    move = "UPDATE audit_events SET sequence = {} WHERE sequence = {}"
    tamper(stores, move.format(-1, 7), move.format(7, 9), move.format(9, -1))

    (fault,) = check(stores).faults
    assert (fault.kind, fault.sequence) == (FaultKind.MOVED, 7)
    assert "stored as record 9" in fault.message
    assert log.head is not None


@pytest.mark.usefixtures("log")
def test_a_record_that_was_put_in_is_found(stores: Stores) -> None:
    columns = ", ".join(column.name for column in schema.audit_events.columns if column.name != "sequence")
    tamper(stores, f"INSERT INTO audit_events (sequence, {columns}) SELECT 21, {columns} FROM audit_events"
        " WHERE sequence = 20")  # fmt: skip

    (fault,) = check(stores).faults
    assert (fault.kind, fault.sequence) == (FaultKind.FOREIGN, 21)


def test_a_tail_that_was_cut_off_is_found_by_whoever_knows_it(stores: Stores, log: AuditLog) -> None:
    known = Known.of(Anchor(head(stores), 0, NOW))
    tamper(stores, "DELETE FROM audit_events WHERE sequence > 18")
    assert check(stores).faults == []

    (fault,) = check(stores, known).faults
    assert (fault.kind, fault.sequence) == (FaultKind.ROLLED_BACK, 19)
    assert "on 2026-03-04 at 05:06:07 UTC" in fault.message

    # The trail goes on, and soon is longer than what is missing.
    again = AuditLog(log.database, KEY)
    again.append([record(number) for number in range(30, 40)])
    (fault,) = check(stores, known).faults
    assert (fault.kind, fault.sequence) == (FaultKind.ROLLED_BACK, 20)


def test_an_older_copy_of_the_state_is_found(stores: Stores, log: AuditLog) -> None:
    with stores.state.write() as transaction:
        transaction.touch("secret", "a")
    with stores.state.read() as connection:
        generation = audit_anchor.newest_generation(connection)
    log.sync(generation, NOW)
    assert check(stores).faults == []

    with stores.state.write() as transaction:
        transaction.connection.execute(text("DELETE FROM changes"))
    (fault,) = check(stores).faults
    assert (fault.kind, fault.sequence) == (FaultKind.ROLLED_BACK, None)

    tamper(stores, "UPDATE audit_marks SET sequence = 0 WHERE name = 'state'")
    (fault,) = check(stores).faults
    assert fault.kind is FaultKind.FOREIGN


@pytest.mark.usefixtures("log")
def test_triggers_that_somebody_removed_are_noted(stores: Stores) -> None:
    with stores.journal.read() as connection:
        assert stores.journal.dialect.triggers(connection) >= ALL_TRIGGERS
    tamper(stores)

    assert len(check(stores).notes) == 1


def test_an_index_that_hides_records_is_found(stores: Stores, log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_index, "BLOCK_RECORDS", 5)
    while index_next_block(log):
        pass
    assert (check(stores).faults, check(stores).blocks) == ([], 4)

    tamper(stores, "UPDATE audit_values SET offsets = '1' WHERE block = 2 AND attribute = 'username'")
    (fault,) = check(stores).faults
    assert (fault.kind, fault.sequence) == (FaultKind.CHANGED, 11)


def _moment(number: int) -> datetime:
    return datetime.fromtimestamp(number, UTC)


def test_records_whose_time_is_over_go_and_the_chain_goes_on_behind_them(
    stores: Stores, log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_index, "BLOCK_RECORDS", 5)
    while index_next_block(log):
        pass
    known = Known(head(stores), "then")

    assert not delete_expired(log, _moment(12), 20, NOW)
    assert not delete_expired(log, _moment(12), 20, NOW)
    log.append([record(21)])

    assert [chained.sequence for chained in stored(stores)] == list(range(12, 22))
    report = check(stores, known)
    assert (report.faults, report.records, report.checkpoint.sequence) == ([], 10, 11)
    with stores.journal.read() as connection:
        assert [bool(audit_index.stored_entries(connection, block)) for block in range(4)] == [False, False, True, True]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET event_time = 0 WHERE sequence < 15",
        "UPDATE audit_events SET link = NULL WHERE sequence = 2",
        "UPDATE audit_events SET link = NULL",
        "UPDATE audit_marks SET at = at + 1 WHERE name = 'checkpoint'",
        "DELETE FROM audit_marks",
    ],
)
def test_what_is_not_what_was_written_does_not_go_and_is_not_vouched_for(
    stores: Stores, log: AuditLog, statement: str
) -> None:
    tamper(stores, statement)
    before = stored(stores)

    with pytest.raises(Unverified):
        delete_expired(log, _moment(5), 20, NOW)

    assert stored(stores) == before
    assert check(stores).faults != []


def test_everything_can_be_too_old_and_the_chain_goes_on(stores: Stores, log: AuditLog) -> None:
    known = Known(head(stores), "then")
    delete_expired(log, _moment(99), 20, NOW)
    assert (stored(stores), check(stores, known).faults) == ([], [])

    AuditLog(stores.journal, KEY).append([record(21)])
    assert [chained.sequence for chained in stored(stores)] == [21]
    assert check(stores, known).faults == []


def test_a_record_that_is_not_old_keeps_those_behind_it(stores: Stores) -> None:
    log = open_log(stores)
    store(log, [record(1), record(9), record(2)])

    assert not delete_expired(log, _moment(5), 3, NOW)
    assert [chained.sequence for chained in stored(stores)] == [2, 3]


def test_nothing_goes_that_was_not_handed_on(stores: Stores, log: AuditLog) -> None:
    delete_expired(log, _moment(99), 4, NOW)
    assert stored(stores)[0].sequence == 5


def test_many_go_some_at_a_time(stores: Stores, log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_retention, "AT_ONCE", 5)
    turns = 0
    while delete_expired(log, _moment(18), 20, NOW):
        turns += 1

    assert (turns, stored(stores)[0].sequence) == (3, 18)


def test_records_older_than_the_chain_go_too(stores: Stores) -> None:
    old = {**record(1)._asdict(), "sequence": 7, "link": None}
    with stores.journal.write() as transaction:
        transaction.connection.execute(schema.audit_events.insert(), old)
    log = open_log(stores)
    store(log, [record(2), record(3)])
    assert check(stores).older == 1

    assert not delete_expired(log, _moment(2), 9, NOW)
    report = check(stores)
    assert (report.faults, report.older, report.records, report.checkpoint.sequence) == ([], 0, 2, 7)

    delete_expired(log, _moment(3), 9, NOW)
    assert check(stores).checkpoint.sequence == 8


def test_records_added_before_the_checkpoint_are_found(stores: Stores, log: AuditLog) -> None:
    delete_expired(log, _moment(12), 20, NOW)
    old = {**record(1)._asdict(), "sequence": 3, "link": None}
    with stores.journal.write() as transaction:
        transaction.connection.execute(schema.audit_events.insert(), old)

    (fault,) = check(stores).faults
    assert fault.kind is FaultKind.FOREIGN


UNCHAIN = "UPDATE audit_events SET link = NULL, username = NULL"
WIPES = {
    "everything": ("DELETE FROM audit_marks", "DELETE FROM audit_events"),
    "all links": ("DELETE FROM audit_marks", UNCHAIN),
    "the newest link": ("DELETE FROM audit_marks", f"{UNCHAIN} WHERE sequence IN (2, 20)"),
    "a false mark": ("DELETE FROM audit_events", "UPDATE audit_marks SET sequence = 20"),
}


@pytest.mark.parametrize("statements", WIPES.values(), ids=WIPES)
@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.usefixtures("log")
def test_whoever_knows_a_record_finds_that_the_beginning_was_removed(
    stores: Stores, statements: tuple[str, ...], restarts: bool
) -> None:
    known = Known(head(stores), "then")
    tamper(stores, *statements)
    if restarts:
        store(open_log(stores), [record(number) for number in range(30, 60)])

    assert FaultKind.ROLLED_BACK in {fault.kind for fault in check(stores, known).faults}
    assert check(stores, known).known == []


@pytest.mark.parametrize("statements", WIPES.values(), ids=WIPES)
@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.usefixtures("log")
def test_the_state_knows_that_there_was_a_beginning(
    stores: Stores, statements: tuple[str, ...], restarts: bool
) -> None:
    with stores.state.write() as transaction:
        audit_anchor.store_begun(transaction.connection, KEY, Anchor(BEGIN, 0, NOW))
    tamper(stores, *statements)
    if restarts:
        log = AuditLog(stores.journal, KEY)
        log.begin(NOW, has_begun=True)
        store(log, [record(number) for number in range(30, 60)])

    assert {fault.kind for fault in check(stores).faults} <= {FaultKind.REMOVED, FaultKind.FOREIGN}
    assert check(stores).faults != []


def test_the_journal_knows_that_there_was_a_beginning_when_it_was_told_how_new_the_state_is(
    stores: Stores, log: AuditLog
) -> None:
    log.sync(0, NOW)
    tamper(stores, "DELETE FROM audit_marks WHERE name = 'checkpoint'", "DELETE FROM audit_events")
    (fault,) = check(stores).faults
    assert fault.kind is FaultKind.REMOVED

    open_log(stores)
    (fault,) = check(stores).faults
    assert fault.kind is FaultKind.REMOVED


@pytest.mark.usefixtures("log")
def test_a_later_beginning_is_not_taken_for_what_retention_leaves(stores: Stores) -> None:
    with stores.journal.read() as connection:
        known = Known(Position(8, audit_log.link_at(connection, 8) or b""), "then")
    with stores.journal.write() as transaction:
        audit_marks.store_mark(transaction.connection, KEY, audit_marks.CHECKPOINT, Position(20, START), NOW)
    tamper(stores, "UPDATE audit_events SET link = NULL")

    (fault,) = check(stores, known).faults
    assert (fault.kind, fault.sequence) == (FaultKind.ROLLED_BACK, 8)


def test_records_from_before_the_chain_are_counted_before_it_begins(stores: Stores) -> None:
    old = {**record(1)._asdict(), "sequence": 7, "link": None}
    with stores.journal.write() as transaction:
        transaction.connection.execute(schema.audit_events.insert(), old)

    assert (check(stores).faults, check(stores).older) == ([], 1)


@pytest.mark.parametrize("link_is_left", [True, False])
@pytest.mark.usefixtures("log")
def test_a_chain_whose_beginning_was_lost_goes_on_and_never_vouches_for_what_was_there(
    stores: Stores, link_is_left: bool
) -> None:
    tamper(stores, "DELETE FROM audit_marks", *([] if link_is_left else [UNCHAIN]))
    log = AuditLog(stores.journal, KEY)
    lost = log.begin(NOW, has_begun=True)
    assert (lost, log.begin(NOW, has_begun=True)) == (Position(20, LOST), None)
    log.append([record(21), record(22)])
    known = Known(head(stores), "now")

    report = check(stores, known)
    (fault,) = report.faults
    assert (fault.kind, report.records, len(report.known)) == (FaultKind.REMOVED, 2, 1)
    with pytest.raises(Unverified):
        delete_expired(log, _moment(99), 22, NOW)

    tamper(stores, "UPDATE audit_events SET username = 'x' WHERE sequence = 21")
    assert len(check(stores).faults) == 2


def test_a_chain_that_went_on_in_an_empty_journal_is_proved_again_when_its_first_records_are_over(
    stores: Stores,
) -> None:
    log = AuditLog(stores.journal, KEY)
    log.begin(NOW, has_begun=True)
    store(log, [record(1), record(2)])
    assert len(check(stores).faults) == 1

    delete_expired(log, _moment(2), 2, NOW)
    assert (check(stores).faults, check(stores).records) == ([], 1)


def test_what_goes_while_it_is_verified_is_no_fault(
    stores: Stores, log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_verify, "LOOK_AHEAD", 5)
    known = [Known(head(stores), "then")]
    seen: list[tuple[int, int]] = []

    def tell(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 5:
            delete_expired(log, _moment(13), 20, NOW)
            log.append([record(21)])

    report = verify(stores, KEY, known, tell)

    assert (report.faults, report.newest.sequence, len(report.known)) == ([], 20, 1)
    assert seen == [(5, 20), (17, 20), (20, 20)]


def test_a_moment_is_stored_as_it_was_sealed(stores: Stores, log: AuditLog) -> None:
    later = NOW + timedelta(microseconds=999)
    log.sync(3, later)
    with stores.journal.read() as connection:
        mark = audit_marks.load_mark(connection, audit_marks.STATE)
    assert mark is not None
    assert mark.is_sealed(KEY)
    assert to_milliseconds(mark.at) == to_milliseconds(later)
