"""What speaks against a policy document, and how each service words it.

A document is read to its end and every fault is noted with its place. Services tell one of them: IAM's order goes by
the fault (first everything that its syntax checker sees, then its older parser, then the rest), that of trust policies
by the statement.

Source: order and texts of identity-based policies as collected by moto (``tests/test_iam/test_iam_policies.py``) and
recorded by cdk-preflight (PutRolePolicy, UpdateAssumeRolePolicy and CreateKey, 2026-09); texts of trust policies as
recorded by localstack and cdk-preflight, and as collected by versitygw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

Path = tuple[str | int, ...]
"""Where in a document: names of members and places in lists, from the outside in."""


class DocumentKind(StrEnum):
    """What a document is for; it decides the grammar and the wording of refusals."""

    IDENTITY = "identity"
    MANAGED = "managed"
    SESSION = "session"
    TRUST = "trust"
    RESOURCE = "resource"
    KEY = "key"


class Reason(IntEnum):
    """What is wrong, in the order in which IAM tells it."""

    JSON = 1
    SYNTAX = 2
    UNKNOWN_ELEMENT = 3
    VERSION = 4
    STATEMENT_MISSING = 5
    EFFECT_MISSING = 6
    EFFECT = 7
    NOT_PRINCIPAL = 8
    ALLOW_NOT_PRINCIPAL = 9
    PRINCIPAL_MISSING = 10
    PRINCIPAL_EMPTY = 11
    STAR_PRINCIPAL = 12
    PRINCIPAL = 13
    SERVICE_PRINCIPAL = 14
    BOTH_FORMS = 15
    OPERATOR = 16
    CONDITION_VALUE = 17
    OLD_VERSION = 18
    PRINCIPAL_PROHIBITED = 19
    EFFECT_CASE = 20
    LEGACY_CONDITION_VALUE = 21
    LEGACY_RESOURCE = 22
    SID_CHARACTERS = 23
    SID_TWICE = 24
    ACTIONS_MISSING = 25
    TRUST_ACTION = 26
    RESOURCE_PROHIBITED = 27
    NOT_RESOURCE_PROHIBITED = 28
    RESOURCE_FORMAT = 29
    RESOURCE_INCOMPLETE = 30
    PARTITION = 31
    RESOURCE_VENDOR = 32
    IAM_REGION = 33
    REGION = 34
    ACCOUNT = 35
    IAM_PATH = 36
    ACTION_VENDORLESS = 37
    ACTION_COLONS = 38
    ACTION_VENDOR_WILDCARD = 39
    ACTION_VENDOR = 40
    ACTION_NAME = 41
    RESOURCES_MISSING = 42


@dataclass(frozen=True, slots=True)
class Refusal:
    """One fault of a document.

    Attributes:
        reason: What is wrong.
        path: Where; what is missing is missed where its path would begin.
        subject: What a text quotes, if it quotes something.
        at_name: Whether the name of the member at ``path`` is at fault, and not its value.
    """

    reason: Reason
    path: Path
    subject: str = ""
    at_name: bool = False


SYNTAX: Final = "Syntax errors in policy."
_LEGACY: Final = "The policy failed legacy parsing"
INVALID_KEY_PRINCIPAL: Final = "Policy contains a statement with one or more invalid principals."

IAM_PATHS: Final = (
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
)

# What is not here is a syntax error.
_IAM: Final[Mapping[Reason, str]] = {
    Reason.OLD_VERSION: "Policy document must be version 2012-10-17 or greater.",
    Reason.PRINCIPAL_PROHIBITED: "Policy document should not specify a principal.",
    Reason.EFFECT_CASE: _LEGACY,
    Reason.LEGACY_CONDITION_VALUE: _LEGACY,
    Reason.LEGACY_RESOURCE: _LEGACY,
    Reason.SID_CHARACTERS: (
        "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"
    ),
    Reason.SID_TWICE: "Statement IDs (SID) in a single policy must be unique.",
    Reason.ACTIONS_MISSING: "Policy statement must contain actions.",
    Reason.RESOURCES_MISSING: "Policy statement must contain resources.",
    Reason.RESOURCE_FORMAT: 'Resource {subject} must be in ARN format or "*".',
    Reason.PARTITION: 'Partition "{partition}" is not valid for resource "{subject}".',
    Reason.RESOURCE_VENDOR: "Resource vendor must be fully qualified and cannot contain regexes.",
    Reason.IAM_REGION: "IAM resource {subject} cannot contain region information.",
    Reason.REGION: "Resource {subject} can not contain region information.",
    Reason.ACCOUNT: "Resource {subject} cannot contain an account id.",
    Reason.IAM_PATH: f'IAM resource path must either be "*" or start with {", ".join(IAM_PATHS)}.',
    Reason.ACTION_VENDORLESS: "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
    Reason.ACTION_COLONS: "Actions/Condition can contain only one colon.",
    Reason.ACTION_VENDOR_WILDCARD: "Action vendors (e.g., aws, ec2, etc.) must not contain wildcards.",
    Reason.ACTION_VENDOR: "Vendor {subject} is not valid",
    Reason.PRINCIPAL: "Invalid principal in policy: {subject}",
    Reason.SERVICE_PRINCIPAL: "Invalid principal in policy: {subject}",
}

_TRUST: Final[Mapping[Reason, str]] = {
    **_IAM,
    Reason.JSON: "This policy contains invalid Json",
    Reason.UNKNOWN_ELEMENT: "Unknown field {subject}",
    Reason.VERSION: "The policy must contain a valid version string",
    Reason.STATEMENT_MISSING: "Could not parse the policy: Statement is empty!",
    Reason.EFFECT_MISSING: "Missing required field Effect",
    Reason.EFFECT: "Invalid effect: {subject}",
    Reason.EFFECT_CASE: "Invalid effect: {subject}",
    Reason.NOT_PRINCIPAL: "AssumeRole policy must not contain NotPrincipal field.",
    Reason.ALLOW_NOT_PRINCIPAL: "Allow with NotPrincipal is not allowed.",
    Reason.PRINCIPAL_MISSING: "Missing required field Principal",
    Reason.PRINCIPAL_EMPTY: "Missing required field Principal cannot be empty!",
    Reason.STAR_PRINCIPAL: 'AssumeRolepolicy contained an invalid principal: "STAR":"*".',
    Reason.SID_TWICE: "The Statement Ids in the policy are not unique",
    Reason.ACTIONS_MISSING: "Missing required field Action",
    Reason.TRUST_ACTION: "AssumeRole policy may only specify STS AssumeRole actions.",
    Reason.RESOURCE_PROHIBITED: "Has prohibited field Resource",
    Reason.NOT_RESOURCE_PROHIBITED: "AssumeRole policy must not contain resources.",
}

_KEY: Final[Mapping[Reason, str]] = {
    **_IAM,
    Reason.JSON: "This policy contains invalid Json",
    Reason.PRINCIPAL_MISSING: "Policy contains a statement with no principal.",
    Reason.PRINCIPAL_EMPTY: "Policy contains a statement with no principal.",
    Reason.PRINCIPAL: INVALID_KEY_PRINCIPAL,
    Reason.SERVICE_PRINCIPAL: INVALID_KEY_PRINCIPAL,
}

# Secrets Manager tells syntax from principals, and nothing else.
_RESOURCE_SYNTAX: Final = "This resource policy contains a syntax error."
_RESOURCE: Final[Mapping[Reason, str]] = {
    Reason.PRINCIPAL: "This resource policy contains an unsupported principal.",
    Reason.SERVICE_PRINCIPAL: "This resource policy contains an unsupported service principal.",
}

_WORDINGS: Final[Mapping[DocumentKind, tuple[Mapping[Reason, str], str]]] = {
    DocumentKind.IDENTITY: (_IAM, SYNTAX),
    DocumentKind.MANAGED: (_IAM, SYNTAX),
    DocumentKind.SESSION: (_IAM, SYNTAX),
    DocumentKind.TRUST: (_TRUST, "Syntax error in policy."),
    DocumentKind.RESOURCE: (_RESOURCE, _RESOURCE_SYNTAX),
    DocumentKind.KEY: (_KEY, SYNTAX),
}


def wording(refusal: Refusal, kind: DocumentKind) -> str:
    """Return what the service says that was handed the document."""
    texts, otherwise = _WORDINGS[kind]
    partition = refusal.subject.split(":", 2)[1] if refusal.reason is Reason.PARTITION else ""
    return texts.get(refusal.reason, otherwise).format(subject=refusal.subject, partition=partition)


def told_first(refusals: Iterable[Refusal], kind: DocumentKind) -> Refusal:
    """Return the one of several faults that the service tells."""
    if kind is DocumentKind.TRUST:
        return min(refusals, key=lambda refusal: (_statement_of(refusal), refusal.reason))
    return min(refusals, key=lambda refusal: refusal.reason)


def _statement_of(refusal: Refusal) -> int:
    """Return the place of the statement that is at fault; what concerns all of them comes first."""
    return next((step for step in refusal.path[1:2] if isinstance(step, int)), -1)
