"""Where and how functions log, as LoggingConfig says, and who finds it there."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from .conftest import DEADLINE_SECONDS, ServerProcess, wait_until
from .rotation_function import create_rotation_function, document

# Prints what it rotates, as no function should, and then fails.
SOURCE = """
import logging
import boto3

def lambda_handler(event, context):
    client, secret, token = boto3.client("secretsmanager"), event["SecretId"], event["ClientRequestToken"]
    logging.getLogger().warning("it was %s", client.get_secret_value(SecretId=secret)["SecretString"])
    if event["Step"] == "createSecret":
        client.put_secret_value(SecretId=secret, ClientRequestToken=token, SecretString='ca"nary-of-tomorrow-é')
    raise ValueError('ca"nary-of-tomorrow-é is no good')
"""
LOGGING = {
    "text": {"LogGroup": "app/rotation"},
    "json": {"LogGroup": "app/rotation", "LogFormat": "JSON"},
    "json-errors": {"LogGroup": "app/rotation", "LogFormat": "JSON", "SystemLogLevel": "WARN"},
}


def events(server: ServerProcess, group: str, stream: str = "") -> list[Any]:
    client = server.client("logs")
    try:
        found = client.filter_log_events(logGroupName=group, **({"logStreamNamePrefix": stream} if stream else {}))
    except client.exceptions.ResourceNotFoundException:
        return []
    return list(found["events"])


def allow_logging(server: ServerProcess, role: str) -> None:
    group = f"arn:aws:logs:{server.region}:{server.account_id}:log-group:app/rotation"
    statement = {"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": f"{group}:*"}
    server.client("iam").put_role_policy(RoleName=role, PolicyName="log", PolicyDocument=document(statement))


def failed(server: ServerProcess, secret: str) -> list[Any]:
    timeline: list[Any] = server.client("keyturn").get_rotation(SecretId=secret)["Timeline"]
    return timeline if any(entry["Kind"] == "step-ended" for entry in timeline) else []


@pytest.mark.parametrize("name", LOGGING)
def test_a_rotations_lines_are_found_where_the_function_logs_and_are_masked(server: ServerProcess, name: str) -> None:
    function, secrets = create_rotation_function(server, name, SOURCE), server.client("secretsmanager")
    allow_logging(server, name)
    updated = server.client("lambda").update_function_configuration(FunctionName=name, LoggingConfig=LOGGING[name])
    assert updated["LoggingConfig"].items() >= LOGGING[name].items()
    secrets.create_secret(Name=name, SecretString=json.dumps({"password": "canary-of-today"}))
    secrets.rotate_secret(SecretId=name, RotationLambdaARN=function)

    timeline = wait_until(lambda: failed(server, name), "the failure", server)

    logged = [event for event in events(server, "app/rotation") if f"/{name}[$LATEST]" in event["logStreamName"]]
    assert "canary-of-today" in json.dumps(logged)
    assert events(server, f"/aws/lambda/{name}") == []
    told = [entry for entry in timeline if entry["Kind"] == "log"]
    assert any("it was" in entry["Message"] and entry["Severity"] == "warning" for entry in told)
    assert any("ValueError" in entry["Message"] and entry["Severity"] == "error" for entry in told)
    assert "nary-of" not in json.dumps(timeline, default=str, ensure_ascii=False)
    printed = subprocess.run(
        [sys.executable, "-m", "keyturn.cli.main", "rotation", "show", name],
        env=server.environ(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    ).stdout
    assert "it was" in printed
    assert '"level"' not in printed
    assert "nary-of" not in printed


def test_what_was_logged_before_the_group_was_changed_is_found_where_it_was(server: ServerProcess) -> None:
    name = "moved"
    function, secrets = create_rotation_function(server, name, SOURCE), server.client("secretsmanager")
    secrets.create_secret(Name=name, SecretString="x")
    secrets.rotate_secret(SecretId=name, RotationLambdaARN=function)
    wait_until(lambda: failed(server, name), "the failure", server)

    server.client("lambda").update_function_configuration(FunctionName=name, LoggingConfig=LOGGING["json"])

    assert any("it was" in entry["Message"] for entry in failed(server, name) if entry["Kind"] == "log")


def test_rotate_shows_what_a_function_logs_as_json_to_a_group_of_its_own(server: ServerProcess) -> None:
    name = "watched"
    function = create_rotation_function(
        server, name, SOURCE.replace("raise ValueError(", "return (").replace("SecretString='ca", "SecretString='ga")
    )
    allow_logging(server, name)
    server.client("lambda").update_function_configuration(FunctionName=name, LoggingConfig=LOGGING["json"])
    secrets = server.client("secretsmanager")
    secrets.create_secret(Name=name, SecretString="x")
    secrets.rotate_secret(SecretId=name, RotationLambdaARN=function, RotateImmediately=False)

    printed = subprocess.run(
        [sys.executable, "-m", "keyturn.cli.main", "rotate", name],
        env=server.environ(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS * 2,
    ).stdout

    first, second, *_ = [line for line in printed.splitlines() if "createSecret" in line or "it was" in line]
    assert first.rstrip().endswith(" ms")
    assert second.split() == ["WARNING", "it", "was", "x"]


def test_a_role_that_may_not_write_to_the_group_loses_the_lines_and_nothing_else(server: ServerProcess) -> None:
    name = "speechless"
    create_rotation_function(server, name, "def lambda_handler(event, context):\n    print('said')\n    return 1\n")
    client = server.client("lambda")

    for group, written in (("app/rotation", False), (f"/aws/lambda/{name}", True)):
        client.update_function_configuration(FunctionName=name, LoggingConfig={"LogGroup": group})
        answer = client.invoke(FunctionName=name, LogType="Tail")
        assert answer["Payload"].read() == b"1"
        streams = [event for event in events(server, group) if event["message"] == "said\n"]
        assert bool([event for event in streams if written or name in event["logStreamName"]]) is written
    allow_logging(server, name)
    client.update_function_configuration(FunctionName=name, LoggingConfig={"LogGroup": "app/rotation"})
    client.invoke(FunctionName=name)
    assert [event for event in events(server, "app/rotation") if f"/{name}[" in event["logStreamName"]]
