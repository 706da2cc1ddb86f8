"""Keys as they are at the moment of a change, kept from other writers."""

from __future__ import annotations

from keyturn.errors.kms import NotFoundException
from keyturn.operations.kms.subjects import state_of
from keyturn.rules.kms_keys import check_not_pending_deletion
from keyturn.storage import kms_keys
from keyturn.storage.database import Transaction
from keyturn.storage.kms_keys import KmsKeyRecord


def lock_key(transaction: Transaction, record: KmsKeyRecord) -> KmsKeyRecord:
    """Return a key as it is now, kept from other writers until the transaction ends.

    Raises:
        NotFoundException: It has just been destroyed.
    """
    current = kms_keys.lock_key(transaction, record.key_id)
    if current is None:
        raise NotFoundException(f"Key '{record.arn}' does not exist")
    return current


def lock_changeable(transaction: Transaction, record: KmsKeyRecord) -> KmsKeyRecord:
    """Return a key as it is now, if its state allows changes.

    Raises:
        NotFoundException: It has just been destroyed.
        KMSInvalidStateException: It is pending deletion.
    """
    current = lock_key(transaction, record)
    check_not_pending_deletion(current.arn, state_of(current))
    return current
