"""``keyturn demo``: rotate the password of a real PostgreSQL, and prove that it was rotated.

Everything lives in one directory: a PostgreSQL of its own, Keyturn's data, and what is needed to stop both.
"""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

import psutil
import typer
from rich.console import Console
from rich.table import Table

from keyturn.cli.aws_profile import remove_profile, write_profile
from keyturn.cli.clients import Clients, explained
from keyturn.cli.follow import Rotation, Started
from keyturn.cli.rotate import follow
from keyturn.client.function_parts import parts_of
from keyturn.client.function_plan import RUNTIME, make_plan
from keyturn.config import aws_files, load_settings
from keyturn.errors.base import KeyturnError
from keyturn.testing.postgresql import PostgresqlServer

PROFILE = "keyturn-demo"
_SECRET = "demo/postgresql"  # noqa: S105 - the secret's name
_FUNCTION = "rotate-postgresql"
_USER = "app"
_MARKER = "keyturn-demo"
_DATA = "keyturn"
_POSTGRESQL = "postgresql.json"
_READY_SECONDS = 30
_STOP_SECONDS = 10
_ROTATION_SECONDS = 60
# The same parts that keyturn function create makes.
_MAKING = {
    "role": f"Creating the role [bold]{_FUNCTION}[/]",
    "role policy": "Giving it the permissions AWS's guide lists, for this secret alone",
    "function": f"Creating the rotation function [bold]{_FUNCTION}[/]",
    "permission": "Letting Secrets Manager invoke it (aws lambda add-permission)",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    directory: Annotated[Path, typer.Option(help="Where everything is kept.")] = Path(".demo"),
    stop: Annotated[bool, typer.Option("--stop", help="Stop what the demo left running and remove it.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start the demo's Keyturn again, with the settings there are now.")
    ] = False,
    keep: Annotated[bool, typer.Option(help="Leave the servers running at the end, to try things.")] = True,
) -> None:
    """Watch a real PostgreSQL password rotate.

    Makes servers, a secret, a role, a function and a permission, rotates, and proves it. Needs no root and asks
    nothing. Stop it with keyturn demo --stop; Ctrl-C on the way leaves nothing running.

    A demo that is there already is replaced, with everything in it: keyturn demo --restart keeps it, and --directory
    makes another beside it.

    To try settings, write them into keyturn/keyturn.toml in the demo's directory, or set KEYTURN_* variables, and run
    keyturn demo --restart: the server is started again where it was, and everything in it is kept.
    """
    console = Console(highlight=False, emoji=False, soft_wrap=True)
    directory = directory.absolute()
    if stop:
        stopped = _stop(directory)
        console.print("Stopped; nothing is left running." if stopped else "Nothing was running.")
        return
    if restart:
        server = DemoServer.load(directory)
        if server is None:
            raise KeyturnError(f"There is no demo in {directory}.", "keyturn demo starts one.")
        server = server.restart(directory)
        console.print(f"Keyturn is ready on {server.endpoint_url} again. Its log is {server.log_path}.")
        console.print(f"The console is {server.endpoint_url}/console/.")
        return
    if _take(directory):
        console.print(
            f"The demo that was in {directory} is gone, with its secrets and settings. To keep one: keyturn demo"
            " --restart starts it again as it is, --directory makes another place.\n"
        )
    finished = False
    try:
        _run(console, directory)
        finished = True
    finally:
        if not (finished and keep):
            _stop_servers(directory)


