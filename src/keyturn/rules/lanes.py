"""Which of the rotations that are due may begin: so many at once in total, for each function and for each database.

A slow function must not starve the others: however many of its rotations are due, it gets at most half of the places
that the others leave it. With 16 places one function alone has 8, a second one beside it 4 more, then 2 and 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Lane(NamedTuple):
    """What a rotation works with; either is empty if it is not known, and is then not bounded."""

    function_arn: str
    database: str


@dataclass(frozen=True, slots=True)
class Limits:
    """How many rotations one server runs at once."""

    total: int
    per_function: int
    per_database: int


class Places:
    """The places of one server, taken one after the other.

    Args:
        limits: How many there are.
        running: The lanes of the rotations that have one.
    """

    def __init__(self, limits: Limits, running: Sequence[Lane]) -> None:
        self._limits = limits
        self._functions = Counter(lane.function_arn for lane in running)
        self._databases = Counter(lane.database for lane in running)
        self._taken = len(running)

    @property
    def free(self) -> int:
        """How many are left."""
        return max(0, self._limits.total - self._taken)

    @property
    def full_functions(self) -> list[str]:
        """The functions that get no further one now."""
        return [function_arn for function_arn in self._functions if self._is_full(function_arn)]

    @property
    def full_databases(self) -> list[str]:
        """Likewise, databases."""
        return [name for name, count in self._databases.items() if name and count >= self._limits.per_database]

    def take(self, lane: Lane) -> bool:
        """Take a place for a rotation, if there is one for it."""
        is_full = self._is_full(lane.function_arn) or lane.database in self.full_databases
        if is_full or not self.free:
            return False
        self._functions[lane.function_arn] += 1
        self._databases[lane.database] += 1
        self._taken += 1
        return True

    def _is_full(self, function_arn: str) -> bool:
        count = self._functions[function_arn]
        left_by_others = self._limits.total - (self._taken - count)
        share = max(1, (left_by_others + 1) // 2)
        return bool(function_arn) and count >= min(self._limits.per_function, share)
