"""The way of one packet from a function to any host and port, hop by hop.

It reads what ``permits`` compiles: a packet has a permit exactly if its hops pass. Every hop is told, also behind one
that blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from . import acls, groups
from .gateways import routed_to_internet
from .hops import Hop, HopKind, Passage
from .maps import THIS_MACHINE, Map, real_of, seen_as
from .permits import REACHED_OUTSIDE, groups_at, subnet_at
from .picture import Picture
from .plan import NetworkPlan, Resolver
from .routes import is_local, known_routes, table_of, target_of
from .traffic import HTTPS, PUBLIC, Json, Ports, Side, networks_of
from .ways import Origin

PASSES, BLOCKS, UNKNOWN = Passage.PASSES, Passage.BLOCKS, Passage.UNKNOWN
_DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class Packet:
    """What is on its way.

    Attributes:
        source: The private address of the function's interface, or the network in which it lies.
        to: The address that it goes to, IPv4.
        port: The port there.
        protocol: ``tcp`` or ``udp``.
    """

    source: str
    to: str
    port: int
    protocol: str = "tcp"

    @property
    def ports(self) -> Ports:
        """The port that it goes to, as rules are asked."""
        return Ports(self.port, self.port)


def resolved(resolver: Resolver, host: str, found: Sequence[str] = ()) -> tuple[Hop, tuple[str, ...]]:
    """Return the hop that makes a name an address, and the addresses; empty if there are none.

    Args:
        resolver: The VPC's DNS server.
        host: The name.
        found: What the operator's DNS says of it, as functions see it: asked for what is no name of a service.
    """
    at = resolver.addresses[0]
    if not resolver.answers:
        why = f"does not answer, as the VPC's enableDnsSupport is off: {host} has no address"
        return Hop(HopKind.VPC_DNS, at, BLOCKS, why), ()
    known = dict(resolver.names).get(host.lower().rstrip("."), tuple(found))
    if not known:
        return Hop(HopKind.VPC_DNS, at, BLOCKS, f"knows no address of {host}"), ()
    return Hop(HopKind.VPC_DNS, at, PASSES, f"says that {host} is {', '.join(known)}"), known


def hops_to(picture: Picture, origin: Origin, interfaces: Sequence[Json], packet: Packet) -> tuple[Hop, ...]:
    """Return the hops of a packet, in its order, then those of the answer.

    Args:
        picture: EC2's entries, of the function's VPC at least.
        origin: The function's subnet and groups.
        interfaces: DescribeNetworkInterfaces' entries of the VPC.
        packet: The packet; what goes to the VPC's DNS server passes neither groups nor ACLs, and is none of these.
    """
    vpc_id = picture.vpc_of(origin.subnet_id)
    table = None if picture.route_tables is None else table_of(origin.subnet_id, vpc_id, picture.route_tables)
    if table is None or not vpc_id:
        return (Hop(HopKind.ROUTE, origin.subnet_id, UNKNOWN, "where its packets go is not known"),)
    address = IPv4Address(packet.to)
    routes, is_all_known = known_routes(table, picture.prefix_lists)
    route = next((route for network, route in routes if address in network), None)
    if route is not None and is_local(route):
        return _within(picture, origin, interfaces, packet, Hop(HopKind.ROUTE, _id_of(table), PASSES, _LOCAL, route))
    if any(address in network for network in REACHED_OUTSIDE):
        return _outside(picture, origin, packet)
    return (_left(picture, origin, packet), _led_elsewhere(table, route, packet, is_all_known=is_all_known))


_LOCAL = "leads to the VPC itself"


def _id_of(table: Json) -> str:
    return str(table.get("RouteTableId"))


def _left(picture: Picture, origin: Origin, packet: Packet, group_ids: frozenset[str] = frozenset()) -> Hop:
    kind, to = HopKind.FUNCTION_GROUP, Side(networks_of([packet.to]), group_ids, packet.to)
    lists = picture.prefix_lists
    return groups.let_out(kind, origin.group_ids, picture.groups, to, packet.ports, lists, packet.protocol)


def _within(
    picture: Picture, origin: Origin, interfaces: Sequence[Json], packet: Packet, route: Hop
) -> tuple[Hop, ...]:
    """Return the hops to an address of the VPC."""
    vpc_id, address = picture.vpc_of(origin.subnet_id), IPv4Address(packet.to)
    group_ids = groups_at(picture, vpc_id, interfaces).get(address)
    left = _left(picture, origin, packet, group_ids or frozenset())
    subnet_id = subnet_at(picture, vpc_id, address)
    if not subnet_id:
        passage = UNKNOWN if picture.subnets is None else BLOCKS
        return (left, route, Hop(HopKind.SUBNET, vpc_id, passage, f"has no subnet in which {packet.to} lies"))
    ports, protocol = packet.ports, packet.protocol
    arrived: tuple[Hop, ...] = ()
    if group_ids is not None:
        function = Side(networks_of([packet.source]), frozenset(origin.group_ids), f"the function at {packet.source}")
        kind, lists = HopKind.INTERFACE_GROUP, picture.prefix_lists
        admitted = groups.let_in(kind, sorted(group_ids), picture.groups, function, ports, lists, protocol)
        arrived = (admitted,)
    if subnet_id == origin.subnet_id:
        return (left, route, *arrived)
    out, back = _crossed_out(picture, origin.subnet_id, packet)
    entered, answered = acls.connect_in(subnet_id, picture.acls, networks_of([packet.source]), ports, protocol)
    return (left, out, route, entered, *arrived, answered, back)


def _outside(picture: Picture, origin: Origin, packet: Packet) -> tuple[Hop, ...]:
    """Return the hops to a public address."""
    routed = routed_to_internet(picture, origin.subnet_id, networks_of([packet.to]))
    out, back = _crossed_out(picture, origin.subnet_id, packet)
    before, after = [_left(picture, origin, packet), out], [back]
    nat = next((hop for hop in routed if hop.kind is HopKind.NAT and (hop.rule or {}).get("SubnetId")), None)
    if nat is None or nat.rule is None or nat.rule["SubnetId"] == origin.subnet_id:
        return (*before, *routed, *after)
    nat_subnet, source = str(nat.rule["SubnetId"]), networks_of([packet.source])
    entered, answered = acls.connect_in(nat_subnet, picture.acls, source, packet.ports, packet.protocol)
    gone, come_back = _crossed_out(picture, nat_subnet, packet)
    return (*before, entered, *routed, gone, come_back, answered, *after)


def _crossed_out(picture: Picture, subnet_id: str, packet: Packet) -> tuple[Hop, Hop]:
    return acls.connect_out(subnet_id, picture.acls, networks_of([packet.to]), packet.ports, packet.protocol)


def _led_elsewhere(table: Json, route: Json | None, packet: Packet, *, is_all_known: bool) -> Hop:
    """Return where the routes lead to an address that is neither the VPC's nor public."""
    at, to = _id_of(table), packet.to
    if not is_all_known:
        return Hop(HopKind.ROUTE, at, UNKNOWN, "it has routes by a prefix list that may not be looked at")
    if route is None:
        return Hop(HopKind.ROUTE, at, BLOCKS, f"has no route that leads to {to}, which is no public address")
    target = target_of(route)
    if route.get("State") == "blackhole":
        return Hop(HopKind.ROUTE, at, BLOCKS, f"its route to {to} leads to {target or 'something'} that is gone", route)
    if target.startswith(("igw-", "nat-")):
        why = f"leads to {target}, which takes nothing to {to}: it is no public address"
        return Hop(HopKind.ROUTE, at, BLOCKS, why, route)
    return Hop(HopKind.ROUTE, at, UNKNOWN, f"whether {target or 'its target'} leads on is not seen from here", route)


