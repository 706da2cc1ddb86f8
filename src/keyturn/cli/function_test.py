"""``keyturn function test``: put a rotation function on the bench, and print its report card."""

from __future__ import annotations

import json
import secrets as random
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from keyturn.cli.clients import Clients, EndpointUrl, Profile, RegionName, explained
from keyturn.cli.function_card import as_json, print_card
from keyturn.client.function_plan import RUNTIME
from keyturn.config import SandboxChoice
from keyturn.errors.base import KeyturnError
from keyturn.owner_only import create_owner_only

_USER = "app"
_BAR_WIDTH = 12
_TIME_LIMIT_SECONDS = 30
_MEMORY_MB = 256
_INTERRUPTED = 130


class CardFormat(StrEnum):
    """How the report card is printed."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"


def put_on_bench(
    function: Annotated[str, typer.Argument(help="A folder, a .py file, a zip, or the name of a function.")],
    secret: Annotated[
        str | None,
        typer.Option(help="JSON, a file with it, - for standard input, or the name of a secret.", metavar="SECRET"),
    ] = None,
    superuser_secret: Annotated[
        str | None, typer.Option(help="Likewise the superuser secret. [masterarn in the value]", metavar="SECRET")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="Start a database for the test instead: postgresql or mariadb, for instance.")
    ] = None,
    handler: Annotated[str | None, typer.Option(help="MODULE.FUNCTION. [the module that has a lambda_handler]")] = None,
    layer: Annotated[
        list[Path] | None,
        typer.Option(help="Zip or folder with what the function imports; may be repeated."),
    ] = None,
    environment: Annotated[
        list[str] | None, typer.Option("--environment", "-e", help="Variable of the function.", metavar="NAME=VALUE")
    ] = None,
    runtime: Annotated[str, typer.Option(help="Of the function.")] = RUNTIME,
    time_limit: Annotated[
        int | None, typer.Option(help="Of the function, in seconds. [its own, or 30]", min=1, max=900)
    ] = None,
    memory: Annotated[
        int | None, typer.Option(help="Of the function, in MB. [its own, or 256]", min=128, max=10_240)
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Play what matches, contract/* or setSecret/crash-* for instance.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One fault of each kind in each step.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a password of --secret is changed.")] = False,
    clock: Annotated[
        datetime | None, typer.Option(help="What Secrets Manager's clock shows at the beginning, in UTC.")
    ] = None,
    sandbox: Annotated[SandboxChoice, typer.Option(help="How the function is kept apart.")] = SandboxChoice.AUTO,
    junit_file: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML there, too.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every trial.")] = False,
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
    output: Annotated[CardFormat, typer.Option(help="Text for people, JSON or JUnit for programs.")] = CardFormat.TEXT,
) -> None:
    """Try a function: its contract, and what faults leave behind.

    keyturn function test ./my-function --database postgresql

    keyturn function test SecretsManagerMyFunction --secret app/database

    The function runs in its sandbox as in production, against a Keyturn of its own that is thrown away at the end and
    a real database. Each step runs twice, out of order and side by side; then a fault is played at each call and each
    message to the database: the function killed before it and after it, the connection or the answer lost, calls
    throttled and denied, its time up, the database down and silent. After each fault the rotation is repeated as
    Secrets Manager repeats it, and the database is asked which stored version logs in.

    With --secret the password of that user is really changed, some hundred times, and set back at the end: use a user
    of a test database. It is asked first; --yes does without. JSON in an argument can be seen by other users of the
    machine: prefer a file or -. With --database a private server is started and removed.

    The status is 0 if nothing was found, 1 if something was.
    """
    # The server's parts are loaded only by commands that run them.
    from keyturn.bench.card import junit  # noqa: PLC0415 - see above

    _check_writable(junit_file)
    began = time.monotonic()
    clients = _LazyClients(profile, endpoint_url, region)
    source = _source(
        function, clients, handler=handler, layers=layer or [], variables=environment or [], runtime=runtime,
        time_limit=time_limit, memory=memory,
    )  # fmt: skip
    screen = Console(stderr=True, highlight=False, emoji=False)
    if superuser_secret is not None and superuser_secret == secret:
        raise KeyturnError("A secret is not its own superuser secret.", "Leave --superuser-secret out.")
    with ExitStack() as closing:
        closing.enter_context(_one_signal_only())
        value, superuser = closing.enter_context(_secrets(secret, superuser_secret, database, clients))
        if secret is not None and not yes:
            _confirm(value)
        card = _played(
            source, value, superuser, screen, began,
            only=only or [], is_sample=quick, clock=clock, sandbox=sandbox,
        )  # fmt: skip
    if only and not card.results and not card.broken_off:
        raise KeyturnError(
            f"No trial is called {' or '.join(only)}.",
            "A name is GROUP/NAME: --output json shows them; * matches all.",
        )
    if junit_file is not None:
        junit_file.write_text(junit(card))
    if output is CardFormat.JSON:
        typer.echo(as_json(card))
    elif output is CardFormat.JUNIT:
        typer.echo(junit(card), nl=False)
    else:
        print_card(Console(highlight=False, emoji=False), card, is_verbose=verbose)
    raise typer.Exit(0 if card.has_passed else _INTERRUPTED if card.was_interrupted else 1)


def _played(
    source: Any, value: Mapping[str, object], superuser: Mapping[str, object] | None, screen: Console, began: float, *,
    only: list[str], is_sample: bool, clock: datetime | None, sandbox: SandboxChoice,
) -> Any:  # fmt: skip
    from keyturn.bench import trials  # noqa: PLC0415 - see put_on_bench()
    from keyturn.bench.desk import Desk  # noqa: PLC0415 - likewise

    begin_at = clock.replace(tzinfo=UTC) if clock else None
    with (
        _progress(screen) as progress,
        Desk.open(source, value, superuser, begin_at=begin_at, sandbox=sandbox, keep_values=_keep_values) as desk,
    ):
        played = trials.Trials(desk, trials.Choice(only, is_sample=is_sample), progress)
        played.play()
        card = played.card(source.title, time.monotonic() - began)
        if card.was_interrupted:
            screen.print("Ending: the password is set back and the servers are stopped.")
    return replace(card, left=desk.left)


@contextmanager
def _one_signal_only() -> Iterator[None]:
    """Take the first signal to end as Ctrl-C and no notice of others: setting the password back takes its time."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def end(*_: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _keep_values(values: Sequence[Mapping[str, object]]) -> str:
    """Write values that may be in force, for their owner only; return where."""
    path = Path.cwd() / f"keyturn-function-test-{random.token_hex(4)}.json"
    create_owner_only(path, json.dumps(values, indent=2))
    return str(path)


