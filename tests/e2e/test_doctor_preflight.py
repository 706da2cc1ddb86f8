"""keyturn doctor --preflight: what only a look from inside the function's sandbox can tell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import ServerProcess, wait_until
from .doctor import Doctor, causes_of, rotate_well
from .test_main_job import Job


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


@pytest.fixture(scope="module")
def doctor(server: ServerProcess) -> Doctor:
    return Doctor(server)


@pytest.fixture
def job(server: ServerProcess, postgresql: PostgresqlServer, request: pytest.FixtureRequest) -> Job:
    """A rotation that has gone well once."""
    healthy = Job(server, postgresql, f"look_{request.node.name.removeprefix('test_')[:40]}")
    rotate_well(healthy)
    return healthy


def set_password(job: Job, postgresql: PostgresqlServer, password: str) -> None:
    postgresql.run(f"ALTER ROLE \"{job.name}\" PASSWORD '{password}'")


def test_a_healthy_secret_is_in_step(doctor: Doctor, job: Job) -> None:
    diagnosis = doctor.diagnose(job.name, "--preflight")

    assert diagnosis["verdict"] == "healthy", diagnosis["summary"]
    looked = {check["id"]: check["status"] for check in diagnosis["checks"] if check["id"].startswith(("pre", "drift"))}
    assert looked.pop("preflight-found-last") == "skipped"
    assert set(looked.values()) == {"pass"}
    assert len(looked) == 11


def test_a_password_changed_outside_is_found_before_the_rotation_is_due(
    doctor: Doctor, job: Job, postgresql: PostgresqlServer
) -> None:
    # The next look by itself is a day ahead then.
    assert doctor.diagnose(job.name, "--preflight")["verdict"] == "healthy"
    set_password(job, postgresql, "changed by hand")

    # Nothing that is stored tells it.
    assert doctor.diagnose(job.name)["verdict"] == "healthy"
    diagnosis = doctor.diagnose(job.name, "--preflight")
    assert causes_of(diagnosis) == ["preflight-login-refused"]
    assert "changed by hand" not in json.dumps(diagnosis)

    set_password(job, postgresql, job.password())
    assert doctor.diagnose(job.name, "--preflight")["verdict"] == "healthy"


def test_what_was_found_last_is_told_until_a_rotation_goes_well(
    doctor: Doctor, job: Job, postgresql: PostgresqlServer, server: ServerProcess
) -> None:
    set_password(job, postgresql, "changed by hand")
    server.client("keyturn").preflight_rotation(SecretId=job.name)

    # Of the daily look, for instance: it is not looked at now.
    diagnosis = doctor.diagnose(job.name)
    assert causes_of(diagnosis) == ["preflight-found-last"]
    assert diagnosis["findings"][0]["confidence"] == "likely"
    assert "changed outside of rotation" in diagnosis["summary"]

    set_password(job, postgresql, job.password())
    rotate_well(job)
    assert doctor.diagnose(job.name)["verdict"] == "healthy"


def test_an_attempt_that_waits_is_told_and_begun_by_the_command_that_is_printed(
    doctor: Doctor, job: Job, server: ServerProcess
) -> None:
    value = json.loads(job.secrets.get_secret_value(SecretId=job.name)["SecretString"])
    job.secrets.put_secret_value(SecretId=job.name, SecretString=json.dumps({**value, "port": 1}))
    job.rotate()

    def waits() -> bool:
        newest = server.client("keyturn").list_rotations(SecretId=job.name)["Rotations"][0]
        return bool(newest["Status"] == "pending" and newest["Attempt"] > 2)

    wait_until(waits, "an attempt waits", server)
    server.client("lambda").remove_permission(FunctionName=job.name, StatementId="SecretsManagerAccess")

    assert re.search(r"attempt \d of 5 begins in \d+ seconds", " ".join(doctor.run(job.name).stdout.split()))
    told = doctor.fix(job.name, "invoke-permission-missing")
    assert f"An attempt waits; let it begin now: keyturn rotation retry {job.name} --wait" in told


def test_an_old_password_set_again_is_told_as_such_and_undone(
    doctor: Doctor, job: Job, postgresql: PostgresqlServer
) -> None:
    set_password(job, postgresql, job.first_password)

    assert doctor.causes(job.name, "--preflight") == ["drift-previous-in-database"]
    job.server.client("keyturn").resolve_rotation(SecretId=job.name)
    wait_until(lambda: job.password() == job.first_password, "the label went back", job.server)
    rotate_well(job)
    wait_until(
        lambda: doctor.diagnose(job.name, "--preflight")["verdict"] == "healthy", "it is in step again", job.server
    )


def test_an_address_that_nobody_listens_at(doctor: Doctor, job: Job) -> None:
    value = json.loads(job.secrets.get_secret_value(SecretId=job.name)["SecretString"])
    job.secrets.put_secret_value(SecretId=job.name, SecretString=json.dumps({**value, "port": 1}))

    [cause, *_] = doctor.diagnose(job.name, "--preflight")["findings"]
    assert (cause["id"], cause["role"], cause["confidence"]) == ("preflight-database-unreachable", "cause", "certain")
    assert "ConnectionRefused" in cause["title"]


def test_the_look_can_be_diagnosed_elsewhere(doctor: Doctor, job: Job, postgresql: PostgresqlServer) -> None:
    set_password(job, postgresql, "changed by hand")
    file = job.server.home / f"{job.name}.json"

    here = doctor.diagnose(job.name, "--preflight", "--save", str(file))
    there = json.loads(doctor.run("--from", str(file), "--output", "json").stdout)

    assert there == here
    assert causes_of(there) == ["preflight-login-refused"]
    assert job.password() not in file.read_text()
