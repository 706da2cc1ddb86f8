"""A secret and its replica in another account: created there, associated here, followed, and ended by either."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any

import pytest

from .callers import Caller, allow, deny, document
from .conftest import Account, ServerProcess
from .refusals import Refusal, refusal

HERE, THERE = "us-east-1", "eu-west-1"
ON_A_REPLICA = Refusal(
    "InvalidParameterException",
    "Operation not permitted on a replica secret. Call must be made in primary secret's account.",
    400,
)
NO_ACCESS = Refusal("AccessDeniedException", "Access to KMS is not allowed", 400)
_numbers = itertools.count()


@pytest.fixture(scope="module")
def ours(server: ServerProcess) -> Any:
    return server.client("secretsmanager")


@pytest.fixture(scope="module")
def other(server: ServerProcess) -> Account:
    return server.create_account("Payments team")


@pytest.fixture(scope="module")
def theirs(server: ServerProcess, other: Account) -> Any:
    return server.client("secretsmanager", other.admin)


@pytest.fixture(scope="module")
def our_key(server: ServerProcess) -> str:
    arn: str = server.client("kms").create_key()["KeyMetadata"]["Arn"]
    return arn


@pytest.fixture(scope="module")
def their_key(server: ServerProcess, other: Account) -> str:
    """A key that the primary's account may encrypt with."""
    return shared_key(server, other)


