"""Engines and transactions: the only way to the tables.

A *write* is one transaction that either commits whole or leaves nothing. It names what it changed (``touch``), and the
names are committed with it, so that rows kept in memory (``kept.py``) are dropped by whoever holds them.
"""

from __future__ import annotations

import importlib
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, bindparam, insert, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError

from keyturn.errors.base import KeyturnError
from keyturn.storage import schema
from keyturn.storage.erased import Erased

WRITES = "keyturn_writes"
"""Execution option that tells a dialect's ``begin`` that this transaction will write."""
MIGRATES = "keyturn_migrates"
"""Likewise, that it will rebuild tables which others refer to."""


class StorageError(KeyturnError):
    """The database failed; the driver's connection string is never part of the message."""


class AppendConflict(StorageError):
    """Somebody else has stored a row under a number that this process took for the next."""


Statement = tuple[str, tuple[Any, ...]]
Query = Callable[[str], tuple[Any, ...] | None]
"""Takes SQL and returns the first row of its result."""

Compose = Callable[[Query], Sequence[Statement]]
"""Returns SQL in the driver's own spelling, and its values."""


class Append(Protocol):
    """Runs insertions in one transaction, with as little around them as the driver allows."""

    def __call__(self, compose: Compose, *, durable: bool) -> None:
        """Run them.

        Args:
            compose: Returns the insertions. Where several servers share a database they take turns from what it asks
                for to the commit.
            durable: Whether they must survive a power cut, or only the end of this process.

        Raises:
            AppendConflict: A number is taken.
            StorageError: The database failed; none of them is stored.
        """
        ...


Purge = Callable[[list[bytes] | None], bool]
"""Takes what was erased, None if that is not known; returns whether it is gone, False to be tried again."""


class Dialect(Protocol):
    """What differs between databases. One module of ``storage/dialects`` each, found by the URL's scheme."""

    # True if a read costs microseconds, so that it may run on the event loop.
    is_embedded: bool
    title: str
    # Execution options by which all statements of a reading transaction see one snapshot.
    reading_options: Mapping[str, Any]

    def open_engines(self, url: str, *, read_only: bool) -> tuple[Engine, Engine]:
        """Return the engines of the state and of the journal.

        Raises:
            StorageError: They are to be read only, and are not there.
        """
        ...

    def triggers(self, connection: Connection) -> set[str]:
        """Return the names of the triggers there are."""
        ...

    def change_probe(self, engine: Engine) -> Callable[[], int]:
        """Return a function whose result differs whenever another connection has committed since its last call.

        What it holds is given back when the engine is disposed of.
        """
        ...

    def order_commits(self, connection: Connection) -> None:
        """Make sure that generations of ``changes`` become visible in their order."""
        ...

    def lock_name(self, connection: Connection, name: str) -> None:
        """Keep other writers away from a name that nothing may have yet, until the transaction ends."""
        ...

    def lock_count(self, connection: Connection, owner: str) -> None:
        """Keep other writers that count what an owner has away, until the transaction ends."""
        ...

    def appender(self, engine: Engine) -> Append:
        """Return a function that appends to the journal; it is called by one thread at a time.

        What it holds is given back when the engine is disposed of.
        """
        ...

    def was_interrupted(self, url: str) -> bool:
        """Say whether a process that died may have left behind what it had erased. Asked before anything is opened."""
        ...

    def purger(self, engine: Engine) -> Purge:
        """Return a function that rids the database's files of erased rows. Writers wait for it only if they must.

        What it holds is given back when the engine is disposed of.
        """
        ...

    def explain(self, error: DBAPIError) -> StorageError:
        """Translate a driver's error for the operator."""
        ...


@dataclass(slots=True)
class Transaction:
    """A transaction that writes."""

    connection: Connection
    touched: list[dict[str, str]] = field(default_factory=list)
    erased: list[bytes] = field(default_factory=list)
    moved: list[dict[str, Any]] = field(default_factory=list)

    def touch(self, kind: str, subject: str) -> None:
        """Tell every holder of kept rows that this subject has changed, once this transaction commits."""
        self.touched.append({"kind": kind, "subject": subject})

    def erase(self, piece: bytes) -> None:
        """Have the files rid of something that this transaction removes, soon after it commits.

        Args:
            piece: What it looks like where it is like nothing else; empty if nobody has to look for it.
        """
        self.erased.append(piece)

    def move(self, secret_id: int, sort_by: str, moved_from: datetime | None, at: datetime) -> None:
        """Note which date of a secret this transaction changes; see ``secret_lists.py``."""
        self.moved.append({"moved_secret": secret_id, "sort_by": sort_by, "moved_from": moved_from, "moved_at": at})


