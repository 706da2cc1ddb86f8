"""Rotation of key material as several servers of one database see it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from keyturn.errors.kms import LimitExceededException
from keyturn.scheduler.key_rotations import rotate_due_keys
from keyturn.storage import inline_policies, kms_keys
from keyturn.testing.handlers import ALLOW_ALL, HandlerBench

from .conftest import OpenStores
from .desk import DAY


@pytest.fixture
def benches(open_stores: OpenStores) -> tuple[HandlerBench, HandlerBench]:
    """Two servers of one database."""
    first = HandlerBench(open_stores())
    with first.kit.state.write() as transaction:
        inline_policies.put_inline_policy(transaction, first.caller.arn, "everything", ALLOW_ALL)
    return first, HandlerBench(open_stores(), beside=first)


def test_what_one_server_encrypts_with_new_material_another_decrypts(
    benches: tuple[HandlerBench, HandlerBench],
) -> None:
    first, second = benches
    key = first.call("kms", "CreateKey")["KeyMetadata"]["KeyId"]
    blobs = [second.call("kms", "Encrypt", KeyId=key, Plaintext=b"0")["CiphertextBlob"]]

    for number, (rotating, other) in enumerate([benches, benches[::-1]], start=1):
        rotating.call("kms", "RotateKeyOnDemand", KeyId=key)
        described = [bench.call("kms", "DescribeKey", KeyId=key)["KeyMetadata"] for bench in benches]
        assert described[0] == described[1]
        # The other server's very next ciphertext is of the new material.
        blobs.append(other.call("kms", "Encrypt", KeyId=key, Plaintext=b"%d" % number)["CiphertextBlob"])
        told = rotating.call("kms", "Decrypt", CiphertextBlob=blobs[-1])
        assert told["KeyMaterialId"] == described[0]["CurrentKeyMaterialId"]

    ids = set()
    for bench in benches:
        answers = [bench.call("kms", "Decrypt", CiphertextBlob=blob) for blob in blobs]
        assert [answer["Plaintext"] for answer in answers] == [b"0", b"1", b"2"]
        ids |= {answer["KeyMaterialId"] for answer in answers}
    assert len(ids) == 3


def test_of_several_servers_one_rotates_a_key_that_is_due(benches: tuple[HandlerBench, HandlerBench]) -> None:
    keys = [benches[0].call("kms", "CreateKey")["KeyMetadata"]["KeyId"] for _ in range(3)]
    for key in keys:
        benches[0].call("kms", "EnableKeyRotation", KeyId=key, RotationPeriodInDays=90)
    benches[0].clock.advance(90 * DAY)
    start = Barrier(2)

    def look(bench: HandlerBench) -> None:
        start.wait(timeout=30)
        rotate_due_keys(bench.kit, bench.clock.now())

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(look, benches))

    with benches[0].kit.state.read() as connection:
        assert [len(kms_keys.list_materials(connection, key)) for key in keys] == [2, 2, 2]


def test_rotations_at_the_same_time_are_counted_one_after_the_other(
    benches: tuple[HandlerBench, HandlerBench],
) -> None:
    key = benches[0].call("kms", "CreateKey")["KeyMetadata"]["KeyId"]
    for _ in range(23):
        benches[0].call("kms", "RotateKeyOnDemand", KeyId=key)
    start = Barrier(4)

    def rotate(number: int) -> Any:
        start.wait(timeout=30)
        try:
            return benches[number % 2].call("kms", "RotateKeyOnDemand", KeyId=key)["KeyId"]
        except LimitExceededException as error:
            return type(error)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(rotate, range(4)))

    assert answers.count(LimitExceededException) == 2
    with benches[0].kit.state.read() as connection:
        assert [each.number for each in kms_keys.list_materials(connection, key)] == list(range(26))
