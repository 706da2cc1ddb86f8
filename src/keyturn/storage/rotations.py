"""Rotations under way and their history; who may run one is said in ``storage/rotation_leases.py``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, func, insert, select, update

from keyturn.rules.lanes import Lane
from keyturn.rules.rotation import Step
from keyturn.rules.staging import AWSCURRENT, AWSPENDING, AWSPREVIOUS
from keyturn.storage import schema
from keyturn.storage.database import Transaction
from keyturn.storage.secret_versions import load_version
from keyturn.storage.secrets import SecretRecord

_rotations, _steps = schema.rotations, schema.rotation_steps
_versions, _labels = schema.secret_versions, schema.staging_labels


class RotationKind(StrEnum):
    """What a rotation is for."""

    ROTATION = "rotation"
    # RotateImmediately=false: only testSecret, with a copy of the current value.
    TEST = "test"
    # The database is asked which version it accepts, and the labels are brought in line with it.
    RESOLUTION = "resolution"


class RotationStatus(StrEnum):
    """Where a rotation stands."""

    # Due at due_at, or running under a lease.
    PENDING = "pending"
    # Out of attempts; its AWSPENDING version stays, and the next window or RotateSecret tries again.
    PARKED = "parked"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABANDONED = "abandoned"
    CANCELLED = "cancelled"


UNFINISHED = (RotationStatus.PENDING, RotationStatus.PARKED)


@dataclass(frozen=True, slots=True)
class RotationRecord:
    """One rotation of one secret.

    Attributes:
        version_id: The version it makes: the ClientRequestToken of its four steps.
        step: The step that runs or comes next.
        attempt: Counts whole runs through the steps in this window, from 1.
        due_at: When it may (next) run.
        window_closes_at: When it is parked if it has not succeeded; None for no window.
        error: Why the last attempt failed.
        function_arn: Which function runs it, as when it began; bounds how many run at once.
        database_lane: Which database it is for, as a digest; likewise.
        cause: A short name of ``error``: ``AuthenticationFailed``, ``timeout``.
        offers_probe: Whether the function can ask the database which stored version it accepts.
    """

    rotation_id: int
    secret_id: int
    version_id: str
    kind: RotationKind
    status: RotationStatus
    step: str
    attempt: int
    requested_at: datetime
    due_at: datetime
    window_closes_at: datetime | None
    ended_at: datetime | None
    error: str | None
    lease_owner: str | None
    lease_expires_at: datetime | None
    lease_generation: int
    function_arn: str | None
    database_lane: str | None
    cause: str | None
    offers_probe: bool | None


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One run of one step.

    Attributes:
        outcome: None while it runs, or if the server died in it.
        cause: A short name of ``error``; of ``probeSecret`` that was answered, what the database said to each label.
    """

    position: int
    attempt: int
    step: str
    request_id: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    error: str | None
    cause: str | None


