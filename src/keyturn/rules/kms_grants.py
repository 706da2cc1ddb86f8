"""Grants: what one allows, what a grant may be, and what may be granted by whom it was granted.

A grant gives one principal some operations of one key. It is a statement beside the key's policy: it needs no
identity-based policy, in another account neither, and any Deny outweighs it. Its constraint looks at the encryption
context exactly, capitals included, which no condition of a policy can; so what a grant allows in a call is worked out
here, and only that becomes a statement.

Source: AWS KMS Developer Guide, "Grants in AWS KMS" and "Creating grants". Texts: about CreateGrant alone from the
issues of Ansible, about two constraints from those of the AWS SDK for Java; the others are Keyturn's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from keyturn.errors.common import ValidationFailed

GRANTS_PER_KEY = 50_000

EQUALS, SUBSET = "EncryptionContextEquals", "EncryptionContextSubset"

RETIRE = "RetireGrant"
_CREATE, _DESCRIBE = "CreateGrant", "DescribeKey"
_CRYPTOGRAPHIC = frozenset(
    [
        "Decrypt",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext",
        "ReEncryptFrom",
        "ReEncryptTo",
    ]
)
_OF_SYMMETRIC_KEYS = _CRYPTOGRAPHIC | {_CREATE, RETIRE, _DESCRIBE}
_MOST_PAIRS = 8
_LONGEST_TEXT = 384


class Constraint(NamedTuple):
    """What an encryption context must be (``is_exact``), or must have at least."""

    pairs: Mapping[str, str]
    is_exact: bool

    def holds(self, context: Mapping[str, str]) -> bool:
        """Whether an encryption context meets it."""
        return context == self.pairs if self.is_exact else self.pairs.items() <= context.items()


class Terms(NamedTuple):
    """What a grant gives; ``constraint`` is None if the encryption context does not matter."""

    operations: frozenset[str]
    constraint: Constraint | None = None


class Asked(NamedTuple):
    """What of a call grants look at.

    Attributes:
        context: The encryption context of a cryptographic operation, empty if it has none; None for other calls.
        child: Of CreateGrant the grant that is to be made.
    """

    context: Mapping[str, str] | None = None
    child: Terms | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant as it decides calls.

    Attributes:
        grantee: ARN of the user, role, session or account.
        unique_id: Of the user or role that the grantee was when the grant was made; None for others.
    """

    grant_id: str
    grantee: str
    unique_id: str | None
    terms: Terms


def terms_of(operations: Iterable[str], constraints: Mapping[str, Mapping[str, str]] | None) -> Terms:
    """Return the terms of a grant from how they are written on the wire."""
    for name, is_exact in ((EQUALS, True), (SUBSET, False)):
        if constraints and constraints.get(name) is not None:
            return Terms(frozenset(operations), Constraint(constraints[name], is_exact))
    return Terms(frozenset(operations))


def check_terms(operations: Sequence[str], constraints: Mapping[str, Mapping[str, str]]) -> None:
    """Check that a grant on a symmetric key can be made.

    Args:
        operations: As sent.
        constraints: Likewise, by name.

    Raises:
        ValidationFailed: It cannot.
    """
    if not operations:
        raise ValidationFailed("Grants must contain at least one operation.")
    unsupported = sorted(set(operations) - _OF_SYMMETRIC_KEYS)
    if unsupported:
        raise ValidationFailed(f"Grants for symmetric encryption keys cannot contain {', '.join(unsupported)}.")
    if set(operations) == {_CREATE}:
        raise ValidationFailed("Grants must not contain only the CreateGrant operation.")
    if len(constraints) > 1:
        raise ValidationFailed("More than one constraint supplied")
    for pairs in constraints.values():
        if len(pairs) > _MOST_PAIRS:
            raise ValidationFailed(f"A grant constraint can't have more than {_MOST_PAIRS} encryption context pairs.")
        if any(len(text) > _LONGEST_TEXT for pair in pairs.items() for text in pair):
            raise ValidationFailed(
                f"The encryption context of a grant constraint can't have more than {_LONGEST_TEXT} characters in a key"
                " or value."
            )


def is_within(child: Terms, parent: Terms) -> bool:
    """Whether a grant gives nothing that another does not: whoever may make grants by that one may make this one."""
    if not child.operations <= parent.operations:
        return False
    limit, own = parent.constraint, child.constraint
    if limit is None:
        return True
    if own is None:
        return False
    # Whatever is exact must meet the limit itself; what is not can only meet one that is not exact either.
    return limit.holds(own.pairs) and (own.is_exact or not limit.is_exact)


def allowed_operations(terms: Terms, asked: Asked) -> frozenset[str]:
    """Return the operations that a grant allows in a call. Whoever may retire it is another question."""
    allowed = terms.operations & {_DESCRIBE}
    constraint = terms.constraint
    if asked.context is not None and (constraint is None or constraint.holds(asked.context)):
        allowed |= terms.operations & _CRYPTOGRAPHIC
    if asked.child is not None and is_within(asked.child, terms):
        allowed |= terms.operations & {_CREATE}
    return allowed


def policy_of(grants: Iterable[Grant], asked: Asked) -> str | None:
    """Return what grants allow in a call as a policy that stands beside the key's; None if that is nothing."""
    return _policy((grant.grant_id, grant.grantee, allowed_operations(grant.terms, asked)) for grant in grants)


def retirement_policy(grant: Grant, named: Iterable[str], accounts: Iterable[str]) -> str | None:
    """Return who may retire a grant, as a policy that stands in place of the key's.

    Args:
        grant: The grant.
        named: Whom it names: the retiring principal, and its grantee if the grant lets that one.
        accounts: ARNs of the accounts that made it and that have the key: who administers them can let somebody.
    """
    return _policy((grant.grant_id, principal, frozenset([RETIRE])) for principal in (*named, *accounts))


def _policy(allowed: Iterable[tuple[str, str, frozenset[str]]]) -> str | None:
    """Return a policy of statements that are named by grants; of several that say the same the first is enough."""
    statements: list[dict[str, object]] = []
    said: set[tuple[str, str]] = set()
    for grant_id, principal, operations in allowed:
        new = [operation for operation in sorted(operations) if (principal, operation) not in said]
        said.update((principal, operation) for operation in new)
        if new:
            statements.append(
                {
                    "Sid": grant_id,
                    "Effect": "Allow",
                    "Principal": {"AWS": principal},
                    "Action": [f"kms:{operation}" for operation in new],
                    "Resource": "*",
                }
            )
    return json.dumps({"Version": "2012-10-17", "Statement": statements}) if statements else None
