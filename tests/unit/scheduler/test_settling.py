"""Rotations that go wrong half-way: the labels end where the database is, without a person."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.errors.secretsmanager import InvalidParameterException, InvalidRequestException
from keyturn.ids import new_version_id
from keyturn.operations.secretsmanager.rotation_marks import rotation_token
from keyturn.scheduler.rotations import begin_due
from keyturn.storage import rotations, secrets
from keyturn.storage.rotations import RotationKind, RotationStatus
from keyturn.testing.handlers import open_bench

from .test_rotations import FUNCTION_ARN, Desk, desk

__all__ = ["desk"]


@pytest.fixture(autouse=True)
def offering(desk: Desk) -> None:
    desk.runtime.offers_probe = True


def exhaust(desk: Desk) -> None:
    """Let all attempts of a window pass."""
    for _ in range(10):
        desk.work()
        desk.bench.clock.advance(timedelta(minutes=5))


def current_value(desk: Desk) -> str:
    value: str = desk.call("GetSecretValue", SecretId="db")["SecretString"]
    return value


def resolutions(desk: Desk) -> list[str]:
    found = desk.bench.call("cloudtrail", "LookupEvents", MaxResults=50)["Events"]
    events = [json.loads(event["CloudTrailEvent"]) for event in found if event["EventName"] == "RotationResolved"]
    return [event["additionalEventData"]["Repair"] for event in events]


@pytest.mark.parametrize("step", ["testSecret", "finishSecret"])
def test_a_password_that_the_database_has_becomes_current_at_the_first_failure_behind_it(desk: Desk, step: str) -> None:
    version_id = desk.rotate()
    desk.runtime.fails_in = step

    desk.work()

    assert desk.runtime.steps[-1] == "probeSecret"
    assert current_value(desk) == desk.runtime.database == f"new-{version_id}"
    assert desk.history()[0].status is RotationStatus.SUCCEEDED
    assert desk.told() == ["RotationSucceeded", "RotationResolved", "RotationFailed", "RotationStarted"]
    assert resolutions(desk) == ["forward"]
    described = desk.call("DescribeSecret", SecretId="db")
    assert described["LastRotatedDate"] == desk.bench.clock.now()
    assert described["NextRotationDate"] > desk.bench.clock.now()


def test_a_password_that_the_database_never_took_is_dropped_when_there_are_no_attempts_left(desk: Desk) -> None:
    version_id = desk.rotate()
    desk.runtime.fails_in = "setSecret"

    exhaust(desk)

    assert desk.runtime.steps == ["createSecret", "setSecret", "probeSecret"] * 5
    assert current_value(desk) == desk.runtime.database == "first"
    assert version_id not in desk.stages()
    rotation = desk.history()[0]
    assert rotation.status is RotationStatus.FAILED
    assert rotation.error == f"Error when executing lambda {FUNCTION_ARN} during setSecret step: ValueError: no"
    assert rotation.cause == "ValueError"
    assert desk.call("DescribeSecret", SecretId="db")["NextRotationDate"] > desk.bench.clock.now()
    # Nothing is in the way of the next one.
    desk.runtime.fails_in = ""
    desk.rotate()
    desk.work()
    assert current_value(desk) == desk.runtime.database != "first"


def test_a_database_that_went_back_to_the_previous_password_gets_its_label_back(desk: Desk) -> None:
    desk.rotate()
    desk.work()
    desk.rotate()
    # Restored from a backup, and whoever may set passwords there is gone.
    desk.runtime.database, desk.runtime.fails_in = "first", "setSecret"

    exhaust(desk)

    assert current_value(desk) == "first"
    assert resolutions(desk) == ["revert"]
    assert "AWSPENDING" not in [label for labels in desk.stages().values() for label in labels]


def test_a_database_that_refuses_everything_is_told_and_waits_for_the_next_window(desk: Desk) -> None:
    version_id = desk.rotate()
    desk.runtime.database, desk.runtime.fails_in = "somebody else's", "setSecret"

    exhaust(desk)

    assert desk.history()[0].status is RotationStatus.PARKED
    assert desk.stages()[version_id] == ["AWSPENDING"]
    assert resolutions(desk) == []


def test_a_database_that_cannot_be_asked_is_asked_until_it_answers(desk: Desk) -> None:
    version_id = desk.rotate()
    desk.runtime.fails_in = "testSecret"
    desk.runtime.answers_nothing = True
    exhaust(desk)
    waiting = desk.history()[0]
    assert (waiting.status, waiting.step) == (RotationStatus.PENDING, "probeSecret")
    assert waiting.due_at - desk.bench.clock.now() <= timedelta(minutes=5)
    assert desk.call("DescribeSecret", SecretId="db")["NextRotationDate"] > desk.bench.clock.now()
    asked = desk.runtime.steps.count("probeSecret")

    desk.runtime.answers_nothing = False
    desk.bench.clock.advance(timedelta(minutes=5))
    desk.work()

    assert desk.runtime.steps.count("probeSecret") == asked + 1
    assert current_value(desk) == f"new-{version_id}"
    assert desk.history()[0].status is RotationStatus.SUCCEEDED


def test_nothing_is_dropped_that_the_function_of_a_server_that_was_held_up_may_yet_set(desk: Desk) -> None:
    version_id = desk.rotate()
    desk.runtime.fails_in = "setSecret"
    for _ in range(4):
        desk.work()
        now = desk.bench.clock.advance(timedelta(minutes=5))
    with desk.kit.state.write() as transaction:
        rotations.insert_step(transaction, desk.history()[0], "setSecret", "of-another-server", now)

    desk.work()

    assert desk.stages()[version_id] == ["AWSPENDING"]
    desk.runtime.database = f"new-{version_id}"
    desk.bench.clock.advance(timedelta(minutes=5))
    desk.work()
    assert current_value(desk) == f"new-{version_id}"


def test_a_version_that_a_rotation_has_left_may_be_in_the_database_for_the_next_one_too(desk: Desk) -> None:
    version_id = desk.rotate()
    desk.runtime.fails_in, desk.runtime.answers_nothing = "testSecret", True
    desk.work()
    has, desk.runtime.database, desk.runtime.answers_nothing = desk.runtime.database, "nobody's", False
    desk.call("CancelRotateSecret", SecretId="db")
    desk.work()
    assert [rotation.status for rotation in desk.history()] == [RotationStatus.FAILED, RotationStatus.CANCELLED]
    desk.runtime.fails_in, desk.runtime.database = "createSecret", has
    now = desk.bench.clock.now()
    with desk.kit.state.write() as transaction:
        secret = secrets.lock_secret(transaction, desk.call("DescribeSecret", SecretId="db")["ARN"])
        assert secret is not None
        planned = {"rotation_enabled": True, "next_rotation_at": now, "next_rotation_closes_at": None}
        secrets.update_secret(transaction, secret, **planned)
    begin_due(desk.kit, secret, now)

    desk.work()

    assert desk.runtime.steps[-2:] == ["createSecret", "probeSecret"]
    assert current_value(desk) == f"new-{version_id}"


def test_a_function_that_offers_nothing_is_never_asked(desk: Desk) -> None:
    desk.runtime.offers_probe = False
    desk.rotate()
    desk.runtime.fails_in = "testSecret"

    exhaust(desk)

    assert "probeSecret" not in desk.runtime.steps
    assert desk.history()[0].status is RotationStatus.PARKED


def test_a_rotation_cancelled_behind_its_set_secret_does_not_leave_the_secret_with_a_dead_password(desk: Desk) -> None:
    version_id = desk.rotate()
    desk.runtime.fails_in, desk.runtime.answers_nothing = "testSecret", True
    desk.work()
    desk.runtime.answers_nothing = False

    desk.call("CancelRotateSecret", SecretId="db")
    desk.work()

    assert current_value(desk) == desk.runtime.database == f"new-{version_id}"
    assert [(each.kind, each.status) for each in desk.history()] == [
        (RotationKind.RESOLUTION, RotationStatus.SUCCEEDED),
        (RotationKind.ROTATION, RotationStatus.CANCELLED),
    ]
    assert "NextRotationDate" not in desk.call("DescribeSecret", SecretId="db")


def test_while_the_database_is_asked_no_other_rotation_begins(desk: Desk) -> None:
    desk.rotate()
    desk.runtime.fails_in, desk.runtime.answers_nothing = "testSecret", True
    desk.work()
    desk.call("CancelRotateSecret", SecretId="db")

    with pytest.raises(InvalidRequestException, match="A previous rotation isn't complete"):
        desk.rotate()

    assert len(desk.history()) == 2


@pytest.mark.parametrize("step", ["setSecret", "testSecret", "finishSecret"])
def test_a_repair_killed_at_any_moment_is_finished_by_the_next_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    from keyturn.storage.rotation_leases import release_leases_of_others  # noqa: PLC0415 - only here

    from .test_rotations import Killed, dangerous_writes  # noqa: PLC0415 - likewise

    moment = 0
    while True:
        moment += 1
        directory = tmp_path / str(moment)
        directory.mkdir()
        with open_bench(directory) as bench:
            desk = Desk(bench)
            desk.runtime.offers_probe = True
            desk.rotate()
            desk.runtime.fails_in = step
            desk.interrupt.at = moment
            try:
                with dangerous_writes(desk, monkeypatch):
                    exhaust(desk)
            except Killed:
                pass
            else:
                break
            desk.interrupt.at = None
            release_leases_of_others(desk.kit.state, "the next server")
            exhaust(desk)
            assert current_value(desk) == desk.runtime.database, moment
            assert [len(labels) for labels in desk.stages().values() if labels == ["AWSPENDING"]] == [], moment
    assert moment > 12


# Whose value it is ----------------------------------------------------------------------------------------------------


def test_a_pending_value_that_somebody_else_has_stored_is_not_set_in_the_database(desk: Desk) -> None:
    version_id = desk.rotate()
    desk.runtime.proves_itself = False

    desk.work()

    arn = desk.call("DescribeSecret", SecretId="db")["ARN"]
    rotation = desk.history()[0]
    assert (rotation.status, rotation.cause) == (RotationStatus.PARKED, "PendingFromElsewhere")
    assert rotation.error == (
        f"Pending secret version {version_id} for Secret {arn} was not created by Lambda {FUNCTION_ARN}."
        " Remove the AWSPENDING staging label and restart rotation"
    )
    assert desk.runtime.steps == ["createSecret"]
    desk.call("UpdateSecretVersionStage", SecretId="db", VersionStage="AWSPENDING", RemoveFromVersionId=version_id)
    desk.runtime.proves_itself = True
    desk.rotate()
    desk.work()
    assert desk.history()[0].status is RotationStatus.SUCCEEDED


def test_a_token_of_another_rotation_is_refused(desk: Desk) -> None:
    version_id = desk.rotate()
    arn = desk.call("DescribeSecret", SecretId="db")["ARN"]
    value: dict[str, Any] = {"SecretId": "db", "SecretString": "x", "VersionStages": ["AWSPENDING"]}
    for wrong in ("a" * 64, rotation_token(desk.kit, arn, new_version_id()).reveal()):
        with pytest.raises(InvalidParameterException, match="RotationToken"):
            desk.call("PutSecretValue", ClientRequestToken=version_id, RotationToken=wrong, **value)

    right = rotation_token(desk.kit, arn, version_id).reveal()
    desk.call("PutSecretValue", ClientRequestToken=version_id, RotationToken=right, **value)
