"""Whatever the rules: the next window is ahead, follows the last rotation, and the moment lies inside it."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.rules.schedule import (
    RotationRules,
    choose_moment,
    days_until_next,
    next_window,
    parse_rotation_rules,
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


members = st.builds(_members, crons | rates, durations) | st.builds(
    lambda days: {"AutomaticallyAfterDays": days}, st.integers(1, 1000)
)


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
    moment = choose_moment(window, [], secrets, now=now)
    assert max(window.opens_at, now) <= moment < window.closes_at


@given(members, moments)
def test_after_a_rotation_and_after_its_failure_there_is_a_later_window(
    given_members: dict[str, object], now: datetime
) -> None:
    rules = _parsed(given_members)
    if rules is None:
        return
    first = next_window(rules, None, now)
    rotated_at = choose_moment(first, [], secrets, now=now)
    after_success = next_window(rules, rotated_at, rotated_at)
    after_failure = next_window(rules, now - timedelta(days=1), first.closes_at)
    assert after_success.opens_at > rotated_at
    assert after_failure.closes_at > first.closes_at
    assert (days_until_next(rules, rotated_at) or 0) >= 1
