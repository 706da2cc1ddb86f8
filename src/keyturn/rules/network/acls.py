"""Network ACLs: the rule with the lowest number that fits decides, and an answer needs a rule of its own.

Source: Amazon VPC User Guide, "Network ACL rules" and "Custom network ACLs": stateless, so that answers come back to
ephemeral ports through the rules of the other direction; packets within one subnet pass none. Of those ports Linux
gives 32768-60999 to connections, and AWS's own functions may have any: an ACL passes answers that lets them come back
to the former, and blocks if it does not let them come back to all of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .hops import Hop, HopKind, Passage
from .traffic import (
    ALL_PORTS,
    EPHEMERAL,
    LOCAL_PORTS,
    NUMBERS,
    IPNetwork,
    Json,
    Networks,
    Ports,
    networks_of,
    within,
    without,
)


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
        _Crossing(subnet_id, acls, to, protocol, is_egress=True).of_packets(ports),
        _Crossing(subnet_id, acls, to, protocol, is_egress=False).of_answers(),
    )


def connect_in(
    subnet_id: str, acls: Sequence[Json] | None, of: Networks, ports: Ports, protocol: str = "tcp"
) -> tuple[Hop, Hop]:
    """Return whether connections may enter a subnet: the packets in, then the answers out."""
    return (
        _Crossing(subnet_id, acls, of, protocol, is_egress=False).of_packets(ports),
        _Crossing(subnet_id, acls, of, protocol, is_egress=True).of_answers(),
    )


class _Crossing:
    """One direction through the network ACL of a subnet."""

    def __init__(
        self, subnet_id: str, acls: Sequence[Json] | None, networks: Networks, protocol: str, *, is_egress: bool
    ) -> None:
        self._subnet_id = subnet_id
        self._acl = None if acls is None else acl_of(subnet_id, acls)
        self._networks = networks
        self._protocol = protocol
        self._is_egress = is_egress
        self._is_public = len(networks) > _NAMED_AT_MOST

    def of_packets(self, ports: Ports) -> Hop:
        """Return whether packets to some ports cross."""
        what = self._what(ports)
        if self._acl is None or not self._networks:
            why = f"whether its network ACL lets {what} pass is not known"
            return Hop(HopKind.ACL, self._subnet_id, Passage.UNKNOWN, why)
        found = judged(self._acl, self._networks, ports, self._protocol, is_egress=self._is_egress)
        if found.refused is None:
            return self._hop(Passage.PASSES, f"lets {what} pass", found.passed)
        if found.reached:
            why = f"lets only a part of {what} pass"
            return self._hop(Passage.UNKNOWN, why, found.refused, lacks=ports)
        return self._hop(Passage.BLOCKS, f"does not let {what} pass", found.refused, lacks=ports)

    def of_answers(self) -> Hop:
        """Return whether answers cross: to all ports at which a connection may wait for them."""
        hop = self.of_packets(EPHEMERAL)
        if self._acl is None or hop.lacks is None:
            return hop
        own = judged(self._acl, self._networks, LOCAL_PORTS, self._protocol, is_egress=self._is_egress)
        if own.refused is None:
            return self._hop(Passage.PASSES, f"lets {self._what(LOCAL_PORTS)} pass", own.passed, lacks=EPHEMERAL)
        what = self._what(EPHEMERAL)
        if own.reached:
            return self._hop(Passage.UNKNOWN, f"lets only a part of {what} pass", own.refused, lacks=EPHEMERAL)
        if judged(self._acl, self._networks, EPHEMERAL, self._protocol, is_egress=self._is_egress).passed is None:
            return hop
        why = f"lets only a part of {what} pass: answers come back to a part of the ports only"
        return self._hop(Passage.BLOCKS, why, own.refused, lacks=EPHEMERAL, is_partial=True)

    def _what(self, ports: Ports) -> str:
        others = "the internet" if self._is_public else ", ".join(map(str, self._networks))
        return f"{self._protocol} {ports} {'to' if self._is_egress else 'from'} {others}"

    def _hop(
        self, passage: Passage, why: str, rule: Json | None, lacks: Ports | None = None, *, is_partial: bool = False
    ) -> Hop:
        lacking = None
        if lacks is not None:
            lacking = {
                "Egress": self._is_egress,
                "PortRange": {"From": lacks.first, "To": lacks.last},
                "CidrBlock": "0.0.0.0/0" if self._is_public else str(self._networks[0]),
            }
        at = str((self._acl or {}).get("NetworkAclId"))
        return Hop(HopKind.ACL, at, passage, why, rule, lacking, is_partial)


_NAMED_AT_MOST = 6
_NO_RULE: Json = {"RuleNumber": 32767, "RuleAction": "deny", "Protocol": "-1"}


@dataclass(frozen=True, slots=True)
class Judged:
    """What an ACL's rules say of packets.

    Attributes:
        passed: The first rule that lets any of them pass; None if all are refused.
        refused: The first that refuses any; None if all pass.
        reached: The addresses of the other side of which nothing is refused.
    """

    passed: Json | None
    refused: Json | None
    reached: Networks


def judged(acl: Json, networks: Networks, ports: Ports, protocol: str = "tcp", *, is_egress: bool) -> Judged:
    """Return what a network ACL does with packets.

    Args:
        acl: DescribeNetworkAcls' entry.
        networks: Addresses of the other side.
        ports: Ports that the packets go to.
        protocol: ``tcp`` or ``udp``.
        is_egress: They leave the subnet.
    """
    passed: Json | None = None
    refused: Json | None = None
    reached = networks
    left = [_Packets(network, ports) for network in networks]
    for entry in entries_of(acl, is_egress=is_egress):
        left, taken = _take(left, entry, protocol)
        if taken and entry.get("RuleAction") == "allow":
            passed = passed or entry
        elif taken:
            refused = refused or entry
            reached = _less(reached, taken)
    if left:
        refused = refused or _NO_RULE
        reached = _less(reached, [each.network for each in left])
    return Judged(passed, refused, reached)


def _less(networks: Networks, taken: Iterable[IPNetwork]) -> Networks:
    for each in taken:
        networks = without(networks, each)
    return networks


def _take(packets: Iterable[_Packets], entry: Json, protocol: str) -> tuple[list[_Packets], list[IPNetwork]]:
    """Return the packets that a rule says nothing of, and the addresses of those of which it does."""
    blocks = networks_of(each for each in (entry.get("CidrBlock"), entry.get("Ipv6CidrBlock")) if each)
    ports = ports_of(entry, protocol)
    given = list(packets)
    taken: list[IPNetwork] = []
    if not blocks or ports is None:
        return given, taken
    left: list[_Packets] = []
    for each in given:
        first, last = max(each.ports.first, ports.first), min(each.ports.last, ports.last)
        common = within([each.network], blocks[0])
        if first > last or not common:
            left.append(each)
            continue
        taken += common
        left += [_Packets(network, each.ports) for network in without([each.network], blocks[0])]
        for network in common:
            if each.ports.first < first:
                left.append(_Packets(network, Ports(each.ports.first, first - 1)))
            if last < each.ports.last:
                left.append(_Packets(network, Ports(last + 1, each.ports.last)))
    return left, taken


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
