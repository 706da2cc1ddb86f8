"""The rotations of a secret as a table that fits the screen, or in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape

from keyturn.cli.clients import Clients
from keyturn.cli.rotation_markdown import code, table
from keyturn.cli.rotation_text import print_below
from keyturn.client.rotation_status import ENDED_BY_OTHERS, Json, duration, error_of, status_of
from keyturn.client.shown import shown
from keyturn.errors.base import KeyturnError

_STYLES = {"succeeded": "green", "resolved": "green", "pending": "bold", "running": "bold"}
_NAMES = ("began (UTC)", "version", "rotation", "took")
# The least that stands for a version; a secret has a hundred of them.
_LEAST_CHARACTERS = 8
_WHOLE_ID = 32
_NEVER = datetime.max.replace(tzinfo=UTC)
_NONE = "The secret has not been rotated."


def list_rotations(clients: Clients, secret: str, limit: int | None = None) -> list[dict[str, Any]]:
    """Return a secret's rotations, those first that have not ended, then by their end: so many of the newest."""
    found: list[dict[str, Any]] = []
    for page in clients["keyturn"].get_paginator("list_rotations").paginate(SecretId=secret):
        found += page["Rotations"]
        if limit is not None and len(found) >= limit:
            break
    # A question that was asked later may have ended before.
    return sorted(found[:limit], key=lambda one: one.get("EndedAt", _NEVER), reverse=True)


def whole_version_id(clients: Clients, secret: str, begun: str, options: str) -> str:
    """Return the id of the version that begins so and was rotated to, as lists and timelines show it.

    Args:
        clients: Of the server.
        secret: Name or ARN.
        begun: At least eight characters; a whole id is taken as it is.
        options: Of the server, for the hint.

    Raises:
        KeyturnError: There is none, or more than one.
    """
    begun = begun.removesuffix("…").lower() if len(begun) < _WHOLE_ID else begun
    if len(begun) >= _WHOLE_ID:
        return begun
    hint = f"keyturn rotation list {secret}{options} shows the rotations there are."
    if len(begun) < _LEAST_CHARACTERS:
        raise KeyturnError(f"{begun} is too short for a version id: say at least its first eight characters.", hint)
    found = sorted({str(one["VersionId"]) for one in list_rotations(clients, secret)})
    matching = [version_id for version_id in found if version_id.lower().startswith(begun)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise KeyturnError(f"Several versions begin with {begun}: {', '.join(matching)}.", "Say more of it.")
    raise KeyturnError(f"The secret has no rotation to a version that begins with {begun}.", hint)


def print_list(console: Console, rotations: Sequence[Json], now: datetime) -> None:
    """Print the table; below a rotation that failed, or has yet to succeed, stands why."""
    if not rotations:
        console.print(_NONE)
        return
    rows = [_cells(rotation, now, is_wide=console.width >= _width(rotations, now)) for rotation in rotations]
    widths = [max(map(len, column)) for column in zip(_NAMES, *rows, strict=True)]
    console.print(f"[dim]{_line(_NAMES, widths)}[/]")
    for rotation, cells in zip(rotations, rows, strict=True):
        style = _STYLES.get(rotation["Status"], "red")
        console.print(f"[{style}]{escape(_line(cells, widths))}[/]")
        for why in _why(rotation, now):
            print_below(console, "  ", why, "dim")


def markdown_list(secret: str, rotations: Sequence[Json], now: datetime) -> str:
    """Return the table in Markdown."""
    lines = [f"## Rotations of {code(shown(secret))}", ""]
    rows = [
        [
            *(code(cell) if cell else "" for cell in _cells(rotation, now, is_wide=True)),
            "<br>".join(map(code, _why(rotation, now))),
        ]
        for rotation in rotations
    ]
    return "\n".join([*lines, *(table([*_NAMES, "why"], rows) if rows else [_NONE]), ""])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _cells(rotation: Json, now: datetime, *, is_wide: bool) -> tuple[str, ...]:
    began, ended_at = rotation["RequestedAt"].astimezone(UTC), rotation.get("EndedAt")
    version_id, kind = shown(rotation["VersionId"]), rotation["Kind"]
    status, _, _ = status_of(rotation, now).partition(":")
    status = rotation["Status"] if rotation["Status"] in ENDED_BY_OTHERS else status
    return (
        f"{began:%Y-%m-%d %H:%M:%S}",
        version_id if is_wide or len(version_id) <= _LEAST_CHARACTERS else f"{version_id[:_LEAST_CHARACTERS]}…",
        status if kind == "rotation" else f"{kind} {status}",
        "" if ended_at is None else duration(ended_at - rotation["RequestedAt"]),
    )


def _width(rotations: Sequence[Json], now: datetime) -> int:
    """Return how wide the table is with whole version ids."""
    rows = [_cells(rotation, now, is_wide=True) for rotation in rotations]
    return sum(max(map(len, column)) + 2 for column in zip(_NAMES, *rows, strict=True))


def _why(rotation: Json, now: datetime) -> Iterator[str]:
    _, _, goes_on = status_of(rotation, now).partition(": ")
    if goes_on:
        yield goes_on
    error = error_of(rotation)
    if error:
        cause = shown(rotation.get("Cause", ""))
        yield error if cause in error else f"{cause}: {error}"
