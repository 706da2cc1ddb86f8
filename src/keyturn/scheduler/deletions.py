"""End secrets whose recovery window is over."""

from __future__ import annotations

from datetime import datetime

from keyturn.operations.kit import Kit
from keyturn.storage import secrets

_AT_ONCE = 100


def erase_past_recovery(kit: Kit, now: datetime) -> None:
    """Erase secrets whose recovery window is over, with their versions.

    Raises:
        StorageError: The database failed.
    """
    with kit.state.read() as connection:
        over = secrets.load_past_recovery(connection, now, _AT_ONCE)
    for secret in over:
        with kit.state.write() as transaction:
            current = secrets.lock_secret(transaction, secret.arn)
            # It may have been restored a moment ago.
            if current is not None and current.deletion_at is not None and current.deletion_at <= now:
                secrets.erase_secret(transaction, current)
