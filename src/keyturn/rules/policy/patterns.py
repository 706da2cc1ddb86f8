"""Patterns of policy elements: wildcards, policy variables, and sets of patterns made ready for matching.

``*`` stands for any run of characters, ``?`` for one. ``${key}`` is replaced by the value of a condition key, with
``${key, 'default'}`` when the key may be absent; ``${*}``, ``${?}`` and ``${$}`` are the characters themselves. A
variable whose key is absent makes its pattern match nothing.

In an ARN a wildcard stays within its colon-separated field; only the sixth field, the resource, may contain colons.

Source: IAM User Guide, "Policy variables" and "Resource".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

_VARIABLE = re.compile(r"\$\{\s*([^},]+?)\s*(?:,\s*'([^']*)'\s*)?\}")
_ESCAPES = frozenset("*?$")
_ARN_FIELDS = 6


class ConditionKeys(Protocol):
    """What a request says about itself; a dict with lower-case names will do."""

    def get(self, name: str, /) -> tuple[str, ...] | None:
        """Return the values of a condition key, given its name in lower case; None if the key is absent."""
        ...


class Wildcard(Enum):
    """The two wildcards."""

    ANY = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class Variable:
    """A policy variable; ``name`` is in lower case."""

    name: str
    default: str | None


Token = str | Wildcard | Variable


def tokens(text: str, *, variables: bool, wildcards: bool = True) -> tuple[Token, ...]:
    """Split a pattern into literal text, wildcards and variables.

    Args:
        text: As written in the policy.
        variables: Whether ``${…}`` means something, which it does from version 2012-10-17 on.
        wildcards: Whether ``*`` and ``?`` mean something.
    """
    found: list[Token] = []
    position = 0
    if variables:
        for match in _VARIABLE.finditer(text):
            _add_plain(found, text[position : match.start()], wildcards=wildcards)
            name = match[1]
            found.append(name if name in _ESCAPES else Variable(name.lower(), match[2]))
            position = match.end()
    _add_plain(found, text[position:], wildcards=wildcards)
    return tuple(found)


def _add_plain(found: list[Token], text: str, *, wildcards: bool) -> None:
    if not wildcards:
        if text:
            found.append(text)
        return
    for piece in re.split(r"([*?])", text):
        if piece in ("*", "?"):
            found.append(Wildcard(piece))
        elif piece:
            found.append(piece)


def has_variable(text: str) -> bool:
    """Whether the text contains a policy variable or one of its escapes."""
    return _VARIABLE.search(text) is not None


def variable_names(text: str) -> list[str]:
    """Return the names of a text's policy variables as they are written."""
    return [match[1] for match in _VARIABLE.finditer(text) if match[1] not in _ESCAPES]


def resolve(parts: Sequence[Token], keys: ConditionKeys, longest: int) -> list[str | Wildcard] | None:
    """Replace variables by the values of a request.

    Args:
        parts: Of the pattern.
        keys: Where the values are.
        longest: How many characters the pattern may stand for at least. A short policy can name a long value a
            thousand times; what is longer than the text that it is compared with is not put together.

    Returns:
        The pattern, or None if it matches nothing: a key is absent or has several values, or the text is too short.
    """
    resolved: list[str | Wildcard] = []
    for part in parts:
        if isinstance(part, Variable):
            values = keys.get(part.name)
            if values is not None and len(values) == 1:
                piece: str | Wildcard = values[0]
            elif not values and part.default is not None:
                piece = part.default
            else:
                return None
        else:
            piece = part
        longest -= _shortest(piece)
        if longest < 0:
            return None
        resolved.append(piece)
    return resolved


def _shortest(piece: str | Wildcard) -> int:
    """Return how many characters a piece of a pattern stands for at least."""
    if isinstance(piece, Wildcard):
        return 1 if piece is Wildcard.ONE else 0
    return len(piece)


