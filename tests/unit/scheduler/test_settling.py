"""Rotations that go wrong half-way: the labels end where the database is, without a person."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from keyturn.errors.secretsmanager import InvalidParameterException, InvalidRequestException
from keyturn.ids import new_version_id
from keyturn.operations.secretsmanager.rotation_marks import rotation_token
from keyturn.scheduler.due import begin_due
from keyturn.scheduler.rotations import drive
from keyturn.storage import rotations, secrets
from keyturn.storage.rotations import RotationKind, RotationStatus, StepRecord
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
        of_another_server = replace(desk.history()[0], step="setSecret")
        position = rotations.next_position(transaction, of_another_server)
        rotations.insert_step(transaction, of_another_server, position, "request", now)

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
    begin_due(desk.kit, secret.arn, now)

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


def test_a_question_that_nobody_answers_does_not_keep_the_schedule_waiting(desk: Desk) -> None:
    desk.rotate()
    desk.work()
    desk.runtime.answers_nothing = True
    desk.bench.call("keyturn", "ResolveRotation", SecretId="db")
    desk.work()
    with desk.kit.state.write() as transaction:
        secret = secrets.lock_secret(transaction, desk.call("DescribeSecret", SecretId="db")["ARN"])
        assert secret is not None
        secrets.update_secret(transaction, secret, next_rotation_at=desk.bench.clock.now())

    begin_due(desk.kit, secret.arn, desk.bench.clock.now())
    desk.work()

    assert [(each.kind, each.status) for each in desk.history()[:2]] == [
        (RotationKind.ROTATION, RotationStatus.SUCCEEDED),
        (RotationKind.RESOLUTION, RotationStatus.CANCELLED),
    ]


def test_a_question_about_nothing_that_is_pending_is_given_up(desk: Desk) -> None:
    desk.rotate()
    desk.work()
    desk.runtime.answers_nothing = True
    desk.bench.call("keyturn", "ResolveRotation", SecretId="db")

    exhaust(desk)

    assert desk.history()[0].status is RotationStatus.FAILED
    assert desk.runtime.steps.count("probeSecret") == 5


@pytest.mark.parametrize("answers_nothing", [False, True])
def test_a_question_of_which_nothing_comes_takes_no_attempt_away(desk: Desk, answers_nothing: bool) -> None:
    version_id = desk.rotate()
    has, desk.runtime.fails_in = desk.runtime.database, "setSecret"
    desk.work()
    desk.bench.clock.advance(timedelta(minutes=5))
    desk.work()
    before, asked = desk.history()[0], desk.runtime.steps.count("probeSecret")
    desk.runtime.database, desk.runtime.answers_nothing = "nobody's", answers_nothing

    desk.bench.call("keyturn", "ResolveRotation", SecretId="db")
    while desk.history()[0].status is RotationStatus.PENDING:
        (claimed,) = desk.claim()
        drive(desk.kit, claimed, Event())
        if answers_nothing:
            desk.bench.clock.advance(timedelta(minutes=5))

    resolution, rotation = desk.history()
    assert desk.runtime.steps.count("probeSecret") - asked == (5 if answers_nothing else 1)
    assert (resolution.kind, resolution.status) == (RotationKind.RESOLUTION, RotationStatus.FAILED)
    assert (rotation.status, rotation.attempt, rotation.ended_at) == (RotationStatus.PENDING, 3, None)
    assert (rotation.error, rotation.cause) == (before.error, before.cause)
    assert rotation.due_at >= before.due_at
    desk.runtime.fails_in, desk.runtime.database, desk.runtime.answers_nothing = "", has, False
    desk.bench.clock.advance(timedelta(minutes=5))
    desk.work()
    assert current_value(desk) == f"new-{version_id}"


def test_a_rotation_that_was_given_up_stays_so_when_the_database_refuses_everything(desk: Desk) -> None:
    version_id = desk.rotate()
    desk.runtime.database, desk.runtime.fails_in = "nobody's", "setSecret"
    exhaust(desk)
    before, planned = desk.history()[0], desk.call("DescribeSecret", SecretId="db")["NextRotationDate"]

    desk.bench.call("keyturn", "ResolveRotation", SecretId="db")
    desk.work()

    resolution, rotation = desk.history()
    assert (resolution.kind, resolution.status) == (RotationKind.RESOLUTION, RotationStatus.FAILED)
    assert (rotation.status, rotation.error, rotation.cause) == (RotationStatus.PARKED, before.error, before.cause)
    assert desk.stages()[version_id] == ["AWSPENDING"]
    assert desk.call("DescribeSecret", SecretId="db")["NextRotationDate"] == planned


def test_a_window_that_closes_while_the_database_is_asked_is_over(desk: Desk) -> None:
    desk.rotate()
    desk.work()
    desk.runtime.database, desk.runtime.fails_in = "nobody's", "setSecret"
    come_due(desk, timedelta(seconds=30))
    assert desk.history()[0].status is RotationStatus.PENDING

    desk.bench.call("keyturn", "ResolveRotation", SecretId="db")
    desk.bench.clock.advance(timedelta(seconds=30))
    desk.work()

    assert [each.status for each in desk.history()[:2]] == [RotationStatus.FAILED, RotationStatus.PARKED]
    assert desk.call("DescribeSecret", SecretId="db")["NextRotationDate"] > desk.bench.clock.now()


def test_the_next_window_stays_planned_whatever_the_database_says(desk: Desk) -> None:
    version_id = desk.rotate()
    desk.runtime.fails_in = "setSecret"
    desk.work()

    desk.bench.call("keyturn", "ResolveRotation", SecretId="db")
    planned = desk.call("DescribeSecret", SecretId="db")["NextRotationDate"]
    desk.work()

    # Nothing was rotated: the next one is not counted from here.
    assert resolutions(desk) == ["back"]
    assert version_id not in desk.stages()
    assert desk.call("DescribeSecret", SecretId="db")["NextRotationDate"] == planned
    assert desk.history()[1].status is RotationStatus.CANCELLED


def steps_of(desk: Desk) -> list[StepRecord]:
    with desk.kit.state.read() as connection:
        return rotations.load_steps(connection, desk.history()[0].rotation_id)


def test_what_the_database_has_said_is_kept_with_the_step(desk: Desk) -> None:
    desk.rotate()
    desk.runtime.fails_in = "setSecret"
    desk.work()

    probe = steps_of(desk)[-1]

    assert (probe.outcome, probe.error, probe.cause) == ("succeeded", None, "pending refused, current accepted")
    assert desk.history()[0].cause == "ValueError"


@pytest.mark.parametrize(
    ("unanswered", "cause", "why"),
    [
        ("ConnectionRefused: nothing listens", "ConnectionRefused", "ConnectionRefused: nothing listens"),
        ("it was first, or not", "Unanswered", "it was ***, or not"),
        (None, "Unanswered", "the function does not say why."),
    ],
)
def test_a_question_that_is_left_open_has_failed_and_the_rotation_says_why(
    desk: Desk, unanswered: str | None, cause: str, why: str
) -> None:
    desk.rotate()
    desk.runtime.fails_in, desk.runtime.answers_nothing, desk.runtime.unanswered = "testSecret", True, unanswered
    desk.work()

    probe = steps_of(desk)[-1]

    said = f"The database has not said which version it accepts (pending no answer, current no answer): {why}"
    assert (probe.step, probe.outcome, probe.error, probe.cause) == ("probeSecret", "functionError", said, cause)
    waiting = desk.history()[0]
    assert (waiting.status, waiting.cause) == (RotationStatus.PENDING, cause)
    assert str(waiting.error).endswith(f"during probeSecret step: {said}")


def test_a_question_that_is_answered_with_no_for_everything_says_so(desk: Desk) -> None:
    desk.rotate()
    desk.work()
    desk.runtime.database = "nobody's"
    desk.bench.call("keyturn", "ResolveRotation", SecretId="db")
    desk.work()

    resolution = desk.history()[0]

    assert (resolution.status, resolution.cause) == (RotationStatus.FAILED, "AllRefused")
    assert resolution.error == "The database refuses every version that is stored."
    assert steps_of(desk)[-1].cause == "current refused, previous refused"


def test_what_is_left_pending_is_taken_up_by_who_asks_for_a_rotation(desk: Desk) -> None:
    version_id = desk.rotate()
    desk.runtime.fails_in, right = "setSecret", desk.runtime.database
    desk.work()
    desk.runtime.database = "nobody's"
    desk.bench.call("keyturn", "ResolveRotation", SecretId="db")
    desk.work()
    assert desk.history()[0].status is RotationStatus.FAILED
    desk.runtime.fails_in, desk.runtime.database = "", right

    with pytest.raises(InvalidRequestException, match="That rotation will be reattempted"):
        desk.rotate()
    desk.work()

    assert current_value(desk) == desk.runtime.database == f"new-{version_id}"


def test_a_question_can_be_cancelled(desk: Desk) -> None:
    desk.rotate()
    desk.work()
    desk.runtime.answers_nothing = True
    desk.bench.call("keyturn", "ResolveRotation", SecretId="db")

    desk.call("CancelRotateSecret", SecretId="db")
    desk.work()

    assert desk.runtime.steps.count("probeSecret") == 0
    assert desk.history()[0].status is RotationStatus.CANCELLED


def test_a_secret_that_is_restored_is_asked_about_again_after_its_rotation_was_cancelled(desk: Desk) -> None:
    version_id = desk.rotate()
    desk.runtime.fails_in, desk.runtime.answers_nothing = "testSecret", True
    desk.work()
    desk.call("CancelRotateSecret", SecretId="db")
    desk.work()
    desk.call("DeleteSecret", SecretId="db")
    desk.call("RestoreSecret", SecretId="db")
    desk.runtime.answers_nothing = False

    exhaust(desk)

    assert current_value(desk) == f"new-{version_id}"


def test_a_test_rotation_leaves_nothing_behind_when_the_database_is_asked_instead(desk: Desk) -> None:
    desk.rotate()
    desk.work()
    before = desk.stages()
    desk.rotate(RotateImmediately=False)

    desk.bench.call("keyturn", "ResolveRotation", SecretId="db")
    desk.work()

    assert {*before} == {*desk.stages()}
    assert desk.history()[0].status is RotationStatus.SUCCEEDED
    assert resolutions(desk) == ["noneNeeded"]


def test_what_nobody_foresaw_is_a_failed_attempt(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.rotate()

    def breaks(*_: object, **__: object) -> object:
        raise ZeroDivisionError

    monkeypatch.setattr(desk.runtime, "invoke", breaks)
    exhaust(desk)

    assert (desk.history()[0].status, desk.history()[0].cause) == (RotationStatus.PARKED, "internal")


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


def put_foreign(desk: Desk, version_id: str, *stages: str) -> None:
    desk.call(
        "PutSecretValue",
        SecretId="db",
        SecretString="foreign",
        ClientRequestToken=version_id,
        VersionStages=[*(stages or ("AWSPENDING",))],
    )


def come_due(desk: Desk, window: timedelta | None = None) -> None:
    """Let the scheduled rotation begin, and work."""
    now = desk.bench.clock.now()
    with desk.kit.state.write() as transaction:
        secret = secrets.lock_secret(transaction, desk.call("DescribeSecret", SecretId="db")["ARN"])
        assert secret is not None
        closes_at = window and now + window
        secrets.update_secret(transaction, secret, next_rotation_at=now, next_rotation_closes_at=closes_at)
    begin_due(desk.kit, secret.arn, now)
    desk.work()


def test_a_foreign_value_is_not_set_by_the_schedule_either(desk: Desk) -> None:
    desk.rotate()
    desk.work()
    put_foreign(desk, new_version_id())

    come_due(desk)

    assert (desk.history()[0].status, desk.history()[0].cause) == (RotationStatus.PARKED, "PendingFromElsewhere")
    assert desk.runtime.database != "foreign"


def test_a_foreign_value_stays_one_whatever_becomes_of_its_rotation(desk: Desk) -> None:
    desk.rotate()
    desk.work()
    put_foreign(desk, desk.rotate())
    desk.work()
    desk.call("DeleteSecret", SecretId="db")
    desk.call("RestoreSecret", SecretId="db")
    come_due(desk)
    desk.bench.call("keyturn", "ResolveRotation", SecretId="db")
    right, desk.runtime.database = desk.runtime.database, "nobody's"
    desk.work()
    desk.runtime.database = right
    come_due(desk)

    assert desk.runtime.database == right
    assert {each.cause for each in desk.history()} == {"PendingFromElsewhere", "AllRefused", None}


@pytest.mark.parametrize("operation", ["PutSecretValue", "UpdateSecret"])
def test_a_value_that_somebody_makes_current_under_the_rotations_token_ends_it(desk: Desk, operation: str) -> None:
    version_id = desk.rotate()

    desk.call(operation, SecretId="db", SecretString="foreign", ClientRequestToken=version_id)
    desk.work()

    assert desk.history()[0].status is RotationStatus.ABANDONED
    assert desk.runtime.steps == []
    come_due(desk)
    assert desk.history()[0].status is RotationStatus.SUCCEEDED
    assert desk.history()[0].version_id != version_id


def test_half_a_character_in_a_value_does_not_end_who_masks_it(desk: Desk) -> None:
    put_half = {"SecretString": json.dumps({"password": "\ud800abcd"})}
    desk.call("PutSecretValue", SecretId="db", ClientRequestToken=new_version_id(), **put_half)
    desk.rotate()
    desk.runtime.fails_in = "createSecret"

    desk.work()

    assert desk.history()[0].cause == "ValueError"
    desk.bench.call("keyturn", "GetRotation", SecretId="db")


def test_the_token_is_masked_in_what_a_function_says(desk: Desk) -> None:
    version_id = desk.rotate()
    token = rotation_token(desk.kit, desk.call("DescribeSecret", SecretId="db")["ARN"], version_id).reveal()
    desk.runtime.fails_in, desk.runtime.says = "createSecret", f"bad event {{'RotationToken': '{token}'}}"

    desk.work()

    assert (desk.history()[0].error or "").endswith("bad event {'RotationToken': '***'}")


def test_a_token_of_another_rotation_is_refused(desk: Desk) -> None:
    version_id = desk.rotate()
    arn = desk.call("DescribeSecret", SecretId="db")["ARN"]
    value: dict[str, Any] = {"SecretId": "db", "SecretString": "x", "VersionStages": ["AWSPENDING"]}
    for wrong in ("a" * 64, "ä" * 64, rotation_token(desk.kit, arn, new_version_id()).reveal()):
        with pytest.raises(InvalidParameterException, match="RotationToken"):
            desk.call("PutSecretValue", ClientRequestToken=version_id, RotationToken=wrong, **value)

    right = rotation_token(desk.kit, arn, version_id).reveal()
    desk.call("PutSecretValue", ClientRequestToken=version_id, RotationToken=right, **value)


def take_label_off(desk: Desk, version_id: str) -> None:
    desk.call("UpdateSecretVersionStage", SecretId="db", VersionStage="AWSPENDING", RemoveFromVersionId=version_id)


def test_a_password_in_the_database_whose_label_was_taken_off_becomes_current(desk: Desk) -> None:
    version_id = desk.rotate()
    # As AWS's pages say what to do with a rotation that does not end.
    desk.runtime.fails_in, desk.runtime.answers_nothing = "testSecret", True
    desk.work()
    take_label_off(desk, version_id)
    assert desk.history()[0].kind is RotationKind.RESOLUTION
    desk.runtime.answers_nothing = False

    desk.work()

    assert current_value(desk) == desk.runtime.database == f"new-{version_id}"
    assert resolutions(desk) == ["recover"]
    assert desk.told()[:2] == ["RotationResolved", "RotationAbandoned"]
    assert desk.call("DescribeSecret", SecretId="db")["NextRotationDate"] > desk.bench.clock.now()


def test_it_is_found_by_the_rotation_that_was_asked_for_next(desk: Desk) -> None:
    lost = desk.rotate()
    desk.runtime.fails_in, desk.runtime.answers_nothing = "testSecret", True
    desk.work()
    take_label_off(desk, lost)
    pending = desk.rotate()
    assert [rotation.status for rotation in desk.history()][1:] == [RotationStatus.CANCELLED, RotationStatus.ABANDONED]
    desk.runtime.fails_in, desk.runtime.answers_nothing = "setSecret", False

    desk.work()

    assert current_value(desk) == desk.runtime.database == f"new-{lost}"
    assert pending not in desk.stages()
    assert desk.history()[0].status is RotationStatus.FAILED


def test_nothing_is_asked_after_a_label_was_taken_off_that_the_database_cannot_have(desk: Desk) -> None:
    version_id = desk.rotate()
    desk.runtime.fails_in = "createSecret"
    desk.work()

    take_label_off(desk, version_id)

    assert [rotation.kind for rotation in desk.history()] == [RotationKind.ROTATION]


def test_only_what_a_rotation_may_have_set_counts_as_lost_and_the_newest_first(desk: Desk) -> None:
    rotated = []
    for _ in range(6):
        rotated.append(desk.rotate())
        desk.work()
        desk.bench.clock.advance(timedelta(minutes=1))
    desk.call("PutSecretValue", SecretId="db", SecretString="by hand", ClientRequestToken=new_version_id())
    desk.call("PutSecretValue", SecretId="db", SecretString="again", ClientRequestToken=new_version_id())
    with desk.kit.state.read() as connection:
        secret = secrets.load_secret(connection, desk.call("DescribeSecret", SecretId="db")["ARN"])
        assert secret is not None
        lost = rotations.lost_versions(connection, secret.secret_id)
    assert lost == [version for version in reversed(rotated) if version not in desk.stages()][:3]
