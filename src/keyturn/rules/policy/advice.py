"""What is allowed in a policy, and most likely a mistake: names that nobody has, patterns that match nothing.

Source: IAM User Guide, "Grammar of the IAM JSON policy language", "Condition operators", "Single-valued vs. multivalued
context keys" and "NotPrincipal"; AWS Secrets Manager User Guide, "Secrets Manager resources" (ARNs of secrets end in
six random characters); Service Authorization Reference (names, and actions without resource).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from keyturn.rules.policy.fault_texts import shown
from keyturn.rules.policy.grammar import OLD_VERSION, VERSION
from keyturn.rules.policy.lenient_json import Member, Node
from keyturn.rules.policy.outline import statements, texts
from keyturn.rules.policy.patterns import has_variable, pattern_set
from keyturn.rules.policy.refusals import DocumentKind, Path
from keyturn.rules.policy.service_names import CONDITION_KEYS, WITHOUT_RESOURCE, ActionNames, is_condition_key
from keyturn.rules.policy.spelling import similar

# Short names of services are like each other, whoever means which.
_SHORTEST_MISSPELT: Final = 6
_RANDOM_CHARACTERS: Final = 6
_BEFORE_NAME: Final = ":secret:"
_EXACT_OPERATORS: Final = ("stringequals", "stringnotequals", "stringequalsignorecase", "stringnotequalsignorecase")


class Doubt(StrEnum):
    """What may be a mistake."""

    OLD_VERSION = "old-version"
    UNKNOWN_SERVICE = "unknown-service"
    UNKNOWN_ACTION = "unknown-action"
    RESOURCE_TOO_NARROW = "resource-too-narrow"
    SECRET_SUFFIX = "secret-without-random-characters"  # noqa: S105 - the name of a mistake
    CONDITION_KEY = "unknown-condition-key"
    KEY_TWICE = "condition-key-twice"
    NO_VALUES = "condition-without-values"
    WILDCARD = "wildcard-compared-exactly"
    FOR_ALL_VALUES = "for-all-values-of-nothing"
    NOT_PRINCIPAL = "allow-not-principal"


@dataclass(frozen=True, slots=True)
class Advice:
    """One doubt.

    Attributes:
        doubt: What.
        at: Where, counted in characters.
        path: Likewise, within the document.
        message: For people.
    """

    doubt: Doubt
    at: int
    path: Path
    message: str


def advice(root: Node, kind: DocumentKind, actions: ActionNames) -> Iterator[Advice]:
    """Yield what may be a mistake in a document.

    Args:
        root: The document, which need not be well-formed.
        kind: What it is for.
        actions: Those of the services whose actions are known.
    """
    if (version := _version(root)) is not None:
        yield version
    for statement, path in statements(root):
        yield from _of_actions(statement, path, actions)
        yield from _of_resources(statement, path, kind)
        yield from _of_conditions(statement, path)
        not_principal = statement.member("NotPrincipal")
        if not_principal and _is_allow(statement) and kind is not DocumentKind.TRUST:
            yield Advice(
                Doubt.NOT_PRINCIPAL,
                not_principal.start,
                (*path, "NotPrincipal"),
                "Allow with NotPrincipal allows everybody else, people without an account included; AWS does not"
                " support it. Name those who may with Principal.",
            )


def _version(root: Node) -> Advice | None:
    written = root.inner("Version")
    if root.members is None or (written is not None and written.value != OLD_VERSION):
        return None
    message = f'Write "Version": "{VERSION}": without it variables such as ${{aws:username}} are plain text.'
    if written is None:
        return Advice(Doubt.OLD_VERSION, root.start, (), message)
    return Advice(Doubt.OLD_VERSION, written.start, ("Version",), message)


def _is_allow(statement: Node) -> bool:
    effect = statement.inner("Effect")
    return effect is not None and effect.value == "Allow"


# Actions --------------------------------------------------------------------------------------------------------------


def _of_actions(statement: Node, path: Path, actions: ActionNames) -> Iterator[Advice]:
    for action, at, where in texts(statement, "Action", "NotAction"):
        service, colon, name = action.partition(":")
        if not colon:
            continue
        known = actions.get(service.lower())
        if known is None:
            yield from _misspelt_service(service, name, actions, at, (*path, *where))
        elif not _is_one_of(name, known):
            question = similar(name, known)
            hint = f" Was {service}:{question} meant?" if question else ""
            message = f"{service} has no action {shown(name)}.{hint}"
            yield Advice(Doubt.UNKNOWN_ACTION, at, (*path, *where), message)


def _is_one_of(pattern: str, names: Iterable[str]) -> bool:
    patterns = pattern_set([pattern.lower()], variables=False)
    return any(patterns.matches(name.lower(), {}) for name in names)


def _misspelt_service(service: str, name: str, actions: ActionNames, at: int, path: Path) -> Iterator[Advice]:
    candidates = [each for each in actions if len(each) >= _SHORTEST_MISSPELT and _is_one_of(name, actions[each])]
    question = similar(service, candidates)
    if question:
        message = f"No service is called {shown(service)}. Was {question}:{shown(name)} meant?"
        yield Advice(Doubt.UNKNOWN_SERVICE, at, path, message)


# Resources ------------------------------------------------------------------------------------------------------------


def _of_resources(statement: Node, path: Path, kind: DocumentKind) -> Iterator[Advice]:
    resources = list(texts(statement, "Resource"))
    if resources and all(text.strip("*") for text, _, _ in resources) and kind is not DocumentKind.TRUST:
        for action, _, _ in texts(statement, "Action"):
            if action.lower() in WITHOUT_RESOURCE:
                _, at, where = resources[0]
                message = (
                    f'{action} is about no single resource: a statement counts for it only if its Resource is "*".'
                    " Give it a statement of its own."
                )
                yield Advice(Doubt.RESOURCE_TOO_NARROW, at, (*path, *where[:1]), message)
    for text, at, where in texts(statement, "Resource", "NotResource"):
        if _BEFORE_NAME in text and text.startswith("arn:") and not _can_name_a_secret(text.partition(_BEFORE_NAME)[2]):
            message = (
                f"No secret has such an ARN: each ends in a hyphen and six random characters. Write"
                f" {shown(text)}-?????? for the secret of this name, or its ARN in full."
            )
            yield Advice(Doubt.SECRET_SUFFIX, at, (*path, *where), message)


def _can_name_a_secret(name: str) -> bool:
    """Whether a pattern matches names that end in a hyphen and six letters and digits."""
    if has_variable(name):
        return True
    # What is in front of a wildcard can be anything; only the end is looked at.
    end = name.rpartition("*")[2]
    if end == name and len(name) <= _RANDOM_CHARACTERS:
        return False
    random, before = end[-_RANDOM_CHARACTERS:], end[:-_RANDOM_CHARACTERS][-1:]
    return all(character == "?" or character.isalnum() for character in random) and before in ("", "-", "?")


# Conditions -----------------------------------------------------------------------------------------------------------


def _of_conditions(statement: Node, path: Path) -> Iterator[Advice]:
    block = statement.inner("Condition")
    if block is None:
        return
    required = {key.name.lower() for operator in block.members or () if _is_null(operator) for key in _keys(operator)}
    for operator in block.members or ():
        seen: set[str] = set()
        for key in _keys(operator):
            where = (*path, "Condition", operator.name, key.name)
            yield from _of_key(key, where, seen)
            yield from _of_values(operator.name, key, where)
            is_open = operator.name.lower().startswith("forallvalues:") and key.name.lower() not in required
            if is_open and _is_allow(statement):
                message = (
                    f"ForAllValues is true for a request without {shown(key.name)}, so that it is allowed. Add"
                    f' "Null": {{"{shown(key.name)}": "false"}} if the key must be there.'
                )
                yield Advice(Doubt.FOR_ALL_VALUES, operator.start, where[:-1], message)


def _is_null(operator: Member) -> bool:
    return operator.name.lower() == "null"


def _keys(operator: Member) -> list[Member]:
    return operator.node.members or []


def _of_key(key: Member, where: Path, seen: set[str]) -> Iterator[Advice]:
    name = key.name.lower()
    if name in seen:
        message = f"The condition key {shown(key.name)} occurs twice here: capitals make no difference."
        yield Advice(Doubt.KEY_TWICE, key.start, where, message)
    seen.add(name)
    if key.name and not is_condition_key(key.name):
        prefix, colon, _ = name.partition(":")
        known = CONDITION_KEYS.get(prefix) or [each for listed in CONDITION_KEYS.values() for each in listed]
        question = similar(key.name, known)
        # What only begins a name is named with the rest of it.
        question = f"{question}NAME" if question and question.endswith(("/", ":")) else question
        hint = f" Was {question} meant?" if question else "" if colon else " Names of keys begin like aws:."
        message = f"No service knows the condition key {shown(key.name)}, so it is never there.{hint}"
        yield Advice(Doubt.CONDITION_KEY, key.start, where, message)


def _of_values(operator: str, key: Member, where: Path) -> Iterator[Advice]:
    node = key.node
    if node.items == []:
        message = "A condition without values matches nothing."
        yield Advice(Doubt.NO_VALUES, node.start, where, message)
    name = operator.lower().rpartition(":")[2].removesuffix("ifexists")
    if name not in _EXACT_OPERATORS:
        return
    for item in node.items if node.items is not None else [node]:
        if isinstance(item.value, str) and "*" in item.value.replace("${*}", ""):
            message = f"To {operator} an asterisk is an asterisk. For a wildcard write StringLike or StringNotLike."
            yield Advice(Doubt.WILDCARD, item.start, where, message)
