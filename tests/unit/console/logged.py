"""A log group without a server: FilterLogEvents over lines in memory, as many at once as it likes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from keyturn.clock import from_milliseconds
from keyturn.console.visit import Look, Refused


@dataclass
class LoggedVisit:
    """Somebody who looks at a group; satisfies what the reader asks of a visit.

    Attributes:
        lines: Timestamp in milliseconds, stream and text; in order.
        at_once: How many lines one answer has at most.
        calls: What was asked.
        refused: Why nothing is told.
    """

    lines: Sequence[tuple[int, str, str]]
    at_once: int = 10_000
    now: datetime = field(default_factory=lambda: from_milliseconds(1_800_000_000_000))
    calls: list[dict[str, Any]] = field(default_factory=list)
    refused: Refused | None = None

    def look(self, service: str, operation: str, **asked: Any) -> Look:
        """Answer FilterLogEvents."""
        assert (service, operation) == ("logs", "filter_log_events")
        self.calls.append(asked)
        if self.refused is not None:
            return Look({}, self.refused)
        word = asked.get("filterPattern", "").strip('"')
        found = [
            {"eventId": f"{number:056}", "timestamp": at, "logStreamName": stream, "message": f"{text}\n"}
            for number, (at, stream, text) in enumerate(self.lines)
            if asked["startTime"] <= at <= asked["endTime"]
            and word in text
            and stream in asked.get("logStreamNames", [stream])
        ]
        first = int(asked.get("nextToken", "0"))
        last = first + min(self.at_once, asked.get("limit", self.at_once))
        more = {"nextToken": str(last)} if last < len(found) else {}
        return Look({"events": found[first:last], **more})
