"""What the scheduler asks the database for when it looks what is due, timed one by one, with the plans that it gets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median, quantiles
from typing import Any

from sqlalchemy import Engine, delete, event, insert, select, update

from keyturn import ids
from keyturn.operations.kit import Kit
from keyturn.operations.secretsmanager.planning import plan_rotation
from keyturn.rules.lanes import Lane, Limits
from keyturn.rules.rotation import Step
from keyturn.scheduler.due import begin_due
from keyturn.storage import rotation_leases, rotation_totals, schema, secret_erasure, secrets
from keyturn.storage.rotations import RotationKind, RotationStatus

_LIMITS = Limits(total=16, per_function=8, per_database=4)
_DUE_AT_ONCE = 100
_OWNER = "benchmark"
_SLOW, _QUICK = "slow", "quick"
_FULL_DATABASE = "full"
_rotations, _secrets = schema.rotations, schema.secrets


@dataclass(frozen=True, slots=True)
class Query:
    """One question or act, and how it is made possible once more.

    Attributes:
        name: For the table.
        run: Is timed.
        undo: Is not.
    """

    name: str
    run: Callable[[], object]
    undo: Callable[[], object] = lambda: None


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a query took.

    Attributes:
        plans: What the database says it does, for each kind of statement.
    """

    name: str
    median_ms: float
    p99_ms: float
    plans: Sequence[str]


def timings(kit: Kit, repeats: int, due: Sequence[int], busy_hour: datetime) -> Iterator[Timing]:
    """Time everything; the database is afterwards as it was before, but for its generations.

    Args:
        kit: Of a Keyturn whose scheduler does nothing.
        repeats: How often each is run.
        due: How many are due, one after the other.
        busy_hour: An hour in which very many rotations are planned.
    """
    now = kit.clock.now()
    for query in _moments(kit, now):
        yield _timed(kit, query, repeats)
    for count in due:
        with _due_secrets(kit, count, now):
            yield _timed(kit, _load_due(kit, count, now), repeats)
    for count in due:
        with _due_rotations(
            kit, [Lane(f"function-{each % 8}", f"database-{each % 500}") for each in range(count)], now
        ):
            yield _timed(kit, _claim(kit, f"{count:,} due", now, []), repeats)
    blocked = max(due) * 6 // 7
    free = max(due) - blocked
    slow = [Lane(_SLOW, f"database-{each % 500}") for each in range(blocked)]
    quick = [Lane(_QUICK, f"database-{each % 500}") for each in range(free)]
    with _due_rotations(kit, [*slow, *quick], now):
        running = [Lane(_SLOW, f"running-{each}") for each in range(_LIMITS.per_function)]
        yield _timed(
            kit, _claim(kit, f"{free:,} behind {blocked:,} of a function without places", now, running), repeats
        )
    with _due_rotations(kit, slow, now):
        yield _timed(kit, _claim(kit, f"none but {blocked:,} of a function without places", now, running), repeats)
    busy = [Lane(f"function-{each % 8}", _FULL_DATABASE) for each in range(blocked)]
    with _due_rotations(kit, [*busy, *quick], now):
        running = [Lane(_QUICK, _FULL_DATABASE)] * _LIMITS.per_database
        yield _timed(
            kit, _claim(kit, f"{free:,} behind {blocked:,} of a database without places", now, running), repeats
        )
    yield from _one_secret(kit, repeats, now, busy_hour)


def _moments(kit: Kit, now: datetime) -> list[Query]:
    """What the scheduler asks to know how long it may sleep, and what metrics ask."""

    def asking(ask: Callable[[Any], object]) -> Callable[[], object]:
        def run() -> None:
            with kit.state.read() as connection:
                ask(connection)

        return run

    return [
        Query("when the next rotation is planned", asking(secrets.next_planned)),
        Query("when the next one can be claimed", asking(rotation_leases.next_due)),
        Query("when the next recovery window ends", asking(secret_erasure.next_deletion)),
        Query("for metrics: how rotation stands", asking(lambda each: rotation_totals.load_totals(each, now))),
        Query("for metrics, once a minute: how many rotate", asking(rotation_totals.count_rotating)),
    ]


def _load_due(kit: Kit, count: int, now: datetime) -> Query:
    def run() -> None:
        with kit.state.read() as connection:
            found = secrets.due_for_rotation(connection, now, _DUE_AT_ONCE)
        assert len(found) == min(count, _DUE_AT_ONCE)

    return Query(f"which secrets are due, {count:,} are", run)


def _claim(kit: Kit, what: str, now: datetime, running: list[Lane]) -> Query:
    def run() -> None:
        rotation_leases.claim_due(kit.state, _OWNER, now, dict(enumerate(running, -len(running))), _LIMITS)

    return Query(f"claim rotations: {what}", run, lambda: rotation_leases.release_leases_of_others(kit.state, "nobody"))


