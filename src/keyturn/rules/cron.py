"""Cron expressions of rotation schedules: ``cron(Minutes Hours Day-of-month Month Day-of-week Year)``, in UTC.

They differ from other crons: minutes must be 0, the year ``*``, exactly one of the two day fields ``?``, ``SUNL`` in
day-of-month is the last Sunday of a month, ``TUE#3`` in day-of-week the third Tuesday, and ``/8`` begins with the
smallest value.

Source: Secrets Manager User Guide, "Schedule expressions".
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime

_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
# 1 is Sunday.
_WEEKDAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), start=1)}
_SATURDAY = 7
_FIELDS = 6
_ITEM = re.compile(r"(?P<first>\*|[0-9A-Z]+)?(?:-(?P<last>[0-9A-Z]+))?(?:/(?P<step>[0-9]{1,3}))?")
_NTH_WEEKDAY = re.compile(r"(?P<day>[0-9A-Z]+)#(?P<nth>[1-5])")
# A fifth Monday in February comes every 28 years, and every 40 around a year like 2100.
_YEARS_AHEAD = 41


class InvalidCron(ValueError):
    """The text is no cron expression that Secrets Manager accepts."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression, taken apart.

    Attributes:
        hours: When it fires on a day, ascending.
        months: 1 to 12.
        month_days: 1 to 31.
        last_month_day: ``L``: also the last day of the month.
        last_weekdays: ``SUNL``: also the last such day of the month; 1 is Sunday.
        weekdays: 1 (Sunday) to 7.
        nth_weekdays: ``TUE#3`` as (3, 3): weekday, and which one of the month.
    """

    hours: tuple[int, ...]
    months: frozenset[int]
    month_days: frozenset[int]
    last_month_day: bool
    last_weekdays: frozenset[int]
    weekdays: frozenset[int]
    nth_weekdays: frozenset[tuple[int, int]]

    def moments(self, after: datetime) -> Iterator[datetime]:
        """Yield the moments it fires, from the day of ``after`` on; none are yielded beyond some years.

        Args:
            after: Aware UTC. Moments earlier on its day are yielded too.
        """
        for months_ahead in range(12 * _YEARS_AHEAD):
            year, month = divmod(after.year * 12 + after.month - 1 + months_ahead, 12)
            for day in self._days(year, month + 1):
                if months_ahead or day >= after.day:
                    for hour in self.hours:
                        yield datetime(year, month + 1, day, hour, tzinfo=UTC)

    def _days(self, year: int, month: int) -> Iterator[int]:
        if month not in self.months or year > MAXYEAR:
            return
        # Python's week begins with Monday as 0, AWS's with Sunday as 1.
        first_weekday = (calendar.weekday(year, month, 1) + 1) % 7
        length = calendar.monthrange(year, month)[1]
        for day in range(1, length + 1):
            weekday = (first_weekday + day - 1) % 7 + 1
            is_last_week = day > length - 7
            if (
                day in self.month_days
                or weekday in self.weekdays
                or (self.last_month_day and day == length)
                or (is_last_week and weekday in self.last_weekdays)
                or (weekday, (day - 1) // 7 + 1) in self.nth_weekdays
            ):
                yield day


def parse_cron(text: str) -> Cron:
    """Parse what stands between the parentheses of ``cron(…)``.

    Raises:
        InvalidCron: With a sentence about what is wrong.
    """
    fields = text.upper().split()
    if len(fields) != _FIELDS:
        raise InvalidCron("A cron expression has six fields: minutes, hours, day of month, month, day of week, year.")
    minutes, hours, month_day, months, weekday, year = fields
    if minutes != "0":
        raise InvalidCron("The minutes of a cron expression must be 0.")
    if year != "*":
        raise InvalidCron("The year of a cron expression must be *.")
    if (month_day == "?") == (weekday == "?"):
        raise InvalidCron("Exactly one of day of month and day of week must be ?.")
    month_days, is_last, last_weekdays = _month_days(month_day)
    weekdays, nth_weekdays = _weekdays(weekday)
    cron = Cron(
        hours=tuple(sorted(_values(hours, 0, 23, {}))),
        months=frozenset(_values(months, 1, 12, _MONTHS)),
        month_days=month_days,
        last_month_day=is_last,
        last_weekdays=last_weekdays,
        weekdays=weekdays,
        nth_weekdays=nth_weekdays,
    )
    # Any year will do to see whether it fires at all, as the search spans every kind of year.
    if next(cron.moments(datetime(2000, 1, 1, tzinfo=UTC)), None) is None:
        raise InvalidCron("The cron expression never fires.")
    return cron


def _month_days(field: str) -> tuple[frozenset[int], bool, frozenset[int]]:
    days: set[int] = set()
    last_weekdays: set[int] = set()
    is_last = False
    for item in () if field == "?" else field.split(","):
        if item == "L":
            is_last = True
        elif item.endswith("L") and item[:-1] in _WEEKDAYS:
            last_weekdays.add(_WEEKDAYS[item[:-1]])
        else:
            days |= _item_values(item, 1, 31, {})
    return frozenset(days), is_last, frozenset(last_weekdays)


def _weekdays(field: str) -> tuple[frozenset[int], frozenset[tuple[int, int]]]:
    days: set[int] = set()
    nth: set[tuple[int, int]] = set()
    for item in () if field == "?" else field.split(","):
        if item == "L":
            days.add(_SATURDAY)
        elif match := _NTH_WEEKDAY.fullmatch(item):
            nth.add((_number(match["day"], 1, 7, _WEEKDAYS), int(match["nth"])))
        else:
            days |= _item_values(item, 1, 7, _WEEKDAYS)
    return frozenset(days), frozenset(nth)


def _values(field: str, low: int, high: int, names: Mapping[str, int]) -> set[int]:
    return set().union(*(_item_values(item, low, high, names) for item in field.split(",")))


def _item_values(item: str, low: int, high: int, names: Mapping[str, int]) -> set[int]:
    """Return what ``7``, ``1-5``, ``*``, ``2/10`` or ``/8`` stands for."""
    match = _ITEM.fullmatch(item)
    if not item or match is None:
        raise InvalidCron(f"{item!r} is not a value of a cron expression.")
    first, last, step = match["first"], match["last"], match["step"]
    if first is None and (last is not None or step is None):
        raise InvalidCron(f"{item!r} is not a value of a cron expression.")
    if first == "*" and last is not None:
        raise InvalidCron(f"{item!r} is not a value of a cron expression.")
    start = low if first in (None, "*") else _number(str(first), low, high, names)
    end = start
    if last is not None:
        end = _number(last, low, high, names)
    elif step is not None or first == "*":
        end = high
    increment = 1 if step is None else int(step)
    if increment < 1 or start > end:
        raise InvalidCron(f"{item!r} is not a value of a cron expression.")
    return set(range(start, end + 1, increment))


def _number(text: str, low: int, high: int, names: Mapping[str, int]) -> int:
    number = names.get(text)
    if number is None:
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= 2 else -1
    if not low <= number <= high:
        raise InvalidCron(f"{text!r} is not between {low} and {high}.")
    return number
