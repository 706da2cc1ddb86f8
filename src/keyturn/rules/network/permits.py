"""Which packets may leave: the rules on their way, for whole networks and port ranges at once.

The addresses fall into ranges between which no rule draws a line: what holds of one address holds of its range. For
each, ports are cut down by everything on the way. What is not known lets nothing pass, and neither does a network ACL
that lets answers come back to some of Linux's ephemeral ports only: which of them a connection will use is not known.

Within the VPC, an address lies in one of its subnets, or nobody has it. Outside, there are public addresses, behind a
NAT gateway; private ones have no way, as there is nothing that would lead to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, collapse_addresses, summarize_address_range
from itertools import pairwise

from . import acls, groups
from .gateways import routed_to_internet
from .hops import HopKind, Passage, passage_of
from .picture import Picture
from .port_sets import PortSet, common, covers, remaining, united
from .routes import is_local, known_routes, table_of
from .traffic import ALL_PORTS, LOCAL_PORTS, NUMBERS, PUBLIC, IPNetwork, Json, Networks, Ports, networks_of
from .ways import Origin

KEYTURN_PUBLIC_ADDRESS = "203.0.113.10"
"""Where Keyturn's APIs are to functions that leave their VPC: in TEST-NET-3, which no server has (RFC 5737)."""
REACHED_OUTSIDE = (*PUBLIC, *networks_of([KEYTURN_PUBLIC_ADDRESS]))
"""What lies behind a NAT gateway."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Packets that may leave.

    Attributes:
        network: Where they go.
        protocol: ``tcp`` or ``udp``.
        ports: The ports that they go to.
    """

    network: IPv4Network
    protocol: str
    ports: Ports


@dataclass(frozen=True, slots=True)
class _Range:
    """Addresses between which no rule draws a line.

    Attributes:
        first: The first address.
        last: The last.
        subnet_id: Where they lie, or the NAT gateway that leads to them.
        is_public: They lie behind that gateway.
        group_ids: The groups of the interface that has the address; None if none has.
    """

    first: int
    last: int
    subnet_id: str
    is_public: bool
    group_ids: frozenset[str] | None


def permits_of(picture: Picture, origin: Origin, interfaces: Sequence[Json], address: str) -> tuple[Permit, ...]:
    """Return what may leave, in order, each packet by one permit at most.

    Args:
        picture: EC2's entries.
        origin: The function's subnet and groups.
        interfaces: DescribeNetworkInterfaces' entries of the VPC.
        address: The private address of the function's own interface.
    """
    ranges = list(_ranges(picture, origin, interfaces))
    found: list[Permit] = []
    for protocol in NUMBERS:
        rules = _Rules(picture, origin, int(IPv4Address(address)), protocol)
        by_ports: dict[PortSet, list[IPv4Network]] = {}
        for each in ranges:
            networks = summarize_address_range(IPv4Address(each.first), IPv4Address(each.last))
            by_ports.setdefault(rules.admitted(each), []).extend(networks)
        found += [
            Permit(network, protocol, ports)
            for admitted, networks in by_ports.items()
            for network in (collapse_addresses(networks) if admitted else ())
            for ports in admitted
        ]
    return tuple(sorted(found, key=lambda each: (each.protocol, each.network, each.ports)))


# Where addresses lie.


def groups_at(picture: Picture, vpc_id: str, interfaces: Sequence[Json]) -> Mapping[IPv4Address, frozenset[str]]:
    """Return the security groups of the interfaces of a VPC, by their addresses."""
    # The interfaces' own groups are not told truly by every server.
    of_endpoints = {
        interface_id: endpoint.get("Groups")
        for endpoint in picture.endpoints or ()
        for interface_id in endpoint.get("NetworkInterfaceIds") or ()
    }
    found: dict[IPv4Address, frozenset[str]] = {}
    for each in interfaces:
        if each.get("VpcId", vpc_id) != vpc_id:
            continue
        given = of_endpoints.get(each.get("NetworkInterfaceId")) or each.get("Groups") or ()
        ids = frozenset(str(group.get("GroupId")) for group in given)
        for address in addresses_of(each):
            found.setdefault(IPv4Address(address), ids)
    return found


