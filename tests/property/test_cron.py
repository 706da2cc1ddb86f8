"""A cron expression fires exactly when an oracle says so that looks at every hour of every day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile

from hypothesis import given, settings
from hypothesis import strategies as st

from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.rules.cron import InvalidCron, parse_cron
from keyturn.rules.schedule import parse_rotation_rules

from .cron_oracle import moments as moments_by_brute_force

_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


def _field(low: int, high: int, names: list[str], *others: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Lists of numbers, names, ranges and increments, and whatever else a field may have."""
    number = st.integers(low, high)
    written = st.builds(lambda value, named: names[value - 1] if named and names else str(value), number, st.booleans())
    span = st.tuples(number, number).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    steps = st.builds("{}/{}".format, st.one_of(number.map(str), st.sampled_from(["", "*"]), span), st.integers(1, 12))
    return st.lists(st.one_of(written, span, steps, *others), min_size=1, max_size=3).map(",".join)


hours = _field(0, 23, [])
months = st.just("*") | _field(1, 12, _MONTHS)
month_days = st.just("*") | _field(1, 31, [], st.just("L"), st.sampled_from(_WEEKDAYS).map("{}L".format))
weekdays = st.just("*") | _field(
    1, 7, _WEEKDAYS, st.just("L"), st.builds("{}#{}".format, st.sampled_from(_WEEKDAYS), st.integers(1, 5))
)
insides = st.builds("0 {} {} {} ? *".format, hours, month_days, months) | st.builds(
    "0 {} ? {} {} *".format, hours, months, weekdays
)
days = st.dates(datetime(2000, 1, 1).date(), datetime(2099, 1, 1).date()).map(  # noqa: DTZ001 - a date is wanted
    lambda day: datetime(day.year, day.month, day.day, tzinfo=UTC)
)


@given(insides, days)
@settings(max_examples=60)
def test_it_fires_when_the_oracle_says_so(inside: str, begin: datetime) -> None:
    end = begin + timedelta(days=200)
    expected = list(moments_by_brute_force(inside, begin, end))
    try:
        cron = parse_cron(inside)
    except InvalidCron:
        # A 31st in months without one.
        assert expected == []
        return
    assert list(takewhile(lambda moment: moment < end, cron.moments(begin))) == expected


@given(insides, days)
@settings(max_examples=60)
def test_what_is_accepted_never_fires_twice_in_four_hours(inside: str, begin: datetime) -> None:
    try:
        parse_rotation_rules({"ScheduleExpression": f"cron({inside})"})
    except InvalidParameterException:
        return
    fired = list(moments_by_brute_force(inside, begin, begin + timedelta(days=60)))
    assert all(later - earlier >= timedelta(hours=4) for earlier, later in pairwise(fired))
