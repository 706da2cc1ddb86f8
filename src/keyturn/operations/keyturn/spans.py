"""When the steps of a rotation ran, and how much of the time around them a timeline is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from keyturn.storage.rotations import RotationRecord, StepRecord

# The longest that a function may run.
_LONGEST = timedelta(minutes=15)
# Between attempts that are further apart somebody may have done much with the secret, and the trail is long.
_AROUND = timedelta(minutes=5)
_CLOSE = timedelta(seconds=1)

Interval = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Span:
    """A step, and when its invocation was under way at the longest."""

    step: StepRecord
    begins_at: datetime
    ends_at: datetime


def spans_of(steps: Sequence[StepRecord], now: datetime) -> list[Span]:
    """Return when steps ran. One whose end is not known had ended when the next began."""
    spans = []
    for number, step in enumerate(steps):
        latest = min(step.started_at + _LONGEST, now)
        following = steps[number + 1].started_at if number + 1 < len(steps) else latest
        spans.append(Span(step, step.started_at, step.ended_at or min(following, latest)))
    return spans


def running(spans: Iterable[Span]) -> list[Interval]:
    """Return when the function ran: one interval for steps that followed each other at once."""
    return _joined([(span.begins_at, span.ends_at) for span in spans], _CLOSE)


def around(rotation: RotationRecord, spans: Iterable[Span], now: datetime) -> list[Interval]:
    """Return the time that the timeline of a rotation is about: all of it, or minutes around what is known of it."""
    begins_at, ends_at = rotation.requested_at, rotation.ended_at or now
    known = [(begins_at, begins_at), *((span.begins_at, span.ends_at) for span in spans), (ends_at, ends_at)]
    wide = [(max(begin - _AROUND, begins_at), min(end + _AROUND, ends_at)) for begin, end in known]
    return _joined([(begin, end) for begin, end in wide if begin <= end], timedelta())


def _joined(intervals: Iterable[Interval], gap: timedelta) -> list[Interval]:
    """Return intervals that do not touch, in order."""
    joined: list[Interval] = []
    for begin, end in sorted(intervals):
        if joined and begin <= joined[-1][1] + gap:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return joined
