"""What a function reaches in a network of its own. Real namespaces, packet rules and sockets; no server.

The only real address that is mapped is this machine's 127.0.0.1: no packet leaves it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import psutil
import pytest

from keyturn.arn import Place
from keyturn.errors.base import KeyturnError
from keyturn.rules.network.maps import Map
from keyturn.rules.network.plan import KEYTURN_PUBLIC_ADDRESS, Door, NetworkPlan, Permit, Resolver
from keyturn.rules.network.traffic import Ports
from keyturn.runtime import FunctionSpec, RuntimeSettings
from keyturn.testing.functions import FunctionBench

DEADLINE_SECONDS = 20
DATABASE, ENDPOINT, RESOLVER = "10.0.2.15", "10.0.1.50", "10.0.0.2"
HOST = "secretsmanager.us-east-1.amazonaws.com"
LOOPBACK = Map(IPv4Network(f"{DATABASE}/32"), IPv4Network("127.0.0.1/32"))
PROBE = """
import errno, os, socket, time

def reach(host, port, seconds):
    with socket.socket() as probe:
        probe.settimeout(seconds)
        try:
            probe.connect((host, port))
            return probe.recv(100).decode()
        except OSError as error:
            return type(error).__name__

def opened(family, kind=socket.SOCK_RAW):
    try:
        socket.socket(family, kind).close()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "open"

def resolve(name):
    try:
        return sorted({found[4][0] for found in socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)})
    except OSError as error:
        return error.errno

def hoard(host, port, count):
    held = [socket.socket() for _ in range(count)]
    try:
        return sum(probe.connect_ex((host, port)) == 0 for probe in held)
    finally:
        for probe in held:
            probe.close()

def handler(event, context):
    if "hoard" in event:
        return hoard(*event["hoard"])
    if "resolve" in event:
        return [resolve(name) for name in event["resolve"]]
    if "run" in event:
        return eval(event["run"])
    return [reach(host, port, event.get("seconds", 0.5)) for host, port in event["reach"]]
