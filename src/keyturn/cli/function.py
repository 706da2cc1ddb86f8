"""``keyturn function``: what belongs to rotation functions."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Annotated

import typer

from keyturn.errors.base import KeyturnError
from keyturn.rotators import package as packages

app = typer.Typer(help="Build and manage rotation functions.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="function")


@app.callback()
def _group() -> None:
    """Build and manage rotation functions."""


@app.command()
def package(
    engine: Annotated[str, typer.Argument(help="Database engine, for instance postgresql.")],
    strategy: Annotated[str, typer.Option(help="Rotation strategy: single-user or alternating-users.")] = "single-user",
    file: Annotated[
        Path | None, typer.Option("--file", "-o", help="Where to write; standard output if left out.")
    ] = None,
) -> None:
    """Write the deployment package of a rotation function.

    It is a zip file for Keyturn's Lambda and for AWS's alike. The handler's name is printed on standard error: pass it
    to create-function as --handler.
    """
    content = _built(engine, strategy)
    if file is not None:
        try:
            file.write_bytes(content)
        except OSError as error:
            raise KeyturnError(
                f"{file} cannot be written: {error.strerror}.", "Choose another place with --file."
            ) from error
    elif sys.stdout.isatty():
        raise KeyturnError("A zip file is not for a terminal.", "Give --file NAME, or redirect standard output.")
    else:
        sys.stdout.buffer.write(content)
    typer.echo(f"Handler: {packages.handler_name(engine, strategy.replace('-', '_'))}", err=True)
    if needs := packages.runs_on(content):
        typer.echo(f"Runs on: {needs}. The driver has compiled parts, which are this machine's.", err=True)


def _built(engine: str, strategy: str) -> bytes:
    try:
        return packages.build(engine, strategy.replace("-", "_"))
    except PackageNotFoundError as error:
        wanted = packages.extra_with_driver(engine) or error.name
        raise KeyturnError(
            f"The rotation function for {engine} needs {error.name}, which is not installed.",
            f"Install it beside Keyturn, and try again: pip install '{wanted}'",
        ) from error
    except ModuleNotFoundError as error:
        raise KeyturnError(
            f"There is no rotation function for {engine} with the strategy {strategy}.",
            "Try: postgresql, mariadb, mysql, mongodb, oracle or db2, with single-user or alternating-users.",
        ) from error
