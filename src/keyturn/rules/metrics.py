"""Metrics of functions: what is counted of a minute, and which statistics follow from it.

Of a duration three significant digits are counted, and its exact sum, least and greatest: enough for percentiles that
are off by half a percent at most, and minutes of many servers add up.

Sources: AWS Lambda Developer Guide, "Using CloudWatch metrics with Lambda" (which metrics, their dimensions, and that a
point bears the time of the invocation's beginning); Amazon CloudWatch API Reference, GetMetricStatistics.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

NAMESPACE: Final = "AWS/Lambda"
STATISTICS: Final = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
RETENTION: Final = timedelta(days=15)
MINUTE: Final = timedelta(minutes=1)
_PERCENTILE: Final = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)", re.ASCII)


class Series(NamedTuple):
    """Of what something is counted: of a function, of one version or alias of it, of all functions.

    Attributes:
        function_name: The dimension FunctionName; empty for all functions of an account's region.
        resource: The dimension Resource, ``function`` or ``function:alias``; empty for all of them.
    """

    function_name: str = ""
    resource: str = ""

    @property
    def dimensions(self) -> dict[str, str]:
        """Its dimensions by their names."""
        named = {"FunctionName": self.function_name, "Resource": self.resource}
        return {name: value for name, value in named.items() if value}


def series_of(dimensions: Mapping[str, str]) -> Series | None:
    """Return the series that has exactly these dimensions, None if nothing is ever counted so."""
    series = Series(dimensions.get("FunctionName", ""), dimensions.get("Resource", ""))
    is_counted = series.dimensions == dimensions and (series.function_name or not series.resource)
    return series if is_counted else None


@dataclass(slots=True)
class Tally:
    """What happened to a series within a minute.

    Attributes:
        invocations: That were run to their end, well or badly.
        errors: Of those, how many failed.
        throttles: That were refused.
        durations: How often which duration was met, in milliseconds of three significant digits.
        total_ms: The exact sum of all durations.
        shortest_ms: The least of them; infinite without any.
        longest_ms: The greatest of them.
        concurrency: How often so many ran at once, each time one more began.
    """

    invocations: int = 0
    errors: int = 0
    throttles: int = 0
    durations: Counter[float] = field(default_factory=Counter)
    total_ms: float = 0.0
    shortest_ms: float = math.inf
    longest_ms: float = 0.0
    concurrency: Counter[float] = field(default_factory=Counter)

    def note_end(self, duration_ms: float, *, has_failed: bool) -> None:
        """Count an invocation."""
        self.invocations += 1
        self.errors += has_failed
        self.durations[float(f"{duration_ms:.3g}")] += 1
        self.total_ms += duration_ms
        self.shortest_ms = min(self.shortest_ms, duration_ms)
        self.longest_ms = max(self.longest_ms, duration_ms)

    def add(self, other: Tally) -> None:
        """Count what another has counted."""
        self.invocations += other.invocations
        self.errors += other.errors
        self.throttles += other.throttles
        if other.durations:
            self.durations.update(other.durations)
        self.total_ms += other.total_ms
        self.shortest_ms = min(self.shortest_ms, other.shortest_ms)
        self.longest_ms = max(self.longest_ms, other.longest_ms)
        if other.concurrency:
            self.concurrency.update(other.concurrency)


@dataclass(frozen=True, slots=True)
class Samples:
    """Values of a metric, at least one, and what is exactly known of them all.

    Attributes:
        count: How many there are.
        total: Their sum.
        least: The least of them.
        most: The greatest of them.
        counts: How often each was met; only percentiles need it.
    """

    count: int
    total: float
    least: float
    most: float
    counts: Mapping[float, int]

    def statistic(self, name: str) -> float:
        """Return one of :data:`STATISTICS` or a percentile that :func:`is_percentile` takes."""
        match name:
            case "SampleCount":
                return float(self.count)
            case "Average":
                return self.total / self.count
            case "Sum":
                return self.total
            case "Minimum":
                return self.least
            case "Maximum":
                return self.most
        return self._percentile(float(name[1:]))

    def _percentile(self, percent: float) -> float:
        """Return the least value that so many percent of all values do not exceed."""
        wanted, met = max(math.ceil(percent / 100 * self.count), 1), 0
        for value in sorted(self.counts):
            met += self.counts[value]
            if met >= wanted:
                return min(max(value, self.least), self.most)
        return self.most


def is_percentile(name: str) -> bool:
    """Say whether a statistic is a percentile, ``p0`` to ``p100`` with up to ten digits behind the point."""
    return _PERCENTILE.fullmatch(name) is not None


class Metric(NamedTuple):
    """One metric.

    Attributes:
        unit: CloudWatch's word for it.
        samples: Returns its values from what was counted.
    """

    unit: str
    samples: Callable[[Tally], Samples | None]


def _samples(counts: Mapping[float, int]) -> Samples | None:
    counts = {value: count for value, count in counts.items() if count}
    if not counts:
        return None
    total = sum(value * count for value, count in counts.items())
    return Samples(sum(counts.values()), total, min(counts), max(counts), counts)


def _durations(tally: Tally) -> Samples | None:
    if not tally.invocations:
        return None
    return Samples(tally.invocations, tally.total_ms, tally.shortest_ms, tally.longest_ms, tally.durations)


# Who was not throttled, and what did not fail, counts as 0: so the average is a rate.
METRICS: Final[Mapping[str, Metric]] = {
    "ConcurrentExecutions": Metric("Count", lambda tally: _samples(tally.concurrency)),
    "Duration": Metric("Milliseconds", _durations),
    "Errors": Metric("Count", lambda tally: _samples({1.0: tally.errors, 0.0: tally.invocations - tally.errors})),
    "Invocations": Metric("Count", lambda tally: _samples({1.0: tally.invocations})),
    "Throttles": Metric("Count", lambda tally: _samples({1.0: tally.throttles, 0.0: tally.invocations})),
}


def counts_for(name: str, statistics: Iterable[str]) -> frozenset[str]:
    """Return which counts of a tally it takes to answer statistics of a metric."""
    if name == "ConcurrentExecutions":
        return frozenset({"concurrency"})
    needs_durations = name == "Duration" and not set(statistics) <= set(STATISTICS)
    return frozenset({"durations"} if needs_durations else ())


def minute_of(moment: datetime) -> datetime:
    """Return the minute that a moment is in."""
    return moment.replace(second=0, microsecond=0)


def by_period(
    counted: Iterable[tuple[datetime, Tally]], begin: datetime, period: timedelta
) -> Sequence[tuple[datetime, Tally]]:
    """Add up to periods.

    Args:
        counted: Minutes in any order, each as often as there are servers that have counted; or whole periods already.
        begin: When the first period begins, a whole minute; no minute is before it.
        period: How long each is, whole minutes.

    Returns:
        The periods in which something was counted, by their beginnings.
    """
    found: dict[datetime, Tally] = {}
    for at, tally in counted:
        found.setdefault(begin + (at - begin) // period * period, Tally()).add(tally)
    return sorted(found.items(), key=lambda item: item[0])
