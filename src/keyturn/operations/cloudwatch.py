"""Amazon CloudWatch's metrics, as far as there are any here: those of AWS/Lambda.

Whatever else is asked for has no points, as in AWS. Metric math, Metrics Insights and SEARCH are not offered.

Source: Amazon CloudWatch API Reference, GetMetricData, GetMetricStatistics, ListMetrics; texts as people quote them,
those about periods by Eucalyptus, and where nobody does, Keyturn's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from keyturn.call import Call
from keyturn.clock import from_milliseconds, to_milliseconds
from keyturn.errors.cloudwatch import (
    InvalidNextToken,
    InvalidParameterCombinationException,
    InvalidParameterValueException,
)
from keyturn.errors.common import NotImplementedHere, ValidationFailed
from keyturn.operations.kit import Kit
from keyturn.operations.paging import open_page, page_after, seal_page
from keyturn.operations.registry import no_subject, operation
from keyturn.rules.metrics import (
    METRICS,
    NAMESPACE,
    RETENTION,
    STATISTICS,
    Metric,
    Samples,
    Series,
    by_period,
    counts_for,
    is_percentile,
    minute_of,
    series_of,
)
from keyturn.storage import function_metrics
from keyturn.wire.types.cloudwatch import (
    Datapoint,
    Dimension,
    DimensionFilter,
    GetMetricDataRequest,
    GetMetricDataResponse,
    GetMetricStatisticsRequest,
    GetMetricStatisticsResponse,
    ListMetricsRequest,
    ListMetricsResponse,
    MetricDataQuery,
    MetricDataResult,
)
from keyturn.wire.types.cloudwatch import Metric as ShownMetric

_MOST_POINTS: Final = 1_440
_MOST_DATA_POINTS: Final = 100_800
_MOST_QUERIES: Final = 500
_LISTED: Final = 500
_RECENTLY: Final = timedelta(hours=3)
# Finer than a minute is asked for now and then, and the points are a minute apart all the same.
_FINE_PERIODS: Final = frozenset({1, 5, 10, 20, 30})
_MINUTE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked for: a metric that there is, of a series, by periods from a whole minute on.

    Attributes:
        counts: What of the stored counts it takes to answer: most statistics need none.
    """

    metric: Metric
    series: Series
    begin: datetime
    end: datetime
    period: timedelta
    counts: frozenset[str]


@operation("cloudwatch", "GetMetricStatistics", subject=no_subject)
def get_metric_statistics(
    kit: Kit, call: Call, request: GetMetricStatisticsRequest, _subject: None
) -> GetMetricStatisticsResponse:
    """Show statistics of one metric."""
    begin, end, period = request["StartTime"], request["EndTime"], request["Period"]
    statistics, percentiles = request.get("Statistics", []), request.get("ExtendedStatistics", [])
    _check_statistics(request)
    metric: ShownMetric = {
        "Namespace": request["Namespace"],
        "MetricName": request["MetricName"],
        "Dimensions": request.get("Dimensions", []),
    }
    question = _question(metric, request.get("Unit"), begin, end, period, [*statistics, *percentiles])
    points: list[Datapoint] = []
    for at, samples in _points(kit, call, question):
        point: Datapoint = {"Timestamp": at, "Unit": METRICS[request["MetricName"]].unit}
        for name in statistics:
            point[name] = samples.statistic(name)  # type: ignore[literal-required]  # the model allows the five only
        if percentiles:
            point["ExtendedStatistics"] = {name: samples.statistic(name) for name in percentiles}
        points.append(point)
    return {"Label": request["MetricName"], "Datapoints": points}


