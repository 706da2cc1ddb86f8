from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyturn.rules.repair import Repair
from keyturn.rules.rotation import (
    RESOLUTION,
    ROTATION,
    TEST,
    Abandoned,
    Done,
    Park,
    Plan,
    RunStep,
    Settle,
    Step,
    StepOutcome,
    check_labels,
    ended_by,
    failure_message,
    is_finished,
    next_action,
    retry_delay,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FAILURES = sorted({*StepOutcome} - {StepOutcome.SUCCEEDED, StepOutcome.REFUSED})


def _after(
    step: Step,
    outcome: StepOutcome = StepOutcome.SUCCEEDED,
    *,
    attempt: int = 1,
    closes_at: datetime | None = None,
    plan: Plan = ROTATION,
    asks_database: bool = False,
    repair: Repair = Repair.UNKNOWN,
) -> object:
    return next_action(
        plan,
        RunStep(step, attempt, NOW),
        outcome,
        NOW,
        window_closes_at=closes_at,
        jitter=0,
        asks_database=asks_database,
        repair=repair,
    )


def test_the_four_steps_follow_each_other_at_once() -> None:
    assert ROTATION.first_step == "createSecret"
    assert _after(Step.CREATE) == RunStep(Step.SET, 1, NOW)
    assert _after(Step.SET) == RunStep(Step.TEST, 1, NOW)
    assert _after(Step.TEST, attempt=3) == RunStep(Step.FINISH, 3, NOW)
    assert _after(Step.FINISH) == Done()


@pytest.mark.parametrize("outcome", [*FAILURES])
@pytest.mark.parametrize("step", ROTATION.steps)
def test_a_failed_attempt_begins_again_at_the_first_step(step: Step, outcome: StepOutcome) -> None:
    assert _after(step, outcome, attempt=2) == RunStep(Step.CREATE, 3, NOW + timedelta(seconds=10))


def test_attempts_are_bounded_by_number_and_by_the_window() -> None:
    assert _after(Step.SET, StepOutcome.TIMEOUT, attempt=5) == Park()
    assert _after(Step.SET, StepOutcome.TIMEOUT, closes_at=NOW + timedelta(seconds=5)) == Park()
    assert isinstance(_after(Step.SET, StepOutcome.TIMEOUT, closes_at=NOW + timedelta(seconds=6)), RunStep)


def test_a_step_that_succeeds_late_is_followed_even_after_the_window() -> None:
    assert _after(Step.SET, closes_at=NOW) == RunStep(Step.TEST, 1, NOW)


def test_a_test_is_one_step_without_retry() -> None:
    run = RunStep(TEST.first_step, 1, NOW)
    for outcome, expected in ((StepOutcome.SUCCEEDED, Done()), (StepOutcome.FUNCTION_ERROR, Park())):
        assert next_action(TEST, run, outcome, NOW, window_closes_at=None, jitter=0.5) == expected


def test_delays_double_up_to_five_minutes_and_jitter_takes_up_to_half() -> None:
    assert [retry_delay(attempt, 0).total_seconds() for attempt in (1, 2, 3, 6, 7, 500)] == [5, 10, 20, 160, 300, 300]
    assert retry_delay(1, 0.999) > timedelta(seconds=2.5)


def test_a_rotation_is_wanted_while_its_version_is_pending_or_current() -> None:
    assert check_labels({"AWSCURRENT": "v1", "AWSPENDING": "v2"}, "v2") is None
    assert check_labels({"AWSCURRENT": "v2", "AWSPREVIOUS": "v1"}, "v2") is None
    assert check_labels({"AWSCURRENT": "v3", "AWSPREVIOUS": "v1"}, "v2") == Abandoned()
    assert is_finished({"AWSCURRENT": "v2"}, "v2")
    assert not is_finished({"AWSCURRENT": "v1", "AWSPENDING": "v2"}, "v2")


@pytest.mark.parametrize(
    ("before", "after", "end"),
    [
        # Still pending, or made current by finishSecret, whether it takes AWSPENDING off or not.
        ({"AWSCURRENT": "v1", "AWSPENDING": "v2"}, {"AWSCURRENT": "v1", "AWSPENDING": "v2", "MINE": "v2"}, None),
        ({"AWSCURRENT": "v1", "AWSPENDING": "v2"}, {"AWSCURRENT": "v2", "AWSPENDING": "v2"}, None),
        ({"AWSCURRENT": "v2", "AWSPENDING": "v2"}, {"AWSCURRENT": "v2"}, None),
        ({"AWSCURRENT": "v1", "AWSPENDING": "v2"}, {"AWSCURRENT": "v1"}, Abandoned()),
        ({"AWSCURRENT": "v1", "AWSPENDING": "v2"}, {"AWSCURRENT": "v3"}, Abandoned()),
        ({"AWSCURRENT": "v1", "AWSPENDING": "v2"}, {"AWSCURRENT": "v1", "AWSPENDING": "v3"}, Abandoned()),
        # It was rotated to before something else came.
        ({"AWSCURRENT": "v2", "AWSPENDING": "v2"}, {"AWSCURRENT": "v3"}, Done()),
        ({"AWSCURRENT": "v2"}, {"AWSCURRENT": "v2", "AWSPENDING": "v3"}, Done()),
    ],
)
def test_a_change_of_labels_may_decide_a_rotation(
    before: dict[str, str], after: dict[str, str], end: Done | Abandoned | None
) -> None:
    assert ended_by(before, after, "v2", is_parked=False) == end


def test_a_parked_rotation_whose_version_is_made_current_by_hand_is_done() -> None:
    after = {"AWSCURRENT": "v2", "AWSPENDING": "v2"}
    assert ended_by({"AWSCURRENT": "v1", "AWSPENDING": "v2"}, after, "v2", is_parked=True) == Done()


def test_a_failure_reads_as_in_aws() -> None:
    assert failure_message("arn:f", Step.SET) == "Error when executing lambda arn:f during setSecret step"


def test_what_no_further_try_can_change_is_parked_at_once() -> None:
    assert _after(Step.CREATE, StepOutcome.REFUSED) == Park()


@pytest.mark.parametrize("outcome", FAILURES)
@pytest.mark.parametrize("step", ROTATION.steps)
def test_a_database_that_may_have_been_touched_is_asked_at_once(step: Step, outcome: StepOutcome) -> None:
    for attempt in (1, 5):
        assert _after(step, outcome, attempt=attempt, asks_database=True) == RunStep(Step.PROBE, attempt, NOW)


@pytest.mark.parametrize("attempt", [1, 5, 60])
@pytest.mark.parametrize("repair", [Repair.FORWARD, Repair.NONE_NEEDED, Repair.RECOVER])
def test_a_password_that_the_database_has_already_is_taken(attempt: int, repair: Repair) -> None:
    assert _after(Step.PROBE, attempt=attempt, repair=repair) == Settle(repair)


@pytest.mark.parametrize("repair", [Repair.BACK, Repair.REVERT, Repair.ALL_REFUSED, Repair.UNKNOWN])
def test_as_long_as_there_are_attempts_the_next_one_follows_the_question(repair: Repair) -> None:
    assert _after(Step.PROBE, attempt=2, repair=repair) == RunStep(Step.CREATE, 3, NOW + timedelta(seconds=10))


@pytest.mark.parametrize(
    ("repair", "after"),
    [
        (Repair.BACK, Settle(Repair.BACK)),
        (Repair.REVERT, Settle(Repair.REVERT)),
        (Repair.ALL_REFUSED, Park()),
        (Repair.UNKNOWN, RunStep(Step.PROBE, 6, NOW + timedelta(seconds=80))),
    ],
)
@pytest.mark.parametrize("outcome", StepOutcome)
def test_then_the_labels_follow_the_database_or_it_is_asked_again(
    repair: Repair, after: object, outcome: StepOutcome
) -> None:
    assert _after(Step.PROBE, outcome, attempt=5, repair=repair) == after
    assert _after(Step.PROBE, outcome, closes_at=NOW, repair=repair, attempt=5) == after


def test_a_resolution_asks_until_it_is_answered_and_does_what_it_finds() -> None:
    for attempt, seconds in ((1, 5), (5, 80), (50, 300)):
        asked = _after(Step.PROBE, plan=RESOLUTION, attempt=attempt)
        assert asked == RunStep(Step.PROBE, attempt + 1, NOW + timedelta(seconds=seconds))
    for repair in set(Repair) - {Repair.UNKNOWN}:
        assert _after(Step.PROBE, plan=RESOLUTION, repair=repair) == Settle(repair)
