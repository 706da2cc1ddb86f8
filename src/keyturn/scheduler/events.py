"""Runs what ``Invoke`` accepted as an Event: in the background, and up to twice more if the function fails.

Accepted events live in memory and end with the server. AWS waits about one and two minutes before its two retries. One
that is throttled has not been run: it waits a second, then twice as long each time, up to five minutes, for six hours.
Source: AWS Lambda Developer Guide, "How Lambda handles errors and retries with asynchronous invocation".
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from keyturn.errors.lambda_ import TooManyRequestsException

_log = logging.getLogger(__name__)

_THREADS = 4
# Payloads are up to 1 MB each.
_LIMIT = 256
_RETRY_SECONDS = (60.0, 120.0)
_THROTTLED_SECONDS, _THROTTLED_SECONDS_AT_MOST = 1.0, 300.0
_AGE_SECONDS = 6 * 3600.0


@dataclass(slots=True, order=True)
class _Event:
    due: float
    number: int
    attempt: Callable[[], bool] = field(compare=False)
    accepted: float = field(compare=False)
    failures: int = field(default=0, compare=False)
    throttles: int = field(default=0, compare=False)


class EventInvocations:
    """A bounded number of threads and of events. Thread-safe.

    Args:
        threads: How many events run at the same time.
        limit: How many may wait, those between two attempts included.
        retry_seconds: How long to wait before each further attempt.
        throttled_seconds: How long to wait when an event was throttled for the first time.
        age_seconds: After how long an event that is only ever throttled is dropped.
    """

    def __init__(
        self,
        threads: int = _THREADS,
        limit: int = _LIMIT,
        retry_seconds: Sequence[float] = _RETRY_SECONDS,
        throttled_seconds: float = _THROTTLED_SECONDS,
        age_seconds: float = _AGE_SECONDS,
    ) -> None:
        self._limit = limit
        self._retry_seconds = retry_seconds
        self._throttled_seconds = throttled_seconds
        self._age_seconds = age_seconds
        self._waiting: list[_Event] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"event-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, attempt: Callable[[], bool]) -> None:
        """Accept an event and return at once.

        Args:
            attempt: Runs the event once; False or an exception means that it failed, TooManyRequestsException that it
                was not run.

        Raises:
            TooManyRequestsException: Too many events wait.
        """
        with self._changed:
            if self._is_closed or len(self._waiting) >= self._limit:
                raise TooManyRequestsException(
                    "Rate Exceeded.", Reason="CallerRateLimitExceeded", Type="User", retryAfterSeconds="1"
                )
            now = time.monotonic()
            self._put(_Event(now, next(self._numbers), attempt, accepted=now))

    def close(self) -> None:
        """Drop the events that wait, and return when those under way have ended."""
        with self._changed:
            self._is_closed = True
            if self._waiting:
                _log.warning("%d accepted events were not run to their end", len(self._waiting))
            self._waiting.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _put(self, event: _Event) -> None:
        heapq.heappush(self._waiting, event)
        self._changed.notify()

    def _work(self) -> None:
        while (event := self._next()) is not None:
            try:
                if not _succeeds(event.attempt):
                    self._try_again(event)
            except TooManyRequestsException:
                self._wait_for_room(event)

    def _next(self) -> _Event | None:
        """Wait for an event to be due; None when there will be no more."""
        with self._changed:
            while not self._is_closed:
                seconds = self._waiting[0].due - time.monotonic() if self._waiting else None
                if seconds is not None and seconds <= 0:
                    return heapq.heappop(self._waiting)
                self._changed.wait(seconds)
            return None

    def _try_again(self, event: _Event) -> None:
        if event.failures >= len(self._retry_seconds):
            return
        event.failures += 1
        self._put_off(event, self._retry_seconds[event.failures - 1])

    def _wait_for_room(self, event: _Event) -> None:
        seconds = min(self._throttled_seconds * 2**event.throttles, _THROTTLED_SECONDS_AT_MOST)
        if time.monotonic() + seconds - event.accepted > self._age_seconds:
            _log.warning("an accepted event was throttled for too long and is dropped")
            return
        event.throttles += 1
        self._put_off(event, seconds)

    def _put_off(self, event: _Event, seconds: float) -> None:
        event.due = time.monotonic() + seconds
        with self._changed:
            if not self._is_closed:
                self._put(event)


def _succeeds(attempt: Callable[[], bool]) -> bool:
    try:
        return attempt()
    except TooManyRequestsException:
        raise
    except Exception:  # noqa: BLE001 - an event must not end the thread that runs it
        # Nobody waits for this event's answer: what nobody foresaw is for the operator, and counts as a failure.
        _log.exception("an event could not be run")
        return False
