"""A server that dies, or whose journal cannot be written: nobody was answered without a record, and the chain holds."""

from __future__ import annotations

import json
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import ServerProcess, run_keyturn, wait_until
from .raw_http import Wire, signed

CLIENTS = 16


def verify(server: ServerProcess, *options: str) -> tuple[int, dict[str, Any]]:
    """What ``keyturn audit verify`` says, and its exit status."""
    command = ("audit", "verify", "--data-dir", str(server.data_dir), "--output", "json", *options)
    done = run_keyturn(*command, home=server.home, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def recorded(server: ServerProcess) -> dict[str, str]:
    """Request ids in the journal with the names of their events, read past the server."""
    with sqlite3.connect(f"file:{server.data_dir / 'journal.db'}?mode=ro", uri=True) as connection:
        return dict(connection.execute("SELECT request_id, event_name FROM audit_events"))


class Crowd:
    """Clients that read and write until the server is gone, and remember what was answered."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.answered: dict[str, str] = {}
        self.enough = threading.Event()

    def run(self) -> None:
        with ThreadPoolExecutor(CLIENTS) as threads:
            done = [threads.submit(self.write if number % 4 == 0 else self.read, number) for number in range(CLIENTS)]
            assert self.enough.wait(60), len(self.answered)
            self.server.kill()
            for one in done:
                one.result()

    def note(self, request_id: str, operation: str) -> None:
        self.answered[request_id] = operation
        if len(self.answered) > 1500:
            self.enough.set()

    def read(self, number: int) -> None:
        """Read over a connection of one's own, as fast as it goes; one in five reads is refused."""
        with suppress(OSError, IndexError), Wire(self.server) as wire:
            for turn in range(1_000_000):
                name = "nothing" if turn % 5 == 0 else f"secret-{number % 3}"
                wire.send(signed(self.server, json.dumps({"SecretId": name}).encode()))
                self.note(wire.reply().headers["x-amzn-requestid"], "GetSecretValue")

    def write(self, number: int) -> None:
        client = self.server.client("secretsmanager")
        with suppress(BotoCoreError, ClientError):
            for turn in range(1_000_000):
                put = client.put_secret_value(SecretId=f"secret-{number % 3}", SecretString=f"{number} {turn}")
                self.note(put["ResponseMetadata"]["RequestId"], "PutSecretValue")


def test_kill_under_load_loses_no_event_of_an_answered_call(own_server: ServerProcess) -> None:
    server = own_server
    server.start()
    for number in range(3):
        server.client("secretsmanager").create_secret(Name=f"secret-{number}", SecretString="s")
    crowd = Crowd(server)
    crowd.run()

    kept = recorded(server)
    assert {request_id: name for request_id, name in crowd.answered.items() if kept.get(request_id) != name} == {}
    status, report = verify(server)
    assert (status, report["faults"]) == (0, [])
    assert report["records"] >= len(crowd.answered)

    server.start()
    server.client("sts").get_caller_identity()
    server.stop()
    status, report = verify(server)
    assert (status, report["faults"]) == (0, [])
    assert report["records"] == len(recorded(server))


def limit_files(pid: int, size_bytes: int) -> None:
    """Let a process write no file beyond a size, as on a full disk."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


def is_answered(server: ServerProcess) -> bool:
    with suppress(ClientError):
        server.client("sts").get_caller_identity()
        return True
    return False


def test_calls_are_refused_while_the_journal_cannot_be_written_and_taken_when_it_can(
    own_server: ServerProcess,
) -> None:
    server = own_server
    server.start()
    secrets = server.client("secretsmanager")
    secrets.create_secret(Name="s", SecretString="canary-value")
    before = len(recorded(server))

    limit_files(server.pid, 1)
    read_bodies = []
    for _ in range(3):
        with Wire(server) as wire:
            wire.send(signed(server, b'{"SecretId": "s"}'))
            reply = wire.reply()
        assert reply.status == 500
        read_bodies.append(reply.body)
    with pytest.raises(ClientError, match="InternalServiceError"):
        secrets.create_secret(Name="never", SecretString="x")
    assert not [body for body in read_bodies if b"canary" in body]
    assert "canary-value" not in server.log()

    limit_files(server.pid, resource.RLIM_INFINITY)
    wait_until(lambda: is_answered(server), "calls were taken again", server)
    assert secrets.get_secret_value(SecretId="s")["SecretString"] == "canary-value"
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        secrets.describe_secret(SecretId="never")
    assert len(recorded(server)) > before
    server.stop()
    assert verify(server)[0] == 0


def test_not_ready_is_told_while_calls_are_refused(own_server: ServerProcess) -> None:
    server = own_server
    server.start()
    ready = f"{server.endpoint_url}/readyz"
    assert _status(ready) == "200"
    limit_files(server.pid, 1)
    assert not is_answered(server)
    assert _status(ready) == "503"

    limit_files(server.pid, resource.RLIM_INFINITY)
    wait_until(lambda: is_answered(server), "calls were taken again", server)
    assert _status(ready) == "200"


def _status(url: str) -> str:
    script = (
        "import sys, urllib.request, urllib.error\n"
        "try: print(urllib.request.urlopen(sys.argv[1]).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)"
    )
    done = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@pytest.fixture
def sinking_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server with a sink whose file cannot be made yet."""
    process = ServerProcess(tmp_path)
    (process.data_dir / "keyturn.toml").write_text(
        f'audit_sinks = "json-lines:{tmp_path}/logs/audit.jsonl"\naudit_sink_limit_records = 5\n'
    )
    yield process
    if process._process is not None:
        process.stop()


def test_calls_are_refused_while_a_sink_is_too_far_behind_and_nothing_is_lost(sinking_server: ServerProcess) -> None:
    server = sinking_server
    server.start()
    calls = 0

    def is_refused() -> bool:
        nonlocal calls
        calls += 1
        return not is_answered(server)

    wait_until(is_refused, "calls were refused", server)
    wait_until(lambda: "an audit sink has stopped behind record 0" in server.log(), "the operator was told", server)
    (server.home / "logs").mkdir()
    wait_until(lambda: is_answered(server), "calls were taken again", server)
    server.stop()

    path = server.home / "logs" / "audit.jsonl"
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    assert {line["request_id"] for line in lines} == set(recorded(server))
    assert path.stat().st_mode & 0o777 == 0o600
    status, report = verify(server, "--file", str(path))
    assert (status, report["file_records"]) == (0, len(lines))


def test_two_servers_of_one_database_write_one_chain_and_one_of_them_feeds_a_sink(tmp_path: Path) -> None:
    sinks = f'audit_sinks = "json-lines:{tmp_path}/audit.jsonl"\n'
    with PostgresqlServer.start() as database:
        database.run("CREATE DATABASE keyturn")
        url = database.url("keyturn", driver="postgresql")
        (tmp_path / "one").mkdir()
        (tmp_path / "other").mkdir()
        one = ServerProcess(tmp_path / "one", database_url=url)
        other = ServerProcess(tmp_path / "other", database_url=url, beside=one)
        for server in (one, other):
            (server.data_dir / "keyturn.toml").write_text(sinks)
            server.start()
        try:
            with ThreadPoolExecutor(8) as threads:
                calls = [threads.submit(is_answered, (one, other)[number % 2]) for number in range(200)]
                assert all(call.result() for call in calls)
            # Whichever of them fed the sink, the one that is left does.
            one.stop()
            assert is_answered(other)
            wait_until(lambda: len((tmp_path / "audit.jsonl").read_bytes().splitlines()) == 201, "all arrived", other)
        finally:
            other.stop()
            if one._process is not None:
                one.stop()
        status, report = verify(other, "--database-url", url, "--root-key-file", str(one.data_dir / "root.key"))
    assert (status, report["faults"], report["records"]) == (0, [], 201)
    assert len(report["known"]) == 1
