"""The journal of what functions print: log groups, their streams, and the events of those.

All moments are milliseconds since the epoch, as the Logs API has them on the wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql

from keyturn.arn import Place
from keyturn.clock import to_milliseconds
from keyturn.storage import schema
from keyturn.storage.database import Database, Transaction
from keyturn.storage.stored_text import storable

_groups, _streams, _events = schema.log_groups, schema.log_streams, schema.log_events


@dataclass(frozen=True, slots=True)
class LogGroupRecord:
    """A log group as stored; ``retention_days`` is None if its events never expire."""

    group_id: int
    name: str
    created_ms: int
    retention_days: int | None


@dataclass(frozen=True, slots=True)
class LogStreamRecord:
    """A log stream as stored; the last three are None until its first event."""

    stream_id: int
    group_id: int
    name: str
    created_ms: int
    first_event_ms: int | None
    last_event_ms: int | None
    last_ingestion_ms: int | None


@dataclass(frozen=True, slots=True)
class LogEventRecord:
    """One event; ``event_row`` is never used again, so that a reader can tell repeats."""

    event_row: int
    stream_name: str
    timestamp_ms: int
    ingested_ms: int
    message: str


@dataclass(frozen=True, slots=True, order=True)
class LogPosition:
    """A gap between events, which are ordered by timestamp and row: before the first event that is not less."""

    timestamp_ms: int
    event_row: int


@dataclass(frozen=True, slots=True)
class LogPage:
    """Events, oldest first, and where reading goes on in either direction; both are the place asked for at an end."""

    events: list[LogEventRecord]
    backward: LogPosition
    forward: LogPosition


# ON CONFLICT is spelled alike by both databases; SQLAlchemy's construct of PostgreSQL compiles for SQLite too.
# What is returned tells whether a row was inserted: PostgreSQL's driver does not count.
_CREATE_GROUP = postgresql.insert(_groups).on_conflict_do_nothing().returning(_groups.c.group_id)
_CREATE_STREAM = postgresql.insert(_streams).on_conflict_do_nothing().returning(_streams.c.stream_id)
# The update changes nothing, but finds the row that is there and keeps it from being deleted before it is used.
_FIND_GROUP = postgresql.insert(_groups)
_FIND_GROUP = _FIND_GROUP.on_conflict_do_update(
    index_elements=["account_id", "region", "name"], set_={"name": _FIND_GROUP.excluded.name}
)
_FIND_STREAM = postgresql.insert(_streams)
_FIND_STREAM = _FIND_STREAM.on_conflict_do_update(
    index_elements=["group_id", "name"], set_={"name": _FIND_STREAM.excluded.name}
)
_FIND_GROUP_ID = _FIND_GROUP.returning(_groups.c.group_id)
_FIND_STREAM_IDS = _FIND_STREAM.returning(_streams.c.group_id, _streams.c.stream_id)
_INSERT_EVENT = insert(_events)
_IN_PLACE = and_(_groups.c.account_id == bindparam("account_id"), _groups.c.region == bindparam("region"))
_GROUP = select(_groups).where(_IN_PLACE, _groups.c.name == bindparam("group"))
_STREAM = (
    select(_streams)
    .join_from(_streams, _groups)
    .where(_IN_PLACE, _groups.c.name == bindparam("group"), _streams.c.name == bindparam("stream"))
)
_FIRST, _LAST = bindparam("first", type_=BigInteger), bindparam("last", type_=BigInteger)
_NOTE_EVENTS = (
    update(_streams)
    .where(_streams.c.stream_id == bindparam("noted"))
    .values(
        first_event_ms=case((_streams.c.first_event_ms < _FIRST, _streams.c.first_event_ms), else_=_FIRST),
        last_event_ms=case((_streams.c.last_event_ms > _LAST, _streams.c.last_event_ms), else_=_LAST),
        last_ingestion_ms=bindparam("ingested"),
    )
)
# Streams without events come last when the newest is asked for first, as if they had been written to long ago.
_LAST_EVENT = func.coalesce(_streams.c.last_event_ms, 0)
_EVENTS = select(
    _events.c.event_row,
    _streams.c.name.label("stream_name"),
    _events.c.timestamp_ms,
    _events.c.ingested_ms,
    _events.c.message,
).join_from(_events, _streams)
_place = tuple_(_events.c.timestamp_ms, _events.c.event_row)
_LINES = (
    select(_streams, _events.c.timestamp_ms, _events.c.event_row)
    .join_from(_events, _streams)
    .where(
        _events.c.group_id == bindparam("in_group"),
        _events.c.timestamp_ms.between(bindparam("starts_ms"), bindparam("ends_ms")),
    )
    .order_by(_events.c.timestamp_ms, _events.c.event_row)
    .limit(1)
)
_LINE = _LINES.where(
    or_(
        func.substr(_events.c.message, 1, bindparam("length", type_=Integer)) == bindparam("text", type_=Text),
        # What a request id can hold means nothing to LIKE.
        _events.c.message.contains(bindparam("within", type_=Text)),
        _events.c.message.contains(bindparam("also_within", type_=Text)),
    )
)


def create_group(transaction: Transaction, place: Place, group: str, at: datetime) -> bool:
    """Make a log group; return False if the account has one of this name in the region."""
    parameters = {**schema.owner_of(place), "name": group, "created_ms": to_milliseconds(at)}
    return transaction.connection.execute(_CREATE_GROUP, parameters).one_or_none() is not None


def create_stream(transaction: Transaction, group: LogGroupRecord, stream: str, at: datetime) -> bool:
    """Make a log stream; return False if the group has one of this name."""
    parameters = {"group_id": group.group_id, "name": stream, "created_ms": to_milliseconds(at)}
    return transaction.connection.execute(_CREATE_STREAM, parameters).one_or_none() is not None


def load_group(connection: Connection, place: Place, group: str) -> LogGroupRecord | None:
    """Return one log group, or None."""
    row = connection.execute(_GROUP, {**schema.owner_of(place), "group": group}).one_or_none()
    return None if row is None else _group(row)


def load_stream(connection: Connection, place: Place, group: str, stream: str) -> LogStreamRecord | None:
    """Return one log stream, or None."""
    row = connection.execute(_STREAM, {**schema.owner_of(place), "group": group, "stream": stream}).one_or_none()
    return None if row is None else _stream(row)


def delete_group(transaction: Transaction, group: LogGroupRecord) -> None:
    """Remove a log group with its streams and their events."""
    transaction.connection.execute(delete(_groups).where(_groups.c.group_id == group.group_id))


def delete_stream(transaction: Transaction, stream: LogStreamRecord) -> None:
    """Remove a log stream with its events."""
    transaction.connection.execute(delete(_streams).where(_streams.c.stream_id == stream.stream_id))


def store_retention(transaction: Transaction, group: LogGroupRecord, retention_days: int | None) -> None:
    """Set for how many days a group's events are shown; None for ever."""
    transaction.connection.execute(
        update(_groups).where(_groups.c.group_id == group.group_id), {"retention_days": retention_days}
    )


