"""``keyturn function create``: what AWS does when it makes the rotation function for you.

Everything is asked of the public API by ordinary clients, so the caller's own permissions decide.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from keyturn.cli.clients import Clients, EndpointUrl, Profile, RegionName, as_given, explained
from keyturn.cli.follow import Rotation, look_up, start_rotation
from keyturn.cli.function_own import own_code
from keyturn.cli.function_report import Report, in_words
from keyturn.cli.options import Output, OutputFormat
from keyturn.cli.rotate import follow
from keyturn.client.function_grant import missing_statements
from keyturn.client.function_parts import Found, Part, parts_of
from keyturn.client.function_plan import RUNTIME, Plan, is_scheduled_so, make_plan
from keyturn.client.schedule_preview import read_rules
from keyturn.errors.base import KeyturnError
from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.rules.schedule import parse_rotation_rules

WAITS_FOR_A_GRANT = 4
"""Exit status: all is made, and somebody has to grant something before rotation is switched on."""

_DAYS = "30"
_FAILED = ("failed", "parked")
_UNFINISHED = ("pending", "running")


def create(
    secret: Annotated[str, typer.Option("--for", help="Name or ARN of the secret.", metavar="SECRET")],
    superuser_secret: Annotated[
        str | None,
        typer.Option(help="Name or ARN of a superuser's secret: two users take turns. [masterarn in the value]"),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(help="single-user, single-user-by-superuser or alternating-users. [what suits the secret]"),
    ] = None,
    grant_superuser_read: Annotated[
        bool, typer.Option("--grant-superuser-read", help="Let the function's role read the superuser secret.")
    ] = False,
    schedule: Annotated[
        str | None, typer.Option(help="Days, or rate() or cron(): see keyturn schedule preview. [30]", metavar="RULE")
    ] = None,
    rotate_now: Annotated[bool, typer.Option(help="Rotate at once, or in the first window of the schedule.")] = True,
    name: Annotated[
        str | None, typer.Option(help="Of the function and of its role. [SecretsManager-NAME_OF_THE_SECRET]")
    ] = None,
    zip_file: Annotated[
        Path | None, typer.Option(help="Package of a rotation function of your own; with --handler.")
    ] = None,
    handler: Annotated[
        str | None, typer.Option(help="Of your own function: lambda_function.lambda_handler, for instance.")
    ] = None,
    runtime: Annotated[str, typer.Option(help="Of the function.")] = RUNTIME,
    environment: Annotated[
        list[str] | None, typer.Option("--environment", "-e", help="Variable of the function.", metavar="NAME=VALUE")
    ] = None,
    subnet: Annotated[
        list[str] | None,
        typer.Option(help="Subnet that the function is to run in; may be repeated.", metavar="SUBNET_ID"),
    ] = None,
    security_group: Annotated[
        list[str] | None,
        typer.Option(help="Security group of the function in these subnets; may be repeated.", metavar="GROUP_ID"),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow the rotation that begins at once.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be made, and make nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before the secret's value is changed.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to watch; the rotation itself goes on.")] = 900,
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
    output: OutputFormat = Output.TEXT,
) -> None:
    """Make a secret's rotation function and all that it needs.

    keyturn function create --for app/database

    Reads the secret. Its key engine says which function it takes; with a superuser secret, given here or named by
    masterarn in the value, two users take turns, unless --strategy says otherwise. Makes the execution role with a
    policy for this secret alone, the function, and the permission for Secrets Manager to invoke it. Then it switches
    rotation on, and shows each step.

    Nobody is silently allowed to read the superuser secret. Without --grant-superuser-read all else is made, rotation
    stays off, and the missing statement is printed with the command that grants it; run this again afterwards.

    Run it as often as you like: what is there is left as it is and what is missing is made, also after an
    interruption. What was made by something else, or otherwise than is asked for now, is refused before anything is
    changed. If --superuser-secret is to be written into the secret's value, that is shown and asked first.

    The status is 0 if rotation is on, 1 if something failed, this time or in the rotation before, 3 if the rotation
    was not watched to its end, and 4 if the grant is missing.
    """
    rules, own, variables = _checked_rules(schedule or _DAYS), own_code(zip_file, handler), _variables(environment)
    vpc_config = _vpc_config(subnet, security_group)
    if own is not None and strategy is not None:
        raise typer.BadParameter("is for Keyturn's own functions: leave it out.", param_hint="--strategy")
    clients, options = Clients(profile, endpoint_url, region), as_given(profile, endpoint_url, region)
    console = Console(highlight=False, emoji=False, soft_wrap=True, quiet=output is Output.JSON)
    with explained():
        plan = make_plan(
            clients, secret, superuser_secret, name=name, own=own, runtime=runtime, strategy=strategy,
            environment=variables, vpc_config=vpc_config, options=options,
        )  # fmt: skip
        rules = _rules_of(plan, rules, is_given=schedule is not None)
        report = Report(plan, rules, console, is_dry=dry_run, is_now=rotate_now)
        report.begin()
        # Before anything is changed: nothing of somebody else's is in the way.
        found = _look(parts_of(clients, plan, grants_superuser_read=grant_superuser_read))
    if not dry_run:
        _confirm_new_value(report, found, is_asked=not yes, output=output)
    _make(report, found)
    with _resumable(), explained():
        report.missing = [] if grant_superuser_read else missing_statements(clients, plan, is_dry=dry_run)
    status = _switch_on(clients, report, timeout if wait else None)
    report.end(output)
    raise typer.Exit(status)


def _look(parts: Sequence[Part]) -> list[tuple[Part, Found]]:
    return [(part, part.look()) for part in parts]


def _make(report: Report, found: Sequence[tuple[Part, Found]]) -> None:
    with _resumable(), explained():
        for part, state in found:
            if not state.is_there and not report.is_dry:
                part.make()
            report.part(part, state)


def _switch_on(clients: Clients, report: Report, timeout_seconds: float | None) -> int:
    """Switch rotation on, unless it is on or would fail; return the exit status.

    Args:
        clients: Of the server.
        report: Is told.
        timeout_seconds: How long to follow the first rotation; None not to.
    """
    plan = report.plan
    is_on = plan.is_on
    if is_on or report.missing or report.is_dry:
        report.rotation("was on" if is_on else "off" if report.missing else "on")
        has_failed = is_on and _tell_last(clients, report)
        return WAITS_FOR_A_GRANT if report.missing else int(has_failed)
    parameters: dict[str, object] = {"RotationLambdaARN": plan.function_arn, "RotationRules": report.rules}
    if timeout_seconds is None or not report.is_now:
        parameters["RotateImmediately"] = report.is_now
        with _resumable(), explained():
            made = clients["secretsmanager"].rotate_secret(SecretId=plan.secret.arn, **parameters)
        report.rotation("on")
        report.asked_for(made["VersionId"])
        return 0
    with _resumable(), explained():
        started = start_rotation(clients, plan.secret.arn, **parameters)
    report.rotation("on")
    with explained():
        rotation = Rotation(clients, plan.secret.name, started, plan.options)
        _, ending = follow(report.console, rotation, timeout_seconds)
    report.rotated(started.version_id, ending.error)
    return 0 if ending.error is None else 1


def _tell_last(clients: Clients, report: Report) -> bool:
    """Tell how the last rotation stands; return whether it has failed, at least for now."""
    with explained():
        answer = look_up(clients, report.plan.secret.arn)
    if answer is None:
        return False
    rotation = answer["Rotation"]
    status = rotation["Status"]
    has_failed = status in _FAILED or (status in _UNFINISHED and bool(rotation.get("Error")))
    if has_failed or status in _UNFINISHED:
        report.last_rotation(rotation, datetime.now(UTC), has_failed=has_failed)
    return has_failed


def _confirm_new_value(report: Report, found: Sequence[tuple[Part, Found]], *, is_asked: bool, output: Output) -> None:
    changed = [part for part, state in found if part.kind == "value" and not state.is_there]
    if not changed:
        return
    report.new_value(changed[0])
    if is_asked and output is Output.JSON:
        raise typer.BadParameter("is needed with --output json, because the value is changed.", param_hint="--yes")
    if is_asked and not typer.confirm("Change the value?"):
        raise typer.Exit(1)


@contextmanager
def _resumable() -> Iterator[None]:
    """Say that what was made stays, and is taken up."""
    try:
        yield
    except KeyturnError as error:
        hint = "What was made stays as it is. Run the same command again when this is mended: it makes the rest."
        raise KeyturnError(error.message, *error.hints, hint) from error


def _checked_rules(schedule: str) -> Mapping[str, object]:
    rules = read_rules(schedule, None)
    try:
        parse_rotation_rules(rules)
    except InvalidParameterException as error:
        raise KeyturnError(error.message, "keyturn schedule preview shows what a schedule means.") from error
    return rules


def _rules_of(plan: Plan, rules: Mapping[str, object], *, is_given: bool) -> Mapping[str, object]:
    """Return by which rules the secret rotates, or is to.

    Raises:
        KeyturnError: It rotates by others already than those that are given.
    """
    if not plan.is_on:
        return rules
    there: Mapping[str, object] = plan.secret.described.get("RotationRules", {})
    if is_given and not is_scheduled_so(plan.secret, rules):
        change = (
            f"aws secretsmanager rotate-secret --secret-id {shlex.quote(plan.secret.name)} --rotation-rules"
            f" {shlex.quote(json.dumps(rules))} --no-rotate-immediately{plan.options}"
        )
        raise KeyturnError(
            f"{plan.secret.name} rotates already, by another schedule: {in_words(there)}.",
            "Leave --schedule out to keep that one.",
            f"To change it: {change}",
        )
    return there


def _vpc_config(subnets: list[str] | None, groups: list[str] | None) -> Mapping[str, list[str]] | None:
    if bool(subnets) != bool(groups):
        raise typer.BadParameter("go together: a function in a VPC has both.", param_hint="--subnet, --security-group")
    return {"SubnetIds": subnets, "SecurityGroupIds": groups} if subnets and groups else None


def _variables(given: list[str] | None) -> Mapping[str, str] | None:
    if given is None:
        return None
    pairs = [pair.partition("=") for pair in given]
    if not all(name and equals for name, equals, _ in pairs):
        raise typer.BadParameter("takes NAME=VALUE.", param_hint="--environment")
    return {name: value for name, _, value in pairs}
