"""The story of one rotation, out of what several places know of it.

- The rotation's own record knows when it was asked for, each run of each step, and how it ended.
- The function's log has what it printed in each invocation.
- The audit trail has the function's calls, moves of labels by anybody, and refusals (``timeline_calls.py``).

What two of them tell is told once: the service's own events of a rotation say no more than its record, and lend it
their ids. Entries are ordered by time. Those of one moment follow the order of the steps, and within a step that of
cause and effect: it begins, calls are made, lines are printed, it ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import NamedTuple, Protocol

from keyturn.rules.invocation_log import level_of
from keyturn.rules.masking import MASK, Mask
from keyturn.rules.rotation import Step, StepOutcome
from keyturn.rules.timeline_calls import CANCEL, Calls
from keyturn.rules.timeline_entry import Entry, EntryKind, Severity

# Of one entry; a stack trace fits.
MESSAGE_CHARACTERS = 2000
_STEP_LINES = 200
_MOST_ENTRIES = 3000
_MOST_CHARACTERS = 600_000
_MILLISECOND, _SECOND = timedelta(milliseconds=1), timedelta(seconds=1)
_ACCESS_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")
_INTERRUPTED = "was interrupted: its server, or Keyturn's own database, went away while it ran"
_TIMED_OUT = "Task timed out after"
_ERRORS, _WARNINGS = ("ERROR", "CRITICAL", "FATAL"), ("WARNING", "WARN")
_KINDS = {"rotation": "rotation to", "test": "test of the function, with", "resolution": "resolution of"}
_WORDS = {
    StepOutcome.FUNCTION_ERROR: "failed",
    StepOutcome.TIMEOUT: "timed out",
    StepOutcome.THROTTLED: "was throttled, and not invoked",
    StepOutcome.REFUSED: "was not what it was to be",
    StepOutcome.NOT_INVOKED: "was not invoked",
}


class StepRun(Protocol):
    """One run of one step, as it is stored. ``outcome`` is None while it runs, or if its server died."""

    @property
    def attempt(self) -> int:
        """Counts whole runs through the steps, from 1."""

    @property
    def step(self) -> str:
        """Its name."""

    @property
    def request_id(self) -> str:
        """Of the invocation."""

    @property
    def started_at(self) -> datetime:
        """Aware UTC."""

    @property
    def ended_at(self) -> datetime | None:
        """Aware UTC."""

    @property
    def outcome(self) -> str | None:
        """A StepOutcome."""

    @property
    def error(self) -> str | None:
        """Why it failed."""

    @property
    def cause(self) -> str | None:
        """A short name of that; of ``probeSecret`` that was answered, what the database said to each label."""


class LogLine(NamedTuple):
    """A line of a function's log."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Told:
    """What the rotation's own record says.

    Attributes:
        status: As it is shown: ``running``, ``parked``, …
        kind: ``rotation``, ``test`` or ``resolution``.
        reason: Why it was abandoned or cancelled.
        steps: In order.
        attempt: The one that runs or comes next, and how many there are in a window at most.
        due_at: When the next one begins.
        has_earlier_steps: Whether there are more steps, before these.
    """

    version_id: str
    status: str
    kind: str
    requested_at: datetime
    ended_at: datetime | None
    reason: str | None
    steps: Sequence[StepRun]
    attempt: tuple[int, int] = (1, 1)
    due_at: datetime | None = None
    has_earlier_steps: bool = False


@dataclass(frozen=True, slots=True)
class Timeline:
    """The entries, and whether some were left out."""

    entries: list[Entry]
    is_truncated: bool


def timeline(
    told: Told, logs: Mapping[str, Sequence[LogLine]], calls: Calls, notes: Iterable[str], mask: Mask
) -> Timeline:
    """Merge what is known of a rotation.

    Args:
        told: The rotation's own record.
        logs: The lines of each invocation, by request id; empty for who may not read them.
        calls: What the audit trail says; likewise.
        notes: What is to be said of the timeline itself.
        mask: Takes secret values out of whatever anybody has said.
    """
    placed = [_placed(0, _Rank.NOTE, Entry(told.requested_at, EntryKind.NOTE, note)) for note in notes]
    placed.append(_placed(0, _Rank.BEGIN, _beginning(told, calls)))
    is_truncated = told.has_earlier_steps
    for position, run in enumerate(told.steps, start=1):
        lines, is_cut = _shortened([_line(run, line) for line in logs.get(run.request_id, ())], _STEP_LINES)
        is_truncated |= is_cut
        placed.append(_placed(position, _Rank.STARTED, _of(run, run.started_at, EntryKind.STEP_STARTED, "began")))
        placed += [_placed(position, _Rank.LOG, line) for line in lines]
        placed += [_placed(position, _Rank.ENDED, entry) for entry in _ended(told, position, calls, lines)]
    for call in calls.entries:
        position = _position_at(told.steps, call.at)
        is_own = call.event_id in calls.of_function and position
        placed.append(_placed(position, _Rank.CALL, _within(told.steps[position - 1], call) if is_own else call))
    placed += [_placed(len(told.steps) + 1, _Rank.END, entry) for entry in _ending(told, calls)]
    entries = [entry for _, entry in sorted(placed, key=lambda each: each[0])]
    shown, is_cut = _shortened([_clean(entry, mask) for entry in entries], _MOST_ENTRIES, _MOST_CHARACTERS)
    return Timeline(shown, is_truncated or is_cut)


