from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete, text, update

from keyturn.rules.audit_chain import START, Position
from keyturn.rules.audit_proof import Walk
from keyturn.storage import audit_log, audit_marks, schema
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.database import StorageError, Stores

from .conftest import NOW, OpenStores
from .trail import KEY, found, open_log, record, store, stored


def _is_whole(stores: Stores) -> bool:
    return Walk(KEY, Position(0, START)).follow(stored(stores))


def test_records_are_numbered_without_gaps_and_linked_in_the_order_of_storing(stores: Stores) -> None:
    log = open_log(stores)
    log.append([record(1), record(2)])
    log.append([])
    log.append([record(3, read_only=False)])
    log.append([record(number) for number in range(4, 200)])

    assert [chained.sequence for chained in stored(stores)] == list(range(1, 200))
    assert [chained.record for chained in stored(stores)][:2] == [record(1), record(2)]
    assert _is_whole(stores)


def test_the_chain_goes_on_after_a_restart(stores: Stores, open_stores: OpenStores) -> None:
    open_log(stores).append([record(1), record(2)])
    again = open_stores()
    open_log(again).append([record(3)])

    assert len(stored(again)) == 3
    assert _is_whole(again)


def test_two_servers_of_one_database_write_one_chain(stores: Stores, open_stores: OpenStores) -> None:
    logs = [open_log(stores), open_log(open_stores())]

    def write(number: int) -> None:
        logs[number % 2].append([record(number), record(number)])

    with ThreadPoolExecutor(1 if stores.journal.dialect.is_embedded else 8) as pool:
        list(pool.map(write, range(200)))

    assert [chained.sequence for chained in stored(stores)] == list(range(1, 401))
    assert _is_whole(stores)


def test_many_threads_of_one_server_write_one_chain(stores: Stores) -> None:
    log = open_log(stores)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: log.append([record(number, read_only=number % 3 > 0)]), range(200)))

    assert len(stored(stores)) == 200
    assert _is_whole(stores)


def test_what_could_not_be_stored_leaves_no_gap(stores: Stores) -> None:
    log = open_log(stores)
    log.append([record(1)])
    with pytest.raises(StorageError):
        log.append([record(2), record(3, event_id=None)])
    assert log.head is None
    log.append([record(4)])
    assert _is_whole(stores)

    assert [(chained.sequence, chained.record.event_time) for chained in stored(stores)] == [(1, 1_000), (2, 4_000)]


def _refuses(log: AuditLog) -> bool:
    return log.refuses


def test_calls_are_refused_from_a_failure_until_a_record_is_stored(stores: Stores) -> None:
    log = open_log(stores)
    assert not _refuses(log)
    with pytest.raises(StorageError):
        log.append([record(1, event_id=None)])
    assert _refuses(log)

    log.append([record(2)])
    assert not _refuses(log)


def test_calls_are_refused_while_any_sink_holds_them_up(stores: Stores) -> None:
    log = open_log(stores)
    for sink in ("one", "other", "one"):
        log.hold_up(sink, holds_up=True)
    log.hold_up("one", holds_up=False)
    assert _refuses(log)
    log.append([record(1)])
    assert _refuses(log)
    log.hold_up("other", holds_up=False)
    assert not _refuses(log)


def test_the_chain_begins_behind_what_was_there_before_it(stores: Stores) -> None:
    old = {**record(1)._asdict(), "sequence": 7, "link": None}
    with stores.journal.write() as transaction:
        transaction.connection.execute(schema.audit_events.insert(), old)
    log = open_log(stores)
    open_log(stores)
    log.append([record(2)])

    assert [chained.sequence for chained in stored(stores)] == [7, 8]
    with stores.journal.read() as connection:
        mark = audit_marks.load_mark(connection, audit_marks.CHECKPOINT)
        assert audit_log.link_at(connection, 7) is None
    assert mark is not None
    assert (mark.position, mark.at, mark.is_sealed(KEY)) == (Position(7, START), NOW, True)
    assert Walk(KEY, mark.position).follow(stored(stores)[1:])


def test_a_log_that_was_not_begun_cannot_be_written(stores: Stores) -> None:
    with pytest.raises(LookupError):
        AuditLog(stores.journal, KEY).append([record(1)])
    assert stored(stores) == []


def test_text_that_no_database_takes_harms_neither_the_record_nor_its_neighbours(stores: Stores) -> None:
    strange = record(2, resource_name="a\0b", access_key_id="\0", event_name="\ud800", event='"\udfff"')
    open_log(stores).append([record(1), strange])

    kept = strange._replace(resource_name="a\ufffdb", access_key_id="\ufffd", event_name="?", event='"?"')
    assert found(stores) == [kept, record(1)]
    assert _is_whole(stores)


@pytest.mark.parametrize(
    "statement",
    [
        update(schema.audit_events).values(event="{}"),
        update(schema.audit_events).where(schema.audit_events.c.sequence == 2).values(username=None),
        delete(schema.audit_events),
        delete(schema.audit_events).where(schema.audit_events.c.sequence == 3),
    ],
    ids=str,
)
def test_the_database_itself_refuses_to_change_or_delete_records(stores: Stores, statement: object) -> None:
    log = open_log(stores)
    store(log, (record(number) for number in range(3)))
    before = stored(stores)

    with pytest.raises(StorageError, match="audit events are"), stores.journal.write() as transaction:
        transaction.connection.execute(statement)  # type: ignore[call-overload]  # each row is a statement

    assert stored(stores) == before


def test_postgresql_refuses_to_empty_the_table_too(stores: Stores) -> None:
    if stores.journal.dialect.is_embedded:
        pytest.skip("SQLite has no TRUNCATE")
    open_log(stores).append([record(1)])

    with pytest.raises(StorageError, match="audit events are"), stores.journal.write() as transaction:
        transaction.connection.execute(text("TRUNCATE audit_events"))


def test_marks_are_replaced_and_false_ones_are_known(stores: Stores) -> None:
    with stores.journal.write() as transaction:
        for sequence in (1, 2):
            position = Position(sequence, bytes([sequence] * 32))
            audit_marks.store_mark(transaction.connection, KEY, audit_marks.CHECKPOINT, position, NOW)
    with stores.journal.read() as connection:
        mark = audit_marks.load_mark(connection, audit_marks.CHECKPOINT)
        assert audit_marks.load_mark(connection, audit_marks.STATE) is None
    assert mark is not None
    assert mark.position.sequence == 2
    assert mark.is_sealed(KEY)

    with stores.journal.write() as transaction:
        transaction.connection.execute(update(schema.audit_marks).values(sequence=1))
    with stores.journal.read() as connection:
        mark = audit_marks.load_mark(connection, audit_marks.CHECKPOINT)
    assert mark is not None
    assert not mark.is_sealed(KEY)
