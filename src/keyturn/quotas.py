"""AWS's quotas of Secrets Manager, as the defaults of the operator's own, and its request rates by name.

Source: AWS Secrets Manager User Guide, "AWS Secrets Manager quotas", 2026; the quota of tags: AWS General Reference.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keyturn.errors.base import KeyturnError

AWS_RATES: Final[Mapping[tuple[str, ...], int]] = {
    ("GetSecretValue",): 10_000,
    ("DescribeSecret",): 40_000,
    ("BatchGetSecretValue",): 100,
    ("ListSecrets",): 100,
    ("ListSecretVersionIds",): 50,
    (
        "PutSecretValue",
        "UpdateSecret",
        "UpdateSecretVersionStage",
        "ReplicateSecretToRegions",
        "RemoveRegionsFromReplication",
        "StopReplicationToReplica",
    ): 50,
    ("RotateSecret", "CancelRotateSecret"): 50,
    ("TagResource", "UntagResource"): 50,
    (
        "PutResourcePolicy",
        "GetResourcePolicy",
        "DeleteResourcePolicy",
        "ListResourcePolicies",
        "ValidateResourcePolicy",
    ): 50,
    ("CreateSecret",): 50,
    ("DeleteSecret",): 50,
    ("RestoreSecret",): 50,
    ("GetRandomPassword",): 50,
}
"""Operations that share a rate, and the requests a second that AWS takes of them from one account in one region."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """How much there may be. Where AWS's model has a limit of its own, only less than that has an effect.

    Attributes:
        secrets: In one region of one account.
        versions: Of one secret; beyond it, old ones without labels go.
        labels: On all versions of one secret together.
        value_bytes: Of one secret value.
        policy_characters: Of one resource policy.
        tags: On one secret.
    """

    secrets: int = 500_000
    versions: int = 100
    labels: int = 20
    value_bytes: int = 65_536
    policy_characters: int = 20_480
    tags: int = 50


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Requests a second that are taken of a group of operations; ``group`` names it."""

    group: str
    per_second: int


def parse_rate_limits(text: str) -> dict[str, RateLimit]:
    """Return the limit of each operation that has one.

    Args:
        text: ``aws`` for AWS's own, or ``OPERATION=NUMBER`` with commas between; operations that share a rate in AWS
            share it here. Empty for no limits.

    Raises:
        KeyturnError: There is no such operation, or no such number.
    """
    if text == "aws":
        return {name: RateLimit(group[0], rate) for group, rate in AWS_RATES.items() for name in group}
    limits: dict[str, RateLimit] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (word.strip() for word in part.partition("="))
        group = next((group for group in AWS_RATES if name in group), None)
        if group is None:
            raise KeyturnError(
                f"The setting rate_limits has {part!r}, and no operation with a rate is called {name!r}.",
                _meant(name),
                "Write aws, or for instance: GetSecretValue=1000,PutSecretValue=50.",
            )
        if not (number.isascii() and number.isdigit()) or int(number) < 1:
            raise KeyturnError(
                f"The setting rate_limits has {part!r}, and {number!r} is not a number of requests a second.",
                f"Write a whole number, at least 1, for instance: {name}={AWS_RATES[group]}.",
            )
        limits.update({member: RateLimit(group[0], int(number)) for member in group})
    return limits


def _meant(name: str) -> str:
    """Say which operation a name may stand for, or which there are."""
    names = {each.lower(): each for each in ("aws", *(member for group in AWS_RATES for member in group))}
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.75)
    if close:
        return f"Did you mean {names[close[0]]}?"
    return f"These have one: {', '.join(sorted(member for group in AWS_RATES for member in group))}."
