"""A piece of a log group, newest lines first or onwards from a moment: out of as few FilterLogEvents as will do.

FilterLogEvents reads forwards only, and as many events at once as the service likes. The newest are found in windows
of time, from the end backwards: behind one that holds little comes a larger one; of one that holds too much the end is
looked at by itself, which begins behind what was answered. A piece ends between two milliseconds, so that the next can
begin there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from keyturn.clock import from_milliseconds, to_milliseconds
from keyturn.console.visit import Refused, Visit
from keyturn.rules.invocation_log import names, of_invocation
from keyturn.rules.invocations import StreamLine

MOST_LINES: Final = 200
_MOST_CALLS: Final = 12
# A burst may be anywhere in a window of weeks, and has to be narrowed down.
_MOST_BACKWARDS: Final = 30
# As many are asked for at once as are looked at in vain if a window is too large.
_MOST_AT_ONCE: Final = 1_000
_FIRST_WINDOW_MS: Final = 10_000
# What the clocks of who logs and of this server may differ by, and more.
_AHEAD_MS: Final = 3 * 3_600_000
_GROWTH, _GROWTH_AFTER_SHRINKAGE = 16, 2
# Of an invocation, and of what stands before and after it.
_MOST_OF_INVOCATION: Final = 1_000
_NEIGHBOURS: Final = 20
# Nothing was ever logged before, and nothing will be after.
_OLDEST, _NEWEST = 0, 253_402_300_799_999

IsEnough = Callable[[Sequence[StreamLine]], bool]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some lines of a group, oldest first.

    Attributes:
        lines: They.
        older: Milliseconds since the epoch before which there may be more; None if there is nothing.
        newer: From when on there may be more; None if there was nothing.
        is_cut: Whether not all of the time was looked at, because there is so much in it.
        marked: Ids of the lines that were asked for, if others are beside them.
        refused: Why nothing more is shown.
    """

    lines: list[StreamLine] = field(default_factory=list)
    older: int | None = None
    newer: int | None = None
    is_cut: bool = False
    marked: frozenset[str] = frozenset()
    refused: Refused | None = None


