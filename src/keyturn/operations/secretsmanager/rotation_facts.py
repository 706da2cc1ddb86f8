"""What is known of the rotation that an audit event is about, for whoever is told of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from keyturn.clock import from_milliseconds
from keyturn.operations.secretsmanager.rotation_intent import PLANS
from keyturn.rules.audit_event import ServiceEventName, rotation_request_id
from keyturn.rules.audit_record import AuditRecord
from keyturn.rules.notification import (
    FAILURES,
    PREFLIGHT_EVENTS,
    ROTATION_EVENTS,
    Notification,
    PreflightFacts,
    RotationFacts,
    is_final,
)
from keyturn.rules.rotation import Step
from keyturn.storage import rotations, secrets
from keyturn.storage.database import Database
from keyturn.storage.rotations import RotationRecord, RotationStatus, StepRecord
from keyturn.storage.secrets import SecretRecord


def notification_of(state: Database, record: AuditRecord) -> Notification:
    """Return what an event of Secrets Manager tells, with what the state knows of its rotation.

    Raises:
        StorageError: The database failed.
    """
    event = json.loads(record.event)
    facts = None
    if record.event_name in ROTATION_EVENTS and record.resource_name is not None:
        version_id = record.request_id.removeprefix(rotation_request_id(record.resource_name, ""))
        repair = None
        if record.event_name == ServiceEventName.ROTATION_RESOLVED:
            repair = event["additionalEventData"]["Repair"]
        with state.read() as connection:
            facts = _facts(connection, record, version_id, repair)
    return Notification.of(record, event.get("errorMessage"), facts, _preflight(state, record, event))


def _preflight(state: Database, record: AuditRecord, event: Mapping[str, Any]) -> PreflightFacts | None:
    if record.event_name not in PREFLIGHT_EVENTS:
        return None
    found = event["additionalEventData"]
    with state.read() as connection:
        secret = secrets.load_secret(connection, record.resource_name or "")
    next_rotation_at = secret.next_rotation_at if secret is not None else None
    return PreflightFacts(found["Verdict"], found["Heartbeat"], tuple(found["Causes"]), next_rotation_at)


def _facts(connection: Connection, record: AuditRecord, version_id: str, repair: str | None) -> RotationFacts:
    secret = secrets.load_secret(connection, record.resource_name or "")
    if secret is None:
        # It was erased meanwhile.
        return RotationFacts(None, version_id, repair=repair)
    if record.event_name in FAILURES:
        return _failure(connection, secret, version_id, from_milliseconds(record.event_time))
    return RotationFacts(
        secret.rotation_function_arn, version_id, next_rotation_at=secret.next_rotation_at, repair=repair
    )


def _failure(connection: Connection, secret: SecretRecord, version_id: str, at: datetime) -> RotationFacts:
    """Return the facts of an attempt that failed at this moment; the rotation may have gone on since."""
    # The same version may have been asked about in a row of its own since.
    for rotation in rotations.load_history(connection, secret.secret_id):
        if rotation.version_id != version_id:
            continue
        steps = rotations.load_steps(connection, rotation.rotation_id)
        failed = next((step for step in steps if step.ended_at == at and step.error is not None), None)
        if failed is not None:
            return _failed_attempt(secret, rotation, steps, failed)
    # The event is stored as the last thing before the step's end is committed, which may be a moment away; if the
    # server has died there, the step runs again, and its failure is told again.
    return RotationFacts(
        secret.rotation_function_arn, version_id, next_rotation_at=secret.next_rotation_at, is_decided=False
    )


def _failed_attempt(
    secret: SecretRecord, rotation: RotationRecord, steps: Sequence[StepRecord], failed: StepRecord
) -> RotationFacts:
    later = (step.attempt for step in steps if step.position > failed.position and step.step != Step.PROBE)
    begun_later = next(later, None)
    is_pending = rotation.status is RotationStatus.PENDING
    is_being_asked = is_pending and rotation.step == Step.PROBE and begun_later is None
    is_last: bool | None = None
    if rotation.status is RotationStatus.SUCCEEDED:
        is_last = False
    elif not is_being_asked:
        planned = rotation.attempt if is_pending else None
        is_last = is_final(failed.attempt, begun_later=begun_later, planned=planned)
    is_planned = is_last is False and is_pending and begun_later is None
    return RotationFacts(
        function_arn=secret.rotation_function_arn,
        version_id=rotation.version_id,
        attempt=failed.attempt,
        attempts=PLANS[rotation.kind].attempts,
        step=failed.step,
        cause=failed.cause,
        error=failed.error,
        is_final=is_last,
        next_attempt_at=rotation.due_at if is_planned else None,
        next_rotation_at=secret.next_rotation_at,
        is_decided=not is_being_asked,
    )
