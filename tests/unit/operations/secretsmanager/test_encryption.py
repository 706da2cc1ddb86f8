"""What secrets under KMS keys need that is hard to see from outside: reads of the database, copies, former keys."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from keyturn.arn import Place
from keyturn.errors.crypto import SealRefused
from keyturn.errors.secretsmanager import DecryptionFailure
from keyturn.operations import registry
from keyturn.operations.secretsmanager.encryption import copy_value
from keyturn.storage import inline_policies, secret_versions, secrets
from keyturn.storage.secret_versions import VersionRecord
from keyturn.testing.handlers import ALLOW_ALL, PLACE, HandlerBench, user

TOKEN = "0b5dcc8e-3c1c-4c5a-9d8e-2f6a4b1c7d90"


def make_key(bench: HandlerBench) -> str:
    arn: str = bench.call("kms", "CreateKey")["KeyMetadata"]["Arn"]
    return arn


def make_secret(bench: HandlerBench, name: str, **more: Any) -> str:
    request = {"Name": name, "SecretString": "value", "ClientRequestToken": TOKEN, **more}
    arn: str = bench.call("secretsmanager", "CreateSecret", **request)["ARN"]
    return arn


def version_of(bench: HandlerBench, arn: str) -> VersionRecord:
    with bench.kit.state.read() as connection:
        secret = secrets.load_secret(connection, arn)
    assert secret is not None
    return secret.versions[TOKEN]


@pytest.mark.parametrize("is_customers", [False, True], ids=["default key", "customer key"])
def test_a_read_that_was_made_before_asks_the_database_nothing(bench: HandlerBench, is_customers: bool) -> None:
    name = f"read/{is_customers}"
    more = {"KmsKeyId": make_key(bench)} if is_customers else {}
    make_secret(bench, name, **more)
    call = bench.as_(bench.caller)
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(bench.kit.state.engine, "before_cursor_execute", note)
    try:
        assert bench.call_as(call, "secretsmanager", "GetSecretValue", SecretId=name)["SecretString"] == "value"
        assert statements
        statements.clear()
        assert bench.call_as(call, "secretsmanager", "GetSecretValue", SecretId=name)["SecretString"] == "value"
        assert statements == []
    finally:
        event.remove(bench.kit.state.engine, "before_cursor_execute", note)


def test_a_value_is_sealed_under_the_key_and_bound_to_its_place(bench: HandlerBench) -> None:
    key = make_key(bench)
    arn, other = (make_secret(bench, f"bound/{number}", KmsKeyId=key) for number in range(2))
    version = version_of(bench, arn)
    assert version.kms_key_id == key
    assert b"value" not in (version.sealed or b"")

    # A row that was copied to another secret does not open there.
    with bench.kit.state.write() as transaction:
        record = secrets.lock_secret(transaction, other)
        assert record is not None
        secret_versions.rewrap_version(transaction, record.secret_id, record.versions[TOKEN], version)
        transaction.touch(secrets.SECRET, other)
    with pytest.raises(SealRefused):
        bench.call("secretsmanager", "GetSecretValue", SecretId=other)


def test_a_rotations_test_copy_has_the_key_of_the_original(bench: HandlerBench) -> None:
    key = make_key(bench)
    arn = make_secret(bench, "copied", KmsKeyId=key)
    version = version_of(bench, arn)

    copy = copy_value(bench.kit, arn, version, "another")

    assert copy is not None
    context = {"SecretARN": arn, "SecretVersionId": "another"}
    assert bench.kit.envelope.open(copy, context=context).reveal() == b"value"
    assert copy_value(bench.kit, arn, VersionRecord("v", version.created_at, None, None, False, None), "b") is None
    bench.call("kms", "DisableKey", KeyId=key)
    bench.kept.refresh()
    assert copy_value(bench.kit, arn, version, "another") is None


def test_the_key_before_the_last_is_forgotten(bench: HandlerBench) -> None:
    first, second, third = (make_key(bench) for _ in range(3))
    arn = make_secret(bench, "chain", KmsKeyId=first)
    for key in (second, third):
        bench.call("secretsmanager", "UpdateSecret", SecretId=arn, KmsKeyId=key)

    (version,) = bench.call("secretsmanager", "ListSecretVersionIds", SecretId=arn)["Versions"]
    assert version["KmsKeyIds"] == [third, second]
    for key in (second, third):
        bench.call("kms", "DisableKey", KeyId=key)
    with pytest.raises(DecryptionFailure, match=f"{third} is disabled"):
        bench.call("secretsmanager", "GetSecretValue", SecretId=arn)
    bench.call("kms", "EnableKey", KeyId=second)
    assert bench.call("secretsmanager", "GetSecretValue", SecretId=arn)["SecretString"] == "value"


def test_the_default_key_follows_the_secret_not_the_caller(bench: HandlerBench) -> None:
    there = Place(PLACE.partition, "eu-west-1", PLACE.account_id)
    caller = user("traveller")
    with bench.kit.state.write() as transaction:
        inline_policies.put_inline_policy(transaction, caller.arn, "all", ALLOW_ALL)
    call = bench.as_(caller)._replace(place=there)
    arn = bench.call_as(call, "secretsmanager", "CreateSecret", Name="far", SecretString="a", ClientRequestToken=TOKEN)[
        "ARN"
    ]
    key = bench.call_as(call, "kms", "DescribeKey", KeyId="alias/aws/secretsmanager")["KeyMetadata"]["Arn"]

    assert Place.of(key) == Place.of(arn) == there
    assert (version_of(bench, arn).sealed or b"").find(key.rpartition("/")[2].encode()) > 0


def test_a_call_whose_events_nobody_stores_uses_no_customer_key(bench: HandlerBench) -> None:
    make_secret(bench, "unrecorded", KmsKeyId=make_key(bench))
    call = bench.as_(bench.caller)._replace(further_events=None)
    operation = registry.find("secretsmanager", "GetSecretValue")
    assert operation is not None
    subject = operation.load(bench.kit, call, {"SecretId": "unrecorded"})

    with pytest.raises(TypeError, match="nobody stores"):
        operation.handle(bench.kit, call, {"SecretId": "unrecorded"}, subject.record)
