"""Where a rotation stands, as it is shown."""

from __future__ import annotations

from datetime import datetime

from keyturn.storage.rotations import RotationKind, RotationRecord, RotationStatus

RUNNING, RESOLVED = "running", "resolved"


def is_held(rotation: RotationRecord, at: datetime) -> bool:
    """Whether a worker runs a rotation: it holds a lease that has not expired."""
    expires_at = rotation.lease_expires_at
    return rotation.lease_owner is not None and expires_at is not None and expires_at > at


def status_of(rotation: RotationRecord, at: datetime) -> str:
    """Return the status: that of the record, or what more can be said."""
    if rotation.status is RotationStatus.PENDING and is_held(rotation, at):
        return RUNNING
    if rotation.kind is RotationKind.RESOLUTION and rotation.status is RotationStatus.SUCCEEDED:
        return RESOLVED
    return rotation.status.value