@dataclass(frozen=True, slots=True)
class LogReader:
    """Reads a group.

    Attributes:
        visit: Who asks.
        group: Name of the group.
        streams: Of its streams these only; empty for all.
        pattern: Lines that this filter pattern finds only.
    """

    visit: Visit
    group: str
    streams: tuple[str, ...] = ()
    pattern: str = ""

    def newest(self, before: int = _NEWEST, *, since: int = _OLDEST, is_enough: IsEnough | None = None) -> Piece:
        """Return the newest lines.

        Args:
            before: They are older than this, in milliseconds since the epoch.
            since: But not older than this.
            is_enough: Whether to look no further back; as many as are shown at once if it is not given.
        """
        enough = is_enough or (lambda lines: len(lines) >= MOST_LINES)
        found: list[StreamLine] = []
        end, window, has_shrunk, ahead, is_cut = before - 1, _FIRST_WINDOW_MS, False, 0, False
        if before == _NEWEST:
            end, ahead = to_milliseconds(self.visit.now) + _AHEAD_MS, _AHEAD_MS
        full: _Full | None = None
        for _ in range(_MOST_BACKWARDS):
            start = max(end - ahead - window + 1, since) if full is None else full.start(end)
            answer = self._filtered(start, end, most=_MOST_AT_ONCE)
            if answer.refused is not None:
                return Piece(found, refused=answer.refused)
            if answer.has_more and start < end:
                full, has_shrunk, ahead = _Full.behind(answer, start, is_narrowed=full is not None), True, 0
                continue
            # Of one millisecond there is no end that could be looked at.
            is_cut = is_cut or answer.has_more
            found = answer.lines + found
            end, ahead = start - 1, 0
            if end < since or enough(found):
                break
            if full is None:
                window *= _GROWTH_AFTER_SHRINKAGE if has_shrunk else _GROWTH
            elif end < full.begin:
                window, full = _FIRST_WINDOW_MS, None
        older = end + 1 if end >= max(since, 1) else None
        return _newest_of(found, older, is_cut=is_cut) if is_enough is None else Piece(found, older, is_cut=is_cut)

    def onwards(self, start: int, end: int = _NEWEST, most: int = MOST_LINES) -> Piece:
        """Return the oldest lines from a moment on, up to another, both in milliseconds since the epoch."""
        found: list[StreamLine] = []
        token = ""
        for _ in range(_MOST_CALLS):
            answer = self._filtered(start, end, token=token, most=most + 1)
            if answer.refused is not None:
                return Piece(found, refused=answer.refused)
            found += answer.lines
            token = answer.token
            if not token or len(found) > most:
                break
        if len(found) <= most:
            return Piece(found, is_cut=bool(token))
        cut = _milliseconds(found[most])
        whole = [line for line in found if _milliseconds(line) < cut]
        # A whole page of one millisecond is shown as far as it goes.
        return Piece(whole, newer=cut) if whole else Piece(found[:most], newer=cut + 1, is_cut=True)

    def around(self, at: int) -> Piece:
        """Return the lines before and after a moment, those of the moment itself marked."""
        before = self.newest(at, is_enough=lambda lines: len(lines) >= _NEIGHBOURS)
        after = self.onwards(at, most=MOST_LINES // 2)
        lines = before.lines[-_NEIGHBOURS:]
        older = _milliseconds(lines[0]) if len(lines) < len(before.lines) else before.older
        lines = [line for line in lines if older is None or _milliseconds(line) >= older]
        marked = frozenset(line.event_id for line in after.lines if _milliseconds(line) == at)
        return Piece(lines + after.lines, older, after.newer, marked=marked, refused=before.refused or after.refused)

    def invocation(self, request_id: str, at: int | None) -> Piece:
        """Return the lines of one invocation, marked, and some before and after it.

        Args:
            request_id: Which.
            at: About when it was, in milliseconds since the epoch, if that is known.
        """
        naming = replace(self, pattern=f'"{request_id}"')
        near = 20 * 60_000
        if at is None:
            found = naming.newest(is_enough=lambda lines: any(names(line.text, request_id) for line in lines))
        else:
            found = naming.onwards(max(0, at - near), at + near)
        first = next((line for line in found.lines if names(line.text, request_id)), None)
        if first is None:
            return found if found.refused else Piece()
        own = replace(self, streams=(first.stream,), pattern="")
        begin = _milliseconds(first)
        before = own.newest(begin + 1, is_enough=lambda lines: len(lines) > _NEIGHBOURS)
        after = own.onwards(begin, most=_MOST_OF_INVOCATION)
        earlier = before.lines[: _index(before.lines, first)][-_NEIGHBOURS:]
        later = after.lines[_index(after.lines, first) :]
        marked = frozenset(line.event_id for line in of_invocation(later, request_id, lambda line: line.text))
        last = max((number for number, line in enumerate(later) if line.event_id in marked), default=0)
        shown = later[: last + 1 + _NEIGHBOURS]
        has_more = len(shown) < len(later)
        older = _milliseconds(earlier[0]) if earlier else None
        newer = _milliseconds(later[len(shown)]) if has_more else after.newer
        return Piece([*earlier, *shown], older, newer, marked=marked, refused=before.refused or after.refused)

    def _filtered(self, start: int, end: int, *, token: str = "", most: int = 0) -> _Answer:
        parameters: dict[str, Any] = {"logGroupName": self.group, "startTime": start, "endTime": end}
        parameters |= {"logStreamNames": list(self.streams)} if self.streams else {}
        parameters |= {"filterPattern": self.pattern} if self.pattern else {}
        parameters |= {"nextToken": token} if token else {}
        parameters |= {"limit": most} if most else {}
        look = self.visit.look("logs", "filter_log_events", **parameters)
        if not look:
            return _Answer([], "", look.refused)
        lines = [
            StreamLine(
                str(event["eventId"]),
                str(event["logStreamName"]),
                from_milliseconds(int(event["timestamp"])),
                str(event["message"]).rstrip("\n"),
            )
            for event in look["events"]
        ]
        return _Answer(lines, str(look.get("nextToken", "")))


@dataclass(frozen=True, slots=True)
class _Answer:
    lines: list[StreamLine]
    token: str
    refused: Refused | None = None

    @property
    def has_more(self) -> bool:
        return bool(self.token)


@dataclass(frozen=True, slots=True)
class _Full:
    """A time in which there is more than one answer holds: its end is looked at by itself.

    Attributes:
        begin: What was logged from then on is not known yet; that there is something is.
        tried: The part of it that is looked at next, of so many.
    """

    begin: int
    tried: tuple[int, int]

    @classmethod
    def behind(cls, answer: _Answer, start: int, *, is_narrowed: bool) -> _Full:
        """Return what an answer from a moment on has left out."""
        if not answer.lines:
            # A search that finds little: the service looks at so many lines at a time.
            return cls(start, (1, 4))
        # Mostly it is one burst, and the rest of it is near.
        return cls(_milliseconds(answer.lines[-1]), (1, 2) if is_narrowed else (15, 16))

    def start(self, end: int) -> int:
        """Return where to begin, up to an end that is known by now."""
        part, of = self.tried
        return max(end - (end - self.begin) * part // of, min(self.begin + 1, end))


def _newest_of(found: list[StreamLine], older: int | None, *, is_cut: bool) -> Piece:
    """Return as many of the newest lines as are shown at once, in whole milliseconds."""
    if len(found) <= MOST_LINES:
        return Piece(found, older, is_cut=is_cut)
    cut = _milliseconds(found[-MOST_LINES])
    whole = [line for line in found if _milliseconds(line) >= cut]
    return Piece(whole, cut, is_cut=is_cut)


def _index(lines: Sequence[StreamLine], wanted: StreamLine) -> int:
    return next((number for number, line in enumerate(lines) if line.event_id == wanted.event_id), 0)


def _milliseconds(line: StreamLine) -> int:
    return to_milliseconds(line.at)
