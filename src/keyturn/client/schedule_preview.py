"""A schedule before it is used: its windows, how far they are apart, and what AWS would say to it. Needs no server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, pairwise

from keyturn.errors.base import KeyturnError
from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.rules.cron import Cron
from keyturn.rules.schedule import Days, Hours, RotationRules, RotationWindow, next_windows, parse_rotation_rules

# Enough to tell the average of everything but what comes once in many years.
_COMPARED = 400
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_DAYS = re.compile(r"\s*(?P<days>[0-9]{1,6})\s*(?:d|days?)?\s*")
_PLAIN_HOURS = re.compile(r"[0-9]+|[0-9*]*/[0-9]+")
_FIELDS_OF_UNIX = 5
# Unix counts days of the week from Sunday, 0, to Sunday again, 7; behind # and / a number is none.
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_WEEKDAY_NUMBER = re.compile(r"(?<![#/0-9A-Za-z])[0-7](?![0-9A-Za-z])")
_INSIDE = (
    "A secret rotates once in each, at a moment that Keyturn draws: the hour, each as likely as any other, and the"
    " minute, the first ones of the hour and those without other rotations being likelier. The last ten minutes of a"
    " window are left to retries."
)
_MISSED = {
    True: "If no server was running in the whole window, it rotates as soon as one is.",
    False: "If no server was running in the whole window, it waits for the next one.",
}


@dataclass(frozen=True, slots=True)
class Preview:
    """A schedule that is accepted.

    Attributes:
        members: RotationRules as RotateSecret takes them.
        windows: The next ones.
        intervals: How far apart windows open, over a long time.
        notes: What is to be known about AWS.
    """

    members: Mapping[str, object]
    windows: Sequence[RotationWindow]
    intervals: Sequence[timedelta]
    notes: Sequence[str]

    @property
    def average(self) -> timedelta:
        """How far windows are apart."""
        return sum(self.intervals, timedelta()) / len(self.intervals)

    @property
    def length(self) -> str:
        """How long a window is, and what decides that."""
        lengths = {window.closes_at - window.opens_at for window in self.windows}
        longest, duration = max(lengths), self.members.get("Duration")
        is_same = len(lengths) == 1
        said = f"Each window is {_long(longest)} long" if is_same else f"A window is {_long(longest)} long at most"
        if duration is not None:
            return f"{said} (Duration={duration})."
        return f"{said}; a Duration makes it shorter." if longest > _HOUR else f"{said}; a Duration makes it longer."

    @property
    def apart(self) -> str:
        """How far windows are apart, in a sentence."""
        shortest, longest = min(self.intervals), max(self.intervals)
        average = span_in_words(self.average)
        if shortest == longest:
            return f"Every {average}."
        return f"Every {average} on average; {span_in_words(shortest)} at least, {span_in_words(longest)} at most."

    @property
    def inside(self) -> str:
        """When in a window it rotates, and what becomes of a window that was missed."""
        return f"{self.length} {_INSIDE} {_MISSED[self.is_made_up_for]}"

    @property
    def is_made_up_for(self) -> bool:
        """Whether it rotates outside of its window if that was missed: with days and without a Duration."""
        return isinstance(parse_rotation_rules(self.members).schedule, Days) and "Duration" not in self.members

    def document(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "rotation_rules": dict(self.members),
            "accepted": True,
            "windows": [
                {"opens_at": window.opens_at.isoformat(), "closes_at": window.closes_at.isoformat()}
                for window in self.windows
            ],
            "average_interval_hours": _hours(self.average),
            "shortest_interval_hours": _hours(min(self.intervals)),
            "longest_interval_hours": _hours(max(self.intervals)),
            "notes": list(self.notes),
        }


def read_rules(expression: str, duration: str | None) -> dict[str, object]:
    """Return RotationRules as RotateSecret takes them."""
    match = _DAYS.fullmatch(expression)
    rules: dict[str, object] = (
        {"ScheduleExpression": expression} if match is None else {"AutomaticallyAfterDays": int(match["days"])}
    )
    return rules if duration is None else {**rules, "Duration": duration}


def preview(members: Mapping[str, object], begin: datetime, count: int) -> Preview:
    """Work out the windows of a schedule for a secret that has rotated at ``begin``.

    Raises:
        InvalidParameterException: RotateSecret would refuse it.
    """
    rules = parse_rotation_rules(members)
    windows = _first(rules, begin, max(count, _COMPARED))
    intervals = [later.opens_at - earlier.opens_at for earlier, later in pairwise(windows)]
    return Preview(members, windows[:count], intervals, list(_notes(rules, members, intervals)))


def _as_aws_has_it(fields: list[str]) -> str:
    """Return the fields of a cron expression as AWS has them: with a year, and ``?`` for the day that says nothing."""
    _, hours, month_day, month, weekday, *year = fields
    if len(fields) == _FIELDS_OF_UNIX:
        weekday = _WEEKDAY_NUMBER.sub(lambda match: _WEEKDAYS[int(match[0]) % len(_WEEKDAYS)], weekday)
    if "?" not in (month_day, weekday):
        weekday, month_day = ("?", month_day) if weekday == "*" else (weekday, "?" if month_day == "*" else month_day)
    return f"cron(0 {' '.join((hours, month_day, month, weekday, *(year or ['*'])))})"


def _cron_hints(expression: str) -> Iterator[str]:
    """Yield how a cron expression is written in AWS's way, if this looks like one of Unix."""
    text = expression.strip()
    inside = text[5:-1] if text.startswith("cron(") and text.endswith(")") else text
    fields = inside.split()
    if "(" in inside or not (len(fields) == _FIELDS_OF_UNIX or (len(fields) == _FIELDS_OF_UNIX + 1 and inside == text)):
        return
    yield f"In AWS's way: '{_as_aws_has_it(fields)}'."
    if len(fields) == _FIELDS_OF_UNIX:
        yield (
            "AWS's cron has six fields: minutes (0), hours, day of the month, month, day of the week, year (*). One of"
            " the two days is ?, and days of the week are SUN to SAT, or 1 to 7 from Sunday on."
        )
    if fields[0] != "0":
        yield f"The minutes must be 0 and not {fields[0]}: Keyturn draws the moment within the window, as AWS does."


