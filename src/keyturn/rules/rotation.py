"""One rotation as a state machine: which step comes next, and what a failed one means.

The four steps run in order with the same token. A step that fails ends the attempt, and the next attempt begins at the
first step again, as AWS retries the whole process; every step may be repeated. Attempts are spaced wider and wider,
and bounded by number and by the rotation window; then the rotation is parked until the next window.

A function may offer a fifth step, ``probeSecret``: it asks the database which of the stored versions it accepts. It
runs after an attempt that failed when the database may have been touched. If the database has the new password
already, the rotation is finished at once; when the attempts are exhausted, the labels are brought in line with what
the database says; and a database that cannot be asked is asked again, for as long as it takes.

How AWS spaces and counts its tries is not documented; these numbers are ours. ``probeSecret`` is Keyturn's own.

Source: Secrets Manager User Guide, "Rotation function" and "Troubleshoot rotation".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from keyturn.rules.repair import Repair
from keyturn.rules.staging import AWSCURRENT, AWSPENDING

_FIRST_DELAY = timedelta(seconds=5)
_LONGEST_DELAY = timedelta(minutes=5)


class Step(StrEnum):
    """The steps of a rotation, in order, spelled as rotation functions expect them."""

    CREATE = "createSecret"
    SET = "setSecret"
    TEST = "testSecret"
    FINISH = "finishSecret"
    # No function has to know it; see the module's description.
    PROBE = "probeSecret"


class StepOutcome(StrEnum):
    """How one invocation of the rotation function ended."""

    SUCCEEDED = "succeeded"
    FUNCTION_ERROR = "functionError"
    TIMEOUT = "timeout"
    THROTTLED = "throttled"
    # Trying again would change nothing.
    REFUSED = "refused"
    # Secrets Manager may not invoke the function, or it is gone.
    NOT_INVOKED = "notInvoked"


@dataclass(frozen=True, slots=True)
class Plan:
    """Which steps make up a run, and how often the run is tried within one window."""

    steps: tuple[Step, ...]
    attempts: int

    @property
    def first_step(self) -> Step:
        """Where every attempt begins."""
        return self.steps[0]


ROTATION = Plan((Step.CREATE, Step.SET, Step.TEST, Step.FINISH), attempts=5)
# RotateImmediately=false: a look whether the function works, with a copy of the current value, and no retry.
TEST = Plan((Step.TEST,), attempts=1)
# Somebody wants to know, or has cancelled a rotation that may have touched the database. It is asked until it answers,
# unless nothing is pending.
RESOLUTION = Plan((Step.PROBE,), attempts=5)


@dataclass(frozen=True, slots=True)
class RunStep:
    """Invoke the function with ``step``, not before ``due_at``."""

    step: Step
    attempt: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Park:
    """Give up until the next window; AWSPENDING stays where it is."""


@dataclass(frozen=True, slots=True)
class Done:
    """The last step has succeeded."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Bring the labels in line with the database; that ends the rotation."""

    repair: Repair


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Somebody has taken the version's labels away; nothing is left to do."""


Action = RunStep | Park | Done | Settle | Abandoned


def next_action(
    plan: Plan,
    current: RunStep,
    outcome: StepOutcome,
    now: datetime,
    *,
    window_closes_at: datetime | None,
    jitter: float,
    asks_database: bool = False,
    repair: Repair = Repair.UNKNOWN,
    is_pending: bool = True,
) -> Action:
    """Return what follows a step.

    Args:
        plan: Rotation or test.
        current: The step that has ended.
        outcome: How it ended.
        now: Aware UTC.
        window_closes_at: No attempt begins at or after this moment; None for a rotation without schedule.
        jitter: Uniform in [0, 1); keeps secrets that failed together from trying again together.
        asks_database: Whether the database may have been touched, and the function knows ``probeSecret``.
        repair: What ``probeSecret`` found, if that was the step.
        is_pending: Whether a version is pending that the database may have: then it is asked until it answers.
    """
    due_at = now + retry_delay(current.attempt, jitter)
    is_last = current.attempt >= plan.attempts or (window_closes_at is not None and due_at >= window_closes_at)
    if current.step is Step.PROBE:
        if repair is Repair.UNKNOWN and is_last and not is_pending:
            return Park()
        return _after_probe(plan, current, repair, due_at, is_last=is_last)
    if outcome is StepOutcome.SUCCEEDED:
        position = plan.steps.index(current.step) + 1
        if position == len(plan.steps):
            return Done()
        return RunStep(plan.steps[position], current.attempt, now)
    if asks_database:
        # The database may have the new password while AWSCURRENT is on the old one: that is not left for a minute.
        return RunStep(Step.PROBE, current.attempt, now)
    if is_last or outcome is StepOutcome.REFUSED:
        return Park()
    return RunStep(plan.first_step, current.attempt + 1, due_at)


