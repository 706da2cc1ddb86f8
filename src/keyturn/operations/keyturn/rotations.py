"""ListRotations and GetRotation: what became of a secret's rotations, and the timeline of one.

Whoever may ask for a rotation sees what its own record says. The function's log lines are shown to callers who may read
that log, calls and refusals to those who may look up events; a note in the timeline says what is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from keyturn.arn import Arn, InvalidArn, Place
from keyturn.call import Call
from keyturn.errors.base import AwsError
from keyturn.errors.secretsmanager import InvalidNextTokenException, ResourceNotFoundException
from keyturn.operations.keyturn.by_hand import told_by_hand, values_by_hand
from keyturn.operations.keyturn.database_version import known_version, told_version
from keyturn.operations.keyturn.spans import spans_of
from keyturn.operations.keyturn.standing import (
    ENDED_BY_OTHERS,
    RUNNING,
    answers_of,
    attempts_of,
    can_be_resolved,
    status_of,
)
from keyturn.operations.keyturn.timeline_audit import CallsSeen, calls_seen
from keyturn.operations.keyturn.timeline_logs import LogsSeen, logs_of
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.logging_config import logging_of
from keyturn.operations.lambda_.names import FunctionReference, parse_function_name
from keyturn.operations.lambda_.subjects import load_function
from keyturn.operations.paging import open_page, seal_page
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.known_values import mask_of
from keyturn.operations.secretsmanager.secrets import stages_by_version
from keyturn.operations.secretsmanager.subjects import secret
from keyturn.rules.timeline import Told, milliseconds_of, shown_outcome, timeline
from keyturn.rules.timeline_calls import Told as Event
from keyturn.rules.timeline_entry import Entry
from keyturn.runtime.spec import default_log_group
from keyturn.storage import rotations, secret_versions
from keyturn.storage.rotations import RotationKind, RotationRecord, RotationStatus, StepRecord
from keyturn.storage.secret_versions import VersionRecord
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.keyturn import (
    GetRotationRequest,
    GetRotationResponse,
    ListRotationsRequest,
    ListRotationsResponse,
    RotationStepType,
    RotationType,
    TimelineEntryType,
    UnlabelledVersionType,
)

_PAGE_SIZE = 20
# A rotation that fails in every window has ever more of them.
_MOST_STEPS = 200
_MOST_UNLABELLED = 10


@operation("keyturn", "ListRotations", subject=secret)
def list_rotations(kit: Kit, call: Call, request: ListRotationsRequest, subject: SecretRecord) -> ListRotationsResponse:
    """List the rotations of a secret, newest first."""
    listing, limit = f"ListRotations {subject.arn}", request.get("MaxResults", _PAGE_SIZE)
    before = {}
    if "NextToken" in request:
        position = open_page(kit, call, listing, request["NextToken"], InvalidNextTokenException())
        before = {"before": int(position["rotation"])}
    with kit.state.read() as connection:
        found = rotations.load_history(connection, subject.secret_id, limit + 1, **before)
    response: ListRotationsResponse = {
        "ARN": subject.arn,
        "Name": subject.name,
        "Rotations": [_rotation(rotation, subject, call.at) for rotation in found[:limit]],
    }
    if len(found) > limit:
        response["NextToken"] = seal_page(kit, call, listing, rotation=str(found[limit - 1].rotation_id))
    return response


@operation("keyturn", "GetRotation", subject=secret)
def get_rotation(kit: Kit, call: Call, request: GetRotationRequest, subject: SecretRecord) -> GetRotationResponse:
    """Tell one rotation of a secret with its timeline."""
    with kit.state.read() as connection:
        rotation = _find(connection, request, subject)
        steps = rotations.load_newest_steps(connection, rotation.rotation_id, _MOST_STEPS + 1)
        is_ended_by_others = rotation.status in ENDED_BY_OTHERS
        failed = rotations.load_last_failure(connection, rotation.rotation_id) if is_ended_by_others else None
        by_hand = values_by_hand(connection, subject, rotation)
        unlabelled, resolvable = _unlabelled(connection, subject), can_be_resolved(connection, subject)
        known, others = known_version(connection, subject), _other_kinds(connection, rotation)
        mask = mask_of(kit, connection, subject.arn, subject.secret_id)
    shown, newest = _rotation(rotation, subject, call.at), steps[-_MOST_STEPS:]
    told = Told(
        version_id=rotation.version_id,
        status=shown["Status"],
        kind=rotation.kind.value,
        requested_at=rotation.requested_at,
        ended_at=rotation.ended_at,
        reason=rotation.error if is_ended_by_others else None,
        steps=newest,
        attempt=(rotation.attempt, attempts_of(rotation)),
        due_at=rotation.due_at,
        has_earlier_steps=len(newest) < len(steps),
    )
    logs, calls, notes = _seen(kit, call, subject, rotation, newest, by_hand)
    story = timeline(told, logs.lines, calls.calls, notes, mask)
    return {
        "ARN": subject.arn,
        "Name": subject.name,
        "Rotation": {**shown, **_ended_by_others(rotation, failed, calls.calls.cancelled_by)},  # type: ignore[typeddict-item]  # further members of it
        "VersionIdsToStages": stages_by_version(subject),
        "UnlabelledVersions": unlabelled,
        "CanBeResolved": resolvable,
        "RotationEnabled": bool(subject.rotation_enabled),
        "DatabaseVersion": told_version(known),
        "OtherKinds": others,
        "Steps": [_step(step, is_running=told.status == RUNNING and step is newest[-1]) for step in newest],
        "Timeline": [_entry(entry) for entry in story.entries],
        "Truncated": story.is_truncated or logs.is_cut or calls.is_cut,
    }


def _find(connection: Connection, request: GetRotationRequest, subject: SecretRecord) -> RotationRecord:
    """Return the rotation that is asked for; or the one that is unfinished, or that has ended last.

    One that makes the version is meant rather than a question about it.

    Raises:
        ResourceNotFoundException: There is none.
    """
    version_id, kind = request.get("VersionId"), request.get("Kind")
    if version_id is None:
        unfinished = rotations.load_unfinished(connection, subject.secret_id)
        rotation = unfinished or _ended_last(rotations.load_history(connection, subject.secret_id))
    else:
        wanted = (RotationKind(kind),) if kind else (RotationKind.ROTATION, None)
        found = (rotations.load_rotation(connection, subject.secret_id, version_id, each) for each in wanted)
        rotation = next((each for each in found if each is not None), None)
    if rotation is None:
        made = "has not been rotated" if version_id is None else f"has no rotation to version {version_id}"
        raise ResourceNotFoundException(f"The secret {made}.")
    return rotation


def _ended_last(history: Sequence[RotationRecord]) -> RotationRecord | None:
    """Return which of rotations has ended last; of those of one moment the newest."""
    ended = [(rotation.ended_at, rotation.rotation_id, rotation) for rotation in history if rotation.ended_at]
    return max(ended, key=lambda each: each[:2])[2] if ended else None


def _other_kinds(connection: Connection, rotation: RotationRecord) -> list[str]:
    """Return of what other kinds there are rotations about the same version."""
    about = (rotation.secret_id, rotation.version_id)
    others = [kind for kind in RotationKind if kind is not rotation.kind]
    return [kind.value for kind in others if rotations.load_rotation(connection, *about, kind) is not None]


def _ended_by_others(rotation: RotationRecord, failed: StepRecord | None, cancelled_by: Event | None) -> dict[str, str]:
    """Return who ended a rotation that was cancelled or abandoned, and why its last attempt had failed."""
    if rotation.status not in ENDED_BY_OTHERS:
        return {}
    is_cancelled = rotation.status is RotationStatus.CANCELLED
    members = {
        "EndedBy": cancelled_by.who if is_cancelled and cancelled_by else None,
        "LastCause": failed and failed.cause,
        "LastError": failed and failed.error,
    }
    return {name: value for name, value in members.items() if value}


def _unlabelled(connection: Connection, subject: SecretRecord) -> list[UnlabelledVersionType]:
    """Return versions that only who knows their ids can read, newest first."""
    labelled = set(subject.labels.values())
    stored = secret_versions.load_versions(connection, subject.secret_id)
    found = [version for version in stored if version.sealed is not None and version.version_id not in labelled]
    return [
        {"VersionId": version.version_id, "CreatedDate": version.created_at}
        for version in found[: -_MOST_UNLABELLED - 1 : -1]
    ]


def _seen(
    kit: Kit,
    call: Call,
    subject: SecretRecord,
    rotation: RotationRecord,
    steps: Sequence[StepRecord],
    by_hand: Sequence[VersionRecord],
) -> tuple[LogsSeen, CallsSeen, list[str]]:
    """Return what log and trail say of a rotation to this caller, and what is to be noted of that."""
    owner = Place.of(subject.arn)
    if call.principal.account_id != owner.account_id:
        note = "Log lines, calls and refusals are left out: they are shown to callers of the secret's own account."
        return LogsSeen(), CallsSeen(), [note]
    spans = spans_of(steps, call.at)
    function = _function(owner, rotation.function_arn or subject.rotation_function_arn)
    calls = calls_seen(kit, call, subject.arn, rotation, function.name if function else "", spans)
    before = told_by_hand(kit, call, subject, by_hand)
    calls = replace(calls, calls=replace(calls.calls, entries=[*before, *calls.calls.entries]))
    logs = logs_of(kit, call, owner, _log_groups(kit, function), spans) if function else LogsSeen()
    return logs, calls, [*calls.notes, *logs.notes]


def _function(place: Place, function_arn: str | None) -> FunctionReference | None:
    """Return which function an ARN means; None if it cannot be one, or is another account's."""
    try:
        reference = parse_function_name(place, function_arn or "")
        Arn.parse(reference.unqualified_arn)
    except (InvalidArn, AwsError):
        return None
    return reference if reference.unqualified_arn == place.function_arn(reference.name) else None


