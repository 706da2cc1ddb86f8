"""``keyturn doctor``: why does this secret not rotate, and what exactly is to be changed?"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from keyturn.cli.clients import Clients, EndpointUrl, Profile, RegionName, as_given, explained
from keyturn.cli.diagnosis import DiagnosisGroup, UsageError, address_in, clients_for, endpoint_of, told_apart
from keyturn.cli.doctor_fix import apply_fix
from keyturn.cli.doctor_text import print_all, print_causes, print_report
from keyturn.cli.moments import read_span, read_utc
from keyturn.cli.options import Output, OutputFormat
from keyturn.client.shown import shown_json
from keyturn.clock import SystemClock
from keyturn.doctor.asking import AskByBoto3
from keyturn.doctor.catalogue import all_checks
from keyturn.doctor.collect import Note, collect
from keyturn.doctor.facts import Facts, Kind
from keyturn.doctor.formats import all_documents, document, junit, sarif
from keyturn.doctor.model import Report, Verdict
from keyturn.doctor.own_policy import reading_policy
from keyturn.doctor.pages import markdown
from keyturn.doctor.runner import NoSuchSecret, examine, no_such_secret
from keyturn.doctor.saved import Saved
from keyturn.doctor.subject import Options
from keyturn.errors.base import KeyturnError

_AT_ONCE = 4
# IAM's quota, without white space.
_INLINE_CHARACTERS = 2048
_OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
_STATUSES = {Verdict.BROKEN: 1, Verdict.INCONCLUSIVE: 3, Verdict.AT_RISK: 0, Verdict.HEALTHY: 0}
_RISK_STATUS = 2


class Format(StrEnum):
    """How a diagnosis is printed."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    SARIF = "sarif"


class FailOn(StrEnum):
    """From what verdict on the status is not 0."""

    BROKEN = "broken"
    RISK = "risk"


class _SecretByDefault(DiagnosisGroup):
    """``keyturn doctor SECRET`` means ``keyturn doctor examine SECRET``."""

    default = "examine"

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # Typer's own kind of context
        is_help = bool(args) and args[0] in ctx.help_option_names
        if args and not is_help and args[0] not in self.commands:
            args = [self.default, *args]
        return super().parse_args(ctx, args)


_HELP = """Say why a secret does not rotate, and what to change.

It only reads, on Keyturn and in an AWS account alike:

\b
  keyturn doctor svc/db                     look at one secret
  keyturn doctor --all                      at every one that has rotation
  keyturn doctor svc/db --fix ID            apply a remedy, then look again
  keyturn doctor svc/db --save facts.json   collect here, and
  keyturn doctor --from facts.json          diagnose elsewhere

keyturn doctor examine --help shows all options."""

app = typer.Typer(
    help=_HELP,
    cls=_SecretByDefault,
    no_args_is_help=True,
)


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="doctor")


Secret = Annotated[str | None, typer.Argument(help="Name or ARN of the secret.", show_default=False)]


