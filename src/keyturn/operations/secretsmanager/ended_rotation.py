"""The rotation under way, where a change of labels has decided it: ended, recorded, and the next one planned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from keyturn.operations.audit_trail import rotation_event
from keyturn.operations.kit import Kit
from keyturn.operations.secretsmanager.overtaken_preflight import look_again_soon, look_at_secret
from keyturn.operations.secretsmanager.planning import counted_from, plan_rotation
from keyturn.operations.secretsmanager.rotation_intent import resolve_left_version
from keyturn.rules.audit_event import ServiceEventName
from keyturn.rules.rotation import Abandoned, ended_by
from keyturn.rules.staging import AWSCURRENT, Change
from keyturn.storage import rotations, secret_versions, secrets
from keyturn.storage.database import Transaction
from keyturn.storage.rotations import RotationKind, RotationStatus
from keyturn.storage.secrets import SecretRecord

# Why a rotation was abandoned, and what follows: it is not tried again, and the next one is planned.
_OTHER_VALUE = (
    "Another value was made current while it was under way: that value stays, and this rotation was given up."
)
_LABEL_TAKEN_OFF = (
    "AWSPENDING was taken off its version while it was under way: the current value stays, and this rotation was given"
    " up."
)


@dataclass(frozen=True, slots=True)
class EndedRotation:
    """What is to be recorded of a rotation, once its end is stored."""

    event: ServiceEventName
    version_id: str


def end_rotation(
    kit: Kit,
    transaction: Transaction,
    secret: SecretRecord,
    change: Change,
    at: datetime,
    *,
    even_if_running: bool = True,
    by_hand: bool = False,
) -> EndedRotation | None:
    """End the rotation of a secret if a change of its labels has decided it, and plan the next one.

    Args:
        kit: For the plan.
        transaction: In which ``secret`` was locked.
        secret: Whose labels changed.
        change: What became of them.
        at: The moment of the call.
        even_if_running: False for a change that may be one of several by the function's own finishSecret, in whatever
            order: who drives the rotation looks at the labels when the step has returned.
        by_hand: Whether somebody else than the function has stored a value: if that is current now, it was no rotation.

    Returns:
        None if it goes on or there is none.
    """
    if not change.moved_labels:
        return None
    rotation = rotations.load_unfinished(transaction.connection, secret.secret_id)
    if AWSCURRENT in change.moved_labels:
        # While a step runs it is the function's own finishSecret; with what somebody else stores nobody has logged in.
        is_own = rotation is not None and rotation.lease_owner is not None
        (look_again_soon if is_own else look_at_secret)(kit, transaction, secret, at)
    if rotation is None or (rotation.lease_owner is not None and not even_if_running):
        return None
    if rotation.kind is RotationKind.RESOLUTION:
        # The question stands whatever becomes of the labels: its answer is compared with those there are then.
        return None
    version_id, is_parked = rotation.version_id, rotation.status is RotationStatus.PARKED
    end = ended_by(change.before.labels, change.after.labels, version_id, is_parked=is_parked)
    if by_hand and change.moved_labels.get(AWSCURRENT) == version_id:
        end = Abandoned()
    if end is None:
        return None
    begin = counted_from(secret)
    # A test that was interfered with has shown nothing, even if its version was made current.
    if isinstance(end, Abandoned) or rotation.kind is RotationKind.TEST:
        status, event = RotationStatus.ABANDONED, ServiceEventName.ROTATION_ABANDONED
        has_other_value = AWSCURRENT in change.moved_labels
        cause: str | None = _OTHER_VALUE if has_other_value else _LABEL_TAKEN_OFF
    else:
        status, event, cause = RotationStatus.SUCCEEDED, ServiceEventName.ROTATION_SUCCEEDED, None
        begin = at
        if rotation.kind is RotationKind.ROTATION:
            secrets.update_secret(transaction, secret, last_rotated_at=at, failed_rotation_id=None)
    rotations.end_unfinished(transaction, secret.secret_id, status, at, cause)
    if rotation.kind is RotationKind.ROTATION:
        plan_rotation(kit, transaction, secret.arn, counted_from=begin, not_before=at)
        if isinstance(end, Abandoned) and AWSCURRENT not in change.moved_labels:
            # Its label was taken off, and the database may have it all the same.
            resolve_left_version(kit, transaction, secret, rotation, at)
    elif not change.after.stages_of(version_id):
        # The copy of the current value that a test works with goes with the test.
        secret_versions.delete_versions(transaction, secret.secret_id, [version_id])
    return EndedRotation(event, version_id)


def record_end(kit: Kit, secret_arn: str, ended: EndedRotation | None, at: datetime) -> None:
    """Store the audit event of a rotation that was ended.

    Raises:
        StorageError: The journal failed.
    """
    if ended is not None:
        rotation_event(kit, ended.event, secret_arn, ended.version_id, at)
