"""Measure what very many secrets on a schedule cost the scheduler, and the server's start: few secrets beside many.

``make bench-schedule`` runs it; docs/benchmarks.md says what is measured and how.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

# Run as a script, Python looks for modules in this folder only.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.keyturn_server import data_of, init, serving
from benchmarks.report import load_averages, machine
from benchmarks.schedule_queries import Timing, timings
from benchmarks.scheduled_secrets import scheduled_secrets
from benchmarks.servers import prepare_this_process
from benchmarks.stored_secrets import opened, store_secrets

from keyturn.cli.main import print_error
from keyturn.clock import SystemClock
from keyturn.errors.base import KeyturnError
from keyturn.storage.database import Stores
from keyturn.storage.migrate import migrate
from keyturn.testing.postgresql import PostgresqlServer

_STARTS = 3
_PAGES = 30
_SETTLE_SECONDS = 5
_POSTGRESQL = {"shared_buffers": "256MB", "max_wal_size": "4GB"}


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked on the command line."""

    secrets: list[int]
    due: list[int]
    repeats: int
    postgresql: bool
    plans: bool
    output: str


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured with so many secrets.

    Attributes:
        stored_seconds: How long it took to make them.
        megabytes: Size of the state's files.
        start_seconds: From starting the process to the line that it is ready.
        resident_mb: Memory of the server's process, some seconds later.
        pages_ms: First pages of lists, by operation: median and 99th percentile, with boto3's own time.
        timings: Of each query.
    """

    secrets: int
    stored_seconds: float
    megabytes: float
    start_seconds: float
    resident_mb: float
    pages_ms: dict[str, tuple[float, float]]
    timings: list[Timing]


def main() -> int:
    """Measure, print, and return the exit status."""
    options = _options()
    prepare_this_process()
    progress = Console(stderr=True, highlight=False)
    load = load_averages()
    try:
        results = [_measure(options, count, progress) for count in options.secrets]
    except KeyturnError as error:
        print_error(error)
        return 1
    except KeyboardInterrupt:
        return 130
    if options.output == "json":
        document = {"machine": machine(), "load_before": load, "results": [asdict(result) for result in results]}
        print(json.dumps(document, indent=2))
    else:
        _print(Console(highlight=False, soft_wrap=True, width=130), results, plans=options.plans)
        print(f"Machine: {machine()}; load before: {load}")
    return 0


def _options() -> Options:
    parser = argparse.ArgumentParser(description="Measure many secrets on a schedule beside few, on this machine.")
    parser.add_argument("--secrets", type=int, nargs="+", default=[1_000, 1_000_000], help="(%(default)s)")
    parser.add_argument("--due", type=int, nargs="+", default=[0, 100, 14_000], help="(%(default)s)")
    parser.add_argument("--repeats", type=int, default=100, help="of each query (%(default)s)")
    parser.add_argument("--postgresql", action="store_true", help="instead of SQLite")
    parser.add_argument("--plans", action="store_true", help="print what the database does for each statement")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    return Options(**vars(parser.parse_args()))


def _measure(options: Options, count: int, progress: Console) -> Result:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyturn-bench-")))
        url = ""
        if options.postgresql:
            url = stack.enter_context(PostgresqlServer.start(settings=_POSTGRESQL)).url(driver="postgresql")
        administrator = init(directory, *_database(url))
        progress.print(f"Storing {count:,} secrets")
        now = SystemClock().now()
        busy_hour = (now + timedelta(days=3)).replace(hour=3, minute=0, second=0, microsecond=0)
        with opened(data_of(directory), url) as (kit, place):
            started_at = time.monotonic()
            store_secrets(kit, place, scheduled_secrets(count, now, busy_hour), created_at=now - timedelta(days=200))
            stored_seconds = time.monotonic() - started_at
            progress.print(f"  {stored_seconds:.0f} s; asking the database")
            if options.postgresql:
                _analyse(url)
            found = []
            for timing in timings(kit, options.repeats, [each for each in options.due if each <= count], busy_hour):
                progress.print(f"  {timing.name}: {timing.median_ms:.2f} ms")
                found.append(timing)
        megabytes = _megabytes(directory, url)
        progress.print("  starting the server")
        starts, resident_mb, pages = _starts(directory, administrator, url)
    return Result(count, stored_seconds, megabytes, median(starts), resident_mb, pages, found)


def _database(url: str) -> list[str]:
    return ["--database-url", url] if url else []


def _analyse(url: str) -> None:
    """What PostgreSQL does by itself some time after many rows have come."""
    stores = Stores.open(url)
    try:
        migrate(stores)
        connection = stores.state.engine.raw_connection()
        connection.cursor().execute("ANALYZE")
        connection.commit()
        connection.close()
    finally:
        stores.close()


def _megabytes(directory: Path, url: str) -> float:
    if not url:
        return sum(path.stat().st_size for path in data_of(directory).glob("keyturn.db*")) / 1e6
    stores = Stores.open(url)
    try:
        with stores.state.read() as connection:
            size = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
        return float(size) / 1e6
    finally:
        stores.close()


def _starts(
    directory: Path, administrator: dict[str, str], url: str
) -> tuple[list[float], float, dict[str, tuple[float, float]]]:
    seconds, resident, pages = [], [], {}
    for number in range(_STARTS):
        started_at = time.monotonic()
        with serving(directory, administrator, *_database(url), seconds=600) as server:
            seconds.append(time.monotonic() - started_at)
            time.sleep(_SETTLE_SECONDS)
            resident.append(server.process.resident_bytes() / 1e6)
            if number == _STARTS - 1:
                pages = {
                    "ListPlannedRotations": _page_ms(server.client("keyturn").list_planned_rotations),
                    "ListSecrets": _page_ms(server.client("secretsmanager").list_secrets),
                }
    return seconds, median(resident), pages


def _page_ms(ask: Callable[..., object]) -> tuple[float, float]:
    took = []
    for _ in range(_PAGES):
        started_at = time.perf_counter()
        ask(MaxResults=100)
        took.append((time.perf_counter() - started_at) * 1000)
    return median(took), max(took)


def _print(console: Console, results: Sequence[Result], *, plans: bool) -> None:
    table = Table(box=box.SIMPLE, title_justify="left", title="Secrets on a schedule")
    table.add_column("", no_wrap=True)
    for result in results:
        table.add_column(f"{result.secrets:,}", justify="right", no_wrap=True)
    rows: list[tuple[str, list[str]]] = [
        ("size of the state, MB", [f"{result.megabytes:,.0f}" for result in results]),
        ("stored in, s", [f"{result.stored_seconds:,.0f}" for result in results]),
        ("start of the server, s", [f"{result.start_seconds:.2f}" for result in results]),
        ("its memory, MB", [f"{result.resident_mb:,.0f}" for result in results]),
    ]
    rows += [
        (f"{name}, first page: median, worst ms", [_pair(result.pages_ms[name]) for result in results])
        for name in results[0].pages_ms
    ]
    for timing in results[-1].timings:
        same = [{each.name: each for each in result.timings}.get(timing.name) for result in results]
        shown = ["" if each is None else _pair((each.median_ms, each.p99_ms)) for each in same]
        rows.append((f"{timing.name}: median, p99 ms", shown))
    for name, cells in rows:
        table.add_row(name, *cells)
    console.print(table)
    if plans:
        for timing in results[-1].timings:
            console.print(timing.name)
            for plan in timing.plans:
                console.print(f"    {plan}")


def _pair(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.2f}, {pair[1]:.2f}"


if __name__ == "__main__":
    sys.exit(main())
