"""Statistics of metrics are what a person would work out from all values, however they were counted."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from keyturn.rules.metrics import METRICS, MINUTE, STATISTICS, Tally, by_period, counts_for, is_percentile, series_of

AT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
_DURATIONS = st.floats(min_value=0.001, max_value=900_000)
_INVOCATIONS = st.lists(st.tuples(_DURATIONS, st.booleans()), min_size=1, max_size=40)
# Of three significant digits.
_PRECISION = 0.005


def _tally(invocations: list[tuple[float, bool]], throttles: int = 0) -> Tally:
    tally = Tally(throttles=throttles)
    for duration_ms, has_failed in invocations:
        tally.note_end(duration_ms, has_failed=has_failed)
    return tally


def _statistic(tally: Tally, metric: str, name: str) -> float:
    samples = METRICS[metric].samples(tally)
    assert samples is not None
    return samples.statistic(name)


@given(_INVOCATIONS, st.floats(min_value=0, max_value=100))
def test_a_percentile_is_off_by_the_third_digit_at_most(invocations: list[tuple[float, bool]], percent: float) -> None:
    durations = sorted(duration for duration, _ in invocations)
    true = durations[max(math.ceil(percent / 100 * len(durations)), 1) - 1]

    found = METRICS["Duration"].samples(_tally(invocations))
    assert found is not None
    assert abs(found._percentile(percent) - true) <= true * _PRECISION
    assert found.least <= found._percentile(percent) <= found.most


@given(_INVOCATIONS, st.integers(min_value=0, max_value=9))
def test_statistics_are_those_of_all_values(invocations: list[tuple[float, bool]], throttles: int) -> None:
    tally, durations = _tally(invocations, throttles), [duration for duration, _ in invocations]
    failed = sum(has_failed for _, has_failed in invocations)

    count = len(invocations)
    assert _statistic(tally, "Invocations", "Sum") == _statistic(tally, "Errors", "SampleCount") == count
    assert _statistic(tally, "Errors", "Sum") == failed
    assert math.isclose(_statistic(tally, "Errors", "Average"), failed / count)
    assert (_statistic(tally, "Errors", "Minimum"), _statistic(tally, "Errors", "Maximum")) == (
        float(failed == count),
        float(failed > 0),
    )
    assert _statistic(tally, "Throttles", "Sum") == throttles
    assert _statistic(tally, "Throttles", "SampleCount") == count + throttles
    assert (_statistic(tally, "Duration", "Minimum"), _statistic(tally, "Duration", "Maximum")) == (
        min(durations),
        max(durations),
    )
    assert math.isclose(_statistic(tally, "Duration", "Sum"), math.fsum(durations))


@given(
    _INVOCATIONS, st.sampled_from(sorted(METRICS)), st.lists(st.sampled_from([*STATISTICS, "p0", "p99.9"]), min_size=1)
)
def test_statistics_need_no_counts_but_those_that_are_read_for_them(
    invocations: list[tuple[float, bool]], metric: str, statistics: list[str]
) -> None:
    whole = _tally(invocations)
    whole.concurrency[2.0] = 3
    read = replace(whole)
    for name in {"durations", "concurrency"} - counts_for(metric, statistics):
        setattr(read, name, Counter())

    for statistic in statistics:
        assert _statistic(read, metric, statistic) == _statistic(whole, metric, statistic)


@given(st.lists(_INVOCATIONS, min_size=1, max_size=5))
def test_parts_add_up_to_what_was_counted_at_once(parts: list[list[tuple[float, bool]]]) -> None:
    added = Tally()
    for part in parts:
        added.add(_tally(part))
    whole = _tally([invocation for part in parts for invocation in part])

    assert math.isclose(added.total_ms, whole.total_ms)
    added.total_ms = whole.total_ms
    assert added == whole


@given(
    st.lists(st.integers(min_value=0, max_value=500), min_size=1, max_size=30), st.integers(min_value=1, max_value=90)
)
def test_periods_hold_each_minute_once(minutes: list[int], length: int) -> None:
    period = length * MINUTE
    found = by_period([(AT + minute * MINUTE, _tally([(1.0, False)])) for minute in minutes], AT, period)

    assert sum(tally.invocations for _, tally in found) == len(minutes)
    begins = [begin for begin, _ in found]
    assert begins == sorted(set(begins))
    assert {(begin - AT) % period for begin in begins} == {timedelta()}
    held = {begin: sum(begin <= AT + minute * MINUTE < begin + period for minute in minutes) for begin in begins}
    assert held == {begin: tally.invocations for begin, tally in found}


@given(st.text(max_size=8) | st.sampled_from(["p0", "p50", "p99.99", "p100", "p100.1", "p101", "p", "p٥", "tm99"]))
def test_what_is_taken_for_a_percentile_has_a_value(name: str) -> None:
    if is_percentile(name):
        assert 0 <= float(name[1:]) <= 100
        assert _statistic(_tally([(5.0, False)]), "Duration", name) == 5
    assert not is_percentile(name) or name not in STATISTICS


@given(st.dictionaries(st.sampled_from(["FunctionName", "Resource", "ExecutedVersion"]), st.text(min_size=1)))
def test_only_what_is_counted_has_a_series(dimensions: dict[str, str]) -> None:
    series = series_of(dimensions)
    if series is not None:
        assert series.dimensions == dimensions
    is_counted = "ExecutedVersion" not in dimensions and ("FunctionName" in dimensions or "Resource" not in dimensions)
    assert (series is not None) == is_counted


def test_nothing_counted_has_no_points() -> None:
    assert all(metric.samples(Tally()) is None for metric in METRICS.values())
    assert METRICS["Errors"].samples(Tally(throttles=3)) is None
