"""Whatever the rules: the next window is ahead, follows the last rotation, and the moment lies inside it."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.rules.schedule import (
    Hours,
    RotationRules,
    RotationWindow,
    choose_hour,
    choose_moment,
    count_from,
    days_until_next,
    next_window,
    next_windows,
    parse_rotation_rules,
    window_that_closes,
)

hours = st.integers(0, 23).map(str) | st.sampled_from(["/8", "2/10", "/4", "0,12", "6-18/6"])
month_days = st.integers(1, 28).map(str) | st.sampled_from(["*", "L", "SUNL", "1,15", "10-20", "1/5", "31"])
weekdays = st.sampled_from(["SUN", "MON-FRI", "L", "TUE#3", "2#1", "SAT,SUN", "FRI#5"])
months = st.sampled_from(["*", "1", "JAN,JUL", "1/3", "3-5", "DEC"])
crons = st.one_of(
    st.builds("cron(0 {} {} {} ? *)".format, hours, month_days, months),
    st.builds("cron(0 {} ? {} {} *)".format, hours, months, weekdays),
)
rates = st.builds("rate({} hours)".format, st.integers(4, 999)) | st.builds("rate({} days)".format, st.integers(1, 999))
durations = st.none() | st.integers(1, 24).map("{}h".format)
moments = st.timedeltas(timedelta(0), timedelta(days=3000)).map(lambda age: datetime(2024, 1, 1, tzinfo=UTC) + age)


def _members(expression: str, duration: str | None) -> dict[str, object]:
    return {"ScheduleExpression": expression, **({} if duration is None else {"Duration": duration})}


def _days(days: int, duration: str | None) -> dict[str, object]:
    return {"AutomaticallyAfterDays": days, **({} if duration is None else {"Duration": duration})}


members = st.builds(_members, crons | rates, durations) | st.builds(_days, st.integers(1, 1000), durations)


def _moment(window: RotationWindow, now: datetime) -> datetime:
    return choose_moment(choose_hour(window, secrets, now=now), {}, secrets)


def _parsed(given_members: dict[str, object]) -> RotationRules | None:
    try:
        return parse_rotation_rules(given_members)
    except InvalidParameterException:
        # A duration that is too long, or a 31st in a month without one.
        return None


@given(members, st.none() | st.timedeltas(timedelta(0), timedelta(days=2000)), moments)
def test_the_next_window_is_ahead_and_follows_the_last_rotation(
    given_members: dict[str, object], age: timedelta | None, now: datetime
) -> None:
    rules = _parsed(given_members)
    if rules is None:
        return
    last = None if age is None else now - age
    window = next_window(rules, last, now)
    assert window.opens_at < window.closes_at
    assert window.closes_at > now
    assert last is None or window.opens_at > last
    assert (window.opens_at.minute, window.opens_at.second, window.opens_at.microsecond) == (0, 0, 0)
    assert window.closes_at - window.opens_at <= timedelta(days=1)
    moment = _moment(window, now)
    assert max(window.opens_at, now) <= moment < window.closes_at


@given(members, moments)
def test_after_a_rotation_and_after_its_failure_there_is_a_later_window(
    given_members: dict[str, object], now: datetime
) -> None:
    rules = _parsed(given_members)
    if rules is None:
        return
    first = next_window(rules, None, now)
    rotated_at = _moment(first, now)
    after_success = next_window(rules, rotated_at, rotated_at)
    after_failure = next_window(rules, now - timedelta(days=1), first.closes_at)
    assert after_success.opens_at > rotated_at
    assert after_failure.closes_at > first.closes_at
    assert (days_until_next(rules, rotated_at) or 0) >= 1


@given(members, moments)
def test_a_window_is_known_by_its_end_and_closes_before_the_next_one_opens(
    given_members: dict[str, object], now: datetime
) -> None:
    rules = _parsed(given_members)
    if rules is None:
        return
    first, second, third = islice(next_windows(rules, now, now), 3)
    assert [window_that_closes(rules, window.closes_at) for window in (first, second, third)] == [first, second, third]
    assert first.closes_at <= second.opens_at
    assert second.closes_at <= third.opens_at


@given(st.integers(4, 999), st.integers(1, 24), moments)
def test_hours_keep_their_interval_however_late_in_its_window_a_secret_rotates(
    hours_between: int, duration: int, now: datetime
) -> None:
    if duration > hours_between:
        return
    rules = RotationRules(Hours(hours_between), duration)
    window = next_window(rules, now, now)
    for _ in range(5):
        rotated_at = _moment(window, window.opens_at)
        following = next_window(rules, count_from(rules, rotated_at, window.closes_at), rotated_at)
        assert following.opens_at - window.opens_at == timedelta(hours=hours_between)
        window = following
