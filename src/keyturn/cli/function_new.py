"""``keyturn function new``: begin a rotation function of one's own, with its tests. The files are ``scaffold/``'s."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from keyturn.client.shown import shown
from keyturn.errors.base import KeyturnError

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLACEHOLDER = "NAME"
_README = "README.md"
_FILES = {
    "target.py": "what is rotated: to be filled in",
    "lambda_function.py": "the four steps; nothing to fill in",
    "test_lambda_function.py": "what every rotation function must do; holds at once",
    "test_target.py": "your target, with the real thing: to be filled in",
    _README: "how to test, package, create and rotate",
}


def new(
    name: Annotated[str, typer.Argument(help="Of the function; a folder of that name is made.", show_default=False)],
    directory: Annotated[Path, typer.Option("--directory", "-d", help="Where to make the folder.")] = Path(),
) -> None:
    """Begin a rotation function of your own, with tests.

    For what none of Keyturn's functions rotates. The four steps are written and tested, safe to repeat and to be cut
    off; left to you are three short functions in target.py: how a new value looks, whether the target accepts a
    value, and how it is set. The tests run at once with pytest, and say what is not written yet.

    The README in the folder goes from there to a secret that rotates. The function runs in Keyturn and in AWS Lambda
    and needs nothing but boto3.
    """
    if not _NAME.fullmatch(name):
        raise KeyturnError(
            f"A function cannot be called {shown(name)}.", "Up to 64 letters, digits, hyphens and underscores will do."
        )
    folder = directory / name
    _make(folder, name)
    typer.echo(f"Made {folder}:\n")
    for file, what in _FILES.items():
        typer.echo(f"  {file:26} {what}")
    typer.echo(f"\nNext: fill in target.py, then: cd {folder} && python -m pytest")


def _make(folder: Path, name: str) -> None:
    scaffold = resources.files("keyturn").joinpath("scaffold")
    try:
        if folder.exists() and any(folder.iterdir()):
            raise KeyturnError(
                f"{folder} is there already, and not empty: it is left as it is.", "Choose another name."
            )
        folder.mkdir(parents=True, exist_ok=True)
        for file in _FILES:
            text = scaffold.joinpath(file).read_text()
            (folder / file).write_text(text.replace(_PLACEHOLDER, name) if file == _README else text)
    except OSError as error:
        raise KeyturnError(
            f"{folder} cannot be made: {error.strerror}.", "Choose another place with --directory."
        ) from error
