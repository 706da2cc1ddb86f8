"""The main job: a real PostgreSQL password, rotated by a real rotation function, whatever dies on the way."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import pytest
from botocore.exceptions import ClientError

from keyturn.rotators import package
from keyturn.testing.postgresql import PostgresqlServer

from .conftest import DEADLINE_SECONDS, ServerProcess, wait_until

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
STEPS = ["createSecret", "setSecret", "testSecret", "finishSecret"]
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
# AWS's guide to troubleshooting rotation lists these five.
FIVE_ACTIONS = ["DescribeSecret", "GetRandomPassword", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"]
# Waits in the step that the secret "gate" names until it names another one; says in the secret "reached" that it waits.
GATED = """
import time
import boto3
import postgresql_single_user

def lambda_handler(event, context):
    client = boto3.client("secretsmanager")
    if client.get_secret_value(SecretId="gate")["SecretString"] == event["Step"]:
        client.put_secret_value(SecretId="reached", SecretString=event["Step"])
    while client.get_secret_value(SecretId="gate")["SecretString"] == event["Step"]:
        time.sleep(0.02)
    return postgresql_single_user.lambda_handler(event, context)
"""


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


class Database(Protocol):
    def create_user(self, username: str, password: str) -> None: ...

    def secret_value(self, username: str, password: str) -> dict[str, object]: ...

    def accepts(self, username: str, password: str) -> bool: ...


def _own_function(engine: str, strategy: str, *, gated: bool) -> dict[str, Any]:
    code = package.build(engine, strategy)
    if not gated:
        return {"Handler": package.handler_name(engine, strategy), "Code": {"ZipFile": code}}
    buffer = io.BytesIO(code)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("gated.py", GATED)
    return {"Handler": "gated.lambda_handler", "Code": {"ZipFile": buffer.getvalue()}}


class Job:
    """A database user, its secret, a role and a rotation function, on one server.

    Args:
        server: Keyturn.
        database: A server of the engine.
        name: Of all of them.
        engine: Whose rotation function.
        gated: Whether the function waits where the secret "gate" says.
        strategy: Rotation strategy.
        more: Further keys of the secret.
        function: Members of CreateFunction in place of Keyturn's own function for the engine and the strategy.
        may_be_invoked: Whether the function's policy lets Secrets Manager invoke it.
    """

    def __init__(
        self,
        server: ServerProcess,
        database: Database,
        name: str,
        *,
        engine: str = "postgresql",
        gated: bool = False,
        strategy: str = "single_user",
        more: Mapping[str, object] | None = None,
        function: Mapping[str, Any] | None = None,
        may_be_invoked: bool = True,
    ) -> None:
        self.server, self.database, self.name = server, database, name
        self.first_password = f"first-{name}"
        database.create_user(name, self.first_password)
        value = {**database.secret_value(name, self.first_password), "ssl": False, **(more or {})}
        self.secret = self.secrets.create_secret(Name=name, SecretString=json.dumps(value))
        iam = server.client("iam")
        self.role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        self.allow(FIVE_ACTIONS)
        self.function = server.client("lambda").create_function(
            FunctionName=name,
            Runtime=RUNTIME,
            Role=self.role,
            Timeout=30,
            MemorySize=256,
            **(function or _own_function(engine, strategy, gated=gated)),
        )["FunctionArn"]
        if may_be_invoked:
            server.client("lambda").add_permission(
                FunctionName=self.function,
                Principal="secretsmanager.amazonaws.com",
                Action="lambda:InvokeFunction",
                StatementId="SecretsManagerAccess",
            )

    @property
    def secrets(self) -> Any:
        return self.server.client("secretsmanager")

    def allow(self, actions: list[str]) -> None:
        statement = {"Effect": "Allow", "Action": [f"secretsmanager:{action}" for action in actions], "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.server.client("iam").put_role_policy(RoleName=self.name, PolicyName="rotate", PolicyDocument=document)

    def rotate(self) -> str:
        version_id: str = self.secrets.rotate_secret(
            SecretId=self.name, RotationLambdaARN=self.function, RotationRules={"AutomaticallyAfterDays": 30}
        )["VersionId"]
        return version_id

    def stages(self) -> dict[str, list[str]]:
        stages: dict[str, list[str]] = self.secrets.describe_secret(SecretId=self.name)["VersionIdsToStages"]
        return stages

    def is_current(self, version_id: str) -> bool:
        described = self.secrets.describe_secret(SecretId=self.name)
        return "AWSCURRENT" in described["VersionIdsToStages"].get(version_id, []) and "LastRotatedDate" in described

    def password(self, stage: str = "AWSCURRENT") -> str:
        value = self.secrets.get_secret_value(SecretId=self.name, VersionStage=stage)["SecretString"]
        password: str = json.loads(value)["password"]
        return password

    def accepts(self, password: str) -> bool:
        return self.database.accepts(self.name, password)

    def events(self, name: str) -> list[dict[str, Any]]:
        found = self.server.client("cloudtrail").lookup_events(
            LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": name}]
        )["Events"]
        events = [json.loads(event["CloudTrailEvent"]) for event in found]
        return [event for event in reversed(events) if self.secret["ARN"] in json.dumps(event)]


def test_a_password_is_rotated_in_the_database_and_in_the_secret(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    job = Job(server, postgresql, "happy")
    version_id = job.rotate()
    wait_until(lambda: job.is_current(version_id), "the rotation", server)

    assert job.accepts(job.password())
    assert not job.accepts(job.first_password)
    assert job.password("AWSPREVIOUS") == job.first_password
    assert sorted(job.stages()[version_id]) == ["AWSCURRENT", "AWSPENDING"]
    assert job.stages()[job.secret["VersionId"]] == ["AWSPREVIOUS"]
    wait_until(lambda: job.events("RotationSucceeded"), "the event", server)
    invoked = [event["additionalEventData"] for event in job.events("Invoke")]
    assert [data["Step"] for data in invoked] == STEPS
    assert {data["ClientRequestToken"] for data in invoked} == {version_id}
    put = job.events("PutSecretValue")[-1]
    assert put["userIdentity"]["arn"].endswith(":assumed-role/happy/happy")


def test_a_failed_step_leaves_the_current_password_working_and_says_why(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    job = Job(server, postgresql, "denied")
    job.allow([action for action in FIVE_ACTIONS if action != "UpdateSecretVersionStage"])
    version_id = job.rotate()
    failed = wait_until(lambda: job.events("RotationFailed"), "the failure", server)

    assert failed[0]["errorMessage"] == f"Error when executing lambda {job.function} during finishSecret step"
    # The last one may be of the question to the database already.
    [said, *_] = [event["errorMessage"] for event in job.events("Invoke") if "errorMessage" in event]
    assert "is not authorized to perform: secretsmanager:UpdateSecretVersionStage" in said
    # The database had the pending password, and no application may read one that does not log in.
    wait_until(lambda: job.is_current(version_id), "the repair", server)
    assert [event["additionalEventData"]["Repair"] for event in job.events("RotationResolved")] == ["forward"]
    assert job.accepts(job.password())


def test_a_rotation_that_fails_before_the_database_is_tried_again_with_the_same_version(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    job = Job(server, postgresql, "too_little")
    job.allow([action for action in FIVE_ACTIONS if action != "GetRandomPassword"])
    version_id = job.rotate()
    wait_until(lambda: job.events("RotationFailed"), "the failure", server)
    assert job.accepts(job.password())
    with pytest.raises(ClientError, match=r"A previous rotation isn't complete\. That rotation will be reattempted\."):
        job.rotate()

    job.allow(FIVE_ACTIONS)
    with pytest.raises(ClientError, match="A previous rotation isn't complete"):
        job.rotate()
    wait_until(lambda: job.is_current(version_id), "the same version finished", server)
    assert job.accepts(job.password())


def test_the_rotate_command_follows_a_rotation_and_fails_with_the_functions_error(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    job = Job(server, postgresql, "followed")
    first = job.rotate()
    wait_until(lambda: job.is_current(first), "the first rotation", server)

    def rotate(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "keyturn.cli.main", "rotate", "followed", *options]
        return subprocess.run(
            command, env=server.environ(), capture_output=True, text=True, timeout=DEADLINE_SECONDS * 2
        )

    followed = rotate()
    assert followed.returncode == 0, followed.stdout + followed.stderr
    positions = [followed.stdout.index(step) for step in STEPS]
    assert positions == sorted(positions)
    assert "setSecret: Successfully set password for user followed" in followed.stdout

    postgresql.run("ALTER ROLE followed PASSWORD 'changed-by-hand'")
    failed = rotate("--output", "json")
    assert failed.returncode == 1
    document = json.loads(failed.stdout)
    assert not document["succeeded"]
    assert "refuses all stored passwords of user followed" in document["steps"][-1]["error"]
    assert "changed-by-hand" not in failed.stdout + failed.stderr


def test_the_rotate_command_says_that_it_follows_an_attempt_that_is_under_way(
    own_server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    own_server.start()
    secrets = own_server.client("secretsmanager")
    secrets.create_secret(Name="gate", SecretString="setSecret")
    secrets.create_secret(Name="reached", SecretString="nothing")
    job = Job(own_server, postgresql, "under_way", gated=True)
    version_id = job.rotate()
    wait_until(
        lambda: secrets.get_secret_value(SecretId="reached")["SecretString"] == "setSecret", "setSecret", own_server
    )

    command = [sys.executable, "-m", "keyturn.cli.main", "rotate", "under_way"]
    with subprocess.Popen(command, env=own_server.environ(), stdout=subprocess.PIPE, text=True) as followed:
        assert followed.stdout is not None
        first = followed.stdout.readline()
        secrets.put_secret_value(SecretId="gate", SecretString="none")
        rest = followed.stdout.read()

    assert re.fullmatch(r"Attempt 1, begun at [-\d]+ [:\d]+ UTC, is under way; following it\.\n", first), first + rest
    assert rest.startswith(f"Rotating under_way to version {version_id}\n")
    assert (followed.returncode, rest.endswith("Rotated.\n")) == (0, True), rest


def test_the_rotate_command_waits_for_a_test_of_the_function_and_rotates_then(
    own_server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    own_server.start()
    secrets = own_server.client("secretsmanager")
    secrets.create_secret(Name="gate", SecretString="testSecret")
    secrets.create_secret(Name="reached", SecretString="nothing")
    job = Job(own_server, postgresql, "tested", gated=True)
    tested = secrets.rotate_secret(
        SecretId="tested", RotationLambdaARN=job.function, RotationRules={"AutomaticallyAfterDays": 30},
        RotateImmediately=False,
    )["VersionId"]  # fmt: skip
    wait_until(
        lambda: secrets.get_secret_value(SecretId="reached")["SecretString"] == "testSecret", "testSecret", own_server
    )

    command = [sys.executable, "-m", "keyturn.cli.main", "rotate", "tested"]
    with subprocess.Popen(command, env=own_server.environ(), stdout=subprocess.PIPE, text=True) as followed:
        events = own_server.client("cloudtrail")
        of_name = [{"AttributeKey": "EventName", "AttributeValue": "RotateSecret"}]
        wait_until(
            lambda: any("errorCode" in event["CloudTrailEvent"] for event in _events(events, of_name)),
            "a refused rotation", own_server,
        )  # fmt: skip
        secrets.put_secret_value(SecretId="gate", SecretString="none")
        assert followed.stdout is not None
        told = followed.stdout.read()

    assert (followed.returncode, told.endswith("Rotated.\n")) == (0, True), told
    assert tested not in told
    assert tested not in job.stages()


def _events(client: Any, of_name: list[dict[str, str]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.lookup_events(LookupAttributes=of_name)["Events"]
    return found


@pytest.mark.parametrize("step", STEPS)
def test_a_server_killed_inside_a_step_finishes_the_rotation_when_it_starts_again(
    step: str, own_server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    own_server.start()
    secrets = own_server.client("secretsmanager")
    secrets.create_secret(Name="gate", SecretString=step)
    secrets.create_secret(Name="reached", SecretString="nothing")
    job = Job(own_server, postgresql, f"killed_{step.lower()}", gated=True)
    version_id = job.rotate()
    wait_until(
        lambda: secrets.get_secret_value(SecretId="reached")["SecretString"] == step, f"{step} reached", own_server
    )
    stored = [job.password()] + ([job.password("AWSPENDING")] if step != "createSecret" else [])
    own_server.kill()
    assert any(job.accepts(password) for password in stored)

    own_server.start()
    own_server.client("secretsmanager").put_secret_value(SecretId="gate", SecretString="open")
    wait_until(lambda: job.is_current(version_id), "the rotation after the restart", own_server)
    assert job.accepts(job.password())
    assert not job.accepts(job.first_password)
    steps = [event["additionalEventData"]["Step"] for event in job.events("Invoke")]
    assert steps == STEPS
