"""Patterns of policy elements: wildcards, policy variables, and sets of patterns made ready for matching.

``*`` stands for any run of characters, ``?`` for one. ``${key}`` is replaced by the value of a condition key, with
``${key, 'default'}`` when the key may be absent; ``${*}``, ``${?}`` and ``${$}`` are the characters themselves. A
variable whose key is absent makes its pattern match nothing.

In an ARN a wildcard stays within its colon-separated field; only the sixth field, the resource, may contain colons. In
the Resource element, a ``*`` that ends a field may stand for colons, too; in conditions it may not.

Source: IAM User Guide, "Policy variables", "Resource" (wildcards in resource ARNs) and "ARN condition operators".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

# Nothing is read twice: each part takes all that it can and gives nothing back, or a kilobyte of blanks in a policy
# would keep everybody waiting for seconds. A name that is made of blanks alone is none.
_VARIABLE = re.compile(r"\$\{(?=\s*+[^\s,}])(\s*+\$\s*+|[^${},]++)(?:,\s*+'([^']*+)'\s*+)?\}")
_BY_WILDCARDS = re.compile("([*?])")
_BY_COLONS = re.compile("(:)")
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


_WILDCARDS: Final[Mapping[str, str | Wildcard]] = {wildcard.value: wildcard for wildcard in Wildcard}


class ArnRule(Enum):
    """Whether a pattern is one of ARNs, and how far its wildcards reach before the fifth colon."""

    NONE = "no ARN"
    RESOURCE = "of the Resource element"
    CONDITION = "of a condition"


@dataclass(frozen=True, slots=True)
class Variable:
    """A policy variable; ``name`` is in lower case."""

    name: str
    default: str | None


Piece = str | Wildcard
"""Of a pattern without variables; characters of ``str`` are literal."""

Token = Piece | Variable


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
            name = match[1].strip()
            found.append(name if name in _ESCAPES else Variable(name.lower(), match[2]))
            position = match.end()
    _add_plain(found, text[position:], wildcards=wildcards)
    return tuple(found)


def _add_plain(found: list[Token], text: str, *, wildcards: bool) -> None:
    if not wildcards:
        if text:
            found.append(text)
        return
    found.extend(_WILDCARDS.get(piece, piece) for piece in _BY_WILDCARDS.split(text) if piece)


def has_variable(text: str) -> bool:
    """Whether the text contains a policy variable or one of its escapes."""
    return first_variable(text) >= 0


def first_variable(text: str) -> int:
    """Return where the first policy variable or escape of a text begins; -1 if it has none."""
    match = _VARIABLE.search(text)
    return -1 if match is None else match.start()


def variable_names(text: str) -> list[str]:
    """Return the names of a text's policy variables as they are written."""
    names = (match[1].strip() for match in _VARIABLE.finditer(text))
    return [name for name in names if name not in _ESCAPES]


def resolve(parts: Sequence[Token], keys: ConditionKeys, text: str) -> list[Piece] | None:
    """Replace variables by the values of a request.

    Args:
        parts: Of the pattern.
        keys: Where the values are.
        text: What the pattern is to be compared with. A short policy can name a long value a thousand times; what is
            longer than the text is not put together.

    Returns:
        The pattern, or None if it cannot match: a key is absent or has several values, or the text is too short or has
        not all that is literal.
    """
    longest = len(text)
    resolved: list[Piece] = []
    for part in parts:
        if isinstance(part, Variable):
            values = keys.get(part.name)
            if values is not None and len(values) == 1:
                piece: Piece = values[0]
            elif not values and part.default is not None:
                piece = part.default
            else:
                return None
        else:
            piece = part
        longest -= _shortest(piece)
        if longest < 0 or (isinstance(piece, str) and piece not in text):
            return None
        resolved.append(piece)
    return resolved


def _shortest(piece: Piece) -> int:
    """Return how many characters a piece of a pattern stands for at least."""
    if isinstance(piece, Wildcard):
        return 1 if piece is Wildcard.ONE else 0
    return len(piece)


# So often a literal is looked for one after the other; an ARN has six colons.
_FEW: Final = 8


