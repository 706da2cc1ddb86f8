"""Where a function reaches Keyturn's APIs, and which names lead there.

Sources: AWS PrivateLink Guide, "Access an AWS service using an interface VPC endpoint" (private DNS, and the names of
an endpoint: one for all its zones, one for each); Amazon VPC User Guide, "Amazon DNS server" (its addresses; neither
security groups nor network ACLs filter what goes to it) and "DNS attributes in your VPC".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from .endpoints import DNS_ATTRIBUTES, endpoint_for, endpoint_named, is_available
from .permits import KEYTURN_PUBLIC_ADDRESS, addresses_of
from .picture import Picture
from .traffic import Json, networks_of

WITH_ENDPOINTS = ("secretsmanager", "kms", "sts", "logs")
"""The services that have interface endpoints here."""
_WITHOUT_REGION = ("iam",)
_WITH_BOTH = ("sts",)
_DNS = "169.254.169.253"


@dataclass(frozen=True, slots=True)
class Door:
    """Where Keyturn's APIs are reached, at TCP port 443; whether packets may get there, permits say.

    Attributes:
        addresses: Those of an endpoint's interfaces, or the public one.
        endpoint_id: ``vpce-...``; empty for the public address.
        vpc_id: The endpoint's; empty for the public address.
    """

    addresses: tuple[str, ...]
    endpoint_id: str
    vpc_id: str


@dataclass(frozen=True, slots=True)
class Resolver:
    """The VPC's DNS server.

    Attributes:
        addresses: The base of the VPC's network plus two, and 169.254.169.253.
        answers: Whether the VPC's ``enableDnsSupport`` is on.
        names: The services' names, lower case, each with its addresses.
    """

    addresses: tuple[str, ...]
    answers: bool
    names: tuple[tuple[str, tuple[str, ...]], ...]


def doors_of(picture: Picture, vpc_id: str, region: str, interfaces: Sequence[Json]) -> tuple[Door, ...]:
    """Return the doors of a VPC: its endpoints that are available, by their ids, and the public address."""
    services = {f"com.amazonaws.{region}.{service}" for service in WITH_ENDPOINTS}
    found = [
        Door(_addresses(endpoint, interfaces), str(endpoint["VpcEndpointId"]), vpc_id)
        for endpoint in _endpoints_in(picture, vpc_id)
        if endpoint.get("ServiceName") in services and is_available(endpoint)
    ]
    doors = sorted((door for door in found if door.addresses), key=lambda door: door.endpoint_id)
    return (*doors, Door((KEYTURN_PUBLIC_ADDRESS,), "", ""))


def resolver_of(
    picture: Picture, vpc_id: str, region: str, interfaces: Sequence[Json], services: Sequence[str]
) -> Resolver:
    """Return the DNS server of a VPC.

    Args:
        picture: EC2's entries; its ``dns`` and ``vpcs`` tell of the VPC.
        vpc_id: The VPC.
        region: Where it is.
        interfaces: DescribeNetworkInterfaces' entries of the VPC.
        services: What Keyturn serves, by the first labels of hosts: ``secretsmanager``, ``iam``.
    """
    has_private_names = all(picture.dns.get(name) for name in DNS_ATTRIBUTES)
    names: dict[str, tuple[str, ...]] = {}
    for service in services:
        endpoint = None
        host = f"{service}.{region}.amazonaws.com"
        if service in WITH_ENDPOINTS and has_private_names:
            endpoint = endpoint_for(picture.endpoints or (), vpc_id, region, host, service)
        is_private = endpoint is not None and bool(endpoint.get("PrivateDnsEnabled"))
        if service not in _WITHOUT_REGION:
            names[host] = _addresses(endpoint or {}, interfaces) if is_private else (KEYTURN_PUBLIC_ADDRESS,)
        if service in (*_WITHOUT_REGION, *_WITH_BOTH):
            names[f"{service}.amazonaws.com"] = (KEYTURN_PUBLIC_ADDRESS,)
    for endpoint in _endpoints_in(picture, vpc_id):
        for entry in endpoint.get("DnsEntries") or ():
            name = str(entry.get("DnsName")).lower()
            if endpoint_named(name) == endpoint.get("VpcEndpointId"):
                names[name] = _addresses(endpoint, interfaces, name)
    return Resolver(
        resolver_addresses(picture, vpc_id),
        answers=bool(picture.dns.get("enableDnsSupport")),
        names=tuple(sorted((name, addresses) for name, addresses in names.items() if addresses)),
    )


def resolver_addresses(picture: Picture, vpc_id: str) -> tuple[str, ...]:
    """Return where a VPC's DNS server is: at the base of the VPC's first network plus two, and at 169.254.169.253."""
    vpc = next((each for each in picture.vpcs or () if each.get("VpcId") == vpc_id), {})
    blocks = [each for each in networks_of([str(vpc.get("CidrBlock"))]) if isinstance(each, IPv4Network)]
    return (*(str(each.network_address + 2) for each in blocks), _DNS)


def _endpoints_in(picture: Picture, vpc_id: str) -> list[Json]:
    return [
        each
        for each in picture.endpoints or ()
        if each.get("VpcId") == vpc_id and each.get("VpcEndpointType") == "Interface"
    ]


def _addresses(endpoint: Json, interfaces: Sequence[Json], name: str = "") -> tuple[str, ...]:
    """Return the addresses of an endpoint's interfaces; only those of a zone, if a name is a zone's own."""
    ids = endpoint.get("NetworkInterfaceIds") or ()
    own = [each for each in interfaces if each.get("NetworkInterfaceId") in ids]
    first_label = name.split(".", maxsplit=1)[0]
    zonal = [each for each in own if first_label.endswith(f"-{each.get('AvailabilityZone')}")]
    return tuple(address for each in zonal or own for address in addresses_of(each))