def _run(console: Console, directory: Path) -> None:
    started = time.monotonic()
    with _doing(console, "Starting a private PostgreSQL"):
        postgresql = PostgresqlServer.start()
        postgresql.save(directory / _POSTGRESQL)
    with _doing(console, "Starting Keyturn on an embedded store"):
        server = DemoServer.start(directory)
    clients = Clients(PROFILE, server.endpoint_url, None)
    old_password = secrets.token_urlsafe(16)
    with explained():
        with _doing(console, f"Creating the database user [bold]{_USER}[/]"):
            postgresql.create_user(_USER, old_password)
        with _doing(console, f"Storing its password as the secret [bold]{_SECRET}[/]"):
            # The packaged PostgreSQL is built without TLS; saying so spares the function asking for it.
            value = {**postgresql.secret_value(_USER, old_password), "ssl": False}
            secret = clients["secretsmanager"].create_secret(Name=_SECRET, SecretString=json.dumps(value))
        plan = make_plan(clients, _SECRET, name=_FUNCTION, runtime=RUNTIME)
        for part in parts_of(clients, plan, grants_superuser_read=False):
            with _doing(console, _MAKING[part.kind]):
                part.make()
        before = _versions(clients)
        console.print("Switching rotation on, every 30 days, the first one now (aws secretsmanager rotate-secret)")
        rotation_started = datetime.now(UTC)
        version_id = clients["secretsmanager"].rotate_secret(
            SecretId=_SECRET, RotationLambdaARN=plan.function_arn, RotationRules={"AutomaticallyAfterDays": 30}
        )["VersionId"]
        console.print("")
        rotation = Rotation(clients, _SECRET, Started(version_id, rotation_started))
        _, ending = follow(console, rotation, _ROTATION_SECONDS)
        if ending.error is not None:
            raise KeyturnError(f"The demo's rotation failed: {ending.error}", f"The server's log is {server.log_path}.")
        _print_versions(console, before, _versions(clients))
        new_value = json.loads(clients["secretsmanager"].get_secret_value(SecretId=secret["ARN"])["SecretString"])
    _prove(console, postgresql, old_password, new_value["password"])
    console.print(f"\nDone in {time.monotonic() - started:.0f} seconds. Both servers are still running; try:\n")
    _print_what_next(console, directory, server.endpoint_url)


def _versions(clients: Clients) -> dict[str, list[str]]:
    described: dict[str, list[str]] = clients["secretsmanager"].describe_secret(SecretId=_SECRET)["VersionIdsToStages"]
    return described


def _print_versions(console: Console, before: dict[str, list[str]], after: dict[str, list[str]]) -> None:
    table = Table("Version", "Staging labels before", "Staging labels after", title="\nThe secret's versions")
    for version_id in [*before, *(version for version in after if version not in before)]:
        table.add_row(version_id, ", ".join(before.get(version_id, ["–"])), ", ".join(after.get(version_id, ["–"])))
    console.print(table)


def _prove(console: Console, postgresql: PostgresqlServer, old_password: str, new_password: str) -> None:
    if not postgresql.accepts(_USER, new_password):
        raise KeyturnError("PostgreSQL refuses the new password.")
    console.print(f"[green]✓[/] PostgreSQL lets {_USER} in with the new password (the one the secret holds)")
    if postgresql.accepts(_USER, old_password):
        raise KeyturnError("PostgreSQL still accepts the old password.")
    console.print(f"[green]✓[/] PostgreSQL refuses {_USER} with the old password")


def _print_what_next(console: Console, directory: Path, endpoint_url: str) -> None:
    programs = Path(sys.executable).parent
    if programs.is_relative_to(Path.cwd()):
        programs = programs.relative_to(Path.cwd())
    aws = f"{programs / 'aws'} --profile {PROFILE}" if (programs / "aws").is_file() else f"aws --profile {PROFILE}"
    keyturn = programs / "keyturn"
    lines = [
        f"{aws} secretsmanager get-secret-value --secret-id {_SECRET}",
        f"{aws} secretsmanager describe-secret --secret-id {_SECRET}",
        f"{aws} logs filter-log-events --log-group-name /aws/lambda/{_FUNCTION}",
        f"{aws} cloudtrail lookup-events --max-results 10",
        f"{keyturn} rotate {_SECRET} --profile {PROFILE}",
        f"{keyturn} doctor {_SECRET} --profile {PROFILE}",
    ]
    for line in lines:
        console.print(f"  {line}")
    console.print(f"\nOr look at it in a browser:  {endpoint_url}/console/")
    console.print(f"Sign in with the access key in {aws_files()[1]}, under [{PROFILE}].", markup=False)
    stop = "make demo-stop" if directory == Path.cwd() / ".demo" else f"{keyturn} demo --stop --directory {directory}"
    console.print(f"\nStop it all with:  {stop}")
    console.print("The next demo replaces this one, with all that is in it; keyturn demo --restart keeps it.")


