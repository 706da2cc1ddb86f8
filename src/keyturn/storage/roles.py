"""IAM roles. Name, ARN and unique id of a role never change; one that is deleted takes its policies with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql

from keyturn.storage import schema
from keyturn.storage.database import Transaction
from keyturn.storage.owned_policies import POLICIES, drop_policies

ROLE = "role"

_roles = schema.roles


@dataclass(frozen=True, slots=True)
class RoleRecord:
    """An IAM role as stored. Names are unique within an account.

    Attributes:
        trust_policy: The document as it was sent.
        boundary_arn: Of the permissions boundary.
        last_used_at: As stored, some seconds behind; None if no session of the role has signed a call.
        last_used_region: Where that was.
    """

    account_id: str
    name: str
    unique_id: str
    path: str
    arn: str
    created_at: datetime
    trust_policy: str
    description: str | None
    max_session_seconds: int
    tags: Mapping[str, str] | None = None
    boundary_arn: str | None = None
    last_used_at: datetime | None = None
    last_used_region: str | None = None


# ON CONFLICT is spelled alike by both databases; SQLAlchemy's construct of PostgreSQL compiles for SQLite too.
# What is returned tells whether a row was inserted: PostgreSQL's driver does not count.
_INSERT = postgresql.insert(_roles).on_conflict_do_nothing().returning(_roles.c.name)
_BY_NAME = select(_roles).where(_roles.c.account_id == bindparam("account_id"), _roles.c.name == bindparam("name"))
_LOCK = _BY_NAME.with_for_update()
_BY_ARN = select(_roles).where(_roles.c.arn == bindparam("arn"))
_ALL = select(_roles).where(_roles.c.account_id == bindparam("account_id")).order_by(_roles.c.name)
_NAMES = select(_roles.c.name).where(_roles.c.account_id == bindparam("account_id"))


def insert_role(transaction: Transaction, role: RoleRecord) -> bool:
    """Store a new role; return whether it was stored: False if its name is taken."""
    parameters = {column.name: getattr(role, column.name) for column in _roles.columns}
    if transaction.connection.execute(_INSERT, parameters).one_or_none() is None:
        return False
    drop_policies(transaction, role.arn)
    transaction.touch(ROLE, role.arn)
    return True


def load_role(connection: Connection, account_id: str, name: str) -> RoleRecord | None:
    """Return one role, or None."""
    row = connection.execute(_BY_NAME, {"account_id": account_id, "name": name}).one_or_none()
    return None if row is None else _role(row)


def load_role_by_arn(connection: Connection, arn: str) -> RoleRecord | None:
    """Return the role with this ARN, or None."""
    row = connection.execute(_BY_ARN, {"arn": arn}).one_or_none()
    return None if row is None else _role(row)


def lock_role(transaction: Transaction, account_id: str, name: str) -> RoleRecord | None:
    """Return one role, or None; nobody else changes it or what belongs to it until the transaction ends."""
    row = transaction.connection.execute(_LOCK, {"account_id": account_id, "name": name}).one_or_none()
    return None if row is None else _role(row)


def list_roles(connection: Connection, account_id: str) -> list[RoleRecord]:
    """Return every role of an account, by name."""
    return [_role(row) for row in connection.execute(_ALL, {"account_id": account_id})]


def role_names(connection: Connection, account_id: str) -> list[str]:
    """Return the names of all roles of an account."""
    return list(connection.execute(_NAMES, {"account_id": account_id}).scalars())


def update_role(transaction: Transaction, role: RoleRecord, **columns: object) -> None:
    """Change columns of a role; its name and ARN stay."""
    transaction.connection.execute(update(_roles).where(_roles.c.arn == role.arn), columns)
    transaction.touch(ROLE, role.arn)
    if "boundary_arn" in columns:
        transaction.touch(POLICIES, role.arn)


def delete_role(transaction: Transaction, role: RoleRecord) -> None:
    """Remove a role with its policies."""
    transaction.connection.execute(delete(_roles).where(_roles.c.arn == role.arn))
    transaction.touch(ROLE, role.arn)
    drop_policies(transaction, role.arn)


def _role(row: Row[Any]) -> RoleRecord:
    return RoleRecord(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
