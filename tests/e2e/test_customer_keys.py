"""Secrets under customer managed keys: who may read and write them, and what becomes of them when the key changes."""

from __future__ import annotations

import base64
import itertools
import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from keyturn.testing.functions import zip_package

from .callers import Caller, allow, deny, document
from .conftest import Account, ServerProcess, wait_until
from .refusals import Refusal, refusal
from .test_awscli import TODAYS, Cli

NO_ACCESS = Refusal("AccessDeniedException", "Access to KMS is not allowed", 400)
FOREIGN = Refusal(
    "InvalidRequestException",
    "You can't access a secret from a different AWS account if you encrypt the secret with the default KMS service"
    " key.",
    400,
)
_numbers = itertools.count()


@pytest.fixture(scope="module")
def sm(server: ServerProcess) -> Any:
    return server.client("secretsmanager")


@pytest.fixture(scope="module")
def kms(server: ServerProcess) -> Any:
    return server.client("kms")


@pytest.fixture(scope="module")
def other(server: ServerProcess) -> Account:
    return server.create_account("Payments team")


@pytest.fixture
def key(kms: Any) -> str:
    arn: str = kms.create_key()["KeyMetadata"]["Arn"]
    return arn


@pytest.fixture
def name() -> str:
    return f"sealed/{next(_numbers)}"


@pytest.fixture
def user(server: ServerProcess) -> Caller:
    made = Caller(server, "user")
    made.may(allow("secretsmanager:*"))
    return made


def statement(who: str, action: Any) -> dict[str, Any]:
    """Let a principal or an account do something."""
    return {"Effect": "Allow", "Principal": {"AWS": who}, "Action": action, "Resource": "*"}


def events(server: ServerProcess, arn: str, signer: Any = None) -> list[dict[str, Any]]:
    """What a key was used for, oldest first."""
    found = server.client("cloudtrail", signer).lookup_events(
        LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": arn}]
    )["Events"]
    records = [json.loads(event["CloudTrailEvent"]) for event in reversed(found)]
    return [record for record in records if record["sourceIPAddress"] == "secretsmanager.amazonaws.com"]


def key_ids(sm: Any, name: str) -> list[list[str]]:
    """KmsKeyIds of the versions, oldest first."""
    versions = sm.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]
    return [version["KmsKeyIds"] for version in sorted(versions, key=lambda version: version["CreatedDate"])]


# A secret's key


def test_a_key_may_be_named_in_four_ways_and_is_shown_as_it_was(kms: Any, sm: Any, key: str, name: str) -> None:
    alias = f"alias/{name}"
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    for number, asked in enumerate((key, key.rpartition("/")[2], alias, f"{key.rpartition(':')[0]}:{alias}")):
        secret = f"{name}/{number}"
        sm.create_secret(Name=secret, SecretString="a value", KmsKeyId=asked)

        assert sm.describe_secret(SecretId=secret)["KmsKeyId"] == asked
        (listed,) = sm.list_secrets(Filters=[{"Key": "name", "Values": [secret]}])["SecretList"]
        assert listed["KmsKeyId"] == asked
        assert sm.get_secret_value(SecretId=secret)["SecretString"] == "a value"
        assert key_ids(sm, secret) == [[key]]


def test_without_a_key_there_is_the_default_one(sm: Any, kms: Any, name: str) -> None:
    sm.create_secret(Name=name, SecretString="a value", KmsKeyId="")
    default = kms.describe_key(KeyId="alias/aws/secretsmanager")["KeyMetadata"]["Arn"]
    sm.create_secret(Name=f"{name}/arn", SecretString="a value", KmsKeyId=default)

    assert "KmsKeyId" not in sm.describe_secret(SecretId=name)
    assert sm.describe_secret(SecretId=f"{name}/arn")["KmsKeyId"] == default
    for secret in (name, f"{name}/arn"):
        assert key_ids(sm, secret) == [["DefaultEncryptionKey"]]
        assert sm.get_secret_value(SecretId=secret)["SecretString"] == "a value"


