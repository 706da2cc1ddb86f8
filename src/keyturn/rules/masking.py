"""What a function says of its failure, without the values it was given to handle.

A rotation function reads secret values, and its exceptions may quote them. Its own log is its author's to answer for
and has permissions of its own; audit events, the server's log and the rotation's record are ours, and get the text
masked. What is looked for is what the server can know: the values of the secret's versions, whole and, of JSON, in
part, as they are and as Python, JSON and URLs spell them.
"""

from __future__ import annotations

import json
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

MASK = "***"
# Shorter values occur in any sentence, and masking them would leave nothing to read.
_SHORTEST = 4
# Members of a database secret that say where and who, not how to get in. Source: Secrets Manager User Guide, "JSON
# structure of AWS Secrets Manager secrets".
_PLAIN_MEMBERS = frozenset(
    {"engine", "host", "port", "dbname", "username", "dbinstanceidentifier", "dbclusteridentifier", "masterarn"}
)


class Mask:
    """Replaces known values in many texts.

    A place in a text costs a binary search among the values: that grows with the logarithm of their number. In the
    order of strings, all that begin with a value follow each other, from the value itself to the first string behind
    them. Such ranges are disjoint or one within another. So their ends part all strings into stretches, and the longest
    value that a string begins with is that of the innermost range around its stretch.

    Args:
        values: Secret values, plaintext.
    """

    def __init__(self, values: Iterable[str]) -> None:
        spellings = _all_spellings(values)
        self._heads = {spelling[:_SHORTEST] for spelling in spellings}
        self._longest = max(map(len, spellings), default=0)
        # Where each stretch begins, in order, and how long the value is that it belongs to, 0 for none.
        self._stretches = [""]
        self._lengths = [0]
        around: list[str] = []
        for spelling in sorted(spellings):
            self._leave(around, spelling)
            around.append(spelling)
            self._begin(spelling, around)
        self._leave(around, None)

    def __call__(self, text: str, most: int | None = None) -> str:
        """Return a text, or its first ``most`` characters, with every known value replaced, also one that is cut."""
        end = len(text) if most is None else min(most, len(text))
        kept: list[str] = []
        hidden_to = 0
        for at in range(end):
            length = self._length_at(text, at)
            if not length:
                continue
            # One that begins within another is hidden with it.
            if at >= hidden_to:
                kept += [text[hidden_to:at], MASK]
            hidden_to = max(hidden_to, at + length)
        return "".join([*kept, text[hidden_to:end]])

    def _length_at(self, text: str, at: int) -> int:
        """Return how long the longest value is that stands there, 0 for none."""
        if text[at : at + _SHORTEST] not in self._heads:
            return 0
        return self._lengths[bisect_right(self._stretches, text[at : at + self._longest]) - 1]

    def _leave(self, around: list[str], coming: str | None) -> None:
        """End the ranges, innermost first, in which the string that comes next is not."""
        while around and (coming is None or not coming.startswith(around[-1])):
            behind = _behind(around.pop())
            if behind:
                self._begin(behind, around)

    def _begin(self, stretch: str, around: list[str]) -> None:
        self._stretches.append(stretch)
        self._lengths.append(len(around[-1]) if around else 0)


def _behind(value: str) -> str:
    """Return the first string behind all that begin with a value; empty if there is none."""
    value = value.rstrip(chr(sys.maxunicode))
    return value and value[:-1] + chr(ord(value[-1]) + 1)


def _all_spellings(values: Iterable[str]) -> set[str]:
    # Versions have most of their parts in common. No part has more than eight spellings.
    parts = {part for value in values for part in _parts(value)}
    return {spelling for part in parts for spelling in _spellings(part) if len(spelling) >= _SHORTEST}


def _parts(value: str) -> Iterator[str]:
    yield value
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return
    yield from _leaves(document)


def _leaves(document: Any) -> Iterator[str]:
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            waiting += [value for name, value in node.items() if name.lower() not in _PLAIN_MEMBERS]
        elif isinstance(node, list):
            waiting += node
        elif isinstance(node, str):
            yield node
        elif isinstance(node, int | float) and not isinstance(node, bool):
            yield str(node)


def _spellings(part: str) -> Iterable[str]:
    if part.isascii() and part.isalnum():
        return (part,)
    # Half a character, which JSON can spell and UTF-8 cannot, must not end whoever masks.
    in_path = quote(part, safe="", errors="replace")
    said = part, repr(part)[1:-1], json.dumps(part)[1:-1]
    # A function that logs JSON spells once more whatever it says.
    logged = [json.dumps(text, ensure_ascii=False)[1:-1] for text in said]
    # In a query a space may be a plus.
    return *said, *logged, in_path, in_path.replace("%20", "+")
