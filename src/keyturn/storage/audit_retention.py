"""Old audit records go, the oldest first, and leave a checkpoint from which the chain goes on."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, delete, select

from keyturn.clock import to_milliseconds
from keyturn.rules.audit_chain import Position
from keyturn.storage import audit_index, audit_marks, schema
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.audit_marks import CHECKPOINT

# Appenders wait for this many at a time.
AT_ONCE = 200

_events = schema.audit_events
_OLDEST = select(_events.c.sequence, _events.c.link, _events.c.event_time).order_by(_events.c.sequence).limit(AT_ONCE)
_DELETE = delete(_events).where(_events.c.sequence <= bindparam("through"))


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
        StorageError: The database failed; nothing was deleted.
    """
    limit = to_milliseconds(before)
    with log.exclusively(), log.database.write() as transaction:
        connection = transaction.connection
        # Servers take turns: a checkpoint must not move back.
        audit_marks.lock_mark(connection, CHECKPOINT)
        expired = []
        for row in connection.execute(_OLDEST):
            if row.event_time >= limit or row.sequence > through:
                break
            expired.append(row)
        if not expired:
            return False
        last = expired[-1]
        # What is older than the chain is before its checkpoint already.
        if last.link is not None:
            audit_marks.store_mark(connection, log.key, CHECKPOINT, Position(last.sequence, last.link), now)
        connection.execute(_DELETE, {"through": last.sequence})
        audit_index.forget_blocks(connection, last.sequence)
    return len(expired) == AT_ONCE