def landed(plan: NetworkPlan, maps: Sequence[Map], packet: Packet) -> Hop:
    """Return what is at the address that a packet goes to: an API of Keyturn's, a real host, a public one, nothing."""
    address = IPv4Address(packet.to)
    if address.is_loopback:
        return Hop(HopKind.LOOPBACK, packet.to, BLOCKS, f"{OWN_LOOPBACK}; {_mapped_instead(plan, maps)}")
    if packet.to in plan.resolver.addresses and packet.port == _DNS_PORT:
        is_open = plan.resolver.answers
        why = "is the VPC's DNS server" if is_open else "is the VPC's DNS server, which enableDnsSupport has off"
        return Hop(HopKind.VPC_DNS, packet.to, PASSES if is_open else BLOCKS, why)
    door = next((door for door in plan.doors if packet.to in door.addresses), None)
    if door is not None:
        at, is_open = door.endpoint_id or packet.to, (packet.protocol, packet.port) == ("tcp", HTTPS.first)
        why = "leads to Keyturn" if is_open else "answers at tcp 443 only"
        return Hop(HopKind.ENDPOINT, at, PASSES if is_open else BLOCKS, why)
    real = real_of(maps, address)
    if real is not None:
        return Hop(HopKind.MAP, packet.to, PASSES, f"is {real} in the real network")
    if any(address in network for network in PUBLIC) and not any(address in network for network in plan.networks):
        return Hop(HopKind.MAP, packet.to, PASSES, "is a public address, reached from this machine")
    why = "is nobody's: no network map leads there"
    if any(address in network for network in plan.networks):
        why = f"{why}; serve with --network-map {packet.to}=ADDRESS, the real one (setting network_map)"
    return Hop(HopKind.MAP, packet.to, BLOCKS, why)


OWN_LOOPBACK = "is the function's own, and nothing of the server's machine is there"


def _mapped_instead(plan: NetworkPlan, maps: Sequence[Map]) -> str:
    """Return how the machine's own 127.0.0.1 is reached."""
    seen = [each for each in seen_as(maps, THIS_MACHINE) if any(each in network for network in plan.networks)]
    if seen:
        return f"by the network map that machine is {' and '.join(map(str, seen))}: use that address"
    inside = f" in {plan.networks[0]}" if plan.networks else ""
    return f"serve with --network-map ADDRESS=127.0.0.1 (setting network_map), an ADDRESS{inside}, and use that"
