"""JSON as people write it: read to its end, with every fault noted, its place, and how to put it right.

What is read is the value that was meant, as far as that can be told: trailing commas are passed over, missing ones
supplied, quotation marks of any kind taken for quotation marks, comments skipped. A fault whose remedy is sure comes
with an edit of the text; with all of them done, and none left over, the text is JSON.

Strictness is the business of :mod:`keyturn.rules.policy.json_text`; nothing is ever accepted because it was read here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from keyturn.rules.policy.json_text import Number, is_allowed

DEEPEST: Final = 32
"""Levels that are read; no policy has as many."""

_CLOSING: Final = {"{": "}", "[": "]"}
# What may stand for a quotation mark, and what then ends the text.
_QUOTES: Final = {
    "'": "'\u2019",
    "`": "`'",
    "\u2018": "\u2019'",
    "\u2019": "\u2019'",
    "\u201c": '\u201d\u201c"',
    "\u201d": '\u201d\u201c"',
    "\u201e": '\u201c\u201d"',
}
_CURLY: Final = "\u201c\u201d\u201e"
_COMMENT: Final = re.compile(r"//[^\n]*|#[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_WHITE_SPACE: Final = " \t\r\n"
_SPACES: Final = re.compile(r"[ \t\r\n]*")
_ODD_SPACE: Final = "\u00a0\u200b\u200c\u200d\u2028\u2029\u202f\ufeff\x0b\x0c\x00"
_NAME: Final = re.compile(r"""[^\s,:={}\[\]"']+""")
_WORD: Final = re.compile(r"""[^\s,{}\[\]"']+""")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_CONSTANTS: Final[dict[str, object]] = {"true": True, "false": False, "null": None}
_ESCAPE: Final = re.compile(r'\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})')


class Slip(StrEnum):
    """What can be wrong with a text that is to be JSON."""

    TRAILING_COMMA = "trailing-comma"
    EXTRA_COMMA = "extra-comma"
    MISSING_COMMA = "missing-comma"
    MISSING_COLON = "missing-colon"
    MISSING_VALUE = "missing-value"
    MISSING_CLOSING = "missing-closing"
    WRONG_CLOSING = "wrong-closing"
    QUOTES = "quotation-marks"
    MISSING_QUOTE = "missing-quotation-mark"
    UNQUOTED = "unquoted"
    CONSTANT = "constant"
    NEWLINE = "line-break-in-text"
    CONTROL_CHARACTER = "control-character"
    ESCAPE = "escape"
    CHARACTER = "character"
    ODD_SPACE = "odd-space"
    COMMENT = "comment"
    MEMBER_TWICE = "member-twice"
    EXTRA_TEXT = "extra-text"
    NESTED = "nested-too-deep"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of the text: what stands between two places is replaced."""

    start: int
    end: int
    replacement: str


@dataclass(frozen=True, slots=True)
class Found:
    """One slip.

    Attributes:
        slip: What.
        at: Where, counted in characters.
        detail: What it is about, for the explanation.
        edits: What puts it right; empty if that cannot be told.
    """

    slip: Slip
    at: int
    detail: str = ""
    edits: tuple[Edit, ...] = ()


@dataclass(slots=True)
class Node:
    """A value with its place in the text.

    Attributes:
        start: Of its first character.
        end: Behind its last character.
        value: Of a text, number or constant; else None.
        members: Of an object, in order, names repeated if they are; else None.
        items: Of a list; else None.
    """

    start: int
    end: int
    value: object = None
    members: list[Member] | None = None
    items: list[Node] | None = None

    def plain(self) -> object:
        """Return the value as the strict reader would; of a repeated name the last counts."""
        if self.members is not None:
            return {member.name: member.node.plain() for member in self.members}
        if self.items is not None:
            return [item.plain() for item in self.items]
        return self.value

    def member(self, name: str) -> Member | None:
        """Return the last member of a name."""
        return next((member for member in reversed(self.members or ()) if member.name == name), None)

    def inner(self, step: str | int) -> Node | None:
        """Return a member's value by its name, or an entry by its place."""
        if isinstance(step, int):
            return self.items[step] if self.items is not None and step < len(self.items) else None
        member = self.member(step)
        return member.node if member else None

    def at(self, path: Iterable[str | int]) -> Node | None:
        """Return the value that a path leads to."""
        node: Node | None = self
        for step in path:
            node = node.inner(step) if node else None
        return node


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object; ``start`` and ``end`` are those of its name, quotation marks included."""

    name: str
    start: int
    end: int
    node: Node


@dataclass(slots=True)
class Reading:
    """What was read: the value, None if there is none, and the slips in the order in which they were found."""

    root: Node | None
    slips: list[Found]

    def edits(self) -> list[Edit]:
        """Return what puts right all that can be put right, for :func:`edited`."""
        return [edit for found in self.slips for edit in found.edits]


def edited(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with edits done; of two that touch the same characters the first counts.

    Args:
        text: What the edits belong to.
        edits: In the order in which several at one place are to be written.
    """
    pieces, done = [], 0
    # What is put in front of a character comes before what replaces it.
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end > edit.start)):
        if edit.start >= done:
            pieces += [text[done : edit.start], edit.replacement]
            done = edit.end
    return "".join([*pieces, text[done:]])


