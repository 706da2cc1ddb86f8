"""What a function says of its failure, without the values it was given to handle.

A rotation function reads secret values, and its exceptions may quote them. Its own log is its author's to answer for
and has permissions of its own; audit events, the server's log and the rotation's record are ours, and get the text
masked. What is looked for is what the server can know: the values of the secret's versions, whole and, of JSON, in
part, as they are and as Python, JSON and URLs spell them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
# Shorter values occur in any sentence, and masking them would leave nothing to read.
_SHORTEST = 4
# Members of a database secret that say where and who, not how to get in. Source: Secrets Manager User Guide, "JSON
# structure of AWS Secrets Manager secrets".
_PLAIN_MEMBERS = frozenset(
    {"engine", "host", "port", "dbname", "username", "dbinstanceidentifier", "dbclusteridentifier", "masterarn"}
)


class Mask:
    """Replaces known values in many texts. What it costs does not grow with their number.

    Args:
        values: Secret values, plaintext.
    """

    def __init__(self, values: Iterable[str]) -> None:
        self._by_head: dict[str, list[str]] = {}
        spellings = {spelling for value in values for part in _parts(value) for spelling in _spellings(part)}
        for spelling in sorted(spellings, key=len, reverse=True):
            self._by_head.setdefault(spelling[:_SHORTEST], []).append(spelling)

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
        spellings = self._by_head.get(text[at : at + _SHORTEST], ())
        return next((len(spelling) for spelling in spellings if text.startswith(spelling, at)), 0)


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


def _spellings(part: str) -> Iterator[str]:
    # Half a character, which JSON can spell and UTF-8 cannot, must not end whoever masks.
    as_url = (quote(part, safe="", errors="replace"), quote_plus(part, errors="replace"))
    for spelling in (part, repr(part)[1:-1], json.dumps(part)[1:-1], *as_url):
        if len(spelling) >= _SHORTEST:
            yield spelling
