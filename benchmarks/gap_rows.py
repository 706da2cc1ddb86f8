"""What is compared: rotation functions, each with a user, a secret and a function of its own, on one Keyturn."""

from __future__ import annotations

import io
import json
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.keyturn_server import KeyturnServer

from keyturn.errors.base import KeyturnError
from keyturn.rotators import package
from keyturn.testing.mariadb import MariadbServer
from keyturn.testing.postgresql import PostgresqlServer

_ROLE = "rotation"
_TRUST_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}
_ACTIONS = ["DescribeSecret", "GetRandomPassword", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"]
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": [f"secretsmanager:{each}" for each in _ACTIONS], "Resource": "*"}],
}
_FIRST_PASSWORD = "the first password"
_DEADLINE_SECONDS = 30
_LOOK_SECONDS = 0.01
_HANDLER = "lambda_function.lambda_handler"


@dataclass(frozen=True, slots=True)
class Row:
    """One rotation function and what it rotates.

    Attributes:
        name: For people.
        secret: Name of its secret, and of its function.
        engine: ``postgresql`` or ``mariadb``.
        alternates: Whether two users take turns.
        folder: Of AWS's function below the checkout of the samples; None if it is Keyturn's own.
    """

    name: str
    secret: str
    engine: str
    alternates: bool
    folder: str | None = None

    @property
    def is_current_once_set(self) -> bool:
        """Whether setSecret moves AWSCURRENT, and not finishSecret."""
        return self.folder is None and not self.alternates


OWN = (
    Row("Keyturn, PostgreSQL, single user", "own_pg_single", "postgresql", alternates=False),
    Row("Keyturn, PostgreSQL, alternating users", "own_pg_two", "postgresql", alternates=True),
    Row("Keyturn, MariaDB, single user", "own_maria_one", "mariadb", alternates=False),
    Row("Keyturn, MariaDB, alternating users", "own_maria_two", "mariadb", alternates=True),
)
AWS = (
    Row(
        "AWS's sample, PostgreSQL, single user",
        "aws_pg_single",
        "postgresql",
        alternates=False,
        folder="SecretsManagerRDSPostgreSQLRotationSingleUser",
    ),
    Row(
        "AWS's sample, PostgreSQL, multi user",
        "aws_pg_multi",
        "postgresql",
        alternates=True,
        folder="SecretsManagerRDSPostgreSQLRotationMultiUser",
    ),
)


class Prepared:
    """The rows' users, secrets and functions.

    Args:
        server: Keyturn.
        postgresql: The one database.
        mariadb: The other.
        samples: Checkout of AWS's samples; None without.
        layer: Archive of a layer with their driver.
        only: What the names of the rows have in common; empty for all.
    """

    def __init__(
        self,
        server: KeyturnServer,
        postgresql: PostgresqlServer,
        mariadb: MariadbServer,
        samples: Path | None,
        layer: Path | None,
        only: str,
    ) -> None:
        self._server = server
        self._databases: dict[str, PostgresqlServer | MariadbServer] = {"postgresql": postgresql, "mariadb": mariadb}
        self._secrets = server.client("secretsmanager")
        self._lambda, self._keyturn = server.client("lambda"), server.client("keyturn")
        self._samples = samples
        iam = server.client("iam")
        self._role = iam.create_role(RoleName=_ROLE, AssumeRolePolicyDocument=json.dumps(_TRUST_POLICY))["Role"]["Arn"]
        iam.put_role_policy(RoleName=_ROLE, PolicyName="rotate", PolicyDocument=json.dumps(_POLICY))
        self._superusers = {
            engine: self._secrets.create_secret(
                Name=f"superuser-{engine}", SecretString=json.dumps({**database.superuser_value(), "ssl": False})
            )["ARN"]
            for engine, database in self._databases.items()
        }
        self._layers: list[str] = []
        if layer is not None:
            content = {"ZipFile": layer.read_bytes()}
            self._layers = [self._lambda.publish_layer_version(LayerName="driver", Content=content)["LayerVersionArn"]]
        known = (*OWN, *(AWS if samples is not None else ()))
        self.rows: Sequence[Row] = [row for row in known if only in row.name]
        for row in self.rows:
            self._prepare(row)

    def rotate(self, row: Row) -> str:
        """Ask for a rotation and return the id of the version that it makes."""
        version_id: str = self._secrets.rotate_secret(SecretId=row.secret)["VersionId"]
        return version_id

    def wait(self, row: Row, version_id: str) -> None:
        """Wait for a rotation's success, which is some milliseconds after its version became the current one.

        Raises:
            KeyturnError: It does not come.
        """
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while True:
            [newest] = self._keyturn.list_rotations(SecretId=row.secret, MaxResults=1)["Rotations"]
            if newest["VersionId"] == version_id and newest["Status"] == "succeeded":
                return
            if time.monotonic() > deadline:
                raise KeyturnError(f"A rotation of {row.secret} does not end: {newest}")
            time.sleep(_LOOK_SECONDS)

    def _prepare(self, row: Row) -> None:
        database = self._databases[row.engine]
        database.create_user(row.secret, _FIRST_PASSWORD)
        value = {**database.secret_value(row.secret, _FIRST_PASSWORD), "ssl": False}
        if row.alternates:
            value["masterarn"] = self._superusers[row.engine]
        self._secrets.create_secret(Name=row.secret, SecretString=json.dumps(value))
        function = self._lambda.create_function(
            FunctionName=row.secret,
            Runtime=f"python{sys.version_info.major}.{sys.version_info.minor}",
            Role=self._role,
            Timeout=30,
            MemorySize=256,
            **self._code(row),
        )["FunctionArn"]
        self._lambda.add_permission(
            FunctionName=function,
            Principal="secretsmanager.amazonaws.com",
            Action="lambda:InvokeFunction",
            StatementId="SecretsManagerAccess",
        )
        # The first one starts the function's process, and makes the second user.
        rules = {"AutomaticallyAfterDays": 365}
        started = self._secrets.rotate_secret(SecretId=row.secret, RotationLambdaARN=function, RotationRules=rules)
        self.wait(row, started["VersionId"])

    def _code(self, row: Row) -> dict[str, Any]:
        if row.folder is None or self._samples is None:
            strategy = "alternating_users" if row.alternates else "single_user"
            code = package.build(row.engine, strategy)
            return {"Handler": package.handler_name(row.engine, strategy), "Code": {"ZipFile": code}}
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.write(self._samples / row.folder / "lambda_function.py", "lambda_function.py")
        return {"Handler": _HANDLER, "Code": {"ZipFile": buffer.getvalue()}, "Layers": self._layers}
