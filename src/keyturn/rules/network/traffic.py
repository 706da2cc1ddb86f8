"""The words: which packets, between which sides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Network,
    collapse_addresses,
    ip_network,
)
from typing import Any

Json = Mapping[str, Any]
IPNetwork = IPv4Network | IPv6Network
Networks = tuple[IPNetwork, ...]


@dataclass(frozen=True, slots=True, order=True)
class Ports:
    """Ports, both ends included."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


HTTPS = Ports(443, 443)
ALL_PORTS = Ports(0, 65535)
NUMBERS = {"tcp": ("tcp", "6"), "udp": ("udp", "17")}
"""How rules name the protocols that have ports."""
EPHEMERAL = Ports(1024, 65535)
"""Where answers to AWS's own come back to. Source: Amazon VPC User Guide, "Custom network ACLs", "Ephemeral ports"."""
LOCAL_PORTS = Ports(32768, 60999)
"""Those of them that Linux gives to connections, in Keyturn's functions, too. Source: ip(7), ip_local_port_range."""


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a connection.

    Attributes:
        networks: Where its address lies; any address of them may be the one.
        group_ids: The security groups that it is known by; empty for who comes from outside.
        name: In words, for what is told.
    """

    networks: Networks
    group_ids: frozenset[str] = frozenset()
    name: str = ""


def is_ipv4(text: str) -> bool:
    """Whether a text is an IPv4 address."""
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def networks_of(blocks: Iterable[str]) -> Networks:
    """Return CIDR blocks as networks; what is none is left out."""
    found: list[IPNetwork] = []
    for block in blocks:
        try:
            found.append(ip_network(block, strict=False))
        except ValueError:
            continue
    return tuple(found)


def without(networks: Iterable[IPNetwork], taken: IPNetwork) -> Networks:
    """Return networks without the addresses of one."""
    left: list[IPNetwork] = []
    for network in networks:
        if isinstance(network, IPv4Network) and isinstance(taken, IPv4Network):
            left += _without(network, taken)
        elif isinstance(network, IPv6Network) and isinstance(taken, IPv6Network):
            left += _without_v6(network, taken)
        else:
            left.append(network)
    return tuple(left)


def within(networks: Iterable[IPNetwork], taken: IPNetwork) -> Networks:
    """Return the addresses that networks have in common with one."""
    # Two networks that overlap lie one in the other.
    return tuple(
        network if network.prefixlen >= taken.prefixlen else taken
        for network in networks
        if network.version == taken.version and network.overlaps(taken)
    )


def collapsed(networks: Iterable[IPNetwork]) -> Networks:
    """Return the same addresses in as few networks as there can be."""
    given = list(networks)
    return (
        *collapse_addresses(each for each in given if isinstance(each, IPv4Network)),
        *collapse_addresses(each for each in given if isinstance(each, IPv6Network)),
    )


def _without(network: IPv4Network, taken: IPv4Network) -> list[IPv4Network]:
    if not network.overlaps(taken):
        return [network]
    return [] if network.subnet_of(taken) else list(network.address_exclude(taken))


def _without_v6(network: IPv6Network, taken: IPv6Network) -> list[IPv6Network]:
    if not network.overlaps(taken):
        return [network]
    return [] if network.subnet_of(taken) else list(network.address_exclude(taken))


ANY = networks_of(["0.0.0.0/0"])
# What no public server has. Source: IANA, special-purpose address registries.
_NOT_PUBLIC = networks_of(
    [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    ]
)


def _public() -> Networks:
    left = ANY
    for taken in _NOT_PUBLIC:
        left = without(left, taken)
    return left


PUBLIC = _public()
"""Where a public server may be, if no more is known of its address."""
INTERNET = Side(PUBLIC, name="the internet")
