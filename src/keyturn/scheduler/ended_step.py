"""What follows a step that has ended: the next one, another attempt, or the end of the rotation."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event

from keyturn.operations.audit_trail import resolution_event, rotation_event, step_event
from keyturn.operations.kit import Kit
from keyturn.operations.secretsmanager.overtaken_preflight import look_again_soon
from keyturn.operations.secretsmanager.planning import WHILE_IT_RUNS, counted_from, plan_rotation
from keyturn.operations.secretsmanager.rotation_function import function_timeout
from keyturn.operations.secretsmanager.rotation_intent import PLANS
from keyturn.operations.secretsmanager.writing import staging_of, store_change
from keyturn.rules import rotation as rules
from keyturn.rules.audit_event import ServiceEventName
from keyturn.rules.repair import Repair, repair_of, settled
from keyturn.rules.rotation import Done, Park, RunStep, Settle, Step, StepOutcome
from keyturn.rules.staging import Staging, end_test
from keyturn.scheduler.running_step import RunningStep, abandon, is_wanted, store_start
from keyturn.scheduler.steps import Outcome, versions_with_value
from keyturn.storage import rotations, secrets
from keyturn.storage.database import Transaction
from keyturn.storage.rotation_leases import write_under_lease
from keyturn.storage.rotations import RotationKind, RotationRecord, RotationStatus
from keyturn.storage.secrets import SecretRecord

_log = logging.getLogger(__name__)

_SUCCEEDED = {
    RotationKind.ROTATION: ServiceEventName.ROTATION_SUCCEEDED,
    RotationKind.TEST: ServiceEventName.TEST_ROTATION_SUCCEEDED,
}
_FAILED = {
    RotationKind.ROTATION: ServiceEventName.ROTATION_FAILED,
    RotationKind.TEST: ServiceEventName.TEST_ROTATION_FAILED,
}


@dataclass(frozen=True, slots=True)
class EndedStep:
    """What follows a step that has ended: stored in one transaction, with the secret locked."""

    kit: Kit
    running: RunningStep
    result: Outcome
    stopping: Event

    @property
    def rotation(self) -> RotationRecord:
        """The rotation as it was when the step began."""
        return self.running.rotation

    @property
    def step(self) -> Step:
        """Which step."""
        return self.running.step

    def store(self) -> RunningStep | None:
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
            if rotation.kind is RotationKind.ROTATION and not is_wanted(rotation, current):
                # Somebody took the label off while the step ran.
                abandon(kit, transaction, replace(rotation, offers_probe=self._offers_probe), current, now)
                return None
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
            repair = repair_of(secret.labels, versions_with_value(transaction.connection, secret), self.result.answers)
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
            asks_database=has_failed and self._offers_probe and self._may_be_set(transaction, secret),
            repair=repair,
            is_pending=self._is_pending(transaction, secret),
        )

    def _may_be_set(self, transaction: Transaction, secret: SecretRecord) -> bool:
        """Whether the database may have another version than the current one."""
        connection = transaction.connection
        has_run = rotations.has_run(connection, self.rotation, Step.SET)
        return has_run or rotations.lost_since(connection, secret) is not None

    def _is_pending(self, transaction: Transaction, secret: SecretRecord) -> bool:
        """Whether the database is asked until it answers: a version waits for that, and no rotation that goes on."""
        rotation = self.rotation
        if self.step is not Step.PROBE or _set_aside(transaction, rotation, secret) is not None:
            return False
        if Staging({}, secret.labels).unfinished_rotation is not None:
            return True
        return rotation.version_id in rotations.lost_versions(transaction.connection, rotation.secret_id)

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
    ) -> RunningStep | None:
        rotation = self.rotation
        columns = dict(failure)
        is_rotation = rotation.kind is RotationKind.ROTATION
        if failure and is_rotation and secret.failed_rotation_id != rotation.rotation_id:
            # However it ends, and whoever ends it: until a rotation succeeds, this is how it stands with the secret.
            secrets.update_secret(transaction, secret, failed_rotation_id=rotation.rotation_id)
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
    ) -> RunningStep | None:
        if self.stopping.is_set():
            return None
        rotation = replace(
            self.rotation,
            step=action.step.value,
            attempt=action.attempt,
            due_at=action.due_at,
            offers_probe=self._offers_probe,
        )
        if not is_wanted(rotation, secret):
            abandon(self.kit, transaction, rotation, secret, now)
            return None
        return store_start(transaction, rotation, secret, self.running.position + 1, now)

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
        is_rotation = rotation.kind is RotationKind.ROTATION
        if is_rotation or is_new or secret.next_rotation_at is None:
            has_rotated = is_new or (is_rotation and status is RotationStatus.SUCCEEDED)
            self._plan(transaction, secret, now, succeeded=has_rotated)

    def _settle(self, transaction: Transaction, secret: SecretRecord, repair: Repair, now: datetime) -> None:
        change = settled(staging_of(transaction, secret), repair, self.result.answers)
        store_change(transaction, secret, change)
        if change.moved_labels:
            secrets.update_secret(transaction, secret, last_changed_at=now)

    def _plan(self, transaction: Transaction, secret: SecretRecord, now: datetime, *, succeeded: bool) -> None:
        if succeeded:
            is_rotation = self.rotation.kind is RotationKind.ROTATION
            rotated = {"last_rotated_at": now} if is_rotation else {}
            secrets.update_secret(transaction, secret, failed_rotation_id=None, **rotated)
            look_again_soon(self.kit, transaction, secret, now)
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
