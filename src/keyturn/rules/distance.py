"""How far a moment is from now, in words; ``console.js`` says the same while a page is looked at."""

from __future__ import annotations

from datetime import datetime, timedelta

_UNITS = (
    (timedelta(days=1), "day"),
    (timedelta(hours=1), "hour"),
    (timedelta(minutes=1), "minute"),
    (timedelta(seconds=1), "second"),
)


def distance(at: datetime, now: datetime) -> str:
    """Return how far a moment is from now, in whole units that have passed or are to come: ``in 3 days``."""
    size = abs(at - now)
    unit, name = next((each for each in _UNITS if size >= each[0]), _UNITS[-1])
    count = size // unit
    told = f"{count} {name}{'' if count == 1 else 's'}"
    return f"in {told}" if at > now else f"{told} ago"
