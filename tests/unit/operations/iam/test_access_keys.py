from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.errors.common import AccessDenied
from keyturn.errors.iam import LimitExceededException, NoSuchEntityException
from keyturn.operations.sealing import open_access_key
from keyturn.operations.uses import Uses
from keyturn.storage import access_keys
from keyturn.testing.handlers import HandlerBench, user


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


def test_the_last_use_of_a_key_says_when_where_and_for_what(bench: HandlerBench) -> None:
    key_id = bench.call("iam", "CreateAccessKey", UserName="ada")["AccessKey"]["AccessKeyId"]

    def asked() -> Any:
        return bench.call("iam", "GetAccessKeyLastUsed", AccessKeyId=key_id)

    assert asked() == {"UserName": "ada", "AccessKeyLastUsed": {"ServiceName": "N/A", "Region": "N/A"}}
    for region in ("us-east-1", "eu-west-1"):
        bench.clock.advance(timedelta(minutes=1))
        caller = replace(user("ada"), access_key_id=key_id)
        bench.kit.uses.note(caller, "secretsmanager", region, bench.clock.now())
    used = {"LastUsedDate": bench.clock.now(), "ServiceName": "secretsmanager", "Region": "eu-west-1"}
    assert asked() == {"UserName": "ada", "AccessKeyLastUsed": used}

    # Stored, it is known to every server; a later use of another server counts more than an earlier one of this.
    bench.kit.uses.store(bench.kit.state)
    bench.kit = replace(bench.kit, uses=Uses())
    bench.kit.uses.note(caller, "sts", "us-east-1", bench.clock.now() - timedelta(seconds=1))
    assert asked()["AccessKeyLastUsed"] == used


def test_temporary_keys_of_users_are_not_remembered() -> None:
    uses = Uses()
    uses.note(replace(user("ada"), access_key_id="ASIATEMPORARY"), "sts", "us-east-1", datetime.now(UTC))

    assert uses.last("ASIATEMPORARY", None) is None


def test_a_key_that_does_not_exist_is_refused_like_one_that_may_not_be_asked_about(bench: HandlerBench) -> None:
    with pytest.raises(AccessDenied) as refused:
        bench.call("iam", "GetAccessKeyLastUsed", AccessKeyId="AKIAIOSFODNN7EXAMPLE")
    # Without a colon, as recorded.
    assert refused.value.message == (
        "User: arn:aws:iam::000000000000:user/administrator is not authorized to perform iam:GetAccessKeyLastUsed on"
        " resource: access key AKIAIOSFODNN7EXAMPLE"
    )
    key_id = bench.call("iam", "CreateAccessKey", UserName="ada")["AccessKey"]["AccessKeyId"]
    told = set()
    for asked in (key_id, "AKIAIOSFODNN7EXAMPLE"):
        with pytest.raises(AccessDenied) as refused:
            bench.call_as(bench.as_(user("nobody")), "iam", "GetAccessKeyLastUsed", AccessKeyId=asked)
        told.add(refused.value.message.replace(asked, "*"))
    assert len(told) == 1
