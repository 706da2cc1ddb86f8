"""Measure rotations of real database passwords: Keyturn's, OpenBao's, and the least that they cost in the database.

``make bench-rotations`` runs it; docs/benchmarks.md says what is measured and how. All parts run on this machine with
the same PostgreSQL servers, one after the other. Exits with 1 if a rotation failed or a database refuses a current
value.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

# Run as a script, Python looks for modules in this folder only.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.openbao_rotations import static_roles
from benchmarks.report import load_averages, machine
from benchmarks.rotating_databases import Rate, databases, measure_floor
from benchmarks.rotating_keyturn import RotatingKeyturn, Window
from benchmarks.servers import prepare_this_process

from keyturn.cli.main import print_error
from keyturn.errors.base import KeyturnError
from keyturn.rules.lanes import Limits

_AT_ONCE = (1, 2, 4)
_PARTS = ("floor", "openbao", "keyturn")


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked on the command line."""

    secrets: int
    databases: int
    functions: int
    limits: list[Limits]
    minutes: float
    seconds: float
    openbao_roles: int
    check: int
    only: list[str]
    output: str


def main() -> int:
    """Measure, print, and return the exit status."""
    options = _options()
    prepare_this_process()
    progress = Console(stderr=True, highlight=False)
    load = load_averages()
    try:
        with tempfile.TemporaryDirectory(prefix="keyturn-bench-") as directory:
            rates, windows = _measure(options, Path(directory), progress)
    except KeyturnError as error:
        print_error(error)
        return 1
    except KeyboardInterrupt:
        return 130
    if options.output == "json":
        document = {
            "machine": machine(),
            "load_before": load,
            "rates": [{**asdict(rate), "per_second": rate.per_second} for rate in rates],
            "windows": [{**asdict(window), "per_minute": window.per_minute} for window in windows],
        }
        print(json.dumps(document, indent=2))
    else:
        _print(Console(highlight=False, soft_wrap=True, width=110), rates, windows, load)
    return 1 if any(window.succeeded < sum(window.ended.values()) for window in windows) else 0


def _options() -> Options:
    parser = argparse.ArgumentParser(description="Measure rotations of real database passwords on this machine.")
    parser.add_argument("--secrets", type=int, default=500, help="all due at one moment (%(default)s)")
    parser.add_argument("--databases", type=int, default=4, help="PostgreSQL servers (%(default)s)")
    parser.add_argument("--functions", type=int, default=1, help="that the secrets share (%(default)s)")
    parser.add_argument(
        "--limits",
        type=_limits,
        nargs="+",
        default=[Limits(16, 8, 4)],
        help="rotations at once in total, for a function, for a database; each is a run (16/8/4)",
    )
    parser.add_argument("--minutes", type=float, default=20, help="after which a run is stopped (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="of each of the other measurements (%(default)s)")
    parser.add_argument("--openbao-roles", type=int, default=1000, help="static roles (%(default)s)")
    parser.add_argument(
        "--check", type=int, default=1000, help="current values that are tried at the end (%(default)s)"
    )
    parser.add_argument("--only", choices=_PARTS, nargs="+", default=list(_PARTS))
    parser.add_argument("--output", choices=("text", "json"), default="text")
    return Options(**vars(parser.parse_args()))


def _limits(text: str) -> Limits:
    total, per_function, per_database = (int(part) for part in text.split("/"))
    return Limits(total, per_function, per_database)


def _measure(options: Options, directory: Path, progress: Console) -> tuple[list[Rate], list[Window]]:
    rates: list[Rate] = []
    windows: list[Window] = []
    if "floor" in options.only:
        with databases(options.databases, options.openbao_roles) as over:
            for at_once in _AT_ONCE:
                progress.print(f"ALTER ROLE and one login, {at_once} at once")
                rates.append(measure_floor(over, at_once, options.seconds))
    if "openbao" in options.only:
        with (
            databases(options.databases, options.openbao_roles) as over,
            static_roles(_subdirectory(directory, "openbao"), over) as openbao,
        ):
            progress.print(f"OpenBao: {options.openbao_roles:,} static roles")
            rates.append(openbao.store_all())
            for at_once in _AT_ONCE:
                progress.print(f"OpenBao: rotate-role, {at_once} at once")
                rates.append(openbao.by_call(at_once, options.seconds))
            progress.print("OpenBao: its queue")
            rates.append(openbao.by_queue(options.seconds * 2))
    if "keyturn" in options.only:
        with databases(options.databases, options.secrets) as over:
            progress.print(f"Keyturn: storing {options.secrets:,} secrets")
            keyturn = RotatingKeyturn(_subdirectory(directory, "keyturn"), over, options.functions)
            for limits in options.limits:
                progress.print(f"Keyturn: rotating them, {_shown(limits)}")
                windows.append(keyturn.rotate_all(limits, options.minutes * 60))
                progress.print(f"  {windows[-1].per_minute:,.0f} a minute, {dict(windows[-1].ended)}")
            checked = keyturn.check(options.check)
            progress.print(f"The databases accept the current values of all {checked:,} secrets that were tried")
    return rates, windows


def _subdirectory(directory: Path, name: str) -> Path:
    path = directory / name
    path.mkdir()
    return path


def _print(console: Console, rates: Sequence[Rate], windows: Sequence[Window], load: str) -> None:
    if rates:
        table = _table("Without Keyturn", "", "rotations/s", "database ms", "client ms")
        for rate in rates:
            table.add_row(rate.name, f"{rate.per_second:,.1f}", f"{rate.database_ms:.2f}", f"{rate.client_ms:.2f}")
        console.print(table)
    if windows:
        headings = ("limits", "planned", "succeeded", "others", "retried", "seconds", "a minute", "steady", "others %")
        table = _table("Keyturn: rotations planned into one window", *headings)
        for window in windows:
            table.add_row(
                _shown(window.limits),
                f"{window.planned:,}",
                f"{window.succeeded:,}",
                ", ".join(f"{count} {status}" for status, count in window.ended.items() if status != "succeeded"),
                f"{window.retried:,}",
                f"{window.seconds:,.0f}",
                f"{window.per_minute:,.0f}",
                f"{window.steady_per_minute:,.0f}",
                f"{window.others_percent:.0f}",
            )
        console.print(table)
        for window in windows:
            cpu = ", ".join(f"{name} {ms:.0f}" for name, ms in window.cpu_ms.items())
            steps = ", ".join(f"{name} {middle:.0f}/{high:.0f}" for name, (middle, high) in window.step_ms.items())
            console.print(f"{_shown(window.limits)}: processor ms for one: {cpu}; steps, median/p99 ms: {steps};")
            console.print(f"      server {window.resident_mb:,.0f} MB")
    console.print(f"Machine: {machine()}; load before: {load}")


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    return table


def _shown(limits: Limits) -> str:
    return f"{limits.total}/{limits.per_function}/{limits.per_database}"


if __name__ == "__main__":
    sys.exit(main())
