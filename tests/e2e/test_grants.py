"""Grants through boto3 and the AWS CLI: who may use a key by one, who may end it, and what is refused."""

from __future__ import annotations

import base64
import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from .callers import Caller, allow, deny, document
from .conftest import Account, Credentials, ServerProcess
from .refusals import refusal
from .test_awscli import TODAYS, Cli

IT, MORE = {"Department": "IT"}, {"Department": "IT", "Purpose": "Test"}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def kms(server: ServerProcess) -> Any:
    return server.client("kms")


@pytest.fixture(scope="module")
def other(server: ServerProcess) -> Account:
    return server.create_account("Payments team")


@pytest.fixture
def user(server: ServerProcess) -> Caller:
    """Somebody whose own policies allow nothing."""
    return Caller(server, "user")


@pytest.fixture
def key(kms: Any) -> str:
    arn: str = kms.create_key()["KeyMetadata"]["Arn"]
    return arn


def grant(kms: Any, key: str, grantee: str, *operations: str, **more: Any) -> Any:
    return kms.create_grant(KeyId=key, GranteePrincipal=grantee, Operations=list(operations), **more)


def listed(kms: Any, key: str, **request: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = kms.list_grants(KeyId=key, **request)["Grants"]
    return found


def somebody_of(server: ServerProcess, account: Account) -> tuple[str, Credentials]:
    """A user of another account without any policy."""
    iam, name = server.client("iam", account.admin), f"somebody-{next(_numbers)}"
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return arn, Credentials(made["AccessKeyId"], made["SecretAccessKey"])


# Using a key


def test_a_grant_lets_somebody_use_a_key_until_it_is_revoked(kms: Any, key: str, user: Caller) -> None:
    client = user.client("kms")
    denied = refusal(client.encrypt, KeyId=key, Plaintext=b"x")
    assert "because no identity-based policy allows the kms:Encrypt action" in denied.message

    made = grant(kms, key, user.arn, "Encrypt", "Decrypt", "DescribeKey")
    blob = client.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert client.describe_key(KeyId=key)["KeyMetadata"]["Arn"] == key
    for call, request in (
        (client.generate_data_key, {"KeySpec": "AES_256"}),
        (client.disable_key, {}),
        (client.list_grants, {}),
        (client.create_grant, {"GranteePrincipal": user.arn, "Operations": ["Decrypt"]}),
        (client.revoke_grant, {"GrantId": made["GrantId"]}),
    ):
        assert refusal(call, KeyId=key, **request).code == "AccessDeniedException"
    kms.revoke_grant(KeyId=key, GrantId=made["GrantId"])
    for call, request in (
        (client.encrypt, {"KeyId": key, "Plaintext": b"x"}),
        (client.decrypt, {"CiphertextBlob": blob}),
        (client.describe_key, {"KeyId": key}),
    ):
        assert refusal(call, **request).code == "AccessDeniedException"
    assert listed(kms, key) == []


def test_a_grant_is_listed_as_it_was_made(kms: Any, key: str, user: Caller, server: ServerProcess) -> None:
    admin = f"arn:aws:iam::{server.account_id}:user/administrator"
    made = grant(
        kms, key.rpartition("/")[2], user.arn, "Decrypt", "RetireGrant", "Decrypt",
        RetiringPrincipal=admin, Constraints={"EncryptionContextSubset": IT}, Name="for/the-shop",
    )  # fmt: skip
    plain = grant(kms, key, user.arn, "Encrypt")

    (entry,) = listed(kms, key, GrantId=made["GrantId"])
    assert abs(entry.pop("CreationDate") - datetime.now(UTC)) < timedelta(minutes=1)
    assert len(bytes.fromhex(entry["GrantId"])) == 32
    assert entry == {
        "KeyId": key,
        "GrantId": made["GrantId"],
        "Name": "for/the-shop",
        "GranteePrincipal": user.arn,
        "RetiringPrincipal": admin,
        "IssuingAccount": f"arn:aws:iam::{server.account_id}:root",
        "Operations": ["Decrypt", "RetireGrant"],
        "Constraints": {"EncryptionContextSubset": IT},
    }
    (entry,) = listed(kms, key, GrantId=plain["GrantId"], GranteePrincipal=user.arn)
    assert entry["Name"] == ""
    assert not {"RetiringPrincipal", "Constraints"} & set(entry)
    assert {entry["GrantId"] for entry in listed(kms, key, GranteePrincipal=user.arn)} == {
        made["GrantId"],
        plain["GrantId"],
    }
    assert listed(kms, key, GranteePrincipal=admin) == listed(kms, key, GrantId="0" * 64) == []


@pytest.mark.parametrize(
    ("constraints", "context", "is_allowed"),
    [
        ({"EncryptionContextEquals": IT}, IT, True),
        ({"EncryptionContextEquals": IT}, MORE, False),
        ({"EncryptionContextEquals": IT}, {"department": "IT"}, False),
        ({"EncryptionContextEquals": IT}, {}, False),
        ({"EncryptionContextSubset": IT}, MORE, True),
        ({"EncryptionContextSubset": MORE}, IT, False),
        ({"EncryptionContextSubset": {"a": "${aws:username}*"}}, {"a": "${aws:username}*"}, True),
        ({"EncryptionContextSubset": {"a": "*"}}, {"a": "b"}, False),
    ],
)
def test_a_constraint_looks_at_the_encryption_context(
    kms: Any, key: str, user: Caller, constraints: dict[str, Any], context: dict[str, str], is_allowed: bool
) -> None:
    grant(kms, key, user.arn, "GenerateDataKey", "DescribeKey", Constraints=constraints)
    client = user.client("kms")
    request = {"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": context}

    if is_allowed:
        assert client.generate_data_key(**request)
    else:
        assert refusal(client.generate_data_key, **request).code == "AccessDeniedException"
    assert client.describe_key(KeyId=key)


def test_re_encryption_needs_a_grant_on_both_sides(kms: Any, key: str, user: Caller) -> None:
    destination = kms.create_key()["KeyMetadata"]["Arn"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=IT)["CiphertextBlob"]
    client = user.client("kms")
    request = {"CiphertextBlob": blob, "SourceEncryptionContext": IT, "DestinationKeyId": destination}
    grant(kms, key, user.arn, "ReEncryptFrom", Constraints={"EncryptionContextEquals": IT})
    assert "kms:ReEncryptTo on" in refusal(client.re_encrypt, **request).message
    grant(kms, destination, user.arn, "ReEncryptTo", Constraints={"EncryptionContextEquals": MORE})
    assert refusal(client.re_encrypt, **request).code == "AccessDeniedException"

    moved = client.re_encrypt(**request, DestinationEncryptionContext=MORE)

    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext=MORE)["Plaintext"] == b"x"


