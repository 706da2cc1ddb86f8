"""Lists of secrets, read a page at a time: in order, and the same list however long its reader takes.

A list by name or by creation goes on behind the last secret of the page before. A list by a date that moves (the last
change, the last access) cannot: what was listed would move to places that are still to be read, and what was not, to
those that have been. So each move is noted with the date that the secret had before (table ``secret_moves``), and the
list is read as of its first page: what has moved since is found where it was then.

Moves are numbered in the order in which they become visible (``Database.write``), so that the newest number which a
first page sees tells the moves that the list knows from those that it does not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, Row, Select, delete, func, select, tuple_

from keyturn.arn import Place
from keyturn.rules.listing import ListOrder, Searchable, SortBy
from keyturn.storage import schema
from keyturn.storage.database import Database
from keyturn.storage.secrets import primary_region

_secrets, _moves = schema.secrets, schema.secret_moves
_other_moves = _moves.alias("other_moves")

_KEYS: dict[SortBy, ColumnElement[Any]] = {
    SortBy.NAME: _secrets.c.name,
    SortBy.CREATED: _secrets.c.created_at,
    SortBy.CHANGED: _secrets.c.last_changed_at,
    SortBy.ACCESSED: _secrets.c.last_accessed_at,
}
# What filters look at, as far as secrets have it: as it is, and what tells the region of the primary.
_TEXTS = [field.name for field in fields(Searchable) if field.name in _secrets.c]
_REPLICATED = (_secrets.c.account_id, _secrets.c.primary_arn)
_NEWEST_MOVE = select(func.coalesce(func.max(_moves.c.move_id), 0))
_FORGOTTEN_AT_ONCE = 1000
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class ListPosition(NamedTuple):
    """A secret's place in a list: the name or date that it is sorted by (None without one), and its row's number."""

    key: str | datetime | None
    secret_id: int


class Candidate(NamedTuple):
    """A secret in a list, with what filters look at."""

    position: ListPosition
    texts: Searchable


@dataclass(frozen=True, slots=True)
class SecretList:
    """Which secrets, in which order.

    Attributes:
        place: Whose: an account's, in a region.
        order: By what, and which way.
        at: What is past its recovery window then is not there any more.
        with_deleted: Also those that are scheduled for deletion.
        newest_move: The newest move that the list knows, from :func:`newest_move`.
        between: Only names from the first one up to, but not including, the second.
        among: Only these rows.
    """

    place: Place
    order: ListOrder
    at: datetime
    with_deleted: bool = False
    newest_move: int = 0
    between: tuple[str, str] | None = None
    among: Collection[int] | None = None


def newest_move(connection: Connection) -> int:
    """Return the number of the newest move that this connection's snapshot shows."""
    number: int = connection.execute(_NEWEST_MOVE).scalar_one()
    return number


def load_candidates(
    connection: Connection, secret_list: SecretList, after: ListPosition | None, limit: int
) -> list[Candidate]:
    """Return the next secrets of a list; if they are fewer than ``limit``, they are its last."""
    order = secret_list.order
    here = _Keys(_KEYS[order.sort_by], _secrets.c.secret_id)
    everything = _select(secret_list, here)
    if not order.moves:
        return _read(connection, everything, here, order, after, limit)
    # A secret that has moved since the list began is left out where it is now, and found where it was before the first
    # such move. Both come in order, so the first of the two together are the next of the list.
    unmoved = everything.where(~_moves_since(_moves, secret_list, _secrets.c.secret_id).exists())
    there = _Keys(_moves.c.moved_from, _moves.c.secret_id)
    moved = _select(secret_list, there).join_from(_secrets, _moves, _moves.c.secret_id == _secrets.c.secret_id)
    moved = moved.where(
        _moves.c.sort_by == order.sort_by.value,
        _moves.c.move_id > secret_list.newest_move,
        ~_moves_since(_other_moves, secret_list, _moves.c.secret_id)
        .where(_other_moves.c.move_id < _moves.c.move_id)
        .exists(),
    )
    found = _read(connection, unmoved, here, order, after, limit) + _read(connection, moved, there, order, after, limit)
    return sorted(found, key=_date_order, reverse=order.descending)[:limit]


def rows_named(connection: Connection, place: Place, spans: Sequence[tuple[str, str]], limit: int) -> set[int] | None:
    """Return the rows of secrets whose names are in one of some spans; None if they are more than ``limit``.

    Args:
        connection: Of the state.
        place: Whose secrets.
        spans: From a name up to, but not including, another.
        limit: How many at most.
    """
    found: set[int] = set()
    for span in spans:
        rows = select(_secrets.c.secret_id).where(*_owned_by(place), *_between(span)).limit(limit + 1)
        found.update(connection.execute(rows).scalars())
    return found if len(found) <= limit else None


