"""Rotation of KMS keys: when a key gets new material by itself, how often it may on demand, how material is called.

Source: AWS KMS Developer Guide, "Rotate AWS KMS keys" and "Resource quotas"; the text about the limit as recorded by
localstack, 2025, the one about a rotation that is due from the API's model.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from keyturn.errors.kms import ConflictException, LimitExceededException

PERIOD_DAYS = 365
"""How often a key is rotated unless somebody says otherwise, and the keys of services always."""

_ON_DEMAND_LIMIT = 25
_TOO_SOON = timedelta(minutes=20)


def next_rotation(at: datetime, period_days: int) -> datetime:
    """Return when a key is rotated that was rotated, or whose rotation was switched on, at a moment."""
    return at + timedelta(days=period_days)


def check_on_demand(arn: str, rotations: int, next_rotation_at: datetime | None, now: datetime) -> None:
    """Check that a key can be rotated on demand.

    Args:
        arn: Of the key.
        rotations: How often it was before.
        next_rotation_at: When it is rotated by itself.
        now: Aware UTC.

    Raises:
        LimitExceededException: It was often enough.
        ConflictException: It is about to be rotated by itself.
    """
    if rotations >= _ON_DEMAND_LIMIT:
        raise LimitExceededException(
            "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be"
            f" performed for this key: {arn}"
        )
    if next_rotation_at is not None and next_rotation_at - now <= _TOO_SOON:
        raise ConflictException(
            "An automatic rotation of this key is currently in progress or scheduled to begin within the next 20"
            " minutes."
        )


def key_material_id(key_id: str, number: int) -> str:
    """Return what callers know a key's material by, 64 hexadecimal digits; they say nothing about it."""
    which = f"key material {number}" if number else "key material"
    return hashlib.sha256(f"{which} of {key_id}".encode()).hexdigest()
