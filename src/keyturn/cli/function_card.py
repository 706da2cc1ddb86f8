"""A report card, for people and for programs."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keyturn.client.shown import shown, shown_json

if TYPE_CHECKING:
    from keyturn.bench.card import Card, Result

_FORMAT = "keyturn.function-test/1"
_MOST = 20
_NO_MODULE = "No module named"
# What differs between two lines that say the same.
_VARYING = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z|[0-9a-f]{8}-[0-9a-f-]{27}")
_SIGNS = {"passed": "[green]✓[/]", "failed": "[red]✗[/]", "skipped": "[dim]–[/]"}


def as_json(card: Card) -> str:
    """Return the card as JSON: ``format``, ``passed``, counts, and every trial."""
    document = {"format": _FORMAT, "passed": card.has_passed, **asdict(card)}
    return shown_json(json.dumps(document, indent=2))


def print_card(console: Console, card: Card, *, is_verbose: bool) -> None:
    """Print the card; the first line is the answer."""
    console.print(_verdict(card))
    console.print(
        f"[dim]{card.invocations} invocations in {card.seconds:.0f} seconds, with {escape(shown(card.database))};"
        f" sandbox: {escape(shown(card.sandbox))}[/]"
    )
    if card.broken_off:
        console.print(f"[red]Broken off:[/] {escape(shown(card.broken_off))}")
    if card.left:
        console.print(f"[red]{escape(shown(card.left))}[/] Remove the file when you have it.")
    _print_contract(console, card)
    _print_faults(console, card, is_verbose=is_verbose)
    _print_leaks(console, card)
    console.print(f"\n[bold]Permissions used[/]  {', '.join(card.actions) or 'none'}")
    if card.denied:
        console.print(f"[red]✗[/] Asked for, and not in the policy of AWS's guide: {', '.join(card.denied)}")


def _verdict(card: Card) -> str:
    name = f"[bold]{escape(shown(card.function))}[/]"
    if card.has_passed:
        return f"[green]✓[/] {name}: nothing found in {len(card.results)} trials."
    found = []
    for results, what in ((card.contract, "of the contract"), (card.faults, "with faults")):
        if failed := [result for result in results if result.status == "failed"]:
            found.append(f"{len(failed)} of {len(results)} trials {what} failed")
    if card.leaks:
        found.append("secret values were shown")
    if card.broken_off:
        found.append("not everything was played")
    if card.left:
        found.append("the password was not set back")
    return f"[red]✗[/] {name}: {', '.join(found)}."


def _print_contract(console: Console, card: Card) -> None:
    if not card.contract:
        return
    passed = sum(result.status == "passed" for result in card.contract)
    told = sum(result.status != "skipped" for result in card.contract)
    console.print(f"\n[bold]Contract[/]  {passed} of {told} kept")
    for result in card.contract:
        _print_result(console, result, result.title)


def _print_result(console: Console, result: Result, title: str, more: int = 0) -> None:
    """Print one trial: a sign, what it is, and below it what was found.

    Args:
        console: Where.
        result: The trial.
        title: What it is.
        more: How many others were found to end in the same way.
    """
    console.print(f"{_SIGNS[result.status]} {_wrapped(console, title).lstrip()}")
    if result.reason:
        reason = _wrapped(console, result.reason)
        console.print(f"[dim]{reason}[/]" if result.status == "skipped" else reason)
        if _NO_MODULE in result.reason:
            console.print(_wrapped(console, "What a function imports can be given with --layer."))
    if result.status == "failed":
        console.print(f"[dim]  again: --only {escape(shlex.quote(f'{result.group}/{result.name}'))}[/]")
    if more:
        console.print(f"  and {more} more that end in these words: --verbose shows them.")


def _wrapped(console: Console, text: str) -> str:
    """Return text as it may be printed, in lines behind the sign."""
    return escape(textwrap.fill(shown(text), console.width - 1, initial_indent="  ", subsequent_indent="  "))


def _print_faults(console: Console, card: Card, *, is_verbose: bool) -> None:
    from keyturn.bench.card import HARMLESS, Left  # noqa: PLC0415 - the command has loaded it

    if not card.faults:
        return
    played = [result for result in card.faults if result.left is not None]
    stood = sum(result.left in HARMLESS for result in played)
    console.print(f"\n[bold]Faults[/]  {stood} of {len(played)} stood")
    table = Table("played in", "faults", *(left.value for left in Left), box=None, header_style="dim", pad_edge=False)
    for step in dict.fromkeys(result.group for result in played):
        counts = Counter(result.left for result in played if result.group == step)
        table.add_row(step, str(counts.total()), *(_count(counts[left], left in HARMLESS) for left in Left))
    console.print(table)
    if is_verbose:
        for result in card.faults:
            _print_result(console, result, _fault_title(result))
        return
    alike: dict[tuple[str, str], list[Result]] = {}
    for result in card.faults:
        if result.status == "failed":
            alike.setdefault((result.reason, str(result.left)), []).append(result)
    for results in list(alike.values())[:_MOST]:
        _print_result(console, results[0], _fault_title(results[0]), len(results) - 1)
    if len(alike) > _MOST:
        console.print(f"  and {len(alike) - _MOST} others: --verbose shows them all.")


def _fault_title(result: Result) -> str:
    return f"{result.group}: {result.title} ({result.left or 'not played'})"


def _count(number: int, is_harmless: bool) -> str:
    return "[dim]–[/]" if not number else str(number) if is_harmless else f"[red]{number}[/]"


def _print_leaks(console: Console, card: Card) -> None:
    if not card.leaks:
        console.print(
            f"\n[bold]Leaks[/]  [green]✓[/] no secret value in {card.lines} lines of log and {card.invocations} answers"
        )
        return
    console.print(f"\n[bold]Leaks[/]  [red]✗[/] a secret value was shown {len(card.leaks)} times (hidden here as ***)")
    alike = Counter(_VARYING.sub("…", line) for line in card.leaks)
    for line, count in alike.most_common(_MOST):
        console.print(_wrapped(console, f"{line} ({count} times)" if count > 1 else line))
