"""Drive one rotation through its steps, from wherever it stands.

The life of a rotation here:

1. A row with the intent to rotate and a version labelled AWSPENDING exist before anything is done (RotateSecret, or
   :func:`begin_due` when the time has come).
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
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Event

from sqlalchemy import Connection

from keyturn import ids
from keyturn.errors.base import KeyturnError
from keyturn.operations.audit_trail import resolution_event, rotation_event, step_event
from keyturn.operations.kit import Kit
from keyturn.operations.secretsmanager.planning import (
    WHILE_IT_RUNS,
    counted_from,
    plan_after_missed_window,
    plan_rotation,
)
from keyturn.operations.secretsmanager.rotation_function import function_timeout
from keyturn.operations.secretsmanager.rotation_intent import PLANS, resolve_left_version, resume, store_intent
from keyturn.operations.secretsmanager.writing import staging_of, store_change
from keyturn.rules import rotation as rules
from keyturn.rules.audit_event import ServiceEventName
from keyturn.rules.repair import Repair, in_words, repair_of, settled
from keyturn.rules.rotation import Done, Park, RunStep, Settle, Step, StepOutcome
from keyturn.rules.rotation_cause import counted_cause
from keyturn.rules.staging import Staging, begin_rotation, end_test
from keyturn.scheduler.steps import CAUSE, Outcome, invoke_step
from keyturn.storage import rotations, secret_versions, secrets
from keyturn.storage.database import Transaction
from keyturn.storage.rotation_leases import LeaseLost, is_held, write_under_lease
from keyturn.storage.rotations import RotationKind, RotationRecord, RotationStatus
from keyturn.storage.secrets import SecretRecord

_log = logging.getLogger(__name__)

# A rotation that has become due waits for the end of a test or a repair of the same secret.
_AFTER_ANOTHER = timedelta(minutes=1)
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


def begin_due(kit: Kit, secret_arn: str, now: datetime) -> None:
    """Start the rotation that a schedule has made due; one that is unfinished gets a fresh set of attempts.

    What was due while nobody was there begins now if a window is open, and is planned anew if not.
    """
    with kit.state.write() as transaction:
        current = secrets.lock_secret(transaction, secret_arn)
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
        if unfinished is not None and unfinished.kind is not RotationKind.ROTATION:
            if unfinished.kind is RotationKind.TEST or is_held(unfinished, now):
                # It takes seconds, and nobody plans the next rotation when it ends.
                secrets.update_secret(transaction, current, next_rotation_at=now + _AFTER_ANOTHER)
                return
            # A rotation takes the pending version up, and asks the database itself.
            superseded = "Its time has come to rotate, which finds out as well."
            rotations.end_unfinished(transaction, current.secret_id, RotationStatus.CANCELLED, now, superseded)
            unfinished = None
        if unfinished is not None:
            resume(transaction, unfinished, now, closes_at)
        else:
            _begin(kit, transaction, current, now, closes_at)
        # The next one is planned when this one ends, from its actual date.
        secrets.update_secret(transaction, current, next_rotation_closes_at=closes_at, **WHILE_IT_RUNS)


def _begin(kit: Kit, transaction: Transaction, secret: SecretRecord, now: datetime, closes_at: datetime | None) -> None:
    state = staging_of(transaction, secret)
    # A version that somebody left pending by hand is adopted: no second one may be pending beside it.
    token = state.unfinished_rotation or ids.new_version_id()
    change = begin_rotation(state, token, now)
    if change.added_versions:
        secret_versions.insert_empty_version(transaction, secret.secret_id, token, now)
    store_change(transaction, secret, change)
    store_intent(kit, transaction, secret, token, RotationKind.ROTATION, now, closes_at)


@dataclass(frozen=True, slots=True)
class _Running:
    """A step whose start is stored, with the secret as it was then."""

    rotation: RotationRecord
    secret: SecretRecord
    position: int
    request_id: str
    started_at: datetime

    @property
    def step(self) -> Step:
        return Step(self.rotation.step)


def _take_up(kit: Kit, rotation: RotationRecord) -> _Running | None:
    """Store that the next step of a rotation begins; None if there is none."""
    now = kit.clock.now()
    with kit.state.write() as transaction:
        secret = secrets.load_secret_by_id(transaction.connection, rotation.secret_id)
        if secret is None:
            return None
        if not _is_wanted(rotation, secret):
            _abandon(kit, transaction, rotation, secret, now)
            return None
        write_under_lease(transaction, rotation, now, step=rotation.step)
        running = _store_start(transaction, rotation, secret, rotations.next_position(transaction, rotation), now)
        if running.position == 1 and rotation.kind in _STARTED:
            rotation_event(kit, _STARTED[rotation.kind], secret.arn, rotation.version_id, now)
    return running


def _store_start(
    transaction: Transaction, rotation: RotationRecord, secret: SecretRecord, position: int, now: datetime
) -> _Running:
    """Note the start of a step, in a transaction that has written under the rotation's lease."""
    running = _Running(rotation, secret, position, ids.new_request_id(), now)
    rotations.insert_step(transaction, rotation, position, running.request_id, now)
    return running


