"""When a secret rotates, whatever happens to it, to its server and to the clock: the rules of docs/rotation.md."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.ids import new_version_id
from keyturn.operations.secretsmanager.planning import plan_after_clock_was_set_back
from keyturn.rules.lanes import Limits
from keyturn.scheduler.due import begin_due
from keyturn.scheduler.worker import Scheduler
from keyturn.storage import planned_rotations, secrets
from keyturn.storage.rotations import RotationStatus
from keyturn.storage.secrets import SecretRecord
from keyturn.testing.handlers import open_bench

from .test_rotations import FUNCTION_ARN, STEPS
from .test_rotations import Desk as DeskOfRotations

DAY = timedelta(days=1)
# When benches begin.
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NIGHTLY = {"ScheduleExpression": "cron(0 2 * * ? *)", "Duration": "1h"}
MONTHLY = {"ScheduleExpression": "cron(0 2 1 * ? *)", "Duration": "1h"}


class Desk(DeskOfRotations):
    """Takes a scheduler's turns, at whatever the clock says."""

    def turn(self) -> None:
        """Do what is due now."""
        now = self.bench.clock.now()
        plan_after_clock_was_set_back(self.kit, now)
        with self.kit.state.read() as connection:
            due = secrets.due_for_rotation(connection, now, 10)
        for arn in due:
            begin_due(self.kit, arn, now)
        self.work()

    def set_clock(self, to: datetime) -> None:
        """Put the clock forward or back, and let the scheduler look."""
        self.bench.clock.advance(to - self.bench.clock.now())
        self.turn()

    def rotate(self, **request: Any) -> str:
        """Ask for a rotation; by the rules there are already, if none are sent."""
        token = new_version_id()
        self.call("RotateSecret", SecretId="db", RotationLambdaARN=FUNCTION_ARN, ClientRequestToken=token, **request)
        return token

    def configured(self, rules: dict[str, Any], *, immediately: bool = True) -> None:
        """Switch rotation on, and let what is to happen at once happen."""
        self.rotate(RotationRules=rules, RotateImmediately=immediately)
        self.turn()
        self.runtime.steps.clear()

    def put(self) -> None:
        """Change the value by hand."""
        self.call("PutSecretValue", SecretId="db", SecretString="by hand", ClientRequestToken=new_version_id())

    @property
    def stored(self) -> SecretRecord:
        """The secret as it is stored."""
        with self.kit.state.read() as connection:
            secret = secrets.load_secret(connection, self.call("DescribeSecret", SecretId="db")["ARN"])
        assert secret is not None
        return secret

    def is_planned(self) -> bool:
        """Whether it rotates by itself."""
        return self.stored.next_rotation_at is not None

    @property
    def planned_at(self) -> datetime:
        """The moment that was chosen."""
        assert self.stored.next_rotation_at is not None
        return self.stored.next_rotation_at

    def has_rotated(self) -> bool:
        """Whether a rotation has run since this was asked last."""
        steps = list(self.runtime.steps)
        self.runtime.steps.clear()
        assert steps in ([], STEPS)
        return bool(steps)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_bench(tmp_path) as bench:
        desk = Desk(bench)
        assert bench.clock.now() == START
        yield desk


def _date(moment: datetime) -> date:
    return moment.date()


def test_the_next_date_is_counted_from_the_actual_date_of_the_last_rotation(desk: Desk) -> None:
    desk.configured({"AutomaticallyAfterDays": 30})
    assert _date(desk.planned_at) == date(2026, 2, 1)
    desk.set_clock(desk.planned_at - timedelta(seconds=1))
    assert not desk.has_rotated()
    desk.set_clock(desk.planned_at)
    assert desk.has_rotated()
    assert _date(desk.planned_at) == date(2026, 3, 3)


def test_a_value_put_by_hand_counts_as_a_rotation(desk: Desk) -> None:
    desk.configured({"AutomaticallyAfterDays": 30})
    desk.set_clock(START + 10 * DAY)
    desk.put()
    assert _date(desk.planned_at) == date(2026, 2, 11)
    # Also when a rotation that somebody has asked for fails afterwards.
    desk.set_clock(START + 12 * DAY)
    desk.runtime.fails_in = "setSecret"
    desk.rotate()
    for _ in range(6):
        desk.set_clock(desk.bench.clock.now() + timedelta(minutes=5))
    assert desk.history()[0].status is RotationStatus.PARKED
    assert _date(desk.planned_at) == date(2026, 2, 11)


