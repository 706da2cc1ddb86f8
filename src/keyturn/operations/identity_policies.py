"""The identity-based policies of users and roles, parsed once and kept until one of them changes."""

from __future__ import annotations

from sqlalchemy import Connection

from keyturn.errors.base import AwsError, KeyturnError
from keyturn.rules.policy.document import parse_identity_policy
from keyturn.rules.policy.evaluate import Policy, PolicySet
from keyturn.storage import principals
from keyturn.storage.kept import KeptRows


def identity_policies(kept: KeptRows, owner_arn: str) -> PolicySet:
    """Return what a user or role may do, as a set of its own: most calls are decided by nothing else.

    Args:
        kept: Forgets the policies when a committed change touches them.
        owner_arn: ARN of the user or of the role, never of a session.

    Raises:
        KeyturnError: A stored policy cannot be read. It might hold a Deny, so nothing is decided without it.
    """

    def load(connection: Connection) -> PolicySet:
        stored = principals.inline_policies(connection, owner_arn)
        return PolicySet(identity=tuple(_parsed(owner_arn, name, document) for name, document in stored.items()))

    return kept.get(principals.POLICIES, owner_arn, load)


def _parsed(owner_arn: str, name: str, document: str) -> Policy:
    try:
        return Policy(name, parse_identity_policy(document), document)
    except AwsError as error:
        raise KeyturnError(
            f"The stored policy {name} of {owner_arn} is refused: {error.message}",
            "Put the policy again or delete it, signed by a principal that it does not concern.",
        ) from error
