"""Pieces of a log: the newest, onwards, around a moment, of one invocation."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.clock import to_milliseconds
from keyturn.console.log_reading import MOST_LINES, LogReader, Piece
from keyturn.console.visit import Refused, Visit

from .logged import LoggedVisit

NOW = 1_800_000_000_000
_ID = "6cfc0276-b76e-4c13-bdc3-ad77932dc2fe"
_OTHER = "f8db6e19-1032-4064-8bcc-d96a3ad2882a"


def _reader(logged: LoggedVisit, **members: Any) -> LogReader:
    return LogReader(cast("Visit", logged), "/group", **members)


def _numbers(piece: Piece) -> list[int]:
    return [int(line.event_id) for line in piece.lines]


moments = st.lists(
    st.one_of(st.integers(NOW - 50, NOW), st.integers(NOW - 10**7, NOW), st.integers(10**12, NOW)), max_size=700
).map(sorted)


@given(moments, st.integers(60, 500))
def test_going_back_from_the_newest_shows_every_line_once(at: list[int], at_once: int) -> None:
    reader = _reader(LoggedVisit([(each, "s", "line") for each in at], at_once))
    shown: list[int] = []
    before: list[int] = []
    for _ in range(400):
        piece = reader.newest(*before)
        shown = _numbers(piece) + shown
        if piece.older is None:
            break
        before = [piece.older]

    if max(map(at.count, at), default=0) <= at_once:
        assert shown == list(range(len(at)))


@given(moments, st.integers(60, 500))
def test_going_on_from_the_oldest_shows_every_line_once(at: list[int], at_once: int) -> None:
    reader = _reader(LoggedVisit([(each, "s", "line") for each in at], at_once))
    shown: list[int] = []
    start: int | None = 0
    while start is not None:
        piece = reader.onwards(start)
        assert len(piece.lines) <= MOST_LINES
        shown += _numbers(piece)
        start = piece.newer

    if max(map(at.count, at), default=0) <= MOST_LINES:
        assert shown == list(range(len(at)))


def test_a_group_that_was_quiet_for_years_is_read_with_few_calls() -> None:
    logged = LoggedVisit([(10**12, "s", "long ago")])

    assert _numbers(_reader(logged).newest()) == [0]
    assert len(logged.calls) <= 8


def test_the_newest_lines_are_whole_milliseconds() -> None:
    logged = LoggedVisit([(NOW - 1000 + n // 3, "s", "line") for n in range(3 * MOST_LINES)])

    piece = _reader(logged).newest()

    assert len(piece.lines) % 3 == 0
    assert len(piece.lines) >= MOST_LINES
    assert piece.older == to_milliseconds(piece.lines[0].at)


@pytest.mark.parametrize(
    "at",
    [
        [NOW - 5_000 + n // 3 for n in range(15_000)],
        [NOW - 1_000 + n // 100 for n in range(30_000)],
        [NOW - 90 * 86_400_000 + n // 100 for n in range(30_000)],
        [NOW - 30 * 86_400_000 + n * 86_400 for n in range(30_000)],
        [*(NOW - 3_600_000 + n // 100 for n in range(10_000)), NOW - 5],
    ],
)
def test_the_newest_of_very_many_lines_are_found(at: list[int]) -> None:
    logged = LoggedVisit([(each, "s", "line") for each in at])

    shown = _numbers(_reader(logged).newest())

    assert len(shown) >= MOST_LINES
    assert shown == list(range(shown[0], len(at)))
    assert len(logged.calls) <= 20


def test_more_lines_of_one_millisecond_than_are_shown_are_not_passed_over_in_silence() -> None:
    logged = LoggedVisit([(NOW, "s", "line")] * 5_000)

    assert _reader(logged).newest().is_cut
    assert _reader(logged).onwards(NOW).is_cut


def test_a_time_with_too_much_in_it_is_said_to_be() -> None:
    logged = LoggedVisit([(NOW - n, "s", "another") for n in range(1000, 0, -1)], at_once=0)

    assert _reader(logged).onwards(0).is_cut


def test_lines_of_a_moment_are_marked_among_those_around_it() -> None:
    logged = LoggedVisit([(NOW - 100_000 + 1000 * n, "s", f"{n}") for n in range(90)])

    piece = _reader(logged).around(NOW - 100_000 + 30_000)

    assert _numbers(piece)[:2] == [10, 11]
    assert {int(line.event_id) for line in piece.lines if line.event_id in piece.marked} == {30}


def test_an_invocation_is_found_with_what_stands_beside_it_in_its_stream() -> None:
    def lines(request_id: str, stream: str, begin: int) -> list[tuple[int, str, str]]:
        texts = [f"START RequestId: {request_id} Version: 1", "said", f"REPORT RequestId: {request_id}\tDuration: 1 ms"]
        return [(begin + n, stream, text) for n, text in enumerate(texts)]

    every = [*lines(_OTHER, "a", NOW - 50), *lines(_ID, "a", NOW - 30), *lines(_OTHER, "b", NOW - 29)]
    logged = LoggedVisit(sorted([*every, *lines(_OTHER, "a", NOW - 10)]))

    for at in (None, NOW - 30):
        piece = _reader(logged).invocation(_ID, at)

        assert {line.stream for line in piece.lines} == {"a"}
        assert len(piece.lines) == 9
        marked = [line.text for line in piece.lines if line.event_id in piece.marked]
        assert marked == [f"START RequestId: {_ID} Version: 1", "said", f"REPORT RequestId: {_ID}\tDuration: 1 ms"]


def test_an_invocation_that_is_gone_has_no_lines() -> None:
    assert _reader(LoggedVisit([(NOW, "s", "line")])).invocation(_ID, None) == Piece()


def test_a_refusal_is_part_of_what_is_shown() -> None:
    refused = Refused("AccessDeniedException", "no", is_denial=True, status=403)
    logged = LoggedVisit([], refused=refused)

    assert _reader(logged).newest().refused is refused
    assert _reader(logged).onwards(0).refused is refused
    assert _reader(logged).around(NOW).refused is refused
    assert _reader(logged).invocation(_ID, NOW).refused is refused
