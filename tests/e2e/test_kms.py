"""KMS through boto3: keys and their lives, what they encrypt, aliases, key policies, other accounts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from .callers import Caller, allow, deny, document
from .conftest import Account, Credentials, ServerProcess
from .refusals import refusal

CONTEXT = {"purpose": "test", "Tenant": "a"}


@pytest.fixture(scope="module")
def kms(server: ServerProcess) -> Any:
    return server.client("kms")


@pytest.fixture(scope="module")
def other(server: ServerProcess) -> Account:
    return server.create_account("Payments team")


@pytest.fixture
def user(server: ServerProcess) -> Caller:
    return Caller(server, "user")


@pytest.fixture
def key(kms: Any) -> str:
    arn: str = kms.create_key()["KeyMetadata"]["Arn"]
    return arn


def statement(principal: Any, action: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*", **more}


def root_of(account_id: str) -> dict[str, Any]:
    return statement({"AWS": f"arn:aws:iam::{account_id}:root"}, "kms:*")


def events(server: ServerProcess, arn: str) -> list[dict[str, Any]]:
    """What happened to a key, newest first."""
    found = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": arn}]
    )["Events"]
    return [json.loads(event["CloudTrailEvent"]) for event in found]


# Keys


def test_the_life_of_a_key(kms: Any, server: ServerProcess) -> None:
    made = kms.create_key(Description="of the shop", Tags=[{"TagKey": "team", "TagValue": "shop"}])["KeyMetadata"]
    key_id, arn = made["KeyId"], made["Arn"]

    assert arn == f"arn:aws:kms:{server.region}:{server.account_id}:key/{key_id}"
    assert abs(made.pop("CreationDate") - datetime.now(UTC)) < timedelta(minutes=1)
    assert len(bytes.fromhex(made.pop("CurrentKeyMaterialId"))) == 32
    assert made == {
        "AWSAccountId": server.account_id,
        "KeyId": key_id,
        "Arn": arn,
        "Enabled": True,
        "Description": "of the shop",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": False,
    }
    kms.update_key_description(KeyId=key_id, Description="of the old shop")
    kms.disable_key(KeyId=arn)
    described = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    assert (described["Description"], described["KeyState"], described["Enabled"]) == (
        "of the old shop",
        "Disabled",
        False,
    )
    kms.enable_key(KeyId=key_id)
    scheduled = kms.schedule_key_deletion(KeyId=key_id)
    assert (scheduled["KeyId"], scheduled["KeyState"], scheduled["PendingWindowInDays"]) == (arn, "PendingDeletion", 30)
    pending = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    assert (pending["KeyState"], pending["Enabled"], pending["DeletionDate"]) == (
        "PendingDeletion",
        False,
        scheduled["DeletionDate"],
    )
    assert abs(pending["DeletionDate"] - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)
    assert kms.cancel_key_deletion(KeyId=key_id)["KeyId"] == arn
    cancelled = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    assert cancelled["KeyState"] == "Disabled"
    assert "DeletionDate" not in cancelled


def test_keys_are_listed_page_by_page(server: ServerProcess) -> None:
    kms = server.client("kms", region="eu-north-1")
    made = sorted(kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(3))

    first = kms.list_keys(Limit=2)
    rest = kms.list_keys(Marker=first["NextMarker"])

    assert first["Truncated"]
    assert not rest["Truncated"]
    assert "NextMarker" not in rest
    listed = first["Keys"] + rest["Keys"]
    assert [entry["KeyId"] for entry in listed] == made
    assert listed[0]["KeyArn"] == f"arn:aws:kms:eu-north-1:{server.account_id}:key/{made[0]}"
    assert refusal(kms.list_keys, Marker="invented").code == "InvalidMarkerException"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}, "UnsupportedOperationException"),
        ({"CustomerMasterKeySpec": "ECC_NIST_P256"}, "UnsupportedOperationException"),
        ({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}, "UnsupportedOperationException"),
        ({"Origin": "EXTERNAL"}, "UnsupportedOperationException"),
        ({"MultiRegion": True}, "UnsupportedOperationException"),
        ({"KeySpec": "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT"}, "ValidationException"),
        ({"Tags": [{"TagKey": "aws:a", "TagValue": ""}]}, "TagException"),
    ],
)
def test_keys_that_are_not_offered_are_refused(kms: Any, request_: dict[str, Any], code: str) -> None:
    before = len(kms.list_keys()["Keys"])

    assert refusal(kms.create_key, **request_).code == code
    assert len(kms.list_keys()["Keys"]) == before


@pytest.mark.parametrize("days", [6, 31])
def test_a_key_waits_for_its_end_between_7_and_30_days(kms: Any, key: str, days: int) -> None:
    refused = refusal(kms.schedule_key_deletion, KeyId=key, PendingWindowInDays=days)
    assert (refused.code, refused.status) == ("ValidationException", 400)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"


def test_keys_have_tags(kms: Any, key: str) -> None:
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "b", "TagValue": "1"}, {"TagKey": "a", "TagValue": ""}])
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "b", "TagValue": "2"}])
    tags = kms.list_resource_tags(KeyId=key)
    assert (tags["Tags"], tags["Truncated"]) == (
        [{"TagKey": "a", "TagValue": ""}, {"TagKey": "b", "TagValue": "2"}],
        False,
    )
    kms.untag_resource(KeyId=key, TagKeys=["a", "never"])
    assert kms.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "b", "TagValue": "2"}]


# Ciphertexts


def test_what_a_key_encrypts_it_decrypts_with_the_same_context(kms: Any, key: str) -> None:
    encrypted = kms.encrypt(KeyId=key, Plaintext=b"a plaintext", EncryptionContext=CONTEXT)
    blob = encrypted["CiphertextBlob"]
    decrypted = kms.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)

    assert b"a plaintext" not in blob
    assert (encrypted["KeyId"], decrypted["KeyId"], decrypted["Plaintext"]) == (key, key, b"a plaintext")
    assert encrypted["EncryptionAlgorithm"] == decrypted["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    for context in ({}, {**CONTEXT, "more": "x"}, {**CONTEXT, "purpose": "Test"}):
        assert refusal(kms.decrypt, CiphertextBlob=blob, EncryptionContext=context).code == "InvalidCiphertextException"
    for changed in (blob[:-1] + bytes([blob[-1] ^ 1]), blob[:-1], b"nothing of the kind"):
        refused = refusal(kms.decrypt, CiphertextBlob=changed, EncryptionContext=CONTEXT)
        assert (refused.code, refused.status) == ("InvalidCiphertextException", 400)
    another = kms.create_key()["KeyMetadata"]["KeyId"]
    assert refusal(kms.decrypt, CiphertextBlob=blob, EncryptionContext=CONTEXT, KeyId=another).code == (
        "IncorrectKeyException"
    )


@pytest.mark.parametrize(("asked", "size"), [({"KeySpec": "AES_256"}, 32), ({"NumberOfBytes": 1024}, 1024)])
def test_data_keys_come_in_the_clear_and_encrypted(kms: Any, key: str, asked: dict[str, Any], size: int) -> None:
    made = kms.generate_data_key(KeyId=key, EncryptionContext=CONTEXT, **asked)
    hidden = kms.generate_data_key_without_plaintext(KeyId=key, EncryptionContext=CONTEXT, **asked)

    assert len(made["Plaintext"]) == size
    assert (
        kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=CONTEXT)["Plaintext"]
        == (made["Plaintext"])
    )
    assert "Plaintext" not in hidden
    assert len(kms.decrypt(CiphertextBlob=hidden["CiphertextBlob"], EncryptionContext=CONTEXT)["Plaintext"]) == size
    for wrong in ({}, {"KeySpec": "AES_128", "NumberOfBytes": 16}):
        assert refusal(kms.generate_data_key, KeyId=key, **wrong).code == "ValidationException"


def test_a_ciphertext_moves_to_another_key(kms: Any, key: str) -> None:
    destination = kms.create_key()["KeyMetadata"]["Arn"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"moved", EncryptionContext=CONTEXT)["CiphertextBlob"]

    moved = kms.re_encrypt(
        CiphertextBlob=blob,
        SourceEncryptionContext=CONTEXT,
        DestinationKeyId=destination,
        DestinationEncryptionContext={"now": "here"},
    )
    kms.disable_key(KeyId=key)

    assert (moved["SourceKeyId"], moved["KeyId"]) == (key, destination)
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"now": "here"})["Plaintext"] == (
        b"moved"
    )


def test_a_key_that_is_switched_off_does_nothing_until_it_is_on_again(kms: Any, key: str) -> None:
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    uses: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (kms.encrypt, {"KeyId": key, "Plaintext": b"x"}),
        (kms.decrypt, {"CiphertextBlob": blob}),
        (kms.generate_data_key, {"KeyId": key, "KeySpec": "AES_256"}),
        (kms.generate_data_key_without_plaintext, {"KeyId": key, "KeySpec": "AES_256"}),
        (kms.re_encrypt, {"CiphertextBlob": blob, "DestinationKeyId": key}),
    ]

    kms.disable_key(KeyId=key)
    for use, request in uses:
        refused = refusal(use, **request)
        assert (refused.code, refused.message) == ("DisabledException", f"{key} is disabled.")
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    changes = [
        (change, {"KeyId": key})
        for change in (kms.enable_key, kms.disable_key, kms.schedule_key_deletion)
    ]  # fmt: skip
    for use, request in uses + changes:
        refused = refusal(use, **request)
        assert (refused.code, refused.message) == ("KMSInvalidStateException", f"{key} is pending deletion.")
    kms.cancel_key_deletion(KeyId=key)
    refused = refusal(kms.cancel_key_deletion, KeyId=key)
    assert (refused.code, refused.message) == ("KMSInvalidStateException", f"{key} is not pending deletion.")
    kms.enable_key(KeyId=key)
    for use, request in uses:
        use(**request)


def test_a_dry_run_says_what_would_happen_and_does_nothing(kms: Any, key: str) -> None:
    assert refusal(kms.encrypt, KeyId=key, Plaintext=b"x", DryRun=True).code == "DryRunOperationException"
    kms.disable_key(KeyId=key)
    assert refusal(kms.encrypt, KeyId=key, Plaintext=b"x", DryRun=True).code == "DisabledException"


# Names of keys


def test_a_key_is_found_by_all_its_names(kms: Any, server: ServerProcess, key: str) -> None:
    kms.create_alias(AliasName="alias/shop/orders", TargetKeyId=key)
    alias_arn = f"arn:aws:kms:{server.region}:{server.account_id}:alias/shop/orders"

    for name in (key, key.rpartition("/")[2], "alias/shop/orders", alias_arn):
        assert kms.describe_key(KeyId=name)["KeyMetadata"]["Arn"] == key
        assert kms.encrypt(KeyId=name, Plaintext=b"x")["KeyId"] == key


def test_names_of_nothing_are_refused_as_by_aws(kms: Any, server: ServerProcess) -> None:
    nothing = "12345678-1234-1234-1234-123456789012"
    arn = f"arn:aws:kms:{server.region}:{server.account_id}:key/{nothing}"
    alias_arn = f"arn:aws:kms:{server.region}:{server.account_id}:alias/none"
    for asked, message in (
        (nothing, f"Key '{arn}' does not exist"),
        (arn, f"Key '{arn}' does not exist"),
        ("alias/none", f"Alias {alias_arn} is not found."),
        (alias_arn, f"Alias {alias_arn} is not found."),
        ("what", "Invalid keyId 'what'"),
        (arn.replace(server.region, "eu-west-3"), "Invalid arn eu-west-3"),
    ):
        refused = refusal(kms.describe_key, KeyId=asked)
        assert (refused.code, refused.message, refused.status) == ("NotFoundException", message, 400)


def test_an_alias_goes_from_key_to_key(kms: Any, server: ServerProcess, key: str) -> None:
    second = kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/moving", TargetKeyId=key)
    refused = refusal(kms.create_alias, AliasName="alias/moving", TargetKeyId=second)
    arn = f"arn:aws:kms:{server.region}:{server.account_id}:alias/moving"
    assert (refused.code, refused.message) == (
        "AlreadyExistsException",
        f"An alias with the name {arn} already exists",
    )

    kms.update_alias(AliasName="alias/moving", TargetKeyId=second)

    assert kms.describe_key(KeyId="alias/moving")["KeyMetadata"]["Arn"] == second
    assert kms.list_aliases(KeyId=key)["Aliases"] == []
    (entry,) = kms.list_aliases(KeyId=second)["Aliases"]
    assert (entry["AliasName"], entry["AliasArn"], entry["TargetKeyId"]) == (
        "alias/moving",
        arn,
        second.rpartition("/")[2],
    )
    assert entry["LastUpdatedDate"] >= entry["CreationDate"]
    kms.delete_alias(AliasName="alias/moving")
    assert refusal(kms.delete_alias, AliasName="alias/moving").message == f"Alias {arn} is not found."
    assert kms.describe_key(KeyId=second)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("alias/aws/mine", "NotAuthorizedException"),
        ("mine", "ValidationException"),
        ("alias/b a d", "ValidationException"),
    ],
)
def test_aliases_that_cannot_be(kms: Any, key: str, name: str, code: str) -> None:
    assert refusal(kms.create_alias, AliasName=name, TargetKeyId=key).code == code


def test_aliases_are_refused_where_a_key_is_changed(kms: Any, key: str) -> None:
    kms.create_alias(AliasName="alias/not-for-changes", TargetKeyId=key)
    alias_arn = kms.list_aliases(KeyId=key)["Aliases"][0]["AliasArn"]

    refused = refusal(kms.disable_key, KeyId="alias/not-for-changes")
    assert (refused.code, refused.message) == ("NotFoundException", "Invalid keyId 'alias/not-for-changes'")
    refused = refusal(kms.disable_key, KeyId=alias_arn)
    assert (refused.code, refused.message) == (
        "InvalidArnException",
        "Key Aliases are not supported for this operation.",
    )
    assert refusal(kms.update_alias, AliasName="alias/not-for-changes", TargetKeyId="alias/x").code == (
        "ValidationException"
    )


# Who may


def test_a_key_made_without_policy_leaves_it_to_the_account(
    kms: Any, server: ServerProcess, key: str, user: Caller
) -> None:
    assert json.loads(kms.get_key_policy(KeyId=key)["Policy"]) == {
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [{"Sid": "Enable IAM User Permissions", **root_of(server.account_id)}],
    }
    assert kms.list_key_policies(KeyId=key)["PolicyNames"] == ["default"]
    client = user.client("kms")

    refused = refusal(client.encrypt, KeyId=key, Plaintext=b"x")
    assert refused.code == "AccessDeniedException"
    assert refused.message == (
        f"User: {user.arn} is not authorized to perform: kms:Encrypt on resource: {key} because no identity-based"
        " policy allows the kms:Encrypt action"
    )
    user.may(allow("kms:Encrypt", key))
    blob = client.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert refusal(client.decrypt, CiphertextBlob=blob).code == "AccessDeniedException"


def test_without_the_key_policy_identity_policies_allow_nothing(kms: Any, key: str, user: Caller) -> None:
    user.may(allow("kms:*"))
    policy = document(statement({"AWS": user.arn}, "kms:Encrypt"))
    refused = refusal(kms.put_key_policy, KeyId=key, PolicyName="default", Policy=policy)
    assert (refused.code, refused.message) == (
        "MalformedPolicyDocumentException",
        "The new key policy will not allow you to update the key policy in the future.",
    )

    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy, BypassPolicyLockoutSafetyCheck=True)

    client = user.client("kms")
    assert client.encrypt(KeyId=key, Plaintext=b"x")["KeyId"] == key
    for caller, action, request in (
        (client, "describe_key", {"KeyId": key}),
        (kms, "encrypt", {"KeyId": key, "Plaintext": b"x"}),
        (kms, "get_key_policy", {"KeyId": key}),
        (kms, "schedule_key_deletion", {"KeyId": key}),
    ):
        refused = refusal(getattr(caller, action), **request)
        assert refused.code == "AccessDeniedException"
        assert "because no resource-based policy allows the kms:" in refused.message


def test_who_may_make_keys_gives_them_only_policies_that_they_can_change(server: ServerProcess, user: Caller) -> None:
    user.may(allow("kms:CreateKey"))
    client, policy = user.client("kms"), document(root_of(server.account_id))

    assert client.create_key()["KeyMetadata"]["Enabled"]
    assert refusal(client.create_key, Policy=policy).code == "MalformedPolicyDocumentException"
    assert client.create_key(Policy=policy, BypassPolicyLockoutSafetyCheck=True)
    user.may(allow(["kms:CreateKey", "kms:PutKeyPolicy"]))
    assert client.create_key(Policy=policy)
    # Tags at birth need leave of their own.
    assert refusal(client.create_key, Tags=[{"TagKey": "a", "TagValue": "b"}]).code == "AccessDeniedException"


def test_a_key_policy_allows_by_itself_and_a_deny_wins(kms: Any, server: ServerProcess, user: Caller) -> None:
    policy = [root_of(server.account_id), statement({"AWS": user.arn}, "kms:Encrypt")]
    key = kms.create_key(Policy=document(*policy))["KeyMetadata"]["Arn"]
    client = user.client("kms")
    assert client.encrypt(KeyId=key, Plaintext=b"x")
    user.may(deny("kms:*", key))

    refused = refusal(client.encrypt, KeyId=key, Plaintext=b"x")

    assert refused.message.endswith("with an explicit deny in an identity-based policy")
    (record,) = [event for event in events(server, key) if event.get("errorCode") == "AccessDenied"]
    assert record["eventSource"] == "kms.amazonaws.com"


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ("{", "MalformedPolicyDocumentException"),
        ('{"Version": "2012-10-17", "Statement": []}', "MalformedPolicyDocumentException"),
        (document(allow("kms:*")), "MalformedPolicyDocumentException"),
        (document(statement({"AWS": "nobody"}, "kms:*")), "MalformedPolicyDocumentException"),
        (document(statement({"AWS": "arn:aws:iam::111122223333:root"}, "kms:*")), "MalformedPolicyDocumentException"),
    ],
    ids=["no JSON", "no statement", "no principal", "no such principal", "locks out"],
)
def test_a_policy_that_cannot_be_is_refused_and_changes_nothing(kms: Any, key: str, policy: str, code: str) -> None:
    before = kms.get_key_policy(KeyId=key)["Policy"]

    assert refusal(kms.put_key_policy, KeyId=key, Policy=policy).code == code
    assert refusal(kms.create_key, Policy=policy).code == code
    assert kms.get_key_policy(KeyId=key)["Policy"] == before


def test_a_policy_names_only_users_that_exist(kms: Any, server: ServerProcess, key: str) -> None:
    ghost = f"arn:aws:iam::{server.account_id}:user/ghost"
    policy = document(root_of(server.account_id), statement({"AWS": ghost}, "kms:Encrypt"))

    refused = refusal(kms.put_key_policy, KeyId=key, Policy=policy)

    assert (refused.code, refused.message) == (
        "MalformedPolicyDocumentException",
        "Policy contains a statement with one or more invalid principals.",
    )


@pytest.mark.parametrize(
    ("condition", "context", "is_allowed"),
    [
        ({"StringEquals": {"kms:EncryptionContext:purpose": "test"}}, CONTEXT, True),
        ({"StringEquals": {"kms:EncryptionContext:purpose": "test"}}, {"purpose": "other"}, False),
        ({"StringEquals": {"kms:EncryptionContext:purpose": "test"}}, {}, False),
        ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["purpose", "Tenant"]}}, CONTEXT, True),
        ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["purpose"]}}, CONTEXT, False),
        ({"Null": {"kms:EncryptionContextKeys": "false"}}, {}, False),
        ({"StringEquals": {"kms:CallerAccount": "${aws:PrincipalAccount}"}}, {}, True),
        ({"StringEquals": {"kms:CallerAccount": "111122223333"}}, {}, False),
        ({"Null": {"kms:ViaService": "true"}}, {}, True),
        ({"StringLike": {"kms:ViaService": "secretsmanager.*.amazonaws.com"}}, {}, False),
        ({"StringEquals": {"kms:RequestAlias": "alias/x"}}, {}, False),
    ],
)
def test_conditions_look_at_the_context_and_the_caller(
    key: str, user: Caller, condition: dict[str, Any], context: dict[str, str], is_allowed: bool
) -> None:
    user.may(allow("kms:Encrypt", key, Condition=condition))
    request = {"KeyId": key, "Plaintext": b"x", "EncryptionContext": context}
    client = user.client("kms")

    if is_allowed:
        assert client.encrypt(**request)
    else:
        assert refusal(client.encrypt, **request).code == "AccessDeniedException"


def test_conditions_look_at_tags_and_aliases(kms: Any, key: str, user: Caller) -> None:
    client = user.client("kms")
    user.may(
        allow("kms:Encrypt", Condition={"StringEquals": {"aws:ResourceTag/team": "shop"}}),
        allow("kms:DescribeKey", Condition={"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/of-shop"}}),
    )
    for call, request in ((client.encrypt, {"KeyId": key, "Plaintext": b"x"}), (client.describe_key, {"KeyId": key})):
        assert refusal(call, **request).code == "AccessDeniedException"

    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "team", "TagValue": "shop"}])
    kms.create_alias(AliasName="alias/of-shop", TargetKeyId=key)

    assert client.encrypt(KeyId=key, Plaintext=b"x")
    assert client.describe_key(KeyId=key)


def test_an_alias_needs_leave_on_itself_and_on_its_key(server: ServerProcess, key: str, user: Caller) -> None:
    client = user.client("kms")
    alias = f"arn:aws:kms:{server.region}:{server.account_id}:alias/both"
    for missing, statements in ((key, [allow("kms:CreateAlias", alias)]), (alias, [allow("kms:CreateAlias", key)])):
        user.may(*statements)
        refused = refusal(client.create_alias, AliasName="alias/both", TargetKeyId=key)
        assert refused.code == "AccessDeniedException"
        assert f"kms:CreateAlias on resource: {missing} " in refused.message
    user.may(allow("kms:CreateAlias", [alias, key]))
    client.create_alias(AliasName="alias/both", TargetKeyId=key)


def test_another_account_uses_a_key_by_its_arn_if_both_sides_allow_it(
    kms: Any, server: ServerProcess, other: Account, key: str
) -> None:
    kms.create_alias(AliasName="alias/shared", TargetKeyId=key)
    alias_arn = kms.list_aliases(KeyId=key)["Aliases"][0]["AliasArn"]
    theirs = server.client("kms", other.admin)
    caller = f"arn:aws:iam::{other.account_id}:user/administrator"
    refused = refusal(theirs.encrypt, KeyId=key, Plaintext=b"x")
    assert refused.code == "AccessDeniedException"
    assert refused.message == (
        f"User: {caller} is not authorized to perform: kms:Encrypt on resource: {key} because no resource-based policy"
        " allows the kms:Encrypt action"
    )
    shared = statement(
        {"AWS": f"arn:aws:iam::{other.account_id}:root"}, ["kms:Encrypt", "kms:Decrypt", "kms:Describe*"]
    )
    kms.put_key_policy(KeyId=key, Policy=document(root_of(server.account_id), shared))

    blob = theirs.encrypt(KeyId=alias_arn, Plaintext=b"theirs")["CiphertextBlob"]

    assert theirs.decrypt(CiphertextBlob=blob)["KeyId"] == key
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"theirs"
    for name in (key.rpartition("/")[2], "alias/shared"):
        assert refusal(theirs.describe_key, KeyId=name).code == "NotFoundException"
    assert theirs.describe_key(KeyId=key)["KeyMetadata"]["AWSAccountId"] == server.account_id
    # What changes a key is its own account's, whatever the policy says.
    kms.put_key_policy(
        KeyId=key,
        Policy=document(root_of(server.account_id), statement({"AWS": other.account_id}, "kms:*")),
    )
    assert refusal(theirs.disable_key, KeyId=key).code == "AccessDeniedException"
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Enabled"]
    ours = [event for event in events(server, key) if event["userIdentity"]["accountId"] == other.account_id]
    assert {event["recipientAccountId"] for event in ours} == {server.account_id}
    assert {event["eventName"] for event in ours} == {"Encrypt", "Decrypt", "DescribeKey"}


def test_an_alias_of_another_account_does_not_tell_a_stranger_of_its_key(
    kms: Any, server: ServerProcess, other: Account, key: str
) -> None:
    kms.create_alias(AliasName="alias/isok", TargetKeyId=key)
    there = f"{key.partition(':key/')[0]}:alias/isok"
    absent = there.replace("isok", "isno")
    # A user whose own policy is about keys alone must not tell aliases apart by it either.
    iam = server.client("iam", other.admin)
    iam.create_user(UserName="prober")
    made = iam.create_access_key(UserName="prober")["AccessKey"]
    iam.put_user_policy(
        UserName="prober",
        PolicyName="keys",
        PolicyDocument=document(allow("kms:*", key.partition("/")[0] + "/*")),
    )
    prober = Credentials(made["AccessKeyId"], made["SecretAccessKey"])
    for signer in (other.admin, prober):
        theirs = server.client("kms", signer)
        for call, more in (
            (theirs.encrypt, {"Plaintext": b"x"}),
            (theirs.decrypt, {"CiphertextBlob": b"x"}),
            (theirs.describe_key, {}),
            (theirs.disable_key, {}),
        ):
            told = [refusal(call, KeyId=asked, **more) for asked in (there, absent)]
            assert f"on resource: {there} because no resource-based policy allows" in told[0].message
            assert [one.code for one in told] == ["AccessDeniedException"] * 2
            assert told[0].message == told[1].message.replace(absent, there)
    refusal(server.client("secretsmanager", other.admin).create_secret, Name="probe", SecretString="x", KmsKeyId=there)

    found = server.client("cloudtrail", other.admin).lookup_events()["Events"]
    assert there in str(found)
    assert key.rpartition("/")[2] not in str(found)
    ours = [event for event in events(server, key) if event["userIdentity"]["accountId"] == other.account_id]
    assert {event["eventName"] for event in ours} >= {"Encrypt", "DescribeKey", "GenerateDataKey"}
    assert all(event["sharedEventID"] and event["resources"][0]["ARN"] == key for event in ours)


# Keys that are nobody's to change


def test_the_default_key_is_there_when_it_is_asked_for_and_secrets_manager_alone_uses_it(
    server: ServerProcess,
) -> None:
    kms = server.client("kms", region="eu-central-1")
    assert kms.list_keys()["Keys"] == kms.list_aliases()["Aliases"] == []

    described = kms.describe_key(KeyId="alias/aws/secretsmanager")["KeyMetadata"]

    arn = described["Arn"]
    assert (described["KeyManager"], described["Description"]) == (
        "AWS",
        "Default key that protects my Secrets Manager data when no other key is defined",
    )
    assert [entry["KeyArn"] for entry in kms.list_keys()["Keys"]] == [arn]
    assert [entry["AliasName"] for entry in kms.list_aliases()["Aliases"]] == ["alias/aws/secretsmanager"]
    assert json.loads(kms.get_key_policy(KeyId=arn)["Policy"])["Id"] == "auto-secretsmanager-2"
    for action, request in (
        ("encrypt", {"Plaintext": b"x"}),
        ("generate_data_key", {"KeySpec": "AES_256"}),
        ("disable_key", {}),
        ("schedule_key_deletion", {}),
        ("put_key_policy", {"Policy": document(root_of(server.account_id))}),
        ("tag_resource", {"Tags": [{"TagKey": "a", "TagValue": "b"}]}),
    ):
        refused = refusal(getattr(kms, action), KeyId=arn, **request)
        assert refused.code == "AccessDeniedException", action
        assert "because no resource-based policy allows" in refused.message
    assert refusal(kms.delete_alias, AliasName="alias/aws/secretsmanager").code == "NotAuthorizedException"


def test_keyturns_own_key_is_not_there_for_anybody(kms: Any, server: ServerProcess) -> None:
    with closing(sqlite3.connect(server.data_dir / "keyturn.db")) as database:
        ((key_id, arn),) = database.execute("SELECT key_id, arn FROM kms_keys WHERE manager = 'KEYTURN'").fetchall()

    assert key_id not in {
        entry["KeyId"] for page in kms.get_paginator("list_keys").paginate() for entry in page["Keys"]
    }
    for asked in (key_id, arn):
        for call, request in (
            (kms.describe_key, {}),
            (kms.encrypt, {"Plaintext": b"x"}),
            (kms.get_key_policy, {}),
            (kms.schedule_key_deletion, {}),
            (kms.create_alias, {"AliasName": "alias/caught"}),
        ):
            name = "TargetKeyId" if request.get("AliasName") else "KeyId"
            assert refusal(call, **{name: asked, **request}).message == f"Key '{arn}' does not exist"
    # What it has sealed is no ciphertext for callers either: a page token is one.
    token = kms.list_keys(Limit=1)["NextMarker"]
    assert refusal(kms.decrypt, CiphertextBlob=token.encode()).code == "InvalidCiphertextException"


def test_keys_survive_a_kill(own_server: ServerProcess) -> None:
    own_server.start()
    kms = own_server.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/kept", TargetKeyId=key)
    blob = kms.encrypt(KeyId="alias/kept", Plaintext=b"kept")["CiphertextBlob"]

    own_server.kill()
    own_server.start()

    assert own_server.client("kms").decrypt(CiphertextBlob=blob, KeyId="alias/kept")["Plaintext"] == b"kept"
