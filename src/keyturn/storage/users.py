"""IAM users.

A user's unique id never changes; its name, path and ARN do when it is renamed, and its access keys, memberships and
policies follow. A user that is deleted takes all of them with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql

from keyturn.storage import schema
from keyturn.storage.database import Transaction
from keyturn.storage.owned_policies import POLICIES, drop_policies, move_policies

USER = "user"
ACCESS_KEY = "access-key"
"""What an access key is kept as, together with its user."""

_users, _access_keys = schema.users, schema.access_keys


@dataclass(frozen=True, slots=True)
class UserRecord:
    """An IAM user as stored; names are unique within an account. ``boundary_arn``: of the permissions boundary."""

    account_id: str
    name: str
    unique_id: str
    path: str
    arn: str
    created_at: datetime
    tags: Mapping[str, str] | None = None
    boundary_arn: str | None = None


# ON CONFLICT is spelled alike by both databases; SQLAlchemy's construct of PostgreSQL compiles for SQLite too.
# What is returned tells whether a row was inserted: PostgreSQL's driver does not count.
_INSERT = postgresql.insert(_users).on_conflict_do_nothing().returning(_users.c.name)
_BY_NAME = select(_users).where(_users.c.account_id == bindparam("account_id"), _users.c.name == bindparam("name"))
_LOCK = _BY_NAME.with_for_update()
_BY_ARN = select(_users).where(_users.c.arn == bindparam("arn"))
_ALL = select(_users).where(_users.c.account_id == bindparam("account_id")).order_by(_users.c.name)
_NAMES = select(_users.c.name).where(_users.c.account_id == bindparam("account_id"))
# Keys are inserted under a lock that this one excludes: whoever holds it knows all keys of the user.
_LOCK_BY_ARN = select(_users.c.name).where(_users.c.arn == bindparam("arn")).with_for_update()
# Locked, in the order in which uses of keys are stored: a change of the user's name reaches them as well.
_LOCK_KEYS_OF = (
    select(_access_keys.c.access_key_id)
    .join_from(_access_keys, _users)
    .where(_users.c.arn == bindparam("arn"))
    .order_by(_access_keys.c.access_key_id)
    .with_for_update(of=_access_keys)
)


def insert_user(transaction: Transaction, user: UserRecord) -> bool:
    """Store a new user; return whether it was stored: False if its name is taken."""
    parameters = {column.name: getattr(user, column.name) for column in _users.columns}
    if transaction.connection.execute(_INSERT, parameters).one_or_none() is None:
        return False
    drop_policies(transaction, user.arn)
    transaction.touch(USER, user.arn)
    return True


def load_user(connection: Connection, account_id: str, name: str) -> UserRecord | None:
    """Return one user, or None."""
    row = connection.execute(_BY_NAME, {"account_id": account_id, "name": name}).one_or_none()
    return None if row is None else user_of(row)


def load_user_by_arn(connection: Connection, arn: str) -> UserRecord | None:
    """Return the user with this ARN, or None."""
    row = connection.execute(_BY_ARN, {"arn": arn}).one_or_none()
    return None if row is None else user_of(row)


def lock_user(transaction: Transaction, account_id: str, name: str) -> UserRecord | None:
    """Return one user, or None; nobody else changes it or what belongs to it until the transaction ends."""
    row = transaction.connection.execute(_LOCK, {"account_id": account_id, "name": name}).one_or_none()
    return None if row is None else user_of(row)


def list_users(connection: Connection, account_id: str) -> list[UserRecord]:
    """Return every user of an account, by name."""
    return [user_of(row) for row in connection.execute(_ALL, {"account_id": account_id})]


def user_names(connection: Connection, account_id: str) -> list[str]:
    """Return the names of all users of an account."""
    return list(connection.execute(_NAMES, {"account_id": account_id}).scalars())


def update_user(transaction: Transaction, user: UserRecord, **columns: object) -> None:
    """Change columns of a user; its name and ARN stay."""
    _touch_with_keys(transaction, user.arn)
    if "boundary_arn" in columns:
        transaction.touch(POLICIES, user.arn)
    transaction.connection.execute(update(_users).where(_users.c.arn == user.arn), columns)


def rename_user(transaction: Transaction, user: UserRecord, name: str, path: str, arn: str) -> None:
    """Give a user another name and path. Keys and memberships follow by their foreign keys."""
    _touch_with_keys(transaction, user.arn)
    transaction.connection.execute(
        update(_users).where(_users.c.arn == user.arn), {"name": name, "path": path, "arn": arn}
    )
    if arn != user.arn:
        move_policies(transaction, user.arn, arn)
        transaction.touch(USER, arn)


def delete_user(transaction: Transaction, user: UserRecord) -> None:
    """Remove a user with its access keys, memberships and policies."""
    _touch_with_keys(transaction, user.arn)
    transaction.connection.execute(delete(_users).where(_users.c.arn == user.arn))
    drop_policies(transaction, user.arn)


def user_of(row: Row[Any]) -> UserRecord:
    """Return the user in a row that has all columns of one."""
    return UserRecord(
        account_id=row.account_id,
        name=row.name,
        unique_id=row.unique_id,
        path=row.path,
        arn=row.arn,
        created_at=row.created_at,
        tags=row.tags,
        boundary_arn=row.boundary_arn,
    )


def _touch_with_keys(transaction: Transaction, arn: str) -> None:
    parameters = {"arn": arn}
    transaction.connection.execute(_LOCK_BY_ARN, parameters)
    for access_key_id in transaction.connection.execute(_LOCK_KEYS_OF, parameters).scalars():
        transaction.touch(ACCESS_KEY, access_key_id)
    transaction.touch(USER, arn)