def test_a_secret_without_value_has_a_key_that_its_first_value_gets(sm: Any, key: str, name: str) -> None:
    sm.create_secret(Name=name, KmsKeyId=key)
    sm.put_secret_value(SecretId=name, SecretBinary=b"\x00\x01")

    assert sm.get_secret_value(SecretId=name)["SecretBinary"] == b"\x00\x01"
    assert key_ids(sm, name) == [[key]]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            "12345678-1234-1234-1234-123456789012",
            "Key 'arn:aws:kms:{place}:key/12345678-1234-1234-1234-123456789012' does not exist",
        ),
        ("alias/none", "Alias arn:aws:kms:{place}:alias/none is not found."),
        ("arn:aws:kms:eu-west-3:{account}:key/12345678-1234-1234-1234-123456789012", "Invalid arn eu-west-3"),
    ],
    ids=["id", "alias", "another region"],
)
def test_a_key_that_does_not_exist_is_refused(sm: Any, server: ServerProcess, name: str, asked: str, told: str) -> None:
    account = server.account_id
    place = f"{server.region}:{account}"
    asked, told = asked.format(account=account), told.format(place=place)
    expected = Refusal("InvalidParameterException", f"The operation failed because of an invalid KMS key: {told}", 400)

    assert refusal(sm.create_secret, Name=name, SecretString="a", KmsKeyId=asked) == expected
    assert refusal(sm.describe_secret, SecretId=name).code == "ResourceNotFoundException"
    sm.create_secret(Name=name, SecretString="a")
    assert refusal(sm.update_secret, SecretId=name, Description="new", KmsKeyId=asked) == expected
    assert "Description" not in sm.describe_secret(SecretId=name)


# A key that is switched off


def failed(what: str, told: str, code: str) -> Callable[[Refusal], bool]:
    """Whether a refusal is this one; it ends with an id that nobody knows beforehand."""
    start = f"Secrets Manager can't {what} the secret value: {told} (Service: AWSKMS; Status Code: 400; Error Code: "
    failure = {"encrypt": "EncryptionFailure", "decrypt": "DecryptionFailure"}[what]

    def matches(refused: Refusal) -> bool:
        return (refused.code, refused.status) == (failure, 400) and refused.message.startswith(
            f"{start}{code}; Request ID: "
        )

    return matches


@pytest.mark.parametrize("is_deleted", [False, True], ids=["disabled", "pending deletion"])
def test_what_a_key_that_is_switched_off_keeps_is_not_read_until_it_is_on_again(
    sm: Any, kms: Any, key: str, name: str, is_deleted: bool
) -> None:
    arn = sm.create_secret(Name=name, SecretString="kept", KmsKeyId=key)["ARN"]
    assert sm.get_secret_value(SecretId=name)["SecretString"] == "kept"
    if is_deleted:
        kms.schedule_key_deletion(KeyId=key)
        told, code = f"{key} is pending deletion.", "KMSInvalidStateException"
    else:
        kms.disable_key(KeyId=key)
        told, code = f"{key} is disabled.", "DisabledException"

    assert failed("decrypt", told, code)(refusal(sm.get_secret_value, SecretId=name))
    for write, request in (
        (sm.put_secret_value, {"SecretId": name, "SecretString": "lost"}),
        (sm.update_secret, {"SecretId": name, "SecretString": "lost"}),
        (sm.create_secret, {"Name": f"{name}/another", "KmsKeyId": key, "SecretString": "lost"}),
        (sm.create_secret, {"Name": f"{name}/another", "KmsKeyId": key}),
    ):
        assert failed("encrypt", told, code)(refusal(write, **request))
    sm.update_secret(SecretId=name, Description="what is not sealed can still be changed")
    assert sm.describe_secret(SecretId=name)["ARN"] == arn
    assert len(key_ids(sm, name)) == 1

    if is_deleted:
        kms.cancel_key_deletion(KeyId=key)
    kms.enable_key(KeyId=key)
    assert sm.get_secret_value(SecretId=name)["SecretString"] == "kept"
    sm.put_secret_value(SecretId=name, SecretString="new")


