"""The main job with API keys: through the front door, in the sandbox, with the package that users get."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from keyturn.rotators import package
from keyturn.testing.http_api import CHOSEN, ISSUED, KeyServer, Reply

from .conftest import ServerProcess, wait_until
from .test_main_job import FIVE_ACTIONS, RUNTIME, TRUST


@pytest.fixture
def service() -> Iterator[KeyServer]:
    with KeyServer.start() as running:
        yield running


class Job:
    """An account of a service, its secret, a role and a rotation function, on one server."""

    def __init__(
        self, server: ServerProcess, service: KeyServer, name: str, environment: Mapping[str, str], **more: object
    ) -> None:
        self.server, self.name = server, name
        key_id = service.create_key(name, "made by hand", f"first-{name}")
        value = {**service.secret_value(name, f"first-{name}", key_id), **more}
        self.secrets = server.client("secretsmanager")
        self.secrets.create_secret(Name=name, SecretString=json.dumps(value))
        iam = server.client("iam")
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        actions = [f"secretsmanager:{action}" for action in FIVE_ACTIONS]
        policy = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}],
        }
        iam.put_role_policy(RoleName=name, PolicyName="rotate", PolicyDocument=json.dumps(policy))
        self.function = server.client("lambda").create_function(
            FunctionName=name,
            Runtime=RUNTIME,
            Role=role,
            Handler=package.handler_name("http_api", "new_key"),
            Code={"ZipFile": package.build("http_api", "new_key")},
            Environment={"Variables": dict(environment)},
            Timeout=30,
        )["FunctionArn"]
        server.client("lambda").add_permission(
            FunctionName=self.function,
            Principal="secretsmanager.amazonaws.com",
            Action="lambda:InvokeFunction",
            StatementId="SecretsManagerAccess",
        )

    def rotate(self) -> str:
        version_id: str = self.secrets.rotate_secret(
            SecretId=self.name, RotationLambdaARN=self.function, RotationRules={"AutomaticallyAfterDays": 30}
        )["VersionId"]
        return version_id

    def is_current(self, version_id: str) -> bool:
        described = self.secrets.describe_secret(SecretId=self.name)
        return "AWSCURRENT" in described["VersionIdsToStages"].get(version_id, []) and "LastRotatedDate" in described

    def value(self, stage: str) -> dict[str, Any]:
        text = self.secrets.get_secret_value(SecretId=self.name, VersionStage=stage)["SecretString"]
        return dict(json.loads(text))


@pytest.mark.parametrize("environment", [ISSUED, CHOSEN], ids=["issued", "chosen"])
@pytest.mark.parametrize("by", ["own", "superuser"])
def test_the_keys_of_current_and_previous_are_valid_and_no_others(
    server: ServerProcess, service: KeyServer, environment: Mapping[str, str], by: str
) -> None:
    name = f"{'chosen' if environment is CHOSEN else 'issued'}-{by}"
    more = {}
    if by == "superuser":
        text = json.dumps(service.superuser_value())
        more["masterarn"] = server.client("secretsmanager").create_secret(Name=f"{name}-admin", SecretString=text)[
            "ARN"
        ]
    job = Job(server, service, name, environment, **more)
    for _ in range(3):
        wait_until(functools.partial(job.is_current, job.rotate()), "the rotation", server)
        labelled = {job.value(stage)["api_key"] for stage in ("AWSCURRENT", "AWSPREVIOUS")}
        assert {key.key for key in service.keys.values()} == labelled
    events = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    log = "\n".join(event["message"] for event in events)
    assert "testSecret: Successfully signed into HTTP API DB with AWSPENDING secret" in log
    assert "setSecret: Revoked key" in log
    assert not any(key in log for key in {*labelled, f"first-{name}", service.superuser_key})


def test_a_service_that_is_down_is_told_with_its_cause_and_the_rotation_ends_when_it_is_back(
    own_server: ServerProcess, service: KeyServer
) -> None:
    own_server.start()
    job = Job(own_server, service, "patient", ISSUED)
    service.overrides.append(lambda _: Reply(429, {"error": "slow down"}, {"Retry-After": "1"}))
    version_id = job.rotate()
    wait_until(lambda: failures(own_server), "the failure", own_server)
    service.overrides.clear()
    wait_until(lambda: job.is_current(version_id), "the rotation", own_server)
    assert service.accepts("patient", job.value("AWSCURRENT")["api_key"])


def failures(server: ServerProcess) -> list[Any]:
    logs = server.client("logs")
    try:
        events = logs.filter_log_events(logGroupName="/aws/lambda/patient")["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event for event in events if "the service asks to wait, for 1 seconds (429)" in event["message"]]
