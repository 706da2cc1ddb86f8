"""Console sessions that somebody has ended: their cookies count no more, on whichever server they are shown."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from keyturn.storage import schema
from keyturn.storage.database import Transaction

_sign_outs = schema.console_sign_outs.c


def insert_sign_out(transaction: Transaction, session_id: str, expires_at: datetime, now: datetime) -> None:
    """Store that a session has ended; what has expired meanwhile is forgotten. May be done twice."""
    transaction.connection.execute(delete(schema.console_sign_outs).where(_sign_outs.expires_at <= now))
    if not is_signed_out(transaction.connection, session_id):
        transaction.connection.execute(
            insert(schema.console_sign_outs).values(session_id=session_id, expires_at=expires_at)
        )


def is_signed_out(connection: Connection, session_id: str) -> bool:
    """Return whether a session was ended before its time."""
    found = connection.execute(select(_sign_outs.session_id).where(_sign_outs.session_id == session_id))
    return found.first() is not None
