"""A function's log, read as the invocations it tells of.

Two formats: text, and one JSON object a line. Sources: AWS Lambda Developer Guide, "Using CloudWatch Logs with Lambda"
and "Configuring JSON and plain text log formats".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from .cached import cached
from .facts import Answer, Kind
from .redaction import json_object, readable, redacted

_REQUEST_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_START = re.compile(rf"START RequestId: ({_REQUEST_ID})")
_REPORT = re.compile(rf"REPORT RequestId: ({_REQUEST_ID})\s+Duration: ([\d.]+) ms")
_MEMORY = re.compile(r"Memory Size: (\d+) MB\s+Max Memory Used: (\d+) MB")
# What is before the space is short: over a line of 256 KB without one an open end would take minutes.
_TIMED_OUT = re.compile(rf"(?:\S{{1,40}}Z )?({_REQUEST_ID}) Task timed out after ([\d.]+) seconds")
_ANY_ID = re.compile(_REQUEST_ID)
_OF_JAVA = re.compile(r"^[\w.$]+(?:Exception|Error)\b[^\n]*\n\tat ", re.MULTILINE)
_TRACE = "Traceback (most recent call last)"
_OF_NODE = re.compile(rf"\S{{1,40}}Z\t(?:{_REQUEST_ID}|undefined)\tERROR\t")
_SECRET_ARN = re.compile(r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9/_+=.@-]+")
_STEP = re.compile(r"\b(createSecret|setSecret|testSecret|finishSecret)\b")
_BY_LAMBDA = re.compile(r"REPORT |INIT_REPORT |RequestId: |\S{1,40}Z \S{1,40} Task timed out|platform\.")
_LIVED_FOR = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class LogLine:
    """An event of the log, its text without what looks like a password."""

    at: datetime
    text: str
    stream: str = ""


@dataclass
class LogRun:
    """One invocation, as far as the log has it. Once it has been read, no line is added.

    Attributes:
        request_id: Its id; empty for lines of a start-up that failed before there was one.
        lines: Oldest first.
        duration_ms: As reported, or None.
        memory_mb: What it may use, or None.
        max_memory_mb: What it has used, or None.
        timed_out_after: Seconds; None if it has not timed out.
    """

    request_id: str
    lines: list[LogLine] = field(default_factory=list)
    duration_ms: float | None = None
    memory_mb: int | None = None
    max_memory_mb: int | None = None
    timed_out_after: float | None = None

    @property
    def started_at(self) -> datetime:
        """Of its first line."""
        return self.lines[0].at

    @property
    def ended_at(self) -> datetime:
        """Of its last line."""
        return self.lines[-1].at

    @cached
    def text(self) -> str:
        """All of it."""
        return "\n".join(line.text for line in self.lines)

    @cached
    def secret_arns(self) -> frozenset[str]:
        """The secrets that it names."""
        return frozenset(arn.rstrip(".,;:") for line in self.lines for arn in _SECRET_ARN.findall(line.text))

    @cached
    def errors(self) -> list[LogLine]:
        """Its lines of errors, tracebacks included."""
        return [line for line in self.lines if is_error(line.text)]

    @cached
    def telling_lines(self) -> list[LogLine]:
        """Its lines that tell of errors: the function's own, and Lambda's about it."""
        return [line for line in self.lines if is_error(line.text) or _BY_LAMBDA.match(line.text)]

    @property
    def step(self) -> str | None:
        """The last step that it names, if it names one."""
        named = [match for line in self.lines for match in _STEP.findall(line.text)]
        return named[-1] if named else None

    @property
    def has_failed(self) -> bool:
        """Whether it ended with an error or was ended."""
        return self.timed_out_after is not None or bool(self.errors)

    @property
    def went_well(self) -> bool:
        """Whether it has ended, by its report, and did not fail; one that still runs has no error yet either."""
        return self.is_reported and not self.has_failed

    @property
    def is_reported(self) -> bool:
        """Whether its report is there, the last that Lambda writes of it."""
        return self.duration_ms is not None

    def line_with(self, pattern: re.Pattern[str]) -> tuple[LogLine, re.Match[str]] | None:
        """Return the last line in which a pattern is found, with what was found."""
        for line in reversed(self.lines):
            if match := pattern.search(line.text):
                return line, match
        return None


def is_error(text: str) -> bool:
    """Whether a line tells of an error."""
    if text.startswith(("[ERROR]", "Runtime exited", "RequestId: ")) or _OF_NODE.match(text):
        return True
    if _OF_JAVA.search(text):
        return True
    if _TRACE in text and not text.startswith(("[WARN", "[INFO", "[DEBUG")):
        # Older runtimes write the error's message, then its name, then this.
        return True
    return "\n[ERROR]" in text or "\nRequestId: " in text or '"ERROR"' in text


def runs_in(answer: Answer) -> list[LogRun]:
    """Return the invocations that FilterLogEvents' answer tells of; none if it may not be looked at."""
    return read_runs(answer.found.get("events", [])) if answer.kind is Kind.OK else []


