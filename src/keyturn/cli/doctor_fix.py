"""Applies the remedy of a finding: shown first, made by boto3, and looked at again."""

from __future__ import annotations

from collections.abc import Callable

import typer
from rich.console import Console
from rich.text import Text

from keyturn.cli.shown import shown
from keyturn.doctor.asking import ClientsByName
from keyturn.doctor.model import Confidence, Finding, Fix, Report
from keyturn.doctor.remedies import command
from keyturn.errors.base import KeyturnError


class NotFixable(KeyturnError):
    """The remedy that was asked for is none that a program applies here."""

    exit_status = 4


def apply_fix(
    console: Console,
    clients: ClientsByName,
    report: Report,
    cause_id: str,
    *,
    yes: bool,
    look_again: Callable[[], list[Report]],
    options: str,
) -> Report:
    """Apply the remedy of one finding and return what is found afterwards.

    Args:
        console: Where to.
        clients: Of the account.
        report: What was found.
        cause_id: Whose remedy.
        yes: Whether it is made without asking.
        look_again: Returns what is found then.
        options: Of the target, as ``as_given`` returns them.

    Raises:
        KeyturnError: There is no such finding, or its remedy is not one that a program applies.
    """
    from botocore import xform_name  # noqa: PLC0415 - it takes long, and `keyturn --help` need not

    finding = _fixable(report, cause_id)
    console.print(f"\n[bold]To be changed[/] ({finding.cause.fix.value}):")
    for change in finding.remedy.changes:
        console.print(Text(f"  {shown(command(change, options))}", "cyan"), soft_wrap=True)
    if not yes:
        _ask(finding, cause_id, look_again)
    for change in finding.remedy.changes:
        getattr(clients[change.service], xform_name(change.operation))(**change.parameters)
        console.print(f"  made: {change.action}", markup=False)
    [after] = look_again()
    if any(each.id == cause_id for each in after.causes):
        console.print(f"[bold red]not fixed:[/] {cause_id} is still found.")
    else:
        console.print(f"[bold green]fixed:[/] {cause_id} is found no longer.")
    console.print(f"{after.verdict.value}: {shown(after.summary)}", soft_wrap=True, markup=False)
    if after.next_attempt is not None and cause_id != "secret-marked-for-deletion":
        told = f"{after.next_attempt.command}{options}"
        console.print(Text.assemble(f"{after.next_attempt.text}: ", (shown(told), "cyan")), soft_wrap=True)
    return after


def _ask(finding: Finding, cause_id: str, look_again: Callable[[], list[Report]]) -> None:
    """Ask whether it is to be changed, and look whether what was shown is still what is to be done."""
    try:
        is_wanted = typer.confirm("Change it?", err=True)
    except (RuntimeError, OSError) as error:
        raise KeyturnError("There is nobody to ask. Nothing was changed.", "--yes does not ask.") from error
    if not is_wanted:
        raise KeyturnError("Nothing was changed.")
    # A document that is written anew would undo what somebody else has written meanwhile.
    [now] = look_again()
    if not any(each.id == cause_id and each.remedy.changes == finding.remedy.changes for each in now.findings):
        raise KeyturnError("It is another change that is needed by now. Nothing was changed.", "Look again.")


def _fixable(report: Report, cause_id: str) -> Finding:
    finding = next((each for each in report.findings if each.id == cause_id), None)
    if finding is None:
        named = ", ".join(each.id for each in report.causes) or "none"
        raise NotFixable(
            f"{cause_id} is not found here, so that there is nothing to fix.", f"The causes found: {named}."
        )
    if finding.is_fixable:
        return finding
    if finding.confidence is not Confidence.CERTAIN:
        raise NotFixable(
            f"{cause_id} is {finding.confidence.value}, and only what is certain is fixed by a program.",
            "What helps is printed above.",
        )
    reasons = {
        Fix.PRINTED: "may lose data, cost money or concern others",
        Fix.BY_HAND: "is nothing that a call to AWS does",
    }
    why = reasons.get(finding.cause.fix, "needs something filled in")
    raise NotFixable(f"The remedy of {cause_id} {why}: it is printed, and yours to apply.")
