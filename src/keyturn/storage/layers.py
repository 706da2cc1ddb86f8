"""Lambda layers: their versions, which never change, and what a function keeps of those that it has.

A function's row says of each of its layers all that is needed to run it. So nothing is taken from a function when a
layer version that it has is deleted, and a version of a function keeps its layers as it keeps everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql

from keyturn.arn import Place
from keyturn.storage import functions, schema
from keyturn.storage.database import Transaction
from keyturn.storage.functions import AttachedLayer

_layers, _versions = schema.layers, schema.layer_versions


@dataclass(frozen=True, slots=True)
class LayerVersionRecord:
    """A version of a layer as stored.

    Attributes:
        architectures: What is said to run it; None if that was not said. The same for ``runtimes``.
        code_sha256: Names the package, see :func:`keyturn.storage.functions.store_package`.
        statements: Of its resource-based policy, oldest first: pairs of id and JSON text.
    """

    layer_arn: str
    version: int
    description: str
    license_info: str | None
    architectures: Sequence[str] | None
    runtimes: Sequence[str] | None
    code_sha256: str
    code_size_bytes: int
    unzipped_size_bytes: int
    created_at: datetime
    statements: Sequence[Sequence[str]]
    revision_id: str

    @property
    def arn(self) -> str:
        """ARN of the layer version."""
        return f"{self.layer_arn}:{self.version}"

    @property
    def attached(self) -> AttachedLayer:
        """What a function keeps of it."""
        return {
            "arn": self.arn,
            "code_sha256": self.code_sha256,
            "code_size_bytes": self.code_size_bytes,
            "unzipped_size_bytes": self.unzipped_size_bytes,
        }


# The first version makes the layer. ON CONFLICT is spelled alike by both databases; without saying of what it waits for
# whoever makes the same layer, by its ARN or by its name: DO UPDATE may stumble over the one that it does not name.
_MAKE = postgresql.insert(_layers).values(last_version=0).on_conflict_do_nothing()
_NEXT_VERSION = (
    update(_layers)
    .where(_layers.c.arn == bindparam("layer_arn"))
    .values(last_version=_layers.c.last_version + 1)
    .returning(_layers.c.last_version)
)
_VERSION = select(_versions).where(
    _versions.c.layer_arn == bindparam("layer_arn"), _versions.c.version == bindparam("version")
)
_LOCK_VERSION = _VERSION.with_for_update()
_VERSIONS_OF = (
    select(_versions).where(_versions.c.layer_arn == bindparam("layer_arn")).order_by(_versions.c.version.desc())
)
_ALL_VERSIONS = (
    select(_versions)
    .join(_layers)
    .where(_layers.c.account_id == bindparam("account_id"), _layers.c.region == bindparam("region"))
    .order_by(_layers.c.name, _versions.c.version.desc())
)


def next_version(transaction: Transaction, place: Place, name: str) -> int:
    """Return the number of a layer's next version, which nobody else gets."""
    arn = place.layer_arn(name)
    transaction.connection.execute(_MAKE, {"arn": arn, "name": name, **schema.owner_of(place)})
    number: int = transaction.connection.execute(_NEXT_VERSION, {"layer_arn": arn}).scalar_one()
    return number


def insert_version(transaction: Transaction, record: LayerVersionRecord) -> None:
    """Store a version of a layer, whose package is stored and whose number was just given."""
    transaction.connection.execute(
        insert(_versions), {field.name: getattr(record, field.name) for field in fields(record)}
    )


def load_version(connection: Connection, layer_arn: str, version: int) -> LayerVersionRecord | None:
    """Return a version of a layer, or None."""
    row = connection.execute(_VERSION, {"layer_arn": layer_arn, "version": version}).one_or_none()
    return None if row is None else _version(row)


def lock_version(transaction: Transaction, layer_arn: str, version: int) -> LayerVersionRecord | None:
    """Return a version of a layer as it is now, which stays so until the transaction ends."""
    row = transaction.connection.execute(_LOCK_VERSION, {"layer_arn": layer_arn, "version": version}).one_or_none()
    return None if row is None else _version(row)


def list_versions(connection: Connection, layer_arn: str) -> list[LayerVersionRecord]:
    """Return the versions of a layer, newest first."""
    return [_version(row) for row in connection.execute(_VERSIONS_OF, {"layer_arn": layer_arn})]


def list_layers(connection: Connection, place: Place) -> list[LayerVersionRecord]:
    """Return every version of every layer of an account's region: layers by name, of each the newest version first."""
    return [_version(row) for row in connection.execute(_ALL_VERSIONS, schema.owner_of(place))]


def update_statements(
    transaction: Transaction, record: LayerVersionRecord, statements: Sequence[Sequence[str]], revision_id: str
) -> None:
    """Replace the policy of a layer version that is locked; nothing else of it can change."""
    values = {"statements": [list(statement) for statement in statements], "revision_id": revision_id}
    transaction.connection.execute(update(_versions).where(_is(record)), values)


def delete_version(transaction: Transaction, record: LayerVersionRecord) -> None:
    """Remove a version of a layer, and its package if no function has it either."""
    transaction.connection.execute(delete(_versions).where(_is(record)))
    functions.drop_if_unused(transaction, record.code_sha256)


def _is(record: LayerVersionRecord) -> Any:
    return (_versions.c.layer_arn == record.layer_arn) & (_versions.c.version == record.version)


def _version(row: Row[Any]) -> LayerVersionRecord:
    return LayerVersionRecord(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
