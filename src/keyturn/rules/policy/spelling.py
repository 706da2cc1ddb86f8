"""Words that were meant: what differs from a known word in capitals or in one letter, and what resembles one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

# Longer words are none that anybody misspelt, and comparing them takes time.
_LONGEST: Final = 100
_RESEMBLANCE: Final = 0.75


def meant(word: str, known: Iterable[str]) -> str | None:
    """Return the one known word that a word can only stand for, None if there is none or more than one."""
    if len(word) > _LONGEST:
        return None
    lowered = word.strip().lower()
    known = tuple(known)
    found = [each for each in known if each.lower() == lowered]
    found = found or [each for each in known if _is_one_letter_off(lowered, each.lower())]
    return found[0] if len(found) == 1 else None


def similar(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that a word resembles most, None if it resembles none: good enough for a question."""
    if len(word) > _LONGEST:
        return None
    by_lowered = {each.lower(): each for each in known}
    found = difflib.get_close_matches(word.lower(), by_lowered, n=1, cutoff=_RESEMBLANCE)
    return by_lowered[found[0]] if found else None


def _is_one_letter_off(one: str, other: str) -> bool:
    """Whether a letter is missing, too many, another one, or two have changed places."""
    while one and other and one[0] == other[0]:
        one, other = one[1:], other[1:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    if len(one) == len(other) == 2:
        return one == other[::-1]
    return max(len(one), len(other)) <= 1
