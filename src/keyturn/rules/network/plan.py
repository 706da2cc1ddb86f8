"""What a function's network lets it reach, compiled from EC2's entries: packet filters are written from this.

For TCP and UDP over IPv4; ICMP has no permit, and IPv6 none either. What is not known is not permitted.

- ``permits`` decides which packets may leave, for whole networks and port ranges.
- ``doors`` decides where Keyturn's APIs are reached and what their names lead to.
- ``packet_rules`` writes the rules that a kernel loads; ``maps`` says which real networks stand behind addresses.

``trace`` reads the same entries hop by hop, for one address and port, in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, collapse_addresses

from .doors import Door, Resolver, doors_of, resolver_of
from .gateways import routed_to_internet
from .hops import HopKind, Passage
from .permits import KEYTURN_PUBLIC_ADDRESS, Permit, permits_of
from .picture import Picture
from .routes import is_local, known_routes, table_of
from .traffic import Json, networks_of
from .ways import Origin

__all__ = ["KEYTURN_PUBLIC_ADDRESS", "Door", "NetworkPlan", "Permit", "Resolver", "plan_of"]


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What a function in one subnet reaches.

    Attributes:
        vpc_id: The subnet's VPC.
        subnet_id: The subnet.
        address: The private address of the function's interface.
        public_source: The public address that packets come from behind the NAT gateway; empty without one.
        networks: The VPC's own, also public ones: an address of theirs that is not mapped to a real one is empty.
        permits: What may leave, each packet by one of them at most.
        doors: Where Keyturn's APIs are reached.
        resolver: The VPC's DNS server.
    """

    vpc_id: str
    subnet_id: str
    address: str
    public_source: str
    networks: tuple[IPv4Network, ...]
    permits: tuple[Permit, ...]
    doors: tuple[Door, ...]
    resolver: Resolver


def plan_of(
    picture: Picture,
    origin: Origin,
    *,
    region: str,
    interfaces: Sequence[Json],
    address: str,
    services: Sequence[str],
) -> NetworkPlan:
    """Return what a function reaches.

    Args:
        picture: EC2's entries, of the function's VPC at least.
        origin: The function's subnet and groups.
        region: Where it runs.
        interfaces: DescribeNetworkInterfaces' entries of the VPC.
        address: The private address of the function's own interface.
        services: What Keyturn serves, by the first labels of hosts: ``secretsmanager``, ``iam``.
    """
    vpc_id = picture.vpc_of(origin.subnet_id)
    return NetworkPlan(
        vpc_id=vpc_id,
        subnet_id=origin.subnet_id,
        address=address,
        public_source=_public_source(picture, origin.subnet_id),
        networks=_networks_of_vpc(picture, origin.subnet_id, vpc_id),
        permits=permits_of(picture, origin, interfaces, address),
        doors=doors_of(picture, vpc_id, region, interfaces),
        resolver=resolver_of(picture, vpc_id, region, interfaces, services),
    )


def _networks_of_vpc(picture: Picture, subnet_id: str, vpc_id: str) -> tuple[IPv4Network, ...]:
    vpc = next((each for each in picture.vpcs or () if each.get("VpcId") == vpc_id), {})
    blocks = [vpc.get("CidrBlock"), *(each.get("CidrBlock") for each in vpc.get("CidrBlockAssociationSet") or ())]
    blocks += [each.get("CidrBlock") for each in picture.subnets or () if each.get("VpcId") == vpc_id]
    networks = list(networks_of(str(each) for each in blocks if each))
    table = table_of(subnet_id, vpc_id, picture.route_tables or ()) or {}
    networks += [each for each, route in known_routes(table, picture.prefix_lists)[0] if is_local(route)]
    return tuple(collapse_addresses(each for each in networks if isinstance(each, IPv4Network)))


def _public_source(picture: Picture, subnet_id: str) -> str:
    """Return the primary public address of the NAT gateway by which a subnet reaches Keyturn's public one."""
    hops = routed_to_internet(picture, subnet_id, networks_of([KEYTURN_PUBLIC_ADDRESS]))
    gateways = [hop.rule or {} for hop in hops if hop.kind is HopKind.NAT and hop.passage is Passage.PASSES]
    addresses = [each for gateway in gateways for each in gateway.get("NatGatewayAddresses") or ()]
    addresses.sort(key=lambda each: not each.get("IsPrimary"))
    return next((str(each["PublicIp"]) for each in addresses if each.get("PublicIp")), "")
