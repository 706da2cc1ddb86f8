"""How to put right what a policy's grammar refuses: edits of the text, where only one thing can have been meant.

What is left alone is what somebody has to decide: a missing Effect, a missing Resource, a name that is a placeholder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from keyturn.rules.policy.conditions import OPERATOR_NAMES
from keyturn.rules.policy.grammar import TRUST_ACTIONS, VERSION
from keyturn.rules.policy.lenient_json import Edit, Node
from keyturn.rules.policy.outline import statements, texts
from keyturn.rules.policy.principals import KINDS
from keyturn.rules.policy.refusals import Path, Reason, Refusal
from keyturn.rules.policy.service_names import ActionNames
from keyturn.rules.policy.spelling import meant

Edits = tuple[Edit, ...]
_NOTHING: Final[Edits] = ()

_OPERATORS: Final = tuple(
    f"{prefix}{name}{suffix}"
    for name in OPERATOR_NAMES
    for prefix in ("", "ForAnyValue:", "ForAllValues:")
    for suffix in ("", "IfExists")
)
_EFFECTS: Final = {
    "allow": "Allow",
    "allows": "Allow",
    "allowed": "Allow",
    "deny": "Deny",
    "denies": "Deny",
    "denied": "Deny",
}
_PRINCIPAL_ELEMENTS: Final = ("Principal", "NotPrincipal")
_AWS_PRINCIPAL: Final = re.compile(r"arn:[^:]+:(?:iam|sts)::.*|[0-9]{12}")
_SERVICE_SUFFIX: Final = ".amazonaws.com"
_NOT_OF_SIDS: Final = re.compile(r"[^A-Za-z0-9]")


def mended(refusal: Refusal, root: Node, actions: ActionNames) -> Edits:
    """Return what puts one fault right; nothing if that cannot be told.

    Args:
        refusal: The fault.
        root: The document that it was found in.
        actions: What may have been meant by an action without its service.
    """
    mend = _MENDS.get(refusal.reason)
    return mend(refusal, root, actions) if mend else _NOTHING


def wrapped(root: Node) -> Edits:
    """Return what makes a policy of a statement, or of a list of some."""
    return (
        Edit(root.start, root.start, f'{{"Version": "{VERSION}", "Statement": '),
        Edit(root.end, root.end, "}"),
    )


def _renamed(root: Node, path: Path, name: str | None) -> Edits:
    """Give the member at a path another name, if its object has none of that name yet."""
    owner = root.at(path[:-1])
    member = owner.member(str(path[-1])) if owner else None
    if owner is None or member is None or name is None or owner.member(name):
        return _NOTHING
    return (Edit(member.start, member.end, json.dumps(name)),)


def _rewritten(root: Node, path: Path, value: str | Mapping[str, str] | None) -> Edits:
    node = root.at(path)
    return (Edit(node.start, node.end, json.dumps(value, ensure_ascii=False)),) if node and value else _NOTHING


def _trimmed(refusal: Refusal, root: Node, _actions: ActionNames) -> Edits:
    """Take white space from around a text."""
    node = root.at(refusal.path)
    text = node.value if node else None
    if not isinstance(text, str) or text == text.strip():
        return _NOTHING
    return _rewritten(root, refusal.path, text.strip())


def _effect(refusal: Refusal, root: Node, _actions: ActionNames) -> Edits:
    word = refusal.subject.strip()
    return _rewritten(root, refusal.path, _EFFECTS.get(word.lower()) or meant(word, ("Allow", "Deny")))


def _version(_refusal: Refusal, root: Node, _actions: ActionNames) -> Edits:
    """Write the version; there is but one that anybody wants."""
    if root.member("Version"):
        return _rewritten(root, ("Version",), VERSION)
    first = root.members[0] if root.members else None
    if first is None:
        return _NOTHING
    return (Edit(first.start, first.start, f'"Version": "{VERSION}", '),)


def _operator(refusal: Refusal, root: Node, _actions: ActionNames) -> Edits:
    return _renamed(root, refusal.path, meant(refusal.subject, _OPERATORS))


def _sid(refusal: Refusal, root: Node, _actions: ActionNames) -> Edits:
    return _rewritten(root, refusal.path, _free_sid(root, _NOT_OF_SIDS.sub("", refusal.subject)))


def _other_sid(refusal: Refusal, root: Node, _actions: ActionNames) -> Edits:
    return _rewritten(root, refusal.path, _free_sid(root, refusal.subject))


def _free_sid(root: Node, wanted: str) -> str:
    """Return a Sid that no statement has, the wanted one or one that is like it."""
    taken = {text for statement, _ in statements(root) for text, _, _ in texts(statement, "Sid")}
    if not wanted or wanted not in taken:
        return wanted
    numbered = (f"{wanted}{number}" for number in range(2, len(taken) + 3))
    return next(sid for sid in numbered if sid not in taken)


def _principal(refusal: Refusal, root: Node, _actions: ActionNames) -> Edits:
    if refusal.at_name:
        return _renamed(root, refusal.path, meant(str(refusal.path[-1]), KINDS))
    return _trimmed(refusal, root, _actions)


def _star_principal(refusal: Refusal, root: Node, _actions: ActionNames) -> Edits:
    return _rewritten(root, refusal.path, {"AWS": "*"})


def _shape(refusal: Refusal, root: Node, _actions: ActionNames) -> Edits:
    """Give a principal that stands alone its kind; other elements of the wrong shape can mean anything."""
    node = root.at(refusal.path)
    if (
        refusal.path[-1:] not in [(name,) for name in _PRINCIPAL_ELEMENTS]
        or not node
        or not isinstance(node.value, str)
    ):
        return _NOTHING
    if _AWS_PRINCIPAL.fullmatch(node.value):
        return _rewritten(root, refusal.path, {"AWS": node.value})
    if node.value.endswith(_SERVICE_SUFFIX):
        return _rewritten(root, refusal.path, {"Service": node.value})
    return _NOTHING


def _trust_action(refusal: Refusal, root: Node, _actions: ActionNames) -> Edits:
    word = refusal.subject if ":" in refusal.subject else f"sts:{refusal.subject}"
    return _rewritten(root, refusal.path, meant(word, TRUST_ACTIONS))


def _prefixed(refusal: Refusal, root: Node, actions: ActionNames) -> Edits:
    """Name the service of an action, if only one has it."""
    wanted = refusal.subject.strip().lower()
    found = [f"{service}:{name}" for service, names in actions.items() for name in names if name.lower() == wanted]
    return _rewritten(root, refusal.path, found[0]) if len(found) == 1 else _NOTHING


def _removed(refusal: Refusal, root: Node, _actions: ActionNames) -> Edits:
    """Take out a Resource that says nothing."""
    owner = root.at(refusal.path[:-1])
    members = owner.members if owner else None
    at = next((index for index, member in enumerate(members or ()) if member.name == refusal.path[-1]), 0)
    if not members or len(members) == 1 or members[at].node.plain() not in ("*", ["*"]):
        return _NOTHING
    if at + 1 < len(members):
        return (Edit(members[at].start, members[at + 1].start, ""),)
    return (Edit(members[at - 1].node.end, members[at].node.end, ""),)


_MENDS: Final[Mapping[Reason, Callable[[Refusal, Node, ActionNames], Edits]]] = {
    Reason.SYNTAX: _shape,
    Reason.VERSION: _version,
    Reason.OLD_VERSION: _version,
    Reason.EFFECT: _effect,
    Reason.EFFECT_CASE: _effect,
    Reason.OPERATOR: _operator,
    Reason.STAR_PRINCIPAL: _star_principal,
    Reason.PRINCIPAL: _principal,
    Reason.SERVICE_PRINCIPAL: _principal,
    Reason.SID_CHARACTERS: _sid,
    Reason.SID_TWICE: _other_sid,
    Reason.TRUST_ACTION: _trust_action,
    Reason.RESOURCE_PROHIBITED: _removed,
    Reason.ACTION_VENDORLESS: _prefixed,
    Reason.ACTION_VENDOR: _trimmed,
    Reason.RESOURCE_FORMAT: _trimmed,
    Reason.PARTITION: _trimmed,
}
