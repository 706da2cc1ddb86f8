"""What is known of the rotation that an audit event is about, for whoever is told of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection

from keyturn.clock import from_milliseconds
from keyturn.rules.audit_event import rotation_request_id
from keyturn.rules.audit_record import AuditRecord
from keyturn.rules.notification import FAILURES, ROTATION_EVENTS, Notification, RotationFacts, is_final
from keyturn.rules.rotation import StepOutcome
from keyturn.rules.rotation_cause import cause_of
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
    error = event.get("errorMessage")
    facts = None
    if record.event_name in ROTATION_EVENTS and record.resource_name is not None:
        version_id = record.request_id.removeprefix(rotation_request_id(record.resource_name, ""))
        with state.read() as connection:
            facts = _facts(connection, record, version_id)
    return Notification.of(record, error, facts)


def _facts(connection: Connection, record: AuditRecord, version_id: str) -> RotationFacts:
    secret = secrets.load_secret(connection, record.resource_name or "")
    rotation = None if secret is None else rotations.load_rotation(connection, secret.secret_id, version_id)
    if secret is None or rotation is None:
        # It was erased meanwhile.
        return RotationFacts(None, version_id)
    steps = rotations.load_steps(connection, rotation.rotation_id)
    if record.event_name in FAILURES:
        return _failure(record, secret, rotation, steps)
    return RotationFacts(secret.rotation_function_arn, version_id, next_rotation_at=secret.next_rotation_at)


def _failure(
    record: AuditRecord, secret: SecretRecord, rotation: RotationRecord, steps: Sequence[StepRecord]
) -> RotationFacts:
    """Return the facts of a failed attempt; the rotation may have gone on since."""
    at = from_milliseconds(record.event_time)
    until_then = [step for step in steps if step.ended_at is not None and step.ended_at <= at]
    function_arn, next_rotation_at = secret.rotation_function_arn, secret.next_rotation_at
    if not until_then:
        return RotationFacts(function_arn, rotation.version_id, next_rotation_at=next_rotation_at)
    failed = until_then[-1]
    begun_later = next((step.attempt for step in steps if step.position > failed.position), None)
    planned = rotation.attempt if rotation.status is RotationStatus.PENDING else None
    is_last = is_final(failed.attempt, begun_later=begun_later, planned=planned)
    return RotationFacts(
        function_arn=function_arn,
        version_id=rotation.version_id,
        attempt=failed.attempt,
        step=failed.step,
        cause=cause_of(StepOutcome(failed.outcome), failed.error) if failed.outcome else None,
        error=failed.error,
        is_final=is_last,
        next_attempt_at=None if is_last or begun_later is not None else rotation.due_at,
        next_rotation_at=next_rotation_at,
    )
