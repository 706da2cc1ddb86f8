"""What looks like this secret's, this account's or the truth: no cause is invented, nothing wrong changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from tests.contract.doctor.world import (
    ACCOUNT,
    FUNCTION,
    NAME,
    NOW,
    ROLE,
    SECRET,
    SUPERUSER,
    World,
    ago,
    diagnosed,
    refusal,
)

from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts
from keyturn.doctor.model import Role, Verdict
from keyturn.doctor.runner import examine

OTHER_ACCOUNT = "999999999999"
READ = "secretsmanager:GetSecretValue"


def in_other_account() -> World:
    world = World()
    arn = FUNCTION.replace(ACCOUNT, OTHER_ACCOUNT)
    world.secret["RotationLambdaARN"] = world.configuration["FunctionArn"] = arn
    world.configuration["Role"] = ROLE.replace(ACCOUNT, OTHER_ACCOUNT)
    world.replies["sts:GetCallerIdentity"] = {"Account": ACCOUNT}
    assert world.function_policy is not None
    world.function_policy["Statement"][0]["Resource"] = arn
    return world


def test_a_role_of_the_same_name_here_is_not_the_functions_there() -> None:
    world = in_other_account()
    world.role_policies = {}
    report = diagnosed(world)

    assert {change.service for found in report.findings for change in found.remedy.changes} <= {"secretsmanager"}
    assert "role-missing-secret-actions" not in [found.id for found in report.findings]
    assert not {"iam:GetRole", "logs:FilterLogEvents"} & set(world.asked)


def test_a_role_that_is_there_is_not_missing_here() -> None:
    world = in_other_account()
    for action in ("iam:GetRole", "iam:ListRolePolicies", "iam:ListAttachedRolePolicies"):
        world.lose(action, "NoSuchEntity")

    assert "role-cannot-be-assumed" not in [found.id for found in diagnosed(world).findings]


def test_the_function_there_is_changed_and_not_the_one_of_its_name_here() -> None:
    world = in_other_account()
    world.function_policy = None
    found = next(each for each in diagnosed(world).findings if each.id == "invoke-permission-missing")

    assert found.remedy.changes[0].parameters["FunctionName"] == FUNCTION.replace(ACCOUNT, OTHER_ACCOUNT)


def test_who_looks_from_the_functions_account_sees_its_role() -> None:
    world = in_other_account()
    world.replies["sts:GetCallerIdentity"] = {"Account": OTHER_ACCOUNT}
    world.replies["iam:GetRole"] = {
        "Role": {"Arn": world.configuration["Role"], "AssumeRolePolicyDocument": world.trust}
    }
    diagnosed(world)

    assert {"iam:GetRole", "logs:FilterLogEvents"} <= set(world.asked)


def test_a_role_with_another_arn_is_another_role() -> None:
    world = World()
    world.replies["iam:GetRole"] = {"Role": {"Arn": ROLE.replace(":role/", ":role/path/"), "RoleName": "rotator"}}

    assert diagnosed(world).verdict is Verdict.INCONCLUSIVE


def refused_schedule(world: World, **at: float) -> None:
    world.event(
        "RotateSecret",
        at=ago(**at),
        by="arn:aws:iam::123456789012:user/maria",
        parameters={"secretId": NAME},
        errorCode="InvalidParameterException",
        errorMessage="The schedule expression is not valid.",
    )


def test_a_schedule_that_was_refused_before_the_last_good_rotation_stops_none() -> None:
    world = World()
    refused_schedule(world, days=30)

    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_what_befell_a_secret_that_had_the_name_before_is_not_this_ones() -> None:
    world = World()
    del world.secret["LastRotatedDate"]
    world.trail.clear()
    world.secret["CreatedDate"] = ago(hours=1) + timedelta(microseconds=5)
    refused_schedule(world, hours=2)
    assert "schedule-expression-invalid" not in [found.id for found in diagnosed(world).findings]

    refused_schedule(world, minutes=30)
    assert "schedule-expression-invalid" in [found.id for found in diagnosed(world).findings]


@pytest.mark.parametrize("is_in_trail", [False, True])
def test_a_function_that_says_which_secret_it_needs_is_given_none_by_a_program(is_in_trail: bool) -> None:
    world = World()
    world.fail("setSecret")
    why = f"because no identity-based policy allows the {READ} action"
    if is_in_trail:
        world.denied(READ, SUPERUSER, why)
    else:
        user = f"arn:aws:sts::{ACCOUNT}:assumed-role/rotator/rotate-orders"
        world.run(f"[ERROR] User: {user} is not authorized to perform: {READ} on resource: {SUPERUSER} {why}")
    found = diagnosed(world).findings[0]

    assert (found.id, found.role, found.is_fixable) == ("master-secret-read-denied", Role.CAUSE, False)
    assert "--read-value" in found.remedy.text
    assert len(found.remedy.by_hand) == 1

    world.value = {**World().value, "masterarn": SUPERUSER}  # type: ignore[dict-item]  # it is a dict
    world.with_value()
    assert diagnosed(world).findings[0].is_fixable


def test_credentials_that_expire_while_it_looks_are_no_health() -> None:
    for allowed in range(0, 40, 3):
        world = World()
        left = [allowed]

        def expiring(
            service: str, operation: str, parameters: Mapping[str, Any], world: World = world, left: list[int] = left
        ) -> Mapping[str, Any]:
            left[0] -= 1
            if left[0] < 0:
                raise refusal(operation, "ExpiredTokenException")
            return world.ask(service, operation, parameters)

        report = examine(collect(Facts(expiring), SECRET, NOW))
        assert report.verdict is Verdict.INCONCLUSIVE or left[0] >= 0
