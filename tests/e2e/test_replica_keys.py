"""Replicas under customer managed keys: whose rights count, and what a key that refuses does to a replica."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from .callers import Caller, allow, deny
from .conftest import ServerProcess
from .refusals import refusal

HERE, THERE = "us-east-1", "eu-west-1"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def here(server: ServerProcess) -> Any:
    return server.client("secretsmanager", region=HERE)


@pytest.fixture(scope="module")
def there(server: ServerProcess) -> Any:
    return server.client("secretsmanager", region=THERE)


@pytest.fixture(scope="module")
def kms_there(server: ServerProcess) -> Any:
    return server.client("kms", region=THERE)


@pytest.fixture
def key(server: ServerProcess) -> str:
    arn: str = server.client("kms").create_key()["KeyMetadata"]["Arn"]
    return arn


@pytest.fixture
def key_there(kms_there: Any) -> str:
    arn: str = kms_there.create_key()["KeyMetadata"]["Arn"]
    return arn


@pytest.fixture
def name() -> str:
    return f"sealed/wide/{next(_numbers)}"


def to(key_id: str, region: str = THERE) -> dict[str, Any]:
    return {"AddReplicaRegions": [{"Region": region, "KmsKeyId": key_id}]}


def status(client: Any, name: str) -> tuple[str, str]:
    (shown,) = client.describe_secret(SecretId=name)["ReplicationStatus"]
    return shown["Status"], shown["StatusMessage"]


def uses(server: ServerProcess, key_arn: str, region: str) -> list[tuple[str, str, str]]:
    """What Secrets Manager used a key for, oldest first: operation, region of the secret, by whom."""
    found = server.client("cloudtrail", region=region).lookup_events(
        LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": key_arn}]
    )["Events"]
    records = [json.loads(event["CloudTrailEvent"]) for event in reversed(found)]
    return [
        (
            record["eventName"],
            record["requestParameters"]["encryptionContext"]["SecretARN"].split(":")[3],
            record["userIdentity"]["arn"].rpartition("/")[2],
        )
        for record in records
        if record["sourceIPAddress"] == "secretsmanager.amazonaws.com"
    ]


def test_primary_and_replica_have_keys_of_their_own(
    server: ServerProcess, here: Any, there: Any, kms_there: Any, key: str, key_there: str, name: str
) -> None:
    kms_there.create_alias(AliasName=f"alias/{name}", TargetKeyId=key_there)
    made = here.create_secret(Name=name, SecretString="a", KmsKeyId=key, **to(f"alias/{name}"))

    assert made["ReplicationStatus"][0]["KmsKeyId"] == f"alias/{name}"
    assert there.describe_secret(SecretId=name)["KmsKeyId"] == f"alias/{name}"
    assert there.list_secret_version_ids(SecretId=name)["Versions"][0]["KmsKeyIds"] == [key_there]
    assert there.get_secret_value(SecretId=name)["SecretString"] == "a"
    assert uses(server, key_there, THERE) == [
        # Whether it may be used, the value, and the read just now.
        ("GenerateDataKey", THERE, "administrator"),
        ("Encrypt", THERE, "administrator"),
        ("GenerateDataKey", THERE, "administrator"),
        ("Decrypt", THERE, "administrator"),
    ]
    assert uses(server, key, HERE)[-1] == ("Decrypt", HERE, "administrator")


def test_the_key_of_a_replica_can_be_changed_in_its_region_and_nowhere_else(
    here: Any, there: Any, kms_there: Any, key_there: str, name: str
) -> None:
    here.create_secret(Name=name, SecretString="a", AddReplicaRegions=[{"Region": THERE}])

    there.update_secret(SecretId=name, KmsKeyId=key_there)

    assert status(here, name) == ("InSync", "Replication succeeded")
    assert here.describe_secret(SecretId=name)["ReplicationStatus"][0]["KmsKeyId"] == key_there
    here.put_secret_value(SecretId=name, SecretString="b")
    listed = there.list_secret_version_ids(SecretId=name)["Versions"]
    assert [version["KmsKeyIds"][0] for version in listed] == [key_there, key_there]
    assert there.get_secret_value(SecretId=name)["SecretString"] == "b"
    assert "KmsKeyId" not in here.describe_secret(SecretId=name)


@pytest.mark.parametrize("asked", ["alias/none", "of the primary's region"])
def test_a_key_that_is_not_in_the_region_fails_the_replica_and_not_the_call(
    here: Any, there: Any, key: str, name: str, asked: str
) -> None:
    made = here.create_secret(Name=name, SecretString="a", **to(asked if asked.startswith("alias") else key))

    (failed,) = made["ReplicationStatus"]
    assert failed["Status"] == "Failed"
    assert failed["StatusMessage"].startswith("Replication failed: ")
    assert refusal(there.describe_secret, SecretId=name).code == "ResourceNotFoundException"
    assert here.get_secret_value(SecretId=name)["SecretString"] == "a"

    here.replicate_secret_to_regions(SecretId=name, AddReplicaRegions=[{"Region": THERE}])

    assert status(here, name) == ("InSync", "Replication succeeded")
    assert there.get_secret_value(SecretId=name)["SecretString"] == "a"


def test_a_disabled_key_leaves_the_replica_as_it_was_until_it_can_be_used_again(
    here: Any, there: Any, kms_there: Any, key_there: str, name: str
) -> None:
    here.create_secret(Name=name, SecretString="a", **to(key_there))
    kms_there.disable_key(KeyId=key_there)

    here.put_secret_value(SecretId=name, SecretString="b")
    here.tag_resource(SecretId=name, Tags=[{"Key": "k", "Value": "v"}])

    assert here.get_secret_value(SecretId=name)["SecretString"] == "b"
    failed, message = status(here, name)
    assert failed == "Failed"
    assert f"{key_there} is disabled." in message
    kms_there.enable_key(KeyId=key_there)
    assert there.get_secret_value(SecretId=name)["SecretString"] == "a"
    assert "Tags" not in there.describe_secret(SecretId=name)
    assert refusal(there.put_secret_value, SecretId=name, SecretString="mine").code == "InvalidParameterException"

    here.put_secret_value(SecretId=name, SecretString="c")

    assert status(here, name) == ("InSync", "Replication succeeded")
    assert there.get_secret_value(SecretId=name)["SecretString"] == "c"
    assert there.get_secret_value(SecretId=name, VersionStage="AWSPREVIOUS")["SecretString"] == "b"
    assert there.describe_secret(SecretId=name)["Tags"] == [{"Key": "k", "Value": "v"}]


def test_what_failed_can_be_replicated_again_under_another_key(
    here: Any, there: Any, kms_there: Any, key_there: str, name: str
) -> None:
    here.create_secret(Name=name, SecretString="a", **to(key_there))
    kms_there.disable_key(KeyId=key_there)
    here.put_secret_value(SecretId=name, SecretString="b")
    assert status(here, name)[0] == "Failed"

    here.replicate_secret_to_regions(SecretId=name, **to(kms_there.create_key()["KeyMetadata"]["KeyId"]))

    assert status(here, name)[0] == "InSync"
    assert there.get_secret_value(SecretId=name)["SecretString"] == "b"


def test_who_writes_needs_the_rights_to_the_replicas_key_too(
    server: ServerProcess, here: Any, there: Any, key: str, key_there: str, name: str
) -> None:
    here.create_secret(Name=name, SecretString="a", KmsKeyId=key, **to(key_there))
    writer = Caller(server, "user")
    writer.may(allow("secretsmanager:*"), allow(["kms:GenerateDataKey", "kms:Decrypt"], key))

    writer.client("secretsmanager").put_secret_value(SecretId=name, SecretString="b")

    assert status(here, name) == ("Failed", "Replication failed: Access to KMS is not allowed")
    assert there.get_secret_value(SecretId=name)["SecretString"] == "a"
    writer.may(allow("secretsmanager:*"), allow("kms:*", key), allow("kms:GenerateDataKey", key_there))
    writer.client("secretsmanager").put_secret_value(SecretId=name, SecretString="c")
    assert status(here, name) == ("InSync", "Replication succeeded")
    assert there.get_secret_value(SecretId=name)["SecretString"] == "c"
    assert ("GenerateDataKey", THERE, writer.name) in uses(server, key_there, THERE)


def test_who_replicates_needs_the_rights_to_both_keys(
    server: ServerProcess, here: Any, there: Any, key: str, key_there: str, name: str
) -> None:
    here.create_secret(Name=name, SecretString="a", KmsKeyId=key)
    caller = Caller(server, "user")
    client = caller.client("secretsmanager")

    def replicate(*key_statements: dict[str, Any]) -> tuple[str, str]:
        caller.may(allow("secretsmanager:*"), *key_statements)
        (shown,) = client.replicate_secret_to_regions(SecretId=name, **to(key_there))["ReplicationStatus"]
        return shown["Status"], shown["StatusMessage"]

    no_access = ("Failed", "Replication failed: Access to KMS is not allowed")
    assert replicate(allow("kms:Decrypt", key)) == no_access
    assert replicate(allow("kms:Decrypt", key), allow("kms:GenerateDataKey", key_there)) == no_access
    assert replicate(allow(["kms:GenerateDataKey", "kms:Encrypt"], key_there)) == no_access
    assert refusal(there.describe_secret, SecretId=name).code == "ResourceNotFoundException"
    assert replicate(allow("kms:Decrypt", key), allow(["kms:GenerateDataKey", "kms:Encrypt"], key_there))[0] == "InSync"
    assert there.get_secret_value(SecretId=name)["SecretString"] == "a"


def test_a_secret_that_was_to_be_overwritten_outlives_a_failure(
    here: Any, there: Any, kms_there: Any, key: str, name: str
) -> None:
    arn = there.create_secret(Name=name, SecretString="mine", Tags=[{"Key": "k", "Value": "v"}])["ARN"]
    made = here.create_secret(
        Name=name, SecretString="theirs", KmsKeyId=key, ForceOverwriteReplicaSecret=True, **to("alias/none")
    )
    assert made["ReplicationStatus"][0]["Status"] == "Failed"
    here.put_secret_value(SecretId=name, SecretString="newer")

    assert there.get_secret_value(SecretId=arn)["SecretString"] == "mine"
    assert there.describe_secret(SecretId=name)["Tags"] == [{"Key": "k", "Value": "v"}]
    assert "PrimaryRegion" not in there.describe_secret(SecretId=name)


def test_a_failure_after_the_overwriting_takes_it_back(
    server: ServerProcess, here: Any, there: Any, key: str, name: str
) -> None:
    arn = there.create_secret(Name=name, SecretString="mine")["ARN"]
    here.create_secret(Name=name, SecretString="theirs", KmsKeyId=key)
    caller = Caller(server, "user")
    caller.may(allow("secretsmanager:*"))

    # The default key of the replica's region is everybody's, that of the primary is not.
    answer = caller.client("secretsmanager").replicate_secret_to_regions(
        SecretId=name, AddReplicaRegions=[{"Region": THERE}], ForceOverwriteReplicaSecret=True
    )

    assert answer["ReplicationStatus"][0]["StatusMessage"] == "Replication failed: Access to KMS is not allowed"
    assert there.get_secret_value(SecretId=arn)["SecretString"] == "mine"


def test_a_deny_counts_for_the_default_key_of_the_replicas_region(
    server: ServerProcess, here: Any, there: Any, name: str
) -> None:
    here.create_secret(Name=name, SecretString="a", AddReplicaRegions=[{"Region": THERE}])
    writer = Caller(server, "user")
    writer.may(allow("secretsmanager:*"), deny("kms:*", f"arn:aws:kms:{THERE}:*:key/*"))

    writer.client("secretsmanager").put_secret_value(SecretId=name, SecretString="b")

    assert status(here, name) == ("Failed", "Replication failed: Access to KMS is not allowed")
    assert there.get_secret_value(SecretId=name)["SecretString"] == "a"
