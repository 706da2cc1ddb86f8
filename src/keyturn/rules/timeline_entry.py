"""What a timeline is made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EntryKind(StrEnum):
    """What sort of thing an entry tells."""

    STEP_STARTED = "step-started"
    STEP_ENDED = "step-ended"
    LOG = "log"
    CALL = "call"
    DENIED = "denied"
    LABEL = "label"
    EVENT = "event"
    NOTE = "note"


class Severity(StrEnum):
    """How much an entry wants to be looked at."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a timeline.

    Attributes:
        at: Aware UTC.
        message: For people.
        attempt: None, like the next, for what belongs to no step.
        request_id: Of the function's invocation.
        event_id: Of the audit event that says more.
    """

    at: datetime
    kind: EntryKind
    message: str
    severity: Severity = Severity.INFO
    attempt: int | None = None
    step: str | None = None
    duration_milliseconds: int | None = None
    request_id: str | None = None
    event_id: str | None = None
