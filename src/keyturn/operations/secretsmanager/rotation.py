"""RotateSecret and CancelRotateSecret. They store an intent; the scheduler acts on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from keyturn.call import Call
from keyturn.errors.base import AwsError
from keyturn.errors.secretsmanager import InvalidParameterException, InvalidRequestException
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.condition_keys import SecretKeys
from keyturn.operations.secretsmanager.encryption import copy_value
from keyturn.operations.secretsmanager.ended_rotation import EndedRotation, end_rotation, record_end
from keyturn.operations.secretsmanager.overtaken_preflight import look_again_soon
from keyturn.operations.secretsmanager.planning import (
    NO_PLAN,
    WHILE_IT_RUNS,
    checked_rules,
    counted_from,
    plan_rotation,
)
from keyturn.operations.secretsmanager.rotation_function import check_function
from keyturn.operations.secretsmanager.rotation_intent import resolve_left_version, resume, store_intent
from keyturn.operations.secretsmanager.subjects import secret
from keyturn.operations.secretsmanager.writing import lock_alive, staging_of, store_change
from keyturn.operations.subject import Subject
from keyturn.rules.deletion import check_alive
from keyturn.rules.replication import Part, check_may_change
from keyturn.rules.staging import AWSCURRENT, begin_rotation, end_test, previous_not_complete
from keyturn.rules.versions import no_token, require_token
from keyturn.storage import preflights, rotations, secret_versions, secrets
from keyturn.storage.database import Transaction
from keyturn.storage.rotation_leases import is_held
from keyturn.storage.rotations import RotationKind, RotationRecord, RotationStatus
from keyturn.storage.secret_versions import VersionRecord
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.secretsmanager import (
    CancelRotateSecretRequest,
    CancelRotateSecretResponse,
    RotateSecretRequest,
    RotateSecretResponse,
)

# External secrets: what asks for one must not seem to succeed.
_NOT_OFFERED = ("ExternalSecretRotationMetadata", "ExternalSecretRotationRoleArn")


def secret_to_rotate(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[SecretRecord]:
    """Load the secret, with the condition keys of RotateSecret; what is not sent has a default, which counts."""
    found = secret(kit, call, request)
    keys = {
        "secretsmanager:modifyrotationrules": (str("RotationRules" in request).lower(),),
        "secretsmanager:rotateimmediately": (str(request.get("RotateImmediately", True)).lower(),),
    }
    missing = found.missing
    if missing is not None and not request.get("ClientRequestToken"):
        missing = no_token(InvalidParameterException)
    return found._replace(missing=missing, keys=SecretKeys(request, found.record, keys))


@operation("secretsmanager", "RotateSecret", subject=secret_to_rotate)
def rotate_secret(kit: Kit, call: Call, request: RotateSecretRequest, subject: SecretRecord) -> RotateSecretResponse:
    """Configure rotation and start one, now or when its window comes."""
    token = require_token(request.get("ClientRequestToken"), InvalidParameterException)
    check_alive(subject.deletion_at)
    for member in _NOT_OFFERED:
        if member in request:
            raise InvalidRequestException(f"Keyturn does not offer {member} yet; see docs/compatibility.md.")
    rotation_rules = checked_rules(request.get("RotationRules"), call.at)
    # Before its function is looked for: a replica shows the primary's, which is in another region.
    check_may_change(subject.arn, subject.primary_arn, Part.VALUES)
    function_arn = request.get("RotationLambdaARN") or subject.rotation_function_arn
    if not function_arn:
        raise InvalidRequestException("No Lambda rotation function ARN is associated with this secret.")
    check_function(kit, call, function_arn, subject.arn)
    immediately = request.get("RotateImmediately", True)
    refusal: AwsError | None = None
    ended: EndedRotation | None = None
    with kit.state.write() as transaction:
        current = lock_alive(transaction, subject.arn, call.at)
        configured: dict[str, Any] = {"rotation_enabled": True, "rotation_function_arn": function_arn}
        if rotation_rules is not None:
            configured["rotation_rules"] = rotation_rules
        if immediately:
            # Whatever was planned: the next one is planned when this one ends, by the rules there are then.
            configured |= WHILE_IT_RUNS
        if rotations.load_rotation(transaction.connection, current.secret_id, token) is None:
            configured_secret = replace(current, **configured)
            refusal, ended = _begin(kit, transaction, configured_secret, token, call, immediately=immediately)
            if refusal is not None and current.rotation_enabled:
                _take_up_left_version(kit, transaction, current, call.at)
            if refusal is None:
                secrets.update_secret(transaction, current, **configured)
                _plan_look(kit, transaction, current, configured, call.at)
                if not immediately:
                    begin = counted_from(current) or call.at
                    plan_rotation(kit, transaction, subject.arn, counted_from=begin, not_before=call.at)
    kit.wake_scheduler()
    record_end(kit, subject.arn, ended, call.at)
    if refusal is not None:
        raise refusal
    return {"ARN": subject.arn, "Name": subject.name, "VersionId": token}


@operation("secretsmanager", "CancelRotateSecret", subject=secret)
def cancel_rotate_secret(
    kit: Kit, call: Call, _request: CancelRotateSecretRequest, subject: SecretRecord
) -> CancelRotateSecretResponse:
    """Switch rotation off; function and rules are kept, and so is a version that is still pending."""
    with kit.state.write() as transaction:
        current = lock_alive(transaction, subject.arn, call.at)
        if current.rotation_enabled is None:
            raise InvalidRequestException("You can't cancel rotation for a secret that has no rotation configured.")
        unfinished = rotations.load_unfinished(transaction.connection, current.secret_id)
        if unfinished is not None:
            _cancel(kit, transaction, current, unfinished, call.at)
        secrets.update_secret(transaction, current, rotation_enabled=False, **NO_PLAN)
        preflights.plan_preflight(transaction, current.secret_id, None)
    kit.wake_scheduler()
    response: CancelRotateSecretResponse = {"ARN": subject.arn, "Name": subject.name}
    if unfinished is not None:
        response["VersionId"] = unfinished.version_id
    return response


def _cancel(
    kit: Kit, transaction: Transaction, current: SecretRecord, unfinished: RotationRecord, at: datetime
) -> None:
    if unfinished.kind is RotationKind.RESOLUTION and _is_at_stake(transaction, current, unfinished.version_id):
        # Rotation is switched off; what the database has is still to be found out.
        return
    rotations.end_unfinished(transaction, current.secret_id, RotationStatus.CANCELLED, at, "Rotation was cancelled.")
    if unfinished.kind is RotationKind.ROTATION:
        resolve_left_version(kit, transaction, current, unfinished, at)
    elif unfinished.kind is RotationKind.TEST:
        store_change(transaction, current, end_test(staging_of(transaction, current), unfinished.version_id))


def _is_at_stake(transaction: Transaction, current: SecretRecord, version_id: str) -> bool:
    """Whether the database may have a version that is not the current one."""
    is_pending = staging_of(transaction, current).unfinished_rotation == version_id
    return is_pending or version_id in rotations.lost_versions(transaction.connection, current.secret_id)


def _begin(
    kit: Kit, transaction: Transaction, current: SecretRecord, token: str, call: Call, *, immediately: bool
) -> tuple[AwsError | None, EndedRotation | None]:
    """Store the intent to rotate.

    Returns:
        Why there is none, after what is unfinished was made due again; and the rotation before, if this one ended it.
    """
    state = staging_of(transaction, current)
    unfinished = rotations.load_unfinished(transaction.connection, current.secret_id)
    if token in state.created_at:
        raise InvalidRequestException(
            f"You can't use ClientRequestToken {token} because that value is already in use for a version of secret"
            f" {current.arn}."
        )
    try:
        if unfinished is not None and unfinished.kind is RotationKind.RESOLUTION:
            # A test does not find out what the database has.
            if state.unfinished_rotation is not None or is_held(unfinished, call.at) or not immediately:
                raise previous_not_complete()
            # Nothing is pending: what it was to find out this rotation does.
            superseded = "A rotation was asked for, which finds out as well."
            rotations.end_unfinished(transaction, current.secret_id, RotationStatus.CANCELLED, call.at, superseded)
        change = begin_rotation(state, token, call.at)
    except InvalidRequestException as refusal:
        if unfinished is not None:
            resume(transaction, unfinished, call.at, None)
        return refusal, None
    copy = None if immediately else _copy_of_current(kit, current, token, call.at)
    if copy is None:
        secret_versions.insert_empty_version(transaction, current.secret_id, token, call.at)
    else:
        secret_versions.insert_version(transaction, current.secret_id, copy)
    store_change(transaction, current, change)
    # One that has made its version current, and whose last step has yet to return, is over.
    ended = end_rotation(kit, transaction, current, change, call.at)
    kind = RotationKind.ROTATION if immediately else RotationKind.TEST
    store_intent(kit, transaction, current, token, kind, call.at)
    return None, ended


def _plan_look(
    kit: Kit, transaction: Transaction, before: SecretRecord, configured: Mapping[str, Any], at: datetime
) -> None:
    """Have it looked soon whether rotations will succeed, as they are configured now."""
    if not before.rotation_enabled or before.rotation_function_arn != configured["rotation_function_arn"]:
        preflights.plan_preflight(transaction, before.secret_id, at)
    elif configured.get("rotation_rules", before.rotation_rules) != before.rotation_rules:
        look_again_soon(kit, transaction, before, at)


def _take_up_left_version(kit: Kit, transaction: Transaction, current: SecretRecord, at: datetime) -> None:
    """Rotate to the version that was left pending, with the secret's own function: nobody is about to finish it."""
    left = staging_of(transaction, current).unfinished_rotation
    if left is not None and rotations.load_unfinished(transaction.connection, current.secret_id) is None:
        store_intent(kit, transaction, current, left, RotationKind.ROTATION, at)


def _copy_of_current(kit: Kit, secret: SecretRecord, version_id: str, at: datetime) -> VersionRecord | None:
    """Return a version with the current value, for a test of the function that changes nothing; None if it has none."""
    current = secret.versions.get(secret.labels.get(AWSCURRENT, ""))
    if current is None or current.sealed is None:
        return None
    sealed = copy_value(kit, secret.arn, current, version_id)
    if sealed is None:
        return None
    return VersionRecord(
        version_id=version_id,
        created_at=at,
        last_accessed_at=None,
        sealed=sealed,
        is_binary=current.is_binary,
        kms_key_id=current.kms_key_id,
    )
