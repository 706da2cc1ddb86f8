"""A private MariaDB server for tests: no root, no configuration, nothing left behind.

The server's programs are the machine's. The server listens on a free loopback port and nowhere else, knows clients by
address and not by name, and keeps its data in a new folder below the system's temporary one. If this process is root's,
an unprivileged user of the machine runs it. ``with MariadbServer.start() as server:``.
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
from typing import Any, Self

import psutil

from keyturn.errors.base import KeyturnError
from keyturn.rotators.engines.mysql_family import hashes
from keyturn.rotators.engines.mysql_family.accounts import quoted
from keyturn.rotators.engines.mysql_family.driver import Ed25519

from .private_server import HOST, Owner, end, free_port, write_certificate

SUPERUSER = "root"

_START_ATTEMPTS = 5
_START_SECONDS = 60
_POLL_SECONDS = 0.02
_LOG_FILE = "server.log"
_WRONG_PASSWORD = 1045

# Data that nobody will miss: durability and room cost time only.
_SETTINGS: Mapping[str, str] = {
    "bind_address": HOST,
    "skip_name_resolve": "ON",
    "skip_log_bin": "",
    "debug_no_sync": "ON",
    "innodb_flush_method": "nosync",
    "innodb_flush_log_at_trx_commit": "0",
    "innodb_fast_shutdown": "2",
    "innodb_buffer_pool_size": "8M",
    "innodb_log_file_size": "4M",
    "pid_file": "mariadb.pid",
    "plugin_load_add": "auth_ed25519",
}


@dataclass(frozen=True, slots=True)
class MariadbServer:
    """A running server.

    Attributes:
        directory: Holds data, log and certificate; removed by :meth:`stop`.
        port: On the loopback interface.
        superuser_password: Of the user ``root``.
    """

    directory: Path
    port: int
    superuser_password: str = field(repr=False)

    @classmethod
    def start(cls, *, settings: Mapping[str, str] | None = None, tls: bool = False) -> Self:
        """Start a server and return when it takes connections.

        Args:
            settings: Further server options, by name.
            tls: Offer TLS with a new self-signed certificate for ``localhost``; see :attr:`certificate_path`.

        Raises:
            KeyturnError: There are no server programs, or the server does not start; with its own reason.
        """
        owner = Owner.of_this_process("mysql")
        directory = Path(tempfile.mkdtemp(prefix="keyturn-mariadb-"))
        try:
            owner.own(directory)
            password = secrets.token_hex(16)
            _initialise(owner, directory, password)
            own_settings = _offer_tls(owner, directory / "data") if tls else {}
            port = _start_on_free_port(owner, directory, {**_SETTINGS, **own_settings, **(settings or {})})
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        return cls(directory, port, password)

    @property
    def log_path(self) -> Path:
        """The server's log."""
        return self.directory / _LOG_FILE

    @property
    def certificate_path(self) -> Path:
        """The self-signed certificate, if the server was started with TLS."""
        return self.directory / "data" / "server.crt"

    def is_running(self) -> bool:
        """Tell whether the server's process lives."""
        return _process(self.directory) is not None

    def run(
        self, statement: str, *, username: str = SUPERUSER, password: str | None = None, database: str = ""
    ) -> list[list[Any]]:
        """Log in, run one statement, return its rows.

        Raises:
            pymysql.err.MySQLError: The server refused; the driver's own error.
        """
        import pymysql  # noqa: PLC0415 - starting and stopping need no driver

        with (
            pymysql.connect(
                host=HOST,
                port=self.port,
                user=username,
                password=(self.superuser_password if password is None else password).encode(),
                database=database or None,
                autocommit=True,
                ssl_disabled=True,
                auth_plugin_map={"client_ed25519": Ed25519},
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return [list(row) for row in cursor.fetchall()]

    def create_user(self, username: str, password: str) -> None:
        """Create a user who may log in from everywhere and has no other right."""
        self.run(f"CREATE USER {quoted(username)}@'%' IDENTIFIED BY PASSWORD '{hashes.native(password)}'")

    def secret_value(self, username: str, password: str) -> dict[str, object]:
        """Return the JSON of a secret for this user, as AWS's rotation functions want it."""
        return {"engine": "mariadb", "host": HOST, "port": self.port, "username": username, "password": password}

    def superuser_value(self) -> dict[str, object]:
        """Return the JSON of a superuser secret for this server."""
        return self.secret_value(SUPERUSER, self.superuser_password)

    def accepts(self, username: str, password: str) -> bool:
        """Tell whether the server lets this user in; False only if it refuses the password."""
        import pymysql  # noqa: PLC0415 - as above

        try:
            self.run("SELECT 1", username=username, password=password)
        except pymysql.err.OperationalError as error:
            if error.args[0] == _WRONG_PASSWORD:
                return False
            raise
        return True

    def stop(self) -> None:
        """Stop the server and remove everything it wrote. Does nothing if both have happened.

        Raises:
            KeyturnError: The server's process does not end.
        """
        if process := _process(self.directory):
            end(process, "MariaDB", signal.SIGTERM, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _process(directory: Path) -> psutil.Process | None:
    """Return the server's process, or None if it has ended."""
    data = directory / "data"
    try:
        process = psutil.Process(int((data / "mariadb.pid").read_text()))
        # A number that another process has got since must not be signalled: the server works in its data folder.
        return process if Path(process.cwd()) == data else None
    except (OSError, ValueError, psutil.Error):
        return None


def _program(name: str) -> str:
    # An ordinary user's PATH does not have the folder of servers.
    if found := shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/libexec:/usr/local/sbin"):
        return found
    raise KeyturnError("No MariaDB server programs were found.", "Install Debian's package mariadb-server.")


def _initialise(owner: Owner, directory: Path, password: str) -> None:
    done = owner.run(
        _program("mariadb-install-db"), "--no-defaults", f"--datadir={directory / 'data'}", "--skip-test-db",
        "--skip-name-resolve", "--auth-root-authentication-method=normal",
    )  # fmt: skip
    if done.returncode != 0:
        raise KeyturnError(f"mariadb-install-db failed: {done.stdout.strip()[-2000:]}")
    # One statement on each line; run at every start.
    (directory / "init.sql").write_text(
        "DELETE FROM mysql.global_priv WHERE User IN ('', 'root');\nFLUSH PRIVILEGES;\n"  # noqa: S608 - ours
        f"CREATE USER {SUPERUSER}@'%' IDENTIFIED BY PASSWORD '{hashes.native(password)}';\n"
        f"GRANT ALL PRIVILEGES ON *.* TO {SUPERUSER}@'%' WITH GRANT OPTION;\n"
    )
    owner.own(directory / "init.sql")


def _offer_tls(owner: Owner, data: Path) -> dict[str, str]:
    write_certificate(owner, data)
    return {"ssl_cert": str(data / "server.crt"), "ssl_key": str(data / "server.key")}


def _start_on_free_port(owner: Owner, directory: Path, settings: Mapping[str, str]) -> int:
    for _ in range(_START_ATTEMPTS):
        port = free_port()
        if _start(owner, directory, {**settings, "port": str(port)}, port):
            (directory / "init.sql").unlink()
            return port
        # Between asking for a free port and using it another process may take it; only then another attempt helps.
        reason = (directory / _LOG_FILE).read_text()
        if "Bind on TCP/IP port" not in reason:
            break
    raise KeyturnError(f"MariaDB does not start: {reason.strip()[-2000:]}")


def _start(owner: Owner, directory: Path, settings: Mapping[str, str], port: int) -> bool:
    """Start the server as nobody's child, and return whether it has come up."""
    log_path = directory / _LOG_FILE
    log_path.unlink(missing_ok=True)
    options = [f"--{name}={value}" if value else f"--{name}" for name, value in settings.items()]
    owner.run(
        "setsid", "--fork", _program("mariadbd"), "--no-defaults", f"--datadir={directory / 'data'}",
        f"--socket={directory / 'socket'}", f"--log-error={log_path}", f"--init-file={directory / 'init.sql'}",
        *options,
    )  # fmt: skip
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), _START_SECONDS) as opened:
            # Whoever else may listen there: only our server has written its number.
            return bool(opened.recv(1)) and _process(directory) is not None
        if log_path.exists() and "[ERROR] Aborting" in log_path.read_text():
            return False
        time.sleep(_POLL_SECONDS)
    return False
