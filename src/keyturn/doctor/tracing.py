"""The way from a function to a host and port: what EC2's entries say, hop by hop, and what a live probe says.

The reading is made of Describe calls, on Keyturn and in an AWS account alike, and asks no secret's value. The probe is
Keyturn's own operation ProbeFunctionNetwork; it also tells what the function's resolver makes of a name, and what the
server's network maps put behind an address.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address
from typing import Any

from keyturn.rules.network.agreement import (
    CANNOT_RUN,
    Agreement,
    Outcome,
    Verdict,
    compared,
    not_run,
    on_loopback,
    read,
)
from keyturn.rules.network.doors import WITH_ENDPOINTS, Resolver, resolver_of
from keyturn.rules.network.endpoints import DNS_ATTRIBUTES, endpoint_for, is_available, named_by, state_of
from keyturn.rules.network.hops import Hop, HopKind, Passage, passage_of
from keyturn.rules.network.permits import KEYTURN_PUBLIC_ADDRESS, addresses_of, groups_at
from keyturn.rules.network.picture import Picture
from keyturn.rules.network.trace import OWN_LOOPBACK, Packet, hops_to, resolved
from keyturn.rules.network.traffic import Json, is_ipv4
from keyturn.rules.network.ways import Origin

from .cached import cached
from .facts import Answer, Facts, Kind
from .network import Network, entries_in, known_dns
from .vpc_answers import VpcAnswers

PROBE = "ProbeFunctionNetwork"
ON_AWS = "none, as AWS lets nobody into a function's network: this is a reading alone"
_MOST_INTERFACES = 1000
_DNS_PORT = 53
# Every system's own, whatever DNS says. Source: RFC 6761, section 6.3.
_LOCALHOST = ("localhost", "127.0.0.1")

Resolve = Callable[[str], Sequence[str]]
"""Says which IPv4 addresses a name has, as far as this machine knows."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is traced.

    Attributes:
        function: Its name or ARN.
        host: A name or an address.
        port: TCP.
        qualifier: A version or an alias; empty for none.
        subnet_id: One of the function's subnets; empty for each.
        may_be_keyturn: Whether it is not AWS that is asked.
        services: What Keyturn serves, by the first labels of hosts: ``secretsmanager``, ``iam``.
        probes: Whether a connection is tried.
    """

    function: str
    host: str
    port: int
    qualifier: str = ""
    subnet_id: str = ""
    may_be_keyturn: bool = False
    services: tuple[str, ...] = ()
    probes: bool = True

    @property
    def named(self) -> Mapping[str, str]:
        """The function, in the words of the API."""
        return {"FunctionName": self.function} | ({"Qualifier": self.qualifier} if self.qualifier else {})


@dataclass(frozen=True, slots=True)
class Probed:
    """What the live probe says of an address, or of a name that has none."""

    outcome: Outcome
    error: str
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Way:
    """The way to one address, from one subnet.

    Attributes:
        subnet_id: The function's subnet; empty if it is in no VPC.
        source: The private address of its interface, or the subnet's network; empty if neither is known.
        address: Where it leads; empty if the name has no address.
        hops: In the packets' order, then those of the answer.
        probed: What the live probe says; None if there is none.
        unprobed: Why there is none.
        agreement: What both mean together.
    """

    subnet_id: str
    source: str
    address: str
    hops: tuple[Hop, ...]
    probed: Probed | None
    unprobed: str
    agreement: Agreement

    @property
    def reading(self) -> Passage:
        """What the hops say."""
        return passage_of(self.hops)

    @property
    def decisive(self) -> Hop | None:
        """The first hop that does not let packets pass."""
        return next((hop for hop in self.hops if hop.passage is self.reading is not Passage.PASSES), None)


@dataclass(frozen=True, slots=True)
class Trace:
    """All ways from a function to a host.

    Attributes:
        wanted: What was traced.
        function_arn: The function.
        vpc_id: Its VPC; empty if it is in none, or none that may be looked at.
        ways: One for each subnet and address.
        groups: DescribeSecurityGroups' entries, to show what rules there are instead.
        unseen: What could not be asked.
    """

    wanted: Wanted
    function_arn: str
    vpc_id: str
    ways: tuple[Way, ...]
    groups: Sequence[Json]
    unseen: tuple[Answer, ...]

    @property
    def verdict(self) -> Verdict:
        """Whether the host is reached from every subnet, at every address."""
        found = {way.agreement.verdict for way in self.ways}
        order = (Verdict.DISPUTED, Verdict.BLOCKS, Verdict.FAILS, Verdict.UNKNOWN)
        return next((each for each in order if each in found), Verdict.PASSES)


def trace(facts: Facts, configuration: Json, region: str, wanted: Wanted, resolve: Resolve) -> Trace:
    """Return all ways from a function to a host.

    Args:
        facts: Answers.
        configuration: The function's, as GetFunctionConfiguration answers it.
        region: The function's.
        wanted: What is traced.
        resolve: Asks this machine's DNS, where neither the VPC nor a probe says what a name means.
    """
    return _Tracing(facts, configuration, region, wanted, resolve).trace()


class _Tracing:
    def __init__(self, facts: Facts, configuration: Json, region: str, wanted: Wanted, resolve: Resolve) -> None:
        self._facts = facts
        self._configuration = configuration
        self._region = region
        self._wanted = wanted
        self._resolve = resolve
        self._network = Network(facts, configuration, region, None)

    def trace(self) -> Trace:
        """Return the ways, and what they rest on."""
        subnet_ids = self._subnet_ids or ("",)
        ways = tuple(way for subnet_id in subnet_ids for way in self._ways(subnet_id))
        unseen = [each for each in self._facts.answers() if each.kind is not Kind.OK and each.question.service == "ec2"]
        arn = str(self._configuration.get("FunctionArn") or self._wanted.function)
        vpc_id = "" if self._vpc is None else self._vpc.vpc_id
        return Trace(self._wanted, arn, vpc_id, ways, self._picture.groups or (), tuple(unseen))

    @property
    def _subnet_ids(self) -> tuple[str, ...]:
        chosen = self._wanted.subnet_id
        return (chosen,) if chosen else self._network.subnet_ids

    @cached
    def _vpc(self) -> VpcAnswers | None:
        answer = self._network.subnets
        return self._network.vpc if answer is not None and answer.kind is Kind.OK else None

    # The probe.

    @cached
    def _probes(self) -> Mapping[str, Answer | None]:
        """What is answered from each subnet, empty for no VPC; None where nobody is asked."""
        asks = self._wanted.probes and self._wanted.may_be_keyturn and ":" not in self._wanted.host
        return {each: self._ask(each) if asks else None for each in self._subnet_ids or ("",)}

    def _ask(self, subnet_id: str) -> Answer:
        chosen = {"SubnetId": subnet_id} if subnet_id else {}
        to = {"Host": self._wanted.host, "Port": self._wanted.port}
        return self._facts.ask("keyturn", PROBE, None, **self._wanted.named, **to, **chosen)

    def _probe(self, subnet_id: str) -> Json | None:
        return next(iter(entries_in(self._probes[subnet_id], "Probes") or ()), None)

    def _unprobed(self, subnet_id: str) -> str:
        answer = self._probes[subnet_id]
        if not self._wanted.probes:
            return "none, as --no-probe was given: this is a reading alone"
        if self._wanted.may_be_keyturn and ":" in self._wanted.host:
            return "none, as it tries IPv4 only"
        if answer is None or answer.kind is Kind.UNSUPPORTED:
            return ON_AWS
        if answer.kind is Kind.OK:
            return "this address was not tried"
        return (answer.message or answer.code).rstrip(".")

    @property
    def _is_keyturn(self) -> bool:
        """Whether it is Keyturn, as far as is known: others do not offer the probe."""
        return self._wanted.may_be_keyturn and all(
            answer is None or answer.kind is not Kind.UNSUPPORTED for answer in self._probes.values()
        )

    # The name.

    def _named(self, subnet_id: str) -> tuple[tuple[Hop, ...], tuple[str, ...]]:
        """Return the hop that makes the name an address, and the addresses."""
        host = self._wanted.host
        if ":" in host or is_ipv4(host):
            return (), (host,)
        probe = self._probe(subnet_id)
        found = tuple(self._resolve(host)) if probe is None else _addresses_in(probe)
        if host.lower().rstrip(".") == _LOCALHOST[0]:
            return (), found or _LOCALHOST[1:]
        if not subnet_id:
            return (), found
        hop, addresses = resolved(self._resolver, host, found)
        is_told = probe is not None or host.lower().rstrip(".") in dict(self._resolver.names)
        if DNS_ATTRIBUTES[0] not in self._picture_of_names.dns:
            unknown = "whether it resolves names is not known: the VPC's attributes may not be looked at"
            return (Hop(HopKind.VPC_DNS, hop.at, Passage.UNKNOWN, unknown),), found
        if not addresses and not is_told and self._resolver.answers:
            unknown = f"whether it knows {host} is not known: this machine's DNS does not"
            return (Hop(HopKind.VPC_DNS, hop.at, Passage.UNKNOWN, unknown),), ()
        if not is_told and hop.passage is Passage.PASSES:
            hop = replace(hop, why=f"is taken to say what this machine's DNS does: {host} is {', '.join(addresses)}")
        return (hop,), addresses

    @cached
    def _resolver(self) -> Resolver:
        vpc_id = "" if self._vpc is None else self._vpc.vpc_id
        services = self._wanted.services if self._is_keyturn else WITH_ENDPOINTS
        found = resolver_of(self._picture_of_names, vpc_id, self._region, self._interfaces, services)
        if self._is_keyturn:
            return found
        # In AWS a service's public name leads to AWS; any service may have an endpoint.
        names = {name: at for name, at in found.names if at != (KEYTURN_PUBLIC_ADDRESS,)}
        return replace(found, names=tuple({**self._private_names, **names}.items()))

    @property
    def _private_names(self) -> Mapping[str, tuple[str, ...]]:
        """The names that endpoints with private DNS have in the VPC."""
        picture = self._picture_of_names
        if not all(picture.dns.get(name) for name in DNS_ATTRIBUTES):
            return {}
        return {
            str(entry.get("DnsName")).lower(): tuple(
                address
                for interface in self._interfaces
                if interface.get("NetworkInterfaceId") in (endpoint.get("NetworkInterfaceIds") or ())
                for address in addresses_of(interface)
            )
            for endpoint in picture.endpoints or ()
            if endpoint.get("PrivateDnsEnabled") and is_available(endpoint)
            for entry in endpoint.get("DnsEntries") or ()
        }

    # The reading.

    @property
    def _interfaces(self) -> Sequence[Json]:
        return entries_in(None if self._vpc is None else self._vpc.interfaces, "NetworkInterfaces") or ()

    @cached
    def _picture_of_names(self) -> Picture:
        """What names need."""
        if self._vpc is None:
            return Picture()
        endpoints, vpcs = entries_in(self._vpc.endpoints, "VpcEndpoints"), entries_in(self._vpc.described, "Vpcs")
        return Picture(endpoints=endpoints, vpcs=vpcs, dns=known_dns(self._vpc.dns))

    @cached
    def _picture(self) -> Picture:
        """All that is known, with the groups of who has the addresses."""
        names = self._picture_of_names
        addresses = {each for subnet_id in self._subnet_ids for each in self._named(subnet_id)[1] if is_ipv4(each)}
        at = groups_at(names, "" if self._vpc is None else self._vpc.vpc_id, self._interfaces)
        groups = {group_id for each in addresses for group_id in at.get(IPv4Address(each), ())}
        network = Network(self._facts, self._configuration, self._region, None, groups)
        return replace(network.picture, vpcs=names.vpcs, dns=names.dns)

    def _ways(self, subnet_id: str) -> list[Way]:
        named, addresses = self._named(subnet_id)
        source, probe = self._source(subnet_id), self._probe(subnet_id)
        unprobed = self._unprobed(subnet_id)
        if not addresses:
            hops = named or (self._without_vpc(None),)
            return [_way(subnet_id, source, "", hops, None if probe is None else _probed(probe), unprobed)]
        tried = {str(each.get("Address")): each for each in (probe or {}).get("Addresses") or ()}
        ways = []
        for address in addresses:
            entry = tried.get(address)
            if _is_loopback(address) and not self._has_machines_network:
                hops = (*named, self._on_loopback(entry, address))
            else:
                hops = (*self._hops(subnet_id, source, address), *_landed(entry, address))
                hops = (*named, *self._passed_by(hops), *hops)
            ways.append(_way(subnet_id, source, address, hops, _probed(entry) if entry else None, unprobed))
        return ways

    def _source(self, subnet_id: str) -> str:
        """Return the address of the function's interface in a subnet; the subnet's network if that is not known."""
        probe = self._probe(subnet_id)
        if probe is not None and probe.get("SourceAddress"):
            return str(probe["SourceAddress"])
        own = set(self._network.group_ids)
        for each in self._interfaces:
            groups = {str(group.get("GroupId")) for group in each.get("Groups") or ()}
            if (each.get("InterfaceType"), each.get("SubnetId")) == ("lambda", subnet_id) and groups == own:
                return next(iter(addresses_of(each)), "")
        return str((self._network.picture.subnet(subnet_id) or {}).get("CidrBlock") or "")

    def _hops(self, subnet_id: str, source: str, address: str) -> tuple[Hop, ...]:
        if not is_ipv4(address):
            why = f"{address} is an IPv6 address, and IPv6 is not read"
            return (Hop(HopKind.ROUTE, subnet_id or address, Passage.UNKNOWN, why),)
        if not subnet_id:
            return (self._without_vpc(IPv4Address(address)),)
        if address in self._resolver.addresses:
            is_dns = self._wanted.port == _DNS_PORT and self._resolver.answers
            why = "is the VPC's DNS server, which neither groups nor ACLs filter; it answers at port 53"
            return (Hop(HopKind.VPC_DNS, address, Passage.PASSES if is_dns else Passage.BLOCKS, why),)
        origin = Origin(subnet_id, self._network.group_ids)
        packet = Packet(source, address, self._wanted.port)
        hops = hops_to(self._picture, origin, self._interfaces, packet)
        return (*hops, *self._at(hops, address))

    def _passed_by(self, hops: Sequence[Hop]) -> tuple[Hop, ...]:
        """Return why a service's name leads past the endpoint that the VPC has for it, where that way is blocked."""
        host = self._wanted.host.lower().rstrip(".")
        service, _, rest = host.partition(".")
        if self._vpc is None or rest != f"{self._region}.amazonaws.com" or passage_of(hops) is not Passage.BLOCKS:
            return ()
        picture = self._picture_of_names
        endpoint = endpoint_for(picture.endpoints or (), self._vpc.vpc_id, self._region, host, service)
        found = () if endpoint is None else (state_of(endpoint), *named_by(picture, endpoint, host))
        if all(hop.passage is not Passage.BLOCKS for hop in found):
            return ()
        instead = f"there is an endpoint of {service} in the VPC, to which the name does not lead"
        return tuple(
            replace(hop, why=f"{hop.why}: {instead}" if hop.kind is HopKind.VPC_DNS else hop.why)
            for hop in found
            if hop.passage is Passage.BLOCKS
        )

    def _at(self, hops: Sequence[Hop], address: str) -> tuple[Hop, ...]:
        """Return whose an address of the VPC is, where that decides something or is not known."""
        is_inside = any(hop.kind is HopKind.ROUTE and hop.at.startswith("rtb-") and _is_local(hop) for hop in hops)
        if self._vpc is None or not is_inside or any(hop.kind is HopKind.INTERFACE_GROUP for hop in hops):
            return ()
        if self._vpc.interfaces.kind is not Kind.OK or len(self._interfaces) >= _MOST_INTERFACES:
            why = "whose it is, and which security groups guard it, is not known"
            return (Hop(HopKind.INTERFACE, address, Passage.UNKNOWN, why),)
        if self._is_keyturn:
            # A network map leads to hosts that have no interface.
            return ()
        return (
            Hop(HopKind.INTERFACE, address, Passage.BLOCKS, "there is none with this address, so that nobody answers"),
        )

    @property
    def _has_machines_network(self) -> bool:
        """Whether the function has the network of the machine that Keyturn runs on, as far as is known."""
        answer = self._probes.get("")
        is_isolated = answer is not None and answer.found.get("Network") == "isolated"
        return not self._subnet_ids and self._is_keyturn and not is_isolated

    def _on_loopback(self, entry: Json | None, address: str) -> Hop:
        """Return what a function's own loopback is: the server knows what to use in its stead."""
        why = f"{OWN_LOOPBACK}; use the host's address in the network"
        if entry is not None and entry.get("Destination"):
            why = str(entry["Destination"])
        elif not self._subnet_ids and self._is_keyturn:
            why = (
                f"{OWN_LOOPBACK}: isolated functions (--isolate-functions) reach Keyturn alone; put it into a VPC, one"
                " of whose addresses is that machine's (docs/networks.md)"
            )
        return Hop(HopKind.LOOPBACK, address, Passage.BLOCKS, why)

    def _without_vpc(self, address: IPv4Address | None) -> Hop:
        """Return what a function reaches that is in no VPC."""
        at, answer = str(self._configuration.get("FunctionName") or self._wanted.function), self._probes.get("")
        if self._is_keyturn:
            network = answer.found.get("Network") if answer is not None else None
            if network == "isolated":
                why = "is isolated (--isolate-functions): it reaches Keyturn's APIs and nothing else"
                return Hop(HopKind.NO_VPC, at, Passage.BLOCKS, why)
            why = "is in no VPC: it uses the network of the machine that Keyturn runs on, which no trace can follow"
            return Hop(HopKind.NO_VPC, at, Passage.UNKNOWN, why)
        if address is None:
            why = f"this machine's DNS knows no address of {self._wanted.host}"
            return Hop(HopKind.NO_VPC, at, Passage.UNKNOWN, why)
        if address.is_global:
            return Hop(HopKind.NO_VPC, at, Passage.PASSES, "is in no VPC, and reaches public addresses")
        why = f"is in no VPC, and reaches no private address: {address} is one"
        return Hop(HopKind.NO_VPC, at, Passage.BLOCKS, why)


