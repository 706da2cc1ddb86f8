"""Which secrets have which replicas, and how these stand. The replicas themselves are rows of ``secrets``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from keyturn.storage import schema
from keyturn.storage.database import Transaction

REPLICATIONS = "replications"
"""A kind of kept rows: the replicas that a secret lists."""

_replications = schema.replications


@dataclass(frozen=True, slots=True)
class ReplicationRecord:
    """A replica of a secret.

    Attributes:
        replica_arn: Also of one that could not be made; another secret may have it then.
        kms_key_id: As it was asked for; None for the default key.
        status: InSync or Failed; between accounts also Pending and Detached.
        message: Why it failed.
        role_arn: With whose rights it is written; None for those of whoever changes the primary.
        is_listed: Whether the primary lists it; between accounts not before it is associated.
        is_followed: Whether the replica is one still; between accounts it can stop to be.
    """

    primary_arn: str
    replica_arn: str
    kms_key_id: str | None
    status: str
    message: str | None = None
    role_arn: str | None = None
    is_listed: bool = True
    is_followed: bool = True


_OF_PRIMARY = (
    select(_replications)
    .where(_replications.c.primary_arn == bindparam("primary_arn"), _replications.c.is_listed)
    .order_by(_replications.c.replication_id)
)
_OF_REPLICA = select(_replications).where(_replications.c.replica_arn == bindparam("replica_arn"))


def load_replications(connection: Connection, primary_arn: str) -> list[ReplicationRecord]:
    """Return the replicas that a secret lists, in the order in which they were asked for."""
    return [_record(row) for row in connection.execute(_OF_PRIMARY, {"primary_arn": primary_arn})]


def load_replication(connection: Connection, replica_arn: str) -> ReplicationRecord | None:
    """Return what is known of one replica."""
    row = connection.execute(_OF_REPLICA, {"replica_arn": replica_arn}).one_or_none()
    return None if row is None else _record(row)


def insert_replication(transaction: Transaction, record: ReplicationRecord) -> None:
    """Store a new replica of a secret."""
    transaction.connection.execute(insert(_replications), asdict(record))
    transaction.touch(REPLICATIONS, record.primary_arn)


def update_replication(transaction: Transaction, record: ReplicationRecord) -> None:
    """Store how a replica stands now; it keeps its place in the list."""
    transaction.connection.execute(
        update(_replications).where(_replications.c.replica_arn == record.replica_arn), asdict(record)
    )
    transaction.touch(REPLICATIONS, record.primary_arn)


def delete_replication(transaction: Transaction, record: ReplicationRecord) -> None:
    """Forget a replica."""
    transaction.connection.execute(delete(_replications).where(_replications.c.replica_arn == record.replica_arn))
    transaction.touch(REPLICATIONS, record.primary_arn)


def _record(row: Row[Any]) -> ReplicationRecord:
    return ReplicationRecord(
        primary_arn=row.primary_arn,
        replica_arn=row.replica_arn,
        kms_key_id=row.kms_key_id,
        status=row.status,
        message=row.message,
        role_arn=row.role_arn,
        is_listed=row.is_listed,
        is_followed=row.is_followed,
    )