_UNFINISHED_OF = (
    select(_rotations)
    .where(_rotations.c.secret_id == bindparam("secret_id"), _rotations.c.status.in_(UNFINISHED))
    .order_by(_rotations.c.rotation_id.desc())
    .limit(1)
)
_NEWEST = 2**62
_OF_SECRET = (
    select(_rotations)
    .where(_rotations.c.secret_id == bindparam("secret_id"), _rotations.c.rotation_id < bindparam("before"))
    .order_by(_rotations.c.rotation_id.desc())
    .limit(bindparam("limit"))
)
# A version that was abandoned half-way can be taken up by another rotation.
_BY_VERSION = (
    select(_rotations)
    .where(_rotations.c.secret_id == bindparam("secret_id"), _rotations.c.version_id == bindparam("version_id"))
    .order_by(_rotations.c.rotation_id.desc())
    .limit(1)
)
_LAST_SUCCESS = select(func.max(_rotations.c.ended_at)).where(
    _rotations.c.secret_id == bindparam("secret_id"),
    _rotations.c.rotation_id < bindparam("before"),
    _rotations.c.kind == RotationKind.ROTATION,
    _rotations.c.status == RotationStatus.SUCCEEDED,
)
_STEPS_OF = select(_steps).where(_steps.c.rotation_id == bindparam("rotation_id")).order_by(_steps.c.position)
_NEWEST_STEPS_OF = (
    select(_steps)
    .where(_steps.c.rotation_id == bindparam("rotation_id"))
    .order_by(_steps.c.position.desc())
    .limit(bindparam("limit"))
)
_FAILED_OF = (
    select(_steps)
    .where(_steps.c.rotation_id == bindparam("rotation_id"), _steps.c.error.is_not(None))
    .order_by(case((_steps.c.step == Step.PROBE, 1), else_=0), _steps.c.position.desc())
    .limit(1)
)
_NEXT_POSITION = select(func.coalesce(func.max(_steps.c.position), 0) + 1).where(
    _steps.c.rotation_id == bindparam("rotation_id")
)
_HAS_RUN = (
    select(_steps.c.position)
    .join(_rotations, _rotations.c.rotation_id == _steps.c.rotation_id)
    .where(
        _rotations.c.secret_id == bindparam("secret_id"),
        _rotations.c.version_id == bindparam("version_id"),
        _steps.c.step == bindparam("step"),
    )
    .limit(1)
)
_STILL_RUNS = _HAS_RUN.where(_steps.c.ended_at.is_(None), _steps.c.started_at > bindparam("since"))
_MOST_LOST = 3
_SET = (
    select(_rotations.c.version_id)
    .join(_steps, _steps.c.rotation_id == _rotations.c.rotation_id)
    .where(_rotations.c.secret_id == bindparam("secret_id"), _steps.c.step == Step.SET)
)
_LOST_OF = (
    select(_versions.c.version_id)
    .where(
        _versions.c.secret_id == bindparam("secret_id"),
        _versions.c.sealed.is_not(None),
        _versions.c.from_rotation,
        _versions.c.version_id.not_in(
            select(_labels.c.version_id).where(
                _labels.c.secret_id == bindparam("secret_id"),
                _labels.c.label.in_([AWSCURRENT, AWSPENDING, AWSPREVIOUS]),
            )
        ),
        _versions.c.version_id.in_(_SET),
    )
    # What the database has had before what it may have had.
    .order_by(
        _versions.c.version_id.in_(_SET.where(_steps.c.outcome == "succeeded")).desc(),
        _versions.c.created_at.desc(),
        _versions.c.version_id,
    )
    .limit(_MOST_LOST)
)
_INSERT_STEP = insert(_steps)
_END_STEP = (
    update(_steps)
    .where(_steps.c.rotation_id == bindparam("of_rotation"), _steps.c.position == bindparam("of_position"))
    .values({name: bindparam(name) for name in ("ended_at", "outcome", "error", "cause")})
)


def start_rotation(
    transaction: Transaction,
    secret_id: int,
    version_id: str,
    kind: RotationKind,
    first_step: str,
    due_at: datetime,
    window_closes_at: datetime | None,
    lane: Lane,
    *,
    requested_at: datetime | None = None,
    offers_probe: bool | None = None,
) -> None:
    """Store the intent to rotate; a worker takes it from there."""
    transaction.connection.execute(
        insert(_rotations),
        {
            "secret_id": secret_id,
            "version_id": version_id,
            "kind": kind,
            "status": RotationStatus.PENDING,
            "step": first_step,
            "attempt": 1,
            "requested_at": requested_at or due_at,
            "due_at": due_at,
            "window_closes_at": window_closes_at,
            "lease_generation": 0,
            "function_arn": lane.function_arn,
            "database_lane": lane.database,
            "offers_probe": offers_probe,
        },
    )


def resume_rotation(
    transaction: Transaction, rotation: RotationRecord, first_step: str, at: datetime, window_closes_at: datetime | None
) -> None:
    """Make a rotation that waits due, with a fresh set of attempts; one that runs is left alone."""
    transaction.connection.execute(
        update(_rotations).where(_rotations.c.rotation_id == rotation.rotation_id, _rotations.c.lease_owner.is_(None)),
        {
            "status": RotationStatus.PENDING,
            "step": first_step,
            "attempt": 1,
            "due_at": at,
            "window_closes_at": window_closes_at,
        },
    )