def _check_writable(path: Path | None) -> None:
    """Return if a file can be written, before minutes are spent on what goes into it."""
    if path is None:
        return
    try:
        path.touch()
    except OSError as error:
        raise KeyturnError(
            f"{path} cannot be written: {error.strerror}.", "Choose another place with --junit."
        ) from error


def _confirm(value: Mapping[str, object]) -> None:
    """Ask whether a password may be changed."""
    what = f"the password of {value['username']}" if "username" in value else "what the secret opens"
    where = f" at {value['host']}" if "host" in value else ""
    if not sys.stdin.isatty():
        raise KeyturnError(
            f"This changes {what}{where} many times, and sets it back at the end.", "Say that it may: --yes."
        )
    typer.confirm(f"This changes {what}{where} many times, and sets it back at the end. Go on?", abort=True, err=True)


class _LazyClients:
    """Clients of the server that has the function or the secret; made only if something is asked of it."""

    def __init__(self, profile: str | None, endpoint_url: str | None, region: str | None) -> None:
        self._arguments = (profile, endpoint_url, region)
        self._clients: Clients | None = None

    def __getitem__(self, service: str) -> Any:
        self._clients = self._clients or Clients(*self._arguments)
        return self._clients[service]


def _source(
    function: str, clients: _LazyClients, *, handler: str | None, layers: list[Path], variables: list[str],
    runtime: str, time_limit: int | None, memory: int | None,
) -> Any:  # fmt: skip
    from keyturn.bench import packages  # noqa: PLC0415 - see put_on_bench()
    from keyturn.bench.throwaway import FunctionSource  # noqa: PLC0415 - likewise

    given = dict(_variable(text) for text in variables)
    path = Path(function)
    if path.exists():
        package = packages.read_package(path)
        configuration: Mapping[str, Any] = {}
        layer_zips: list[bytes] = []
    elif "/" in function or path.suffix in (".py", ".zip"):
        raise KeyturnError(f"{function} does not exist.", "Give a folder, a Python file, a zip, or a function's name.")
    else:
        with explained():
            found = clients["lambda"].get_function(FunctionName=function)
            attached = [
                clients["lambda"].get_layer_version_by_arn(Arn=layer["Arn"])
                for layer in found["Configuration"].get("Layers", ())
            ]
        configuration = found["Configuration"]
        package = _downloaded(found["Code"]["Location"])
        layer_zips = [_downloaded(layer["Content"]["Location"]) for layer in attached]
    return FunctionSource(
        title=path.name if path.exists() else function,
        package=package,
        handler=packages.check_handler(
            package, handler or configuration.get("Handler") or packages.find_handler(package)
        ),
        runtime=configuration.get("Runtime", runtime),
        timeout_seconds=time_limit or configuration.get("Timeout", _TIME_LIMIT_SECONDS),
        memory_mb=memory or configuration.get("MemorySize", _MEMORY_MB),
        environment={**configuration.get("Environment", {}).get("Variables", {}), **given},
        layers=(*layer_zips, *(packages.read_layer(layer) for layer in layers)),
    )


