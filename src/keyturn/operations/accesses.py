"""Which versions were read today. AWS keeps the day only: a version is written once a day, never on the hot path."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, time

from keyturn.storage import secrets
from keyturn.storage.database import Database
from keyturn.storage.secrets import SecretRecord


class Accesses:
    """Remembers the reads of a day, and which of them are not stored yet. Safe to share between threads.

    Storing them touches no kept rows: a secret's row would be loaded anew for nothing but a date, which this object
    knows (:meth:`last_access`).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._day = date.min
        self._seen: dict[int, set[str]] = {}
        self._pending: list[tuple[int, str]] = []

    def note(self, secret: SecretRecord, version_id: str, at: datetime) -> None:
        """Remember that a version was read."""
        if version_id in self._seen.get(secret.secret_id, ()) and at.date() == self._day:
            return
        with self._lock:
            if at.date() != self._day:
                # What is pending of the day before is given the new one, which is true as well.
                self._day = at.date()
                self._seen.clear()
            self._seen.setdefault(secret.secret_id, set()).add(version_id)
            self._pending.append((secret.secret_id, version_id))

    def last_access(self, secret: SecretRecord, version_id: str | None = None) -> datetime | None:
        """Return the day on which a secret, or one of its versions, was last read: midnight UTC."""
        with self._lock:
            versions = self._seen.get(secret.secret_id, set())
            is_seen = bool(versions) if version_id is None else version_id in versions
            return _midnight(self._day) if is_seen else None

    def forget(self, secret_id: int) -> None:
        """Drop the reads of a secret that was erased."""
        with self._lock:
            self._seen.pop(secret_id, None)
            self._pending = [read for read in self._pending if read[0] != secret_id]

    def store(self, state: Database) -> None:
        """Write what was remembered.

        Raises:
            StorageError: The database failed; the reads are remembered still.
        """
        with self._lock:
            pending, self._pending, day = self._pending, [], _midnight(self._day)
        if not pending:
            return
        try:
            with state.write() as transaction:
                # In one order: two servers that locked the same rows crosswise would wait for each other.
                for secret_id, version_id in sorted(pending):
                    secrets.record_access(transaction, secret_id, version_id, day)
        except Exception:
            with self._lock:
                self._pending = pending + self._pending
            raise


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