def test_a_destroyed_key_takes_what_it_kept_with_it(own_server: ServerProcess) -> None:
    own_server.start()
    sm, kms = own_server.client("secretsmanager"), own_server.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/doomed", TargetKeyId=key)
    spared = kms.create_key()["KeyMetadata"]["Arn"]
    for secret, kms_key_id in (("lost", key), ("kept", spared)):
        sm.create_secret(Name=secret, SecretString=secret, KmsKeyId=kms_key_id)
        kms.schedule_key_deletion(KeyId=kms_key_id, PendingWindowInDays=7)
    own_server.stop()
    # A week later.
    with closing(sqlite3.connect(own_server.data_dir / "keyturn.db")) as database, database:
        database.execute("UPDATE kms_keys SET deletion_at = deletion_at - 7 * 86400000 WHERE arn = ?", (key,))
    own_server.start()
    sm, kms = own_server.client("secretsmanager"), own_server.client("kms")

    def is_gone() -> bool:
        return key not in [entry["KeyArn"] for entry in kms.list_keys()["Keys"]]

    wait_until(is_gone, "the key was destroyed", own_server)

    assert refusal(kms.describe_key, KeyId=key).message == f"Key '{key}' does not exist"
    assert refusal(kms.describe_key, KeyId="alias/doomed").code == "NotFoundException"
    assert refusal(sm.get_secret_value, SecretId="lost") == NO_ACCESS
    assert refusal(sm.put_secret_value, SecretId="lost", SecretString="a").code == "EncryptionFailure"
    # The secret itself can go on with another key.
    sm.update_secret(SecretId="lost", KmsKeyId="", SecretString="new")
    assert sm.get_secret_value(SecretId="lost")["SecretString"] == "new"
    sm.delete_secret(SecretId="lost", ForceDeleteWithoutRecovery=True)
    kms.cancel_key_deletion(KeyId=spared)
    kms.enable_key(KeyId=spared)
    assert sm.get_secret_value(SecretId="kept")["SecretString"] == "kept"
    deletions = own_server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "DeleteKey"}]
    )["Events"]
    (record,) = [json.loads(event["CloudTrailEvent"]) for event in deletions]
    assert (record["eventType"], record["eventSource"]) == ("AwsServiceEvent", "kms.amazonaws.com")
    assert record["resources"][0]["ARN"] == key


def test_of_several_values_those_come_whose_keys_are_on(sm: Any, kms: Any, key: str, name: str) -> None:
    off = kms.create_key()["KeyMetadata"]["Arn"]
    for secret, kms_key_id in (("on", key), ("off", off), ("default", "")):
        sm.create_secret(Name=f"{name}/{secret}", SecretString=secret, KmsKeyId=kms_key_id)
    kms.disable_key(KeyId=off)

    answer = sm.batch_get_secret_value(SecretIdList=[f"{name}/{secret}" for secret in ("on", "off", "default")])

    assert {value["SecretString"] for value in answer["SecretValues"]} == {"on", "default"}
    (error,) = answer["Errors"]
    assert (error["SecretId"], error["ErrorCode"]) == (f"{name}/off", "DecryptionFailure")
    assert error["Message"].startswith(f"Secrets Manager can't decrypt the secret value: {off} is disabled. (")


# Who may


def test_reading_and_writing_need_leave_of_kms(
    server: ServerProcess, sm: Any, key: str, user: Caller, name: str
) -> None:
    sm.create_secret(Name=name, SecretString="value", KmsKeyId=key)
    client = user.client("secretsmanager")

    def put() -> Any:
        return client.put_secret_value(SecretId=name, SecretString="new")

    assert refusal(client.get_secret_value, SecretId=name) == NO_ACCESS
    assert refusal(put) == NO_ACCESS
    user.may(allow("secretsmanager:*"), allow("kms:Decrypt", key))
    assert client.get_secret_value(SecretId=name)["SecretString"] == "value"
    assert refusal(put) == NO_ACCESS
    user.may(allow("secretsmanager:*"), allow("kms:GenerateDataKey", key))
    assert put()
    assert refusal(client.get_secret_value, SecretId=name) == NO_ACCESS
    assert refusal(client.create_secret, Name=f"{name}/new", KmsKeyId=key, SecretString="a") == NO_ACCESS
    assert refusal(client.create_secret, Name=f"{name}/new", KmsKeyId=key) == NO_ACCESS
    user.may(allow("secretsmanager:*"), allow(["kms:GenerateDataKey", "kms:Decrypt"], key))
    assert client.create_secret(Name=f"{name}/new", KmsKeyId=key, SecretString="a")
    # What shows no value needs no key.
    user.may(allow("secretsmanager:*"))
    assert client.describe_secret(SecretId=name)["KmsKeyId"] == key
    client.delete_secret(SecretId=name)


def test_the_same_token_again_is_compared_with_leave_to_decrypt(sm: Any, key: str, user: Caller, name: str) -> None:
    token = "0b5dcc8e-3c1c-4c5a-9d8e-2f6a4b1c7d90"
    request = {"SecretId": name, "ClientRequestToken": token, "SecretString": "value"}
    sm.create_secret(Name=name, KmsKeyId=key, SecretString="value", ClientRequestToken=token)
    user.may(allow("secretsmanager:*"), allow("kms:GenerateDataKey", key))
    client = user.client("secretsmanager")

    assert refusal(client.put_secret_value, **request) == NO_ACCESS
    user.may(allow("secretsmanager:*"), allow(["kms:GenerateDataKey", "kms:Decrypt"], key))
    assert client.put_secret_value(**request)["VersionId"] == token
    assert refusal(client.put_secret_value, **{**request, "SecretString": "other"}).code == "ResourceExistsException"


