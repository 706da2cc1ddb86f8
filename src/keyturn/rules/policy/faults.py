"""Everything that is wrong with a policy, each fault with its place, and the text put right where that can be told.

Services tell one fault, without its place. This is what Keyturn's own clients show beside it. Nothing here decides
anything: what is refused is refused by :mod:`keyturn.rules.policy.document`, whose verdict is part of the report.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Final

from keyturn.errors.base import AwsError
from keyturn.rules.policy.advice import advice
from keyturn.rules.policy.document import (
    INLINE_LIMITS,
    KEY_LIMIT_BYTES,
    MANAGED_LIMIT,
    SESSION_LIMIT,
    TRUST_LIMIT,
    PolicyDocument,
    parse_identity_policy,
    parse_key_policy,
    parse_managed_policy,
    parse_resource_policy,
    parse_session_policy,
    parse_trust_policy,
    size_without_white_space,
)
from keyturn.rules.policy.fault_texts import explained, shown, slip_explained
from keyturn.rules.policy.grammar import VERSION, read_document
from keyturn.rules.policy.json_text import NotJson, loaded
from keyturn.rules.policy.lenient_json import Edit, Node, Reading, edited, read
from keyturn.rules.policy.mending import Mender, wrapped
from keyturn.rules.policy.outline import Outline, guessed_kind, outline
from keyturn.rules.policy.positions import position_at
from keyturn.rules.policy.refusals import DocumentKind, Path, Refusal
from keyturn.rules.policy.service_names import ActionNames

# What is put right may bring to light what can be put right next. Few texts take more than four rounds.
_ROUNDS: Final = 64
_EXCERPT: Final = 100
# Of slips, refusals and doubts, each: more help nobody.
_MOST: Final = 100
_NO_ACTIONS: Final[ActionNames] = {}

_PARSERS: Final[Mapping[DocumentKind, Callable[[str], PolicyDocument]]] = {
    DocumentKind.IDENTITY: parse_identity_policy,
    DocumentKind.MANAGED: parse_managed_policy,
    DocumentKind.SESSION: parse_session_policy,
    DocumentKind.TRUST: parse_trust_policy,
    DocumentKind.RESOURCE: parse_resource_policy,
    DocumentKind.KEY: parse_key_policy,
}
# How long a document may be, and how it is measured.
_SIZES: Final[Mapping[DocumentKind, tuple[int, Callable[[str], int], str]]] = {
    DocumentKind.IDENTITY: (INLINE_LIMITS["role"], size_without_white_space, "characters without white space"),
    DocumentKind.MANAGED: (MANAGED_LIMIT, size_without_white_space, "characters without white space"),
    DocumentKind.SESSION: (SESSION_LIMIT, size_without_white_space, "characters without white space"),
    DocumentKind.TRUST: (TRUST_LIMIT, size_without_white_space, "characters without white space"),
    # AWS Secrets Manager User Guide, "Secrets Manager quotas".
    DocumentKind.RESOURCE: (20_480, len, "characters"),
    DocumentKind.KEY: (KEY_LIMIT_BYTES, lambda text: len(text.encode("utf-8", "replace")), "bytes"),
}


class Severity(StrEnum):
    """Whether a policy is refused for a fault, or accepted and probably not what was meant."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        severity: Error or warning.
        code: A short name that does not change: ``trailing-comma``.
        line: Counted from 1.
        column: Likewise, in characters.
        path: Within the document, ``Statement[0].Action``; empty for the whole of it.
        message: What is wrong and what to write, for people.
        excerpt: The line, or what of it is near the fault.
        caret: Where in the excerpt, counted from 0.
        is_mended: Whether the report's corrected text has it no more.
    """

    severity: Severity
    code: str
    line: int
    column: int
    path: str
    message: str
    excerpt: str
    caret: int
    is_mended: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What there is to say about a text that is to be a policy.

    Attributes:
        kind: What it was examined as.
        answer: The error that the service answers, None if it takes the policy.
        faults: In the order of the text.
        corrected: The text put right as far as that can be told, which is an object of JSON; None if there is none.
        remaining: The faults of the corrected text.
    """

    kind: DocumentKind
    answer: AwsError | None
    faults: tuple[Fault, ...]
    corrected: str | None
    remaining: tuple[Fault, ...]

    @property
    def errors(self) -> tuple[Fault, ...]:
        """The faults for which the policy is refused."""
        return tuple(fault for fault in self.faults if fault.severity is Severity.ERROR)


