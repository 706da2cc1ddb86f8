"""Which findings are causes beside each other, and what is left behind where something may not be seen."""

from __future__ import annotations

import pytest
from tests.contract.doctor.world import REGION, World, ago, diagnosed, policy

from keyturn.doctor.model import Role, Status, Verdict


def roles(world: World) -> dict[str, Role]:
    return {finding.id: finding.role for finding in diagnosed(world).findings}


@pytest.mark.parametrize("action", ["logs:FilterLogEvents", "lambda:GetPolicy", "iam:ListRolePolicies"])
def test_what_a_failure_leaves_behind_is_not_its_reason_while_something_is_hidden(action: str) -> None:
    seen, hidden = World(), World()
    for world in (seen, hidden):
        world.fail("setSecret", at=ago(hours=1))
    hidden.deny(action)

    assert roles(seen)["pending-stuck"] is Role.CAUSE
    assert roles(hidden)["pending-stuck"] is Role.CONSEQUENCE
    assert diagnosed(hidden).verdict is Verdict.INCONCLUSIVE


def test_a_role_that_may_not_log_is_told_before_what_is_left_behind() -> None:
    world = World()
    world.fail()
    world.lose("logs:FilterLogEvents")
    world.replies["logs:DescribeLogGroups"] = {"logGroups": []}
    world.role_policies["rotation"]["Statement"].pop()

    assert [finding.id for finding in diagnosed(world).causes] == ["logs-role-cannot-write"]


def test_a_function_of_another_region_is_not_missing_but_elsewhere() -> None:
    world = World()
    world.secret["RotationLambdaARN"] = world.secret["RotationLambdaARN"].replace(REGION, "us-west-2")
    world.lose("lambda:GetFunctionConfiguration")
    world.lose("lambda:GetPolicy")

    assert [finding.id for finding in diagnosed(world).causes] == ["function-wrong-region"]


@pytest.mark.parametrize(
    ("due_in_days", "role", "verdict"), [(5, Role.NOTE, Verdict.HEALTHY), (-3, Role.CAUSE, Verdict.BROKEN)]
)
def test_a_service_that_rotates_its_secret_well_is_no_fault(due_in_days: int, role: Role, verdict: Verdict) -> None:
    world = World()
    world.secret.pop("RotationLambdaARN")
    world.secret |= {"OwningService": "rds", "NextRotationDate": ago(days=-due_in_days)}
    report = diagnosed(world)

    assert roles(world)["secret-managed-by-service"] is role
    assert report.verdict is verdict
    assert {each.status for each in report.outcomes} <= {Status.SKIPPED, Status.PASS, Status.FAIL}


def test_policies_are_asked_of_no_function_where_there_is_none() -> None:
    world = World(role_policies={"none": policy()})
    world.secret.pop("RotationLambdaARN")
    world.secret["ExternalSecretRotationRoleArn"] = "arn:aws:iam::123456789012:role/partner"

    assert diagnosed(world).verdict is Verdict.HEALTHY
