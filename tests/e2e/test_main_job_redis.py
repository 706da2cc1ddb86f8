"""The main job with Redis: each strategy through the front door, in the sandbox, with the package that users get."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator

import pytest

from keyturn.testing.redis import RedisServer

from .conftest import ServerProcess, wait_until
from .test_main_job import Job


@pytest.fixture(scope="module")
def database() -> Iterator[RedisServer]:
    with RedisServer.start() as running:
        yield running


def log_of(job: Job) -> str:
    events = job.server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{job.name}")["events"]
    return "\n".join(event["message"] for event in events)


def superuser_secret(server: ServerProcess, database: RedisServer, name: str) -> str:
    value = json.dumps({**database.superuser_value(), "ssl": False})
    arn: str = server.client("secretsmanager").create_secret(Name=name, SecretString=value)["ARN"]
    return arn


def test_a_superuser_changes_its_own_password(server: ServerProcess, database: RedisServer) -> None:
    database.create_user("redis_single", "replaced below")
    database.let_change_passwords("redis_single")
    job = Job(server, database, "redis_single", engine="redis")
    version_id = job.rotate()
    wait_until(lambda: job.is_current(version_id), "the rotation", server)

    assert job.accepts(job.password())
    assert job.accepts(job.first_password)
    assert job.password("AWSPREVIOUS") == job.first_password


def test_a_superuser_changes_a_users_password_and_the_one_before_is_accepted_until_the_next_rotation(
    server: ServerProcess, database: RedisServer
) -> None:
    more = {"masterarn": superuser_secret(server, database, "redis-superuser")}
    job = Job(server, database, "redis_by", engine="redis", strategy="single_user_by_superuser", more=more)
    for _ in range(2):
        wait_until(functools.partial(job.is_current, job.rotate()), "the rotation", server)
        assert job.accepts(job.password())
        assert job.accepts(job.password("AWSPREVIOUS"))
    assert not job.accepts(job.first_password)
    log = log_of(job)
    assert "setSecret: Successfully signed into Redis DB with AWSPENDING secret" in log
    assert job.password() not in log
    assert job.first_password not in log


def test_two_users_alternate(server: ServerProcess, database: RedisServer) -> None:
    more = {"masterarn": superuser_secret(server, database, "redis-superuser-of-two")}
    job = Job(server, database, "redis_two", engine="redis", strategy="alternating_users", more=more)
    for username in ("redis_two_clone", "redis_two"):
        wait_until(functools.partial(job.is_current, job.rotate()), "the rotation", server)
        value = json.loads(job.secrets.get_secret_value(SecretId=job.name)["SecretString"])
        assert value["username"] == username
        assert database.accepts(username, value["password"])
    assert not database.accepts("redis_two", job.first_password)
    assert job.password("AWSPREVIOUS") not in log_of(job)