@app.command(name="examine")
def examine_(
    secret: Secret = None,
    every: Annotated[bool, typer.Option("--all", help="Every secret that has rotation, the worst first.")] = False,
    output: Annotated[Format, typer.Option(help="Text for people; JSON, JUnit, SARIF for programs.")] = Format.TEXT,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell every check, not only what is wrong.")] = False,
    since: Annotated[
        str | None,
        typer.Option(help="Read log and trail from then on: 12h, 7d, or a moment in UTC. [last good rotation]"),
    ] = None,
    read_value: Annotated[
        bool, typer.Option("--read-value", help="Read the secret's value, too; nothing secret of it is kept or shown.")
    ] = False,
    database: Annotated[
        str | None, typer.Option("--db-host", help="NAME:PORT of the database, in place of the value's.")
    ] = None,
    preflight: Annotated[
        bool,
        typer.Option(
            "--preflight",
            help="Look from inside the function's sandbox, too: import, TLS, logins; changes nothing (Keyturn only).",
        ),
    ] = False,
    fix: Annotated[str | None, typer.Option(help="Apply the remedy of this finding, then look again.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --fix changes something.")] = False,
    save: Annotated[
        Path | None, typer.Option(help="Write what was collected to this file; no secret value is in it.")
    ] = None,
    load: Annotated[Path | None, typer.Option("--from", help="Diagnose what --save has written elsewhere.")] = None,
    fail_on: Annotated[FailOn, typer.Option(help="Whether a mere risk has a status of its own, 2.")] = FailOn.BROKEN,
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
) -> None:
    """Say why a secret does not rotate, and what to change.

    It only reads, on Keyturn and in an AWS account alike. Statuses: 0 nothing is broken, 1 broken, 2 a risk (with
    --fail-on risk), 3 it could not be told, 4 no such secret or wrong usage.
    """
    _check_usage(secret, every=every, fix=fix, save=save, load=load)
    where = as_given(profile, endpoint_url, region)
    options = Options(
        read_value,
        None if since is None else _since(since),
        None if database is None else address_in(database, "--db-host"),
        is_one_of_many=every,
        preflight=preflight,
    )
    console = Console(highlight=False, emoji=False)
    clients = clients_for(profile, endpoint_url, region)
    with told_apart():
        reports = _examined(load) if load is not None else _look(clients, secret, options, save)
    _print(console, reports, output, verbose=verbose, options=where, is_table=every or len(reports) > 1)
    if fix is not None:
        with explained():
            look_again = partial(_look, clients, secret, options, None)
            reports = [apply_fix(console, clients, reports[0], fix, yes=yes, look_again=look_again, options=where)]
    raise typer.Exit(_status(reports, fail_on))


def _examined(load: Path) -> list[Report]:
    """Diagnose what a file holds, whoever wrote it."""
    saved = Saved.read(load)
    try:
        return [examine(case, saved.endpoint) for case in saved.cases()]
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError) as error:
        raise KeyturnError(
            f"{load} holds answers that no service gives ({type(error).__name__}).",
            "keyturn doctor SECRET --save FILE writes facts that can be read.",
        ) from error


def _check_usage(secret: str | None, *, every: bool, fix: str | None, save: Path | None, load: Path | None) -> None:
    if load is not None:
        if secret or every or fix or save:
            raise UsageError("--from stands alone: the file says which secrets it is about.")
        return
    if bool(secret) is every:
        raise UsageError("Name one secret, or say --all.", "keyturn doctor --help shows how.")
    if fix and every:
        raise UsageError("--fix mends one secret at a time: name it.")


def _since(text: str) -> datetime:
    span = read_span(text)
    try:
        moment = read_utc(text, "--since") if span is None else SystemClock().now() - span
    except KeyturnError as error:
        raise UsageError(error.message, "Or say how long ago: 12h, 7d.", *error.hints) from error
    if moment < _OLDEST:
        raise UsageError(f"--since {text} is before there was a log.", "Say 12h, 7d or 2026-12-24.")
    return moment


def _look(clients: Clients, secret: str | None, options: Options, save: Path | None) -> list[Report]:
    """Collect and examine: one secret, or all that have rotation."""
    now = SystemClock().now()
    facts = Facts(AskByBoto3(clients))
    endpoint = endpoint_of(clients)
    if options.preflight and endpoint is None:
        raise UsageError("--preflight is Keyturn's: AWS lets nobody into a function's sandbox.")
    options = replace(options, may_be_keyturn=endpoint is not None)
    with _progress() as note:
        secret_ids = [secret] if secret is not None else _with_rotation(clients)

        def look_at(secret_id: str) -> Report | None:
            try:
                return examine(collect(facts, secret_id, now, options, note), endpoint)
            except NoSuchSecret:
                # Of many, one may have been deleted since they were listed.
                if secret is not None:
                    raise
                return None

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="secret") as pool:
            looked_at = zip(secret_ids, pool.map(look_at, secret_ids), strict=True)
            found = [(secret_id, report) for secret_id, report in looked_at if report is not None]
    if save is not None:
        Saved(facts, tuple(secret_id for secret_id, _ in found), now, options, endpoint).write(save)
    return [report for _, report in found]


