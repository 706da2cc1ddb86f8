"""DeleteSecret and RestoreSecret. They mark a secret; the scheduler erases what is past its recovery window.

A secret deleted by force is one whose recovery window is over at once: nobody finds it any more, its name is free, and
its rows wait for the scheduler a moment longer (``scheduler/deletions.py``).
"""

from __future__ import annotations

from datetime import datetime

from keyturn import ids
from keyturn.call import Call
from keyturn.errors.secretsmanager import ResourceNotFoundException
from keyturn.operations.audit_trail import deletion_events, rotation_event
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.sealing import forget_value
from keyturn.operations.secretsmanager import subjects
from keyturn.operations.secretsmanager.planning import counted_from, plan_rotation
from keyturn.operations.secretsmanager.rotation_intent import resolve_left_version
from keyturn.operations.secretsmanager.subjects import secret
from keyturn.operations.secretsmanager.writing import staging_of, store_change
from keyturn.operations.subject import Subject
from keyturn.rules.audit_event import ServiceEventName
from keyturn.rules.deletion import check_alive, deletion_moment, is_over
from keyturn.rules.names import secret_reference, without_suffix
from keyturn.rules.replication import Part, check_has_no_replicas, check_may_change
from keyturn.rules.staging import AWSPENDING, end_test
from keyturn.storage import replications, rotations, secret_erasure, secrets
from keyturn.storage.database import Transaction
from keyturn.storage.rotations import RotationKind, RotationStatus
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.secretsmanager import (
    DeleteSecretRequest,
    DeleteSecretResponse,
    RestoreSecretRequest,
    RestoreSecretResponse,
)


def _deletable(kit: Kit, call: Call, request: DeleteSecretRequest) -> Subject[SecretRecord]:
    """Load the secret; deleting by force what does not exist succeeds (recorded by localstack)."""
    found = subjects.secret(kit, call, request)
    if found.record is None and request.get("ForceDeleteWithoutRecovery", False):
        return Subject(arn=found.arn, asked=found.asked, record=None)
    return found


@operation("secretsmanager", "DeleteSecret", subject=_deletable)
def delete_secret(
    kit: Kit, call: Call, request: DeleteSecretRequest, subject: SecretRecord | None
) -> DeleteSecretResponse:
    """Schedule a secret's end, or end it at once."""
    force = request.get("ForceDeleteWithoutRecovery", False)
    ends_at = deletion_moment(call.at, request.get("RecoveryWindowInDays"), force=force)
    if subject is None:
        return _nothing_deleted(call, request["SecretId"], ends_at)
    abandoned = None
    with kit.state.write() as transaction:
        current = _lock(transaction, subject.arn, call.at)
        if current is not None:
            check_may_change(current.arn, current.primary_arn, Part.VALUES)
            listed = replications.load_replications(transaction.connection, current.arn)
            check_has_no_replicas(current.arn, [record.replica_arn for record in listed])
            if not force:
                check_alive(current.deletion_at)
            abandoned = _abandon_rotation(transaction, current, call.at)
            secrets.update_secret(
                transaction, current, deleted_at=call.at, deletion_at=ends_at, last_changed_at=call.at
            )
        elif not force:
            raise ResourceNotFoundException
    if abandoned is not None:
        rotation_event(kit, ServiceEventName.ROTATION_ABANDONED, subject.arn, abandoned, call.at)
    kit.wake_scheduler()
    return {"ARN": subject.arn, "Name": subject.name, "DeletionDate": ends_at}


@operation("secretsmanager", "RestoreSecret", subject=secret)
def restore_secret(
    kit: Kit, call: Call, _request: RestoreSecretRequest, subject: SecretRecord
) -> RestoreSecretResponse:
    """Take back a secret's deletion; its rotation goes on being planned."""
    with kit.state.write() as transaction:
        current = _lock(transaction, subject.arn, call.at)
        if current is None:
            raise ResourceNotFoundException
        check_may_change(current.arn, current.primary_arn, Part.VALUES)
        if current.deletion_at is not None:
            secrets.update_secret(transaction, current, deleted_at=None, deletion_at=None)
            _resume_rotation(kit, transaction, current, call.at)
            restored = secret_erasure.valued_versions(transaction.connection, [current])
            deletion_events(
                kit,
                ServiceEventName.CANCEL_SECRET_VERSION_DELETE,
                [(version.arn, version.version_id) for version in restored],
                call.at,
            )
    kit.wake_scheduler()
    return {"ARN": subject.arn, "Name": subject.name}


