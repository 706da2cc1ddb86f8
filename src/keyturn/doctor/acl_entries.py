"""The entries that network ACLs lack: one set for a whole diagnosis, so that all its commands can be run one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network

from keyturn.rules.network.acls import judged
from keyturn.rules.network.hops import Hop, HopKind
from keyturn.rules.network.traffic import Json, Ports

from .model import Change

_USUAL = 100
"""The number that consoles and samples begin with: an entry has a lower one, also where nothing else asks for it."""
_HIGHEST = 32767
"""That of the rule with which every ACL ends: none of one's own has it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a network ACL lacks."""

    acl_id: str
    is_egress: bool
    network: IPv4Network
    ports: Ports

    def covers(self, other: Entry) -> bool:
        """Whether this entry lets all pass that another one would."""
        return (
            (self.acl_id, self.is_egress) == (other.acl_id, other.is_egress)
            and other.network.subnet_of(self.network)
            and self.ports.first <= other.ports.first
            and other.ports.last <= self.ports.last
        )


def lacking(ways: Mapping[str, tuple[Hop, ...]]) -> list[Hop]:
    """Return the network ACLs on some ways that lack an entry, each as often as it lacks one."""
    found = [hop for hops in ways.values() for hop in hops if hop.kind is HopKind.ACL and hop.lacks]
    return [hop for position, hop in enumerate(found) if hop not in found[:position]]


def entry_of(hop: Hop) -> Entry:
    """Return what a network ACL lacks that lacks something."""
    lacks = hop.lacks or {}
    ports = Ports(lacks["PortRange"]["From"], lacks["PortRange"]["To"])
    return Entry(hop.at, bool(lacks["Egress"]), IPv4Network(lacks["CidrBlock"]), ports)


def numbered(acls: Sequence[Json], hops: Iterable[Hop]) -> dict[Entry, tuple[Change, ...]]:
    """Return the calls that let all pass, with numbers that are free and below those that refuse it.

    Args:
        acls: DescribeNetworkAcls' entries.
        hops: The network ACLs that lack something, those first whose entries are to be kept: what an earlier entry
            lets pass needs none of its own.

    Returns:
        No calls where no number is left that would do.
    """
    found: dict[Entry, tuple[Change, ...]] = {}
    # As they are once the calls so far have been made.
    rules = {str(acl.get("NetworkAclId")): [*(acl.get("Entries") or ())] for acl in acls}
    for entry in map(entry_of, hops):
        if any(other.covers(entry) for other in found):
            continue
        own = rules.setdefault(entry.acl_id, [])
        calls = found[entry] = _calls(entry, own)
        for call in calls:
            made = call.parameters
            own[:] = [
                each for each in own if (each["Egress"], each["RuleNumber"]) != (made["Egress"], made["RuleNumber"])
            ]
            own.append(made)
    return found


def _calls(entry: Entry, rules: Sequence[Json]) -> tuple[Change, ...]:
    """Return the call that makes an entry below the one that refuses; the two that put it in that one's place."""
    refused = judged({"Entries": rules}, (entry.network,), entry.ports, is_egress=entry.is_egress).refused or {}
    used = {int(each["RuleNumber"]) for each in rules if bool(each["Egress"]) is entry.is_egress}
    refuses = int(refused.get("RuleNumber", _USUAL))
    below = min(refuses, _USUAL)
    free = [each for each in (*range(below - 10, 0, -10), *range(below - 1, 0, -1)) if each not in used]
    if free:
        return (_call(entry, free[0]),)
    following = min((each for each in used if each > refuses), default=_HIGHEST)
    number = min(refuses + 10, following - 1)
    if number <= refuses or refuses >= _HIGHEST:
        return ()
    # Nothing that it refused before is let in between the two.
    return (
        Change("ec2", "CreateNetworkAclEntry", {"NetworkAclId": entry.acl_id, **refused, "RuleNumber": number}),
        replace(_call(entry, refuses), operation="ReplaceNetworkAclEntry"),
    )


def _call(entry: Entry, number: int) -> Change:
    return Change(
        "ec2",
        "CreateNetworkAclEntry",
        {
            "NetworkAclId": entry.acl_id,
            "RuleNumber": number,
            "Protocol": "6",
            "RuleAction": "allow",
            "Egress": entry.is_egress,
            "PortRange": {"From": entry.ports.first, "To": entry.ports.last},
            "CidrBlock": str(entry.network),
        },
    )
