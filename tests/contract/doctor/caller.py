"""Why rotation could not be configured."""

from __future__ import annotations

from .world import ACCOUNT, SECRET, World, ago


def _unconfigured(world: World) -> None:
    for member in ("RotationLambdaARN", "RotationRules", "NextRotationDate", "LastRotatedDate"):
        del world.secret[member]
    world.secret["RotationEnabled"] = False


def caller_not_allowed(world: World) -> None:
    _unconfigured(world)
    caller = f"arn:aws:iam::{ACCOUNT}:user/maria"
    world.event(
        "RotateSecret",
        by=caller,
        parameters={},
        errorCode="AccessDenied",
        errorMessage=f"User: {caller} is not authorized to perform: secretsmanager:RotateSecret on resource: {SECRET}"
        " because no identity-based policy allows the secretsmanager:RotateSecret action",
    )


def hosted_stack_failed(world: World) -> None:
    _unconfigured(world)
    world.secret["Tags"] = [{"Key": "aws:cloudformation:stack-name", "Value": "orders"}]
    world.replies["cloudformation:DescribeStackEvents"] = {
        "StackEvents": [
            {
                "StackId": "arn:stack",
                "LogicalResourceId": "Schedule",
                "PhysicalResourceId": "",
                "ResourceType": "AWS::SecretsManager::RotationSchedule",
                "ResourceStatus": "CREATE_FAILED",
                "ResourceStatusReason": "Secrets Manager cannot invoke the specified Lambda function.",
                "Timestamp": ago(hours=1),
            }
        ]
    }
