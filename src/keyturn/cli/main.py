"""The ``keyturn`` command: finds the command groups and turns operator errors into messages with hints.

One file per command group; each offers ``register(app)``.
"""

from __future__ import annotations

import importlib
import io
import pkgutil
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

import keyturn
from keyturn import cli
from keyturn.client.shown import shown
from keyturn.errors.base import KeyturnError

_SKIPPED = {"keyturn.cli.main"}

app = typer.Typer(
    name="keyturn",
    help="A secrets manager you run yourself: the AWS Secrets Manager API, with rotation that explains itself.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Rich's boxes leave a screen of 80 columns too little room to show the names of variables in full.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"keyturn {keyturn.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Hold the options that stand before every command."""


def register_commands() -> None:
    """Add every command group to the application; once."""
    for module in pkgutil.iter_modules(cli.__path__, cli.__name__ + "."):
        if module.name not in _SKIPPED:
            register = getattr(importlib.import_module(module.name), "register", None)
            if register is not None:
                register(app)


def print_error(error: KeyturnError) -> None:
    """Say what happened and what to do about it, on standard error."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
    console.print(f"[bold red]error:[/] {escape(shown(error.message))}")
    for hint in error.hints:
        console.print(f"[bold]hint:[/] {escape(shown(hint))}")


def main() -> None:
    """Run the command line and exit with its status.

    0 fine, 1 failed, 2 wrong usage, 3 not known how it ended, 4 waits for what somebody has to grant.
    """
    register_commands()
    for stream in (sys.stdout, sys.stderr):
        # A terminal or a file that cannot have a character is given its number, and the command goes on.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except KeyturnError as error:
        print_error(error)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
