"""Rotation of key material through boto3 and the AWS CLI: by itself, on demand, with a server that is killed."""

from __future__ import annotations

import base64
import json
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError

from .callers import Caller, allow, document
from .conftest import Account, ServerProcess, wait_until
from .refusals import refusal
from .test_awscli import TODAYS, Cli

YEAR = timedelta(days=365)


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


def without_metadata(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def is_soon(moment: datetime, after: timedelta) -> bool:
    return abs(moment - datetime.now(UTC) - after) < timedelta(minutes=1)


def trail(server: ServerProcess, arn: str, name: str) -> list[dict[str, Any]]:
    """What happened to a key by one name, oldest first."""
    found = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": arn}]
    )["Events"]
    records = [json.loads(event["CloudTrailEvent"]) for event in reversed(found)]
    return [record for record in records if record["eventName"] == name]


def test_rotation_is_switched_on_and_off(kms: Any, key: str) -> None:
    key_id = key.rpartition("/")[2]
    assert without_metadata(kms.get_key_rotation_status(KeyId=key_id)) == {"KeyId": key, "KeyRotationEnabled": False}
    assert without_metadata(kms.enable_key_rotation(KeyId=key_id)) == {}
    status = without_metadata(kms.get_key_rotation_status(KeyId=key))
    assert is_soon(status.pop("NextRotationDate"), YEAR)
    assert status == {"KeyId": key, "KeyRotationEnabled": True, "RotationPeriodInDays": 365}
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=2560)
    status = kms.get_key_rotation_status(KeyId=key)
    assert status["RotationPeriodInDays"] == 2560
    assert is_soon(status["NextRotationDate"], timedelta(days=2560))
    assert without_metadata(kms.disable_key_rotation(KeyId=key)) == {}
    assert without_metadata(kms.get_key_rotation_status(KeyId=key)) == {"KeyId": key, "KeyRotationEnabled": False}


@pytest.mark.parametrize(("days", "limit"), [(89, "greater than or equal to 90"), (2561, "less than or equal to 2560")])
def test_a_period_has_its_limits(server: ServerProcess, key: str, days: int, limit: str) -> None:
    kms = server.client("kms", parameter_validation=False)
    told = f"Value '{days}' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value {limit}"
    refused = refusal(kms.enable_key_rotation, KeyId=key, RotationPeriodInDays=days)
    assert (refused.code, refused.message) == ("ValidationException", f"1 validation error detected: {told}")


def test_new_material_encrypts_and_the_old_decrypts(kms: Any, key: str, server: ServerProcess) -> None:
    context = {"purpose": "test"}
    described = [kms.describe_key(KeyId=key)["KeyMetadata"]]
    blobs = [kms.encrypt(KeyId=key, Plaintext=b"0", EncryptionContext=context)["CiphertextBlob"]]
    for number in (1, 2):
        assert without_metadata(kms.rotate_key_on_demand(KeyId=key)) == {"KeyId": key}
        described.append(kms.describe_key(KeyId=key)["KeyMetadata"])
        blobs.append(kms.encrypt(KeyId=key, Plaintext=b"%d" % number, EncryptionContext=context)["CiphertextBlob"])

    ids = [metadata.pop("CurrentKeyMaterialId") for metadata in described]
    assert len(set(ids)) == 3
    assert described[0] == described[1] == described[2]
    for number, blob in enumerate(blobs):
        opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)
        assert (opened["Plaintext"], opened["KeyMaterialId"]) == (b"%d" % number, ids[number])
        assert refusal(kms.decrypt, CiphertextBlob=blob).code == "InvalidCiphertextException"
    for made in (
        kms.generate_data_key(KeyId=key, KeySpec="AES_256"),
        kms.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_256"),
    ):
        assert made["KeyMaterialId"] == ids[2]
    moved = kms.re_encrypt(CiphertextBlob=blobs[0], SourceEncryptionContext=context, DestinationKeyId=key)
    assert (moved["SourceKeyMaterialId"], moved["DestinationKeyMaterialId"]) == (ids[0], ids[2])
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"])["KeyMaterialId"] == ids[2]
    told = [record["serviceEventDetails"] for record in trail(server, key, "RotateKey")]
    assert [(event["previousKeyMaterialId"], event["currentKeyMaterialId"]) for event in told] == [
        (ids[0], ids[1]),
        (ids[1], ids[2]),
    ]
    assert [record["readOnly"] for record in trail(server, key, "RotateKeyOnDemand")] == [False, False]


