"""The whole way from a function's subnet: to Secrets Manager, and to a database.

Every hop is judged, also behind one that blocks, so that all that is broken is told at once. The way to Secrets
Manager is the endpoint's where the function calls a name that leads to one; the public one otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import acls, groups
from .endpoints import endpoint_for, endpoint_named, named_by, state_of
from .gateways import routed_to_internet
from .hops import Hop, HopKind, Passage, passage_of
from .picture import Picture
from .routes import is_local, legs_to, table_of, target_of
from .traffic import HTTPS, INTERNET, PUBLIC, Json, Networks, Ports, Side, networks_of


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a function's packets begin.

    Attributes:
        subnet_id: One of its subnets.
        group_ids: Its security groups.
        addresses: Of its network interface there; empty if they are not known, and may be any of the subnet's.
    """

    subnet_id: str
    group_ids: tuple[str, ...]
    addresses: Networks = ()

    def networks(self, picture: Picture) -> Networks:
        """Return where its packets come from."""
        return self.addresses or picture.networks(self.subnet_id)


def depends_on_address(hop: Hop) -> bool:
    """Whether a hop lets a part of a subnet's addresses pass, so that it matters which one the function has."""
    return hop.passage is Passage.UNKNOWN and hop.rule is not None and hop.kind in _BY_ADDRESS


def sharpened(by_subnet: tuple[Hop, ...], by_address: tuple[Hop, ...]) -> tuple[Hop, ...]:
    """Return a way by what is known of the function's address where that matters; what it lacks is for its subnet.

    Args:
        by_subnet: The hops from any address of the subnet.
        by_address: The same from the function's own.
    """
    return tuple(
        replace(exact, lacks=hop.lacks if exact.lacks is not None else None) if depends_on_address(hop) else hop
        for hop, exact in zip(by_subnet, by_address, strict=True)
    )


_BY_ADDRESS = (HopKind.ACL, HopKind.DATABASE_GROUP, HopKind.ENDPOINT_GROUP)


@dataclass(frozen=True, slots=True)
class Server:
    """A server in a VPC.

    Attributes:
        vpc_id: Its VPC.
        subnet_ids: Where it may listen.
        group_ids: Its security groups; None if no interface has its address, so that it has none.
        kind: What hops through these are called.
        name: In words.
        address: Its own, if it is known; it may be any of its subnets' otherwise.
    """

    vpc_id: str
    subnet_ids: tuple[str, ...]
    group_ids: tuple[str, ...] | None
    kind: HopKind
    name: str
    address: str = ""

    def networks(self, picture: Picture, *subnet_ids: str) -> Networks:
        """Return where it may listen in some of its subnets."""
        return networks_of([self.address]) if self.address else picture.networks(*subnet_ids)


def to_secrets_manager(picture: Picture, origin: Origin, region: str, host: str) -> tuple[Hop, ...]:
    """Return the hops from a function's subnet to Secrets Manager.

    Args:
        picture: What is known.
        origin: Where the packets begin.
        region: The secret's.
        host: What the function calls.
    """
    vpc_id = picture.vpc_of(origin.subnet_id)
    endpoint = endpoint_for(picture.endpoints or (), vpc_id, region, host)
    if picture.endpoints is None or not vpc_id:
        return (Hop(HopKind.ENDPOINT, origin.subnet_id, Passage.UNKNOWN, "whether there is an endpoint is not known"),)
    if endpoint is None and endpoint_named(host):
        why = f"there is no endpoint {endpoint_named(host)} in {vpc_id}"
        return (Hop(HopKind.ENDPOINT, endpoint_named(host), Passage.UNKNOWN, why),)
    public = to_internet(picture, origin, HTTPS)
    if endpoint is None:
        return public
    leads_there = named_by(picture, endpoint, host)
    if leads_there[0].passage is Passage.BLOCKS and _is_way_out(public):
        # The public name leads out, and out there is a way.
        return public
    server = Server(
        vpc_id=vpc_id,
        subnet_ids=tuple(endpoint.get("SubnetIds") or ()),
        # The interfaces' own groups are not told truly by every server.
        group_ids=tuple(str(each.get("GroupId")) for each in endpoint.get("Groups") or ()),
        kind=HopKind.ENDPOINT_GROUP,
        name=f"the endpoint {endpoint.get('VpcEndpointId')}",
    )
    return (*leads_there, state_of(endpoint), *within_vpc(picture, origin, server, HTTPS))


def _is_way_out(public: Sequence[Hop]) -> bool:
    return passage_of(hop for hop in public if hop.kind in _ROUTED) is not Passage.BLOCKS


_ROUTED = (HopKind.ROUTE, HopKind.INTERNET_GATEWAY, HopKind.NAT)


def to_internet(picture: Picture, origin: Origin, ports: Ports) -> tuple[Hop, ...]:
    """Return the hops from a function's subnet to a public server."""
    routed = routed_to_internet(picture, origin.subnet_id)
    hops = [
        *routed,
        groups.let_out(HopKind.FUNCTION_GROUP, origin.group_ids, picture.groups, INTERNET, ports, picture.prefix_lists),
        *acls.connect_out(origin.subnet_id, picture.acls, PUBLIC, ports),
    ]
    for nat_subnet in _nat_subnets(routed):
        if nat_subnet != origin.subnet_id:
            hops += acls.connect_in(nat_subnet, picture.acls, origin.networks(picture), ports)
            hops += acls.connect_out(nat_subnet, picture.acls, PUBLIC, ports)
    return tuple(hops)


def _nat_subnets(hops: Sequence[Hop]) -> list[str]:
    return [
        str(hop.rule["SubnetId"])
        for hop in hops
        if hop.kind is HopKind.NAT and hop.rule is not None and hop.rule.get("SubnetId")
    ]


