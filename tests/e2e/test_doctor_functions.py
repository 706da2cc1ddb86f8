"""The doctor on a running Keyturn: what functions, values and databases do wrong, told by the function's own log.

Each case is a patient with a real database user: a rotation that has gone well is broken, fails, is diagnosed, mended
as the diagnosis says, rotates, and is called healthy. Most of that is waiting, so all are treated at the same time.
"""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from keyturn.rotators import package
from keyturn.testing.functions import zip_package
from keyturn.testing.postgresql import PostgresqlServer

from .conftest import ServerProcess, wait_until
from .doctor import Doctor, causes_of, rotate_well
from .test_main_job import Job

_AT_ONCE = 6
MODULE = package.handler_name("postgresql", "single_user").partition(".")[0]
HBA = """
hostnossl all tls_only all reject
host all all all scram-sha-256
"""
OWN = """
import boto3

def lambda_handler(event, context):
    client, secret, token = boto3.client("secretsmanager"), event["SecretId"], event["ClientRequestToken"]
"""
LEAVES_PENDING = f"""{OWN}
    if event["Step"] == "createSecret":
        value = client.get_secret_value(SecretId=secret)["SecretString"]
        client.put_secret_value(
            SecretId=secret, ClientRequestToken=token, SecretString=value, VersionStages=["AWSPENDING"]
        )
"""


@dataclass(frozen=True)
class Patient:
    """A rotation, with the value that it had when all was well."""

    job: Job
    doctor: Doctor
    database: PostgresqlServer
    value: dict[str, Any]

    def store(self, **members: object) -> None:
        """Store the value with some members changed; those that are None are left out."""
        value = {name: member for name, member in {**self.value, **members}.items() if member is not None}
        self.store_text(json.dumps(value))

    def store_text(self, text: str) -> None:
        """Store a value."""
        self.job.secrets.put_secret_value(SecretId=self.job.name, SecretString=text)

    def store_binary(self) -> None:
        """Store a value that is no text."""
        self.job.secrets.put_secret_value(SecretId=self.job.name, SecretBinary=b"hunter2")

    def take_off_pending(self) -> None:
        """Take AWSPENDING off."""
        [version_id] = [version_id for version_id, labels in self.job.stages().items() if labels == ["AWSPENDING"]]
        self.job.secrets.update_secret_version_stage(
            SecretId=self.job.name, VersionStage="AWSPENDING", RemoveFromVersionId=version_id
        )

    def upload(self, code: str | bytes) -> None:
        """Put code, or a package, in the place of the function's."""
        zipped = code if isinstance(code, bytes) else zip_package({f"{MODULE}.py": code})
        self.job.server.client("lambda").update_function_code(FunctionName=self.job.name, ZipFile=zipped)

    def configure(self, **members: object) -> None:
        """Change the function's configuration."""
        self.job.server.client("lambda").update_function_configuration(FunctionName=self.job.name, **members)

    def reserve_nothing(self) -> None:
        """Do what the console's Throttle button does."""
        lambda_ = self.job.server.client("lambda")
        lambda_.put_function_concurrency(FunctionName=self.job.name, ReservedConcurrentExecutions=0)

    def log_in_json(self) -> None:
        """Let a function that cannot be imported say so in JSON."""
        self.configure(LoggingConfig={"LogFormat": "JSON"})
        self.upload("import pymssql")

    def run(self, statement: str) -> None:
        """Run a statement in the database, as its superuser."""
        self.database.run(statement.format(user=self.job.name))


@dataclass(frozen=True)
class Ailment:
    """What is done to a patient, what the doctor must say of it, and how it is mended.

    Attributes:
        mends: None if the doctor does it, by ``--fix``.
        ends: The event with which the rotation ends.
    """

    cause_id: str
    breaks: Callable[[Patient], object]
    mends: Callable[[Patient], object] | None
    said: str
    step: str | None = "setSecret"
    options: tuple[str, ...] = ()
    ends: str = "RotationFailed"


@cache
def sound_package(more: str = "") -> bytes:
    """Keyturn's own function, with a line before everything else."""
    sound, buffer = zipfile.ZipFile(io.BytesIO(package.build("postgresql", "single_user"))), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sound.namelist():
            content = sound.read(name)
            archive.writestr(name, f"{more}\n".encode() + content if name == f"{MODULE}.py" and more else content)
    return buffer.getvalue()