def test_a_deny_outweighs_a_grant(kms: Any, server: ServerProcess, key: str, user: Caller) -> None:
    grant(kms, key, user.arn, "Encrypt")
    client, request = user.client("kms"), {"KeyId": key, "Plaintext": b"x"}
    user.may(deny("kms:Encrypt", key))
    assert refusal(client.encrypt, **request).message.endswith("with an explicit deny in an identity-based policy")
    user.may(allow("s3:*"))
    assert client.encrypt(**request)
    root = {"Effect": "Allow", "Principal": {"AWS": server.account_id}, "Action": "kms:*", "Resource": "*"}
    kms.put_key_policy(KeyId=key, Policy=document(root, {**root, "Effect": "Deny", "Principal": {"AWS": user.arn}}))
    assert refusal(client.encrypt, **request).message.endswith("with an explicit deny in a resource-based policy")


def test_a_grant_needs_no_word_of_the_key_policy(kms: Any, server: ServerProcess, user: Caller) -> None:
    admin = f"arn:aws:iam::{server.account_id}:user/administrator"
    only = {"Effect": "Allow", "Principal": {"AWS": admin}, "Action": "kms:*", "Resource": "*"}
    key = kms.create_key(Policy=document(only))["KeyMetadata"]["Arn"]
    user.may(allow("kms:*"))
    client = user.client("kms")
    assert refusal(client.encrypt, KeyId=key, Plaintext=b"x").code == "AccessDeniedException"

    grant(kms, key, user.arn, "Encrypt")

    assert client.encrypt(KeyId=key, Plaintext=b"x")


def test_a_role_is_granted_to_and_its_sessions_use_it(kms: Any, server: ServerProcess, key: str) -> None:
    session = Caller(server, "role")
    role = f"arn:aws:iam::{server.account_id}:role/{session.name}"
    grant(kms, key, role, "Encrypt")
    assert session.client("kms").encrypt(KeyId=key, Plaintext=b"x")
    # What narrows a session narrows what it was granted, too.
    narrow = document(allow("kms:Decrypt"))
    made = server.client("sts").assume_role(RoleArn=role, RoleSessionName="narrow", Policy=narrow)["Credentials"]
    narrowed = server.client("kms", Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]))
    refused = refusal(narrowed.encrypt, KeyId=key, Plaintext=b"x")
    assert refused.message.endswith("because no session policy allows the kms:Encrypt action")
    # One session alone can be named as well.
    grant(kms, key, session.arn, "Decrypt")
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert session.client("kms").decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert refusal(narrowed.decrypt, CiphertextBlob=blob).code == "AccessDeniedException"