def forget_moves(database: Database, before: datetime) -> None:
    """Remove moves that no list needs any more.

    Args:
        database: The state.
        before: Lists that began earlier are not read any further.

    Raises:
        StorageError: The database failed.
    """
    old = select(_moves.c.move_id).where(_moves.c.moved_at < before).limit(_FORGOTTEN_AT_ONCE)
    more = True
    while more:
        # A few at a time, for the sake of others who want to write.
        with database.write() as transaction:
            numbers = transaction.connection.execute(old).scalars().all()
            transaction.connection.execute(delete(_moves).where(_moves.c.move_id.in_(numbers)))
        more = len(numbers) == _FORGOTTEN_AT_ONCE


class _Keys(NamedTuple):
    """The columns that a list is sorted by."""

    key: ColumnElement[Any]
    secret_id: ColumnElement[int]


def _select(secret_list: SecretList, keys: _Keys) -> Select[Any]:
    """Select what a candidate is made of, from all secrets that a list holds."""
    page = select(*keys, *_REPLICATED, *[_secrets.c[name] for name in _TEXTS]).where(*_owned_by(secret_list.place))
    if secret_list.with_deleted:
        # Those of which is_over of rules/deletion.py is not true.
        ends_at = _secrets.c.deletion_at
        page = page.where(ends_at.is_(None) | (ends_at > secret_list.at) & (ends_at > _secrets.c.deleted_at))
    else:
        page = page.where(_secrets.c.deletion_at.is_(None))
    if secret_list.between is not None:
        page = page.where(*_between(secret_list.between))
    if secret_list.among is not None:
        page = page.where(_secrets.c.secret_id.in_(secret_list.among))
    return page


def _owned_by(place: Place) -> tuple[ColumnElement[bool], ...]:
    return _secrets.c.account_id == place.account_id, _secrets.c.region == place.region


def _between(span: tuple[str, str]) -> tuple[ColumnElement[bool], ...]:
    return _secrets.c.name >= span[0], _secrets.c.name < span[1]


def _moves_since(moves: FromClause, secret_list: SecretList, secret_id: ColumnElement[int]) -> Select[Any]:
    """Select the moves of a secret that a list does not know."""
    return select(moves.c.move_id).where(
        moves.c.secret_id == secret_id,
        moves.c.sort_by == secret_list.order.sort_by.value,
        moves.c.move_id > secret_list.newest_move,
    )


def _read(
    connection: Connection, page: Select[Any], keys: _Keys, order: ListOrder, after: ListPosition | None, limit: int
) -> list[Candidate]:
    found: list[Candidate] = []
    for part in _parts(page, keys, order, after):
        if len(found) < limit:
            found += [_candidate(row) for row in connection.execute(part.limit(limit - len(found)))]
    return found


def _parts(page: Select[Any], keys: _Keys, order: ListOrder, after: ListPosition | None) -> list[Select[Any]]:
    """Return what comes next: those without a date first (descending: last), for they compare with no others."""
    if order.sort_by is SortBy.NAME:
        # Names are unique, and their index knows no rows' numbers.
        return [_behind(page, keys[:1], order, after and after[:1])]
    is_dated = after is not None and after.key is not None
    dated = _behind(page.where(keys.key.is_not(None)), keys, order, after if is_dated else None)
    if order.sort_by is not SortBy.ACCESSED:
        return [dated]
    dateless = _behind(page.where(keys.key.is_(None)), keys[1:], order, None if is_dated else after and after[1:])
    parts = [dated, dateless] if order.descending else [dateless, dated]
    is_behind_first = after is not None and is_dated is not order.descending
    return parts[1:] if is_behind_first else parts


def _behind(
    page: Select[Any], columns: Sequence[ColumnElement[Any]], order: ListOrder, after: tuple[Any, ...] | None
) -> Select[Any]:
    """Sort by columns, and begin behind the row that has certain values."""
    if after is not None:
        page = page.where(tuple_(*columns) < after if order.descending else tuple_(*columns) > after)
    return page.order_by(*[column.desc() if order.descending else column for column in columns])


def _candidate(row: Row[Any]) -> Candidate:
    key, secret_id, account_id, primary_arn, *texts = tuple(row)
    held = {name: text for name, text in zip(_TEXTS, texts, strict=True) if text is not None}
    region = primary_region(account_id, primary_arn) or ""
    return Candidate(ListPosition(key, secret_id), Searchable(primary_region=region, **held))


def _date_order(candidate: Candidate) -> tuple[bool, datetime, int]:
    key, secret_id = candidate.position
    return key is not None, key if isinstance(key, datetime) else _LONG_AGO, secret_id
