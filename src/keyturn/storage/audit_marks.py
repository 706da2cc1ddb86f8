"""Sealed statements about the trail, kept in the journal beside it.

The *checkpoint* is the record behind which the trail begins: the last one of those that retention has deleted, or of
those from before there was a chain. Whoever has only the database cannot make one up, because it is sealed. Its link
says which: that of the deleted record; :data:`START` where the chain begins; :data:`LOST` where it goes on although the
checkpoint was gone, and nothing before it can be vouched for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select
from sqlalchemy.dialects import postgresql

from keyturn.clock import to_milliseconds
from keyturn.rules.audit_chain import LOST, START, ChainKey, Position
from keyturn.storage import schema

CHECKPOINT = "checkpoint"
# How many changes the state had seen (the newest generation), the last time that the journal was told.
STATE = "state"

_marks = schema.audit_marks
_BY_NAME = select(_marks).where(_marks.c.name == bindparam("name"))
_LOCK = _BY_NAME.with_for_update()
_INSERT = postgresql.insert(_marks)
_STORE = _INSERT.on_conflict_do_update(
    index_elements=["name"],
    set_={name: _INSERT.excluded[name] for name in ("sequence", "link", "at", "seal")},
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A statement as it is stored; whoever relies on it asks :meth:`is_sealed` first."""

    name: str
    position: Position
    at: datetime
    seal: bytes

    def is_sealed(self, key: ChainKey) -> bool:
        """Say whether it was made with this key."""
        return key.is_seal(self.seal, self.name, *self.position, to_milliseconds(self.at))

    @property
    def is_lost(self) -> bool:
        """Whether the chain goes on from here because nobody knew any more where it began."""
        return self.position.link == LOST

    @property
    def is_of_retention(self) -> bool:
        """Whether what came before was verified, and deleted when its time was over."""
        return self.position.link not in (START, LOST)


def load_mark(connection: Connection, name: str) -> Mark | None:
    """Return the statement of this name."""
    return _mark(connection.execute(_BY_NAME, {"name": name}).one_or_none())


def sealed_mark(connection: Connection, key: ChainKey, name: str) -> Mark | None:
    """Return the statement of this name; None if there is none, or if it was not made with this key."""
    mark = load_mark(connection, name)
    return mark if mark is not None and mark.is_sealed(key) else None


def lock_mark(connection: Connection, name: str) -> Mark | None:
    """Return a statement, and keep other writers away from it until the transaction ends."""
    return _mark(connection.execute(_LOCK, {"name": name}).one_or_none())


def store_mark(connection: Connection, key: ChainKey, name: str, position: Position, at: datetime) -> None:
    """Seal a statement and store it in the place of the one before it."""
    seal = key.seal(name, *position, to_milliseconds(at))
    values = {"name": name, "sequence": position.sequence, "link": position.link, "at": at, "seal": seal}
    connection.execute(_STORE, values)


def _mark(row: Row[Any] | None) -> Mark | None:
    return None if row is None else Mark(row.name, Position(row.sequence, row.link or b""), row.at, row.seal)