def test_what_an_account_is_granted_its_policies_pass_on(
    kms: Any, server: ServerProcess, key: str, user: Caller
) -> None:
    account_root = f"arn:aws:iam::{server.account_id}:root"
    admin = f"arn:aws:iam::{server.account_id}:user/administrator"
    only = {"Effect": "Allow", "Principal": {"AWS": admin}, "Action": "kms:*", "Resource": "*"}
    kms.put_key_policy(KeyId=key, Policy=document(only))
    client, request = user.client("kms"), {"KeyId": key, "Plaintext": b"x"}
    grant(kms, key, account_root, "Encrypt")

    assert "because no identity-based policy" in refusal(client.encrypt, **request).message
    user.may(allow("kms:Encrypt", key))
    assert client.encrypt(**request)


def test_another_account_uses_a_key_by_a_grant(kms: Any, server: ServerProcess, other: Account, key: str) -> None:
    arn, credentials = somebody_of(server, other)
    theirs = server.client("kms", credentials)
    assert refusal(theirs.encrypt, KeyId=key, Plaintext=b"x").code == "AccessDeniedException"
    grant(kms, key, arn, "Encrypt", "CreateGrant", RetiringPrincipal=arn)

    blob = theirs.encrypt(KeyId=key, Plaintext=b"theirs")["CiphertextBlob"]

    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"theirs"
    assert refusal(theirs.decrypt, CiphertextBlob=blob).code == "AccessDeniedException"
    # What they grant on is granted in their name.
    friend, of_friend = somebody_of(server, other)
    made = grant(theirs, key, friend, "Encrypt")
    assert server.client("kms", of_friend).encrypt(KeyId=key, Plaintext=b"x")
    (entry,) = listed(kms, key, GrantId=made["GrantId"])
    assert entry["IssuingAccount"] == f"arn:aws:iam::{other.account_id}:root"
    retirable = server.client("kms", other.admin).list_retirable_grants(RetiringPrincipal=arn)["Grants"]
    assert [(each["KeyId"], each["GranteePrincipal"]) for each in retirable] == [(key, arn)]


# Passing on


def test_who_was_granted_grants_no_more_than_they_have(kms: Any, key: str, user: Caller, server: ServerProcess) -> None:
    friend = Caller(server, "user")
    grant(kms, key, user.arn, "Decrypt", "CreateGrant", Constraints={"EncryptionContextSubset": IT})
    client = user.client("kms")
    for operations, constraints in (
        (["Decrypt", "Encrypt"], {"EncryptionContextSubset": IT}),
        (["Decrypt"], {}),
        (["Decrypt"], {"EncryptionContextSubset": {"Purpose": "Test"}}),
        (["Decrypt", "DescribeKey"], {"EncryptionContextEquals": IT}),
    ):
        request = {"Constraints": constraints} if constraints else {}
        refused = refusal(client.create_grant, KeyId=key, GranteePrincipal=friend.arn, Operations=operations, **request)
        assert refused.code == "AccessDeniedException"
    grant(client, key, friend.arn, "Decrypt", "CreateGrant", Constraints={"EncryptionContextEquals": IT})
    # And so does who was granted by them.
    theirs = friend.client("kms")
    assert grant(theirs, key, user.arn, "Decrypt", Constraints={"EncryptionContextEquals": IT})
    again: dict[str, Any] = {"KeyId": key, "GranteePrincipal": user.arn, "Operations": ["Decrypt"]}
    for constraints in ({"EncryptionContextSubset": IT}, {"EncryptionContextEquals": MORE}):
        assert refusal(theirs.create_grant, **again, Constraints=constraints).code == "AccessDeniedException"