def end_unfinished(
    transaction: Transaction, secret_id: int, status: RotationStatus, at: datetime, error: str | None
) -> None:
    """End the rotation of this secret that is under way, if any; whoever runs it loses the lease."""
    transaction.connection.execute(
        update(_rotations).where(_rotations.c.secret_id == secret_id, _rotations.c.status.in_(UNFINISHED)),
        {
            "status": status,
            "ended_at": at,
            "error": error,
            "lease_owner": None,
            "lease_expires_at": None,
        },
    )


def load_set_aside(connection: Connection, resolution: RotationRecord) -> RotationRecord | None:
    """Return the rotation that waited when a resolution was asked for, and was ended for it; None if none did."""
    before = next(iter(load_history(connection, resolution.secret_id, 1, before=resolution.rotation_id)), None)
    if before is None or (before.kind, before.status) != (RotationKind.ROTATION, RotationStatus.CANCELLED):
        return None
    return before if before.ended_at == resolution.requested_at else None


def take_up_again(
    transaction: Transaction, rotation: RotationRecord, status: RotationStatus, due_at: datetime, error: str | None
) -> None:
    """Let a rotation that was ended wait again, with the attempts that it had left."""
    columns = {"status": status, "due_at": due_at, "ended_at": None, "error": error}
    transaction.connection.execute(update(_rotations).where(_rotations.c.rotation_id == rotation.rotation_id), columns)


def load_unfinished(connection: Connection, secret_id: int) -> RotationRecord | None:
    """Return the rotation of this secret that is pending or parked."""
    row = connection.execute(_UNFINISHED_OF, {"secret_id": secret_id}).one_or_none()
    return None if row is None else record_of(row)


def load_rotation(
    connection: Connection, secret_id: int, version_id: str, kind: RotationKind | None = None
) -> RotationRecord | None:
    """Return the newest rotation that makes (or made) this version, or that of a kind."""
    statement = _BY_VERSION if kind is None else _BY_VERSION.where(_rotations.c.kind == kind)
    row = connection.execute(statement, {"secret_id": secret_id, "version_id": version_id}).one_or_none()
    return None if row is None else record_of(row)


def load_history(
    connection: Connection, secret_id: int, limit: int = 20, *, before: int = _NEWEST
) -> list[RotationRecord]:
    """Return rotations of a secret, newest first: the newest, or those before the one with this number."""
    parameters = {"secret_id": secret_id, "before": before, "limit": limit}
    return [record_of(row) for row in connection.execute(_OF_SECRET, parameters)]


def last_success_before(connection: Connection, rotation: RotationRecord) -> datetime | None:
    """Return when a rotation of the same secret before this one has succeeded last; None if none has."""
    parameters = {"secret_id": rotation.secret_id, "before": rotation.rotation_id}
    ended_at: datetime | None = connection.execute(_LAST_SUCCESS, parameters).scalar_one()
    return ended_at


def load_steps(connection: Connection, rotation_id: int) -> list[StepRecord]:
    """Return every run of every step of a rotation, in order."""
    return [_step(row) for row in connection.execute(_STEPS_OF, {"rotation_id": rotation_id})]


def load_newest_steps(connection: Connection, rotation_id: int, limit: int) -> list[StepRecord]:
    """Return the newest runs of steps of a rotation, in order; it may have very many."""
    found = connection.execute(_NEWEST_STEPS_OF, {"rotation_id": rotation_id, "limit": limit})
    return [_step(row) for row in found][::-1]


def load_last_failure(connection: Connection, rotation_id: int) -> StepRecord | None:
    """Return the step that failed last, other than in asking the database unless nothing else has failed."""
    row = connection.execute(_FAILED_OF, {"rotation_id": rotation_id}).one_or_none()
    return None if row is None else _step(row)


