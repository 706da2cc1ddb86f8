"""Route tables: the most specific route decides.

Source: Amazon VPC User Guide, "Subnet route tables" and "Route priority": a subnet without a table of its own has the
VPC's main one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .groups import PrefixLists
from .traffic import IPNetwork, Json, Networks, networks_of, within, without

_TARGETS = (
    "NatGatewayId",
    "TransitGatewayId",
    "VpcPeeringConnectionId",
    "InstanceId",
    "NetworkInterfaceId",
    "EgressOnlyInternetGatewayId",
    "CarrierGatewayId",
    "LocalGatewayId",
    "CoreNetworkArn",
    "GatewayId",
)


@dataclass(frozen=True, slots=True)
class Leg:
    """Addresses that one route leads to, or none.

    Attributes:
        networks: The addresses.
        route: DescribeRouteTables' entry; None if no route leads there.
    """

    networks: Networks
    route: Json | None


def table_of(subnet_id: str, vpc_id: str, tables: Sequence[Json]) -> Json | None:
    """Return the route table of a subnet: its own, else the VPC's main one; None if neither is among these."""
    main = None
    for table in tables:
        for association in table.get("Associations") or ():
            if association.get("SubnetId") == subnet_id:
                return table
            if association.get("Main") and table.get("VpcId") == vpc_id:
                main = table
    return main


def legs_to(table: Json, networks: Networks, prefix_lists: PrefixLists) -> tuple[tuple[Leg, ...], bool]:
    """Return by which routes addresses are reached, and whether all routes are known.

    Args:
        table: DescribeRouteTables' entry.
        networks: The addresses.
        prefix_lists: The lists that routes name.
    """
    known, is_all_known = known_routes(table, prefix_lists)
    left = networks
    legs: list[Leg] = []
    for network, route in known:
        common = within(left, network)
        left = without(left, network)
        before = next((position for position, leg in enumerate(legs) if leg.route is route), None)
        if before is not None:
            legs[before] = Leg(legs[before].networks + common, route)
        elif common:
            legs.append(Leg(common, route))
    if left:
        legs.append(Leg(left, None))
    return tuple(legs), is_all_known


def known_routes(table: Json, prefix_lists: PrefixLists) -> tuple[list[tuple[IPNetwork, Json]], bool]:
    """Return the networks that routes lead to, the most specific first, and whether all routes are known."""
    known: list[tuple[IPNetwork, Json]] = []
    is_all_known = True
    for route in table.get("Routes") or ():
        listed = route.get("DestinationPrefixListId")
        if listed and not target_of(route).startswith("vpce-"):
            entries = prefix_lists.get(str(listed))
            is_all_known = is_all_known and entries is not None
            known += [(network, route) for network in entries or ()]
        blocks = (route.get("DestinationCidrBlock"), route.get("DestinationIpv6CidrBlock"))
        known += [(network, route) for network in networks_of(each for each in blocks if each)]
    return sorted(known, key=lambda each: -each[0].prefixlen), is_all_known


def target_of(route: Json) -> str:
    """Return the id of what a route leads to: ``nat-1``, ``igw-1``, ``local``; empty if it tells none."""
    return next((str(route[name]) for name in _TARGETS if route.get(name)), "")


def is_local(route: Json) -> bool:
    """Whether a route leads to the VPC itself."""
    return target_of(route) == "local"


def leads_elsewhere(table: Json) -> bool:
    """Whether any route leads to other networks of one's own, which may have a way on that is not seen from here."""
    elsewhere = ("tgw-", "pcx-", "vgw-", "lgw-", "arn:")
    return any(target_of(route).startswith(elsewhere) for route in table.get("Routes") or ())
