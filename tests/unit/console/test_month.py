"""A month of planned rotations, counted by days and drawn."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.console.month import before, begin_of, by_day, by_hour, following, read_day, read_month, weeks

NOW = datetime(2026, 12, 24, 18, tzinfo=UTC)
MONTHS = st.dates(date(2000, 1, 1), date(2999, 12, 31)).map(lambda day: day.replace(day=1))
COUNTS = st.dictionaries(st.integers(0, 31 * 24 - 1), st.integers(1, 100_000))


@pytest.mark.parametrize(
    ("text", "month"),
    [
        ("2027-02", date(2027, 2, 1)),
        ("", date(2026, 12, 1)),
        ("soon", date(2026, 12, 1)),
        ("2026-13", date(2026, 12, 1)),
        ("0001-01", date(2026, 12, 1)),
        ("9999-12", date(2026, 12, 1)),
    ],
)
def test_what_is_no_month_is_this_one(text: str, month: date) -> None:
    assert read_month(text, NOW) == month


def test_what_is_no_day_is_none() -> None:
    assert (read_day("2026-12-24"), read_day("2026-02-30"), read_day("")) == (date(2026, 12, 24), None, None)


@given(st.dates())
def test_what_is_read_has_months_around_it(day: date) -> None:
    read = read_day(day.isoformat())
    month = read_month(day.isoformat()[:7], NOW)

    assert read in (day, None)
    assert weeks(month, {})
    assert before(month) < month < following(following(month))


@given(MONTHS)
def test_months_follow_each_other(month: date) -> None:
    assert before(following(month)) == month
    assert following(month).day == 1


@given(MONTHS, COUNTS)
def test_every_rotation_of_a_month_is_on_one_day_of_its_calendar(month: date, counts: dict[int, int]) -> None:
    hours = {begin_of(month) + timedelta(hours=number): count for number, count in counts.items()}
    inside = {at: count for at, count in hours.items() if at.month == month.month}

    days = [day for week in weeks(month, hours) for day in week if day is not None]

    assert [day.date for day in days] == [month + timedelta(days=number) for number in range(len(days))]
    assert sum(day.count for day in days) == sum(inside.values())
    assert sum(bar.count for bar in by_day(month, hours)) == sum(inside.values())
    assert all((day.level == 0) == (day.count == 0) and 0 <= day.level <= 5 for day in days)
    assert not inside or max(days, key=lambda day: day.count).level == 5


@given(MONTHS, COUNTS)
def test_bars_stand_beside_each_other_on_one_line_and_what_is_there_is_seen(
    month: date, counts: dict[int, int]
) -> None:
    hours = {begin_of(month) + timedelta(hours=number): count for number, count in counts.items()}
    for bars in (by_day(month, hours), by_hour(month, hours)):
        for bar, after in itertools.pairwise(bars):
            assert bar.x + bar.width <= after.x
        for bar in bars:
            assert bar.x >= 0
            assert bar.x + bar.width <= 720
            assert bar.y + bar.height == pytest.approx(120)
            assert 0 <= bar.height <= 100
            assert (bar.height > 0) == (bar.count > 0)


def test_an_hour_is_where_it_belongs() -> None:
    bars = by_hour(date(2026, 12, 24), {datetime(2026, 12, 24, 18, tzinfo=UTC): 3})
    assert [(bar.key, bar.count) for bar in bars if bar.count] == [("18:00", 3)]
