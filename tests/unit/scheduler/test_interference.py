"""People and attackers get in the way of a rotation: no password is lost, none is set that was not made for it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from keyturn.errors.secretsmanager import InvalidRequestException
from keyturn.ids import new_version_id
from keyturn.runtime.spec import Invocation
from keyturn.scheduler.deletions import erase_past_recovery
from keyturn.storage import functions
from keyturn.storage.rotations import RotationKind, RotationStatus
from keyturn.testing.handlers import PLACE

from .test_rotations import Desk, a_function, desk
from .test_settling import (
    come_due,
    current_value,
    exhaust,
    offering,
    put_foreign,
    take_label_off,
)

__all__ = ["desk", "offering"]


def lost_and_waiting(desk: Desk) -> str:
    """setSecret has set v; then the database is away; somebody takes the label off, as AWS says."""
    desk.rotate()
    desk.work()
    desk.bench.clock.advance(timedelta(days=1))
    lost = desk.rotate()
    desk.runtime.fails_in, desk.runtime.answers_nothing = "testSecret", True
    desk.work()
    take_label_off(desk, lost)
    assert desk.history()[0].kind is RotationKind.RESOLUTION
    return lost


def test_the_question_about_a_lost_version_is_asked_until_it_answers(desk: Desk) -> None:
    lost = lost_and_waiting(desk)
    exhaust(desk)
    desk.runtime.answers_nothing, desk.runtime.fails_in = False, ""
    for _ in range(200):
        desk.work()
        desk.bench.clock.advance(timedelta(minutes=5))
    assert current_value(desk) == desk.runtime.database == f"new-{lost}"


def test_a_test_does_not_supersede_the_question(desk: Desk) -> None:
    lost = lost_and_waiting(desk)
    with pytest.raises(InvalidRequestException, match="A previous rotation isn't complete"):
        desk.rotate(RotateImmediately=False)
    desk.runtime.answers_nothing, desk.runtime.fails_in = False, ""
    exhaust(desk)
    assert current_value(desk) == desk.runtime.database == f"new-{lost}"


def test_a_rotation_that_fails_at_once_asks_it_all_the_same(desk: Desk) -> None:
    lost = lost_and_waiting(desk)
    desk.runtime.answers_nothing, desk.runtime.fails_in = False, "createSecret"
    desk.rotate()
    exhaust(desk)
    assert current_value(desk) == desk.runtime.database == f"new-{lost}"


def test_so_does_one_that_meets_a_foreign_pending_value(desk: Desk) -> None:
    lost = lost_and_waiting(desk)
    put_foreign(desk, new_version_id())
    come_due(desk)
    desk.runtime.answers_nothing, desk.runtime.fails_in = False, ""
    exhaust(desk)
    assert current_value(desk) == desk.runtime.database == f"new-{lost}"


def test_a_secret_that_is_deleted_and_restored_is_asked_about_again(desk: Desk) -> None:
    lost_and_waiting(desk)
    desk.call("DeleteSecret", SecretId="db")
    desk.call("RestoreSecret", SecretId="db")
    desk.runtime.answers_nothing, desk.runtime.fails_in = False, ""
    exhaust(desk)
    assert current_value(desk) == desk.runtime.database


def test_label_taken_off_during_probe_is_no_success(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.rotate()
    desk.work()
    desk.bench.clock.advance(timedelta(days=1))
    before = current_value(desk)
    last = desk.call("DescribeSecret", SecretId="db")["LastRotatedDate"]
    version_id = desk.rotate()
    desk.runtime.fails_in = "setSecret"
    probe = desk.runtime.probeSecret

    def probing(secret: str, token: str) -> object:
        said = probe(secret, token)
        take_label_off(desk, version_id)
        return said

    monkeypatch.setattr(desk.runtime, "probeSecret", probing)
    desk.work()
    assert current_value(desk) == before
    assert desk.history()[0].status is not RotationStatus.SUCCEEDED
    assert desk.call("DescribeSecret", SecretId="db")["LastRotatedDate"] == last


def test_old_version_is_not_rotated_back_to_by_moving_awspending(desk: Desk) -> None:
    old = desk.rotate()
    desk.work()
    for _ in range(2):
        desk.bench.clock.advance(timedelta(days=1))
        desk.rotate()
        desk.work()
    desk.bench.clock.advance(timedelta(days=1))
    now = current_value(desk)
    pending = next(name for name, labels in desk.stages().items() if "AWSPENDING" in labels)
    # Somebody who knows an old password, and may move labels.
    desk.call(
        "UpdateSecretVersionStage",
        SecretId="db",
        VersionStage="AWSPENDING",
        MoveToVersionId=old,
        RemoveFromVersionId=pending,
    )
    with pytest.raises(InvalidRequestException):
        desk.rotate()
    desk.work()
    assert desk.runtime.database == now != f"new-{old}"
    assert current_value(desk) == now


def test_foreign_pending_is_not_made_current_by_the_automatic_question(desk: Desk) -> None:
    desk.rotate()
    desk.runtime.fails_in = "setSecret"
    desk.work()
    foreign = new_version_id()
    # Somebody who may store AWSPENDING only: the same password, beside other members.
    desk.call(
        "PutSecretValue", SecretId="db", SecretString="first", ClientRequestToken=foreign, VersionStages=["AWSPENDING"]
    )
    desk.work()
    assert desk.stages().get(foreign, []) != ["AWSCURRENT", "AWSPENDING"]


def test_a_label_of_ones_own_does_not_hide_a_lost_version(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.rotate()
    desk.work()
    desk.bench.clock.advance(timedelta(days=1))
    lost = desk.rotate()
    desk.runtime.fails_in, desk.runtime.answers_nothing = "testSecret", True
    desk.work()
    desk.call("UpdateSecretVersionStage", SecretId="db", VersionStage="stuck", MoveToVersionId=lost)
    take_label_off(desk, lost)
    desk.runtime.answers_nothing = False
    desk.runtime.fails_in = ""

    # the function asks pending, current, previous and lost only
    def probe(secret: str, _token: str) -> object:
        accepted: list[str] = []
        refused: list[str] = []
        stages = desk.stages()
        asked = [v for v, ls in stages.items() if {"AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"} & set(ls)]
        for v in [*asked, *desk.runtime.lost]:
            value = desk.call("GetSecretValue", SecretId=secret, VersionId=v)["SecretString"]
            (accepted if value == desk.runtime.database else refused).append(v)
        return {"rotator": "keyturn.rotator/1", "accepted": accepted, "refused": refused}

    monkeypatch.setattr(desk.runtime, "probeSecret", probe)
    exhaust(desk)
    assert current_value(desk) == desk.runtime.database == f"new-{lost}"


def test_forced_delete_in_a_step_does_not_leak_into_the_trail(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    version_id = desk.rotate()

    def fails(_spec: object, payload: bytes, *, request_id: str, client_context: object = None) -> Any:
        if json.loads(payload)["Step"] == "createSecret":
            desk.runtime.rotation_tokens[version_id] = json.loads(payload)["RotationToken"]
            desk.runtime.createSecret(json.loads(payload)["SecretId"], version_id)
            return Invocation(b"null", None, b"", "$LATEST", 1.0)
        desk.call("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)
        erase_past_recovery(desk.kit, desk.bench.clock.now())
        erase_past_recovery(desk.kit, desk.bench.clock.now())
        said = {
            "errorType": "OperationalError",
            "errorMessage": f"login as app with new-{version_id} failed, old was first",
        }
        return Invocation(json.dumps(said).encode(), "Unhandled", b"", "$LATEST", 1.0)

    monkeypatch.setattr(desk.runtime, "invoke", fails)
    desk.work()
    with desk.kit.journal.read() as connection:
        tables = [r[0] for r in connection.execute(text("select name from sqlite_master where type='table'"))]
        texts = [
            repr(r) for t in tables if t.startswith("audit") for r in connection.execute(text(f"select * from {t}"))
        ]
    hits = [t for t in texts if f"new-{version_id} failed" in t]
    assert not hits


def test_refused_rotate_takes_up_with_the_secrets_own_function(desk: Desk) -> None:
    desk.rotate()
    desk.work()
    put_foreign(desk, new_version_id())
    other = PLACE.function_arn("other")
    with desk.kit.state.write() as transaction:
        functions.insert_function(transaction, replace(a_function(desk.bench), arn=other, name="other"))
        st = {
            "Sid": "s",
            "Effect": "Allow",
            "Principal": {"Service": "secretsmanager.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": other,
        }
        functions.put_statement(transaction, other, "", "s", json.dumps(st))
    with pytest.raises(InvalidRequestException):
        desk.call("RotateSecret", SecretId="db", RotationLambdaARN=other, ClientRequestToken=new_version_id())
    assert desk.history()[0].function_arn == desk.call("DescribeSecret", SecretId="db")["RotationLambdaARN"]


def test_cancelled_test_leaves_nothing_in_the_way(desk: Desk) -> None:
    desk.rotate()
    desk.work()
    desk.rotate(RotateImmediately=False)
    desk.call("CancelRotateSecret", SecretId="db")
    desk.rotate()
    desk.work()


def test_three_newer_failures_do_not_hide_a_lost_version(desk: Desk) -> None:
    desk.rotate()
    desk.work()
    desk.bench.clock.advance(timedelta(days=1))
    lost = desk.rotate()
    desk.runtime.fails_in, desk.runtime.answers_nothing = "testSecret", True
    desk.work()
    take_label_off(desk, lost)
    desk.runtime.fails_in = "setSecret"
    for _ in range(3):
        desk.bench.clock.advance(timedelta(minutes=1))
        v = desk.rotate()
        desk.work()
        take_label_off(desk, v)
    v = desk.rotate()
    desk.work()
    desk.runtime.answers_nothing = False  # it is back, and accepts that one only
    exhaust(desk)
    assert current_value(desk) == desk.runtime.database == f"new-{lost}"


def test_nor_is_it_by_the_schedule(desk: Desk) -> None:
    old = desk.rotate()
    desk.work()
    for _ in range(2):
        desk.bench.clock.advance(timedelta(days=1))
        desk.rotate()
        desk.work()
    current_value(desk)
    pending = next(name for name, labels in desk.stages().items() if "AWSPENDING" in labels)
    desk.call(
        "UpdateSecretVersionStage",
        SecretId="db",
        VersionStage="AWSPENDING",
        MoveToVersionId=old,
        RemoveFromVersionId=pending,
    )
    come_due(desk)
    assert desk.runtime.database != f"new-{old}"


def test_switching_rotation_off_does_not_end_the_question(desk: Desk) -> None:
    lost = lost_and_waiting(desk)
    desk.call("CancelRotateSecret", SecretId="db")
    desk.runtime.answers_nothing, desk.runtime.fails_in = False, ""
    for _ in range(60):
        desk.work()
        desk.bench.clock.advance(timedelta(days=1))
    assert current_value(desk) == desk.runtime.database == f"new-{lost}"


def test_nor_does_taking_the_label_off_after_that(desk: Desk) -> None:
    desk.rotate()
    desk.work()
    desk.bench.clock.advance(timedelta(days=1))
    lost = desk.rotate()
    desk.runtime.fails_in, desk.runtime.answers_nothing = "testSecret", True
    desk.work()
    desk.call("CancelRotateSecret", SecretId="db")
    desk.work()
    take_label_off(desk, lost)
    exhaust(desk)
    desk.runtime.answers_nothing, desk.runtime.fails_in = False, ""
    for _ in range(60):
        desk.work()
        desk.bench.clock.advance(timedelta(days=1))
    assert current_value(desk) == desk.runtime.database == f"new-{lost}"


def test_a_rotation_that_is_cancelled_before_it_set_anything_leaves_the_question_behind(desk: Desk) -> None:
    lost = lost_and_waiting(desk)
    desk.rotate()
    desk.call("CancelRotateSecret", SecretId="db")
    desk.call("CancelRotateSecret", SecretId="db")
    desk.runtime.answers_nothing, desk.runtime.fails_in = False, ""
    exhaust(desk)
    assert current_value(desk) == desk.runtime.database == f"new-{lost}"
