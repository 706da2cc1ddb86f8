"""Which rotations are planned, and when: lists of them, and how many there are in each minute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, and_, bindparam, exists, func, select, tuple_, type_coerce

from keyturn.arn import Place
from keyturn.clock import from_milliseconds
from keyturn.rules.staging import AWSCURRENT
from keyturn.storage import schema
from keyturn.storage.rotations import RotationStatus

_secrets, _versions, _labels, _rotations = (
    schema.secrets,
    schema.secret_versions,
    schema.staging_labels,
    schema.rotations,
)
_beside = _secrets.alias("beside")
_MINUTE_MS = timedelta(minutes=1) // timedelta(milliseconds=1)


class PlannedPosition(NamedTuple):
    """A planned rotation's place in the list: its moment, and its secret's row."""

    next_rotation_at: datetime
    secret_id: int


@dataclass(frozen=True, slots=True)
class PlannedFilter:
    """Which planned rotations.

    Attributes:
        begin: The earliest moment; None for all that are late, too.
        end: Up to this moment, exclusive.
    """

    begin: datetime | None = None
    end: datetime | None = None
    name_prefix: str = ""
    function_arn: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedRecord:
    """A planned rotation.

    Attributes:
        value_made_at: When the current version was made; None if there is none.
        is_running: Whether a rotation is under way all the same, or waits for its next attempt.
        planned_in_minute: How many rotations of the account's region are planned in the same minute, this one included.
    """

    secret_id: int
    arn: str
    name: str
    rotation_function_arn: str | None
    rotation_rules: Mapping[str, Any] | None
    next_rotation_at: datetime
    next_rotation_closes_at: datetime | None
    rotation_planned_at: datetime | None
    last_rotated_at: datetime | None
    value_made_at: datetime | None
    is_running: bool
    planned_in_minute: int

    @property
    def position(self) -> PlannedPosition:
        """Its place in the list."""
        return PlannedPosition(self.next_rotation_at, self.secret_id)


_MOMENT_MS = type_coerce(_secrets.c.next_rotation_at, BigInteger)
_BESIDE_MS = type_coerce(_beside.c.next_rotation_at, BigInteger)
_THIS_MINUTE_MS = _MOMENT_MS - _MOMENT_MS % _MINUTE_MS
# The index has it all: a secret without rotation has no moment, and a deleted one's weighs little.
_PLANNED_BY_MINUTE = (
    select((_MOMENT_MS // _MINUTE_MS).label("minute"), func.count().label("planned"))
    .where(_secrets.c.next_rotation_at >= bindparam("opens_at"), _secrets.c.next_rotation_at < bindparam("closes_at"))
    .group_by("minute")
)
_PLANNED_AFTER = (
    select(_secrets.c.arn)
    .where(_secrets.c.rotation_planned_at > bindparam("moment"))
    .order_by(_secrets.c.rotation_planned_at)
    .limit(bindparam("limit"))
)
_PLANNED_IN_MINUTE = (
    select(func.count())
    .where(
        _beside.c.account_id == _secrets.c.account_id,
        _beside.c.region == _secrets.c.region,
        _BESIDE_MS >= _THIS_MINUTE_MS,
        _BESIDE_MS < _THIS_MINUTE_MS + _MINUTE_MS,
    )
    .scalar_subquery()
)
_VALUE_MADE_AT = (
    select(_versions.c.created_at)
    .join(_labels, and_(_labels.c.secret_id == _versions.c.secret_id, _labels.c.version_id == _versions.c.version_id))
    .where(_labels.c.secret_id == _secrets.c.secret_id, _labels.c.label == AWSCURRENT)
    .scalar_subquery()
)
_IS_RUNNING = exists().where(
    _rotations.c.secret_id == _secrets.c.secret_id, _rotations.c.status == RotationStatus.PENDING
)
_PLANNED = (
    select(
        _secrets.c.secret_id,
        _secrets.c.arn,
        _secrets.c.name,
        _secrets.c.rotation_function_arn,
        _secrets.c.rotation_rules,
        _secrets.c.next_rotation_at,
        _secrets.c.next_rotation_closes_at,
        _secrets.c.rotation_planned_at,
        _secrets.c.last_rotated_at,
        _VALUE_MADE_AT.label("value_made_at"),
        _IS_RUNNING.label("is_running"),
        _PLANNED_IN_MINUTE.label("planned_in_minute"),
    )
    .where(
        _secrets.c.account_id == bindparam("account_id"),
        _secrets.c.region == bindparam("region"),
        _secrets.c.next_rotation_at.is_not(None),
        _secrets.c.rotation_enabled,
        _secrets.c.deleted_at.is_(None),
    )
    .order_by(_secrets.c.next_rotation_at, _secrets.c.secret_id)
)


def planned_by_minute(connection: Connection, opens_at: datetime, closes_at: datetime) -> dict[datetime, int]:
    """Return how many rotations are planned in each minute of a span; minutes without any are left out."""
    rows = connection.execute(_PLANNED_BY_MINUTE, {"opens_at": opens_at, "closes_at": closes_at})
    return {from_milliseconds(row.minute * _MINUTE_MS): row.planned for row in rows}


def load_planned_after(connection: Connection, moment: datetime, limit: int) -> list[str]:
    """Return the ARNs of secrets whose rotation was planned after a moment, by a clock that was ahead."""
    return list(connection.execute(_PLANNED_AFTER, {"moment": moment, "limit": limit}).scalars())


def load_planned(
    connection: Connection, place: Place, wanted: PlannedFilter, *, after: PlannedPosition | None, limit: int
) -> list[PlannedRecord]:
    """Return planned rotations of an account's region, earliest first.

    Args:
        connection: Of the state.
        place: Whose.
        wanted: Which.
        after: Only what comes behind this one, which may be gone: the last of the page before.
        limit: How many at most.
    """
    page = _PLANNED
    if wanted.begin is not None:
        page = page.where(_secrets.c.next_rotation_at >= wanted.begin)
    if wanted.end is not None:
        page = page.where(_secrets.c.next_rotation_at < wanted.end)
    if wanted.name_prefix:
        page = page.where(func.substr(_secrets.c.name, 1, len(wanted.name_prefix)) == wanted.name_prefix)
    if wanted.function_arn is not None:
        page = page.where(_secrets.c.rotation_function_arn == wanted.function_arn)
    if after is not None:
        page = page.where(tuple_(_secrets.c.next_rotation_at, _secrets.c.secret_id) > after)
    rows = connection.execute(page.limit(limit), schema.owner_of(place))
    return [PlannedRecord(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name
