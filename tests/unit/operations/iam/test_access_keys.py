from __future__ import annotations

import pytest

from keyturn.errors.iam import LimitExceededException, NoSuchEntityException
from keyturn.operations.sealing import open_access_key
from keyturn.storage import access_keys
from keyturn.testing.handlers import HandlerBench


@pytest.fixture(autouse=True)
def ada(bench: HandlerBench) -> None:
    bench.call("iam", "CreateUser", UserName="ada")


def test_the_secret_half_is_shown_once_and_stored_sealed(bench: HandlerBench) -> None:
    made = bench.call("iam", "CreateAccessKey", UserName="ada")["AccessKey"]

    with bench.kit.state.read() as connection:
        stored = access_keys.load_access_key(connection, made["AccessKeyId"])
    assert stored is not None
    assert made["SecretAccessKey"].encode() not in stored.sealed
    opened = open_access_key(bench.kit, made["AccessKeyId"], stored.sealed)
    assert opened.reveal() == made["SecretAccessKey"]
    listed = bench.call("iam", "ListAccessKeys", UserName="ada")["AccessKeyMetadata"]
    assert listed == [{key: made[key] for key in ("UserName", "AccessKeyId", "Status", "CreateDate")}]


def test_a_user_has_at_most_two(bench: HandlerBench) -> None:
    for _ in range(2):
        bench.call("iam", "CreateAccessKey", UserName="ada")

    with pytest.raises(LimitExceededException, match=r"^Cannot exceed quota for AccessKeysPerUser: 2$"):
        bench.call("iam", "CreateAccessKey", UserName="ada")


def test_a_key_is_switched_off_and_on_again(bench: HandlerBench) -> None:
    key_id = bench.call("iam", "CreateAccessKey", UserName="ada")["AccessKey"]["AccessKeyId"]

    for status in ("Inactive", "Active"):
        bench.call("iam", "UpdateAccessKey", UserName="ada", AccessKeyId=key_id, Status=status)
        assert bench.call("iam", "ListAccessKeys", UserName="ada")["AccessKeyMetadata"][0]["Status"] == status


@pytest.mark.parametrize(("operation", "more"), [("DeleteAccessKey", {}), ("UpdateAccessKey", {"Status": "Inactive"})])
def test_somebody_elses_key_reads_like_a_missing_one(bench: HandlerBench, operation: str, more: dict[str, str]) -> None:
    bench.call("iam", "CreateUser", UserName="bob")
    key_id = bench.call("iam", "CreateAccessKey", UserName="bob")["AccessKey"]["AccessKeyId"]

    with pytest.raises(NoSuchEntityException, match=rf"^The Access Key with id {key_id} cannot be found.$"):
        bench.call("iam", operation, UserName="ada", AccessKeyId=key_id, **more)
    assert bench.call("iam", "ListAccessKeys", UserName="bob")["AccessKeyMetadata"][0]["Status"] == "Active"