def shared_key(server: ServerProcess, other: Account) -> str:
    kms = server.client("kms", other.admin)
    arn: str = kms.create_key()["KeyMetadata"]["Arn"]
    owner, primary = (f"arn:aws:iam::{account}:root" for account in (other.account_id, server.account_id))
    statements = [
        {"Effect": "Allow", "Principal": {"AWS": owner}, "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"AWS": primary}, "Action": "kms:Encrypt", "Resource": "*"},
    ]
    kms.put_key_policy(KeyId=arn, Policy=document(*statements))
    return arn


@dataclass
class Pair:
    """A primary here and its replica there, by their ARNs."""

    primary: str
    replica: str


@pytest.fixture
def created(ours: Any, theirs: Any, our_key: str, their_key: str) -> Pair:
    """A pair of which only the replica knows."""
    number = next(_numbers)
    primary = ours.create_secret(Name=f"shared/{number}", SecretString="first", KmsKeyId=our_key)["ARN"]
    made = theirs.create_secret(Name=f"copied/{number}", KmsKeyId=their_key, CrossAccountPrimaryARN=primary)
    return Pair(primary, made["ARN"])


@pytest.fixture
def pair(ours: Any, created: Pair) -> Pair:
    ours.associate_cross_account_replica(SecretId=created.primary, CrossAccountReplicaARN=created.replica)
    return created


def primary_shows(ours: Any, pair: Pair) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = ours.describe_secret(SecretId=pair.primary).get("CrossAccountReplicas", [])
    return shown


def replica_shows(theirs: Any, pair: Pair) -> dict[str, Any] | None:
    shown: dict[str, Any] | None = theirs.describe_secret(SecretId=pair.replica).get("CrossAccountPrimary")
    return shown


def test_a_replica_waits_empty_for_its_primary(theirs: Any, ours: Any, created: Pair) -> None:
    described = theirs.describe_secret(SecretId=created.replica)

    assert described["CrossAccountPrimary"] == {"PrimarySecretARN": created.primary, "ReplicationStatus": "Pending"}
    assert not {"PrimaryRegion", "VersionIdsToStages", "ReplicationStatus"} & set(described)
    assert refusal(theirs.get_secret_value, SecretId=created.replica).code == "ResourceNotFoundException"
    assert primary_shows(ours, created) == []
    (listed,) = theirs.list_secrets(Filters=[{"Key": "name", "Values": [described["Name"]]}])["SecretList"]
    assert "CrossAccountPrimary" not in listed


def test_the_value_follows_from_the_association_on(ours: Any, theirs: Any, created: Pair) -> None:
    answer = ours.associate_cross_account_replica(SecretId=created.primary, CrossAccountReplicaARN=created.replica)

    answer.pop("ResponseMetadata")
    assert answer == {
        "ARN": created.primary,
        "CrossAccountReplicaARN": created.replica,
        "ReplicationStatus": "InSync",
    }
    assert theirs.get_secret_value(SecretId=created.replica)["SecretString"] == "first"
    assert primary_shows(ours, created) == [{"ReplicaSecretARN": created.replica, "ReplicationStatus": "InSync"}]
    assert replica_shows(theirs, created) == {"PrimarySecretARN": created.primary, "ReplicationStatus": "InSync"}

    ours.put_secret_value(SecretId=created.primary, SecretString="second")

    read, copied = (
        client.get_secret_value(SecretId=arn) for client, arn in ((ours, created.primary), (theirs, created.replica))
    )
    for member in ("SecretString", "VersionId", "VersionStages", "CreatedDate"):
        assert copied[member] == read[member]
    assert theirs.get_secret_value(SecretId=created.replica, VersionStage="AWSPREVIOUS")["SecretString"] == "first"
    again = ours.associate_cross_account_replica(SecretId=created.primary, CrossAccountReplicaARN=created.replica)
    assert again["ReplicationStatus"] == "InSync"


def test_everything_else_of_a_replica_is_its_own(ours: Any, theirs: Any, pair: Pair) -> None:
    ours.update_secret(SecretId=pair.primary, Description="ours")
    ours.tag_resource(SecretId=pair.primary, Tags=[{"Key": "ours", "Value": ""}])
    described = theirs.describe_secret(SecretId=pair.replica)
    assert not {"Description", "Tags"} & set(described)

    theirs.update_secret(SecretId=pair.replica, Description="theirs")
    theirs.tag_resource(SecretId=pair.replica, Tags=[{"Key": "theirs", "Value": ""}])
    policy = document({"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:RotateSecret", "Resource": "*"})
    theirs.put_resource_policy(SecretId=pair.replica, ResourcePolicy=policy)
    ours.put_secret_value(SecretId=pair.primary, SecretString="second")

    described = theirs.describe_secret(SecretId=pair.replica)
    assert (described["Description"], described["Tags"]) == ("theirs", [{"Key": "theirs", "Value": ""}])
    assert json.loads(theirs.get_resource_policy(SecretId=pair.replica)["ResourcePolicy"]) == json.loads(policy)
    assert ours.describe_secret(SecretId=pair.primary)["Description"] == "ours"


def test_the_values_of_a_replica_cannot_be_changed(theirs: Any, pair: Pair) -> None:
    version_id = theirs.get_secret_value(SecretId=pair.replica)["VersionId"]
    for call, request in (
        (theirs.put_secret_value, {"SecretString": "mine"}),
        (theirs.update_secret, {"SecretString": "mine"}),
        (theirs.update_secret_version_stage, {"VersionStage": "MINE", "MoveToVersionId": version_id}),
        (theirs.rotate_secret, {"RotationLambdaARN": "arn:aws:lambda:us-east-1:000000000000:function:f"}),
        (theirs.cancel_rotate_secret, {}),
        (theirs.delete_secret, {}),
        (theirs.delete_secret, {"ForceDeleteWithoutRecovery": True}),
        (theirs.replicate_secret_to_regions, {"AddReplicaRegions": [{"Region": THERE}]}),
    ):
        assert refusal(call, SecretId=pair.replica, **request) == ON_A_REPLICA, call


def test_a_replica_has_a_policy_of_its_own_by_which_it_is_associated(
    server: ServerProcess, theirs: Any, created: Pair
) -> None:
    listed = theirs.list_resource_policies(SecretId=created.replica)["ResourcePolicies"]
    shown = theirs.get_resource_policy(SecretId=created.replica, PolicyName="cross-account-replication")

    assert listed == [{"PolicyName": "cross-account-replication"}]
    assert shown["PolicyName"] == "cross-account-replication"
    (statement,) = json.loads(shown["ResourcePolicy"])["Statement"]
    assert statement["Principal"] == {"AWS": f"arn:aws:iam::{server.account_id}:root"}
    assert statement["Action"] == "secretsmanager:AcceptCrossAccountReplication"
    assert "ResourcePolicy" not in theirs.get_resource_policy(SecretId=created.replica)
    named = {"SecretId": created.replica, "PolicyName": "cross-account-replication"}
    assert refusal(theirs.delete_resource_policy, **named).code == "InvalidParameterException"
    theirs.stop_replication_to_replica(SecretId=created.replica)
    assert refusal(theirs.get_resource_policy, **named).code == "ResourceNotFoundException"


def test_a_primary_can_have_replicas_in_regions_beside_the_one_in_another_account(
    server: ServerProcess, ours: Any, theirs: Any, pair: Pair
) -> None:
    ours.replicate_secret_to_regions(SecretId=pair.primary, AddReplicaRegions=[{"Region": THERE}])
    ours.put_secret_value(SecretId=pair.primary, SecretString="second")

    described = ours.describe_secret(SecretId=pair.primary)
    assert [entry["Region"] for entry in described["ReplicationStatus"]] == [THERE]
    assert [entry["ReplicaSecretARN"] for entry in described["CrossAccountReplicas"]] == [pair.replica]
    in_region = server.client("secretsmanager", region=THERE)
    assert in_region.get_secret_value(SecretId=described["Name"])["SecretString"] == "second"
    assert theirs.get_secret_value(SecretId=pair.replica)["SecretString"] == "second"
    assert f"[{THERE}]" in refusal(ours.delete_secret, SecretId=pair.primary).message

    ours.remove_regions_from_replication(SecretId=pair.primary, RemoveReplicaRegions=[THERE])
    described = ours.describe_secret(SecretId=pair.primary)
    assert not {"PrimaryRegion", "ReplicationStatus"} & set(described)
    assert "CrossAccountReplicas" in described


def test_the_primary_ends_it_and_the_replica_stays_detached(ours: Any, theirs: Any, pair: Pair) -> None:
    refused = refusal(ours.delete_secret, SecretId=pair.primary)
    assert refused.code == "InvalidParameterException"
    assert pair.replica in refused.message

    answer = ours.disassociate_cross_account_replica(SecretId=pair.primary, CrossAccountReplicaARN=pair.replica)

    answer.pop("ResponseMetadata")
    assert answer == {"ARN": pair.primary, "CrossAccountReplicaARN": pair.replica}
    assert primary_shows(ours, pair) == []
    assert replica_shows(theirs, pair) == {"PrimarySecretARN": pair.primary, "ReplicationStatus": "Detached"}
    ours.put_secret_value(SecretId=pair.primary, SecretString="second")
    assert theirs.get_secret_value(SecretId=pair.replica)["SecretString"] == "first"
    assert refusal(theirs.put_secret_value, SecretId=pair.replica, SecretString="mine") == ON_A_REPLICA
    twice = refusal(ours.disassociate_cross_account_replica, SecretId=pair.primary, CrossAccountReplicaARN=pair.replica)
    assert twice.code == "InvalidParameterException"

    # Both may change their minds: the one by associating again, the other by going its own way.
    ours.associate_cross_account_replica(SecretId=pair.primary, CrossAccountReplicaARN=pair.replica)
    assert theirs.get_secret_value(SecretId=pair.replica)["SecretString"] == "second"
    ours.disassociate_cross_account_replica(SecretId=pair.primary, CrossAccountReplicaARN=pair.replica)
    theirs.stop_replication_to_replica(SecretId=pair.replica)
    theirs.put_secret_value(SecretId=pair.replica, SecretString="mine")
    assert replica_shows(theirs, pair) is None
    theirs.delete_secret(SecretId=pair.replica)
    ours.delete_secret(SecretId=pair.primary)


def test_the_replica_ends_it_and_the_primary_lists_it_as_detached(ours: Any, theirs: Any, pair: Pair) -> None:
    answer = theirs.stop_replication_to_replica(SecretId=pair.replica)

    assert answer["ARN"] == pair.replica
    assert replica_shows(theirs, pair) is None
    assert primary_shows(ours, pair) == [{"ReplicaSecretARN": pair.replica, "ReplicationStatus": "Detached"}]
    ours.put_secret_value(SecretId=pair.primary, SecretString="second")
    assert theirs.get_secret_value(SecretId=pair.replica)["SecretString"] == "first"
    theirs.put_secret_value(SecretId=pair.replica, SecretString="mine")
    assert ours.get_secret_value(SecretId=pair.primary)["SecretString"] == "second"
    named = {"SecretId": pair.primary, "CrossAccountReplicaARN": pair.replica}
    assert refusal(ours.associate_cross_account_replica, **named).code == "AccessDeniedException"
    assert refusal(ours.delete_secret, SecretId=pair.primary).code == "InvalidParameterException"

    ours.disassociate_cross_account_replica(**named)

    assert primary_shows(ours, pair) == []
    ours.delete_secret(SecretId=pair.primary)


@pytest.mark.parametrize(
    "more",
    [
        {"SecretString": "a"},
        {"SecretBinary": b"a"},
        {"Description": "a"},
        {"AddReplicaRegions": [{"Region": THERE}]},
        {"KmsKeyId": ""},
        {"KmsKeyId": "alias/aws/secretsmanager"},
        {"CrossAccountPrimaryARN": "arn:aws:secretsmanager:eu-west-1:111111111111:secret:a-AbCdEf"},
        {"CrossAccountPrimaryARN": "arn:aws:secretsmanager:us-east-1:{account}:secret:a-AbCdEf"},
        {"CrossAccountPrimaryARN": "arn:aws:secretsmanager:us-east-1:111111111111:secret:a"},
        {"CrossAccountPrimaryARN": "arn:aws:iam::111111111111:role/a-AbCdEf"},
        {"CrossAccountPrimaryARN": "a-secret-with-a-name"},
    ],
    ids=lambda more: str(next(iter(more.items())))[:60],
)
def test_what_a_replica_cannot_be_created_with(
    theirs: Any, other: Account, their_key: str, more: dict[str, Any]
) -> None:
    more = {key: value.format(account=other.account_id) if type(value) is str else value for key, value in more.items()}
    primary = "arn:aws:secretsmanager:us-east-1:111111111111:secret:a-AbCdEf"
    request = {"Name": "refused", "KmsKeyId": their_key, "CrossAccountPrimaryARN": primary, **more}

    assert refusal(theirs.create_secret, **request).code == "InvalidParameterException"
    assert refusal(theirs.describe_secret, SecretId="refused").code == "ResourceNotFoundException"


def test_a_replica_keeps_a_customer_managed_key(theirs: Any, server: ServerProcess, other: Account, pair: Pair) -> None:
    assert refusal(theirs.update_secret, SecretId=pair.replica, KmsKeyId="").code == "InvalidParameterException"
    another = shared_key(server, other)
    theirs.update_secret(SecretId=pair.replica, KmsKeyId=another)
    assert theirs.describe_secret(SecretId=pair.replica)["KmsKeyId"] == another
    assert theirs.get_secret_value(SecretId=pair.replica)["SecretString"] == "first"


def test_whom_a_replica_can_be_associated_with(
    server: ServerProcess, ours: Any, theirs: Any, our_key: str, their_key: str, pair: Pair
) -> None:
    unrelated = ours.create_secret(Name=f"shared/{next(_numbers)}", SecretString="a", KmsKeyId=our_key)["ARN"]
    second = theirs.create_secret(
        Name=f"copied/{next(_numbers)}", KmsKeyId=their_key, CrossAccountPrimaryARN=pair.primary
    )["ARN"]
    standing = theirs.create_secret(Name=f"alone/{next(_numbers)}", SecretString="a")["ARN"]

    def refused(primary: str, replica: str) -> str:
        call = ours.associate_cross_account_replica
        return refusal(call, SecretId=primary, CrossAccountReplicaARN=replica).code

    assert refused(pair.primary, second) == "LimitExceededException"
    assert refused(unrelated, second) == "AccessDeniedException"
    assert refused(unrelated, standing) == "AccessDeniedException"
    assert refused(unrelated, f"{pair.replica[:-6]}abcdef") == "AccessDeniedException"
    assert refused(unrelated, unrelated) == "InvalidParameterException"
    assert refused(unrelated, pair.replica.replace(HERE, THERE)) == "InvalidParameterException"
    assert refused(unrelated, "no ARN, but long enough") == "InvalidParameterException"
    assert "CrossAccountReplicas" not in ours.describe_secret(SecretId=unrelated)
    assert theirs.describe_secret(SecretId=second)["CrossAccountPrimary"]["ReplicationStatus"] == "Pending"


def test_the_replicas_account_can_forbid_what_the_managed_policy_allows(ours: Any, theirs: Any, created: Pair) -> None:
    statement = {"Principal": "*", "Resource": "*", "Action": "secretsmanager:AcceptCrossAccountReplication"}
    theirs.put_resource_policy(SecretId=created.replica, ResourcePolicy=document({"Effect": "Deny", **statement}))
    named = {"SecretId": created.primary, "CrossAccountReplicaARN": created.replica}

    assert refusal(ours.associate_cross_account_replica, **named).code == "AccessDeniedException"

    theirs.delete_resource_policy(SecretId=created.replica)
    ours.associate_cross_account_replica(**named)


FOUR = [
    "secretsmanager:AssociateCrossAccountReplica",
    "secretsmanager:GetSecretValue",
    "secretsmanager:AcceptCrossAccountReplication",
]


@pytest.mark.parametrize("missing", [*FOUR, "kms:Decrypt", "kms:Encrypt"])
def test_the_rights_that_an_association_needs(
    server: ServerProcess, ours: Any, theirs: Any, created: Pair, missing: str
) -> None:
    caller = Caller(server, "user")
    client = caller.client("secretsmanager")
    named = {"SecretId": created.primary, "CrossAccountReplicaARN": created.replica}
    every = [*FOUR, "kms:Decrypt", "kms:Encrypt"]
    caller.may(allow([action for action in every if action != missing]))

    refused = refusal(client.associate_cross_account_replica, **named)

    assert refused.code == "AccessDeniedException"
    assert refused == NO_ACCESS if missing.startswith("kms:") else missing in refused.message
    assert primary_shows(ours, created) == []
    assert replica_shows(theirs, created) == {"PrimarySecretARN": created.primary, "ReplicationStatus": "Pending"}
    caller.may(allow(every))
    assert client.associate_cross_account_replica(**named)["ReplicationStatus"] == "InSync"


def test_to_create_and_to_leave_needs_the_rights_to_the_managed_policy(
    server: ServerProcess, other: Account, theirs: Any, their_key: str
) -> None:
    iam = server.client("iam", other.admin)
    name = f"creator-{next(_numbers)}"
    iam.create_user(UserName=name)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    credentials = type(other.admin)(made["AccessKeyId"], made["SecretAccessKey"])
    client = server.client("secretsmanager", credentials)

    def may(*statements: dict[str, Any]) -> None:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(*statements))

    primary = f"arn:aws:secretsmanager:{HERE}:{server.account_id}:secret:a-AbCdEf"
    request = {"Name": f"created/{name}", "KmsKeyId": their_key, "CrossAccountPrimaryARN": primary}
    anything = allow(["secretsmanager:*", "kms:*"])
    only = {"StringNotEquals": {"secretsmanager:PolicyName": "cross-account-replication"}}
    may(anything, deny("secretsmanager:PutResourcePolicy"))
    assert "secretsmanager:PutResourcePolicy" in refusal(client.create_secret, **request).message
    may(anything, deny("secretsmanager:PutResourcePolicy", Condition=only), deny("secretsmanager:DeleteResourcePolicy"))
    arn = client.create_secret(**request)["ARN"]
    assert "secretsmanager:DeleteResourcePolicy" in refusal(client.stop_replication_to_replica, SecretId=arn).message
    may(anything, deny("secretsmanager:DeleteResourcePolicy", Condition=only))
    client.stop_replication_to_replica(SecretId=arn)
    assert "CrossAccountPrimary" not in theirs.describe_secret(SecretId=arn)


