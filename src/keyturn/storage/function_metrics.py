"""What was counted of functions, by the minute.

Whoever counts has a row of its own for each minute and series, and writes it whole each time: a write that is repeated
counts nothing twice, and servers do not wait for each other. Whoever reads adds up.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    select,
    type_coerce,
)
from sqlalchemy.dialects import postgresql

from keyturn.arn import Place
from keyturn.rules.metrics import Series, Tally
from keyturn.storage import schema
from keyturn.storage.database import Database

_metrics = schema.function_metrics
_KEY = tuple(column.name for column in _metrics.primary_key)

# ON CONFLICT is spelled alike by both databases.
_INSERT = postgresql.insert(_metrics)
_STORE = _INSERT.on_conflict_do_update(
    index_elements=_KEY,
    set_={column.name: column for column in _INSERT.excluded if column.name not in _KEY},
)
_OF_OWNER = (_metrics.c.account_id == bindparam("account_id")) & (_metrics.c.region == bindparam("region"))
_WANTED = and_(
    _OF_OWNER,
    _metrics.c.function_name == bindparam("function_name"),
    _metrics.c.resource == bindparam("resource"),
    _metrics.c.minute_at >= bindparam("begin"),
    _metrics.c.minute_at < bindparam("end"),
)
_MINUTES = select(_metrics).where(_WANTED)
_BEGIN_MS = bindparam("begin", type_=schema.Moment)
_INTO_PERIOD = type_coerce(_metrics.c.minute_at, BigInteger) - type_coerce(_BEGIN_MS, BigInteger)
_PERIODS = (
    select(
        (_INTO_PERIOD // bindparam("period_ms", type_=BigInteger)).label("period"),
        func.sum(_metrics.c.invocations).label("invocations"),
        func.sum(_metrics.c.errors).label("errors"),
        func.sum(_metrics.c.throttles).label("throttles"),
        func.sum(_metrics.c.total_ms).label("total_ms"),
        func.min(_metrics.c.shortest_ms).label("shortest_ms"),
        func.max(_metrics.c.longest_ms).label("longest_ms"),
    )
    .where(_WANTED)
    .group_by("period")
)
_SERIES: Select[Any] = (
    select(
        _metrics.c.function_name,
        _metrics.c.resource,
        func.sum(_metrics.c.invocations).label("invocations"),
        func.sum(_metrics.c.throttles).label("throttles"),
        func.max(case((_metrics.c.concurrency == "[]", 0), else_=1)).label("has_run"),
    )
    .where(_OF_OWNER, _metrics.c.minute_at >= bindparam("since"))
    .group_by(_metrics.c.function_name, _metrics.c.resource)
)
_FORGET = delete(_metrics).where(_metrics.c.minute_at < bindparam("before"))


@dataclass(frozen=True, slots=True)
class CountedMinute:
    """What one process has counted of a series within a minute; ``part`` tells it from others."""

    place: Place
    series: Series
    minute_at: datetime
    part: str
    tally: Tally


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """A series, and the names of its metrics that have had a point."""

    series: Series
    metrics: frozenset[str]


def store_minutes(journal: Database, minutes: Sequence[CountedMinute]) -> None:
    """Write what was counted, in place of what was written of the same minutes before.

    Raises:
        StorageError: The database failed; nothing was written.
    """
    with journal.write() as transaction:
        transaction.connection.execute(_STORE, [_values(minute) for minute in minutes])


def load_periods(
    connection: Connection,
    place: Place,
    series: Series,
    begin: datetime,
    end: datetime,
    *,
    period: timedelta,
    counts: Collection[str],
) -> Iterator[tuple[datetime, Tally]]:
    """Yield what was counted of a series: by minutes, of each perhaps several, or added up to periods.

    Args:
        connection: To the journal.
        place: The account's region.
        series: Of what.
        begin: The first minute, when the first period begins.
        end: The minutes are before it.
        period: How long each period is, whole minutes.
        counts: Which of ``durations`` and ``concurrency`` are needed; others are left empty. If none is, the database
            adds up.
    """
    parameters = {**schema.owner_of(place), **series._asdict(), "begin": begin, "end": end}
    if counts:
        for row in connection.execute(_MINUTES, parameters):
            yield row.minute_at, _tally(row, counts)
        return
    period_ms = period // timedelta(milliseconds=1)
    for row in connection.execute(_PERIODS, {**parameters, "period_ms": period_ms}):
        yield begin + row.period * period, _tally(row, counts)


def list_series(connection: Connection, place: Place, since: datetime) -> list[KnownSeries]:
    """Return of what anything was counted since then in an account's region, in order."""
    rows = connection.execute(_SERIES, {**schema.owner_of(place), "since": since})
    found = [KnownSeries(Series(row.function_name, row.resource), _metrics_of(row)) for row in rows]
    return sorted(found, key=lambda known: known.series)


def forget_minutes(journal: Database, before: datetime) -> None:
    """Delete what was counted before a moment.

    Raises:
        StorageError: The database failed.
    """
    with journal.write() as transaction:
        transaction.connection.execute(_FORGET, {"before": before})


def _values(minute: CountedMinute) -> dict[str, Any]:
    tally = minute.tally
    return {
        **schema.owner_of(minute.place),
        **minute.series._asdict(),
        "minute_at": minute.minute_at,
        "part": minute.part,
        "invocations": tally.invocations,
        "errors": tally.errors,
        "throttles": tally.throttles,
        "total_ms": tally.total_ms,
        "shortest_ms": tally.shortest_ms if tally.invocations else None,
        "longest_ms": tally.longest_ms,
        "durations": _written(tally.durations),
        "concurrency": _written(tally.concurrency),
    }


def _metrics_of(row: Row[Any]) -> frozenset[str]:
    found = {"Duration", "Errors", "Invocations", "Throttles"} if row.invocations else set()
    if row.throttles:
        found.add("Throttles")
    if row.has_run:
        found.add("ConcurrentExecutions")
    return frozenset(found)


def _tally(row: Row[Any], counts: Collection[str]) -> Tally:
    return Tally(
        invocations=row.invocations,
        errors=row.errors,
        throttles=row.throttles,
        durations=_read(row.durations) if "durations" in counts else Counter(),
        total_ms=row.total_ms,
        shortest_ms=math.inf if row.shortest_ms is None else row.shortest_ms,
        longest_ms=row.longest_ms,
        concurrency=_read(row.concurrency) if "concurrency" in counts else Counter(),
    )


def _written(counts: Mapping[float, int]) -> str:
    return json.dumps(sorted(counts.items()), separators=(",", ":"))


def _read(text: str) -> Counter[float]:
    return Counter({float(value): count for value, count in json.loads(text)})
