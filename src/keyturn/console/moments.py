"""Moments that people and links write, and the times over which something is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from keyturn.clock import from_milliseconds
from keyturn.console.visit import Visit
from keyturn.errors.base import KeyturnError

_LATEST_MS: Final = 253_402_300_799_999
_MOST_DIGITS: Final = 15


def read_moment(text: str) -> datetime | None:
    """Return the moment that a field or an address says: ISO 8601, in UTC if it names no zone, or milliseconds.

    Raises:
        KeyturnError: It says something else; nothing at all is None.
    """
    text = text.strip()
    if not text:
        return None
    try:
        if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
            return from_milliseconds(min(int(text), _LATEST_MS))
        at = datetime.fromisoformat(text)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise KeyturnError(
            f"“{text[:60]}” is no moment.", "Write it as 2026-11-27T14:05, in UTC; seconds and a zone may follow."
        ) from error
    return max(at, datetime(1970, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Period:
    """A time that is looked at.

    Attributes:
        name: ``3h``, for instance; empty if it was given by its ends.
        begin: Aware UTC; on a whole step.
        end: Aware UTC, exclusive.
        step: What is counted together.
    """

    name: str
    begin: datetime
    end: datetime
    step: timedelta

    @property
    def slots(self) -> list[datetime]:
        """When each step begins."""
        count = -((self.begin - self.end) // self.step)
        return [self.begin + number * self.step for number in range(count)]


@dataclass(frozen=True, slots=True)
class _Choice:
    title: str
    length: timedelta
    step: timedelta


_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_CHOICES: Final = {
    "1h": _Choice("1 hour", _HOUR, _MINUTE),
    "3h": _Choice("3 hours", 3 * _HOUR, 5 * _MINUTE),
    "12h": _Choice("12 hours", 12 * _HOUR, 15 * _MINUTE),
    "1d": _Choice("1 day", _DAY, 30 * _MINUTE),
    "1w": _Choice("1 week", 7 * _DAY, 3 * _HOUR),
}
TITLES: Final = {name: choice.title for name, choice in _CHOICES.items()}
"""The times that can be chosen."""
_FIRST: Final = "3h"
_STEPS: Final = tuple(_MINUTE * count for count in (1, 5, 10, 15, 30, 60, 180, 360, 720, 1440, 10_080))
_MOST_SLOTS: Final = 60


def asked_period(visit: Visit) -> Period:
    """Return the time that a page is asked for: by its name (``over``), or by its ends (``from``, ``to``).

    Raises:
        KeyturnError: Its ends are no moments, or the wrong way round.
    """
    begin = read_moment(visit.asked("from"))
    if begin is None:
        name = visit.asked("over") if visit.asked("over") in _CHOICES else _FIRST
        choice = _CHOICES[name]
        # The step that has just begun is part of it.
        end = _floor(visit.now, choice.step) + choice.step
        return Period(name, end - choice.length, end, choice.step)
    end = read_moment(visit.asked("to")) or visit.now
    if end <= begin:
        raise KeyturnError("The time ends before it begins.", "Change one of its ends.")
    step = next((each for each in _STEPS if (end - begin) / each <= _MOST_SLOTS), (end - begin) / _MOST_SLOTS)
    step = max(_MINUTE, timedelta(minutes=-(-step // _MINUTE)))
    return Period("", _floor(begin, step), end, step)


def _floor(at: datetime, step: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return at - (at - epoch) % step
