"""Many secrets at once, written into the tables as the product would: its schema, keys and envelopes, no API calls.

What is stored can be read, rotated and listed like anything else. Several thousand are one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, func, insert, select

from keyturn import ids
from keyturn.app import Server
from keyturn.arn import Place
from keyturn.config import load_settings
from keyturn.crypto.keyring import MaterialId
from keyturn.operations.kit import Kit
from keyturn.operations.kms.default_key import default_key
from keyturn.operations.sealing import seal_value
from keyturn.rules.rotation import ROTATION
from keyturn.rules.staging import AWSCURRENT, AWSPREVIOUS
from keyturn.storage import schema
from keyturn.storage.database import Database
from keyturn.storage.rotations import RotationKind, RotationStatus

_AT_ONCE = 5_000
_STEP_TIME = timedelta(milliseconds=100)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret as it is to be stored.

    Attributes:
        value: What its current version holds.
        function_arn: Which function rotates it.
        rules: RotationRules as sent.
        next_rotation_at: When it rotates next; None if nothing is planned.
        closes_at: When that window ends.
        rotated_at: When it has rotated, earliest first: its history. Its newest versions are of these.
    """

    name: str
    value: Mapping[str, Any]
    function_arn: str
    rules: Mapping[str, Any]
    next_rotation_at: datetime | None
    closes_at: datetime | None
    rotated_at: tuple[datetime, ...] = ()


@contextmanager
def opened(data: Path, database_url: str = "") -> Iterator[tuple[Kit, Place]]:
    """Open an initialised Keyturn in this process: no socket, and a scheduler that does nothing."""
    settings = load_settings({"data_dir": data, "database_url": database_url or None, "preflight": False}, {})
    with Server.open(settings) as server:
        server.scheduler.stop()
        server.scheduler.join()
        yield server.kit, settings.place


def store_secrets(kit: Kit, place: Place, secrets: Iterable[NewSecret], *, created_at: datetime) -> None:
    """Store secrets of an account's region, with their versions, labels and history."""
    with kit.state.write() as transaction:
        key = default_key(kit, transaction, place, created_at)
        numbers = {
            table: transaction.connection.execute(select(func.coalesce(func.max(column), 0))).scalar_one()
            for table, column in (
                (schema.secrets, schema.secrets.c.secret_id),
                (schema.rotations, schema.rotations.c.rotation_id),
            )
        }
    rows = _Rows(kit, place, MaterialId(key.key_id, key.material_number), created_at, *numbers.values())
    remaining = iter(secrets)
    with _quick_connection(kit.state) as connection:
        while batch := list(islice(remaining, _AT_ONCE)):
            for secret in batch:
                rows.add(secret)
            with connection.begin():
                for table, listed in rows.tables.items():
                    if listed:
                        connection.execute(insert(schema.state.tables[table]), listed)
                        listed.clear()
        if not kit.state.dialect.is_embedded:
            with connection.begin():
                _number_on(connection, schema.secrets.c.secret_id, schema.rotations.c.rotation_id)


def _number_on(connection: Connection, *columns: Column[int]) -> None:
    """Have PostgreSQL number further rows behind those that brought their own numbers."""
    for column in columns:
        sequence = func.pg_get_serial_sequence(column.table.name, column.name)
        connection.execute(select(func.setval(sequence, select(func.max(column)).scalar_subquery())))


@contextmanager
def _quick_connection(state: Database) -> Iterator[Connection]:
    """A connection on which many rows in no order are stored quickly, if nothing goes wrong meanwhile."""
    with state.engine.connect() as connection:
        if state.dialect.is_embedded:
            driver: Any = connection.connection.driver_connection
            connection.detach()
            for pragma in ("synchronous=OFF", "cache_size=-1000000", "wal_autocheckpoint=100000"):
                driver.execute(f"PRAGMA {pragma}")
        yield connection


class _Rows:
    """Makes the rows of secrets, with numbers of its own: nobody else writes meanwhile."""

    def __init__(
        self, kit: Kit, place: Place, material_id: MaterialId, created_at: datetime, secret_id: int, rotation_id: int
    ) -> None:
        self._kit = kit
        self._place = place
        self._material_id = material_id
        self._created_at = created_at
        self._secret_id = secret_id
        self._rotation_id = rotation_id
        names = ("secrets", "secret_versions", "staging_labels", "rotations", "rotation_steps")
        self.tables: dict[str, list[Row]] = {name: [] for name in names}

    def add(self, secret: NewSecret) -> None:
        """Make one secret's rows."""
        self._secret_id += 1
        arn = self._place.secret_arn(secret.name, ids.new_arn_suffix())
        last = secret.rotated_at[-1] if secret.rotated_at else None
        self.tables["secrets"].append(
            {
                "secret_id": self._secret_id,
                **schema.owner_of(self._place),
                "arn": arn,
                "name": secret.name,
                "created_at": self._created_at,
                "last_changed_at": last or self._created_at,
                "last_rotated_at": last,
                "rotation_enabled": True,
                "rotation_function_arn": secret.function_arn,
                "rotation_rules": dict(secret.rules),
                "next_rotation_at": secret.next_rotation_at,
                "next_rotation_closes_at": secret.closes_at,
                "rotation_planned_at": None if secret.next_rotation_at is None else last or self._created_at,
            }
        )
        labels = [AWSCURRENT, AWSPREVIOUS][: 1 + bool(secret.rotated_at)]
        moments = [self._created_at, *secret.rotated_at][-2:]
        for label, made_at in zip(labels, reversed(moments), strict=True):
            self._add_version(arn, label, made_at, json.dumps(secret.value).encode())
        for rotated_at in secret.rotated_at:
            self._add_rotation(secret.function_arn, rotated_at)

    def _add_version(self, arn: str, label: str, made_at: datetime, value: bytes) -> None:
        version_id = ids.new_version_id()
        of_version = {"secret_id": self._secret_id, "version_id": version_id}
        sealed = seal_value(self._kit, self._material_id, arn, version_id, value)
        self.tables["secret_versions"].append(
            {**of_version, "created_at": made_at, "sealed": sealed, "is_binary": False}
        )
        self.tables["staging_labels"].append({**of_version, "label": label})

    def _add_rotation(self, function_arn: str, at: datetime) -> None:
        self._rotation_id += 1
        ended_at = at + len(ROTATION.steps) * _STEP_TIME
        self.tables["rotations"].append(
            {
                "rotation_id": self._rotation_id,
                "secret_id": self._secret_id,
                "version_id": ids.new_version_id(),
                "kind": RotationKind.ROTATION,
                "status": RotationStatus.SUCCEEDED,
                "step": ROTATION.steps[-1].value,
                "attempt": 1,
                "requested_at": at,
                "due_at": at,
                "ended_at": ended_at,
                "lease_generation": 1,
                "function_arn": function_arn,
                "database_lane": ids.new_shared_id()[:32],
                "offers_probe": True,
            }
        )
        for position, step in enumerate(ROTATION.steps, start=1):
            self.tables["rotation_steps"].append(
                {
                    "rotation_id": self._rotation_id,
                    "position": position,
                    "attempt": 1,
                    "step": step.value,
                    "request_id": ids.new_request_id(),
                    "started_at": at + (position - 1) * _STEP_TIME,
                    "ended_at": at + position * _STEP_TIME,
                    "outcome": "succeeded",
                }
            )
