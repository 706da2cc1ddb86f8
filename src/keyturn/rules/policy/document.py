"""Policy documents: from text to frozen statements that are ready for matching.

Parsing is strict: duplicate keys, trailing commas, unknown elements, operators or principals are refused, with the text
that the service gives which was handed the document. Parsed documents are meant to be kept; of their text they hold no
more than the values of conditions.

Source: IAM User Guide, "Grammar of the IAM JSON policy language" and "IAM and AWS STS quotas"; texts as recorded by
localstack (CreateRole) and collected by moto (CreatePolicy).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from keyturn.errors.base import AwsError
from keyturn.errors.iam import LimitExceededException, MalformedPolicyDocumentException
from keyturn.errors.kms import LimitExceededException as KeyPolicyTooLong
from keyturn.errors.kms import MalformedPolicyDocumentException as MalformedKeyPolicy
from keyturn.errors.secretsmanager import MalformedPolicyDocumentException as MalformedResourcePolicy
from keyturn.errors.sts import MalformedPolicyDocumentException as MalformedSessionPolicy
from keyturn.rules.policy.conditions import (
    Condition,
    InvalidConditionDate,
    InvalidConditionValue,
    UnknownOperator,
    compile_condition,
)
from keyturn.rules.policy.patterns import PatternSet, has_variable, pattern_set
from keyturn.rules.policy.principals import InvalidPrincipal, Principals, parse_principals

SYNTAX = "Syntax errors in policy."
OLD_VERSION = "Policy document must be version 2012-10-17 or greater."
INVALID_KEY_PRINCIPAL = "Policy contains a statement with one or more invalid principals."

INLINE_LIMITS = {"user": 2_048, "group": 5_120, "role": 10_240}
MANAGED_LIMIT = 6_144
TRUST_LIMIT = 2_048
KEY_LIMIT_BYTES = 32_768

_ALLOWED_CHARACTERS = re.compile("[\t\n\r\u0020-\u00ff]*")
_VENDOR = re.compile(r"[A-Za-z0-9.-]+")
_ARN_FIELDS = 6
_STATEMENT_KEYS = frozenset(
    ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"]
)
_TRUST_ACTIONS = frozenset(
    f"sts:{name}".lower()
    for name in ("AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "TagSession", "SetSourceIdentity")
)


class DocumentKind(StrEnum):
    """What a document is for; it decides the grammar and the wording of refusals."""

    IDENTITY = "identity"
    RESOURCE = "resource"
    KEY = "key"
    TRUST = "trust"
    SESSION = "session"


# What hangs on a resource may be written more freely than what hangs on an identity.
_ON_RESOURCES = frozenset([DocumentKind.RESOURCE, DocumentKind.KEY])


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


NOTHING = PolicyDocument("2012-10-17", None, (), (), ())
"""Says nothing: as a policy that narrows it leaves nothing."""


class _Refused(Exception):
    """A document is not well-formed, in IAM's words."""


Json = Mapping[str, object]
T = TypeVar("T")


def parse_identity_policy(text: str) -> PolicyDocument:
    """Parse a policy of a user, group or role, or a permissions boundary.

    Raises:
        MalformedPolicyDocumentException: IAM's, with the first fault found.
    """
    return _parse(text, DocumentKind.IDENTITY, MalformedPolicyDocumentException)


def parse_managed_policy(text: str) -> PolicyDocument:
    """Parse a document that is to become a version of a managed policy; unlike an inline one it must say its version.

    Raises:
        MalformedPolicyDocumentException: IAM's, with the first fault found.
        LimitExceededException: IAM's, over 6,144 characters.
    """
    document = parse_identity_policy(text)
    if document.version != "2012-10-17":
        raise MalformedPolicyDocumentException(OLD_VERSION)
    if size_without_white_space(text) > MANAGED_LIMIT:
        raise LimitExceededException(f"Cannot exceed quota for PolicySize: {MANAGED_LIMIT}")
    return document


def parse_session_policy(text: str) -> PolicyDocument:
    """Parse a policy that AssumeRole is given.

    Raises:
        MalformedPolicyDocumentException: STS's, with the first fault found.
    """
    return _parse(text, DocumentKind.SESSION, MalformedSessionPolicy)


