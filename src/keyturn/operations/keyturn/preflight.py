"""PreflightRotation and GetRotationPreflight: whether a rotation would succeed, found out now, or as it was last."""

from __future__ import annotations

from typing import Any

from keyturn.call import Call
from keyturn.errors.secretsmanager import InvalidRequestException, ResourceNotFoundException
from keyturn.operations.kit import Kit
from keyturn.operations.registry import Runs, operation
from keyturn.operations.secretsmanager.preflight import NotNow, preflight
from keyturn.operations.secretsmanager.subjects import secret
from keyturn.rules.deletion import check_alive
from keyturn.rules.replication import Part, check_may_change
from keyturn.storage.preflights import PreflightRecord, load_preflight
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.keyturn import (
    GetRotationPreflightRequest,
    GetRotationPreflightResponse,
    PreflightRotationRequest,
    PreflightRotationResponse,
)


@operation("keyturn", "PreflightRotation", subject=secret, runs=Runs.WAITING)
def preflight_rotation(
    kit: Kit, _call: Call, _request: PreflightRotationRequest, subject: SecretRecord
) -> PreflightRotationResponse:
    """Look from inside the function's sandbox, and change nothing."""
    check_alive(subject.deletion_at)
    check_may_change(subject.arn, subject.primary_arn, Part.VALUES)
    if not subject.rotation_function_arn:
        raise InvalidRequestException("No Lambda rotation function ARN is associated with this secret.")
    try:
        found = preflight(kit, subject.arn, is_asked=True)
    except NotNow as error:
        raise InvalidRequestException(str(error)) from error
    if found is None:
        raise ResourceNotFoundException
    return _shown(subject, found)


@operation("keyturn", "GetRotationPreflight", subject=secret)
def get_rotation_preflight(
    kit: Kit, _call: Call, _request: GetRotationPreflightRequest, subject: SecretRecord
) -> GetRotationPreflightResponse:
    """Tell what was found last."""
    check_alive(subject.deletion_at)
    with kit.state.read() as connection:
        found = load_preflight(connection, subject.secret_id)
    if found is None:
        raise ResourceNotFoundException("There was no pre-flight of this secret yet. PreflightRotation makes one.")
    return _shown(subject, found)


def _shown(subject: SecretRecord, found: PreflightRecord) -> GetRotationPreflightResponse:
    items: list[Any] = [
        {
            "Item": item.item,
            "Status": item.status.value,
            "Code": item.code,
            "Reason": item.reason,
            "Seconds": item.seconds,
        }
        for item in found.items
    ]
    return {
        "ARN": subject.arn,
        "Name": subject.name,
        "Verdict": found.verdict.value,
        "Heartbeat": found.heartbeat.value,
        "Causes": list(found.causes),
        "CheckedAt": found.checked_at,
        "Since": found.since,
        "Items": items,
    }