def test_a_key_policy_alone_lets_a_user_read(server: ServerProcess, kms: Any, sm: Any, user: Caller, name: str) -> None:
    root, reader = statement(server.account_id, "kms:*"), statement(user.arn, "kms:Decrypt")
    key = kms.create_key(Policy=document(root, reader))["KeyMetadata"]["Arn"]
    sm.create_secret(Name=name, SecretString="value", KmsKeyId=key)

    assert user.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"] == "value"
    kms.put_key_policy(KeyId=key, Policy=document(root))
    assert refusal(user.client("secretsmanager").get_secret_value, SecretId=name) == NO_ACCESS


@pytest.mark.parametrize(
    ("condition", "is_allowed"),
    [
        ({"StringEquals": {"kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"}}, True),
        ({"StringEquals": {"kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com"}}, False),
        ({"Null": {"kms:ViaService": "true"}}, False),
        ({"StringEquals": {"kms:EncryptionContext:SecretARN": "{arn}"}}, True),
        ({"StringEquals": {"kms:EncryptionContext:SecretARN": "{arn}x"}}, False),
        ({"StringEquals": {"kms:EncryptionContext:SecretVersionId": "{version}"}}, True),
        ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["SecretARN", "SecretVersionId"]}}, True),
        ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["SecretARN"]}}, False),
        ({"StringEquals": {"kms:CallerAccount": "${aws:PrincipalAccount}"}}, True),
        ({"StringEquals": {"aws:CalledViaLast": "secretsmanager.amazonaws.com"}}, True),
        ({"Bool": {"aws:ViaAWSService": "true"}}, True),
        ({"IpAddress": {"aws:SourceIp": "127.0.0.1/32"}}, False),
    ],
)
def test_conditions_tell_a_use_through_secrets_manager_apart(
    sm: Any, key: str, user: Caller, name: str, condition: dict[str, Any], is_allowed: bool
) -> None:
    made = sm.create_secret(Name=name, SecretString="value", KmsKeyId=key)
    text = json.dumps(condition).replace("{arn}", made["ARN"]).replace("{version}", made["VersionId"])
    user.may(allow("secretsmanager:*"), allow("kms:Decrypt", key, Condition=json.loads(text)))
    client = user.client("secretsmanager")

    if is_allowed:
        assert client.get_secret_value(SecretId=name)["SecretString"] == "value"
    else:
        assert refusal(client.get_secret_value, SecretId=name) == NO_ACCESS


def test_leave_to_decrypt_through_secrets_manager_is_no_leave_to_decrypt(
    server: ServerProcess, sm: Any, kms: Any, key: str, user: Caller, name: str
) -> None:
    sm.create_secret(Name=name, SecretString="value", KmsKeyId=key)
    via = {"StringEquals": {"kms:ViaService": f"secretsmanager.{server.region}.amazonaws.com"}}
    user.may(allow("secretsmanager:*"), allow("kms:*", key, Condition=via))
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]

    assert user.client("secretsmanager").get_secret_value(SecretId=name)
    for call, request in (("decrypt", {"CiphertextBlob": blob}), ("encrypt", {"KeyId": key, "Plaintext": b"x"})):
        assert refusal(getattr(user.client("kms"), call), **request).code == "AccessDeniedException"


def test_a_session_that_was_narrowed_has_no_key_either(server: ServerProcess, sm: Any, key: str, name: str) -> None:
    sm.create_secret(Name=name, SecretString="value", KmsKeyId=key)
    role = Caller(server, "role")
    role.may(allow(["secretsmanager:*", "kms:*"]))
    assert role.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"] == "value"
    role_arn = f"arn:aws:iam::{server.account_id}:role/{role.name}"
    made = server.client("sts").assume_role(
        RoleArn=role_arn, RoleSessionName="narrow", Policy=document(allow("secretsmanager:*"))
    )["Credentials"]
    narrowed = type(role.credentials)(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])

    assert refusal(server.client("secretsmanager", narrowed).get_secret_value, SecretId=name) == NO_ACCESS


