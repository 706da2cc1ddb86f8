"""Bringing labels in line with the database: what there is, what may become of it, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keyturn.cli.clients import Clients
from keyturn.cli.follow import StillUnderWay
from keyturn.client.rotation_status import error_of, status_of
from keyturn.client.shown import shown
from keyturn.errors.base import KeyturnError

_POLL_SECONDS = 0.2
_ENDED = ("resolved", "failed", "abandoned", "cancelled")
_LABELS = ("AWSPENDING", "AWSCURRENT", "AWSPREVIOUS")

Labels = Mapping[str, str]
"""Version ids by staging label: the three that a rotation moves."""


def labels_of(clients: Clients, secret: str) -> Labels:
    """Return where a secret's labels are."""
    stages = clients["secretsmanager"].describe_secret(SecretId=secret).get("VersionIdsToStages", {})
    held = {label: version_id for version_id, labels in stages.items() for label in labels}
    return {label: held[label] for label in _LABELS if label in held}


def print_labels(console: Console, labels: Labels, before: Labels | None = None) -> None:
    """Print which version has which label, and which of them moved if it is known where they were."""
    table = Table("Label", "Version", "", box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for label in _LABELS:
        moved = before is not None and before.get(label) != labels.get(label)
        table.add_row(label, escape(shown(labels.get(label, "–"))), "moved" if moved else "")
    console.print(table)


def check_it_can_be_asked(clients: Clients, secret: str, options: str) -> None:
    """Return if the database can be asked, or if nobody says that it cannot.

    Raises:
        KeyturnError: The secret's function has not offered it.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415 - as boto3, it takes a while to import

    try:
        answer = clients["keyturn"].get_rotation(SecretId=secret)
    except ClientError:
        # It is told by what is asked for, in its own words.
        return
    if not answer.get("CanBeResolved", True):
        raise KeyturnError(
            "The secret's function has not offered to ask the database (probeSecret).",
            f"keyturn rotation show {secret}{options} says which versions the database may have, and how to move the"
            " labels by hand.",
        )


def print_plan(console: Console, labels: Labels) -> None:
    """Print what each answer of the database would change."""
    pending = labels.get("AWSPENDING")
    console.print("\nThe rotation function is to log in with these versions. If the database accepts")
    if pending is not None and pending != labels.get("AWSCURRENT"):
        console.print("  the pending one: AWSCURRENT moves to it")
        console.print("  the current one and not the pending one: AWSPENDING is taken off")
    else:
        console.print("  the current one: nothing changes")
    if "AWSPREVIOUS" in labels:
        console.print("  the previous one only: AWSCURRENT moves back to it")
    console.print("  none of these, but one of a rotation that has lost its label: AWSCURRENT moves to it")
    console.print("  none of them: nothing changes, and it says so")


def resolve_rotation(clients: Clients, secret: str, timeout_seconds: float, console: Console) -> dict[str, Any]:
    """Have the labels brought in line with the database, and return the rotation as it has ended.

    Raises:
        StillUnderWay: The time is over.
    """
    version_id = clients["keyturn"].resolve_rotation(SecretId=secret)["VersionId"]
    deadline = time.monotonic() + timeout_seconds
    said = ""
    with console.status("probeSecret") as status:
        while time.monotonic() < deadline:
            answer: dict[str, Any] = clients["keyturn"].get_rotation(
                SecretId=secret, VersionId=version_id, Kind="resolution"
            )
            if answer["Rotation"]["Status"] in _ENDED:
                return answer
            goes_on = f"probeSecret, {status_of(answer['Rotation'], datetime.now(UTC))}"
            status.update(goes_on)
            if not console.is_terminal and answer["Rotation"]["Status"] == "pending" and goes_on != said:
                # Where nothing moves, a line says that it goes on.
                said = goes_on
                console.print(escape(shown(goes_on)))
            time.sleep(_POLL_SECONDS)
    raise StillUnderWay(
        f"The database has not answered within {timeout_seconds:.0f} seconds; the server goes on asking it.",
        f"keyturn rotation show {secret} shows how far it is.",
    )


def print_resolution(console: Console, answer: Mapping[str, Any], before: Labels, after: Labels) -> None:
    """Print what the database has said, and what it has changed."""
    for entry in answer["Timeline"]:
        if entry["Kind"] == "label":
            console.print(f"\n{escape(shown(entry['Message']))}")
    rotation = answer["Rotation"]
    if rotation["Status"] == "resolved":
        console.print("[bold green]The labels are in line with the database.[/]\n")
    else:
        console.print(f"[bold red]Not resolved:[/] {escape(error_of(rotation) or 'no version is accepted')}\n")
    print_labels(console, after, before)
