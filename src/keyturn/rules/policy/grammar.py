"""The grammar of policies: from the value of a JSON text to statements, or to everything that speaks against it.

Nothing is raised for a document that is not well-formed: reading goes on, so that clients can show all faults at once.
:mod:`keyturn.rules.policy.document` tells the one that the service tells.

Source: IAM User Guide, "Grammar of the IAM JSON policy language" and the pages of its elements; what IAM accepts beyond
it as collected by moto (``tests/test_iam/test_iam_policies.py``) and recorded by cdk-preflight.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from keyturn.rules.policy.condition_values import InvalidConditionValue, LegacyConditionValue
from keyturn.rules.policy.conditions import Condition, compile_condition, is_operator
from keyturn.rules.policy.elements import InvalidElement, check_action, completed_resource
from keyturn.rules.policy.json_text import Number
from keyturn.rules.policy.patterns import ArnRule, PatternSet, has_variable, pattern_set
from keyturn.rules.policy.principals import InvalidPrincipal, Principals, invalid_principals, parse_principals
from keyturn.rules.policy.refusals import DocumentKind, Path, Reason, Refusal

OLD_VERSION = "2008-10-17"
VERSION = "2012-10-17"

TOP_ELEMENTS = ("Version", "Id", "Statement")
STATEMENT_ELEMENTS = (
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
)
TRUST_ACTIONS = frozenset(
    f"sts:{name}"
    for name in (
        "AssumeRole",
        "AssumeRoleWithSAML",
        "AssumeRoleWithWebIdentity",
        "SetContext",
        "SetSourceIdentity",
        "TagSession",
    )
)

# What hangs on a resource may be written more freely than what hangs on an identity.
_ON_RESOURCES = frozenset([DocumentKind.RESOURCE, DocumentKind.KEY])
_WITHOUT_PRINCIPAL = frozenset([DocumentKind.IDENTITY, DocumentKind.MANAGED, DocumentKind.SESSION])
# Only there an ARN may be left incomplete.
_COMPLETING = frozenset([DocumentKind.IDENTITY, DocumentKind.MANAGED])


class Effect(StrEnum):
    """What a matching statement does."""

    ALLOW = "Allow"
    DENY = "Deny"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement.

    Attributes:
        index: Its place in the document, counted from 0.
        sid: Its name, if it has one.
        effect: Allow or Deny.
        principals: Whom it names; None in identity-based policies.
        actions: Patterns in lower case; ``actions_negated`` for NotAction.
        resources: Patterns; None where the policy belongs to its only resource (trust policies).
        conditions: All must hold.
    """

    index: int
    sid: str | None
    effect: Effect
    principals: Principals | None
    actions: PatternSet
    actions_negated: bool
    resources: PatternSet | None
    resources_negated: bool
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """A parsed policy: its statements in order, and the same sorted by effect."""

    version: str
    policy_id: str | None
    statements: tuple[Statement, ...]
    allows: tuple[Statement, ...]
    denies: tuple[Statement, ...]


Json = Mapping[str, object]
_Listed = list[tuple[str, Path]]


def read_document(value: object, kind: DocumentKind) -> tuple[PolicyDocument | None, tuple[Refusal, ...]]:
    """Return the document if nothing speaks against it, else all that does.

    Args:
        value: As :func:`keyturn.rules.policy.json_text.loaded` returns it.
        kind: What the document is for.
    """
    reading = _Reading(kind)
    document = reading.document(value)
    return (None if reading.refusals else document), tuple(reading.refusals)


