"""The moments at which a fault can happen: before and after each call and each message of a function.

``before`` is when the call or message has arrived and nothing has been done; ``after`` when its answer is there and has
not been passed on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
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
React = Callable[[Boundary, int], Passing]
"""Told each boundary and its number in this step, from 0, as it is reached; may wait."""


@dataclass(slots=True)
class Watch:
    """Counts the boundaries that are reached and asks what to do at each. Thread-safe."""

    seen: list[Boundary] = field(default_factory=list)
    _react: React | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, react: React | None = None) -> None:
        """Count from 0 again, and ask ``react`` from now on; None lets everything pass."""
        with self._lock:
            self.seen = []
            self._react = react

    def reached(self, boundary: Boundary) -> Passing:
        """Return what is to happen."""
        with self._lock:
            number = len(self.seen)
            self.seen.append(boundary)
            react = self._react
        return react(boundary, number) if react else PASS
