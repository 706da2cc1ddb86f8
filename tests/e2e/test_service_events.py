"""What Secrets Manager does by itself is in the trail: each of its events is reached through the front door."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import uvicorn

from keyturn.app import Server, initialise
from keyturn.config import load_settings
from keyturn.rules.audit_event import ServiceEventName
from keyturn.server.run import bind
from keyturn.testing.clock import FakeClock
from keyturn.testing.functions import zip_package

from .conftest import ServerProcess, wait_until

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
ALLOW = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
# Does what the secret's name says.
FUNCTION = """
import boto3


def lambda_handler(event, context):
    client, secret, token = boto3.client("secretsmanager"), event["SecretId"], event["ClientRequestToken"]
    step, name = event["Step"], client.describe_secret(SecretId=secret)["Name"]
    if name.startswith("failing"):
        raise RuntimeError("no")
    if name == "settled" and step == "testSecret":
        raise RuntimeError("no")
    if step == "probeSecret":
        return {"rotator": "keyturn.rotator/1", "accepted": [token], "refused": []}
    if step == "createSecret":
        client.put_secret_value(
            SecretId=secret, ClientRequestToken=token, SecretString="rotated", VersionStages=["AWSPENDING"]
        )
        return {"rotator": "keyturn.rotator/1", "offers": ["probeSecret"] if name == "settled" else []}
    if name == "abandoned":
        client.update_secret_version_stage(SecretId=secret, VersionStage="AWSPENDING", RemoveFromVersionId=token)
    if step == "finishSecret":
        stages = client.describe_secret(SecretId=secret)["VersionIdsToStages"]
        (current,) = [version for version, labels in stages.items() if "AWSCURRENT" in labels]
        client.update_secret_version_stage(
            SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
        )
"""
# Reached elsewhere: tests/e2e/test_replication.py.
REPLICATION = {
    ServiceEventName.REPLICATION_STARTED, ServiceEventName.REPLICATION_SUCCEEDED, ServiceEventName.REPLICATION_FAILED
}  # fmt: skip
# Reached in tests/e2e/test_preflight.py.
PREFLIGHT = {ServiceEventName.ROTATION_PREFLIGHT_FAILED, ServiceEventName.ROTATION_PREFLIGHT_SUCCEEDED}
# The secret's name, whether it rotates at once, and the events that tell of its beginning and its end.
ROTATIONS = [
    ("rotated", True, "RotationStarted", "RotationSucceeded"),
    ("failing", True, "RotationStarted", "RotationFailed"),
    ("settled", True, "RotationStarted", "RotationResolved"),
    ("abandoned", True, "RotationStarted", "RotationAbandoned"),
    ("tested", False, "TestRotationStarted", "TestRotationSucceeded"),
    ("failing-test", False, "TestRotationStarted", "TestRotationFailed"),
]
RESTORED, ERASED = "CancelSecretVersionDelete", ("StartSecretVersionDelete", "EndSecretVersionDelete")
CLEANED_UP = "SecretVersionDeletion"


def test_every_service_event_is_reached_here_or_with_replicas() -> None:
    rotation = {name for _, _, *names in ROTATIONS for name in names}
    assert {*rotation, RESTORED, *ERASED, CLEANED_UP, *REPLICATION, *PREFLIGHT} == set(ServiceEventName)


@pytest.fixture(scope="module")
def function(server: ServerProcess) -> str:
    iam, lambda_ = server.client("iam"), server.client("lambda")
    role = iam.create_role(RoleName="rotate", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    iam.put_role_policy(RoleName="rotate", PolicyName="all", PolicyDocument=ALLOW)
    arn: str = lambda_.create_function(
        FunctionName="rotate",
        Runtime=f"python3.{sys.version_info.minor}",
        Role=role,
        Handler="lambda_function.lambda_handler",
        Code={"ZipFile": zip_package({"lambda_function.py": FUNCTION})},
        Timeout=30,
    )["FunctionArn"]
    lambda_.add_permission(
        FunctionName="rotate", Principal="secretsmanager.amazonaws.com", Action="lambda:InvokeFunction", StatementId="s"
    )
    return arn


def lookup(cloudtrail: Any, name: str, arn: str) -> list[dict[str, Any]]:
    """Events of one name about a secret, newest first; each is found by the secret, too, and has CloudTrail's shape."""
    asked = [{"AttributeKey": "ResourceName", "AttributeValue": arn}]
    entries = [
        entry
        for page in cloudtrail.get_paginator("lookup_events").paginate(LookupAttributes=asked)
        for entry in page["Events"]
        if entry["EventName"] == name
    ]
    found = []
    for entry in entries:
        event = json.loads(entry["CloudTrailEvent"])
        account_id = arn.split(":")[4]
        assert entry["Resources"] == [{"ResourceType": "AWS::SecretsManager::Secret", "ResourceName": arn}]
        assert entry["ReadOnly"] == "false"
        assert event["userIdentity"] == {"accountId": account_id, "invokedBy": "secretsmanager.amazonaws.com"}
        assert event["sourceIPAddress"] == event["userAgent"] == event["eventSource"] == "secretsmanager.amazonaws.com"
        assert (event["eventType"], event["managementEvent"]) == ("AwsServiceEvent", True)
        assert (event["eventCategory"], event["recipientAccountId"]) == ("Management", account_id)
        assert event["requestParameters"] is event["responseElements"] is None
        assert event["additionalEventData"]["SecretId"] == event["serviceEventDetails"]["secretId"] == arn
        found.append(event)
    return found


