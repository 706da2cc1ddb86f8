"""What a replica refuses, and what stands in the way of one."""

from __future__ import annotations

import json

import pytest

from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.rules.replication import (
    Occupant,
    Part,
    check_has_no_replicas,
    check_may_change,
    check_new_account_replica,
    check_pair,
    check_replica_regions,
    managed_policy,
    obstacle,
    replica_arn,
)

PRIMARY = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db:odd-AbCdEf"
REPLICA = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:db:odd-AbCdEf"
THEIRS = "arn:aws:secretsmanager:us-east-1:111111111111:secret:copy-AbCdEf"
KNOWN = {"us-east-1", "eu-west-1", "eu-central-1"}


def test_the_arn_of_a_replica_differs_in_its_region_alone() -> None:
    assert replica_arn(PRIMARY, "eu-west-1") == REPLICA


@pytest.mark.parametrize("part", Part)
@pytest.mark.parametrize("primary_arn", [None, PRIMARY], ids=["alone", "with replicas"])
def test_what_is_no_replica_can_be_changed(primary_arn: str | None, part: Part) -> None:
    check_may_change(PRIMARY, primary_arn, part)


@pytest.mark.parametrize("part", [Part.VALUES, Part.METADATA])
def test_a_replica_cannot_be_changed(part: Part) -> None:
    with pytest.raises(InvalidParameterException, match=r"^Operation not permitted on a replica secret\. Call must be"):
        check_may_change(REPLICA, PRIMARY, part)


def test_a_replica_can_get_another_key() -> None:
    check_may_change(REPLICA, PRIMARY, Part.KEY)


@pytest.mark.parametrize("asked", [["eu-west-1"], ["eu-west-1", "eu-central-1"], []])
def test_regions_that_there_are(asked: list[str]) -> None:
    check_replica_regions(asked, "us-east-1", KNOWN)


@pytest.mark.parametrize("asked", [["us-east-1"], ["eu-west-1", "us-east-1"], ["xx-nowhere-1"], [None]])
def test_regions_that_a_secret_cannot_be_replicated_to(asked: list[str | None]) -> None:
    with pytest.raises(InvalidParameterException, match=r"^Invalid replica region\.$"):
        check_replica_regions(asked, "us-east-1", KNOWN)


def test_a_region_is_named_once() -> None:
    with pytest.raises(InvalidParameterException, match="more than once"):
        check_replica_regions(["eu-west-1", "eu-west-1"], "us-east-1", KNOWN)


def test_a_secret_with_replicas_cannot_be_deleted() -> None:
    check_has_no_replicas(PRIMARY, [])
    with pytest.raises(InvalidParameterException) as refused:
        check_has_no_replicas(PRIMARY, [REPLICA, THEIRS, replica_arn(PRIMARY, "eu-central-1")])
    assert refused.value.message == (
        f"You can't delete secret {PRIMARY} that still has replica regions [eu-west-1, eu-central-1]."
    )


def test_a_secret_with_a_replica_in_another_account_cannot_be_deleted() -> None:
    with pytest.raises(InvalidParameterException) as refused:
        check_has_no_replicas(PRIMARY, [THEIRS])
    assert refused.value.message == (
        f"You can't delete secret {PRIMARY} that still has cross-account replicas [{THEIRS}]."
    )


def test_a_replica_in_another_account_has_all_but_its_values_for_itself() -> None:
    for part in (Part.METADATA, Part.KEY):
        check_may_change(THEIRS, PRIMARY, part)
    with pytest.raises(InvalidParameterException, match=r"Call must be made in primary secret's account\.$"):
        check_may_change(THEIRS, PRIMARY, Part.VALUES)


def test_a_pair_of_two_accounts() -> None:
    check_pair(PRIMARY, THEIRS)


@pytest.mark.parametrize(
    ("primary", "replica"),
    [
        (PRIMARY, REPLICA),
        (PRIMARY, PRIMARY),
        (PRIMARY, replica_arn(THEIRS, "eu-west-1")),
        (PRIMARY, THEIRS.replace("arn:aws:", "arn:aws-cn:")),
        (PRIMARY, THEIRS.replace("secretsmanager", "kms")),
        (PRIMARY, THEIRS.replace("secret:", "other:")),
        ("a name", THEIRS),
        (PRIMARY, "a name"),
    ],
)
def test_what_is_no_pair_of_two_accounts(primary: str, replica: str) -> None:
    with pytest.raises(InvalidParameterException):
        check_pair(primary, replica)


def test_the_managed_policy_lets_the_primarys_account_accept_and_nothing_else() -> None:
    (statement,) = json.loads(managed_policy(PRIMARY))["Statement"]

    assert statement.pop("Sid")
    assert statement == {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
        "Action": "secretsmanager:AcceptCrossAccountReplication",
        "Resource": "*",
    }


def test_what_a_replica_in_another_account_is_not_created_with() -> None:
    check_new_account_replica({"Name": "a", "KmsKeyId": "b", "Tags": [], "Description": ""})
    with pytest.raises(InvalidParameterException, match="SecretString"):
        check_new_account_replica({"Name": "a", "SecretString": "b"})


@pytest.mark.parametrize(
    ("occupant", "overwrite", "said"),
    [
        (Occupant.NOBODY, False, None),
        (Occupant.NOBODY, True, None),
        (Occupant.ITSELF, False, None),
        (Occupant.SECRET, False, "already exists in region eu-west-1."),
        (Occupant.SECRET, True, None),
        (Occupant.PRIMARY, False, "already exists in region eu-west-1."),
        (Occupant.PRIMARY, True, "still has replica regions."),
        (Occupant.REPLICA, False, "is currently replicated to eu-west-1 with a different arn."),
        (Occupant.REPLICA, True, "is currently replicated to eu-west-1 with a different arn."),
    ],
)
def test_what_stands_in_the_way_of_a_replica(occupant: Occupant, overwrite: bool, said: str | None) -> None:
    message = obstacle("db", "eu-west-1", occupant, overwrite=overwrite)

    if said is None:
        assert message is None
    else:
        assert message is not None
        assert message.startswith("Replication failed: Secret name db ")
        assert message.endswith(said)
