"""Which managed policies users, groups and roles have, as permissions policies and as boundaries."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum

from sqlalchemy import Connection, bindparam, delete, func, select, union_all
from sqlalchemy.dialects import postgresql

from keyturn.storage import schema
from keyturn.storage.database import Transaction
from keyturn.storage.owned_policies import POLICIES

_attachments = schema.policy_attachments


class PolicyUsage(StrEnum):
    """What a managed policy is to an owner that has it."""

    PERMISSIONS = "PermissionsPolicy"
    BOUNDARY = "PermissionsBoundary"


# ON CONFLICT is spelled alike by both databases; SQLAlchemy's construct of PostgreSQL compiles for SQLite too.
_ATTACH = postgresql.insert(_attachments).on_conflict_do_nothing()
_OF_OWNERS = select(_attachments).where(_attachments.c.owner_arn.in_(bindparam("owners", expanding=True)))
_OF_OWNERS = _OF_OWNERS.order_by(_attachments.c.policy_arn)
_ATTACHED = select(_attachments.c.owner_arn, _attachments.c.policy_arn).where(
    _attachments.c.account_id == bindparam("account_id")
)
_BOUNDED = union_all(
    *(
        select(table.c.arn.label("owner_arn"), table.c.boundary_arn.label("policy_arn")).where(
            table.c.account_id == bindparam("account_id"), table.c.boundary_arn.is_not(None)
        )
        for table in (schema.users, schema.roles)
    )
)
_USES = {PolicyUsage.PERMISSIONS: _ATTACHED.subquery(), PolicyUsage.BOUNDARY: _BOUNDED.subquery()}
_COUNTS = {
    usage: select(uses.c.policy_arn, func.count().label("uses")).group_by(uses.c.policy_arn)
    for usage, uses in _USES.items()
}
_OWNERS = {
    usage: select(uses.c.owner_arn).where(uses.c.policy_arn == bindparam("policy_arn")) for usage, uses in _USES.items()
}


def attach_policy(transaction: Transaction, account_id: str, owner_arn: str, policy_arn: str) -> None:
    """Give an owner a managed policy; one that it has stays."""
    parameters = {"account_id": account_id, "owner_arn": owner_arn, "policy_arn": policy_arn}
    transaction.connection.execute(_ATTACH, parameters)
    transaction.touch(POLICIES, owner_arn)


def detach_policy(transaction: Transaction, owner_arn: str, policy_arn: str) -> bool:
    """Take a managed policy from an owner; return whether it had it."""
    is_it = (_attachments.c.owner_arn == owner_arn, _attachments.c.policy_arn == policy_arn)
    transaction.touch(POLICIES, owner_arn)
    return transaction.connection.execute(delete(_attachments).where(*is_it)).rowcount > 0


def load_attached(connection: Connection, owner_arn: str) -> list[str]:
    """Return the ARNs of the managed policies that an owner has."""
    return load_all_attached(connection, [owner_arn])[owner_arn]


def load_all_attached(connection: Connection, owner_arns: Collection[str]) -> Mapping[str, list[str]]:
    """Return the ARNs of the managed policies that several owners have, by owner."""
    found: dict[str, list[str]] = {arn: [] for arn in owner_arns}
    for row in connection.execute(_OF_OWNERS, {"owners": list(owner_arns)}):
        found[row.owner_arn].append(row.policy_arn)
    return found


def count_uses(connection: Connection, account_id: str, usage: PolicyUsage) -> Mapping[str, int]:
    """Count how many of an account's owners have each managed policy; those that nobody has are left out."""
    return {row.policy_arn: row.uses for row in connection.execute(_COUNTS[usage], {"account_id": account_id})}


def load_owners(connection: Connection, account_id: str, policy_arn: str, usage: PolicyUsage) -> list[str]:
    """Return the ARNs of an account's owners that have a managed policy."""
    parameters = {"account_id": account_id, "policy_arn": policy_arn}
    return list(connection.execute(_OWNERS[usage], parameters).scalars())
