"""From measurements to medians, the ratio and the verdict; as a table or as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

SCHEMA = "keyturn.benchmark.get-secret-value/1"
# AWS's own quota of GetSecretValue for an account and region. Source: Secrets Manager User Guide, "Quotas".
TARGET_PER_SECOND = 10_000
TARGET_RATIO = 5
# The kernel's own work on two cores is about this much.
_QUIET_PERCENT = 10


@dataclass(frozen=True, slots=True)
class Measurement:
    """One server in one round.

    Attributes:
        server: Its name and version.
        round_number: From 1.
        requests_per_second: Good replies only.
        p50_ms: Median latency in milliseconds.
        p99_ms: What 99 % of the replies did not exceed.
        server_cpu_us: Processor time of the server's process tree for one request, in microseconds.
        generator_cpu_us: Likewise of the load generator.
        others_percent: Share of the machine that neither of them used, but somebody did.
        errors: How often what went wrong.
    """

    server: str
    round_number: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    server_cpu_us: float
    generator_cpu_us: float
    others_percent: float
    errors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Report:
    """All rounds.

    Attributes:
        ours: Keyturn's measurements, by round.
        theirs: OpenBao's, by round.
        conditions: What was set, for whoever compares two reports.
    """

    ours: Sequence[Measurement]
    theirs: Sequence[Measurement]
    conditions: Mapping[str, object]

    @property
    def requests_per_second(self) -> float:
        """Keyturn's median."""
        return median(measurement.requests_per_second for measurement in self.ours)

    @property
    def ratio(self) -> float:
        """Median of the rounds' ratios; each compares neighbours in time."""
        return median(_quotient(*pair) for pair in zip(self.ours, self.theirs, strict=True))

    @property
    def others_percent(self) -> float:
        """Share of the machine that went to somebody else, in the busiest round."""
        return max(measurement.others_percent for measurement in (*self.ours, *self.theirs))

    @property
    def errors(self) -> Mapping[str, int]:
        """What went wrong, in all rounds of both."""
        return _errors([*self.ours, *self.theirs])

    def as_json(self) -> str:
        """Return the report for programs."""
        document = {
            "schema": SCHEMA,
            "machine": machine(),
            "conditions": self.conditions,
            "rounds": [asdict(measurement) for measurement in (*self.ours, *self.theirs)],
            "requests_per_second": round(self.requests_per_second),
            "ratio": round(self.ratio, 2),
            "targets": {
                "requests_per_second": {
                    "target": TARGET_PER_SECOND,
                    "met": self.requests_per_second >= TARGET_PER_SECOND,
                },
                "ratio": {"target": TARGET_RATIO, "met": self.ratio >= TARGET_RATIO},
            },
            "errors": self.errors,
        }
        return json.dumps(document, indent=2)

    def print(self, console: Console) -> None:
        """Print the report for people."""
        console.print(self._table())
        for server in (self.ours, self.theirs):
            rounds = ", ".join(f"{measurement.requests_per_second:,.0f}" for measurement in server)
            console.print(f"{server[0].server}: {rounds} requests/s round by round")
        console.print(f"Conditions: {', '.join(f'{name} {value}' for name, value in self.conditions.items())}")
        console.print(f"Machine: {machine()}")
        if self.others_percent > _QUIET_PERCENT:
            console.print(
                f"[yellow]note:[/] others used {self.others_percent:.0f} % of the machine: measure again when"
            )
            console.print("      it is quiet. The numbers are too low, and the ratio compares who was disturbed less.")
        for what, count in self.errors.items():
            console.print(f"[bold red]error:[/] {count:,} times {what}")
        console.print("")
        rate = self.requests_per_second
        console.print(f"{_mark(met=rate >= TARGET_PER_SECOND)} {rate:,.0f} requests/s of {TARGET_PER_SECOND:,}")
        console.print(f"{_mark(met=self.ratio >= TARGET_RATIO)} {self.ratio:.1f} times OpenBao of {TARGET_RATIO}")

    def _table(self) -> Table:
        table = Table(
            title="Signed, audited reads of a secret value: medians of the rounds",
            caption="server µs and load µs: processor time of server and load generator for one request;\n"
            "others %: the share of the machine that went to somebody else",
            box=box.SIMPLE,
            title_justify="left",
            caption_justify="left",
        )
        table.add_column("server", no_wrap=True)
        for heading in ("requests/s", "p50 ms", "p99 ms", "server µs", "load µs", "others %", "errors"):
            table.add_column(heading, justify="right", no_wrap=True)
        for measurements in (self.ours, self.theirs):
            table.add_row(*_row(measurements))
        return table


def machine() -> str:
    """Return what the numbers were measured on."""
    kernel = f"{platform.system()} {platform.release()}"
    return f"{os.cpu_count()} cores of {_processor()}, {kernel}, Python {platform.python_version()}"


def load_averages() -> str:
    """Return how busy the machine is, as ``uptime`` shows it."""
    return ", ".join(f"{load:.2f}" for load in os.getloadavg())


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _row(measurements: Sequence[Measurement]) -> list[str]:
    def middle(values: Sequence[float], digits: int = 0) -> str:
        return f"{median(values):,.{digits}f}"

    return [
        measurements[0].server,
        middle([one.requests_per_second for one in measurements]),
        middle([one.p50_ms for one in measurements], 2),
        middle([one.p99_ms for one in measurements], 2),
        middle([one.server_cpu_us for one in measurements]),
        middle([one.generator_cpu_us for one in measurements]),
        middle([one.others_percent for one in measurements]),
        f"{sum(_errors(measurements).values()):,}",
    ]


def _errors(measurements: Sequence[Measurement]) -> Counter[str]:
    total: Counter[str] = Counter()
    for measurement in measurements:
        total.update(measurement.errors)
    return total


def _quotient(ours: Measurement, theirs: Measurement) -> float:
    return ours.requests_per_second / theirs.requests_per_second if theirs.requests_per_second else 0.0


def _mark(*, met: bool) -> str:
    return "[green]met    [/]" if met else "[red]not met[/]"
