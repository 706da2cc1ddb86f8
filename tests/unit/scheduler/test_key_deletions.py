from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from keyturn.crypto.keyring import MaterialId
from keyturn.errors.crypto import SealRefused
from keyturn.errors.kms import NotFoundException
from keyturn.scheduler.key_deletions import destroy_due_keys
from keyturn.storage import inline_policies, kms_keys
from keyturn.storage.audit_lookup import Question, lookup
from keyturn.testing.handlers import ALLOW_ALL, PLACE, HandlerBench, open_bench

WEEK = timedelta(days=7)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        with opened.kit.state.write() as transaction:
            inline_policies.put_inline_policy(transaction, opened.caller.arn, "everything", ALLOW_ALL)
        yield opened


def make_key(bench: HandlerBench) -> str:
    key_id: str = bench.call("kms", "CreateKey")["KeyMetadata"]["KeyId"]
    return key_id


def destroy(bench: HandlerBench, after: timedelta) -> None:
    bench.clock.advance(after)
    destroy_due_keys(bench.kit, bench.clock.now())
    bench.kept.refresh()


def test_a_key_ends_when_its_time_is_over_and_not_before(bench: HandlerBench) -> None:
    key_id = make_key(bench)
    spared = make_key(bench)
    bench.call("kms", "CreateAlias", AliasName="alias/a", TargetKeyId=key_id)
    for each in (key_id, spared):
        bench.call("kms", "ScheduleKeyDeletion", KeyId=each, PendingWindowInDays=7)
    bench.kit.keyring.encrypt(MaterialId(key_id), b"keep it in memory", {})

    destroy(bench, WEEK - timedelta(milliseconds=1))
    assert bench.call("kms", "DescribeKey", KeyId=key_id)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    bench.call("kms", "CancelKeyDeletion", KeyId=spared)
    destroy(bench, timedelta(milliseconds=1))

    with pytest.raises(NotFoundException):
        bench.call("kms", "DescribeKey", KeyId=key_id)
    with pytest.raises(NotFoundException):
        bench.call("kms", "DescribeKey", KeyId="alias/a")
    with pytest.raises(SealRefused):
        bench.kit.keyring.encrypt(MaterialId(key_id), b"nor in memory", {})
    assert bench.call("kms", "DescribeKey", KeyId=spared)["KeyMetadata"]["KeyState"] == "Disabled"
    with bench.kit.journal.read() as connection:
        (found,) = lookup(connection, Question(PLACE), 9)
    assert (found.record.event_name, found.record.resource_name) == ("DeleteKey", PLACE.kms_key_arn(key_id))


def test_a_name_of_a_destroyed_key_is_free(bench: HandlerBench) -> None:
    first = make_key(bench)
    bench.call("kms", "CreateAlias", AliasName="alias/a", TargetKeyId=first)
    bench.call("kms", "ScheduleKeyDeletion", KeyId=first, PendingWindowInDays=7)
    destroy(bench, WEEK)

    second = make_key(bench)
    bench.call("kms", "CreateAlias", AliasName="alias/a", TargetKeyId=second)

    assert bench.call("kms", "DescribeKey", KeyId="alias/a")["KeyMetadata"]["KeyId"] == second


def test_a_deletion_that_is_cancelled_meanwhile_does_not_happen(
    bench: HandlerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = make_key(bench)
    bench.call("kms", "ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    bench.clock.advance(WEEK)
    load = kms_keys.load_past_deletion

    def load_and_cancel(*arguments: object) -> object:
        due = load(*arguments)  # type: ignore[arg-type]  # passed on as it came
        bench.call("kms", "CancelKeyDeletion", KeyId=key_id)
        return due

    monkeypatch.setattr(kms_keys, "load_past_deletion", load_and_cancel)
    destroy_due_keys(bench.kit, bench.clock.now())
    bench.kept.refresh()

    assert bench.call("kms", "DescribeKey", KeyId=key_id)["KeyMetadata"]["KeyState"] == "Disabled"