@pytest.mark.parametrize(
    ("condition", "is_allowed"),
    [
        ({"StringEquals": {"kms:GranteePrincipal": "{grantee}"}}, True),
        ({"StringEquals": {"kms:GranteePrincipal": "{grantee}x"}}, False),
        ({"StringEquals": {"kms:RetiringPrincipal": "{grantee}"}}, True),
        ({"Null": {"kms:RetiringPrincipal": "true"}}, False),
        ({"ForAllValues:StringEquals": {"kms:GrantOperations": ["Decrypt", "RetireGrant"]}}, True),
        ({"ForAllValues:StringEquals": {"kms:GrantOperations": ["Decrypt"]}}, False),
        ({"StringEquals": {"kms:GrantConstraintType": "EncryptionContextSubset"}}, True),
        ({"StringEquals": {"kms:GrantConstraintType": "EncryptionContextEquals"}}, False),
        ({"StringEquals": {"kms:EncryptionContext:Department": "IT"}}, True),
        ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["Purpose"]}}, False),
        ({"Bool": {"kms:GrantIsForAWSResource": "true"}}, False),
        ({"Bool": {"kms:GrantIsForAWSResource": "false"}}, True),
        ({"Null": {"kms:GranteeServicePrincipal": "true"}}, True),
        ({"StringEquals": {"kms:CallerAccount": "${aws:PrincipalAccount}"}}, True),
    ],
)
def test_conditions_look_at_the_grant_that_is_to_be_made(
    key: str, user: Caller, server: ServerProcess, condition: dict[str, Any], is_allowed: bool
) -> None:
    grantee = f"arn:aws:iam::{server.account_id}:user/administrator"
    text = json.dumps(condition).replace("{grantee}", grantee)
    user.may(allow("kms:CreateGrant", key, Condition=json.loads(text)))
    request = {
        "KeyId": key,
        "GranteePrincipal": grantee,
        "RetiringPrincipal": grantee,
        "Operations": ["Decrypt", "RetireGrant"],
        "Constraints": {"EncryptionContextSubset": IT},
    }
    client = user.client("kms")
    if is_allowed:
        assert client.create_grant(**request)["GrantId"]
    else:
        assert refusal(client.create_grant, **request).code == "AccessDeniedException"


# Retiring


def test_a_grant_is_retired_by_whom_it_names(kms: Any, key: str, user: Caller, server: ServerProcess) -> None:
    retirer, stranger = Caller(server, "user"), Caller(server, "role")
    made = [
        grant(kms, key, user.arn, "Decrypt", "RetireGrant"),
        grant(kms, key, user.arn, "Decrypt", RetiringPrincipal=retirer.arn),
        grant(kms, key, user.arn, "Decrypt"),
    ]
    by_id = [{"KeyId": key, "GrantId": each["GrantId"]} for each in made]
    for request in by_id:
        assert refusal(stranger.client("kms").retire_grant, **request).code == "AccessDeniedException"
    for request in by_id[1:]:
        assert refusal(user.client("kms").retire_grant, **request).code == "AccessDeniedException"

    user.client("kms").retire_grant(**by_id[0])
    retirer.client("kms").retire_grant(GrantToken=made[1]["GrantToken"])
    assert [entry["GrantId"] for entry in listed(kms, key)] == [made[2]["GrantId"]]
    # The account that made it can let others; the key's policy has no say.
    root = {"Effect": "Allow", "Principal": {"AWS": server.account_id}, "Action": "kms:*", "Resource": "*"}
    for_stranger = {**root, "Principal": {"AWS": stranger.arn}, "Action": "kms:RetireGrant"}
    kms.put_key_policy(KeyId=key, Policy=document(root, for_stranger))
    assert refusal(stranger.client("kms").retire_grant, **by_id[2]).code == "AccessDeniedException"
    stranger.may(allow("kms:RetireGrant", key))
    stranger.client("kms").retire_grant(**by_id[2])
    assert listed(kms, key) == []


def test_a_deny_keeps_somebody_from_retiring(kms: Any, key: str, user: Caller) -> None:
    made = grant(kms, key, user.arn, "Decrypt", RetiringPrincipal=user.arn, Constraints={"EncryptionContextEquals": IT})
    user.may(deny("kms:RetireGrant", Condition={"StringEquals": {"kms:EncryptionContext:Department": "IT"}}))
    refused = refusal(user.client("kms").retire_grant, GrantToken=made["GrantToken"])
    assert refused.message == (
        f"User: {user.arn} is not authorized to perform: kms:RetireGrant on resource: {key} with an explicit deny in an"
        " identity-based policy"
    )


def test_a_grant_of_another_account_is_retired_by_both_sides(
    kms: Any, server: ServerProcess, other: Account, key: str
) -> None:
    arn, credentials = somebody_of(server, other)
    made = [grant(kms, key, arn, "Decrypt", RetiringPrincipal=arn) for _ in range(2)]
    theirs, their_admin = server.client("kms", credentials), server.client("kms", other.admin)
    assert refusal(their_admin.retire_grant, KeyId=key, GrantId=made[0]["GrantId"]).code == "AccessDeniedException"
    theirs.retire_grant(KeyId=key, GrantId=made[0]["GrantId"])
    kms.retire_grant(GrantToken=made[1]["GrantToken"])
    # If the account itself may retire, its administrators can.
    made_for_account = grant(kms, key, arn, "Decrypt", RetiringPrincipal=f"arn:aws:iam::{other.account_id}:root")
    assert refusal(theirs.retire_grant, GrantToken=made_for_account["GrantToken"]).code == "AccessDeniedException"
    their_admin.retire_grant(GrantToken=made_for_account["GrantToken"])
    assert listed(kms, key) == []