def code(source: str) -> Callable[[Patient], object]:
    return lambda patient: patient.upload(source)


def sound_code(patient: Patient) -> None:
    patient.upload(sound_package())


def follow(patient: Patient) -> None:
    patient.doctor.follow(patient.job.name, AILMENTS[patient.job.name].cause_id)


def store_elsewhere(patient: Patient) -> None:
    """Have the function itself store a pending value as if it were somebody else."""
    patient.upload(LOSES_TOKEN)
    patient.job.secrets.rotate_secret(SecretId=patient.job.name)
    wait_until(lambda: patient.job.events("RotationAbandoned"), "it is abandoned", patient.job.server)
    sound_code(patient)


def sound_code_anew(patient: Patient) -> None:
    sound_code(patient)
    patient.take_off_pending()


def value(**members: object) -> Callable[[Patient], object]:
    return lambda patient: patient.store(**members)


def statement(text: str) -> Callable[[Patient], object]:
    return lambda patient: patient.run(text)


def little_memory(patient: Patient) -> None:
    patient.configure(MemorySize=128)
    patient.upload(sound_package("taken = bytearray(180 << 20)"))


LOSES_TOKEN = f"""{OWN}
    if event["Step"] == "createSecret":
        value = client.get_secret_value(SecretId=secret)["SecretString"]
        client.put_secret_value(SecretId=secret, SecretString=value, VersionStages=["AWSPENDING"])
    if "AWSPENDING" not in client.describe_secret(SecretId=secret)["VersionIdsToStages"].get(token, []):
        raise ValueError(f"Secret version {{token}} not set as AWSPENDING for rotation of secret {{secret}}.")
"""
AILMENTS = {
    "loses_token": Ailment(
        "function-token-mishandled",
        code(LOSES_TOKEN),
        sound_code_anew,
        "lost the version",
        None,
        ends="RotationAbandoned",
    ),
    "from_elsewhere": Ailment(
        "pending-not-from-function", store_elsewhere, follow, "was not stored by the function", None
    ),
    "no_driver": Ailment("lambda-import-error", code("import pg"), sound_code, "No module named 'pg'", "createSecret"),
    "compiled": Ailment("lambda-native-module-mismatch", code("import _pg"), sound_code, "'_pg'", "createSecret"),
    "no_syntax": Ailment("lambda-syntax-error", code("def lambda_handler(\n"), sound_code, "line 1", "createSecret"),
    "no_handler": Ailment(
        "lambda-handler-missing",
        lambda patient: patient.configure(Handler=f"{MODULE}.handel"),
        lambda patient: patient.configure(Handler=f"{MODULE}.lambda_handler"),
        "handel",
        "createSecret",
    ),
    "little_memory": Ailment("lambda-out-of-memory", little_memory, None, "128 MB", "createSecret"),
    "stopped": Ailment(
        "lambda-concurrency-zero", Patient.reserve_nothing, None, "reserved concurrency is 0", "createSecret"
    ),
    "in_json": Ailment(
        "lambda-import-error",
        Patient.log_in_json,
        sound_code,
        "No module named 'pymssql'",
        "createSecret",
    ),
    "not_implemented": Ailment(
        "function-not-implemented", code(f"{OWN}    raise NotImplementedError"), sound_code, "never", "createSecret"
    ),
    "divides": Ailment(
        "function-unhandled-error", code(f"{OWN}    1 / 0"), sound_code, f"{MODULE}.py, line 6", "createSecret"
    ),
    "leaves_pending": Ailment(
        "function-leaves-pending", code(LEAVES_PENDING), sound_code, "leaves AWSCURRENT where it was", "finishSecret"
    ),
    "no_host": Ailment(
        "secret-key-missing", value(host=None), value(), "no key host", "createSecret", ("--read-value",)
    ),
    "no_port": Ailment("secret-value-unusable", value(port="many"), value(), "port", "setSecret"),
    "other_engine": Ailment(
        "secret-engine-mismatch",
        value(engine="mysql"),
        value(),
        "says engine mysql",
        "createSecret",
        ("--read-value",),
    ),
    "no_json": Ailment(
        "secret-not-json", lambda patient: patient.store_text("hunter2"), value(), "no JSON object", "createSecret"
    ),
    "binary": Ailment(
        "secret-is-binary", Patient.store_binary, value(), "SecretBinary", "createSecret", ("--read-value",)
    ),
    "changed_outside": Ailment(
        "db-login-failed",
        statement("ALTER ROLE {user} PASSWORD 'set-by-hand'"),
        value(password="set-by-hand"),
        "refuses",
    ),
    "dropped": Ailment(
        "db-login-failed",
        statement("DROP ROLE {user}"),
        lambda patient: patient.database.create_user(patient.job.name, patient.value["password"]),
        "refuses",
    ),
    "tls_only": Ailment("db-tls-required", value(ssl=False), value(), "TLS connections only"),
    "false_certificate": Ailment("db-tls-handshake", value(ssl=True), value(), "self-signed certificate"),
    "reads_only": Ailment(
        "db-read-only-endpoint",
        statement("ALTER ROLE {user} SET default_transaction_read_only = on"),
        statement("ALTER ROLE {user} RESET default_transaction_read_only"),
        "takes no changes",
    ),
    "wrong_port": Ailment("db-connection-refused", value(port=1), value(), "nothing listens"),
    "wrong_database": Ailment("db-database-missing", value(dbname="nowhere"), value(), "nowhere"),
    "locked_out": Ailment(
        "db-not-admitted",
        statement("ALTER ROLE {user} NOLOGIN"),
        statement("ALTER ROLE {user} LOGIN"),
        "not permitted to log in",
    ),
    "crowded": Ailment(
        "db-not-ready",
        statement("ALTER ROLE {user} CONNECTION LIMIT 0"),
        statement("ALTER ROLE {user} CONNECTION LIMIT -1"),
        "too many connections",
    ),
}


