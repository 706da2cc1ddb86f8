"""Applies the remedy of a finding: shown first, made by boto3, and looked at again."""

from __future__ import annotations

from collections.abc import Callable

import typer
from rich.console import Console
from rich.text import Text

from keyturn.client.shown import shown
from keyturn.doctor.asking import ClientsByName
from keyturn.doctor.fixing import fingerprint, fixable, made, refuse_other_change
from keyturn.doctor.model import Finding, Report
from keyturn.doctor.remedies import command
from keyturn.errors.base import KeyturnError


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
    finding = fixable(report, cause_id)
    console.print(f"\n[bold]To be changed[/] ({finding.cause.fix.value}):")
    for change in finding.remedy.changes:
        console.print(Text(f"  {shown(command(change, options))}", "cyan"), soft_wrap=True)
    if not yes:
        _ask(finding, cause_id, look_again)
    for change in made(clients, finding):
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
    [now] = look_again()
    refuse_other_change(now, cause_id, fingerprint(finding.remedy.changes))
