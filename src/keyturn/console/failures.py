"""The newest failed invocations of a function, as its log tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from keyturn.clock import to_milliseconds
from keyturn.console.log_reading import LogReader
from keyturn.console.replies import address
from keyturn.console.rotation_steps import RotationStep, rotation_steps
from keyturn.console.visit import Refused, Visit
from keyturn.rules.invocations import BOUNDARIES, FAILURES, FailedInvocation, failed_invocations

MOST: Final = 20
# Each failure is told by some lines: the runtime's, and the report.
_LINES: Final = 4 * MOST
# Source: AWS Lambda Developer Guide, "Lambda quotas": how long a function may take.
_LONGEST: Final = timedelta(minutes=15)
_MOST_STREAMS: Final = 100


@dataclass(frozen=True, slots=True)
class Failures:
    """What is known.

    Attributes:
        newest: Failed invocations, newest first.
        steps: What they were for, if they were steps of rotations, by request id.
        refused: Why nothing is known.
        is_cut: Whether there may be more, before these.
    """

    newest: list[FailedInvocation] = field(default_factory=list)
    steps: Mapping[str, RotationStep] = field(default_factory=dict)
    refused: Refused | None = None
    is_cut: bool = False


def newest_failures(visit: Visit, group: str, begin: datetime, end: datetime) -> Failures:
    """Return the newest failed invocations that began within a time."""
    reader = LogReader(visit, group, pattern=FAILURES)
    since = to_milliseconds(begin)
    told = reader.newest(to_milliseconds(end + _LONGEST), since=since, is_enough=lambda lines: len(lines) >= _LINES)
    if told.refused is not None:
        # A function that has never run has no log.
        return Failures() if told.refused.status == 404 else Failures(refused=told.refused)
    if not told.lines:
        return Failures(is_cut=told.older is not None)
    lines = told.lines[-_LINES:]
    streams = tuple(sorted({line.stream for line in lines}))[:_MOST_STREAMS]
    around = LogReader(visit, group, streams=streams, pattern=BOUNDARIES)
    first, last = to_milliseconds(lines[0].at - _LONGEST), to_milliseconds(lines[-1].at) + 5_000
    seen = around.newest(last, since=first, is_enough=lambda _: False)
    found = [each for each in failed_invocations(seen.lines) if begin <= each.at < end]
    newest = found[:MOST]
    is_cut = told.older is not None or len(found) > MOST or len(told.lines) > _LINES
    steps = rotation_steps(visit, newest[-1].at - _LONGEST, max(map(_ended_at, newest))) if newest else {}
    return Failures(newest, steps, is_cut=is_cut)


def _ended_at(failed: FailedInvocation) -> datetime:
    """Return when an invocation has ended, at the latest."""
    took = _LONGEST if failed.duration_ms is None else timedelta(milliseconds=failed.duration_ms)
    return failed.at + took


def jump_to(group: str, failures: Failures, at: datetime, step: timedelta, timeout_seconds: int) -> str:
    """Return where the log tells of the failures that were counted in one step of a chart.

    To the lines of the invocation, if it is known which that was; else to all that tells of failures then.
    """
    known = next((each for each in failures.newest if at <= each.at < at + step), None)
    if known is not None:
        return jump_to_invocation(group, known)
    # It is counted when it began, and has failed at its time limit at the latest.
    end = at + step + timedelta(seconds=timeout_seconds + 1)
    return address("log", group=group, failed="1", from_=to_milliseconds(at), to=to_milliseconds(end))


def jump_to_invocation(group: str, failed: FailedInvocation) -> str:
    """Return where the lines of a failed invocation are."""
    return address("log", group=group, request=failed.request_id, at=to_milliseconds(failed.at))
