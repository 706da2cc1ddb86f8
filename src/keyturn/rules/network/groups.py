"""Security groups: what any of them admits is admitted, and what is admitted may be answered.

Source: Amazon VPC User Guide, "Security group rules" and "Security group referencing".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .hops import Hop, HopKind, Passage
from .traffic import ALL_PORTS, NUMBERS, Json, Networks, Ports, Side, collapsed, networks_of, within, without

PrefixLists = Mapping[str, Networks | None]
"""The entries of prefix lists by id; None where they may not be looked at."""


def let_out(
    kind: HopKind,
    group_ids: Sequence[str],
    groups: Sequence[Json] | None,
    to: Side,
    ports: Ports,
    prefix_lists: PrefixLists,
    protocol: str = "tcp",
) -> Hop:
    """Return whether security groups let connections out to a side.

    Args:
        kind: Whose groups they are.
        group_ids: The groups of who connects.
        groups: DescribeSecurityGroups' entries; None if they may not be looked at.
        to: Who is connected to.
        ports: Its port.
        prefix_lists: The lists that rules name.
        protocol: ``tcp`` or ``udp``.
    """
    return _judged(kind, group_ids, groups, "IpPermissionsEgress", to, ports, prefix_lists, protocol)


def let_in(
    kind: HopKind,
    group_ids: Sequence[str],
    groups: Sequence[Json] | None,
    of: Side,
    ports: Ports,
    prefix_lists: PrefixLists,
    protocol: str = "tcp",
) -> Hop:
    """Return whether security groups let connections in from a side; the arguments are :func:`let_out`'s."""
    return _judged(kind, group_ids, groups, "IpPermissions", of, ports, prefix_lists, protocol)


def _judged(
    kind: HopKind,
    group_ids: Sequence[str],
    groups: Sequence[Json] | None,
    member: str,
    peer: Side,
    ports: Ports,
    prefix_lists: PrefixLists,
    protocol: str,
) -> Hop:
    at = ", ".join(group_ids)
    is_egress = member == "IpPermissionsEgress"
    what = f"{protocol} {ports} {'to' if is_egress else 'from'} {peer.name or _told(peer.networks)}"
    own = [each for each in groups or () if each.get("GroupId") in group_ids]
    rules = [rule for group in own for rule in group.get(member) or () if _is_about(rule, ports, protocol)]
    referring = [rule for rule in rules if referred(rule) & peer.group_ids]
    if referring:
        return Hop(kind, at, Passage.PASSES, f"lets {what} pass", referring[0])
    admitted, used, is_all_known = _admitted(rules, peer.networks, prefix_lists)
    left = peer.networks
    for network in admitted:
        left = without(left, network)
    if peer.networks and not left:
        return Hop(kind, at, Passage.PASSES, f"lets {what} pass", used[0])
    if groups is None or len(own) < len(set(group_ids)) or not is_all_known or not peer.networks:
        return Hop(kind, at, Passage.UNKNOWN, f"whether it lets {what} pass is not known")
    if admitted:
        return Hop(kind, at, Passage.UNKNOWN, f"lets only a part of {what} pass", used[0])
    return Hop(kind, at, Passage.BLOCKS, f"has no rule that lets {what} pass")


def _is_about(rule: Json, ports: Ports, protocol: str) -> bool:
    found = ports_of(rule, protocol)
    return found is not None and found.first <= ports.first and ports.last <= found.last


def ports_of(rule: Json, protocol: str) -> Ports | None:
    """Return the ports that a rule admits; None if it is about another protocol."""
    named = str(rule.get("IpProtocol"))
    if named == "-1":
        return ALL_PORTS
    if named not in NUMBERS[protocol]:
        return None
    first, last = rule.get("FromPort"), rule.get("ToPort")
    if first in (None, -1) or last in (None, -1):
        return ALL_PORTS
    return Ports(int(first), int(last))


def referred(rule: Json) -> set[str]:
    """Return the groups that a rule names."""
    return {str(pair.get("GroupId")) for pair in rule.get("UserIdGroupPairs") or ()}


def _admitted(
    rules: Sequence[Json], networks: Networks, prefix_lists: PrefixLists
) -> tuple[Networks, list[Json], bool]:
    """Return which addresses rules admit of some, the rules that admit any, and whether all of the rules are known."""
    admitted: list[Json] = []
    found: Networks = ()
    is_all_known = True
    for rule in rules:
        named, is_known = networks_in(rule, prefix_lists)
        is_all_known = is_all_known and is_known
        common = tuple(each for network in named for each in within(networks, network))
        if common:
            admitted.append(rule)
            found += common
    return collapsed(found), admitted, is_all_known


def networks_in(rule: Json, prefix_lists: PrefixLists) -> tuple[Networks, bool]:
    """Return the addresses that a rule names, and whether all of its prefix lists are known."""
    blocks = [str(each.get("CidrIp")) for each in rule.get("IpRanges") or ()]
    blocks += [str(each.get("CidrIpv6")) for each in rule.get("Ipv6Ranges") or ()]
    found = networks_of(blocks)
    listed = [prefix_lists.get(str(each.get("PrefixListId"))) for each in rule.get("PrefixListIds") or ()]
    for entries in listed:
        found += entries or ()
    return found, None not in listed


def _told(networks: Networks) -> str:
    return ", ".join(map(str, networks)) or "an unknown address"


def told(rules: Sequence[Json]) -> list[str]:
    """Return rules in words: ``tcp 5432 with sg-1, 10.0.0.0/16``."""
    return [_told_rule(rule) for rule in rules]


def _told_rule(rule: Json) -> str:
    protocol = "all" if str(rule.get("IpProtocol")) == "-1" else str(rule.get("IpProtocol"))
    first, last = rule.get("FromPort"), rule.get("ToPort")
    ports = "" if first is None or protocol == "all" else f" {first if first == last else f'{first}-{last}'}"
    others = [str(each.get("CidrIp")) for each in rule.get("IpRanges") or ()]
    others += [str(each.get("CidrIpv6")) for each in rule.get("Ipv6Ranges") or ()]
    others += sorted(referred(rule))
    others += [str(each.get("PrefixListId")) for each in rule.get("PrefixListIds") or ()]
    return f"{protocol}{ports} with {', '.join(others) or 'nobody'}"
