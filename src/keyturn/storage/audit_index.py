"""Which records have a value, block by block: made behind the writers, so that storing a record costs no index.

Ordinary indexes by name, user, key and resource cost four times as much as storing the record: each puts its entry
somewhere else, and every page that is touched is written again with each commit. Here 4,096 records are indexed
together, in one read that keeps nobody waiting and one short write that only adds to the end. What is not indexed yet
is read through (``audit_lookup.py``).

Values are cut to 200 characters, so that every database can index them: whoever looks up compares the whole of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select
from sqlalchemy.dialects import postgresql

from keyturn.rules.audit_record import ChainedRecord
from keyturn.storage import audit_log, schema
from keyturn.storage.audit_log import AuditLog

BLOCK_RECORDS = 4096
VALUE_CHARACTERS = 200
_SHORT = 2
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
_READ = (
    select(
        _events.c.sequence,
        _events.c.event_time,
        _events.c.account_id,
        _events.c.region,
        *(_events.c[name] for name in ATTRIBUTES),
    )
    .where(_events.c.sequence.between(bindparam("first"), bindparam("last")))
    .order_by(_events.c.sequence)
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
        rows = [tuple(row) for row in connection.execute(_READ, {"first": first, "last": last})]
    entries = [
        {
            "block": block,
            "attribute": attribute,
            "value": value,
            "account_id": account_id,
            "region": region,
            "offsets": _packed(sorted(found), first),
        }
        for (attribute, value, account_id, region), found in _entries(rows).items()
    ]
    times = [row[1] for row in rows]
    with log.exclusively(), log.database.write() as transaction:
        span = {"block": block, "first_time": min(times), "last_time": max(times)}
        if transaction.connection.execute(_INSERT_BLOCK, span).first() is not None:
            transaction.connection.execute(_INSERT_VALUES, entries)
    return True


def _entries(rows: Sequence[tuple[Any, ...]]) -> dict[Entry, list[int]]:
    """Return which records have a value; a row has sequence, time, account, region and the attributes."""
    entries: dict[Entry, list[int]] = {}
    for owner in {row[2:4] for row in rows}:
        columns = list(zip(*(row for row in rows if row[2:4] == owner), strict=True))
        for attribute, column in zip(ATTRIBUTES, columns[4:], strict=True):
            # One attribute after the other is twice as fast as one record after the other.
            found: dict[Any, list[int]] = {}
            for sequence, value in zip(columns[0], column, strict=True):
                if value in found:
                    found[value].append(sequence)
                elif value is not None:
                    found[value] = [sequence]
            for value, sequences in found.items():
                entries.setdefault((attribute, _text(value), *owner), []).extend(sequences)
    return entries


def _text(value: Any) -> str:
    """Return a value as it is stored; long ones that begin alike share an entry."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)[:VALUE_CHARACTERS]


def _packed(sequences: Sequence[int], first: int) -> str:
    """Return how far behind the block's first record others are: numbers with commas, or the ends of a range."""
    low, high = sequences[0] - first, sequences[-1] - first
    if len(sequences) == high - low + 1 > _SHORT:
        return f"{low}-{high}"
    return ",".join([str(sequence - first) for sequence in sequences])


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
    low, dash, high = offsets.partition("-")
    if dash:
        return list(range(first + int(low), first + int(high) + 1))
    return [first + int(offset) for offset in offsets.split(",")]


def stored_entries(connection: Connection, block: int) -> dict[Entry, list[int]]:
    """Return the entries of a block as they are stored."""
    return {
        (row.attribute, row.value, row.account_id, row.region): sorted(sequences(block, row.offsets))
        for row in connection.execute(_OF_BLOCK, {"block": block})
    }


def entries_of(records: Iterable[ChainedRecord]) -> dict[Entry, list[int]]:
    """Return what the entries of records must be."""
    columns = ("account_id", "region", *ATTRIBUTES)
    values = attrgetter("event_time", *columns)
    found = _entries([(stored.sequence, *values(stored.record)) for stored in records])
    return {entry: sorted(numbers) for entry, numbers in found.items()}
