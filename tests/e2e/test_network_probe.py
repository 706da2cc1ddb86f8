"""The probe of a function's network: the real program in real namespaces, and by itself.

The only real address that is mapped is this machine's 127.0.0.1: no packet leaves it.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keyturn.rotators import network_probe
from keyturn.rotators.package import NETWORK_PROBE_HANDLER, build_network_probe
from keyturn.runtime import FunctionSpec
from keyturn.runtime.interpreters import available_runtimes
from keyturn.testing.functions import FunctionBench

from .test_runtime_networks import DATABASE, ENDPOINT, HOST, Says, new_bench, permit, plan

SOURCE = "raise RuntimeError('the function itself is not run')"


@pytest.fixture(scope="module")
def server() -> Iterator[Says]:
    with closing(Says("hello")) as running:
        yield running


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionBench]:
    bench = new_bench(tmp_path_factory.mktemp("data"))
    yield bench
    bench.runtime.close()


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port at which nobody listens, and nobody else can begin to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def probe(bench: FunctionBench, spec: FunctionSpec, host: str, port: int, seconds: float = 0.5) -> Any:
    event = {"Host": host, "Port": port, "TimeoutSeconds": seconds}
    program = replace(spec, program=NETWORK_PROBE_HANDLER, timeout_seconds=60)
    payload = json.dumps(event).encode()
    said = bench.runtime.run_beside(program, build_network_probe(), payload, request_id=str(uuid.uuid4()))
    assert said.function_error is None, said.payload
    return json.loads(said.payload)


def test_what_is_permitted_connects_and_what_is_not_times_out(bench: FunctionBench, server: Says, nobody: int) -> None:
    spec = bench.function(SOURCE, networks=(plan(permit(DATABASE, server.port), permit(DATABASE, nobody)),))

    assert probe(bench, spec, DATABASE, server.port)["outcome"] == "connected"
    # Of a host that is reached: nothing listens there.
    assert probe(bench, spec, DATABASE, nobody)["outcome"] == "refused"
    shut = bench.function(SOURCE, networks=(plan(),))
    found = probe(bench, shut, DATABASE, server.port)
    assert found["outcome"] == "timeout"
    assert found["attempts"][0]["milliseconds"] >= 500


def test_a_name_is_resolved_where_the_function_runs(bench: FunctionBench) -> None:
    named = bench.function(SOURCE, networks=(plan(permit(ENDPOINT, 443), names=((HOST, (ENDPOINT,)),)),))

    found = probe(bench, named, HOST, 443)

    assert (found["outcome"], [each["address"] for each in found["attempts"]]) == ("connected", [ENDPOINT])


def test_a_name_of_a_network_without_dns_is_given_up(bench: FunctionBench) -> None:
    deaf = bench.function(SOURCE, networks=(plan(answers=False),))

    found = probe(bench, deaf, HOST, 443)

    assert (found["outcome"], found["attempts"]) == ("name-timeout", [])


def test_a_function_with_the_machines_network_is_probed_too(bench: FunctionBench, server: Says) -> None:
    assert probe(bench, bench.function(SOURCE), "127.0.0.1", server.port)["outcome"] == "connected"


def test_an_isolated_function_reaches_nothing(tmp_path: Path, server: Says) -> None:
    isolated = new_bench(tmp_path, isolate=True)
    try:
        found = probe(isolated, isolated.function(SOURCE), "10.0.2.15", server.port)
        assert found["outcome"] == "unreachable"
        assert probe(isolated, isolated.function(SOURCE), "db.example.org", 5432)["outcome"].startswith("name-")
    finally:
        isolated.runtime.close()


@pytest.mark.parametrize("runtime", available_runtimes())
def test_it_runs_on_every_python(bench: FunctionBench, server: Says, runtime: str) -> None:
    spec = bench.function(SOURCE, runtime=runtime)

    assert probe(bench, spec, "127.0.0.1", server.port)["outcome"] == "connected"


# The program by itself.


def look(host: str, port: int, seconds: float = 0.2) -> Any:
    return network_probe.lambda_handler({"Host": host, "Port": port, "TimeoutSeconds": seconds}, None)


def test_nothing_is_sent_to_who_answers() -> None:
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                while piece := connection.recv(100):
                    received.append(piece)

        accepting = threading.Thread(target=accept)
        accepting.start()
        assert look("127.0.0.1", listener.getsockname()[1])["outcome"] == "connected"
        accepting.join(10)

    assert not accepting.is_alive()
    assert received == []


def test_each_address_is_tried_and_one_that_answers_is_enough(monkeypatch: pytest.MonkeyPatch, server: Says) -> None:
    addresses = [("127.0.0.2", server.port), ("127.0.0.1", server.port)]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: found)

    said = look("orders.example.org", server.port)

    assert said["outcome"] == "connected"
    assert [(each["address"], each["outcome"]) for each in said["attempts"]] == [
        ("127.0.0.2", "refused"),
        ("127.0.0.1", "connected"),
    ]


def test_of_many_addresses_the_first_few_are_tried(monkeypatch: pytest.MonkeyPatch, nobody: int) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{last}", nobody)) for last in range(1, 20)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: found)

    assert len(look("orders.example.org", nobody)["attempts"]) == 4


@pytest.mark.parametrize(
    ("error", "outcome", "more"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), "name-not-found", ""),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), "name-timeout", ""),
        (socket.gaierror(socket.EAI_FAIL, "non-recoverable"), "failed", "[Errno -4] non-recoverable"),
        (UnicodeError("label too long"), "name-not-found", "it is no name that DNS can have"),
    ],
)
def test_what_came_of_a_name_is_told(
    monkeypatch: pytest.MonkeyPatch, error: Exception, outcome: str, more: str
) -> None:
    def fails(*_args: object, **_named: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fails)

    said = look("orders.example.org", 5432)

    assert (said["outcome"], said["error"], said["attempts"]) == (outcome, more, [])


def test_a_resolver_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: done.wait(60))
    monkeypatch.setattr(network_probe, "_NAME_SECONDS", 0.1)
    began = time.monotonic()

    assert look("orders.example.org", 5432)["outcome"] == "name-timeout"
    assert time.monotonic() - began < 30
    done.set()


@pytest.mark.parametrize(("address", "outcome"), [("224.0.0.1", "unreachable"), ("255.255.255.255", "failed")])
def test_other_errors_of_a_connection_are_told(monkeypatch: pytest.MonkeyPatch, address: str, outcome: str) -> None:
    errors = {"224.0.0.1": OSError(101, "unreachable"), "255.255.255.255": PermissionError(13, "denied")}

    class Refuses(socket.socket):
        def connect(self, to: Any) -> None:
            raise errors[to[0]]

    monkeypatch.setattr(socket, "socket", Refuses)

    [attempt] = look(address, 5432)["attempts"]

    assert (attempt["outcome"], attempt["error"]) == (outcome, "Permission denied" if outcome == "failed" else "")
