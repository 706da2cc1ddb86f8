"""The parts of a policy as it was written, well-formed or not: its statements, their texts, what it is for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from keyturn.rules.policy.grammar import STATEMENT_ELEMENTS, TOP_ELEMENTS, TRUST_ACTIONS, VERSION
from keyturn.rules.policy.lenient_json import Member, Node
from keyturn.rules.policy.refusals import DocumentKind, Path
from keyturn.rules.policy.spelling import meant

_TRUST_ACTIONS: Final = {name for action in TRUST_ACTIONS for name in (action.lower(), action.lower()[len("sts:") :])}


@dataclass(slots=True)
class Outline:
    """A policy as it was meant.

    Attributes:
        policy: The document; what stands alone or is misspelt in the text is in its place.
        is_lone: Whether the text is a statement, or a list of some, without a policy around it.
        misspelt: The elements whose names were taken for others, with their paths as they were meant.
    """

    policy: Node
    is_lone: bool = False
    misspelt: list[tuple[Member, Path]] = field(default_factory=list)


def outline(root: Node) -> Outline:
    """Return the policy that was meant by what was read."""
    elements = [meant(member.name, STATEMENT_ELEMENTS) for member in root.members or ()]
    is_lone = bool(root.items) and all(item.members for item in root.items or ())
    if "Effect" in elements and not any(meant(member.name, TOP_ELEMENTS[2:]) for member in root.members or ()):
        is_lone = True
    found = Outline(_around(root) if is_lone else root, is_lone)
    policy = found.policy = _spelt(found.policy, TOP_ELEMENTS, (), found)
    for member in policy.members or ():
        if member.name == "Statement":
            _spell_statements(policy, member, found)
    return found


def _around(root: Node) -> Node:
    """Return a policy with what was read as its statements."""
    version = Node(root.start, root.start + 1, VERSION)
    members = [
        Member("Version", root.start, root.start, version),
        Member("Statement", root.start, root.start, root),
    ]
    return Node(root.start, root.end, members=members)


def _spell_statements(policy: Node, member: Member, found: Outline) -> None:
    listed = member.node
    path: Path = ("Statement",)
    if listed.items is None:
        spelt = _spelt(listed, STATEMENT_ELEMENTS, path, found)
    else:
        items = [_spelt(item, STATEMENT_ELEMENTS, (*path, index), found) for index, item in enumerate(listed.items)]
        spelt = Node(listed.start, listed.end, items=items)
    at = (policy.members or []).index(member)
    (policy.members or [])[at] = Member(member.name, member.start, member.end, spelt)


def _spelt(node: Node, known: tuple[str, ...], path: Path, found: Outline) -> Node:
    """Return an object with the names that were meant; two that mean the same stay as they are."""
    if node.members is None:
        return node
    names = [member.name if member.name in known else meant(member.name, known) for member in node.members]
    members = list(node.members)
    for at, (member, name) in enumerate(zip(node.members, names, strict=True)):
        if name and name != member.name and names.count(name) == 1:
            members[at] = Member(name, member.start, member.end, member.node)
            found.misspelt.append((member, (*path, name)))
    return Node(node.start, node.end, members=members)


def statements(policy: Node) -> Iterator[tuple[Node, Path]]:
    """Yield the statements, each with its path."""
    listed = policy.inner("Statement")
    if listed is not None and listed.items is not None:
        yield from ((statement, ("Statement", index)) for index, statement in enumerate(listed.items))
    elif listed is not None:
        yield listed, ("Statement",)


def texts(statement: Node, *names: str) -> Iterator[tuple[str, int, Path]]:
    """Yield the texts of elements that are one text or a list of them, each with its place and its path."""
    for name in names:
        node = statement.inner(name)
        if node is None:
            continue
        for index, item in [(None, node)] if node.items is None else enumerate(node.items):
            if isinstance(item.value, str):
                yield item.value, item.start, (name,) if index is None else (name, index)


def guessed_kind(policy: Node) -> DocumentKind:
    """Return what a policy is most likely for, told by its principals and actions."""
    listed = [statement for statement, _ in statements(policy)]
    elements = {member.name for statement in listed for member in statement.members or ()}
    actions = {text.lower() for statement in listed for text, _, _ in texts(statement, "Action", "NotAction")}
    has_principal = bool(elements & {"Principal", "NotPrincipal"})
    if actions and actions <= _TRUST_ACTIONS and (has_principal or not elements & {"Resource", "NotResource"}):
        return DocumentKind.TRUST
    if not has_principal:
        return DocumentKind.IDENTITY
    is_key = bool(actions) and all(action.startswith("kms:") for action in actions)
    return DocumentKind.KEY if is_key else DocumentKind.RESOURCE
