"""Destroy KMS keys whose waiting period is over; what they have encrypted is lost with them."""

from __future__ import annotations

from datetime import datetime

from keyturn.operations.audit_trail import key_deletion_event
from keyturn.operations.kit import Kit
from keyturn.storage import kms_keys

_AT_ONCE = 100


def destroy_due_keys(kit: Kit, now: datetime) -> None:
    """Destroy keys whose waiting period is over, with their aliases.

    Raises:
        StorageError: The database failed.
    """
    with kit.state.read() as connection:
        due = kms_keys.load_past_deletion(connection, now, _AT_ONCE)
    for key in due:
        with kit.state.write() as transaction:
            current = kms_keys.lock_key(transaction, key.key_id)
            # Its deletion may have been cancelled a moment ago.
            if current is None or current.deletion_at is None or current.deletion_at > now:
                continue
            kms_keys.delete_key(transaction, current)
            # Before the commit: a server that dies between the two tells it again, and never not at all.
            key_deletion_event(kit, key.arn, now)
        kit.keyring.forget()