def parse_trust_policy(text: str) -> PolicyDocument:
    """Parse who may assume a role. Whether named principals exist is for the caller to find out.

    Raises:
        MalformedPolicyDocumentException: IAM's; broken JSON has a text of its own here.
        LimitExceededException: IAM's, over 2,048 characters.
    """
    if size_without_white_space(text) > TRUST_LIMIT:
        raise LimitExceededException(f"Cannot exceed quota for ACLSizePerRole: {TRUST_LIMIT}")
    return _parse(text, DocumentKind.TRUST, MalformedPolicyDocumentException)


def parse_resource_policy(text: str) -> PolicyDocument:
    """Parse a policy of a secret or a function.

    Raises:
        MalformedPolicyDocumentException: Secrets Manager's, which tells syntax from principals and nothing else.
    """
    try:
        return _document(_loaded(text), DocumentKind.RESOURCE)
    except InvalidPrincipal as error:
        what = "service principal" if error.kind == "Service" else "principal"
        raise MalformedResourcePolicy(f"This resource policy contains an unsupported {what}.") from error
    except (_Refused, ValueError) as error:
        raise MalformedResourcePolicy from error


def parse_key_policy(text: str) -> PolicyDocument:
    """Parse the policy of a KMS key. Whether named principals exist is for the caller to find out.

    A statement without actions or resources is accepted and means nothing, and statements may share a Sid.

    Raises:
        MalformedPolicyDocumentException: KMS's, with the first fault found.
        LimitExceededException: KMS's, over 32,768 bytes.

    Source: AWS KMS Developer Guide, "Creating a key policy"; the text about principals from field reports.
    """
    if len(text.encode()) > KEY_LIMIT_BYTES:
        raise KeyPolicyTooLong(f"A key policy can't be longer than {KEY_LIMIT_BYTES} bytes.")
    try:
        return _document(_loaded(text), DocumentKind.KEY)
    except InvalidPrincipal as error:
        raise MalformedKeyPolicy(INVALID_KEY_PRINCIPAL) from error
    except _Refused as error:
        raise MalformedKeyPolicy(str(error)) from error
    except ValueError as error:
        raise MalformedKeyPolicy("This policy contains invalid Json") from error


def size_without_white_space(text: str) -> int:
    """Count characters as IAM's quotas do."""
    return sum(not character.isspace() for character in text)


def check_inline_size(entity: str, name: str, texts: Iterable[str]) -> None:
    """Check that all inline policies of a user, group or role fit its quota together.

    Args:
        entity: ``user``, ``group`` or ``role``.
        name: Its name.
        texts: All of its inline policies, the new one included.

    Raises:
        LimitExceededException: IAM's.
    """
    limit = INLINE_LIMITS[entity]
    if sum(size_without_white_space(text) for text in texts) > limit:
        raise LimitExceededException(f"Maximum policy size of {limit} bytes exceeded for {entity} {name}")


def _parse(text: str, kind: DocumentKind, error_class: type[AwsError]) -> PolicyDocument:
    try:
        loaded = _loaded(text)
    except ValueError as error:
        raise error_class("This policy contains invalid Json" if kind is DocumentKind.TRUST else SYNTAX) from error
    try:
        return _document(loaded, kind)
    except InvalidPrincipal as error:
        raise error_class(f'Invalid principal in policy: "{error.kind}":"{error.text}"') from error
    except _Refused as error:
        raise error_class(str(error)) from error


def _loaded(text: str) -> object:
    """Read JSON, without the extras Python allows.

    Raises:
        ValueError: Not JSON, a key twice in an element, a character no policy may have, or nested too deep.
    """
    if not _ALLOWED_CHARACTERS.fullmatch(text):
        raise ValueError("a character outside of U+0020 to U+00FF")
    try:
        loaded = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        # Again: an escape may stand for any character, even for half of one.
        if not all(map(_ALLOWED_CHARACTERS.fullmatch, _texts(loaded))):
            raise ValueError("an escaped character outside of U+0020 to U+00FF")
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return loaded


