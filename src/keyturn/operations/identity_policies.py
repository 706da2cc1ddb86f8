"""The identity-based policies of users and roles, parsed once and kept until one of them changes.

Own inline policies, attached managed ones, those of the user's groups, and the permissions boundary. What is kept for
an owner is dropped with whatever it was made of (``docs/decisions/0012-kept-policies.md``).
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

from sqlalchemy import Connection

from keyturn.arn import Place
from keyturn.errors.base import AwsError, KeyturnError
from keyturn.rules.policy.aws_policies import find_aws_policy
from keyturn.rules.policy.document import NOTHING, PolicyDocument, parse_identity_policy
from keyturn.rules.policy.evaluate import Policy, PolicySet
from keyturn.storage.kept import KeptRows, Key
from keyturn.storage.owned_policies import (
    MANAGED_POLICY,
    POLICIES,
    OwnedPolicies,
    StoredPolicy,
    load_managed_policy,
    load_owned_policies,
)

# A managed policy is parsed once for all that have it.
_parsed = lru_cache(maxsize=4_096)(parse_identity_policy)


def identity_policies(kept: KeptRows, owner_arn: str) -> PolicySet:
    """Return what a user or role may do, as a set of its own: most calls are decided by nothing else.

    Policies go by their names in it, managed ones by their ARNs.

    Args:
        kept: Forgets the policies when a committed change touches them.
        owner_arn: ARN of the user or of the role, never of a session.

    Raises:
        KeyturnError: A stored policy cannot be read. It might hold a Deny, so nothing is decided without it.
    """

    def load(connection: Connection) -> tuple[PolicySet, Collection[Key]]:
        owned = load_owned_policies(connection, owner_arn)
        return policy_set(owned, owner_arn), _sources(owned)

    return kept.get_made(POLICIES, owner_arn, load)


def managed_policy(kept: KeptRows, policy_arn: str) -> Policy:
    """Return a managed policy as it is now. One that is not there (any more) allows nothing.

    Raises:
        KeyturnError: It cannot be read.
    """

    def load(connection: Connection) -> Policy:
        stored = load_managed_policy(connection, policy_arn)
        if stored.document is None and find_aws_policy(policy_arn, Place.of(policy_arn).partition) is None:
            return Policy(policy_arn, NOTHING)
        return _policy(stored, policy_arn, Place.of(policy_arn).partition)

    return kept.get(MANAGED_POLICY, policy_arn, load)


def policy_set(owned: OwnedPolicies, owner_arn: str) -> PolicySet:
    """Return stored policies as a set that can be asked.

    Raises:
        KeyturnError: One of them cannot be read.
    """
    partition = Place.of(owner_arn).partition
    return PolicySet(
        identity=tuple(_policy(stored, owner_arn, partition) for stored in owned.policies),
        boundary=None if owned.boundary is None else _policy(owned.boundary, owner_arn, partition),
    )


def _sources(owned: OwnedPolicies) -> Collection[Key]:
    boundary = () if owned.boundary is None else (owned.boundary,)
    managed = {stored.name for stored in (*owned.policies, *boundary) if stored.is_managed}
    return (
        *((POLICIES, group_arn) for group_arn in owned.group_arns),
        *((MANAGED_POLICY, policy_arn) for policy_arn in managed),
    )


def _policy(stored: StoredPolicy, owner_arn: str, partition: str) -> Policy:
    text = stored.document
    if text is None:
        of_aws = find_aws_policy(stored.name, partition)
        if of_aws is None:
            raise KeyturnError(f"The policy {stored.name} of {owner_arn} is not there.")
        text = of_aws.document
    return Policy(stored.name, _document(stored.name, owner_arn, text), text)


def _document(name: str, owner_arn: str, text: str) -> PolicyDocument:
    try:
        return _parsed(text)
    except AwsError as error:
        raise KeyturnError(
            f"The stored policy {name} of {owner_arn} is refused: {error.message}",
            "Put the policy again or delete it, signed by a principal that it does not concern.",
        ) from error
