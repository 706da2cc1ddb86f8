"""Which versions were read today. AWS keeps the day only: a version is written once a day, never on the hot path."""

from __future__ import annotations

import threading
from datetime import datetime

from keyturn.storage import secrets
from keyturn.storage.database import Database
from keyturn.storage.secrets import SecretRecord


class Accesses:
    """Remembers reads until somebody has time to store them. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[tuple[int, str], tuple[str, datetime]] = {}

    def note(self, secret: SecretRecord, version_id: str, at: datetime) -> None:
        """Remember that a version was read, unless that is known of this day already."""
        version = secret.versions.get(version_id)
        known = version.last_accessed_at if version else None
        if known is not None and known.date() == at.date():
            return
        day = at.replace(hour=0, minute=0, second=0, microsecond=0)
        with self._lock:
            self._pending[secret.secret_id, version_id] = (secret.arn, day)

    def store(self, state: Database) -> None:
        """Write what was remembered.

        Raises:
            StorageError: The database failed; the reads are remembered still.
        """
        with self._lock:
            pending, self._pending = self._pending, {}
        if not pending:
            return
        try:
            with state.write() as transaction:
                for (secret_id, version_id), (arn, day) in pending.items():
                    secrets.record_access(transaction, secret_id, arn, version_id, day)
        except Exception:
            with self._lock:
                self._pending = {**pending, **self._pending}
            raise
