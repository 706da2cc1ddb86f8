"""How far each sink has come in the trail, and which of several servers feeds it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.dialects import postgresql

from keyturn.storage import schema
from keyturn.storage.database import Database

_cursors = schema.audit_cursors
_OF_SINK = select(_cursors.c.sequence).where(_cursors.c.sink == bindparam("sink"))
_INSERT = postgresql.insert(_cursors).on_conflict_do_nothing()
_LEASE = (
    update(_cursors)
    .where(
        _cursors.c.sink == bindparam("of"),
        or_(
            _cursors.c.lease_owner.is_(None),
            _cursors.c.lease_owner == bindparam("owner"),
            _cursors.c.lease_expires_at < bindparam("now"),
        ),
    )
    .values(lease_owner=bindparam("owner"), lease_expires_at=bindparam("until"))
    .returning(_cursors.c.sequence)
)


class CursorLost(Exception):
    """Another server feeds the sink now."""


def open_cursor(database: Database, sink: str) -> int:
    """Return the last record that a sink has; 0 for one that is new.

    Raises:
        StorageError: The database failed.
    """
    with database.write() as transaction:
        transaction.connection.execute(_INSERT, {"sink": sink, "sequence": 0})
        sequence: int = transaction.connection.execute(_OF_SINK, {"sink": sink}).scalar_one()
    return sequence


def lease_cursor(database: Database, sink: str, owner: str, now: datetime, until: datetime) -> int | None:
    """Take or renew the right to feed a sink; return how far it has come, None if another server feeds it.

    Raises:
        StorageError: The database failed.
    """
    values = {"of": sink, "owner": owner, "now": now, "until": until}
    with database.write() as transaction:
        sequence: int | None = transaction.connection.execute(_LEASE, values).scalar_one_or_none()
    return sequence


def release_cursor(database: Database, sink: str, owner: str) -> None:
    """Let another server feed a sink.

    Raises:
        StorageError: The database failed.
    """
    statement = update(_cursors).where(_cursors.c.sink == sink, _cursors.c.lease_owner == owner)
    with database.write() as transaction:
        transaction.connection.execute(statement.values(lease_owner=None, lease_expires_at=None))


def store_cursor(database: Database, sink: str, sequence: int, owner: str | None) -> None:
    """Note the last record that a sink has.

    Args:
        database: The journal.
        sink: Its name.
        sequence: Of the record.
        owner: Who must still hold the lease; None where there is none.

    Raises:
        CursorLost: Another server holds it.
        StorageError: The database failed.
    """
    statement = update(_cursors).where(_cursors.c.sink == sink)
    if owner is not None:
        statement = statement.where(_cursors.c.lease_owner == owner)
    with database.write() as transaction:
        stored = transaction.connection.execute(statement.values(sequence=sequence).returning(_cursors.c.sequence))
        if stored.first() is None:
            raise CursorLost
