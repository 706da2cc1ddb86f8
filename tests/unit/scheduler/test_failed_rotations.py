"""A secret whose last rotation failed stays known as that, whoever ended the rotation, until one succeeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from keyturn.ids import new_version_id
from keyturn.storage import rotation_totals
from keyturn.storage.rotations import RotationStatus

from .test_rotations import Desk, desk
from .test_settling import exhaust

__all__ = ["desk"]


@pytest.fixture(autouse=True)
def offering(desk: Desk) -> None:
    desk.runtime.offers_probe = True


def planned(desk: Desk, **request: Any) -> Mapping[str, Any] | None:
    """What ListPlannedRotations says of the secret; None if it is not among those that are asked for."""
    found = desk.bench.call("keyturn", "ListPlannedRotations", **request)["PlannedRotations"]
    return found[0] if found else None


def is_in_trouble(desk: Desk) -> bool:
    return planned(desk, Troubled=True) is not None


def counted_as_failed(desk: Desk) -> int:
    with desk.kit.state.read() as connection:
        return rotation_totals.load_totals(connection, desk.bench.clock.now()).failed


def fail_for_good(desk: Desk) -> str:
    """Let a rotation use up its attempts, and be settled: AWSPENDING is taken off, AWSCURRENT still logs in."""
    version_id = desk.rotate()
    desk.runtime.fails_in = "setSecret"
    exhaust(desk)
    assert desk.history()[0].status is RotationStatus.FAILED
    assert version_id not in desk.stages()
    return version_id


def test_a_rotation_that_was_settled_back_leaves_its_secret_failed_and_in_trouble(desk: Desk) -> None:
    version_id = fail_for_good(desk)

    told = planned(desk)

    assert told is not None
    ended_at = desk.history()[0].ended_at
    assert (told["State"], told["Cause"], told["FailedAt"]) == ("failed", "ValueError", ended_at)
    assert told["VersionId"] == version_id
    assert told["NextRotationAt"] > desk.bench.clock.now()
    assert planned(desk, States=["failed"]) == planned(desk, States=["parked", "failed"]) == told
    assert planned(desk, States=["planned"]) is None
    assert is_in_trouble(desk)
    assert counted_as_failed(desk) == 1


def test_a_later_rotation_is_not_in_trouble_while_it_runs_and_ends_it_when_it_succeeds(desk: Desk) -> None:
    fail_for_good(desk)
    desk.rotate()

    under_way = planned(desk)
    assert under_way is not None
    assert (under_way["State"], "Cause" in under_way, "FailedAt" in under_way) == ("pending", False, False)
    assert not is_in_trouble(desk)
    assert counted_as_failed(desk) == 0

    desk.runtime.fails_in = ""
    desk.work()
    told = planned(desk)
    assert told is not None
    assert (told["State"], "Cause" in told, "FailedAt" in told) == ("planned", False, False)
    assert not is_in_trouble(desk)
    assert counted_as_failed(desk) == 0


def test_a_later_rotation_that_fails_too_is_the_one_that_is_told(desk: Desk) -> None:
    fail_for_good(desk)
    version_id = fail_for_good(desk)

    told = planned(desk)

    assert told is not None
    assert (told["State"], told["VersionId"]) == ("failed", version_id)


def test_what_fails_and_is_tried_again_soon_is_in_trouble_as_what_is_out_of_attempts_is(desk: Desk) -> None:
    desk.rotate()
    assert not is_in_trouble(desk)
    desk.runtime.fails_in, desk.runtime.offers_probe = "setSecret", False
    desk.work()
    told = planned(desk, Troubled=True)
    assert told is not None
    assert (told["State"], told["Cause"]) == ("pending", "ValueError")

    exhaust(desk)
    told = planned(desk, Troubled=True)
    assert told is not None
    assert told["State"] == "parked"
    assert counted_as_failed(desk) == 0, "it is counted as parked"


def _take_label_off(desk: Desk, version_id: str) -> None:
    desk.call("UpdateSecretVersionStage", SecretId="db", VersionStage="AWSPENDING", RemoveFromVersionId=version_id)


def _put_value(desk: Desk, _version_id: str) -> None:
    desk.call("PutSecretValue", SecretId="db", SecretString="by hand", ClientRequestToken=new_version_id())


def _resolve(desk: Desk, _version_id: str) -> None:
    desk.bench.call("keyturn", "ResolveRotation", SecretId="db")


@pytest.mark.parametrize("end", [_take_label_off, _put_value, _resolve])
def test_whoever_ends_a_rotation_that_has_failed_it_is_not_forgotten(
    desk: Desk, end: Callable[[Desk, str], None]
) -> None:
    version_id = desk.rotate()
    desk.runtime.fails_in = "setSecret"
    desk.work()
    desk.bench.clock.advance(timedelta(seconds=1))

    end(desk, version_id)
    desk.work()

    told = planned(desk, Troubled=True)
    assert told is not None
    assert (told["State"], told["Cause"], told["VersionId"]) == ("failed", "ValueError", version_id)
    assert counted_as_failed(desk) == 1


def test_a_rotation_that_was_given_up_before_anything_failed_is_no_trouble(desk: Desk) -> None:
    desk.rotate()

    _put_value(desk, "")

    assert desk.history()[0].status is RotationStatus.ABANDONED
    told = planned(desk)
    assert told is not None
    assert told["State"] == "planned"
    assert not is_in_trouble(desk)


@pytest.mark.parametrize("has_asked", [False, True])
def test_a_version_that_becomes_current_after_a_failure_ends_it(desk: Desk, has_asked: bool) -> None:
    version_id = desk.rotate()
    desk.runtime.fails_in, desk.runtime.answers_nothing = "testSecret", True
    desk.work()
    assert is_in_trouble(desk)

    if has_asked:
        # The database has the new password.
        desk.runtime.answers_nothing = False
        _resolve(desk, version_id)
        desk.work()
    else:
        exhaust(desk)
        desk.runtime.answers_nothing = False
        exhaust(desk)

    assert "AWSCURRENT" in desk.stages()[version_id]
    assert not is_in_trouble(desk)
    told = planned(desk)
    assert told is not None
    assert told["State"] == "planned"


def test_with_rotation_switched_off_nothing_is_in_trouble(desk: Desk) -> None:
    fail_for_good(desk)

    desk.call("CancelRotateSecret", SecretId="db")

    told = planned(desk)
    assert told is not None
    assert (told["State"], "Cause" in told) == ("off", False)
    assert not is_in_trouble(desk)
    assert counted_as_failed(desk) == 0
