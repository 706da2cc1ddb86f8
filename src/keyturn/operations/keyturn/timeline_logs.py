"""What a rotation function printed in each step, as far as the caller may read its log.

Where an invocation's lines begin and end: ``rules/invocation_log.py``. The first is looked for within the time of the
step only: in the group that the function logs to now, and in the one that is named after it, where it may have then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import Connection

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.clock import from_milliseconds, to_milliseconds
from keyturn.operations.keyturn.spans import Span
from keyturn.operations.kit import Kit
from keyturn.operations.logs.subjects import policy_arn, visible_from_ms
from keyturn.operations.subject import Subject
from keyturn.rules.invocation_log import START_TEXT, naming, of_invocation
from keyturn.rules.rotation import StepOutcome
from keyturn.rules.timeline import LogLine
from keyturn.storage import function_logs
from keyturn.storage.function_logs import LogEventRecord, LogGroupRecord, LogPosition, LogStreamRecord

# Of all steps together; the newest are read first.
_MOST_LINES = 5000
_MOST_CHARACTERS = 8_000_000
_PIECE_SIZE = 250
# A server's clock may be set back a little while a step runs.
_CLOCK = timedelta(seconds=5)
_LOGGED = (StepOutcome.SUCCEEDED, StepOutcome.FUNCTION_ERROR, StepOutcome.TIMEOUT)


@dataclass(slots=True)
class LogsSeen:
    """The lines of each invocation, by request id; what is to be said of them; whether some were not read."""

    lines: dict[str, list[LogLine]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    is_cut: bool = False


def logs_of(kit: Kit, call: Call, place: Place, group_names: Sequence[str], spans: Sequence[Span]) -> LogsSeen:
    """Return what the function logged in steps.

    Args:
        kit: Adapters.
        call: Whose permission counts.
        place: Of the function.
        group_names: Where it logs, or may have logged.
        spans: The steps.
    """
    reader = _Reader(kit, call, place, group_names)
    with kit.journal.read() as connection:
        found = [function_logs.load_group(connection, place, name) for name in group_names]
        groups = [group for group in found if group is not None]
        for span in reversed(spans):
            # The first that has the invocation has all of it.
            any(reader.read(connection, group, span) for group in groups)
    return reader.seen(spans)


class _Reader:
    def __init__(self, kit: Kit, call: Call, place: Place, group_names: Sequence[str]) -> None:
        self._kit, self._call = kit, call
        self._place, self._group_names = place, group_names
        self._may: dict[tuple[str, str], bool] = {}
        self._lines: dict[str, list[LogLine]] = {}
        self._lines_left, self._characters_left = _MOST_LINES, _MOST_CHARACTERS

    def read(self, connection: Connection, group: LogGroupRecord, span: Span) -> bool:
        """Read the lines of a step, unless enough was read, and return whether the group has them."""
        if self._is_enough:
            return True
        request_id = span.step.request_id
        found = function_logs.find_line(
            connection,
            group,
            f"{START_TEXT}{request_id}",
            within=naming(request_id),
            starts_ms=max(to_milliseconds(span.begins_at - _CLOCK), visible_from_ms(group, self._call.at)),
            ends_ms=to_milliseconds(span.ends_at),
        )
        if found is not None and self._may_read(group.name, found[0].name):
            events = of_invocation(self._events(connection, *found), request_id, lambda event: event.message)
            self._lines[request_id] = [
                LogLine(from_milliseconds(event.timestamp_ms), event.message) for event in events
            ]
        return found is not None

    def seen(self, spans: Sequence[Span]) -> LogsSeen:
        """Return what was read."""
        seen = LogsSeen(self._lines, is_cut=self._is_enough)
        is_allowed = all(self._may.values()) if self._may else self._may_read(self._group_names[0], "")
        logged = [span.step.request_id for span in spans if span.step.outcome in _LOGGED]
        missing = len(set(logged) - self._lines.keys())
        if not is_allowed:
            refused = [group for (group, _), may in self._may.items() if not may]
            arn = self._place.log_group_arn(refused[0])
            seen.notes.append(f"Log lines are left out: reading them takes the permission logs:GetLogEvents on {arn}.")
        elif self._is_enough:
            seen.notes.append("The function logged more than is shown: the log lines of earlier steps are left out.")
        elif missing:
            seen.notes.append(f"The log of {missing} of {len(logged)} invocations is gone, or was never written.")
        return seen

    @property
    def _is_enough(self) -> bool:
        return self._lines_left <= 0 or self._characters_left <= 0

    def _may_read(self, group_name: str, stream_name: str) -> bool:
        asked = (group_name, stream_name)
        if asked not in self._may:
            arn = policy_arn(self._place, group_name, stream_name)
            subject: Subject[None] = Subject(arn, arn, record=None)
            self._may[asked] = self._kit.authorise.decide(self._call, "logs:GetLogEvents", subject).allowed
        return self._may[asked]

    def _events(
        self, connection: Connection, stream: LogStreamRecord, position: LogPosition
    ) -> Iterator[LogEventRecord]:
        """Yield the events of a stream, as many as may still be read."""
        while not self._is_enough:
            page = function_logs.get_events(
                connection, stream, position=position, forward=True, limit=min(_PIECE_SIZE, self._lines_left)
            )
            for event in page.events:
                self._lines_left -= 1
                self._characters_left -= len(event.message)
                yield event
            if not page.events or self._is_enough:
                return
            position = page.forward
