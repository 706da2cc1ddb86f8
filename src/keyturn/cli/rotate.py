"""``keyturn rotate``: start a rotation and follow it, step by step."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from keyturn.cli.clients import Clients, EndpointUrl, Profile, RegionName, as_given, explained
from keyturn.cli.follow import Ending, Rotation, StepSeen, start_rotation
from keyturn.cli.options import Output, OutputFormat
from keyturn.cli.rotation_text import print_below
from keyturn.client.log_lines import log_event, without_traceback
from keyturn.client.rotation_password import password_of
from keyturn.client.rotation_status import members, moment, status_of
from keyturn.client.shown import shown
from keyturn.errors.base import KeyturnError
from keyturn.rules.invocation_log import is_platform_event

_DENIALS = ("AccessDenied", "is not authorized to perform", "cannot invoke the specified Lambda function")
_DURATION = re.compile(r'(?:\tDuration: |"type":"platform\.report".*"durationMs":)([\d.]+)')


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rotate)


def rotate(
    secret: Annotated[str, typer.Argument(help="Name or ARN of the secret.", show_default=False)],
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
    timeout: Annotated[float, typer.Option(help="Seconds to watch; the rotation itself goes on.")] = 900,
    output: OutputFormat = Output.TEXT,
) -> None:
    """Rotate a secret now and follow it live, step by step.

    Shows the function's log lines, and exits with 1 and the function's own error if an attempt fails; says when the
    next one begins. Exits with 3 if it was not watched to its end, because the time was over or the server went away:
    it goes on by itself then. Needs rotation to be configured already: see aws secretsmanager rotate-secret help.
    """
    clients, options = Clients(profile, endpoint_url, region), as_given(profile, endpoint_url, region)
    why = f"keyturn audit events --denied --since 10m{options}"
    with _saying(why), explained():
        started = start_rotation(clients, secret)
        rotation = Rotation(clients, secret, started, options)
        console = Console(highlight=False, emoji=False, soft_wrap=True, quiet=output is Output.JSON)
        if started.was_off:
            console.print("Rotation of this secret was off: it is on again now.")
        if started.under_way is not None:
            number, begun_at = started.under_way
            console.print(f"Attempt {number}, begun at {moment(begun_at)}, is under way; following it.")
        console.print(f"Rotating [bold]{escape(shown(secret))}[/] to version {escape(shown(started.version_id))}")
        steps, ending = follow(console, rotation, timeout)
        error = ending.error
        if error is not None:
            if started.under_way is not None:
                console.print("That attempt had begun before: what was changed since counts from the next one on.")
            console.print(f"  keyturn rotation show {escape(shown(secret))}{escape(shown(options))}")
        if _is_denial(error or "", *(seen.error or "" for seen in steps)):
            console.print(f"Why: {escape(shown(why))}")
    if output is Output.JSON:
        document = {
            "secret": secret,
            "version_id": started.version_id,
            "succeeded": error is None,
            "error": error,
            "rotation": None if ending.answer is None else members(ending.answer["Rotation"]),
            "password": password_of(ending.answer) if ending.answer else "",
            "steps": [{"step": seen.step, "error": seen.error, "log": seen.lines} for seen in steps],
        }
        typer.echo(json.dumps(document, indent=2))
    if error is not None:
        raise typer.Exit(1)


@contextmanager
def _saying(why: str) -> Iterator[None]:
    """Add to the error of a denied call where to look."""
    try:
        yield
    except KeyturnError as error:
        if not _is_denial(error.message):
            raise
        raise KeyturnError(error.message, *error.hints, f"Why: {why}") from error


def _is_denial(*errors: str) -> bool:
    return any(denial in error for denial in _DENIALS for error in errors)


def follow(console: Console, rotation: Rotation, timeout_seconds: float) -> tuple[list[StepSeen], Ending]:
    """Print a rotation as it goes; return its steps and how it, or its attempt, ended."""
    steps: list[StepSeen] = []
    ending = Ending(None)
    with console.status("createSecret") as status:
        for seen in rotation.follow(timeout_seconds, status.update):
            if isinstance(seen, Ending):
                ending = seen
            else:
                steps.append(seen)
                print_step(console, seen)
    if ending.error is None:
        console.print("[bold green]Rotated.[/]")
    else:
        console.print(f"[bold red]Not rotated:[/] {escape(shown(ending.error))}")
        failed = [seen for seen in steps if seen.error]
        if failed:
            console.print(f"  {failed[-1].step} said: {escape(shown(failed[-1].error))}")
        for line in _outcome(ending, datetime.now(UTC)):
            console.print(escape(line))
    return steps, ending


def _outcome(ending: Ending, now: datetime) -> Iterator[str]:
    """Yield how things stand after a failure: no more than what is known."""
    before, current = ending.current
    if current is not None:
        current = shown(current)
        moved = f"has moved from {shown(before)} to {current}" if before else f"is version {current} now"
        yield f"AWSCURRENT is version {current}, as before." if before == current else f"AWSCURRENT {moved}."
    if ending.answer is None:
        yield "How it goes on, and which version the database accepts, is not known here."
        return
    password = password_of(ending.answer)
    if password:
        yield f"Password: {password}."
    rotation = ending.answer["Rotation"]
    status = status_of(rotation, now)
    if rotation["Kind"] == "resolution":
        yield f"The database was to be asked which version it accepts: {status}"
    else:
        yield f"Now {status}"


def print_step(console: Console, seen: StepSeen) -> None:
    """Print one step: what became of it, how long it took, and what the function logged."""
    mark = "[green]✓[/]" if seen.error is None else "[red]✗[/]"
    console.print(f"{mark} [bold]{seen.step:13}[/] [dim]{_duration(seen.lines)}[/]")
    shown_lines = Counter(_folded(line) for line in seen.lines if not is_platform_event(line))
    for (level, style, *lines), count in shown_lines.items():
        # A function may look at the same host several times in one step, and warn of it each time.
        text = [*lines[:-1], f"{lines[-1]} ({count} times)"] if count > 1 else lines
        for number, line in enumerate(text):
            _print_log_line(console, level if number == 0 else "", line, style)


def _folded(event: str) -> tuple[str, ...]:
    """Return level, style and lines of an event, without its moment and its traceback."""
    message, count = without_traceback(event)
    told = log_event(message)
    folded = [f"(keyturn rotation show -v shows the traceback, {count} lines)"] if count else []
    return (told.level, told.style, *(told.lines or [""]), *folded)


def _duration(lines: list[str]) -> str:
    """Return what the REPORT line says of the time, None of it if there is no such line."""
    found = [match.group(1) for line in lines if (match := _DURATION.search(line))]
    return f"{float(found[-1]):.2f} ms" if found else ""


def _print_log_line(console: Console, level: str, line: str, style: str) -> None:
    beside = f"    {level:7} "
    if console.is_terminal:
        print_below(console, beside, line, style)
    else:
        # Whole, for whoever searches in it.
        console.print(f"[{style}]{escape(beside)}{escape(line)}[/]")
