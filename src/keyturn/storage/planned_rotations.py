"""Which rotations are planned, and when: lists of secrets by that, and how many there are in each minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Join,
    Row,
    Select,
    SelectBase,
    and_,
    bindparam,
    case,
    func,
    join,
    or_,
    outerjoin,
    select,
    tuple_,
    type_coerce,
    union_all,
)

from keyturn.arn import Place
from keyturn.clock import from_milliseconds
from keyturn.rules.schedule import PlannedState
from keyturn.rules.staging import AWSCURRENT
from keyturn.storage import schema
from keyturn.storage.rotations import UNFINISHED, RotationKind, RotationStatus

_secrets, _versions, _labels, _rotations, _preflights = (
    schema.secrets,
    schema.secret_versions,
    schema.staging_labels,
    schema.rotations,
    schema.preflights,
)
_beside, _failed = _secrets.alias("beside"), _rotations.alias("failed")
_MINUTE_MS = timedelta(minutes=1) // timedelta(milliseconds=1)
_HOUR_MS = timedelta(hours=1) // timedelta(milliseconds=1)


class PlannedPosition(NamedTuple):
    """A secret's place in the list: in which part of it, its moment there, if it has one, and a row's number."""

    part: int
    at: datetime | None
    row: int


@dataclass(frozen=True, slots=True)
class PlannedFilter:
    """Which secrets.

    Attributes:
        begin: The earliest moment; None for all that are late, too.
        end: Up to this moment, exclusive.
        secret_arns: One of these; none for all.
        states: In one of these; none for all. With a moment, who has none is left out.
        is_troubled: Only those that rotate and are in trouble: a rotation has failed, and none has succeeded or begun
            since; or the last pre-flight has found that the next one would fail, or that the database does not have
            what the secret says, and neither has a rotation succeeded since nor another value been stored.
    """

    begin: datetime | None = None
    end: datetime | None = None
    name_prefix: str = ""
    function_arn: str | None = None
    secret_arns: frozenset[str] = frozenset()
    states: frozenset[PlannedState] = frozenset()
    is_troubled: bool = False


@dataclass(frozen=True, slots=True)
class PlannedRecord:
    """A secret that rotates or could.

    Attributes:
        part: Of the list, in which it stands.
        next_rotation_at: The moment that was chosen; None if there is none.
        value_made_at: When the current version was made; None if there is none.
        planned_in_minute: How many rotations of the account's region are planned in the same minute, this one included.
        rotation_id: Of the rotation that is unfinished; None, like the next six, if none is.
        version_id: What it makes.
        due_at: When it runs next, or began to.
        failed_version_id: Of the rotation of which an attempt failed last, finished or not; None, like the next three,
            if one has succeeded since.
        failed_at: When that one ended; None if it has not.
        verdict: Of the last pre-flight; None, like the next three, if there was none.
        engine: Which one the value is for, as that one saw it; None likewise, and if it is for none of Keyturn's.
    """

    part: int
    state: PlannedState
    secret_id: int
    arn: str
    name: str
    rotation_function_arn: str | None
    rotation_rules: Mapping[str, Any] | None
    next_rotation_at: datetime | None
    next_rotation_closes_at: datetime | None
    rotation_planned_at: datetime | None
    last_rotated_at: datetime | None
    value_made_at: datetime | None
    planned_in_minute: int
    rotation_id: int | None
    version_id: str | None
    kind: RotationKind | None
    due_at: datetime | None
    attempt: int | None
    cause: str | None
    failed_version_id: str | None
    failed_at: datetime | None
    failed_cause: str | None
    failed_error: str | None
    error: str | None
    verdict: str | None
    heartbeat: str | None
    preflight_causes: Sequence[str] | None
    checked_at: datetime | None
    engine: str | None

    @property
    def position(self) -> PlannedPosition:
        """Its place in the list."""
        if self.part == _UNDER_WAY and self.rotation_id is not None:
            return PlannedPosition(self.part, self.due_at, self.rotation_id)
        return PlannedPosition(self.part, self.next_rotation_at, self.secret_id)


# The parts of the list, in order, and what each is ordered by: an index has it.
_UNDER_WAY, _PLANNED, _OTHERS = range(3)
_STATES_UNDER_WAY = {PlannedState.RUNNING, PlannedState.PENDING}
_MOMENTS = {_UNDER_WAY: _rotations.c.due_at, _PLANNED: _secrets.c.next_rotation_at}
# What is under way may have its next moment already.
_FILTERED = {**_MOMENTS, _UNDER_WAY: func.coalesce(_secrets.c.next_rotation_at, _rotations.c.due_at)}
_ROWS = {_UNDER_WAY: _rotations.c.rotation_id, _PLANNED: _secrets.c.secret_id, _OTHERS: _secrets.c.secret_id}
_MOMENT_MS = type_coerce(_secrets.c.next_rotation_at, BigInteger)
_BESIDE_MS = type_coerce(_beside.c.next_rotation_at, BigInteger)
_THIS_MINUTE_MS = _MOMENT_MS - _MOMENT_MS % _MINUTE_MS
# The index has it all: a secret without rotation has no moment, and a deleted one's weighs little.
_PLANNED_BY_MINUTE = (
    select((_MOMENT_MS // _MINUTE_MS).label("minute"), func.count().label("planned"))
    .where(_secrets.c.next_rotation_at >= bindparam("opens_at"), _secrets.c.next_rotation_at < bindparam("closes_at"))
    .group_by("minute")
)


def _by_hour(moment: ColumnElement[datetime]) -> Select[Any]:
    """Return a page that counts by the hour of a moment."""
    columns: Sequence[ColumnElement[Any]] = (
        (type_coerce(moment, BigInteger) // _HOUR_MS).label("hour"),
        func.count().label("planned"),
    )
    return select(*columns).group_by("hour")


# The index has it all, as above; of the deleted ones there are few, which are counted by themselves.
_BY_HOUR = _by_hour(_secrets.c.next_rotation_at).where(
    _secrets.c.account_id == bindparam("account_id"), _secrets.c.region == bindparam("region")
)
# What has no such moment is in its index as well: compared with one, it is not looked through.
_DELETED = select(_beside.c.secret_id).where(
    _beside.c.deletion_at >= from_milliseconds(0), _beside.c.deleted_at.is_not(None)
)
_DELETED_BY_HOUR = _BY_HOUR.where(_secrets.c.secret_id.in_(_DELETED))
# Who rotates now, or tries again, counts where it is listed.
_UNDER_WAY_BY_HOUR = (
    _by_hour(_rotations.c.due_at)
    .join(_secrets, _secrets.c.secret_id == _rotations.c.secret_id)
    .where(
        _rotations.c.status == RotationStatus.PENDING,
        _secrets.c.account_id == bindparam("account_id"),
        _secrets.c.region == bindparam("region"),
        _secrets.c.rotation_enabled.is_not(None),
        _secrets.c.deleted_at.is_(None),
        _secrets.c.next_rotation_at.is_(None),
    )
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
_IS_HELD = and_(_rotations.c.lease_owner.is_not(None), _rotations.c.lease_expires_at > bindparam("now"))
_IS_PENDING = _rotations.c.status == RotationStatus.PENDING
_STATE = case(
    (and_(_IS_PENDING, _IS_HELD), PlannedState.RUNNING.value),
    (_IS_PENDING, PlannedState.PENDING.value),
    (_secrets.c.rotation_enabled.is_(False), PlannedState.OFF.value),
    (_rotations.c.status == RotationStatus.PARKED, PlannedState.PARKED.value),
    (schema.HAS_FAILED, PlannedState.FAILED.value),
    (_secrets.c.next_rotation_at.is_(None), PlannedState.UNPLANNED.value),
    else_=PlannedState.PLANNED.value,
)
_COLUMNS = (
    _STATE.label("state"),
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
    _PLANNED_IN_MINUTE.label("planned_in_minute"),
    _rotations.c.rotation_id,
    _rotations.c.version_id,
    _rotations.c.kind,
    _rotations.c.due_at,
    _rotations.c.attempt,
    _rotations.c.cause,
    _failed.c.version_id.label("failed_version_id"),
    _failed.c.ended_at.label("failed_at"),
    _failed.c.cause.label("failed_cause"),
    _failed.c.error.label("failed_error"),
    _rotations.c.error,
    _preflights.c.verdict,
    _preflights.c.heartbeat,
    _preflights.c.causes.label("preflight_causes"),
    _preflights.c.checked_at,
    _preflights.c.engine,
)
_OF_PLACE = (_secrets.c.account_id == bindparam("account_id"), _secrets.c.region == bindparam("region"))
_AMONG = (_secrets.c.secret_id.in_(bindparam("among", expanding=True)),)
# Of a secret's rotations one at most is unfinished.
_UNFINISHED = and_(_rotations.c.secret_id == _secrets.c.secret_id, _rotations.c.status.in_(UNFINISHED))
_PREFLIGHT = _preflights.c.secret_id == _secrets.c.secret_id
# Few of many: where they are looked for first and then sorted, the index of the order need not be walked.
_MOST_SORTED = 1000
_OF_OWNER = select(_secrets.c.secret_id, _secrets.c.account_id, _secrets.c.region)
_HAVE_FAILED = select(_beside.c.secret_id).where(_beside.c.failed_rotation_id.is_not(None))
_MAY_BE_TROUBLED = union_all(select(_preflights.c.secret_id).where(schema.IS_TROUBLED), _HAVE_FAILED)
_PARKED = select(_rotations.c.secret_id).where(_rotations.c.status == RotationStatus.PARKED)
_IS_NOT_PENDING = or_(_rotations.c.status.is_(None), _rotations.c.status != RotationStatus.PENDING)
# What has failed may have begun anew: then it is not known yet how that one goes.
_IS_FAILING = and_(schema.HAS_FAILED, or_(_IS_NOT_PENDING, _rotations.c.rotation_id == _secrets.c.failed_rotation_id))
# As the schedule counts (``rules.schedule.last_change``): a value counts where one has been rotated before.
_IS_FOUND_TROUBLED = and_(
    schema.IS_TROUBLED,
    or_(
        _secrets.c.last_rotated_at.is_(None),
        and_(
            _preflights.c.checked_at >= _secrets.c.last_rotated_at,
            _preflights.c.checked_at >= func.coalesce(_VALUE_MADE_AT, _secrets.c.last_rotated_at),
        ),
    ),
)
_IS_TROUBLED = and_(_secrets.c.rotation_enabled, or_(_IS_FAILING, _IS_FOUND_TROUBLED))
# States of which there are few, each with where those are that may be in it.
_FEW_BY_STATE = {PlannedState.PARKED: _PARKED, PlannedState.FAILED: _HAVE_FAILED}


def _parts(*these: ColumnElement[bool]) -> Mapping[int, Select[Any]]:
    """Return the parts of the list of these secrets, as far as they rotate or could."""
    rotating = (*these, _secrets.c.rotation_enabled.is_not(None), _secrets.c.deleted_at.is_(None))
    under_way = join(_rotations, _secrets, _rotations.c.secret_id == _secrets.c.secret_id)
    with_unfinished = _described(outerjoin(_secrets, _rotations, _UNFINISHED)).where(*rotating)
    return {
        _UNDER_WAY: _described(under_way)
        .where(*rotating, _IS_PENDING)
        .order_by(_rotations.c.due_at, _rotations.c.rotation_id),
        _PLANNED: with_unfinished.where(_secrets.c.next_rotation_at.is_not(None), _IS_NOT_PENDING).order_by(
            _secrets.c.next_rotation_at, _secrets.c.secret_id
        ),
        _OTHERS: with_unfinished.where(_secrets.c.next_rotation_at.is_(None), _IS_NOT_PENDING).order_by(
            _secrets.c.secret_id
        ),
    }


def _described(these: Join) -> Select[Any]:
    """Return the columns of secrets, joined with their unfinished rotations."""
    with_failed = outerjoin(these, _failed, _failed.c.rotation_id == _secrets.c.failed_rotation_id)
    return select(*_COLUMNS).select_from(outerjoin(with_failed, _preflights, _PREFLIGHT))


_OF_A_PLACE, _OF_SOME = _parts(*_OF_PLACE), _parts(*_AMONG)


def planned_by_minute(connection: Connection, opens_at: datetime, closes_at: datetime) -> dict[datetime, int]:
    """Return how many rotations are planned in each minute of a span; minutes without any are left out."""
    rows = connection.execute(_PLANNED_BY_MINUTE, {"opens_at": opens_at, "closes_at": closes_at})
    return {from_milliseconds(row.minute * _MINUTE_MS): row.planned for row in rows}


def planned_by_hour(connection: Connection, place: Place, wanted: PlannedFilter) -> dict[datetime, int]:
    """Return how many secrets of an account's region rotate next in each hour; hours without any are left out.

    Each counts at the moment by which it is listed: who rotates now, or tries again, when that was or is due.
    """
    counts: Counter[datetime] = Counter()
    planned_at = _secrets.c.next_rotation_at
    pages: Sequence[tuple[Select[Any], ColumnElement[datetime], int]] = (
        (_BY_HOUR, planned_at, 1),
        (_DELETED_BY_HOUR, planned_at, -1),
        (_UNDER_WAY_BY_HOUR, _rotations.c.due_at, 1),
    )
    for page, at, sign in pages:
        for row in connection.execute(_matching(page, wanted, at), schema.owner_of(place)):
            counts[from_milliseconds(row.hour * _HOUR_MS)] += sign * row.planned
    return {hour: count for hour, count in sorted(counts.items()) if count}


def load_planned_after(connection: Connection, moment: datetime, limit: int) -> list[str]:
    """Return the ARNs of secrets whose rotation was planned after a moment, by a clock that was ahead."""
    return list(connection.execute(_PLANNED_AFTER, {"moment": moment, "limit": limit}).scalars())


def load_planned(
    connection: Connection,
    place: Place,
    wanted: PlannedFilter,
    now: datetime,
    *,
    after: PlannedPosition | None,
    limit: int,
) -> list[PlannedRecord]:
    """Return secrets of an account's region: whose rotation is under way, then the planned by moment, then the others.

    Args:
        connection: Of the state.
        place: Whose.
        wanted: Which.
        now: Decides which leases are held.
        after: Only what comes behind this one, which may be gone: the last of the page before.
        limit: How many at most.
    """
    found: list[PlannedRecord] = []
    parameters: dict[str, object] = {**schema.owner_of(place), "now": now}
    few = _few(connection, place, wanted)
    parts = _OF_A_PLACE if few is None else _OF_SOME
    if few is not None:
        parameters["among"] = few
    for part in _parts_with(wanted):
        if after is not None and part < after.part:
            continue
        is_behind = after is not None and after.part == part
        # Of two moments to begin at SQLite may take the earlier one, and read all that was shown before.
        matched = replace(wanted, begin=None) if is_behind and part == _PLANNED else wanted
        page = _matching(parts[part], matched, _FILTERED.get(part))
        if after is not None and is_behind:
            page = page.where(_behind(after))
        rows = connection.execute(page.limit(limit - len(found)), parameters)
        found += [_record(part, row) for row in rows]
        if len(found) >= limit:
            break
    return found


def _few(connection: Connection, place: Place, wanted: PlannedFilter) -> list[int] | None:
    """Return the rows of which there are few, by ARN or by what is wrong with them; None if they may be many."""
    if wanted.secret_arns:
        rows = connection.execute(_OF_OWNER.where(_secrets.c.arn.in_(wanted.secret_arns))).all()
    elif (these := _among_few(wanted)) is not None:
        found = _OF_OWNER.where(_secrets.c.secret_id.in_(these))
        rows = connection.execute(found.limit(_MOST_SORTED + 1)).all()
        if len(rows) > _MOST_SORTED:
            return None
    else:
        return None
    # In the statement, SQLite would walk the whole index of the owner's secrets.
    owner = (place.account_id, place.region)
    return [row.secret_id for row in rows if (row.account_id, row.region) == owner]


def _among_few(wanted: PlannedFilter) -> SelectBase | None:
    """Return where those are by what is wrong with them, and some others; None if anything may be."""
    if wanted.is_troubled:
        return _MAY_BE_TROUBLED
    if wanted.states and wanted.states <= _FEW_BY_STATE.keys():
        return union_all(*(_FEW_BY_STATE[state] for state in sorted(wanted.states)))
    return None


def _parts_with(wanted: PlannedFilter) -> list[int]:
    """Return the parts of the list in which something of what is wanted may stand."""
    has_moment = wanted.begin is not None or wanted.end is not None
    parts = [_UNDER_WAY, _PLANNED] if has_moment else [_UNDER_WAY, _PLANNED, _OTHERS]
    if not wanted.states:
        return parts
    is_with = not wanted.states.isdisjoint(_STATES_UNDER_WAY), not wanted.states <= _STATES_UNDER_WAY
    return [part for part in parts if is_with[part != _UNDER_WAY]]


def _matching(page: Select[Any], wanted: PlannedFilter, moment: ColumnElement[datetime] | None) -> Select[Any]:
    if wanted.states:
        page = page.where(_STATE.in_([state.value for state in wanted.states]))
    if moment is not None and wanted.begin is not None:
        page = page.where(moment >= wanted.begin)
    if moment is not None and wanted.end is not None:
        page = page.where(moment < wanted.end)
    if wanted.is_troubled:
        page = page.where(_IS_TROUBLED)
    if (these := _among_few(wanted)) is not None:
        page = page.where(_secrets.c.secret_id.in_(these))
    if wanted.name_prefix:
        page = page.where(func.substr(_secrets.c.name, 1, len(wanted.name_prefix)) == wanted.name_prefix)
    if wanted.function_arn is not None:
        page = page.where(_secrets.c.rotation_function_arn == wanted.function_arn)
    return page


def _behind(after: PlannedPosition) -> ColumnElement[bool]:
    moment, row = _MOMENTS.get(after.part), _ROWS[after.part]
    return row > after.row if moment is None else tuple_(moment, row) > (after.at, after.row)


def _record(part: int, row: Row[Any]) -> PlannedRecord:
    columns = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
    kind = None if row.kind is None else RotationKind(row.kind)
    return PlannedRecord(part, **{**columns, "state": PlannedState(row.state), "kind": kind})