def within_vpc(picture: Picture, origin: Origin, server: Server, ports: Ports) -> tuple[Hop, ...]:
    """Return the hops from a function's subnet to a server in its VPC: groups both ways, network ACLs both ways."""
    function = Side(origin.networks(picture), frozenset(origin.group_ids), f"the function in {origin.subnet_id}")
    networks = server.networks(picture, *server.subnet_ids)
    there = Side(networks, frozenset(server.group_ids or ()), server.name)
    lists = picture.prefix_lists
    out = groups.let_out(HopKind.FUNCTION_GROUP, origin.group_ids, picture.groups, there, ports, lists)
    return (out, *_admitted(picture, server, function, ports), *_acls(picture, origin, server, ports))


def _admitted(picture: Picture, server: Server, of: Side, ports: Ports) -> tuple[Hop, ...]:
    """Return whether a server's groups let a side in; nothing if there are none on its side."""
    if server.group_ids is None:
        return ()
    return (groups.let_in(server.kind, server.group_ids, picture.groups, of, ports, picture.prefix_lists),)


def _acls(picture: Picture, origin: Origin, server: Server, ports: Ports) -> list[Hop]:
    """Return the network ACLs between; there are none where the server is in the function's own subnet."""
    hops: list[Hop] = []
    for subnet_id in server.subnet_ids:
        if subnet_id != origin.subnet_id:
            hops += acls.connect_out(origin.subnet_id, picture.acls, server.networks(picture, subnet_id), ports)
            hops += acls.connect_in(subnet_id, picture.acls, origin.networks(picture), ports)
    return hops


def to_server(picture: Picture, origin: Origin, server: Server, ports: Ports) -> tuple[Hop, ...]:
    """Return the hops from a function's subnet to a server's private address, in its VPC or in another one."""
    if picture.vpc_of(origin.subnet_id) == server.vpc_id:
        return within_vpc(picture, origin, server, ports)
    routed = (
        *(
            _routed_between(picture, origin.subnet_id, each, server.networks(picture, each))
            for each in server.subnet_ids
        ),
        *(
            _routed_between(picture, each, origin.subnet_id, picture.networks(origin.subnet_id))
            for each in server.subnet_ids
        ),
    )
    return (*routed, *within_vpc(picture, origin, server, ports))


def _routed_between(picture: Picture, subnet_id: str, other_id: str, networks: Networks) -> Hop:
    """Return whether the routes of a subnet lead to addresses of another, in another VPC."""
    table = None
    if picture.route_tables is not None:
        table = table_of(subnet_id, picture.vpc_of(subnet_id), picture.route_tables)
    if table is None or not networks:
        return Hop(HopKind.ROUTE, subnet_id, Passage.UNKNOWN, f"whether it leads to {other_id} is not known")
    at, what = str(table.get("RouteTableId")), ", ".join(map(str, networks))
    legs, is_all_known = legs_to(table, networks, picture.prefix_lists)
    passages = {_led_to_vpc(picture, leg.route, picture.vpc_of(other_id)) for leg in legs}
    if passages == {Passage.PASSES}:
        return Hop(HopKind.ROUTE, at, Passage.PASSES, f"leads to {what}", legs[0].route)
    if passages == {Passage.BLOCKS} and is_all_known:
        return Hop(HopKind.ROUTE, at, Passage.BLOCKS, f"has no route that leads to {what}", legs[0].route)
    return Hop(HopKind.ROUTE, at, Passage.UNKNOWN, f"whether it leads to {what} is not seen from here", legs[0].route)


def _led_to_vpc(picture: Picture, route: Json | None, vpc_id: str) -> Passage:
    if route is None or route.get("State") == "blackhole" or is_local(route):
        return Passage.BLOCKS
    target = target_of(route)
    if not target.startswith("pcx-"):
        # An internet gateway or a NAT gateway leads to no private address; what else there is may.
        return Passage.BLOCKS if target.startswith(("igw-", "nat-")) else Passage.UNKNOWN
    peering = next((each for each in picture.peerings or () if each.get("VpcPeeringConnectionId") == target), None)
    if peering is None:
        return Passage.UNKNOWN
    sides = {(peering.get(side) or {}).get("VpcId") for side in ("RequesterVpcInfo", "AccepterVpcInfo")}
    is_active = (peering.get("Status") or {}).get("Code") == "active"
    return Passage.PASSES if is_active and vpc_id in sides else Passage.BLOCKS


def to_public_server(picture: Picture, origin: Origin, server: Server, ports: Ports) -> tuple[Hop, ...]:
    """Return the hops from a function's subnet to a server's public address."""
    public = to_internet(picture, origin, ports)
    addresses = networks_of(address for hop in public for address in _nat_addresses(hop))
    nat = Side(addresses or PUBLIC, name=f"the NAT gateway's {', '.join(map(str, addresses))}" if addresses else "")
    return (*public, *_admitted(picture, server, nat, ports), *_acls_from(picture, server, nat, ports))


def from_anywhere(picture: Picture, server: Server, ports: Ports) -> tuple[Hop, ...]:
    """Return the hops to a server's public address from a function in no VPC: its address may be any public one."""
    return (*_admitted(picture, server, INTERNET, ports), *_acls_from(picture, server, INTERNET, ports))


def _nat_addresses(hop: Hop) -> list[str]:
    entry = hop.rule if hop.kind is HopKind.NAT and hop.rule is not None else {}
    return [str(each["PublicIp"]) for each in entry.get("NatGatewayAddresses") or () if each.get("PublicIp")]


def _acls_from(picture: Picture, server: Server, of: Side, ports: Ports) -> list[Hop]:
    return [hop for each in server.subnet_ids for hop in acls.connect_in(each, picture.acls, of.networks, ports)]
