"""Pre-flights of secrets that rotate: what the last one has found, and which are due.

A server holds a secret while it looks (``held_until``); should it die, another may look when that is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Select,
    Update,
    bindparam,
    func,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql

from keyturn.rules.preflight import Heartbeat, Item, ItemStatus, Judgement, Verdict
from keyturn.storage import schema
from keyturn.storage.database import Database, Transaction

_preflights, _secrets, _versions = schema.preflights, schema.secrets, schema.secret_versions

_OF = select(_preflights).where(_preflights.c.secret_id == bindparam("secret_id"))
_COUNTS = (
    select(_preflights.c.verdict, _preflights.c.heartbeat, func.count())
    .join(_secrets, _secrets.c.secret_id == _preflights.c.secret_id)
    .where(_secrets.c.rotation_enabled, _secrets.c.deleted_at.is_(None))
    .group_by(_preflights.c.verdict, _preflights.c.heartbeat)
)
_JOINED = select(_preflights.c.secret_id, _secrets.c.arn).join(
    _secrets, _secrets.c.secret_id == _preflights.c.secret_id
)
_IS_FREE = or_(_preflights.c.held_until.is_(None), _preflights.c.held_until <= bindparam("now", type_=schema.Moment))

_PLANNED = select(_preflights.c.due_at).where(_preflights.c.secret_id == bindparam("secret_id"))
_NEXT_DUE = (
    select(_preflights.c.due_at)
    .where(_preflights.c.due_at.is_not(None), _IS_FREE)
    .order_by(_preflights.c.due_at)
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class PreflightRecord:
    """What the last pre-flight of a secret has found.

    Attributes:
        causes: Of the verdict and of the heartbeat.
        since: Since when both are these.
        is_told: Whether it was told that somebody has to do something.
    """

    verdict: Verdict
    heartbeat: Heartbeat
    causes: tuple[str, ...]
    items: tuple[Item, ...]
    checked_at: datetime
    since: datetime
    is_told: bool


def load_preflight(connection: Connection, secret_id: int) -> PreflightRecord | None:
    """Return what the last pre-flight has found; None if there was none."""
    row = connection.execute(_OF, {"secret_id": secret_id}).one_or_none()
    return None if row is None or row.verdict is None else _record(row)


def plan_preflight(transaction: Transaction, secret_id: int, due_at: datetime | None) -> None:
    """Have a secret looked at from this moment on; None for no more."""
    values: dict[str, Any] = {"secret_id": secret_id, "is_told": False, "due_at": due_at, "held_until": None}
    # What was found and told before stays.
    changed = {"due_at": due_at, "held_until": None}
    made = postgresql.insert(_preflights).values(values)
    transaction.connection.execute(made.on_conflict_do_update(index_elements=["secret_id"], set_=changed))


def planned_at(connection: Connection, secret_id: int) -> datetime | None:
    """Return when a secret is to be looked at next by itself; None if it is not."""
    moment: datetime | None = connection.execute(_PLANNED, {"secret_id": secret_id}).scalar_one_or_none()
    return moment


def bring_forward(transaction: Transaction, secret_id: int, due_at: datetime) -> None:
    """Have a secret looked at no later than this moment, if anything but health was found last."""
    transaction.connection.execute(_bring_forward(_preflights.c.secret_id == secret_id, due_at))


def bring_any_forward(transaction: Transaction, secret_id: int, due_at: datetime) -> None:
    """Have a secret looked at no later than this moment, whatever was found last."""
    transaction.connection.execute(_bring_all_forward(_preflights.c.secret_id == secret_id, due_at))


def bring_forward_users(transaction: Transaction, function_arn: str, due_at: datetime) -> None:
    """The same of every secret whose rotation function this is, by whatever qualifier."""
    transaction.connection.execute(_bring_forward(_uses(function_arn), due_at))


def bring_forward_all_users(transaction: Transaction, function_arn: str, due_at: datetime) -> None:
    """Have every such secret looked at no later than this moment, whatever was found last."""
    transaction.connection.execute(_bring_all_forward(_uses(function_arn), due_at))


def bring_forward_all_of_key(transaction: Transaction, key_arn: str, due_at: datetime) -> None:
    """The same of every secret with a version that is sealed under a customer managed key."""
    sealed = _versions.c.kms_key_id == key_arn
    is_of_key = select(_versions.c.secret_id).where(sealed, _versions.c.secret_id == _preflights.c.secret_id).exists()
    transaction.connection.execute(_bring_all_forward(is_of_key, due_at))


def _uses(function_arn: str) -> ColumnElement[bool]:
    arn = _secrets.c.rotation_function_arn
    of_function = or_(arn == function_arn, arn.startswith(f"{function_arn}:", autoescape=True))
    return select(_secrets.c.secret_id).where(of_function, _secrets.c.secret_id == _preflights.c.secret_id).exists()


def _bring_forward(which: ColumnElement[bool], due_at: datetime) -> Update:
    is_unwell = or_(_preflights.c.verdict != Verdict.READY.value, _preflights.c.heartbeat == Heartbeat.DRIFT.value)
    return _bring_all_forward(which, due_at).where(is_unwell)


def _bring_all_forward(which: ColumnElement[bool], due_at: datetime) -> Update:
    return update(_preflights).where(_preflights.c.due_at > due_at, which).values(due_at=due_at)


def due_preflights(connection: Connection, now: datetime, ahead: timedelta, limit: int) -> list[tuple[int, str]]:
    """Return secrets that are to be looked at, by row's number and ARN.

    Those first whose rotation is not further ahead than this and that have not been looked at since it was; then those
    whose day is over.
    """
    found: dict[int, str] = {}
    for statement in (_before_rotation(now, ahead), _by_day()):
        rows = connection.execute(statement.where(_IS_FREE).limit(limit), {"now": now})
        found |= {row.secret_id: row.arn for row in rows}
    return list(found.items())[:limit]


def next_due(connection: Connection, now: datetime) -> datetime | None:
    """Return when the first day is over, of secrets that nobody holds."""
    return connection.execute(_NEXT_DUE, {"now": now}).scalar_one_or_none()


def hold(database: Database, secret_id: int, now: datetime, until: datetime) -> bool:
    """Take a secret to look at it; False if another server has.

    Raises:
        StorageError: The database failed.
    """
    statement = update(_preflights).where(_preflights.c.secret_id == bindparam("of"), _IS_FREE)
    with database.write() as transaction:
        held = transaction.connection.execute(statement.values(held_until=until), {"of": secret_id, "now": now})
    return held.rowcount == 1


def put_off(database: Database, secret_id: int, until: datetime) -> None:
    """Have nobody look before a moment.

    Raises:
        StorageError: The database failed.
    """
    with database.write() as transaction:
        transaction.connection.execute(
            update(_preflights).where(_preflights.c.secret_id == secret_id).values(held_until=until)
        )


def release_all(database: Database) -> None:
    """Release what a server held that has died, if no other server is there.

    Raises:
        StorageError: The database failed.
    """
    with database.write() as transaction:
        held = _preflights.c.held_until.is_not(None)
        transaction.connection.execute(update(_preflights).where(held).values(held_until=None))


def store_preflight(
    transaction: Transaction,
    secret_id: int,
    judgement: Judgement,
    items: Sequence[Item],
    now: datetime,
    *,
    engine: str | None,
    is_told: bool,
    due_at: datetime | None,
) -> PreflightRecord:
    """Store what a pre-flight has found in place of what the one before had, and return it.

    Args:
        transaction: In which the secret was locked.
        secret_id: The secret's row.
        judgement: What it means.
        items: What was looked at.
        now: Aware UTC.
        engine: Which one the value is for, by its module's name; None for none of Keyturn's.
        is_told: Whether somebody was told of it.
        due_at: When it is looked again by itself.
    """
    before = load_preflight(transaction.connection, secret_id)
    is_same = before is not None and (before.verdict, before.heartbeat) == (judgement.verdict, judgement.heartbeat)
    values: dict[str, Any] = {
        "verdict": judgement.verdict.value,
        "heartbeat": judgement.heartbeat.value,
        "engine": engine,
        "causes": list(judgement.causes),
        "items": [asdict(item) for item in items],
        "checked_at": now,
        "since": before.since if before is not None and is_same else now,
        "is_told": is_told,
        "due_at": due_at,
        "held_until": None,
    }
    made = postgresql.insert(_preflights).values(secret_id=secret_id, **values)
    transaction.connection.execute(made.on_conflict_do_update(index_elements=["secret_id"], set_=values))
    return _record(transaction.connection.execute(_OF, {"secret_id": secret_id}).one())


def count_preflights(connection: Connection) -> dict[tuple[str | None, str | None], int]:
    """Return how many secrets that rotate have which verdict and heartbeat; None for those nobody has looked at."""
    return {(row[0], row[1]): row[2] for row in connection.execute(_COUNTS)}


def _by_day() -> Select[Any]:
    is_due = _preflights.c.due_at <= bindparam("now", type_=schema.Moment)
    return _JOINED.where(is_due).order_by(_preflights.c.due_at)


def _before_rotation(now: datetime, ahead: timedelta) -> Select[Any]:
    planned, ahead_ms = _secrets.c.next_rotation_at, ahead // timedelta(milliseconds=1)
    checked_ms = func.coalesce(type_coerce(_preflights.c.checked_at, BigInteger), 0)
    return _JOINED.where(
        _secrets.c.rotation_enabled,
        _secrets.c.deleted_at.is_(None),
        planned > now,
        planned <= now + ahead,
        checked_ms < type_coerce(planned, BigInteger) - ahead_ms,
    ).order_by(planned)


def _record(row: Row[Any]) -> PreflightRecord:
    items = tuple(Item(**{**item, "status": ItemStatus(item["status"])}) for item in row.items or ())
    return PreflightRecord(
        verdict=Verdict(row.verdict),
        heartbeat=Heartbeat(row.heartbeat),
        causes=tuple(row.causes or ()),
        items=items,
        checked_at=row.checked_at,
        since=row.since,
        is_told=row.is_told,
    )
