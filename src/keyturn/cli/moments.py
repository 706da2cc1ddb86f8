"""Moments and spans of time, as options take them and as they are shown."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from keyturn.errors.base import KeyturnError

_SPAN = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)


def read_span(text: str) -> timedelta | None:
    """Return what ``30m``, ``12h`` or ``7d`` means; None if it is something else."""
    match = _SPAN.fullmatch(text)
    return None if match is None else timedelta(**{_UNITS[match[2]]: int(match[1])})


def read_utc(text: str, option: str) -> datetime:
    """Return a moment: a date, or a date and time, in UTC unless it says otherwise.

    Raises:
        KeyturnError: It is something else.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise KeyturnError(f"{option} {text} is no moment.", "Say 2026-12-24, or 2026-12-24T18:00 in UTC.") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def rough(span: timedelta) -> str:
    """Return a span of time as people say it: ``40 s``, ``12 min``, ``5 h``, ``30 d``."""
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        # Two days are 2 d, one and a half are 36 h.
        if span >= 2 * unit:
            return f"{span // unit} {name}"
    return f"{max(0, int(span.total_seconds()))} s"


def in_local_time(moment: datetime) -> datetime:
    """Return a moment in this machine's time zone, as it is on that day."""
    return moment.astimezone()


def is_utc_here(moment: datetime) -> bool:
    """Say whether this machine's clock shows UTC at a moment, so that it needs not be shown twice."""
    return not in_local_time(moment).utcoffset()