def append_events(
    database: Database, place: Place, group: str, stream: str, lines: Sequence[tuple[int, str]], ingested_at: datetime
) -> None:
    """Store events in one transaction; group and stream are made where they are missing.

    Args:
        database: The journal.
        place: Whose log group, in which region.
        group: The log group's name.
        stream: The log stream's name.
        lines: Timestamp in milliseconds since the epoch, and message, in the order in which they were written.
        ingested_at: Aware UTC.

    Raises:
        StorageError: The database failed; nothing is stored.
    """
    ingested_ms = to_milliseconds(ingested_at)
    with database.write() as transaction:
        connection = transaction.connection
        known = connection.execute(_STREAM, {**schema.owner_of(place), "group": group, "stream": stream}).one_or_none()
        found = known or _make_stream(connection, place, group, stream, ingested_ms)
        if not lines:
            return
        origin = {"stream_id": found.stream_id, "group_id": found.group_id, "ingested_ms": ingested_ms}
        connection.execute(
            _INSERT_EVENT,
            [origin | {"timestamp_ms": timestamp_ms, "message": storable(message)} for timestamp_ms, message in lines],
        )
        moments = [timestamp_ms for timestamp_ms, _ in lines]
        connection.execute(
            _NOTE_EVENTS,
            {"noted": found.stream_id, "first": min(moments), "last": max(moments), "ingested": ingested_ms},
        )


def list_groups(
    connection: Connection, place: Place, *, prefix: str = "", contains: str = "", after: str = "", limit: int
) -> list[LogGroupRecord]:
    """Return log groups by name.

    Args:
        connection: Of the journal.
        place: Whose, in which region.
        prefix: How the name begins, letters' case counting.
        contains: What is somewhere in the name, letters' case counting.
        after: Only names behind this one: the last of the page before.
        limit: How many at most.
    """
    page = select(_groups).where(_IN_PLACE, _groups.c.name > after).order_by(_groups.c.name).limit(limit)
    if prefix:
        page = page.where(_begins(_groups.c.name, prefix))
    if contains:
        # LIKE would not do, as in _begins; a name that something can be taken out of contains it.
        page = page.where(func.replace(_groups.c.name, contains, "") != _groups.c.name)
    return [_group(row) for row in connection.execute(page, schema.owner_of(place))]


