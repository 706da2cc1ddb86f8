from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.rules.schedule import (
    Days,
    Hours,
    RotationRules,
    RotationWindow,
    choose_moment,
    days_until_next,
    next_window,
    parse_rotation_rules,
)


class Dice:
    """Repeatable randomness."""

    def __init__(self) -> None:
        self._random = random.Random(7)

    def randbelow(self, exclusive_upper_bound: int, /) -> int:
        return self._random.randrange(exclusive_upper_bound)


def _at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 1, 1, hour, minute, tzinfo=UTC) + timedelta(days=day - 1)


def _rules(expression: str, duration: str | None = None) -> RotationRules:
    return parse_rotation_rules({"ScheduleExpression": expression} | ({"Duration": duration} if duration else {}))


def test_rules_are_days_a_rate_or_a_cron_expression() -> None:
    assert parse_rotation_rules({"AutomaticallyAfterDays": 30}) == RotationRules(Days(30))
    assert _rules("rate(10 days)", "3h") == RotationRules(Days(10), 3)
    assert _rules("rate(1 day)") == RotationRules(Days(1))
    assert _rules("rate(4 hours)") == RotationRules(Hours(4))
    assert parse_rotation_rules({}) == RotationRules(None)
    assert days_until_next(RotationRules(None), _at(1)) is None


def test_both_kinds_of_rules_together_are_refused_in_awss_words() -> None:
    with pytest.raises(InvalidParameterException) as caught:
        parse_rotation_rules({"AutomaticallyAfterDays": 30, "ScheduleExpression": "rate(30 days)"})
    assert caught.value.message == ("You cannot specify both rotation frequency and schedule expression together.")


@pytest.mark.parametrize(
    "members",
    [
        {"AutomaticallyAfterDays": 0},
        {"AutomaticallyAfterDays": 1001},
        {"Duration": "3h"},
        {"AutomaticallyAfterDays": 3, "Duration": "3h"},
        {"ScheduleExpression": "rate(3 hours)"},
        {"ScheduleExpression": "rate(0 days)"},
        {"ScheduleExpression": "rate(1000 days)"},
        {"ScheduleExpression": "rate(23977 hours)"},
        {"ScheduleExpression": "rate(5 minutes)"},
        {"ScheduleExpression": "rate(5)"},
        {"ScheduleExpression": "every day"},
        {"ScheduleExpression": "cron(0 8 * * ? * *)"},
        {"ScheduleExpression": "cron(0 /3 * * ? *)"},
        {"ScheduleExpression": "cron(0 * * * ? *)"},
        {"ScheduleExpression": "cron(0 1,23 * * ? *)"},
        {"ScheduleExpression": "rate(10 days)", "Duration": "0h"},
        {"ScheduleExpression": "rate(10 days)", "Duration": "25h"},
        {"ScheduleExpression": "rate(10 days)", "Duration": "3m"},
        {"ScheduleExpression": "rate(6 hours)", "Duration": "7h"},
        {"ScheduleExpression": "cron(0 16 * * ? *)", "Duration": "9h"},
        {"ScheduleExpression": "cron(0 /8 * * ? *)", "Duration": "9h"},
    ],
)
def test_rules_outside_the_limits_are_refused(members: dict[str, object]) -> None:
    with pytest.raises(InvalidParameterException):
        parse_rotation_rules(members)


@pytest.mark.parametrize(
    ("rules", "last", "now", "opens", "closes"),
    [
        # Days count from the actual date of the last rotation, and a missed date becomes today.
        (RotationRules(Days(30)), _at(1, 17), _at(2), _at(31), _at(32)),
        (RotationRules(Days(30)), None, _at(1, 17), _at(31), _at(32)),
        (RotationRules(Days(2)), _at(1), _at(9, 5), _at(9), _at(10)),
        (RotationRules(Days(2)), _at(1), _at(10), _at(10), _at(11)),
        (RotationRules(Days(2), 3), _at(1), _at(9, 5), _at(10), _at(10, 3)),
        # Hours keep their rhythm.
        (RotationRules(Hours(6)), _at(1, 1, 20), _at(1, 2), _at(1, 7), _at(1, 8)),
        (RotationRules(Hours(6)), _at(1, 1, 20), _at(1, 7, 59), _at(1, 7), _at(1, 8)),
        (RotationRules(Hours(6)), _at(1, 1, 20), _at(1, 8), _at(1, 13), _at(1, 14)),
        (RotationRules(Hours(6), 6), _at(1, 1, 20), _at(9, 3), _at(9, 1), _at(9, 7)),
        # Cron: an open window counts unless the secret has rotated in it.
        (_rules("cron(0 10 * * ? *)"), None, _at(1, 9), _at(1, 10), _at(2)),
        (_rules("cron(0 10 * * ? *)"), _at(1, 9), _at(1, 12), _at(1, 10), _at(2)),
        (_rules("cron(0 10 * * ? *)"), _at(1, 11), _at(1, 12), _at(2, 10), _at(3)),
        (_rules("cron(0 10 * * ? *)", "2h"), None, _at(1, 12), _at(2, 10), _at(2, 12)),
        (_rules("cron(0 /8 * * ? *)"), None, _at(1, 8, 30), _at(1, 8), _at(1, 9)),
        (_rules("cron(0 /8 * * ? *)"), None, _at(1, 9), _at(1, 16), _at(1, 17)),
        (_rules("cron(0 /8 * * ? *)", "8h"), _at(1, 9), _at(1, 15, 59), _at(1, 16), _at(2)),
    ],
)
def test_the_next_window_is(
    rules: RotationRules, last: datetime | None, now: datetime, opens: datetime, closes: datetime
) -> None:
    assert next_window(rules, last, now) == RotationWindow(opens, closes)


def test_without_schedule_there_is_no_window() -> None:
    with pytest.raises(InvalidParameterException):
        next_window(RotationRules(None), None, _at(1))


def test_every_hour_is_as_likely_and_minutes_near_the_top_are_likelier() -> None:
    dice, window = Dice(), RotationWindow(_at(2), _at(3))
    moments = [choose_moment(window, [], dice, now=_at(1)) for _ in range(4_800)]
    hours = Counter(moment.hour for moment in moments)
    assert set(hours) == set(range(24))
    assert all(140 < count < 270 for count in hours.values())
    early = sum(moment.minute < 20 for moment in moments)
    late = sum(moment.minute >= 40 for moment in moments)
    assert early > 3 * late > 0


def test_a_minute_with_planned_rotations_is_avoided() -> None:
    dice, window = Dice(), RotationWindow(_at(2), _at(2, 1))
    planned = [_at(2) + timedelta(seconds=second) for second in range(50)]
    chosen = Counter(choose_moment(window, planned, dice, now=_at(1)).minute for _ in range(2_000))
    assert chosen[0] < chosen[1] / 5


def test_a_moment_is_not_in_the_past_and_leaves_room_for_retries() -> None:
    dice, window = Dice(), RotationWindow(_at(2), _at(2, 1))
    now = _at(2, 0, 30) + timedelta(seconds=1)
    for _ in range(200):
        assert now < choose_moment(window, [], dice, now=now) < _at(2, 0, 50)
    late = _at(2, 0, 55)
    assert choose_moment(window, [], dice, now=late) == late


def test_days_are_shown_for_expressions_too() -> None:
    assert days_until_next(RotationRules(Days(30)), _at(1)) == 30
    assert days_until_next(_rules("rate(4 hours)"), _at(1)) == 1
    assert days_until_next(_rules("cron(0 8 1 * ? *)"), _at(1, 9)) == 31
