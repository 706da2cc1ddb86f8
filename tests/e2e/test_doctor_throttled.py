"""A rotation fails because its function was throttled: its log says nothing of that, CloudWatch's metric does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import ServerProcess, wait_until
from .doctor import Doctor, causes_of
from .rotation_function import create_rotation_function, document

NAME = "crowded"
_SOURCE = """
import time
import boto3

def lambda_handler(event, context):
    client = boto3.client("secretsmanager")
    if event.get("Step") is None:
        client.update_secret(SecretId="gate", Description="held")
        while client.describe_secret(SecretId="gate")["Description"] == "held":
            time.sleep(0.1)
        return
    secret, token = event["SecretId"], event["ClientRequestToken"]
    if event["Step"] == "createSecret":
        client.put_secret_value(
            SecretId=secret, ClientRequestToken=token, SecretString="rotated", VersionStages=["AWSPENDING"]
        )
    if event["Step"] == "finishSecret":
        stages = client.describe_secret(SecretId=secret)["VersionIdsToStages"]
        current = next(version for version, labels in stages.items() if "AWSCURRENT" in labels)
        client.update_secret_version_stage(
            SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
        )
"""
_WRITES_LOG = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}


@pytest.fixture
def held(server: ServerProcess) -> Iterator[str]:
    """A function of whose invocations one may run, and one does until the test is over."""
    function = create_rotation_function(server, NAME, _SOURCE)
    server.client("iam").put_role_policy(RoleName=NAME, PolicyName="log", PolicyDocument=document(_WRITES_LOG))
    functions, secrets = server.client("lambda"), server.client("secretsmanager")
    functions.put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=1)
    secrets.create_secret(Name="gate", SecretString="g", Description="open")
    functions.invoke(FunctionName=NAME, InvocationType="Event", Payload="{}")
    wait_until(lambda: _gate(secrets) == "held", "the function is held", server)
    yield function
    secrets.update_secret(SecretId="gate", Description="open")


def _gate(secrets: Any) -> Any:
    return secrets.describe_secret(SecretId="gate")["Description"]


def test_a_throttled_rotation_is_named_and_rotates_after_the_printed_command(server: ServerProcess, held: str) -> None:
    secrets, doctor = server.client("secretsmanager"), Doctor(server)
    secrets.create_secret(Name=NAME, SecretString="first")
    secrets.rotate_secret(SecretId=NAME, RotationLambdaARN=held)

    def failed() -> Any:
        attribute = {"AttributeKey": "EventName", "AttributeValue": "RotationFailed"}
        return server.client("cloudtrail").lookup_events(LookupAttributes=[attribute])["Events"]

    wait_until(failed, "the rotation failed", server)
    told = doctor.diagnose(NAME)
    first = told["findings"][0]
    assert (first["id"], causes_of(told), first["step"]) == ("lambda-throttled", ["lambda-throttled"], "createSecret")
    assert first["title"] == "crowded was throttled when it was to rotate crowded: 1 of its invocations ran"
    [metric] = [seen for seen in first["evidence"] if seen["source"] == "cloudwatch:GetMetricStatistics"]
    assert metric["excerpt"]["Throttles"] >= 1

    doctor.follow(NAME, "lambda-throttled")
    wait_until(lambda: secrets.get_secret_value(SecretId=NAME)["SecretString"] == "rotated", "the rotation", server)
    wait_until(lambda: doctor.diagnose(NAME)["verdict"] == "healthy", "all is well", server)