def read(text: str) -> Reading:
    """Read a text to its end; never raises."""
    reader = _Reader(text)
    root = reader.document()
    return Reading(root, reader.slips)


class _TooDeep(Exception):
    """There are more levels than are read."""


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.slips: list[Found] = []
        self.depth = 0

    # What is around values --------------------------------------------------------------------------------------------

    def document(self) -> Node | None:
        self.skip()
        if self.at == len(self.text):
            self.note(Slip.EMPTY, 0)
            return None
        try:
            root = self.value()
        except _TooDeep:
            return None
        self.skip()
        if self.at < len(self.text):
            rest = self.text[self.at :]
            # Brackets and commas too many can go; anything else may be what was meant.
            edits = (Edit(self.at, len(self.text), ""),) if not rest.strip("}],; \t\r\n") else ()
            self.note(Slip.EXTRA_TEXT, self.at, rest.strip()[:1], *edits)
        return root

    def note(self, slip: Slip, at: int, detail: str = "", *edits: Edit) -> None:
        self.slips.append(Found(slip, at, detail, edits))

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def skip(self) -> None:
        """Pass over white space, and note what is none and was meant as such."""
        while self.at < len(self.text):
            character = self.text[self.at]
            if character in _WHITE_SPACE:
                self.at += 1
            elif character in _ODD_SPACE or character.isspace():
                self.note(Slip.ODD_SPACE, self.at, _named(character), Edit(self.at, self.at + 1, " "))
                self.at += 1
            elif comment := _COMMENT.match(self.text, self.at):
                self.note(Slip.COMMENT, self.at, "", Edit(self.at, comment.end(), ""))
                self.at = comment.end()
            else:
                return

    # Values -----------------------------------------------------------------------------------------------------------

    def value(self) -> Node:
        character = self.peek()
        if character in _CLOSING:
            self.depth += 1
            if self.depth > DEEPEST:
                self.note(Slip.NESTED, self.at)
                raise _TooDeep
            node = self.object() if character == "{" else self.array()
            self.depth -= 1
            return node
        if character == '"' or character in _QUOTES:
            start = self.at
            text = self.string()
            return Node(start, self.at, text)
        return self.word()

    def word(self) -> Node:
        """Read what stands without quotation marks: a number, a constant, or a text that should have them."""
        start = self.at
        match = _WORD.match(self.text, start)
        if match is None:
            self.note(Slip.MISSING_VALUE, start, self.peek())
            return Node(start, start)
        word, self.at = match[0], match.end()
        if word in _CONSTANTS:
            return Node(start, self.at, _CONSTANTS[word])
        if _NUMBER.fullmatch(word):
            return Node(start, self.at, Number(word))
        meant = "null" if word.lower() == "none" else word.lower()
        if meant in _CONSTANTS:
            self.note(Slip.CONSTANT, start, word, Edit(start, self.at, meant))
            return Node(start, self.at, _CONSTANTS[meant])
        self.note(Slip.UNQUOTED, start, word, *self.quoting(start, self.at, word))
        return Node(start, self.at, word)

    def quoting(self, start: int, end: int, word: str) -> tuple[Edit, ...]:
        return (Edit(start, end, json.dumps(word, ensure_ascii=False)),) if is_allowed(word) else ()

    def object(self) -> Node:
        members: list[Member] = []
        names: set[str] = set()
        node = Node(self.at, self.at, members=members)
        for _ in self.entries("{", node):
            start, name = self.at, self.name()
            end = self.at
            if name in names:
                self.note(Slip.MEMBER_TWICE, start, name)
            names.add(name)
            self.skip()
            if self.peek() == ":":
                self.at += 1
            elif self.peek() == "=":
                self.note(Slip.MISSING_COLON, self.at, "=", Edit(self.at, self.at + 1, ":"))
                self.at += 1
            else:
                self.note(Slip.MISSING_COLON, end, "", Edit(end, end, ":"))
            self.skip()
            members.append(Member(name, start, end, self.value()))
        return node

    def name(self) -> str:
        character = self.peek()
        if character == '"' or character in _QUOTES:
            return self.string()
        match = _NAME.match(self.text, self.at)
        if match is None:
            self.note(Slip.MISSING_VALUE, self.at, character)
            return ""
        start, self.at = self.at, match.end()
        self.note(Slip.UNQUOTED, start, match[0], *self.quoting(start, self.at, match[0]))
        return match[0]

    def array(self) -> Node:
        items: list[Node] = []
        node = Node(self.at, self.at, items=items)
        items.extend(self.value() for _ in self.entries("[", node))
        return node

    def entries(self, opening: str, node: Node) -> Iterator[None]:
        """Stand at each entry between two brackets in turn, and look after commas and the closing bracket."""
        self.at += 1
        behind = self.at  # Where the last entry ended.
        comma: int | None = None
        is_first = True
        while True:
            self.skip()
            character = self.peek()
            if character == ",":
                if comma is not None or is_first:
                    self.note(Slip.EXTRA_COMMA, self.at, "", Edit(self.at, self.at + 1, ""))
                else:
                    comma = self.at
                self.at += 1
            elif character in ("}", "]", ""):
                if comma is not None:
                    self.note(Slip.TRAILING_COMMA, comma, character, Edit(comma, comma + 1, ""))
                self.close(opening, node, behind)
                return
            else:
                if comma is None and not is_first:
                    self.note(Slip.MISSING_COMMA, behind, "", Edit(behind, behind, ","))
                at = self.at
                yield
                # What no entry can begin with is passed over, or nothing would ever end.
                self.at += self.at == at
                behind, comma, is_first = self.at, None, False

    def close(self, opening: str, node: Node, behind: int) -> None:
        """Take the closing bracket, or supply it."""
        closing, found = _CLOSING[opening], self.peek()
        if found == closing:
            self.at += 1
        elif found and self.depth == 1:
            # Nothing outside is open that the other bracket could close.
            self.note(Slip.WRONG_CLOSING, self.at, closing, Edit(self.at, self.at + 1, closing))
            self.at += 1
        else:
            self.note(Slip.MISSING_CLOSING, node.start, closing, Edit(behind, behind, closing))
        node.end = self.at

    # Texts ------------------------------------------------------------------------------------------------------------

    def string(self) -> str:
        """Read a text in quotation marks of any kind; in other than JSON's it is written anew."""
        start, opening = self.at, self.peek()
        ends = _QUOTES.get(opening, '"')
        self.at += 1
        pieces: list[str] = []
        slips = len(self.slips)
        while True:
            character = self.peek()
            if not character or (character in "\r\n" and self.ends_with_line()):
                self.end_missing(start, pieces)
                break
            if character in ends:
                self.at += 1
                break
            if opening == '"' and character in _CURLY and self.ends_behind():
                self.note(Slip.QUOTES, self.at, character, Edit(self.at, self.at + 1, '"'))
                self.at += 1
                break
            pieces.append(self.piece(character, opening))
        text = "".join(pieces)
        if opening != '"':
            del self.slips[slips:]
            fixed = (Edit(start, self.at, json.dumps(text, ensure_ascii=False)),) if is_allowed(text) else ()
            self.note(Slip.QUOTES, start, opening, *fixed)
        return text

    def piece(self, character: str, opening: str) -> str:
        """Read what one or more characters of a text stand for."""
        at = self.at
        if character == "\\":
            match = _ESCAPE.match(self.text, at)
            if match is not None:
                self.at = match.end()
                return self.unescaped(match[0], at)
            self.at += 2 if self.text[at + 1 : at + 2] == opening else 1
            if self.at == at + 1 or opening == '"':
                self.note(Slip.ESCAPE, at, self.text[at : at + 2])
                return "\\"
            return opening
        if character in "\r\n":
            # A text that was broken over lines: what follows the break is the layout's.
            self.at = self.behind_spaces(at)
            self.note(Slip.NEWLINE, at, "", Edit(at, self.at, ""))
            return ""
        self.at += 1
        if character < " " and is_allowed(character):
            self.note(Slip.CONTROL_CHARACTER, at, _named(character), Edit(at, at + 1, json.dumps(character)[1:-1]))
            return character
        if not is_allowed(character):
            invisible = character in _ODD_SPACE
            self.note(Slip.CHARACTER, at, _named(character), *((Edit(at, at + 1, ""),) if invisible else ()))
            return "" if invisible else character
        return character

    def unescaped(self, escape: str, at: int) -> str:
        character: str = json.loads(f'"{escape}"')
        if not is_allowed(character):
            self.note(Slip.CHARACTER, at, _named(character))
        return character

    def behind_spaces(self, at: int) -> int:
        match = _SPACES.match(self.text, at)
        return at if match is None else match.end()

    def ends_with_line(self) -> bool:
        """Whether a text seems to end with its line: what follows looks like the next name or a bracket."""
        at = self.behind_spaces(self.at)
        following = self.text[at : at + 1]
        return following in ('"', "", *_QUOTES, *_CLOSING, *_CLOSING.values())

    def ends_behind(self) -> bool:
        """Whether what follows the next character can only stand behind a text."""
        at = self.behind_spaces(self.at + 1)
        return self.text[at : at + 1] in (",", ":", "", *_CLOSING.values())

    def end_missing(self, start: int, pieces: list[str]) -> None:
        """Supply a closing quotation mark: at the end of the line, in front of what cannot belong to the text."""
        line = self.text[start : self.at]
        kept = line.rstrip().rstrip("},]").rstrip() if len(line.strip()) > 1 else line
        dropped = len(line) - len(kept)
        self.at -= dropped
        # What was found wrong behind the text's end is not wrong there.
        while self.slips and self.slips[-1].at >= self.at:
            self.slips.pop()
        text = "".join(pieces)
        pieces[:] = [text[: len(text) - dropped] if dropped else text]
        self.note(Slip.MISSING_QUOTE, start, "", Edit(self.at, self.at, '"'))


def _named(character: str) -> str:
    return f"U+{ord(character):04X}"