def test_only_the_primarys_account_associates(server: ServerProcess, ours: Any, theirs: Any, created: Pair) -> None:
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "secretsmanager:*", "Resource": "*"}
    ours.put_resource_policy(SecretId=created.primary, ResourcePolicy=document(everybody))

    refused = refusal(
        theirs.associate_cross_account_replica, SecretId=created.primary, CrossAccountReplicaARN=created.replica
    )

    assert refused.code == "InvalidRequestException"


def test_who_writes_without_the_rights_to_the_replicas_key_fails_the_replica(
    server: ServerProcess, ours: Any, theirs: Any, our_key: str, pair: Pair
) -> None:
    writer = Caller(server, "user")
    writer.may(allow("secretsmanager:*"), allow("kms:*", our_key))

    writer.client("secretsmanager").put_secret_value(SecretId=pair.primary, SecretString="second")

    failed = {"ReplicationStatus": "Failed", "StatusMessage": "Replication failed: Access to KMS is not allowed"}
    assert primary_shows(ours, pair) == [{"ReplicaSecretARN": pair.replica, **failed}]
    assert replica_shows(theirs, pair) == {"PrimarySecretARN": pair.primary, **failed}
    assert ours.get_secret_value(SecretId=pair.primary)["SecretString"] == "second"
    assert theirs.get_secret_value(SecretId=pair.replica)["SecretString"] == "first"

    ours.associate_cross_account_replica(SecretId=pair.primary, CrossAccountReplicaARN=pair.replica)

    assert primary_shows(ours, pair) == [{"ReplicaSecretARN": pair.replica, "ReplicationStatus": "InSync"}]
    assert theirs.get_secret_value(SecretId=pair.replica)["SecretString"] == "second"


