"""That nobody keeps the console from others: how much may be done at once with one access key."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from anyio import CapacityLimiter


class Turns:
    """Lets some things of each owner be done at once; the next ones wait for their turn. For one event loop.

    Args:
        most: How many of one owner's.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limiters: dict[str, CapacityLimiter] = {}
        self._here: Counter[str] = Counter()

    @asynccontextmanager
    async def of(self, owner: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it."""
        limiter = self._limiters.setdefault(owner, CapacityLimiter(self._most))
        self._here[owner] += 1
        try:
            async with limiter:
                yield
        finally:
            self._here[owner] -= 1
            if not self._here[owner]:
                del self._here[owner], self._limiters[owner]


class Places:
    """Counts what is held for long, some of each owner's and some altogether; there is no waiting for it.

    Args:
        most: How many altogether.
        most_of_one: How many of one owner's.
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._taken: Counter[str] = Counter()

    def are_free_for(self, owner: str) -> bool:
        """Return whether another one may be taken."""
        return self._taken.total() < self._most and self._taken[owner] < self._most_of_one

    @contextmanager
    def of(self, owner: str) -> Iterator[None]:
        """Take one."""
        self._taken[owner] += 1
        try:
            yield
        finally:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]
