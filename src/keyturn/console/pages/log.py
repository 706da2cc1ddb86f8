"""The lines of a log group: the newest, those of a time, those around a moment, or those of one invocation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from keyturn.clock import to_milliseconds
from keyturn.console.log_reading import LogReader, Piece
from keyturn.console.log_view import shown_lines
from keyturn.console.moments import read_moment
from keyturn.console.pages.logs import function_of
from keyturn.console.replies import Download, Html, Part, Reply, address
from keyturn.console.rotation_steps import rotation_steps
from keyturn.console.routing import live, page
from keyturn.console.visit import Refused, Visit
from keyturn.errors.base import KeyturnError
from keyturn.rules.invocations import FAILURES, StreamLine

_MILLISECONDS = re.compile(r"[0-9]{1,15}")
_REQUEST_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_FOLLOWED: Final = 2_000
_AT_ONCE: Final = 500
# Lines are written some time after they were printed, and those of several streams at different times.
_LATE_MS: Final = 60_000
_MOST_READS: Final = 4
# A step's Invoke event bears the moment at which the step began.
_STEP: Final = timedelta(minutes=15)


@page("log", needs="group", chosen_in="logs")
def show(visit: Visit) -> Reply:
    """Show them."""
    reader = _reader(visit)
    try:
        piece = _asked(visit, reader)
    except KeyturnError as error:
        piece = Piece(refused=Refused("", " ".join((error.message, *error.hints)), is_denial=False, status=400))
    lines = piece.lines
    steps = rotation_steps(visit, lines[0].at - _STEP, lines[-1].at) if lines else {}
    request_id = visit.asked("request")
    is_live = visit.asked("live") == "1" and not piece.refused
    shown = {
        "section": "logs",
        "group": reader.group,
        "stream": visit.asked("stream"),
        "pattern": "" if visit.asked("failed") else reader.pattern,
        "failed": "1" if visit.asked("failed") else "",
        "function": function_of(reader.group),
        "request_id": request_id,
        "step": steps.get(request_id),
        "from_": _in_field(visit, "from"),
        "to": _in_field(visit, "to"),
        "is_newest": not any(visit.asked(name) for name in ("request", "at", "from", "to", "before")),
        "piece": piece,
        "lines": shown_lines(lines, steps, piece.marked),
        "live": _live_address(visit, reader, lines) if is_live else "",
    }
    status = 200 if piece.refused is None else piece.refused.status
    return Html("log.html", shown, status)


@page("log/text", needs="group", chosen_in="logs")
def save(visit: Visit) -> Reply:
    """Give the same lines as a file, just as they were written."""
    reader = _reader(visit)
    piece = _asked(visit, reader)
    if piece.refused is not None:
        return Html("refused.html", {"refused": piece.refused, "section": "logs"}, piece.refused.status)
    text = "".join(f"{line.at.isoformat(timespec='milliseconds')} {line.stream} {line.text}\n" for line in piece.lines)
    name = reader.group.strip("/").replace("/", "-") or "log"
    return Download(f"{name}.txt", text.encode("utf-8", "replace"), "text/plain; charset=utf-8")


@live("log/live")
def follow(visit: Visit) -> Iterator[Sequence[Part]]:
    """Add what is logged from now on."""
    reader = _reader(visit)
    asked = visit.mark or visit.query.get("since", "")
    since = int(asked) if _MILLISECONDS.fullmatch(asked) else to_milliseconds(visit.now)
    seen: dict[str, int] = {}
    recent: list[StreamLine] = []
    count = 0
    while count < _FOLLOWED:
        piece = _since(reader, max(0, since - _LATE_MS))
        if piece.refused is not None:
            yield [Part("log_ended.html", {"refused": piece.refused}, "following")]
            return
        # What the page shows already has an id that the browser knows.
        fresh = [line for line in piece.lines if line.event_id not in seen]
        if fresh:
            count += len(fresh)
            since = max(since, *(to_milliseconds(line.at) for line in fresh))
            seen |= {line.event_id: to_milliseconds(line.at) for line in fresh}
            seen = {each: at for each, at in seen.items() if at >= since - _LATE_MS}
            recent = [*recent, *fresh][-_AT_ONCE * 2 :]
            steps = rotation_steps(visit, fresh[0].at - _STEP, fresh[-1].at)
            lines = shown_lines(recent, steps, fresh=min(len(fresh), len(recent)))
            shown = {"lines": lines, "group": reader.group}
            yield [Part("log_lines.html", shown, "lines", is_added=True, mark=str(since))]
        else:
            yield []
        # Every other second is often enough for people.
        yield []
    yield [Part("log_ended.html", {"refused": None}, "following")]


def _reader(visit: Visit) -> LogReader:
    streams = (visit.asked("stream"),) if visit.asked("stream") else ()
    pattern = FAILURES if visit.asked("failed") else visit.asked("filter")
    return LogReader(visit, visit.asked("group"), streams, pattern)


def _since(reader: LogReader, start: int) -> Piece:
    """Return what was logged from a moment on, as far as it can be shown at once."""
    lines: list[StreamLine] = []
    for _ in range(_MOST_READS):
        piece = reader.onwards(start, most=_AT_ONCE)
        lines += piece.lines
        if piece.newer is None or piece.refused is not None:
            return replace(piece, lines=lines)
        start = piece.newer
    return Piece(lines)


def _asked(visit: Visit, reader: LogReader) -> Piece:
    """Return the lines that are asked for.

    Raises:
        KeyturnError: A moment or a request id is none.
    """
    at = _ms(visit, "at")
    request_id = visit.asked("request")
    if request_id:
        if not _REQUEST_ID.fullmatch(request_id):
            raise KeyturnError("This is no request id.", "REPORT RequestId: … in a log shows what they are like.")
        return reader.invocation(request_id, at)
    begin, end = _ms(visit, "from"), _ms(visit, "to")
    if begin is not None:
        return reader.onwards(begin, *(() if end is None else (end,)))
    before = _ms(visit, "before") if end is None else end + 1
    if before is not None:
        return reader.newest(before)
    return reader.newest() if at is None else reader.around(at)


def _ms(visit: Visit, name: str) -> int | None:
    at = read_moment(visit.asked(name))
    return None if at is None else to_milliseconds(at)


def _in_field(visit: Visit, name: str) -> str:
    """Return a moment as a field of a form has it; nothing if it is none."""
    try:
        at = read_moment(visit.asked(name))
    except KeyturnError:
        return ""
    return "" if at is None else f"{at:%Y-%m-%dT%H:%M:%S}"


def _live_address(visit: Visit, reader: LogReader, lines: list[StreamLine]) -> str:
    since = to_milliseconds(lines[-1].at if lines else visit.now)
    query: dict[str, Any] = {
        "group": reader.group,
        "stream": visit.asked("stream"),
        "filter": visit.asked("filter"),
        "failed": visit.asked("failed"),
        "since": since,
    }
    return address("log/live", **query)