def test_rotations_are_listed_page_by_page(kms: Any, key: str) -> None:
    assert without_metadata(kms.list_key_rotations(KeyId=key)) == {"Rotations": [], "Truncated": False}
    (first,) = kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    current = kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    assert first == {"KeyId": key, "KeyMaterialId": current, "KeyMaterialState": "CURRENT"}
    for _ in range(3):
        kms.rotate_key_on_demand(KeyId=key)

    page = kms.list_key_rotations(KeyId=key, Limit=2)
    assert (len(page["Rotations"]), page["Truncated"]) == (2, True)
    rest = kms.list_key_rotations(KeyId=key, Limit=2, Marker=page["NextMarker"])
    assert (rest["Truncated"], "NextMarker" in rest) == (False, False)
    rotations = page["Rotations"] + rest["Rotations"]
    assert [entry.pop("KeyMaterialState") for entry in rotations] == ["NON_CURRENT", "NON_CURRENT", "CURRENT"]
    assert all(is_soon(entry.pop("RotationDate"), timedelta()) for entry in rotations)
    assert {entry.pop("RotationType") for entry in rotations} == {"ON_DEMAND"}
    assert len({entry.pop("KeyMaterialId") for entry in rotations}) == 3
    assert rotations == [{"KeyId": key}] * 3
    everything = kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    assert len(everything) == 4
    assert everything[0] == {**first, "KeyMaterialState": "NON_CURRENT"}
    # A marker goes on with its own question only.
    marker = page["NextMarker"]
    for request in ({"IncludeKeyMaterial": "ALL_KEY_MATERIAL"}, {"KeyId": kms.create_key()["KeyMetadata"]["KeyId"]}):
        refused = refusal(kms.list_key_rotations, **{"KeyId": key, "Marker": marker, **request})
        assert refused.code == "InvalidMarkerException"


def test_a_key_that_cannot_be_used_is_not_rotated(kms: Any, key: str) -> None:
    kms.enable_key_rotation(KeyId=key)
    changes = (kms.enable_key_rotation, kms.disable_key_rotation, kms.rotate_key_on_demand)
    kms.disable_key(KeyId=key)
    for change in changes:
        refused = refusal(change, KeyId=key)
        assert (refused.code, refused.message, refused.status) == ("DisabledException", f"{key} is disabled.", 400)
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    for change in changes:
        refused = refusal(change, KeyId=key)
        assert (refused.code, refused.message) == ("KMSInvalidStateException", f"{key} is pending deletion.")
    assert without_metadata(kms.get_key_rotation_status(KeyId=key)) == {"KeyId": key, "KeyRotationEnabled": False}
    assert kms.list_key_rotations(KeyId=key)["Rotations"] == []
    kms.cancel_key_deletion(KeyId=key)
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]


def test_who_may_rotate(kms: Any, key: str, server: ServerProcess, other: Account) -> None:
    user = Caller(server, "user")
    client = user.client("kms")
    user.may(
        allow("kms:EnableKeyRotation", key, Condition={"NumericGreaterThan": {"kms:RotationPeriodInDays": "180"}}),
        allow("kms:RotateKeyOnDemand", key),
    )
    assert refusal(client.enable_key_rotation, KeyId=key, RotationPeriodInDays=180).code == "AccessDeniedException"
    client.enable_key_rotation(KeyId=key, RotationPeriodInDays=181)
    # The condition holds for what is meant, too.
    client.enable_key_rotation(KeyId=key)
    client.rotate_key_on_demand(KeyId=key)
    for call in (client.disable_key_rotation, client.get_key_rotation_status, client.list_key_rotations):
        assert refusal(call, KeyId=key).code == "AccessDeniedException"
    # Of another account's key only the status is shown, if both sides allow it.
    theirs = server.client("kms", other.admin)
    assert refusal(theirs.get_key_rotation_status, KeyId=key).code == "AccessDeniedException"
    root = {"Effect": "Allow", "Principal": {"AWS": server.account_id}, "Action": "kms:*", "Resource": "*"}
    kms.put_key_policy(KeyId=key, Policy=document(root, {**root, "Principal": {"AWS": other.account_id}}))
    assert theirs.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
    for call in (theirs.rotate_key_on_demand, theirs.list_key_rotations, theirs.enable_key_rotation):
        assert refusal(call, KeyId=key).code == "AccessDeniedException"


