"""The guide's chapter "My first rotation fails after I enable rotation": alternating users, by the AWS CLI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import ServerProcess, wait_until
from .guide import FIVE_ACTIONS, MASTER_SECRET, MASTER_STATEMENT, UNFINISHED, Guide, corrected
from .test_guide_denied_actions import denial, policy
from .test_main_job import Job


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


@pytest.fixture(scope="module")
def guide(server: ServerProcess) -> Guide:
    return Guide.on(server)


@pytest.fixture(scope="module")
def superuser(server: ServerProcess, postgresql: PostgresqlServer) -> str:
    """The ARN of the superuser secret."""
    value = json.dumps({**postgresql.superuser_value(), "ssl": False})
    arn: str = server.client("secretsmanager").create_secret(Name="superuser", SecretString=value)["ARN"]
    return arn


def alternating(server: ServerProcess, postgresql: PostgresqlServer, name: str, superuser: str) -> Job:
    return Job(server, postgresql, name, strategy="alternating_users", more={"masterarn": superuser})


def value(job: Job, stage: str = "AWSCURRENT") -> Any:
    return json.loads(job.secrets.get_secret_value(SecretId=job.name, VersionStage=stage)["SecretString"])


def logs_in(job: Job, stage: str) -> bool:
    found = value(job, stage)
    return job.database.accepts(found["username"], found["password"])


@pytest.mark.parametrize("way", ["the whole policy", "the statement alone"])
def test_a_superuser_secret_out_of_reach_fails_the_first_rotation_and_the_guides_statement_mends_it(
    server: ServerProcess, postgresql: PostgresqlServer, guide: Guide, superuser: str, tmp_path: Path, way: str
) -> None:
    job = alternating(server, postgresql, f"team_{way.split()[1]}", superuser)
    name, secret_arn = job.name, job.secret["ARN"]
    assert guide.put_policy(name, policy(FIVE_ACTIONS, secret_arn), tmp_path) == ""
    version_id = guide.rotate(name, job.function, "--rotation-rules", "AutomaticallyAfterDays=30")["VersionId"]
    [failed, *_] = guide.wait_for("RotationFailed", secret_arn, server)

    assert failed["errorMessage"] == f"Error when executing lambda {job.function} during setSecret step"
    text = denial(server, name, "GetSecretValue", superuser)
    said = f"An error occurred (AccessDeniedException) when calling the GetSecretValue operation: {text}"
    assert any(line.startswith(f"[ERROR] ClientError: {said}\n") for line in guide.log(name))
    [denied, *_] = guide.denials("GetSecretValue", f"assumed-role/{name}/")
    assert denied["errorMessage"] == text
    assert denied["requestParameters"] == {"secretId": superuser, "versionStage": "AWSCURRENT"}
    # The user of the secret gets in, the other one is not there, and what waits is the other one's value.
    assert logs_in(job, "AWSCURRENT")
    assert value(job)["username"] == name
    assert value(job, "AWSPENDING")["username"] == f"{name}_clone"
    assert postgresql.run(f"SELECT 1 FROM pg_roles WHERE rolname = '{name}_clone'") == []

    assert guide.refused("secretsmanager", "rotate-secret", "--secret-id", name) == UNFINISHED
    if way == "the whole policy":
        document = corrected(MASTER_SECRET).replace("<arn_of_master_secret>", superuser)
    else:
        statement = json.loads(MASTER_STATEMENT.replace("ARN_of_master_secret", superuser))
        narrowed = json.loads(policy(FIVE_ACTIONS, secret_arn))
        document = json.dumps({**narrowed, "Statement": [*narrowed["Statement"], statement]})
    assert guide.put_policy(name, document, tmp_path) == ""
    wait_until(lambda: job.is_current(version_id), "the same version finished", server)

    assert value(job)["username"] == f"{name}_clone"
    assert logs_in(job, "AWSCURRENT")
    assert logs_in(job, "AWSPREVIOUS")
    assert value(job, "AWSPREVIOUS")["password"] == job.first_password

    second = guide("secretsmanager", "rotate-secret", "--secret-id", name)["VersionId"]
    wait_until(lambda: job.is_current(second), "the second rotation", server)
    assert value(job)["username"] == name
    assert logs_in(job, "AWSCURRENT")
    assert logs_in(job, "AWSPREVIOUS")
    assert not postgresql.accepts(name, job.first_password)


def test_a_superuser_secret_that_does_not_exist_is_told_apart_only_to_who_may_look(
    server: ServerProcess, postgresql: PostgresqlServer, guide: Guide, tmp_path: Path
) -> None:
    nowhere = f"arn:aws:secretsmanager:{server.region}:{server.account_id}:secret:nowhere-AbCdEf"
    job = alternating(server, postgresql, "team_nowhere", nowhere)
    assert guide.put_policy(job.name, policy(FIVE_ACTIONS, job.secret["ARN"]), tmp_path) == ""
    guide.rotate(job.name, job.function)
    guide.wait_for("RotationFailed", job.secret["ARN"], server)
    assert any(denial(server, job.name, "GetSecretValue", nowhere) in line for line in guide.log(job.name))

    assert (
        guide.put_policy(job.name, corrected(MASTER_SECRET).replace("<arn_of_master_secret>", nowhere), tmp_path) == ""
    )
    wait_until(
        lambda: any("can't find the specified secret." in line for line in guide.log(job.name)),
        "the other text",
        server,
    )


def test_a_superuser_of_another_host_is_refused_with_what_to_do(
    server: ServerProcess, postgresql: PostgresqlServer, guide: Guide, tmp_path: Path
) -> None:
    elsewhere = {**postgresql.superuser_value(), "host": "db.elsewhere.example"}
    arn = guide(
        "secretsmanager", "create-secret", "--name", "elsewhere", "--secret-string", json.dumps(elsewhere)
    )["ARN"]  # fmt: skip
    job = alternating(server, postgresql, "team_elsewhere", arn)
    guide.rotate(job.name, job.function)
    guide.wait_for("RotationFailed", job.secret["ARN"], server)
    [line, *_] = [line for line in guide.log(job.name) if "is not the same host as/rds replica of master" in line]
    assert "Name the host that takes changes in both secrets" in line
    assert job.accepts(job.first_password)
    assert not any(postgresql.superuser_password in line for line in guide.log(job.name))