def refusal(error: InvalidParameterException, expression: str) -> KeyturnError:
    """Return what a person is told of a schedule that is refused."""
    usage = (
        "Say a number of days, rate(10 days), rate(12 hours) or cron(0 16 1,15 * ? *); docs/rotation.md has the rules."
    )
    return KeyturnError(f"RotateSecret would refuse this schedule. {error.message}", *_cron_hints(expression), usage)


def _first(rules: RotationRules, begin: datetime, count: int) -> list[RotationWindow]:
    windows: list[RotationWindow] = []
    try:
        windows.extend(islice(next_windows(rules, begin, begin), count))
    except InvalidParameterException:
        # Calendars end with the year 9999; two windows there have to be.
        if len(windows) < 2:
            raise
    return windows


def _notes(rules: RotationRules, members: Mapping[str, object], intervals: Sequence[timedelta]) -> list[str]:
    notes = []
    if isinstance(rules.schedule, Cron):
        hours = str(members["ScheduleExpression"]).split()[1]
        if not _PLAIN_HOURS.fullmatch(hours):
            notes.append(f"AWS's guide names a number and / for hours; whether AWS takes {hours} is not known.")
        if max(intervals) > 366 * _DAY:
            notes.append(
                "AWS says that it does not support schedules that are more than a year apart, and not whether it"
                " refuses this one."
            )
    if isinstance(rules.schedule, Hours):
        notes.append("Hours are counted from the window in which the secret rotated last, or from the hour if by hand.")
    return notes


def _long(span: timedelta) -> str:
    return "one hour" if span == _HOUR else span_in_words(span)


def span_in_words(span: timedelta) -> str:
    """Return a span of hours or days as people say it."""
    days = span / _DAY
    if days >= 2 or span == _DAY:
        return f"{days:.1f}".removesuffix(".0") + (" day" if span == _DAY else " days")
    return f"{_hours(span):g} hours"


def _hours(span: timedelta) -> float:
    return round(span / timedelta(hours=1), 1)