def test_nobody_rotates_the_default_key_but_the_server(kms: Any) -> None:
    default = kms.describe_key(KeyId="alias/aws/secretsmanager")["KeyMetadata"]["Arn"]
    status = kms.get_key_rotation_status(KeyId=default)
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 365)
    assert is_soon(status["NextRotationDate"], YEAR)
    for call in (kms.enable_key_rotation, kms.disable_key_rotation, kms.rotate_key_on_demand):
        refused = refusal(call, KeyId=default)
        assert refused.code == "AccessDeniedException"
        assert "because no resource-based policy allows" in refused.message


def test_aliases_do_not_name_a_key_here(kms: Any, key: str) -> None:
    kms.create_alias(AliasName="alias/rotated", TargetKeyId=key)
    alias_arn = kms.list_aliases(KeyId=key)["Aliases"][0]["AliasArn"]
    for call in (kms.get_key_rotation_status, kms.enable_key_rotation, kms.rotate_key_on_demand):
        assert refusal(call, KeyId="alias/rotated").code == "NotFoundException"
        assert refusal(call, KeyId=alias_arn).code == "InvalidArnException"


def test_a_key_is_rotated_by_the_server_when_it_is_due(own_server: ServerProcess) -> None:
    own_server.start()
    kms, sm = own_server.client("kms"), own_server.client("secretsmanager")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    sm.create_secret(Name="mine", SecretString="under my key", KmsKeyId=key)
    sm.create_secret(Name="theirs", SecretString="under the default key")
    blob = kms.encrypt(KeyId=key, Plaintext=b"before")["CiphertextBlob"]
    own_server.stop()
    # A year later.
    with closing(sqlite3.connect(own_server.data_dir / "keyturn.db")) as database, database:
        database.execute("UPDATE kms_keys SET next_rotation_at = next_rotation_at - 366 * 86400000")
    own_server.start()
    kms, sm = own_server.client("kms"), own_server.client("secretsmanager")
    default = kms.describe_key(KeyId="alias/aws/secretsmanager")["KeyMetadata"]["Arn"]

    def rotations() -> list[str]:
        return [
            entry["RotationType"] for arn in (key, default) for entry in kms.list_key_rotations(KeyId=arn)["Rotations"]
        ]

    wait_until(lambda: len(rotations()) == 2, "both keys were rotated", own_server)

    assert rotations() == ["AUTOMATIC", "AUTOMATIC"]
    assert is_soon(kms.get_key_rotation_status(KeyId=key)["NextRotationDate"], timedelta(days=90))
    (told,) = trail(own_server, key, "RotateKey")
    assert (told["serviceEventDetails"]["rotationType"], told["eventType"]) == ("AUTOMATIC", "AwsServiceEvent")
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"before"
    for name, value in (("mine", "under my key"), ("theirs", "under the default key")):
        assert sm.get_secret_value(SecretId=name)["SecretString"] == value
        sm.put_secret_value(SecretId=name, SecretString="new")
        assert sm.get_secret_value(SecretId=name)["SecretString"] == "new"
        assert sm.get_secret_value(SecretId=name, VersionStage="AWSPREVIOUS")["SecretString"] == value