def test_under_the_default_key_nobody_needs_leave_but_a_deny_counts(sm: Any, kms: Any, user: Caller, name: str) -> None:
    client = user.client("secretsmanager")
    client.create_secret(Name=name, SecretString="value")
    default = kms.describe_key(KeyId="alias/aws/secretsmanager")["KeyMetadata"]["Arn"]
    assert client.get_secret_value(SecretId=name)["SecretString"] == "value"

    user.may(allow("secretsmanager:*"), deny("kms:Decrypt", default))
    assert refusal(client.get_secret_value, SecretId=name) == NO_ACCESS
    assert client.put_secret_value(SecretId=name, SecretString="new")
    user.may(allow("secretsmanager:*"), deny("kms:*"))
    assert refusal(client.put_secret_value, SecretId=name, SecretString="newer") == NO_ACCESS
    assert refusal(client.create_secret, Name=f"{name}/b", SecretString="a") == NO_ACCESS
    user.may(allow("secretsmanager:*"), deny("kms:*", Condition={"Null": {"kms:ViaService": "true"}}))
    assert client.get_secret_value(SecretId=name)["SecretString"] == "new"
    user.may(allow("secretsmanager:*"), deny("kms:Decrypt", default.replace("key/", "key/other")))
    assert client.get_secret_value(SecretId=name)["SecretString"] == "new"


@pytest.mark.parametrize("asked", ["{key}", "{alias}"])
def test_policies_can_demand_a_certain_key(kms: Any, key: str, user: Caller, name: str, asked: str) -> None:
    alias = f"alias/{name}"
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    asked = asked.format(key=key, alias=alias)
    wrong = kms.create_key()["KeyMetadata"]["Arn"]
    demand = {"StringEquals": {"secretsmanager:KmsKeyArn": key}}
    user.may(allow(["secretsmanager:CreateSecret", "secretsmanager:UpdateSecret"], Condition=demand), allow("kms:*"))
    client = user.client("secretsmanager")

    for request in ({}, {"KmsKeyId": wrong}, {"KmsKeyId": "alias/aws/secretsmanager"}):
        refused = refusal(client.create_secret, Name=name, SecretString="a", **request)
        assert (refused.code, "CreateSecret" in refused.message) == ("AccessDeniedException", True)
    client.create_secret(Name=name, SecretString="a", KmsKeyId=asked)
    assert refusal(client.update_secret, SecretId=name, KmsKeyId=wrong).code == "AccessDeniedException"


# Another key


def test_a_new_key_opens_what_is_labelled_and_so_does_the_old_one(sm: Any, kms: Any, key: str, name: str) -> None:
    second = kms.create_key()["KeyMetadata"]["Arn"]
    sm.create_secret(Name=name, SecretString="previous", KmsKeyId=key)
    sm.put_secret_value(SecretId=name, SecretString="current")
    sm.put_secret_value(SecretId=name, SecretString="pending", VersionStages=["AWSPENDING"])
    sm.put_secret_value(SecretId=name, SecretString="custom", VersionStages=["CUSTOM"])

    def read() -> dict[str, str]:
        labels = ("AWSPREVIOUS", "AWSCURRENT", "AWSPENDING", "CUSTOM")
        values = {}
        for label in labels:
            try:
                values[label] = sm.get_secret_value(SecretId=name, VersionStage=label)["SecretString"]
            except sm.exceptions.DecryptionFailure:
                values[label] = "unreadable"
        return values

    sm.update_secret(SecretId=name, KmsKeyId=second)

    assert sm.describe_secret(SecretId=name)["KmsKeyId"] == second
    assert key_ids(sm, name) == [[second, key], [second, key], [second, key], [key]]
    everything = {"AWSPREVIOUS": "previous", "AWSCURRENT": "current", "AWSPENDING": "pending", "CUSTOM": "custom"}
    assert read() == everything
    kms.disable_key(KeyId=key)
    assert read() == {**everything, "CUSTOM": "unreadable"}
    kms.enable_key(KeyId=key)
    kms.disable_key(KeyId=second)
    assert read() == everything
    sm.update_secret(SecretId=name, KmsKeyId="")
    assert "KmsKeyId" not in sm.describe_secret(SecretId=name)
    sm.put_secret_value(SecretId=name, SecretString="under the default key")
    assert sm.get_secret_value(SecretId=name)["SecretString"] == "under the default key"


