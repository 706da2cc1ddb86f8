"""KMS keys, wrapped by the root key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from keyturn.storage import schema
from keyturn.storage.database import Transaction

_keys = schema.kms_keys


@dataclass(frozen=True, slots=True)
class KmsKeyRecord:
    """One key. ``wrapped`` opens only with the root key."""

    key_id: str
    alias: str | None
    wrapped: bytes
    created_at: datetime


_BY_ID = select(_keys).where(_keys.c.key_id == bindparam("key_id"))
_BY_ALIAS = select(_keys).where(_keys.c.alias == bindparam("alias"))


def insert_key(transaction: Transaction, key: KmsKeyRecord) -> None:
    """Store a new key."""
    transaction.connection.execute(
        insert(_keys),
        {"key_id": key.key_id, "alias": key.alias, "wrapped": key.wrapped, "created_at": key.created_at},
    )


def load_key(connection: Connection, key_id: str) -> KmsKeyRecord | None:
    """Return one key by its id."""
    row = connection.execute(_BY_ID, {"key_id": key_id}).one_or_none()
    return None if row is None else KmsKeyRecord(row.key_id, row.alias, row.wrapped, row.created_at)


def load_alias(connection: Connection, alias: str) -> KmsKeyRecord | None:
    """Return the key behind an alias."""
    row = connection.execute(_BY_ALIAS, {"alias": alias}).one_or_none()
    return None if row is None else KmsKeyRecord(row.key_id, row.alias, row.wrapped, row.created_at)


def load_keys(connection: Connection) -> list[KmsKeyRecord]:
    """Return every key, oldest first."""
    rows = connection.execute(select(_keys).order_by(_keys.c.created_at, _keys.c.key_id))
    return [KmsKeyRecord(row.key_id, row.alias, row.wrapped, row.created_at) for row in rows]


def store_wrapped(transaction: Transaction, key_id: str, wrapped: bytes) -> None:
    """Replace a key's wrapping, after the root key has changed."""
    transaction.connection.execute(update(_keys).where(_keys.c.key_id == key_id), {"wrapped": wrapped})
