"""keyturn doctor --preflight: what only a look from inside the function's sandbox can tell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import ServerProcess, wait_until
from .doctor import Doctor, causes_of, rotate_well, wait_for_failure
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
    name = re.sub(r"\W+", "_", request.node.name.removeprefix("test_"))
    healthy = Job(server, postgresql, f"look_{name[:40]}")
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
    assert causes_of(diagnosis) == ["preflight-login-refused"]
    assert diagnosis["findings"][0]["confidence"] == "likely"
    assert diagnosis["summary"].startswith("as was found ")

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


def fails_and_is_given_up(job: Job) -> None:
    """Rotate, let the first attempt fail, and give the rotation up: no other attempt tells what was mended since."""
    pending = job.rotate()
    wait_for_failure(job)
    job.secrets.update_secret_version_stage(SecretId=job.name, VersionStage="AWSPENDING", RemoveFromVersionId=pending)


def looked(doctor: Doctor, job: Job) -> dict[str, Any]:
    """Diagnose from inside the sandbox: again, while the rotation that was given up asks the database what it has."""

    def diagnosis() -> dict[str, Any] | None:
        found = doctor.diagnose(job.name, "--preflight")
        return None if "ask again in a moment" in found["summary"] else found

    told: dict[str, Any] = wait_until(diagnosis, "it was looked from inside", job.server)
    return told


@pytest.mark.parametrize(
    ("fault", "mend", "cause_id"),
    [
        ('ALTER ROLE "{name}" NOLOGIN', 'ALTER ROLE "{name}" LOGIN', "db-not-admitted"),
        (
            "ALTER ROLE \"{name}\" PASSWORD 'somebody-elses'",
            "ALTER ROLE \"{name}\" PASSWORD '{password}'",
            "db-login-failed",
        ),
    ],
    ids=["nologin", "password"],
)
def test_what_a_login_shows_mended_is_history(
    doctor: Doctor, job: Job, postgresql: PostgresqlServer, fault: str, mend: str, cause_id: str
) -> None:
    words = {"name": job.name, "password": job.password()}
    postgresql.run(fault.format_map(words))
    fails_and_is_given_up(job)
    assert doctor.causes(job.name) == [cause_id]
    assert "preflight-login-refused" in causes_of(looked(doctor, job))

    postgresql.run(mend.format_map(words))
    diagnosis = looked(doctor, job)

    assert diagnosis["verdict"] == "healthy", diagnosis["summary"]
    assert diagnosis["summary"].startswith("What failed is mended, by a look from inside the sandbox: ")
    told = next(finding for finding in diagnosis["findings"] if finding["id"] == cause_id)
    assert told["role"] == "note"
    assert told["title"].endswith("the database accepts AWSCURRENT now")
    # And so it is by that look, without another.
    assert doctor.diagnose(job.name)["verdict"] == "healthy"
    rotate_well(job)


def test_a_value_that_does_not_mend_it_is_the_cause_once_it_was_tried_and_one_that_does_is_a_mend(
    doctor: Doctor, job: Job
) -> None:
    def store(**members: object) -> None:
        value = json.loads(job.secrets.get_secret_value(SecretId=job.name)["SecretString"])
        job.secrets.put_secret_value(SecretId=job.name, SecretString=json.dumps({**value, **members}))

    right = json.loads(job.secrets.get_secret_value(SecretId=job.name)["SecretString"])["host"]
    store(host="first.invalid")
    fails_and_is_given_up(job)
    assert doctor.causes(job.name) == ["db-host-gone"]

    store(host="second.invalid")
    assert doctor.diagnose(job.name)["verdict"] == "inconclusive"
    assert causes_of(looked(doctor, job)) == ["preflight-database-unreachable"]
    # Whoever comes back is told the same.
    [cause, *_] = doctor.diagnose(job.name)["findings"]
    assert (cause["id"], cause["role"]) == ("preflight-database-unreachable", "cause")
    assert "second.invalid" in cause["title"]
    assert "put-secret-value" in json.dumps(cause["remedy"])

    store(host=right)
    assert doctor.diagnose(job.name)["verdict"] == "inconclusive"
    assert looked(doctor, job)["verdict"] == "healthy"
    rotate_well(job)


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
