"""Rules of security groups, in their two spellings: one by one with ids, and merged into permissions.

DescribeSecurityGroupRules tells rules one by one. DescribeSecurityGroups merges those of one protocol and one range of
ports into one permission with many peers, and requests are spelled so too. Two rules are the same if all but their
descriptions is: a group has each once.

Sources: Amazon EC2 API Reference, ``IpPermission``, ``SecurityGroupRule``, ``SecurityGroupRuleRequest``; texts of
errors as users have published them (terraform-provider-aws 1793, aws-cli 1066 and 2846), and as moto collected them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final

from keyturn.errors.common import NotImplementedHere
from keyturn.errors.ec2 import InvalidParameterCombination, InvalidParameterValue, MissingParameter

ALL: Final = "-1"
_NAMES: Final = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}
_WITH_PORTS: Final = ("tcp", "udp")
_ICMP: Final = ("icmp", "icmpv6")
_LAST_PROTOCOL, _LAST_PORT, _LAST_ICMP = 255, 65535, 255
_DESCRIPTION: Final = re.compile(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}", re.ASCII)
_CIDR: Final = re.compile(r"[0-9a-fA-F.:]+/\d{1,3}", re.ASCII)

Json = Mapping[str, Any]

# Peers as rules call them, and as permissions do: the list, and the member of its elements.
CIDR, CIDR_V6, PREFIX_LIST, GROUP = "CidrIpv4", "CidrIpv6", "PrefixListId", "ReferencedGroupId"
_IN_PERMISSIONS: Final = {
    GROUP: ("UserIdGroupPairs", "GroupId"),
    CIDR: ("IpRanges", "CidrIp"),
    CIDR_V6: ("Ipv6Ranges", "CidrIpv6"),
    PREFIX_LIST: ("PrefixListIds", "PrefixListId"),
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a rule says, without its description.

    Attributes:
        protocol: ``tcp``, ``udp``, ``icmp``, ``icmpv6``, a number, or -1 for all.
        from_port: The first port, or ICMP's type; -1 for all.
        to_port: The last port, or ICMP's code; -1 for all.
        peer_kind: Which of a rule's members names the other side.
        peer: The other side.
    """

    is_egress: bool
    protocol: str
    from_port: int
    to_port: int
    peer_kind: str
    peer: str

    def __str__(self) -> str:
        ports = "" if self.from_port == -1 else f", from port: {self.from_port}, to port: {self.to_port}"
        protocol = "ALL" if self.protocol == ALL else self.protocol.upper()
        return f"peer: {self.peer}, {protocol}{ports}, ALLOW"


def wanted_by(permissions: Iterable[Json], *, is_egress: bool) -> list[tuple[Terms, str | None]]:
    """Return the rules of a request's ``IpPermissions``, each with its description.

    Raises:
        InvalidParameterValue: A permission cannot be, or has a rule twice.
        MissingParameter: A permission lacks its protocol, or names nobody.
        NotImplementedHere: A rule is about a peered VPC, which is not offered.
    """
    found: dict[Terms, str | None] = {}
    for permission in permissions:
        for terms, description in _of_permission(permission, is_egress=is_egress):
            if terms in found:
                raise InvalidParameterValue("The same permission must not appear multiple times")
            found[terms] = description
    return list(found.items())


def wanted_instead(rule: Json, present: Terms, rule_id: str) -> Terms:
    """Return what a rule is to say, of a ``SecurityGroupRuleRequest``.

    Args:
        rule: The request for it.
        present: What it says now: the kind of its other side stays.
        rule_id: What errors call it.

    Raises:
        InvalidParameterValue: It cannot be.
        InvalidParameterCombination: It names more than one other side.
        MissingParameter: It names none.
    """
    peers = [(member, str(rule[member])) for member in _IN_PERMISSIONS if rule.get(member)]
    if len(peers) > 1:
        raise InvalidParameterCombination(
            "Only one of cidrIp, cidrIpv6, prefixListId, or referencedGroupId can be specified"
        )
    if not peers:
        raise MissingParameter(
            "The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId"
        )
    member, peer = peers[0]
    if member != present.peer_kind:
        raise InvalidParameterValue(
            f"Invalid rule type for security group rule '{rule_id}'. You may not specify {member} for an existing"
            f" {present.peer_kind} rule."
        )
    check_description(rule.get("Description"))
    return Terms(present.is_egress, *_protocol_and_ports(rule), member, _peer(member, peer))


def terms_of(rule: Json) -> Terms:
    """Return what a rule says, as DescribeSecurityGroupRules tells it."""
    member, peer = GROUP, (rule.get("ReferencedGroupInfo") or {}).get("GroupId")
    if peer is None:
        member, peer = next((each, rule[each]) for each in (CIDR, CIDR_V6, PREFIX_LIST) if rule.get(each))
    return Terms(rule["IsEgress"], rule["IpProtocol"], rule["FromPort"], rule["ToPort"], member, peer)


