"""Old audit records go, the oldest first, and leave a checkpoint from which the chain goes on."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, delete

from keyturn.clock import to_milliseconds
from keyturn.errors.base import KeyturnError
from keyturn.rules.audit_proof import Walk
from keyturn.rules.audit_report import BEGIN
from keyturn.storage import audit_index, audit_log, audit_marks, schema
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.audit_marks import CHECKPOINT

# Appenders wait for this many at a time.
AT_ONCE = 200

_events = schema.audit_events
_DELETE = delete(_events).where(_events.c.sequence <= bindparam("through"))


class Unverified(KeyturnError):
    """What is to go is not what was written, and stays as evidence."""


def delete_expired(log: AuditLog, before: datetime, through: int, now: datetime) -> bool:
    """Delete some records that are older than a moment, and none behind the first that is not.

    Args:
        log: The trail.
        before: Records of events before this moment may go.
        through: The last record that may go: what comes behind it has not been handed on yet.
        now: Aware UTC.

    Returns:
        Whether there may be more to delete.

    Raises:
        Unverified: The oldest records do not continue the checkpoint; nothing was deleted.
        StorageError: The database failed; nothing was deleted.
    """
    limit = to_milliseconds(before)
    with log.exclusively(), log.database.write() as transaction:
        connection = transaction.connection
        # Servers take turns: a checkpoint must not move back.
        mark = audit_marks.lock_mark(connection, CHECKPOINT)
        expired = []
        for stored in audit_log.records_after(connection, 0, AT_ONCE):
            if stored.record.event_time >= limit or stored.sequence > through:
                break
            expired.append(stored)
        if not expired:
            return False
        # Whoever makes records look old must not have them deleted and the rest of the chain vouched for.
        walk = Walk(log.key, mark.position if mark else BEGIN)
        chained = [stored for stored in expired if stored.sequence > walk.head.sequence]
        # Behind a lost checkpoint the chain is whole; what lies before it is the evidence of what was done.
        is_evidence = mark is not None and mark.is_lost and len(chained) < len(expired)
        if mark is None or not mark.is_sealed(log.key) or is_evidence or not walk.follow(chained):
            raise Unverified(
                "The oldest audit records are not what was written; they are not deleted.",
                "keyturn audit verify says what is wrong with them.",
            )
        if chained:
            audit_marks.store_mark(connection, log.key, CHECKPOINT, walk.head, now)
        connection.execute(_DELETE, {"through": expired[-1].sequence})
        audit_index.forget_blocks(connection, expired[-1].sequence)
    return len(expired) == AT_ONCE