def erase_now(kit: Kit, transaction: Transaction, secret: SecretRecord, at: datetime) -> None:
    """Erase a secret that nobody can restore, without the detour over the scheduler; wake it to purge the files.

    Raises:
        StorageError: The journal failed.
    """
    versions = secret_erasure.valued_versions(transaction.connection, [secret])
    secret_erasure.erase_values(transaction, versions)
    secret_erasure.erase_secret(transaction, secret)
    for version in versions:
        forget_value(kit, version.arn, version.version_id, version.head, version.former_wrapped)
    kit.accesses.forget(secret.secret_id)
    named = [(version.arn, version.version_id) for version in versions]
    for event in (ServiceEventName.START_SECRET_VERSION_DELETE, ServiceEventName.END_SECRET_VERSION_DELETE):
        deletion_events(kit, event, named, at)


def _lock(transaction: Transaction, arn: str, at: datetime) -> SecretRecord | None:
    """Return the secret as it is now, marked for deletion or not; None if it has just come to its end."""
    current = secrets.lock_secret(transaction, arn)
    if current is None or is_over(current.deleted_at, current.deletion_at, at):
        return None
    return current


def _nothing_deleted(call: Call, asked: str, at: datetime) -> DeleteSecretResponse:
    """Answer as if there had been such a secret, with a suffix made up where the caller gave none.

    Raises:
        ResourceNotFoundException: An ARN of another partition, region or service.
    """
    reference = secret_reference(asked, call.place)
    if reference.is_full:
        return {"ARN": reference.arn, "Name": without_suffix(reference.name), "DeletionDate": at}
    return {"ARN": f"{reference.arn}-{ids.new_arn_suffix()}", "Name": reference.name, "DeletionDate": at}


def _abandon_rotation(transaction: Transaction, current: SecretRecord, at: datetime) -> str | None:
    """End the rotation under way and return its version, if there is one.

    The version keeps AWSPENDING, as recorded: the function may have put its value into the database already, and then
    no other would be accepted there. A version that is only for a test goes.
    """
    unfinished = rotations.load_unfinished(transaction.connection, current.secret_id)
    if unfinished is None:
        return None
    rotations.end_unfinished(
        transaction, current.secret_id, RotationStatus.ABANDONED, at, "The secret was marked for deletion."
    )
    if unfinished.kind is RotationKind.TEST and current.labels.get(AWSPENDING) == unfinished.version_id:
        state = staging_of(transaction, current)
        store_change(transaction, current, end_test(state, unfinished.version_id))
    return unfinished.version_id


def _resume_rotation(kit: Kit, transaction: Transaction, restored: SecretRecord, at: datetime) -> None:
    """Plan the next rotation: at once if one was abandoned half-way, anew if its moment has passed meanwhile."""
    pending = staging_of(transaction, restored).unfinished_rotation
    if pending is None or not restored.rotation_enabled:
        left_id = pending or rotations.lost_since(transaction.connection, restored)
        left = left_id and rotations.load_rotation(transaction.connection, restored.secret_id, left_id)
        if left:
            resolve_left_version(kit, transaction, restored, left, at)
    if not restored.rotation_enabled:
        return
    planned_at = restored.next_rotation_at
    if planned_at is None or planned_at <= at:
        plan_rotation(kit, transaction, restored.arn, counted_from=counted_from(restored), not_before=at)
    if pending is not None:
        # The scheduler takes the pending version up and runs all steps with it, as after a failure.
        secrets.update_secret(transaction, restored, next_rotation_at=at)