def test_a_new_key_may_come_with_a_new_value(sm: Any, key: str, name: str) -> None:
    sm.create_secret(Name=name, SecretString="old")
    sm.update_secret(SecretId=name, KmsKeyId=key, SecretString="new")

    assert sm.get_secret_value(SecretId=name)["SecretString"] == "new"
    assert sm.get_secret_value(SecretId=name, VersionStage="AWSPREVIOUS")["SecretString"] == "old"
    assert key_ids(sm, name) == [[key, "DefaultEncryptionKey"], [key]]


def test_an_alias_that_moved_changes_the_key_when_it_is_named_again(sm: Any, kms: Any, key: str, name: str) -> None:
    second = kms.create_key()["KeyMetadata"]["Arn"]
    alias = f"alias/{name}"
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    sm.create_secret(Name=name, SecretString="value", KmsKeyId=alias)
    kms.update_alias(AliasName=alias, TargetKeyId=second)
    assert key_ids(sm, name) == [[key]]

    sm.update_secret(SecretId=name, KmsKeyId=alias)

    assert key_ids(sm, name) == [[second, key]]
    sm.put_secret_value(SecretId=name, SecretString="new")
    assert key_ids(sm, name)[1] == [second]


def test_without_leave_on_the_old_key_the_change_succeeds_and_old_values_stay(
    sm: Any, kms: Any, key: str, user: Caller, name: str
) -> None:
    second = kms.create_key()["KeyMetadata"]["Arn"]
    sm.create_secret(Name=name, SecretString="old", KmsKeyId=key)
    client = user.client("secretsmanager")
    user.may(allow("secretsmanager:*"), allow("kms:GenerateDataKey", second))
    assert refusal(client.update_secret, SecretId=name, KmsKeyId=second) == NO_ACCESS
    assert sm.describe_secret(SecretId=name)["KmsKeyId"] == key

    user.may(allow("secretsmanager:*"), allow(["kms:GenerateDataKey", "kms:Decrypt", "kms:Encrypt"], second))
    client.update_secret(SecretId=name, KmsKeyId=second)

    assert sm.describe_secret(SecretId=name)["KmsKeyId"] == second
    assert key_ids(sm, name) == [[key]]
    assert refusal(client.get_secret_value, SecretId=name) == NO_ACCESS
    assert sm.get_secret_value(SecretId=name)["SecretString"] == "old"
    client.put_secret_value(SecretId=name, SecretString="new")
    assert key_ids(sm, name) == [[key], [second]]
    # With leave on both, but none to encrypt under the new one, it is the same.
    user.may(allow("secretsmanager:*"), allow(["kms:GenerateDataKey", "kms:Decrypt"], [key, second]))
    client.update_secret(SecretId=name, KmsKeyId=key)
    assert key_ids(sm, name) == [[key], [second]]


# Other accounts


def test_a_secret_under_the_default_key_is_not_for_other_accounts(
    server: ServerProcess, sm: Any, other: Account, name: str
) -> None:
    theirs = server.client("secretsmanager", other.admin)
    for number, request in enumerate(({}, {"KmsKeyId": "alias/aws/secretsmanager"})):
        arn = sm.create_secret(Name=f"{name}/{number}", SecretString="ours", **request)["ARN"]
        policy = document(statement(other.account_id, "secretsmanager:*"))
        sm.put_resource_policy(SecretId=arn, ResourcePolicy=policy)

        assert theirs.describe_secret(SecretId=arn)["ARN"] == arn
        assert refusal(theirs.get_secret_value, SecretId=arn) == FOREIGN
        assert refusal(theirs.put_secret_value, SecretId=arn, SecretString="theirs") == FOREIGN
        assert refusal(theirs.update_secret, SecretId=arn, SecretString="theirs") == FOREIGN
        assert refusal(theirs.update_secret, SecretId=arn, KmsKeyId="") == FOREIGN
        assert sm.get_secret_value(SecretId=arn)["SecretString"] == "ours"


