"""The main job with MariaDB: each strategy through the front door, in the sandbox, with the package that users get."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator

import pytest

from keyturn.testing.mariadb import MariadbServer

from .conftest import ServerProcess, wait_until
from .test_main_job import Job


@pytest.fixture(scope="module")
def database() -> Iterator[MariadbServer]:
    with MariadbServer.start() as running:
        yield running


def log_of(job: Job) -> str:
    events = job.server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{job.name}")["events"]
    return "\n".join(event["message"] for event in events)


def test_a_user_changes_its_own_password(server: ServerProcess, database: MariadbServer) -> None:
    job = Job(server, database, "mariadb_single", engine="mariadb")
    version_id = job.rotate()
    wait_until(lambda: job.is_current(version_id), "the rotation", server)

    assert job.accepts(job.password())
    assert not job.accepts(job.first_password)
    assert job.password("AWSPREVIOUS") == job.first_password
    log = log_of(job)
    assert "setSecret: Successfully signed into MariaDB DB with AWSPENDING secret" in log
    assert job.password() not in log
    assert job.first_password not in log


def test_two_users_alternate(server: ServerProcess, database: MariadbServer) -> None:
    superuser = server.client("secretsmanager").create_secret(
        Name="mariadb-superuser", SecretString=json.dumps({**database.superuser_value(), "ssl": False})
    )["ARN"]
    job = Job(
        server, database, "mariadb_two", engine="mariadb", strategy="alternating_users", more={"masterarn": superuser}
    )
    for username in ("mariadb_two_clone", "mariadb_two"):
        wait_until(functools.partial(job.is_current, job.rotate()), "the rotation", server)
        value = json.loads(job.secrets.get_secret_value(SecretId=job.name)["SecretString"])
        assert value["username"] == username
        assert database.accepts(username, value["password"])
    assert not database.accepts("mariadb_two", job.first_password)
    assert job.password("AWSPREVIOUS") not in log_of(job)
