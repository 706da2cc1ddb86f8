"""Does the function's role allow what a rotation does?"""

from __future__ import annotations

from .world import ACCOUNT, REGION, SECRET, World, policy

_NONE = "because no identity-based policy allows the {} action"


def _without(world: World, *actions: str) -> None:
    statement = world.role_policies["rotation"]["Statement"][0]
    statement["Action"] = [action for action in statement["Action"] if action not in actions]


def _fail_of(world: World, action: str, why: str, resource: str | None = SECRET, step: str = "createSecret") -> None:
    world.denied(action, resource, why.format(action))
    world.fail(step)


def role_missing_secret_actions(world: World) -> None:
    _without(world, "secretsmanager:PutSecretValue")
    _fail_of(world, "secretsmanager:PutSecretValue", _NONE)


def role_getrandompassword_scoped(world: World) -> None:
    world.role_policies["rotation"]["Statement"][1]["Resource"] = SECRET
    _fail_of(world, "secretsmanager:GetRandomPassword", _NONE, None)


def role_wrong_secret_arn(world: World) -> None:
    world.role_policies["rotation"]["Statement"][0]["Resource"] = SECRET[:-7]
    _fail_of(world, "secretsmanager:DescribeSecret", _NONE)


def role_rotation_lambda_condition(world: World) -> None:
    other = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:another"
    condition = {"StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": other}}
    world.role_policies["rotation"]["Statement"][0]["Condition"] = condition
    _fail_of(world, "secretsmanager:DescribeSecret", _NONE)


def role_explicit_deny(world: World) -> None:
    world.role_policies["guard"] = policy({"Effect": "Deny", "Action": "secretsmanager:Put*", "Resource": "*"})
    _fail_of(world, "secretsmanager:PutSecretValue", "with an explicit deny in an identity-based policy")


def role_boundary_blocks(world: World) -> None:
    world.with_boundary(policy({"Effect": "Allow", "Action": "logs:*", "Resource": "*"}))
    _fail_of(world, "secretsmanager:DescribeSecret", "because no permissions boundary allows the {} action")


def secret_policy_denies(world: World) -> None:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "secretsmanager:*",
        "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/admin"}},
    }
    world.secret_policy = policy(statement)
    _fail_of(world, "secretsmanager:DescribeSecret", "with an explicit deny in a resource-based policy")


def scp_denies(world: World) -> None:
    _fail_of(world, "secretsmanager:DescribeSecret", "with an explicit deny in a service control policy")


def session_policy_denies(world: World) -> None:
    _fail_of(world, "secretsmanager:DescribeSecret", "because no session policy allows the {} action")


def role_cannot_be_assumed(world: World) -> None:
    world.trust["Statement"][0]["Principal"] = {"Service": "ec2.amazonaws.com"}
    world.fail()


def cross_account_rotation_token(world: World) -> None:
    theirs = world.configuration["FunctionArn"].replace(ACCOUNT, "999988887777")
    world.secret["RotationLambdaARN"] = theirs
    # Whoever looks is there, too.
    world.replies["sts:GetCallerIdentity"] = {"Account": "999988887777"}
    assert world.function_policy is not None
    world.function_policy["Statement"][0]["Resource"] = theirs
    world.run("[ERROR] AWS Lambda secret rotation with PutSecretValue failed")
    world.fail()


def logs_role_cannot_write(world: World) -> None:
    del world.role_policies["rotation"]["Statement"][2]
    world.replies["logs:DescribeLogGroups"] = {"logGroups": []}
