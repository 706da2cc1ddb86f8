"""Drive one rotation through its steps, from wherever it stands.

The life of a rotation here:

1. A row with the intent to rotate and a version labelled AWSPENDING exist before anything is done (RotateSecret, or
   :func:`begin_due` when the time has come).
2. A worker holds a lease on the row. Every write below checks that it still does; whoever lost it stops.
3. Before a step its start is stored, after it its outcome, in that order around the invocation. A server that dies in
   between leaves a step without outcome, and the step runs again: each may be repeated.
4. The row ends as succeeded, or is parked with its cause until the next window.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event

from keyturn import ids
from keyturn.errors.base import AwsError, KeyturnError
from keyturn.errors.common import AccessDenied
from keyturn.errors.crypto import SealFault, SealRefused
from keyturn.errors.lambda_ import TooManyRequestsException
from keyturn.operations.audit_trail import rotation_event, step_event
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.specs import spec_of
from keyturn.operations.sealing import open_value
from keyturn.operations.secretsmanager.planning import (
    WHILE_IT_RUNS,
    counted_from,
    plan_after_missed_window,
    plan_rotation,
)
from keyturn.operations.secretsmanager.rotation_function import cannot_invoke, invocable_function
from keyturn.operations.secretsmanager.writing import staging_of, store_change
from keyturn.rules import rotation as rules
from keyturn.rules.audit_event import ServiceEventName
from keyturn.rules.masking import masked
from keyturn.rules.rotation import Done, Park, RunStep, Step, StepOutcome
from keyturn.rules.staging import begin_rotation, end_test
from keyturn.runtime.spec import Invocation
from keyturn.storage import rotations, secrets
from keyturn.storage.database import Transaction
from keyturn.storage.rotations import LeaseLost, RotationKind, RotationRecord, RotationStatus
from keyturn.storage.secrets import SecretRecord, VersionRecord
from keyturn.storage.stored_text import storable

_log = logging.getLogger(__name__)

_TIMED_OUT = "Sandbox.Timedout"
_ERROR_LENGTH = 1000
_PLANS = {RotationKind.ROTATION: rules.ROTATION, RotationKind.TEST: rules.TEST}
_STARTED = {
    RotationKind.ROTATION: ServiceEventName.ROTATION_STARTED,
    RotationKind.TEST: ServiceEventName.TEST_ROTATION_STARTED,
}
_SUCCEEDED = {
    RotationKind.ROTATION: ServiceEventName.ROTATION_SUCCEEDED,
    RotationKind.TEST: ServiceEventName.TEST_ROTATION_SUCCEEDED,
}
_FAILED = {
    RotationKind.ROTATION: ServiceEventName.ROTATION_FAILED,
    RotationKind.TEST: ServiceEventName.TEST_ROTATION_FAILED,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one invocation ended.

    Attributes:
        outcome: For the state machine.
        error: For people; None if it succeeded.
        refusal: What refused it, if a policy did.
    """

    outcome: StepOutcome
    error: str | None = None
    refusal: AccessDenied | None = None


def drive(kit: Kit, rotation: RotationRecord, stopping: Event) -> None:
    """Run steps until the rotation ends, has to wait, or the server stops.

    Args:
        kit: Adapters.
        rotation: As claimed, with its lease.
        stopping: Set when the server stops; what is under way then is left to the next server.
    """
    try:
        current: RotationRecord | None = rotation
        while current is not None and not stopping.is_set():
            current = _advance(kit, current, stopping)
    except LeaseLost:
        _log.info("rotation %s of another worker or ended", rotation.rotation_id)


def begin_due(kit: Kit, secret: SecretRecord, now: datetime) -> None:
    """Start the rotation that a schedule has made due; a parked one gets a fresh set of attempts.

    What was due while nobody was there begins now if a window is open, and is planned anew if not.
    """
    with kit.state.write() as transaction:
        current = secrets.lock_secret(transaction, secret.arn)
        if current is None or not current.rotation_enabled or current.deletion_at is not None:
            return
        if current.next_rotation_at is None or current.next_rotation_at > now:
            return
        closes_at = current.next_rotation_closes_at
        if closes_at is not None and closes_at <= now:
            closes_at = plan_after_missed_window(kit, transaction, current, now)
            if closes_at is None:
                return
        unfinished = rotations.load_unfinished(transaction.connection, current.secret_id)
        if unfinished is not None:
            rotations.resume_rotation(transaction, unfinished, rules.ROTATION.first_step, now, closes_at)
        else:
            _begin(transaction, current, now, closes_at)
        # The next one is planned when this one ends, from its actual date.
        secrets.update_secret(transaction, current, next_rotation_closes_at=closes_at, **WHILE_IT_RUNS)


