"""Grants on KMS keys. They go with their key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select

from keyturn.storage import schema
from keyturn.storage.database import Transaction
from keyturn.storage.kms_keys import KEY

GRANTS = "kms-grants"

_grants, _keys = schema.kms_grants, schema.kms_keys


@dataclass(frozen=True, slots=True)
class GrantRecord:
    """One grant.

    Attributes:
        key_arn: Of its key.
        name: None if it has none; several may have the same.
        issuing_account_id: Whose principal has made it.
        grantee_principal: ARN.
        grantee_unique_id: Of the user or role by that ARN when the grant was made; None for others.
        retiring_principal: ARN, if somebody was named.
        operations: In the order in which they were sent.
        constraints: As on the wire; None without any.
    """

    grant_id: str
    key_id: str
    key_arn: str
    name: str | None
    issuing_account_id: str
    grantee_principal: str
    grantee_unique_id: str | None
    retiring_principal: str | None
    retiring_unique_id: str | None
    operations: tuple[str, ...]
    constraints: Mapping[str, Mapping[str, str]] | None
    created_at: datetime


_ALL = select(_grants, _keys.c.arn.label("key_arn")).join_from(_grants, _keys).order_by(_grants.c.grant_id)
_OF_KEY = _ALL.where(_grants.c.key_id == bindparam("key_id"))
_ONE = _OF_KEY.where(_grants.c.grant_id == bindparam("grant_id"))
_NAMED = _OF_KEY.where(_grants.c.name == bindparam("name"))
_OF_GRANTEE = _OF_KEY.where(_grants.c.grantee_principal == bindparam("grantee_principal"))
_RETIRABLE = _ALL.where(
    _grants.c.retiring_principal == bindparam("retiring_principal"), _keys.c.region == bindparam("region")
)
_COUNT = select(func.count()).where(_grants.c.key_id == bindparam("key_id"))
_DELETE = delete(_grants).where(_grants.c.grant_id == bindparam("doomed")).returning(_grants.c.grant_id)


def insert_grant(transaction: Transaction, grant: GrantRecord) -> None:
    """Store a new grant."""
    parameters: dict[str, object] = {column.name: getattr(grant, column.name) for column in _grants.columns}
    transaction.connection.execute(insert(_grants), {**parameters, "operations": list(grant.operations)})
    _touch(transaction, grant)


def delete_grant(transaction: Transaction, grant: GrantRecord) -> bool:
    """Remove a grant; return whether it was still there."""
    gone = transaction.connection.execute(_DELETE, {"doomed": grant.grant_id}).one_or_none()
    _touch(transaction, grant)
    return gone is not None


def count_grants(connection: Connection, key_id: str) -> int:
    """Return how many grants there are on a key."""
    count: int = connection.execute(_COUNT, {"key_id": key_id}).scalar_one()
    return count


def load_grant(connection: Connection, key_id: str, grant_id: str) -> GrantRecord | None:
    """Return one grant on a key, or None."""
    row = connection.execute(_ONE, {"key_id": key_id, "grant_id": grant_id}).one_or_none()
    return None if row is None else _record(row)


def load_named(connection: Connection, key_id: str, name: str) -> list[GrantRecord]:
    """Return the grants on a key that have a name."""
    return [_record(row) for row in connection.execute(_NAMED, {"key_id": key_id, "name": name})]


def load_of_grantee(connection: Connection, key_id: str, grantee_principal: str) -> list[GrantRecord]:
    """Return the grants on a key that are for somebody."""
    parameters = {"key_id": key_id, "grantee_principal": grantee_principal}
    return [_record(row) for row in connection.execute(_OF_GRANTEE, parameters)]


def list_grants(
    connection: Connection, key_id: str, *, grantee_principal: str | None, after: str, limit: int
) -> list[GrantRecord]:
    """Return grants on a key by id.

    Args:
        connection: To read with.
        key_id: The key.
        grantee_principal: For whom; None for all.
        after: The id they follow; empty from the beginning on.
        limit: How many at most.
    """
    parameters = {"key_id": key_id}
    statement = _OF_KEY
    if grantee_principal is not None:
        statement, parameters = _OF_GRANTEE, {**parameters, "grantee_principal": grantee_principal}
    page = statement.where(_grants.c.grant_id > after).limit(limit)
    return [_record(row) for row in connection.execute(page, parameters)]


def list_retirable(
    connection: Connection, retiring_principal: str, region: str, *, after: str, limit: int
) -> list[GrantRecord]:
    """Return the grants in a region, on keys of all accounts, that somebody may retire, by id like those of a key."""
    page = _RETIRABLE.where(_grants.c.grant_id > after).limit(limit)
    parameters = {"retiring_principal": retiring_principal, "region": region}
    return [_record(row) for row in connection.execute(page, parameters)]


def subject_of(key_id: str, grantee_principal: str) -> str:
    """Return what the grants on a key for somebody are kept under."""
    return f"{key_id} {grantee_principal}"


def _touch(transaction: Transaction, grant: GrantRecord) -> None:
    # A key is kept with whether it has any.
    transaction.touch(KEY, grant.key_id)
    transaction.touch(GRANTS, subject_of(grant.key_id, grant.grantee_principal))


def _record(row: Row[Any]) -> GrantRecord:
    columns = {**row._mapping, "operations": tuple(row.operations)}  # noqa: SLF001 - SQLAlchemy's public name
    return GrantRecord(**columns)