class _Reading:
    """One document being read; what speaks against it is collected."""

    def __init__(self, kind: DocumentKind) -> None:
        self.kind = kind
        self.modern = True
        self.refusals: list[Refusal] = []

    def refuse(self, reason: Reason, path: Path, subject: str = "", *, at_name: bool = False) -> None:
        self.refusals.append(Refusal(reason, path, subject, at_name))

    def document(self, value: object) -> PolicyDocument | None:
        """Read the whole of it; None if there is nothing in it to be read."""
        if not isinstance(value, dict):
            self.refuse(Reason.SYNTAX, ())
            return None
        self._elements(value, TOP_ELEMENTS, ())
        version = self._version(value)
        policy_id = value.get("Id", "")
        if not isinstance(policy_id, str):
            self.refuse(Reason.SYNTAX, ("Id",))
        entries = self._entries(value)
        if not self.modern and self.kind not in _ON_RESOURCES and _has_variable(value.get("Statement")):
            # Before 2012-10-17 "${" is plain text, and nobody who writes it means that.
            self.refuse(Reason.OLD_VERSION, ("Version",) if "Version" in value else ())
        read = [self._statement(index, entry, path) for index, (entry, path) in enumerate(entries)]
        # AWS's own policies of default keys have one Sid twice.
        if self.kind is not DocumentKind.KEY:
            self._unique_sids(entries)
        statements = tuple(statement for statement in read if statement is not None)
        return PolicyDocument(
            version=version,
            policy_id=str(policy_id) if "Id" in value else None,
            statements=statements,
            allows=tuple(statement for statement in statements if statement.effect is Effect.ALLOW),
            denies=tuple(statement for statement in statements if statement.effect is Effect.DENY),
        )

    def _elements(self, element: Json, known: Iterable[str], path: Path) -> None:
        for name in element:
            if name not in known:
                self.refuse(Reason.UNKNOWN_ELEMENT, (*path, name), name, at_name=True)

    def _version(self, document: Json) -> str:
        version = document.get("Version", OLD_VERSION)
        if version not in (VERSION, OLD_VERSION):
            self.refuse(Reason.VERSION, ("Version",))
        elif version == OLD_VERSION and self.kind is DocumentKind.MANAGED:
            self.refuse(Reason.OLD_VERSION, ("Version",) if "Version" in document else ())
        self.modern = version != OLD_VERSION
        return str(version)

    def _entries(self, document: Json) -> list[tuple[object, Path]]:
        listed = document.get("Statement")
        if listed is None or listed == []:
            self.refuse(Reason.STATEMENT_MISSING, ("Statement",) if "Statement" in document else ())
            return []
        if isinstance(listed, list):
            return [(entry, ("Statement", index)) for index, entry in enumerate(listed)]
        return [(listed, ("Statement",))]

    def _unique_sids(self, entries: Iterable[tuple[object, Path]]) -> None:
        seen: set[str] = set()
        for entry, path in entries:
            sid = entry.get("Sid") if isinstance(entry, dict) else None
            if isinstance(sid, str) and sid:
                if sid in seen:
                    self.refuse(Reason.SID_TWICE, (*path, "Sid"), sid)
                seen.add(sid)

    def _statement(self, index: int, entry: object, path: Path) -> Statement | None:
        if not isinstance(entry, dict):
            self.refuse(Reason.SYNTAX, path)
            return None
        self._elements(entry, STATEMENT_ELEMENTS, path)
        actions, actions_negated = self._actions(entry, path)
        resources, resources_negated = self._resources(entry, path)
        no_resources = self.kind is DocumentKind.TRUST
        return Statement(
            index=index,
            sid=self._sid(entry, path) or None,
            effect=self._effect(entry, path),
            principals=self._principals(entry, path),
            actions=pattern_set((action.lower() for action in actions), variables=False),
            actions_negated=actions_negated,
            resources=None if no_resources else pattern_set(resources, variables=self.modern, arn=ArnRule.RESOURCE),
            resources_negated=resources_negated,
            conditions=tuple(self._conditions(entry, path)),
        )

    def _sid(self, entry: Json, path: Path) -> str:
        sid = entry.get("Sid", "")
        if not isinstance(sid, str):
            self.refuse(Reason.SYNTAX, (*path, "Sid"))
            return ""
        if sid and self.kind not in _ON_RESOURCES and not (sid.isascii() and sid.isalnum()):
            self.refuse(Reason.SID_CHARACTERS, (*path, "Sid"), sid)
        return sid

    def _effect(self, entry: Json, path: Path) -> Effect:
        effect = entry.get("Effect")
        if effect in ("Allow", "Deny"):
            return Effect(str(effect))
        if "Effect" not in entry:
            self.refuse(Reason.EFFECT_MISSING, path)
        elif isinstance(effect, str) and effect.lower() in ("allow", "deny"):
            self.refuse(Reason.EFFECT_CASE, (*path, "Effect"), effect)
        else:
            self.refuse(Reason.EFFECT, (*path, "Effect"), effect if isinstance(effect, str) else "")
        return Effect.DENY

    def _principals(self, entry: Json, path: Path) -> Principals | None:
        present = [name for name in ("Principal", "NotPrincipal") if name in entry]
        if self.kind in _WITHOUT_PRINCIPAL:
            for name in present:
                self.refuse(Reason.PRINCIPAL_PROHIBITED, (*path, name), at_name=True)
            return None
        if not present:
            self.refuse(Reason.PRINCIPAL_MISSING, path)
            return None
        name = present[-1]
        if len(present) > 1:
            self.refuse(Reason.BOTH_FORMS, (*path, name), at_name=True)
        elif name == "NotPrincipal" and self.kind is DocumentKind.TRUST:
            allows = entry.get("Effect") == "Allow"
            self.refuse(Reason.ALLOW_NOT_PRINCIPAL if allows else Reason.NOT_PRINCIPAL, (*path, name), at_name=True)
        entries = self._principal_map(entry[name], (*path, name))
        return None if entries is None else self._parsed_principals(entries, (*path, name))

    def _principal_map(self, written: object, path: Path) -> dict[str, _Listed] | None:
        if written == "*":
            if self.kind is DocumentKind.TRUST:
                self.refuse(Reason.STAR_PRINCIPAL, path)
            return {"AWS": [("*", path)]}
        if not isinstance(written, dict):
            self.refuse(Reason.SYNTAX, path)
            return None
        entries = {kind: self._strings(values, (*path, kind)) for kind, values in written.items()}
        if not any(entries.values()):
            self.refuse(Reason.PRINCIPAL_EMPTY, path)
            return None
        return entries

    def _parsed_principals(self, entries: dict[str, _Listed], path: Path) -> Principals | None:
        named = {kind: tuple(text for text, _ in listed) for kind, listed in entries.items()}
        invalid = list(invalid_principals(named))
        for each in invalid:
            self._refuse_principal(each, entries, path)
        return None if invalid else parse_principals(named, negated=path[-1] == "NotPrincipal")

    def _refuse_principal(self, error: InvalidPrincipal, entries: dict[str, _Listed], path: Path) -> None:
        reason = Reason.SERVICE_PRINCIPAL if error.kind == "Service" else Reason.PRINCIPAL
        # IAM knows all kinds but this one by capitals.
        kind = error.kind if error.kind == "AWS" else error.kind.upper()
        if error.text is None:
            self.refuse(reason, (*path, error.kind), f'"{error.kind}"', at_name=True)
        else:
            _, where = entries[error.kind][error.place]
            self.refuse(reason, where, f'"{kind}":"{error.text}"')

    def _actions(self, entry: Json, path: Path) -> tuple[list[str], bool]:
        listed, negated = self._one_of(entry, "Action", "NotAction", path)
        if not listed and not self._may_lack(entry, "Action", "NotAction"):
            self.refuse(Reason.ACTIONS_MISSING, path)
        for action, where in listed:
            if self.kind is DocumentKind.TRUST:
                if action not in TRUST_ACTIONS:
                    self.refuse(Reason.TRUST_ACTION, where, action)
            else:
                try:
                    check_action(action)
                except InvalidElement as error:
                    self.refuse(error.reason, where, error.subject)
        return [action for action, _ in listed], negated

    def _resources(self, entry: Json, path: Path) -> tuple[list[str], bool]:
        if self.kind is DocumentKind.TRUST:
            for name, reason in (
                ("Resource", Reason.RESOURCE_PROHIBITED),
                ("NotResource", Reason.NOT_RESOURCE_PROHIBITED),
            ):
                if name in entry:
                    self.refuse(reason, (*path, name), at_name=True)
            return [], False
        listed, negated = self._one_of(entry, "Resource", "NotResource", path)
        if not listed and not self._may_lack(entry, "Resource", "NotResource"):
            self.refuse(Reason.RESOURCES_MISSING, path)
        completed = []
        for resource, where in listed:
            try:
                completed.append(
                    completed_resource(resource, completing=self.kind in _COMPLETING, variables=self.modern)
                )
            except InvalidElement as error:
                self.refuse(error.reason, where, error.subject)
        return completed, negated

    def _may_lack(self, entry: Json, *names: str) -> bool:
        """Whether KMS takes a statement that lacks all of these elements; such a statement never applies."""
        return self.kind is DocumentKind.KEY and not entry.keys() & set(names)

    def _one_of(self, entry: Json, plain: str, negated: str, path: Path) -> tuple[_Listed, bool]:
        """Read an element that may stand in its negated form, but not in both."""
        name = negated if negated in entry else plain
        if plain in entry and negated in entry:
            self.refuse(Reason.BOTH_FORMS, (*path, negated), at_name=True)
        return (self._strings(entry[name], (*path, name)) if name in entry else []), name == negated

    def _strings(self, value: object, path: Path) -> _Listed:
        """Read one string or a list of strings."""
        entries = list(enumerate(value)) if isinstance(value, list) else None
        listed: _Listed = []
        for index, item in [(None, value)] if entries is None else entries:
            where = path if index is None else (*path, index)
            if isinstance(item, str):
                listed.append((item, where))
            # IAM passes over a null among resources.
            elif item is not None or index is None or path[-1] not in ("Resource", "NotResource"):
                self.refuse(Reason.SYNTAX, where)
        return listed

    def _conditions(self, entry: Json, path: Path) -> Iterable[Condition]:
        block = entry.get("Condition", {})
        path = (*path, "Condition")
        if not isinstance(block, dict):
            self.refuse(Reason.SYNTAX, path)
            return
        for written, keys in block.items():
            where = (*path, written)
            if not isinstance(keys, dict):
                self.refuse(Reason.SYNTAX, where)
            elif keys and not is_operator(written):
                # An operator of no keys may have any name.
                self.refuse(Reason.OPERATOR, where, written, at_name=True)
            else:
                for key, value in keys.items():
                    condition = self._condition(written, key, value, (*where, key))
                    if condition is not None:
                        yield condition

    def _condition(self, written: str, key: str, value: object, path: Path) -> Condition | None:
        items = value if isinstance(value, list) else [value]
        values = tuple(text for text in map(_scalar, items) if text is not None)
        if len(values) != len(items) or not key:
            self.refuse(Reason.SYNTAX, path, at_name=not key)
            return None
        try:
            return compile_condition(written, key, values, variables=self.modern)
        except InvalidConditionValue as error:
            is_legacy = isinstance(error, LegacyConditionValue)
            where = (*path, values.index(error.value)) if isinstance(value, list) and values else path
            self.refuse(Reason.LEGACY_CONDITION_VALUE if is_legacy else Reason.CONDITION_VALUE, where, error.value)
            return None


def _scalar(value: object) -> str | None:
    """Return a condition's value as text; numbers and booleans may stand without quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number):
        return value.text
    return value if isinstance(value, str) else None


def _has_variable(value: object) -> bool:
    if isinstance(value, str):
        return has_variable(value)
    if isinstance(value, dict):
        return any(map(_has_variable, value.values()))
    return isinstance(value, list) and any(map(_has_variable, value))