class Database:
    """One database: an engine, and what its dialect knows about it."""

    def __init__(self, engine: Engine, dialect: Dialect, *, was_interrupted: bool = False) -> None:
        self.engine = engine
        self.dialect = dialect
        self._reading_engine = engine.execution_options(**dialect.reading_options)
        self._writing_engine = engine.execution_options(**{WRITES: True})
        self._migrating_engine = engine.execution_options(**{WRITES: True, MIGRATES: True})
        # Who waits for an embedded database's own lock tries again now and then, and may be overtaken for seconds.
        self._turn = threading.Lock() if dialect.is_embedded else nullcontext()
        # The last act of each writing transaction that has touched something; may write and touch more.
        self.before_commit: Callable[[Transaction], None] = _nothing
        self._commit_numbers = itertools.count(1)
        # Differs from any earlier value once a write of this process has been committed.
        self.last_commit = 0
        self._erased = Erased(is_known=not was_interrupted)
        self._purge = dialect.purger(engine)
        self._purging = threading.Lock()

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Run one writing transaction; it is on disk when the block has ended.

        Raises:
            StorageError: The database failed; nothing was changed.
        """
        try:
            with self._turn, self._writing_engine.begin() as connection:
                transaction = Transaction(connection)
                yield transaction
                if transaction.touched:
                    self.before_commit(transaction)
                if transaction.touched or transaction.moved:
                    # Their numbers must rise in the order in which they become visible, so they come last.
                    self.dialect.order_commits(connection)
                for statement, rows in ((_INSERT_MOVE, transaction.moved), (_INSERT_CHANGE, transaction.touched)):
                    if rows:
                        connection.execute(statement, rows)
                erased = transaction.erased
            self.last_commit = next(self._commit_numbers)
            if erased:
                self._erased.add(erased)
        except DBAPIError as error:
            raise self.dialect.explain(error) from error

    @contextmanager
    def migrate(self) -> Iterator[Connection]:
        """Run one transaction that changes tables, on a connection that serves nothing else.

        Raises:
            StorageError: The database failed; nothing was changed.
        """
        try:
            with self._migrating_engine.connect() as connection:
                connection.detach()
                with connection.begin():
                    # Servers that start together take turns; those that come later find nothing left to do.
                    self.dialect.order_commits(connection)
                    yield connection
        except DBAPIError as error:
            raise self.dialect.explain(error) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Run statements that see one snapshot.

        Raises:
            StorageError: The database failed.
        """
        try:
            with self._reading_engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise self.dialect.explain(error) from error

    def purge(self) -> bool:
        """Rid the files of what was erased since the last time, and by a process that died.

        Returns:
            Whether it is gone: False if a reader or writer was in the way, and it is to be tried again.

        Raises:
            StorageError: The database failed; what was erased is remembered still.
        """
        with self._purging:
            is_due, pieces = self._erased.take()
            is_gone = not is_due
            try:
                is_gone = is_gone or self._purge(pieces)
            finally:
                if not is_gone:
                    self._erased.put_back(pieces)
            return is_gone

    def version(self) -> str:
        """Return what database it is, for people: its name and version."""
        with self.read() as connection:
            found = connection.dialect.server_version_info or ()
        return f"{self.dialect.title} {'.'.join(map(str, found))}"

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _nothing(_transaction: Transaction) -> None:
    pass


_INSERT_CHANGE = insert(schema.changes)
_MOVES = schema.secret_moves.c
# Only of secrets that are still there: one that was changed and then erased in this transaction has left all lists.
_INSERT_MOVE = insert(schema.secret_moves).from_select(
    ["secret_id", "sort_by", "moved_from", "moved_at"],
    select(
        schema.secrets.c.secret_id,
        bindparam("sort_by", type_=_MOVES.sort_by.type),
        bindparam("moved_from", type_=_MOVES.moved_from.type),
        bindparam("moved_at", type_=_MOVES.moved_at.type),
    ).where(schema.secrets.c.secret_id == bindparam("moved_secret")),
)


@dataclass(frozen=True, slots=True)
class Stores:
    """The two databases of a server."""

    state: Database
    journal: Database

    @classmethod
    def open(cls, url: str, *, read_only: bool = False) -> Stores:
        """Open both databases of ``url``; the schema is not looked at (``migrate.py`` does that).

        Args:
            url: Of the state.
            read_only: Change nothing, not even a file: to look at what a server has open, or has left behind.

        Raises:
            KeyturnError: No dialect for this URL.
        """
        try:
            scheme = make_url(url).get_backend_name()
        except ArgumentError as error:
            # The error's own text may quote the URL, and with it a password.
            raise KeyturnError(
                "The database URL cannot be read.", "Use sqlite:///PATH or postgresql://HOST/NAME."
            ) from error
        try:
            module = importlib.import_module(f"keyturn.storage.dialects.{scheme}")
        except ModuleNotFoundError as error:
            raise KeyturnError(
                f"Keyturn cannot keep its state in a {scheme!r} database.",
                "Use sqlite:///PATH or postgresql://HOST/NAME.",
            ) from error
        dialect: Dialect = module.DIALECT
        was_interrupted = dialect.was_interrupted(url)
        state_engine, journal_engine = dialect.open_engines(url, read_only=read_only)
        # Nothing is erased from the journal.
        state = Database(state_engine, dialect, was_interrupted=was_interrupted)
        return cls(state, Database(journal_engine, dialect))

    def close(self) -> None:
        """Close all connections of both."""
        self.state.close()
        self.journal.close()