@operation("cloudwatch", "GetMetricData", subject=no_subject)
def get_metric_data(kit: Kit, call: Call, request: GetMetricDataRequest, _subject: None) -> GetMetricDataResponse:
    """Show one statistic each of several metrics."""
    queries = request["MetricDataQueries"]
    _check_queries(call, queries)
    if request["StartTime"] >= request["EndTime"]:
        raise ValidationFailed("The parameter StartTime must be less than the parameter EndTime.")
    limit = request.get("MaxDatapoints", _MOST_DATA_POINTS)
    if not 1 <= limit <= _MOST_DATA_POINTS:
        raise ValidationFailed(f"The parameter MaxDatapoints must be between 1 and {_MOST_DATA_POINTS}.")
    is_ascending = request.get("ScanBy") == "TimestampAscending"
    listing = f"cloudwatch:GetMetricData:{is_ascending}:{len(queries)}"
    # Where the page before has ended: with a point of this query, None if that is yet to begin.
    first = 0
    last: datetime | None = None
    if "NextToken" in request:
        refusal = InvalidNextToken("The token is not one that these queries returned.")
        position = open_page(kit, call, listing, request["NextToken"], refusal)
        first = int(position["query"])
        last = from_milliseconds(int(position["last"])) if position["last"] else None
    response: GetMetricDataResponse = {"MetricDataResults": [], "Messages": []}
    for number, query in enumerate(queries[first:], first):
        if limit == 0:
            response["NextToken"] = seal_page(kit, call, listing, query=str(number), last="")
            break
        if not query.get("ReturnData", True):
            continue
        points = _values(kit, call, request, query, is_ascending=is_ascending)
        if last is not None:
            points = [point for point in points if point[0] != last and (point[0] > last) == is_ascending]
            last = None
        response["MetricDataResults"].append(_result(query, points[:limit], is_whole=len(points) <= limit))
        if len(points) > limit:
            at = str(to_milliseconds(points[limit - 1][0]))
            response["NextToken"] = seal_page(kit, call, listing, query=str(number), last=at)
            break
        limit -= len(points)
    return response


@operation("cloudwatch", "ListMetrics", subject=no_subject)
def list_metrics(kit: Kit, call: Call, request: ListMetricsRequest, _subject: None) -> ListMetricsResponse:
    """List the metrics that have had points in the last 15 days."""
    own = call.place.account_id
    since = call.at - (_RECENTLY if "RecentlyActive" in request else RETENTION)
    is_asked = request.get("Namespace", NAMESPACE) == NAMESPACE and request.get("OwningAccount", own) == own
    page = page_after(
        kit,
        call,
        "cloudwatch:ListMetrics",
        _listed(kit, call, since, request) if is_asked else [],
        _position,
        marker=request.get("NextToken"),
        limit=_LISTED,
        refusal=InvalidParameterValueException("The token is not one that ListMetrics returned."),
    )
    response: ListMetricsResponse = {"Metrics": list(page.items)}
    if request.get("IncludeLinkedAccounts"):
        response["OwningAccounts"] = [own] * len(page.items)
    if page.marker is not None:
        response["NextToken"] = page.marker
    return response


def _check_period(period: int) -> None:
    if period % _MINUTE_SECONDS and period not in _FINE_PERIODS:
        raise InvalidParameterValueException("The parameter Period must be a multiple of 60.")


