"""What a database's files hold, read past the database."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from keyturn.storage.database import Stores
from keyturn.testing.postgresql import PostgresqlServer


def state_files(stores: Stores, server: PostgresqlServer | None) -> bytes:
    """Return all that SQLite keeps of the state, or the file in which PostgreSQL keeps the versions of secrets."""
    if server is None:
        path = Path(str(stores.state.engine.url.database))
        return b"\n".join(
            file.read_bytes() for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")) if file.exists()
        )
    with stores.state.read() as connection:
        database = connection.execute(text("SELECT current_database()")).scalar_one()
        place = connection.execute(text("SELECT pg_relation_filepath('secret_versions')")).scalar_one()
    server.run("CHECKPOINT", database=database)
    return Path(server.directory, "data", place).read_bytes()