def read_runs(events: Iterable[Mapping[str, Any]]) -> list[LogRun]:
    """Return the invocations that FilterLogEvents' events tell of, in the order in which they began.

    Args:
        events: Each with ``timestamp`` (milliseconds), ``logStreamName`` and ``message``.
    """
    runs: list[LogRun] = []
    open_runs: dict[str, LogRun] = {}
    for event in sorted(events, key=lambda each: each.get("timestamp", 0)):
        stream = str(event.get("logStreamName", ""))
        at = datetime.fromtimestamp(event.get("timestamp", 0) / 1000, UTC)
        text, request_id = _read(readable(str(event.get("message", ""))).rstrip("\n"))
        run = open_runs.get(stream)
        begins = _START.match(text) is not None
        is_other = bool(run and request_id and run.request_id and request_id != run.request_id)
        if run is None or is_other or (begins and run.request_id) or at - run.ended_at > _LIVED_FOR:
            run = LogRun(request_id)
            runs.append(run)
            open_runs[stream] = run
        run.request_id = run.request_id or request_id
        run.lines.append(LogLine(at, redacted(text), stream))
        _measure(run, text)
    return [run for run in runs if run.lines]


def _measure(run: LogRun, text: str) -> None:
    if report := _REPORT.match(text):
        run.duration_ms = float(report[2])
    if text.startswith("REPORT") and (memory := _MEMORY.search(text)):
        run.memory_mb, run.max_memory_mb = int(memory[1]), int(memory[2])
    if timed_out := _TIMED_OUT.search(text):
        run.timed_out_after = float(timed_out[2])


def _read(message: str) -> tuple[str, str]:
    """Return a line's text, and the request id that it is about, if it names one."""
    document = json_object(message)
    if document is not None:
        return _of_json(document, message)
    if match := _START.match(message) or _REPORT.match(message) or _TIMED_OUT.match(message):
        return message, match[1]
    named = _ANY_ID.search(message) if message.startswith(("[", "END", "RequestId")) else None
    return message, named[0] if named else ""


def _of_json(document: Mapping[str, Any], message: str) -> tuple[str, str]:
    """Return what the text format would say."""
    record, kind = document.get("record"), str(document.get("type", ""))
    if isinstance(record, dict) and kind.startswith("platform."):
        return _of_platform(kind, record), str(record.get("requestId", ""))
    request_id = str(document.get("requestId") or document.get("AWSRequestId") or "")
    if "errorType" in document or "errorMessage" in document:
        said = f"[ERROR] {document.get('errorType', 'Error')}: {document.get('errorMessage', '')}"
        trace = document.get("stackTrace") or []
        return "\n".join([said, *map(str, trace)]), request_id
    if "message" in document:
        return f"[{document.get('level', 'INFO')}]\t{document['message']}", request_id
    return message, request_id


def _of_platform(kind: str, record: Mapping[str, Any]) -> str:
    request_id, metrics = record.get("requestId", ""), record.get("metrics") or {}
    if kind == "platform.start":
        return f"START RequestId: {request_id} Version: {record.get('version', '')}"
    if kind == "platform.report":
        duration = metrics.get("durationMs", 0)
        said = (
            f"REPORT RequestId: {request_id}\tDuration: {duration} ms\tMemory Size: {metrics.get('memorySizeMB', 0)} MB"
            f"\tMax Memory Used: {metrics.get('maxMemoryUsedMB', 0)} MB"
        )
        if record.get("status") == "timeout":
            return f"{said}\n{request_id} Task timed out after {float(duration) / 1000:.2f} seconds"
        if record.get("status") == "error" and record.get("errorType"):
            return f"{said}\nRequestId: {request_id} Error: {record['errorType']}"
        return said
    if kind == "platform.initReport":
        duration, status = metrics.get("durationMs", 0), record.get("status", "")
        return f"INIT_REPORT Init Duration: {duration} ms\tPhase: {record.get('phase', '')}\tStatus: {status}"
    return f"{kind} {json.dumps(record)}"
