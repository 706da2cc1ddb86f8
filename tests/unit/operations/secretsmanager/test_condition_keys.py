"""The table of the Service Authorization Reference: which action has which condition keys."""

from __future__ import annotations

from typing import Any

import pytest

from keyturn.operations import registry
from keyturn.operations.secretsmanager.condition_keys import SecretKeys
from keyturn.storage import secrets
from keyturn.testing.handlers import PLACE, HandlerBench
from keyturn.wire.models import service

registry.discover()
KEY_ARN = PLACE.kms_key_arn("11111111-2222-3333-4444-555555555555")
FUNCTION_ARN = PLACE.function_arn("rotate")
REPLICA_ARN = "arn:aws:secretsmanager:us-east-1:111111111111:secret:replica-AbCdEf"
ROLE_ARN = PLACE.role_arn("/", "rotates")
TAGS = [{"Key": "Team", "Value": "db"}, {"Key": "stage", "Value": ""}]
VERSION_ID = "12345678-1234-1234-1234-123456789012"

# Action to a request with every member that has a key, and the keys that follow from it (after "secretsmanager:").
REQUESTS: dict[str, tuple[dict[str, Any], dict[str, tuple[str, ...]]]] = {
    "AssociateCrossAccountReplica": ({"CrossAccountReplicaARN": REPLICA_ARN, "ReplicationRoleARN": ROLE_ARN}, {}),
    "CancelRotateSecret": ({}, {}),
    "CreateSecret": (
        {
            "Name": "new",
            "Description": "of a database",
            "KmsKeyId": KEY_ARN,
            "AddReplicaRegions": [{"Region": "eu-west-1"}, {"Region": "eu-central-1", "KmsKeyId": "alias/a"}],
            "ForceOverwriteReplicaSecret": True,
            "Type": "Example",
        },
        {
            "name": ("new",),
            "description": ("of a database",),
            "kmskeyarn": (KEY_ARN,),
            "kmskeyid": (KEY_ARN,),
            "addreplicaregions": ("eu-west-1", "eu-central-1"),
            "forceoverwritereplicasecret": ("true",),
            "type": ("Example",),
        },
    ),
    "DeleteResourcePolicy": ({"PolicyName": "default"}, {"policyname": ("default",)}),
    "DeleteSecret": (
        {"RecoveryWindowInDays": 7, "ForceDeleteWithoutRecovery": False},
        {"recoverywindowindays": ("7",), "forcedeletewithoutrecovery": ("false",)},
    ),
    "DescribeSecret": ({}, {}),
    "DisassociateCrossAccountReplica": ({"CrossAccountReplicaARN": REPLICA_ARN}, {}),
    "GetResourcePolicy": ({"PolicyName": "default"}, {"policyname": ("default",)}),
    "GetSecretValue": (
        {"VersionId": VERSION_ID, "VersionStage": "AWSCURRENT"},
        {"versionid": (VERSION_ID,), "versionstage": ("AWSCURRENT",)},
    ),
    "ListResourcePolicies": ({"MaxResults": 1}, {}),
    "ListSecretVersionIds": ({"MaxResults": 1}, {}),
    "PutResourcePolicy": ({"ResourcePolicy": "{}", "BlockPublicPolicy": True}, {"blockpublicpolicy": ("true",)}),
    "PutSecretValue": ({"ClientRequestToken": VERSION_ID, "SecretString": "a", "VersionStages": ["b"]}, {}),
    "RemoveRegionsFromReplication": ({"RemoveReplicaRegions": ["eu-west-1"]}, {}),
    "ReplicateSecretToRegions": (
        {"AddReplicaRegions": [{"Region": "eu-west-1"}], "ForceOverwriteReplicaSecret": False},
        {"addreplicaregions": ("eu-west-1",), "forceoverwritereplicasecret": ("false",)},
    ),
    "RestoreSecret": ({}, {}),
    "RotateSecret": (
        {
            "RotationLambdaARN": FUNCTION_ARN,
            "RotationRules": {"AutomaticallyAfterDays": 1},
            "RotateImmediately": False,
            "ExternalSecretRotationRoleArn": ROLE_ARN,
        },
        {
            "rotationlambdaarn": (FUNCTION_ARN,),
            "modifyrotationrules": ("true",),
            "rotateimmediately": ("false",),
            "externalsecretrotationrolearn": (ROLE_ARN,),
        },
    ),
    "StopReplicationToReplica": ({}, {}),
    "TagResource": ({"Tags": TAGS}, {}),
    "UntagResource": ({"TagKeys": ["Team"]}, {}),
    "UpdateSecret": (
        {"Description": "", "KmsKeyId": KEY_ARN, "Type": "Example", "SecretString": "a"},
        {"description": ("",), "kmskeyarn": (KEY_ARN,), "kmskeyid": (KEY_ARN,), "type": ("Example",)},
    ),
    "UpdateSecretVersionStage": (
        {"VersionStage": "AWSPENDING", "MoveToVersionId": VERSION_ID, "RemoveFromVersionId": VERSION_ID},
        {"versionstage": ("AWSPENDING",)},
    ),
    "ValidateResourcePolicy": ({"ResourcePolicy": "{}"}, {}),
}
EVERY_REQUEST_KEY = {key for _, keys in REQUESTS.values() for key in keys}
# What RotateSecret does by default counts.
DEFAULTS = {"RotateSecret": {"modifyrotationrules": ("false",), "rotateimmediately": ("true",)}}