def test_a_secret_under_a_shared_key_is_read_from_another_account_and_both_trails_say_so(
    server: ServerProcess, kms: Any, sm: Any, other: Account, key: str, name: str
) -> None:
    made = sm.create_secret(Name=name, SecretString="shared", KmsKeyId=key)
    arn = made["ARN"]
    sm.put_resource_policy(SecretId=arn, ResourcePolicy=document(statement(other.account_id, "secretsmanager:*")))
    theirs = server.client("secretsmanager", other.admin)
    assert refusal(theirs.get_secret_value, SecretId=arn) == NO_ACCESS
    own = statement(server.account_id, "kms:*")
    shared = statement(other.account_id, ["kms:Decrypt", "kms:GenerateDataKey"])
    kms.put_key_policy(KeyId=key, Policy=document(own, shared))

    assert theirs.get_secret_value(SecretId=arn)["SecretString"] == "shared"
    assert theirs.put_secret_value(SecretId=arn, SecretString="by them")
    assert sm.get_secret_value(SecretId=name)["SecretString"] == "by them"

    in_ours = [event for event in events(server, key) if event["userIdentity"]["accountId"] == other.account_id]
    in_theirs = events(server, key, other.admin)
    expected = [("Decrypt", "AccessDenied"), ("Decrypt", None), ("GenerateDataKey", None)]
    for trail, recipient in ((in_ours, server.account_id), (in_theirs, other.account_id)):
        assert [(event["eventName"], event.get("errorCode")) for event in trail] == expected
        assert {event["recipientAccountId"] for event in trail} == {recipient}
    # Whoever is refused is not told that there is such a key.
    assert [event["sharedEventID"] for event in in_ours][1:] == [event["sharedEventID"] for event in in_theirs[1:]]
    assert "sharedEventID" not in in_theirs[0]


# The audit trail


def test_uses_of_a_key_are_recorded_as_secrets_manager_made_them_for_the_caller(
    server: ServerProcess, sm: Any, key: str, user: Caller, name: str
) -> None:
    made = sm.create_secret(Name=name, SecretString="never recorded", KmsKeyId=key)
    refusal(user.client("secretsmanager").get_secret_value, SecretId=name)
    sm.get_secret_value(SecretId=name)

    recorded = events(server, key)

    assert [(event["eventName"], event.get("errorCode")) for event in recorded] == [
        ("GenerateDataKey", None),
        ("Decrypt", None),
        ("GenerateDataKey", None),
        ("Decrypt", "AccessDenied"),
        ("Decrypt", None),
    ]
    validated = {"SecretARN": made["ARN"], "SecretVersionId": "RequestToValidateKeyAccess"}
    assert [event["requestParameters"]["encryptionContext"] for event in recorded[:2]] == [validated, validated]
    context = {"SecretARN": made["ARN"], "SecretVersionId": made["VersionId"]}
    generated, refused, decrypted = recorded[2:]
    assert generated["requestParameters"] == {"keyId": key, "keySpec": "AES_256", "encryptionContext": context}
    assert decrypted["requestParameters"] == {
        "encryptionContext": context,
        "encryptionAlgorithm": "SYMMETRIC_DEFAULT",
    }
    assert (decrypted["eventSource"], decrypted["userAgent"]) == ("kms.amazonaws.com", "secretsmanager.amazonaws.com")
    assert decrypted["userIdentity"]["invokedBy"] == "secretsmanager.amazonaws.com"
    assert decrypted["userIdentity"]["userName"] == "administrator"
    assert decrypted["resources"] == [{"accountId": server.account_id, "type": "AWS::KMS::Key", "ARN": key}]
    assert decrypted["readOnly"]
    assert decrypted["responseElements"] is None
    assert refused["userIdentity"]["userName"] == user.name
    assert user.arn in refused["errorMessage"]
    assert refused["additionalEventData"]["authorization"]["outcome"] == "implicitDeny"
    assert len({event["eventID"] for event in recorded}) == len(recorded)
    assert "never recorded" not in json.dumps(recorded)


def test_uses_of_the_default_key_are_not_recorded(server: ServerProcess, sm: Any, kms: Any, name: str) -> None:
    sm.create_secret(Name=name, SecretString="value")
    sm.get_secret_value(SecretId=name)

    assert events(server, kms.describe_key(KeyId="alias/aws/secretsmanager")["KeyMetadata"]["Arn"]) == []


# Rotation

FUNCTION = """
import boto3


def lambda_handler(event, context):
    client, secret, version = boto3.client("secretsmanager"), event["SecretId"], event["ClientRequestToken"]
    if event["Step"] == "createSecret":
        current = client.get_secret_value(SecretId=secret)["SecretString"]
        client.put_secret_value(
            SecretId=secret, ClientRequestToken=version, SecretString=current + "!", VersionStages=["AWSPENDING"]
        )
    if event["Step"] == "testSecret":
        client.get_secret_value(SecretId=secret, VersionId=version, VersionStage="AWSPENDING")
    if event["Step"] == "finishSecret":
        stages = client.describe_secret(SecretId=secret)["VersionIdsToStages"]
        (current,) = [name for name, labels in stages.items() if "AWSCURRENT" in labels]
        client.update_secret_version_stage(
            SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=version, RemoveFromVersionId=current
        )
"""


