"""Rotation of key material, with the scheduler and a clock that is put forward."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from keyturn.errors.base import AwsError
from keyturn.errors.kms import ConflictException, LimitExceededException
from keyturn.rules.kms_rotation import key_material_id
from keyturn.scheduler.key_rotations import rotate_due_keys
from keyturn.storage import inline_policies, kms_keys
from keyturn.storage.audit_lookup import Question, lookup
from keyturn.storage.database import Transaction
from keyturn.storage.kms_keys import KmsKeyRecord
from keyturn.testing.handlers import ALLOW_ALL, PLACE, HandlerBench, open_bench

DAY = timedelta(days=1)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        with opened.kit.state.write() as transaction:
            inline_policies.put_inline_policy(transaction, opened.caller.arn, "everything", ALLOW_ALL)
        yield opened


@pytest.fixture
def key(bench: HandlerBench) -> str:
    key_id: str = bench.call("kms", "CreateKey")["KeyMetadata"]["KeyId"]
    return key_id


def pass_by(bench: HandlerBench, time: timedelta) -> None:
    """Put the clock forward, and let the scheduler look."""
    bench.clock.advance(time)
    rotate_due_keys(bench.kit, bench.clock.now())


def status(bench: HandlerBench, key: str) -> Any:
    answer = dict(bench.call("kms", "GetKeyRotationStatus", KeyId=key))
    assert answer.pop("KeyId") == PLACE.kms_key_arn(key)
    return answer


def rotations(bench: HandlerBench, key: str) -> list[tuple[Any, str]]:
    listed = bench.call("kms", "ListKeyRotations", KeyId=key)["Rotations"]
    return [(entry["RotationDate"], entry["RotationType"]) for entry in listed]


def events(bench: HandlerBench) -> list[Any]:
    with bench.kit.journal.read() as connection:
        found = lookup(connection, Question(PLACE, attribute=("event_name", "RotateKey")), 99)
    return [msgspec.json.decode(one.record.event) for one in reversed(found)]


def test_a_key_is_rotated_when_a_period_is_over_and_from_then_on(bench: HandlerBench, key: str) -> None:
    start = bench.clock.now()
    assert status(bench, key) == {"KeyRotationEnabled": False}
    bench.call("kms", "EnableKeyRotation", KeyId=key, RotationPeriodInDays=90)
    first = {"KeyRotationEnabled": True, "RotationPeriodInDays": 90, "NextRotationDate": start + 90 * DAY}
    assert status(bench, key) == first

    pass_by(bench, 90 * DAY - timedelta(milliseconds=1))
    assert (rotations(bench, key), status(bench, key)) == ([], first)
    pass_by(bench, timedelta(milliseconds=1))
    assert rotations(bench, key) == [(start + 90 * DAY, "AUTOMATIC")]
    assert status(bench, key)["NextRotationDate"] == start + 180 * DAY
    pass_by(bench, 90 * DAY)
    assert [moment for moment, _ in rotations(bench, key)] == [start + 90 * DAY, start + 180 * DAY]
    bench.call("kms", "DisableKeyRotation", KeyId=key)
    assert status(bench, key) == {"KeyRotationEnabled": False}
    pass_by(bench, 900 * DAY)
    assert len(rotations(bench, key)) == 2


def test_each_rotation_is_told_in_the_trail(bench: HandlerBench, key: str) -> None:
    bench.call("kms", "EnableKeyRotation", KeyId=key)
    bench.call("kms", "RotateKeyOnDemand", KeyId=key)
    pass_by(bench, 365 * DAY)

    on_demand, automatic = events(bench)
    arn = PLACE.kms_key_arn(key)
    ids = [key_material_id(key, number) for number in range(3)]
    assert on_demand["serviceEventDetails"] == {
        "rotationType": "ON_DEMAND",
        "keyOrigin": "AWS_KMS",
        "previousKeyMaterialId": ids[0],
        "currentKeyMaterialId": ids[1],
        "keyId": key,
    }
    assert automatic["serviceEventDetails"] == {
        **on_demand["serviceEventDetails"],
        "rotationType": "AUTOMATIC",
        "previousKeyMaterialId": ids[1],
        "currentKeyMaterialId": ids[2],
    }
    assert automatic["userIdentity"] == {"accountId": PLACE.account_id, "invokedBy": "AWS Internal"}
    assert (automatic["eventType"], automatic["eventSource"]) == ("AwsServiceEvent", "kms.amazonaws.com")
    assert (automatic["requestParameters"], automatic["responseElements"]) == (None, None)
    assert automatic["resources"] == [{"ARN": arn, "accountId": PLACE.account_id, "type": "AWS::KMS::Key"}]


def test_on_demand_does_not_change_the_plan(bench: HandlerBench, key: str) -> None:
    bench.call("kms", "EnableKeyRotation", KeyId=key)
    planned = status(bench, key)
    bench.clock.advance(100 * DAY)

    assert bench.call("kms", "RotateKeyOnDemand", KeyId=key)["KeyId"] == PLACE.kms_key_arn(key)

    assert status(bench, key) == planned
    assert rotations(bench, key) == [(bench.clock.now(), "ON_DEMAND")]
    pass_by(bench, 265 * DAY)
    assert [kind for _, kind in rotations(bench, key)] == ["ON_DEMAND", "AUTOMATIC"]


def test_on_demand_has_a_limit_and_gives_way_to_the_plan(bench: HandlerBench, key: str) -> None:
    bench.call("kms", "EnableKeyRotation", KeyId=key, RotationPeriodInDays=90)
    for _ in range(25):
        bench.call("kms", "RotateKeyOnDemand", KeyId=key)
    with pytest.raises(LimitExceededException):
        bench.call("kms", "RotateKeyOnDemand", KeyId=key)
    pass_by(bench, 90 * DAY)
    assert len(rotations(bench, key)) == 26
    another = bench.call("kms", "CreateKey")["KeyMetadata"]["KeyId"]
    bench.call("kms", "EnableKeyRotation", KeyId=another, RotationPeriodInDays=90)
    bench.clock.advance(90 * DAY - timedelta(minutes=19))
    with pytest.raises(ConflictException):
        bench.call("kms", "RotateKeyOnDemand", KeyId=another)


def test_who_says_the_same_again_does_not_put_the_rotation_off(bench: HandlerBench, key: str) -> None:
    start = bench.clock.now()
    bench.call("kms", "EnableKeyRotation", KeyId=key, RotationPeriodInDays=180)
    bench.clock.advance(30 * DAY)
    bench.call("kms", "EnableKeyRotation", KeyId=key, RotationPeriodInDays=180)
    assert status(bench, key)["NextRotationDate"] == start + 180 * DAY

    # Without a period a year is meant, and another period begins anew.
    bench.call("kms", "EnableKeyRotation", KeyId=key)
    assert status(bench, key)["NextRotationDate"] == start + 395 * DAY
    bench.call("kms", "DisableKeyRotation", KeyId=key)
    bench.clock.advance(DAY)
    bench.call("kms", "EnableKeyRotation", KeyId=key)
    assert status(bench, key)["NextRotationDate"] == start + 396 * DAY


@pytest.mark.parametrize("is_doomed", [False, True], ids=["disabled", "pending deletion"])
def test_a_key_that_is_switched_off_is_rotated_when_it_is_on_again(
    bench: HandlerBench, key: str, is_doomed: bool
) -> None:
    bench.call("kms", "EnableKeyRotation", KeyId=key, RotationPeriodInDays=90)
    planned = status(bench, key)
    if is_doomed:
        bench.call("kms", "ScheduleKeyDeletion", KeyId=key)
    else:
        bench.call("kms", "DisableKey", KeyId=key)
    assert status(bench, key) == ({"KeyRotationEnabled": False} if is_doomed else planned)
    for name in ("EnableKeyRotation", "DisableKeyRotation", "RotateKeyOnDemand"):
        with pytest.raises(AwsError, match="is pending deletion" if is_doomed else "is disabled"):
            bench.call("kms", name, KeyId=key)
    pass_by(bench, 100 * DAY)
    assert rotations(bench, key) == []

    if is_doomed:
        bench.call("kms", "CancelKeyDeletion", KeyId=key)
        assert status(bench, key) == planned
        pass_by(bench, DAY)
        assert rotations(bench, key) == []
    bench.call("kms", "EnableKey", KeyId=key)
    assert status(bench, key) == planned
    pass_by(bench, timedelta())
    now = bench.clock.now()
    assert rotations(bench, key) == [(now, "AUTOMATIC")]
    assert status(bench, key)["NextRotationDate"] == now + 90 * DAY


def test_the_default_key_is_rotated_every_year(bench: HandlerBench) -> None:
    value = {"SecretString": "before", "ClientRequestToken": "a" * 32}
    secret = bench.call("secretsmanager", "CreateSecret", Name="db", **value)["ARN"]
    default = bench.call("kms", "DescribeKey", KeyId="alias/aws/secretsmanager")["KeyMetadata"]
    start, key = bench.clock.now(), default["KeyId"]
    assert status(bench, key) == {
        "KeyRotationEnabled": True,
        "RotationPeriodInDays": 365,
        "NextRotationDate": start + 365 * DAY,
    }

    pass_by(bench, 365 * DAY)
    pass_by(bench, 365 * DAY)

    assert [kind for _, kind in rotations(bench, key)] == ["AUTOMATIC"] * 2
    assert bench.call("secretsmanager", "GetSecretValue", SecretId=secret)["SecretString"] == "before"
    bench.call("secretsmanager", "PutSecretValue", SecretId=secret, SecretString="after", ClientRequestToken="t" * 32)
    assert bench.call("secretsmanager", "GetSecretValue", SecretId=secret)["SecretString"] == "after"


def test_of_two_servers_one_rotates(bench: HandlerBench, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.call("kms", "EnableKeyRotation", KeyId=key, RotationPeriodInDays=90)
    load = kms_keys.load_due_for_rotation

    def load_late(*arguments: Any) -> list[KmsKeyRecord]:
        due = load(*arguments)
        with monkeypatch.context() as patch:
            patch.setattr(kms_keys, "load_due_for_rotation", load)
            rotate_due_keys(bench.kit, bench.clock.now())
        return due

    monkeypatch.setattr(kms_keys, "load_due_for_rotation", load_late)
    pass_by(bench, 90 * DAY)

    assert len(rotations(bench, key)) == len(events(bench)) == 1


def test_a_rotation_that_is_interrupted_is_told_again_and_happens_once(
    bench: HandlerBench, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    def die(_transaction: Transaction) -> None:
        raise Killed

    before = bench.call("kms", "Encrypt", KeyId=key, Plaintext=b"before")["CiphertextBlob"]
    bench.call("kms", "EnableKeyRotation", KeyId=key, RotationPeriodInDays=90)
    with monkeypatch.context() as patch:
        patch.setattr(bench.kit.state, "before_commit", die)
        with pytest.raises(Killed):
            pass_by(bench, 90 * DAY)
    assert rotations(bench, key) == []
    pass_by(bench, DAY)

    assert len(rotations(bench, key)) == 1
    told = [event["serviceEventDetails"] for event in events(bench)]
    assert told == [told[0]] * 2
    after = bench.call("kms", "Encrypt", KeyId=key, Plaintext=b"after")["CiphertextBlob"]
    assert [bench.call("kms", "Decrypt", CiphertextBlob=blob)["Plaintext"] for blob in (before, after)] == [
        b"before",
        b"after",
    ]
