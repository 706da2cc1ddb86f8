"""``keyturn rotation``: what became of a secret's rotations, step by step, and what to do about one that is stuck."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from keyturn.cli.clients import Clients, EndpointUrl, Profile, RegionName, as_given, explained
from keyturn.cli.follow import Rotation, retry_rotation
from keyturn.cli.rotate import follow
from keyturn.cli.rotation_list import list_rotations, markdown_list, print_list, whole_version_id
from keyturn.cli.rotation_markdown import markdown
from keyturn.cli.rotation_resolving import (
    check_it_can_be_asked,
    labels_of,
    print_labels,
    print_plan,
    print_resolution,
    resolve_rotation,
)
from keyturn.cli.rotation_text import print_next_steps, print_report
from keyturn.client.rotation_report import Report
from keyturn.client.rotation_status import members, status_of
from keyturn.client.shown import shown, shown_json
from keyturn.errors.base import KeyturnError

# Of documents printed with --output json.
_FORMAT = "keyturn.rotation/1"
_UNFINISHED = ("pending", "running", "parked")

app = typer.Typer(help="Look at a secret's rotations, and get one going that is stuck.", no_args_is_help=True)

Secret = Annotated[str, typer.Argument(help="Name or ARN of the secret.", show_default=False)]


class ReportOutput(StrEnum):
    """How one rotation is printed."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


class RotationKind(StrEnum):
    """What a rotation is for."""

    ROTATION = "rotation"
    TEST = "test"
    RESOLUTION = "resolution"


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="rotation")


@app.callback()
def _group() -> None:
    """Look at a secret's rotations, and get one going that is stuck."""


@app.command()
def show(
    secret: Secret,
    version_id: Annotated[
        str | None,
        typer.Option(
            help="That it made, whole or its first eight characters; else the unfinished one, or the last to end."
        ),
    ] = None,
    kind: Annotated[
        RotationKind | None,
        typer.Option(help="Of those of the version; else a rotation, if there is one.", show_default=False),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Every call, every line of the log, whole version ids.")
    ] = False,
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
    output: Annotated[
        ReportOutput, typer.Option(help="Text for people, JSON for programs, Markdown for a ticket.")
    ] = ReportOutput.TEXT,
) -> None:
    """Tell one rotation as a story.

    Its steps, what the function logged, labels that moved, refusals. Begins with where it stands and why, and ends with
    what can be done. Log lines are shown to who may
    logs:GetLogEvents on the function's log group, calls and refusals to who may cloudtrail:LookupEvents. No secret
    value is shown: those that the function has logged are masked.
    """
    clients, options = Clients(profile, endpoint_url, region), as_given(profile, endpoint_url, region)
    with explained(), _rotation_found(clients, secret, options):
        whole = None if version_id is None else whole_version_id(clients, secret, version_id, options)
        asked = {"SecretId": secret, "VersionId": whole, "Kind": None if kind is None else kind.value}
        answer = clients["keyturn"].get_rotation(**{name: value for name, value in asked.items() if value is not None})
    report = Report(answer, datetime.now(UTC), is_verbose=verbose)
    if output is ReportOutput.JSON:
        typer.echo(shown_json(json.dumps({"format": _FORMAT, **report.document()}, indent=2)))
    elif output is ReportOutput.MARKDOWN:
        typer.echo(markdown(report))
    else:
        print_report(_console(), report, options)


