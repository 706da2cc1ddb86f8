"""Sets of ports: ranges in order that neither overlap nor touch, so that equal sets are equal tuples."""

from __future__ import annotations

from collections.abc import Iterable

from .traffic import Ports

PortSet = tuple[Ports, ...]


def united(ranges: Iterable[Ports]) -> PortSet:
    """Return the ports that are in any of these ranges."""
    found: list[Ports] = []
    for each in sorted(ranges):
        if found and each.first <= found[-1].last + 1:
            found[-1] = Ports(found[-1].first, max(found[-1].last, each.last))
        else:
            found.append(each)
    return tuple(found)


def common(ports: PortSet, others: PortSet) -> PortSet:
    """Return the ports that are in both sets."""
    pairs = ((max(one.first, two.first), min(one.last, two.last)) for one in ports for two in others)
    return tuple(sorted(Ports(first, last) for first, last in pairs if first <= last))


def remaining(ports: PortSet, taken: PortSet) -> PortSet:
    """Return the ports of one set that are not in another."""
    found: list[Ports] = []
    for each in ports:
        first = each.first
        for other in taken:
            if other.last < first or each.last < other.first:
                continue
            if first < other.first:
                found.append(Ports(first, other.first - 1))
            first = other.last + 1
        if first <= each.last:
            found.append(Ports(first, each.last))
    return tuple(found)


def covers(ports: PortSet, wanted: Ports) -> bool:
    """Whether all of a range is in a set."""
    return any(each.first <= wanted.first and wanted.last <= each.last for each in ports)
