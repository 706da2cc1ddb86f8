"""Measure what a network of its own costs a function, and whether anything is left of it when the server is killed.

``make bench-networks`` runs it; docs/benchmarks.md says what is measured and how.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
from pathlib import Path
from statistics import median, quantiles

from rich import box
from rich.console import Console
from rich.table import Table

# Run as a script, Python looks for modules in this folder only.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.report import load_averages, machine

from keyturn.rules.network.maps import Map
from keyturn.rules.network.plan import KEYTURN_PUBLIC_ADDRESS, Door, NetworkPlan, Permit, Resolver
from keyturn.rules.network.traffic import PUBLIC, Ports
from keyturn.runtime import FunctionSpec, RuntimeSettings
from keyturn.testing.functions import FunctionBench

_CODE = "import os\ndef handler(event, context): return os.readlink('/proc/self/ns/net')"
_WARM = 500
_SECONDS = 20
_DATABASE = IPv4Network("10.0.2.15/32")
# As usual a VPC as there is: HTTPS to the internet through a NAT gateway, an endpoint, a database.
_PLAN = NetworkPlan(
    vpc_id="vpc-1",
    subnet_id="subnet-1",
    address="10.0.1.7",
    public_source="",
    networks=(IPv4Network("10.0.0.0/16"),),
    permits=(
        *(Permit(each, "tcp", Ports(443, 443)) for each in PUBLIC if isinstance(each, IPv4Network)),
        Permit(IPv4Network("10.0.1.50/32"), "tcp", Ports(443, 443)),
        Permit(_DATABASE, "tcp", Ports(5432, 5432)),
    ),
    doors=(Door(("10.0.1.50",), "vpce-1", "vpc-1"), Door((KEYTURN_PUBLIC_ADDRESS,), "", "")),
    resolver=Resolver(("10.0.0.2", "169.254.169.253"), answers=True, names=()),
)
_CHILD = "--in-vpc-until-killed"


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of invocations.

    Attributes:
        network: Which network the function has.
        cold: Of the first invocation of an environment, median.
        cold_p90: Nine of ten are not longer.
        warm: Of those that follow, median.
    """

    network: str
    cold: float
    cold_p90: float
    warm: float


@dataclass(frozen=True, slots=True)
class Kills:
    """What was left after the server was killed.

    Attributes:
        kills: How often.
        namespaces: Network namespaces that processes are still in.
        processes: Processes of theirs that still live.
    """

    kills: int
    namespaces: int
    processes: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=40, help="cold starts of each kind (default 40)")
    parser.add_argument("--kills", type=int, default=100, help="how often the server is killed (default 100)")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument(_CHILD, metavar="DIRECTORY", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.in_vpc_until_killed:
        _serve_until_killed(options.in_vpc_until_killed)
        return
    before = load_averages()
    with tempfile.TemporaryDirectory() as name:
        times = _measure(Path(name), options.starts)
        kills = _kill(Path(name), options.kills)
    if options.output == "json":
        result = {
            "times": [asdict(each) for each in times],
            "kills": asdict(kills),
            "machine": machine(),
            "load": before,
        }
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        _show(times, kills, before)


def _measure(directory: Path, starts: int) -> list[Times]:
    """Start functions of each kind in turn, so that what else the machine does hits all alike."""
    benches = {name: _bench(directory / name.replace(" ", "-"), isolate=name == "isolated") for name in _KINDS}
    functions = {name: bench.function(_CODE, networks=_KINDS[name]) for name, bench in benches.items()}
    cold: dict[str, list[float]] = {name: [] for name in _KINDS}
    warm: dict[str, list[float]] = {name: [] for name in _KINDS}
    for _ in range(starts):
        for name, bench in benches.items():
            bench.runtime.discard(functions[name].arn)
            cold[name].append(_milliseconds(bench, functions[name]))
    for _ in range(_WARM):
        for name, bench in benches.items():
            warm[name].append(_milliseconds(bench, functions[name]))
    for bench in benches.values():
        bench.runtime.close()
    return [Times(name, median(cold[name]), quantiles(cold[name], n=10)[-1], median(warm[name])) for name in _KINDS]


_KINDS: dict[str, tuple[NetworkPlan, ...]] = {"the machine's": (), "isolated": (), "in a VPC": (_PLAN,)}


def _bench(directory: Path, *, isolate: bool) -> FunctionBench:
    maps = (Map(_DATABASE, IPv4Network("127.0.0.1/32")),)
    directory.mkdir()
    directory.chmod(0o711)
    settings = RuntimeSettings(
        directory / "runtime", "http://127.0.0.1:9", sandbox="bubblewrap", isolate=isolate, network_maps=maps
    )
    return FunctionBench(settings)


def _milliseconds(bench: FunctionBench, spec: FunctionSpec) -> float:
    began = time.perf_counter()
    said = bench.invoke(spec)
    if said.function_error:
        raise SystemExit(said.payload.decode())
    return (time.perf_counter() - began) * 1000


def _kill(directory: Path, kills: int) -> Kills:
    """Kill a process that runs a function in a VPC, again and again, and count what lives on."""
    left_namespaces = left_processes = 0
    for number in range(kills):
        child = [sys.executable, __file__, _CHILD, str(directory / f"killed-{number}")]
        with subprocess.Popen(child, stdout=subprocess.PIPE) as server:
            try:
                namespace = json.loads(server.stdout.readline() if server.stdout else "")
                children = _children(server.pid)
            finally:
                server.send_signal(signal.SIGKILL)
        left_namespaces += not _becomes_true(lambda: namespace not in _namespaces())  # noqa: B023 - called here
        left_processes += not _becomes_true(lambda: not any(map(_lives, children)))  # noqa: B023 - called here
    return Kills(kills, left_namespaces, left_processes)


def _serve_until_killed(directory: Path) -> None:
    bench = _bench(directory, isolate=False)
    said = bench.invoke(bench.function(_CODE, networks=(_PLAN,)))
    sys.stdout.write(said.payload.decode() + "\n")
    sys.stdout.flush()
    signal.pause()


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] + [
        int(each)
        for task in Path(f"/proc/{pid}/task").iterdir()
        if task.name != str(pid)
        for each in (task / "children").read_text().split()
    ]


def _namespaces() -> set[str]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.add(str((process / "ns/net").readlink()))
    return found


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _becomes_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _show(times: Sequence[Times], kills: Kills, load: str) -> None:
    table = Table(box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("network")
    for heading in ("cold, median", "nine of ten", "warm, median"):
        table.add_column(heading, justify="right")
    for each in times:
        table.add_row(each.network, f"{each.cold:.0f} ms", f"{each.cold_p90:.0f} ms", f"{each.warm:.2f} ms")
    console = Console()
    console.print(table)
    console.print(
        f"Killed {kills.kills} times: {kills.namespaces} namespaces and {kills.processes} processes were left.\n"
        f"{machine()}; load {load}",
        highlight=False,
    )


if __name__ == "__main__":
    # Files of the functions' users.
    os.umask(0o022)
    main()