def _run(kit: Kit, running: _Running, stopping: Event) -> _Running | None:
    """Run a step; return the one that follows at once, or None."""
    result = _run_step(kit, running)
    took = kit.clock.now() - running.started_at
    if stopping.is_set():
        # The function was ended with the server, which is not its fault: the step runs again.
        return None
    cause = counted_cause(result.cause) if result.error is not None else ""
    kit.meters.note_step(running.rotation.kind.value, running.step.value, result.outcome.value, cause, took)
    return _Ending(kit, running, result, stopping).store()


def _run_step(kit: Kit, running: _Running) -> Outcome:
    """Run the function, and look whether it did its work."""
    rotation, secret, step = running.rotation, running.secret, running.step
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
            return _answered(secret, _with_value(connection, secret), result)
    if step is Step.CREATE:
        with kit.state.read() as connection:
            pending = secret_versions.load_version(connection, secret.secret_id, rotation.version_id)
        if pending is not None and pending.sealed is not None and pending.from_rotation is False:
            said = rules.foreign_value_message(rotation.version_id, secret.arn, secret.rotation_function_arn or "")
            return replace(result, outcome=StepOutcome.REFUSED, error=said, cause="PendingFromElsewhere")
    return result


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


def _with_value(connection: Connection, secret: SecretRecord) -> frozenset[str]:
    """Return the versions that the database is asked about and that have a value."""
    labelled = {version.version_id for version in secret.versions.values() if version.sealed}
    return frozenset(labelled | set(rotations.lost_versions(connection, secret.secret_id)))


