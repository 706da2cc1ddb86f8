from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.rules.schedule import (
    Days,
    Hours,
    RotationRules,
    RotationWindow,
    choose_hour,
    choose_moment,
    count_from,
    days_until_next,
    last_change,
    next_window,
    next_windows,
    parse_rotation_rules,
    window_that_closes,
)


def _at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 1, 1, hour, minute, tzinfo=UTC) + timedelta(days=day - 1)


def _rules(expression: str, duration: str | None = None) -> RotationRules:
    return parse_rotation_rules({"ScheduleExpression": expression} | ({"Duration": duration} if duration else {}))


def test_rules_are_days_a_rate_or_a_cron_expression() -> None:
    assert parse_rotation_rules({"AutomaticallyAfterDays": 30}) == RotationRules(Days(30))
    assert parse_rotation_rules({"AutomaticallyAfterDays": 30, "Duration": "3h"}) == RotationRules(Days(30), 3)
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
        {"AutomaticallyAfterDays": 3, "Duration": "25h"},
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
        (RotationRules(Days(30)), None, _at(1, 17), _at(1), _at(2)),
        (RotationRules(Days(30), 3), None, _at(1, 17), _at(2), _at(2, 3)),
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


class Fixed:
    """Says what it was told to, and what it was asked."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = list(numbers)
        self.bounds: list[int] = []

    def randbelow(self, exclusive_upper_bound: int, /) -> int:
        self.bounds.append(exclusive_upper_bound)
        return self._numbers.pop(0)


@pytest.mark.parametrize(
    ("window", "now", "number", "bound", "begins", "ends"),
    [
        (RotationWindow(_at(2), _at(3)), _at(1), 5, 24, _at(2, 5), _at(2, 6)),
        # The last minutes of a window are for retries.
        (RotationWindow(_at(2), _at(3)), _at(1), 23, 24, _at(2, 23), _at(2, 23, 50)),
        (RotationWindow(_at(2, 7), _at(2, 8)), _at(1), 0, 1, _at(2, 7), _at(2, 7, 50)),
        # What is past is past.
        (RotationWindow(_at(2), _at(3)), _at(2, 20, 30), 0, 4, _at(2, 20, 30), _at(2, 21)),
        (RotationWindow(_at(2), _at(3)), _at(2, 20, 30), 1, 4, _at(2, 21), _at(2, 22)),
        (RotationWindow(_at(2), _at(3)), _at(2, 20, 59) + timedelta(seconds=1), 0, 3, _at(2, 21), _at(2, 22)),
    ],
)
def test_the_hour_is_one_of_those_that_are_left(
    window: RotationWindow, now: datetime, number: int, bound: int, begins: datetime, ends: datetime
) -> None:
    chance = Fixed(number)
    assert choose_hour(window, chance, now=now) == RotationWindow(begins, ends)
    assert chance.bounds == [bound]


def test_a_window_that_is_as_good_as_over_leaves_this_very_moment() -> None:
    late = _at(2, 0, 55) + timedelta(seconds=7)
    hour = choose_hour(RotationWindow(_at(2), _at(2, 1)), Fixed(), now=late)
    assert hour == RotationWindow(late, late)
    assert choose_moment(hour, {}, Fixed()) == late


@pytest.mark.parametrize(
    ("load", "total"),
    [
        ({}, 60 + 59 + 58),
        # One rotation in the first minute makes it an eighth as heavy, two a twenty-seventh.
        ({_at(2, 3): 1}, 60 + 59 * 8 + 58 * 8),
        ({_at(2, 3): 1, _at(2, 3, 2): 2}, 60 * 27 // 8 + 59 * 27 + 58),
    ],
)
def test_a_minute_is_as_heavy_as_it_is_near_the_top_and_lighter_by_the_cube_of_what_is_planned(
    load: Mapping[datetime, int], total: int
) -> None:
    chance = Fixed(0, 13)
    hour = RotationWindow(_at(2, 3), _at(2, 3, 3))
    assert choose_moment(hour, load, chance) == _at(2, 3) + timedelta(seconds=13)
    assert chance.bounds == [total, 60]


def test_the_last_of_the_weights_belongs_to_the_last_minute() -> None:
    hour = RotationWindow(_at(2, 3), _at(2, 3, 3))
    assert choose_moment(hour, {}, Fixed(60 + 59 + 58 - 1, 59)) == _at(2, 3, 2) + timedelta(seconds=59)
    assert choose_moment(hour, {}, Fixed(60, 0)) == _at(2, 3, 1)


def test_hours_are_counted_from_where_the_window_opened() -> None:
    rules = _rules("rate(6 hours)", "5h")
    late_in_its_window = _at(1, 6, 40)
    assert count_from(rules, late_in_its_window, _at(1, 7)) == _at(1, 2)
    # Not in its window: by hand.
    assert count_from(rules, _at(1, 7), _at(1, 7)) == _at(1, 7)
    assert count_from(rules, _at(1, 1, 59), _at(1, 7)) == _at(1, 1, 59)
    assert count_from(rules, late_in_its_window, None) == late_in_its_window
    assert count_from(RotationRules(Days(1)), late_in_its_window, _at(2)) == late_in_its_window


def test_a_schedule_counts_from_the_last_rotation_or_a_later_value() -> None:
    assert last_change(_at(3), _at(2)) == _at(3)
    assert last_change(_at(3), _at(4)) == _at(4)
    assert last_change(_at(3), None) == _at(3)
    assert last_change(None, _at(4)) is None


@pytest.mark.parametrize(
    "rules",
    [
        RotationRules(Days(30)),
        RotationRules(Days(30), 3),
        _rules("rate(10 days)"),
        _rules("rate(6 hours)"),
        _rules("rate(6 hours)", "5h"),
        _rules("cron(0 /8 * * ? *)"),
        _rules("cron(0 /8 * * ? *)", "8h"),
        _rules("cron(0 17 L * ? *)"),
        _rules("cron(0 17 L * ? *)", "2h"),
    ],
)
def test_a_window_is_known_by_its_end(rules: RotationRules) -> None:
    for window in islice(next_windows(rules, _at(1, 5, 6), _at(1, 5, 6)), 20):
        assert window_that_closes(rules, window.closes_at) == window


def test_windows_follow_one_another() -> None:
    windows = islice(next_windows(_rules("rate(36 hours)", "2h"), _at(1, 5, 6), _at(1, 5, 6)), 3)
    assert [window.opens_at for window in windows] == [_at(2, 17), _at(4, 5), _at(5, 17)]


def test_days_are_shown_for_expressions_too() -> None:
    assert days_until_next(RotationRules(Days(30)), _at(1)) == 30
    assert days_until_next(_rules("rate(4 hours)"), _at(1)) == 1
    assert days_until_next(_rules("cron(0 8 1 * ? *)"), _at(1, 9)) == 31