def test_a_role_replicates_for_those_who_have_no_rights_to_the_replicas_key(
    server: ServerProcess, ours: Any, theirs: Any, our_key: str, their_key: str, created: Pair
) -> None:
    iam = server.client("iam")
    name = f"replicates-{next(_numbers)}"
    service = {"Effect": "Allow", "Principal": {"Service": "secretsmanager.amazonaws.com"}, "Action": "sts:AssumeRole"}
    nobody = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(nobody))["Role"]["Arn"]
    named = {"SecretId": created.primary, "CrossAccountReplicaARN": created.replica, "ReplicationRoleARN": role}
    assert refusal(ours.associate_cross_account_replica, **named).code == "InvalidParameterException"
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=document(service))
    assert refusal(ours.associate_cross_account_replica, **named) == NO_ACCESS
    rights = document(allow("kms:Decrypt", our_key), allow("kms:Encrypt", their_key))
    iam.put_role_policy(RoleName=name, PolicyName="replicate", PolicyDocument=rights)

    ours.associate_cross_account_replica(**named)

    assert primary_shows(ours, created) == [
        {"ReplicaSecretARN": created.replica, "ReplicationRoleARN": role, "ReplicationStatus": "InSync"}
    ]
    writer = Caller(server, "user")
    writer.may(allow("secretsmanager:*"), allow("kms:*", our_key))
    writer.client("secretsmanager").put_secret_value(SecretId=created.primary, SecretString="second")
    assert theirs.get_secret_value(SecretId=created.replica)["SecretString"] == "second"

    iam.update_assume_role_policy(RoleName=name, PolicyDocument=document(nobody))
    ours.put_secret_value(SecretId=created.primary, SecretString="third")
    assert primary_shows(ours, created)[0]["StatusMessage"] == (
        f"Replication failed: Secrets Manager can't assume the replication role {role}."
    )
    assert theirs.get_secret_value(SecretId=created.replica)["SecretString"] == "second"