def _begin(transaction: Transaction, secret: SecretRecord, now: datetime, closes_at: datetime | None) -> None:
    state = staging_of(transaction, secret)
    # A version that somebody left pending by hand is adopted: no second one may be pending beside it.
    token = state.unfinished_rotation or ids.new_version_id()
    change = begin_rotation(state, token, now)
    if change.added_versions:
        version = VersionRecord(
            version_id=token, created_at=now, last_accessed_at=None, sealed=None, is_binary=False, kms_key_id=None
        )
        secrets.insert_version(transaction, secret.secret_id, version)
    store_change(transaction, secret, change)
    rotations.start_rotation(
        transaction, secret.secret_id, token, RotationKind.ROTATION, rules.ROTATION.first_step, now, closes_at
    )


def _advance(kit: Kit, rotation: RotationRecord, stopping: Event) -> RotationRecord | None:
    """Run one step; return the rotation as it goes on at once, or None."""
    with kit.state.read() as connection:
        secret = secrets.load_secret_by_id(connection, rotation.secret_id)
    if secret is None:
        return None
    if rules.check_labels(secret.labels, rotation.version_id) is not None:
        _end(kit, rotation, secret, RotationStatus.ABANDONED, "Its version is not pending any more.")
        rotation_event(kit, ServiceEventName.ROTATION_ABANDONED, secret.arn, rotation.version_id, kit.clock.now())
        return None
    step = Step(rotation.step)
    request_id = ids.new_request_id()
    position = _store_start(kit, rotation, secret, step, request_id)
    result = _invoke(kit, rotation, secret, step, request_id)
    if stopping.is_set():
        # The function was ended with the server, which is not its fault: the step runs again.
        return None
    if result.outcome is StepOutcome.SUCCEEDED and step is Step.FINISH:
        result = _check_finished(kit, rotation)
    return _store_outcome(kit, rotation, secret, position, request_id, result)


def _store_start(kit: Kit, rotation: RotationRecord, secret: SecretRecord, step: Step, request_id: str) -> int:
    now = kit.clock.now()
    with kit.state.write() as transaction:
        rotations.write_under_lease(transaction, rotation, step=step.value)
        position = rotations.insert_step(transaction, rotation, step.value, request_id, now)
    if position == 1:
        rotation_event(kit, _STARTED[rotation.kind], secret.arn, rotation.version_id, now)
    return position


def _invoke(kit: Kit, rotation: RotationRecord, secret: SecretRecord, step: Step, request_id: str) -> Outcome:
    function_arn = secret.rotation_function_arn or ""
    invocable = invocable_function(kit, function_arn, secret.arn)
    if invocable is None:
        return Outcome(
            StepOutcome.NOT_INVOKED,
            "Secrets Manager cannot invoke the function: it is gone, or its policy does not let"
            " secretsmanager.amazonaws.com invoke it.",
            cannot_invoke(kit, function_arn, secret.arn),
        )
    function, qualifier = invocable
    event = {"Step": step.value, "SecretId": secret.arn, "ClientRequestToken": rotation.version_id}
    try:
        spec = spec_of(kit, function, qualifier)
        invocation = kit.runtime.invoke(spec, json.dumps(event).encode(), request_id=request_id)
    except TooManyRequestsException as error:
        return Outcome(StepOutcome.THROTTLED, error.message)
    except AwsError as error:
        return Outcome(StepOutcome.NOT_INVOKED, error.message)
    except KeyturnError as error:
        _log.exception("function %s could not run", function.name)
        return Outcome(StepOutcome.NOT_INVOKED, f"The function could not run: {error.message}")
    return _outcome_of(kit, rotation, invocation)


def _outcome_of(kit: Kit, rotation: RotationRecord, invocation: Invocation) -> Outcome:
    if invocation.function_error is None:
        return Outcome(StepOutcome.SUCCEEDED)
    try:
        document = json.loads(invocation.payload)
        kind, message = document.get("errorType", ""), document.get("errorMessage", "")
    except (ValueError, AttributeError):
        kind, message = "", "The function failed without saying why."
    outcome = StepOutcome.TIMEOUT if kind == _TIMED_OUT else StepOutcome.FUNCTION_ERROR
    said = f"{kind}: {message}" if kind else str(message)
    # A function can say anything, and what it said must be stored.
    return Outcome(outcome, storable(masked(said, _values(kit, rotation)))[:_ERROR_LENGTH])


def _values(kit: Kit, rotation: RotationRecord) -> list[str]:
    """Return the values that the function could read just now; it may have stored one of them in this step."""
    with kit.state.read() as connection:
        secret = secrets.load_secret_by_id(connection, rotation.secret_id)
    if secret is None:
        return []
    values = []
    for version in secret.versions.values():
        if version.sealed is None:
            continue
        try:
            plaintext = open_value(kit, secret.arn, version.version_id, version.sealed)
        except SealRefused as error:
            # Its key was destroyed: the function cannot have read it either.
            if error.fault is not SealFault.UNKNOWN_KEY:
                raise
        else:
            values.append(plaintext.reveal().decode(errors="replace"))
    return values