def _is_local(hop: Hop) -> bool:
    return str((hop.rule or {}).get("GatewayId")) == "local"


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _way(subnet_id: str, source: str, address: str, hops: tuple[Hop, ...], probed: Probed | None, unprobed: str) -> Way:
    reading = passage_of(hops)
    if any(hop.kind is HopKind.LOOPBACK for hop in hops):
        agreement = on_loopback() if probed is not None else read(reading)
    elif unprobed.startswith(CANNOT_RUN):
        agreement = not_run(reading)
    else:
        agreement = read(reading) if probed is None else compared(reading, probed.outcome)
    return Way(subnet_id, source, address, hops, probed, "" if probed else unprobed, agreement)


def _addresses_in(probe: Json) -> tuple[str, ...]:
    return tuple(str(each.get("Address")) for each in probe.get("Addresses") or ())


def _landed(entry: Mapping[str, Any] | None, address: str) -> tuple[Hop, ...]:
    """Return what the server says is at an address."""
    if entry is None or not entry.get("Destination"):
        return ()
    passage = Passage.PASSES if entry.get("IsMapped") else Passage.BLOCKS
    return (Hop(HopKind.MAP, address, passage, str(entry["Destination"])),)


def _probed(entry: Mapping[str, Any]) -> Probed:
    told = str(entry.get("Outcome"))
    outcome = Outcome(told) if told in set(Outcome) else Outcome.FAILED
    return Probed(outcome, str(entry.get("Error") or ""), int(entry.get("Milliseconds") or 0))
