"""Where a rotation stands, as it is shown."""

from __future__ import annotations

from datetime import datetime

from keyturn.storage.rotation_leases import is_held
from keyturn.storage.rotations import RotationKind, RotationRecord, RotationStatus

RUNNING, RESOLVED = "running", "resolved"


def status_of(rotation: RotationRecord, at: datetime) -> str:
    """Return the status: that of the record, or what more can be said."""
    if rotation.status is RotationStatus.PENDING and is_held(rotation, at):
        return RUNNING
    if rotation.kind is RotationKind.RESOLUTION and rotation.status is RotationStatus.SUCCEEDED:
        return RESOLVED
    return rotation.status.value
