"""Where the statements of a policy stand in its text, as the policy simulator tells it.

The first statement begins at its brace, each further one at what separates it from the one before; each ends at what
comes behind its brace. Lines and columns are counted from 1.

Source: positions in recorded answers of SimulateCustomPolicy, as a public test suite reproduces them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

_BLANKS = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


class Position(NamedTuple):
    """A place in a text; both are counted from 1."""

    line: int
    column: int


class Span(NamedTuple):
    """From where to where something stands."""

    start: Position
    end: Position


def statement_spans(text: str) -> list[Span]:
    """Return where each statement of a policy stands, in their order.

    Args:
        text: A policy, which is well-formed JSON with a Statement.
    """
    start = next(value for name, value in _members(text) if name == "Statement")
    if text[start] != "[":
        return [_span(text, start, _DECODER.raw_decode(text, start)[1])]
    spans: list[Span] = []
    begins = _skip(text, start + 1)
    while text[begins] != "]":
        brace = _skip(text, begins + 1) if text[begins] == "," else begins
        end = _DECODER.raw_decode(text, brace)[1]
        spans.append(_span(text, begins, end))
        begins = _skip(text, end)
    return spans


def _members(text: str) -> Iterator[tuple[str, int]]:
    """Yield the name of each member of the whole object, and where its value begins."""
    position = _skip(text, _skip(text, 0) + 1)
    while text[position] != "}":
        name, after_name = _DECODER.raw_decode(text, position)
        value = _skip(text, _skip(text, after_name) + 1)
        yield name, value
        position = _skip(text, _DECODER.raw_decode(text, value)[1])
        if text[position] == ",":
            position = _skip(text, position + 1)


def _skip(text: str, position: int) -> int:
    """Return where the next character stands that is no blank."""
    blanks = _BLANKS.match(text, position)
    return blanks.end() if blanks else position


def _span(text: str, start: int, end: int) -> Span:
    return Span(position_at(text, start), position_at(text, end))


def position_at(text: str, offset: int) -> Position:
    """Return the line and column of a character, given its place among all of them."""
    return Position(text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1)