@dataclass(frozen=True, slots=True)
class _Ending:
    """What follows a step that has ended: stored in one transaction, with the secret locked."""

    kit: Kit
    running: _Running
    result: Outcome
    stopping: Event

    @property
    def rotation(self) -> RotationRecord:
        return self.running.rotation

    @property
    def step(self) -> Step:
        return self.running.step

    def store(self) -> _Running | None:
        """Store it, and return the step that follows at once, which has begun with it."""
        kit, running, result, now = self.kit, self.running, self.result, self.kit.clock.now()
        rotation, secret = running.rotation, running.secret
        function_arn = secret.rotation_function_arn or ""
        step_event(
            kit,
            secret_arn=secret.arn,
            version_id=rotation.version_id,
            step=self.step.value,
            function_arn=function_arn,
            request_id=running.request_id,
            at=now,
            error=result.error,
            refusal=result.refusal,
        )
        message, error = self._failure(function_arn)
        with kit.state.write() as transaction:
            # The secret before its rotation, as handlers do: crosswise, both would wait for each other.
            current = secrets.lock_secret(transaction, secret.arn)
            if current is None:
                return None
            rotations.end_step(
                transaction,
                rotation,
                running.position,
                now,
                outcome=result.outcome.value,
                error=result.error,
                cause=result.cause,
            )
            failure: dict[str, object] = {} if error is None else {"error": error, "cause": result.cause}
            action = self._action(transaction, current, now)
            after = self._store_action(transaction, current, action, failure, now)
            self._tell(secret, action, message, error, now)
        if (status := _status_after(rotation.kind, action)) is not None:
            kit.meters.note_end(rotation.kind.value, status.value, now - rotation.requested_at)
        return after

    def _failure(self, function_arn: str) -> tuple[str, str] | tuple[None, None]:
        """Return what RotationFailed says, and that with the function's own error; None if the step succeeded."""
        error = self.result.error
        if error is None:
            return None, None
        if self.result.outcome is StepOutcome.REFUSED:
            return error, error
        message = rules.failure_message(function_arn, self.step)
        return message, f"{message}: {error}"

    def _action(self, transaction: Transaction, secret: SecretRecord, now: datetime) -> rules.Action:
        rotation = self.rotation
        repair = Repair.UNKNOWN
        if self.step is Step.PROBE:
            repair = repair_of(secret.labels, _with_value(transaction.connection, secret), self.result.answers)
            if repair in (Repair.BACK, Repair.REVERT, Repair.RECOVER) and self._may_be_set_later(transaction, secret):
                repair = Repair.UNKNOWN
        # Asked of the database only when it matters: most steps succeed.
        has_failed = self.result.outcome is not StepOutcome.SUCCEEDED
        return rules.next_action(
            PLANS[rotation.kind],
            RunStep(self.step, rotation.attempt, rotation.due_at),
            self.result.outcome,
            now,
            window_closes_at=rotation.window_closes_at,
            jitter=self.kit.random.randbelow(1000) / 1000,
            asks_database=has_failed
            and self._offers_probe
            and rotations.has_run(transaction.connection, rotation, Step.SET),
            repair=repair,
            is_pending=Staging({}, secret.labels).unfinished_rotation is not None
            and _set_aside(transaction, rotation, secret) is None,
        )

    @property
    def _offers_probe(self) -> bool:
        return bool(self.rotation.offers_probe) or self.result.offers_probe

    def _may_be_set_later(self, transaction: Transaction, secret: SecretRecord) -> bool:
        """Whether the function of a server that was held up, not killed, may have set the pending value meanwhile.

        What the database has said of the current version is then true no longer.
        """
        since = self.running.started_at - function_timeout(self.kit, secret.rotation_function_arn, secret.arn)
        return rotations.may_still_run(transaction.connection, self.rotation, Step.SET, since)

    def _store_action(
        self,
        transaction: Transaction,
        secret: SecretRecord,
        action: rules.Action,
        failure: dict[str, object],
        now: datetime,
    ) -> _Running | None:
        rotation = self.rotation
        columns = dict(failure)
        if self.result.offers_probe and not rotation.offers_probe:
            columns["offers_probe"] = True
        if isinstance(action, RunStep):
            goes_on = action.due_at <= now
            columns |= {"step": action.step.value, "attempt": action.attempt, "due_at": action.due_at}
            if not goes_on:
                columns |= {"lease_owner": None, "lease_expires_at": None}
            write_under_lease(transaction, rotation, now, **columns)
            if action.step is Step.PROBE and not goes_on and secret.next_rotation_at is None:
                # Out of attempts, and nobody knows when the database will answer: the next window must not wait.
                self._plan(transaction, secret, now, succeeded=False)
            return self._begin_next(transaction, secret, action, now) if goes_on else None
        self._end(transaction, secret, action, columns, now)
        return None

    def _begin_next(
        self, transaction: Transaction, secret: SecretRecord, action: RunStep, now: datetime
    ) -> _Running | None:
        if self.stopping.is_set():
            return None
        rotation = replace(
            self.rotation,
            step=action.step.value,
            attempt=action.attempt,
            due_at=action.due_at,
            offers_probe=self._offers_probe,
        )
        if not _is_wanted(rotation, secret):
            _abandon(self.kit, transaction, rotation, secret, now)
            return None
        return _store_start(transaction, rotation, secret, self.running.position + 1, now)

    def _end(
        self,
        transaction: Transaction,
        secret: SecretRecord,
        action: rules.Action,
        columns: dict[str, object],
        now: datetime,
    ) -> None:
        rotation = self.rotation
        status = _status_after(rotation.kind, action)
        columns |= {"status": status, "lease_owner": None, "lease_expires_at": None}
        if isinstance(action, Done):
            # Of a rotation that had to be settled it stays to be seen what went wrong.
            columns |= {"error": None, "cause": None}
        elif action == Settle(Repair.ALL_REFUSED):
            columns |= {"error": "The database refuses every version that is stored.", "cause": "AllRefused"}
        if status is not RotationStatus.PARKED:
            columns["ended_at"] = now
        write_under_lease(transaction, rotation, now, **columns)
        if rotation.kind is RotationKind.TEST:
            store_change(transaction, secret, end_test(staging_of(transaction, secret), rotation.version_id))
            return
        if isinstance(action, Settle):
            self._settle(transaction, secret, action.repair, now)
        waiting = _set_aside(transaction, rotation, secret)
        if waiting is not None and status is RotationStatus.FAILED:
            _take_up_again(transaction, secret, waiting, now)
            return
        is_new = isinstance(action, Done) or action == Settle(Repair.FORWARD)
        if rotation.kind is RotationKind.ROTATION or is_new or secret.next_rotation_at is None:
            self._plan(transaction, secret, now, succeeded=is_new or status is RotationStatus.SUCCEEDED)

    def _settle(self, transaction: Transaction, secret: SecretRecord, repair: Repair, now: datetime) -> None:
        change = settled(staging_of(transaction, secret), repair, self.result.answers)
        store_change(transaction, secret, change)
        if change.moved_labels:
            secrets.update_secret(transaction, secret, last_changed_at=now)

    def _plan(self, transaction: Transaction, secret: SecretRecord, now: datetime, *, succeeded: bool) -> None:
        is_rotation = self.rotation.kind is RotationKind.ROTATION
        if succeeded and is_rotation:
            secrets.update_secret(transaction, secret, last_rotated_at=now)
        plan_rotation(
            self.kit,
            transaction,
            secret.arn,
            counted_from=now if succeeded else counted_from(secret),
            not_before=now if succeeded else max(now, self.rotation.window_closes_at or now),
        )

    def _tell(
        self, secret: SecretRecord, action: rules.Action, message: str | None, error: str | None, now: datetime
    ) -> None:
        kit, rotation = self.kit, self.rotation
        if message is not None and self.step is not Step.PROBE:
            rotation_event(kit, _FAILED[rotation.kind], secret.arn, rotation.version_id, now, message)
        if error is not None:
            # Quoted: a function must not write lines of this log.
            _log.warning("rotation of %s failed: %r", secret.name, error)
        if isinstance(action, Settle):
            repair = action.repair
            resolution_event(kit, secret.arn, rotation.version_id, repair.value, now)
            level = logging.INFO if repair is Repair.NONE_NEEDED else logging.WARNING
            _log.log(level, "rotation of %s was settled by what the database accepts: %s", secret.name, repair.value)
        if rotation.kind in _SUCCEEDED and _status_after(rotation.kind, action) is RotationStatus.SUCCEEDED:
            rotation_event(kit, _SUCCEEDED[rotation.kind], secret.arn, rotation.version_id, now)