def test_to_pass_the_role_needs_leave(server: ServerProcess, created: Pair) -> None:
    caller = Caller(server, "user")
    caller.may(allow(["secretsmanager:*", "kms:*"]))
    role = f"arn:aws:iam::{server.account_id}:role/any"

    refused = refusal(
        caller.client("secretsmanager").associate_cross_account_replica,
        SecretId=created.primary,
        CrossAccountReplicaARN=created.replica,
        ReplicationRoleARN=role,
    )

    assert refused.code == "AccessDeniedException"
    assert "iam:PassRole" in refused.message


def test_both_accounts_see_in_their_trail_what_was_done(
    server: ServerProcess, other: Account, ours: Any, pair: Pair, their_key: str
) -> None:
    def trail(signer: Any, arn: str) -> dict[str, dict[str, Any]]:
        found = server.client("cloudtrail", signer).lookup_events(
            LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": arn}], MaxResults=50
        )["Events"]
        return {event["EventName"]: json.loads(event["CloudTrailEvent"]) for event in found}

    our_view, their_view = trail(None, pair.primary), trail(other.admin, pair.replica)
    assert {"AssociateCrossAccountReplica", "ReplicationStarted", "ReplicationSucceeded"} <= set(our_view)
    accepted = their_view["AcceptCrossAccountReplication"]
    assert accepted["recipientAccountId"] == other.account_id
    assert (accepted["userIdentity"]["type"], accepted["userIdentity"]["accountId"]) == (
        "AWSAccount",
        server.account_id,
    )
    assert accepted["sharedEventID"] == trail(None, pair.replica)["AcceptCrossAccountReplication"]["sharedEventID"]
    encrypted = trail(other.admin, their_key)["Encrypt"]
    assert encrypted["requestParameters"]["encryptionContext"]["SecretARN"].startswith("arn:aws:secretsmanager:")
