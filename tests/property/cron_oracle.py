"""An oracle for cron expressions of rotation schedules, by brute force: it looks at one hour of one day at a time.

Nothing of it is shared with ``keyturn.rules.cron``: no sets of values, no lengths of months. Whether a day is the last
of its month is seen by looking at the day after.

Source: Secrets Manager User Guide, "Rotation schedules".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


def moments(inside: str, begin: datetime, end: datetime) -> Iterator[datetime]:
    """Yield every whole hour from ``begin`` (one itself) up to, but not including, ``end`` at which it fires."""
    moment = begin
    while moment < end:
        if fires(inside, moment):
            yield moment
        moment += timedelta(hours=1)


def fires(inside: str, moment: datetime) -> bool:
    """Say whether an expression (what stands in the parentheses) fires at a whole hour."""
    _, hours, month_days, months, weekdays, _ = inside.split()
    if not _any(hours, lambda item: _matches(item, moment.hour, 0, [])):
        return False
    if not _any(months, lambda item: _matches(item, moment.month, 1, _MONTHS)):
        return False
    if month_days != "?":
        return _any(month_days, lambda item: _is_month_day(item, moment))
    return _any(weekdays, lambda item: _is_weekday(item, moment))


def _any(field: str, holds: Callable[[str], bool]) -> bool:
    return any(holds(item) for item in field.split(","))


def _is_month_day(item: str, moment: datetime) -> bool:
    if item == "L":
        return (moment + _DAY).month != moment.month
    if item.endswith("L"):
        return _weekday_name(moment) == item[:-1] and (moment + _WEEK).month != moment.month
    return _matches(item, moment.day, 1, [])


def _is_weekday(item: str, moment: datetime) -> bool:
    number = _WEEKDAYS.index(_weekday_name(moment)) + 1
    if item == "L":
        return number == 7
    if "#" in item:
        name, _, which = item.partition("#")
        earlier = [week for week in range(6) if (moment - week * _WEEK).month == moment.month]
        # Weeks before in the same month; a month has five of a day at most, so none is counted twice.
        return _number(name, _WEEKDAYS) == number and len(earlier) == int(which)
    return _matches(item, number, 1, _WEEKDAYS)


def _weekday_name(moment: datetime) -> str:
    # A Sunday.
    return _WEEKDAYS[(moment.toordinal() - datetime(2023, 1, 1, tzinfo=moment.tzinfo).toordinal()) % 7]


def _matches(item: str, value: int, lowest: int, names: list[str]) -> bool:
    span, _, step = item.partition("/")
    first, _, last = span.partition("-")
    begin = lowest if first in ("", "*") else _number(first, names)
    if not step and first != "*":
        return begin <= value <= (_number(last, names) if last else begin)
    end = _number(last, names) if last else 99
    return begin <= value <= end and (value - begin) % int(step or 1) == 0


def _number(text: str, names: list[str]) -> int:
    return names.index(text) + 1 if text in names else int(text)