def _texts(loaded: object) -> Iterator[str]:
    if isinstance(loaded, str):
        yield loaded
    elif isinstance(loaded, list):
        for element in loaded:
            yield from _texts(element)
    elif isinstance(loaded, dict):
        for key, value in loaded.items():
            yield key
            yield from _texts(value)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    element = dict(pairs)
    if len(element) != len(pairs):
        raise ValueError("a key occurs twice")
    return element


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _document(loaded: object, kind: DocumentKind) -> PolicyDocument:
    document = _object(loaded)
    if document.keys() - {"Version", "Id", "Statement"}:
        raise _Refused(SYNTAX)
    version = document.get("Version", "2008-10-17")
    if version not in ("2012-10-17", "2008-10-17"):
        raise _Refused(SYNTAX)
    policy_id = document.get("Id")
    if policy_id is not None and not isinstance(policy_id, str):
        raise _Refused(SYNTAX)
    listed = document.get("Statement")
    entries = listed if isinstance(listed, list) else [listed]
    if not entries:
        raise _Refused(SYNTAX)
    # Variables came with 2012-10-17; before, "${" is plain text, and nobody who writes it means that.
    modern = version == "2012-10-17"
    if not modern and kind not in _ON_RESOURCES and has_variable(json.dumps(listed)):
        raise _Refused(OLD_VERSION)
    statements = tuple(_statement(index, _object(entry), kind, modern) for index, entry in enumerate(entries))
    sids = [statement.sid for statement in statements if statement.sid]
    # AWS's own policies of default keys have one Sid twice.
    if len(set(sids)) != len(sids) and kind is not DocumentKind.KEY:
        raise _Refused("Statement IDs (SID) in a single policy must be unique.")
    return PolicyDocument(
        version=str(version),
        policy_id=policy_id,
        statements=statements,
        allows=tuple(statement for statement in statements if statement.effect is Effect.ALLOW),
        denies=tuple(statement for statement in statements if statement.effect is Effect.DENY),
    )


def _statement(index: int, entry: Json, kind: DocumentKind, modern: bool) -> Statement:  # noqa: FBT001 - private
    if unknown := sorted(entry.keys() - _STATEMENT_KEYS):
        raise _Refused(f"Unknown field {unknown[0]}" if kind is DocumentKind.TRUST else SYNTAX)
    sid = entry.get("Sid")
    if sid is not None and not isinstance(sid, str):
        raise _Refused(SYNTAX)
    if sid and kind not in _ON_RESOURCES and not (sid.isascii() and sid.isalnum()):
        raise _Refused(SYNTAX)
    effect = entry.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise _Refused(_missing("Effect", entry, kind))
    principals = _principals(entry, kind)
    actions, actions_negated = _one_of(entry, "Action", "NotAction", _strings)
    if kind is DocumentKind.TRUST:
        _check_trust(entry, actions)
    elif not actions and not _may_lack(kind, entry, "Action", "NotAction"):
        raise _Refused("Policy statement must contain actions.")
    for action in actions:
        _check_action(action)
    resources, resources_negated = _one_of(entry, "Resource", "NotResource", _strings)
    if not resources and kind is not DocumentKind.TRUST and not _may_lack(kind, entry, "Resource", "NotResource"):
        raise _Refused("Policy statement must contain resources.")
    completed = [_checked_resource(resource, kind) for resource in resources]
    return Statement(
        index=index,
        sid=sid or None,
        effect=Effect(str(effect)),
        principals=principals,
        actions=pattern_set((action.lower() for action in actions), variables=False),
        actions_negated=actions_negated,
        resources=None if kind is DocumentKind.TRUST else pattern_set(completed, variables=modern, is_arn=True),
        resources_negated=resources_negated,
        conditions=tuple(_conditions(entry.get("Condition", {}), modern)),
    )


def _missing(field: str, entry: Json, kind: DocumentKind) -> str:
    return f"Missing required field {field}" if kind is DocumentKind.TRUST and field not in entry else SYNTAX


def _may_lack(kind: DocumentKind, entry: Json, *fields: str) -> bool:
    """Whether KMS takes a statement that lacks all of these fields; such a statement never applies."""
    return kind is DocumentKind.KEY and not entry.keys() & set(fields)