"""


class Says:
    """A server that says one line to whoever connects."""

    def __init__(self, line: str, listener: socket.socket | None = None) -> None:
        self.listener = listener or socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._line = line.encode()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        # Wakes the thread, which a mere close does not.
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with connection:
                    connection.sendall(self._line)


def open_door(listener: socket.socket, place: Place, plan: NetworkPlan | None, door: Door | None) -> Callable[[], None]:
    del place, plan
    return Says("isolated" if door is None else f"door {door.endpoint_id or 'public'}", listener).close


@pytest.fixture(scope="module")
def database() -> Iterator[Says]:
    server = Says("database")
    yield server
    server.close()


def new_bench(directory: Path, **changes: Any) -> FunctionBench:
    settings = RuntimeSettings(
        directory=directory / "runtime",
        endpoint_url="http://127.0.0.1:9",
        sandbox="bubblewrap",
        network_maps=(LOOPBACK,),
    )
    return FunctionBench(replace(settings, **changes), open_door=open_door)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionBench]:
    bench = new_bench(tmp_path_factory.mktemp("data"))
    yield bench
    bench.runtime.close()


def permit(address: str, port: int) -> Permit:
    return Permit(IPv4Network(f"{address}/32"), "tcp", Ports(port, port))


def plan(*permits: Permit, names: tuple[tuple[str, tuple[str, ...]], ...] = (), answers: bool = True) -> NetworkPlan:
    return NetworkPlan(
        vpc_id="vpc-1",
        subnet_id="subnet-1",
        address="10.0.1.7",
        public_source="",
        networks=(IPv4Network("10.0.0.0/16"),),
        permits=permits,
        doors=(Door((ENDPOINT,), "vpce-1", "vpc-1"), Door((KEYTURN_PUBLIC_ADDRESS,), "", "")),
        resolver=Resolver((RESOLVER, "169.254.169.253"), answers, names),
    )


def answer(bench: FunctionBench, spec: FunctionSpec, **event: Any) -> Any:
    invocation = bench.invoke(spec, event)
    assert invocation.function_error is None, invocation.payload
    return json.loads(invocation.payload)


def wait_for(condition: Callable[[], bool], message: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.02)


def test_what_is_permitted_passes_and_what_is_not_is_lost_in_silence(bench: FunctionBench, database: Says) -> None:
    spec = bench.function(PROBE, networks=(plan(permit(DATABASE, database.port), permit(ENDPOINT, 443)),))

    found = answer(
        bench,
        spec,
        reach=[
            (DATABASE, database.port),
            (ENDPOINT, 443),
            (DATABASE, 5432),
            (ENDPOINT, 80),
            ("10.0.2.16", database.port),
            (KEYTURN_PUBLIC_ADDRESS, 443),
            ("169.254.169.254", 80),
            ("169.254.76.2", database.port),
        ],
    )

    assert found == ["database", "door vpce-1", *["TimeoutError"] * 6]


def test_a_port_that_nobody_listens_on_refuses_as_it_does_in_a_vpc(bench: FunctionBench, database: Says) -> None:
    spare = socket.create_server(("127.0.0.1", 0))
    port = spare.getsockname()[1]
    spare.close()
    spec = bench.function(PROBE, networks=(plan(permit(DATABASE, port)),))

    assert answer(bench, spec, reach=[(DATABASE, port)]) == ["ConnectionRefusedError"]


def test_the_servers_sockets_are_reached_by_their_addresses_alone(bench: FunctionBench) -> None:
    spec = bench.function(PROBE, networks=(plan(permit(KEYTURN_PUBLIC_ADDRESS, 443)),))

    doors = [("127.0.0.1", port) for port in (9443, 9444, 9053)]
    assert answer(bench, spec, reach=[(KEYTURN_PUBLIC_ADDRESS, 443), *doors]) == ["door public", *["TimeoutError"] * 3]


def test_an_address_that_is_mapped_to_the_machine_is_no_way_around_the_doors(tmp_path: Path, database: Says) -> None:
    keyturn = Says("keyturn")
    bench = new_bench(tmp_path, endpoint_url=f"http://127.0.0.1:{keyturn.port}")
    try:
        spec = bench.function(PROBE, networks=(plan(permit(DATABASE, keyturn.port), permit(DATABASE, database.port)),))
        reach = [(DATABASE, keyturn.port), (DATABASE, database.port)]
        assert answer(bench, spec, reach=reach) == ["TimeoutError", "database"]
    finally:
        keyturn.close()
        bench.runtime.close()


@pytest.fixture
def machine_names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | int]:
    """Addresses that this machine's resolver has, or errors; nobody outside is asked."""
    names: dict[str, str | int] = {}

    def getaddrinfo(name: str, *_: object) -> list[Any]:
        found = names[name]
        if isinstance(found, int):
            raise socket.gaierror(found, "as the test says")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, 0))]

    monkeypatch.setattr("keyturn.runtime.resolver.socket.getaddrinfo", getaddrinfo)
    return names


def test_names_are_the_vpcs_or_the_machines(bench: FunctionBench, machine_names: dict[str, str | int]) -> None:
    names = ["mapped.example", "elsewhere.example", "nobody.example", "broken.example"]
    machine_names.update(zip(names, ["127.0.0.1", "192.0.2.7", socket.EAI_NONAME, socket.EAI_AGAIN], strict=True))
    spec = bench.function(PROBE, networks=(plan(names=((HOST, (ENDPOINT,)),)),))

    found = answer(bench, spec, resolve=[HOST, HOST.upper(), "localhost", *names])

    # What is mapped into the VPC has the VPC's address: the real one leads nowhere from there.
    assert found[:5] == [[ENDPOINT], [ENDPOINT], ["127.0.0.1"], [DATABASE], ["192.0.2.7"]]
    assert found[5:] == [socket.EAI_NONAME, socket.EAI_AGAIN]


def test_a_vpc_without_dns_support_answers_no_names(bench: FunctionBench) -> None:
    spec = bench.function(PROBE, networks=(plan(names=((HOST, (ENDPOINT,)),), answers=False),), timeout_seconds=1)

    invocation = bench.invoke(spec, {"resolve": [HOST]})

    assert b"Task timed out after 1.00 seconds" in invocation.payload