def _check_statistics(request: GetMetricStatisticsRequest) -> None:
    begin, end, period = request["StartTime"], request["EndTime"], request["Period"]
    percentiles = request.get("ExtendedStatistics", [])
    _check_period(period)
    if begin >= end:
        raise InvalidParameterValueException("The parameter StartTime must be less than the parameter EndTime.")
    if not request.get("Statistics") and not percentiles:
        raise InvalidParameterCombinationException(
            "At least one of the parameters Statistics and ExtendedStatistics must be specified."
        )
    for name in percentiles:
        if not is_percentile(name):
            raise InvalidParameterValueException(
                f"The value {name} for parameter ExtendedStatistics is not supported: Keyturn has percentiles, p0 to"
                " p100."
            )
    asked = -((begin - end) // timedelta(seconds=period))
    if asked > _MOST_POINTS:
        raise InvalidParameterCombinationException(
            f"You have requested up to {asked:,} datapoints, which exceeds the limit of {_MOST_POINTS:,}. You may"
            " reduce the datapoints requested by increasing Period, or decreasing the time range."
        )


def _check_queries(call: Call, queries: Sequence[MetricDataQuery]) -> None:
    if not 1 <= len(queries) <= _MOST_QUERIES:
        raise ValidationFailed(f"The collection MetricDataQueries must have between 1 and {_MOST_QUERIES} elements.")
    if len({query["Id"] for query in queries}) < len(queries):
        raise ValidationFailed("The values for parameter Id in MetricDataQueries must be different.")
    for query in queries:
        what = f"the query {query['Id']}"
        if "Expression" in query:
            raise NotImplementedHere(f"Keyturn does not offer metric math and queries: {what} has an Expression.")
        if "${" in query.get("Label", ""):
            raise NotImplementedHere(f"Keyturn does not offer dynamic labels: {what} has one.")
        if query.get("AccountId", call.place.account_id) != call.place.account_id:
            raise NotImplementedHere(f"Keyturn does not offer metrics of other accounts: {what} asks for some.")
        asked = query.get("MetricStat")
        if asked is None:
            raise ValidationFailed(f"Either MetricStat or Expression must be specified: {what} has neither.")
        _check_period(asked["Period"])
        if asked["Stat"] not in STATISTICS and not is_percentile(asked["Stat"]):
            raise NotImplementedHere(
                f"Keyturn does not offer the statistic {asked['Stat']}: there are {', '.join(STATISTICS)} and"
                " percentiles, p0 to p100."
            )


def _question(
    asked: ShownMetric, unit: str | None, begin: datetime, end: datetime, period: int, statistics: Sequence[str]
) -> _Question | None:
    """Return what is asked for; None if it cannot have points: metrics and dimensions are free in CloudWatch."""
    name, dimensions = asked.get("MetricName", ""), asked.get("Dimensions", [])
    metric = METRICS.get(name)
    named = {dimension["Name"]: dimension["Value"] for dimension in dimensions}
    series = series_of(named) if len(named) == len(dimensions) else None
    if asked.get("Namespace") != NAMESPACE or metric is None or series is None or unit not in (None, metric.unit):
        return None
    counts = counts_for(name, statistics)
    return _Question(metric, series, minute_of(begin), end, timedelta(seconds=period), counts)


def _points(kit: Kit, call: Call, question: _Question | None) -> list[tuple[datetime, Samples]]:
    if question is None:
        return []
    # What this server has counted just now is seen at once; what others have, some seconds later.
    kit.function_metrics.store(kit.journal, call.at)
    with kit.journal.read() as connection:
        counted = function_metrics.load_periods(
            connection,
            call.place,
            question.series,
            question.begin,
            question.end,
            period=question.period,
            counts=question.counts,
        )
        periods = by_period(counted, question.begin, question.period)
    found = ((at, question.metric.samples(tally)) for at, tally in periods)
    return [(at, samples) for at, samples in found if samples is not None]


def _values(
    kit: Kit, call: Call, request: GetMetricDataRequest, query: MetricDataQuery, *, is_ascending: bool
) -> list[tuple[datetime, float]]:
    asked = query["MetricStat"]
    begin, end, statistic = request["StartTime"], request["EndTime"], asked["Stat"]
    question = _question(asked["Metric"], asked.get("Unit"), begin, end, asked["Period"], [statistic])
    points = [(at, samples.statistic(statistic)) for at, samples in _points(kit, call, question)]
    return points if is_ascending else points[::-1]


def _result(query: MetricDataQuery, points: Sequence[tuple[datetime, float]], *, is_whole: bool) -> MetricDataResult:
    return {
        "Id": query["Id"],
        "Label": query.get("Label") or query["MetricStat"]["Metric"].get("MetricName", ""),
        "Timestamps": [at for at, _ in points],
        "Values": [value for _, value in points],
        "StatusCode": "Complete" if is_whole else "PartialData",
    }


def _listed(kit: Kit, call: Call, since: datetime, request: ListMetricsRequest) -> list[ShownMetric]:
    kit.function_metrics.store(kit.journal, call.at)
    with kit.journal.read() as connection:
        every = function_metrics.list_series(connection, call.place, minute_of(since))
    wanted = request.get("MetricName")
    found: list[ShownMetric] = []
    for known in every:
        dimensions = known.series.dimensions
        if not all(_has(dimensions, one) for one in request.get("Dimensions", [])):
            continue
        shown: list[Dimension] = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        names = (name for name in known.metrics if wanted in (None, name))
        found += [{"Namespace": NAMESPACE, "MetricName": name, "Dimensions": shown} for name in names]
    return sorted(found, key=_position)


def _has(dimensions: dict[str, str], asked: DimensionFilter) -> bool:
    value = dimensions.get(asked["Name"])
    return value is not None and asked.get("Value", value) == value


def _position(metric: ShownMetric) -> str:
    values = (dimension["Value"] for dimension in metric["Dimensions"])
    return "\n".join((metric["MetricName"], *values))