def shown_outcome(run: StepRun, *, is_running: bool) -> str:
    """Return how a step ended, or why it has not.

    Args:
        run: The step.
        is_running: Whether it is the newest of a rotation that somebody runs.
    """
    return run.outcome or ("running" if is_running else "interrupted")


def milliseconds_of(run: StepRun) -> int | None:
    """Return how long a step took; None while it runs, or if nobody knows."""
    return None if run.ended_at is None else max(0, (run.ended_at - run.started_at) // _MILLISECOND)


class _Rank(IntEnum):
    """The order of things of one moment, within a step or beside all of them."""

    NOTE = 0
    BEGIN = 1
    STARTED = 2
    CALL = 3
    LOG = 4
    ENDED = 5
    END = 6


_Placed = tuple[tuple[datetime, int, int], Entry]


def _placed(position: int, rank: _Rank, entry: Entry) -> _Placed:
    """Return an entry with what it is ordered by; equal ones stay as they come."""
    return (entry.at, position, rank), entry


def _position_at(steps: Sequence[StepRun], at: datetime) -> int:
    """Return the number of the step that had begun at a moment, 0 for none."""
    return next((number for number in range(len(steps), 0, -1) if steps[number - 1].started_at <= at), 0)


def _of(run: StepRun, at: datetime, kind: EntryKind, message: str, severity: Severity = Severity.INFO) -> Entry:
    """Return an entry of a step, whose name a message begins with that is about it."""
    words = message if kind in (EntryKind.LOG, EntryKind.DENIED) else f"{run.step} {message}"
    return _within(run, Entry(at, kind, words, severity))


def _within(run: StepRun, entry: Entry) -> Entry:
    return replace(entry, attempt=run.attempt, step=run.step, request_id=run.request_id)


def _beginning(told: Told, calls: Calls) -> Entry:
    what = f"{_KINDS[told.kind]} version {told.version_id}"
    if calls.asked_by is None:
        return Entry(told.requested_at, EntryKind.EVENT, f"The {what} began")
    message = f"{calls.asked_by.who} asked for the {what}"
    if calls.asked_by.name == CANCEL:
        message = (
            f"{calls.asked_by.who} cancelled the rotation to version {told.version_id}, which may have set its"
            " password: the database is asked which version it accepts"
        )
    return Entry(told.requested_at, EntryKind.EVENT, message, event_id=calls.asked_by.event_id)


def _line(run: StepRun, line: LogLine) -> Entry:
    text = line.text.rstrip("\n")
    level = level_of(text)
    is_error = level in _ERRORS or _TIMED_OUT in text
    severity = Severity.WARNING if level in _WARNINGS else Severity.INFO
    return _of(run, line.at, EntryKind.LOG, text, Severity.ERROR if is_error else severity)


def _ended(told: Told, position: int, calls: Calls, lines: Sequence[Entry]) -> list[Entry]:
    """Return how a step ended, behind the refusal to invoke the function if there was one; nothing while it runs."""
    run = told.steps[position - 1]
    if run.outcome is None:
        return _not_ended(told, position, lines)
    at = run.ended_at or run.started_at
    invoked = calls.invocations.get(run.request_id)
    event_id = None if invoked is None else invoked.event_id
    if run.outcome == StepOutcome.SUCCEEDED:
        is_refused = run.step == Step.PROBE and "accepted" not in (run.cause or "accepted")
        message = f"was answered: {run.cause}" if run.step == Step.PROBE and run.cause else "succeeded"
        ended = _of(run, at, EntryKind.STEP_ENDED, message, Severity.ERROR if is_refused else Severity.INFO)
        return [replace(ended, duration_milliseconds=milliseconds_of(run), event_id=event_id)]
    message = _WORDS.get(StepOutcome(run.outcome), run.outcome)
    refusals = []
    if invoked is not None and invoked.is_denied:
        refusal = _of(run, at, EntryKind.DENIED, f"Invoke was denied: {run.error}", Severity.ERROR)
        refusals, event_id = [replace(refusal, event_id=event_id)], None
    elif run.error and not any(_says(line.message, run) for line in lines):
        message = f"{message}: {run.error}"
    ended = _of(run, at, EntryKind.STEP_ENDED, message, Severity.ERROR)
    return [*refusals, replace(ended, duration_milliseconds=milliseconds_of(run), event_id=event_id)]


def _not_ended(told: Told, position: int, lines: Sequence[Entry]) -> list[Entry]:
    run, is_newest = told.steps[position - 1], position == len(told.steps)
    if is_newest and told.status == "running":
        return []
    # When it was nobody knows: after the last sign of life, before the next step.
    last = lines[-1].at if lines else run.started_at
    at = last if is_newest else told.steps[position].started_at
    return [_of(run, at, EntryKind.STEP_ENDED, _INTERRUPTED, Severity.WARNING)]


def _says(line: str, run: StepRun) -> bool:
    """Whether a line of the log has told already why a step failed."""
    error = run.error or ""
    return (error.partition(": ")[2] or error) in line or (run.outcome == StepOutcome.TIMEOUT and _TIMED_OUT in line)


def _ending(told: Told, calls: Calls) -> list[Entry]:
    if told.ended_at is None:
        return _waiting(told) if told.steps else _not_begun(told)
    message = f"The {told.kind} {'has' if told.status in ('succeeded', 'failed') else 'was'} {told.status}"
    if told.status == "resolved":
        message = "The labels are in line with the database"
    if told.status == "cancelled" and calls.cancelled_by is not None:
        message = f"{message} by {calls.cancelled_by.who}"
    elif told.reason:
        message = f"{message}: {told.reason}"
    severity = {"succeeded": Severity.INFO, "resolved": Severity.INFO, "failed": Severity.ERROR}.get(told.status)
    event_id = calls.ended_by.event_id if calls.ended_by else None
    return [Entry(told.ended_at, EntryKind.EVENT, message, severity or Severity.WARNING, event_id=event_id)]


def _waiting(told: Told) -> list[Entry]:
    """Return how a rotation goes on that has not ended, behind its last step; nothing while it runs."""
    last = told.steps[-1]
    at, (attempt, attempts) = last.ended_at or last.started_at, told.attempt
    if told.status == "parked":
        message = "Out of attempts: the rotation waits for its next window, or to be retried or resolved"
        return [Entry(at, EntryKind.EVENT, message, Severity.WARNING)]
    if told.status != "pending" or told.due_at is None:
        return []
    number = f"{attempt} of {attempts}" if attempt <= attempts else f"{attempt}, of the database only,"
    message = f"Attempt {number} begins at {told.due_at:%Y-%m-%d %H:%M:%S} UTC"
    return [Entry(at, EntryKind.EVENT, message, Severity.WARNING)]


def _not_begun(told: Told) -> list[Entry]:
    """Return when the database is asked, if not at once: what was begun before may run until then."""
    if told.kind != "resolution" or told.due_at is None or told.due_at < told.requested_at + _SECOND:
        return []
    message = f"The database is asked at {told.due_at:%Y-%m-%d %H:%M:%S} UTC: a step may run until then"
    return [Entry(told.requested_at, EntryKind.EVENT, message)]


def _clean(entry: Entry, mask: Mask) -> Entry:
    """Return an entry without secret values and ids of access keys, and not longer than can be read."""
    message = _ACCESS_KEY_ID.sub(MASK, mask(entry.message, MESSAGE_CHARACTERS))
    more = len(entry.message) - MESSAGE_CHARACTERS
    return replace(entry, message=f"{message}… ({more} more characters)" if more > 0 else message)


def _shortened(
    entries: Sequence[Entry], most: int, most_characters: int = _MOST_CHARACTERS
) -> tuple[list[Entry], bool]:
    """Return as many entries as may be shown, the first third and the last two, and whether some are left out."""
    first = _fitting(entries, most // 3, most_characters // 3)
    rest = entries[first:]
    last = _fitting(rest[::-1], most - most // 3, most_characters - most_characters // 3)
    if last == len(rest):
        return list(entries), False
    count = len(rest) - last
    note = replace(rest[0], kind=EntryKind.NOTE, message=f"{count} entries are left out here", severity=Severity.INFO)
    note = replace(note, duration_milliseconds=None, event_id=None)
    return [*entries[:first], note, *rest[count:]], True


def _fitting(entries: Sequence[Entry], most: int, most_characters: int) -> int:
    """Return how many of the first entries fit."""
    for number, entry in enumerate(entries):
        most_characters -= min(len(entry.message), MESSAGE_CHARACTERS)
        if number == most or most_characters < 0:
            return number
    return len(entries)
