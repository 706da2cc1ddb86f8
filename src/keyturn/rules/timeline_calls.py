"""What the audit trail tells of one rotation: who asked for it, what the function called, who moved labels meanwhile.

The function's calls are known by its session: in its account's trail it has the function's name, and the access key
that was used on the secret while a step ran belongs to the execution environment in which it ran, which runs nothing
else at that time. So are found what it asked of other secrets, of a superuser's for instance.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from keyturn.clock import from_milliseconds, to_milliseconds
from keyturn.rules.audit_event import ServiceEventName, rotation_request_id
from keyturn.rules.audit_record import AuditRecord
from keyturn.rules.repair import Repair
from keyturn.rules.staging import AWSCURRENT
from keyturn.rules.timeline_entry import Entry, EntryKind, Severity

_DENIED = "AccessDenied"
_FUNCTION = "the function"
_ENDINGS = ("RotationSucceeded", "RotationAbandoned", "TestRotationSucceeded", "TestRotationFailed", "RotationFailed")
_BEGINNINGS: Mapping[str, Sequence[str]] = {
    "rotation": ("RotateSecret",),
    "test": ("RotateSecret",),
    # Who cancels a rotation that may have touched the database has it asked.
    "resolution": ("ResolveRotation", "CancelRotateSecret"),
}
_CANCEL = "CancelRotateSecret"
# What people do about a rotation that is unfinished.
_DECISIONS: Mapping[str, str] = {
    "RetryRotation": "{} retried the rotation: it is due at once, with a fresh set of attempts",
    "ResolveRotation": "{} had the database asked which version it accepts (ResolveRotation)",
    _CANCEL: "{} switched rotation off (CancelRotateSecret)",
}
_REPAIRS: Mapping[str, str] = {
    Repair.FORWARD: "The database accepts {}: AWSCURRENT was moved to it",
    Repair.BACK: "The database accepts the current version and not {}: AWSPENDING was taken off it",
    Repair.REVERT: "The database accepts the previous version only: AWSCURRENT was moved back to it",
    Repair.RECOVER: "The database accepts a version only that had lost its label: AWSCURRENT was moved to it",
    Repair.NONE_NEEDED: "The database accepts the current version: no label was moved",
    Repair.ALL_REFUSED: "The database refuses every version that is stored: no label would help",
}
_Event = Mapping[str, Any]


class Told(NamedTuple):
    """That an audit event says more of something."""

    event_id: str
    is_denied: bool = False
    who: str = ""


@dataclass(frozen=True, slots=True)
class Calls:
    """What the audit trail says.

    Attributes:
        entries: Calls, refusals and moves of labels, those of the function without the step.
        of_function: Event ids of those that the function made.
        asked_by: Who began the rotation; None if the trail does not say.
        invocations: What Secrets Manager recorded of each step, by its request id.
        ended_by: The service's newest event of the rotation's end.
        cancelled_by: Who switched rotation off last.
    """

    entries: Sequence[Entry] = ()
    of_function: frozenset[str] = frozenset()
    asked_by: Told | None = None
    invocations: Mapping[str, Told] = field(default_factory=dict)
    ended_by: Told | None = None
    cancelled_by: Told | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """Which rotation is meant.

    Attributes:
        function_name: Of the rotation function; its session has that name.
        spans: When its steps began and ended, aware UTC.
        kind: ``rotation``, ``test`` or ``resolution``.
    """

    secret_arn: str
    version_id: str
    function_name: str
    spans: Sequence[tuple[datetime, datetime]]
    kind: str = "rotation"


def calls_of(question: Question, records: Iterable[AuditRecord]) -> Calls:
    """Return what audit records tell of a rotation; many of them may have nothing to do with it.

    Args:
        question: Which rotation.
        records: Of the time of the rotation, oldest first; each once.
    """
    spans = [(to_milliseconds(begin), to_milliseconds(end)) for begin, end in question.spans]
    running = [
        record
        for record in records
        if record.username == question.function_name and any(low <= record.event_time <= high for low, high in spans)
    ]
    keys = {record.access_key_id for record in running if record.resource_name == question.secret_arn}
    of_function = frozenset(record.event_id for record in running if record.access_key_id in keys - {None})
    entries: list[Entry] = []
    asked_by = ended_by = cancelled_by = None
    invocations: dict[str, Told] = {}
    for record in records:
        is_own = record.event_id in of_function
        if record.resource_name != question.secret_arn and not is_own:
            continue
        event: _Event = json.loads(record.event)
        if event.get("eventType") == "AwsServiceEvent":
            if record.event_name == ServiceEventName.ROTATION_RESOLVED:
                entries.append(_resolution(record, event))
            elif record.request_id == rotation_request_id(question.secret_arn, question.version_id):
                ended_by = Told(record.event_id) if record.event_name in _ENDINGS else ended_by
            elif not record.request_id.startswith("Rotation-"):
                entries.append(_service_entry(record, event))
        elif _is_invocation(event):
            invocations[record.request_id] = Told(record.event_id, record.error_code == _DENIED)
        elif _begins(record, event, question):
            asked_by = told_of(record)
        elif is_own or not record.read_only:
            entries.append(_entry(record, event, _FUNCTION if is_own else _who(event), question.secret_arn))
            if record.event_name == _CANCEL and record.error_code is None:
                cancelled_by = told_of(record)
    return Calls(entries, of_function, asked_by, invocations, ended_by, cancelled_by)


def told_of(record: AuditRecord) -> Told:
    """Return that a call was made, and by whom."""
    return Told(record.event_id, record.error_code == _DENIED, _who(json.loads(record.event)))


def _is_invocation(event: _Event) -> bool:
    return event.get("eventName") == "Invoke" and (event.get("userIdentity") or {}).get("type") == "AWSService"


def _begins(record: AuditRecord, event: _Event, question: Question) -> bool:
    made = (event.get("responseElements") or {}).get("versionId")
    is_beginning = record.event_name in _BEGINNINGS[question.kind] and record.error_code is None
    return is_beginning and made == question.version_id


def _who(event: _Event) -> str:
    """Return who called, as short as it tells them from others of the account."""
    identity = event.get("userIdentity") or {}
    who = str(identity.get("arn") or identity.get("invokedBy") or identity.get("principalId") or "somebody")
    return who.split(":", 5)[-1] if who.startswith("arn:") else who


def _resolution(record: AuditRecord, event: _Event) -> Entry:
    data = event.get("additionalEventData") or {}
    repair = str(data.get("Repair"))
    words = _REPAIRS.get(repair, "The database was asked which version it accepts")
    severity = Severity.ERROR if repair == Repair.ALL_REFUSED else Severity.INFO
    at, message = from_milliseconds(record.event_time), words.format(data.get("SecretVersionId"))
    return Entry(at, EntryKind.LABEL, message, severity, event_id=record.event_id)


def _service_entry(record: AuditRecord, event: _Event) -> Entry:
    error = event.get("errorMessage")
    message = f"Secrets Manager recorded {record.event_name}" + (f": {error}" if error else "")
    severity = Severity.ERROR if error else Severity.INFO
    at = from_milliseconds(record.event_time)
    return Entry(at, EntryKind.EVENT, message, severity, event_id=record.event_id)


def _entry(record: AuditRecord, event: _Event, who: str, secret_arn: str) -> Entry:
    at, stage = from_milliseconds(record.event_time), (event.get("requestParameters") or {}).get("versionStage")
    called = f"{record.event_name}{f' ({stage})' if stage else ''} by {who}"
    if record.resource_name not in (None, secret_arn):
        called += f" on {record.resource_name}"
    error = event.get("errorMessage") or record.error_code
    if record.error_code == _DENIED:
        message = f"{called} was denied: {error}"
        return Entry(at, EntryKind.DENIED, message, Severity.ERROR, event_id=record.event_id)
    if record.error_code is not None:
        # A function that looks whether there is a pending value is told so by an error: it is no fault.
        severity = Severity.INFO if who == _FUNCTION else Severity.WARNING
        return Entry(at, EntryKind.CALL, f"{called} was refused: {error}", severity, event_id=record.event_id)
    if record.event_name in _DECISIONS:
        return Entry(at, EntryKind.EVENT, _DECISIONS[record.event_name].format(who), event_id=record.event_id)
    moved = _label_moved(record.event_name, event)
    if moved is not None and record.resource_name == secret_arn:
        return Entry(at, EntryKind.LABEL, f"{moved}, by {who}", event_id=record.event_id)
    return Entry(at, EntryKind.CALL, called, event_id=record.event_id)


def _label_moved(event_name: str, event: _Event) -> str | None:
    """Return what a call that succeeded did to labels; None if nothing."""
    asked, answered = event.get("requestParameters") or {}, event.get("responseElements") or {}
    if event_name == "UpdateSecretVersionStage":
        label, to, away = (asked.get(name) for name in ("versionStage", "moveToVersionId", "removeFromVersionId"))
        if to and away:
            return f"{label} moved from {away} to {to}"
        return f"{label} was put on {to}" if to else f"{label} was taken off {away}"
    version_id = answered.get("versionId")
    if version_id and event_name in ("PutSecretValue", "UpdateSecret"):
        labels = answered.get("versionStages") or asked.get("versionStages") or [AWSCURRENT]
        return f"a value was stored in {version_id} ({', '.join(map(str, labels))})"
    return None