def test_whatever_was_encrypted_survives_kills_amid_rotations(own_server: ServerProcess) -> None:
    own_server.start()
    key = own_server.client("kms").create_key()["KeyMetadata"]["KeyId"]
    crowd = _Crowd(key)
    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            kms = own_server.client("kms", max_pool_connections=4)
            workers = [pool.submit(crowd.work, kms, rotations) for rotations in (8, 0, 0, 0)]
            for _ in range(40):
                assert crowd.answered.acquire(timeout=30), own_server.log()
            own_server.kill()
            for worker in workers:
                worker.result(timeout=30)
        own_server.start()

    kms = own_server.client("kms")
    opened = [(plaintext, kms.decrypt(CiphertextBlob=blob)) for plaintext, blob in crowd.made]
    assert all(answer["Plaintext"] == plaintext for plaintext, answer in opened)
    rotations = kms.list_key_rotations(KeyId=key)["Rotations"]
    # One whose answer was lost may have happened.
    assert crowd.rotated <= len(rotations) <= crowd.rotated + 3
    assert len({answer["KeyMaterialId"] for _, answer in opened}) > 3
    told = {record["serviceEventDetails"]["currentKeyMaterialId"] for record in _all_rotations(own_server)}
    assert told >= {entry["KeyMaterialId"] for entry in rotations}


class _Crowd:
    """Clients that encrypt, and one that rotates as well, until the server is gone."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.made: list[tuple[bytes, bytes]] = []
        self.rotated = 0
        self.answered = threading.Semaphore(0)

    def work(self, kms: Any, rotations: int) -> None:
        with suppress(BotoCoreError):
            while True:
                if rotations:
                    rotations -= 1
                    kms.rotate_key_on_demand(KeyId=self.key)
                    self.rotated += 1
                plaintext = str(len(self.made)).encode()
                answer = kms.encrypt(KeyId=self.key, Plaintext=plaintext)
                if "CiphertextBlob" not in answer:
                    return  # The kill has cut the reply in two: botocore takes half of one for an empty one.
                self.made.append((plaintext, answer["CiphertextBlob"]))
                self.answered.release()


def _all_rotations(server: ServerProcess) -> list[dict[str, Any]]:
    pages = (
        server.client("cloudtrail")
        .get_paginator("lookup_events")
        .paginate(LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "RotateKey"}])
    )
    return [json.loads(event["CloudTrailEvent"]) for page in pages for event in page["Events"]]


def test_rotation_on_the_command_line(server: ServerProcess, tmp_path: Path) -> None:
    aws = Cli(TODAYS, ("--output", "json"), server.environ())
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(b"\x00 binary")
    key = aws("kms", "create-key")["KeyMetadata"]["KeyId"]
    blob = aws("kms", "encrypt", "--key-id", key, "--plaintext", f"fileb://{plain}")["CiphertextBlob"]
    sealed.write_bytes(base64.b64decode(blob))
    aws("kms", "enable-key-rotation", "--key-id", key, "--rotation-period-in-days", "180")
    aws("kms", "rotate-key-on-demand", "--key-id", key)

    status = aws("kms", "get-key-rotation-status", "--key-id", key)
    listed = aws("kms", "list-key-rotations", "--key-id", key, "--include-key-material", "ALL_KEY_MATERIAL")

    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 180)
    assert [entry["KeyMaterialState"] for entry in listed["Rotations"]] == ["NON_CURRENT", "CURRENT"]
    opened = aws("kms", "decrypt", "--ciphertext-blob", f"fileb://{sealed}")
    assert base64.b64decode(opened["Plaintext"]) == plain.read_bytes()
    assert opened["KeyMaterialId"] == listed["Rotations"][0]["KeyMaterialId"]
    aws("kms", "disable-key-rotation", "--key-id", key)
    aws("kms", "disable-key", "--key-id", key)
    assert aws.refused("kms", "rotate-key-on-demand", "--key-id", key) == (
        "An error occurred (DisabledException) when calling the RotateKeyOnDemand operation:"
        f" arn:aws:kms:{server.region}:{server.account_id}:key/{key} is disabled."
    )