def examine(text: str, kind: DocumentKind, actions: ActionNames = _NO_ACTIONS) -> Report:
    """Find what is wrong with a policy; never raises.

    Args:
        text: As somebody wrote it.
        kind: What it is for.
        actions: Those of the services whose actions are known; others are not looked at.
    """
    corrected = _corrected(text, kind, actions)
    found = _faults(corrected, kind, actions) if corrected is not None else ()
    # What could still be put right would have been: its remedy is in the way of another one's.
    remaining = tuple(replace(fault, is_mended=False) for fault in found)
    # Two remedies may stand in each other's way, and then neither was taken.
    left = {(fault.code, fault.path) for fault in remaining}
    faults = tuple(
        replace(fault, is_mended=False) if corrected is None or (fault.code, fault.path) in left else fault
        for fault in _faults(text, kind, actions)
    )
    return Report(kind, _answer_to(text, kind), faults, corrected, remaining)


def kind_of(text: str) -> DocumentKind:
    """Return what a text is most likely for; never raises."""
    root = read(text).root
    return guessed_kind(outline(root).policy) if root else DocumentKind.IDENTITY


def _answer_to(text: str, kind: DocumentKind) -> AwsError | None:
    """Return the error that the service answers to a policy, None if it takes it."""
    try:
        _PARSERS[kind](text)
    except AwsError as error:
        return error
    return None


def _faults(text: str, kind: DocumentKind, actions: ActionNames) -> tuple[Fault, ...]:
    reading = read(text)
    found = [
        _fault(text, Severity.ERROR, slip.slip, slip.at, (), slip_explained(slip), is_mended=bool(slip.edits))
        for slip in reading.slips[:_MOST]
    ]
    if reading.root is not None:
        meant = outline(reading.root)
        found += _grammar_faults(text, meant, kind, actions)
        found += (
            _fault(text, Severity.WARNING, doubt.doubt, doubt.at, doubt.path, doubt.message)
            for doubt in islice(advice(meant.policy, kind, actions), _MOST)
        )
    found += _size_faults(text, kind)
    return tuple(sorted(found, key=lambda fault: (fault.line, fault.column)))


def _grammar_faults(text: str, meant: Outline, kind: DocumentKind, actions: ActionNames) -> Iterator[Fault]:
    policy = meant.policy
    if meant.is_lone:
        message = f'A statement alone is no policy: write {{"Version": "{VERSION}", "Statement": [...]}} around it.'
        yield _fault(text, Severity.ERROR, "lone-statement", policy.start, (), message, is_mended=True)
    for member, path in meant.misspelt:
        message = f'There is no element "{shown(member.name)}": write "{path[-1]}".'
        yield _fault(text, Severity.ERROR, "misspelt-element", member.start, path, message, is_mended=True)
    mender = Mender(policy, actions)
    for refusal in _refusals(policy, kind)[:_MOST]:
        code = refusal.reason.name.lower().replace("_", "-")
        at, written = _place(policy, refusal)
        message = explained(refusal, kind, written)
        is_mended = bool(mender.mended(refusal))
        yield _fault(text, Severity.ERROR, code, at, refusal.path, message, is_mended=is_mended)


def _refusals(policy: Node, kind: DocumentKind) -> list[Refusal]:
    """Return what the grammar refuses, but for values that are not there: of these the JSON tells."""
    refusals = read_document(policy.plain(), kind)[1]
    return [refusal for refusal in refusals if not _is_missing(policy, refusal.path)]


def _is_missing(policy: Node, path: Path) -> bool:
    node = policy.at(path)
    return node is not None and node.start == node.end