def test_retirable_grants_are_listed_for_principals_of_the_account(
    kms: Any, server: ServerProcess, other: Account, user: Caller
) -> None:
    keys = sorted(kms.create_key()["KeyMetadata"]["Arn"] for _ in range(3))
    made = sorted(grant(kms, key, user.arn, "Decrypt", RetiringPrincipal=user.arn)["GrantId"] for key in keys)
    grant(kms, keys[0], user.arn, "Decrypt")

    first = kms.list_retirable_grants(RetiringPrincipal=user.arn, Limit=2)
    rest = kms.list_retirable_grants(RetiringPrincipal=user.arn, Marker=first["NextMarker"])

    assert (first["Truncated"], rest["Truncated"]) == (True, False)
    assert [entry["GrantId"] for entry in first["Grants"] + rest["Grants"]] == made
    assert {entry["KeyId"] for entry in first["Grants"] + rest["Grants"]} == set(keys)
    # Whoever lists needs leave for whom they name.
    assert refusal(user.client("kms").list_retirable_grants, RetiringPrincipal=user.arn).code == "AccessDeniedException"
    user.may(allow("kms:ListRetirableGrants", user.arn))
    assert len(user.client("kms").list_retirable_grants(RetiringPrincipal=user.arn)["Grants"]) == 3
    theirs = server.client("kms", other.admin)
    assert refusal(theirs.list_retirable_grants, RetiringPrincipal=user.arn).code == "AccessDeniedException"
    ghost = f"arn:aws:iam::{server.account_id}:user/ghost"
    assert refusal(kms.list_retirable_grants, RetiringPrincipal=ghost).code == "InvalidArnException"
    elsewhere = server.client("kms", region="eu-west-3")
    assert elsewhere.list_retirable_grants(RetiringPrincipal=user.arn)["Grants"] == []


# Tokens and names


def test_tokens_are_taken_where_a_grant_can_be_used_and_only_ours(kms: Any, key: str, user: Caller) -> None:
    made = grant(
        kms, key, user.arn, "Encrypt", "Decrypt", "GenerateDataKey", "DescribeKey", "ReEncryptFrom", "ReEncryptTo"
    )
    client, blob = user.client("kms"), kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    uses = [
        (client.encrypt, {"KeyId": key, "Plaintext": b"x"}),
        (client.decrypt, {"CiphertextBlob": blob}),
        (client.generate_data_key, {"KeyId": key, "KeySpec": "AES_256"}),
        (client.re_encrypt, {"CiphertextBlob": blob, "DestinationKeyId": key}),
        (client.describe_key, {"KeyId": key}),
    ]
    for use, request in uses:
        assert use(**request, GrantTokens=[made["GrantToken"]])
        refused = refusal(use, **request, GrantTokens=[made["GrantToken"], "bm8gdG9rZW4"])
        assert (refused.code, refused.status) == ("InvalidGrantTokenException", 400)
    page_token = kms.list_keys(Limit=1).get("NextMarker")
    for token in ("x", page_token, made["GrantToken"][:-2]):
        if token is not None:
            assert refusal(kms.retire_grant, GrantToken=token).code == "InvalidGrantTokenException"
    kms.retire_grant(GrantToken=made["GrantToken"])
    assert refusal(kms.retire_grant, GrantToken=made["GrantToken"]).message == f"Grant ID {made['GrantId']} not found"


def test_the_same_request_with_a_name_makes_one_grant(kms: Any, key: str, user: Caller, server: ServerProcess) -> None:
    request = {"Name": "retried", "Constraints": {"EncryptionContextEquals": IT}}
    first = grant(kms, key, user.arn, "Encrypt", "Decrypt", **request)
    again = grant(kms, key, user.arn, "Decrypt", "Encrypt", **request)

    assert first["GrantId"] == again["GrantId"]
    assert first["GrantToken"] != again["GrantToken"]
    others = [
        grant(kms, key, user.arn, "Decrypt", **request),
        grant(kms, key, user.arn, "Encrypt", "Decrypt", Name="retried"),
        grant(kms, key, user.arn, "Encrypt", "Decrypt", **request, RetiringPrincipal=user.arn),
        grant(kms, key, user.arn, "Encrypt", "Decrypt", **{**request, "Name": "another"}),
        grant(kms, kms.create_key()["KeyMetadata"]["Arn"], user.arn, "Encrypt", "Decrypt", **request),
        grant(kms, key, user.arn, "Encrypt", "Decrypt"),
        grant(kms, key, user.arn, "Encrypt", "Decrypt"),
    ]
    assert len({first["GrantId"], *(each["GrantId"] for each in others)}) == 8
    kms.retire_grant(GrantToken=again["GrantToken"])
    assert grant(kms, key, user.arn, "Encrypt", "Decrypt", **request)["GrantId"] != first["GrantId"]


