"""Lines of a function's log, for people: the runtime's own lines known as such, records of logging taken apart."""

from __future__ import annotations

import json
from dataclasses import dataclass

from keyturn.client.shown import shown
from keyturn.rules.invocation_log import is_platform_record, json_record

_TRACEBACK = "Traceback (most recent call last):"
_ERRORS, _WARNINGS = ("ERROR", "CRITICAL", "FATAL"), ("WARNING", "WARN")


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One event of a log.

    Attributes:
        level: Of a record of Python's logging, else empty.
        lines: What it says, fit to be printed.
        style: As Rich has them.
    """

    level: str
    lines: list[str]
    style: str


def without_traceback(event: str) -> tuple[str, int]:
    """Return an event without the traceback at its end, and how many lines that has; 0 if there is none."""
    record = json_record(event)
    if record is not None and record.get("stackTrace"):
        count = sum(len(str(part).splitlines()) for part in record.pop("stackTrace"))
        return json.dumps(record), count
    message, found, traceback = event.partition(f"\n{_TRACEBACK}")
    return message, len(traceback.strip("\n").splitlines()) + 1 if found else 0


def log_event(event: str) -> LogEvent:
    """Take an event apart."""
    # A record of Python's logging as Lambda writes it: level, time, request id, message.
    fields = event.split("\t", 3)
    is_record = len(fields) == 4 and fields[0].startswith("[")
    level, text = (fields[0].strip("[]"), fields[3]) if is_record else _json_parts(event)
    is_error = level in _ERRORS or "[ERROR]" in text or "Task timed out" in text
    style = "red" if is_error else "yellow" if level in _WARNINGS else "dim"
    lines = [shown(part.expandtabs(2)) for part in text.replace("\r", "\n").splitlines()]
    return LogEvent(shown(level), lines, style)


def _json_parts(event: str) -> tuple[str, str]:
    """Return level and message of an event that is a record in JSON; of any other nothing and all of it."""
    record = json_record(event)
    if record is None or is_platform_record(record) or "level" not in record:
        return "", event
    message = record.get("message", "")
    said = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
    error = ": ".join(str(record[member]) for member in ("errorType", "errorMessage") if record.get(member))
    stack = "".join(map(str, record.get("stackTrace") or ())).rstrip("\n")
    return str(record["level"]).upper(), "\n".join(filter(None, (said, error, stack)))
