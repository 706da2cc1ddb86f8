"""Users' access keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from keyturn.storage import schema
from keyturn.storage.database import Transaction
from keyturn.storage.users import ACCESS_KEY, UserRecord, user_of
from keyturn.storage.uses import Use

_access_keys, _users = schema.access_keys, schema.users


@dataclass(frozen=True, slots=True)
class AccessKeyRecord:
    """An access key with the user it belongs to.

    Attributes:
        sealed: The envelope of its secret access key.
        last_use: As stored, some seconds behind; None if it has signed nothing.
    """

    access_key_id: str
    user: UserRecord
    sealed: bytes
    active: bool
    created_at: datetime
    last_use: Use | None = None


_INSERT = insert(_access_keys)
_KEYS = select(
    _users,
    _access_keys.c.access_key_id,
    _access_keys.c.sealed,
    _access_keys.c.active,
    _access_keys.c.created_at.label("issued_at"),
    _access_keys.c.last_used_at,
    _access_keys.c.last_used_service,
    _access_keys.c.last_used_region,
).join_from(_access_keys, _users)
_KEY = _KEYS.where(_access_keys.c.access_key_id == bindparam("access_key_id"))
_KEYS_OF = _KEYS.where(_users.c.arn == bindparam("arn")).order_by(
    _access_keys.c.created_at, _access_keys.c.access_key_id
)


def insert_access_key(transaction: Transaction, access_key: AccessKeyRecord) -> None:
    """Store a new access key of a user that exists."""
    transaction.connection.execute(
        _INSERT,
        {
            "access_key_id": access_key.access_key_id,
            "account_id": access_key.user.account_id,
            "user_name": access_key.user.name,
            "sealed": access_key.sealed,
            "active": access_key.active,
            "created_at": access_key.created_at,
        },
    )
    transaction.touch(ACCESS_KEY, access_key.access_key_id)


def load_access_key(connection: Connection, access_key_id: str) -> AccessKeyRecord | None:
    """Return an access key and its user, or None."""
    row = connection.execute(_KEY, {"access_key_id": access_key_id}).one_or_none()
    return None if row is None else _access_key(row)


def list_access_keys(connection: Connection, user_arn: str) -> list[AccessKeyRecord]:
    """Return the access keys of a user, oldest first."""
    return [_access_key(row) for row in connection.execute(_KEYS_OF, {"arn": user_arn})]


def update_access_key(transaction: Transaction, access_key_id: str, **columns: object) -> None:
    """Change columns of an access key."""
    transaction.connection.execute(update(_access_keys).where(_access_keys.c.access_key_id == access_key_id), columns)
    transaction.touch(ACCESS_KEY, access_key_id)


def delete_access_key(transaction: Transaction, access_key_id: str) -> None:
    """Remove an access key."""
    transaction.connection.execute(delete(_access_keys).where(_access_keys.c.access_key_id == access_key_id))
    transaction.touch(ACCESS_KEY, access_key_id)


def _access_key(row: Row[Any]) -> AccessKeyRecord:
    last_use = None
    if row.last_used_at is not None:
        last_use = Use(row.last_used_at, row.last_used_service, row.last_used_region)
    return AccessKeyRecord(
        access_key_id=row.access_key_id,
        user=user_of(row),
        sealed=row.sealed,
        active=row.active,
        created_at=row.issued_at,
        last_use=last_use,
    )