def test_grants_are_listed_page_by_page(kms: Any, key: str, user: Caller) -> None:
    made = sorted(grant(kms, key, user.arn, "Decrypt")["GrantId"] for _ in range(5))
    pages = kms.get_paginator("list_grants").paginate(KeyId=key, PaginationConfig={"PageSize": 2})
    assert [[entry["GrantId"] for entry in page["Grants"]] for page in pages] == [made[:2], made[2:4], made[4:]]
    marker = kms.list_grants(KeyId=key, Limit=1)["NextMarker"]
    another = kms.create_key()["KeyMetadata"]["KeyId"]
    assert refusal(kms.list_grants, KeyId=another, Marker=marker).code == "InvalidMarkerException"


# What is refused


@pytest.mark.parametrize(
    ("request_", "code", "told"),
    [
        ({"GranteePrincipal": "arn:aws:iam::{account}:user/ghost"}, "InvalidArnException", "{principal}"),
        ({"GranteePrincipal": "arn:aws:sts::{account}:assumed-role/ghost/s"}, "InvalidArnException", "{principal}"),
        ({"GranteePrincipal": "arn:aws:iam::{account}:group/g"}, "InvalidArnException", "{principal}"),
        ({"GranteePrincipal": "sns.amazonaws.com"}, "InvalidArnException", "{principal}"),
        ({"GranteePrincipal": "arn:aws-cn:iam::{account}:root"}, "InvalidArnException", "{principal}"),
        ({"RetiringPrincipal": "arn:aws:iam::{account}:role/ghost"}, "InvalidArnException", "{retirer}"),
        ({"GranteePrincipal": None}, "ValidationException", "You must specify either"),
        ({"GranteeServicePrincipal": "sns.amazonaws.com"}, "ValidationException", "GranteeServicePrincipal"),
        ({"Constraints": {"SourceArn": "arn:aws:sns:us-east-1:111122223333:t"}}, "ValidationException", "SourceArn"),
        (
            {"Operations": ["CreateGrant"]},
            "ValidationException",
            "Grants must not contain only the CreateGrant operation.",
        ),
        ({"Operations": ["Sign"]}, "ValidationException", "Sign"),
        ({"Operations": []}, "ValidationException", "operation"),
        (
            {"Constraints": {"EncryptionContextEquals": IT, "EncryptionContextSubset": IT}},
            "ValidationException",
            "More than one constraint supplied",
        ),
        ({"GrantTokens": ["x"]}, "InvalidGrantTokenException", ""),
        ({"KeyId": "12345678-1234-1234-1234-123456789012"}, "NotFoundException", "does not exist"),
        ({"DryRun": True}, "DryRunOperationException", "would have succeeded"),
    ],
)
def test_grants_that_are_not_made(
    kms: Any, server: ServerProcess, key: str, user: Caller, request_: dict[str, Any], code: str, told: str
) -> None:
    request = {"KeyId": key, "GranteePrincipal": user.arn, "Operations": ["Decrypt"], **request_}
    for member in ("GranteePrincipal", "RetiringPrincipal"):
        if request.get(member):
            request[member] = request[member].replace("{account}", server.account_id)
    request = {name: value for name, value in request.items() if value is not None}

    refused = refusal(kms.create_grant, **request)

    invalid = "ARN does not refer to a valid principal: "
    told = told.replace("{principal}", invalid + request.get("GranteePrincipal", ""))
    told = told.replace("{retirer}", invalid + request.get("RetiringPrincipal", ""))
    assert (refused.code, refused.status) == (code, 400)
    assert told in refused.message
    assert listed(kms, key) == []


