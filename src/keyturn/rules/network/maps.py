"""Which real networks stand behind addresses as functions see them: the operator's setting ``--network-map``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from .permits import KEYTURN_PUBLIC_ADDRESS

_LOOPBACK = IPv4Network("127.0.0.0/8")
THIS_MACHINE = IPv4Address("127.0.0.1")
"""The one address of the machine's loopback that can be mapped."""
_NO_HOSTS = tuple(map(IPv4Network, ("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")))


@dataclass(frozen=True, slots=True)
class Map:
    """Addresses as functions see them, and the real ones behind them, in the same order.

    Attributes:
        vpc: As functions see them; mostly of a VPC, but public ones may be mapped too.
        real: As the machine that Keyturn runs on reaches them.
    """

    vpc: IPv4Network
    real: IPv4Network

    def __str__(self) -> str:
        # As it is written in the setting.
        vpc, real = (str(each).removesuffix("/32") for each in (self.vpc, self.real))
        return vpc if vpc == real else f"{vpc}={real}"

    @property
    def is_this_machine(self) -> bool:
        """Whether it leads to the machine's own loopback."""
        return self.real == IPv4Network(THIS_MACHINE)


def maps_of(texts: Iterable[str]) -> tuple[Map, ...]:
    """Return the maps that a setting's texts say: ``10.20.0.0/16`` or ``10.0.2.15=127.0.0.1``.

    Raises:
        ValueError: One of them says none, or two overlap; in a sentence.
    """
    found: list[Map] = []
    for text in texts:
        new = _map_of(text)
        for other in found:
            if other.vpc.overlaps(new.vpc):
                raise ValueError(f"The network maps {other} and {new} overlap: an address leads to one place.")
        found.append(new)
    return tuple(found)


def _map_of(text: str) -> Map:
    seen, is_other, real = text.partition("=")
    vpc = _network_of(seen, text)
    found = Map(vpc, _network_of(real, text) if is_other else vpc)
    if found.vpc.prefixlen != found.real.prefixlen:
        raise ValueError(f"Network map {text}: {found.vpc} and {found.real} differ in size.")
    if found.vpc.overlaps(_LOOPBACK):
        raise ValueError(f"Network map {text}: a function's 127.0.0.0/8 is its own; write ADDRESS=127.0.0.1.")
    if found.real.overlaps(_LOOPBACK) and not found.is_this_machine:
        raise ValueError(f"Network map {text}: of this machine's loopback, functions can reach 127.0.0.1 only.")
    for network in _NO_HOSTS:
        if found.vpc.overlaps(network) or found.real.overlaps(network):
            raise ValueError(f"Network map {text}: {network} has no hosts that a network could lead to.")
    if IPv4Address(KEYTURN_PUBLIC_ADDRESS) in found.vpc:
        raise ValueError(f"Network map {text}: {KEYTURN_PUBLIC_ADDRESS} is Keyturn's own.")
    return found


def _network_of(block: str, text: str) -> IPv4Network:
    given = block.strip()
    if not given:
        raise ValueError(f"Network map {text}: a network is missing.")
    try:
        found = IPv4Network(given, strict=False)
    except ValueError:
        raise ValueError(f"Network map {text}: {given} is no IPv4 network.") from None
    if IPv4Address(given.partition("/")[0]) != found.network_address:
        raise ValueError(f"Network map {text}: {given} does not begin at its network's first address; {found} does.")
    return found


def real_of(maps: Sequence[Map], address: IPv4Address) -> IPv4Address | None:
    """Return the real address behind one that functions see; None if there is none."""
    for each in maps:
        if address in each.vpc:
            return each.real[int(address) - int(each.vpc.network_address)]
    return None


def seen_as(maps: Sequence[Map], address: IPv4Address) -> tuple[IPv4Address, ...]:
    """Return as what functions see a real address, in the order of the settings; empty if they do not."""
    return tuple(each.vpc[int(address) - int(each.real.network_address)] for each in maps if address in each.real)
