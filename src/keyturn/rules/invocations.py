"""Which invocations a piece of a log belongs to, and which of them failed.

An execution environment writes a stream of its own, and serves one invocation at a time: what begins and ends one is in
:mod:`.invocation_log`. A piece of a log may begin in the middle of an invocation, whose last line then names it.

What the runtime says of a failure, in text: ``[ERROR] Type: message`` of what a function raised, ``Task timed out
after``, and the ``Status`` of REPORT for all that is not the function's own answer. In JSON ``platform.report`` has a
``status`` always.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

from keyturn.rules.invocation_log import START_TEXT, is_platform_record, json_record

FAILURES = (
    '?"[ERROR] " ?"Task timed out after" ?"Runtime exited" ?"Status: error" ?"Status: timeout"'
    r' ?"\"status\":\"error\"" ?"\"status\":\"timeout\"" ?"\"status\":\"failure\""'
)
"""A filter pattern of CloudWatch Logs: lines that tell of a failed invocation."""
BOUNDARIES = rf'?"START RequestId: " ?"REPORT RequestId: " ?"\"type\":\"platform." ?"\"errorType\"" {FAILURES}'
"""Likewise: those lines, those that begin and end invocations, and those that say which error it was."""

_ID = r"(?P<id>[0-9a-fA-F-]{36})"
_REQUEST_ID = re.compile(_ID)
_TEXTS = re.compile(rf"(?P<kind>START|END|REPORT) RequestId: {_ID}")
_RECORD = re.compile(rf"\[[A-Z]+\]\t[^\t\n]*\t{_ID}\t")
_OTHERS = re.compile(rf"(?:RequestId: |\d{{4}}-\d\d-\d\dT[0-9:.]+Z ){_ID} ")
# The runtime's own; what a function prints is one line at a time.
_RAISED = re.compile(r"\[ERROR\] (?P<error>[^\r\n]+)[\r\n].*Traceback \(most recent call last\):", re.DOTALL)
_TIMED_OUT = re.compile(r"Task timed out after [0-9.]+ seconds")
_EXITED = re.compile(r"Error: (?P<error>Runtime exited [^\r\n]+)")
_DURATION = re.compile(r"\tDuration: (?P<ms>[0-9.]+) ms")
_STATUS = re.compile(r"\tStatus: (?P<status>error|timeout)(?:\tError Type: (?P<error>\S+))?")
_FAILED = ("error", "failure", "timeout")


class StreamLine(NamedTuple):
    """A line of a log group."""

    event_id: str
    stream: str
    at: datetime
    text: str


@dataclass(slots=True)
class FailedInvocation:
    """An invocation that failed, as its log tells.

    Attributes:
        at: Of its first line that is known.
        error: What went wrong, in one line.
        duration_ms: None if nobody has said.
    """

    request_id: str
    stream: str
    at: datetime
    error: str = ""
    duration_ms: float | None = None


class _Kind(Enum):
    START = "START"
    REPORT = "REPORT"
    OTHER = ""


def owners(lines: Sequence[StreamLine]) -> list[str]:
    """Return to which invocation each line belongs, by its request id; empty where that is not known.

    Args:
        lines: In order, of one stream or of several.
    """
    found = [""] * len(lines)
    for numbers in _by_stream(lines).values():
        current, has_start, waiting = "", False, list[int]()
        for number in numbers:
            kind, named = _named(lines[number].text)
            if kind is _Kind.START:
                # What comes before belongs to nobody: the environment began.
                waiting.clear()
                has_start = True
            # What a function itself calls a request id counts only where the platform tells nothing.
            if named and (kind is not _Kind.OTHER or not has_start):
                current = named
                for each in waiting:
                    found[each] = named
                waiting.clear()
            found[number] = current
            if not current:
                waiting.append(number)
            if kind is _Kind.REPORT:
                current, has_start = "", False
    return found


def failed_invocations(lines: Sequence[StreamLine]) -> list[FailedInvocation]:
    """Return the invocations that failed, newest first.

    Args:
        lines: In order; at least those that :data:`BOUNDARIES` finds.
    """
    seen: dict[str, FailedInvocation] = {}
    failed: set[str] = set()
    for line, request_id in zip(lines, owners(lines), strict=True):
        if not request_id:
            continue
        of = seen.setdefault(request_id, FailedInvocation(request_id, line.stream, line.at))
        is_failure, error, duration_ms = _told(line.text)
        if is_failure:
            failed.add(request_id)
        of.error = of.error or error
        of.duration_ms = of.duration_ms if duration_ms is None else duration_ms
    found = [each for request_id, each in seen.items() if request_id in failed]
    for each in found:
        each.error = each.error or "failed"
    return sorted(found, key=lambda each: each.at, reverse=True)


def _by_stream(lines: Iterable[StreamLine]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        found.setdefault(line.stream, []).append(number)
    return found


def _named(text: str) -> tuple[_Kind, str]:
    """Return which invocation a line says it is of, and whether it begins or ends it."""
    record = json_record(text)
    if record is not None:
        return _named_by_record(record)
    match = _TEXTS.match(text)
    if match:
        kind = {"START": _Kind.START, "REPORT": _Kind.REPORT}.get(match["kind"], _Kind.OTHER)
        return kind, match["id"]
    match = _RECORD.match(text) or _OTHERS.match(text)
    return _Kind.OTHER, match["id"] if match else ""


def _named_by_record(record: dict[str, Any]) -> tuple[_Kind, str]:
    is_platform = is_platform_record(record)
    named = (record["record"] if is_platform else record).get("requestId")
    kinds = {"platform.start": _Kind.START, "platform.report": _Kind.REPORT}
    kind = kinds.get(str(record.get("type")), _Kind.OTHER) if is_platform else _Kind.OTHER
    return kind, named if isinstance(named, str) and _REQUEST_ID.fullmatch(named) else ""


def _told(text: str) -> tuple[bool, str, float | None]:
    """Return whether a line tells of a failure, which, and how long the invocation took if it says so."""
    record = json_record(text)
    if record is not None:
        return _told_by_record(record)
    if text.startswith(("REPORT ", START_TEXT)):
        status, duration = _STATUS.search(text), _DURATION.search(text)
        error = "" if status is None else (status["error"] or "")
        return status is not None, error, float(duration["ms"]) if duration else None
    raised = _RAISED.match(text) or _EXITED.search(text)
    timed_out = _TIMED_OUT.search(text) if _OTHERS.match(text) else None
    if raised:
        return True, raised["error"], None
    return timed_out is not None, timed_out[0] if timed_out else "", None


def _told_by_record(record: dict[str, Any]) -> tuple[bool, str, float | None]:
    if not is_platform_record(record):
        # Whether the invocation ended with it, platform.report says.
        error = ": ".join(str(record[member]) for member in ("errorType", "errorMessage") if record.get(member))
        return False, error, None
    of = record["record"]
    if record.get("type") != "platform.report":
        return False, "", None
    metrics = of.get("metrics")
    duration = metrics.get("durationMs") if isinstance(metrics, dict) else None
    is_failure = of.get("status") in _FAILED
    error = str(of.get("errorType") or of.get("status")) if is_failure else ""
    return is_failure, error, float(duration) if isinstance(duration, int | float) else None