def list_streams(
    connection: Connection,
    group: LogGroupRecord,
    *,
    prefix: str = "",
    by_last_event: bool = False,
    descending: bool = False,
    after: LogStreamRecord | None = None,
    limit: int,
) -> list[LogStreamRecord]:
    """Return the streams of a group.

    Args:
        connection: Of the journal.
        group: Whose.
        prefix: How the name begins, letters' case counting.
        by_last_event: Order by the last event's timestamp and not by name.
        descending: The other way round.
        after: Only streams behind this one: the last of the page before.
        limit: How many at most.
    """
    keys = (_LAST_EVENT, _streams.c.name) if by_last_event else (_streams.c.name,)
    page = select(_streams).where(_streams.c.group_id == group.group_id).limit(limit)
    page = page.order_by(*[key.desc() if descending else key for key in keys])
    if prefix:
        page = page.where(_begins(_streams.c.name, prefix))
    if after is not None:
        last = (after.last_event_ms or 0, after.name) if by_last_event else (after.name,)
        page = page.where(tuple_(*keys) < last if descending else tuple_(*keys) > last)
    return [_stream(row) for row in connection.execute(page)]


def get_events(
    connection: Connection,
    stream: LogStreamRecord,
    *,
    starts_ms: int | None = None,
    ends_ms: int | None = None,
    position: LogPosition | None = None,
    forward: bool,
    limit: int,
) -> LogPage:
    """Return a page of one stream's events.

    Args:
        connection: Of the journal.
        stream: Which stream.
        starts_ms: Milliseconds since the epoch, inclusive.
        ends_ms: Likewise, exclusive.
        position: Where an earlier page says that reading goes on; None for the first page.
        forward: Read on from the position or the oldest event; otherwise back from it, or from the newest.
        limit: How many at most.

    Source: Amazon CloudWatch Logs API Reference, GetLogEvents.
    """
    page = _EVENTS.where(_events.c.stream_id == stream.stream_id)
    page = page.where(_from(starts_ms, position if forward else None), _before(ends_ms, None if forward else position))
    events = _read(connection, page, descending=not forward, limit=limit)
    if not forward:
        events.reverse()
    return _page(events, position or LogPosition(starts_ms or 0, 0))


def find_line(
    connection: Connection,
    group: LogGroupRecord,
    text: str,
    *,
    within: tuple[str, str],
    starts_ms: int,
    ends_ms: int,
) -> tuple[LogStreamRecord, LogPosition] | None:
    """Return where the first event of a group is that begins with a text or holds another, None if there is none.

    Args:
        connection: Of the journal.
        group: Which group.
        text: What it begins with; letters' case counts.
        within: What it may hold instead, one or the other.
        starts_ms: Milliseconds since the epoch, inclusive; all events are looked at from here on.
        ends_ms: Likewise, to here.
    """
    span = {"in_group": group.group_id, "starts_ms": starts_ms, "ends_ms": ends_ms}
    row = connection.execute(
        _LINE, {**span, "text": text, "length": len(text), "within": within[0], "also_within": within[1]}
    ).one_or_none()
    if row is None:
        return None
    columns = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
    position = LogPosition(columns.pop("timestamp_ms"), columns.pop("event_row"))
    return LogStreamRecord(**columns), position


def filter_events(
    connection: Connection,
    group: LogGroupRecord,
    *,
    streams: Sequence[str] = (),
    stream_prefix: str = "",
    texts: Sequence[str] = (),
    starts_ms: int | None = None,
    ends_ms: int | None = None,
    position: LogPosition | None = None,
    until: LogPosition | None = None,
    limit: int,
) -> LogPage:
    """Return a page of a group's events, oldest first.

    Args:
        connection: Of the journal.
        group: Which group.
        streams: Names of the streams to look at; all if empty.
        stream_prefix: How their names begin.
        texts: Events that hold none of these may be left out; nothing is known if empty.
        starts_ms: Milliseconds since the epoch, inclusive.
        ends_ms: Likewise, inclusive, unlike that of :func:`get_events`.
        position: Where an earlier page says that reading goes on; None for the first page.
        until: Where it ends, as :func:`place_behind` says; None for no such end.
        limit: How many at most; a page that is shorter was the last.

    Source: Amazon CloudWatch Logs API Reference, FilterLogEvents.
    """
    page = _EVENTS.where(_events.c.group_id == group.group_id, _from(starts_ms, position), _to(ends_ms, until))
    if streams:
        page = page.where(_streams.c.name.in_(streams))
    if stream_prefix:
        page = page.where(_begins(_streams.c.name, stream_prefix))
    if texts and all(storable(text) == text for text in texts):
        # On SQLite letters of either case are found by it, which leaves out less.
        page = page.where(or_(*(_events.c.message.contains(text, autoescape=True) for text in texts)))
    events = _read(connection, page, descending=False, limit=limit)
    return _page(events, position or LogPosition(starts_ms or 0, 0))


