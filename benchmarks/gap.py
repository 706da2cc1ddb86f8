"""Measure the gap: how long clients that read a secret and log in with it are refused while it is rotated.

``make bench-gap`` runs it; docs/benchmarks.md says what is measured and how. All functions rotate on one Keyturn and
the same databases, in turn, so that whatever else the machine does meets them alike. Exits with 1 if a rotation
failed, or if a login failed where users alternate.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median, quantiles

from rich import box
from rich.console import Console
from rich.table import Table

# Run as a script, Python looks for modules in this folder only.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.gap_clients import Clients, Watch
from benchmarks.gap_rows import Prepared, Row
from benchmarks.keyturn_server import data_of, init, serving
from benchmarks.report import load_averages, machine
from benchmarks.servers import prepare_this_process

from keyturn.cli.main import print_error
from keyturn.config import DATABASE_FILE
from keyturn.errors.base import KeyturnError
from keyturn.testing.mariadb import MariadbServer
from keyturn.testing.postgresql import PostgresqlServer

# As in production: what was changed is on the disk. Commits carry their moment, which is the beginning of the gap.
_SETTINGS = {"fsync": "on", "full_page_writes": "on", "track_commit_timestamp": "on"}
_COMMITTED_AT = "SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 FROM pg_authid WHERE rolname = '{}'"
# From the transaction that ends one step to the end of the whole, in the order in which they follow.
_STEPS = ("setSecret", "testSecret", "finishSecret")


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked on the command line."""

    rotations: int
    clients: int
    samples: Path | None
    layer: Path | None
    only: str
    output: str


@dataclass(slots=True)
class Seen:
    """What was seen of one row's rotations; durations in milliseconds, one for each rotation that had them.

    Attributes:
        reads: Of the secret, each followed by a login.
        failed_logins: How many the database refused.
        rotations: How many there were.
        rotations_with_failures: In how many a client was refused.
        unfinished: How many did not end.
        gap_ms: From the moment at which the database takes the new password to the first read that gives it.
        refused_ms: From the beginning of the first login that was refused to the end of the last one.
        parts_ms: What the gap consists of, where finishSecret ends it.
        record_ms: From the end of setSecret to the end of finishSecret, as recorded; likewise.
    """

    reads: int = 0
    failed_logins: int = 0
    rotations: int = 0
    rotations_with_failures: int = 0
    unfinished: int = 0
    gap_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    parts_ms: dict[str, list[float]] = field(default_factory=dict)
    record_ms: list[float] = field(default_factory=list)

    def add(self, row: Row, watches: Sequence[Watch], committed_at: float | None) -> float | None:
        """Count one rotation; return when the first read gave its value."""
        self.rotations += 1
        self.reads += sum(watch.reads for watch in watches)
        self.unfinished += not all(watch.is_over for watch in watches)
        failed = sum(watch.failed for watch in watches)
        self.failed_logins += failed
        self.rotations_with_failures += failed > 0
        new_at = min((watch.new_value_at for watch in watches if watch.new_value_at), default=None)
        refused_at = min((watch.first_refused_at for watch in watches if watch.first_refused_at), default=None)
        if refused_at is not None:
            last = max(watch.last_refused_at for watch in watches if watch.last_refused_at)
            self.refused_ms.append((last - refused_at) * 1000)
        begins_at = committed_at or refused_at
        if not row.alternates and begins_at is not None and new_at is not None:
            self.gap_ms.append((new_at - begins_at) * 1000)
        return new_at

    def add_record(
        self, steps: Mapping[str, tuple[int, int]], committed_at: float | None, new_at: float | None
    ) -> None:
        """Take apart one rotation by its record, whose moments are in milliseconds."""
        if not all(step in steps for step in _STEPS):
            return
        (_, set_ended), (test_began, test_ended), (finish_began, finish_ended) = (steps[step] for step in _STEPS)
        self.record_ms.append(finish_ended - set_ended)
        parts = {
            "setSecret ends": set_ended - committed_at * 1000 if committed_at else None,
            "before testSecret": test_began - set_ended,
            "testSecret": test_ended - test_began,
            "before finishSecret": finish_began - test_ended,
            "finishSecret until read": new_at * 1000 - finish_began if new_at else None,
        }
        for name, ms in parts.items():
            if ms is not None:
                self.parts_ms.setdefault(name, []).append(ms)


