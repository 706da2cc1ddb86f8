"""What AWS's published rotation functions need, with a function of our own that needs the same.

Theirs run in test_aws_samples.py, where they are at hand.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyturn.testing.mariadb import MariadbServer
from keyturn.testing.postgresql import PostgresqlServer

from .conftest import ServerProcess, wait_until
from .driver_layers import layer_of, package_of
from .test_main_job import Job

FOLDER = Path(__file__).with_name("functions_like_aws")
DRIVERS = {"PyMySQL": ("PyMySQL",), "pg8000": ("pg8000", "scramp", "asn1crypto", "python-dateutil", "six")}


@pytest.fixture(scope="module", params=["TLS", "no TLS"])
def database(request: pytest.FixtureRequest) -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start(tls=request.param == "TLS") as running:
        yield running


@pytest.fixture(scope="module", params=["TLS", "no TLS"])
def mariadb(request: pytest.FixtureRequest) -> Iterator[MariadbServer]:
    with MariadbServer.start(tls=request.param == "TLS") as running:
        yield running


def function_of(server: ServerProcess) -> dict[str, Any]:
    functions = server.client("lambda")
    layers = [
        functions.publish_layer_version(LayerName=name, Content={"ZipFile": layer_of(*distributions)})
        for name, distributions in DRIVERS.items()
    ]
    return {
        "Handler": "lambda_function.lambda_handler",
        "Code": {"ZipFile": package_of(FOLDER)},
        "Layers": [layer["LayerVersionArn"] for layer in layers],
        "Environment": {"Variables": {"EXCLUDE_CHARACTERS": "'\"\\\\;%:/@02468"}},
    }


def job_of(server: ServerProcess, database: PostgresqlServer | MariadbServer, name: str, **more: object) -> Job:
    return Job(server, database, name, more={"ssl": None, **more}, function=function_of(server))


def value_of(job: Job, stage: str = "AWSCURRENT") -> dict[str, str]:
    value: dict[str, str] = json.loads(
        job.secrets.get_secret_value(SecretId=job.name, VersionStage=stage)["SecretString"]
    )
    return value


def log_of(job: Job) -> str:
    logs = job.server.client("logs")
    try:
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{job.name}")["events"]
    except logs.exceptions.ResourceNotFoundException:
        return ""
    return "\n".join(event["message"] for event in events)


def rotate(job: Job) -> None:
    wait_until(functools.partial(job.is_current, job.rotate()), "the rotation", job.server)


def name_for(kind: str, database: PostgresqlServer | MariadbServer) -> str:
    return f"{kind}_{database.port}"


def test_a_user_changes_its_own_password(server: ServerProcess, database: PostgresqlServer) -> None:
    job = job_of(server, database, name_for("single", database))

    for _ in range(2):
        rotate(job)
        assert job.accepts(job.password())
        assert not job.accepts(job.password("AWSPREVIOUS"))
        # EXCLUDE_CHARACTERS is the function's own variable.
        assert not [character for character in job.password() if character in "02468"]
    log = log_of(job)
    assert log.count("finishSecret: done") == 2
    assert job.password() not in log


def test_a_superuser_changes_the_password_of_the_other_user(server: ServerProcess, mariadb: MariadbServer) -> None:
    name = name_for("two", mariadb)
    mariadb.create_user(f"{name}_clone", "another password")
    superuser = server.client("secretsmanager").create_secret(
        Name=f"{name}-superuser", SecretString=json.dumps(mariadb.superuser_value())
    )["ARN"]
    job = job_of(server, mariadb, name, masterarn=superuser)

    for username in (f"{name}_clone", name):
        rotate(job)
        after, before = value_of(job), value_of(job, "AWSPREVIOUS")
        assert after["username"] == username
        assert mariadb.accepts(username, after["password"])
        assert mariadb.accepts(before["username"], before["password"])


@pytest.mark.parametrize("kind", ["version", "alias"])
def test_the_function_may_be_a_version_or_an_alias_with_the_layers_that_it_had(
    server: ServerProcess, database: PostgresqlServer, kind: str
) -> None:
    job = job_of(server, database, name_for(kind, database))
    functions = server.client("lambda")
    qualifier = functions.publish_version(FunctionName=job.name)["Version"]
    # What the function is now would fail.
    functions.update_function_configuration(FunctionName=job.name, Layers=[])
    if kind == "alias":
        qualifier = functions.create_alias(FunctionName=job.name, Name="live", FunctionVersion=qualifier)["Name"]
    functions.add_permission(
        FunctionName=job.name,
        Qualifier=qualifier,
        Principal="secretsmanager.amazonaws.com",
        Action="lambda:InvokeFunction",
        StatementId="SecretsManagerAccess",
    )
    job.function = f"{job.function}:{qualifier}"

    rotate(job)

    assert job.accepts(job.password())


def test_steps_are_tried_again_until_the_database_is_there(server: ServerProcess) -> None:
    with PostgresqlServer.start() as database:
        job = job_of(server, database, "tried_again")
        database.crash()
        version_id = job.rotate()
        wait_until(lambda: "ValueError: Unable to log into database" in log_of(job), "a failed step", server)
        assert job.password() == job.first_password
        database.restart()

        wait_until(functools.partial(job.is_current, version_id), "the rotation", server)
        assert job.accepts(job.password())
