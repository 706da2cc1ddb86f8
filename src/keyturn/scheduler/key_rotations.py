"""Rotate KMS keys that are due; what was encrypted before stays readable."""

from __future__ import annotations

from datetime import datetime

from keyturn.operations.kit import Kit
from keyturn.operations.kms.rotation import rotate
from keyturn.storage import kms_keys
from keyturn.storage.kms_keys import KmsKeyRecord, RotationType

_AT_ONCE = 100


def rotate_due_keys(kit: Kit, now: datetime) -> None:
    """Give new material to keys whose next rotation is due; those that cannot be used wait until they can.

    Raises:
        StorageError: The database failed.
    """
    with kit.state.read() as connection:
        due = kms_keys.load_due_for_rotation(connection, now, _AT_ONCE)
    for key in due:
        with kit.state.write() as transaction:
            current = kms_keys.lock_key(transaction, key.key_id)
            # Another server may have been first, or somebody has switched the key or its rotation off.
            if current is not None and _is_due(current, now):
                rotate(kit, transaction, current, RotationType.AUTOMATIC, now)


def _is_due(key: KmsKeyRecord, now: datetime) -> bool:
    return key.enabled and key.deletion_at is None and key.next_rotation_at is not None and key.next_rotation_at <= now
