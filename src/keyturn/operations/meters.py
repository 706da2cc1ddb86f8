"""Counts what rotations come to, since this process began. Thread-safe.

Plain numbers; ``server/metrics.py`` gives them their names and their form. Every label has few values: none is a
secret's name, an ARN or a word that a function made up.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

STEP_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
ROTATION_BUCKETS: Final = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)


@dataclass(slots=True)
class Durations:
    """How long something took, counted by upper bounds; the last count is of what took longer than all of them."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total_seconds: float = 0.0

    def add(self, took: timedelta) -> None:
        """Count one more; a clock that was set back makes nothing negative."""
        seconds = max(took.total_seconds(), 0.0)
        self.counts = self.counts or [0] * (len(self.bounds) + 1)
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total_seconds += seconds


class Meters:
    """What was counted so far."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: dict[tuple[str, str], Durations] = {}
        self._failures: Counter[tuple[str, str, str]] = Counter()
        self._rotations: dict[tuple[str, str], Durations] = {}

    def note_step(self, kind: str, step: str, outcome: str, cause: str, took: timedelta) -> None:
        """Count one run of a step.

        Args:
            kind: Of the rotation.
            step: Its name.
            outcome: How it ended.
            cause: Why it failed, empty if it did not; a failed step is a failed attempt.
            took: From before the invocation to after it.
        """
        with self._lock:
            self._steps.setdefault((step, outcome), Durations(STEP_BUCKETS)).add(took)
            if cause:
                self._failures[kind, step, cause] += 1

    def note_end(self, kind: str, outcome: str, took: timedelta) -> None:
        """Count a rotation that has ended or was parked.

        Args:
            kind: Of the rotation.
            outcome: Its status.
            took: Since the intent to rotate was stored, pauses between attempts included.
        """
        with self._lock:
            self._rotations.setdefault((kind, outcome), Durations(ROTATION_BUCKETS)).add(took)

    def steps(self) -> dict[tuple[str, str], Durations]:
        """Durations of steps by step and outcome."""
        with self._lock:
            return {key: _copied(durations) for key, durations in self._steps.items()}

    def rotations(self) -> dict[tuple[str, str], Durations]:
        """Durations of rotations by kind and status."""
        with self._lock:
            return {key: _copied(durations) for key, durations in self._rotations.items()}

    def failures(self) -> dict[tuple[str, str, str], int]:
        """Failed attempts by kind, step and cause."""
        with self._lock:
            return dict(self._failures)


def _copied(durations: Durations) -> Durations:
    return Durations(durations.bounds, list(durations.counts), durations.total_seconds)
