"""What a route leads to, and whether it leads on from there.

Sources: AWS Lambda Developer Guide, "Giving Lambda functions access to resources in an Amazon VPC" (a function's
interface has no public address, so that an internet gateway sends nothing back to it); Amazon VPC User Guide, "NAT
gateways" and "NAT instances".
"""

from __future__ import annotations

from collections.abc import Sequence

from .hops import Hop, HopKind, Passage
from .picture import Picture
from .routes import Leg, is_local, leads_elsewhere, legs_to, table_of, target_of
from .traffic import PUBLIC, Json, Networks

PASSES, BLOCKS, UNKNOWN = Passage.PASSES, Passage.BLOCKS, Passage.UNKNOWN


def routed_to_internet(picture: Picture, subnet_id: str, to: Networks = PUBLIC) -> tuple[Hop, ...]:
    """Return the hops from a function's subnet to public addresses: its routes, and what they lead to."""
    if picture.route_tables is None or picture.subnet(subnet_id) is None:
        return (Hop(HopKind.ROUTE, subnet_id, UNKNOWN, "where its packets go is not known"),)
    table = table_of(subnet_id, picture.vpc_of(subnet_id), picture.route_tables)
    if table is None:
        return (Hop(HopKind.ROUTE, subnet_id, UNKNOWN, "it has no route table that is known"),)
    at = str(table.get("RouteTableId"))
    legs, is_all_known = _legs_out(picture, table, to)
    hops = [_led_to_internet(picture, table, leg, to) for leg in legs]
    if not is_all_known:
        hops.append(Hop(HopKind.ROUTE, at, UNKNOWN, "it has routes by a prefix list that may not be looked at"))
    blocked = [hop for hop in hops if hop.passage is BLOCKS]
    if blocked and len(blocked) < len(hops):
        # Some public addresses are reached and some are not: which are Secrets Manager's is not known from here.
        return (Hop(HopKind.ROUTE, at, UNKNOWN, "its routes lead to a part of the internet only"),)
    return (_surest(blocked),) if blocked else tuple(hops)


def _legs_out(picture: Picture, table: Json, to: Networks) -> tuple[list[Leg], bool]:
    """Return by which routes the internet is reached: a VPC may have public addresses, and those are in it."""
    legs, is_all_known = legs_to(table, to, picture.prefix_lists)
    return [leg for leg in legs if leg.route is None or not is_local(leg.route)], is_all_known


def _surest(hops: Sequence[Hop]) -> Hop:
    """Return the hop that explains most: a broken gateway before the lack of a route."""
    return next((hop for hop in hops if hop.kind is not HopKind.ROUTE), hops[0])


def _led_to_internet(picture: Picture, table: Json, leg: Leg, to: Networks) -> Hop:
    at, route = str(table.get("RouteTableId")), leg.route
    if route is None:
        if leads_elsewhere(table):
            why = "has no default route, and routes to other networks that may have an endpoint of their own"
            return Hop(HopKind.ROUTE, at, UNKNOWN, why)
        return Hop(HopKind.ROUTE, at, BLOCKS, "has no default route")
    target = target_of(route)
    if target.startswith("igw-"):
        why = "leads to an internet gateway, and a function has no public address to be answered at"
        return Hop(HopKind.INTERNET_GATEWAY, at, BLOCKS, why, route)
    if target.startswith("nat-"):
        return _nat_gateway(picture, route, to)
    if target.startswith(("i-", "eni-")):
        return _instance(picture, route, to)
    if route.get("State") == "blackhole":
        return Hop(HopKind.ROUTE, at, BLOCKS, f"its default route leads to {target or 'something'} that is gone", route)
    return Hop(HopKind.ROUTE, at, UNKNOWN, f"whether {target or 'its target'} leads on is not seen from here", route)


def _nat_gateway(picture: Picture, route: Json, to: Networks) -> Hop:
    nat_id = target_of(route)
    if route.get("State") == "blackhole":
        return Hop(HopKind.NAT, nat_id, BLOCKS, "is gone: the route to it is a black hole", route)
    if picture.nat_gateways is None:
        return Hop(HopKind.NAT, nat_id, UNKNOWN, "whether it works is not known", route)
    # EC2 stops listing a deleted gateway after about an hour.
    nat = next((each for each in picture.nat_gateways if each.get("NatGatewayId") == nat_id), None)
    if nat is None:
        return Hop(HopKind.NAT, nat_id, BLOCKS, "does not exist any more", route)
    state = str(nat.get("State"))
    if state != "available":
        said = f": {nat['FailureMessage']}" if nat.get("FailureMessage") else ""
        return Hop(HopKind.NAT, nat_id, BLOCKS, f"is {state}{said}", nat)
    if nat.get("ConnectivityType", "public") != "public" or not nat.get("SubnetId"):
        return Hop(HopKind.NAT, nat_id, UNKNOWN, "where it leads on is not seen from here", nat)
    return _leads_out(picture, nat_id, str(nat["SubnetId"]), nat, to)


def _instance(picture: Picture, route: Json, to: Networks) -> Hop:
    instance_id = str(route.get("InstanceId") or target_of(route))
    if route.get("State") == "blackhole":
        return Hop(HopKind.NAT, instance_id, BLOCKS, "is stopped or gone: the route to it is a black hole", route)
    entry = next((each for each in picture.instances or () if each.get("InstanceId") == instance_id), None)
    if entry is None:
        return Hop(HopKind.NAT, instance_id, UNKNOWN, "whether it forwards packets is not known", route)
    state = str((entry.get("State") or {}).get("Name"))
    if state != "running":
        return Hop(HopKind.NAT, instance_id, BLOCKS, f"is a NAT instance that is {state}", route)
    if entry.get("SourceDestCheck"):
        why = "is an instance that drops what it is to forward: its source/destination check is on"
        return Hop(HopKind.NAT, instance_id, BLOCKS, why, route)
    # What its system does with the packets is not seen from outside.
    out = _leads_out(picture, instance_id, str(entry.get("SubnetId")), route, to)
    return out if out.passage is BLOCKS else Hop(HopKind.NAT, instance_id, UNKNOWN, "may forward packets", route)


def _leads_out(picture: Picture, gateway_id: str, subnet_id: str, entry: Json, to: Networks) -> Hop:
    """Return whether a gateway's own subnet leads to an internet gateway."""
    vpc_id = picture.vpc_of(subnet_id)
    table = None if picture.route_tables is None else table_of(subnet_id, vpc_id, picture.route_tables)
    if table is None:
        return Hop(HopKind.NAT, gateway_id, UNKNOWN, f"where its subnet {subnet_id} leads is not known", entry)
    legs, is_all_known = _legs_out(picture, table, to)
    goes_out = [
        leg.route is not None and target_of(leg.route).startswith("igw-") and leg.route.get("State") != "blackhole"
        for leg in legs
    ]
    if all(goes_out) and is_all_known:
        return Hop(HopKind.NAT, gateway_id, PASSES, "leads to the internet", entry)
    at = str(table.get("RouteTableId"))
    is_dead = not any(goes_out) and is_all_known and not leads_elsewhere(table)
    passage = BLOCKS if is_dead else UNKNOWN
    why = f"is in {subnet_id}, whose route table {at} has no default route to an internet gateway"
    return Hop(HopKind.NAT, gateway_id, passage, why, entry)
