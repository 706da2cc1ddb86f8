"""A clock that stands still until it is told to move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FakeClock:
    """A :class:`keyturn.clock.Clock` under the control of a test."""

    def __init__(self, now: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) -> None:
        if now.tzinfo is None:
            raise ValueError("FakeClock needs an aware datetime.")
        self._now = now

    def now(self) -> datetime:
        """Return the moment last set."""
        return self._now

    def advance(self, by: timedelta) -> datetime:
        """Move forward (or back) and return the new moment."""
        self._now += by
        return self._now
