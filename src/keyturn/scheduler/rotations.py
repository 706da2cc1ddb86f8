"""Drive one rotation through its steps, from wherever it stands.

The life of a rotation here:

1. A row with the intent to rotate and a version labelled AWSPENDING exist before anything is done (RotateSecret, or
   ``due.py`` when the time has come).
2. A worker holds a lease on the row. Every write below checks that it still does; whoever lost it stops.
3. Before a step its start is stored, after it its outcome (with the start of the one that follows at once), in that
   order around the invocation. A server that dies in between leaves a step without outcome, and the step runs again:
   each may be repeated.
4. The row ends as succeeded; or is parked with its cause until the next window; or, if the function can ask the
   database which version it accepts, the labels are brought in line with the answer (``rules/repair.py``).
5. What happened is written to the audit trail as the last thing before it is committed: a server that dies in between
   tells it once more, and never not at all.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from threading import Event

from keyturn.errors.base import KeyturnError
from keyturn.operations.audit_trail import rotation_event
from keyturn.operations.kit import Kit
from keyturn.rules import rotation as rules
from keyturn.rules.audit_event import ServiceEventName
from keyturn.rules.repair import Repair, in_words, repair_of
from keyturn.rules.rotation import Step, StepOutcome
from keyturn.rules.rotation_cause import counted_cause
from keyturn.scheduler.ended_step import EndedStep
from keyturn.scheduler.running_step import RunningStep, abandon, is_wanted, store_start
from keyturn.scheduler.steps import CAUSE, Outcome, invoke_step, versions_with_value
from keyturn.storage import rotations, secret_versions, secrets
from keyturn.storage.rotation_leases import LeaseLost, write_under_lease
from keyturn.storage.rotations import RotationKind, RotationRecord
from keyturn.storage.secret_versions import VersionRecord
from keyturn.storage.secrets import SecretRecord

_log = logging.getLogger(__name__)

_STARTED = {
    RotationKind.ROTATION: ServiceEventName.ROTATION_STARTED,
    RotationKind.TEST: ServiceEventName.TEST_ROTATION_STARTED,
}


def drive(kit: Kit, rotation: RotationRecord, stopping: Event) -> None:
    """Run steps until the rotation ends, has to wait, or the server stops.

    Args:
        kit: Adapters.
        rotation: As claimed, with its lease.
        stopping: Set when the server stops; what is under way then is left to the next server.
    """
    try:
        running = None if stopping.is_set() else _take_up(kit, rotation)
        while running is not None:
            running = _run(kit, running, stopping)
    except LeaseLost:
        _log.info("rotation %s of another worker or ended", rotation.rotation_id)


def _take_up(kit: Kit, rotation: RotationRecord) -> RunningStep | None:
    """Store that the next step of a rotation begins; None if there is none."""
    now = kit.clock.now()
    with kit.state.write() as transaction:
        secret = secrets.load_secret_by_id(transaction.connection, rotation.secret_id)
        if secret is None:
            return None
        if not is_wanted(rotation, secret):
            abandon(kit, transaction, rotation, secret, now)
            return None
        write_under_lease(transaction, rotation, now, step=rotation.step)
        running = store_start(transaction, rotation, secret, rotations.next_position(transaction, rotation), now)
        if running.position == 1 and rotation.kind in _STARTED:
            rotation_event(kit, _STARTED[rotation.kind], secret.arn, rotation.version_id, now)
    return running


def _run(kit: Kit, running: RunningStep, stopping: Event) -> RunningStep | None:
    """Run a step; return the one that follows at once, or None."""
    result = _run_step(kit, running)
    took = kit.clock.now() - running.started_at
    if stopping.is_set():
        # The function was ended with the server, which is not its fault: the step runs again.
        return None
    cause = counted_cause(result.cause) if result.error is not None else ""
    kit.meters.note_step(running.rotation.kind.value, running.step.value, result.outcome.value, cause, took)
    return EndedStep(kit, running, result, stopping).store()


def _run_step(kit: Kit, running: RunningStep) -> Outcome:
    """Run the function, and look whether it did its work."""
    rotation, secret, step = running.rotation, running.secret, running.step
    if step in (Step.SET, Step.TEST) and _is_foreign(rotation, secret.versions.get(rotation.version_id)):
        return _foreign(rotation, secret)
    try:
        result = invoke_step(kit, rotation, secret, step, running.request_id)
        return _checked(kit, rotation, secret, step, result) if result.outcome is StepOutcome.SUCCEEDED else result
    except KeyturnError:
        # The database is away: another run of this step follows when the lease has expired.
        raise
    except Exception:  # noqa: BLE001 - what nobody foresaw is a failed attempt: it must not be repeated for ever, unseen
        _log.exception("step %s of %s broke", step, secret.name)
        return Outcome(StepOutcome.NOT_INVOKED, "Keyturn itself failed; its log says how.", "internal")


def _checked(kit: Kit, rotation: RotationRecord, secret: SecretRecord, step: Step, result: Outcome) -> Outcome:
    """Look whether a step did its work: a function may return without having done it."""
    if step is Step.FINISH:
        with kit.state.read() as connection:
            labels = secrets.load_labels(connection, secret.secret_id)
        if not rules.is_finished(labels, rotation.version_id):
            said = "finishSecret returned, but AWSCURRENT is not on the version it was to finish."
            return replace(result, outcome=StepOutcome.FUNCTION_ERROR, error=said, cause="NotFinished")
    if step is Step.PROBE:
        with kit.state.read() as connection:
            return _answered(secret, versions_with_value(connection, secret), result)
    if step is Step.CREATE:
        with kit.state.read() as connection:
            pending = secret_versions.load_version(connection, secret.secret_id, rotation.version_id)
            was_current = rotations.was_rotated_to(connection, secret.secret_id, rotation.version_id)
        if _is_foreign(rotation, pending):
            return _foreign(rotation, secret)
        if was_current:
            said = rules.old_value_message(rotation.version_id, secret.arn)
            return replace(result, outcome=StepOutcome.REFUSED, error=said, cause="PendingWasCurrent")
    return result


def _foreign(rotation: RotationRecord, secret: SecretRecord) -> Outcome:
    said = rules.foreign_value_message(rotation.version_id, secret.arn, secret.rotation_function_arn or "")
    return Outcome(StepOutcome.REFUSED, said, "PendingFromElsewhere")


def _is_foreign(rotation: RotationRecord, version: VersionRecord | None) -> bool:
    """Whether somebody else than the function has stored the value that a rotation would set."""
    is_stored = version is not None and version.sealed is not None and version.from_rotation is False
    return is_stored and rotation.kind is RotationKind.ROTATION


def _answered(secret: SecretRecord, with_value: frozenset[str], result: Outcome) -> Outcome:
    """Return what the database has said as the step's cause; a question that it has left open has failed."""
    said = in_words(secret.labels, with_value, result.answers)
    if repair_of(secret.labels, with_value, result.answers) is not Repair.UNKNOWN:
        return replace(result, cause=said)
    why = result.unanswered or "the function does not say why."
    name = why.partition(":")[0]
    error = f"The database has not said which version it accepts ({said}): {why}"
    cause = name if CAUSE.fullmatch(name) else "Unanswered"
    return replace(result, outcome=StepOutcome.FUNCTION_ERROR, error=error, cause=cause)
