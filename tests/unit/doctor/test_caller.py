"""Who was refused to configure rotation, what a stack could not make, and whether the log can be written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.contract.doctor import caller, role
from tests.contract.doctor.world import ACCOUNT, FUNCTION, SECRET, World, ago, diagnosed

from keyturn.doctor.model import Confidence, Role, Status, Verdict

from .test_access import causes, finding, outcome

MARIA = f"arn:aws:iam::{ACCOUNT}:user/maria"


def test_the_caller_is_given_what_is_missing() -> None:
    world = World()
    caller.caller_not_allowed(world)
    found = diagnosed(world).findings[0]
    assert found.id == "caller-not-allowed"
    # Without a function its ARN is not known, so that there is nothing to be run as it is.
    assert found.remedy.changes == ()
    [command] = found.remedy.by_hand
    assert command.startswith("aws iam put-user-policy --user-name maria --policy-name keyturn-caller-not-allowed ")
    assert "FUNCTION_ARN" in command


def test_the_function_that_was_asked_for_is_the_one_to_be_invoked() -> None:
    world = World()
    caller.caller_not_allowed(world)
    world.trail[-1]["requestParameters"]["rotationLambdaARN"] = FUNCTION
    [change] = diagnosed(world).findings[0].remedy.changes
    resources = [each["Resource"] for each in json.loads(str(change.parameters["PolicyDocument"]))["Statement"]]
    assert resources == [SECRET, FUNCTION]


def test_where_rotation_is_on_it_is_a_note_with_a_complete_command() -> None:
    for who, operation, name in (
        (MARIA, "PutUserPolicy", {"UserName": "maria"}),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/ci", "PutRolePolicy", {"RoleName": "deploy"}),
    ):
        world = World()
        message = f"User: {who} is not authorized to perform: lambda:InvokeFunction on resource: {FUNCTION}"
        world.event("RotateSecret", by=who, errorCode="AccessDenied", errorMessage=message)
        found = finding(diagnosed(world), "caller-not-allowed")
        assert (found.role, diagnosed(world).verdict) == (Role.NOTE, Verdict.HEALTHY)
        [change] = found.remedy.changes
        assert change.operation == operation
        assert name.items() <= change.parameters.items()
        assert "lambda:InvokeFunction was denied" in found.title


def test_who_was_let_in_since_is_no_cause() -> None:
    world = World()
    caller.caller_not_allowed(world)
    world.event("RotateSecret", at=ago(minutes=5), by=MARIA)
    assert causes(diagnosed(world)) == ["rotation-not-configured"]


def test_that_secrets_manager_may_not_invoke_is_not_the_callers_fault() -> None:
    world = World()
    refused = (
        "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access"
    )
    world.event("RotateSecret", by=MARIA, errorCode="AccessDeniedException", errorMessage=refused)
    assert outcome(diagnosed(world), "caller-not-allowed").findings == ()


@pytest.mark.parametrize(
    ("later", "is_found"), [("CREATE_FAILED", True), ("CREATE_COMPLETE", False), ("UPDATE_COMPLETE", False)]
)
def test_the_newest_event_of_the_schedule_counts(later: str, is_found: bool) -> None:
    world = World()
    caller.hosted_stack_failed(world)
    reply: Any = world.replies["cloudformation:DescribeStackEvents"]
    first = reply["StackEvents"][0]
    reply["StackEvents"] = [{**first, "ResourceStatus": later}, {**first, "ResourceStatus": "CREATE_FAILED"}]
    assert ("hosted-stack-failed" in causes(diagnosed(world))) is is_found


def test_a_stack_is_not_asked_about_a_secret_that_has_been_rotated() -> None:
    world = World()
    world.secret["Tags"] = [{"Key": "aws:cloudformation:stack-name", "Value": "orders"}]
    report = diagnosed(world)
    assert outcome(report, "hosted-stack-failed").status is Status.SKIPPED
    assert "cloudformation:DescribeStackEvents" not in world.asked


def test_a_stack_is_possible_only() -> None:
    world = World()
    caller.hosted_stack_failed(world)
    assert diagnosed(world).findings[0].confidence is Confidence.POSSIBLE


# The log.


def test_what_hides_the_cause_is_one_itself_where_nothing_else_is() -> None:
    world = World()
    role.logs_role_cannot_write(world)
    assert finding(diagnosed(world), "logs-role-cannot-write").role is Role.RISK
    world.fail()
    assert "logs-role-cannot-write" in causes(diagnosed(world))
    world.role_policies["rotation"]["Statement"][0]["Action"] = ["secretsmanager:DescribeSecret"]
    found = finding(diagnosed(world), "logs-role-cannot-write")
    assert found.role is not Role.CAUSE


def test_lines_of_the_newest_rotation_prove_that_it_is_written() -> None:
    world = World()
    del world.role_policies["rotation"]["Statement"][2]
    world.run("[INFO]\tfinishSecret: done", at=ago(days=12, seconds=2))
    assert diagnosed(world).verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    ("stream", "is_own"), [("2026/11/15/rotate-orders[$LATEST]ab", True), ("2026/11/15/other[1]ab", False)]
)
def test_in_a_group_of_several_functions_only_its_own_lines_prove_it(stream: str, is_own: bool) -> None:
    world = World()
    del world.role_policies["rotation"]["Statement"][2]
    world.configuration["LoggingConfig"]["LogGroup"] = "/shared"
    world.replies["logs:DescribeLogGroups"] = {"logGroups": [{"logGroupName": "/shared"}]}
    world.run("[INFO]\tfinishSecret: done", at=ago(days=12, seconds=2))
    for line in world.log:
        line["logStreamName"] = stream
    assert diagnosed(world).verdict is (Verdict.HEALTHY if is_own else Verdict.AT_RISK)


@pytest.mark.parametrize(
    "resource",
    [
        "*",
        f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:/aws/lambda/rotate-orders:*",
        "arn:aws:logs:*:*:log-group:/aws/lambda/*",
        [
            f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:/aws/lambda/rotate-orders",
            f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:/aws/lambda/rotate-orders:log-stream:*",
        ],
    ],
    ids=str,
)
def test_a_group_is_written_in_several_ways(resource: Any) -> None:
    world = World()
    world.role_policies["rotation"]["Statement"][2]["Resource"] = resource
    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_a_group_that_is_there_need_not_be_made() -> None:
    world = World()
    world.role_policies["rotation"]["Statement"][2]["Action"] = ["logs:CreateLogStream", "logs:PutLogEvents"]
    assert diagnosed(world).verdict is Verdict.HEALTHY
