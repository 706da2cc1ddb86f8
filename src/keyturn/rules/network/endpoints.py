"""Interface endpoints, of Secrets Manager above all, and which name leads to them.

Source: AWS PrivateLink Guide, "Access an AWS service using an interface VPC endpoint": with private DNS the service's
public name leads to the endpoint from within the VPC, for which the VPC's two DNS attributes have to be on; without
it only the names that begin with the endpoint's id do.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from .hops import Hop, HopKind, Passage
from .picture import Picture
from .traffic import Json

DNS_ATTRIBUTES = ("enableDnsSupport", "enableDnsHostnames")
_PAST = ("deleted", "rejected", "expired")


def host_in(variable: str) -> str:
    """Return the host in SECRETS_MANAGER_ENDPOINT, lower case; empty if there is none."""
    try:
        return (urlsplit(variable if "://" in variable else f"//{variable}").hostname or "").lower()
    except ValueError:
        return ""


def endpoint_named(host: str) -> str:
    """Return the id of the endpoint whose own name a host is: ``vpce-1`` of ``vpce-1-abc.secretsmanager...``."""
    return "-".join(host.split("-")[:2]) if host.startswith("vpce-") else ""


def endpoint_for(
    endpoints: Sequence[Json], vpc_id: str, region: str, host: str, service: str = "secretsmanager"
) -> Json | None:
    """Return the interface endpoint of a service in a VPC, the one that the host names or else the best.

    Args:
        endpoints: DescribeVpcEndpoints' entries.
        vpc_id: The VPC of the function.
        region: Of the secret.
        host: What the function calls.
        service: As endpoints' names end.
    """
    services = (f".{region}.{service}", f".{region}.{service}-fips")
    found = [
        each
        for each in endpoints
        if each.get("VpcId") == vpc_id
        and each.get("VpcEndpointType") == "Interface"
        and str(each.get("ServiceName", "")).endswith(services)
    ]
    named = endpoint_named(host)
    if named:
        return next((each for each in found if each.get("VpcEndpointId") == named), None)
    found.sort(key=lambda each: (bool(each.get("PrivateDnsEnabled")), is_available(each)), reverse=True)
    return next((each for each in found if str(each.get("State")).lower() not in _PAST), found[0] if found else None)


def is_available(endpoint: Json) -> bool:
    """Whether an endpoint is up."""
    return str(endpoint.get("State", "available")).lower() == "available"


def state_of(endpoint: Json) -> Hop:
    """Return whether an endpoint is up."""
    endpoint_id, state = str(endpoint.get("VpcEndpointId")), endpoint.get("State")
    if is_available(endpoint):
        return Hop(HopKind.ENDPOINT, endpoint_id, Passage.PASSES, "is available", endpoint)
    return Hop(HopKind.ENDPOINT, endpoint_id, Passage.BLOCKS, f"is not available, but {state}", endpoint)


def named_by(picture: Picture, endpoint: Json, host: str) -> tuple[Hop, ...]:
    """Return whether the name that a function calls leads to an endpoint."""
    endpoint_id = str(endpoint.get("VpcEndpointId"))
    if endpoint_named(host) == endpoint_id:
        return (Hop(HopKind.PRIVATE_DNS, endpoint_id, Passage.PASSES, "is called by its own name"),)
    if not endpoint.get("PrivateDnsEnabled"):
        why = f"has no private DNS, so that {host} does not lead to it"
        return (Hop(HopKind.PRIVATE_DNS, endpoint_id, Passage.BLOCKS, why, endpoint), *_dns(picture, endpoint))
    return (
        Hop(HopKind.PRIVATE_DNS, endpoint_id, Passage.PASSES, "has private DNS", endpoint),
        *_dns(picture, endpoint),
    )


def _dns(picture: Picture, endpoint: Json) -> tuple[Hop, ...]:
    vpc_id = str(endpoint.get("VpcId"))
    off = [name for name in DNS_ATTRIBUTES if picture.dns.get(name) is False]
    if off:
        why = f"has {' and '.join(off)} off, which private DNS needs"
        return (Hop(HopKind.VPC_DNS, vpc_id, Passage.BLOCKS, why, dict.fromkeys(off, False)),)
    if len(picture.dns) < len(DNS_ATTRIBUTES):
        return (Hop(HopKind.VPC_DNS, vpc_id, Passage.UNKNOWN, "whether it resolves private names is not known"),)
    return (Hop(HopKind.VPC_DNS, vpc_id, Passage.PASSES, "resolves private names", dict(picture.dns)),)
