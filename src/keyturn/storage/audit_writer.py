"""A thread that stores audit records, so that whoever waits for the disk is not the event loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from keyturn.rules.audit_record import AuditRecord
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.database import StorageError

_log = logging.getLogger(__name__)

_WAITING_LIMIT = 20_000

Done = Callable[[Exception | None], None]


class AuditWriter:
    """A thread that stores what is waiting in one transaction, and tells each waiter how it went.

    While one transaction is on its way to the disk the next batch gathers: the slower the disk, the larger the batches.
    """

    def __init__(self, log: AuditLog, limit: int = _WAITING_LIMIT) -> None:
        self._audit_log = log
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
        if not self._audit_log.database.dialect.is_embedded or not all(record.read_only for record in records):
            return False
        self._audit_log.append(records)
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
                self._audit_log.append([record for records, _ in batch for record in records])
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
