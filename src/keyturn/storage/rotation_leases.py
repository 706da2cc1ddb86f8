"""The leases that keep two workers from running the same rotation.

A lease has an owner, an expiry and a generation. Every write under it checks all three in the same statement: a worker
whose lease was taken over changes nothing any more, and neither does one that was held up until its lease expired, even
if nobody has taken it over yet.

Moments come from the servers' clocks, which must agree to within some seconds. A clock that is set back would leave
leases and moments in a future that is far away; what no server can have written counts as over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import ColumnElement, Connection, Select, Update, bindparam, func, or_, select, update

from keyturn.rules.lanes import Lane, Limits, Places
from keyturn.storage import schema
from keyturn.storage.database import Database, Transaction
from keyturn.storage.rotations import RotationRecord, RotationStatus, record_of

_rotations = schema.rotations

LEASE = timedelta(seconds=15)
"""How long a server that died keeps its rotations; it renews its leases several times meanwhile."""

# No lease is longer, and no rotation waits longer for its next attempt (rules/rotation.py), unless the clock jumped.
_LONGEST_LEASE = 2 * LEASE
_LONGEST_WAIT = timedelta(minutes=10)
_AT_ONCE = 64
_NEXT_DUE = select(func.min(_rotations.c.due_at)).where(
    _rotations.c.status == RotationStatus.PENDING, _rotations.c.lease_owner.is_(None)
)
_NEXT_EXPIRY = select(func.min(_rotations.c.lease_expires_at)).where(
    _rotations.c.status == RotationStatus.PENDING, _rotations.c.lease_owner.is_not(None)
)


class LeaseLost(Exception):
    """The lease has expired, another worker has taken the rotation over, or it was ended: whoever gets this stops."""


def next_due(connection: Connection) -> datetime | None:
    """Return when the next rotation can be claimed, if nothing happens before: it becomes due, or a lease expires."""
    moments = [connection.execute(statement).scalar_one() for statement in (_NEXT_DUE, _NEXT_EXPIRY)]
    return min((moment for moment in moments if moment is not None), default=None)


def claim_due(
    database: Database, owner: str, now: datetime, running: Mapping[int, Lane], limits: Limits
) -> list[RotationRecord]:
    """Take leases on rotations that are due and that nobody holds, longest due first, as far as there are places.

    Args:
        database: Where they are.
        owner: Who takes them.
        now: Aware UTC.
        running: The ids and lanes of what this server runs already; that is not taken again, even if its lease has run
            out.
        limits: How many it runs at once.
    """
    places = Places(limits, list(running.values()))
    if not places.free:
        return []
    with database.write() as transaction:
        chosen = _choose(transaction.connection, now, places, list(running))
        if not chosen:
            return []
        claim = (
            update(_rotations)
            .where(_rotations.c.rotation_id.in_(chosen))
            .values(
                lease_owner=owner,
                lease_expires_at=now + LEASE,
                lease_generation=_rotations.c.lease_generation + 1,
            )
            .returning(_rotations)
        )
        return [record_of(row) for row in transaction.connection.execute(claim)]


def renew_leases(database: Database, owner: str, rotation_ids: Iterable[int], now: datetime) -> None:
    """Make the leases that one still holds on these rotations begin anew; expired ones stay expired."""
    with database.write() as transaction:
        transaction.connection.execute(
            update(_rotations).where(
                _rotations.c.rotation_id.in_(list(rotation_ids)),
                _rotations.c.lease_owner == owner,
                _rotations.c.lease_expires_at > now,
                _rotations.c.status == RotationStatus.PENDING,
            ),
            {"lease_expires_at": now + LEASE},
        )


def is_held(rotation: RotationRecord, at: datetime) -> bool:
    """Whether a worker runs a rotation: it holds a lease that has not expired."""
    expires_at = rotation.lease_expires_at
    return rotation.lease_owner is not None and expires_at is not None and expires_at > at


def release_leases_of_others(database: Database, owner: str) -> None:
    """Free every lease but one's own: for a server that is alone on its database, at start, after a crash."""
    with database.write() as transaction:
        transaction.connection.execute(
            update(_rotations).where(_rotations.c.lease_owner.is_not(None), _rotations.c.lease_owner != owner),
            {"lease_owner": None, "lease_expires_at": None},
        )


def write_under_lease(transaction: Transaction, rotation: RotationRecord, now: datetime, **columns: object) -> None:
    """Change a rotation, provided that the lease it was claimed with still holds.

    Raises:
        LeaseLost: It does not; the transaction must be left by this exception.
    """
    mine = {
        "of_rotation": rotation.rotation_id,
        "of_owner": rotation.lease_owner,
        "of_generation": rotation.lease_generation,
        "now": now,
    }
    values = {f"new_{name}": value for name, value in columns.items()}
    if transaction.connection.execute(_update_of_mine(tuple(columns)), {**mine, **values}).rowcount != 1:
        raise LeaseLost(f"rotation {rotation.rotation_id}")


@cache
def _update_of_mine(names: tuple[str, ...]) -> Update:
    """Return the statement that changes these columns, built once: a rotation needs it eight times."""
    mine = (
        _rotations.c.rotation_id == bindparam("of_rotation"),
        _rotations.c.lease_owner == bindparam("of_owner"),
        _rotations.c.lease_generation == bindparam("of_generation"),
        _rotations.c.lease_expires_at > bindparam("now"),
        _rotations.c.status == RotationStatus.PENDING,
    )
    return update(_rotations).where(*mine).values({name: bindparam(f"new_{name}") for name in names})


def _choose(connection: Connection, now: datetime, places: Places, own: list[int]) -> list[int]:
    """Return the rotations that get a place; what has none now is passed over, so that it holds up nobody behind it."""
    chosen: list[int] = []
    while places.free:
        rows = connection.execute(_waiting(now, places, own + chosen)).all()
        taken = [row.rotation_id for row in rows if places.take(_lane(row.function_arn, row.database_lane))]
        chosen += taken
        if not taken or len(rows) < _AT_ONCE:
            break
    return chosen


def _waiting(now: datetime, places: Places, passed_over: list[int]) -> Select[tuple[int, str | None, str | None]]:
    statement = (
        select(_rotations.c.rotation_id, _rotations.c.function_arn, _rotations.c.database_lane)
        .where(_rotations.c.status == RotationStatus.PENDING, _is_due(now), _is_free(now))
        .order_by(_rotations.c.due_at)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    if passed_over:
        statement = statement.where(_rotations.c.rotation_id.not_in(passed_over))
    if full := places.full_functions:
        statement = statement.where(func.coalesce(_rotations.c.function_arn, "").not_in(full))
    if full := places.full_databases:
        statement = statement.where(func.coalesce(_rotations.c.database_lane, "").not_in(full))
    return statement


def _is_due(now: datetime) -> ColumnElement[bool]:
    return or_(_rotations.c.due_at <= now, _rotations.c.due_at > now + _LONGEST_WAIT)


def _is_free(now: datetime) -> ColumnElement[bool]:
    expires_at = _rotations.c.lease_expires_at
    return or_(_rotations.c.lease_owner.is_(None), expires_at <= now, expires_at > now + _LONGEST_LEASE)


def lane_of(rotation: RotationRecord) -> Lane:
    """Return what a rotation is counted by."""
    return _lane(rotation.function_arn, rotation.database_lane)


def _lane(function_arn: str | None, database: str | None) -> Lane:
    return Lane(function_arn or "", database or "")
