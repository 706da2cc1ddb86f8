"""A real server process, reached as users reach it: the keyturn command, an endpoint, an access key."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import pytest
from botocore.config import Config

from keyturn.service_models import OWN_MODELS
from keyturn.testing.postgresql import PostgresqlServer

from .forked import ForkedCommand, can_fork, run_forked

DEADLINE_SECONDS = 30
_COMMAND = ("keyturn.cli.main",)
_READY = re.compile(r"ready on (https?://\S+)")


@cache
def _session() -> boto3.Session:
    """A session that knows Keyturn's own service, too."""
    session = boto3.Session()
    session._session.get_component("data_loader").search_paths.append(str(OWN_MODELS))
    return session


def clean_environ(home: Path) -> dict[str, str]:
    """An environment in which nothing of the developer's AWS or Keyturn settings is seen, and no terminal."""
    foreign = ("AWS_", "KEYTURN_", "COLUMNS", "LINES")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def run_keyturn(
    *arguments: str,
    home: Path,
    check: bool = True,
    environ: dict[str, str] | None = None,
    directory: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    environ, timeout = environ or clean_environ(home), DEADLINE_SECONDS * 4
    if can_fork(environ):
        done = run_forked(arguments, environ, directory, timeout)
    else:
        command = [sys.executable, "-m", *_COMMAND, *arguments]
        done = subprocess.run(
            command, env=environ, cwd=directory, capture_output=True, text=True, timeout=timeout, check=False
        )
    if check:
        done.check_returncode()
    return done


def initialise(data_dir: Path, *options: str) -> dict[str, str]:
    """Make a data directory and return what ``keyturn init`` prints."""
    command = ("init", "--data-dir", str(data_dir), "--output", "json", "--no-profile", *options)
    made: dict[str, str] = json.loads(run_keyturn(*command, home=data_dir.parent).stdout)
    return made


@cache
def _initialised() -> tuple[dict[str, str], dict[str, bytes]]:
    """What ``keyturn init`` prints, and the files that it makes. It takes a second, so that one does for all tests."""
    with TemporaryDirectory() as home:
        data_dir = Path(home) / "data"
        made = initialise(data_dir)
        return made, {path.name: path.read_bytes() for path in data_dir.iterdir()}


def copy_initialised(data_dir: Path) -> dict[str, str]:
    """Do what :func:`initialise` does, at once: all data directories made here have the same keys."""
    made, files = _initialised()
    data_dir.mkdir(mode=0o700)
    for name, content in files.items():
        (data_dir / name).touch(mode=0o600)
        (data_dir / name).write_bytes(content)
    return made


@dataclass
class Credentials:
    """What signs a call."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass
class Account:
    """A further account and its administrator's key."""

    account_id: str
    admin: Credentials


class ServerProcess:
    """One ``keyturn serve``; can be killed and started again on the same data.

    Args:
        home: A folder of its own.
        options: Of ``keyturn serve``.
        database_url: Where the state is kept, if not in the data directory.
        beside: Another server of the same database.
        forked: Whether it is forked from a process that has imported Keyturn; else it is started as users start it.
        preflight: Whether it looks at secrets that rotate without being asked; tests of other things count what
            happens.
    """

    def __init__(
        self,
        home: Path,
        *options: str,
        database_url: str | None = None,
        beside: ServerProcess | None = None,
        forked: bool = True,
        preflight: bool = False,
    ) -> None:
        self.home = home
        self.settings = {"KEYTURN_PREFLIGHT": str(preflight).lower()}
        self.data_dir = home / "data"
        database = ("--database-url", database_url) if database_url else ()
        self.options = (*options, *database)
        if beside is None:
            # Where there are settings already, or a database elsewhere, it is like no other.
            is_own = bool(database) or self.data_dir.exists()
            made = initialise(self.data_dir, *database) if is_own else copy_initialised(self.data_dir)
            self.admin = Credentials(made["access_key_id"], made["secret_access_key"])
            self.account_id: str = made["account_id"]
            self.region: str = made["region"]
        else:
            self.data_dir.mkdir(mode=0o700)
            self.options = (*self.options, "--root-key-file", str(beside.data_dir / "root.key"))
            self.admin, self.account_id, self.region = beside.admin, beside.account_id, beside.region
        self.program: tuple[str, ...] = _COMMAND
        self._is_forked = forked
        self.endpoint_url = ""
        self.port = 0
        self.output: list[str] = []
        self._process: subprocess.Popen[str] | ForkedCommand | None = None
        self._readers: list[threading.Thread] = []
        self._clients: dict[tuple[object, ...], Any] = {}

    def start(self) -> None:
        """Start the server and wait until it says that it is ready."""
        arguments = ["serve", "--data-dir", str(self.data_dir), "--host", "127.0.0.1", "--port", str(self.port)]
        self._process = process = self._begin([*arguments, "--no-profile", *self.options])
        ready = threading.Event()

        def read(stream: Any) -> None:
            for line in stream:
                self.output.append(line)
                if found := _READY.search(line):
                    self.endpoint_url = found.group(1)
                    self.port = int(self.endpoint_url.rpartition(":")[2])
                    ready.set()
            ready.set()

        self._readers = [
            threading.Thread(target=read, args=(stream,), daemon=True) for stream in (process.stdout, process.stderr)
        ]
        for reader in self._readers:
            reader.start()
        if not ready.wait(DEADLINE_SECONDS) or not self.endpoint_url or process.poll() is not None:
            process.kill()
            raise AssertionError(f"keyturn serve did not get ready:\n{self.log()}")

    def _begin(self, arguments: list[str]) -> subprocess.Popen[str] | ForkedCommand:
        environ = {**clean_environ(self.home), **self.settings}
        if self._is_forked and self.program == _COMMAND and can_fork(environ):
            return ForkedCommand(arguments, environ)
        command = [sys.executable, "-m", *self.program, *arguments]
        return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end and return the exit status."""
        process = self._process
        assert process is not None
        if process.poll() is None:
            process.send_signal(number)
        try:
            status = process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"keyturn serve did not stop:\n{self.log()}") from None
        for reader in self._readers:
            reader.join(DEADLINE_SECONDS)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
        self._process = None
        return status

    def kill(self) -> None:
        """End the server as a power cut would, as far as a process can."""
        self.stop(signal.SIGKILL)

    def log(self) -> str:
        """Everything the server has printed."""
        return "".join(self.output)

    def client(self, service: str, credentials: Credentials | None = None, *, region: str = "", **config: Any) -> Any:
        """A boto3 client with the administrator's key, or another's; the same one for the same question."""
        signer = credentials or self.admin
        key = (service, signer.access_key_id, signer.secret_access_key, signer.session_token)
        asked = (*key, region or self.region, self.endpoint_url, repr(sorted(config.items())))
        if asked not in self._clients:
            self._clients[asked] = _session().client(
                service,
                endpoint_url=self.endpoint_url,
                region_name=region or self.region,
                aws_access_key_id=signer.access_key_id,
                aws_secret_access_key=signer.secret_access_key,
                aws_session_token=signer.session_token,
                config=Config(**{"retries": {"total_max_attempts": 1}, "read_timeout": 120, **config}),
            )
        return self._clients[asked]

    def create_account(self, name: str) -> Account:
        """Make another account, as a user would."""
        arguments = ("account", "create", name, "--output", "json")
        made = json.loads(run_keyturn(*arguments, home=self.home, environ=self.environ()).stdout)
        return Account(made["account_id"], Credentials(made["access_key_id"], made["secret_access_key"]))

    def environ(self, credentials: Credentials | None = None) -> dict[str, str]:
        """Environment for a client process: the AWS CLI, Node.js, keyturn itself."""
        signer = credentials or self.admin
        environ = {
            **clean_environ(self.home),
            "AWS_ACCESS_KEY_ID": signer.access_key_id,
            "AWS_SECRET_ACCESS_KEY": signer.secret_access_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
        }
        if signer.session_token:
            environ["AWS_SESSION_TOKEN"] = signer.session_token
        return environ


def wait_until(condition: Callable[[], Any], what: str, server: ServerProcess | None = None) -> Any:
    """Ask again until the condition holds; the server's output is part of the message if it never does."""
    deadline = threading.Event()
    timer = threading.Timer(DEADLINE_SECONDS, deadline.set)
    timer.daemon = True
    timer.start()
    pause_seconds = 0.02
    try:
        while not (result := condition()):
            if deadline.wait(pause_seconds):
                raise AssertionError(f"never happened: {what}\n{server.log() if server else ''}")
            # Asking takes both processors, and what lasts for seconds may be noticed a little later.
            pause_seconds = min(pause_seconds * 1.2, 0.2)
        return result
    finally:
        timer.cancel()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that the tests of one module share."""
    process = ServerProcess(tmp_path_factory.mktemp("keyturn"))
    process.start()
    yield process
    assert process.stop() == 0, process.log()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of the test's own, not yet started, to be stopped and killed at will."""
    process = ServerProcess(tmp_path)
    yield process
    if process._process is not None:
        process.stop()


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "two servers on postgresql"])
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ServerProcess]]:
    """One server on SQLite, one on PostgreSQL, and two that share a PostgreSQL."""
    with ExitStack() as closing:
        url = None
        if request.param != "sqlite":
            url = closing.enter_context(PostgresqlServer.start()).url(driver="postgresql")
        made = [ServerProcess(tmp_path_factory.mktemp("first"), database_url=url)]
        if request.param.startswith("two"):
            made.append(ServerProcess(tmp_path_factory.mktemp("second"), database_url=url, beside=made[0]))
        for server in made:
            server.start()
            closing.callback(_stop, server)
        yield made


def _stop(server: ServerProcess) -> None:
    assert server.stop() == 0, server.log()