def test_names_of_nothing(kms: Any, key: str, user: Caller) -> None:
    nothing = "0123456789abcdef" * 4
    for call in (kms.revoke_grant, kms.retire_grant):
        refused = refusal(call, KeyId=key, GrantId=nothing)
        assert (refused.code, refused.message) == ("NotFoundException", f"Grant ID {nothing} not found")
    assert refusal(kms.retire_grant).code == "ValidationException"
    assert refusal(kms.retire_grant, KeyId=key).code == "ValidationException"
    another = kms.create_key()["KeyMetadata"]["KeyId"]
    made = grant(kms, key, user.arn, "Decrypt")
    assert refusal(kms.revoke_grant, KeyId=another, GrantId=made["GrantId"]).code == "NotFoundException"
    # Whoever may not ask learns nothing.
    for grant_id in (made["GrantId"], nothing):
        refused = refusal(user.client("kms").retire_grant, KeyId=key, GrantId=grant_id)
        assert refused.message.endswith("because no identity-based policy allows the kms:RetireGrant action")


def test_a_dry_run_ends_no_grant(kms: Any, key: str, user: Caller) -> None:
    made = grant(kms, key, user.arn, "Decrypt")
    for call in (kms.revoke_grant, kms.retire_grant):
        assert refusal(call, KeyId=key, GrantId=made["GrantId"], DryRun=True).code == "DryRunOperationException"
    assert len(listed(kms, key)) == 1


def test_a_key_that_is_switched_off_is_granted_to_nobody(kms: Any, key: str, user: Caller) -> None:
    made = [grant(kms, key, user.arn, "Decrypt") for _ in range(2)]
    request = {"KeyId": key, "GranteePrincipal": user.arn, "Operations": ["Decrypt"]}
    kms.disable_key(KeyId=key)
    assert refusal(kms.create_grant, **request).message == f"{key} is disabled."
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    refused = refusal(kms.create_grant, **request)
    assert (refused.code, refused.message) == ("KMSInvalidStateException", f"{key} is pending deletion.")
    assert len(listed(kms, key)) == 2
    kms.revoke_grant(KeyId=key, GrantId=made[0]["GrantId"])
    kms.retire_grant(KeyId=key, GrantId=made[1]["GrantId"])
    assert listed(kms, key) == []


def test_somebody_new_by_the_same_name_was_granted_nothing(kms: Any, server: ServerProcess, key: str) -> None:
    before = Caller(server, "user")
    made = grant(kms, key, before.arn, "Encrypt", RetiringPrincipal=before.arn)
    assert before.client("kms").encrypt(KeyId=key, Plaintext=b"x")
    iam = server.client("iam")
    unique_id = iam.get_user(UserName=before.name)["User"]["UserId"]
    iam.delete_access_key(UserName=before.name, AccessKeyId=before.credentials.access_key_id)
    iam.delete_user(UserName=before.name)
    after = Caller(server, "user", before.name)
    client = after.client("kms")

    assert refusal(client.encrypt, KeyId=key, Plaintext=b"x").code == "AccessDeniedException"
    assert refusal(client.retire_grant, GrantToken=made["GrantToken"]).code == "AccessDeniedException"
    (entry,) = listed(kms, key)
    assert (entry["GranteePrincipal"], entry["RetiringPrincipal"]) == (unique_id, unique_id)
    grant(kms, key, after.arn, "Encrypt")
    assert client.encrypt(KeyId=key, Plaintext=b"x")


def test_nobody_grants_the_default_key(kms: Any, user: Caller) -> None:
    default = kms.describe_key(KeyId="alias/aws/secretsmanager")["KeyMetadata"]["Arn"]
    refused = refusal(kms.create_grant, KeyId=default, GranteePrincipal=user.arn, Operations=["Decrypt"])
    assert refused.code == "AccessDeniedException"
    assert listed(kms, default) == []


# Secrets


def test_a_grant_lets_somebody_read_a_secret(kms: Any, server: ServerProcess, key: str, user: Caller) -> None:
    sm = server.client("secretsmanager")
    made = [sm.create_secret(Name=f"granted/{next(_numbers)}", SecretString="value", KmsKeyId=key) for _ in range(2)]
    user.may(allow("secretsmanager:GetSecretValue"))
    client = user.client("secretsmanager")
    granted = grant(
        kms, key, user.arn, "Decrypt", Constraints={"EncryptionContextSubset": {"SecretARN": made[0]["ARN"]}}
    )

    assert client.get_secret_value(SecretId=made[0]["ARN"])["SecretString"] == "value"
    assert refusal(client.get_secret_value, SecretId=made[1]["ARN"]).message == "Access to KMS is not allowed"
    # The grant is for the key; the secret needs leave of its own.
    user.may(deny("secretsmanager:*", made[0]["ARN"]), allow("secretsmanager:*"))
    assert "secretsmanager:GetSecretValue" in refusal(client.get_secret_value, SecretId=made[0]["ARN"]).message
    user.may(allow("secretsmanager:GetSecretValue"))
    kms.revoke_grant(KeyId=key, GrantId=granted["GrantId"])
    assert refusal(client.get_secret_value, SecretId=made[0]["ARN"]).message == "Access to KMS is not allowed"