def _with_rotation(clients: Clients) -> list[str]:
    pages = clients["secretsmanager"].get_paginator("list_secrets").paginate()
    return [
        entry["ARN"]
        for page in pages
        for entry in page["SecretList"]
        if entry.get("RotationLambdaARN") or entry.get("RotationEnabled")
    ]


def _may_be_keyturn(clients: Clients) -> bool:
    """Whether it is not AWS that would be asked; a policy is printed without a region, too."""
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - it takes long, and `keyturn --help` need not

    with suppress(BotoCoreError):
        return endpoint_of(clients) is not None
    return False


@contextmanager
def _progress() -> Iterator[Note]:
    """Show on a terminal what is being looked at."""
    console = Console(stderr=True, highlight=False, emoji=False)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("Looking at the secret …") as status:
        yield lambda what: status.update(f"Looking at {what} …")


def _print(
    console: Console, reports: Sequence[Report], output: Format, *, verbose: bool, options: str, is_table: bool
) -> None:
    match output:
        case Format.JSON:
            told = all_documents(reports) if is_table else document(reports[0])
            print(shown_json(json.dumps(told, indent=2, default=str)))
        case Format.JUNIT:
            print(junit(reports))
        case Format.SARIF:
            print(shown_json(json.dumps(sarif(reports), indent=2, default=str)))
        case Format.TEXT if is_table:
            print_all(console, reports)
        case Format.TEXT:
            print_report(console, reports[0], verbose=verbose, options=options)


def _status(reports: Sequence[Report], fail_on: FailOn) -> int:
    statuses = {_STATUSES[report.verdict] for report in reports}
    for status in (1, 3):
        if status in statuses:
            return status
    is_at_risk = any(report.verdict is Verdict.AT_RISK for report in reports)
    return _RISK_STATUS if is_at_risk and fail_on is FailOn.RISK else 0


@app.command()
def explain(
    cause_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Of a cause; all of them are listed without it.")
    ] = None,
    output: OutputFormat = Output.TEXT,
) -> None:
    """Print the catalogue's page on a cause.

    What people see, how it is decided, what to change.
    """
    console = Console(highlight=False, emoji=False)
    causes = [check.cause for check in all_checks()]
    chosen = [cause for cause in causes if cause_id in (None, cause.id)]
    if not chosen:
        near = get_close_matches(str(cause_id), [cause.id for cause in causes], n=3)
        hint = f"Near it: {', '.join(near)}." if near else "keyturn doctor explain lists them."
        raise UsageError(f"There is no cause {cause_id} in the catalogue.", hint)
    if output is Output.JSON:
        print(shown_json(json.dumps([asdict(cause) for cause in chosen], indent=2)))
    elif cause_id is None:
        print_causes(console, chosen)
    else:
        from rich.markdown import Markdown  # noqa: PLC0415 - it takes a while, and `keyturn --help` need not

        console.print(Markdown(markdown(chosen[0])))


@app.command()
def policy(
    secret: Secret = None,
    read_value: Annotated[bool, typer.Option("--read-value", help="With what --read-value needs.")] = False,
    every: Annotated[bool, typer.Option("--all", help="With what --all needs.")] = False,
    preflight: Annotated[bool, typer.Option("--preflight", help="With what --preflight needs.")] = False,
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
) -> None:
    """Print the least policy with which it sees everything.

    No action in it changes anything. It is cut to a secret, if one is named.
    """
    case = None
    clients = Clients(profile, endpoint_url, region)
    if secret is not None:
        with explained():
            case = collect(Facts(AskByBoto3(clients)), secret, SystemClock().now())
            if case.described.kind is Kind.GONE:
                raise no_such_secret(case)
    told = reading_policy(
        case,
        read_value=read_value,
        every=every,
        preflight=preflight,
        may_be_keyturn=_may_be_keyturn(clients),
    )
    print(shown_json(json.dumps(told, indent=2)))
    characters = len(json.dumps(told, separators=(",", ":")))
    if characters > _INLINE_CHARACTERS:
        print(
            f"hint: {characters:,} characters, of which a user's inline policies have {_INLINE_CHARACTERS:,} together:"
            " make it a managed policy (aws iam create-policy), and attach that.",
            file=sys.stderr,
        )
