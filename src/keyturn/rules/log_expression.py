"""The two filter languages of CloudWatch Logs that look inside a message: JSON members and space-delimited fields.

Both compare a value with ``= != < <= > >=``; ``*`` in a value stands for anything, ``%…%`` is a regular expression, and
``&&``, ``||`` and parentheses combine. A member that is not there matches nothing but ``NOT EXISTS``.

In fields, ``"…"`` and ``[…]`` of the message are one field each, ``...`` stands for any number of fields, and without
it the last name stands for the rest of the line.

Source: CloudWatch Logs User Guide, "Filter pattern syntax".
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from keyturn.rules.log_regex import LinearRegex
from keyturn.rules.policy.patterns import Piece, Wildcard, compile_pattern

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<regex>%[^%]*%)
      | (?P<selector>\$(?:\.\*|\.?\['[^']*'\]|\.[\w@:-]+|\[(?:[0-9]{1,6}|\*)\])*)
      | (?P<symbol>&&|\|\||!=|<=|>=|\.\.\.|[=<>(){}\[\],])
      | (?P<word>[^\s"%&|!=<>(){}\[\],$]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_SELECTOR_PART = re.compile(r"\.?\['(?P<quoted>[^']*)'\]|\.(?P<name>[\w@:*-]+)|\[(?P<index>[0-9]+|\*)\]")
# A bracket stops the search for the one that closes an earlier one, so that a line full of them takes linear time.
_FIELD = re.compile(r'"([^"]*)"|\[([^\[\]]*)\]|(\S+)')
_DEEPEST = 50
_MOST_REGEXES = 2

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_CONSTANTS = {"NULL": None, "TRUE": True, "FALSE": False}
_NUMBER = re.compile(r"[+-]?[0-9]{1,300}(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")

# A value of a message: of JSON, or the text of a field.
Test = Callable[[object], bool]


class InvalidExpression(ValueError):
    """The pattern cannot be read."""


@dataclass(frozen=True, slots=True)
class _Lexeme:
    """A piece of a pattern: its kind, and the text without quotes."""

    kind: str
    text: str


class _Reader:
    """Reads a pattern piece by piece."""

    def __init__(self, text: str) -> None:
        self._lexemes: list[_Lexeme] = []
        self._position = 0
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise InvalidExpression(text)
            kind = str(match.lastgroup)
            self._lexemes.append(_Lexeme(kind, match[kind][1:-1] if kind in ("string", "regex") else match[kind]))
            at = match.end()
        if sum(lexeme.kind == "regex" for lexeme in self._lexemes) > _MOST_REGEXES:
            raise InvalidExpression(text)

    def take(self) -> _Lexeme:
        """Return the next piece."""
        if self._position == len(self._lexemes):
            raise InvalidExpression("the pattern ends too early")
        self._position += 1
        return self._lexemes[self._position - 1]

    def sees(self, *texts: str) -> bool:
        """Whether the next pieces are these symbols or words (in any case)."""
        following = self._lexemes[self._position : self._position + len(texts)]
        return [lexeme.text.upper() for lexeme in following if lexeme.kind in ("symbol", "word")] == list(texts)

    def took(self, *texts: str) -> bool:
        """Go past the next pieces if they are these."""
        found = self.sees(*texts)
        self._position += len(texts) * found
        return found

    def expect(self, text: str) -> None:
        """Go past a symbol that must be there."""
        if not self.took(text):
            raise InvalidExpression(f"{text} is missing")

    def end(self) -> None:
        """Make sure that nothing follows."""
        if self._position < len(self._lexemes):
            raise InvalidExpression("something follows the pattern")


def json_filter(text: str) -> Callable[[str], bool]:
    """Compile ``{ … }``.

    Raises:
        InvalidExpression: It cannot be read.
        InvalidRegex: A regular expression in it cannot.
    """
    reader = _Reader(text)
    reader.expect("{")
    test = _any_of(reader, _member_condition)
    reader.expect("}")
    reader.end()

    def matches(message: str) -> bool:
        try:
            event = json.loads(message)
        except (ValueError, RecursionError):
            return False
        return isinstance(event, dict) and test(event)

    return matches


def fields_filter(text: str) -> Callable[[str], bool]:
    """Compile ``[a, b = 4*, …]``.

    Raises:
        InvalidExpression: It cannot be read.
        InvalidRegex: A regular expression in it cannot.
    """
    reader = _Reader(text)
    reader.expect("[")
    before: list[Test] = []
    after: list[Test] | None = None
    while True:
        if reader.took("..."):
            if after is not None:
                raise InvalidExpression("only one ... is possible")
            after = []
        else:
            (before if after is None else after).append(_any_of(reader, _field_condition))
        if reader.took("]"):
            break
        reader.expect(",")
    reader.end()
    return lambda message: _fields_match(_fields(message), before, after)


def unescape(text: str) -> str:
    """Return quoted text without its backslashes."""
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _fields(message: str) -> list[str]:
    return [match[match.lastindex or 0] for match in _FIELD.finditer(message)]


def _fields_match(fields: list[str], before: Sequence[Test], after: Sequence[Test] | None) -> bool:
    least = len(before) + len(after or ())
    if len(fields) < least:
        return False
    if after is None:
        fields = [*fields[: least - 1], " ".join(fields[least - 1 :])]
        after = ()
    ends = fields[len(fields) - len(after) :]
    return all(test(value) for test, value in zip(before, fields, strict=False)) and all(
        test(value) for test, value in zip(after, ends, strict=True)
    )


Condition = Callable[[_Reader], Test]


def _any_of(reader: _Reader, condition: Condition, depth: int = 0) -> Test:
    tests = [_all_of(reader, condition, depth)]
    while reader.took("||"):
        tests.append(_all_of(reader, condition, depth))
    return tests[0] if len(tests) == 1 else lambda value: any(test(value) for test in tests)


def _all_of(reader: _Reader, condition: Condition, depth: int) -> Test:
    tests = [_one(reader, condition, depth)]
    while reader.took("&&"):
        tests.append(_one(reader, condition, depth))
    return tests[0] if len(tests) == 1 else lambda value: all(test(value) for test in tests)


def _one(reader: _Reader, condition: Condition, depth: int) -> Test:
    if not reader.took("("):
        return condition(reader)
    if depth == _DEEPEST:
        raise InvalidExpression("nested too deep")
    test = _any_of(reader, condition, depth + 1)
    reader.expect(")")
    return test


def _member_condition(reader: _Reader) -> Test:
    selector = reader.take()
    if selector.kind != "selector" or selector.text == "$":
        raise InvalidExpression("a selector begins with $.")
    select = _selector(selector.text)
    if reader.took("NOT", "EXISTS"):
        return lambda event: not select(event)
    test = _is_constant(reader) if reader.took("IS") else _comparison(reader)
    return lambda event: any(test(value) for value in select(event))


def _field_condition(reader: _Reader) -> Test:
    name = reader.take()
    if name.kind != "word":
        raise InvalidExpression("a field begins with its name")
    if any(reader.sees(symbol) for symbol in (",", "]", ")", "&&", "||")):
        return lambda _value: True
    return _comparison(reader)


def _is_constant(reader: _Reader) -> Test:
    for word, constant in _CONSTANTS.items():
        if reader.took(word):
            return lambda value: value is constant
    raise InvalidExpression("IS is followed by NULL, TRUE or FALSE")


def _comparison(reader: _Reader) -> Test:
    symbol, value = reader.take(), reader.take()
    compare = _COMPARISONS.get(symbol.text)
    if symbol.kind != "symbol" or compare is None or value.kind not in ("string", "regex", "word"):
        raise InvalidExpression("a comparison has an operator and a value")
    if value.kind == "word" and _NUMBER.fullmatch(value.text):
        return _number_test(symbol.text, compare, float(value.text))
    if symbol.text not in ("=", "!="):
        raise InvalidExpression("only numbers are greater or smaller")
    if value.kind == "regex":
        found: Callable[[str], object] = LinearRegex(value.text).found_in
    else:
        found = _like(unescape(value.text) if value.kind == "string" else value.text)
    wanted = symbol.text == "="

    def test(present: object) -> bool:
        text = _text_of(present)
        return (text is not None and bool(found(text))) is wanted

    return test


def _number_test(symbol: str, compare: Callable[[float, float], bool], limit: float) -> Test:
    def test(present: object) -> bool:
        text = _text_of(present)
        if text is None or not _NUMBER.fullmatch(text):
            return symbol == "!="
        return compare(float(text), limit)

    return test


def _text_of(value: object) -> str | None:
    """Return the text that a value is compared by; None for what has none, such as a list."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _like(text: str) -> Callable[[str], object]:
    """Compile a value in which ``*`` stands for anything."""
    parts: list[Piece] = []
    for index, piece in enumerate(text.split("*")):
        parts += [Wildcard.ANY, piece] if index else [piece]
    return compile_pattern(parts).fullmatch


def _selector(text: str) -> Callable[[object], list[object]]:
    """Compile ``$.a['b.c'][0]``; the function returns all values it points at, none if there are none."""
    steps: list[str | int] = []
    for match in _SELECTOR_PART.finditer(text, 1):
        if match["index"] not in (None, "*"):
            steps.append(int(match["index"]))
        else:
            steps.append(match["name"] or match["index"] or match["quoted"])
    if text.count("*") > 1:
        raise InvalidExpression("only one * is possible in a selector")

    def select(event: object) -> list[object]:
        found = [event]
        for step in steps:
            found = [value for parent in found for value in _children(parent, step)]
        return found

    return select


def _children(parent: object, step: str | int) -> Iterable[object]:
    if isinstance(parent, dict):
        if step == "*":
            return parent.values()
        return (parent[step],) if step in parent else ()
    if isinstance(parent, list):
        if step == "*":
            return parent
        return (parent[step],) if isinstance(step, int) and step < len(parent) else ()
    return ()