def place_behind(
    connection: Connection,
    group: LogGroupRecord,
    count: int,
    *,
    starts_ms: int | None,
    ends_ms: int | None,
    position: LogPosition | None,
) -> LogPosition | None:
    """Return where so many events of a group, of all its streams, end; None if there are not so many.

    Args:
        connection: Of the journal.
        group: Which group.
        count: How many.
        starts_ms: As for :func:`filter_events`.
        ends_ms: Likewise.
        position: Likewise.
    """
    # An index has these two: to count so many of its entries takes a millisecond or ten.
    places = select(_events.c.timestamp_ms, _events.c.event_row).where(
        _events.c.group_id == group.group_id, _from(starts_ms, position), _to(ends_ms, None)
    )
    ordered = places.order_by(_events.c.timestamp_ms, _events.c.event_row)
    row = connection.execute(ordered.offset(count).limit(1)).one_or_none()
    return None if row is None else LogPosition(row.timestamp_ms, row.event_row)


def _make_stream(connection: Connection, place: Place, group: str, stream: str, at_ms: int) -> Row[Any]:
    owned = {**schema.owner_of(place), "name": group, "created_ms": at_ms}
    group_id = connection.execute(_FIND_GROUP_ID, owned).scalar_one()
    parameters = {"group_id": group_id, "name": stream, "created_ms": at_ms}
    return connection.execute(_FIND_STREAM_IDS, parameters).one()


def _begins(name: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    # LIKE would not do: on SQLite it takes capitals for small letters.
    return func.substr(name, 1, len(prefix)) == prefix


def _from(starts_ms: int | None, position: LogPosition | None) -> ColumnElement[bool]:
    """Return where reading begins, as one condition: of two SQLite may take the wider one, and read all up to here."""
    if position is not None and (starts_ms is None or starts_ms <= position.timestamp_ms):
        return _place >= (position.timestamp_ms, position.event_row)
    return true() if starts_ms is None else _events.c.timestamp_ms >= starts_ms


def _to(ends_ms: int | None, until: LogPosition | None) -> ColumnElement[bool]:
    """Return where it ends, likewise; what is found to be an end is within the time."""
    if until is not None:
        return _place < (until.timestamp_ms, until.event_row)
    return true() if ends_ms is None else _events.c.timestamp_ms <= ends_ms


def _before(ends_ms: int | None, position: LogPosition | None) -> ColumnElement[bool]:
    """Return where reading back begins, likewise."""
    if position is not None and (ends_ms is None or position.timestamp_ms < ends_ms):
        return _place < (position.timestamp_ms, position.event_row)
    return true() if ends_ms is None else _events.c.timestamp_ms < ends_ms


def _read(connection: Connection, page: Select[Any], *, descending: bool, limit: int) -> list[LogEventRecord]:
    order = (_events.c.timestamp_ms, _events.c.event_row)
    page = page.order_by(*[column.desc() if descending else column for column in order]).limit(limit)
    return [
        LogEventRecord(row.event_row, row.stream_name, row.timestamp_ms, row.ingested_ms, row.message)
        for row in connection.execute(page)
    ]


def _page(events: list[LogEventRecord], here: LogPosition) -> LogPage:
    if not events:
        return LogPage([], here, here)
    first, last = events[0], events[-1]
    return LogPage(
        events,
        backward=LogPosition(first.timestamp_ms, first.event_row),
        forward=LogPosition(last.timestamp_ms, last.event_row + 1),
    )


def _group(row: Row[Any]) -> LogGroupRecord:
    return LogGroupRecord(row.group_id, row.name, row.created_ms, row.retention_days)


def _stream(row: Row[Any]) -> LogStreamRecord:
    return LogStreamRecord(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
