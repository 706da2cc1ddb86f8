"""IAM groups and who is in them.

What a group may do counts for its members: kept policies of a user depend on those of its groups, see ``kept.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql

from keyturn.storage import schema
from keyturn.storage.database import Transaction
from keyturn.storage.owned_policies import POLICIES, drop_policies, move_policies
from keyturn.storage.users import UserRecord, user_of

_groups, _members, _users = schema.groups, schema.group_members, schema.users


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """An IAM group as stored; names are unique within an account."""

    account_id: str
    name: str
    unique_id: str
    path: str
    arn: str
    created_at: datetime


# ON CONFLICT is spelled alike by both databases; SQLAlchemy's construct of PostgreSQL compiles for SQLite too.
# What is returned tells whether a row was inserted: PostgreSQL's driver does not count.
_INSERT = postgresql.insert(_groups).on_conflict_do_nothing().returning(_groups.c.name)
_ADD_MEMBER = postgresql.insert(_members).on_conflict_do_nothing()
_BY_NAME = select(_groups).where(_groups.c.account_id == bindparam("account_id"), _groups.c.name == bindparam("name"))
_LOCK = _BY_NAME.with_for_update()
_ALL = select(_groups).where(_groups.c.account_id == bindparam("account_id")).order_by(_groups.c.name)
_NAMES = select(_groups.c.name).where(_groups.c.account_id == bindparam("account_id"))
_MEMBERS = (
    select(_users)
    .join_from(_members, _users, _users.c.arn == _members.c.user_arn)
    .where(_members.c.group_arn == bindparam("arn"))
    .order_by(_users.c.name)
)
_NAMES_OF = (
    select(_members.c.user_arn, _groups.c.name)
    .join_from(_members, _groups, _groups.c.arn == _members.c.group_arn)
    .where(_members.c.user_arn.in_(bindparam("users", expanding=True)))
    .order_by(_groups.c.name)
)
_GROUPS_OF = (
    select(_groups)
    .join_from(_members, _groups, _groups.c.arn == _members.c.group_arn)
    .where(_members.c.user_arn == bindparam("arn"))
    .order_by(_groups.c.name)
)


def insert_group(transaction: Transaction, group: GroupRecord) -> bool:
    """Store a new group; return whether it was stored: False if its name is taken."""
    parameters = {column.name: getattr(group, column.name) for column in _groups.columns}
    if transaction.connection.execute(_INSERT, parameters).one_or_none() is None:
        return False
    drop_policies(transaction, group.arn)
    return True


def load_group(connection: Connection, account_id: str, name: str) -> GroupRecord | None:
    """Return one group, or None."""
    row = connection.execute(_BY_NAME, {"account_id": account_id, "name": name}).one_or_none()
    return None if row is None else _group(row)


def lock_group(transaction: Transaction, account_id: str, name: str) -> GroupRecord | None:
    """Return one group, or None; nobody else changes it or what belongs to it until the transaction ends."""
    row = transaction.connection.execute(_LOCK, {"account_id": account_id, "name": name}).one_or_none()
    return None if row is None else _group(row)


def list_groups(connection: Connection, account_id: str) -> list[GroupRecord]:
    """Return every group of an account, by name."""
    return [_group(row) for row in connection.execute(_ALL, {"account_id": account_id})]


def group_names(connection: Connection, account_id: str) -> list[str]:
    """Return the names of all groups of an account."""
    return list(connection.execute(_NAMES, {"account_id": account_id}).scalars())


def rename_group(transaction: Transaction, group: GroupRecord, name: str, path: str, arn: str) -> None:
    """Give a group another name and path. Memberships follow by their foreign key."""
    transaction.connection.execute(
        update(_groups).where(_groups.c.arn == group.arn), {"name": name, "path": path, "arn": arn}
    )
    if arn != group.arn:
        move_policies(transaction, group.arn, arn)


def delete_group(transaction: Transaction, group: GroupRecord) -> None:
    """Remove a group with its policies; nobody is in it any more."""
    transaction.connection.execute(delete(_groups).where(_groups.c.arn == group.arn))
    drop_policies(transaction, group.arn)


def add_member(transaction: Transaction, group: GroupRecord, user: UserRecord) -> None:
    """Put a user into a group; one that is in it stays."""
    transaction.connection.execute(_ADD_MEMBER, {"group_arn": group.arn, "user_arn": user.arn})
    transaction.touch(POLICIES, user.arn)


def remove_member(transaction: Transaction, group: GroupRecord, user: UserRecord) -> None:
    """Take a user out of a group, if it is in it."""
    is_it = (_members.c.group_arn == group.arn, _members.c.user_arn == user.arn)
    transaction.connection.execute(delete(_members).where(*is_it))
    transaction.touch(POLICIES, user.arn)


def load_members(connection: Connection, group_arn: str) -> list[UserRecord]:
    """Return the users in a group, by name."""
    return [user_of(row) for row in connection.execute(_MEMBERS, {"arn": group_arn})]


def load_groups_of(connection: Connection, user_arn: str) -> list[GroupRecord]:
    """Return the groups that a user is in, by name."""
    return [_group(row) for row in connection.execute(_GROUPS_OF, {"arn": user_arn})]


def load_names_of_groups(connection: Connection, user_arns: Collection[str]) -> Mapping[str, list[str]]:
    """Return the names of the groups that several users are in: by user, and then by name."""
    found: dict[str, list[str]] = {arn: [] for arn in user_arns}
    for row in connection.execute(_NAMES_OF, {"users": list(user_arns)}):
        found[row.user_arn].append(row.name)
    return found


def _group(row: Row[Any]) -> GroupRecord:
    return GroupRecord(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