def _after_probe(plan: Plan, current: RunStep, repair: Repair, due_at: datetime, *, is_last: bool) -> Action:
    if repair in (Repair.FORWARD, Repair.NONE_NEEDED, Repair.RECOVER):
        # No further attempt could do more: the function itself tries the labelled versions only.
        return Settle(repair)
    if plan.first_step is not Step.PROBE:
        if not is_last:
            return RunStep(plan.first_step, current.attempt + 1, due_at)
        if repair is Repair.ALL_REFUSED:
            return Park()
    if repair is Repair.UNKNOWN:
        # AWSCURRENT may be refused while the pending version would be accepted: it is found out as soon as it can be.
        return RunStep(Step.PROBE, current.attempt + 1, due_at)
    return Settle(repair)


def retry_delay(attempt: int, jitter: float) -> timedelta:
    """Return the time between failed attempt ``attempt`` (from 1) and the next: it doubles, up to five minutes.

    ``jitter`` in [0, 1) takes up to half of it away.
    """
    # Beyond ten doublings the bound holds anyway.
    delay = min(_FIRST_DELAY * (1 << min(attempt - 1, 10)), _LONGEST_DELAY)
    return delay * (1 - jitter / 2)


def check_labels(labels: Mapping[str, str], token: str) -> Abandoned | None:
    """Say whether a rotation is still wanted; to be asked before every step.

    Args:
        labels: Staging label to version id, as stored now.
        token: The version the rotation makes.

    Returns:
        None as long as the version is pending or has become current already.
    """
    return None if token in (labels.get(AWSPENDING), labels.get(AWSCURRENT)) else Abandoned()


def is_finished(labels: Mapping[str, str], token: str) -> bool:
    """Whether finishSecret did its work: without the label moved, its success is a failed step."""
    return labels.get(AWSCURRENT) == token


def ended_by(
    before: Mapping[str, str], after: Mapping[str, str], token: str, *, is_parked: bool
) -> Done | Abandoned | None:
    """Say whether a change of labels by anybody has decided a rotation.

    A version that is neither pending nor current has no rotation to wait for. One that is current has been rotated to;
    its rotation ends with finishSecret, unless another version is current or pending before that, or nobody runs it
    until its next window, which would be spent on work that is done.

    Args:
        before: Staging label to version id.
        after: Likewise.
        token: The version the rotation makes.
        is_parked: Whether it was given up until its next window.

    Returns:
        None if the rotation goes on.
    """
    pending, current = after.get(AWSPENDING), after.get(AWSCURRENT)
    if token not in (before.get(AWSCURRENT), current):
        return None if pending == token else Abandoned()
    is_superseded = current != token or pending not in (None, token)
    return Done() if is_superseded or is_parked else None


def failure_message(function_arn: str, step: Step) -> str:
    """Return what RotationFailed says, in AWS's words."""
    return f"Error when executing lambda {function_arn} during {step} step"


def old_value_message(version_id: str, secret_arn: str) -> str:
    """Return what RotationFailed says of a pending version that a rotation has made current before."""
    return (
        f"Pending secret version {version_id} for Secret {secret_arn} has been current before, and its password is not"
        " set again. Remove the AWSPENDING staging label and restart rotation"
    )


def foreign_value_message(version_id: str, secret_arn: str, function_arn: str) -> str:
    """Return what RotationFailed says of a pending value that somebody else stored.

    Source: AWS Secrets Manager User Guide, "Troubleshoot rotation".
    """
    return (
        f"Pending secret version {version_id} for Secret {secret_arn} was not created by Lambda {function_arn}. Remove"
        " the AWSPENDING staging label and restart rotation"
    )
