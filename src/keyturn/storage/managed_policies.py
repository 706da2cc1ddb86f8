"""Customer managed policies and their versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql

from keyturn.storage import schema
from keyturn.storage.database import Transaction
from keyturn.storage.owned_policies import MANAGED_POLICY

_policies, _versions = schema.managed_policies, schema.policy_versions


@dataclass(frozen=True, slots=True)
class ManagedPolicyRecord:
    """A managed policy without its documents.

    Attributes:
        account_id: Whose it is; ``aws`` for AWS's own.
        updated_at: When its newest version was made.
        default_version: The number of the version that counts.
        newest_version: The number of the newest there ever was.
    """

    arn: str
    account_id: str
    name: str
    unique_id: str
    path: str
    description: str | None
    tags: Mapping[str, str] | None
    created_at: datetime
    updated_at: datetime
    default_version: int
    newest_version: int


@dataclass(frozen=True, slots=True)
class PolicyVersionRecord:
    """One version of a managed policy."""

    version: int
    document: str
    created_at: datetime


# ON CONFLICT is spelled alike by both databases; SQLAlchemy's construct of PostgreSQL compiles for SQLite too.
# What is returned tells whether a row was inserted: PostgreSQL's driver does not count.
_INSERT = postgresql.insert(_policies).on_conflict_do_nothing().returning(_policies.c.arn)
_INSERT_VERSION = insert(_versions)
_BY_ARN = select(_policies).where(_policies.c.arn == bindparam("arn"))
_LOCK = _BY_ARN.with_for_update()
_ALL = select(_policies).where(_policies.c.account_id == bindparam("account_id")).order_by(_policies.c.name)
_NAMES = select(_policies.c.name).where(_policies.c.account_id == bindparam("account_id"))
_VERSIONS = select(_versions).where(_versions.c.policy_arn == bindparam("arn")).order_by(_versions.c.version.desc())
_COUNT_VERSIONS = (
    select(func.count()).select_from(_versions.join(_policies)).where(_policies.c.account_id == bindparam("account_id"))
)


def insert_policy(transaction: Transaction, policy: ManagedPolicyRecord, document: str) -> bool:
    """Store a new policy with its first version; return whether it was stored: False if its name is taken."""
    parameters = {column.name: getattr(policy, column.name) for column in _policies.columns}
    if transaction.connection.execute(_INSERT, parameters).one_or_none() is None:
        return False
    version = PolicyVersionRecord(policy.newest_version, document, policy.created_at)
    _insert_version(transaction, policy.arn, version)
    transaction.touch(MANAGED_POLICY, policy.arn)
    return True


def load_policy(connection: Connection, arn: str) -> ManagedPolicyRecord | None:
    """Return one policy, or None."""
    row = connection.execute(_BY_ARN, {"arn": arn}).one_or_none()
    return None if row is None else _policy(row)


def lock_policy(transaction: Transaction, arn: str) -> ManagedPolicyRecord | None:
    """Return one policy, or None; nobody else changes it, attaches it or sets it until the transaction ends.

    Who also locks an owner does that before.
    """
    row = transaction.connection.execute(_LOCK, {"arn": arn}).one_or_none()
    return None if row is None else _policy(row)


def list_policies(connection: Connection, account_id: str) -> list[ManagedPolicyRecord]:
    """Return every policy of an account, by name."""
    return [_policy(row) for row in connection.execute(_ALL, {"account_id": account_id})]


def policy_names(connection: Connection, account_id: str) -> list[str]:
    """Return the names of all policies of an account."""
    return list(connection.execute(_NAMES, {"account_id": account_id}).scalars())


def count_versions(connection: Connection, account_id: str) -> int:
    """Count the versions of all policies of an account."""
    return int(connection.execute(_COUNT_VERSIONS, {"account_id": account_id}).scalar_one())


def update_policy(transaction: Transaction, arn: str, **columns: object) -> None:
    """Change columns of a policy; its name and ARN stay."""
    transaction.connection.execute(update(_policies).where(_policies.c.arn == arn), columns)
    transaction.touch(MANAGED_POLICY, arn)


def delete_policy(transaction: Transaction, arn: str) -> None:
    """Remove a policy with its versions."""
    transaction.connection.execute(delete(_policies).where(_policies.c.arn == arn))
    transaction.touch(MANAGED_POLICY, arn)


def load_versions(connection: Connection, policy_arn: str) -> list[PolicyVersionRecord]:
    """Return the versions of a policy, newest first."""
    rows = connection.execute(_VERSIONS, {"arn": policy_arn})
    return [PolicyVersionRecord(row.version, row.document, row.created_at) for row in rows]


def add_version(
    transaction: Transaction, policy: ManagedPolicyRecord, document: str, at: datetime, *, is_default: bool
) -> PolicyVersionRecord:
    """Store the next version of a policy that was locked, and return it."""
    version = PolicyVersionRecord(policy.newest_version + 1, document, at)
    _insert_version(transaction, policy.arn, version)
    columns: dict[str, object] = {"newest_version": version.version, "updated_at": at}
    if is_default:
        columns["default_version"] = version.version
    update_policy(transaction, policy.arn, **columns)
    return version


def delete_version(transaction: Transaction, policy_arn: str, version: int) -> None:
    """Remove a version that is not the default."""
    is_it = (_versions.c.policy_arn == policy_arn, _versions.c.version == version)
    transaction.connection.execute(delete(_versions).where(*is_it))


def _insert_version(transaction: Transaction, policy_arn: str, version: PolicyVersionRecord) -> None:
    parameters = {
        "policy_arn": policy_arn,
        "version": version.version,
        "document": version.document,
        "created_at": version.created_at,
    }
    transaction.connection.execute(_INSERT_VERSION, parameters)


def _policy(row: Row[Any]) -> ManagedPolicyRecord:
    return ManagedPolicyRecord(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
