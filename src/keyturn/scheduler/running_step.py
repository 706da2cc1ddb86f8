"""A step of a rotation that runs: its start is stored before the function is invoked, if it is still wanted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from keyturn import ids
from keyturn.operations.audit_trail import rotation_event
from keyturn.operations.kit import Kit
from keyturn.operations.secretsmanager.planning import counted_from, plan_rotation
from keyturn.operations.secretsmanager.rotation_intent import resolve_left_version
from keyturn.rules import rotation as rules
from keyturn.rules.audit_event import ServiceEventName
from keyturn.rules.rotation import Step
from keyturn.storage import rotations, secrets
from keyturn.storage.database import Transaction
from keyturn.storage.rotation_leases import write_under_lease
from keyturn.storage.rotations import RotationKind, RotationRecord, RotationStatus
from keyturn.storage.secrets import SecretRecord


@dataclass(frozen=True, slots=True)
class RunningStep:
    """A step whose start is stored, with the secret as it was then."""

    rotation: RotationRecord
    secret: SecretRecord
    position: int
    request_id: str
    started_at: datetime

    @property
    def step(self) -> Step:
        """Which step."""
        return Step(self.rotation.step)


def store_start(
    transaction: Transaction, rotation: RotationRecord, secret: SecretRecord, position: int, now: datetime
) -> RunningStep:
    """Note the start of a step, in a transaction that has written under the rotation's lease."""
    running = RunningStep(rotation, secret, position, ids.new_request_id(), now)
    rotations.insert_step(transaction, rotation, position, running.request_id, now)
    return running


def is_wanted(rotation: RotationRecord, secret: SecretRecord) -> bool:
    """Whether the version of a rotation is still pending, or current already; a question is about all versions."""
    is_question = rotation.kind is RotationKind.RESOLUTION
    return is_question or rules.check_labels(secret.labels, rotation.version_id) is None


def abandon(kit: Kit, transaction: Transaction, rotation: RotationRecord, secret: SecretRecord, now: datetime) -> None:
    """End a rotation whose version has lost its labels."""
    # The secret first, as handlers do: crosswise, both would wait for each other.
    secrets.lock_secret(transaction, secret.arn)
    write_under_lease(
        transaction,
        rotation,
        now,
        status=RotationStatus.ABANDONED,
        ended_at=now,
        error="Its version is not pending any more.",
        lease_owner=None,
        lease_expires_at=None,
    )
    plan_rotation(kit, transaction, secret.arn, counted_from=counted_from(secret), not_before=now)
    if rotation.kind is RotationKind.ROTATION:
        # As where the label was taken off; nothing of it runs.
        resolve_left_version(kit, transaction, secret, replace(rotation, lease_owner=None), now)
    rotation_event(kit, ServiceEventName.ROTATION_ABANDONED, secret.arn, rotation.version_id, now)
