"""The rotation that has not ended, as Keyturn tells it: it runs, waits for its next attempt, or for its next window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_UNFINISHED = ("running", "pending", "parked")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A rotation that is under way.

    Attributes:
        status: ``running``, ``pending`` (waits for its next attempt) or ``parked`` (out of attempts until a window).
        attempt: Which attempt runs, or comes next.
        attempts: How many there are in a window.
        due_at: When it goes on; None while it runs, and if no window is planned.
    """

    status: str
    attempt: int
    attempts: int
    due_at: datetime | None

    @property
    def runs(self) -> bool:
        """Whether nothing waits: a step runs."""
        return self.status == "running"


def waiting_in(reply: Mapping[str, Any]) -> Waiting | None:
    """Return the rotation that is under way, of ListRotations' reply; None if there is none."""
    # Newest first; one that was asked for while another waited is the newer one.
    for rotation in reply.get("Rotations", []):
        if rotation.get("Status") in _UNFINISHED:
            due_at = rotation.get("DueAt")
            return Waiting(
                status=str(rotation["Status"]),
                attempt=int(rotation.get("Attempt", 1)),
                attempts=int(rotation.get("Attempts", 1)),
                due_at=due_at.astimezone(UTC) if isinstance(due_at, datetime) else None,
            )
    return None
