"""The moments at which a fault can happen: before and after each call and each message of a function.

``before`` is when the call or message has arrived and nothing has been done; ``after`` when its answer is there and has
not been passed on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

MESSAGE = "a message to the database"
"""Name of a boundary that is no call."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """One moment.

    Attributes:
        name: The operation that is called, or :data:`MESSAGE`.
        when: Whether its effect is still to come.
    """

    name: str
    when: Literal["before", "after"]

    @property
    def is_message(self) -> bool:
        """Whether it belongs to the database."""
        return self.name == MESSAGE

    def __str__(self) -> str:
        return f"{self.when} {self.name if self.is_message else f'the call of {self.name}'}"


class Refusal(StrEnum):
    """What Secrets Manager may answer instead of doing what it is asked for."""

    THROTTLED = "ThrottlingException"
    DENIED = "AccessDeniedException"
    FAILED = "InternalServiceError"


@dataclass(frozen=True, slots=True)
class Passing:
    """What happens to what has arrived.

    Attributes:
        refusal: Answer this; only before a call.
        is_cut: End the connection; what has arrived goes no further.
    """

    refusal: Refusal | None = None
    is_cut: bool = False


PASS = Passing()
CUT = Passing(is_cut=True)
React = Callable[["Place"], Passing]
"""Told each boundary as it is reached; may wait."""


@dataclass(frozen=True, slots=True)
class Place:
    """A boundary in a step: the same one in every run of it, which a number among all of them would not be.

    Attributes:
        boundary: Which one.
        time: How often it had been reached, this time included.
    """

    boundary: Boundary
    time: int

    def __str__(self) -> str:
        return str(self.boundary) if self.time == 1 else f"{self.boundary}, {_ordinal(self.time)} time"


class Trap:
    """Does something at one place, once, and lets everything else pass.

    Args:
        place: Where.
        passing: What happens to what arrives there.
        act: Done before.

    Attributes:
        has_sprung: Whether the place was reached.
    """

    def __init__(self, place: Place, passing: Passing, act: Callable[[], object] | None = None) -> None:
        self._place = place
        self._passing = passing
        self._act = act
        self.has_sprung = False

    def __call__(self, place: Place) -> Passing:
        """Return what happens there."""
        if place != self._place:
            return PASS
        self.has_sprung = True
        if self._act is not None:
            self._act()
        return self._passing


class Watch:
    """Counts the boundaries that are reached and asks what to do at each. Thread-safe.

    Attributes:
        seen: What has been reached in this step, in order.
    """

    def __init__(self) -> None:
        self.seen: list[Place] = []
        self._react: React | None = None
        self._lock = threading.Lock()

    def begin(self, react: React | None = None) -> None:
        """Count anew, and ask ``react`` from now on; None lets everything pass."""
        with self._lock:
            self.seen = []
            self._react = react

    def end(self) -> None:
        """Let everything pass, and keep what has been seen: what still runs belongs to no step."""
        with self._lock:
            self._react = None
            self.seen = list(self.seen)

    def reached(self, boundary: Boundary) -> Passing:
        """Return what is to happen."""
        with self._lock:
            place = Place(boundary, 1 + sum(other.boundary == boundary for other in self.seen))
            self.seen.append(place)
            react = self._react
        return react(place) if react else PASS


def _ordinal(number: int) -> str:
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number not in (11, 12, 13) else 0, "th")
    return f"the {number}{suffix}"
