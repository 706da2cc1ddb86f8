"""The journal of audit records: appended in batches before replies leave, each linked to the one before it.

Every call passes here, so storing goes around SQLAlchemy's per-row work: rows go to the driver as plain values, many in
one statement. SQLite's driver lets go of Python's lock at each step of a statement and, beside a busy event loop, waits
milliseconds to get it back: 32 rows one by one took 35 ms there, 32 rows in one statement 5 ms.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select

from keyturn.rules.audit_chain import LOST, START, ChainKey, Position
from keyturn.rules.audit_record import AuditRecord, ChainedRecord
from keyturn.storage import audit_marks, schema
from keyturn.storage.audit_marks import CHECKPOINT, STATE
from keyturn.storage.database import AppendConflict, Database, Query, Statement
from keyturn.storage.stored_text import storable

_events, _marks = schema.audit_events, schema.audit_marks
_MOST_ROWS = 64

# The record's columns in the order of its attributes, as _row gives them and as the chain seals them.
_COLUMNS = ("sequence", "link", *AuditRecord._fields)
_values = attrgetter(*AuditRecord._fields)
_NEWEST = "SELECT sequence, link FROM audit_events ORDER BY sequence DESC LIMIT 1"
_CHECKPOINT = f"SELECT sequence, link FROM audit_marks WHERE name = '{CHECKPOINT}'"  # noqa: S608 - a name of ours
_AFTER = (
    select(_events)
    .where(_events.c.sequence > bindparam("sequence"))
    .order_by(_events.c.sequence)
    .limit(bindparam("limit"))
)
_HEAD = select(_events.c.sequence, _events.c.link).order_by(_events.c.sequence.desc()).limit(1)
_CHAINED = select(_events.c.sequence).where(_events.c.link.is_not(None)).limit(1)
_LINK_AT = select(_events.c.link).where(_events.c.sequence == bindparam("sequence"))


class AuditLog:
    """The trail, as whoever writes to it sees it. Safe to share between threads.

    Args:
        database: The journal.
        key: Links the records.
    """

    def __init__(self, database: Database, key: ChainKey) -> None:
        self.database = database
        self.key = key
        self._insert = database.dialect.appender(database.engine)
        self._lock = threading.Lock()
        # The newest record, while nobody else can have stored another; None if that has to be asked for.
        self._head: Position | None = None
        self._keeps_head = database.dialect.is_embedded
        # The newest record that a power cut would leave.
        self.synced: Position | None = None
        self._is_failing = False
        self._held_up_by: frozenset[str] = frozenset()
        # Asked for every call before it acts.
        self.refuses = False

    def begin(self, now: datetime, *, has_begun: bool = False) -> Position | None:
        """Begin the chain behind whatever the journal holds, unless that was done before.

        Where it was done before and the checkpoint is gone, nobody knows any more where the chain began. It goes on
        behind what is there, and whoever verifies is told.

        Args:
            now: Aware UTC.
            has_begun: Whether something outside the journal knows that it was done before.

        Returns:
            The checkpoint, None if there was one.

        Raises:
            StorageError: The database failed.
        """
        with self.exclusively(), self.database.write() as transaction:
            connection = transaction.connection
            self.database.dialect.order_commits(connection)
            if audit_marks.load_mark(connection, CHECKPOINT) is not None:
                return None
            newest = connection.execute(select(func.coalesce(func.max(_events.c.sequence), 0))).scalar_one()
            is_lost = has_begun or is_begun(connection)
            checkpoint = Position(newest, LOST if is_lost else START)
            audit_marks.store_mark(connection, self.key, CHECKPOINT, checkpoint, now)
            return checkpoint

    def append(self, records: Sequence[AuditRecord]) -> None:
        """Store audit records in one transaction.

        They survive the end of this process; a power cut too, if one of them is about something that was changed.

        Raises:
            StorageError: The database failed; none of them is stored.
        """
        if not records:
            return
        rows = [_row(record) for record in records]
        # What only read is written at once and synced with what comes next: it is lost by a power cut at the worst, and
        # then nobody has seen more than the answer to a read.
        durable = not all(record.read_only for record in records)
        with self._lock:
            self._is_failing = True
            try:
                try:
                    self._append(rows, durable=durable)
                except AppendConflict:
                    # Somebody else has stored records on what was taken for this process's own: theirs are asked for.
                    self._append(rows, durable=durable)
                self._is_failing = False
            finally:
                self._decide()

    def hold_up(self, sink: str, *, holds_up: bool) -> None:
        """Refuse calls as long as a sink is too far behind.

        Args:
            sink: Its name.
            holds_up: Whether it is.
        """
        if holds_up is not (sink in self._held_up_by):
            with self._lock:
                self._held_up_by = self._held_up_by | {sink} if holds_up else self._held_up_by - {sink}
                self._decide()

    def sync(self, generation: int, now: datetime) -> None:
        """Bring everything stored so far to the disk, by telling the journal how new the state is.

        Args:
            generation: The newest change of the state database.
            now: Aware UTC.

        Raises:
            StorageError: The database failed.
        """
        with self.exclusively():
            stored = self.newest()
            with self.database.write() as transaction:
                audit_marks.store_mark(transaction.connection, self.key, STATE, Position(generation, b""), now)
            self.synced = stored

    def newest(self) -> Position | None:
        """Return the newest record of the chain; None if there is none.

        Raises:
            StorageError: The database failed.
        """
        if self._head is not None and self._keeps_head:
            return self._head
        with self.database.read() as connection:
            found = newest(connection)
        return found if found is not None and found.link else None

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Keep this process's appenders waiting for as long as the block writes to the journal otherwise.

        On SQLite they would wait all the same, but look only every some milliseconds whether they may go on.
        """
        with self._lock:
            yield

    @property
    def head(self) -> Position | None:
        """The newest record that this process knows of; None if it has not stored any."""
        return self._head

    def _decide(self) -> None:
        self.refuses = self._is_failing or bool(self._held_up_by)

    def _append(self, rows: Sequence[tuple[Any, ...]], *, durable: bool) -> None:
        head = self._head if self._keeps_head else None
        # Until it is known how this ends nothing is known of the head: a commit that failed may have happened.
        self._head = None

        def compose(query: Query) -> list[Statement]:
            nonlocal head
            head = newest = head or _ask_for_head(query)
            linked: list[tuple[Any, ...]] = []
            link = self.key.link
            sequence, before = newest
            for row in rows:
                sequence += 1
                before = link(before, sequence, row)
                linked.append((sequence, before, *row))
            head = Position(sequence, before)
            return _insertions(self.database.engine.dialect.paramstyle, linked)

        self._insert(compose, durable=durable)
        self._head = head


