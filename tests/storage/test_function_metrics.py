"""What was counted of functions, on both databases: written whole, added up, listed, forgotten."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.operations.function_metrics import FunctionMetrics
from keyturn.rules.metrics import METRICS, MINUTE, Series, Tally, minute_of
from keyturn.runtime.spec import FunctionSpec, Invocation
from keyturn.storage import function_metrics
from keyturn.storage.database import StorageError, Stores

from .conftest import NOW, PLACE, OpenStores

AT = minute_of(NOW)
COUNTS = ("durations", "concurrency")
ALL, FUNCTION, ALIAS = Series(), Series("f"), Series("f", "f:live")


def _spec(**changes: Any) -> FunctionSpec:
    made = FunctionSpec(
        arn=PLACE.function_arn("f"), name="f", version="$LATEST", handler="m.h", runtime="python3.11",
        timeout_seconds=3, memory_mb=128, ephemeral_storage_mb=512, environment={}, code_sha256="", revision_id="",
        role_arn="", log_group="",
    )  # fmt: skip
    return replace(made, **changes)


def _invocation(duration_ms: float = 10.0, error: str | None = None) -> Invocation:
    return Invocation(b"", error, b"", "$LATEST", duration_ms)


def _invoke(metrics: FunctionMetrics, *invocations: Invocation | None, at: datetime = NOW, **changes: Any) -> None:
    for invocation in invocations:
        metrics.began(_spec(**changes), at)
        metrics.ended(_spec(**changes), at, invocation)


def _loaded(
    stores: Stores, series: Series = FUNCTION, begin: datetime = AT - MINUTE, end: datetime = AT + MINUTE
) -> dict[datetime, Tally]:
    found: dict[datetime, Tally] = {}
    with stores.journal.read() as connection:
        counted = function_metrics.load_periods(connection, PLACE, series, begin, end, period=MINUTE, counts=COUNTS)
        for minute, tally in counted:
            found.setdefault(minute, Tally()).add(tally)
    return found


def test_what_was_counted_comes_back_as_it_was(stores: Stores) -> None:
    metrics = FunctionMetrics()
    _invoke(metrics, _invocation(10.25), _invocation(1234.5, "Unhandled"), None)
    metrics.throttled(_spec(), NOW)
    metrics.store(stores.journal, NOW)

    assert _loaded(stores) == {
        AT: Tally(
            invocations=2,
            errors=1,
            throttles=1,
            durations={10.2: 1, 1230.0: 1},  # type: ignore[arg-type]  # equal to a counter
            total_ms=1244.75,
            shortest_ms=10.25,
            longest_ms=1234.5,
            concurrency={1.0: 3},  # type: ignore[arg-type]  # likewise
        )
    }
    assert _loaded(stores, ALL) == _loaded(stores)


@pytest.mark.parametrize("counts", [(), ("durations",), ("concurrency",)])
def test_counts_are_read_where_they_are_needed(stores: Stores, counts: tuple[str, ...]) -> None:
    metrics = FunctionMetrics()
    _invoke(metrics, _invocation(10.0))
    metrics.store(stores.journal, NOW)

    whole = _loaded(stores)[AT]
    with stores.journal.read() as connection:
        found = function_metrics.load_periods(
            connection, PLACE, FUNCTION, AT, AT + MINUTE, period=MINUTE, counts=counts
        )
        [(_, tally)] = list(found)
    assert (tally.total_ms, tally.invocations) == (whole.total_ms, whole.invocations)
    for name in COUNTS:
        assert getattr(tally, name) == (getattr(whole, name) if name in counts else {})


def test_the_database_adds_up_to_periods_as_the_minutes_do(stores: Stores) -> None:
    for at, *invocations in (
        (NOW, _invocation(10.25), _invocation(2.0, "Unhandled")),
        (NOW + 4 * MINUTE, _invocation(7.0), None),
        (NOW + 5 * MINUTE, None),
        (NOW + 11 * MINUTE, _invocation(30.0)),
    ):
        # Each is a server of its own.
        for invocation in invocations:
            metrics = FunctionMetrics()
            _invoke(metrics, invocation, at=at)
            metrics.throttled(_spec(), at)
            metrics.store(stores.journal, at)
    end, period = AT + 20 * MINUTE, 5 * MINUTE

    with stores.journal.read() as connection:
        added = list(function_metrics.load_periods(connection, PLACE, FUNCTION, AT, end, period=period, counts=()))
    minutes = sorted(_loaded(stores, end=end).items(), key=lambda found: found[0])
    plain = [replace(tally, durations=Counter(), concurrency=Counter()) for _, tally in minutes]
    first, rest = plain[0], plain[2:]
    first.add(plain[1])
    assert sorted(added, key=lambda found: found[0]) == [
        (AT + number * period, tally) for number, tally in enumerate([first, *rest])
    ]


def test_a_minute_that_goes_on_is_written_again_and_not_twice(stores: Stores) -> None:
    metrics = FunctionMetrics()
    for count in range(1, 4):
        _invoke(metrics, _invocation())
        metrics.store(stores.journal, NOW)
        metrics.store(stores.journal, NOW)
        assert _loaded(stores)[AT].invocations == count


def test_servers_and_restarts_add_up(open_stores: OpenStores) -> None:
    one, two = open_stores(), open_stores()
    for stores in (one, two, one):
        metrics = FunctionMetrics()
        _invoke(metrics, _invocation(5.0), _invocation(20.0, "Unhandled"))
        metrics.store(stores.journal, NOW)

    for stores in (one, two):
        tally = _loaded(stores)[AT]
        assert (tally.invocations, tally.errors, tally.shortest_ms, tally.longest_ms) == (6, 3, 5.0, 20.0)


def test_an_alias_is_counted_beside_its_function(stores: Stores) -> None:
    metrics = FunctionMetrics()
    _invoke(metrics, _invocation())
    _invoke(metrics, _invocation(), qualifier="live")
    metrics.store(stores.journal, NOW)

    counted = {series: _loaded(stores, series)[AT].invocations for series in (ALL, FUNCTION, ALIAS, Series("f", "f"))}
    assert counted == {ALL: 2, FUNCTION: 2, ALIAS: 1, Series("f", "f"): 1}
    assert _loaded(stores, Series("other")) == {}


def test_an_invocation_counts_in_the_minute_in_which_it_began(stores: Stores) -> None:
    metrics, later = FunctionMetrics(), NOW + 10 * MINUTE
    metrics.began(_spec(), NOW)
    metrics.look(later)
    metrics.look(later)
    metrics.store(stores.journal, later)
    metrics.ended(_spec(), NOW, _invocation(600_000.0))
    metrics.look(later + MINUTE)
    metrics.store(stores.journal, later + MINUTE)

    found = _loaded(stores, end=later + 2 * MINUTE)
    assert {minute: tally.invocations for minute, tally in found.items()} == {AT: 1, minute_of(later): 0}
    assert [dict(tally.concurrency) for _, tally in sorted(found.items())] == [{1.0: 1}, {1.0: 1}]


def test_a_minute_that_was_forgotten_in_memory_and_comes_again_adds_up(stores: Stores) -> None:
    metrics = FunctionMetrics()
    _invoke(metrics, _invocation())
    metrics.store(stores.journal, NOW)
    metrics.store(stores.journal, NOW + timedelta(hours=1))
    # The machine's clock was set back.
    _invoke(metrics, _invocation())
    metrics.store(stores.journal, NOW)

    assert _loaded(stores)[AT].invocations == 2


def test_what_could_not_be_written_is_written_the_next_time(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = FunctionMetrics()
    _invoke(metrics, _invocation())

    def fail(*_: object) -> None:
        raise StorageError("away")

    with monkeypatch.context() as patch:
        patch.setattr("keyturn.operations.function_metrics.store_minutes", fail)
        with pytest.raises(StorageError):
            metrics.store(stores.journal, NOW)
    _invoke(metrics, _invocation())
    metrics.store(stores.journal, NOW)

    assert _loaded(stores)[AT].invocations == 2


def test_counting_and_writing_at_once_lose_nothing(stores: Stores) -> None:
    metrics, is_over = FunctionMetrics(), threading.Event()

    def write() -> None:
        while not is_over.is_set():
            metrics.store(stores.journal, NOW)

    writing = threading.Thread(target=write)
    writing.start()
    counting = [threading.Thread(target=_invoke, args=(metrics, *[_invocation()] * 200)) for _ in range(3)]
    for thread in counting:
        thread.start()
    for thread in counting:
        thread.join()
    is_over.set()
    writing.join()
    metrics.store(stores.journal, NOW)

    assert _loaded(stores)[AT].invocations == 600


def test_series_are_listed_with_the_metrics_that_they_have(stores: Stores) -> None:
    metrics = FunctionMetrics()
    _invoke(metrics, _invocation(), at=NOW - 2 * MINUTE)
    metrics.throttled(_spec(name="g", arn=PLACE.function_arn("g")), NOW)
    elsewhere = replace(PLACE, region="eu-west-1")
    metrics.throttled(_spec(name="h", arn=elsewhere.function_arn("h")), NOW)
    metrics.store(stores.journal, NOW)

    with stores.journal.read() as connection:
        every = function_metrics.list_series(connection, PLACE, NOW - 3 * MINUTE)
        recent = function_metrics.list_series(connection, PLACE, AT)
    assert [(known.series, set(known.metrics)) for known in every] == [
        (ALL, set(METRICS)),
        (FUNCTION, set(METRICS)),
        (Series("f", "f"), set(METRICS)),
        (Series("g"), {"Throttles"}),
        (Series("g", "g"), {"Throttles"}),
    ]
    assert [known.series for known in recent] == [ALL, Series("g"), Series("g", "g")]


def test_what_is_too_old_is_forgotten(stores: Stores) -> None:
    metrics = FunctionMetrics()
    for minutes in (0, 1, 2):
        _invoke(metrics, _invocation(), at=NOW + minutes * MINUTE)
    metrics.store(stores.journal, NOW)

    function_metrics.forget_minutes(stores.journal, AT + MINUTE)

    assert list(_loaded(stores, end=AT + 5 * MINUTE)) == [AT + MINUTE, AT + 2 * MINUTE]
