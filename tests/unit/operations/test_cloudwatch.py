"""What CloudWatch answers about functions: which points, in which order and pages, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.errors.base import AwsError
from keyturn.errors.cloudwatch import InvalidNextToken, InvalidParameterValueException
from keyturn.errors.common import NotImplementedHere, ValidationFailed
from keyturn.rules.metrics import METRICS, MINUTE, minute_of
from keyturn.runtime.spec import FunctionSpec, Invocation
from keyturn.testing.clock import FakeClock
from keyturn.testing.handlers import PLACE, HandlerBench, open_bench

HOUR = timedelta(hours=1)
LATER = FakeClock().now() + HOUR


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        yield opened


def invoke(bench: HandlerBench, name: str = "f", *, ago: timedelta = timedelta(), duration_ms: float = 10.0) -> None:
    """Count one invocation."""
    spec = FunctionSpec(
        arn=PLACE.function_arn(name), name=name, version="$LATEST", handler="m.h", runtime="python3.11",
        timeout_seconds=3, memory_mb=128, ephemeral_storage_mb=512, environment={}, code_sha256="", revision_id="",
        role_arn="", log_group="",
    )  # fmt: skip
    at = bench.clock.now() - ago
    bench.kit.function_metrics.began(spec, at)
    bench.kit.function_metrics.ended(spec, at, Invocation(b"", None, b"", "$LATEST", duration_ms))


def asked(bench: HandlerBench, **changes: Any) -> dict[str, Any]:
    now = bench.clock.now()
    return {
        "Namespace": "AWS/Lambda",
        "MetricName": "Invocations",
        "Dimensions": [{"Name": "FunctionName", "Value": "f"}],
        "StartTime": now - HOUR,
        "EndTime": now + MINUTE,
        "Period": 60,
        "Statistics": ["Sum"],
        **changes,
    }


def points(bench: HandlerBench, **changes: Any) -> dict[datetime, float]:
    found = bench.call("cloudwatch", "GetMetricStatistics", **asked(bench, **changes))["Datapoints"]
    return {point["Timestamp"]: point["Sum"] for point in found}


def query(name: str = "f", metric: str = "Invocations", stat: str = "Sum", **changes: Any) -> dict[str, Any]:
    dimensions = [{"Name": "FunctionName", "Value": name}]
    wanted = {"Namespace": "AWS/Lambda", "MetricName": metric, "Dimensions": dimensions}
    return {"Id": f"{name}{metric}".lower(), "MetricStat": {"Metric": wanted, "Period": 60, "Stat": stat}, **changes}


def data(bench: HandlerBench, *queries: dict[str, Any], **changes: Any) -> Any:
    now = bench.clock.now()
    request = {"StartTime": now - HOUR, "EndTime": now + MINUTE, **changes}
    return bench.call("cloudwatch", "GetMetricData", MetricDataQueries=list(queries), **request)


def test_the_start_is_within_and_the_end_is_not(bench: HandlerBench) -> None:
    invoke(bench, ago=5 * MINUTE)
    invoke(bench)
    minute = minute_of(bench.clock.now())

    assert points(bench) == {minute - 5 * MINUTE: 1, minute: 1}
    assert points(bench, StartTime=minute - 5 * MINUTE + timedelta(seconds=59), EndTime=minute) == {
        minute - 5 * MINUTE: 1
    }
    assert points(bench, StartTime=minute - 4 * MINUTE) == {minute: 1}


def test_periods_begin_with_the_minute_of_the_start(bench: HandlerBench) -> None:
    for minutes in range(6):
        invoke(bench, ago=minutes * MINUTE)
    start = minute_of(bench.clock.now()) - 6 * MINUTE

    assert points(bench, StartTime=start + timedelta(seconds=30), Period=300) == {start: 4, start + 5 * MINUTE: 2}
    assert points(bench, StartTime=start, Period=10) == {start + minute * MINUTE: 1 for minute in range(1, 7)}


@pytest.mark.parametrize(
    "changes",
    [
        {"Namespace": "AWS/EC2"},
        {"MetricName": "DeadLetterErrors"},
        {"Dimensions": [{"Name": "FunctionName", "Value": "g"}]},
        {"Dimensions": [{"Name": "Resource", "Value": "f"}]},
        {"Dimensions": [{"Name": "FunctionName", "Value": "f"}, {"Name": "ExecutedVersion", "Value": "1"}]},
        {"Dimensions": [{"Name": "FunctionName", "Value": "f"}, {"Name": "FunctionName", "Value": "f"}]},
        {"Unit": "Seconds"},
    ],
)
def test_what_nobody_counts_has_no_points(bench: HandlerBench, changes: dict[str, Any]) -> None:
    invoke(bench)
    assert points(bench) != {}
    assert points(bench, **changes) == {}


def test_metrics_are_listed_of_the_own_account_and_of_the_last_hours(bench: HandlerBench) -> None:
    invoke(bench)
    found = bench.call("cloudwatch", "ListMetrics")["Metrics"]
    assert len(found) == 3 * len(METRICS)
    bench.clock.advance(timedelta(hours=4))
    assert bench.call("cloudwatch", "ListMetrics", RecentlyActive="PT3H")["Metrics"] == []
    assert bench.call("cloudwatch", "ListMetrics", OwningAccount="111111111111")["Metrics"] == []
    own = bench.call("cloudwatch", "ListMetrics", IncludeLinkedAccounts=True)
    assert own["OwningAccounts"] == [PLACE.account_id] * len(found)


def test_lists_have_pages_of_500(bench: HandlerBench) -> None:
    for number in range(60):
        invoke(bench, f"function-{number:02}")
    first = bench.call("cloudwatch", "ListMetrics")
    rest = bench.call("cloudwatch", "ListMetrics", NextToken=first["NextToken"])

    assert (len(first["Metrics"]), "NextToken" in rest) == (500, False)
    shown = [(one["MetricName"], str(one["Dimensions"])) for one in [*first["Metrics"], *rest["Metrics"]]]
    assert len(set(shown)) == len(shown) == len(METRICS) * (2 * 60 + 1)
    with pytest.raises(InvalidParameterValueException):
        bench.call("cloudwatch", "ListMetrics", NextToken="foreign")


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 100])
@pytest.mark.parametrize("scan_by", ["TimestampAscending", "TimestampDescending"])
def test_pages_of_data_hold_each_point_once_in_order(bench: HandlerBench, limit: int, scan_by: str) -> None:
    for minutes in (1, 3, 7):
        invoke(bench, ago=minutes * MINUTE)
    queries = [query(metric=metric) for metric in ("Invocations", "Throttles", "Errors")]
    queries[1]["ReturnData"] = False
    now = bench.clock.now()
    fixed = {"StartTime": now - HOUR, "EndTime": now + HOUR, "ScanBy": scan_by, "MaxDatapoints": limit}

    found: dict[str, list[datetime]] = {}
    page = data(bench, *queries, **fixed)
    for _ in range(20):
        results = page["MetricDataResults"]
        assert sum(len(result["Values"]) for result in results) <= limit
        for result in results:
            found.setdefault(result["Id"], []).extend(result["Timestamps"])
        assert ("NextToken" in page) or all(result["StatusCode"] == "Complete" for result in results)
        if "NextToken" not in page:
            break
        # What is counted while somebody reads on is not shown before, and nothing is shown twice.
        invoke(bench, ago=-MINUTE)
        page = data(bench, *queries, **fixed, NextToken=page["NextToken"])

    counted = [minute_of(now) - minutes * MINUTE for minutes in (7, 3, 1)]
    for name in ("finvocations", "ferrors"):
        shown = [at for at in found[name] if at <= now]
        assert shown == (counted if scan_by.endswith("Ascending") else counted[::-1])
        assert len(found[name]) == len(set(found[name]))
    assert "fthrottles" not in found


def test_a_token_serves_its_own_question(bench: HandlerBench) -> None:
    for minutes in (1, 2):
        invoke(bench, ago=minutes * MINUTE)
    token = data(bench, query(), MaxDatapoints=1)["NextToken"]

    with pytest.raises(InvalidNextToken):
        data(bench, query(), query(metric="Errors"), NextToken=token)
    with pytest.raises(InvalidNextToken):
        data(bench, query(), ScanBy="TimestampAscending", NextToken=token)


def test_labels_are_those_that_were_given(bench: HandlerBench) -> None:
    invoke(bench, duration_ms=12.0)
    found = data(bench, query(Label="mine"), query(metric="Duration", stat="p90"))["MetricDataResults"]
    assert [(result["Label"], result["Values"]) for result in found] == [("mine", [1.0]), ("Duration", [12.0])]


@pytest.mark.parametrize(
    ("queries", "changes", "kind", "said"),
    [
        ([], {}, ValidationFailed, "between 1 and 500"),
        ([query(), query()], {}, ValidationFailed, "must be different"),
        ([{"Id": "a"}], {}, ValidationFailed, "the query a has neither"),
        ([{"Id": "a", "Expression": "SUM(METRICS())"}], {}, NotImplementedHere, "the query a has an Expression"),
        ([query(Label="${MAX}")], {}, NotImplementedHere, "dynamic labels"),
        ([query(AccountId="111111111111")], {}, NotImplementedHere, "metrics of other accounts"),
        ([query(stat="tm99")], {}, NotImplementedHere, "the statistic tm99"),
        ([query()], {"MaxDatapoints": 0}, ValidationFailed, "MaxDatapoints"),
        ([query()], {"MaxDatapoints": 100_801}, ValidationFailed, "MaxDatapoints"),
        ([query()], {"StartTime": LATER}, ValidationFailed, "StartTime"),
    ],
)
def test_what_is_not_offered_or_wrong_is_refused_by_name(
    bench: HandlerBench, queries: list[dict[str, Any]], changes: dict[str, Any], kind: type[AwsError], said: str
) -> None:
    with pytest.raises(kind) as refused:
        data(bench, *queries, **changes)
    assert said in refused.value.message