def addresses_of(interface: Json) -> tuple[str, ...]:
    """Return the private addresses of an interface, the primary one first."""
    listed = [each.get("PrivateIpAddress") for each in interface.get("PrivateIpAddresses") or ()]
    return tuple(dict.fromkeys(str(each) for each in (interface.get("PrivateIpAddress"), *listed) if each))


def subnet_at(picture: Picture, vpc_id: str, address: IPv4Address) -> str:
    """Return the subnet of a VPC in which an address lies; empty if it lies in none."""
    for subnet in picture.subnets or ():
        if subnet.get("VpcId") == vpc_id and any(address in each for each in networks_of([str(subnet["CidrBlock"])])):
            return str(subnet["SubnetId"])
    return ""


def _ranges(picture: Picture, origin: Origin, interfaces: Sequence[Json]) -> Iterator[_Range]:
    """Draw all the lines, and return the ranges that are reached by routes."""
    vpc_id = picture.vpc_of(origin.subnet_id)
    table = table_of(origin.subnet_id, vpc_id, picture.route_tables or ())
    if table is None or not vpc_id:
        return
    routes, _ = known_routes(table, picture.prefix_lists)
    at = groups_at(picture, vpc_id, interfaces)
    for first, last in _between(_named(picture, origin, at)):
        address = IPv4Address(first)
        route = next((route for network, route in routes if address in network), None)
        if route is not None and is_local(route):
            subnet_id, is_public = subnet_at(picture, vpc_id, address), False
        elif any(address in network for network in REACHED_OUTSIDE):
            subnet_id, is_public = _way_out(picture, origin, address), True
        else:
            continue
        if subnet_id:
            yield _Range(first, last, subnet_id, is_public, None if is_public else at.get(address))


def _way_out(picture: Picture, origin: Origin, address: IPv4Address) -> str:
    """Return the subnet of the NAT gateway that leads to a public address; empty if none does."""
    hops = routed_to_internet(picture, origin.subnet_id, networks_of([str(address)]))
    if passage_of(hops) is not Passage.PASSES:
        return ""
    return next((str(hop.rule["SubnetId"]) for hop in hops if hop.kind is HopKind.NAT and hop.rule is not None), "")


def _named(picture: Picture, origin: Origin, at: Iterable[IPv4Address]) -> Iterator[IPNetwork]:
    """Return every network of which anything on the way says something; a VPC may have rules by the thousand."""
    yield from REACHED_OUTSIDE
    yield from networks_of(map(str, at))
    yield from networks_of(str(each.get("CidrBlock")) for each in picture.subnets or ())
    gateways = {str(each.get("SubnetId")) for each in picture.nat_gateways or ()}
    for subnet_id in sorted({origin.subnet_id, *gateways}):
        table = table_of(subnet_id, picture.vpc_of(subnet_id), picture.route_tables or ()) or {}
        yield from (network for network, _ in known_routes(table, picture.prefix_lists)[0])
        entries = (acls.acl_of(subnet_id, picture.acls or ()) or {}).get("Entries") or ()
        yield from networks_of(str(each["CidrBlock"]) for each in entries if each.get("CidrBlock"))
    # What lets packets in, elsewhere, tells of where they come from.
    for group in (each for each in picture.groups or () if each.get("GroupId") in origin.group_ids):
        for rule in group.get("IpPermissionsEgress") or ():
            yield from groups.networks_in(rule, picture.prefix_lists)[0]


def _between(networks: Iterable[IPNetwork]) -> Iterator[tuple[int, int]]:
    borders = {0, 1 << 32}
    for each in networks:
        if isinstance(each, IPv4Network):
            borders |= {int(each.network_address), int(each.broadcast_address) + 1}
    for first, after in pairwise(sorted(borders)):
        yield first, after - 1


