"""The services that interface endpoints lead to, and the names under which an endpoint is reached.

An endpoint has a name for all of its zones and one for each; with private DNS the service's public name leads to it
too.

Source: AWS PrivateLink Guide, "Access an AWS service using an interface VPC endpoint" and "AWS services that integrate
with AWS PrivateLink"; Amazon EC2 API Reference, ServiceDetail, DnsEntry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from keyturn.call import Call
from keyturn.errors.common import NotImplementedHere
from keyturn.errors.ec2 import InvalidNextToken, InvalidServiceName
from keyturn.operations.ec2.filters import passes_all
from keyturn.operations.ec2.networks import Request, Response
from keyturn.operations.ec2.operation import ec2_operation
from keyturn.operations.ec2.zones import zones_of
from keyturn.operations.kit import Kit
from keyturn.operations.paging import page_after
from keyturn.rules.network.doors import WITH_ENDPOINTS

_WITH_GATEWAYS: Final = ("s3", "dynamodb")
_FILTERS: Final = {
    "owner": "Owner",
    "service-name": "ServiceName",
    "service-region": "ServiceRegion",
    "service-type": "ServiceType.ServiceType",
    "supported-ip-address-types": "SupportedIpAddressTypes",
}


@ec2_operation("DescribeVpcEndpointServices", takes="ServiceNames Filters ServiceRegions MaxResults NextToken")
def describe_vpc_endpoint_services(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Describe the services that interface endpoints lead to."""
    region = call.place.region
    named = [service_behind(region, name) for name in request.get("ServiceNames") or ()]
    regions = request.get("ServiceRegions") or (region,)
    details = [_detail(region, service) for service in sorted(named or WITH_ENDPOINTS) if region in regions]
    passes = passes_all(request.get("Filters") or (), _FILTERS)
    token = request.get("NextToken")
    page = page_after(
        kit,
        call,
        "ec2:ServiceDetails",
        [detail for detail in details if passes(detail)],
        lambda detail: str(detail["ServiceName"]),
        marker=token or None,
        limit=request.get("MaxResults") or len(WITH_ENDPOINTS),
        refusal=InvalidNextToken(f"The token '{token}' is invalid"),
    )
    more = {"NextToken": page.marker} if page.marker else {}
    return {
        "ServiceNames": [detail["ServiceName"] for detail in page.items],
        "ServiceDetails": page.items,
        **more,
    }


def service_behind(region: str, service_name: str) -> str:
    """Return the service of a service name: ``kms`` of ``com.amazonaws.us-east-1.kms``.

    Raises:
        InvalidServiceName: No endpoint leads to it.
        NotImplementedHere: AWS has gateway endpoints for it, which have no use here.
    """
    for service in WITH_ENDPOINTS:
        if service_name == _service_name(region, service):
            return service
    if service_name in [_service_name(region, service) for service in _WITH_GATEWAYS]:
        raise NotImplementedHere(
            "Keyturn does not offer gateway endpoints: it has neither S3 nor DynamoDB; see docs/compatibility.md."
        )
    raise InvalidServiceName(f"The Vpc Endpoint Service '{service_name}' does not exist")


def private_name(region: str, service: str) -> str:
    """Return the public name of a service, which private DNS leads to an endpoint."""
    return f"{service}.{region}.amazonaws.com"


def dns_entries(
    region: str, service: str, endpoint_id: str, zones: Sequence[str], *, is_private: bool
) -> list[dict[str, str]]:
    """Return the names of an endpoint: for all zones, for each, and the service's own with private DNS."""
    # AWS's endpoints have eight letters and digits here, of which only this is known.
    own = f"{endpoint_id}-{hashlib.sha256(endpoint_id.encode()).hexdigest()[:8]}"
    names = [f"{label}.{service}.{region}.vpce.amazonaws.com" for label in (own, *(f"{own}-{zone}" for zone in zones))]
    if is_private:
        names.append(private_name(region, service))
    return [{"DnsName": name} for name in names]


def _service_name(region: str, service: str) -> str:
    return f"com.amazonaws.{region}.{service}"


def _detail(region: str, service: str) -> dict[str, Any]:
    zones = zones_of(region)
    return {
        "ServiceName": _service_name(region, service),
        "ServiceId": f"vpce-svc-{hashlib.sha256(f'{region} {service}'.encode()).hexdigest()[:17]}",
        "ServiceType": [{"ServiceType": "Interface"}],
        "ServiceRegion": region,
        "AvailabilityZones": list(zones),
        "AvailabilityZoneIds": list(zones.values()),
        "Owner": "amazon",
        "BaseEndpointDnsNames": [f"{service}.{region}.vpce.amazonaws.com"],
        "PrivateDnsName": private_name(region, service),
        "PrivateDnsNames": [{"PrivateDnsName": private_name(region, service)}],
        "VpcEndpointPolicySupported": True,
        "AcceptanceRequired": False,
        "ManagesVpcEndpoints": False,
        "PrivateDnsNameVerificationState": "verified",
        "SupportedIpAddressTypes": ["ipv4"],
        "Tags": [],
    }
