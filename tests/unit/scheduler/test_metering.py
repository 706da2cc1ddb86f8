"""Metrics of functions are written behind the functions, and kept for fifteen days."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from keyturn.operations.function_metrics import FunctionMetrics
from keyturn.rules.metrics import Series
from keyturn.runtime.spec import FunctionSpec
from keyturn.scheduler import metering
from keyturn.scheduler.metering import Metering
from keyturn.storage.database import StorageError
from keyturn.storage.function_metrics import list_series
from keyturn.testing.handlers import PLACE, HandlerBench, open_bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        yield opened


@pytest.fixture
def metrics(bench: HandlerBench) -> FunctionMetrics:
    return bench.kit.function_metrics


@pytest.fixture
def meter(bench: HandlerBench, metrics: FunctionMetrics) -> Metering:
    return Metering(metrics, bench.kit.journal, bench.clock)


def throttle(bench: HandlerBench) -> None:
    spec = FunctionSpec(
        arn=PLACE.function_arn("f"), name="f", version="$LATEST", handler="m.h", runtime="python3.11",
        timeout_seconds=3, memory_mb=128, ephemeral_storage_mb=512, environment={}, code_sha256="", revision_id="",
        role_arn="", log_group="",
    )  # fmt: skip
    bench.kit.function_metrics.throttled(spec, bench.clock.now())


def stored(bench: HandlerBench) -> bool:
    with bench.kit.journal.read() as connection:
        known = list_series(connection, PLACE, bench.clock.now() - timedelta(days=100))
    return Series("f") in {each.series for each in known}


def test_a_turn_writes_what_is_new_and_after_fifteen_days_it_goes(bench: HandlerBench, meter: Metering) -> None:
    throttle(bench)
    assert not stored(bench)
    meter.turn()
    assert stored(bench)

    bench.clock.advance(timedelta(days=14, hours=23))
    meter.turn()
    assert stored(bench)
    bench.clock.advance(timedelta(hours=2))
    meter.turn()
    assert not stored(bench)


def test_what_was_counted_last_is_written_at_the_end(bench: HandlerBench, meter: Metering) -> None:
    meter.start()
    throttle(bench)
    meter.close()
    assert stored(bench)


def test_a_database_that_fails_is_told_once_and_loses_nothing(
    bench: HandlerBench, meter: Metering, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageError("away")

    throttle(bench)
    with monkeypatch.context() as patch:
        patch.setattr(metering, "forget_minutes", fail)
        patch.setattr("keyturn.operations.function_metrics.store_minutes", fail)
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                meter._try()
    assert caplog.text.count("could not be written") == 1

    meter._try()
    assert stored(bench)
