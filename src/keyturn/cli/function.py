"""``keyturn function``: what belongs to rotation functions. One file per command stands beside this one."""

from __future__ import annotations

import typer

from keyturn.cli.function_create import create
from keyturn.cli.function_new import new
from keyturn.cli.function_package import package
from keyturn.cli.function_test import put_on_bench

app = typer.Typer(help="Make, package, write and test rotation functions.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="function")


@app.callback()
def _group() -> None:
    """Make, package, write and test rotation functions."""


app.command()(create)
app.command()(new)
app.command()(package)
app.command("test")(put_on_bench)