@dataclass(frozen=True, slots=True)
class DemoServer:
    """The demo's Keyturn, a process that outlives the command. ``created_at`` tells it from another of the same pid."""

    pid: int
    created_at: float
    endpoint_url: str
    log_path: str

    @classmethod
    def start(cls, directory: Path) -> Self:
        """Initialise a data directory, start a server on a free port and write the AWS profile.

        Raises:
            KeyturnError: The server did not get ready.
        """
        from keyturn.app import initialise  # noqa: PLC0415 - stopping the demo does not need the server's parts

        data_dir = directory / _DATA
        shutil.rmtree(data_dir, ignore_errors=True)
        settings = load_settings({"data_dir": data_dir})
        administrator = initialise(settings)
        server = cls._serve(directory, 0)
        write_profile(PROFILE, settings.region, server.endpoint_url, administrator)
        return server

    def restart(self, directory: Path) -> Self:
        """End the process and start another on the same data and port, with the settings there are now.

        Raises:
            KeyturnError: It did not get ready; its log says why, and it can be started again.
        """
        # A mistake in the settings is told before the server is gone.
        load_settings({"data_dir": directory / _DATA})
        self.stop()
        return self._serve(directory, urlsplit(self.endpoint_url).port or 0)

    @classmethod
    def _serve(cls, directory: Path, port: int) -> Self:
        log_path = directory / "keyturn.log"
        # What the server before has said stays.
        begins_at = log_path.stat().st_size if log_path.exists() else 0
        command = [sys.executable, "-m", "keyturn.cli.main", "serve", "--data-dir", str(directory / _DATA)]
        command += ["--port", str(port), "--no-profile"]
        with log_path.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own program
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        created_at = psutil.Process(process.pid).create_time()
        server = cls(process.pid, created_at, f"http://127.0.0.1:{port}" if port else "", str(log_path))
        server._save(directory)
        server = cls(process.pid, created_at, _endpoint_url(process, log_path, begins_at), str(log_path))
        server._save(directory)
        return server

    @classmethod
    def load(cls, directory: Path) -> Self | None:
        """Return the server that was started here, or None."""
        path = directory / "keyturn.json"
        return cls(**json.loads(path.read_text())) if path.exists() else None

    def _save(self, directory: Path) -> None:
        (directory / "keyturn.json").write_text(json.dumps(asdict(self)))

    def stop(self) -> bool:
        """End the process; return whether it was running."""
        try:
            process = psutil.Process(self.pid)
            if process.create_time() != self.created_at:
                return False
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_SECONDS)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait(_STOP_SECONDS)
        except psutil.NoSuchProcess:
            return False
        return True


def _endpoint_url(process: subprocess.Popen[bytes], log_path: Path, begins_at: int) -> str:
    def lines() -> list[str]:
        return log_path.read_bytes()[begins_at:].decode(errors="replace").splitlines()

    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in lines():
            if " ready on " in line:
                return line.partition(" ready on ")[2].split()[0]
        time.sleep(0.05)
    raise KeyturnError("Keyturn did not start.", f"Its log is {log_path}:", *lines()[-5:])


def _take(directory: Path) -> bool:
    """Make the directory, after what an earlier demo left in it is gone; return whether there was one.

    Raises:
        KeyturnError: The directory holds something else.
    """
    was_taken = (directory / _MARKER).exists()
    _stop(directory)
    if directory.exists() and any(directory.iterdir()):
        raise KeyturnError(f"{directory} is not empty, and not a demo's.", "Choose another with --directory.")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / _MARKER).touch()
    return was_taken


def _stop(directory: Path) -> bool:
    """Stop both servers and remove what they wrote; return whether anything was running."""
    # Only what a demo has made is ever removed.
    if not (directory / _MARKER).exists():
        return False
    running = _stop_servers(directory)
    shutil.rmtree(directory, ignore_errors=True)
    return running


def _stop_servers(directory: Path) -> bool:
    running = False
    server = DemoServer.load(directory)
    if server is not None:
        running = server.stop()
        remove_profile(PROFILE)
    saved = directory / _POSTGRESQL
    if saved.exists():
        postgresql = PostgresqlServer.load(saved)
        running = postgresql.is_running() or running
        postgresql.stop()
    return running


@contextmanager
def _doing(console: Console, what: str) -> Iterator[None]:
    started = time.monotonic()
    with console.status(what):
        yield
    console.print(f"[green]✓[/] {what} [dim]({time.monotonic() - started:.1f} s)[/]")
