"""Policy documents: from text to frozen statements that are ready for matching.

Parsing is strict: duplicate keys, trailing commas, unknown elements, operators or principals are refused, with the text
that the service gives which was handed the document. Parsed documents are meant to be kept; of their text they hold no
more than the values of conditions.

Source: IAM User Guide, "IAM and AWS STS quotas"; AWS KMS Developer Guide, "Creating a key policy"; texts of quotas as
recorded by cdk-preflight.
"""

from __future__ import annotations

from collections.abc import Iterable

from keyturn.errors.base import AwsError
from keyturn.errors.iam import LimitExceededException, MalformedPolicyDocumentException
from keyturn.errors.kms import LimitExceededException as KeyPolicyTooLong
from keyturn.errors.kms import MalformedPolicyDocumentException as MalformedKeyPolicy
from keyturn.errors.secretsmanager import MalformedPolicyDocumentException as MalformedResourcePolicy
from keyturn.errors.sts import MalformedPolicyDocumentException as MalformedSessionPolicy
from keyturn.rules.policy.grammar import Effect, PolicyDocument, Statement, read_document
from keyturn.rules.policy.json_text import NotJson, loaded
from keyturn.rules.policy.refusals import (
    INVALID_KEY_PRINCIPAL,
    DocumentKind,
    Reason,
    Refusal,
    told_first,
    wording,
)

__all__ = [
    "INLINE_LIMITS",
    "INVALID_KEY_PRINCIPAL",
    "KEY_LIMIT_BYTES",
    "MANAGED_LIMIT",
    "NOTHING",
    "SESSION_LIMIT",
    "TRUST_LIMIT",
    "DocumentKind",
    "Effect",
    "PolicyDocument",
    "Statement",
    "check_inline_size",
    "parse_identity_policy",
    "parse_key_policy",
    "parse_managed_policy",
    "parse_resource_policy",
    "parse_session_policy",
    "parse_trust_policy",
    "size_without_white_space",
]

INLINE_LIMITS = {"user": 2_048, "group": 5_120, "role": 10_240}
MANAGED_LIMIT = 6_144
TRUST_LIMIT = 2_048
SESSION_LIMIT = 2_048
KEY_LIMIT_BYTES = 32_768

NOTHING = PolicyDocument("2012-10-17", None, (), (), ())
"""Says nothing: as a policy that narrows it leaves nothing."""


def parse_identity_policy(text: str) -> PolicyDocument:
    """Parse an inline policy of a user, group or role.

    Raises:
        MalformedPolicyDocumentException: IAM's, with the fault that IAM tells first.
    """
    return _parse(text, DocumentKind.IDENTITY, MalformedPolicyDocumentException)


def parse_managed_policy(text: str) -> PolicyDocument:
    """Parse a managed policy, which may serve as a permissions boundary; its version must be 2012-10-17.

    Raises:
        MalformedPolicyDocumentException: IAM's, with the fault that IAM tells first.
        LimitExceededException: IAM's, over 6,144 characters.
    """
    if size_without_white_space(text) > MANAGED_LIMIT:
        raise LimitExceededException(f"Cannot exceed quota for PolicySize: {MANAGED_LIMIT}")
    return _parse(text, DocumentKind.MANAGED, MalformedPolicyDocumentException)


def parse_session_policy(text: str) -> PolicyDocument:
    """Parse a policy that AssumeRole is given.

    Raises:
        MalformedPolicyDocumentException: STS's, with the fault that IAM tells first.
    """
    return _parse(text, DocumentKind.SESSION, MalformedSessionPolicy)


def parse_trust_policy(text: str) -> PolicyDocument:
    """Parse who may assume a role. Whether named principals exist is for the caller to find out.

    Raises:
        MalformedPolicyDocumentException: IAM's, in words of their own for trust policies.
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
    return _parse(text, DocumentKind.RESOURCE, MalformedResourcePolicy)


def parse_key_policy(text: str) -> PolicyDocument:
    """Parse the policy of a KMS key. Whether named principals exist is for the caller to find out.

    A statement without actions or resources is accepted and means nothing, and statements may share a Sid.

    Raises:
        MalformedPolicyDocumentException: KMS's, with the first fault found.
        LimitExceededException: KMS's, over 32,768 bytes.
    """
    if len(text.encode("utf-8", "replace")) > KEY_LIMIT_BYTES:
        raise KeyPolicyTooLong(f"A key policy can't be longer than {KEY_LIMIT_BYTES} bytes.")
    return _parse(text, DocumentKind.KEY, MalformedKeyPolicy)


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
        document, refusals = read_document(loaded(text), kind)
    except NotJson as error:
        raise error_class(wording(Refusal(Reason.JSON, ()), kind)) from error
    if document is None:
        raise error_class(wording(told_first(refusals, kind), kind))
    return document
