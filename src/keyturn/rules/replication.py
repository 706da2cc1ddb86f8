"""Secrets in several regions or accounts: what a replica refuses, and what stands in the way of one.

A replica in another region has the primary's name and, but for the region, its ARN; it cannot be changed for itself,
except for its KMS key. A replica in another account has a name, a description, tags and policies of its own, and only
its values follow. A primary cannot be deleted while it has replicas, and neither can a replica.

Source: Secrets Manager API Reference, ReplicateSecretToRegions, AssociateCrossAccountReplica and CreateSecret; User
Guide, "Promote a replica secret to a standalone secret", "Troubleshoot replication" and "Replicate secrets across
accounts". Texts as people met them on AWS: of a replica and of a primary to be deleted in the issues of cloud-nuke
(2023) and aws-nuke (2023), of an invalid region in those of aws-health-aware (2022), of a name in use beginning as in a
report of 2026; "Replication succeeded" was recorded by cloud-custodian (2025). Those about accounts are Keyturn's.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from enum import Enum, StrEnum, auto

from keyturn.arn import Arn, InvalidArn, Place
from keyturn.errors.secretsmanager import InvalidParameterException

SUCCEEDED = "Replication succeeded"
MANAGED_POLICY = "cross-account-replication"
"""The policy by which a replica in another account lets its primary's account associate it."""
ACCEPT_REPLICATION = "secretsmanager:AcceptCrossAccountReplication"

_NOT_PERMITTED = "Operation not permitted on a replica secret. Call must be made in primary secret's"
# What a replica in another account cannot be created with, beside its primary.
_NOT_WITH_A_PRIMARY = ("SecretString", "SecretBinary", "Description", "AddReplicaRegions", "Type")


class ReplicationStatus(StrEnum):
    """How a replica stands."""

    IN_SYNC = "InSync"
    FAILED = "Failed"
    PENDING = "Pending"  # Between accounts: not associated yet.
    DETACHED = "Detached"  # Between accounts: one of the two has ended it.


class Part(Enum):
    """What of a secret an operation changes."""

    VALUES = auto()  # With its labels, its rotation, its replicas and its existence.
    METADATA = auto()  # Description, tags and policies.
    KEY = auto()


class Occupant(Enum):
    """Who has the name in the region of a replica to be."""

    NOBODY = auto()
    ITSELF = auto()  # The replica, which failed later.
    SECRET = auto()
    PRIMARY = auto()  # A secret that has replicas itself.
    REPLICA = auto()  # Of another primary.


def replica_arn(primary_arn: str, region: str) -> str:
    """Return the ARN of a secret's replica in another region: the suffix is the same."""
    arn = Arn.parse(primary_arn)
    return str(Arn(arn.partition, arn.service, region, arn.account_id, arn.resource))


def is_between_accounts(primary_arn: str, arn: str) -> bool:
    """Whether a primary and its replica belong to two accounts."""
    return Place.of(primary_arn).account_id != Place.of(arn).account_id


def check_may_change(arn: str, primary_arn: str | None, part: Part) -> None:
    """Refuse to change on a replica what follows its primary.

    Args:
        arn: The secret's.
        primary_arn: Of its primary; its own if it is one, None if it has no replicas.
        part: What the operation changes.

    Raises:
        InvalidParameterException: It is a replica.
    """
    if primary_arn is None or primary_arn == arn or part is Part.KEY:
        return
    if not is_between_accounts(primary_arn, arn):
        raise InvalidParameterException(f"{_NOT_PERMITTED} region.")
    if part is Part.VALUES:
        raise InvalidParameterException(f"{_NOT_PERMITTED} account.")


def check_replica_regions(asked: Sequence[str | None], own: str, known: Collection[str]) -> None:
    """Refuse regions in which a secret cannot have replicas.

    Raises:
        InvalidParameterException: There is no such region, it is the secret's own, or it is named twice.
    """
    if any(region not in known or region == own for region in asked):
        raise InvalidParameterException("Invalid replica region.")
    if len(set(asked)) < len(asked):
        raise InvalidParameterException("You can't replicate a secret to the same Region more than once.")


def check_has_no_replicas(arn: str, replica_arns: Collection[str]) -> None:
    """Refuse to delete a secret that has replicas, those that failed or were left included.

    Raises:
        InvalidParameterException: It has.
    """
    regions = ", ".join(Place.of(each).region for each in replica_arns if not is_between_accounts(arn, each))
    if regions:
        raise InvalidParameterException(f"You can't delete secret {arn} that still has replica regions [{regions}].")
    if replica_arns:
        raise InvalidParameterException(
            f"You can't delete secret {arn} that still has cross-account replicas [{', '.join(replica_arns)}]."
        )


def check_pair(primary_arn: str, arn: str) -> None:
    """Refuse a primary and a replica that cannot be those of two accounts.

    Args:
        primary_arn: Of the primary; one of the two is as a caller sent it.
        arn: Of the replica, also of one to be.

    Raises:
        InvalidParameterException: They are in one account, or in two regions or partitions, or no secrets.
    """
    try:
        primary, replica = Arn.parse(primary_arn), Arn.parse(arn)
    except InvalidArn as error:
        raise InvalidParameterException("Invalid secret ARN.") from error
    if not all(each.service == "secretsmanager" and each.resource.startswith("secret:") for each in (primary, replica)):
        raise InvalidParameterException("Invalid secret ARN.")
    if (primary.partition, primary.region) != (replica.partition, replica.region):
        raise InvalidParameterException("The primary secret and its cross-account replica must be in the same Region.")
    if primary.account_id == replica.account_id:
        raise InvalidParameterException("A cross-account replica must be in another account than its primary secret.")


def check_new_account_replica(request: Mapping[str, object]) -> None:
    """Refuse to create a replica in another account with what is to follow its primary.

    Raises:
        InvalidParameterException: The request has such members.
    """
    present = [member for member in _NOT_WITH_A_PRIMARY if request.get(member)]
    if present:
        raise InvalidParameterException(
            f"You can't use {present[0]} when you create a cross-account replica with CrossAccountPrimaryARN."
        )


def managed_policy(primary_arn: str) -> str:
    """Return the policy that a replica in another account has from its creation until it is none any more."""
    statement = {
        "Sid": "CrossAccountReplication",
        "Effect": "Allow",
        "Principal": {"AWS": Place.of(primary_arn).root_arn()},
        "Action": ACCEPT_REPLICATION,
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def obstacle(name: str, region: str, occupant: Occupant, *, overwrite: bool) -> str | None:
    """Return why a secret cannot have a replica in a region, to be shown as its status; None if it can.

    Args:
        name: The secret's, and so the replica's.
        region: Where the replica is to be.
        occupant: Who has the name there.
        overwrite: ForceOverwriteReplicaSecret; it overwrites a secret, never what belongs to a replication.
    """
    if occupant in (Occupant.NOBODY, Occupant.ITSELF) or (occupant is Occupant.SECRET and overwrite):
        return None
    if occupant is Occupant.REPLICA:
        return f"Replication failed: Secret name {name} is currently replicated to {region} with a different arn."
    if occupant is Occupant.PRIMARY and overwrite:
        return f"Replication failed: Secret name {name} in region {region} still has replica regions."
    return f"Replication failed: Secret name {name} already exists in region {region}."