def permissions_of(rules: Iterable[Json], *, is_egress: bool) -> list[dict[str, Any]]:
    """Return a group's rules of one direction, merged as DescribeSecurityGroups tells them.

    Args:
        rules: As DescribeSecurityGroupRules tells them, of both directions.
        is_egress: Which direction.
    """
    merged: dict[tuple[str, int, int], dict[str, Any]] = {}
    for rule in rules:
        terms = terms_of(rule)
        if terms.is_egress is not is_egress:
            continue
        permission = merged.setdefault((terms.protocol, terms.from_port, terms.to_port), _without_peers(terms))
        list_member, peer_member = _IN_PERMISSIONS[terms.peer_kind]
        peer = {peer_member: terms.peer}
        if terms.peer_kind == GROUP:
            peer["UserId"] = rule["ReferencedGroupInfo"]["UserId"]
        if rule.get("Description") is not None:
            peer["Description"] = rule["Description"]
        permission[list_member].append(peer)
    return list(merged.values())


def check_description(description: str | None) -> None:
    """Check what a rule is to be described as.

    Raises:
        InvalidParameterValue: It is too long, or has characters that it must not have.
    """
    if description is not None and not _DESCRIPTION.fullmatch(description):
        raise InvalidParameterValue(
            "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:"
            "  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
        )


def _without_peers(terms: Terms) -> dict[str, Any]:
    ports = {} if terms.protocol == ALL else {"FromPort": terms.from_port, "ToPort": terms.to_port}
    return {"IpProtocol": terms.protocol, **ports, **{member: [] for member, _ in _IN_PERMISSIONS.values()}}


def _of_permission(permission: Json, *, is_egress: bool) -> Iterator[tuple[Terms, str | None]]:
    head = (is_egress, *_protocol_and_ports(permission))
    count = 0
    for member, (list_member, peer_member) in _IN_PERMISSIONS.items():
        for peer in permission.get(list_member) or ():
            count += 1
            if peer.get("VpcPeeringConnectionId"):
                raise NotImplementedHere(
                    "Keyturn does not offer peering connections of VPCs; see docs/compatibility.md."
                )
            check_description(peer.get("Description"))
            yield Terms(*head, member, _peer(member, peer.get(peer_member) or "")), peer.get("Description")
    if not count:
        raise MissingParameter("A CIDR block, a security group ID or a prefix list has to be specified")


def _protocol_and_ports(rule: Json) -> tuple[str, int, int]:
    protocol = _protocol(rule.get("IpProtocol"))
    first, last = rule.get("FromPort"), rule.get("ToPort")
    if protocol in _WITH_PORTS:
        if first is None or last is None:
            raise InvalidParameterValue(
                "Invalid value for portRange. Must specify both from and to ports with TCP/UDP."
            )
        for which, port in (("from", first), ("to", last)):
            if not 0 <= port <= _LAST_PORT:
                raise InvalidParameterValue(f"TCP/UDP ({which}) port ({port}) out of range")
        if first > last:
            raise InvalidParameterValue(f"Invalid TCP/UDP port range ({first}:{last})")
        return protocol, first, last
    if protocol in _ICMP:
        kind, code = -1 if first is None else first, -1 if last is None else last
        for which, number in (("type", kind), ("code", code)):
            if not -1 <= number <= _LAST_ICMP:
                raise InvalidParameterValue(f"ICMP {which} ({number}) out of range")
        return protocol, kind, code
    # The others have no ports, and those sent mean nothing.
    return protocol, -1, -1


def _protocol(sent: str | None) -> str:
    if not sent:
        raise InvalidParameterValue(
            "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly."
        )
    protocol = sent.lower()
    if protocol in (ALL, *_NAMES.values()):
        return protocol
    if not (protocol.isascii() and protocol.isdecimal() and int(protocol) <= _LAST_PROTOCOL):
        raise InvalidParameterValue(f"Invalid value '{sent}' for IP protocol. Unknown protocol.")
    return _NAMES.get(str(int(protocol)), str(int(protocol)))


def _peer(member: str, sent: str) -> str:
    """Return the other side as it is kept: blocks of addresses without the bits behind their prefix."""
    if member not in (CIDR, CIDR_V6):
        return sent
    version = IPv4Network if member == CIDR else IPv6Network
    try:
        # The library alone takes a mask for a prefix, and an address for a block.
        block = ip_network(sent, strict=False) if _CIDR.fullmatch(sent) else None
    except ValueError:
        block = None
    if not isinstance(block, version):
        raise InvalidParameterValue(f"CIDR block {sent} is malformed")
    return str(block)


def groups_in(terms: Sequence[Terms]) -> list[str]:
    """Return the ids of the groups that rules refer to."""
    return [each.peer for each in terms if each.peer_kind == GROUP]


def prefix_lists_in(terms: Sequence[Terms]) -> list[str]:
    """Return the ids of the prefix lists that rules refer to."""
    return [each.peer for each in terms if each.peer_kind == PREFIX_LIST]
