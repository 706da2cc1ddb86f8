"""The models' constraints: lengths, ranges, patterns, enumerations, required members, and AWS's words for each.

botocore's own validator checks required members and lower bounds; a server must check the rest. Violations are
collected during the walk that reads a request and told all at once::

    2 validation errors detected: Value 'x' at 'filters.1.member.key' failed to satisfy constraint: Member must satisfy
    enum value set: [all, name]; Value null at 'secretId' failed to satisfy constraint: Member must not be null

A sensitive value is not echoed: ``Value at 'secretString' failed to satisfy constraint: …``. Elements of a list and
keys and values of a map are told together, with all their constraints in brackets. IAM echoes no value at all and does
not list what an enumeration has. Source: recorded answers of AWS Lambda, AWS Certificate Manager and Amazon DynamoDB;
of IAM, 2025 and 2026.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from keyturn.errors.common import ValidationFailed
from keyturn.wire.models import Shape
from keyturn.wire.patterns import compiled

Check = Callable[[Any], Sequence[str]]
"""Returns the texts of the constraints that a value breaks; empty if it breaks none."""

NOT_NULL: Final = "Member must not be null"
_ENUM_SET: Final = "Member must satisfy enum value set"

# A request of many megabytes must not come back as an error of many megabytes; the longest member that Secrets Manager
# takes and is echoed, a resource policy, comes back whole.
_MOST_TOLD: Final = 50
_LONGEST_ECHO: Final = 32_768

# A pattern is not tried on a value that breaks its upper bound and is longer than this: time is the attacker's.
_PATTERN_REACH: Final = 4096

_NUMBERS: Final = frozenset({"integer", "long", "float", "double"})


class Faults:
    """The violations of one request, in the order in which they were met.

    Args:
        is_terse: Tell them as IAM does.
    """

    __slots__ = ("_is_terse", "_texts", "count")

    def __init__(self, *, is_terse: bool = False) -> None:
        self.count = 0
        self._is_terse = is_terse
        self._texts: list[str] = []

    def add(self, value: Any, shape: Shape, path: str, texts: Sequence[str]) -> None:
        """Note that ``value``, found at ``path``, breaks the constraints ``texts``."""
        # The echo is made once and only here: a valid request never pays for it.
        is_hidden = self._is_terse or _is_hidden(shape)
        echo = "Value" if is_hidden else f"Value '{_shown(value, shape)[:_LONGEST_ECHO]}'"
        for text in texts:
            told = _ENUM_SET if self._is_terse and text.startswith(_ENUM_SET) else text
            self._add(f"{echo} at '{path}' failed to satisfy constraint: {told}")

    def add_missing(self, path: str) -> None:
        """Note that a required member is absent."""
        self._add(f"Value null at '{path}' failed to satisfy constraint: {NOT_NULL}")

    def error(self) -> ValidationFailed:
        """Return the error that tells them all."""
        plural = "" if self.count == 1 else "s"
        return ValidationFailed(f"{self.count} validation error{plural} detected: {'; '.join(self._texts)}")

    def _add(self, text: str) -> None:
        self.count += 1
        if len(self._texts) < _MOST_TOLD:
            self._texts.append(text)


def label_of(member_name: str) -> str:
    """Return a member's name as AWS's errors and CloudTrail spell it: the first letter in lower case."""
    return member_name[:1].lower() + member_name[1:]


def check_for(shape: Shape) -> Check | None:
    """Return the check of a shape's own constraints, or None if it has none."""
    traits = shape.traits
    if enum := traits.get("enum"):
        return _enum_check(frozenset(enum), _enum_text(enum))
    low, high = traits.get("min"), traits.get("max")
    if shape.kind in _NUMBERS:
        return None if low is None and high is None else _value_check(low, high)
    if pattern := traits.get("pattern"):
        return _pattern_check(pattern, low, high)
    return None if low is None and high is None else _length_check(low, high)


def all_constraints(shape: Shape) -> str:
    """Return every constraint of an element, as AWS lists them in brackets whichever of them is broken."""
    traits = shape.traits
    word = "value" if shape.kind in _NUMBERS else "length"
    texts = []
    if "enum" in traits:
        texts.append(_enum_text(traits["enum"]))
    else:
        if "max" in traits:
            texts.append(_at_most(word, traits["max"]))
        if "min" in traits:
            texts.append(_at_least(word, traits["min"]))
        if "pattern" in traits:
            texts.append(_pattern_text(traits["pattern"]))
    return f"[{', '.join([*texts, NOT_NULL])}]"


def _enum_check(allowed: frozenset[str], text: str) -> Check:
    texts = (text,)

    def check(value: Any) -> Sequence[str]:
        return () if value in allowed else texts

    return check


def _value_check(low: float | None, high: float | None) -> Check:
    least = float("-inf") if low is None else low
    most = float("inf") if high is None else high
    too_small, too_large = (_at_least("value", low),), (_at_most("value", high),)

    def check(value: Any) -> Sequence[str]:
        if least <= value <= most:
            return ()
        return too_small if value < least else too_large

    return check


def _length_check(low: int | None, high: int | None) -> Check:
    least = low or 0
    most = sys.maxsize if high is None else high
    too_short, too_long = (_at_least("length", low),), (_at_most("length", high),)

    def check(value: Any) -> Sequence[str]:
        length = len(value)
        if least <= length <= most:
            return ()
        return too_short if length < least else too_long

    return check


def _pattern_check(pattern: str, low: int | None, high: int | None) -> Check:
    matches = compiled(pattern).fullmatch
    text = _pattern_text(pattern)
    check_length = _length_check(low, high)

    def check(value: Any) -> Sequence[str]:
        wrong_length = check_length(value)
        if wrong_length and len(value) > _PATTERN_REACH:
            return wrong_length
        return wrong_length if matches(value) else (text, *wrong_length)

    return check


def _at_least(word: str, bound: float | None) -> str:
    return f"Member must have {word} greater than or equal to {bound}"


def _at_most(word: str, bound: float | None) -> str:
    return f"Member must have {word} less than or equal to {bound}"


def _pattern_text(pattern: str) -> str:
    return f"Member must satisfy regular expression pattern: {pattern}"


def _enum_text(enum: Sequence[str]) -> str:
    return f"{_ENUM_SET}: [{', '.join(enum)}]"


def _is_hidden(shape: Shape) -> bool:
    """Whether the shape, or any element shown with it, is sensitive."""
    if shape.sensitive:
        return True
    if shape.kind == "list":
        return _is_hidden(shape.member)
    return shape.kind == "map" and (_is_hidden(shape.key) or _is_hidden(shape.value))


def _shown(value: Any, shape: Shape) -> str:
    """Write a value as Java's toString does; a structure is only named, since its members may be sensitive."""
    if shape.kind == "list":
        return f"[{', '.join(_shown(element, shape.member) for element in value)}]"
    if shape.kind == "map":
        pairs = (f"{_shown(key, shape.key)}={_shown(one, shape.value)}" for key, one in value.items())
        return f"{{{', '.join(pairs)}}}"
    if shape.kind == "structure":
        return shape.name
    if isinstance(value, bytes):
        return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    return "null" if value is None else str(value)
