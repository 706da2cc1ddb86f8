"""One database user, its secret and the server that rotates it: what a point of the sweep is played on."""

from __future__ import annotations

import functools
import io
import json
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from keyturn.errors.base import KeyturnError
from keyturn.rotators import package
from keyturn.rules.audit_event import rotation_request_id
from keyturn.storage import rotations, secrets
from keyturn.storage.audit_log import records_after
from keyturn.storage.database import Stores
from keyturn.storage.rotations import RotationRecord, RotationStatus, StepRecord
from keyturn.testing.postgresql import PostgresqlServer

from .gate import Gate
from .processes import Keyturn

_TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
# AWS's guide to troubleshooting rotation lists these five.
_ACTIONS = ("DescribeSecret", "GetRandomPassword", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
_ROLE = "rotate"
_GATED = Path(__file__).with_name("gated.py")
_POLL_SECONDS = 0.05
_ALL_RECORDS = 100_000


@dataclass(frozen=True, slots=True)
class Version:
    """A stored value."""

    version_id: str
    value: str
    labels: tuple[str, ...]

    @property
    def password(self) -> str:
        """The password in it."""
        return str(json.loads(self.value)["password"])


@dataclass(frozen=True, slots=True)
class Seen:
    """A rotation as the database has it."""

    rotation: RotationRecord
    steps: list[StepRecord]

    @property
    def has_ended(self) -> bool:
        """Whether nobody will do anything about it before its next window."""
        return self.rotation.status is not RotationStatus.PENDING


class Lane:
    """A secret whose user is ``name`` in the target database.

    Args:
        keyturn: Its server.
        target: The database whose password is rotated.
        name: Of user, secret and function.
        port: Where the secret says that the database is, if that is a proxy's.
    """

    def __init__(self, keyturn: Keyturn, target: PostgresqlServer, name: str, port: int = 0) -> None:
        self.keyturn, self.target, self.name = keyturn, target, name
        self._port = port or target.port
        self.first_password = f"first-{name}"
        self.secret_arn = self._function_arn = ""

    def create(self, gate: Gate, *, timeout_seconds: int = 30) -> None:
        """Make user, secret and function, on a server that runs."""
        self.target.create_user(self.name, self.first_password)
        value = {**self.target.secret_value(self.name, self.first_password), "ssl": False, "port": self._port}
        self.secret_arn = self._secrets.create_secret(Name=self.name, SecretString=json.dumps(value))["ARN"]
        functions = self.keyturn.client("lambda")
        self._function_arn = functions.create_function(
            FunctionName=self.name,
            Runtime=f"python{sys.version_info.major}.{sys.version_info.minor}",
            Role=_role(self.keyturn),
            Handler="gated.lambda_handler",
            Code={"ZipFile": _package()},
            Timeout=timeout_seconds,
            MemorySize=256,
            Environment={"Variables": {"SWEEP_PORT": str(gate.port)}},
        )["FunctionArn"]
        functions.add_permission(
            FunctionName=self.name,
            Principal="secretsmanager.amazonaws.com",
            Action="lambda:InvokeFunction",
            StatementId="SecretsManagerAccess",
        )

    @property
    def _secrets(self) -> Any:
        return self.keyturn.client("secretsmanager")

    def reset_user(self) -> None:
        """Give the database user its first password again."""
        self.target.run(f"ALTER ROLE {self.name} PASSWORD '{self.first_password}'")

    def rotate(self, token: str) -> bool:
        """Ask for a rotation, once, and return whether that was acknowledged."""
        try:
            self._secrets.rotate_secret(
                SecretId=self.secret_arn,
                ClientRequestToken=token,
                RotationLambdaARN=self._function_arn,
                RotationRules={"AutomaticallyAfterDays": 30},
            )
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
                raise
            return False
        except BotoCoreError:
            return False
        return True

    def version(self, stage: str) -> Version:
        """Read a version by its label, as an application does."""
        reply = self._secrets.get_secret_value(SecretId=self.secret_arn, VersionStage=stage)
        return Version(reply["VersionId"], reply["SecretString"], tuple(reply["VersionStages"]))

    def value_of(self, version_id: str) -> str:
        """Read a version by its id."""
        reply = self._secrets.get_secret_value(SecretId=self.secret_arn, VersionId=version_id)
        return str(reply["SecretString"])

    def accepts(self, version: Version) -> bool:
        """Log in to the real database with a stored value."""
        return self.target.accepts(self.name, version.password)

    # What only somebody on the server's machine sees: past the server, so that looking disturbs nothing.

    @contextmanager
    def stores(self) -> Iterator[Stores]:
        """Open the databases for reading."""
        stores = Stores.open(self.keyturn.settings.state_url, read_only=True)
        try:
            yield stores
        finally:
            stores.close()

    def seen(self, stores: Stores, token: str) -> Seen | None:
        """Look at a rotation; None if there is none, or if the database is away."""
        try:
            with stores.state.read() as connection:
                secret = secrets.load_secret(connection, self.secret_arn)
                found = secret and rotations.load_rotation(connection, secret.secret_id, token)
                return Seen(found, rotations.load_steps(connection, found.rotation_id)) if found else None
        except KeyturnError:
            return None

    def wait_for_end(self, token: str, seconds: float) -> Seen | None:
        """Wait until a rotation has ended, and return what there is of it, ended or not."""
        deadline = time.monotonic() + seconds
        with self.stores() as stores:
            while True:
                seen = self.seen(stores, token)
                if (seen and seen.has_ended) or time.monotonic() > deadline:
                    return seen
                time.sleep(_POLL_SECONDS)

    def told(self, token: str) -> list[str]:
        """Return the names of the events about a rotation, in order."""
        request_id = rotation_request_id(self.secret_arn, token)
        with self.stores() as stores, stores.journal.read() as connection:
            records = [chained.record for chained in records_after(connection, 0, _ALL_RECORDS)]
        return [record.event_name for record in records if record.request_id == request_id]


def _role(keyturn: Keyturn) -> str:
    """Make the execution role, unless it is there."""
    iam = keyturn.client("iam")
    try:
        arn: str = iam.get_role(RoleName=_ROLE)["Role"]["Arn"]
    except iam.exceptions.NoSuchEntityException:
        arn = iam.create_role(RoleName=_ROLE, AssumeRolePolicyDocument=_document(_TRUST))["Role"]["Arn"]
        allow = {"Effect": "Allow", "Action": [f"secretsmanager:{action}" for action in _ACTIONS], "Resource": "*"}
        iam.put_role_policy(RoleName=_ROLE, PolicyName="rotate", PolicyDocument=_document(allow))
    return arn


def _document(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@functools.cache
def _package() -> bytes:
    buffer = io.BytesIO(package.build("postgresql", "single_user"))
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.write(_GATED, _GATED.name)
    return buffer.getvalue()
