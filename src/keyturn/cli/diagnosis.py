"""What the commands that diagnose have in common: who is asked, and their statuses.

0 nothing is wrong, 1 something is, 3 it could not be told, 4 wrong usage or no such thing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from keyturn.cli.clients import Clients, explained
from keyturn.errors.base import KeyturnError

_HIGHEST_PORT = 65535
_HOST = re.compile(r"[\w.:\-\[\]]+")


class UsageError(KeyturnError):
    """The command was given options that do not go together."""

    exit_status = 4


class NotToldError(KeyturnError):
    """No diagnosis could be made."""

    exit_status = 3


# What Typer raises for every wrong usage has no public name; the one of a wrong value is a kind of it.
_WRONG_USAGE: Any = typer.BadParameter.__base__


class DiagnosisGroup(TyperGroup):
    """Commands whose wrong usage has the status 4."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # Typer's own kind of context
        """Run a command."""
        try:
            return super().invoke(ctx)
        except _WRONG_USAGE as error:
            error.exit_code = UsageError.exit_status
            raise


def clients_for(profile: str | None, endpoint_url: str | None, region: str | None) -> Clients:
    """Return the clients that the options mean.

    Raises:
        UsageError: They mean none.
    """
    try:
        return Clients(profile, endpoint_url, region)
    except KeyturnError as error:
        raise UsageError(error.message, *error.hints) from error


def endpoint_of(clients: Clients) -> str | None:
    """Return the address of the server, None if it is AWS's own."""
    address = str(clients["secretsmanager"].meta.endpoint_url)
    return None if ".amazonaws.com" in address else address


@contextmanager
def told_apart() -> Iterator[None]:
    """Give a diagnosis that could not be made the status 3: 1 says that something is broken."""
    try:
        with explained():
            yield
    except KeyturnError as error:
        if error.exit_status == KeyturnError.exit_status:
            raise NotToldError(error.message, *error.hints) from error
        raise


def address_in(text: str, name: str) -> tuple[str, int]:
    """Return host and port of ``NAME:PORT``, or of a URL that has both.

    Raises:
        UsageError: It is none.
    """
    _, is_url, rest = text.rpartition("://")
    place = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2] if is_url else text
    host, _, port = place.rpartition(":")
    if not _HOST.fullmatch(host) or not port.isdecimal() or not 0 < int(port[:6]) <= _HIGHEST_PORT:
        # What is in a URL may be a password.
        told = f"The URL given as {name}" if is_url else f"{name} {text}"
        raise UsageError(f"{told} is no NAME:PORT.", "Say db.example.com:5432.")
    return host, int(port)