def _place(policy: Node, refusal: Refusal) -> tuple[int, str]:
    """Return where a fault is, and what is written there: a name, a value, or the element that lacks something."""
    path = refusal.path
    if refusal.at_name:
        owner = policy.at(path[:-1])
        member = owner.member(str(path[-1])) if owner else None
        if member:
            return member.start, member.name
    while (node := policy.at(path)) is None:
        path = path[:-1]
    return node.start, node.value if isinstance(node.value, str) else refusal.subject


def _size_faults(text: str, kind: DocumentKind) -> Iterator[Fault]:
    limit, count, unit = _SIZES[kind]
    size = count(text)
    if size > limit:
        message = f"The policy is too long: it has {size:,} {unit}, and {limit:,} are allowed."
        yield _fault(text, Severity.ERROR, "too-long", 0, (), message)
    elif kind is DocumentKind.IDENTITY and size > INLINE_LIMITS["user"]:
        message = (
            f"With {size:,} {unit} this is not for users: all inline policies of a user have {INLINE_LIMITS['user']:,}"
            f" together, of a group {INLINE_LIMITS['group']:,}, of a role {limit:,}."
        )
        yield _fault(text, Severity.WARNING, "too-long-for-users", 0, (), message)


# Corrections ----------------------------------------------------------------------------------------------------------


def _corrected(text: str, kind: DocumentKind, actions: ActionNames) -> str | None:
    """Return the text put right as far as that can be told, with what putting it right brings to light.

    Returns:
        None if nothing can be put right, if the outcome is no object, or if remedies undo each other without end.
    """
    mending = text
    for _ in range(_ROUNDS):
        reading = read(mending)
        further = edited(mending, reading.edits() or _grammar_edits(reading, kind, actions))
        # A correction must not break what is whole.
        if further == mending or (not reading.slips and not _is_object(further)):
            return mending if mending != text and _is_object(mending) else None
        mending = further
    return None


def _grammar_edits(reading: Reading, kind: DocumentKind, actions: ActionNames) -> list[Edit]:
    if reading.root is None or reading.slips:
        return []
    meant = outline(reading.root)
    policy = meant.policy
    edits = list(wrapped(policy)) if meant.is_lone else []
    edits += [Edit(member.start, member.end, json.dumps(path[-1])) for member, path in meant.misspelt]
    mender = Mender(policy, actions)
    edits += [edit for refusal in _refusals(policy, kind) for edit in mender.mended(refusal)]
    # Several faults may have one remedy: taken twice it would be in its own way.
    return list(dict.fromkeys(edits))


def _is_object(text: str) -> bool:
    try:
        return isinstance(loaded(text), dict)
    except NotJson:
        return False


# How faults are shown -------------------------------------------------------------------------------------------------


def _fault(
    text: str, severity: Severity, code: str, at: int, path: Path, message: str, *, is_mended: bool = False
) -> Fault:
    at = min(at, len(text))
    line, column = position_at(text, at)
    excerpt, caret = _excerpt(text, at, column - 1)
    return Fault(severity, str(code), line, column, _shown_path(path), message, excerpt, caret, is_mended)


def _excerpt(text: str, at: int, before: int) -> tuple[str, int]:
    """Return the line that a character stands in, cut to what can be shown, and where in it the character is."""
    end = text.find("\n", at)
    line = text[at - before : end if end >= 0 else len(text)]
    start = max(0, before - _EXCERPT // 2) if len(line) > _EXCERPT else 0
    excerpt = line[start : start + _EXCERPT].rstrip()
    if not excerpt.isprintable():
        excerpt = "".join(map(_visible, excerpt))
    return excerpt, before - start


def _visible(character: str) -> str:
    """Return what takes one place on a screen: nothing that a text holds may move its cursor."""
    if character.isspace():
        return " "
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def _shown_path(path: Path) -> str:
    """Return a path as people write it: ``Statement[0].Condition["Bool"]["aws:SecureTransport"]``."""
    steps = ""
    for depth, step in enumerate(path):
        if isinstance(step, int):
            steps += f"[{step}]"
        elif "Condition" in path[:depth]:
            steps += f"[{json.dumps(step)}]"
        else:
            steps += f".{step}" if steps else step
    return steps
