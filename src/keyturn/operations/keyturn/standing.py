"""Where a rotation stands, as it is shown."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from keyturn.operations.secretsmanager.rotation_intent import PLANS
from keyturn.rules.repair import read_words
from keyturn.rules.rotation import Step, StepOutcome
from keyturn.storage import rotations
from keyturn.storage.rotation_leases import is_held
from keyturn.storage.rotations import RotationKind, RotationRecord, RotationStatus, StepRecord
from keyturn.storage.secrets import SecretRecord

RUNNING, RESOLVED = "running", "resolved"
ENDED_BY_OTHERS = (RotationStatus.ABANDONED, RotationStatus.CANCELLED)
"""What ended these is not why their last attempt failed."""


def status_of(rotation: RotationRecord, at: datetime) -> str:
    """Return the status: that of the record, or what more can be said."""
    if rotation.status is RotationStatus.PENDING and is_held(rotation, at):
        return RUNNING
    if rotation.kind is RotationKind.RESOLUTION and rotation.status is RotationStatus.SUCCEEDED:
        return RESOLVED
    return rotation.status.value


def attempts_of(rotation: RotationRecord) -> int:
    """Return how many runs through its steps a rotation has in a window at most."""
    return PLANS[rotation.kind].attempts


def answers_of(step: StepRecord) -> dict[str, str] | None:
    """Return what the database said to each staging label, of a question that was answered."""
    is_answered = step.step == Step.PROBE and step.outcome == StepOutcome.SUCCEEDED
    return read_words(step.cause) if is_answered and step.cause else None


def can_be_resolved(connection: Connection, secret: SecretRecord) -> bool:
    """Whether a secret's function has offered to ask the database: one that has not might do anything."""
    function_arn = secret.rotation_function_arn
    return function_arn is not None and rotations.has_offered_probe(connection, secret.secret_id, function_arn)