@dataclass(frozen=True)
class Course:
    """How it went with a patient."""

    ill: dict[str, Any]
    well: dict[str, Any]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start(tls=True, hba=HBA) as running:
        yield running


@pytest.fixture(scope="module")
def courses(
    server: ServerProcess, postgresql: PostgresqlServer, request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[Course]]]:
    """Those patients who are asked for, all treated at the same time."""
    asked = {
        item.callspec.params["name"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    }
    doctor = Doctor(server)
    sound_package()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield {name: pool.submit(_treat, doctor, postgresql, name) for name in AILMENTS if name in asked}


def _treat(doctor: Doctor, postgresql: PostgresqlServer, name: str) -> Course:
    ailment = AILMENTS[name]
    job = Job(doctor.server, postgresql, name, more={"ssl": None} if name == "tls_only" else None)
    rotate_well(job)
    secrets = job.secrets
    kept = json.loads(secrets.get_secret_value(SecretId=name)["SecretString"])
    patient = Patient(job, doctor, postgresql, kept)
    ailment.breaks(patient)

    def rotate() -> None:
        # One that is tried again, or has just been abandoned, is not begun anew.
        with contextlib.suppress(secrets.exceptions.InvalidRequestException):
            secrets.rotate_secret(SecretId=name)

    def fails() -> bool:
        rotate()
        return bool(job.events(ailment.ends))

    wait_until(fails, "the rotation failed", doctor.server)

    ill = doctor.diagnose(name, *ailment.options)
    if ailment.mends is None:
        doctor.run(name, "--fix", ailment.cause_id, "--yes")
    else:
        ailment.mends(patient)
    rotated_at = secrets.describe_secret(SecretId=name)["LastRotatedDate"]

    def rotates() -> bool:
        rotate()
        return bool(secrets.describe_secret(SecretId=name)["LastRotatedDate"] > rotated_at)

    wait_until(rotates, "it rotates", doctor.server)
    return Course(ill, doctor.diagnose(name))


@pytest.mark.parametrize("name", AILMENTS)
def test_what_breaks_a_rotation_is_named_and_once_it_is_mended_all_is_well(
    courses: dict[str, Future[Course]], name: str
) -> None:
    ailment, course = AILMENTS[name], courses[name].result()

    assert causes_of(course.ill) == [ailment.cause_id]
    first = course.ill["findings"][0]
    assert ailment.said in first["title"]
    assert first["step"] == ailment.step
    assert course.ill["verdict"] == "broken"
    if ailment.step is not None:
        assert course.ill["summary"].startswith(f"Rotation fails in {ailment.step}: ")
    assert "hunter2" not in json.dumps(course.ill)
    assert course.well["verdict"] == "healthy", course.well["summary"]