# The trail, the command line, a crash


def test_the_trail_has_no_grant_token(kms: Any, server: ServerProcess, key: str, user: Caller) -> None:
    made = grant(kms, key, user.arn, "Encrypt", "RetireGrant", Constraints={"EncryptionContextSubset": IT})
    client = user.client("kms")
    client.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=IT, GrantTokens=[made["GrantToken"]])
    client.retire_grant(GrantToken=made["GrantToken"])
    found = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": key}]
    )["Events"]
    records = {event["EventName"]: json.loads(event["CloudTrailEvent"]) for event in found}

    assert made["GrantToken"] not in str(found)
    created = records["CreateGrant"]
    assert created["requestParameters"] == {
        "keyId": key,
        "granteePrincipal": user.arn,
        "operations": ["Encrypt", "RetireGrant"],
        "constraints": {"encryptionContextSubset": IT},
    }
    assert created["responseElements"] == {"grantId": made["GrantId"]}
    assert (created["readOnly"], records["RetireGrant"]["readOnly"]) == (False, False)
    assert records["RetireGrant"]["resources"][0]["ARN"] == key
    # ListRetirableGrants is about a principal.
    kms.list_retirable_grants(RetiringPrincipal=user.arn)
    about_them = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": user.arn}]
    )["Events"]
    (listed_,) = (event for event in about_them if event["EventName"] == "ListRetirableGrants")
    assert listed_["Resources"] == [{"ResourceType": "AWS::IAM::User", "ResourceName": user.arn}]


def test_grants_on_the_command_line(server: ServerProcess, user: Caller, tmp_path: Path) -> None:
    aws = Cli(TODAYS, ("--output", "json"), server.environ())
    theirs = Cli(TODAYS, ("--output", "json"), server.environ(user.credentials))
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(b"\x00 binary")
    key = aws("kms", "create-key")["KeyMetadata"]["KeyId"]
    arn = f"arn:aws:kms:{server.region}:{server.account_id}:key/{key}"
    made = aws(
        "kms", "create-grant", "--key-id", key, "--grantee-principal", user.arn, "--operations", "Encrypt", "Decrypt",
        "--retiring-principal", user.arn, "--constraints", "EncryptionContextSubset={Department=IT}",
    )  # fmt: skip
    token, context = ("--grant-tokens", made["GrantToken"]), ("--encryption-context", "Department=IT")

    blob = theirs("kms", "encrypt", "--key-id", arn, "--plaintext", f"fileb://{plain}", *context, *token)
    sealed.write_bytes(base64.b64decode(blob["CiphertextBlob"]))
    opened = theirs("kms", "decrypt", "--ciphertext-blob", f"fileb://{sealed}", *context)
    assert base64.b64decode(opened["Plaintext"]) == plain.read_bytes()
    (entry,) = aws("kms", "list-grants", "--key-id", key)["Grants"]
    assert (entry["GrantId"], entry["Constraints"]) == (
        made["GrantId"],
        {"EncryptionContextSubset": {"Department": "IT"}},
    )
    listed = aws("kms", "list-retirable-grants", "--retiring-principal", user.arn)["Grants"]
    assert [entry["GrantId"] for entry in listed] == [made["GrantId"]]
    theirs("kms", "retire-grant", "--grant-token", made["GrantToken"])
    assert theirs.refused("kms", "decrypt", "--ciphertext-blob", f"fileb://{sealed}", *context).startswith(
        "An error occurred (AccessDeniedException) when calling the Decrypt operation: User: "
    )


def test_grants_survive_a_kill(own_server: ServerProcess) -> None:
    own_server.start()
    kms, user = own_server.client("kms"), Caller(own_server, "user", "survivor")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    kept, gone = (grant(kms, key, user.arn, operation) for operation in ("Encrypt", "GenerateDataKey"))
    kms.revoke_grant(KeyId=key, GrantId=gone["GrantId"])

    own_server.kill()
    own_server.start()

    client = user.client("kms")
    assert client.encrypt(KeyId=key, Plaintext=b"x", GrantTokens=[kept["GrantToken"]])
    assert refusal(client.generate_data_key, KeyId=key, KeySpec="AES_256").code == "AccessDeniedException"
