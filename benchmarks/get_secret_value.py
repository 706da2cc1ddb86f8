"""Measure signed GetSecretValue beside OpenBao's KV read: same machine, same run, same generator, alternating rounds.

``make bench`` runs it; docs/benchmarks.md says what is measured and how. Exits with 0 if it could measure, whether the
targets are met or not; with 1 if there was anything but good replies.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

# Run as a script, Python looks for modules in this folder only.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.keyturn_server import keyturn_server
from benchmarks.load import Generator, Request, learn
from benchmarks.openbao_server import openbao_server
from benchmarks.processes import machine_cpu_seconds
from benchmarks.report import Measurement, Report
from benchmarks.servers import SecretValue, Target, prepare_this_process, secret_values

from keyturn.cli.main import print_error
from keyturn.errors.base import KeyturnError

_WARM_UP_SECONDS = 1.0
_MICRO = 1_000_000
_MILLI = 1000


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked on the command line."""

    seconds: float
    rounds: int
    connections: int
    secrets: int
    output: str
    pin: bool
    openbao_token: str


def main() -> int:
    """Measure, print, and return the exit status."""
    options = _options()
    prepare_this_process()
    progress = Console(stderr=True, highlight=False)
    try:
        report = _measure(options, progress)
    except KeyturnError as error:
        print_error(error)
        return 1
    except KeyboardInterrupt:
        return 130
    if options.output == "json":
        print(report.as_json())
    else:
        report.print(Console(highlight=False, soft_wrap=True, width=100))
    return 1 if report.errors else 0


def _options() -> Options:
    parser = argparse.ArgumentParser(description="Measure signed, audited reads beside OpenBao on this machine.")
    parser.add_argument("--seconds", type=float, default=10, help="of load for each server in each round (%(default)s)")
    parser.add_argument("--rounds", type=_positive, default=3, help="in alternating order (%(default)s)")
    parser.add_argument("--connections", type=_positive, default=32, help="one request on each (%(default)s)")
    parser.add_argument("--secrets", type=_positive, default=1000, help="all of them are read (%(default)s)")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument("--pin", action="store_true", help="servers on the first core, the generator on the last")
    parser.add_argument(
        "--openbao-token", choices=("root", "policy"), default="root", help="root is its fastest (%(default)s)"
    )
    return Options(**vars(parser.parse_args()))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _measure(options: Options, progress: Console) -> Report:
    values = secret_values(options.secrets)
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyturn-bench-")))
        if options.pin:
            os.sched_setaffinity(0, cores[:1])  # The servers inherit it.
        progress.print(f"Starting the servers and storing {options.secrets:,} secrets in each")
        ours = stack.enter_context(keyturn_server(_subdirectory(directory, "keyturn"), values))
        theirs = stack.enter_context(
            openbao_server(_subdirectory(directory, "openbao"), values, root_token=options.openbao_token == "root")
        )
        if options.pin:
            os.sched_setaffinity(0, cores[-1:])
        measured: dict[str, list[Measurement]] = {ours.name: [], theirs.name: []}
        for round_number in range(1, options.rounds + 1):
            # Whoever comes second in a round comes first in the next.
            for target in (ours, theirs) if round_number % 2 else (theirs, ours):
                progress.print(f"Round {round_number} of {options.rounds}: {target.name}")
                measured[target.name].append(_round(target, round_number, options, values))
    conditions = {
        "connections": options.connections,
        "secrets": options.secrets,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "OpenBao token": options.openbao_token,
        "pinned": "servers to the first core, generator to the last" if options.pin else "nothing",
    }
    return Report(measured[ours.name], measured[theirs.name], conditions)


def _subdirectory(directory: Path, name: str) -> Path:
    path = directory / name
    path.mkdir()
    return path


def _round(target: Target, round_number: int, options: Options, values: Mapping[str, SecretValue]) -> Measurement:
    """Sign anew, compare every value once, warm up, measure."""
    requests = _first_reading(target, values)
    with Generator(target.port, requests, options.connections) as generator:
        generator.run(_WARM_UP_SECONDS)
        machine_before, server_before = machine_cpu_seconds(), target.process.cpu_seconds()
        run = generator.run(options.seconds)
        server_seconds = target.process.cpu_seconds() - server_before
        machine_seconds = machine_cpu_seconds() - machine_before
    replies = len(run.latencies)
    if not replies:
        raise KeyturnError(f"{target.name} gave no good reply: {dict(run.faults)}")
    others_seconds = max(machine_seconds - server_seconds - run.cpu_seconds, 0)
    return Measurement(
        server=target.name,
        round_number=round_number,
        requests_per_second=replies / run.seconds,
        p50_ms=run.percentile(0.5) * _MILLI,
        p99_ms=run.percentile(0.99) * _MILLI,
        server_cpu_us=server_seconds / replies * _MICRO,
        generator_cpu_us=run.cpu_seconds / replies * _MICRO,
        others_percent=others_seconds / run.seconds / (os.cpu_count() or 1) * 100,
        errors=run.faults,
    )


def _first_reading(target: Target, values: Mapping[str, SecretValue]) -> list[Request]:
    expected: Sequence[tuple[str, SecretValue]] = list(values.items())

    def check(index: int, body: bytes) -> None:
        name, value = expected[index]
        if target.value_in(body) != value:
            raise KeyturnError(f"{target.name} returned another value for {name} than was stored.")

    return learn(target.port, target.reads(), check)


if __name__ == "__main__":
    sys.exit(main())
