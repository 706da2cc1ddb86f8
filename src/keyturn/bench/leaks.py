"""Does a text show a secret value, or a part of one? Pure.

What counts as secret is what differs between the versions of a secret: what is rotated. Of that any eight characters in
a row are looked for, as they are and in base64 at each of its three alignments; whole values also as Python, JSON and
URLs spell them (:mod:`keyturn.rules.masking`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping

from keyturn.rules.masking import MASK, Mask

_LENGTH = 8
# They change when two users alternate, and are no secret.
_PLAIN = frozenset({"username", "host", "port", "dbname", "engine", "masterarn"})


class Leaks:
    """Looks for the values of a secret's versions.

    Args:
        values: Every value that was stored, as text.
    """

    def __init__(self, values: Iterable[str]) -> None:
        values = list(values)
        self._whole = Mask(values)
        spellings = {spelling for rotated in _rotated(values) for spelling in (rotated, *_in_base64(rotated))}
        self._windows = {window for spelling in spellings for window in _windows(spelling)}
        # A password that holds its user's name is not shown by the name.
        self._windows -= {window for key, text in _all_members(values) if key in _PLAIN for window in _windows(text)}

    def hidden(self, text: str) -> str | None:
        """Return a text with what it shows hidden; None if it shows nothing."""
        rest = self._whole(text)
        covered = {
            at + more for at, window in enumerate(_windows(rest)) if window in self._windows for more in range(_LENGTH)
        }
        kept: list[str] = []
        for at, character in enumerate(rest):
            if at not in covered:
                kept.append(character)
            elif at - 1 not in covered:
                kept.append(MASK)
        hidden = "".join(kept)
        return None if hidden == text else hidden


def _rotated(values: Iterable[str]) -> set[str]:
    """Return the texts that differ between values: of JSON objects by key, of anything else the whole."""
    found: dict[str, set[str]] = {}
    for key, text in _all_members(values):
        found.setdefault(key, set()).add(text)
    return {text for key, texts in found.items() if len(texts) > 1 and key not in _PLAIN for text in texts}


def _windows(text: str) -> Iterator[str]:
    return (text[at : at + _LENGTH] for at in range(len(text) - _LENGTH + 1))


def _all_members(values: Iterable[str]) -> Iterator[tuple[str, str]]:
    return ((key.lower(), text) for value in values for key, text in _members(value))


def _members(value: str) -> Iterator[tuple[str, str]]:
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, Mapping):
        yield "", value
        return
    for key, held in document.items():
        yield key, held if isinstance(held, str) else json.dumps(held)


def _in_base64(text: str) -> Iterator[str]:
    """Yield what base64 makes of a text at each alignment, but for characters that its neighbours have a part in."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + text.encode()).decode().rstrip("=")
        yield encoded[2 if before == 1 else 3 if before else 0 : -1]
