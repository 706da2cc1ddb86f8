"""The doctor on a running Keyturn, with real faults that are not this secret's, or not now."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import Credentials, ServerProcess, wait_until
from .doctor import Doctor, causes_of, rotate_well, wait_for_failure
from .test_main_job import FIVE_ACTIONS, Job


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
    healthy = Job(server, postgresql, request.node.name.removeprefix("test_")[:50])
    rotate_well(healthy)
    return healthy


def test_another_secret_of_the_same_function_fails(doctor: Doctor, job: Job, postgresql: PostgresqlServer) -> None:
    postgresql.create_user("shared_other", "first")
    value = {**postgresql.secret_value("shared_other", "not its password"), "ssl": False}
    other = job.secrets.create_secret(Name="shared_other", SecretString=json.dumps(value))
    job.secrets.rotate_secret(
        SecretId="shared_other", RotationLambdaARN=job.function, RotationRules={"AutomaticallyAfterDays": 30}
    )

    wait_until(lambda: "db-login-failed" in doctor.causes(other["Name"]), "the other fails", job.server)
    assert doctor.causes(other["Name"]) == ["db-login-failed"]
    diagnosis = doctor.diagnose(job.name)
    assert (diagnosis["verdict"], causes_of(diagnosis)) == ("healthy", []), diagnosis["summary"]


def test_what_was_mended_since_is_told_as_history_and_forgotten_after_a_good_rotation(doctor: Doctor, job: Job) -> None:
    job.allow([action for action in FIVE_ACTIONS if action != "PutSecretValue"])
    job.secrets.rotate_secret(SecretId=job.name)
    wait_for_failure(job)
    assert doctor.causes(job.name) == ["role-missing-secret-actions"]

    job.allow(FIVE_ACTIONS)
    mended = doctor.diagnose(job.name)
    assert causes_of(mended) == [], mended["summary"]
    assert "role-missing-secret-actions" in [each["id"] for each in mended["findings"] if each["role"] == "note"]

    wait_until(lambda: doctor.diagnose(job.name)["verdict"] == "healthy", "it is tried again", job.server)


def test_an_application_that_is_denied_is_no_fault_of_rotation(doctor: Doctor, job: Job) -> None:
    iam = job.server.client("iam")
    iam.create_user(UserName="application")
    key = iam.create_access_key(UserName="application")["AccessKey"]
    application = job.server.client("secretsmanager", Credentials(key["AccessKeyId"], key["SecretAccessKey"]))
    for call in (application.get_secret_value, application.rotate_secret):
        with pytest.raises(ClientError, match="AccessDenied"):
            call(SecretId=job.name)

    diagnosis = doctor.diagnose(job.name)
    assert (diagnosis["verdict"], causes_of(diagnosis)) == ("healthy", []), diagnosis["summary"]