def main() -> int:
    """Measure, print, and return the exit status."""
    options = _options()
    prepare_this_process()
    load = load_averages()
    try:
        with tempfile.TemporaryDirectory(prefix="keyturn-bench-") as directory:
            seen = _measure(options, Path(directory), Console(stderr=True, highlight=False))
    except KeyturnError as error:
        print_error(error)
        return 1
    except KeyboardInterrupt:
        return 130
    if options.output == "json":
        rows = [{"name": row.name, **asdict(one)} for row, one in seen.items()]
        print(json.dumps({"machine": machine(), "load_before": load, "rows": rows}))
    else:
        _print(Console(highlight=False, soft_wrap=True, width=140), seen)
        print(f"Machine: {machine()}; load before: {load}; clients: {options.clients}")
    bad = [row for row, one in seen.items() if one.unfinished or (row.alternates and one.failed_logins)]
    return 1 if bad else 0


def _options() -> Options:
    parser = argparse.ArgumentParser(description="Measure how long clients are refused while a password is rotated.")
    parser.add_argument("--rotations", type=int, default=1000, help="of each function (%(default)s)")
    parser.add_argument("--clients", type=int, default=2, help="that read and log in without a pause (%(default)s)")
    parser.add_argument(
        "--samples", type=Path, help="checkout of AWS's rotation functions, to measure them beside ours"
    )
    parser.add_argument("--layer", type=Path, help="layer.zip with PyGreSQL for them (docs/aws-samples.md)")
    parser.add_argument("--only", default="", metavar="WORDS", help="functions whose names have it: 'single user'")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    return Options(**vars(parser.parse_args()))


def _measure(options: Options, directory: Path, progress: Console) -> dict[Row, Seen]:
    administrator = init(directory)
    with (
        PostgresqlServer.start(settings=_SETTINGS) as postgresql,
        MariadbServer.start() as mariadb,
        serving(directory, administrator) as server,
        closing(Clients(options.clients, server.port, administrator)) as clients,
    ):
        prepared = Prepared(server, postgresql, mariadb, options.samples, options.layer, options.only)
        seen = {row: Seen() for row in prepared.rows}
        moments: dict[str, tuple[Row, float | None, float | None]] = {}
        began_at = time.monotonic()
        for number in range(options.rotations):
            for row in prepared.rows:
                version_id, watches = _rotate(prepared, clients, row)
                committed_at = None
                if row.engine == "postgresql" and not row.alternates:
                    committed_at = postgresql.run(_COMMITTED_AT.format(row.secret))[0][0]
                moments[version_id] = (row, committed_at, seen[row].add(row, watches, committed_at))
            if number % 50 == 0:
                progress.print(f"{number + 1:,} of {options.rotations:,}, {time.monotonic() - began_at:,.0f} s")
    for version_id, steps in _recorded(data_of(directory) / DATABASE_FILE).items():
        if version_id in moments:
            row, committed_at, new_at = moments[version_id]
            if not row.is_current_once_set:
                seen[row].add_record(steps, committed_at, new_at)
    return seen


def _rotate(prepared: Prepared, clients: Clients, row: Row) -> tuple[str, Sequence[Watch]]:
    clients.watch(row)
    version_id = prepared.rotate(row)
    watches = clients.seen()
    prepared.wait(row, version_id)
    return version_id, watches


def _recorded(database: Path) -> dict[str, dict[str, tuple[int, int]]]:
    """Return begin and end of each step of the rotations, by version."""
    statement = (
        "SELECT rotations.version_id, rotation_steps.step, rotation_steps.started_at, rotation_steps.ended_at"
        " FROM rotation_steps JOIN rotations USING (rotation_id) WHERE rotation_steps.ended_at IS NOT NULL"
    )
    found: dict[str, dict[str, tuple[int, int]]] = {}
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for version_id, step, began, ended in connection.execute(statement):
            found.setdefault(version_id, {})[step] = (began, ended)
    return found


def _three(values: Sequence[float]) -> tuple[float, float, float] | None:
    """Median, 99th percentile and the longest; None without values."""
    if not values:
        return None
    high = quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else values[0]
    return median(values), high, max(values)


def _print(console: Console, seen: Mapping[Row, Seen]) -> None:
    table = Table(title="The gap; median, p99 and longest in milliseconds", box=box.SIMPLE, title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in ("rotations", "reads", "refused", "rotations with", "gap", "refused for", "by the record"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row, one in seen.items():
        counts = (one.rotations, one.reads, one.failed_logins, one.rotations_with_failures)
        durations = (one.gap_ms, one.refused_ms, one.record_ms)
        table.add_row(row.name, *(f"{count:,}" for count in counts), *(_shown(values) for values in durations))
    console.print(table)
    for row, one in seen.items():
        if not one.parts_ms:
            continue
        parts = ", ".join(f"{name} {median(values):.0f}" for name, values in one.parts_ms.items())
        console.print(f"{row.name}: {parts}")


def _shown(values: Sequence[float]) -> str:
    found = _three(values)
    return "none" if found is None else ", ".join(f"{ms:,.0f}" for ms in found)


if __name__ == "__main__":
    sys.exit(main())
