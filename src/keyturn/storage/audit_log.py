"""The journal of audit events: stored in batches before replies leave, looked up newest first.

Every call passes here, so storing goes around SQLAlchemy's per-row work: rows go to the driver as plain values, many in
one statement. SQLite's driver lets go of Python's lock at each step of a statement and, beside a busy event loop, waits
milliseconds to get it back: 32 rows one by one took 35 ms there, 32 rows in one statement 5 ms.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select

from keyturn.arn import Place
from keyturn.storage import schema
from keyturn.storage.database import Database, StorageError
from keyturn.storage.stored_text import storable

_log = logging.getLogger(__name__)

_events = schema.audit_events
_WAITING_LIMIT = 20_000
_MOST_ROWS = 64


Done = Callable[[Exception | None], None]


class AuditRecord(NamedTuple):
    """An audit event with what it can be looked up by.

    Attributes:
        account_id: Whose trail it is in.
        region: Likewise.
        event_time: Milliseconds since the epoch.
        event: The whole event as JSON, already redacted.
    """

    account_id: str
    region: str
    event_id: str
    event_time: int
    event_source: str
    event_name: str
    username: str | None
    access_key_id: str | None
    read_only: bool
    resource_name: str | None
    error_code: str | None
    request_id: str
    event: str


# In the order of the record's attributes, as _row gives them.
_COLUMNS = AuditRecord._fields
_values = attrgetter(*_COLUMNS)
_PAGE = (
    select(_events)
    .where(_events.c.account_id == bindparam("account_id"), _events.c.region == bindparam("region"))
    .order_by(_events.c.event_row.desc())
    .limit(bindparam("limit"))
)


def append(database: Database, records: Sequence[AuditRecord]) -> None:
    """Store audit events in one transaction.

    They survive the end of this process; a power cut too, if one of them is about something that was changed.

    Raises:
        StorageError: The database failed; none of them is stored.
    """
    if not records:
        return
    paramstyle = database.engine.dialect.paramstyle
    rows = [_row(record) for record in records]
    statements = [
        (_insertion(paramstyle, len(chunk)), tuple(value for row in chunk for value in row)) for chunk in _chunks(rows)
    ]
    # What only read is written at once and synced with what comes next: it is lost by a power cut at the worst, and
    # then nobody has seen more than the answer to a read.
    database.dialect.append(database.engine, statements, durable=not all(record.read_only for record in records))


def lookup(
    connection: Connection,
    place: Place,
    *,
    attribute: tuple[str, object] | None = None,
    starts_at: int | None = None,
    ends_at: int | None = None,
    before_row: int | None = None,
    limit: int,
) -> list[tuple[int, AuditRecord]]:
    """Return audit events and their row numbers, newest first.

    Args:
        connection: Of the journal.
        place: Whose trail, in which region.
        attribute: A column of the record and the value it must have.
        starts_at: Milliseconds since the epoch, inclusive.
        ends_at: Likewise, inclusive.
        before_row: Only rows below this one: the last of the page before.
        limit: How many at most.
    """
    page = _PAGE
    if attribute is not None:
        column, value = attribute
        page = page.where(_events.c[column] == value)
    if starts_at is not None:
        page = page.where(_events.c.event_time >= starts_at)
    if ends_at is not None:
        page = page.where(_events.c.event_time <= ends_at)
    if before_row is not None:
        page = page.where(_events.c.event_row < before_row)
    found = connection.execute(page, {**schema.owner_of(place), "limit": limit})
    return [(row.event_row, AuditRecord(*_values(row))) for row in found]


class AuditWriter:
    """A thread that stores what is waiting in one transaction, and tells each waiter how it went.

    While one transaction is on its way to the disk the next batch gathers: the slower the disk, the larger the batches.
    """

    def __init__(self, database: Database, limit: int = _WAITING_LIMIT) -> None:
        self._database = database
        self._limit = limit
        self._condition = threading.Condition()
        self._waiting: list[tuple[Sequence[AuditRecord], Done]] = []
        self._waiting_count = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)
        self._thread.start()

    def submit(self, records: Sequence[AuditRecord], done: Done) -> None:
        """Hand in events; returns at once.

        Args:
            records: What to store.
            done: Called once, in the writer's thread, with None when they are stored or with what prevented that.
                It must return quickly.

        Raises:
            StorageError: Too many are waiting already, or the writer is closed; ``done`` is not called.
        """
        with self._condition:
            if self._closed:
                raise StorageError("The audit log is closed.")
            if self._waiting_count + len(records) > self._limit:
                raise StorageError(
                    "The audit log does not keep up.", "Check how fast the disk under the data directory is."
                )
            self._waiting.append((records, done))
            self._waiting_count += len(records)
            if len(self._waiting) == 1:
                self._condition.notify()

    def store_at_once(self, records: Sequence[AuditRecord]) -> bool:
        """Store events in the caller's own thread if that takes no longer than handing them over.

        It does on an embedded database for events of reads, which are not synced: half of what a read cost beside a
        busy event loop was giving Python's lock to the writer's thread and back.

        Returns:
            Whether they are stored; if not, they are to be submitted.

        Raises:
            StorageError: The database failed.
        """
        if not self._database.dialect.is_embedded or not all(record.read_only for record in records):
            return False
        append(self._database, records)
        return True

    def close(self) -> None:
        """Store what is waiting, then end the thread."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            failure: Exception | None = None
            try:
                append(self._database, [record for records, _ in batch for record in records])
            except Exception as error:  # noqa: BLE001 - whatever it is, the waiters of this batch are told
                failure = error
            for _, done in batch:
                try:
                    done(failure)
                except Exception:  # noqa: BLE001 - as the next comment says
                    # The waiter's own fault, such as an event loop that has ended; the others still wait.
                    _log.exception("a waiter for the audit log failed")

    def _next_batch(self) -> list[tuple[Sequence[AuditRecord], Done]]:
        """Wait for records and take them all; none are left when the writer is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._waiting or self._closed)
            batch, self._waiting, self._waiting_count = self._waiting, [], 0
        return batch


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
        record.error_code,
        record.request_id,
        storable(record.event),
    )
