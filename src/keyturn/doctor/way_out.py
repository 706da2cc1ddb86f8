"""The routes that let a function out: through a NAT gateway, whose own subnet needs one to an internet gateway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from shlex import quote

from keyturn.rules.network.hops import HopKind, Passage
from keyturn.rules.network.routes import table_of, target_of
from keyturn.rules.network.traffic import Json

from .model import Change, Remedy
from .network import Network, entries_in

_ALL = "0.0.0.0/0"
_ROUTED = (HopKind.ROUTE, HopKind.INTERNET_GATEWAY, HopKind.NAT)


def let_out(network: Network, gateway_id: str) -> Remedy | None:
    """Return how the subnet of a NAT gateway is routed to an internet gateway; None if its subnet is not known."""
    picture = network.picture
    subnet_id = _subnet_of(network, gateway_id)
    vpc_id = picture.vpc_of(subnet_id)
    table = table_of(subnet_id, vpc_id, picture.route_tables or ())
    if table is None:
        return None
    gateway, making_gateway = _internet_gateway(network, vpc_id)
    what = f"the internet gateway of {vpc_id}" if not making_gateway else f"an internet gateway, which {vpc_id} lacks"
    table_id, others = str(table["RouteTableId"]), _others_by(network, table, subnet_id)
    if not others:
        is_routed = _has_default(table)
        text = f"Let the subnet of {gateway_id}, {subnet_id}, out through {what}."
        if not making_gateway:
            parameters = {"RouteTableId": table_id, "DestinationCidrBlock": _ALL, "GatewayId": gateway}
            return Remedy(text, (Change("ec2", "ReplaceRoute" if is_routed else "CreateRoute", parameters),))
        return Remedy(text, by_hand=(*making_gateway, _route(quote(table_id), gateway, replaced=is_routed)))
    return Remedy(
        f"Give the subnet of {gateway_id}, {subnet_id}, a route table of its own, which leads out through {what}:"
        f" {table_id} is that of {', '.join(others)}, too, which have to stay private.",
        by_hand=(
            *making_gateway,
            (
                f"ROUTE_TABLE=$(aws ec2 create-route-table --vpc-id {quote(vpc_id)}"
                " --query RouteTable.RouteTableId --output text)"
            ),
            _route("$ROUTE_TABLE", gateway),
            _associated(table, subnet_id),
        ),
    )


def through_nat(network: Network, subnet_ids: Iterable[str]) -> Remedy | None:
    """Return how subnets are routed to a NAT gateway that is there and leads out; None if that is not all it takes.

    Where groups or network ACLs do not let the function out to the internet, an endpoint widens less.
    """
    subnet_ids = tuple(subnet_ids)
    hops = [hop for each in subnet_ids for hop in network.ways_to_secrets_manager[each]]
    if any(hop.passage is Passage.BLOCKS and hop.kind not in _ROUTED for hop in hops):
        return None
    tables = {each: _table_of(network, each) for each in subnet_ids}
    gateway = next(
        (each for each in _ready(network) if _table_of(network, str(each["SubnetId"])) not in tables.values()), None
    )
    if gateway is None or None in tables.values():
        return None
    gateway_id = str(gateway["NatGatewayId"])
    found = {str(each["RouteTableId"]): each for each in tables.values() if each is not None}
    changes = tuple(
        Change(
            "ec2",
            "ReplaceRoute" if _has_default(table) else "CreateRoute",
            {"RouteTableId": table_id, "DestinationCidrBlock": _ALL, "NatGatewayId": gateway_id},
        )
        for table_id, table in found.items()
    )
    own = [*tables]
    others = sorted({each for table in found.values() for each in _others_by(network, table, own[0])} - {*own})
    too = f" {', '.join(others)} {'has' if len(others) == 1 else 'have'} that table, too." if others else ""
    return Remedy(
        f"Let the default route of {', '.join(found)} lead to {gateway_id}, which is there and leads out.{too}", changes
    )


def _ready(network: Network) -> Iterator[Json]:
    """Return the NAT gateways of the function's VPC that lead out."""
    for each in entries_in(network.other_nat_gateways, "NatGateways") or ():
        table = _table_of(network, str(each.get("SubnetId")))
        is_public = each.get("State") == "available" and each.get("ConnectivityType", "public") == "public"
        routes = (table or {}).get("Routes") or ()
        if is_public and any(_is_default(route) and target_of(route).startswith("igw-") for route in routes):
            yield each


def _table_of(network: Network, subnet_id: str) -> Json | None:
    return table_of(subnet_id, network.picture.vpc_of(subnet_id), network.picture.route_tables or ())


def _is_default(route: Json) -> bool:
    return route.get("DestinationCidrBlock") == _ALL and route.get("State") != "blackhole"


def _has_default(table: Json) -> bool:
    return any(route.get("DestinationCidrBlock") == _ALL for route in table.get("Routes") or ())


def _subnet_of(network: Network, gateway_id: str) -> str:
    picture = network.picture
    entries = [*(picture.nat_gateways or ()), *(picture.instances or ())]
    ids = ("NatGatewayId", "InstanceId")
    return next((str(each.get("SubnetId")) for each in entries if gateway_id in map(each.get, ids)), "")


def _internet_gateway(network: Network, vpc_id: str) -> tuple[str, tuple[str, ...]]:
    """Return the internet gateway of a VPC, as commands name it, and the commands that make one if there is none."""
    attached = [
        str(each["InternetGatewayId"]) for each in entries_in(network.internet_gateways, "InternetGateways") or ()
    ]
    routed = [
        target_of(route)
        for table in network.picture.route_tables or ()
        for route in (table.get("Routes") or () if table.get("VpcId") == vpc_id else ())
        if target_of(route).startswith("igw-") and route.get("State") != "blackhole"
    ]
    found = next(iter([*attached, *routed]), None)
    if found is not None:
        return found, ()
    return "$GATEWAY", (
        ("GATEWAY=$(aws ec2 create-internet-gateway --query InternetGateway.InternetGatewayId --output text)"),
        f"aws ec2 attach-internet-gateway --internet-gateway-id $GATEWAY --vpc-id {quote(vpc_id)}",
    )


def _others_by(network: Network, table: Json, subnet_id: str) -> list[str]:
    """Return the other subnets that a route table is the table of."""
    picture = network.picture
    ids = [str(each["SubnetId"]) for each in picture.subnets or () if each["VpcId"] == table.get("VpcId")]
    tables = {each: table_of(each, str(table.get("VpcId")), picture.route_tables or ()) for each in ids}
    return [each for each in ids if each != subnet_id and tables[each] is table]


def _associated(table: Json, subnet_id: str) -> str:
    """Return the command that gives a subnet the new table, in place of its own if it has one."""
    for each in table.get("Associations") or ():
        if each.get("SubnetId") == subnet_id and each.get("RouteTableAssociationId"):
            own = quote(str(each["RouteTableAssociationId"]))
            return f"aws ec2 replace-route-table-association --association-id {own} --route-table-id $ROUTE_TABLE"
    return f"aws ec2 associate-route-table --subnet-id {quote(subnet_id)} --route-table-id $ROUTE_TABLE"


def _route(table: str, gateway: str, *, replaced: bool = False) -> str:
    named = gateway if gateway.startswith("$") else quote(gateway)
    return (
        f"aws ec2 {'replace' if replaced else 'create'}-route --route-table-id {table} --destination-cidr-block {_ALL}"
        f" --gateway-id {named}"
    )
