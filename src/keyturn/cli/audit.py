"""``keyturn audit``: look at the audit trail, explain a refusal in it, and prove that it is what was written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from keyturn.cli.audit_events import EventFilter, find_events, follow_events, newest_denial
from keyturn.cli.clients import Clients, EndpointUrl, Profile, RegionName, as_given, explained
from keyturn.cli.denials import print_denial
from keyturn.cli.event_lines import EventLines
from keyturn.cli.options import DatabaseUrl, DataDir, Output, OutputFormat, RootKeyFile
from keyturn.client.shown import shown, shown_json
from keyturn.config import load_settings
from keyturn.doctor.refused_call import explain_event
from keyturn.errors.base import KeyturnError
from keyturn.rules.audit_anchor import EVIDENCE_FILE
from keyturn.rules.audit_chain import Position
from keyturn.rules.audit_proof import Fault, FaultKind
from keyturn.rules.audit_report import Report

# Of documents printed with --output json.
_FORMAT = "keyturn.audit/1"

app = typer.Typer(help="Look at the audit trail, and verify it.", no_args_is_help=True)

HeadPositions = Annotated[
    list[str] | None,
    typer.Option(
        "--head",
        help="A record that was there, as keyturn audit head printed it. Can be repeated.",
        metavar="SEQ:LINK",
    ),
]
Files = Annotated[
    list[Path] | None,
    typer.Option(
        "--file",
        help="A file of the json-lines sink, to be verified with the database. Can be repeated, oldest first.",
    ),
]


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="audit")


@app.callback()
def _group() -> None:
    """Look at the audit trail, and verify it."""


@app.command()
def verify(
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    root_key_file: RootKeyFile = None,
    head: HeadPositions = None,
    file: Files = None,
    output: OutputFormat = Output.TEXT,
) -> None:
    """Prove that no audit record was removed, changed, added or moved.

    Goes along the whole chain, and compares it with its anchors, with heads that you have kept elsewhere (--head) and
    with files that a sink has written (--file). Needs the database and the root key, so it runs on the server's
    machine; the server may be running. Nothing is changed.

    Exits with 0 if all of it is as it was written, and with 1 if something is not, or if that could not be found out.
    """
    settings = load_settings({"data_dir": data_dir, "database_url": database_url, "root_key_file": root_key_file})
    heads = _heads(head or [])
    # The server's parts are loaded only by commands that need them: `keyturn --help` is quick.
    from keyturn.app import open_trail  # noqa: PLC0415 - see above

    with open_trail(settings) as trail, _progress(quiet=output is Output.JSON) as tell:
        report = trail.verify(heads, file or [], tell)
    if output is Output.JSON:
        typer.echo(json.dumps(_document(report), indent=2))
    else:
        _print(report, settings.data_dir)
    if report.faults:
        raise typer.Exit(1)


@app.command(name="head")
def head_(
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    root_key_file: RootKeyFile = None,
    output: OutputFormat = Output.TEXT,
) -> None:
    """Print the newest audit record's number and link.

    Keep it where this machine's administrators cannot reach. Later, keyturn audit verify --head tells whether
    everything up to that record is still there.
    """
    settings = load_settings({"data_dir": data_dir, "database_url": database_url, "root_key_file": root_key_file})
    from keyturn.app import open_trail  # noqa: PLC0415 - as above

    with open_trail(settings) as trail:
        newest = trail.head()
    if newest is None:
        raise KeyturnError("There is no audit record yet.", "Each call leaves one: make a call and ask again.")
    if output is Output.JSON:
        typer.echo(json.dumps({"format": _FORMAT, "sequence": newest.sequence, "link": newest.link.hex()}))
    else:
        typer.echo(str(newest))


@app.command()
def events(
    event_name: Annotated[str | None, typer.Option(help="For instance GetSecretValue.")] = None,
    username: Annotated[
        str | None, typer.Option("--username", "--principal", help="User, or session of a role (a function's name).")
    ] = None,
    secret: Annotated[str | None, typer.Option(help="Name or ARN of a secret; or any resource's ARN.")] = None,
    event_id: Annotated[str | None, typer.Option(help="One event.")] = None,
    denied: Annotated[
        bool, typer.Option("--denied", help="Only what the policies did not allow; with --since it is quick.")
    ] = False,
    since: Annotated[str | None, typer.Option(help="How long ago (30m, 12h, 7d), or a date and time.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most; the newest.", min=1)] = 50,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what happens, until Ctrl-C.")] = False,
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
    output: OutputFormat = Output.TEXT,
) -> None:
    """List what happened, newest first.

    Calls, allowed and denied, rotations and deletions: when, which, who, the outcome, and what it is about. Below a
    denied one stands the command that explains it. Asks the server, like aws cloudtrail lookup-events; --follow does
    every 2 seconds, and leaves out LookupEvents unless --event-name asks for it. With --output json each event is a
    CloudTrail record.
    """
    clients = Clients(profile, endpoint_url, region)
    with explained():
        wanted = EventFilter.of(clients, event_name, username, secret, event_id, since, denied=denied)
        if follow:
            lines = EventLines(as_given(profile, endpoint_url, region))
            for event in follow_events(clients, wanted):
                typer.echo(shown_json(json.dumps(event)) if output is Output.JSON else "\n".join(lines.of(event)))
            return
        found = find_events(clients, wanted, limit)
    if output is Output.JSON:
        typer.echo(shown_json(json.dumps(found, indent=2)))
        return
    lines = EventLines(as_given(profile, endpoint_url, region), found)
    for event in found:
        typer.echo("\n".join(lines.of(event)))
    if not found:
        typer.echo("No event was found.")


@app.command()
def explain(
    event_id: Annotated[
        str | None, typer.Argument(help="Of keyturn audit events, or of aws cloudtrail lookup-events.")
    ] = None,
    last: Annotated[bool, typer.Option("--last", help="The newest denied event, in place of an id.")] = False,
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
    output: OutputFormat = Output.TEXT,
) -> None:
    """Say why a call was refused, and the least that would allow it.

    Shows who asked for what, the policies that took part, the statement that decided or what kept a statement from
    applying, and the smallest statement that would allow the call, with the command that adds it. Needs
    cloudtrail:LookupEvents and sts:DecodeAuthorizationMessage.

    keyturn audit events --denied lists calls that were refused.
    """
    if (event_id is None) is not last:
        raise typer.BadParameter("Name one event, or say --last.", param_hint="EVENT_ID")
    clients = Clients(profile, endpoint_url, region)
    with explained():
        denial = explain_event(clients, event_id or newest_denial(clients))
    if output is Output.JSON:
        typer.echo(shown_json(json.dumps(denial.document(), indent=2)))
    else:
        console = Console(highlight=False, emoji=False, soft_wrap=True)
        print_denial(console, denial, as_given(profile, endpoint_url, region))


def _heads(texts: Sequence[str]) -> list[Position]:
    try:
        return [Position.parse(text) for text in texts]
    except ValueError as error:
        raise KeyturnError(f"--head: {error}", "keyturn audit head prints one.") from error


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Any]:
    """Show how far it is, where somebody is looking and it takes a while."""
    console = Console(stderr=True, emoji=False)
    console.quiet = quiet or not console.is_terminal
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("Verifying records", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print(report: Report, data_dir: Path) -> None:
    console = Console(highlight=False, emoji=False, soft_wrap=True)
    for note in report.notes:
        console.print(f"note: {escape(shown(note))}")
    if report.older:
        console.print(f"note: {report.older} records are older than the chain; nothing can be said about them.")
    if not report.faults:
        console.print(_summary(report))
        return
    for fault in report.faults:
        console.print(f"[bold red]{fault.kind}:[/] {escape(shown(fault.message))}")
    for hint in _hints(report.faults, data_dir):
        console.print(f"[bold]hint:[/] {escape(shown(hint))}")


def _summary(report: Report) -> str:
    if not report.records:
        return "There is no audit record yet." if not report.newest.sequence else "All records were deleted when due."
    first, last = report.newest.sequence - report.records + 1, report.newest.sequence
    known = f"; of records known from elsewhere {len(report.known)} are among them" if report.known else ""
    files = f"; {report.file_records} records of files are the same" if report.file_records else ""
    return f"[bold green]Verified.[/] Records {first} to {last} are what was written{known}{files}."


def _hints(faults: Iterable[Fault], data_dir: Path) -> list[str]:
    kinds = {fault.kind for fault in faults if not fault.in_file}
    if not kinds:
        return ["The file was changed, or it is not whole: the database verifies, and has what was written."]
    hints = []
    if FaultKind.ROLLED_BACK in kinds:
        evidence = data_dir / EVIDENCE_FILE
        hints.append("If you restored a backup yourself, what happened since then is gone: look for it in your sinks.")
        if evidence.exists():
            hints.append(f"When that is settled, remove {evidence}, in which the server has kept what it knew.")
    if kinds - {FaultKind.ROLLED_BACK}:
        hints.append("Somebody wrote to the database past Keyturn. Keep a copy of it before you do anything else.")
        hints.append("What a sink was sent before that is as it was: compare with keyturn audit verify --file.")
    return hints


def _document(report: Report) -> dict[str, object]:
    return {
        "format": _FORMAT,
        "verified": not report.faults,
        "checkpoint": {"sequence": report.checkpoint.sequence, "link": report.checkpoint.link.hex()},
        "newest": {"sequence": report.newest.sequence, "link": report.newest.link.hex()},
        "records": report.records,
        "older_records": report.older,
        "index_blocks": report.blocks,
        "file_records": report.file_records,
        "known": [{"sequence": known.position.sequence, "when": known.when} for known in report.known],
        "notes": report.notes,
        "faults": [
            {"kind": str(fault.kind), "sequence": fault.sequence, "message": fault.message} for fault in report.faults
        ],
    }
