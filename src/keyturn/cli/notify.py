"""``keyturn notify``: try who is told when a rotation fails."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from keyturn.cli.options import DataDir, Output, OutputFormat
from keyturn.client.shown import shown
from keyturn.clock import SystemClock
from keyturn.config import CONFIG_FILE, Settings, load_settings
from keyturn.errors.base import KeyturnError
from keyturn.ids import new_event_id

if TYPE_CHECKING:
    from keyturn.notifiers.base import NamedNotifier

# Of documents printed with --output json.
_FORMAT = "keyturn.notify/1"

app = typer.Typer(help="Try who is told when a rotation fails.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a test message. ``error`` is None if it was taken."""

    name: str
    kind: str
    said: str
    error: KeyturnError | None


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="notify")


@app.callback()
def _group() -> None:
    """Try who is told when a rotation fails."""


@app.command(name="test")
def send_test(
    name: Annotated[str | None, typer.Argument(help="Of one notifier; all of them unless given.")] = None,
    data_dir: DataDir = None,
    output: OutputFormat = Output.TEXT,
) -> None:
    """Send a test message, and say what came back.

    Sends it through each notifier of the setting notify, or through one of them, once. Runs on the server's machine, as
    the server's user and with its settings: it reads the same files. The server may be running or not.

    Exits with 0 if all of them took the message, and with 1 if one did not.
    """
    settings = load_settings({"data_dir": data_dir})
    # Loaded only by commands that need it: `keyturn --help` is quick.
    from keyturn.notifiers.base import open_notifiers  # noqa: PLC0415 - see above

    opened = open_notifiers(settings.notify)
    if not opened:
        raise KeyturnError(
            f"No notifier is set up in {_source(settings)}, nor in KEYTURN_NOTIFY.",
            "The setting notify names some: docs/notifications.md shows how.",
            "A server with another data directory has settings of its own: name it with --data-dir.",
        )
    known = [named.name for named in opened]
    if name is not None and name not in known:
        raise KeyturnError(f"There is no notifier {name!r}.", f"There are: {', '.join(known)}.")
    now = SystemClock().now()
    tried = [_try(settings, named, now) for named in opened if name in (None, named.name)]
    if output is Output.JSON:
        document = {"data_dir": str(settings.data_dir), "settings_file": _file_of(settings)}
        typer.echo(json.dumps({**_document(tried), **document}, indent=2))
    else:
        _print(tried, settings)
    if any(each.error for each in tried):
        raise typer.Exit(1)


def _try(settings: Settings, named: NamedNotifier, now: datetime) -> Tried:
    from keyturn.notifiers.base import NotifierError  # noqa: PLC0415 - as above
    from keyturn.rules.notification import TEST_EVENT, Notification  # noqa: PLC0415 - likewise

    place = (settings.account_id, settings.region)
    notification = Notification(new_event_id(now), TEST_EVENT, now, *place, secret_arn=None)
    document = json.dumps(notification.document(), ensure_ascii=False)
    try:
        said = named.notifier.send(notification.event_id, document, now.timestamp())
    except NotifierError as error:
        return Tried(named.name, named.notifier.kind, "", error)
    finally:
        named.notifier.close()
    return Tried(named.name, named.notifier.kind, said, None)


def _file_of(settings: Settings) -> str | None:
    """Return the file with settings that was read; None if there is none."""
    file = settings.data_dir / CONFIG_FILE
    return str(file) if file.exists() else None


def _source(settings: Settings) -> str:
    return _file_of(settings) or f"{settings.data_dir}, which has no {CONFIG_FILE}"


def _print(tried: list[Tried], settings: Settings) -> None:
    console = Console(highlight=False, emoji=False, soft_wrap=True)
    console.print(f"Settings of {escape(shown(_source(settings)))}; KEYTURN_* variables come before them.")
    for each in tried:
        if each.error is None:
            console.print(
                f"[bold green]ok[/]      {escape(shown(each.name))} ({each.kind}): {escape(shown(each.said))}"
            )
            continue
        said = escape(shown(each.error.message))
        console.print(f"[bold red]failed[/]  {escape(shown(each.name))} ({each.kind}): {said}")
        for hint in each.error.hints:
            console.print(f"        [bold]hint:[/] {escape(shown(hint))}")


def _document(tried: list[Tried]) -> dict[str, object]:
    return {
        "format": _FORMAT,
        "notifiers": [
            {
                "name": each.name,
                "kind": each.kind,
                "taken": each.error is None,
                "said": each.said if each.error is None else each.error.message,
                "hints": list(each.error.hints) if each.error else [],
            }
            for each in tried
        ],
    }
