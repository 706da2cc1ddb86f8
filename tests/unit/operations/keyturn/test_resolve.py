"""ResolveRotation: when the database may be asked, and what becomes of the rotation that waits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from keyturn.errors.secretsmanager import InvalidRequestException
from keyturn.storage import rotations, schema, secrets
from keyturn.storage.rotations import RotationKind, RotationRecord, RotationStatus

from .conftest import Desk

OLD, NEW = "v" * 32, "n" * 32


def offered(desk: Desk, version_id: str = OLD) -> None:
    """A rotation in which the function has offered to ask the database."""
    desk.begin(version_id)
    with desk.kit.state.write() as transaction:
        transaction.connection.execute(update(schema.rotations).values(offers_probe=True))


def resolve(desk: Desk) -> Any:
    return desk.bench.call_as(desk.bench.as_(desk.reader), "keyturn", "ResolveRotation", SecretId="db")


def history(desk: Desk) -> list[RotationRecord]:
    with desk.kit.state.read() as connection:
        return rotations.load_history(connection, desk.secret_id)


def test_the_intent_is_stored_about_the_current_version(desk: Desk) -> None:
    offered(desk)
    desk.end(RotationStatus.SUCCEEDED)

    answered = resolve(desk)

    newest = history(desk)[0]
    assert answered == {"ARN": desk.arn, "Name": "db", "VersionId": OLD}
    assert (newest.kind, newest.status, newest.step) == (RotationKind.RESOLUTION, RotationStatus.PENDING, "probeSecret")
    assert (newest.version_id, newest.due_at) == (OLD, desk.clock.now())


def test_it_is_about_the_pending_version_if_there_is_one_and_the_rotation_that_waits_is_ended(desk: Desk) -> None:
    pending = {"SecretString": "next", "VersionStages": ["AWSPENDING"], "ClientRequestToken": NEW}
    desk.bench.call("secretsmanager", "PutSecretValue", SecretId="db", **pending)
    offered(desk, NEW)

    assert resolve(desk)["VersionId"] == NEW

    resolution, rotation = history(desk)
    assert resolution.version_id == NEW
    assert rotation.status is RotationStatus.CANCELLED
    assert rotation.ended_at == desk.clock.now()
    assert "ResolveRotation" in str(rotation.error)


def test_asking_again_makes_the_resolution_that_waits_due(desk: Desk) -> None:
    offered(desk)
    resolve(desk)
    with desk.kit.state.write() as transaction:
        later = {"due_at": desk.clock.now() + timedelta(minutes=5), "attempt": 4}
        transaction.connection.execute(update(schema.rotations).values(**later))

    resolve(desk)

    newest, *rest = history(desk)
    assert (newest.due_at, newest.attempt, len(rest)) == (desk.clock.now(), 1, 1)


def test_a_rotation_that_runs_is_not_disturbed(desk: Desk) -> None:
    offered(desk)
    desk.claim()

    with pytest.raises(InvalidRequestException, match="running just now"):
        resolve(desk)

    assert [rotation.status for rotation in history(desk)] == [RotationStatus.PENDING]
    # Its server has died.
    desk.clock.advance(timedelta(minutes=1))
    resolve(desk)


def test_a_function_that_has_not_offered_it_is_not_asked(desk: Desk) -> None:
    desk.begin(OLD)
    desk.end(RotationStatus.FAILED)

    with pytest.raises(InvalidRequestException, match="has not offered to ask the database"):
        resolve(desk)


def test_nor_is_another_function_than_the_one_that_did(desk: Desk) -> None:
    offered(desk)
    with desk.kit.state.write() as transaction:
        assert desk.secret is not None
        secrets.update_secret(transaction, desk.secret, rotation_function_arn="arn:aws:lambda:x:1:function:other")

    with pytest.raises(InvalidRequestException, match="has not offered"):
        resolve(desk)


def test_without_a_function_there_is_nobody_to_ask(desk: Desk) -> None:
    with desk.kit.state.write() as transaction:
        assert desk.secret is not None
        secrets.update_secret(transaction, desk.secret, rotation_function_arn=None)

    with pytest.raises(InvalidRequestException, match="No Lambda rotation function ARN is associated"):
        resolve(desk)


def test_a_resolution_that_succeeded_is_called_resolved_and_found_by_its_kind(desk: Desk) -> None:
    offered(desk)
    resolve(desk)
    desk.end(RotationStatus.SUCCEEDED)

    assert desk.get()["Rotation"]["Status"] == "resolved"
    assert desk.get()["Timeline"][-1]["Message"] == "The labels are in line with the database"
    assert desk.get(VersionId=OLD, Kind="resolution")["Rotation"]["Status"] == "resolved"
    assert desk.get(VersionId=OLD, Kind="rotation")["Rotation"]["Status"] == "cancelled"
