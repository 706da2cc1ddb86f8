"""The entries that network ACLs lack: one set for a whole diagnosis, so that all its commands can be run one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from keyturn.rules.network.acls import judged
from keyturn.rules.network.hops import Hop, HopKind
from keyturn.rules.network.traffic import Json, Ports

from .model import Change

_USUAL = 100
"""The number that consoles and samples begin with: an entry has a lower one, also where nothing else asks for it."""


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


def numbered(acls: Sequence[Json], hops: Iterable[Hop]) -> dict[Entry, Change | None]:
    """Return the calls that let all pass, with numbers that are free and below those that refuse it.

    Args:
        acls: DescribeNetworkAcls' entries.
        hops: The network ACLs that lack something, those first whose entries are to be kept: what an earlier entry
            lets pass needs none of its own.

    Returns:
        None in place of a call where no number is left below the one that refuses.
    """
    found: dict[Entry, Change | None] = {}
    used = {
        (str(acl.get("NetworkAclId")), bool(each.get("Egress")), int(each["RuleNumber"]))
        for acl in acls
        for each in acl.get("Entries") or ()
    }
    for entry in map(entry_of, hops):
        if any(other.covers(entry) for other in found):
            continue
        acl = next((each for each in acls if each.get("NetworkAclId") == entry.acl_id), {})
        refused = judged(acl, (entry.network,), entry.ports, is_egress=entry.is_egress).refused or {}
        below = min(int(refused.get("RuleNumber", _USUAL)), _USUAL)
        numbers = (*range(below - 10, 0, -10), *range(below - 1, 0, -1))
        free = [each for each in numbers if (entry.acl_id, entry.is_egress, each) not in used]
        found[entry] = _call(entry, free[0]) if free else None
        used |= {(entry.acl_id, entry.is_egress, each) for each in free[:1]}
    return found


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
