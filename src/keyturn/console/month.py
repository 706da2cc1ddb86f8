"""A month's calendar and a histogram, out of how many rotations are planned in each hour (UTC)."""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_LEVELS = 5
_HEIGHT = 120.0
_WIDTH = 720.0
_BELOW = 20.0
# Between bars.
_GAP = 0.2
_DAY = timedelta(days=1)
_FIRST_YEAR, _LAST_YEAR = 1970, 9998


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the calendar.

    Attributes:
        level: From 0, nothing, to 5, the busiest day of the month.
    """

    date: date
    count: int
    level: int


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of the histogram, placed in a box of 720 by 140."""

    label: str
    count: int
    key: str
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """Where its label goes."""
        return self.x + self.width / 2


def read_month(text: str, now: datetime) -> date:
    """Return the first day of the month that ``2026-12`` means; of the current one if it means none."""
    return read_day(f"{text}-01") or now.date().replace(day=1)


def read_day(text: str) -> date | None:
    """Return the day that ``2026-12-24`` means; None if it means none."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    # The months around it are counted as well, and before the first year and after the last there is none.
    return day if _FIRST_YEAR <= day.year <= _LAST_YEAR else None


def following(month: date) -> date:
    """Return the first day of the month after."""
    return (month + timedelta(days=31)).replace(day=1)


def before(month: date) -> date:
    """Return the first day of the month before."""
    return (month - _DAY).replace(day=1)


def begin_of(day: date) -> datetime:
    """Return the moment at which a day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def weeks(month: date, hours: Mapping[datetime, int]) -> list[list[Day | None]]:
    """Return a month's weeks from Monday on; None for days of other months.

    Args:
        month: Its first day.
        hours: How many there are in each hour.
    """
    counts = _by_day(hours)
    most = max((count for day, count in counts.items() if day.month == month.month), default=0)
    return [
        [_day(day, counts[day], most) if day.month == month.month else None for day in week]
        for week in calendar.Calendar().monthdatescalendar(month.year, month.month)
    ]


def by_day(month: date, hours: Mapping[datetime, int]) -> list[Bar]:
    """Return a bar for each day of a month."""
    counts = _by_day(hours)
    days = [month + timedelta(days=number) for number in range((following(month) - month).days)]
    return _bars([(f"{day.day}", counts[day], day.isoformat()) for day in days])


def by_hour(day: date, hours: Mapping[datetime, int]) -> list[Bar]:
    """Return a bar for each hour of a day."""
    begin = begin_of(day)
    moments = [begin + timedelta(hours=number) for number in range(24)]
    return _bars([(f"{at:%H}", hours.get(at, 0), f"{at:%H:%M}") for at in moments])


def _by_day(hours: Mapping[datetime, int]) -> Counter[date]:
    counts: Counter[date] = Counter()
    for at, count in hours.items():
        counts[at.astimezone(UTC).date()] += count
    return counts


def _day(day: date, count: int, most: int) -> Day:
    return Day(day, count, -(-count * _LEVELS // most) if count else 0)


def _bars(counted: Sequence[tuple[str, int, str]]) -> list[Bar]:
    most, slot = max((count for _, count, _ in counted), default=0), _WIDTH / len(counted)
    bars = []
    for number, (label, count, key) in enumerate(counted):
        # What is there is seen, however little it is.
        height = round(max(2.0, count / most * (_HEIGHT - _BELOW)), 2) if count else 0.0
        x, width = number * slot + slot * _GAP / 2, slot * (1 - _GAP)
        bars.append(Bar(label, count, key, round(x, 2), round(_HEIGHT - height, 2), round(width, 2), height))
    return bars