class _Searched:
    """A text that patterns are matched with directly, where compiling each of them would cost more than it gains.

    All places in the text that a pattern may have come to are followed at once: a number has a bit for each place, and
    shifting it moves them all. So no pattern and no text cost more than their lengths, multiplied, in machine words.
    What that needs of the text is kept for the next pattern.
    """

    __slots__ = ("_characters", "_everywhere", "_places", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._everywhere = (1 << (len(text) + 1)) - 1
        self._characters: dict[str, int] | None = None
        self._places: dict[str, int] = {}

    def matches(self, steps: Iterable[_Step]) -> bool:
        """Whether a pattern matches the whole text."""
        reached = 1  # The beginning.
        for step in steps:
            if isinstance(step, str):
                reached = self._past(reached, step)
            elif step is _Reach.ONE:
                reached = (reached & (self._everywhere >> 1)) << 1
            elif step is _Reach.ONE_IN_FIELD:
                reached = (reached & self._within_fields()) << 1
            elif step is _Reach.ANY:
                reached = self._everywhere & -(reached & -reached)
            else:
                reached = self._along_fields(reached)
            if not reached:
                return False
        return bool(reached >> len(self.text))

    def _past(self, reached: int, literal: str) -> int:
        if reached & (reached - 1):
            return (reached & self._places_of(literal)) << len(literal)
        # A single place, as in front of the first wildcard: looking there costs less than looking everywhere.
        place = reached.bit_length() - 1
        return reached << len(literal) if self.text.startswith(literal, place) else 0

    def _within_fields(self) -> int:
        """Return a number with a bit for each place that no colon follows, the end of the text aside."""
        return (self._everywhere >> 1) & ~self._places_of(":")

    def _along_fields(self, reached: int) -> int:
        """Return the places that characters other than colons lead to; steps are doubled."""
        if not reached & (reached - 1):
            place = reached.bit_length() - 1
            end = self.text.find(":", place)
            return (2 << (end if end >= 0 else len(self.text))) - reached
        passable, length = self._within_fields(), 1
        while length <= len(self.text):
            reached |= (reached & passable) << length
            passable &= passable >> length
            length *= 2
        return reached

    def _places_of(self, literal: str) -> int:
        """Return a number with a bit for each place at which the text goes on with a literal."""
        if literal not in self._places:
            self._places[literal] = self._found(literal)
        return self._places[literal]

    def _found(self, literal: str) -> int:
        places, place = 0, self.text.find(literal)
        for _ in range(_FEW):
            if place < 0:
                return places
            places |= 1 << place
            place = self.text.find(literal, place + 1)
        # It is all over the text: every further search might look at all of it.
        places = self._everywhere >> 1
        characters = self._places_of_characters()
        for offset, character in enumerate(literal):
            places &= characters.get(character, 0) >> offset
        return places

    def _places_of_characters(self) -> dict[str, int]:
        if self._characters is None:
            places: dict[str, bytearray] = {}
            for position, character in enumerate(self.text):
                if character not in places:
                    places[character] = bytearray(len(self.text) // 8 + 1)
                places[character][position >> 3] |= 1 << (position & 7)
            self._characters = {character: int.from_bytes(bits, "little") for character, bits in places.items()}
        return self._characters


class _Reach(Enum):
    """What a wildcard stands for where it is."""

    ONE = "a character"
    ONE_IN_FIELD = "a character that is no colon"
    ANY = "any characters"
    ANY_IN_FIELD = "any characters but colons"


_Step = str | _Reach


def _steps(parts: Sequence[Piece], arn: ArnRule) -> Iterable[_Step]:
    """Say what each piece of a pattern stands for; characters of ``str`` are literal."""
    colons = _ARN_FIELDS - 1 if arn is ArnRule.NONE else 0
    for index, part in enumerate(parts):
        in_resource = colons >= _ARN_FIELDS - 1
        if not isinstance(part, Wildcard):
            colons += part.count(":")
            if part:
                yield part
        elif part is Wildcard.ONE:
            yield _Reach.ONE if in_resource else _Reach.ONE_IN_FIELD
        elif in_resource or (arn is ArnRule.RESOURCE and _ends_field(parts, index)):
            yield _Reach.ANY
        else:
            yield _Reach.ANY_IN_FIELD


def _ends_field(parts: Sequence[Piece], index: int) -> bool:
    """Whether a field, or the pattern, ends behind a part."""
    following = next((part for part in parts[index + 1 :] if part), None)
    return following is None or (isinstance(following, str) and following.startswith(":"))


def regex_source(parts: Sequence[Piece], arn: ArnRule) -> str:
    """Write a pattern without variables as a regular expression for a whole value.

    Each ``*`` with what stands between it and the next becomes an atomic group, which takes the first place that fits:
    that leaves most to those behind it. So matching never backtracks into an earlier ``*``, and a policy full of
    wildcards costs no more than its length times the value's.
    """
    # Between two ``*`` that may stand for colons: what has to be found next. In it, a ``*`` stays within its field.
    runs: list[list[str]] = [[]]
    within: list[str] | None = None  # What follows a "*" that stays within its field.
    for step in _split_at_colons(_steps(parts, arn)):
        if step is _Reach.ANY:
            _close(runs[-1], within, atomic=True)
            runs.append([])
            within = None
        elif step is _Reach.ANY_IN_FIELD:
            _close(runs[-1], within, atomic=True)
            within = []
        elif step == ":" and within is not None:
            # What ends a field is bound to its end.
            _close(runs[-1], within, atomic=False)
            within = None
            runs[-1].append(":")
        else:
            source = re.escape(step) if isinstance(step, str) else _REACHES[step]
            (runs[-1] if within is None else within).append(source)
    _close(runs[-1], within, atomic=False)
    first, *others = ("".join(run) for run in runs)
    if not others:
        return first
    *middle, last = others
    return f"{first}{''.join(f'(?>.*?{run})' for run in middle)}.*{last}"


_REACHES: Final = {_Reach.ONE: ".", _Reach.ONE_IN_FIELD: "[^:]"}


def _close(run: list[str], within: list[str] | None, *, atomic: bool) -> None:
    """Add a ``*`` that stays within its field, and what follows it there, to a run."""
    if within is not None:
        text = "".join(within)
        run.append(f"(?>[^:]*?{text})" if atomic else f"[^:]*{text}")


def _split_at_colons(steps: Iterable[_Step]) -> Iterable[_Step]:
    for step in steps:
        if isinstance(step, str):
            yield from filter(None, _BY_COLONS.split(step))
        else:
            yield step


def compile_pattern(parts: Sequence[Piece]) -> re.Pattern[str]:
    """Compile a pattern without variables that is none of ARNs; use ``fullmatch``."""
    return re.compile(regex_source(parts, ArnRule.NONE), re.DOTALL)


@dataclass(frozen=True, slots=True)
class PatternSet:
    """Several patterns of which one must match, sorted by how cheaply that is found out.

    Attributes:
        everything: One of them is ``*``.
        exact: Those without wildcards.
        prefixes: Those with nothing but a ``*`` at the end.
        general: The others without variables, as one expression.
        templates: Those with variables.
        arn: How far wildcards reach.
    """

    everything: bool
    exact: frozenset[str]
    prefixes: tuple[str, ...]
    general: re.Pattern[str] | None
    templates: tuple[tuple[Token, ...], ...]
    arn: ArnRule

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
        searched = _Searched(value)
        for parts in self.templates:
            resolved = resolve(parts, keys, value)
            if resolved is not None and searched.matches(_steps(resolved, self.arn)):
                return True
        return False


def pattern_set(
    texts: Iterable[str], *, variables: bool, arn: ArnRule = ArnRule.NONE, wildcards: bool = True
) -> PatternSet:
    """Make patterns ready for matching.

    Args:
        texts: As written in the policy; ARNs shorter than six fields were completed before.
        variables: Whether ``${…}`` means something.
        arn: Whether these are patterns of ARNs.
        wildcards: Whether ``*`` and ``?`` mean something.
    """
    everything = False
    exact: set[str] = set()
    prefixes: list[str] = []
    general: list[str] = []
    templates: list[tuple[Token, ...]] = []
    for text in texts:
        parts = tokens(text, variables=variables, wildcards=wildcards)
        plain = [part for part in parts if not isinstance(part, Variable)]
        if wildcards and text == "*":
            everything = True
        elif len(plain) < len(parts):
            templates.append(parts)
        elif not any(isinstance(part, Wildcard) for part in plain):
            exact.add("".join(map(str, plain)))
        elif prefix := _prefix_of(plain, arn):
            prefixes.append(prefix)
        else:
            general.append(regex_source(plain, arn))
    expression = re.compile("|".join(f"(?:{source})" for source in general), re.DOTALL) if general else None
    return PatternSet(everything, frozenset(exact), tuple(prefixes), expression, tuple(templates), arn)


def _prefix_of(parts: Sequence[Piece], arn: ArnRule) -> str:
    """Return the text before a single ``*`` at the end, or nothing if the pattern has another form."""
    if parts[-1] is not Wildcard.ANY or any(not isinstance(part, str) for part in parts[:-1]):
        return ""
    prefix = "".join(map(str, parts[:-1]))
    return "" if arn is ArnRule.CONDITION and prefix.count(":") < _ARN_FIELDS - 1 else prefix
