"""Lines of a log as a page shows them: levels told apart, tracebacks folded, nothing in them does anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from keyturn.client.log_lines import log_event, without_traceback
from keyturn.client.shown import shown
from keyturn.clock import to_milliseconds
from keyturn.console.rotation_steps import RotationStep
from keyturn.rules.invocation_log import is_platform_event, json_record, level_of
from keyturn.rules.invocations import StreamLine, owners

_MOST_CHARACTERS: Final = 8_000
_KINDS: Final = {"red": "bad", "yellow": "warn"}


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A line.

    Attributes:
        kind: ``bad``, ``warn``, ``platform`` for what the runtime says, or empty.
        level: As it is written, ``ERROR``; empty if it has none.
        text: What it says.
        folded: What is shown on demand only: a traceback, and what is too long.
        request_id: Of the invocation that it belongs to; empty if that is not known.
        begins: Whether the line before belongs to another one.
        step: What that invocation was for, if it was a step of a rotation.
        is_marked: Whether it is one that was asked for.
    """

    event_id: str
    stream: str
    at: datetime
    kind: str
    level: str
    text: str
    folded: str
    request_id: str
    begins: bool
    step: RotationStep | None
    is_marked: bool

    @property
    def at_ms(self) -> int:
        """Milliseconds since the epoch."""
        return to_milliseconds(self.at)


def shown_lines(
    lines: Sequence[StreamLine], steps: Mapping[str, RotationStep], marked: frozenset[str] = frozenset(), fresh: int = 0
) -> list[ShownLine]:
    """Return lines as they are shown.

    Args:
        lines: In order.
        steps: Steps of rotations, by request id.
        marked: Ids of those that were asked for.
        fresh: How many of the last are wanted; all if it is 0. Those before tell whom they belong to.
    """
    found = []
    before = ""
    for line, request_id in zip(lines, owners(lines), strict=True):
        found.append(_shown(line, request_id, before, steps, is_marked=line.event_id in marked))
        before = request_id
    return found[-fresh:] if fresh else found


def _shown(
    line: StreamLine, request_id: str, before: str, steps: Mapping[str, RotationStep], *, is_marked: bool
) -> ShownLine:
    record = json_record(line.text)
    is_platform = is_platform_event(line.text)
    message, count = without_traceback(line.text)
    told = log_event(_flat(record) if record and is_platform else message)
    text, folded = "\n".join(told.lines), _traceback(line.text, message) if count else ""
    if len(text) > _MOST_CHARACTERS:
        text, folded = f"{text[:_MOST_CHARACTERS]}…", f"{text[_MOST_CHARACTERS:]}\n{folded}".rstrip("\n")
    is_failure = level_of(line.text) == "ERROR" or (is_platform and "\tStatus: " in line.text)
    return ShownLine(
        line.event_id,
        line.stream,
        line.at,
        "bad" if is_failure else _KINDS.get(told.style, "platform" if is_platform else ""),
        told.level or ("ERROR" if is_failure else ""),
        text,
        folded[: 4 * _MOST_CHARACTERS],
        request_id,
        bool(request_id) and request_id != before,
        steps.get(request_id),
        is_marked,
    )


def _flat(record: Mapping[str, Any]) -> str:
    """Return a record of the platform's as people read it: what it is, and its members."""
    members = [f"{name}: {_value(value)}" for name, value in record["record"].items()]
    return "\t".join([str(record["type"]), *members])


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name} {each}" for name, each in value.items())
    return str(value)


def _traceback(text: str, message: str) -> str:
    record = json_record(text)
    if record is not None and record.get("stackTrace"):
        lines = "".join(f"{str(part).rstrip()}\n" for part in record["stackTrace"]).splitlines()
    else:
        lines = text[len(message) :].strip("\n").replace("\r", "\n").splitlines()
    return "\n".join(shown(line.expandtabs(2)) for line in lines)
