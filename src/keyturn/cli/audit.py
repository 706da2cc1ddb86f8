"""``keyturn audit``: what happened, and why a call was refused."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from keyturn.cli.clients import Clients, EndpointUrl, Profile, RegionName, explained
from keyturn.cli.denials import explain_event, print_denial
from keyturn.cli.options import Output, OutputFormat

app = typer.Typer(help="Read and check the audit trail.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="audit")


@app.callback()
def _group() -> None:
    """Read and check the audit trail."""


@app.command()
def explain(
    event_id: Annotated[
        str, typer.Argument(help="Of the event, from aws cloudtrail lookup-events.", show_default=False)
    ],
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
    output: OutputFormat = Output.TEXT,
) -> None:
    """Say why a call was refused, and the least that would allow it.

    Shows who asked for what, the policies that took part, the statement that decided or what kept a statement from
    applying, and the smallest statement that would allow the call, with the command that adds it. Needs
    cloudtrail:LookupEvents and sts:DecodeAuthorizationMessage.

    Find events of refused calls with: aws cloudtrail lookup-events --lookup-attributes
    AttributeKey=Username,AttributeValue=NAME
    """
    clients = Clients(profile, endpoint_url, region)
    with explained():
        denial = explain_event(clients, event_id)
    if output is Output.JSON:
        typer.echo(json.dumps(denial.document(), indent=2))
    else:
        print_denial(Console(highlight=False, emoji=False, soft_wrap=True), denial)
