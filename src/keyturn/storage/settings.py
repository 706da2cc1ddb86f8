"""The few settings that belong to the data and not to a server: the partition, and the account that manages the others.

A server with others must not open this database. The region of databases that had only one is kept for migrations.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, insert, select

from keyturn.storage import schema
from keyturn.storage.database import Transaction


def load_settings(connection: Connection) -> dict[str, str]:
    """Return all of them; empty if the database was never initialised."""
    rows = connection.execute(select(schema.settings))
    return {row.name: row.value for row in rows}


def insert_settings(transaction: Transaction, values: Mapping[str, str]) -> None:
    """Store them, once."""
    transaction.connection.execute(
        insert(schema.settings), [{"name": name, "value": value} for name, value in values.items()]
    )
