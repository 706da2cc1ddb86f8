"""Counts invocations of functions by the minute. Written now and then, never while a function is invoked.

Counted are the invocations of this process since it began; what it wrote is added up with what others have written
(``storage/function_metrics.py``). What was counted in the last seconds before a crash is lost.
"""

from __future__ import annotations

import threading
from collections import Counter
from copy import copy
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from keyturn.arn import Place
from keyturn.ids import new_request_id
from keyturn.rules.metrics import Series, Tally, minute_of
from keyturn.runtime.spec import FunctionSpec, Invocation
from keyturn.storage.database import Database
from keyturn.storage.function_metrics import CountedMinute, store_minutes

# An invocation is counted in the minute in which it began, and the longest takes fifteen.
_KEPT = timedelta(minutes=30)
_AT_ONCE = 500


class _Owned(NamedTuple):
    """A series of an account's region."""

    place: Place
    series: Series


class _Counted:
    """A minute that is counted; one that begins anew later is another part of it."""

    __slots__ = ("is_stored", "part", "tally")

    def __init__(self) -> None:
        self.part = new_request_id()
        self.tally = Tally()
        self.is_stored = True


class FunctionMetrics:
    """What was counted of each function, of each of its versions and aliases, and of all functions. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._storing = threading.Lock()
        self._running: Counter[_Owned] = Counter()
        self._minutes: dict[tuple[_Owned, datetime], _Counted] = {}

    def began(self, spec: FunctionSpec, at: datetime) -> None:
        """Count one more that runs."""
        with self._lock:
            for owned in _counted_as(spec.arn, spec.qualifier):
                self._running[owned] += 1
                self._tally(owned, at).concurrency[self._running[owned]] += 1

    def ended(self, spec: FunctionSpec, began_at: datetime, invocation: Invocation | None) -> None:
        """Count an invocation; None if it could not be run, which counts for nothing."""
        with self._lock:
            for owned in _counted_as(spec.arn, spec.qualifier):
                self._running[owned] -= 1
                if invocation is not None:
                    has_failed = invocation.function_error is not None
                    self._tally(owned, began_at).note_end(invocation.duration_ms, has_failed=has_failed)

    def throttled(self, spec: FunctionSpec, at: datetime) -> None:
        """Count an invocation that was refused because too many ran."""
        with self._lock:
            for owned in _counted_as(spec.arn, spec.qualifier):
                self._tally(owned, at).throttles += 1

    def look(self, now: datetime) -> None:
        """Count what runs in this minute though it began in an earlier one."""
        minute = minute_of(now)
        with self._lock:
            self._running = +self._running
            for owned, count in self._running.items():
                if (owned, minute) not in self._minutes:
                    self._tally(owned, now).concurrency[count] += 1

    def store(self, journal: Database, now: datetime) -> None:
        """Write what is new, and forget what cannot change any more.

        Raises:
            StorageError: The database failed; what is not written is written the next time.
        """
        with self._storing:
            # A few at a time: whoever else writes must not wait for all functions of a large server.
            while minutes := self._take():
                try:
                    store_minutes(journal, minutes)
                except BaseException:
                    self._put_back(minutes)
                    raise
            with self._lock:
                before = now - _KEPT
                gone = [key for key, counted in self._minutes.items() if key[1] < before and counted.is_stored]
                for key in gone:
                    del self._minutes[key]

    def _tally(self, owned: _Owned, at: datetime) -> Tally:
        key = owned, minute_of(at)
        counted = self._minutes.get(key)
        if counted is None:
            counted = self._minutes[key] = _Counted()
        counted.is_stored = False
        return counted.tally

    def _take(self) -> list[CountedMinute]:
        taken: list[CountedMinute] = []
        with self._lock:
            for ((place, series), minute), counted in self._minutes.items():
                if len(taken) == _AT_ONCE:
                    break
                if not counted.is_stored:
                    counted.is_stored = True
                    tally = copy(counted.tally)
                    tally.durations, tally.concurrency = Counter(tally.durations), Counter(tally.concurrency)
                    taken.append(CountedMinute(place, series, minute, counted.part, tally))
        return taken

    def _put_back(self, minutes: list[CountedMinute]) -> None:
        with self._lock:
            for minute in minutes:
                self._minutes[_Owned(minute.place, minute.series), minute.minute_at].is_stored = False


@lru_cache(1024)
def _counted_as(arn: str, qualifier: str) -> tuple[_Owned, ...]:
    """Return all that an invocation counts for. Source: AWS Lambda Developer Guide, "Types of metrics"."""
    place, name = Place.of(arn), arn.rpartition(":")[2]
    resource = f"{name}:{qualifier}" if qualifier else name
    return tuple(_Owned(place, series) for series in (Series(), Series(name), Series(name, resource)))