def has_run(connection: Connection, rotation: RotationRecord, step: str) -> bool:
    """Whether a step was ever begun for the version that a rotation makes, by this rotation or one before it."""
    parameters = {"secret_id": rotation.secret_id, "version_id": rotation.version_id, "step": step}
    return connection.execute(_HAS_RUN, parameters).first() is not None


def may_still_run(connection: Connection, rotation: RotationRecord, step: str, since: datetime) -> bool:
    """Whether a run of a step that began after a moment has no outcome: its server died, or was held up.

    Runs for the version that a rotation makes count, by this rotation or one before it.
    """
    parameters = {"secret_id": rotation.secret_id, "version_id": rotation.version_id, "step": step, "since": since}
    return connection.execute(_STILL_RUNS, parameters).first() is not None


def lost_versions(connection: Connection, secret_id: int) -> list[str]:
    """Return versions that rotations may have set in the database, and that carry no label of AWS's.

    Three at most: those first whose setSecret has succeeded, and the newest first.
    """
    return list(connection.execute(_LOST_OF, {"secret_id": secret_id}).scalars())


def lost_since(connection: Connection, secret: SecretRecord) -> str | None:
    """Return the lost version that the database has most likely, if it was made after the current one."""
    current = secret.versions.get(secret.labels.get(AWSCURRENT, ""))
    if current is None:
        return None
    for version_id in lost_versions(connection, secret.secret_id):
        version = load_version(connection, secret.secret_id, version_id)
        if version is not None and version.created_at > current.created_at:
            return version_id
    return None


def has_offered_probe(connection: Connection, secret_id: int, function_arn: str) -> bool:
    """Whether a function has offered to ask the database in a rotation or a test of this secret."""
    found = select(_rotations.c.rotation_id).where(
        _rotations.c.secret_id == secret_id, _rotations.c.function_arn == function_arn, _rotations.c.offers_probe
    )
    return connection.execute(found.limit(1)).first() is not None


def was_rotated_to(connection: Connection, secret_id: int, version_id: str) -> bool:
    """Whether a rotation that made this version has succeeded: it has been current before."""
    found = select(_rotations.c.rotation_id).where(
        _rotations.c.secret_id == secret_id,
        _rotations.c.version_id == version_id,
        _rotations.c.kind == RotationKind.ROTATION,
        _rotations.c.status == RotationStatus.SUCCEEDED,
    )
    return connection.execute(found.limit(1)).first() is not None


def next_position(transaction: Transaction, rotation: RotationRecord) -> int:
    """Return the position of the next run of a step."""
    position: int = transaction.connection.execute(_NEXT_POSITION, {"rotation_id": rotation.rotation_id}).scalar_one()
    return position


def insert_step(
    transaction: Transaction, rotation: RotationRecord, position: int, request_id: str, at: datetime
) -> None:
    """Note that the step at which a rotation stands begins."""
    transaction.connection.execute(
        _INSERT_STEP,
        {
            "rotation_id": rotation.rotation_id,
            "position": position,
            "attempt": rotation.attempt,
            "step": rotation.step,
            "request_id": request_id,
            "started_at": at,
        },
    )


def end_step(
    transaction: Transaction,
    rotation: RotationRecord,
    position: int,
    at: datetime,
    *,
    outcome: str,
    error: str | None,
    cause: str | None,
) -> None:
    """Note how a step ended."""
    transaction.connection.execute(
        _END_STEP,
        {
            "of_rotation": rotation.rotation_id,
            "of_position": position,
            "ended_at": at,
            "outcome": outcome,
            "error": error,
            "cause": cause,
        },
    )


def record_of(row: Row[Any]) -> RotationRecord:
    """Return a row of the table as a record."""
    columns = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
    return RotationRecord(**{**columns, "kind": RotationKind(row.kind), "status": RotationStatus(row.status)})


def _step(row: Row[Any]) -> StepRecord:
    columns = {name: value for name, value in row._mapping.items() if name != "rotation_id"}  # noqa: SLF001 - likewise
    return StepRecord(**columns)