def _one_secret(kit: Kit, repeats: int, now: datetime, busy_hour: datetime) -> Iterator[Timing]:
    """Plan and begin the rotation of a secret, in the hour that is busiest."""
    with kit.state.read() as connection:
        in_hour = select(_secrets.c.arn).where(_secrets.c.next_rotation_at >= busy_hour).limit(1)
        arn: str = connection.execute(in_hour.order_by(_secrets.c.next_rotation_at)).scalar_one()
        secret = secrets.load_secret(connection, arn)
    assert secret is not None
    as_it_was = {"next_rotation_at": secret.next_rotation_at, "next_rotation_closes_at": secret.next_rotation_closes_at}

    def set_back(**columns: object) -> None:
        with kit.state.write() as transaction:
            of_secret = schema.rotations.c.secret_id == secret.secret_id
            transaction.connection.execute(delete(_rotations).where(of_secret, _rotations.c.status == "pending"))
            transaction.connection.execute(
                update(_secrets).where(_secrets.c.secret_id == secret.secret_id).values(**{**as_it_was, **columns})
            )

    def plan() -> None:
        with kit.state.write() as transaction:
            plan_rotation(kit, transaction, secret.arn, counted_from=now, not_before=now)

    yield _timed(kit, Query("plan one rotation into the busiest hour, and commit", plan, set_back), repeats)
    due = {"next_rotation_at": now - timedelta(seconds=1), "next_rotation_closes_at": now + timedelta(hours=1)}
    # The version that is pending from then on is adopted by the next one.
    begin = Query("begin one rotation, and commit", lambda: begin_due(kit, secret.arn, now), lambda: set_back(**due))
    set_back(**due)
    yield _timed(kit, begin, repeats)
    set_back()


@contextmanager
def _due_secrets(kit: Kit, count: int, now: datetime) -> Iterator[None]:
    """Have secrets due for as long as the block runs, with their plans put off by years."""
    far = timedelta(days=3650)
    chosen = select(_secrets.c.secret_id).where(_secrets.c.next_rotation_at.is_not(None)).limit(count)
    with kit.state.write() as transaction:
        rows = select(_secrets.c.secret_id, _secrets.c.next_rotation_at).where(_secrets.c.secret_id.in_(chosen))
        before = transaction.connection.execute(rows).all()
        numbers = [row.secret_id for row in before]
        by_number = update(_secrets).where(_secrets.c.secret_id.in_(chosen))
        transaction.connection.execute(by_number.values(next_rotation_at=now - timedelta(minutes=1)))
    assert numbers or not count
    try:
        yield
    finally:
        with kit.state.write() as transaction:
            for row in before:
                transaction.connection.execute(
                    update(_secrets)
                    .where(_secrets.c.secret_id == row.secret_id)
                    .values(next_rotation_at=row.next_rotation_at or now + far)
                )


@contextmanager
def _due_rotations(kit: Kit, lanes: Sequence[Lane], now: datetime) -> Iterator[None]:
    """Have rotations wait for a place, the first in the list for the longest, for as long as the block runs."""
    rows = [
        {
            "secret_id": 1 + number % 1000,
            "version_id": ids.new_version_id(),
            "kind": RotationKind.ROTATION,
            "status": RotationStatus.PENDING,
            "step": Step.CREATE.value,
            "attempt": 1,
            "requested_at": now,
            "due_at": now - timedelta(seconds=len(lanes) - number),
            "lease_generation": 0,
            "function_arn": lane.function_arn,
            "database_lane": lane.database,
        }
        for number, lane in enumerate(lanes)
    ]
    with kit.state.write() as transaction:
        if rows:
            transaction.connection.execute(insert(_rotations), rows)
    try:
        yield
    finally:
        with kit.state.write() as transaction:
            transaction.connection.execute(delete(_rotations).where(_rotations.c.status == RotationStatus.PENDING))


def _timed(kit: Kit, query: Query, repeats: int) -> Timing:
    with _watched(kit.state.engine) as statements:
        query.run()
    # Some statements are run for each of many secrets.
    plans = list(dict.fromkeys(_explained(kit.state.engine, *each) for each in statements))
    query.undo()
    took = []
    for _ in range(repeats):
        started_at = time.perf_counter()
        query.run()
        took.append((time.perf_counter() - started_at) * 1000)
        query.undo()
    return Timing(query.name, median(took), quantiles(took, n=100)[98], plans)


@contextmanager
def _watched(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """Collect the statements that are run, with their parameters."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, *rest: bool) -> None:
        if not any(rest) and statement.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            statements.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


def _explained(engine: Engine, statement: str, parameters: Any) -> str:
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    borrowed = engine.raw_connection()
    try:
        cursor = borrowed.cursor()
        cursor.execute(f"{explain} {statement}", parameters)
        rows = cursor.fetchall()
        borrowed.rollback()
    finally:
        borrowed.close()
    return "; ".join(str(row[-1]).strip() for row in rows)
