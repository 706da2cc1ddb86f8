"""PostgreSQL: the same schema by URL, for several servers behind a load balancer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from keyturn.storage import schema
from keyturn.storage.database import Append, AppendConflict, Compose, Purge, StorageError

# Any number will do, as long as every Keyturn server takes the same: "keyturn" in base 36, cut to 63 bits.
_CHANGES_LOCK = 44_686_473_407
# Another, for whoever appends to the audit log.
_APPEND_DURABLY = "SELECT pg_advisory_xact_lock(44686473408)"
_APPEND = f"{_APPEND_DURABLY}, set_config('synchronous_commit', 'off', true)"
# A transaction of a server waits for nothing but the database; another server takes its rotations over just as soon.
IDLE_IN_TRANSACTION_MILLISECONDS = 15_000
# Another vacuum of the same table is in the way; it may have begun before the rows were erased.
_PURGE_LOCK_MILLISECONDS = 1_000
_LOCK_NOT_AVAILABLE = "55P03"
_UNIQUE_VIOLATION = "23505"
# Where values and what tells of them can be.
_PURGED = ", ".join(
    table.name
    for table in (
        schema.secrets,
        schema.secret_versions,
        schema.staging_labels,
        schema.rotations,
        schema.rotation_steps,
        schema.kms_keys,
        schema.kms_materials,
    )
)


class PostgresqlDialect:
    """PostgreSQL's answers to :class:`keyturn.storage.database.Dialect`."""

    is_embedded = False
    title = "PostgreSQL"
    # Otherwise each statement would see a snapshot of its own, and a secret's row could meet another moment's labels.
    reading_options: Mapping[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    def open_engines(self, url: str, *, read_only: bool) -> tuple[Engine, Engine]:
        """Open one pool for both; the journal's tables live beside the state's."""
        options = {"options": "-c default_transaction_read_only=on"} if read_only else {}
        engine = create_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            connect_args=options,
            pool_size=16,
            pool_pre_ping=True,
            hide_parameters=True,
        )
        event.listen(engine, "connect", _prepare)
        return engine, engine

    def triggers(self, connection: Connection) -> set[str]:
        """Ask the catalogue; those that are switched off do not count."""
        found = connection.execute(text("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'"))
        return set(found.scalars())

    def change_probe(self, engine: Engine) -> Callable[[], int]:
        """Ask for the newest committed generation."""
        newest = select(func.coalesce(func.max(schema.changes.c.generation), 0))

        def probe() -> int:
            try:
                with engine.connect() as connection:
                    return int(connection.execute(newest).scalar_one())
            except DBAPIError as error:
                raise self.explain(error) from error

        return probe

    def order_commits(self, connection: Connection) -> None:
        """Let generations become visible in their order: without this a slow commit would be overtaken and missed."""
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CHANGES_LOCK})

    def lock_name(self, connection: Connection, name: str) -> None:
        """Take turns over a name: a row that is not there cannot be locked. Names that share a hash merely wait."""
        _take_turns(connection, 1, name)

    def lock_count(self, connection: Connection, owner: str) -> None:
        """Take turns over counting: what another transaction has not committed yet is not seen."""
        _take_turns(connection, 2, owner)

    def appender(self, engine: Engine) -> Append:
        """Append on a connection of the pool; what need not be durable does not wait for the disk."""

        def append(compose: Compose, *, durable: bool) -> None:
            try:
                with engine.begin() as connection:

                    def query(sql: str) -> tuple[Any, ...] | None:
                        row = connection.exec_driver_sql(sql).first()
                        return None if row is None else tuple(row)

                    # In a statement before those that ask: they see what was committed when they begin.
                    connection.exec_driver_sql(_APPEND_DURABLY if durable else _APPEND)
                    for statement, values in compose(query):
                        connection.exec_driver_sql(statement, values)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) == _UNIQUE_VIOLATION:
                    raise AppendConflict("The database failed: a record with this number is there already.") from error
                raise self.explain(error) from error

        return append

    def was_interrupted(self, url: str) -> bool:  # noqa: ARG002 - the protocol's
        """Always possible: another server may have died."""
        return True

    def purger(self, engine: Engine) -> Purge:
        """Vacuum the tables of secrets and of KMS keys: nobody waits for that, and dead row versions are given up.

        What a page held there stays until something is written over it, and PostgreSQL's own write-ahead log has it
        for a while; from here nothing can be done about either (docs/decisions/0008-erasing-for-real.md).
        """
        # A vacuum is no part of a transaction.
        vacuuming = engine.execution_options(isolation_level="AUTOCOMMIT")

        def purge(_erased: list[bytes] | None) -> bool:
            try:
                with vacuuming.connect() as connection:
                    connection.execute(text(f"SET lock_timeout = {_PURGE_LOCK_MILLISECONDS}"))
                    try:
                        connection.execute(text(f"VACUUM {_PURGED}"))
                    finally:
                        connection.execute(text("RESET lock_timeout"))
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
                    return False
                raise self.explain(error) from error
            return True

        return purge

    def explain(self, error: DBAPIError) -> StorageError:
        """Keep the server's own sentence; the connection string, statement and parameters stay out."""
        reason = str(error.orig).splitlines()[0] if str(error.orig) else type(error.orig).__name__
        unreachable = error.connection_invalidated or isinstance(error, OperationalError)
        hints = ["Check that the PostgreSQL server is running and reachable."] if unreachable else []
        return StorageError(f"The database failed: {reason}.", *hints)


def _prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    """Have the server end a session that does nothing in the middle of a transaction: all other servers wait for it.

    A process that dies lets go at once. One that is halted, or whose machine is gone, would hold its locks until TCP
    finds out, which takes hours. Set by a statement: poolers refuse options they do not know when a session begins.
    """
    cursor = connection.cursor()
    cursor.execute(f"SET idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_MILLISECONDS}")
    cursor.close()
    connection.commit()


def _take_turns(connection: Connection, kind: int, name: str) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:kind, hashtext(:name))"), {"kind": kind, "name": name})


DIALECT = PostgresqlDialect()