@pytest.mark.parametrize(("name", "immediately", "begun", "ended"), ROTATIONS)
def test_a_rotation_is_told_from_its_beginning_to_its_end(
    server: ServerProcess, function: str, name: str, immediately: bool, begun: str, ended: str
) -> None:
    secrets, cloudtrail = server.client("secretsmanager"), server.client("cloudtrail")
    arn = secrets.create_secret(Name=name, SecretString="s")["ARN"]
    asked = {"RotationLambdaARN": function, "RotationRules": {"AutomaticallyAfterDays": 30}}
    version_id = secrets.rotate_secret(SecretId=name, RotateImmediately=immediately, **asked).get("VersionId")

    wait_until(lambda: lookup(cloudtrail, ended, arn), f"{ended} was told", server)

    (start,) = lookup(cloudtrail, begun, arn)[-1:]
    (end,) = lookup(cloudtrail, ended, arn)[-1:]
    assert start["requestID"] == end["requestID"]
    assert start["requestID"].startswith(f"Rotation-{arn}-")
    if immediately:
        assert start["requestID"] == f"Rotation-{arn}-{version_id}"
    failed = ended.endswith("Failed")
    said = f"Error when executing lambda {function} during {'createSecret' if immediately else 'testSecret'} step"
    assert end.get("errorMessage") == (said if failed else None)
    if failed and immediately:
        secrets.cancel_rotate_secret(SecretId=name)


def test_the_end_of_every_version_is_told(server: ServerProcess) -> None:
    secrets, cloudtrail = server.client("secretsmanager"), server.client("cloudtrail")
    made = secrets.create_secret(Name="ended", SecretString="s")
    secrets.delete_secret(SecretId="ended")
    secrets.restore_secret(SecretId="ended")
    (cancelled,) = lookup(cloudtrail, RESTORED, made["ARN"])
    assert cancelled["additionalEventData"]["SecretVersionId"] == made["VersionId"]

    secrets.delete_secret(SecretId="ended", ForceDeleteWithoutRecovery=True)
    for name in ERASED:
        wait_until(lambda name=name: lookup(cloudtrail, name, made["ARN"]), f"{name} was told", server)  # type: ignore[misc]  # bound at once
        (told,) = lookup(cloudtrail, name, made["ARN"])
        assert told["additionalEventData"]["SecretVersionId"] == made["VersionId"]


@contextmanager
def served(directory: Path, clock: FakeClock) -> Iterator[dict[str, Any]]:
    """A server in this process, whose clock a test moves; yields what its clients need."""
    settings = load_settings(
        {"data_dir": directory, "port": 0, "clock_skew_seconds": 10**8, "quota_versions": 2}, {"HOME": str(directory)}
    )
    admin = initialise(settings)
    with bind(settings) as listener:
        port = listener.getsockname()[1]
        with Server.open(replace(settings, port=port), clock) as server:
            config = uvicorn.Config(server.application, lifespan="off", log_config=None, server_header=False)
            running = uvicorn.Server(config)
            thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
            thread.start()
            wait_until(lambda: running.started, "the server is ready")
            try:
                yield {
                    "endpoint_url": f"http://127.0.0.1:{port}",
                    "region_name": "us-east-1",
                    "aws_access_key_id": admin.access_key_id,
                    "aws_secret_access_key": admin.secret_access_key.reveal(),
                }
            finally:
                running.should_exit = True
                thread.join(30)


def test_a_version_that_is_cleaned_up_is_told(tmp_path: Path) -> None:
    clock = FakeClock(datetime.now(UTC))
    with served(tmp_path, clock) as client:
        secrets, cloudtrail = boto3.client("secretsmanager", **client), boto3.client("cloudtrail", **client)
        made = secrets.create_secret(Name="s", SecretString="1")
        for number in range(3):
            clock.advance(timedelta(days=2))
            secrets.put_secret_value(SecretId="s", SecretString=str(number))

        told = lookup(cloudtrail, CLEANED_UP, made["ARN"])
    assert made["VersionId"] in {event["additionalEventData"]["SecretVersionId"] for event in told}


def test_what_is_older_than_90_days_is_not_looked_up(tmp_path: Path) -> None:
    clock = FakeClock(datetime.now(UTC))
    with served(tmp_path, clock) as client:
        cloudtrail, sts = boto3.client("cloudtrail", **client), boto3.client("sts", **client)
        sts.get_caller_identity()
        (first,) = cloudtrail.lookup_events()["Events"]
        by_id = [{"AttributeKey": "EventId", "AttributeValue": first["EventId"]}]
        clock.advance(timedelta(days=89))
        assert cloudtrail.lookup_events(LookupAttributes=by_id)["Events"] == [first]
        clock.advance(timedelta(days=1, seconds=1))
        assert cloudtrail.lookup_events(LookupAttributes=by_id)["Events"] == []
        long_ago = clock.now() - timedelta(days=365)
        assert first not in cloudtrail.lookup_events(StartTime=long_ago)["Events"]
