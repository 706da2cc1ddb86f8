"""Network ACLs: the rule with the lowest number that fits decides, and an answer needs a rule of its own.

Source: Amazon VPC User Guide, "Network ACL rules" and "Custom network ACLs": stateless, so that answers come back to
ephemeral ports through the rules of the other direction; packets within one subnet pass none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .hops import Hop, HopKind, Passage
from .traffic import ALL_PORTS, EPHEMERAL, NUMBERS, IPNetwork, Json, Networks, Ports, networks_of, within, without


@dataclass(frozen=True, slots=True)
class _Packets:
    """Addresses of the other side, and ports that the packets go to."""

    network: IPNetwork
    ports: Ports


def acl_of(subnet_id: str, acls: Sequence[Json]) -> Json | None:
    """Return the network ACL of a subnet; None if there is none among these."""
    for acl in acls:
        if any(each.get("SubnetId") == subnet_id for each in acl.get("Associations") or ()):
            return acl
    return None


def connect_out(
    subnet_id: str, acls: Sequence[Json] | None, to: Networks, ports: Ports, protocol: str = "tcp"
) -> tuple[Hop, Hop]:
    """Return whether connections may leave a subnet: the packets out, then the answers in."""
    return (
        _crossed(subnet_id, acls, to, ports, protocol, is_egress=True),
        _crossed(subnet_id, acls, to, EPHEMERAL, protocol, is_egress=False),
    )


def connect_in(
    subnet_id: str, acls: Sequence[Json] | None, of: Networks, ports: Ports, protocol: str = "tcp"
) -> tuple[Hop, Hop]:
    """Return whether connections may enter a subnet: the packets in, then the answers out."""
    return (
        _crossed(subnet_id, acls, of, ports, protocol, is_egress=False),
        _crossed(subnet_id, acls, of, EPHEMERAL, protocol, is_egress=True),
    )


def _crossed(
    subnet_id: str, acls: Sequence[Json] | None, networks: Networks, ports: Ports, protocol: str, *, is_egress: bool
) -> Hop:
    acl = None if acls is None else acl_of(subnet_id, acls)
    way = "to" if is_egress else "from"
    public = len(networks) > _NAMED_AT_MOST
    what = f"{protocol} {ports} {way} {'the internet' if public else ', '.join(map(str, networks))}"
    if acl is None or not networks:
        return Hop(HopKind.ACL, subnet_id, Passage.UNKNOWN, f"whether its network ACL lets {what} pass is not known")
    at = str(acl.get("NetworkAclId"))
    lacks = {
        "Egress": is_egress,
        "PortRange": {"From": ports.first, "To": ports.last},
        "CidrBlock": "0.0.0.0/0" if public else str(networks[0]),
    }
    passed, refused = judged(acl, networks, ports, protocol, is_egress=is_egress)
    if refused is None:
        return Hop(HopKind.ACL, at, Passage.PASSES, f"lets {what} pass", passed)
    if passed is None:
        return Hop(HopKind.ACL, at, Passage.BLOCKS, f"does not let {what} pass", refused, lacks)
    return Hop(HopKind.ACL, at, Passage.UNKNOWN, f"lets only a part of {what} pass", refused, lacks)


_NAMED_AT_MOST = 6
_NO_RULE: Json = {"RuleNumber": 32767, "RuleAction": "deny", "Protocol": "-1"}


def judged(
    acl: Json, networks: Networks, ports: Ports, protocol: str = "tcp", *, is_egress: bool
) -> tuple[Json | None, Json | None]:
    """Return the first rule that lets any of these packets pass, and the first that refuses any.

    Args:
        acl: DescribeNetworkAcls' entry.
        networks: Addresses of the other side.
        ports: Ports that the packets go to.
        protocol: ``tcp`` or ``udp``.
        is_egress: They leave the subnet.

    Returns:
        None for the first if all are refused, None for the second if all pass.
    """
    passed: Json | None = None
    refused: Json | None = None
    left = [_Packets(network, ports) for network in networks]
    for entry in entries_of(acl, is_egress=is_egress):
        left, taken = _take(left, entry, protocol)
        if taken and entry.get("RuleAction") == "allow":
            passed = passed or entry
        elif taken:
            refused = refused or entry
    if left:
        refused = refused or _NO_RULE
    return passed, refused


def _take(packets: Iterable[_Packets], entry: Json, protocol: str) -> tuple[list[_Packets], bool]:
    """Return the packets that a rule says nothing of, and whether it says something of any."""
    blocks = networks_of(each for each in (entry.get("CidrBlock"), entry.get("Ipv6CidrBlock")) if each)
    ports = ports_of(entry, protocol)
    given = list(packets)
    if not blocks or ports is None:
        return given, False
    left: list[_Packets] = []
    is_any = False
    for each in given:
        first, last = max(each.ports.first, ports.first), min(each.ports.last, ports.last)
        common = within([each.network], blocks[0])
        if first > last or not common:
            left.append(each)
            continue
        is_any = True
        left += [_Packets(network, each.ports) for network in without([each.network], blocks[0])]
        for network in common:
            if each.ports.first < first:
                left.append(_Packets(network, Ports(each.ports.first, first - 1)))
            if last < each.ports.last:
                left.append(_Packets(network, Ports(last + 1, each.ports.last)))
    return left, is_any


def entries_of(acl: Json, *, is_egress: bool) -> list[Json]:
    """Return the rules of one direction, in the order in which they are tried."""
    entries = [each for each in acl.get("Entries") or () if bool(each.get("Egress")) is is_egress]
    return sorted(entries, key=lambda each: int(each["RuleNumber"]))


def ports_of(entry: Json, protocol: str) -> Ports | None:
    """Return the ports that a rule is about; None if it is about another protocol."""
    named = str(entry.get("Protocol"))
    if named == "-1":
        return ALL_PORTS
    if named not in NUMBERS[protocol]:
        return None
    given = entry.get("PortRange") or {}
    first, last = given.get("From"), given.get("To")
    if first in (None, -1) or last in (None, -1):
        return ALL_PORTS
    return Ports(int(first), int(last))