def _status_after(kind: RotationKind, action: rules.Action) -> RotationStatus | None:
    """Return how a rotation has ended; None if it goes on."""
    match action:
        case RunStep():
            return None
        case Done():
            return RotationStatus.SUCCEEDED
        case Settle(Repair.ALL_REFUSED):
            return RotationStatus.FAILED
        case Settle(repair) if kind is RotationKind.RESOLUTION or repair in (Repair.FORWARD, Repair.NONE_NEEDED):
            return RotationStatus.SUCCEEDED
        case Park() if kind is RotationKind.ROTATION:
            return RotationStatus.PARKED
        case _:
            return RotationStatus.FAILED


def _set_aside(transaction: Transaction, rotation: RotationRecord, secret: SecretRecord) -> RotationRecord | None:
    """Return the rotation that waited when somebody asked for this resolution, and is to be gone on with."""
    if rotation.kind is not RotationKind.RESOLUTION or not secret.rotation_enabled:
        return None
    return rotations.load_set_aside(transaction.connection, rotation)


def _take_up_again(transaction: Transaction, secret: SecretRecord, waiting: RotationRecord, now: datetime) -> None:
    """Let a rotation wait as before: nothing came of asking the database, which must not cost it an attempt."""
    steps = rotations.load_steps(transaction.connection, waiting.rotation_id)
    failed = next((step for step in reversed(steps) if step.error is not None), None)
    said = None if failed is None else failed.error
    if failed is not None and failed.outcome != StepOutcome.REFUSED:
        said = f"{rules.failure_message(waiting.function_arn or '', Step(failed.step))}: {failed.error}"
    # One that was parked had begun its last attempt when it was due last; its next window is planned.
    was_parked = bool(steps) and steps[-1].outcome is not None and waiting.due_at <= steps[-1].started_at
    closes_at = waiting.window_closes_at
    if was_parked or (closes_at is not None and closes_at <= now):
        rotations.take_up_again(transaction, waiting, RotationStatus.PARKED, waiting.due_at, said)
        return
    rotations.take_up_again(transaction, waiting, RotationStatus.PENDING, max(waiting.due_at, now), said)
    secrets.update_secret(transaction, secret, next_rotation_closes_at=closes_at, **WHILE_IT_RUNS)


def _is_wanted(rotation: RotationRecord, secret: SecretRecord) -> bool:
    # A question is about all versions.
    is_question = rotation.kind is RotationKind.RESOLUTION
    return is_question or rules.check_labels(secret.labels, rotation.version_id) is None


def _abandon(kit: Kit, transaction: Transaction, rotation: RotationRecord, secret: SecretRecord, now: datetime) -> None:
    # As above, the secret first.
    secrets.lock_secret(transaction, secret.arn)
    write_under_lease(
        transaction,
        rotation,
        now,
        status=RotationStatus.ABANDONED,
        ended_at=now,
        error="Its version is not pending any more.",
        lease_owner=None,
        lease_expires_at=None,
    )
    plan_rotation(kit, transaction, secret.arn, counted_from=counted_from(secret), not_before=now)
    if rotation.kind is RotationKind.ROTATION:
        # As where the label was taken off; nothing of it runs.
        resolve_left_version(kit, transaction, secret, replace(rotation, lease_owner=None), now)
    rotation_event(kit, ServiceEventName.ROTATION_ABANDONED, secret.arn, rotation.version_id, now)
