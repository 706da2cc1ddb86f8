"""Inline policies: documents that belong to one user, group or role."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects import postgresql

from keyturn.storage import schema
from keyturn.storage.database import Transaction
from keyturn.storage.owned_policies import POLICIES

_policies = schema.inline_policies

# ON CONFLICT is spelled alike by both databases; SQLAlchemy's construct of PostgreSQL compiles for SQLite too.
_PUT = postgresql.insert(_policies)
_PUT = _PUT.on_conflict_do_update(
    index_elements=[_policies.c.owner_arn, _policies.c.name], set_={"document": _PUT.excluded.document}
)
_OF_OWNERS = select(_policies).where(_policies.c.owner_arn.in_(bindparam("owners", expanding=True)))
_OF_OWNERS = _OF_OWNERS.order_by(_policies.c.name)


def load_inline_policies(connection: Connection, owner_arn: str) -> Mapping[str, str]:
    """Return the inline policies of a user, group or role: name to document, by name."""
    return load_all_inline_policies(connection, [owner_arn])[owner_arn]


def load_all_inline_policies(connection: Connection, owner_arns: Collection[str]) -> Mapping[str, Mapping[str, str]]:
    """Return the inline policies of several owners: ARN to name to document."""
    found: dict[str, dict[str, str]] = {arn: {} for arn in owner_arns}
    for row in connection.execute(_OF_OWNERS, {"owners": list(owner_arns)}):
        found[row.owner_arn][row.name] = row.document
    return found


def put_inline_policy(transaction: Transaction, owner_arn: str, name: str, document: str) -> None:
    """Store an inline policy, in place of the one of that name if there is one."""
    transaction.connection.execute(_PUT, {"owner_arn": owner_arn, "name": name, "document": document})
    transaction.touch(POLICIES, owner_arn)


def delete_inline_policy(transaction: Transaction, owner_arn: str, name: str) -> bool:
    """Remove an inline policy; return whether there was one."""
    statement = delete(_policies).where(_policies.c.owner_arn == owner_arn, _policies.c.name == name)
    transaction.touch(POLICIES, owner_arn)
    return transaction.connection.execute(statement).rowcount > 0
