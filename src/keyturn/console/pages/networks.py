"""Networks: VPCs, one of them as a picture, and what a function reaches, hop by hop."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from keyturn.console.function_list import functions_of
from keyturn.console.network_picture import Network, draw, to_of
from keyturn.console.replies import Html, Reply
from keyturn.console.routing import action, page
from keyturn.console.visit import Refused, Visit
from keyturn.doctor.asking import AskByBoto3
from keyturn.doctor.facts import Facts, Kind
from keyturn.doctor.trace_text import hop_told, other_rules, probe_told, rule_told, summary, way_told
from keyturn.doctor.tracing import Trace, Wanted
from keyturn.doctor.tracing import trace as traced
from keyturn.errors.base import KeyturnError
from keyturn.rules.network import groups
from keyturn.rules.network.routes import target_of
from keyturn.runtime.network import SERVICES

_ON_A_PAGE: Final = 50
_MOST: Final = 100
_MOST_FUNCTIONS: Final = 200
_TO: Final = re.compile(r"(?P<host>[\w.\-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>[0-9]{1,5})", re.ASCII)
_HIGHEST_PORT: Final = 65535


@page("networks", title="Networks", order=80)
def show(visit: Visit) -> Reply:
    """Show the VPCs."""
    more = {"NextToken": visit.asked("next")} if visit.asked("next") else {}
    listed = visit.look("ec2", "describe_vpcs", MaxResults=_ON_A_PAGE, **more)
    functions, _ = functions_of(visit, _MOST_FUNCTIONS)
    return Html("networks.html", {"listed": listed, "functions": functions})


@page("network", needs="id", chosen_in="networks")
def show_network(visit: Visit) -> Reply:
    """Show one VPC."""
    vpc_id = visit.asked("id")
    [vpc] = visit.clients["ec2"].describe_vpcs(VpcIds=[vpc_id])["Vpcs"]
    within = [{"Name": "vpc-id", "Values": [vpc_id]}]
    looks = {
        member: visit.look("ec2", operation, Filters=within, MaxResults=_MOST)
        for operation, member in (
            ("describe_subnets", "Subnets"),
            ("describe_route_tables", "RouteTables"),
            ("describe_security_groups", "SecurityGroups"),
            ("describe_vpc_endpoints", "VpcEndpoints"),
        )
    }
    functions, _ = functions_of(visit, _MOST_FUNCTIONS)
    inside = () if isinstance(functions, Refused) else [each for each in functions if _vpc_of(each) == vpc_id]
    network = Network(
        vpc,
        looks["Subnets"].get("Subnets", []),
        looks["RouteTables"].get("RouteTables", []),
        looks["SecurityGroups"].get("SecurityGroups", []),
        looks["VpcEndpoints"].get("VpcEndpoints", []),
        inside,
    )
    refusals = [each.refused for each in looks.values() if each.refused is not None]
    return Html(
        "network.html",
        {
            "vpc": vpc,
            "network": network,
            "drawing": draw(network),
            "refusals": refusals,
            "functions": inside,
            "rules": {str(group["GroupId"]): _rules(group) for group in network.groups},
            "routes": {str(table["RouteTableId"]): _routes(table) for table in network.route_tables},
        },
    )


@page("network/trace")
def show_trace(visit: Visit) -> Reply:
    """Show what a function reaches, as EC2's entries have it."""
    return _trace_page(visit, probes=False)


@action("network/trace", shows=show_trace)
def probe(visit: Visit) -> Reply:
    """Show it, and try a connection from where the function runs."""
    return _trace_page(visit, probes=True)


def _trace_page(visit: Visit, *, probes: bool) -> Html:
    function, to = visit.asked("function"), visit.asked("to")
    shown: dict[str, Any] = {"function": function, "to": to, "trace": None, "refused": None}
    shown["functions"], _ = functions_of(visit, _MOST_FUNCTIONS)
    if function and to:
        found = visit.tried(lambda: _told(_traced(visit, function, to, probes=probes)))
        shown["refused" if isinstance(found, Refused) else "trace"] = found
    shown["may_probe"] = bool(function) and visit.clients.allow(
        "keyturn", "probe_function_network", FunctionName=function, Host="127.0.0.1", Port=1
    )
    return Html("network_trace.html", shown)


def _traced(visit: Visit, function: str, to: str, *, probes: bool) -> Trace:
    """Return the trace.

    Raises:
        KeyturnError: There is no such function, or what it is to reach is not HOST:PORT.
    """
    match = _TO.fullmatch(to)
    if match is None or not 0 < int(match["port"]) <= _HIGHEST_PORT:
        raise KeyturnError(f"{to} is no HOST:PORT.", "For instance db.example.com:5432.")
    host = match["host"].strip("[]")
    wanted = Wanted(function, host, int(match["port"]), may_be_keyturn=True, services=SERVICES, probes=probes)
    facts = Facts(AskByBoto3(visit.clients))
    answer = facts.ask("lambda", "GetFunctionConfiguration", None, **wanted.named)
    if answer.kind is Kind.GONE:
        raise KeyturnError(f"There is no function {function}.")
    if answer.kind is not Kind.OK:
        raise KeyturnError(answer.message or answer.code, "Without its configuration nobody knows its network.")
    # The server resolves no name because somebody has typed it: the function's own resolver does, when it is tried.
    return traced(facts, answer.found, visit.session.region, wanted, lambda _host: ())


def _told(trace: Trace) -> Mapping[str, Any]:
    """Return a trace as it is shown."""
    return {
        "verdict": trace.verdict.value,
        "summary": summary(trace),
        "vpc_id": trace.vpc_id,
        "is_probed": trace.wanted.probes,
        "ways": [
            {
                "told": way_told(trace, way),
                "hops": [
                    {
                        "passage": hop.passage.value,
                        "told": hop_told(hop),
                        "rule": rule_told(hop),
                        "others": other_rules(trace, hop),
                    }
                    for hop in way.hops
                ],
                "probe": probe_told(way) if trace.wanted.probes else "",
                "meaning": way.agreement.meaning if way.probed is not None else "",
            }
            for way in trace.ways
        ],
        "unseen": [f"{answer.question.action} ({answer.code})" for answer in trace.unseen],
    }


def _vpc_of(function: Mapping[str, Any]) -> str:
    return str((function.get("VpcConfig") or {}).get("VpcId", ""))


def _rules(group: Mapping[str, Any]) -> Mapping[str, list[str]]:
    return {
        "in": groups.told(group.get("IpPermissions") or ()),
        "out": groups.told(group.get("IpPermissionsEgress") or ()),
    }


def _routes(table: Mapping[str, Any]) -> list[str]:
    return [f"{to_of(route)} to {target_of(route) or '?'}" for route in table.get("Routes", [])]
