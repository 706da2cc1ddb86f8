"""How to put right what a policy's grammar refuses: edits of the text, where only one thing can have been meant.

What is left alone is what somebody has to decide: a missing Effect, a missing Resource, a name that is a placeholder.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import ClassVar, Final

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


def wrapped(root: Node) -> Edits:
    """Return what makes a policy of a statement, or of a list of some."""
    return (
        Edit(root.start, root.start, f'{{"Version": "{VERSION}", "Statement": '),
        Edit(root.end, root.end, "}"),
    )


class Mender:
    """Puts right what is wrong with one document; each fault is to be named once.

    Args:
        root: The document.
        actions: What may have been meant by an action without its service.
    """

    def __init__(self, root: Node, actions: ActionNames) -> None:
        self.root = root
        self.actions = actions
        # The last one tried behind a Sid that is taken.
        self._numbers = Counter[str]()

    def mended(self, refusal: Refusal) -> Edits:
        """Return what puts one fault right; nothing if that cannot be told."""
        mend = self._MENDS.get(refusal.reason)
        return mend(self, refusal) if mend else _NOTHING

    def _renamed(self, path: Path, name: str | None) -> Edits:
        """Give the member at a path another name, if its object has none of that name yet."""
        owner = self.root.at(path[:-1])
        member = owner.member(str(path[-1])) if owner else None
        if owner is None or member is None or name is None or owner.member(name):
            return _NOTHING
        return (Edit(member.start, member.end, json.dumps(name)),)

    def _rewritten(self, path: Path, value: str | Mapping[str, str] | None) -> Edits:
        node = self.root.at(path)
        return (Edit(node.start, node.end, json.dumps(value, ensure_ascii=False)),) if node and value else _NOTHING

    def _trimmed(self, refusal: Refusal) -> Edits:
        """Take white space from around a text."""
        node = self.root.at(refusal.path)
        text = node.value if node else None
        if not isinstance(text, str) or text == text.strip():
            return _NOTHING
        return self._rewritten(refusal.path, text.strip())

    def _effect(self, refusal: Refusal) -> Edits:
        word = refusal.subject.strip()
        return self._rewritten(refusal.path, _EFFECTS.get(word.lower()) or meant(word, ("Allow", "Deny")))

    def _version(self, _refusal: Refusal) -> Edits:
        """Write the version; there is but one that anybody wants."""
        if self.root.member("Version"):
            return self._rewritten(("Version",), VERSION)
        first = self.root.members[0] if self.root.members else None
        if first is None:
            return _NOTHING
        return (Edit(first.start, first.start, f'"Version": "{VERSION}", '),)

    def _operator(self, refusal: Refusal) -> Edits:
        return self._renamed(refusal.path, meant(refusal.subject, _OPERATORS))

    def _sid(self, refusal: Refusal) -> Edits:
        return self._rewritten(refusal.path, self._free_sid(_NOT_OF_SIDS.sub("", refusal.subject)))

    def _other_sid(self, refusal: Refusal) -> Edits:
        return self._rewritten(refusal.path, self._free_sid(refusal.subject))

    def _free_sid(self, wanted: str) -> str:
        """Return a Sid that no statement has, the wanted one or one that is like it; nobody else gets it."""
        sid, number = wanted, self._numbers[wanted]
        while sid and sid in self._sids:
            number += 1
            sid = f"{wanted}{number + 1}"
        self._numbers[wanted] = number
        self._sids.add(sid)
        return sid

    @cached_property
    def _sids(self) -> set[str]:
        return {text for statement, _ in statements(self.root) for text, _, _ in texts(statement, "Sid")}

    def _principal(self, refusal: Refusal) -> Edits:
        if refusal.at_name:
            return self._renamed(refusal.path, meant(str(refusal.path[-1]), KINDS))
        return self._trimmed(refusal)

    def _star_principal(self, refusal: Refusal) -> Edits:
        return self._rewritten(refusal.path, {"AWS": "*"})

    def _shape(self, refusal: Refusal) -> Edits:
        """Give a principal that stands alone its kind; other elements of the wrong shape can mean anything."""
        node = self.root.at(refusal.path)
        if (
            refusal.path[-1:] not in [(name,) for name in _PRINCIPAL_ELEMENTS]
            or not node
            or not isinstance(node.value, str)
        ):
            return _NOTHING
        if _AWS_PRINCIPAL.fullmatch(node.value):
            return self._rewritten(refusal.path, {"AWS": node.value})
        if node.value.endswith(_SERVICE_SUFFIX):
            return self._rewritten(refusal.path, {"Service": node.value})
        return _NOTHING

    def _trust_action(self, refusal: Refusal) -> Edits:
        word = refusal.subject if ":" in refusal.subject else f"sts:{refusal.subject}"
        return self._rewritten(refusal.path, meant(word, TRUST_ACTIONS))

    def _prefixed(self, refusal: Refusal) -> Edits:
        """Name the service of an action, if only one has it."""
        wanted = refusal.subject.strip().lower()
        found = [
            f"{service}:{name}" for service, names in self.actions.items() for name in names if name.lower() == wanted
        ]
        return self._rewritten(refusal.path, found[0]) if len(found) == 1 else _NOTHING

    def _removed(self, refusal: Refusal) -> Edits:
        """Take out a Resource that says nothing."""
        owner = self.root.at(refusal.path[:-1])
        members = owner.members if owner else None
        at = next((index for index, member in enumerate(members or ()) if member.name == refusal.path[-1]), 0)
        if not members or len(members) == 1 or members[at].node.plain() not in ("*", ["*"]):
            return _NOTHING
        if at + 1 < len(members):
            return (Edit(members[at].start, members[at + 1].start, ""),)
        return (Edit(members[at - 1].node.end, members[at].node.end, ""),)

    _MENDS: ClassVar[Mapping[Reason, Callable[[Mender, Refusal], Edits]]] = {
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
