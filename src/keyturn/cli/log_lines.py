"""Lines of a function's log, for people: the runtime's own lines known as such, records of logging taken apart."""

from __future__ import annotations

from dataclasses import dataclass

from keyturn.cli.shown import shown

_TRACEBACK = "Traceback (most recent call last):"
_PLATFORM_LINES = ("INIT_START ", "START RequestId: ", "END RequestId: ", "REPORT RequestId: ")


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


def is_platform_line(event: str) -> bool:
    """Whether the runtime has written it and not the function."""
    return event.startswith(_PLATFORM_LINES)


def without_traceback(event: str) -> tuple[str, int]:
    """Return an event without the traceback at its end, and how many lines that has; 0 if there is none."""
    message, found, traceback = event.partition(f"\n{_TRACEBACK}")
    return message, len(traceback.strip("\n").splitlines()) + 1 if found else 0


def log_event(event: str) -> LogEvent:
    """Take an event apart."""
    # A record of Python's logging as Lambda writes it: level, time, request id, message.
    fields = event.split("\t", 3)
    is_record = len(fields) == 4 and fields[0].startswith("[")
    level, text = (fields[0].strip("[]"), fields[3]) if is_record else ("", event)
    is_error = level in ("ERROR", "CRITICAL") or "[ERROR]" in text or "Task timed out" in text
    style = "red" if is_error else "yellow" if level == "WARNING" else "dim"
    lines = [shown(part.expandtabs(2)) for part in text.replace("\r", "\n").splitlines()]
    return LogEvent(shown(level), lines, style)
