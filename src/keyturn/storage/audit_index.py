"""Which records have a value, block by block: made behind the writers, so that storing a record costs no index.

Ordinary indexes by name, user, key and resource cost four times as much as storing the record: each puts its entry
somewhere else, and every page that is touched is written again with each commit. Here 4,096 records are indexed
together, in one read that keeps nobody waiting and one short write that only adds to the end. What is not indexed yet
is read through (``audit_lookup.py``).

Values are cut to 200 characters, so that every database can index them: whoever looks up compares the whole of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, String, bindparam, case, cast, delete, func, insert, literal, select, union_all
from sqlalchemy.dialects import postgresql

from keyturn.rules.audit_record import ChainedRecord
from keyturn.storage import audit_log, schema
from keyturn.storage.audit_log import AuditLog

BLOCK_RECORDS = 4096
VALUE_CHARACTERS = 200
ATTRIBUTES = (
    "event_source",
    "event_name",
    "username",
    "access_key_id",
    "read_only",
    "resource_name",
    "resource_type",
)

_events, _blocks, _values = schema.audit_events, schema.audit_blocks, schema.audit_values
_WITHIN = _events.c.sequence.between(bindparam("first"), bindparam("last"))
_TIMES = select(func.min(_events.c.event_time), func.max(_events.c.event_time)).where(_WITHIN)
_block = (
    select(
        _events.c.account_id,
        _events.c.region,
        cast(_events.c.sequence - bindparam("first"), String).label("offset"),
        *(
            case((_events.c.read_only, "true"), else_="false").label(name)
            if name == "read_only"
            else func.substr(_events.c[name], 1, VALUE_CHARACTERS).label(name)
            for name in ATTRIBUTES
        ),
    )
    .where(_WITHIN)
    .cte("block")
)
_FOUND = union_all(
    *(
        select(
            literal(name).label("attribute"),
            _block.c[name].label("value"),
            _block.c.account_id,
            _block.c.region,
            func.aggregate_strings(_block.c.offset, ",").label("offsets"),
        )
        .where(_block.c[name].is_not(None))
        .group_by(_block.c[name], _block.c.account_id, _block.c.region)
        for name in ATTRIBUTES
    )
)
_NEWEST = select(func.max(_blocks.c.block))
_OLDEST_RECORD = select(func.min(_events.c.sequence))
# What is returned tells whether a row was inserted: another server may have been quicker.
_INSERT_BLOCK = postgresql.insert(_blocks).on_conflict_do_nothing().returning(_blocks.c.block)
_INSERT_VALUES = insert(_values)
_OF_BLOCK = select(_values).where(_values.c.block == bindparam("block"))

Entry = tuple[str, str, str, str]
"""Attribute, value, account and region."""


def index_next_block(log: AuditLog) -> bool:
    """Index the next block that is whole; False if there is none.

    Raises:
        StorageError: The database failed; nothing is lost, the block is indexed the next time.
    """
    with log.database.read() as connection:
        oldest, newest = connection.execute(_OLDEST_RECORD).scalar_one(), audit_log.newest(connection)
        block = max((oldest or 1) - 1, indexed_through(connection)) // BLOCK_RECORDS
        first, last = block * BLOCK_RECORDS + 1, (block + 1) * BLOCK_RECORDS
        if newest is None or newest.sequence < last:
            return False
        first_time, last_time = connection.execute(_TIMES, {"first": first, "last": last}).one()
        found = [row._asdict() for row in connection.execute(_FOUND, {"first": first, "last": last})]
    with log.exclusively(), log.database.write() as transaction:
        times = {"block": block, "first_time": first_time, "last_time": last_time}
        if transaction.connection.execute(_INSERT_BLOCK, times).first() is not None:
            transaction.connection.execute(_INSERT_VALUES, [{**entry, "block": block} for entry in found])
    return True


def indexed_through(connection: Connection) -> int:
    """Return the last record that is indexed; 0 if none is."""
    newest: int | None = connection.execute(_NEWEST).scalar_one()
    return 0 if newest is None else (newest + 1) * BLOCK_RECORDS


def forget_blocks(connection: Connection, sequence: int) -> None:
    """Forget blocks whose records were all deleted, up to the one with this sequence."""
    for table in (_values, _blocks):
        connection.execute(delete(table).where((table.c.block + 1) * BLOCK_RECORDS <= sequence))


def sequences(block: int, offsets: str) -> list[int]:
    """Return the records that an entry means."""
    first = block * BLOCK_RECORDS + 1
    return [first + int(offset) for offset in offsets.split(",")]


def stored_entries(connection: Connection, block: int) -> dict[Entry, set[int]]:
    """Return the entries of a block as they are stored."""
    return {
        (row.attribute, row.value, row.account_id, row.region): set(sequences(block, row.offsets))
        for row in connection.execute(_OF_BLOCK, {"block": block})
    }


def entries_of(records: Iterable[ChainedRecord]) -> Mapping[Entry, set[int]]:
    """Return what the entries of records must be."""
    entries: dict[Entry, set[int]] = {}
    for stored in records:
        for name in ATTRIBUTES:
            value: Any = getattr(stored.record, name)
            if value is None:
                continue
            text = ("true" if value else "false") if name == "read_only" else value[:VALUE_CHARACTERS]
            entry = (name, text, stored.record.account_id, stored.record.region)
            entries.setdefault(entry, set()).add(stored.sequence)
    return entries
