"""Calls of Secrets Manager on either database, and a scheduler that takes a turn when it is told to."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select

from keyturn.ids import new_version_id
from keyturn.operations import registry
from keyturn.operations.accesses import Accesses
from keyturn.operations.kit import Kit
from keyturn.rules.lanes import Limits
from keyturn.scheduler.worker import Scheduler
from keyturn.storage import schema, secret_versions, secrets
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.audit_lookup import Question, lookup
from keyturn.storage.database import Stores
from keyturn.storage.kept import KeptRows
from keyturn.storage.secrets import SecretRecord
from keyturn.testing.handlers import PLACE, HandlerBench

DAY = timedelta(days=1)

_TABLES = (
    schema.secrets,
    schema.secret_versions,
    schema.staging_labels,
    schema.rotations,
    schema.rotation_steps,
)


class Desk:
    """Calls, and a scheduler that takes a turn when it is told to."""

    def __init__(self, stores: Stores) -> None:
        registry.discover()
        self.bench = HandlerBench(stores)
        self.woken = 0
        self.bench.kit = replace(self.bench.kit, accesses=Accesses(), random=_Middle(), wake_scheduler=self._wake)

    @property
    def kit(self) -> Kit:
        return self.bench.kit

    def _wake(self) -> None:
        self.woken += 1

    def call(self, name: str, **request: Any) -> Any:
        return self.bench.call("secretsmanager", name, **request)

    def create(self, name: str = "db", values: int = 2, apart: timedelta = timedelta()) -> str:
        """A secret with as many versions, made one after the other; the last is current, and all were read."""
        token = new_version_id()
        arn: str = self.call("CreateSecret", Name=name, SecretString=f"{name} 0", ClientRequestToken=token)["ARN"]
        for number in range(1, values):
            self.bench.clock.advance(apart)
            self.call(
                "PutSecretValue", SecretId=name, SecretString=f"{name} {number}", ClientRequestToken=new_version_id()
            )
        for version in self.call("ListSecretVersionIds", SecretId=name, IncludeDeprecated=True)["Versions"]:
            self.call("GetSecretValue", SecretId=name, VersionId=version["VersionId"])
        return arn

    def record(self, arn: str) -> SecretRecord:
        with self.kit.state.read() as connection:
            found = secrets.load_secret(connection, arn)
        assert found is not None
        return found

    def sealed(self, arn: str) -> dict[str, bytes]:
        """The sealed values of a secret as they are in the database."""
        with self.kit.state.read() as connection:
            versions = secret_versions.load_versions(connection, self.record(arn).secret_id)
        return {version.version_id: version.sealed for version in versions if version.sealed}

    def turn(self) -> timedelta:
        """One turn of the scheduler."""
        return Scheduler(self.kit, Limits(16, 8, 4)).run_once()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Service events of one name, oldest first."""
        with self.kit.journal.read() as connection:
            found = lookup(connection, Question(PLACE, ("event_name", name)), 10_000)
        return [json.loads(stored.record.event) for stored in reversed(found)]

    def told(self, name: str) -> list[tuple[str, str]]:
        """Secret and version of those events."""
        return [
            (event["additionalEventData"]["SecretId"], event["additionalEventData"]["SecretVersionId"])
            for event in self.events(name)
        ]

    def rows(self) -> dict[str, int]:
        """How many rows there are of secrets and of all that belongs to them."""
        with self.kit.state.read() as connection:
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in _TABLES
            }

    def restarted(self, stores: Stores) -> None:
        """Go on as another process would, that has nothing but the database and the root key."""
        self.bench.kept = KeptRows(stores.state)
        self.bench.kit = replace(
            self.kit,
            state=stores.state,
            journal=stores.journal,
            audit_log=AuditLog(stores.journal, self.kit.audit_log.key),
            kept=self.bench.kept,
            accesses=Accesses(),
        )


class _Middle:
    def randbelow(self, bound: int) -> int:
        return bound // 2
