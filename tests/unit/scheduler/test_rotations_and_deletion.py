"""A rotation whose secret is marked for deletion stops, and goes on where it stood when the secret is restored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from keyturn.errors.secretsmanager import InvalidRequestException
from keyturn.scheduler.due import begin_due
from keyturn.storage import secrets
from keyturn.storage.audit_lookup import Question, lookup
from keyturn.storage.rotations import RotationStatus
from keyturn.testing.handlers import PLACE, open_bench

from .test_rotations import STEPS
from .test_rotations import Desk as DeskOfRotations


class Desk(DeskOfRotations):
    """Takes a scheduler's turn, and knows what was told."""

    def turn(self, now: datetime) -> None:
        """Begin what schedules have made due, and drive it."""
        with self.kit.state.read() as connection:
            due = secrets.due_for_rotation(connection, now, 10)
        for arn in due:
            begin_due(self.kit, arn, now)
        self.work()

    def event_names(self) -> list[str]:
        """Names of the audit events so far."""
        with self.kit.journal.read() as connection:
            return [stored.record.event_name for stored in lookup(connection, Question(PLACE), 1000)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_bench(tmp_path) as bench:
        yield Desk(bench)


def test_a_rotation_of_a_secret_that_is_deleted_stops_and_goes_on_when_it_is_restored(desk: Desk) -> None:
    version_id = desk.rotate()
    desk.call("DeleteSecret", SecretId="db")
    desk.work()
    assert desk.runtime.steps == []
    described = desk.call("DescribeSecret", SecretId="db")
    assert described["RotationEnabled"] is False
    assert "NextRotationDate" not in described
    assert described["VersionIdsToStages"][version_id] == ["AWSPENDING"]
    (abandoned,) = desk.history()
    assert (abandoned.status, abandoned.error) == (RotationStatus.ABANDONED, "The secret was marked for deletion.")
    assert desk.event_names().count("RotationAbandoned") == 1

    desk.call("RestoreSecret", SecretId="db")
    desk.turn(desk.bench.clock.now())
    assert desk.stages()[version_id] == ["AWSCURRENT", "AWSPENDING"]
    assert desk.call("DescribeSecret", SecretId="db")["RotationEnabled"] is True


def test_a_secret_that_did_not_rotate_does_not_when_it_is_restored(desk: Desk) -> None:
    desk.call("DeleteSecret", SecretId="db")
    assert "RotationEnabled" not in desk.call("DescribeSecret", SecretId="db")
    desk.call("RestoreSecret", SecretId="db")
    assert "RotationEnabled" not in desk.call("DescribeSecret", SecretId="db")

    desk.rotate()
    desk.work()
    desk.call("CancelRotateSecret", SecretId="db")
    desk.call("DeleteSecret", SecretId="db")
    desk.call("RestoreSecret", SecretId="db")
    desk.bench.clock.advance(timedelta(days=100))
    desk.turn(desk.bench.clock.now())
    assert desk.call("DescribeSecret", SecretId="db")["RotationEnabled"] is False
    assert len(desk.history()) == 1


def test_a_deletion_in_the_middle_of_a_step_takes_the_rotation_from_whoever_runs_it(desk: Desk) -> None:
    version_id = desk.rotate()

    def delete(secret: str, token: str) -> None:
        desk.call("DeleteSecret", SecretId=secret)

    desk.runtime.testSecret = delete  # type: ignore[method-assign]  # somebody deletes it meanwhile
    desk.work()
    assert desk.runtime.steps == STEPS[:3]
    assert [rotation.status for rotation in desk.history()] == [RotationStatus.ABANDONED]
    # The database takes this value already.
    assert desk.stages()[version_id] == ["AWSPENDING"]


def test_no_rotation_starts_while_a_secret_waits_for_its_end(desk: Desk) -> None:
    desk.rotate()
    desk.work()
    desk.runtime.steps.clear()
    desk.call("DeleteSecret", SecretId="db")

    now = desk.bench.clock.advance(timedelta(days=29))
    desk.turn(now)
    with pytest.raises(InvalidRequestException, match="marked for deletion"):
        desk.rotate()

    assert desk.runtime.steps == []
    assert len(desk.history()) == 1


def test_a_rotation_abandoned_half_way_is_taken_up_when_the_secret_is_restored(desk: Desk) -> None:
    version_id = desk.rotate()
    desk.runtime.fails_in = "testSecret"
    desk.work()
    assert desk.runtime.database == f"new-{version_id}"
    desk.call("DeleteSecret", SecretId="db")
    desk.runtime.fails_in = ""

    now = desk.bench.clock.advance(timedelta(days=3))
    desk.call("RestoreSecret", SecretId="db")
    desk.turn(now)

    assert desk.stages()[version_id] == ["AWSCURRENT", "AWSPENDING"]
    assert desk.call("GetSecretValue", SecretId="db")["SecretString"] == desk.runtime.database
    assert [rotation.status for rotation in desk.history()] == [RotationStatus.SUCCEEDED, RotationStatus.ABANDONED]
    # The token still says which rotation it was.
    assert desk.call("RotateSecret", SecretId="db", ClientRequestToken=version_id)["VersionId"] == version_id


def test_a_restored_secret_keeps_its_plan_or_gets_a_new_one_if_its_moment_has_passed(desk: Desk) -> None:
    desk.rotate()
    desk.work()
    planned = desk.call("DescribeSecret", SecretId="db")["NextRotationDate"]
    desk.call("DeleteSecret", SecretId="db")
    desk.bench.clock.advance(timedelta(days=2))
    desk.call("RestoreSecret", SecretId="db")
    assert desk.call("DescribeSecret", SecretId="db")["NextRotationDate"] == planned

    desk.bench.clock.advance(timedelta(days=20))
    desk.call("DeleteSecret", SecretId="db")
    now = desk.bench.clock.advance(timedelta(days=20))
    desk.call("RestoreSecret", SecretId="db")
    assert desk.call("DescribeSecret", SecretId="db")["NextRotationDate"] > now
    desk.bench.clock.advance(timedelta(days=2))
    desk.turn(desk.bench.clock.now())
    assert len(desk.history()) == 2


def test_a_test_rotation_ends_with_the_secret_and_leaves_no_copy_of_its_value(desk: Desk) -> None:
    version_id = desk.rotate(RotateImmediately=False)
    assert desk.stored_passwords() == ["first", "first"]
    desk.call("DeleteSecret", SecretId="db")
    desk.call("RestoreSecret", SecretId="db")
    desk.work()
    assert desk.runtime.steps == []
    assert version_id not in desk.stages()
    assert desk.stored_passwords() == ["first"]
    assert desk.call("DescribeSecret", SecretId="db")["NextRotationDate"] > desk.bench.clock.now()