def test_the_sdks_are_told_aws_names(bench: FunctionBench) -> None:
    spec = bench.function(PROBE, networks=(plan(),))

    variables = answer(bench, spec, run="{k: v for k, v in os.environ.items() if 'ENDPOINT' in k}")

    assert variables["SECRETS_MANAGER_ENDPOINT"] == f"http://{HOST}:443"
    assert variables["AWS_ENDPOINT_URL_SECRETS_MANAGER"] == f"http://{HOST}:443"
    assert variables["AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"] == "http://logs.us-east-1.amazonaws.com:443"
    assert variables["AWS_ENDPOINT_URL"] == f"http://{KEYTURN_PUBLIC_ADDRESS}:443"


def test_an_isolated_function_reaches_keyturn_and_nothing_else(tmp_path: Path, database: Says) -> None:
    bench = new_bench(tmp_path, isolate=True)
    try:
        spec = bench.function(PROBE)
        url = answer(bench, spec, run="os.environ['SECRETS_MANAGER_ENDPOINT']")
        port = int(url.rpartition(":")[2])
        assert answer(bench, spec, reach=[("127.0.0.1", port), ("127.0.0.1", database.port), (DATABASE, 443)]) == [
            "isolated",
            "ConnectionRefusedError",
            "OSError",
        ]
        assert answer(bench, spec, run="[name for _, name in socket.if_nameindex()]") == ["lo"]
    finally:
        bench.runtime.close()


def test_a_function_cannot_change_its_network(bench: FunctionBench) -> None:
    spec = bench.function(PROBE, networks=(plan(),))
    attempts = """[
        __import__('ctypes').CDLL(None).setns(os.open('/proc/self/ns/net', os.O_RDONLY), 0),
        __import__('ctypes').CDLL(None).unshare(0x40000000),
        __import__('ctypes').CDLL(None).unshare(0x10000000),
    ]"""

    assert answer(bench, spec, run=attempts) == [-1, -1, -1]
    raw = "[reach(h, p, 0.2) for h, p in ()] or open('/proc/self/status').read().split('CapEff:')[1].split()[0]"
    assert int(answer(bench, spec, run=raw), 16) == 0


def test_a_function_opens_no_socket_that_goes_past_its_network(bench: FunctionBench) -> None:
    spec = bench.function(PROBE, networks=(plan(),))
    attempts = "[opened(family) for family in (socket.AF_VSOCK, socket.AF_PACKET, socket.AF_ALG, socket.AF_NETLINK)]"

    assert answer(bench, spec, run=attempts) == [*["EAFNOSUPPORT"] * 3, "open"]


def test_a_changed_network_counts_from_the_next_invocation(bench: FunctionBench, database: Says) -> None:
    closed = bench.function(PROBE, networks=(plan(),))
    opened = replace(closed, networks=(plan(permit(DATABASE, database.port)),))

    # Not by its namespace: the kernel gives the number of one that is gone to the next.
    name = "os.environ['AWS_LAMBDA_LOG_STREAM_NAME']"
    environments = [answer(bench, spec, run=name) for spec in (closed, closed, opened)]
    assert environments[0] == environments[1] != environments[2]
    assert answer(bench, opened, reach=[(DATABASE, database.port)]) == ["database"]
    assert answer(bench, closed, reach=[(DATABASE, database.port)]) == ["TimeoutError"]


def test_each_environment_is_in_one_of_the_subnets(bench: FunctionBench, database: Says) -> None:
    networks = (plan(permit(DATABASE, database.port)), replace(plan(), subnet_id="subnet-2"))
    spec = bench.function(PROBE, networks=networks)
    found: list[Any] = []

    def ask() -> None:
        found.extend(answer(bench, spec, reach=[(DATABASE, database.port)], seconds=2))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(found) == {"database", "TimeoutError"}


def test_nothing_is_left_of_a_network_when_its_environment_ends(tmp_path: Path) -> None:
    bench = new_bench(tmp_path)
    others = connectors(os.getpid())
    try:
        spec = bench.function(PROBE, networks=(plan(),))
        answer(bench, spec, resolve=[])
        files = open_files()
        for _ in range(10):
            bench.runtime.discard(spec.arn)
            assert connectors(os.getpid()) == others
            answer(bench, spec, resolve=[])
        assert open_files() == files
        assert len(connectors(os.getpid())) == len(others) + 1
    finally:
        bench.runtime.close()
    assert connectors(os.getpid()) == others


