"""When a secret may rotate: from rotation rules to the next rotation window, and to a moment inside it.

Two ways to say when. ``AutomaticallyAfterDays`` counts from the actual date of the last rotation: the date is certain,
the hour uniformly random, the minute random with more weight near the top of the hour and spread by what is planned
already. ``rate()`` and ``cron()`` name windows; within one the moment is chosen likewise. All times are UTC.

The hour is chosen first and without looking at anything, so that only one hour's load has to be known for the minute.

Source: Secrets Manager API Reference, RotationRulesType; User Guide, "Rotation schedules" and, for the choice of the
moment, the guide's edition of 2018. That a Duration may stand beside AutomaticallyAfterDays: terraform-provider-aws,
whose acceptance test sends both to AWS. AWS's texts about faults of an expression are not recorded; these are ours.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import accumulate, pairwise
from typing import Protocol

from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.rules.cron import Cron, InvalidCron, parse_cron

_TO_THE_MINUTE = "%Y-%m-%d %H:%M"
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_HOURS_OF_DAY = 24
_MOST_DAYS = 1000
_MOST_RATE_DAYS = 999
_LEAST_INTERVAL_HOURS = 4
_EXPRESSION = re.compile(r"(?P<kind>rate|cron)\((?P<inside>[^()]*)\)")
_RATE = re.compile(r"\s*(?P<number>[0-9]{1,6})\s+(?P<unit>hours?|days?)\s*")
_DURATION = re.compile(r"(?P<hours>[0-9]{1,2})h")
# A window's last minutes are left to the retries of a rotation that fails.
_ROOM_FOR_RETRIES = timedelta(minutes=10)
# How strongly a minute's rotations push others away: with the third power, 10,000 in one day come to 7 a minute on
# average, and to less than twice that at most.
_AVERSION = 3


class PlannedState(StrEnum):
    """Where a secret that rotates, or could, stands."""

    # A step runs; or its rotation waits for the next attempt.
    RUNNING = "running"
    PENDING = "pending"
    PLANNED = "planned"
    # Out of attempts; planned for the next window, if there is one.
    PARKED = "parked"
    # The last rotation failed and is over, whoever ended it, and none has succeeded since; planned likewise.
    FAILED = "failed"
    # It rotates when somebody asks for it.
    UNPLANNED = "unplanned"
    OFF = "off"


class RandomSource(Protocol):
    """Where randomness comes from."""

    def randbelow(self, exclusive_upper_bound: int, /) -> int:
        """Return a uniform integer from 0 up to, but not including, the bound."""
        ...


@dataclass(frozen=True, slots=True)
class Days:
    """Every so many days, counted from the date of the last rotation."""

    days: int


@dataclass(frozen=True, slots=True)
class Hours:
    """Every so many hours, counted from the hour of the last rotation."""

    hours: int


Schedule = Days | Hours | Cron


@dataclass(frozen=True, slots=True)
class RotationRules:
    """Parsed rotation rules.

    Attributes:
        schedule: When; None if the secret rotates only when asked.
        duration_hours: Length of the window; None for the default: one hour for schedules that fire several times a
            day, to the end of the day for others.
    """

    schedule: Schedule | None
    duration_hours: int | None = None


@dataclass(frozen=True, slots=True)
class RotationWindow:
    """``opens_at`` inclusive, ``closes_at`` exclusive, both aware UTC."""

    opens_at: datetime
    closes_at: datetime

    def in_words(self) -> str:
        """Say when it opens and closes."""
        return f"opens at {self.opens_at:{_TO_THE_MINUTE}} UTC and closes at {self.closes_at:{_TO_THE_MINUTE}} UTC"


def parse_rotation_rules(members: Mapping[str, object]) -> RotationRules:
    """Parse and validate RotationRules as sent, or as stored.

    Args:
        members: AutomaticallyAfterDays, Duration and ScheduleExpression, each of them optional.

    Raises:
        InvalidParameterException: They contradict each other, or name no schedule that AWS accepts.
    """
    days = members.get("AutomaticallyAfterDays")
    expression = members.get("ScheduleExpression")
    duration = members.get("Duration")
    if days is not None and expression is not None:
        raise InvalidParameterException("You cannot specify both rotation frequency and schedule expression together.")
    if days is not None:
        if not isinstance(days, int) or not 1 <= days <= _MOST_DAYS:
            raise InvalidParameterException("AutomaticallyAfterDays must be between 1 and 1000.")
        schedule: Schedule = Days(days)
    elif expression is not None:
        schedule = _parse_expression(str(expression))
    elif duration is not None:
        raise InvalidParameterException("You must specify a rotation schedule together with a Duration.")
    else:
        return RotationRules(None)
    return RotationRules(schedule, None if duration is None else _parse_duration(str(duration), schedule))


def next_window(rules: RotationRules, last_rotated_at: datetime | None, now: datetime) -> RotationWindow:
    """Return the next window in which the secret may rotate; it may be open already.

    After a rotation that failed for good, ask with the end of its window as ``now``.

    Args:
        rules: Parsed rotation rules with a schedule.
        last_rotated_at: Aware UTC; a value put by hand counts, and so does having switched rotation on. None if there
            is nothing to count from: a secret whose first rotation has failed.
        now: Aware UTC, from the caller's clock.

    Returns:
        A window that closes after ``now`` and opens after the last rotation.

    Raises:
        InvalidParameterException: There is no schedule, or it never fires again.

    Source: AWS Secrets Manager API Reference, RotationRulesType.
    """
    schedule = rules.schedule
    if isinstance(schedule, Days):
        # A date that is missed becomes today.
        counted = _midnight(now) if last_rotated_at is None else _midnight(last_rotated_at) + schedule.days * _DAY
        opens_at = max(counted, _midnight(now))
        window = RotationWindow(opens_at, _closing(rules, opens_at))
        return window if window.closes_at > now else RotationWindow(opens_at + _DAY, window.closes_at + _DAY)
    if isinstance(schedule, Hours):
        interval = schedule.hours * _HOUR
        opens_at = _hour(now if last_rotated_at is None else last_rotated_at) + interval
        length = (rules.duration_hours or 1) * _HOUR
        # Windows that were missed are skipped, the rhythm is kept.
        missed = max(0, (now - opens_at - length) // interval + 1)
        return RotationWindow(opens_at + missed * interval, opens_at + missed * interval + length)
    if schedule is not None:
        # A window may still be open that opened a day before.
        for opens_at in schedule.moments(now - _DAY):
            closes_at = _closing(rules, opens_at)
            if closes_at > now and (last_rotated_at is None or opens_at > last_rotated_at):
                return RotationWindow(opens_at, closes_at)
    raise InvalidParameterException("The rotation schedule never fires again.")


def last_change(last_rotated_at: datetime | None, value_made_at: datetime | None) -> datetime | None:
    """Return from when a schedule counts: the last rotation, or a later value that was put by hand.

    Args:
        last_rotated_at: Aware UTC; None if the secret has never rotated, then there is nothing to count from.
        value_made_at: When the current version was made. What a rotation makes is older than the rotation's end.

    Source: AWS Secrets Manager User Guide, "Lambda rotation functions".
    """
    if last_rotated_at is None or value_made_at is None:
        return last_rotated_at
    return max(last_rotated_at, value_made_at)


def count_from(rules: RotationRules, last_rotated_at: datetime, closes_at: datetime | None) -> datetime:
    """Return from when :func:`next_window` counts.

    Hours are counted from where the window opened that the secret has rotated in: otherwise a long window, in which it
    rotates late now and then, would make the interval longer than it was meant to be.

    Args:
        rules: Parsed rotation rules.
        last_rotated_at: As for :func:`next_window`.
        closes_at: The end of the window that was planned last, if one was.
    """
    if closes_at is None or not isinstance(rules.schedule, Hours):
        return last_rotated_at
    window = window_that_closes(rules, closes_at)
    return window.opens_at if window.opens_at <= last_rotated_at < window.closes_at else last_rotated_at


def next_windows(rules: RotationRules, last_rotated_at: datetime | None, now: datetime) -> Iterator[RotationWindow]:
    """Yield the next windows of a secret that rotates in each of them; as :func:`next_window`."""
    window = next_window(rules, last_rotated_at, now)
    while True:
        yield window
        window = next_window(rules, window.opens_at, window.closes_at)


def window_that_closes(rules: RotationRules, closes_at: datetime) -> RotationWindow:
    """Return the window of these rules that closes at a moment that :func:`next_window` gave."""
    if rules.duration_hours is not None:
        return RotationWindow(closes_at - rules.duration_hours * _HOUR, closes_at)
    if isinstance(rules.schedule, Hours) or (isinstance(rules.schedule, Cron) and len(rules.schedule.hours) > 1):
        return RotationWindow(closes_at - _HOUR, closes_at)
    hour = rules.schedule.hours[0] if isinstance(rules.schedule, Cron) else 0
    return RotationWindow(closes_at - _DAY + hour * _HOUR, closes_at)


def choose_hour(window: RotationWindow, random: RandomSource, *, now: datetime) -> RotationWindow:
    """Return the part of its window in which a secret rotates: what is left of one hour, each as likely as any other.

    Args:
        window: As :func:`next_window` gives it.
        random: Unpredictable in earnest.
        now: Aware UTC; nothing is planned for the past.

    Returns:
        It ends far enough before the window does to leave room for retries, unless the window is as good as over: then
        it is empty, and begins and ends at once.
    """
    earliest = max(window.opens_at, now)
    latest = window.closes_at - _ROOM_FOR_RETRIES
    first_minute = _minute(earliest) if _minute(earliest) == earliest else _minute(earliest) + _MINUTE
    if first_minute >= latest:
        return RotationWindow(earliest, earliest)
    first_hour = _hour(first_minute)
    hour = first_hour + random.randbelow(-((first_hour - latest) // _HOUR)) * _HOUR
    return RotationWindow(max(first_minute, hour), min(hour + _HOUR, latest))


def choose_moment(hour: RotationWindow, load: Mapping[datetime, int], random: RandomSource) -> datetime:
    """Return when in its hour a secret rotates.

    A minute weighs the more the nearer it is to the top of the hour, and the less the more rotations are planned in it
    already: 60 less its number, by the third power of one more than those. While little is planned the first minutes
    have most; the more is planned, the nearer all minutes come to the same number.

    Args:
        hour: As :func:`choose_hour` gives it.
        load: How many rotations are planned in each minute of it; minutes without any may be left out.
        random: Unpredictable in earnest.

    Returns:
        Aware UTC; in whole seconds unless the hour is empty.
    """
    minutes = [hour.opens_at + number * _MINUTE for number in range((hour.closes_at - hour.opens_at) // _MINUTE)]
    if not minutes:
        return hour.opens_at
    # Whole numbers, scaled up so that the fullest minute's weight does not round down to nothing.
    scale = (1 + max(load.values(), default=0)) ** _AVERSION
    weights = [(60 - minute.minute) * scale // (1 + load.get(minute, 0)) ** _AVERSION for minute in minutes]
    sums = list(accumulate(weights))
    chosen = minutes[bisect_right(sums, random.randbelow(sums[-1]))]
    return chosen + timedelta(seconds=random.randbelow(60))


def days_until_next(rules: RotationRules, at: datetime) -> int | None:
    """Return what DescribeSecret shows as AutomaticallyAfterDays: for expressions it is computed from the schedule.

    Args:
        rules: Parsed rotation rules.
        at: When the secret rotated last; aware UTC.
    """
    if rules.schedule is None:
        return None
    if isinstance(rules.schedule, Days):
        return rules.schedule.days
    return max(1, (next_window(rules, at, at).opens_at.date() - at.date()).days)


def _parse_expression(text: str) -> Schedule:
    match = _EXPRESSION.fullmatch(text.strip())
    if match is None:
        raise InvalidParameterException(f"The schedule expression {text} is neither rate() nor cron().")
    if match["kind"] == "rate":
        return _parse_rate(match["inside"])
    try:
        cron = parse_cron(match["inside"])
    except InvalidCron as error:
        raise InvalidParameterException(f"The schedule expression {text} is not valid. {error}") from error
    if _interval_hours(cron) < _LEAST_INTERVAL_HOURS:
        raise InvalidParameterException("A secret can't rotate more often than every four hours.")
    return cron


def _parse_rate(inside: str) -> Schedule:
    match = _RATE.fullmatch(inside)
    if match is None:
        raise InvalidParameterException(f"The rate {inside} is not a number of hours or days.")
    number = int(match["number"])
    in_days = match["unit"].startswith("day")
    hours = number * _HOURS_OF_DAY if in_days else number
    if hours < _LEAST_INTERVAL_HOURS:
        raise InvalidParameterException("A secret can't rotate more often than every four hours.")
    if hours > _MOST_RATE_DAYS * _HOURS_OF_DAY:
        raise InvalidParameterException("The rate of a schedule expression can't be more than 999 days.")
    return Days(number) if in_days else Hours(number)


def _parse_duration(text: str, schedule: Schedule) -> int:
    match = _DURATION.fullmatch(text)
    hours = int(match["hours"]) if match else 0
    if hours < 1:
        raise InvalidParameterException(f"The duration {text} is not a number of hours such as 3h.")
    if isinstance(schedule, Hours):
        longest = schedule.hours
    elif isinstance(schedule, Days):
        longest = _HOURS_OF_DAY
    elif len(schedule.hours) > 1:
        longest = _interval_hours(schedule)
    else:
        longest = _HOURS_OF_DAY - schedule.hours[0]
    if hours > longest:
        raise InvalidParameterException(f"The duration {text} reaches into the next rotation window or the next day.")
    return hours


def _interval_hours(cron: Cron) -> int:
    """Return the shortest time between two moments of a day, or across midnight."""
    if len(cron.hours) == 1:
        return _HOURS_OF_DAY
    across_midnight = cron.hours[0] + _HOURS_OF_DAY - cron.hours[-1]
    return min(across_midnight, *(later - earlier for earlier, later in pairwise(cron.hours)))


def _closing(rules: RotationRules, opens_at: datetime) -> datetime:
    if rules.duration_hours is not None:
        return opens_at + rules.duration_hours * _HOUR
    if isinstance(rules.schedule, Cron) and len(rules.schedule.hours) > 1:
        return opens_at + _HOUR
    return _midnight(opens_at) + _DAY


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
