"""``keyturn network``: what a function's network lets it reach."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console

from keyturn.cli.clients import EndpointUrl, Profile, RegionName
from keyturn.cli.diagnosis import (
    DiagnosisGroup,
    NotToldError,
    UsageError,
    address_in,
    clients_for,
    endpoint_of,
    told_apart,
)
from keyturn.cli.network_text import document, print_trace
from keyturn.cli.options import Output, OutputFormat
from keyturn.client.shown import shown_json
from keyturn.doctor.asking import AskByBoto3
from keyturn.doctor.facts import Facts, Kind
from keyturn.doctor.tracing import Trace, Wanted
from keyturn.doctor.tracing import trace as traced
from keyturn.rules.network.agreement import Verdict
from keyturn.rules.network.traffic import Json

_STATUSES = {Verdict.PASSES: 0, Verdict.UNKNOWN: 3}
_FAILED = 1

_HELP = """Show hop by hop what lets a function's packets pass, or drops them.

\b
  keyturn network trace rotate-orders orders.example.org:5432
  keyturn network trace rotate-orders 10.0.2.15:5432 --subnet subnet-0a

It reads routes, security groups, network ACLs, gateways and endpoints as EC2 describes them, on Keyturn and in an
AWS account alike. On Keyturn it also tries the connection from where the function runs, and says whether that
agrees with the trace. The function itself is not run, nothing is changed, and nothing is sent to who answers.

Hops are marked ✓ where packets pass, ✗ where they are dropped, ? where it is not known. A dropped packet is lost
in silence, so that the function times out; "refused" is the answer of a host at whose port nothing listens.

Statuses: 0 it is reached from every subnet, 1 it is not, 3 it could not be told, 4 no such function or wrong usage."""

app = typer.Typer(help="See what a function's network lets it reach.", cls=DiagnosisGroup, no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="network")


@app.callback()
def _group() -> None:
    """See what a function's network lets it reach."""


@app.command(help=_HELP)
def trace(
    function: Annotated[str, typer.Argument(help="Name or ARN of the function.", show_default=False)],
    to: Annotated[
        str,
        typer.Argument(metavar="HOST:PORT", help="Where it is to connect, by TCP.", show_default=False),
    ],
    qualifier: Annotated[str | None, typer.Option(help="A version or an alias of the function.")] = None,
    subnet: Annotated[str | None, typer.Option(help="From this one of its subnets alone. [each]")] = None,
    probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="Try the connection, too, from where the function runs.")
    ] = True,
    output: OutputFormat = Output.TEXT,
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
) -> None:
    """Show hop by hop what lets a function's packets pass, or drops them."""
    # The server's, which `keyturn --help` need not load.
    from keyturn.runtime.network import SERVICES  # noqa: PLC0415 - see above

    host, port = address_in(to, "HOST:PORT")
    clients = clients_for(profile, endpoint_url, region)
    with told_apart():
        endpoint = endpoint_of(clients)
        wanted = Wanted(
            function,
            host.strip("[]"),
            port,
            qualifier=qualifier or "",
            subnet_id=subnet or "",
            may_be_keyturn=endpoint is not None,
            services=SERVICES,
            probes=probe,
        )
        facts = Facts(AskByBoto3(clients))
        configuration = _configuration(facts, wanted)
        found = traced(facts, configuration, clients["lambda"].meta.region_name, wanted, _resolved)
    _print(found, endpoint, output)
    raise typer.Exit(_STATUSES.get(found.verdict, _FAILED))


def _configuration(facts: Facts, wanted: Wanted) -> Json:
    """Return the function's configuration.

    Raises:
        UsageError: There is no such function, or it is not in the subnet.
        NotToldError: It may not be looked at.
    """
    answer = facts.ask("lambda", "GetFunctionConfiguration", None, **wanted.named)
    if answer.kind is Kind.GONE:
        raise UsageError(f"There is no function {wanted.function}.", "aws lambda list-functions shows those there are.")
    if answer.kind is not Kind.OK:
        raise NotToldError(
            f"GetFunctionConfiguration: {answer.message or answer.code}",
            "Without it nobody knows which network the function has.",
        )
    subnet_ids = (answer.found.get("VpcConfig") or {}).get("SubnetIds") or []
    if wanted.subnet_id and wanted.subnet_id not in subnet_ids:
        raise UsageError(
            f"The function is not in the subnet {wanted.subnet_id}.",
            f"It is in {', '.join(subnet_ids)}." if subnet_ids else "It is in no VPC.",
        )
    return answer.found


def _resolved(host: str) -> Sequence[str]:
    """Return what this machine's DNS says of a name."""
    try:
        found = socket.getaddrinfo(host, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(each[4][0]) for each in found))


def _print(found: Trace, endpoint: str | None, output: Output) -> None:
    if output is Output.JSON:
        print(shown_json(json.dumps(document(found, endpoint), indent=2, default=str)))
    else:
        print_trace(Console(highlight=False, emoji=False), found)
