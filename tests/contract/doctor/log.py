"""Where the function's log is, and why it may say nothing."""

from __future__ import annotations

from datetime import datetime

from .world import FUNCTION, World, ago


def _failed(world: World, at: datetime) -> None:
    """Let a rotation have failed and left nothing behind."""
    message = f"Error when executing lambda {FUNCTION} during createSecret step"
    world.event("RotationFailed", at=at, errorCode="LambdaError", errorMessage=message)


def logs_group_missing(world: World) -> None:
    _failed(world, ago(hours=1))
    message = "The specified log group does not exist."
    world.lose("logs:FilterLogEvents", message=message)
    world.replies["logs:DescribeLogGroups"] = {"logGroups": []}


def logs_redirected(world: World) -> None:
    world.configuration["LoggingConfig"] = {
        "LogFormat": "JSON",
        "ApplicationLogLevel": "FATAL",
        "SystemLogLevel": "WARN",
        "LogGroup": "/aws/lambda/rotate-orders",
    }
    _failed(world, ago(hours=1))


def logs_expired(world: World) -> None:
    _failed(world, ago(days=3))
    world.replies["logs:DescribeLogGroups"] = {
        "logGroups": [{"logGroupName": "/aws/lambda/rotate-orders", "retentionInDays": 1}]
    }