@pytest.fixture(scope="module")
def arn(bench: HandlerBench) -> str:
    """A secret about which everything is known that a policy can ask."""
    arn: str = bench.call("secretsmanager", "CreateSecret", Name="db", Tags=TAGS)["ARN"]
    with bench.kit.state.write() as transaction:
        record = secrets.lock_secret(transaction, arn)
        assert record is not None
        columns = {"rotation_function_arn": FUNCTION_ARN, "type": "Stored", "primary_arn": arn}
        secrets.update_secret(transaction, record, **columns)
    bench.kept.refresh()
    return arn


def keys_of(bench: HandlerBench, action: str, request: dict[str, Any]) -> Any:
    operation = registry.find("secretsmanager", action)
    assert operation is not None
    return operation.load(bench.kit, bench.as_(bench.caller), request).keys


def test_the_table_has_every_operation_on_a_secret() -> None:
    model = service("secretsmanager")
    on_secrets = {
        operation.name
        for operation in registry.all_operations()
        if operation.service == "secretsmanager"
        and (shape := model.operation(operation.name).input) is not None
        and {"SecretId", "Name"} & shape.members.keys()
    }

    assert on_secrets == REQUESTS.keys()


@pytest.mark.parametrize("action", REQUESTS)
def test_a_key_has_the_value_of_its_member_and_is_absent_where_the_reference_has_none(
    bench: HandlerBench, arn: str, action: str
) -> None:
    request, expected = REQUESTS[action]
    named = {} if "Name" in request else {"SecretId": "db"}

    keys = keys_of(bench, action, {**named, **request})

    found = {key: keys.get(f"secretsmanager:{key}") for key in EVERY_REQUEST_KEY}
    assert {key: value for key, value in found.items() if value is not None} == expected


@pytest.mark.parametrize("action", REQUESTS)
def test_a_member_that_was_not_sent_has_no_key(bench: HandlerBench, arn: str, action: str) -> None:
    named = {"Name": "new"} if action == "CreateSecret" else {"SecretId": "db"}

    keys = keys_of(bench, action, named)

    found = {key: keys.get(f"secretsmanager:{key}") for key in EVERY_REQUEST_KEY - {"name"}}
    assert {key: value for key, value in found.items() if value is not None} == DEFAULTS.get(action, {})
    assert keys.get("aws:tagkeys") is None
    assert keys.get("aws:requesttag/team") is None


@pytest.mark.parametrize("action", [action for action in REQUESTS if action != "CreateSecret"])
def test_every_action_on_a_secret_sees_what_is_stored(bench: HandlerBench, arn: str, action: str) -> None:
    request, _ = REQUESTS[action]
    for secret_id in ("db", arn, arn[:-7]):
        keys = keys_of(bench, action, {"SecretId": secret_id, **request})

        assert keys.get("secretsmanager:secretid") == (arn,)
        assert keys.get("secretsmanager:resource/allowrotationlambdaarn") == (FUNCTION_ARN,)
        assert keys.get("secretsmanager:resource/type") == ("Stored",)
        for prefix in ("aws", "secretsmanager"):
            assert keys.get(f"{prefix}:resourcetag/team") == ("db",)
            assert keys.get(f"{prefix}:resourcetag/stage") == ("",)
            assert keys.get(f"{prefix}:resourcetag/other") is None
        assert keys.get("secretsmanager:secretprimaryregion") == (PLACE.region,)
        assert keys.get("secretsmanager:nosuchkey") is None


def test_a_new_secret_has_the_tags_it_is_made_with_and_nothing_else(bench: HandlerBench, arn: str) -> None:
    keys = keys_of(bench, "CreateSecret", {"Name": "new", "Tags": TAGS})

    assert keys.get("aws:resourcetag/team") == keys.get("secretsmanager:resourcetag/team") == ("db",)
    for key in ("secretid", "resource/allowrotationlambdaarn", "resource/type", "secretprimaryregion"):
        assert keys.get(f"secretsmanager:{key}") is None


def test_a_missing_secret_has_the_keys_of_the_request(bench: HandlerBench) -> None:
    for secret_id in ("no/such", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:no-such-AbCdEf"):
        keys = keys_of(bench, "GetSecretValue", {"SecretId": secret_id, "VersionStage": "AWSCURRENT"})

        assert keys.get("secretsmanager:versionstage") == ("AWSCURRENT",)
        assert keys.get("aws:resourcetag/team") is None
        assert keys.get("secretsmanager:resource/type") is None


def test_tags_of_a_request() -> None:
    keys = SecretKeys({"Tags": [*TAGS, {"Key": "Empty"}]})

    assert keys.get("aws:tagkeys") == ("Team", "stage", "Empty")
    assert keys.get("aws:requesttag/team") == ("db",)
    assert keys.get("aws:requesttag/empty") == ("",)
    assert keys.get("aws:requesttag/other") is None
    assert SecretKeys({"TagKeys": ["Team", "stage"]}).get("aws:tagkeys") == ("Team", "stage")
    assert SecretKeys({"TagKeys": ["Team"]}).get("aws:requesttag/team") is None


@pytest.mark.parametrize(
    "key_id", ["alias/aws/secretsmanager", "", "1234", PLACE.kms_key_arn("x").replace("key/", "alias/")]
)
def test_what_is_no_arn_of_a_key_says_no_arn(key_id: str) -> None:
    keys = SecretKeys({"KmsKeyId": key_id})

    assert keys.get("secretsmanager:kmskeyid") == (key_id,)
    assert not keys.get("secretsmanager:kmskeyarn")
