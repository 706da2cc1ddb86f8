"""``keyturn function``: what belongs to rotation functions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from keyturn.cli.function_create import create
from keyturn.cli.function_test import put_on_bench
from keyturn.errors.base import KeyturnError
from keyturn.rotators import catalogue
from keyturn.rotators import package as packages

app = typer.Typer(help="Build and manage rotation functions.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="function")


@app.callback()
def _group() -> None:
    """Build and manage rotation functions."""


app.command()(create)
app.command("test")(put_on_bench)


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
    module = strategy.replace("-", "_")
    try:
        content = packages.build(engine, module)
    except ModuleNotFoundError as error:
        raise KeyturnError(
            f"There is no rotation function for {engine} with the strategy {strategy}.",
            f"The engines: {', '.join(catalogue.engines())}; the strategies: single-user, alternating-users.",
        ) from error
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
    typer.echo(f"Handler: {packages.handler_name(engine, module)}", err=True)
