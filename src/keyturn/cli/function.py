"""``keyturn function``: what belongs to rotation functions. One file per command stands beside this one."""

from __future__ import annotations

import typer

from keyturn.cli.function_create import create
from keyturn.cli.function_new import new
from keyturn.cli.function_package import package

app = typer.Typer(help="Make, package and write rotation functions.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="function")


@app.callback()
def _group() -> None:
    """Make, package and write rotation functions."""


app.command()(create)
app.command()(new)
app.command()(package)
