"""Why a call was refused, for people at a terminal."""

from __future__ import annotations

import json

from rich.console import Console
from rich.markup import escape

from keyturn.client.shown import shown, shown_json
from keyturn.rules.policy.denial import (
    Denial,
    Json,
    kept_by_conditions,
    name_of,
    ruling,
    said,
    silent,
    source_of,
    without_policies,
)
from keyturn.rules.policy.placements import Placement


def print_denial(console: Console, denial: Denial, options: str = "") -> None:
    """Print who was refused what, what each policy said, and what would allow it.

    Args:
        console: Where to.
        denial: What is told.
        options: Of the server, as ``as_given`` returns them, for the command.
    """
    event, context = denial.event, denial.message["context"]
    console.print(f"[bold]{_plain(event['eventName'])}[/] was refused at {_plain(event['eventTime'])}\n")
    for name, value in (
        ("principal", denial.principal_arn),
        ("action", context["action"]),
        ("resource", context["resource"]),
        ("from", source_of(event)),
        ("told", event.get("errorMessage", "")),
    ):
        console.print(f"[dim]{name:9}[/]  {_plain(value)}")
    _print_policies(console, denial)
    _print_ruling(console, denial)
    placements = denial.placements()
    for sentence in kept_by_conditions(denial) if placements else ():
        console.print(f"\n{_plain(sentence)}")
    for statement, placement in placements:
        console.print(f"\nIt takes this statement in {_plain(placement.place)}:\n")
        console.print(_json(statement))
        _print_how_to_add(console, placement, options)


def _print_how_to_add(console: Console, placement: Placement, options: str) -> None:
    command = f"{placement.command}{options}" if placement.command else ""
    if shown(command) != command:
        # What is pasted into a shell is what is read, or nothing.
        console.print("\nNo command is printed: a name in it has characters that cannot be shown.")
    elif command:
        console.print(f"\n[bold]Add it with:[/]\n\n{escape(command)}")
    elif placement.hint:
        console.print(f"\n[bold]Add it with:[/] {_plain(placement.hint)}")


def _print_policies(console: Console, denial: Denial) -> None:
    if not denial.policies:
        console.print(f"\n{without_policies(denial)}")
        return
    console.print("\n[bold]The policies that took part[/]\n")
    for policy in denial.policies:
        if policy["statements"]:
            _print_policy(console, denial, policy)
    if others := silent(denial):
        console.print(_plain(others))


def _print_policy(console: Console, denial: Denial, policy: Json) -> None:
    name, kind = name_of(policy), policy["policyType"]
    console.print(_plain(name) if name == kind else f"{_plain(name)} [dim]({_plain(kind)})[/]")
    if name != policy["policyName"]:
        console.print(f"  [dim]{_plain(policy['policyName'])}[/]")
    for verdict in policy["statements"]:
        console.print(f"  {_plain(said(verdict, denial.condition_keys))}")


def _print_ruling(console: Console, denial: Denial) -> None:
    decided = ruling(denial)
    console.print(f"\n[bold red]{decided.verdict}[/]{_plain(decided.told)}")
    if decided.more:
        console.print(decided.more)
    for statement in decided.statements:
        console.print(f"\n{_json(statement)}")
    if decided.change:
        console.print(f"\n[bold]Change it with:[/] {_plain(decided.change)}")


def _json(statement: Json) -> str:
    return escape(shown_json(json.dumps(statement, indent=2)))


def _plain(text: object) -> str:
    return escape(shown(text))