def test_a_function_rotates_what_its_role_may_decrypt(server: ServerProcess, sm: Any, key: str, name: str) -> None:
    iam, functions = server.client("iam"), server.client("lambda")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName="rotator", AssumeRolePolicyDocument=document(trust))["Role"]["Arn"]
    iam.put_role_policy(
        RoleName="rotator",
        PolicyName="all",
        PolicyDocument=document(
            allow("secretsmanager:*"),
            allow(["kms:Decrypt", "kms:GenerateDataKey"], key),
        ),
    )
    function = functions.create_function(
        FunctionName="rotator",
        Runtime=f"python3.{sys.version_info.minor}",
        Role=role,
        Handler="lambda_function.lambda_handler",
        Code={"ZipFile": zip_package({"lambda_function.py": FUNCTION})},
        Timeout=60,
    )["FunctionArn"]
    functions.add_permission(
        FunctionName="rotator",
        StatementId="rotation",
        Action="lambda:InvokeFunction",
        Principal="secretsmanager.amazonaws.com",
    )
    sm.create_secret(Name=name, SecretString="first", KmsKeyId=key)

    version_id = sm.rotate_secret(SecretId=name, RotationLambdaARN=function)["VersionId"]

    wait_until(lambda: sm.get_secret_value(SecretId=name)["VersionId"] == version_id, "it was rotated", server)
    assert sm.get_secret_value(SecretId=name)["SecretString"] == "first!"
    assert key_ids(sm, name) == [[key], [key]]


# The AWS command line


def test_keys_on_the_command_line(server: ServerProcess, tmp_path: Path) -> None:
    aws = Cli(TODAYS, ("--output", "json"), server.environ())
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(b"\x00 binary")

    key = aws("kms", "create-key", "--description", "cli", "--tags", "TagKey=a,TagValue=b")["KeyMetadata"]["KeyId"]
    aws("kms", "create-alias", "--alias-name", "alias/cli", "--target-key-id", key)
    context = ("--encryption-context", "a=b")
    blob = aws("kms", "encrypt", "--key-id", "alias/cli", "--plaintext", f"fileb://{plain}", *context)["CiphertextBlob"]
    sealed.write_bytes(base64.b64decode(blob))
    opened = aws("kms", "decrypt", "--ciphertext-blob", f"fileb://{sealed}", *context)
    listed = aws("kms", "list-aliases", "--query", "Aliases[?AliasName=='alias/cli'].TargetKeyId")

    assert base64.b64decode(opened["Plaintext"]) == plain.read_bytes()
    assert listed == [key]
    assert aws.refused("kms", "decrypt", "--ciphertext-blob", f"fileb://{sealed}") == (
        "An error occurred (InvalidCiphertextException) when calling the Decrypt operation:"
    )


def test_a_secret_under_a_key_on_the_command_line(server: ServerProcess) -> None:
    aws = Cli(TODAYS, ("--output", "json"), server.environ())
    key = aws("kms", "create-key")["KeyMetadata"]["Arn"]
    aws("kms", "create-alias", "--alias-name", "alias/cli-secret", "--target-key-id", key)

    value = ("--secret-string", "v", "--kms-key-id", "alias/cli-secret")
    secret = aws("secretsmanager", "create-secret", "--name", "cli", *value)["ARN"]
    assert aws("secretsmanager", "describe-secret", "--secret-id", secret)["KmsKeyId"] == "alias/cli-secret"
    assert aws("secretsmanager", "get-secret-value", "--secret-id", "cli")["SecretString"] == "v"
    aws("kms", "disable-key", "--key-id", key)

    assert aws.refused("secretsmanager", "get-secret-value", "--secret-id", "cli").startswith(
        "An error occurred (DecryptionFailure) when calling the GetSecretValue operation: Secrets Manager can't"
        f" decrypt the secret value: {key} is disabled. ("
    )
    aws("kms", "enable-key", "--key-id", key)
    aws("secretsmanager", "update-secret", "--secret-id", "cli", "--kms-key-id", "alias/aws/secretsmanager")
    aws("kms", "schedule-key-deletion", "--key-id", key, "--pending-window-in-days", "7")
    assert aws("secretsmanager", "get-secret-value", "--secret-id", "cli")["SecretString"] == "v"
