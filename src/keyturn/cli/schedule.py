"""``keyturn schedule``: when secrets rotate next, why then, and what a schedule means before it is used."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from typer.core import TyperGroup

from keyturn.cli.clients import Clients, EndpointUrl, Profile, RegionName, explained
from keyturn.cli.moments import read_utc
from keyturn.cli.options import Output, OutputFormat
from keyturn.client.shown import shown_json
from keyturn.errors.base import KeyturnError
from keyturn.rules.schedule import PlannedState

# Of documents printed with --output json.
_FORMAT = "keyturn.schedule/1"
# A table that nobody looks at is as wide as it needs to be.
_UNSEEN_WIDTH = 240


class _ListByDefault(TyperGroup):
    """``keyturn schedule --within 7d`` means ``keyturn schedule list --within 7d``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # Typer's own kind of context
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(help="Show when secrets rotate next, and why then.", cls=_ListByDefault)

From = Annotated[str | None, typer.Option("--from", help="From this moment on: a date, or a date and time, in UTC.")]
To = Annotated[str | None, typer.Option("--to", help="Up to this moment, likewise.")]
Within = Annotated[str | None, typer.Option(help="Up to so long from now, or from --from: 12h, 30d.")]
NamePrefix = Annotated[str | None, typer.Option(help="Only secrets whose names begin so.")]
Function = Annotated[str | None, typer.Option(help="Only what this function rotates: its ARN.")]


class By(StrEnum):
    """What a histogram counts by."""

    HOUR = "hour"
    MINUTE = "minute"


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="schedule")


@app.callback()
def _group() -> None:
    """Show when secrets rotate next, and why then.

    Without a command it lists the next rotations, like keyturn schedule list.
    """


@app.command()
def preview(
    expression: Annotated[
        str, typer.Argument(help="Days (30), rate(12 hours) or cron(0 16 1,15 * ? *).", show_default=False)
    ],
    duration: Annotated[str | None, typer.Option(help="Length of the window in hours: 3h.")] = None,
    count: Annotated[int, typer.Option(help="How many windows.", min=1, max=400)] = 10,
    begin: Annotated[
        str | None, typer.Option("--from", help="As if it had rotated then, in UTC. Now if left out.")
    ] = None,
    output: OutputFormat = Output.TEXT,
) -> None:
    """Show what a schedule means before it is used.

    Lists the next rotation windows in UTC and in local time, says how far they are apart and what RotateSecret would
    refuse, in which case it exits with 1. Needs no server.
    """
    from keyturn.cli.schedule_preview import print_preview  # noqa: PLC0415 - botocore is loaded only if it is needed
    from keyturn.client import schedule_preview  # noqa: PLC0415 - likewise
    from keyturn.errors.secretsmanager import InvalidParameterException  # noqa: PLC0415 - likewise

    begin_at = datetime.now(UTC) if begin is None else read_utc(begin, "--from")
    members = schedule_preview.read_rules(expression, duration)
    try:
        seen = schedule_preview.preview(members, begin_at, count)
    except InvalidParameterException as error:
        if output is Output.JSON:
            refused = {"format": _FORMAT, "rotation_rules": members, "accepted": False, "reason": error.message}
            typer.echo(shown_json(json.dumps(refused, indent=2)))
            raise typer.Exit(1) from error
        raise schedule_preview.refusal(error, expression) from error
    if output is Output.JSON:
        typer.echo(shown_json(json.dumps({"format": _FORMAT, **seen.document()}, indent=2)))
    else:
        print_preview(_console(), seen)


@app.command(name="list")
def list_(
    begin: From = None,
    end: To = None,
    within: Within = None,
    name_prefix: NamePrefix = None,
    function: Function = None,
    state: Annotated[
        list[PlannedState] | None,
        typer.Option(help="Only secrets in this state; several times for several.", show_default=False),
    ] = None,
    late: Annotated[
        bool, typer.Option("--late", help="Only what should have rotated: its moment or a whole window has passed.")
    ] = False,
    why: Annotated[bool, typer.Option("--why", help="Say why each is planned for then.")] = False,
    limit: Annotated[int, typer.Option(help="How many at most; the earliest.", min=1)] = 100,
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
    output: OutputFormat = Output.TEXT,
) -> None:
    """List when secrets rotate next, earliest first.

    Shows where each secret stands, the moment that was chosen in UTC and in local time, the window it lies in, and the
    rule. AWS shows the end of the window only (NextRotationDate). Secrets whose rotation is under way come first:
    running, or pending until the next attempt. Parked is one that is out of attempts until its next window. Behind the
    planned stand those that are rotated by hand only (unplanned) and those whose rotation is off.
    """
    from keyturn.cli import planned, planned_views  # noqa: PLC0415 - as above

    clients, now = Clients(profile, endpoint_url, region), datetime.now(UTC)
    wanted = planned.Wanted.of(
        begin, end, within, name_prefix, function, now, late=late, states=[each.value for each in state or ()]
    )
    with explained():
        found = list(islice(planned.find_planned(clients, wanted, now), limit + 1))
    shown_ones = found[:limit]
    if output is Output.JSON:
        document = {"format": _FORMAT, "planned": [rotation.document(now) for rotation in shown_ones]}
        typer.echo(shown_json(json.dumps({**document, "more": len(found) > limit}, indent=2)))
        return
    console = _console()
    if not found:
        console.print(
            "Nothing is late." if late else "There is no such secret." if state else "No rotation is planned."
        )
    elif why:
        planned_views.print_reasons(console, shown_ones, now)
    else:
        planned_views.print_table(console, shown_ones, now)
    if len(found) > limit:
        console.print(f"There are more than these {limit}: --limit shows more of them, --within fewer.")


