"""One rotation on a screen of whatever width."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keyturn.client.rotation_next import NextStep
from keyturn.client.rotation_report import Report
from keyturn.client.shown import shown

_NAME_WIDTH = 10
_TIME_WIDTH = 14
_NARROWEST = 20


def print_report(console: Console, report: Report, options: str) -> None:
    """Print header, attempts, timeline and what to do next.

    Args:
        console: With soft wrapping.
        report: What is told.
        options: Of the server, for the commands.
    """
    console.print(f"[bold]{escape(report.title)}[/]\n")
    for name, value in report.header():
        print_below(console, f"  {name:{_NAME_WIDTH}}", value, "bold" if name == "status" else "")
    if report.runs():
        console.print("\n[bold]Attempts[/] (UTC)")
        _print_runs(console, report)
    console.print("\n[bold]Timeline[/]")
    for line in report.timeline():
        for number, text in enumerate(line.text):
            beside = (line.time if number == 0 else "").ljust(_TIME_WIDTH) if line.time else ""
            print_below(console, beside, text, line.style if line.time else "bold")
        if line.event_id is not None:
            command = f"keyturn audit explain {line.event_id}{options}"
            console.print(f"{'':{_TIME_WIDTH}}  {escape(shown(command))}")
    if report.is_truncated:
        console.print("\nSomething was left out, because there is too much of it.")
    if diagnosis := report.diagnosis(options):
        console.print(f"\n[bold]Why, and what to change[/]\n  {escape(diagnosis)}")
    print_next_steps(console, report.next_steps(options))


def print_next_steps(console: Console, steps: Iterable[NextStep]) -> None:
    """Print commands that may help, each ready to be copied."""
    for number, step in enumerate(steps):
        if number == 0:
            console.print("\n[bold]What next[/]")
        console.print(f"  {escape(step.command)}\n      [dim]{escape(step.what)}[/]")


def print_below(console: Console, beside: str, text: str, style: str = "") -> None:
    """Print a text in the room that is left beside another, as many lines as it takes."""
    indent = text[: len(text) - len(text.lstrip())]
    width = max(console.width - len(beside), _NARROWEST)
    lines = textwrap.wrap(
        text, width, subsequent_indent=f"{indent}  ", break_on_hyphens=False, drop_whitespace=True, tabsize=2
    )
    for number, line in enumerate(lines or [""]):
        before = beside if number == 0 else " " * len(beside)
        shown_line = f"[{style}]{escape(line)}[/]" if style else escape(line)
        console.print(f"[dim]{escape(before)}[/]{shown_line}")


def _print_runs(console: Console, report: Report) -> None:
    steps = report.steps()
    table = Table("", "began", *steps, box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for run in report.runs():
        # One without cells says that attempts are counted anew.
        cells = [escape(run.cells.get(step, "–" if run.cells else "")) for step in steps]
        table.add_row(run.attempt, report.clock(run.began_at), *cells, style="" if run.cells else "dim")
    console.print(table)