def _check_finished(kit: Kit, rotation: RotationRecord) -> Outcome:
    """Look whether finishSecret did its work: a function may return without having done it."""
    with kit.state.read() as connection:
        secret = secrets.load_secret_by_id(connection, rotation.secret_id)
    if secret is not None and rules.is_finished(secret.labels, rotation.version_id):
        return Outcome(StepOutcome.SUCCEEDED)
    return Outcome(
        StepOutcome.FUNCTION_ERROR, "finishSecret returned, but AWSCURRENT is not on the version it was to finish."
    )


def _store_outcome(
    kit: Kit, rotation: RotationRecord, secret: SecretRecord, position: int, request_id: str, result: Outcome
) -> RotationRecord | None:
    now, step = kit.clock.now(), Step(rotation.step)
    function_arn = secret.rotation_function_arn or ""
    step_event(
        kit,
        secret_arn=secret.arn,
        version_id=rotation.version_id,
        step=step.value,
        function_arn=function_arn,
        request_id=request_id,
        at=now,
        error=result.error,
        refusal=result.refusal,
    )
    action = rules.next_action(
        _PLANS[rotation.kind],
        RunStep(step, rotation.attempt, rotation.due_at),
        result.outcome,
        now,
        window_closes_at=rotation.window_closes_at,
        jitter=kit.random.randbelow(1000) / 1000,
    )
    error = None
    if result.error is not None:
        error = f"{rules.failure_message(function_arn, step)}: {result.error}"
    with kit.state.write() as transaction:
        _lock(transaction, secret)
        rotations.end_step(transaction, rotation, position, now, result.outcome.value, result.error)
        after = _store_action(kit, transaction, rotation, secret, action, error, now)
    if error is not None:
        message = rules.failure_message(function_arn, step)
        rotation_event(kit, _FAILED[rotation.kind], secret.arn, rotation.version_id, now, message)
        # Quoted: a function must not write lines of this log.
        _log.warning("rotation of %s failed: %r", secret.name, error)
    elif isinstance(action, Done):
        rotation_event(kit, _SUCCEEDED[rotation.kind], secret.arn, rotation.version_id, now)
    return after


def _store_action(
    kit: Kit,
    transaction: Transaction,
    rotation: RotationRecord,
    secret: SecretRecord,
    action: rules.Action,
    error: str | None,
    now: datetime,
) -> RotationRecord | None:
    if isinstance(action, RunStep):
        goes_on = action.due_at <= now
        columns: dict[str, object] = {"step": action.step.value, "attempt": action.attempt, "due_at": action.due_at}
        if not goes_on:
            columns |= {"lease_owner": None, "lease_expires_at": None, "error": error}
        rotations.write_under_lease(transaction, rotation, **columns)
        return replace(rotation, step=action.step.value, attempt=action.attempt) if goes_on else None
    succeeded = isinstance(action, Done)
    parked = isinstance(action, Park) and rotation.kind is RotationKind.ROTATION
    status = RotationStatus.SUCCEEDED if succeeded else RotationStatus.PARKED if parked else RotationStatus.FAILED
    ending: dict[str, object] = {"status": status, "error": error, "lease_owner": None, "lease_expires_at": None}
    if not parked:
        ending["ended_at"] = now
    rotations.write_under_lease(transaction, rotation, **ending)
    if rotation.kind is RotationKind.TEST:
        _remove_test_version(transaction, secret, rotation.version_id)
    else:
        if succeeded:
            secrets.update_secret(transaction, secret, last_rotated_at=now)
        plan_rotation(
            kit,
            transaction,
            secret.arn,
            counted_from=now if succeeded else counted_from(secret),
            not_before=now if succeeded else max(now, rotation.window_closes_at or now),
        )
    return None


def _remove_test_version(transaction: Transaction, secret: SecretRecord, version_id: str) -> None:
    current = secrets.lock_secret(transaction, secret.arn)
    if current is not None:
        state = staging_of(transaction, current)
        store_change(transaction, current, end_test(state, version_id))


def _end(kit: Kit, rotation: RotationRecord, secret: SecretRecord, status: RotationStatus, error: str) -> None:
    now = kit.clock.now()
    with kit.state.write() as transaction:
        _lock(transaction, secret)
        rotations.write_under_lease(
            transaction, rotation, status=status, ended_at=now, error=error, lease_owner=None, lease_expires_at=None
        )
        plan_rotation(kit, transaction, secret.arn, counted_from=counted_from(secret), not_before=now)


def _lock(transaction: Transaction, secret: SecretRecord) -> None:
    """Lock the secret before its rotation, as handlers do: crosswise, both would wait for each other."""
    secrets.lock_secret(transaction, secret.arn)
