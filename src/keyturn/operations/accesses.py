"""Which versions were read today. AWS keeps the day only: a version is written once a day, never on the hot path."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, date, datetime, time

from keyturn.storage import secrets
from keyturn.storage.database import Database
from keyturn.storage.secrets import Access, SecretRecord

_AT_ONCE = 500


class Accesses:
    """Remembers the reads of a day, and which of them are not stored yet. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._storing = threading.Lock()
        self._day = date.min
        self._seen: dict[int, set[str]] = {}
        self._pending: dict[tuple[int, str, date], Access] = {}

    def note(self, secret: SecretRecord, version_id: str, at: datetime) -> None:
        """Remember that a version was read."""
        if version_id in self._seen.get(secret.secret_id, ()) and at.date() == self._day:
            return
        with self._lock:
            if at.date() != self._day:
                self._day = at.date()
                self._seen.clear()
            self._seen.setdefault(secret.secret_id, set()).add(version_id)
            access = Access(secret.secret_id, secret.arn, version_id, _midnight(self._day), at)
            self._pending[secret.secret_id, version_id, self._day] = access

    def last_access(self, secret: SecretRecord, version_id: str | None = None) -> datetime | None:
        """Return today, as midnight UTC, if a secret or one of its versions was read today."""
        with self._lock:
            versions = self._seen.get(secret.secret_id, set())
            is_seen = bool(versions) if version_id is None else version_id in versions
            return _midnight(self._day) if is_seen else None

    def forget(self, secret_id: int) -> None:
        """Drop the reads of a secret that was erased."""
        with self._lock:
            self._seen.pop(secret_id, None)
            self._pending = {key: access for key, access in self._pending.items() if key[0] != secret_id}

    def store(self, state: Database) -> None:
        """Write what was remembered until now.

        Raises:
            StorageError: The database failed; what is not written is remembered still.
        """
        with self._storing:
            # A few at a time: whoever else writes must not wait for the reads of a whole day's first minute.
            while batch := self._oldest():
                with state.write() as transaction:
                    secrets.record_accesses(transaction, [access for _, access in batch])
                with self._lock:
                    for key, _ in batch:
                        self._pending.pop(key, None)

    def _oldest(self) -> list[tuple[tuple[int, str, date], Access]]:
        with self._lock:
            return list(itertools.islice(self._pending.items(), _AT_ONCE))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