def records_after(connection: Connection, sequence: int, limit: int) -> list[ChainedRecord]:
    """Return the records behind one, oldest first."""
    rows = connection.execute(_AFTER, {"sequence": sequence, "limit": limit})
    return [stored_record(row) for row in rows]


def newest(connection: Connection) -> Position | None:
    """Return the newest record; None if there is none. Its link is empty if it is older than the chain."""
    row = connection.execute(_HEAD).one_or_none()
    return None if row is None else Position(row.sequence, row.link or b"")


def is_begun(connection: Connection) -> bool:
    """Whether something in the journal besides the checkpoint shows that the chain has begun."""
    is_chained = connection.execute(_CHAINED).first() is not None
    return is_chained or audit_marks.load_mark(connection, STATE) is not None


def link_at(connection: Connection, sequence: int) -> bytes | None:
    """Return the link of one record, None if it is not there."""
    link: bytes | None = connection.execute(_LINK_AT, {"sequence": sequence}).scalar_one_or_none()
    return link


def stored_record(row: Row[Any]) -> ChainedRecord:
    """Return a row of ``audit_events`` as a record."""
    return ChainedRecord(row.sequence, row.link, AuditRecord(*_values(row)))


def _ask_for_head(query: Query) -> Position:
    found = query(_NEWEST)
    if found is None or found[1] is None:
        found = query(_CHECKPOINT)
    if found is None:
        raise LookupError("the chain of the audit log was not begun")
    return Position(found[0], bytes(found[1]))


def _insertions(paramstyle: str, rows: Sequence[tuple[Any, ...]]) -> list[Statement]:
    return [
        (_insertion(paramstyle, len(chunk)), tuple(value for row in chunk for value in row)) for chunk in _chunks(rows)
    ]


def _chunks(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Cut rows into chunks whose sizes are powers of two: few statements, and few different ones to be prepared."""
    start = 0
    while start < len(rows):
        size = min(_MOST_ROWS, 1 << (len(rows) - start).bit_length() - 1)
        yield rows[start : start + size]
        start += size


@lru_cache(maxsize=32)
def _insertion(paramstyle: str, row_count: int) -> str:
    row = f"({', '.join(['?' if paramstyle == 'qmark' else '%s'] * len(_COLUMNS))})"
    return f"INSERT INTO {_events.name} ({', '.join(_COLUMNS)}) VALUES {', '.join([row] * row_count)}"  # noqa: S608 - names of the schema only


def _row(record: AuditRecord) -> tuple[Any, ...]:
    # A caller who is not known yet can put anything into an access key id, a resource's name or an action's name.
    access_key_id, resource_name = record.access_key_id, record.resource_name
    return (
        record.account_id,
        record.region,
        record.event_id,
        record.event_time,
        record.event_source,
        storable(record.event_name),
        record.username,
        None if access_key_id is None else storable(access_key_id),
        record.read_only,
        None if resource_name is None else storable(resource_name),
        record.resource_type,
        record.error_code,
        record.request_id,
        storable(record.event),
    )
