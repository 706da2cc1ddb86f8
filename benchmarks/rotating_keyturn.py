"""Keyturn with secrets that are all planned into one window, and the real functions that rotate them."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.keyturn_server import KeyturnServer, data_of, init, serving
from benchmarks.processes import machine_cpu_seconds
from benchmarks.rotating_databases import Databases, Role, accepts
from benchmarks.stored_secrets import NewSecret, opened, store_secrets

from keyturn.clock import to_milliseconds
from keyturn.config import CONFIG_FILE, DATABASE_FILE
from keyturn.errors.base import KeyturnError
from keyturn.rotators import package
from keyturn.rules.lanes import Limits
from keyturn.rules.rotation import ROTATION
from keyturn.storage.rotations import UNFINISHED, RotationStatus

_ROLE = "rotate-postgresql-role"
_TRUST_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}
# As AWS's guide lists them for a rotation function.
_ACTIONS = ["DescribeSecret", "GetRandomPassword", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"]
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": [f"secretsmanager:{each}" for each in _ACTIONS], "Resource": "*"}],
}
# AWS's shortest window. The schedule's own hour does not matter: the moments are set before each run.
_RULES = {"ScheduleExpression": "cron(0 3 ? * SUN *)", "Duration": "1h"}
_WINDOW = timedelta(hours=1)
_UNTIL_IT_OPENS = timedelta(seconds=6)
_LOOK_SECONDS = 1.0
_MOST_ENVIRONMENTS = 64
_BATCH = 20
_CHECKING_THREADS = 2


@dataclass(frozen=True, slots=True)
class Window:
    """How the rotations of one window went.

    Attributes:
        limits: How many may run at once: in total, for a function, for a database.
        planned: How many were planned into the window.
        seconds: From its opening to the end of the last rotation, or to when the measurement was stopped.
        ended: How many, by status; those that were not reached are ``pending``, or not there at all.
        steady_per_minute: The rate between a tenth and nine tenths of what was done.
        retried: How many of them took more than one attempt.
        step_ms: Median and 99th percentile of each step's duration.
        cpu_ms: Processor time for one rotation, by whose it is.
        others_percent: Share of the machine that went to nobody of these.
        resident_mb: Memory of the server's process at the end.
    """

    limits: Limits
    planned: int
    seconds: float
    ended: Mapping[str, int]
    steady_per_minute: float
    retried: int
    step_ms: Mapping[str, tuple[float, float]]
    cpu_ms: Mapping[str, float]
    others_percent: float
    resident_mb: float

    @property
    def succeeded(self) -> int:
        """How many have."""
        return self.ended.get(RotationStatus.SUCCEEDED, 0)

    @property
    def per_minute(self) -> float:
        """Successful rotations a minute, the start of the functions included."""
        return self.succeeded / self.seconds * 60


class RotatingKeyturn:
    """A Keyturn with a secret for each role.

    Args:
        directory: For all its files.
        over: The databases.
        functions: How many functions the secrets take turns with.
    """

    def __init__(self, directory: Path, over: Databases, functions: int) -> None:
        self._directory = directory
        self._over = over
        self._administrator = init(directory)
        self._database = data_of(directory) / DATABASE_FILE
        self._roles = {_name(role): role for role in over.roles}
        with serving(directory, self._administrator) as server:
            arns = _create_functions(server, functions)
        with opened(data_of(directory)) as (kit, place):
            store_secrets(kit, place, self._secrets(arns), created_at=kit.clock.now() - timedelta(days=7))

    def rotate_all(self, limits: Limits, most_seconds: float) -> Window:
        """Plan all secrets into a window that opens at once, and watch them rotate.

        Args:
            limits: How many may run at once.
            most_seconds: When the measurement is stopped, done or not.
        """
        self._set(limits)
        last_before, opens_at = self._plan_all()
        with serving(self._directory, self._administrator, seconds=60) as server:
            _sleep_until(opens_at)
            cpu = _Cpu(server, self._over)
            while True:
                time.sleep(_LOOK_SECONDS)
                done = self._count(last_before, "status NOT IN (?, ?)", *UNFINISHED)
                if done == len(self._roles) or datetime.now(UTC) > opens_at + timedelta(seconds=most_seconds):
                    break
            used, others_percent = cpu.since(done)
            resident_mb = server.process.resident_bytes() / 1e6
            return self._window(limits, last_before, opens_at, used, others_percent, resident_mb)

    def check(self, count: int) -> int:
        """Log in with the current values of so many secrets, evenly chosen.

        Returns:
            How many were checked.

        Raises:
            KeyturnError: A database refuses one of them.
        """
        names = list(self._roles)[:: max(1, len(self._roles) // count)]
        with serving(self._directory, self._administrator, seconds=60) as server:
            client = server.client("secretsmanager")

            def check(batch: Sequence[str]) -> int:
                for answered in client.batch_get_secret_value(SecretIdList=list(batch))["SecretValues"]:
                    value = json.loads(answered["SecretString"])
                    if not accepts(self._roles[answered["Name"]], value["password"]):
                        raise KeyturnError(f"The database refuses the current value of {answered['Name']}.")
                return len(batch)

            batches = [names[begin : begin + _BATCH] for begin in range(0, len(names), _BATCH)]
            with ThreadPoolExecutor(_CHECKING_THREADS) as threads:
                return sum(threads.map(check, batches))

    def _secrets(self, function_arns: Sequence[str]) -> Iterator[NewSecret]:
        for number, (name, role) in enumerate(self._roles.items()):
            value = {**role.server.secret_value(role.name, self._over.password), "ssl": False}
            function_arn = function_arns[number % len(function_arns)]
            yield NewSecret(name, value, function_arn, _RULES, next_rotation_at=None, closes_at=None)

    def _set(self, limits: Limits) -> None:
        lines = {
            "rotations_at_once": limits.total,
            "rotations_per_function": limits.per_function,
            "rotations_per_database": limits.per_database,
            "max_environments": _MOST_ENVIRONMENTS,
            "log_level": '"warning"',
        }
        path = data_of(self._directory) / CONFIG_FILE
        path.write_text("".join(f"{name} = {value}\n" for name, value in lines.items()))

    def _plan_all(self) -> tuple[int, datetime]:
        """Return the last rotation so far, and when the window opens; no server is running."""
        opens_at = datetime.now(UTC) + _UNTIL_IT_OPENS
        with closing(sqlite3.connect(self._database)) as connection, connection:
            connection.execute(
                "UPDATE secrets SET next_rotation_at = ?, next_rotation_closes_at = ?",
                (to_milliseconds(opens_at), to_milliseconds(opens_at + _WINDOW)),
            )
            last = connection.execute("SELECT coalesce(max(rotation_id), 0) FROM rotations").fetchone()[0]
        return last, opens_at

    def _count(self, last_before: int, condition: str, *values: str) -> int:
        return int(
            self._ask(f"SELECT count(*) FROM rotations WHERE rotation_id > ? AND {condition}", last_before, *values)[0][
                0
            ]
        )

    def _ask(self, statement: str, *values: object) -> list[Any]:
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(statement, values).fetchall()

    def _window(
        self,
        limits: Limits,
        last_before: int,
        opens_at: datetime,
        cpu_ms: Mapping[str, float],
        others_percent: float,
        resident_mb: float,
    ) -> Window:
        rows = self._ask("SELECT status, ended_at, attempt FROM rotations WHERE rotation_id > ?", last_before)
        ended = dict(Counter(status for status, _, _ in rows))
        moments = sorted(at for status, at, _ in rows if status == RotationStatus.SUCCEEDED)
        if not moments:
            raise KeyturnError(f"No rotation has succeeded: {dict(ended)}")
        steady = moments[len(moments) // 10 : max(len(moments) * 9 // 10, 2)]
        steps = self._ask(
            "SELECT step, ended_at - started_at FROM rotation_steps WHERE rotation_id > ? AND ended_at IS NOT NULL",
            last_before,
        )
        took = {step.value: [ms for name, ms in steps if name == step.value] for step in ROTATION.steps}
        return Window(
            limits=limits,
            planned=len(self._roles),
            seconds=(moments[-1] - to_milliseconds(opens_at)) / 1000,
            ended=ended,
            steady_per_minute=(len(steady) - 1) / max(steady[-1] - steady[0], 1) * 60_000,
            retried=sum(attempt > 1 for _, _, attempt in rows),
            step_ms={name: (median(ms), quantiles(ms, n=100)[98]) for name, ms in took.items() if len(ms) > 1},
            cpu_ms=cpu_ms,
            others_percent=others_percent,
            resident_mb=resident_mb,
        )


class _Cpu:
    """Whose processor time a rotation takes."""

    def __init__(self, server: KeyturnServer, over: Databases) -> None:
        self._server = server
        self._over = over
        self._before, self._machine_before, self._started_at = self._now(), machine_cpu_seconds(), time.monotonic()

    def since(self, rotations: int) -> tuple[dict[str, float], float]:
        """Return milliseconds for one rotation, and the percentage of the machine that went to others."""
        used = {name: seconds - self._before[name] for name, seconds in self._now().items()}
        others = machine_cpu_seconds() - self._machine_before - sum(used.values())
        available = (time.monotonic() - self._started_at) * (os.cpu_count() or 1)
        per_rotation = {name: seconds / max(rotations, 1) * 1000 for name, seconds in used.items()}
        return per_rotation, max(others, 0) / available * 100

    def _now(self) -> dict[str, float]:
        server = self._server.process.own_cpu_seconds()
        return {
            "server": server,
            "functions": self._server.process.cpu_seconds() - server,
            "databases": self._over.cpu_seconds(),
        }


def _create_functions(server: KeyturnServer, count: int) -> list[str]:
    iam, lambda_ = server.client("iam"), server.client("lambda")
    role = iam.create_role(RoleName=_ROLE, AssumeRolePolicyDocument=json.dumps(_TRUST_POLICY))["Role"]
    iam.put_role_policy(RoleName=_ROLE, PolicyName="RotateSecrets", PolicyDocument=json.dumps(_POLICY))
    arns = []
    for number in range(count):
        function = lambda_.create_function(
            FunctionName=f"rotate-postgresql-{number}",
            Runtime=f"python{sys.version_info.major}.{sys.version_info.minor}",
            Role=role["Arn"],
            Handler=package.handler_name("postgresql", "single_user"),
            Code={"ZipFile": package.build("postgresql", "single_user")},
            Timeout=30,
            MemorySize=256,
        )
        lambda_.add_permission(
            FunctionName=function["FunctionArn"],
            Principal="secretsmanager.amazonaws.com",
            Action="lambda:InvokeFunction",
            StatementId="SecretsManagerAccess",
        )
        arns.append(function["FunctionArn"])
    return arns


def _name(role: Role) -> str:
    return f"rotating/{role.server.port}/{role.name}"


def _sleep_until(moment: datetime) -> None:
    time.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))
