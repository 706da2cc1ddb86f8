"""EC2's networks: VPCs, subnets, route tables and whatever else has an id, each as a document.

A document is what EC2 describes, member by member; moments in it are ISO 8601. What one object says about another it
says by its id, so nothing here knows what the kinds are. Whoever changes something of an account's region holds its
lock, so that what was read before (addresses that are free, whether something is used) still holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select
from sqlalchemy.dialects import postgresql

from keyturn.arn import Place
from keyturn.storage import schema
from keyturn.storage.database import Database, Transaction

NETWORK = "network"
"""What the networks of an account's region are kept under; see :func:`subject_of`."""

Document = Mapping[str, Any]

_objects = schema.network_objects


@dataclass(frozen=True, slots=True)
class NetworkObject:
    """One object as stored.

    Attributes:
        kind: EC2's resource type, for instance ``route-table``; or what else a document is of.
        vpc_id: Whose it is; None if it is of no VPC, or of none at the moment.
        body: As EC2 describes it.
    """

    account_id: str
    region: str
    kind: str
    object_id: str
    vpc_id: str | None
    body: Document
    created_at: datetime


# ON CONFLICT is spelled alike by both databases; SQLAlchemy's construct of PostgreSQL compiles for SQLite too.
_INSERT = postgresql.insert(_objects)
_PUT = _INSERT.on_conflict_do_update(
    index_elements=list(_objects.primary_key),
    set_={"vpc_id": _INSERT.excluded.vpc_id, "body": _INSERT.excluded.body},
)
_HERE = (_objects.c.account_id == bindparam("account_id"), _objects.c.region == bindparam("region"))
_OF_KIND = (
    select(_objects)
    .where(*_HERE, _objects.c.kind == bindparam("kind"))
    .order_by(_objects.c.created_at, _objects.c.object_id)
)
_ONE = _OF_KIND.where(_objects.c.object_id == bindparam("object_id"))
_OF_VPC = (
    select(_objects)
    .where(*_HERE, _objects.c.vpc_id == bindparam("vpc_id"))
    .order_by(_objects.c.created_at, _objects.c.object_id)
)
_DELETE = delete(_objects).where(
    *_HERE, _objects.c.kind == bindparam("kind"), _objects.c.object_id == bindparam("object_id")
)


def lock_networks(database: Database, transaction: Transaction, place: Place) -> None:
    """Keep others from changing the networks of an account's region until the transaction ends."""
    database.dialect.lock_name(transaction.connection, f"network {subject_of(place)}")


def load_object(connection: Connection, place: Place, kind: str, object_id: str) -> NetworkObject | None:
    """Return one object, or None."""
    parameters = {**schema.owner_of(place), "kind": kind, "object_id": object_id}
    row = connection.execute(_ONE, parameters).one_or_none()
    return None if row is None else _object(row)


def list_objects(connection: Connection, place: Place, kind: str) -> list[NetworkObject]:
    """Return the objects of a kind, oldest first."""
    return [_object(row) for row in connection.execute(_OF_KIND, {**schema.owner_of(place), "kind": kind})]


def list_objects_of_vpc(connection: Connection, place: Place, vpc_id: str) -> list[NetworkObject]:
    """Return the objects of all kinds that are of a VPC, oldest first."""
    return [_object(row) for row in connection.execute(_OF_VPC, {**schema.owner_of(place), "vpc_id": vpc_id})]


def put_object(transaction: Transaction, record: NetworkObject) -> None:
    """Store an object, or replace what is stored of it; when it was made stays."""
    values = {column.name: getattr(record, column.name) for column in _objects.columns}
    transaction.connection.execute(_PUT, {**values, "body": dict(record.body)})
    _touch(transaction, record)


def delete_object(transaction: Transaction, record: NetworkObject) -> None:
    """Remove an object."""
    parameters = {name: getattr(record, name) for name in ("account_id", "region", "kind", "object_id")}
    transaction.connection.execute(_DELETE, parameters)
    _touch(transaction, record)


def subject_of(place: Place) -> str:
    """Return what is kept of the networks of an account's region depends on, beside :data:`NETWORK`."""
    return f"{place.account_id} {place.region}"


def _touch(transaction: Transaction, record: NetworkObject) -> None:
    transaction.touch(NETWORK, f"{record.account_id} {record.region}")


def _object(row: Row[Any]) -> NetworkObject:
    return NetworkObject(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
