"""Requests to KMS beside those that only do something: dry runs, random bytes, and what conditions see of a request."""

from __future__ import annotations

from typing import Any

import pytest

from .callers import Caller, allow, document
from .conftest import ServerProcess
from .refusals import refusal
from .test_awscli import TODAYS, Cli

CONTEXT = {"purpose": "test"}
DRY = ("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")


@pytest.fixture(scope="module")
def kms(server: ServerProcess) -> Any:
    return server.client("kms")


@pytest.fixture
def user(server: ServerProcess) -> Caller:
    return Caller(server, "user")


@pytest.fixture
def key(kms: Any) -> str:
    arn: str = kms.create_key()["KeyMetadata"]["Arn"]
    return arn


def uses(client: Any, key: str, blob: bytes) -> list[tuple[Any, dict[str, Any]]]:
    """Every operation that can be tried, with a request that would succeed."""
    decrypting = {"CiphertextBlob": blob, "EncryptionContext": CONTEXT}
    moving = {"CiphertextBlob": blob, "SourceEncryptionContext": CONTEXT, "DestinationKeyId": key}
    return [
        (client.encrypt, {"KeyId": key, "Plaintext": b"x"}),
        (client.decrypt, decrypting),
        (client.re_encrypt, moving),
        (client.generate_data_key, {"KeyId": key, "KeySpec": "AES_256"}),
        (client.generate_data_key_without_plaintext, {"KeyId": key, "KeySpec": "AES_256"}),
    ]


# Dry runs


def test_a_dry_run_says_that_it_would_have_succeeded(kms: Any, key: str) -> None:
    blob = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=CONTEXT)["CiphertextBlob"]
    for use, request in uses(kms, key, blob):
        refused = refusal(use, **request, DryRun=True)
        assert (refused.code, refused.message) == DRY
        assert use(**request, DryRun=False)


def test_a_dry_run_says_why_it_would_not_have_succeeded(kms: Any, key: str, user: Caller) -> None:
    blob = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=CONTEXT)["CiphertextBlob"]
    for use, request in uses(user.client("kms"), key, blob):
        assert refusal(use, **request, DryRun=True).code == "AccessDeniedException"
    for client, member in ((kms.decrypt, "EncryptionContext"), (kms.re_encrypt, "SourceEncryptionContext")):
        request = {"CiphertextBlob": blob, member: {"purpose": "other"}, "DryRun": True}
        destination = {"DestinationKeyId": key} if client == kms.re_encrypt else {}
        assert refusal(client, **request, **destination).code == "InvalidCiphertextException"
    kms.disable_key(KeyId=key)
    for use, request in uses(kms, key, blob):
        assert refusal(use, **request, DryRun=True).code == "DisabledException"


