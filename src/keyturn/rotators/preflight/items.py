"""What was looked at, one after the other: the answer of the pre-flight.

An item has a name, a status (``ok``, ``failed``, ``skipped``), a code that stays the same from release to release, a
short reason for people, and how long it took. What could not be looked at is ``skipped`` and never ``ok``. A reason has
no secret value in it.
"""

from __future__ import annotations

import time

_REASON_CHARACTERS = 300


class Items:
    """Items in the order in which they were looked at."""

    def __init__(self) -> None:
        self.found: list[dict[str, object]] = []

    def ok(self, item: str, code: str = "Ok", reason: str = "", since: float | None = None) -> None:
        """Note what is as it must be."""
        self._note(item, "ok", code, reason, since)

    def failed(self, item: str, code: str, reason: str, since: float | None = None) -> None:
        """Note what a rotation would fail on, or what is not as a rotation has left it."""
        self._note(item, "failed", code, reason, since)

    def skipped(self, item: str, code: str, reason: str, since: float | None = None) -> None:
        """Note what could not be found out."""
        self._note(item, "skipped", code, reason, since)

    def status(self, item: str) -> str | None:
        """Return the status of an item; None if it was not looked at yet."""
        return next((str(each["status"]) for each in self.found if each["item"] == item), None)

    def _note(self, item: str, status: str, code: str, reason: str, since: float | None) -> None:
        took = 0.0 if since is None else round(time.monotonic() - since, 3)
        self.found.append(
            {"item": item, "status": status, "code": code, "reason": reason[:_REASON_CHARACTERS], "seconds": took}
        )
