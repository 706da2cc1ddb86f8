"""Users, roles, their inline policies, and users' access keys.

Names, ARNs and unique ids never change once stored; a principal that is deleted takes its policies and keys with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql

from keyturn.storage import schema
from keyturn.storage.database import Transaction

USER = "user"
ROLE = "role"
POLICIES = "policies"
ACCESS_KEY = "access-key"

_users, _roles = schema.users, schema.roles
_policies, _access_keys = schema.inline_policies, schema.access_keys


@dataclass(frozen=True, slots=True)
class UserRecord:
    """An IAM user as stored; names are unique within an account."""

    account_id: str
    name: str
    unique_id: str
    path: str
    arn: str
    created_at: datetime
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class RoleRecord:
    """An IAM role as stored; ``trust_policy`` is the document as it was sent. Names are unique within an account."""

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


@dataclass(frozen=True, slots=True)
class AccessKeyRecord:
    """An access key with the user it belongs to; ``sealed`` is the envelope of its secret access key."""

    access_key_id: str
    user: UserRecord
    sealed: bytes
    active: bool
    created_at: datetime


# ON CONFLICT is spelled alike by both databases; SQLAlchemy's construct of PostgreSQL compiles for SQLite too.
# What is returned tells whether a row was inserted: PostgreSQL's driver does not count.
_INSERT_USER = postgresql.insert(_users).on_conflict_do_nothing().returning(_users.c.name)
_INSERT_ROLE = postgresql.insert(_roles).on_conflict_do_nothing().returning(_roles.c.name)
_INSERT_ACCESS_KEY = insert(_access_keys)
_PUT_POLICY = postgresql.insert(_policies)
_PUT_POLICY = _PUT_POLICY.on_conflict_do_update(
    index_elements=[_policies.c.owner_arn, _policies.c.name], set_={"document": _PUT_POLICY.excluded.document}
)

_USER = select(_users).where(_users.c.account_id == bindparam("account_id"), _users.c.name == bindparam("name"))
_USER_BY_ARN = select(_users).where(_users.c.arn == bindparam("arn"))
# Keys are inserted under a lock that this one excludes: whoever holds it knows all keys of the user.
_LOCK_USER = select(_users.c.name).where(_users.c.arn == bindparam("arn")).with_for_update()
_USERS = select(_users).where(_users.c.account_id == bindparam("account_id")).order_by(_users.c.name)
_ROLE = select(_roles).where(_roles.c.account_id == bindparam("account_id"), _roles.c.name == bindparam("name"))
_ROLE_BY_ARN = select(_roles).where(_roles.c.arn == bindparam("arn"))
_ROLES = select(_roles).where(_roles.c.account_id == bindparam("account_id")).order_by(_roles.c.name)
_KEYS = select(
    _users,
    _access_keys.c.access_key_id,
    _access_keys.c.sealed,
    _access_keys.c.active,
    _access_keys.c.created_at.label("issued_at"),
).join_from(_access_keys, _users)
_KEY = _KEYS.where(_access_keys.c.access_key_id == bindparam("access_key_id"))
_KEYS_OF = _KEYS.where(_users.c.arn == bindparam("arn")).order_by(
    _access_keys.c.created_at, _access_keys.c.access_key_id
)
_KEY_IDS_OF = (
    select(_access_keys.c.access_key_id).join_from(_access_keys, _users).where(_users.c.arn == bindparam("arn"))
)
_POLICIES_OF = select(_policies.c.name, _policies.c.document).where(_policies.c.owner_arn == bindparam("owner_arn"))
_POLICIES_OF = _POLICIES_OF.order_by(_policies.c.name)


def insert_user(transaction: Transaction, user: UserRecord) -> bool:
    """Store a new user; return whether it was stored: False if its name is taken."""
    parameters = {
        "account_id": user.account_id,
        "name": user.name,
        "unique_id": user.unique_id,
        "path": user.path,
        "arn": user.arn,
        "created_at": user.created_at,
        "tags": user.tags,
    }
    if transaction.connection.execute(_INSERT_USER, parameters).one_or_none() is None:
        return False
    _drop_policies(transaction, user.arn)
    transaction.touch(USER, user.arn)
    return True


def load_user(connection: Connection, account_id: str, name: str) -> UserRecord | None:
    """Return one user, or None."""
    row = connection.execute(_USER, {"account_id": account_id, "name": name}).one_or_none()
    return None if row is None else _user(row)


def load_user_by_arn(connection: Connection, arn: str) -> UserRecord | None:
    """Return the user with this ARN, or None."""
    row = connection.execute(_USER_BY_ARN, {"arn": arn}).one_or_none()
    return None if row is None else _user(row)


def list_users(connection: Connection, account_id: str) -> list[UserRecord]:
    """Return every user of an account, by name."""
    return [_user(row) for row in connection.execute(_USERS, {"account_id": account_id})]


def update_user(transaction: Transaction, user: UserRecord, **columns: object) -> None:
    """Change columns of a user; its name and ARN stay."""
    _touch_with_keys(transaction, user)
    transaction.connection.execute(update(_users).where(_users.c.arn == user.arn), columns)


def delete_user(transaction: Transaction, user: UserRecord) -> None:
    """Remove a user with its access keys and inline policies."""
    _touch_with_keys(transaction, user)
    transaction.connection.execute(delete(_users).where(_users.c.arn == user.arn))
    _drop_policies(transaction, user.arn)


def insert_access_key(transaction: Transaction, access_key: AccessKeyRecord) -> None:
    """Store a new access key of a user that exists."""
    transaction.connection.execute(
        _INSERT_ACCESS_KEY,
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


def insert_role(transaction: Transaction, role: RoleRecord) -> bool:
    """Store a new role; return whether it was stored: False if its name is taken."""
    parameters = {
        "account_id": role.account_id,
        "name": role.name,
        "unique_id": role.unique_id,
        "path": role.path,
        "arn": role.arn,
        "created_at": role.created_at,
        "trust_policy": role.trust_policy,
        "description": role.description,
        "max_session_seconds": role.max_session_seconds,
        "tags": role.tags,
    }
    if transaction.connection.execute(_INSERT_ROLE, parameters).one_or_none() is None:
        return False
    _drop_policies(transaction, role.arn)
    transaction.touch(ROLE, role.arn)
    return True


def load_role(connection: Connection, account_id: str, name: str) -> RoleRecord | None:
    """Return one role, or None."""
    row = connection.execute(_ROLE, {"account_id": account_id, "name": name}).one_or_none()
    return None if row is None else _role(row)


def load_role_by_arn(connection: Connection, arn: str) -> RoleRecord | None:
    """Return the role with this ARN, or None."""
    row = connection.execute(_ROLE_BY_ARN, {"arn": arn}).one_or_none()
    return None if row is None else _role(row)


def list_roles(connection: Connection, account_id: str) -> list[RoleRecord]:
    """Return every role of an account, by name."""
    return [_role(row) for row in connection.execute(_ROLES, {"account_id": account_id})]


def update_role(transaction: Transaction, role: RoleRecord, **columns: object) -> None:
    """Change columns of a role; its name and ARN stay."""
    transaction.connection.execute(update(_roles).where(_roles.c.arn == role.arn), columns)
    transaction.touch(ROLE, role.arn)


def delete_role(transaction: Transaction, role: RoleRecord) -> None:
    """Remove a role with its inline policies."""
    transaction.connection.execute(delete(_roles).where(_roles.c.arn == role.arn))
    transaction.touch(ROLE, role.arn)
    _drop_policies(transaction, role.arn)


def inline_policies(connection: Connection, owner_arn: str) -> Mapping[str, str]:
    """Return the inline policies of a user or role: name to document, by name."""
    return {row.name: row.document for row in connection.execute(_POLICIES_OF, {"owner_arn": owner_arn})}


def put_inline_policy(transaction: Transaction, owner_arn: str, name: str, document: str) -> None:
    """Store an inline policy, in place of the one of that name if there is one."""
    transaction.connection.execute(_PUT_POLICY, {"owner_arn": owner_arn, "name": name, "document": document})
    transaction.touch(POLICIES, owner_arn)


def delete_inline_policy(transaction: Transaction, owner_arn: str, name: str) -> bool:
    """Remove an inline policy; return whether there was one."""
    statement = delete(_policies).where(_policies.c.owner_arn == owner_arn, _policies.c.name == name)
    transaction.touch(POLICIES, owner_arn)
    return transaction.connection.execute(statement).rowcount > 0


def _drop_policies(transaction: Transaction, owner_arn: str) -> None:
    # Also done when an owner is made: a policy that was put while its owner was being deleted must not come to life
    # again with the next principal of that name.
    transaction.connection.execute(delete(_policies).where(_policies.c.owner_arn == owner_arn))
    transaction.touch(POLICIES, owner_arn)


def _touch_with_keys(transaction: Transaction, user: UserRecord) -> None:
    parameters = {"arn": user.arn}
    transaction.connection.execute(_LOCK_USER, parameters)
    for access_key_id in transaction.connection.execute(_KEY_IDS_OF, parameters).scalars():
        transaction.touch(ACCESS_KEY, access_key_id)
    transaction.touch(USER, user.arn)


def _user(row: Row[Any]) -> UserRecord:
    return UserRecord(
        account_id=row.account_id,
        name=row.name,
        unique_id=row.unique_id,
        path=row.path,
        arn=row.arn,
        created_at=row.created_at,
        tags=row.tags,
    )


def _role(row: Row[Any]) -> RoleRecord:
    return RoleRecord(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name


def _access_key(row: Row[Any]) -> AccessKeyRecord:
    return AccessKeyRecord(
        access_key_id=row.access_key_id,
        user=_user(row),
        sealed=row.sealed,
        active=row.active,
        created_at=row.issued_at,
    )
