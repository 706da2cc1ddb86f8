"""The rules that a function's network namespace is given, as ``nft -f`` reads them.

A packet leaves the function by the chain ``filter``, with the address that the function wrote; ``translate`` then
gives it the real one. What may leave is in sets of addresses with ports, so that hundreds of permits cost no more
than a few. What is not permitted is lost, as in a VPC: who waits for a connection times out. Only of a datagram does
Linux tell its sender (EPERM).

Source: nft(8), "dnat", "set", "concatenation".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, collapse_addresses

from .maps import Map
from .plan import NetworkPlan, Permit
from .traffic import HTTPS, NUMBERS, PUBLIC, IPNetwork, Networks, Ports, networks_of, within, without


@dataclass(frozen=True, slots=True)
class InnerPorts:
    """Where the server listens inside of the namespace, at 127.0.0.1. The Runtime API's port needs no rule.

    Attributes:
        doors: TCP ports by the doors' ``endpoint_id``.
        resolver: The port of the resolver, TCP and UDP.
    """

    doors: Mapping[str, int]
    resolver: int


def ruleset(
    plan: NetworkPlan,
    *,
    ports: InnerPorts,
    maps: Sequence[Map],
    host_loopback: str = "169.254.76.2",
    server: tuple[str, int] | None = None,
) -> str:
    """Return the rules of a namespace, to be loaded before the function starts.

    Args:
        plan: What may leave.
        ports: Where the server listens inside.
        maps: The real networks behind the addresses that functions see.
        host_loopback: The address at which slirp4netns reaches the machine's own 127.0.0.1.
        server: Where the server itself is, after translation. What is mapped is no way around its doors: calls would
            come from this machine, through no endpoint.
    """
    resolver = ", ".join(plan.resolver.addresses)
    inner = ", ".join(str(each) for each in sorted({*ports.doors.values(), ports.resolver}))
    # An endpoint may have the public address, in a VPC of that network: what is the VPC's own is nobody else's.
    led = {address: ports.doors[door.endpoint_id] for door in reversed(plan.doors) for address in door.addresses}
    doors = ", ".join(f"{address} . {HTTPS} : 127.0.0.1 . {port}" for address, port in sorted(led.items()))
    return f"""\
table ip keyturn {{
{_sets(leaving(plan, maps))}
  map doors {{
    type ipv4_addr . inet_service : ipv4_addr . inet_service
    elements = {{ {doors} }}
  }}
  chain filter {{
    type filter hook output priority -150; policy drop;
    ct state established accept
    # What belongs to no connection would not be translated.
    ct state != new drop
    # Doors are reached at their addresses only, where permits count; and which door it is tells whose policy counts.
    ip daddr 127.0.0.0/8 tcp dport {{ {inner} }} drop
    ip daddr 127.0.0.0/8 udp dport {ports.resolver} drop
    ip daddr 127.0.0.0/8 accept
    ip daddr {{ {resolver} }} meta l4proto {{ tcp, udp }} th dport 53 accept
    ip daddr . tcp dport @permitted_tcp accept
    ip daddr . udp dport @permitted_udp accept
  }}
  chain translate {{
    type nat hook output priority -100;
    ip daddr {{ {resolver} }} meta l4proto {{ tcp, udp }} th dport 53 dnat to 127.0.0.1:{ports.resolver}
    dnat to ip daddr . tcp dport map @doors
{_translated(maps, host_loopback)}\
  }}
  chain leave {{
    type filter hook postrouting priority 0;
    # What is the namespace's own, a socket bound to the wire sends there; slirp4netns would take it for the machine's.
    oifname != "lo" ip daddr 127.0.0.0/8 drop
{_not_around_doors(server)}\
  }}
}}
table ip6 keyturn {{
  chain filter {{
    type filter hook output priority -150; policy drop;
    oifname "lo" ip6 daddr ::1 accept
  }}
}}
"""


def leaving(plan: NetworkPlan, maps: Sequence[Map]) -> tuple[Permit, ...]:
    """Return what of a plan's permits leads anywhere: to a door, to a real network, to a public address."""
    doors = networks_of(address for door in plan.doors for address in door.addresses)
    mapped = [each.vpc for each in maps]
    found: list[Permit] = []
    for permit in plan.permits:
        if permit.protocol == "tcp" and permit.ports.first <= HTTPS.first <= permit.ports.last:
            found += [Permit(each, "tcp", HTTPS) for each in _common([permit.network], doors)]
        real = _common([permit.network], mapped)
        public = _less(_common([permit.network], PUBLIC), plan.networks)
        led = _less([*real, *public], doors)
        found += [Permit(each, permit.protocol, permit.ports) for each in collapse_addresses(led)]
    return tuple(found)


def _common(networks: Iterable[IPv4Network], others: Iterable[IPNetwork]) -> list[IPv4Network]:
    return _v4(each for other in others for each in within(networks, other))


def _less(networks: Iterable[IPv4Network], taken: Iterable[IPNetwork]) -> list[IPv4Network]:
    left: Networks = tuple(networks)
    for each in taken:
        left = without(left, each)
    return _v4(left)


def _v4(networks: Iterable[IPNetwork]) -> list[IPv4Network]:
    return [each for each in networks if isinstance(each, IPv4Network)]


def _sets(permits: Sequence[Permit]) -> str:
    """Return the sets of what may leave, one for each protocol."""
    return "\n".join(_set(protocol, [each for each in permits if each.protocol == protocol]) for protocol in NUMBERS)


def _set(protocol: str, permits: Sequence[Permit]) -> str:
    elements = ", ".join(_elements(permits))
    # nft takes no empty list.
    listed = f"\n    elements = {{ {elements} }}" if elements else ""
    return f"""\
  set permitted_{protocol} {{
    type ipv4_addr . inet_service
    flags interval{listed}
  }}"""


def _elements(permits: Sequence[Permit]) -> list[str]:
    """Return permits as a set has them, those of neighbours in one."""
    ranges: list[tuple[Ports, IPv4Address, IPv4Address]] = []
    for each in sorted(permits, key=lambda permit: (permit.ports, permit.network)):
        first, last = each.network.network_address, each.network.broadcast_address
        if ranges and ranges[-1][0] == each.ports and ranges[-1][2] + 1 == first:
            ranges[-1] = (each.ports, ranges[-1][1], last)
        else:
            ranges.append((each.ports, first, last))
    return [f"{first if first == last else f'{first}-{last}'} . {ports}" for ports, first, last in ranges]


def _not_around_doors(server: tuple[str, int] | None) -> str:
    return "" if server is None else f"    ip daddr {server[0]} tcp dport {server[1]} drop\n"


def _translated(maps: Sequence[Map], host_loopback: str) -> str:
    """Return the rules that give packets their real addresses; where those are the same, there is none."""
    found = []
    for each in maps:
        if each.is_this_machine:
            found.append(f"    ip daddr {each.vpc} dnat to {host_loopback}\n")
        elif each.vpc != each.real:
            found.append(f"    ip daddr {each.vpc} dnat ip prefix to {each.real}\n")
    return "".join(found)
