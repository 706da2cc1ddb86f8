"""Everything that says what a user or role may do: its own policies, those of its groups, and its boundary.

Policies hang on the ARN of their owner, by which calls are decided, and follow it when a user or group is renamed.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BindParameter, Connection, bindparam, delete, select, union_all, update

from keyturn.storage import schema
from keyturn.storage.database import Transaction

POLICIES = "policies"
"""What an owner's policies are kept as; a change of any policy, attachment, membership or boundary of it touches it."""
MANAGED_POLICY = "managed-policy"
"""What a customer managed policy is kept as, by its ARN: another version becoming its default touches it."""


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy that takes part in decisions.

    Attributes:
        name: Of an inline policy; the ARN of a managed one.
        document: None if no customer managed policy has this ARN: then it may be one of AWS's own.
        is_managed: Whether ``name`` is an ARN.
    """

    name: str
    document: str | None
    is_managed: bool = False


@dataclass(frozen=True, slots=True)
class OwnedPolicies:
    """What is stored about a user or role.

    Attributes:
        policies: Its own inline policies by name, its attached ones by ARN, then those of its groups likewise.
        group_arns: The groups it is in.
        boundary: Its permissions boundary, if it has one.
    """

    policies: tuple[StoredPolicy, ...]
    group_arns: tuple[str, ...]
    boundary: StoredPolicy | None


_inline, _attachments, _members = schema.inline_policies, schema.policy_attachments, schema.group_members
_managed, _versions = schema.managed_policies, schema.policy_versions

_GROUPS_OF = select(_members.c.group_arn).where(_members.c.user_arn == bindparam("arn")).order_by(_members.c.group_arn)
_BOUNDARY_OF = union_all(
    *(select(table.c.boundary_arn).where(table.c.arn == bindparam("arn")) for table in (schema.users, schema.roles))
)
_owners: BindParameter[str] = bindparam("owners", expanding=True)
_INLINE = select(_inline).where(_inline.c.owner_arn.in_(_owners)).order_by(_inline.c.name)
_IS_DEFAULT = (_versions.c.policy_arn == _managed.c.arn) & (_versions.c.version == _managed.c.default_version)
_ATTACHED = (
    select(_attachments.c.owner_arn, _attachments.c.policy_arn, _versions.c.document)
    .join_from(_attachments, _managed, _managed.c.arn == _attachments.c.policy_arn, isouter=True)
    .join(_versions, _IS_DEFAULT, isouter=True)
    .where(_attachments.c.owner_arn.in_(_owners))
    .order_by(_attachments.c.policy_arn)
)
_DEFAULT_DOCUMENT = (
    select(_versions.c.document).join_from(_managed, _versions, _IS_DEFAULT).where(_managed.c.arn == bindparam("arn"))
)
_OWNED = (_inline, _attachments)


def load_owned_policies(connection: Connection, owner_arn: str) -> OwnedPolicies:
    """Return what is stored about a user or role; about one that is not there, nothing."""
    group_arns = tuple(connection.execute(_GROUPS_OF, {"arn": owner_arn}).scalars())
    boundary_arn = connection.execute(_BOUNDARY_OF, {"arn": owner_arn}).scalars().first()
    boundary = None
    if boundary_arn is not None:
        boundary = load_managed_policy(connection, boundary_arn)
    owners = {"owners": (owner_arn, *group_arns)}
    found: dict[str, list[StoredPolicy]] = {arn: [] for arn in owners["owners"]}
    for row in connection.execute(_INLINE, owners):
        found[row.owner_arn].append(StoredPolicy(row.name, row.document))
    for row in connection.execute(_ATTACHED, owners):
        found[row.owner_arn].append(StoredPolicy(row.policy_arn, row.document, is_managed=True))
    return OwnedPolicies(tuple(policy for each in found.values() for policy in each), group_arns, boundary)


def load_managed_policy(connection: Connection, policy_arn: str) -> StoredPolicy:
    """Return a managed policy in its default version; without a document if it is no customer's."""
    document = connection.execute(_DEFAULT_DOCUMENT, {"arn": policy_arn}).scalar_one_or_none()
    return StoredPolicy(policy_arn, document, is_managed=True)


def drop_policies(transaction: Transaction, owner_arn: str) -> None:
    """Take every policy from an owner that ends, or that begins: it must not have what another left behind."""
    for table in _OWNED:
        transaction.connection.execute(delete(table).where(table.c.owner_arn == owner_arn))
    transaction.touch(POLICIES, owner_arn)


def move_policies(transaction: Transaction, from_arn: str, to_arn: str) -> None:
    """Let an owner's policies follow it to another ARN, which no owner has."""
    drop_policies(transaction, to_arn)
    for table in _OWNED:
        statement = update(table).where(table.c.owner_arn == from_arn).values(owner_arn=to_arn)
        transaction.connection.execute(statement)
    transaction.touch(POLICIES, from_arn)