class _Searched:
    """A text that patterns are matched with directly, where compiling each of them would cost more than it gains.

    Where a text holds ``?`` between literals, positions are found for all at once: a number has a bit for each position
    of the text, and shifting it moves them all. What that needs of the text is kept for the next pattern.
    """

    __slots__ = ("_characters", "_places", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._characters: dict[str, int] | None = None
        self._places: dict[str, int] = {}

    def matches(self, parts: Iterable[str | Wildcard]) -> bool:
        """Whether a pattern matches the whole text; characters of ``str`` are literal.

        Each run between two ``*`` is taken where it comes first, which leaves most to those behind it: no run is ever
        looked for again.
        """
        runs: list[list[str | Wildcard]] = [[]]
        for part in parts:
            if part is Wildcard.ANY:
                runs.append([])
            elif part:
                runs[-1].append(part)
        first, *middle = runs
        position = _length(first)
        if not middle:
            return position == len(self.text) and self._is_at(first, 0)
        last = middle.pop()
        end = len(self.text) - _length(last)
        if position > end or not (self._is_at(first, 0) and self._is_at(last, end)):
            return False
        for run in middle:
            found = self._find(run, position, end)
            if found < 0:
                return False
            position = found + _length(run)
        return True

    def _is_at(self, run: Iterable[str | Wildcard], position: int) -> bool:
        for piece in run:
            if isinstance(piece, str) and not self.text.startswith(piece, position):
                return False
            position += _shortest(piece)
        return True

    def _find(self, run: Sequence[str | Wildcard], position: int, end: int) -> int:
        """Return where a run comes first between two positions; -1 if nowhere."""
        literals = [piece for piece in run if isinstance(piece, str)]
        if len(literals) == len(run):
            return self.text.find("".join(literals), position, end)
        if any(literal not in self.text for literal in literals):
            return -1
        # A bit for each position at which the run would still end in time.
        places = ((1 << max(end - _length(run) + 1, 0)) - 1) >> position
        reached = position
        for piece in run:
            if isinstance(piece, str):
                places &= self._places_of(piece) >> reached
            reached += _shortest(piece)
        return position + (places & -places).bit_length() - 1 if places else -1

    def _places_of(self, literal: str) -> int:
        """Return a number with a bit for each position at which the text goes on with a literal."""
        if literal not in self._places:
            characters = self._places_of_characters()
            places = (1 << len(self.text)) - 1
            for offset, character in enumerate(literal):
                places &= characters.get(character, 0) >> offset
            self._places[literal] = places
        return self._places[literal]

    def _places_of_characters(self) -> dict[str, int]:
        if self._characters is None:
            places: dict[str, bytearray] = {}
            for position, character in enumerate(self.text):
                if character not in places:
                    places[character] = bytearray(len(self.text) // 8 + 1)
                places[character][position >> 3] |= 1 << (position & 7)
            self._characters = {character: int.from_bytes(bits, "little") for character, bits in places.items()}
        return self._characters


def _length(run: Iterable[str | Wildcard]) -> int:
    return sum(_shortest(piece) for piece in run)


def _fields(parts: Iterable[str | Wildcard]) -> list[list[str | Wildcard]]:
    """Cut a pattern of an ARN into its fields, of which only the last may contain colons."""
    fields: list[list[str | Wildcard]] = [[]]
    for part in parts:
        if isinstance(part, Wildcard):
            fields[-1].append(part)
        else:
            here, *others = part.split(":", _ARN_FIELDS - len(fields))
            fields[-1].append(here)
            fields += [[other] for other in others]
    return fields


def regex_source(parts: Iterable[Token], *, is_arn: bool) -> str:
    """Write tokens without variables as a regular expression for a whole value.

    Each ``*`` with the text behind it becomes an atomic group, so that matching never backtracks into an earlier
    ``*``: a policy full of wildcards costs no more than its length times the value's.
    """
    colons = 0
    source: list[str] = []
    pending = False  # A "*" was read, the text behind it follows.
    fixed: list[str] = []
    unit = any_unit = "[^:]" if is_arn else "."

    def flush(*, last: bool = False) -> None:
        text = "".join(fixed)
        if not pending:
            source.append(text)
        elif last:
            # What ends the value is bound to its end, hence the greedy run before it.
            source.append(f"{any_unit}*{text}")
        else:
            source.append(f"(?>{any_unit}*?{text})")
        fixed.clear()

    for part in _split_at_colons(parts) if is_arn else parts:
        if part is Wildcard.ANY:
            flush()
            pending, any_unit = True, unit
        elif part is Wildcard.ONE:
            fixed.append(unit)
        else:
            text = str(part)
            fixed.append(re.escape(text))
            if is_arn and text == ":" and colons < _ARN_FIELDS - 1:
                # A field ends here: no wildcard reaches beyond it.
                colons += 1
                flush()
                pending = False
                unit = "." if colons == _ARN_FIELDS - 1 else "[^:]"
    flush(last=True)
    return "".join(source)


def _split_at_colons(parts: Iterable[Token]) -> Iterable[Token]:
    for part in parts:
        if isinstance(part, str):
            yield from (piece for piece in re.split("(:)", part) if piece)
        else:
            yield part


def compile_pattern(parts: Iterable[Token], *, is_arn: bool = False) -> re.Pattern[str]:
    """Compile tokens without variables; use ``fullmatch``."""
    return re.compile(regex_source(parts, is_arn=is_arn), re.DOTALL)


@dataclass(frozen=True, slots=True)
class PatternSet:
    """Several patterns of which one must match, sorted by how cheaply that is found out.

    Attributes:
        everything: One of them is ``*``.
        exact: Those without wildcards.
        prefixes: Those with nothing but a ``*`` at the end.
        general: The others without variables, as one expression.
        templates: Those with variables.
        is_arn: Whether wildcards stay within fields.
    """

    everything: bool
    exact: frozenset[str]
    prefixes: tuple[str, ...]
    general: re.Pattern[str] | None
    templates: tuple[tuple[Token, ...], ...]
    is_arn: bool

    def matches(self, value: str, keys: ConditionKeys) -> bool:
        """Whether one of the patterns matches the whole of ``value``."""
        if self.everything or value in self.exact:
            return True
        if self.prefixes and value.startswith(self.prefixes):
            return True
        if self.general is not None and self.general.fullmatch(value):
            return True
        return bool(self.templates) and self._template_matches(value, keys)

    def _template_matches(self, value: str, keys: ConditionKeys) -> bool:
        fields = [_Searched(field) for field in (value.split(":", _ARN_FIELDS - 1) if self.is_arn else [value])]
        for parts in self.templates:
            resolved = resolve(parts, keys, len(value))
            if resolved is None:
                continue
            wanted = _fields(resolved) if self.is_arn else [resolved]
            if len(wanted) == len(fields) and all(map(_Searched.matches, fields, wanted)):
                return True
        return False


def pattern_set(texts: Iterable[str], *, variables: bool, is_arn: bool = False, wildcards: bool = True) -> PatternSet:
    """Make patterns ready for matching.

    Args:
        texts: As written in the policy; ARNs shorter than six fields were completed before.
        variables: Whether ``${…}`` means something.
        is_arn: Whether wildcards stay within colon-separated fields.
        wildcards: Whether ``*`` and ``?`` mean something.
    """
    everything = False
    exact: set[str] = set()
    prefixes: list[str] = []
    general: list[str] = []
    templates: list[tuple[Token, ...]] = []
    for text in texts:
        parts = tokens(text, variables=variables, wildcards=wildcards)
        if wildcards and text == "*":
            everything = True
        elif any(isinstance(part, Variable) for part in parts):
            templates.append(parts)
        elif not any(isinstance(part, Wildcard) for part in parts):
            exact.add("".join(str(part) for part in parts))
        elif prefix := _prefix_of(parts, is_arn=is_arn):
            prefixes.append(prefix)
        else:
            general.append(regex_source(parts, is_arn=is_arn))
    expression = re.compile("|".join(f"(?:{source})" for source in general), re.DOTALL) if general else None
    return PatternSet(everything, frozenset(exact), tuple(prefixes), expression, tuple(templates), is_arn)


def _prefix_of(parts: Sequence[Token], *, is_arn: bool) -> str:
    """Return the text before a single ``*`` at the end, or nothing if the pattern has another form."""
    if parts[-1] is not Wildcard.ANY or any(not isinstance(part, str) for part in parts[:-1]):
        return ""
    prefix = "".join(str(part) for part in parts[:-1])
    return "" if is_arn and prefix.count(":") < _ARN_FIELDS - 1 else prefix