def test_rotation_that_is_switched_on_for_later_counts_from_now(desk: Desk) -> None:
    desk.set_clock(START + 100 * DAY)
    desk.configured({"AutomaticallyAfterDays": 30}, immediately=False)
    assert _date(desk.planned_at) == _date(START + 130 * DAY)


def test_a_first_rotation_that_fails_is_tried_again_the_same_day_or_the_next(desk: Desk) -> None:
    desk.runtime.fails_in = "setSecret"
    desk.rotate(RotationRules={"AutomaticallyAfterDays": 30})
    for _ in range(6):
        desk.set_clock(desk.bench.clock.now() + timedelta(minutes=5))
    assert desk.history()[0].status is RotationStatus.PARKED
    assert _date(desk.planned_at) == _date(START)


def test_a_rotation_that_fails_in_its_window_is_tried_again_in_the_next(desk: Desk) -> None:
    desk.configured({"AutomaticallyAfterDays": 30})
    desk.runtime.fails_in = "setSecret"
    due = desk.planned_at
    for minutes in range(0, 40, 5):
        desk.set_clock(due + timedelta(minutes=minutes))
    assert desk.history()[0].status is RotationStatus.PARKED
    assert _date(desk.planned_at) == _date(due) + DAY


def test_another_schedule_replaces_what_was_planned(desk: Desk) -> None:
    desk.configured({"AutomaticallyAfterDays": 30})
    before = desk.planned_at
    desk.set_clock(START + 5 * DAY)
    desk.rotate(RotationRules={"AutomaticallyAfterDays": 60}, RotateImmediately=False)
    desk.turn()
    assert desk.runtime.steps == ["testSecret"]
    desk.runtime.steps.clear()
    assert _date(desk.planned_at) == _date(START) + 60 * DAY
    # AWS warns that with these rules the rotation that was planned already may still happen. Here it does not.
    desk.set_clock(before + timedelta(minutes=1))
    assert not desk.has_rotated()


def test_a_shorter_schedule_by_which_it_is_late_already_is_due_today(desk: Desk) -> None:
    desk.configured({"AutomaticallyAfterDays": 30})
    desk.set_clock(START + 20 * DAY)
    desk.rotate(RotationRules={"AutomaticallyAfterDays": 7}, RotateImmediately=False)
    assert _date(desk.planned_at) == _date(START + 20 * DAY)


def test_another_schedule_with_a_rotation_at_once_is_planned_when_that_ends(desk: Desk) -> None:
    desk.configured({"AutomaticallyAfterDays": 30})
    desk.rotate(RotationRules=MONTHLY)
    assert not desk.is_planned()
    desk.work()
    assert desk.planned_at.replace(minute=0, second=0) == datetime(2026, 2, 1, 2, tzinfo=UTC)


def test_rules_that_are_left_out_stay_and_empty_ones_end_the_schedule(desk: Desk) -> None:
    desk.configured({"AutomaticallyAfterDays": 30})
    desk.rotate()
    desk.work()
    assert desk.stored.rotation_rules == {"AutomaticallyAfterDays": 30}
    assert desk.is_planned()

    desk.configured({})
    described = desk.call("DescribeSecret", SecretId="db")
    assert described["RotationEnabled"]
    assert "NextRotationDate" not in described
    assert not desk.is_planned()
    desk.set_clock(START + 400 * DAY)
    assert not desk.has_rotated()


def test_a_cancelled_rotation_is_planned_again_when_it_is_switched_on(desk: Desk) -> None:
    desk.configured({"AutomaticallyAfterDays": 30})
    desk.set_clock(START + DAY)
    desk.call("CancelRotateSecret", SecretId="db")
    desk.set_clock(START + 40 * DAY)
    assert not desk.has_rotated()
    # The rules are kept, and the count goes on: a date that was missed becomes today.
    desk.rotate(RotateImmediately=False)
    assert _date(desk.planned_at) == _date(START + 40 * DAY)


def test_a_value_put_by_hand_while_rotation_was_off_counts_when_it_is_switched_on(desk: Desk) -> None:
    desk.configured({"AutomaticallyAfterDays": 30})
    desk.call("CancelRotateSecret", SecretId="db")
    desk.set_clock(START + 40 * DAY)
    desk.put()
    desk.set_clock(START + 45 * DAY)
    desk.rotate(RotateImmediately=False)
    assert _date(desk.planned_at) == _date(START + 70 * DAY)


def test_a_date_that_was_missed_becomes_today_and_begins_at_once(desk: Desk) -> None:
    desk.configured({"AutomaticallyAfterDays": 30})
    back_again = datetime(2026, 2, 20, 17, 5, tzinfo=UTC)
    desk.set_clock(back_again)
    assert desk.has_rotated()
    # It may be tried until the end of today, not of the day that was missed.
    assert desk.history()[0].window_closes_at == datetime(2026, 2, 21, tzinfo=UTC)
    assert _date(desk.planned_at) == date(2026, 3, 22)


