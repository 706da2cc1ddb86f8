"""What belongs to one secret's present fault, and what does not."""

from __future__ import annotations

import pytest
from tests.contract.doctor.world import FUNCTION, OTHER_SECRET, PENDING, World, ago, diagnosed

from keyturn.doctor.model import Verdict


def waiting() -> World:
    world = World()
    world.secret["VersionIdsToStages"][PENDING] = ["AWSPENDING"]
    world.replies["secretsmanager:ListSecretVersionIds"] = {"Versions": []}
    return world


def test_a_rotation_that_ends_while_it_is_looked_at_has_left_nothing_behind() -> None:
    # The labels were asked for while it ran, the trail a moment later.
    world = waiting()
    world.event("RotationStarted", at=ago(seconds=4))
    world.event("RotationSucceeded", at=ago(seconds=1))

    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_a_rotation_that_waits_for_a_place_is_under_way() -> None:
    world = waiting()
    world.event("RotateSecret", at=ago(minutes=2), by="arn:aws:iam::123456789012:user/maria")

    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_a_rotation_that_was_refused_is_not() -> None:
    world = waiting()
    by = "arn:aws:iam::123456789012:user/maria"
    world.event("RotateSecret", at=ago(minutes=2), by=by, errorCode="InvalidRequestException")

    assert [finding.id for finding in diagnosed(world).causes] == ["pending-empty"]


@pytest.mark.parametrize(
    "message",
    [
        "Error when executing lambda {} during createSecret step",
        "Pending secret version 1 for Secret 2 was not created by Lambda {}. Remove the AWSPENDING staging label",
    ],
)
def test_a_line_is_not_another_functions_failure_however_that_is_worded(message: str) -> None:
    world = World()
    world.fail(at=ago(minutes=30))
    world.run("[ERROR] NotImplementedError", at=ago(minutes=30, seconds=-30), secret=None)
    # It is closer to the line than the failure of this secret.
    world.event(
        "RotationFailed",
        at=ago(minutes=29),
        secret=OTHER_SECRET,
        errorMessage=message.format(FUNCTION.replace("rotate-orders", "rotate-others")),
    )

    assert [finding.id for finding in diagnosed(world).causes] == ["function-not-implemented"]
