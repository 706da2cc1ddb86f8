"""Hands audit records on to sinks, from the journal and in its order: what waits lies there and not in memory.

A sink's cursor says how far it has come. It is stored after a delivery, so a server that dies in between delivers some
records twice, and none not at all. Only what is on disk is handed on (``scheduler/trail.py`` brings it there every
second): a power cut must not leave a sink with records that the journal does not have. Of several servers of one
database one feeds a sink, as long as it renews its lease.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from keyturn.clock import Clock, from_milliseconds
from keyturn.errors.base import KeyturnError
from keyturn.rules.audit_record import ChainedRecord
from keyturn.sinks.base import Sink
from keyturn.storage import audit_cursors, audit_log
from keyturn.storage.audit_cursors import CursorLost
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.database import StorageError

_log = logging.getLogger(__name__)

# Of at most 100 KB each.
_AT_ONCE = 250
_LOOK_SECONDS = 0.25
_RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0)
_LEASE = timedelta(seconds=30)
_LEASE_LOOK = timedelta(seconds=1)
_REMIND = timedelta(minutes=10)
_LAGS_RECORDS = 100_000
# The server is to end; what is left is delivered when it starts again.
_CLOSE_SECONDS = 3.0


class Shipper:
    """A thread that feeds one sink.

    Args:
        log: The trail.
        name: Of the sink.
        sink: Takes the records.
        owner: This server, for the lease.
        limit_records: Calls are refused while the sink is further behind; 0 for no limit.
        limit_seconds: Likewise, while the oldest record that it does not have is older.
    """

    def __init__(
        self, log: AuditLog, name: str, sink: Sink, clock: Clock, *, owner: str, limit_records: int, limit_seconds: int
    ) -> None:
        self.name = name
        self._audit_log = log
        self._sink = sink
        self._clock = clock
        self._owner = owner
        self._limit_records = limit_records
        self._limit = timedelta(seconds=limit_seconds)
        self._is_shared = not log.database.dialect.is_embedded
        self._lease_until: datetime | None = None
        self._lease_look_at = clock.now()
        self.cursor = 0
        self._failures = 0
        self._told_at: datetime | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)

    def start(self) -> None:
        """Find out how far the sink has come, and begin.

        Raises:
            StorageError: The database failed.
        """
        self.cursor = audit_cursors.open_cursor(self._audit_log.database, self.name)
        self._thread.start()

    def close(self) -> None:
        """Deliver what is on disk, if the sink takes it, and end."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        until = time.monotonic() + _CLOSE_SECONDS
        try:
            while self._failures == 0 and time.monotonic() < until and self.turn():
                pass
        except (KeyturnError, CursorLost) as error:
            _log.warning("%s", error)
        if self._lease_until is not None:
            # If it cannot be given back it expires.
            with suppress(StorageError):
                audit_cursors.release_cursor(self._audit_log.database, self.name, self._owner)
        self._sink.close()

    def turn(self) -> bool:
        """Deliver some records and note it; False if there is nothing to deliver.

        Raises:
            SinkError: The sink does not take them.
            StorageError: The database failed.
        """
        synced = self._audit_log.synced
        if not self._holds_lease() or synced is None or synced.sequence <= self.cursor:
            self._judge([])
            return False
        with self._audit_log.database.read() as connection:
            records = audit_log.records_after(connection, self.cursor, min(_AT_ONCE, synced.sequence - self.cursor))
        if not records:
            return False
        self._judge(records)
        self._sink.deliver(records)
        last = records[-1].sequence
        with self._audit_log.exclusively():
            audit_cursors.store_cursor(
                self._audit_log.database, self.name, last, self._owner if self._is_shared else None
            )
        self.cursor = last
        self._judge([])
        return True

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            try:
                pause = 0.0 if self.turn() else _LOOK_SECONDS
            except CursorLost:
                self._lease_until, pause = None, _LOOK_SECONDS
            except KeyturnError as error:
                pause = _RETRY_SECONDS[min(self._failures, len(_RETRY_SECONDS) - 1)]
                self._fail(error)
            except Exception:  # noqa: BLE001 - as the next comment says
                # A sink must not end because of one record that nobody foresaw; it is offered again.
                _log.exception("the audit sink %s failed", self.name)
                pause = _RETRY_SECONDS[-1]
            else:
                self._recover()

    def _holds_lease(self) -> bool:
        """Say whether this server feeds the sink; on a database of its own it always does."""
        if not self._is_shared:
            return True
        now = self._clock.now()
        if now >= self._lease_look_at:
            database = self._audit_log.database
            cursor = audit_cursors.lease_cursor(database, self.name, self._owner, now, now + _LEASE)
            self._lease_until = None if cursor is None else now + _LEASE
            self._lease_look_at = now + (_LEASE_LOOK if cursor is None else _LEASE / 3)
            self.cursor = audit_cursors.open_cursor(database, self.name) if cursor is None else cursor
        return self._lease_until is not None and now < self._lease_until

    @property
    def lag(self) -> int:
        """How many records that this server knows of the sink does not have."""
        heads = [head.sequence for head in (self._audit_log.head, self._audit_log.synced) if head is not None]
        return max(max(heads, default=0) - self.cursor, 0)

    def _judge(self, waiting: Sequence[ChainedRecord]) -> None:
        """Have calls refused if the sink is too far behind, and taken again if it is not."""
        behind = self.lag
        too_many = 0 < self._limit_records < behind
        since = from_milliseconds(waiting[0].record.event_time) if waiting else None
        too_long = since is not None and bool(self._limit) and self._clock.now() - since > self._limit
        self._audit_log.hold_up(self.name, holds_up=too_many or too_long)
        if self._failures == 0 and behind > _LAGS_RECORDS:
            self._warn(f"the audit sink {self.name} is {behind} records behind, and takes them")

    def _fail(self, error: KeyturnError) -> None:
        self._failures += 1
        if self._failures == 1:
            self._told_at = None
        said = " ".join((error.message, *error.hints))
        self._warn(f"an audit sink has stopped behind record {self.cursor}: {said}")

    def _recover(self) -> None:
        if self._failures:
            _log.warning("the audit sink %s takes records again, from %d on", self.name, self.cursor)
            self._failures, self._told_at = 0, None

    def _warn(self, message: str) -> None:
        """Tell the operator, and remind them now and then."""
        now = self._clock.now()
        if self._told_at is None or now - self._told_at > _REMIND:
            self._told_at = now
            _log.warning("%s", message)