def _log_groups(kit: Kit, reference: FunctionReference) -> list[str]:
    """Return where a function logs now, and where it would by itself."""
    function, own = load_function(kit, reference), default_log_group(reference.name)
    now = own if function is None else logging_of(function)["LogGroup"]
    return [now] if now == own else [now, own]


def _rotation(rotation: RotationRecord, subject: SecretRecord, at: datetime) -> RotationType:
    # What a function said of its failure was masked when it was stored.
    is_parked = rotation.status is RotationStatus.PARKED
    is_pending = rotation.status is RotationStatus.PENDING
    members: dict[str, Any] = {
        "VersionId": rotation.version_id,
        "Kind": rotation.kind.value,
        "Status": status_of(rotation, at),
        "Step": rotation.step,
        "Attempt": rotation.attempt,
        "Attempts": attempts_of(rotation),
        "RequestedAt": rotation.requested_at,
        "DueAt": rotation.due_at if is_pending else subject.next_rotation_at if is_parked else None,
        "WindowClosesAt": rotation.window_closes_at if is_pending else None,
        "EndedAt": rotation.ended_at,
        "Cause": None if rotation.status in ENDED_BY_OTHERS else rotation.cause,
        "Error": rotation.error,
        "RotationLambdaARN": rotation.function_arn or subject.rotation_function_arn,
    }
    if is_parked and members["DueAt"] is not None:
        members["WindowClosesAt"] = subject.next_rotation_closes_at
    return {name: value for name, value in members.items() if value is not None}  # type: ignore[return-value]  # member by member


def _step(step: StepRecord, *, is_running: bool) -> RotationStepType:
    members: dict[str, Any] = {
        "Attempt": step.attempt,
        "Step": step.step,
        "StartedAt": step.started_at,
        "EndedAt": step.ended_at,
        "DurationMilliseconds": milliseconds_of(step),
        "Outcome": shown_outcome(step, is_running=is_running),
        "Answers": answers_of(step),
        "Cause": step.cause if step.error is not None else None,
        "Error": step.error,
        "RequestId": step.request_id,
    }
    return {name: value for name, value in members.items() if value is not None}  # type: ignore[return-value]  # likewise


def _entry(entry: Entry) -> TimelineEntryType:
    members: dict[str, Any] = {
        "At": entry.at,
        "Kind": entry.kind.value,
        "Severity": entry.severity.value,
        "Attempt": entry.attempt,
        "Step": entry.step,
        "Message": entry.message,
        "DurationMilliseconds": entry.duration_milliseconds,
        "RequestId": entry.request_id,
        "EventId": entry.event_id,
    }
    return {name: value for name, value in members.items() if value is not None}  # type: ignore[return-value]  # likewise
