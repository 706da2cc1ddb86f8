"""Which lines of a function's log are of one invocation, and what a line is: for whoever reads logs.

An execution environment serves one invocation at a time, so an invocation's lines are those of one stream from its
first on. That is START as text, ``platform.start`` as JSON, or whichever record names it, if the function's
SystemLogLevel leaves the others out. ``REPORT`` or ``platform.report`` is the last.

Source: AWS Lambda Developer Guide, "Configuring JSON and plain text log formats".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

Event = TypeVar("Event")

START_TEXT = "START RequestId: "
_REPORT_TEXT = "REPORT RequestId: "
_TEXTS = ("INIT_START ", START_TEXT, "END RequestId: ", _REPORT_TEXT)
_LEVEL_TEXT = re.compile(r"\[([A-Z]+)\]")
_PLATFORM, _START, _REPORT = "platform.", "platform.start", "platform.report"


def json_record(event: str) -> dict[str, Any] | None:
    """Return the object that a line of JSON is, None if it is something else."""
    if not event.startswith("{"):
        return None
    try:
        record = json.loads(event)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def is_platform_record(record: dict[str, Any]) -> bool:
    """Whether the runtime has written it and not the function."""
    return str(record.get("type", "")).startswith(_PLATFORM) and isinstance(record.get("record"), dict)


def is_platform_event(event: str) -> bool:
    """Whether the runtime has written it and not the function."""
    record = json_record(event)
    return event.startswith(_TEXTS) if record is None else is_platform_record(record)


def level_of(event: str) -> str:
    """Return the level that a line says it has, in capitals; empty if it says none.

    Of the platform's events those have one that tell of a failure.
    """
    record = json_record(event)
    if record is None:
        found = _LEVEL_TEXT.match(event)
        return found[1] if found else ""
    if is_platform_record(record):
        return "ERROR" if record["record"].get("status") in ("error", "failure", "timeout") else ""
    return str(record.get("level", "")).upper()


def naming(request_id: str) -> tuple[str, str]:
    """Return what a line of JSON holds that names an invocation: as Lambda writes JSON, and as Python does."""
    return f'"requestId":"{request_id}"', f'"requestId": "{request_id}"'


def names(event: str, request_id: str) -> bool:
    """Whether a line can be the first of an invocation."""
    return event.startswith(f"{START_TEXT}{request_id}") or any(named in event for named in naming(request_id))


def of_invocation(events: Iterable[Event], request_id: str, text_of: Callable[[Event], str]) -> Iterator[Event]:
    """Yield the events of a stream up to the end of an invocation.

    Args:
        events: In order, the invocation's first before all others.
        request_id: Of the invocation.
        text_of: Returns what an event says.
    """
    has_start = False
    for number, event in enumerate(events):
        text = text_of(event)
        record = json_record(text)
        is_start = text.startswith(START_TEXT) if record is None else record.get("type") == _START
        has_start |= is_start and not number
        # What a function itself calls requestId counts only where the platform tells nothing.
        if number and (is_start or (record and not has_start and _request_id_of(record) not in (None, request_id))):
            return
        yield event
        if text.startswith(f"{_REPORT_TEXT}{request_id}") or (record and record.get("type") == _REPORT):
            return


def _request_id_of(record: dict[str, Any]) -> object:
    return record["record"].get("requestId") if is_platform_record(record) else record.get("requestId")
