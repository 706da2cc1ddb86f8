"""Rows kept in memory between requests, never older than the last acknowledged write.

A reader asks once per turn whether anything was committed (``refresh``). If so, it reads which subjects changed and
drops those, no others: one secret's write does not clear everybody's rows. Whatever is loaded while a refresh happens
is used once and not kept, so that a row read before a commit is never kept after it.

What was made of several rows says which (``get_made``): it is dropped with any of them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import TypeVar, cast

from sqlalchemy import Connection, bindparam, delete, func, select

from keyturn.storage import schema
from keyturn.storage.database import Database

T = TypeVar("T")

Key = tuple[str, str]
"""Kind and subject, as in ``Transaction.touch``."""

_LIMIT = 200_000
# Changes are read within a turn; a reader that is this far behind drops everything instead.
_CHANGES_KEPT = 10_000

_NEWEST = select(func.coalesce(func.max(schema.changes.c.generation), 0))
_OLDEST = select(func.coalesce(func.min(schema.changes.c.generation), 0))
_SINCE = select(schema.changes).where(schema.changes.c.generation > bindparam("after")).order_by("generation")
_TRIM = delete(schema.changes).where(schema.changes.c.generation <= bindparam("up_to"))


class KeptRows:
    """Loaded values by kind and subject, dropped when a committed change names them."""

    def __init__(self, database: Database, limit: int = _LIMIT) -> None:
        self._database = database
        self._limit = limit
        self._lock = threading.Lock()
        self._rows: OrderedDict[Key, object] = OrderedDict()
        # Of what was made of several rows: which, and the other way round.
        self._sources: dict[Key, Collection[Key]] = {}
        self._made_of: dict[Key, set[Key]] = {}
        self._probe = database.dialect.change_probe(database.engine)
        self._probed = self._probe()
        with database.read() as connection:
            self._generation: int = connection.execute(_NEWEST).scalar_one()
        self._epoch = 0

    def refresh(self) -> None:
        """Drop what has changed. Every value got after this call is as new as this call or newer."""
        if self._probe() == self._probed:
            return
        with self._lock:
            # Probed again, because another thread may have done the work meanwhile. The answer counts only when the
            # changes before it have been dropped: until then another thread must not believe that nothing is new, and
            # a failure here must not lose them. A commit after this probe is seen next time.
            probed = self._probe()
            if probed == self._probed:
                return
            with self._database.read() as connection:
                changes = connection.execute(_SINCE, {"after": self._generation}).all()
                # Whether some were trimmed is asked only if the next one is not there: a rollback leaves a gap as well.
                is_gap = bool(changes) and changes[0].generation > self._generation + 1
                was_trimmed = is_gap and connection.execute(_OLDEST).scalar_one() > self._generation + 1
            self._epoch += 1
            if was_trimmed:
                for kept in (self._rows, self._sources, self._made_of):
                    kept.clear()
            for change in changes:
                self._drop((change.kind, change.subject))
                self._generation = change.generation
            self._probed = probed

    def get(self, kind: str, subject: str, load: Callable[[Connection], T]) -> T:
        """Return the kept value, or load and keep it.

        Args:
            kind: What sort of row, as in ``Transaction.touch``.
            subject: Which one.
            load: Reads it; its result must be immutable. A result of None is kept too.
        """
        try:
            return cast("T", self._rows[kind, subject])
        except KeyError:
            pass
        return self.get_made(kind, subject, lambda connection: (load(connection), ()))

    def get_made(self, kind: str, subject: str, load: Callable[[Connection], tuple[T, Collection[Key]]]) -> T:
        """Return the kept value, or load and keep it until it changes or something that it was made of does.

        Args:
            kind: What sort of value, as in ``Transaction.touch``.
            subject: Which one.
            load: Reads it, all in one snapshot, and says what else it has read; the value must be immutable.
        """
        key = (kind, subject)
        try:
            return cast("T", self._rows[key])
        except KeyError:
            pass
        epoch = self._epoch
        with self._database.read() as connection:
            value, sources = load(connection)
        with self._lock:
            if epoch == self._epoch:
                self._keep(key, value, sources)
        return value

    def trim(self) -> None:
        """Forget changes that every reader has seen long ago. Called now and then, from any server."""
        with self._database.write() as transaction:
            newest = transaction.connection.execute(_NEWEST).scalar_one()
            transaction.connection.execute(_TRIM, {"up_to": newest - _CHANGES_KEPT})

    def _keep(self, key: Key, value: object, sources: Collection[Key]) -> None:
        # Another thread may have kept it meanwhile, as made of other rows.
        self._forget(key)
        self._rows[key] = value
        if sources:
            self._sources[key] = sources
            for source in sources:
                self._made_of.setdefault(source, set()).add(key)
        if len(self._rows) > self._limit:
            self._forget(next(iter(self._rows)))

    def _drop(self, key: Key) -> None:
        """Forget a value that has changed, and what was made of it."""
        self._forget(key)
        for made in tuple(self._made_of.get(key, ())):
            self._drop(made)

    def _forget(self, key: Key) -> None:
        self._rows.pop(key, None)
        for source in self._sources.pop(key, ()):
            made = self._made_of[source]
            made.discard(key)
            if not made:
                del self._made_of[source]
