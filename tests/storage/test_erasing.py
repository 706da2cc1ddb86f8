"""The end of a recovery window, driven by a clock that a test moves: values, rows and bytes go, and it is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from keyturn.errors.secretsmanager import InvalidRequestException, ResourceNotFoundException
from keyturn.ids import new_version_id
from keyturn.rules.lanes import Lane
from keyturn.rules.rotation import ROTATION
from keyturn.scheduler import deletions
from keyturn.storage import rotations, secrets
from keyturn.storage.rotations import RotationKind

from .desk import DAY, Desk


def test_a_secret_past_its_window_leaves_no_row_and_no_byte(desk: Desk, files: Callable[[], bytes]) -> None:
    arn = desk.create()
    sealed = desk.sealed(arn)
    assert len(sealed) == 2
    assert all(value in files() for value in sealed.values())
    desk.call("DeleteSecret", SecretId="db", RecoveryWindowInDays=7)
    desk.turn()
    desk.bench.clock.advance(7 * DAY - timedelta(milliseconds=1))
    desk.turn()
    assert desk.sealed(arn) == sealed

    desk.bench.clock.advance(timedelta(milliseconds=1))
    desk.turn()

    assert set(desk.rows().values()) == {0}
    if not desk.kit.state.dialect.is_embedded:
        # PostgreSQL gives a page back when nothing lives on it any more, and the turn after sees to that.
        desk.turn()
    assert not [version_id for version_id, value in sealed.items() if value[48:] in files() or value[:96] in files()]
    with pytest.raises(ResourceNotFoundException):
        desk.call("DescribeSecret", SecretId=arn)


def test_each_version_is_told_to_begin_and_to_have_ended(desk: Desk) -> None:
    arn = desk.create(values=3)
    versions = sorted((arn, version_id) for version_id in desk.sealed(arn))
    desk.call("DeleteSecret", SecretId="db")
    desk.turn()
    assert desk.told("StartSecretVersionDelete") == []

    ended_at = desk.bench.clock.advance(30 * DAY)
    desk.turn()
    desk.turn()

    for name in ("StartSecretVersionDelete", "EndSecretVersionDelete"):
        assert sorted(desk.told(name)) == versions
        for event in desk.events(name):
            assert event["eventType"] == "AwsServiceEvent"
            assert event["eventTime"] == ended_at.strftime("%Y-%m-%dT%H:%M:%SZ")
            version_id = event["additionalEventData"]["SecretVersionId"]
            assert event["serviceEventDetails"] == {"secretId": arn, "secretVersionId": version_id}
            assert event["requestID"] == f"Deletion-{arn}-{version_id}"


def test_with_its_rows_go_its_rotations_and_their_steps(desk: Desk) -> None:
    arn = desk.create()
    other = desk.create("other")
    now = desk.bench.clock.now()
    for owner in (arn, other):
        with desk.kit.state.write() as transaction:
            secret_id = desk.record(owner).secret_id
            rotations.start_rotation(
                transaction, secret_id, "v", RotationKind.ROTATION, ROTATION.first_step, now, None, Lane("", "")
            )
            rotation = rotations.load_unfinished(transaction.connection, secret_id)
            assert rotation is not None
            rotations.insert_step(transaction, rotation, 1, "request", now)
    before = desk.rows()

    desk.call("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)
    desk.turn()

    assert desk.rows() == {name: count // 2 for name, count in before.items()}
    assert desk.call("GetSecretValue", SecretId="other")["SecretString"] == "other 1"


def test_memory_forgets_what_was_erased(desk: Desk) -> None:
    arn = desk.create()
    secret = desk.record(arn)
    keyring = desk.kit.envelope._keyring
    assert len(keyring._data_keys) == 2
    assert desk.kit.accesses.last_access(secret) is not None
    assert (secrets.SECRET, arn) in desk.bench.kept._rows

    desk.call("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)
    desk.turn()

    assert len(keyring._data_keys) == 0
    assert desk.kit.accesses.last_access(secret) is None
    assert (secrets.SECRET, arn) not in desk.bench.kept._rows
    desk.kit.accesses.store(desk.kit.state)


def test_what_was_deleted_by_force_is_gone_before_the_scheduler_comes(desk: Desk, files: Callable[[], bytes]) -> None:
    arn = desk.create()
    sealed = desk.sealed(arn)
    woken = desk.woken

    answer = desk.call("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)

    assert (answer["ARN"], answer["DeletionDate"]) == (arn, desk.bench.clock.now())
    assert desk.woken == woken + 1
    assert desk.sealed(arn) == sealed
    for request in ("DescribeSecret", "GetSecretValue", "RestoreSecret", "DeleteSecret", "ListSecretVersionIds"):
        for secret_id in ("db", arn):
            with pytest.raises(ResourceNotFoundException):
                desk.call(request, SecretId=secret_id)
    assert desk.call("ListSecrets", IncludePlannedDeletion=True)["SecretList"] == []
    again = desk.call("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)
    assert again["ARN"] != arn
    assert again["Name"] == "db"

    desk.turn()
    assert set(desk.rows().values()) == {0}
    desk.turn()
    assert not any(value[48:] in files() for value in sealed.values())
    assert sorted(version for _, version in desk.told("EndSecretVersionDelete")) == sorted(sealed)


def test_its_name_is_free_at_once_and_what_is_erased_later_is_the_old_secret(desk: Desk) -> None:
    old = desk.create()
    old_versions = set(desk.sealed(old))
    desk.call("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)

    new = desk.create(values=1)
    assert new != old
    desk.call("DeleteSecret", SecretId="db", RecoveryWindowInDays=7)
    desk.call("RestoreSecret", SecretId="db")
    desk.turn()

    assert desk.call("GetSecretValue", SecretId="db")["SecretString"] == "db 0"
    assert desk.call("DescribeSecret", SecretId=new)["Name"] == "db"
    assert set(desk.told("EndSecretVersionDelete")) == {(old, version_id) for version_id in old_versions}
    assert desk.rows()["secrets"] == 1
    with pytest.raises(ResourceNotFoundException):
        desk.call("DescribeSecret", SecretId=old)


def test_a_secret_in_its_window_keeps_its_name_and_one_past_it_does_not(desk: Desk) -> None:
    old = desk.create()
    desk.call("DeleteSecret", SecretId="db", RecoveryWindowInDays=7)
    with pytest.raises(InvalidRequestException, match="already scheduled for deletion"):
        desk.create()

    # The scheduler is late.
    desk.bench.clock.advance(7 * DAY)

    assert desk.create() != old


def test_a_restored_secret_is_whole_and_each_of_its_versions_is_told(desk: Desk) -> None:
    arn = desk.create(values=3)
    versions = sorted((arn, version_id) for version_id in desk.sealed(arn))
    described = desk.call("DescribeSecret", SecretId="db")
    desk.bench.clock.advance(DAY)
    desk.call("DeleteSecret", SecretId="db")
    deleted_at = desk.bench.clock.now()
    described["LastChangedDate"] = deleted_at
    assert desk.call("DescribeSecret", SecretId="db") == {**described, "DeletedDate": deleted_at}

    desk.bench.clock.advance(30 * DAY - timedelta(milliseconds=1))
    assert desk.call("RestoreSecret", SecretId="db") == {"ARN": arn, "Name": "db"}
    desk.bench.clock.advance(DAY)
    desk.turn()

    assert desk.call("DescribeSecret", SecretId="db") == described
    assert desk.call("GetSecretValue", SecretId="db")["SecretString"] == "db 2"
    assert sorted(desk.told("CancelSecretVersionDelete")) == versions
    assert desk.told("StartSecretVersionDelete") == []
    desk.call("RestoreSecret", SecretId="db")
    assert len(desk.told("CancelSecretVersionDelete")) == len(versions)


def test_a_secret_without_a_value_goes_without_a_word(desk: Desk) -> None:
    desk.call("CreateSecret", Name="empty")
    desk.call("DeleteSecret", SecretId="empty")
    desk.call("RestoreSecret", SecretId="empty")
    desk.call("DeleteSecret", SecretId="empty", ForceDeleteWithoutRecovery=True)

    desk.turn()

    assert desk.rows()["secrets"] == 0
    for name in ("StartSecretVersionDelete", "EndSecretVersionDelete", "CancelSecretVersionDelete"):
        assert desk.events(name) == []


def test_many_are_erased_some_in_each_turn_without_a_pause_between(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletions, "_AT_ONCE", 2)
    for number in range(5):
        desk.create(f"n{number}", values=1)
        desk.call("DeleteSecret", SecretId=f"n{number}", RecoveryWindowInDays=7)
    pause = desk.turn()
    assert pause > timedelta(seconds=10)
    desk.bench.clock.advance(7 * DAY)

    left, pauses = [], []
    for _ in range(3):
        pauses.append(desk.turn())
        left.append(desk.rows()["secrets"])

    assert left == [3, 1, 0]
    assert max(pauses[:2]) < timedelta(seconds=0.1)
    assert pauses[2] > timedelta(seconds=10)
    assert len(desk.told("EndSecretVersionDelete")) == 5


def test_the_scheduler_is_there_when_a_window_ends(desk: Desk) -> None:
    desk.create()
    desk.call("DeleteSecret", SecretId="db", RecoveryWindowInDays=7)
    desk.bench.clock.advance(7 * DAY - timedelta(seconds=3))

    assert desk.turn() == timedelta(seconds=3)


def test_versions_that_the_clean_up_removes_leave_no_byte_and_are_told(desk: Desk, files: Callable[[], bytes]) -> None:
    arn = desk.create(values=101, apart=timedelta(milliseconds=1))
    sealed = desk.sealed(arn)
    desk.bench.clock.advance(DAY)
    current = desk.call("DescribeSecret", SecretId="db")["VersionIdsToStages"]
    desk.call("PutSecretValue", SecretId="db", SecretString="newest", ClientRequestToken=new_version_id())

    left = desk.sealed(arn)
    removed = {version_id: value for version_id, value in sealed.items() if version_id not in left}
    assert len(removed) == 2
    assert not removed.keys() & current.keys()
    assert set(desk.told("SecretVersionDeletion")) == {(arn, version_id) for version_id in removed}
    assert desk.told("StartSecretVersionDelete") == []

    desk.turn()

    held = files()
    if desk.kit.state.dialect.is_embedded:
        assert not [value for value in removed.values() if value[48:] in held]
    assert all(value in held for value in left.values())
    assert desk.call("GetSecretValue", SecretId="db")["SecretString"] == "newest"
