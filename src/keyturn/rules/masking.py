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


def masked(text: str, values: Iterable[str]) -> str:
    """Return the text with every known value replaced.

    Args:
        text: What the function said.
        values: Secret values, plaintext.
    """
    spellings = {spelling for value in values for part in _parts(value) for spelling in _spellings(part)}
    # A value may contain another one; the longer goes first.
    for spelling in sorted(spellings, key=len, reverse=True):
        text = text.replace(spelling, MASK)
    return text


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
    for spelling in (part, repr(part)[1:-1], json.dumps(part)[1:-1], quote(part, safe=""), quote_plus(part)):
        if len(spelling) >= _SHORTEST:
            yield spelling