@app.command()
def calendar(
    month: Annotated[str | None, typer.Option(help="2026-12; the current one if left out.")] = None,
    name_prefix: NamePrefix = None,
    function: Function = None,
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
    output: OutputFormat = Output.TEXT,
) -> None:
    """Show a month with how many secrets rotate next on each day.

    Each counts once, at its next rotation: what follows that one is planned when it has ended. Busy days are shaded.
    Days are those of UTC.
    """
    from keyturn.cli import planned, planned_views  # noqa: PLC0415 - as above

    clients, now = Clients(profile, endpoint_url, region), datetime.now(UTC)
    first = _month(month, now)
    following = (first + timedelta(days=31)).replace(day=1)
    wanted = planned.Wanted.of(first.isoformat(), following.isoformat(), None, name_prefix, function, now)
    with explained():
        per_day = Counter(at.date() for at, _ in planned.planned_moments(planned.find_planned(clients, wanted, now)))
        behind = None
        if not per_day:
            later = planned.Wanted.of(following.isoformat(), None, None, name_prefix, function, now)
            moments = (at.date() for at, _ in planned.planned_moments(planned.find_planned(clients, later, now)))
            behind = next(moments, None)
    if output is Output.JSON:
        days = {day.isoformat(): count for day, count in sorted(per_day.items())}
        typer.echo(json.dumps({"format": _FORMAT, "month": f"{first:%Y-%m}", "planned": days}, indent=2))
    else:
        planned_views.print_calendar(_console(), per_day, first, behind)


@app.command()
def histogram(
    by: Annotated[By, typer.Option(help="By hour of the day, or by minute of the hour.")] = By.HOUR,
    begin: From = None,
    end: To = None,
    within: Within = None,
    name_prefix: NamePrefix = None,
    function: Function = None,
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
    output: OutputFormat = Output.TEXT,
) -> None:
    """Draw how next rotations are spread over the day or hour.

    Each secret counts once, at its next rotation. --from 2026-12-24 --within 1d looks at one day, and
    --from 2026-12-24T14:00 --within 1h --by minute at one hour. Hours are those of UTC.
    """
    from keyturn.cli import planned, planned_views  # noqa: PLC0415 - as above

    clients, now = Clients(profile, endpoint_url, region), datetime.now(UTC)
    wanted = planned.Wanted.of(begin, end, within, name_prefix, function, now)
    with explained():
        moments = [at for at, _ in planned.planned_moments(planned.find_planned(clients, wanted, now))]
    if output is Output.JSON:
        counts = Counter(moment.minute if by is By.MINUTE else moment.hour for moment in moments)
        spread = [counts[slot] for slot in range(60 if by is By.MINUTE else 24)]
        typer.echo(json.dumps({"format": _FORMAT, "by": by, "planned": spread}, indent=2))
    else:
        planned_views.print_histogram(_console(), moments, by_minute=by is By.MINUTE)


@app.command()
def ics(
    file: Annotated[Path | None, typer.Option(help="Where to write it; to standard output if left out.")] = None,
    begin: From = None,
    end: To = None,
    within: Within = None,
    name_prefix: NamePrefix = None,
    function: Function = None,
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
) -> None:
    """Print the next rotations as a calendar feed (iCalendar).

    One event for each secret, at the moment that was chosen; when it is planned anew, the event moves. Holds names and
    ARNs of secrets, never their values.
    """
    from keyturn.cli import calendar_feed, planned  # noqa: PLC0415 - as above

    clients, now = Clients(profile, endpoint_url, region), datetime.now(UTC)
    wanted = planned.Wanted.of(begin, end, within, name_prefix, function, now)
    with explained():
        content = calendar_feed.feed(planned.find_planned(clients, wanted, now), now)
    if file is None:
        typer.echo(content, nl=False)
        return
    try:
        file.write_bytes(content)
    except OSError as error:
        raise KeyturnError(f"{file} cannot be written: {error.strerror}") from error


def _console() -> Console:
    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        # COLUMNS, if it is set.
        console.width = shutil.get_terminal_size((_UNSEEN_WIDTH, 0)).columns
    return console


def _month(text: str | None, now: datetime) -> date:
    if text is None:
        return now.date().replace(day=1)
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError as error:
        raise KeyturnError(f"--month {text} is no month.", "Say 2026-12.") from error