def test_a_dry_run_need_not_have_a_ciphertext(kms: Any, key: str, user: Caller) -> None:
    ignoring = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
    client = user.client("kms")
    user.may(allow("kms:Decrypt", key, Condition={"StringEquals": {"kms:EncryptionContext:purpose": "test"}}))

    assert refusal(client.decrypt, KeyId=key, EncryptionContext=CONTEXT, **ignoring).code == DRY[0]
    assert refusal(client.decrypt, KeyId=key, **ignoring).code == "AccessDeniedException"
    moving = {"SourceKeyId": key, "DestinationKeyId": key, "CiphertextBlob": b"anything"}
    assert refusal(kms.re_encrypt, **moving, **ignoring).code == DRY[0]
    assert refusal(client.re_encrypt, **moving, **ignoring).code == "AccessDeniedException"
    # Only a dry run, and only with the key named, goes without.
    assert refusal(kms.decrypt, KeyId=key, CiphertextBlob=b"anything", DryRun=True).code == "InvalidCiphertextException"
    in_earnest = {"KeyId": key, "CiphertextBlob": b"anything", "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
    assert refusal(kms.decrypt, **in_earnest).code == "InvalidCiphertextException"
    assert refusal(kms.decrypt, CiphertextBlob=b"anything", **ignoring).code == "InvalidCiphertextException"
    assert refusal(kms.decrypt, KeyId=key).code == "ValidationException"


# Random bytes


def test_random_bytes_are_random_and_as_many_as_were_asked_for(kms: Any) -> None:
    for size in (1, 32, 1024):
        made = kms.generate_random(NumberOfBytes=size)
        made.pop("ResponseMetadata")
        assert [*made] == ["Plaintext"]
        assert len(made["Plaintext"]) == size
    assert kms.generate_random(NumberOfBytes=32)["Plaintext"] != kms.generate_random(NumberOfBytes=32)["Plaintext"]


@pytest.mark.parametrize(
    ("request_", "code", "told"),
    [
        ({}, "ValidationException", "NumberOfBytes is required."),
        ({"NumberOfBytes": 1025}, "ValidationException", "less than or equal to 1024"),
        ({"NumberOfBytes": 1, "CustomKeyStoreId": "cks-1"}, "UnsupportedOperationException", "CustomKeyStoreId"),
        (
            {"NumberOfBytes": 1, "Recipient": {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}},
            "ValidationException",
            "Recipient",
        ),
    ],
)
def test_random_bytes_that_are_not_given(kms: Any, request_: dict[str, Any], code: str, told: str) -> None:
    refused = refusal(kms.generate_random, **request_)
    assert refused.code == code
    assert told in refused.message


def test_random_bytes_need_leave_on_everything(server: ServerProcess, key: str, user: Caller) -> None:
    client = user.client("kms")
    user.may(allow("kms:GenerateRandom", key))
    refused = refusal(client.generate_random, NumberOfBytes=1)
    assert refused.code == "AccessDeniedException"
    assert refused.message == (
        f"User: {user.arn} is not authorized to perform: kms:GenerateRandom on resource: * because no identity-based"
        " policy allows the kms:GenerateRandom action"
    )
    user.may(allow("kms:GenerateRandom"))
    assert client.generate_random(NumberOfBytes=1)


def test_random_bytes_on_the_command_line(server: ServerProcess) -> None:
    aws = Cli(TODAYS, ("--output", "json"), server.environ())
    assert len(aws("kms", "generate-random", "--number-of-bytes", "3")["Plaintext"]) == 4


# What conditions see


@pytest.mark.parametrize(
    ("condition", "is_allowed"),
    [
        ({"Bool": {"kms:ReEncryptOnSameKey": "true"}}, (True, False)),
        ({"Bool": {"kms:ReEncryptOnSameKey": "false"}}, (False, True)),
        ({"StringEquals": {"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}}, (True, True)),
    ],
)
def test_conditions_look_at_both_keys_of_a_ciphertext_that_moves(
    kms: Any, key: str, user: Caller, condition: dict[str, Any], is_allowed: tuple[bool, bool]
) -> None:
    other = kms.create_key()["KeyMetadata"]["Arn"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    client = user.client("kms")
    for limited, free in (("kms:ReEncryptFrom", "kms:ReEncryptTo"), ("kms:ReEncryptTo", "kms:ReEncryptFrom")):
        user.may(allow(limited, Condition=condition), allow(free))
        for destination, expected in zip((key, other), is_allowed, strict=True):
            request = {"CiphertextBlob": blob, "DestinationKeyId": destination}
            if expected:
                assert client.re_encrypt(**request)["KeyId"] == destination
            else:
                assert limited in refusal(client.re_encrypt, **request).message


@pytest.mark.parametrize(
    ("names", "value"),
    [
        (("kms:KeySpec", "kms:CustomerMasterKeySpec"), "SYMMETRIC_DEFAULT"),
        (("kms:KeyUsage", "kms:CustomerMasterKeyUsage"), "ENCRYPT_DECRYPT"),
        (("kms:KeyOrigin",), "AWS_KMS"),
        (("kms:MultiRegion",), "false"),
    ],
)
def test_conditions_look_at_what_a_key_is_for_by_old_names_too(
    key: str, user: Caller, names: tuple[str, ...], value: str
) -> None:
    client = user.client("kms")
    for name in names:
        user.may(allow(["kms:CreateKey", "kms:DescribeKey"], Condition={"StringEquals": {name: value}}))
        assert client.create_key()
        assert client.describe_key(KeyId=key)
        user.may(allow(["kms:CreateKey", "kms:DescribeKey"], Condition={"StringNotEquals": {name: value}}))
        assert refusal(client.create_key).code == "AccessDeniedException"
        assert refusal(client.describe_key, KeyId=key).code == "AccessDeniedException"


def test_a_condition_keeps_people_from_doing_without_the_lock_out_check(
    server: ServerProcess, key: str, user: Caller
) -> None:
    client, actions = user.client("kms"), ["kms:CreateKey", "kms:PutKeyPolicy"]
    policy = document({"Effect": "Allow", "Principal": {"AWS": server.account_id}, "Action": "kms:*", "Resource": "*"})
    member = "BypassPolicyLockoutSafetyCheck"
    requests: list[tuple[Any, dict[str, Any]]] = [
        (client.create_key, {}),
        (client.put_key_policy, {"KeyId": key, "Policy": policy}),
    ]
    user.may(allow(actions, Condition={"BoolIfExists": {f"kms:{member}": "false"}}))
    for call, request in requests:
        for sent in ({}, {member: False}):
            call(**request, **sent)
        assert refusal(call, **request, **{member: True}).code == "AccessDeniedException"
    # Whoever does not mention it has not said that it is false.
    user.may(allow(actions, Condition={"Null": {f"kms:{member}": "false"}}))
    for call, request in requests:
        assert refusal(call, **request).code == "AccessDeniedException"


def test_a_condition_keeps_a_key_from_a_hasty_end(key: str, user: Caller) -> None:
    client = user.client("kms")
    condition = {"NumericGreaterThan": {"kms:ScheduleKeyDeletionPendingWindowInDays": "20"}}
    user.may(allow("kms:ScheduleKeyDeletion", Condition=condition))
    assert refusal(client.schedule_key_deletion, KeyId=key, PendingWindowInDays=20).code == "AccessDeniedException"
    # Without a number it is 30 days.
    assert client.schedule_key_deletion(KeyId=key)["PendingWindowInDays"] == 30


@pytest.mark.parametrize(
    ("name", "kind"), [("kms:EncryptionContext:team", "encryption context"), ("aws:RequestTag/team", "tag")]
)
def test_a_condition_that_is_true_of_what_it_does_not_see_is_refused(
    kms: Any, server: ServerProcess, key: str, name: str, kind: str
) -> None:
    def policy(operator: str) -> str:
        whole = {"Effect": "Allow", "Principal": {"AWS": server.account_id}, "Action": "kms:*", "Resource": "*"}
        return document(whole, {**whole, "Condition": {operator: {name: "shop"}}})

    refused = refusal(kms.put_key_policy, KeyId=key, Policy=policy("ForAllValues:StringEquals"))
    assert refused.code == "MalformedPolicyDocumentException"
    assert refused.message == (
        "OverlyPermissiveCondition: Using the ForAllValues set operator with a single-valued condition key matches"
        f" requests without the specified {kind} or with an unspecified {kind}. To fix, remove ForAllValues."
    )
    assert refusal(kms.create_key, Policy=policy("ForAllValues:StringLike")).code == refused.code
    for operator in ("StringEquals", "ForAnyValue:StringEquals"):
        kms.put_key_policy(KeyId=key, Policy=policy(operator))
