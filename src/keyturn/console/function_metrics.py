"""What functions did, as CloudWatch tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from keyturn.console.moments import Period
from keyturn.console.visit import Refused, Visit

_NAMESPACE: Final = "AWS/Lambda"
_ASKED: Final = {
    "invocations": ("Invocations", "Sum"),
    "errors": ("Errors", "Sum"),
    "average": ("Duration", "Average"),
    "longest": ("Duration", "Maximum"),
    "throttles": ("Throttles", "Sum"),
}


@dataclass(frozen=True, slots=True)
class Monitoring:
    """A function's metrics over a time: values by the beginning of their step.

    Attributes:
        values: By ``invocations``, ``errors``, ``average`` and ``longest`` (milliseconds), ``throttles``.
        refused: Why nothing is known.
    """

    values: Mapping[str, Mapping[datetime, float]] = field(default_factory=lambda: {name: {} for name in _ASKED})
    refused: Refused | None = None

    def total(self, name: str) -> int:
        """Return the sum of what was counted."""
        return int(sum(self.values[name].values()))

    @property
    def longest_ms(self) -> float | None:
        """How long the longest invocation took."""
        return max(self.values["longest"].values(), default=None)

    @property
    def average_ms(self) -> float | None:
        """How long one took on average."""
        counts, total = self.values["invocations"], self.total("invocations")
        if not total:
            return None
        return sum(each * counts.get(at, 0) for at, each in self.values["average"].items()) / total


def monitoring(visit: Visit, function: str, period: Period) -> Monitoring:
    """Return what a function did."""
    queries = [_query(name, function, metric, statistic, period.step) for name, (metric, statistic) in _ASKED.items()]
    look = visit.look(
        "cloudwatch", "get_metric_data", MetricDataQueries=queries, StartTime=period.begin, EndTime=period.end,
        ScanBy="TimestampAscending",
    )  # fmt: skip
    if not look:
        return Monitoring(refused=look.refused)
    values = {
        result["Id"]: dict(zip(result["Timestamps"], result["Values"], strict=True))
        for result in look["MetricDataResults"]
    }
    return Monitoring({name: values.get(name, {}) for name in _ASKED})


def errors_of(visit: Visit, functions: Sequence[str], length: timedelta) -> Mapping[str, int] | None:
    """Return how many invocations of each function failed lately; None if it is not told."""
    if not functions:
        return {}
    names = {f"f{number}": function for number, function in enumerate(functions)}
    queries = [_query(name, function, "Errors", "Sum", length) for name, function in names.items()]
    look = visit.look(
        "cloudwatch", "get_metric_data", MetricDataQueries=queries, StartTime=visit.now - length, EndTime=visit.now
    )
    if not look:
        return None
    return {names[result["Id"]]: int(sum(result["Values"])) for result in look["MetricDataResults"]}


def _query(name: str, function: str, metric: str, statistic: str, step: timedelta) -> dict[str, Any]:
    dimensions = [{"Name": "FunctionName", "Value": function}]
    return {
        "Id": name,
        "MetricStat": {
            "Metric": {"Namespace": _NAMESPACE, "MetricName": metric, "Dimensions": dimensions},
            "Period": int(step.total_seconds()),
            "Stat": statistic,
        },
    }
