"""Finding secrets by filters, a page at a time, for ListSecrets and BatchGetSecretValue."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from keyturn.call import Call
from keyturn.clock import from_milliseconds, to_milliseconds
from keyturn.errors.secretsmanager import InvalidNextTokenException
from keyturn.operations.kit import Kit
from keyturn.operations.paging import open_page, seal_page
from keyturn.rules.listing import ListOrder, Matcher, SortBy, compile_filters, list_order, name_spans
from keyturn.storage import secret_lists, secrets
from keyturn.storage.secret_lists import Candidate, ListPosition, SecretList
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.secretsmanager import Filter

# How many secrets, and characters of theirs, one call looks at for a filter. What it has not looked at then is left to
# the next page, which may make this one short or even empty, as AWS's pages may be.
_MOST_LOOKED_AT = 5_000
_MOST_CHARACTERS = 2_000_000
_LOOKED_AT_ONCE = 1_000
# Up to this many secrets that a filter by name leaves, only they are looked at.
_FEW = 1_000
# For how long a list by a date that moves can be read on; what is needed for that is kept for twice as long.
LIST_LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of secrets, and the token of the next; the dates that they are sorted by are those of the list."""

    secrets: list[SecretRecord]
    next_token: str | None


def search(kit: Kit, call: Call, operation: str, request: Mapping[str, Any], limit: int) -> Page:
    """Return the secrets of the caller's account and region that a request asks for.

    Args:
        kit: Holds the database.
        call: Whose secrets.
        operation: Tokens of one operation are of no use to another.
        request: Filters, SortBy, SortOrder, IncludePlannedDeletion and NextToken count.
        limit: How many at most.

    Raises:
        InvalidParameterException: A filter lacks its key or values.
        InvalidNextTokenException: The token is not one of this question, or the list that it goes on with is too old.
    """
    filters = request.get("Filters", ())
    matches = compile_filters(filters)
    order = list_order(request.get("SortBy"), request.get("SortOrder"))
    with_deleted = request.get("IncludePlannedDeletion", False)
    listing = _listing(operation, filters, order, with_deleted=with_deleted)
    if "NextToken" in request:
        begun = _open(kit, call, listing, order, request["NextToken"])
    else:
        begun = _Begun(call.at)
        if order.sort_by is SortBy.ACCESSED:
            # The reads of the last seconds count, as they do wherever their dates are shown.
            kit.accesses.store(kit.state)
    with kit.state.read() as connection:
        if order.moves and begun.newest_move is None:
            begun = replace(begun, newest_move=secret_lists.newest_move(connection))
        wanted = SecretList(call.place, order, call.at, with_deleted=with_deleted, newest_move=begun.newest_move or 0)
        wanted = _narrowed(connection, wanted, name_spans(filters))
        found, goes_on_behind = _look(connection, wanted, matches if filters else None, begun.position, limit)
        records = secrets.load_listed(connection, [candidate.position.secret_id for candidate in found])
    next_token = None
    if goes_on_behind is not None:
        next_token = _seal(kit, call, listing, replace(begun, position=goes_on_behind))
    keys = [candidate.position.key for candidate in found]
    return Page([_as_listed(order, *pair) for pair in zip(records, keys, strict=True)], next_token)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A list that is being read: since when, as of which move, and behind which secret it goes on."""

    began_at: datetime
    newest_move: int | None = None
    position: ListPosition | None = None


def _listing(operation: str, filters: Sequence[Filter], order: ListOrder, *, with_deleted: bool) -> str:
    """Name a list, so that a token of another question is refused."""
    question = json.dumps([filters, order.sort_by, order.descending, with_deleted])
    digest = hashlib.sha256(question.encode()).hexdigest()
    return f"{operation} {digest}"


def _seal(kit: Kit, call: Call, listing: str, begun: _Begun) -> str:
    key, secret_id = begun.position or ListPosition(None, 0)
    position = {"began_ms": str(to_milliseconds(begun.began_at)), "secret_id": str(secret_id)}
    if begun.newest_move is not None:
        position["newest_move"] = str(begun.newest_move)
    if key is not None:
        position["key"] = key if isinstance(key, str) else str(to_milliseconds(key))
    return seal_page(kit, call, listing, **position)


def _open(kit: Kit, call: Call, listing: str, order: ListOrder, token: str) -> _Begun:
    refusal = InvalidNextTokenException()
    position = open_page(kit, call, listing, token, refusal)
    began_at = from_milliseconds(int(position["began_ms"]))
    if order.moves and call.at - began_at > LIST_LIFETIME:
        raise refusal
    text = position.get("key")
    key = text if text is None or order.sort_by is SortBy.NAME else from_milliseconds(int(text))
    newest_move = int(position["newest_move"]) if order.moves else None
    return _Begun(began_at, newest_move, ListPosition(key, int(position["secret_id"])))


def _narrowed(connection: Connection, wanted: SecretList, spans: list[tuple[str, str]]) -> SecretList:
    """Leave out, as far as an index can tell, what a filter by name does not find."""
    if not spans:
        return wanted
    rows = secret_lists.rows_named(connection, wanted.place, spans, _FEW)
    if rows is not None:
        return replace(wanted, among=rows)
    if wanted.order.sort_by is SortBy.NAME:
        return replace(wanted, between=(min(first for first, _ in spans), max(end for _, end in spans)))
    return wanted


def _look(
    connection: Connection,
    wanted: SecretList,
    matches: Matcher | None,
    position: ListPosition | None,
    limit: int,
) -> tuple[list[Candidate], ListPosition | None]:
    """Return the next secrets that match, and behind which the list goes on; None if that was all."""
    found: list[Candidate] = []
    at_once = limit + 1 if matches is None else _LOOKED_AT_ONCE
    looked_at = characters = 0
    while looked_at < _MOST_LOOKED_AT:
        candidates = secret_lists.load_candidates(connection, wanted, position, at_once)
        for candidate in candidates:
            if matches is None or matches(candidate.texts):
                if len(found) == limit:
                    return found, found[-1].position
                found.append(candidate)
            if matches is not None and (characters := characters + candidate.texts.size) > _MOST_CHARACTERS:
                return found, candidate.position
        if len(candidates) < at_once:
            return found, None
        position = candidates[-1].position
        looked_at += at_once
    return found, position


def _as_listed(order: ListOrder, record: SecretRecord, key: str | datetime | None) -> SecretRecord:
    """Give a secret the date that it is sorted by, which may have moved since; a list must look sorted."""
    date = key if isinstance(key, datetime) else None
    if order.sort_by is SortBy.ACCESSED:
        return replace(record, last_accessed_at=date)
    if order.sort_by is SortBy.CHANGED and date is not None:
        return replace(record, last_changed_at=date)
    return record