def test_a_window_that_was_missed_is_not_made_up_for_outside_of_windows(desk: Desk) -> None:
    desk.configured(NIGHTLY)
    assert desk.planned_at.replace(minute=0, second=0) == datetime(2026, 1, 3, 2, tzinfo=UTC)
    desk.set_clock(datetime(2026, 1, 5, 9, tzinfo=UTC))
    assert not desk.has_rotated()
    assert desk.planned_at.replace(minute=0, second=0) == datetime(2026, 1, 6, 2, tzinfo=UTC)
    desk.set_clock(desk.planned_at)
    assert desk.has_rotated()


def test_a_server_that_is_back_in_time_for_another_window_begins_at_once(desk: Desk) -> None:
    desk.configured(NIGHTLY)
    desk.set_clock(datetime(2026, 1, 7, 2, 58, tzinfo=UTC))
    assert desk.has_rotated()
    assert desk.history()[0].window_closes_at == datetime(2026, 1, 7, 3, tzinfo=UTC)


def test_a_server_that_is_back_before_the_window_is_over_begins_at_once(desk: Desk) -> None:
    desk.configured(NIGHTLY)
    desk.set_clock(datetime(2026, 1, 3, 2, 59, tzinfo=UTC))
    assert desk.has_rotated()


@pytest.mark.parametrize("ahead", [timedelta(hours=2), 60 * DAY, 3000 * DAY])
@pytest.mark.parametrize("rules", [{"AutomaticallyAfterDays": 30}, NIGHTLY, {"ScheduleExpression": "rate(6 hours)"}])
def test_a_clock_that_was_ahead_neither_rotates_twice_nor_keeps_secrets_waiting(
    desk: Desk, rules: dict[str, Any], ahead: timedelta
) -> None:
    desk.configured(rules)
    due = desk.planned_at
    desk.set_clock(due)
    assert desk.has_rotated()
    interval = desk.planned_at - due
    # The clock jumps ahead; what is due by it rotates, and what is not does not.
    desk.set_clock(due + ahead)
    desk.has_rotated()
    # It is put right, a minute later in earnest.
    desk.set_clock(due + timedelta(minutes=1))
    assert not desk.has_rotated()
    for minutes in range(2, 60):
        desk.set_clock(due + timedelta(minutes=minutes))
        assert not desk.has_rotated()
    assert desk.planned_at <= due + interval + 2 * DAY
    desk.set_clock(desk.planned_at)
    assert desk.has_rotated()


def test_a_plan_is_kept_when_the_clock_is_set_back_by_less_than_a_day(desk: Desk) -> None:
    desk.configured({"AutomaticallyAfterDays": 30})
    planned = desk.planned_at
    desk.set_clock(START - timedelta(hours=23))
    assert desk.planned_at == planned


def test_a_secret_whose_rotation_is_off_is_not_planned_by_a_clock_that_is_set_back(desk: Desk) -> None:
    desk.configured({"AutomaticallyAfterDays": 30})
    desk.call("CancelRotateSecret", SecretId="db")
    desk.set_clock(START - 10 * DAY)
    assert not desk.is_planned()
    with desk.kit.state.read() as connection:
        assert planned_rotations.load_planned_after(connection, desk.bench.clock.now(), 10) == []


def test_taking_awspending_off_a_failed_rotation_is_no_rotation(desk: Desk) -> None:
    desk.configured({"AutomaticallyAfterDays": 30})
    desk.runtime.fails_in = "setSecret"
    due = desk.planned_at
    for minutes in range(0, 40, 5):
        desk.set_clock(due + timedelta(minutes=minutes))
    pending = desk.stored.labels["AWSPENDING"]
    desk.call("UpdateSecretVersionStage", SecretId="db", VersionStage="AWSPENDING", RemoveFromVersionId=pending)
    # It is late, and stays so.
    assert _date(desk.planned_at) == _date(due)


def test_the_scheduler_finds_a_clock_that_was_set_back(desk: Desk) -> None:
    desk.set_clock(START + 60 * DAY)
    desk.configured({"AutomaticallyAfterDays": 30})
    desk.bench.clock.advance(-60 * DAY)
    scheduler = Scheduler(desk.kit, Limits(total=1, per_function=1, per_database=1))
    scheduler.run_once()
    scheduler.join()
    assert _date(desk.planned_at) == _date(START + 30 * DAY)
