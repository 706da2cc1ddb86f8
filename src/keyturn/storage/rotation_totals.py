"""How rotation stands altogether: numbers for metrics, each from an index.

What is read grows with the rotations that are due, under way or parked, not with the secrets there are; only the count
of secrets that rotate goes through all of them, in an index that has nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, func, or_, select

from keyturn.storage import schema
from keyturn.storage.rotations import UNFINISHED, RotationKind, RotationStatus
from keyturn.storage.secrets import next_planned

_rotations, _secrets = schema.rotations.c, schema.secrets.c
_NOW = bindparam("now", type_=schema.Moment)
_ROTATING = and_(_secrets.rotation_enabled, _secrets.deleted_at.is_(None))

_PENDING = and_(_rotations.status == RotationStatus.PENDING, _rotations.due_at <= _NOW)
_IS_HELD = and_(_rotations.lease_owner.is_not(None), _rotations.lease_expires_at > _NOW)
_IS_FREE = or_(_rotations.lease_owner.is_(None), _rotations.lease_expires_at <= _NOW)
_DUE = select(func.count().label("number"), func.min(_rotations.due_at).label("since")).where(_PENDING, _IS_FREE)
_RUNNING = select(func.count()).where(_rotations.status == RotationStatus.PENDING, _IS_HELD)
_IS_UNFINISHED = _rotations.status.in_(UNFINISHED)
_PARKED = select(func.count()).where(_rotations.status == RotationStatus.PARKED)
# What is parked or under way is counted as that.
_FAILED = select(func.count()).where(
    schema.HAS_FAILED,
    _ROTATING,
    ~select(_rotations.rotation_id).where(_rotations.secret_id == _secrets.secret_id, _IS_UNFINISHED).exists(),
)
_LATE = select(func.count()).where(
    _IS_UNFINISHED, _rotations.kind == RotationKind.ROTATION, _rotations.window_closes_at <= _NOW
)
# What the schedule has made due and nobody has begun, because no server was there or all are busy.
_NOT_BEGUN = select(func.count().label("number"), func.min(_secrets.next_rotation_at).label("since")).where(
    _ROTATING, _secrets.next_rotation_at <= _NOW
)
_NOT_BEGUN_LATE = select(func.count()).where(
    _ROTATING, _secrets.next_rotation_at <= _NOW, _secrets.next_rotation_closes_at <= _NOW
)
_OLDEST_ROTATED = (
    select(_secrets.last_rotated_at)
    .where(_ROTATING, _secrets.last_rotated_at.is_not(None))
    .order_by(_secrets.last_rotated_at)
    .limit(1)
)
_OLDEST_NEVER_ROTATED = (
    select(_secrets.created_at)
    .where(_ROTATING, _secrets.last_rotated_at.is_(None))
    .order_by(_secrets.created_at)
    .limit(1)
)
_COUNT = select(func.count()).select_from(schema.secrets).where(_ROTATING)


@dataclass(frozen=True, slots=True)
class RotationTotals:
    """How rotation stands at one moment.

    Attributes:
        due: Rotations whose moment has come and that nobody runs.
        running: Rotations that a server runs.
        parked: Rotations that are not tried again before the next window.
        failed: Secrets whose last rotation failed and is over, and of which none has succeeded or begun since.
        late: Rotations that have not succeeded when their window closed.
        due_since: Since when the first of those that are due waits; None if none is.
        next_at: When the next rotation is planned; None if none is.
        oldest_at: When the secret that has gone without rotation for longest was rotated, or made; None if none
            rotates.
    """

    due: int
    running: int
    parked: int
    failed: int
    late: int
    due_since: datetime | None
    next_at: datetime | None
    oldest_at: datetime | None


def load_totals(connection: Connection, now: datetime) -> RotationTotals:
    """Return how rotation stands."""
    values = {"now": now}
    due, due_since = _pair(connection.execute(_DUE, values).one())
    not_begun, not_begun_since = _pair(connection.execute(_NOT_BEGUN, values).one())
    oldest = [connection.execute(query).scalar_one_or_none() for query in (_OLDEST_ROTATED, _OLDEST_NEVER_ROTATED)]
    late = sum(connection.execute(query, values).scalar_one() for query in (_LATE, _NOT_BEGUN_LATE))
    return RotationTotals(
        due=due + not_begun,
        running=connection.execute(_RUNNING, values).scalar_one(),
        parked=connection.execute(_PARKED).scalar_one(),
        failed=connection.execute(_FAILED).scalar_one(),
        late=late,
        due_since=_earliest(due_since, not_begun_since),
        next_at=next_planned(connection),
        oldest_at=_earliest(*oldest),
    )


def count_rotating(connection: Connection) -> int:
    """Return how many secrets rotate; it takes longer the more there are."""
    count: int = connection.execute(_COUNT).scalar_one()
    return count


def _pair(row: Row[Any]) -> tuple[int, datetime | None]:
    return row.number, row.since


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
