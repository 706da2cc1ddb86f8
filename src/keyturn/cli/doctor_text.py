"""A diagnosis on a terminal: the answer first, then a line for each section, details where something is wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from keyturn.cli.shown import shown
from keyturn.doctor.formats import excerpt
from keyturn.doctor.model import Evidence, Finding, Fix, Outcome, Report, Role, Section, Status, Verdict
from keyturn.doctor.remedies import command

_STYLES = {
    Verdict.BROKEN: "bold red",
    Verdict.INCONCLUSIVE: "bold yellow",
    Verdict.AT_RISK: "bold yellow",
    Verdict.HEALTHY: "bold green",
}
_MARKS = {
    Role.CAUSE: ("✗", "red"),
    Role.CONTRIBUTING: ("✗", "red"),
    Role.CONSEQUENCE: ("!", "yellow"),
    Role.RISK: ("!", "yellow"),
    Role.NOTE: ("•", "dim"),
}
_SURE = {Role.CONTRIBUTING: "contributing", Role.CONSEQUENCE: "a consequence", Role.RISK: "a risk", Role.NOTE: "a note"}
_ORDER = list(Verdict)


def print_report(console: Console, report: Report, *, verbose: bool, options: str) -> None:
    """Print a diagnosis.

    Args:
        console: Where to.
        report: What is told.
        verbose: Whether every check is told.
        options: Of the target, as ``as_given`` returns them, for commands.
    """
    console.print(f"[{_STYLES[report.verdict]}]{report.verdict.value}:[/] {_plain(report.summary)}")
    place = ", ".join(part for part in (report.target.account, report.target.region, report.target.endpoint) if part)
    console.print(f"\n[bold]{_plain(report.name)}[/] [dim]({_plain(place)})[/]")
    for section in Section:
        _print_section(console, report, section, verbose=verbose, options=options)
    _print_what_next(console, report, options)


def _print_section(console: Console, report: Report, section: Section, *, verbose: bool, options: str) -> None:
    outcomes = [outcome for outcome in report.outcomes if outcome.cause.section is section]
    findings = [finding for finding in report.findings if finding.cause.section is section]
    fact = report.facts.get(section, "")
    unseen = [outcome for outcome in outcomes if outcome.status is Status.BLIND]
    has_passed = any(outcome.status in (Status.PASS, Status.WARN, Status.FAIL) for outcome in outcomes)
    if not findings and not unseen and not (has_passed or verbose):
        return
    told = fact or ("" if findings else _of_section(outcomes, unseen))
    mark, style = _section_mark(findings, unseen)
    line = f"[{style}]\\[{mark}][/] {section.value}"
    console.print(f"{line}: {_plain(told)}" if told else line)
    for finding in findings:
        _print_finding(console, finding, options)
    if unseen and (findings or fact):
        console.print(Padding(f"[yellow]?[/] [dim]{_plain(_could_not(unseen))}[/]", (0, 0, 0, 4)))
    if verbose:
        for outcome in outcomes:
            reason = f" ({outcome.reason})" if outcome.reason else ""
            console.print(
                Padding(f"[dim]{outcome.status.value:11} {_plain(outcome.cause.id + reason)}[/]", (0, 0, 0, 4))
            )


def _section_mark(findings: Sequence[Finding], unseen: Sequence[Outcome]) -> tuple[str, str]:
    roles = {finding.role for finding in findings}
    if roles & {Role.CAUSE, Role.CONTRIBUTING}:
        return "✗", "red"
    if unseen:
        return "?", "yellow"
    return ("!", "yellow") if roles & {Role.CONSEQUENCE, Role.RISK} else ("✓", "green")


def _of_section(outcomes: Sequence[Outcome], unseen: Sequence[Outcome]) -> str:
    if unseen:
        return _could_not(unseen)
    passed = sum(outcome.status is Status.PASS for outcome in outcomes)
    return f"{passed} check{'' if passed == 1 else 's'} passed" if passed else "nothing to check"


def _could_not(unseen: Sequence[Outcome]) -> str:
    reasons = list(dict.fromkeys(outcome.reason for outcome in unseen))
    return f"could not look ({'; '.join(reasons[:2])}{', …' if len(reasons) > 2 else ''})"


def _print_finding(console: Console, finding: Finding, options: str) -> None:
    mark, style = _MARKS[finding.role]
    title = finding.title[:1].upper() + finding.title[1:]
    console.print(Padding(f"[{style}]{mark}[/] {_plain(title)}", (0, 0, 0, 4)))
    sure = _SURE.get(finding.role, finding.confidence.value)
    console.print(Padding(f"[dim]{finding.id} ({sure})[/]", (0, 0, 0, 6)))
    for evidence in finding.evidence:
        console.print(Padding(_evidence(evidence), (0, 0, 0, 6)))
    remedy = finding.remedy
    if remedy.text:
        console.print(Padding(f"[bold]→[/] {_plain(remedy.text)}", (0, 0, 0, 6)))
    for line in [*(command(change, options) for change in remedy.changes), *remedy.by_hand]:
        # A line to copy is not broken, and what is pasted is what is read, or nothing.
        told = line if shown(line) == line else "(no command: a name in it has characters that cannot be shown)"
        console.print(Text(f"        {told}", "cyan"), soft_wrap=True)


def _evidence(evidence: Evidence) -> Text:
    found = excerpt(evidence.excerpt)
    text = found if isinstance(found, str) else json.dumps(found, default=str)
    at = f"{evidence.at:%Y-%m-%d %H:%M:%S} " if evidence.at else ""
    first = shown(text.strip().replace("\r", "")).replace("\\n", "\n")
    return Text.assemble((f"{evidence.source} {shown(evidence.resource)} {at}".rstrip() + "\n", "dim"), f"  {first}")


def _print_what_next(console: Console, report: Report, options: str) -> None:
    fixable = [finding for finding in report.causes if finding.is_fixable]
    for finding in fixable:
        widens = " (it widens access: read it first)" if finding.cause.fix is Fix.WIDENS else ""
        told = f"keyturn doctor {report.name} --fix {finding.id}{options}"
        console.print()
        console.print(Text.assemble("Apply it: ", (told, "cyan"), widens), soft_wrap=True)
    for spot in report.blind:
        told = f"[bold]{_plain(spot.action)}[/] on {_plain(spot.resource)} [dim]({_plain(spot.error)})[/]"
        console.print(f"\nTo look at more, allow {told}", soft_wrap=True)


def print_all(console: Console, reports: Sequence[Report]) -> None:
    """Print many secrets, the worst first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("Verdict", "Secret", "Why"):
        table.add_column(name, overflow="fold", no_wrap=name == "Verdict")
    for report in sorted(reports, key=lambda each: (_ORDER.index(each.verdict), each.name)):
        verdict = f"[{_STYLES[report.verdict]}]{report.verdict.value}[/]"
        table.add_row(verdict, _plain(report.name), _plain(report.summary))
    console.print(table)


def _plain(text: object) -> str:
    return escape(shown(text))
