"""Messages that wait for their notifiers, and how far the trail was looked through for what they want to know.

Messages of one look are stored in one transaction with how far it got, which only one of several servers can commit:
each event becomes one message for each notifier. A message is offered by whoever moves its ``due_at`` past the end of
the offer: should that server die, it is due again by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql

from keyturn.rules.audit_record import ChainedRecord
from keyturn.storage import schema
from keyturn.storage.audit_log import newest, stored_record
from keyturn.storage.database import Database

_events, _cursors, _notifications = schema.audit_events, schema.audit_cursors, schema.notifications
# No sink is called so: their names are URLs.
_CURSOR = "notifications"
_SOURCE = "secretsmanager.amazonaws.com"

_POSITION = select(_cursors.c.sequence).where(_cursors.c.sink == _CURSOR)
_BEGIN = postgresql.insert(_cursors).on_conflict_do_nothing()
_MOVE = (
    update(_cursors)
    .where(_cursors.c.sink == _CURSOR, _cursors.c.sequence == bindparam("before"))
    .values(sequence=bindparam("after"))
    .returning(_cursors.c.sequence)
)
_NAMED = (
    select(_events)
    .where(
        _events.c.sequence > bindparam("after"),
        _events.c.sequence <= bindparam("through"),
        _events.c.event_source == _SOURCE,
        _events.c.event_name.in_(bindparam("names", expanding=True)),
    )
    .order_by(_events.c.sequence)
    .limit(bindparam("limit"))
)
_NEXT = (
    select(_notifications.c.notification_id)
    .where(_notifications.c.notifier == bindparam("of"), _notifications.c.due_at <= bindparam("now"))
    .order_by(_notifications.c.due_at, _notifications.c.notification_id)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_TAKE = (
    update(_notifications)
    .where(_notifications.c.notification_id == _NEXT.scalar_subquery())
    .values(due_at=bindparam("until"), tries=_notifications.c.tries + 1)
    .returning(_notifications)
)
_NEXT_DUE = select(func.min(_notifications.c.due_at)).where(_notifications.c.notifier == bindparam("notifier"))
_WAITING = select(_notifications.c.notifier, func.count()).group_by(_notifications.c.notifier)


@dataclass(frozen=True, slots=True)
class WaitingNotification:
    """A message that is being offered. ``tries`` counts this offer, too."""

    notification_id: int
    notifier: str
    document: str
    created_at: datetime
    tries: int


def begin(database: Database) -> int:
    """Return how far the trail was looked through; whoever looks for the first time begins with what comes next.

    Raises:
        StorageError: The database failed.
    """
    with database.write() as transaction:
        connection = transaction.connection
        head = newest(connection)
        connection.execute(_BEGIN, {"sink": _CURSOR, "sequence": head.sequence if head else 0})
        position: int = connection.execute(_POSITION).scalar_one()
    return position


def named_events(
    connection: Connection, after: int, through: int, names: Collection[str], limit: int
) -> list[ChainedRecord]:
    """Return what Secrets Manager recorded under these names, oldest first.

    Args:
        connection: To the journal.
        after: Record behind which to look.
        through: Last record to look at.
        names: Of events.
        limit: How many at most.
    """
    values = {"after": after, "through": through, "names": sorted(names), "limit": limit}
    return [stored_record(row) for row in connection.execute(_NAMED, values)]


def store_messages(
    database: Database, before: int, after: int, messages: Sequence[tuple[str, str]], at: datetime
) -> bool:
    """Store messages for notifiers, and how far the trail was looked through for them.

    Args:
        database: The journal.
        before: How far it had been.
        after: How far it is now.
        messages: Notifier and document of each.
        at: Aware UTC.

    Returns:
        False if another server was quicker, and nothing was stored.

    Raises:
        StorageError: The database failed.
    """
    with database.write() as transaction:
        connection = transaction.connection
        if connection.execute(_MOVE, {"before": before, "after": after}).first() is None:
            return False
        rows = [
            {"notifier": notifier, "document": document, "created_at": at, "tries": 0, "due_at": at}
            for notifier, document in messages
        ]
        if rows:
            connection.execute(insert(_notifications), rows)
    return True


def take_due(database: Database, notifier: str, now: datetime, hold: timedelta) -> WaitingNotification | None:
    """Take the message of a notifier that is due for longest; None if none is.

    Args:
        database: The journal.
        notifier: Its name.
        now: Aware UTC.
        hold: Nobody else takes it for so long.

    Raises:
        StorageError: The database failed.
    """
    with database.write() as transaction:
        row = transaction.connection.execute(_TAKE, {"of": notifier, "now": now, "until": now + hold}).one_or_none()
    return None if row is None else _waiting(row)


def next_due(connection: Connection, notifier: str) -> datetime | None:
    """Return when the next message of a notifier is due; None if none waits."""
    moment: datetime | None = connection.execute(_NEXT_DUE, {"notifier": notifier}).scalar_one()
    return moment


def remove(database: Database, taken: WaitingNotification) -> None:
    """Forget a message: it was taken, or is given up.

    Raises:
        StorageError: The database failed.
    """
    with database.write() as transaction:
        transaction.connection.execute(delete(_notifications).where(*_same(taken)))


def put_off(database: Database, taken: WaitingNotification, due_at: datetime) -> None:
    """Have a message offered again, unless somebody else has offered it meanwhile.

    Raises:
        StorageError: The database failed.
    """
    with database.write() as transaction:
        transaction.connection.execute(update(_notifications).where(*_same(taken)).values(due_at=due_at))


def remove_all(database: Database, notifier: str) -> int:
    """Forget all messages of a notifier, and return how many there were.

    Raises:
        StorageError: The database failed.
    """
    with database.write() as transaction:
        removed = transaction.connection.execute(delete(_notifications).where(_notifications.c.notifier == notifier))
    return removed.rowcount


def remove_older(database: Database, created_before: datetime, notifiers: Collection[str]) -> int:
    """Forget what waits for long for notifiers that there are no more, and return how much it was.

    Raises:
        StorageError: The database failed.
    """
    statement = delete(_notifications).where(
        _notifications.c.created_at < created_before, _notifications.c.notifier.not_in(notifiers)
    )
    with database.write() as transaction:
        return transaction.connection.execute(statement).rowcount


def make_due(database: Database, now: datetime) -> None:
    """Have everything that waits offered at once: for a server that is alone on its database, when it starts.

    Raises:
        StorageError: The database failed.
    """
    with database.write() as transaction:
        transaction.connection.execute(update(_notifications).where(_notifications.c.due_at > now).values(due_at=now))


def waiting(connection: Connection) -> Mapping[str, int]:
    """Return how many messages wait for each notifier."""
    return {name: count for name, count in connection.execute(_WAITING)}  # noqa: C416 - rows are no pairs for mypy


def _same(taken: WaitingNotification) -> tuple[Any, ...]:
    return (_notifications.c.notification_id == taken.notification_id, _notifications.c.tries == taken.tries)


def _waiting(row: Row[Any]) -> WaitingNotification:
    return WaitingNotification(row.notification_id, row.notifier, row.document, row.created_at, row.tries)
