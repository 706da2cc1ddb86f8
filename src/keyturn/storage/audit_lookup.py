"""Audit records that have a value, within a range of time, newest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, desc, or_, select, true, tuple_

from keyturn.arn import Place
from keyturn.ids import moment_of_event_id
from keyturn.rules.audit_record import ChainedRecord
from keyturn.rules.event_reading import DENIED
from keyturn.storage import schema
from keyturn.storage.audit_index import VALUE_CHARACTERS, indexed_through, sequences
from keyturn.storage.audit_log import stored_record
from keyturn.storage.audit_marks import CHECKPOINT

_events, _blocks, _values, _marks = schema.audit_events, schema.audit_blocks, schema.audit_values, schema.audit_marks
_NEWEST_FIRST = (desc(_events.c.event_time), desc(_events.c.sequence))
_BLOCKS_AT_ONCE = 8
_WANTED = _events.c.sequence.in_(bindparam("sequences", expanding=True))
_ROWS = select(_events).where(_WANTED).order_by(*_NEWEST_FIRST)
_OLDEST_TIME = select(_events.c.event_time).order_by(_events.c.sequence).limit(1)
# Ids of events from before they began with their moment.
_OLDER_THAN_CHAIN = _events.c.sequence <= select(_marks.c.sequence).where(_marks.c.name == CHECKPOINT).scalar_subquery()

Moment = tuple[int, int]
"""Event time in milliseconds, and sequence: what records are ordered by."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked up.

    Attributes:
        place: Whose trail, in which region.
        attribute: A column of the record and the value it must have.
        starts_at: Milliseconds since the epoch, inclusive.
        ends_at: Likewise, inclusive.
        before: Only records before this one: the last of the page before.
        reader: If given, what only read is left out, unless the user or session of this name did.
    """

    place: Place
    attribute: tuple[str, object] | None = None
    starts_at: int | None = None
    ends_at: int | None = None
    before: Moment | None = None
    reader: str | None = None

    @property
    def owner(self) -> ColumnElement[bool]:
        """Whose records; an index leads to them, in the order of their time."""
        return and_(_events.c.account_id == self.place.account_id, _events.c.region == self.place.region)

    @property
    def owner_read_through(self) -> ColumnElement[bool]:
        """The same, and no index on it is tempting: few records are to be read, and they are known by number."""
        owner = schema.owner_of(self.place)
        return and_(*(_events.c[name].concat("") == value for name, value in owner.items()))

    @property
    def details(self) -> ColumnElement[bool]:
        """What else must hold for a record."""
        event = _events.c
        conditions: list[ColumnElement[bool]] = [true()]
        if self.attribute is not None:
            column, value = self.attribute
            conditions.append(event[column] == value)
        if self.starts_at is not None:
            conditions.append(event.event_time >= self.starts_at)
        # One or the other: of two bounds SQLite may take the wider one, and read all down to here.
        if self.ends_at is not None and (self.before is None or self.ends_at < self.before[0]):
            conditions.append(event.event_time <= self.ends_at)
        elif self.before is not None:
            conditions.append(tuple_(event.event_time, event.sequence) < tuple_(*self.before))
        if self.reader is not None:
            conditions.append(or_(event.read_only.is_(False), event.username == self.reader))
        return and_(*conditions)


def oldest_time(connection: Connection) -> int | None:
    """Return the event time of the oldest record there is, in milliseconds since the epoch; None without any."""
    oldest: int | None = connection.execute(_OLDEST_TIME).scalar_one_or_none()
    return oldest


def lookup(connection: Connection, question: Question, limit: int) -> list[ChainedRecord]:
    """Return records, newest first.

    Args:
        connection: Of the journal, with one snapshot for all statements.
        question: Which.
        limit: How many at most.
    """
    attribute = question.attribute
    if attribute is None:
        page = select(_events).where(question.owner, question.details).order_by(*_NEWEST_FIRST)
        return _read(connection, page.limit(limit))
    column, value = attribute
    if column == "event_id":
        moment = moment_of_event_id(str(value))
        if moment is None:
            page = select(_events).where(question.owner_read_through, question.details, _OLDER_THAN_CHAIN)
        else:
            page = select(_events).where(question.owner, question.details, _events.c.event_time == moment)
        return _read(connection, page.limit(limit))
    text = ("true" if value else "false") if column == "read_only" else str(value)
    found = _newest(connection, question, column, text[:VALUE_CHARACTERS], limit)
    return _read(connection, _ROWS, {"sequences": [sequence for _, sequence in found[:limit]]}) if found else []


def lookup_denied(
    connection: Connection, question: Question, limit: int, *, most_read: int
) -> tuple[list[ChainedRecord], Moment | None]:
    """Return records of calls that were not allowed, newest first, and behind which record to go on; None at the end.

    Args:
        connection: Of the journal, with one snapshot for all statements.
        question: Which, without an attribute.
        limit: How many at most.
        most_read: How many records are read for them at most.
    """
    page = select(_events).where(question.owner, question.details).order_by(*_NEWEST_FIRST)
    places = page.with_only_columns(_events.c.event_time, _events.c.sequence)
    # An index has these two: to find where so many records end takes a moment.
    last = connection.execute(places.offset(most_read - 1).limit(1)).one_or_none()
    end = None if last is None else (last.event_time, last.sequence)
    denied = page.where(_events.c.error_code.in_(DENIED))
    if end is not None:
        since = _events.c.event_time >= end[0]
        denied = denied.where(since, tuple_(_events.c.event_time, _events.c.sequence) >= tuple_(*end))
    found = _read(connection, denied.limit(limit + 1))
    if len(found) > limit:
        found = found[:limit]
        end = (found[-1].record.event_time, found[-1].sequence)
    return found, end


def _newest(connection: Connection, question: Question, column: str, value: str, limit: int) -> list[Moment]:
    """Return where the newest records with a value are, at least ``limit`` of them if there are so many.

    What is not indexed is read through; then block after block is taken, those with the newest records first, until
    the next can have none that is newer than what was found.
    """
    moments = select(_events.c.event_time, _events.c.sequence).where(question.details)
    behind_index = moments.where(question.owner_read_through, _events.c.sequence > indexed_through(connection))
    found = _moments(connection, behind_index.order_by(*_NEWEST_FIRST).limit(limit))
    # Entries of the index have an owner: it need not be compared again.
    indexed = moments.where(_WANTED)
    wanted: list[int] = []
    for block, last_time, offsets in _blocks_with(connection, question, column, value):
        if len(found) + len(wanted) >= limit:
            found = sorted(found + _moments(connection, indexed, wanted), reverse=True)
            wanted = []
            if len(found) >= limit and found[limit - 1][0] > last_time:
                return found
        wanted += sequences(block, offsets)
    return sorted(found + _moments(connection, indexed, wanted), reverse=True)


def _blocks_with(connection: Connection, question: Question, column: str, value: str) -> Iterator[tuple[int, int, str]]:
    """Yield blocks that have a value, with their newest record's time and where it is, the newest first."""
    entry = {"attribute": column, "value": value, **schema.owner_of(question.place)}
    # A look into every block, which takes microseconds. Joined, the database might read all entries of all blocks.
    offsets = (
        select(_values.c.offsets)
        .where(_values.c.block == _blocks.c.block, *(_values.c[name] == wanted for name, wanted in entry.items()))
        .scalar_subquery()
    )
    blocks = select(_blocks.c.block, _blocks.c.last_time, offsets.label("offsets"))
    if question.starts_at is not None:
        blocks = blocks.where(_blocks.c.last_time >= question.starts_at)
    for bound in (question.ends_at, question.before and question.before[0]):
        if bound is not None:
            blocks = blocks.where(_blocks.c.first_time <= bound)
    looked = blocks.subquery()
    found = (
        select(looked)
        .where(looked.c.offsets.is_not(None))
        .order_by(desc(looked.c.last_time), desc(looked.c.block))
        .limit(_BLOCKS_AT_ONCE)
    )
    page = found
    while rows := connection.execute(page).all():
        yield from ((row.block, row.last_time, row.offsets) for row in rows)
        page = found.where(tuple_(looked.c.last_time, looked.c.block) < tuple_(rows[-1].last_time, rows[-1].block))


def _moments(
    connection: Connection, statement: Select[tuple[int, int]], wanted: Sequence[int] | None = None
) -> list[Moment]:
    if wanted is None:
        return [(row.event_time, row.sequence) for row in connection.execute(statement)]
    if not wanted:
        return []
    return [(row.event_time, row.sequence) for row in connection.execute(statement, {"sequences": wanted})]


def _read(
    connection: Connection, statement: Select[Any], parameters: dict[str, object] | None = None
) -> list[ChainedRecord]:
    return [stored_record(row) for row in connection.execute(statement, parameters or {})]
