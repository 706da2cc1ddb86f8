"""The doctor on a running Keyturn: what functions, values and databases do wrong, told by the function's own log.

Each case is a patient with a real database user (``patients.py``).
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from keyturn.rotators import package
from keyturn.testing.functions import zip_package
from keyturn.testing.postgresql import PostgresqlServer

from . import patients
from .conftest import ServerProcess, wait_until
from .doctor import DoctorHere, causes_of, rotate_well
from .patients import Ailment, Courses, treated

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


class Patient(patients.Patient):
    """A rotation, with the value that it had when all was well."""

    database: PostgresqlServer
    value: dict[str, Any]

    def store(self, **members: object) -> None:
        """Store the value with some members changed; those that are None are left out."""
        value = {name: member for name, member in {**self.value, **members}.items() if member is not None}
        self.store_text(json.dumps(value))

    def store_text(self, text: str) -> None:
        """Store a value."""
        self.secrets.put_secret_value(SecretId=self.name, SecretString=text)

    def store_binary(self) -> None:
        """Store a value that is no text."""
        self.secrets.put_secret_value(SecretId=self.name, SecretBinary=b"hunter2")

    def upload(self, code: str | bytes) -> None:
        """Put code, or a package, in the place of the function's."""
        zipped = code if isinstance(code, bytes) else zip_package({f"{MODULE}.py": code})
        self.client("lambda").update_function_code(FunctionName=self.name, ZipFile=zipped)

    def configure(self, **members: object) -> None:
        """Change the function's configuration."""
        self.client("lambda").update_function_configuration(FunctionName=self.name, **members)

    def reserve_nothing(self) -> None:
        """Do what the console's Throttle button does."""
        self.client("lambda").put_function_concurrency(FunctionName=self.name, ReservedConcurrentExecutions=0)

    def log_in_json(self) -> None:
        """Let a function that cannot be imported say so in JSON."""
        self.configure(LoggingConfig={"LogFormat": "JSON"})
        self.upload("import pymssql")

    def run(self, statement: str) -> None:
        """Run a statement in the database, as its superuser."""
        self.database.run(statement.format(user=self.name))


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


def store_elsewhere(patient: Patient) -> None:
    """Have the function itself store a pending value as if it were somebody else."""
    invoked_before = len(patient.events("Invoke"))
    patient.upload(LOSES_TOKEN)
    patient.secrets.rotate_secret(SecretId=patient.name)
    # The rotation is abandoned while the function still runs.
    wait_until(lambda: len(patient.events("Invoke")) > invoked_before, "it has run", patient.server)
    sound_code(patient)


def sound_code_anew(patient: Patient) -> None:
    sound_code(patient)
    patient.take_off_pending()


def value(**members: object) -> Callable[[Patient], object]:
    return lambda patient: patient.store(**members)


def statement(text: str) -> Callable[[Patient], object]:
    return lambda patient: patient.run(text)


def fix_memory(patient: Patient) -> None:
    # While an attempt is under way its log says nothing yet.
    wait_until(lambda: causes_of(patient.doctor.diagnose(patient.name)) == [patient.cause_id], "the attempt failed")
    # An attempt that has begun before may run out of it afterwards, so that nothing is asserted yet.
    printed = patient.doctor.fix(patient.name, patient.cause_id)
    assert "--memory-size 256" in printed


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
AILMENTS: dict[str, Ailment[Patient]] = {
    "loses_token": Ailment(
        "function-token-mishandled",
        code(LOSES_TOKEN),
        sound_code_anew,
        "lost the version",
        None,
        # It is abandoned while the function still runs.
        ends="Invoke",
    ),
    "from_elsewhere": Ailment(
        "pending-not-from-function", store_elsewhere, Patient.follow, "was not stored by the function", None
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
    "little_memory": Ailment("lambda-out-of-memory", little_memory, fix_memory, "128 MB", "createSecret"),
    "stopped": Ailment(
        "lambda-concurrency-zero", Patient.reserve_nothing, Patient.fix, "reserved concurrency is 0", "createSecret"
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
    "no_host": Ailment("secret-key-missing", value(host=None), value(), "no key host", "createSecret", read_value=True),
    "no_port": Ailment("secret-value-unusable", value(port="many"), value(), "port", "setSecret"),
    "other_engine": Ailment(
        "secret-engine-mismatch",
        value(engine="mysql"),
        value(),
        "says engine mysql",
        "createSecret",
        read_value=True,
    ),
    "no_json": Ailment(
        "secret-not-json", lambda patient: patient.store_text("hunter2"), value(), "no JSON object", "createSecret"
    ),
    "binary": Ailment(
        "secret-is-binary", Patient.store_binary, value(), "SecretBinary", "createSecret", read_value=True
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
        lambda patient: patient.database.create_user(patient.name, patient.value["password"]),
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


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start(tls=True, hba=HBA) as running:
        yield running


@pytest.fixture(scope="module")
def courses(server: ServerProcess, postgresql: PostgresqlServer, request: pytest.FixtureRequest) -> Iterator[Courses]:
    def make(doctor: DoctorHere, name: str) -> Patient:
        more = {"ssl": None} if name == "tls_only" else None
        patient = Patient(doctor, postgresql, name, AILMENTS[name].cause_id, more=more)
        rotate_well(patient)
        patient.value = json.loads(patient.secrets.get_secret_value(SecretId=name)["SecretString"])
        return patient

    sound_package()
    with treated(request, server, AILMENTS, make) as found:
        yield found


@pytest.mark.parametrize("name", AILMENTS)
def test_what_breaks_a_rotation_is_named_and_once_it_is_mended_all_is_well(courses: Courses, name: str) -> None:
    ailment, course = AILMENTS[name], courses[name].result()

    course.assert_right(ailment)
    if ailment.step is not None:
        assert course.ill["summary"].startswith(f"Rotation fails in {ailment.step}: ")
    assert "hunter2" not in json.dumps(course.ill)