def test_a_network_that_lost_its_way_out_is_replaced(tmp_path: Path, database: Says) -> None:
    bench = new_bench(tmp_path)
    others = connectors(os.getpid())
    try:
        spec = bench.function(PROBE, networks=(plan(permit(DATABASE, database.port)),))
        answer(bench, spec, resolve=[])
        [connector] = set(connectors(os.getpid())) - set(others)
        os.kill(connector, signal.SIGKILL)
        os.waitid(os.P_PID, connector, os.WEXITED | os.WNOWAIT)

        assert answer(bench, spec, reach=[(DATABASE, database.port)]) == ["database"]
    finally:
        bench.runtime.close()


def test_what_connects_a_function_knows_nothing_and_takes_little(tmp_path: Path, database: Says) -> None:
    bench = new_bench(tmp_path)
    others = connectors(os.getpid())
    try:
        spec = bench.function(PROBE, networks=(plan(permit(DATABASE, database.port)),))
        answer(bench, spec, resolve=[])
        [connector] = map(psutil.Process, set(connectors(os.getpid())) - set(others))

        assert connector.environ() == {}
        assert answer(bench, spec, hoard=[DATABASE, database.port, 300]) < 256
        assert answer(bench, spec, reach=[(DATABASE, database.port)]) == ["database"]
    finally:
        bench.runtime.close()


@pytest.mark.parametrize("program", ["exit 1", "exec sleep 600"])
def test_a_network_that_cannot_be_connected_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    broken = tmp_path / "slirp4netns"
    broken.write_text(f"#!/bin/sh\necho its own words\n{program}\n")
    broken.chmod(0o755)
    monkeypatch.setattr("keyturn.runtime.network._SECONDS", 0.5)
    bench = new_bench(tmp_path)
    try:
        spec = bench.function(PROBE, networks=(plan(),))
        before, files = children(), 0
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        for _ in range(3):
            with pytest.raises(KeyturnError, match="cannot be connected: slirp4netns: its own words"):
                bench.invoke(spec, {"resolve": []})
            assert children() == before
            files, had = open_files(), files
        assert files == had
    finally:
        bench.runtime.close()


def test_no_rules_are_ever_loaded_into_the_machines_own_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[object] = []
    monkeypatch.setattr("keyturn.runtime.network.Network._connect", lambda *arguments: prepared.append(arguments))
    bwrap = tmp_path / "bwrap"
    real = shutil.which("bwrap")
    bwrap.write_text(f'#!/bin/bash\nexec {real} "${{@/--unshare-net/--as-pid-1}}"\n')
    bwrap.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    bench = new_bench(tmp_path)
    try:
        spec = bench.function(PROBE, networks=(plan(),))
        with pytest.raises(KeyturnError, match="has no network of its own"):
            bench.invoke(spec, {"resolve": []})
        assert not prepared
    finally:
        bench.runtime.close()


def children() -> list[int]:
    return sorted(each.pid for each in psutil.Process().children(recursive=True))


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def connectors(pid: int) -> list[int]:
    return [each.pid for each in psutil.Process(pid).children() if each.name() == "slirp4netns"]


def namespaces() -> set[str]:
    """The network namespaces of all processes that live."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.add(str((process / "ns/net").readlink()))
    return found


def test_nothing_is_left_of_a_network_when_the_server_is_killed(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        import json, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from tests.e2e.test_runtime_networks import PROBE, new_bench, plan
        bench = new_bench(Path({str(tmp_path)!r}))
        spec = bench.function(PROBE, networks=(plan(),))
        print(bench.invoke(spec, {{"run": "os.readlink('/proc/self/ns/net')"}}).payload.decode(), flush=True)
        bench.invoke(spec, {{"run": "time.sleep(60)"}})
        """
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [*sys.path, str(Path.cwd())]))}
    for _ in range(3):
        server = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE)
        assert server.stdout is not None
        try:
            namespace = json.loads(server.stdout.readline())
            children = connectors(server.pid)
            assert len(children) == 1
            assert namespace in namespaces()
        finally:
            server.send_signal(signal.SIGKILL)
            server.wait()
            server.stdout.close()
        wait_for(lambda: namespace not in namespaces(), "a namespace outlived the server")  # noqa: B023 - called here
        wait_for(lambda: not any(map(is_alive, children)), "slirp4netns outlived the server")  # noqa: B023 - likewise


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