def _one_of(
    entry: Json, plain: str, negated: str, read: Callable[[object], tuple[T, ...]]
) -> tuple[tuple[T, ...], bool]:
    """Read an element that may stand in its negated form, but not in both."""
    if plain in entry and negated in entry:
        raise _Refused(SYNTAX)
    return (read(entry[negated]), True) if negated in entry else (read(entry.get(plain, [])), False)


def _principals(entry: Json, kind: DocumentKind) -> Principals | None:
    present = [field for field in ("Principal", "NotPrincipal") if field in entry]
    if kind in (DocumentKind.IDENTITY, DocumentKind.SESSION):
        if present:
            raise _Refused(SYNTAX)
        return None
    if len(present) != 1:
        raise _Refused(_missing("Principal", entry, kind))
    written = entry[present[0]]
    if written == "*":
        entries: dict[str, tuple[str, ...]] = {"AWS": ("*",)}
    else:
        entries = {name: _strings(value) for name, value in _object(written).items()}
    if not any(entries.values()):
        raise _Refused(SYNTAX)
    return parse_principals(entries, negated=present[0] == "NotPrincipal")


def _check_trust(entry: Json, actions: tuple[str, ...]) -> None:
    for field in ("Resource", "NotResource"):
        if field in entry:
            raise _Refused(f"Has prohibited field {field}")
    if not actions:
        raise _Refused("Missing required field Action")
    if any(action.lower() not in _TRUST_ACTIONS for action in actions):
        # The two blanks are AWS's.
        raise _Refused(
            "Trust Policy statement actions can only be sts:AssumeRole, sts:AssumeRoleWithSAML,"
            "  and sts:AssumeRoleWithWebIdentity"
        )


def _check_action(action: str) -> None:
    if action == "*":
        return
    vendor, colon, name = action.partition(":")
    if not colon:
        raise _Refused("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
    if ":" in name:
        raise _Refused("Actions/Condition can contain only one colon.")
    if not _VENDOR.fullmatch(vendor):
        raise _Refused(f"Vendor {vendor} is not valid")
    if not name:
        raise _Refused(SYNTAX)


def _checked_resource(resource: str, kind: DocumentKind) -> str:
    """Return the resource with the fields that were left out; they stand for anything."""
    if resource == "*":
        return resource
    fields = resource.split(":", _ARN_FIELDS - 1)
    if fields[0] != "arn":
        raise _Refused(f'Resource {resource} must be in ARN format or "*".')
    if len(fields) < _ARN_FIELDS:
        if kind is not DocumentKind.IDENTITY:
            raise _Refused(SYNTAX)
        fields += ["*"] * (_ARN_FIELDS - len(fields))
        return ":".join(fields)
    partition, service, region = fields[1:4]
    if not partition.startswith("aws") and partition != "*":
        raise _Refused(f'Partition "{partition}" is not valid for resource "{resource}".')
    if "*" in service or "?" in service:
        raise _Refused("Resource vendor must be fully qualified and cannot contain regexes.")
    if service == "iam" and region not in ("", "*"):
        raise _Refused(f"IAM resource {resource} cannot contain region information.")
    return resource


def _conditions(element: object, modern: bool) -> Iterable[Condition]:  # noqa: FBT001 - private
    for written, keys in _object(element).items():
        for key, value in _object(keys).items():
            values = tuple(_scalar(item) for item in (value if isinstance(value, list) else [value]))
            if not values or not key:
                raise _Refused(SYNTAX)
            try:
                yield compile_condition(written, key, values, variables=modern)
            except InvalidConditionDate as error:
                raise _Refused("The policy failed legacy parsing") from error
            except (UnknownOperator, InvalidConditionValue) as error:
                raise _Refused(SYNTAX) from error


def _scalar(value: object) -> str:
    """Return a condition's value as text; numbers and booleans may stand without quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise _Refused(SYNTAX)


def _object(value: object) -> Json:
    if not isinstance(value, dict):
        raise _Refused(SYNTAX)
    return value


def _strings(value: object) -> tuple[str, ...]:
    """Read one string or a list of strings."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in values):
        raise _Refused(SYNTAX)
    return tuple(str(item) for item in values)
