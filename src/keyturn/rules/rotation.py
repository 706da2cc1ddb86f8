"""One rotation as a state machine: which step comes next, and what a failed one means.

The four steps run in order with the same token. A step that fails ends the attempt, and the next attempt begins at the
first step again, as AWS retries the whole process; every step may be repeated. Attempts are spaced wider and wider,
and bounded by number and by the rotation window; then the rotation is parked until the next window.

How AWS spaces and counts its tries is not documented; these numbers are ours.

Source: Secrets Manager User Guide, "Rotation function" and "Troubleshoot rotation".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from keyturn.rules.staging import AWSCURRENT, AWSPENDING

_FIRST_DELAY = timedelta(seconds=5)
_LONGEST_DELAY = timedelta(minutes=5)


class Step(StrEnum):
    """The steps of a rotation, in order, spelled as rotation functions expect them."""

    CREATE = "createSecret"
    SET = "setSecret"
    TEST = "testSecret"
    FINISH = "finishSecret"


class StepOutcome(StrEnum):
    """How one invocation of the rotation function ended."""

    SUCCEEDED = "succeeded"
    FUNCTION_ERROR = "functionError"
    TIMEOUT = "timeout"
    THROTTLED = "throttled"
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


ROTATION = Plan(tuple(Step), attempts=5)
# RotateImmediately=false: a look whether the function works, with a copy of the current value, and no retry.
TEST = Plan((Step.TEST,), attempts=1)


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
class Abandoned:
    """Somebody has taken the version's labels away; nothing is left to do."""


Action = RunStep | Park | Done | Abandoned


def next_action(
    plan: Plan,
    current: RunStep,
    outcome: StepOutcome,
    now: datetime,
    *,
    window_closes_at: datetime | None,
    jitter: float,
) -> Action:
    """Return what follows a step.

    Args:
        plan: Rotation or test.
        current: The step that has ended.
        outcome: How it ended.
        now: Aware UTC.
        window_closes_at: No attempt begins at or after this moment; None for a rotation without schedule.
        jitter: Uniform in [0, 1); keeps secrets that failed together from trying again together.
    """
    if outcome is StepOutcome.SUCCEEDED:
        position = plan.steps.index(current.step) + 1
        if position == len(plan.steps):
            return Done()
        return RunStep(plan.steps[position], current.attempt, now)
    due_at = now + retry_delay(current.attempt, jitter)
    if current.attempt >= plan.attempts or (window_closes_at is not None and due_at >= window_closes_at):
        return Park()
    return RunStep(plan.first_step, current.attempt + 1, due_at)


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
