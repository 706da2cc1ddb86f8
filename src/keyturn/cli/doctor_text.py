"""A diagnosis on a terminal: the answer first, then a line for each section, details where something is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from shlex import quote

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from keyturn.client.diagnosis import Standing, seen_section
from keyturn.client.shown import shown, shown_json
from keyturn.doctor.facts import DENIED
from keyturn.doctor.formats import excerpt
from keyturn.doctor.model import (
    BlindSpot,
    Cause,
    Evidence,
    Finding,
    Fix,
    Report,
    Role,
    Section,
    Status,
    Verdict,
)
from keyturn.doctor.remedies import command, line_with

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
_QUIET = frozenset({Role.NOTE, Role.CONSEQUENCE})
_ORDER = list(Verdict)
_SECTION_MARKS = {
    Standing.BROKEN: ("✗", "red"),
    Standing.UNSEEN: ("?", "yellow"),
    Standing.AT_RISK: ("!", "yellow"),
    Standing.PARTLY: ("~", "yellow"),
    Standing.WELL: ("✓", "green"),
    Standing.NOTHING: ("-", "dim"),
}
_NARROWEST = 20
_LINES_AT_MOST = 6


def print_report(console: Console, report: Report, *, verbose: bool, options: str) -> None:
    """Print a diagnosis.

    Args:
        console: Where to.
        report: What is told.
        verbose: Whether every check is told, and everything about notes and consequences.
        options: Of the target, as ``as_given`` returns them, for commands.
    """
    answer = Text.assemble((f"{report.verdict.value}:", _STYLES[report.verdict]), f" {shown(report.summary)}")
    console.print(answer)
    place = ", ".join(part for part in (report.target.account, report.target.region, report.target.endpoint) if part)
    console.print(Text.assemble("\n", (shown(report.name), "bold"), (f" ({shown(place)})" if place else "", "dim")))
    is_dark = all(outcome.status is Status.BLIND for outcome in report.outcomes)
    for section in () if is_dark and not verbose else Section:
        _print_section(console, report, section, verbose=verbose, options=options)
    _print_what_next(console, report, options)


def _print_section(console: Console, report: Report, section: Section, *, verbose: bool, options: str) -> None:
    seen = seen_section(report, section)
    if not (seen.findings or seen.unseen or verbose or (seen.decided and seen.fact)):
        return
    mark, style = _SECTION_MARKS[seen.standing]
    told = seen.told
    console.print(Text.assemble((f"[{mark}]", style), f" {section.value}{f': {shown(told)}' if told else ''}"))
    for finding in seen.findings:
        if verbose or finding.role is not Role.NOTE or finding.is_history:
            _print_finding(console, finding, options, in_full=verbose or finding.role not in _QUIET)
    if seen.unseen and (seen.findings or seen.fact):
        _print_marked(console, "?", "yellow", Text(shown(seen.could_not), "dim"))
    if seen.standing is Standing.PARTLY and seen.not_asked:
        _print_marked(console, "~", "yellow", Text(shown(seen.not_asked), "dim"))
    for outcome in seen.outcomes if verbose else ():
        reason = f" ({shown(outcome.reason)})" if outcome.reason else ""
        _print_indented(console, Text(f"{outcome.status.value:11} {outcome.cause.id}{reason}", "dim"), 4)


def _print_finding(console: Console, finding: Finding, options: str, *, in_full: bool) -> None:
    mark, style = _MARKS[finding.role]
    title = shown(finding.title)
    sure = _SURE.get(finding.role, finding.confidence.value)
    _print_marked(console, mark, style, Text(title))
    _print_indented(console, Text(f"{finding.id} ({sure})", "dim"), 6)
    if not in_full:
        return
    remedy = finding.remedy
    if remedy.text:
        _print_marked(console, "→", "bold", Text(shown(remedy.text)), indent=6)
    by_hand = (line_with(line, options) for line in remedy.by_hand)
    _print_commands(console, [*(command(change, options) for change in remedy.changes), *by_hand])
    if remedy.policy is not None and not remedy.changes:
        _print_indented(console, Text(shown_json(json.dumps(remedy.policy, indent=2)), "cyan"), 8)
    for evidence in finding.evidence:
        _print_evidence(console, evidence)


def _print_commands(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        # A line to copy is not broken, and what is pasted is what is read, or nothing.
        told = line if shown(line) == line else "(no command: a name in it has characters that cannot be shown)"
        console.print(Text(f"        {told}", "cyan"), soft_wrap=True)


def _print_evidence(console: Console, evidence: Evidence) -> None:
    found = excerpt(evidence.excerpt)
    text = found if isinstance(found, str) else json.dumps(found, default=str)
    # Lambda's own lines have tabs between their parts.
    lines = [shown(line.replace("\t", "  ")) for line in text.strip().splitlines()][:_LINES_AT_MOST]
    at = f" at {evidence.at:%Y-%m-%d %H:%M:%S} UTC" if evidence.at else ""
    _print_indented(console, Text(f"{evidence.source} {shown(evidence.resource)}{at}:", "dim"), 6)
    for line in lines:
        _print_indented(console, Text(line), 8)


def _print_marked(console: Console, mark: str, style: str, text: Text, indent: int = 4) -> None:
    """Print a text with a mark before it, its further lines under its first."""
    print_below(console, Text(f"{' ' * indent}{mark} ", style), text)


def print_below(console: Console, beside: Text, text: Text) -> None:
    """Print a text beside another, as many lines as it takes, with no blanks behind them."""
    indent = len(beside.plain)
    for number, line in enumerate(text.wrap(console, max(console.width - indent, _NARROWEST))):
        line.rstrip()
        console.print(Text.assemble(beside if number == 0 else " " * indent, line), soft_wrap=True)


def _print_indented(console: Console, text: Text, indent: int) -> None:
    print_below(console, Text(" " * indent), text)


def _print_what_next(console: Console, report: Report, options: str) -> None:
    fixable = [finding for finding in report.causes if finding.is_fixable]
    for position, finding in enumerate(fixable):
        widens = " (it widens access: read it first)" if finding.cause.fix is Fix.WIDENS else ""
        told = f"keyturn doctor {quote(report.name)} --fix {finding.id}{options}"
        begun = "\nApply it: " if position == 0 else "Apply it: "
        console.print(Text.assemble(begun, (shown(told), "cyan"), widens), soft_wrap=True)
    denied = [spot for spot in report.blind if spot.error in DENIED]
    for heading, spots in (
        ("To see more, allow:", denied),
        ("What could not be asked:", [spot for spot in report.blind if spot not in denied]),
    ):
        _print_blind(console, heading, spots)


def _print_blind(console: Console, heading: str, spots: Sequence[BlindSpot]) -> None:
    if spots:
        console.print(f"\n{heading}")
    for spot in spots:
        hides = f"{len(spot.hides)} check{'' if len(spot.hides) == 1 else 's'}"
        line = Text.assemble(
            f"  {spot.action} on {shown(spot.resource)}", (f"  ({shown(spot.error)}, hides {hides})", "dim")
        )
        console.print(line, soft_wrap=True)


def print_all(console: Console, reports: Sequence[Report]) -> None:
    """Print many secrets, the worst first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("Verdict", "Secret", "Why"):
        table.add_column(name, overflow="fold", no_wrap=name == "Verdict")
    for report in sorted(reports, key=lambda each: (_ORDER.index(each.verdict), each.name)):
        verdict = Text(report.verdict.value, _STYLES[report.verdict])
        table.add_row(verdict, escape(shown(report.name)), escape(shown(report.summary)))
    console.print(table)
    counts = {verdict: sum(report.verdict is verdict for report in reports) for verdict in Verdict}
    told = ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count)
    secrets = f"{len(reports)} secret{'' if len(reports) == 1 else 's'}"
    console.print(f"\n{secrets} with rotation{f': {told}' if told else ''}.")


def print_causes(console: Console, causes: Sequence[Cause]) -> None:
    """Print the causes there are, by the sections of a diagnosis."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Id", no_wrap=True)
    table.add_column("Cause", overflow="fold")
    for section in Section:
        of_section = [cause for cause in causes if cause.section is section]
        if of_section:
            table.add_row(Text(section.value, "bold"), "")
        for cause in of_section:
            table.add_row(f"  {cause.id}", escape(cause.title))
    console.print(table)
    console.print(f"\n{len(causes)} causes. keyturn doctor explain ID tells more of one.")