# What the rules admit.


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a rule says of addresses: of a security group, or of a network ACL."""

    first: int
    last: int
    ports: PortSet
    is_allow: bool = True

    def __contains__(self, address: int) -> bool:
        return self.first <= address <= self.last


class _Rules:
    """All that is on the way of one function's packets, of one protocol."""

    def __init__(self, picture: Picture, origin: Origin, source: int, protocol: str) -> None:
        self._picture = picture
        self._protocol = protocol
        self._source = source
        self._own_subnet = origin.subnet_id
        self._own_groups = frozenset(origin.group_ids)
        self._egress = _Groups(picture, self._own_groups, "IpPermissionsEgress", protocol)
        self._ingress: dict[frozenset[str], _Groups] = {}
        self._acls: dict[tuple[str, bool], tuple[_Rule, ...]] = {}

    def admitted(self, to: _Range) -> PortSet:
        """Return the ports of a range's addresses to which packets may leave."""
        ports = self._egress.admitted(to.first, to.group_ids or frozenset())
        if to.group_ids is not None:
            ports = common(ports, self._let_in(to.group_ids))
        if to.subnet_id != self._own_subnet:
            ports = common(ports, self._crossed(to.subnet_id, self._source, is_egress=False))
        if to.is_public or to.subnet_id != self._own_subnet:
            ports = common(ports, self._crossed(self._own_subnet, to.first, is_egress=True))
        if to.is_public and to.subnet_id != self._own_subnet:
            ports = common(ports, self._crossed(to.subnet_id, to.first, is_egress=True))
        return ports

    def _let_in(self, group_ids: frozenset[str]) -> PortSet:
        if group_ids not in self._ingress:
            self._ingress[group_ids] = _Groups(self._picture, group_ids, "IpPermissions", self._protocol)
        return self._ingress[group_ids].admitted(self._source, self._own_groups)

    def _crossed(self, subnet_id: str, other: int, *, is_egress: bool) -> PortSet:
        """Return the ports for which a subnet's network ACL lets packets pass and answers come back."""
        answers = _decided(self._acl(subnet_id, is_egress=not is_egress), other)
        return _decided(self._acl(subnet_id, is_egress=is_egress), other) if covers(answers, LOCAL_PORTS) else ()

    def _acl(self, subnet_id: str, *, is_egress: bool) -> tuple[_Rule, ...]:
        if (subnet_id, is_egress) not in self._acls:
            acl = acls.acl_of(subnet_id, self._picture.acls or ()) or {}
            self._acls[subnet_id, is_egress] = tuple(
                rule
                for entry in acls.entries_of(acl, is_egress=is_egress)
                for rule in _rules_of(
                    networks_of([str(entry.get("CidrBlock"))]),
                    acls.ports_of(entry, self._protocol),
                    is_allow=entry.get("RuleAction") == "allow",
                )
            )
        return self._acls[subnet_id, is_egress]


class _Groups:
    """What security groups admit, in one direction."""

    def __init__(self, picture: Picture, group_ids: frozenset[str], member: str, protocol: str) -> None:
        self._by_network: list[_Rule] = []
        self._by_group: dict[str, PortSet] = {}
        own = [each for each in picture.groups or () if each.get("GroupId") in group_ids]
        for rule in (rule for group in own for rule in group.get(member) or ()):
            ports = groups.ports_of(rule, protocol)
            networks, _ = groups.networks_in(rule, picture.prefix_lists)
            self._by_network += _rules_of(networks, ports)
            admitted = () if ports is None else (ports,)
            for each in groups.referred(rule):
                self._by_group[each] = united((*self._by_group.get(each, ()), *admitted))

    def admitted(self, address: int, group_ids: frozenset[str]) -> PortSet:
        """Return the ports that are admitted with an address that has groups."""
        found = [ports for rule in self._by_network if address in rule for ports in rule.ports]
        return united([*found, *(ports for each in group_ids for ports in self._by_group.get(each, ()))])


def _rules_of(networks: Networks, ports: Ports | None, *, is_allow: bool = True) -> list[_Rule]:
    return [
        _Rule(int(each.network_address), int(each.broadcast_address), (ports,), is_allow)
        for each in networks
        if ports is not None and isinstance(each, IPv4Network)
    ]


def _decided(rules: Sequence[_Rule], address: int) -> PortSet:
    """Return the ports that a network ACL's rules allow: the first that fits decides."""
    left: PortSet = (ALL_PORTS,)
    allowed: list[Ports] = []
    for rule in rules:
        if address in rule:
            allowed += common(left, rule.ports) if rule.is_allow else ()
            left = remaining(left, rule.ports)
    return united(allowed)
