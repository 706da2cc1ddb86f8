"""The regular expressions of log filter patterns, matched in linear time.

Callers choose both the expression and, through their functions, the text; with a backtracking matcher a short
expression and a long line could hold up the whole server. There are no groups in these expressions, so each
alternative is a row of character classes, some of which may be skipped or repeated, and all positions that a match
could have reached are kept as the bits of one integer.

Source: CloudWatch Logs User Guide, "Supported regular expression syntax"; for the bits, Navarro and Raffinot, "Flexible
Pattern Matching in Strings", section 4.5.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

_LONGEST = 2_000
_PIECE = re.compile(
    r"(?P<set>\[\^?(?:\\.|[^\]\\])+\]|\\x[0-9A-Fa-f]{2}|\\[^x]|[A-Za-z0-9:_#=@/;,\- .])"
    r"(?P<quantifier>[*+?]|\{[0-9]{1,3}(?:,(?:[0-9]{1,3})?)?\})?",
    re.DOTALL,
)
_ESCAPABLE = frozenset("^$?[]{}|\\*+.:_#=@/;,-%\"'()!&~<> ")


class InvalidRegex(ValueError):
    """The text is no regular expression that log filter patterns may have."""


@dataclass(frozen=True, slots=True)
class _Element:
    """One character class in a row."""

    accepts: Callable[[str], object]
    skippable: bool
    repeatable: bool


class LinearRegex:
    """A compiled expression."""

    def __init__(self, text: str) -> None:
        if not text:
            raise InvalidRegex("empty")
        self._alternatives = [_Row(part) for part in _split_alternatives(text)]

    def found_in(self, text: str) -> bool:
        """Whether the expression matches somewhere in ``text``."""
        return any(row.found_in(text) for row in self._alternatives)


class _Row:
    """One alternative: bit ``i`` of a state means that element ``i`` comes next, the highest that all have matched."""

    def __init__(self, text: str) -> None:
        self._at_start = text.startswith("^")
        self._at_end = text.endswith("$") and not text.endswith("\\$")
        elements = _elements(text[self._at_start : len(text) - self._at_end])
        self._elements = elements
        self._accepted = 1 << len(elements)
        self._repeatable = sum(1 << i for i, element in enumerate(elements) if element.repeatable)
        self._first_of_run = self._last_of_run = self._runs = 0
        for skippable, run in groupby(enumerate(elements), key=lambda item: item[1].skippable):
            positions = [position for position, _ in run]
            if skippable:
                self._first_of_run |= 1 << positions[0]
                self._last_of_run |= 2 << positions[-1]
                self._runs |= sum(1 << position for position in positions) | 2 << positions[-1]
        self._masks: dict[str, int] = {}
        self._begin = self._with_skips(1)

    def found_in(self, text: str) -> bool:
        state = self._begin
        if state & self._accepted and (not self._at_end or not self._at_start or not text):
            return True
        for character in text:
            mask = self._masks.get(character)
            if mask is None:
                mask = self._masks[character] = self._mask(character)
            matched = state & mask
            state = self._with_skips(matched << 1 | matched & self._repeatable)
            if not self._at_start:
                state |= self._begin
            if state & self._accepted and not self._at_end:
                return True
        return bool(state & self._accepted)

    def _mask(self, character: str) -> int:
        return sum(1 << i for i, element in enumerate(self._elements) if element.accepts(character))

    def _with_skips(self, state: int) -> int:
        """Add the positions behind elements that may be skipped.

        Within each run of such elements the subtraction changes all bits up to the lowest that is set; those above it,
        which it leaves alone, are the ones reached.
        """
        bounded = state | self._last_of_run
        return state | (self._runs & ~((bounded - self._first_of_run) ^ bounded))


def _split_alternatives(text: str) -> list[str]:
    """Split at ``|`` outside of sets and escapes."""
    parts = [""]
    in_set = escaped = False
    for character in text:
        if character == "|" and not in_set and not escaped:
            parts.append("")
            continue
        parts[-1] += character
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "[":
            in_set = True
        elif character == "]":
            in_set = False
    return parts


def _elements(text: str) -> list[_Element]:
    elements: list[_Element] = []
    position = 0
    while position < len(text):
        match = _PIECE.match(text, position)
        if match is None:
            raise InvalidRegex(text)
        accepts = _acceptor(match["set"])
        least, most = _bounds(match["quantifier"])
        elements += [_Element(accepts, False, False)] * least
        if most is None:
            elements.append(_Element(accepts, True, True))
        else:
            elements += [_Element(accepts, True, False)] * (most - least)
        if len(elements) > _LONGEST:
            raise InvalidRegex(text)
        position = match.end()
    return elements


def _bounds(quantifier: str | None) -> tuple[int, int | None]:
    match quantifier:
        case None:
            return 1, 1
        case "*":
            return 0, None
        case "+":
            return 1, None
        case "?":
            return 0, 1
    low, comma, high = quantifier[1:-1].partition(",")
    least = int(low)
    most = (int(high) if high else None) if comma else least
    if most is not None and most < least:
        raise InvalidRegex(quantifier)
    return least, most


def _acceptor(written: str) -> Callable[[str], object]:
    if written.startswith("\\") and written[1] not in "dswx" and written[1] not in _ESCAPABLE:
        raise InvalidRegex(written)
    if written.startswith("["):
        for escape in re.findall(r"\\(.)", written, re.DOTALL):
            if escape not in "dswx" and escape not in _ESCAPABLE:
                raise InvalidRegex(written)
        # "[" within a set is plain, and Python warns of it.
        written = "[" + re.sub(r"(?<!\\)([\[&~|])", r"\\\1", written[1:])
    try:
        # One character at a time, so Python's matcher has nothing to go back to.
        return re.compile(written, re.DOTALL | re.ASCII).fullmatch
    except re.error as error:
        raise InvalidRegex(written) from error