def _downloaded(location: str) -> bytes:
    with urllib.request.urlopen(location) as reply:  # noqa: S310 - of the service that was asked
        return bytes(reply.read())


def _variable(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise KeyturnError(f"{text!r} is no variable.", "Write NAME=VALUE.")
    return name, value


@contextmanager
def _secrets(
    secret: str | None, superuser: str | None, database: str | None, clients: _LazyClients
) -> Iterator[tuple[Mapping[str, object], Mapping[str, object] | None]]:
    """Yield the secret's value and the superuser secret's, with a database behind them."""
    if (secret is None) == (database is None):
        raise KeyturnError(
            "Which database?" if secret is None else "Either a secret or a database of the test's own.",
            "--database postgresql starts one for the test; --secret names or holds the credentials of one.",
        )
    if secret is not None:
        value = _value(secret, clients)
        named = superuser or value.get("masterarn")
        yield value, _value(str(named), clients) if named else None
        return
    from keyturn.testing import private_databases  # noqa: PLC0415 - see put_on_bench()

    password = random.token_urlsafe(18)
    with private_databases.start(str(database)) as server:
        server.create_user(_USER, password)
        yield server.secret_value(_USER, password), server.superuser_value()


def _value(given: str, clients: _LazyClients) -> Mapping[str, object]:
    if given == "-":
        text = sys.stdin.read()
    elif given.lstrip().startswith(("{", "[")):
        text = given
    elif Path(given).is_file():
        text = Path(given).read_text()
    elif given.endswith(".json"):
        raise KeyturnError(f"{given} does not exist.", "Give a file with the secret's JSON, or the name of a secret.")
    else:
        text = _stored(given, clients["secretsmanager"])
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        # Without the cause, which holds the text.
        raise KeyturnError(
            "The secret's value is no JSON object.",
            'It looks like this: {"engine": "postgres", "host": "…", "username": "…", "password": "…"}',
        )
    return value


def _stored(name: str, client: Any) -> str:
    """Return a secret's value, unless somebody rotates it meanwhile."""
    with explained():
        if client.describe_secret(SecretId=name).get("RotationEnabled"):
            raise KeyturnError(
                f"The secret {name} rotates: its rotation and the bench would change one password against each other.",
                "Use the secret of a user made for tests, or --database.",
            )
        return str(client.get_secret_value(SecretId=name).get("SecretString", ""))


@contextmanager
def _progress(screen: Console) -> Iterator[Any]:
    """Show how far it is, on a terminal."""
    from keyturn.bench.trials import Progress as Told  # noqa: PLC0415 - see put_on_bench()

    width = max(20, screen.width - _BAR_WIDTH - 20)
    columns = (
        TextColumn(f"{{task.description:{width}.{width}}}"), BarColumn(_BAR_WIDTH), MofNCompleteColumn(),
        TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("Starting a Keyturn to throw away", total=None)

        def begins(title: str, done: int, total: int) -> None:
            progress.update(task, description=title, completed=done, total=total)

        yield Told(begins=begins)