@app.command()
def resolve(
    secret: Secret,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to watch; the server itself goes on.")] = 300,
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
) -> None:
    """Bring the labels in line with what the database accepts.

    For a rotation that stopped between database and secret, or a password that was changed by hand. Shows the labels,
    says what each answer would change, and asks before it begins. The rotation function does the asking: ours offer it
    (probeSecret). A rotation that waits is ended if the labels could be brought in line, and goes on waiting if not;
    one that runs is left alone.

    Exits with 1 if the database refuses every version, or could not be asked, and with 3 if that was not known in time.
    """
    clients, options = Clients(profile, endpoint_url, region), as_given(profile, endpoint_url, region)
    console = _console()
    with explained():
        check_it_can_be_asked(clients, secret, options)
        before = labels_of(clients, secret)
        print_labels(console, before)
        print_plan(console, before)
        if not yes and not typer.confirm("Ask the database now?"):
            raise typer.Exit(1)
        answer = resolve_rotation(clients, secret, timeout, console)
        print_resolution(console, answer, before, labels_of(clients, secret))
        if answer["Rotation"]["Status"] == "resolved":
            return
        waiting = clients["keyturn"].get_rotation(SecretId=secret)
    now = datetime.now(UTC)
    if waiting["Rotation"]["Status"] in _UNFINISHED:
        console.print(f"\nThe rotation that waited goes on: {escape(status_of(waiting['Rotation'], now))}")
    # What the database has just said counts, for the rotation that waits.
    told = {**answer, "Rotation": {**answer["Rotation"], "Status": waiting["Rotation"]["Status"]}}
    print_next_steps(console, Report(told, now).next_steps(options))
    raise typer.Exit(1)


@app.command(name="list")
def list_(
    secret: Secret,
    limit: Annotated[int, typer.Option(help="How many at most; the newest.", min=1)] = 20,
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
    output: Annotated[
        ReportOutput, typer.Option(help="Text for people, JSON for programs, Markdown for a ticket.")
    ] = ReportOutput.TEXT,
) -> None:
    """List a secret's rotations, and how each ended.

    Those that go on come first, then what ended last. Version ids are cut to what fits the screen; keyturn rotation
    show takes them so.
    """
    clients, now = Clients(profile, endpoint_url, region), datetime.now(UTC)
    with explained():
        answered = list_rotations(clients, secret, limit)
    if output is ReportOutput.JSON:
        document = {"format": _FORMAT, "secret": secret, "rotations": [members(rotation) for rotation in answered]}
        typer.echo(shown_json(json.dumps(document, indent=2)))
    elif output is ReportOutput.MARKDOWN:
        typer.echo(markdown_list(secret, answered, now))
    else:
        print_list(_console(), answered, now)


@app.command()
def retry(
    secret: Secret,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it, as keyturn rotate does.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to watch; the rotation itself goes on.")] = 900,
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
) -> None:
    """Try the unfinished rotation of a secret again, now.

    It goes on with the same pending version, and has a fresh set of attempts. With --wait it is followed, and the exit
    status is 1 if it fails, and 3 if it was not watched to its end: it goes on by itself then.
    """
    clients, options = Clients(profile, endpoint_url, region), as_given(profile, endpoint_url, region)
    console = _console()
    with explained():
        started = retry_rotation(clients, secret)
        console.print(
            f"Retrying the rotation of [bold]{escape(shown(secret))}[/] to {escape(shown(started.version_id))}"
        )
        error = None
        if wait:
            _, ending = follow(console, Rotation(clients, secret, started, options), timeout)
            error = ending.error
    if error is not None or not wait:
        console.print(f"  keyturn rotation show {escape(shown(secret))}{escape(shown(options))}")
    if error is not None:
        raise typer.Exit(1)


def _console() -> Console:
    return Console(highlight=False, emoji=False, soft_wrap=True)


@contextmanager
def _rotation_found(clients: Clients, secret: str, options: str) -> Iterator[None]:
    """Say what there is to look at instead of a rotation that is not there.

    Raises:
        KeyturnError: There is a secret, and no such rotation.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415 - as boto3, it takes a while to import

    try:
        yield
    except ClientError as error:
        message = error.response.get("Error", {}).get("Message", "")
        if message.startswith("The secret has not been rotated"):
            described = clients["secretsmanager"].describe_secret(SecretId=secret)
            raise KeyturnError(message, _how_to_rotate(secret, described, options)) from error
        if message.startswith("The secret has no rotation to version"):
            hint = f"keyturn rotation list {secret}{options} shows the rotations there are."
            raise KeyturnError(message, hint) from error
        raise


def _how_to_rotate(secret: str, described: Mapping[str, Any], options: str) -> str:
    if described.get("RotationLambdaARN"):
        return f"keyturn rotate {secret}{options} rotates it."
    return f"It has no rotation function: keyturn function create --for {secret}{options} makes one."
