"""Interface endpoints of VPCs: a network interface in each of their subnets, and a policy.

What an endpoint tells of its interfaces and names is settled whenever it changes; its interfaces have its groups.

Source: AWS PrivateLink Guide, "Access an AWS service using an interface VPC endpoint" and "Control access to VPC
endpoints using endpoint policies"; Amazon EC2 API Reference, CreateVpcEndpoint; texts as users have published them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from keyturn import ids
from keyturn.call import Call
from keyturn.errors.ec2 import (
    DuplicateSubnetsInSameZone,
    InvalidParameter,
    InvalidParameterCombination,
    InvalidPolicyDocument,
    MissingParameter,
)
from keyturn.errors.secretsmanager import MalformedPolicyDocumentException
from keyturn.operations.ec2.endpoint_services import dns_entries, private_name, service_behind
from keyturn.operations.ec2.kinds import NETWORK_INTERFACE, SECURITY_GROUP, SUBNET, VPC, VPC_ENDPOINT
from keyturn.operations.ec2.listing import Listing
from keyturn.operations.ec2.network_interfaces import add_interface, groups_for
from keyturn.operations.ec2.networks import ChangingNetworks, Networks, Request, Response, changing
from keyturn.operations.ec2.operation import describes, ec2_operation
from keyturn.operations.ec2.subjects import endpoint_keys, existing, existing_each, new, subject_of
from keyturn.operations.ec2.tagging import tags_for
from keyturn.operations.ec2.vpcs import vpc_attributes
from keyturn.operations.kit import Kit
from keyturn.operations.subject import Subject
from keyturn.rules.policy.document import parse_resource_policy
from keyturn.storage.network_objects import Document, NetworkObject

_INTERFACE: Final = "Interface"
# What DeleteVpcEndpoints says of an endpoint that is not there; other operations have another code for it.
_NOT_DELETED: Final = "InvalidVpcEndpoint.NotFound"
_POLICY_CHARACTERS: Final = 20_480
_FULL_ACCESS: Final = json.dumps(
    {"Statement": [{"Action": "*", "Effect": "Allow", "Principal": "*", "Resource": "*"}]}, indent=2
)
_NEW: Final = (
    "VpcEndpointType VpcId ServiceName PolicyDocument SubnetIds SecurityGroupIds PrivateDnsEnabled TagSpecifications"
)
_CHANGES: Final = (
    "VpcEndpointId PolicyDocument ResetPolicy AddSubnetIds RemoveSubnetIds AddSecurityGroupIds"
    " RemoveSecurityGroupIds PrivateDnsEnabled"
)


def described_endpoint(_networks: Networks, record: NetworkObject) -> Document:
    """Describe an endpoint with the moment when it was made."""
    return {**record.body, "CreationTimestamp": record.created_at}


_ENDPOINTS: Final = Listing(
    kind=VPC_ENDPOINT,
    answered_in="VpcEndpoints",
    ids_in="VpcEndpointIds",
    filters={
        "ip-address-type": "IpAddressType",
        "service-name": "ServiceName",
        "service-region": "ServiceRegion",
        "vpc-endpoint-id": "VpcEndpointId",
        "vpc-endpoint-state": "State",
        "vpc-endpoint-type": "VpcEndpointType",
        "vpc-id": "VpcId",
    },
    shown=described_endpoint,
)


@ec2_operation(
    "CreateVpcEndpoint",
    takes=_NEW,
    subject=new(VPC_ENDPOINT, endpoint_keys),
    makes=VPC_ENDPOINT,
    also=(existing(VPC),),
    each=(existing_each(SUBNET, "SubnetIds"), existing_each(SECURITY_GROUP, "SecurityGroupIds")),
)
def create_vpc_endpoint(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Make an interface endpoint, with an interface in each of its subnets."""
    region, service_name = call.place.region, request.get("ServiceName")
    if not service_name:
        raise MissingParameter("The request must contain the parameter serviceName")
    service = service_behind(region, service_name)
    endpoint_type = request.get("VpcEndpointType", "Gateway")
    if endpoint_type != _INTERFACE:
        raise InvalidParameter(
            f"Endpoint type ({endpoint_type}) does not match available service types ([{_INTERFACE}])."
        )
    endpoint_id, tags = VPC_ENDPOINT.new_id(), tags_for(VPC_ENDPOINT, request)
    with changing(kit, call) as networks:
        vpc_id = networks.require(VPC, request["VpcId"]).object_id
        body = {
            "VpcEndpointId": endpoint_id,
            "VpcEndpointType": _INTERFACE,
            "VpcId": vpc_id,
            "ServiceName": service_name,
            "ServiceRegion": region,
            "State": "available",
            "PolicyDocument": _checked_policy(request.get("PolicyDocument")) or _FULL_ACCESS,
            "RouteTableIds": [],
            "SubnetIds": [],
            "Groups": groups_for(networks, vpc_id, request.get("SecurityGroupIds") or (), beside=vpc_id),
            "IpAddressType": "ipv4",
            "DnsOptions": {"DnsRecordIpType": "ipv4"},
            "PrivateDnsEnabled": request.get("PrivateDnsEnabled", True),
            "RequesterManaged": False,
            "NetworkInterfaceIds": [],
            "DnsEntries": [],
            "OwnerId": call.place.account_id,
            "Tags": tags,
        }
        endpoint = networks.add(VPC_ENDPOINT, endpoint_id, body, vpc_id=vpc_id)
        _check_private_dns(networks, endpoint)
        subnets = [networks.require(SUBNET, each) for each in dict.fromkeys(request.get("SubnetIds") or ())]
        made = _settle(networks, endpoint, service, subnets)
    return {"VpcEndpoint": {**described_endpoint(networks, made), "State": "pending"}}


@describes("DescribeVpcEndpoints", _ENDPOINTS)
def describe_vpc_endpoints(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Describe endpoints."""
    return _ENDPOINTS.answer(kit, call, request)


@ec2_operation(
    "ModifyVpcEndpoint",
    takes=_CHANGES,
    subject=existing(VPC_ENDPOINT),
    each=(
        existing_each(SUBNET, "AddSubnetIds"),
        existing_each(SUBNET, "RemoveSubnetIds"),
        existing_each(SECURITY_GROUP, "AddSecurityGroupIds"),
        existing_each(SECURITY_GROUP, "RemoveSecurityGroupIds"),
    ),
)
def modify_vpc_endpoint(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Change an endpoint's policy, subnets, groups or private DNS."""
    with changing(kit, call) as networks:
        endpoint = networks.require(VPC_ENDPOINT, request["VpcEndpointId"])
        group_ids = _changed(
            [group["GroupId"] for group in endpoint.body["Groups"]], request, "SecurityGroupIds", endpoint.object_id
        )
        subnet_ids = _changed(endpoint.body["SubnetIds"], request, "SubnetIds", endpoint.object_id)
        if not group_ids:
            raise InvalidParameter(f"{endpoint.object_id} must have at least one security group.")
        vpc_id = endpoint.body["VpcId"]
        changed = networks.update(
            endpoint,
            PolicyDocument=_changed_policy(endpoint, request),
            Groups=groups_for(networks, vpc_id, group_ids, beside=vpc_id),
            PrivateDnsEnabled=request.get("PrivateDnsEnabled", endpoint.body["PrivateDnsEnabled"]),
        )
        if request.get("PrivateDnsEnabled"):
            _check_private_dns(networks, changed)
        service = service_behind(call.place.region, endpoint.body["ServiceName"])
        _settle(networks, changed, service, [networks.require(SUBNET, each) for each in subnet_ids])
    return {"Return": True}


def _to_delete(kit: Kit, call: Call, request: Request) -> list[Subject[NetworkObject]]:
    """Load the endpoints that a request names. What is not there is told in the answer."""
    return [
        subject_of(kit, call, VPC_ENDPOINT, endpoint_id)._replace(missing=None)
        for endpoint_id in request["VpcEndpointIds"] or ("*",)
    ]


def _first_to_delete(kit: Kit, call: Call, request: Request) -> Subject[NetworkObject]:
    return _to_delete(kit, call, request)[0]


@ec2_operation("DeleteVpcEndpoints", takes="VpcEndpointIds", subject=_first_to_delete, each=(_to_delete,))
def delete_vpc_endpoints(kit: Kit, call: Call, request: Request, _subject: NetworkObject | None) -> Response:
    """Delete endpoints with their interfaces; tell of those that are not there."""
    unsuccessful = []
    with changing(kit, call) as networks:
        for endpoint_id in dict.fromkeys(request["VpcEndpointIds"]):
            endpoint = networks.get(VPC_ENDPOINT, endpoint_id)
            if endpoint is None:
                told = {"Code": _NOT_DELETED, "Message": VPC_ENDPOINT.missing(endpoint_id).message}
                unsuccessful.append({"ResourceId": endpoint_id, "Error": told})
                continue
            for interface in _interfaces(networks, endpoint):
                networks.delete(interface)
            networks.delete(endpoint)
    return {"Unsuccessful": unsuccessful}


def _settle(
    networks: ChangingNetworks, endpoint: NetworkObject, service: str, subnets: Sequence[NetworkObject]
) -> NetworkObject:
    """Let an endpoint have an interface in each of some subnets and in no other, with its groups, and its names.

    Raises:
        InvalidParameter: A subnet is of another VPC.
        DuplicateSubnetsInSameZone: Two are in one zone.
        InsufficientFreeAddressesInSubnet: One is full.
    """
    _check_subnets(endpoint, subnets)
    present = {interface.body["SubnetId"]: interface for interface in _interfaces(networks, endpoint)}
    groups, wanted = endpoint.body["Groups"], [subnet.object_id for subnet in subnets]
    for subnet_id, interface in present.items():
        if subnet_id not in wanted:
            networks.delete(interface)
        elif interface.body["Groups"] != groups:
            networks.update(interface, Groups=groups)
    for subnet in subnets:
        if subnet.object_id not in present:
            present[subnet.object_id] = _add_endpoint_interface(networks, endpoint, subnet)
    return networks.update(
        endpoint,
        SubnetIds=wanted,
        NetworkInterfaceIds=[present[subnet_id].object_id for subnet_id in wanted],
        DnsEntries=dns_entries(
            networks.place.region,
            service,
            endpoint.object_id,
            [subnet.body["AvailabilityZone"] for subnet in subnets],
            is_private=endpoint.body["PrivateDnsEnabled"],
        ),
    )


def _add_endpoint_interface(
    networks: ChangingNetworks, endpoint: NetworkObject, subnet: NetworkObject
) -> NetworkObject:
    attachment = {
        "AttachmentId": ids.new_ec2_id("ela-attach"),
        "DeleteOnTermination": False,
        "DeviceIndex": 1,
        "InstanceOwnerId": "amazon-aws",
        "Status": "attached",
    }
    return add_interface(
        networks,
        subnet,
        endpoint.body["Groups"],
        description=f"VPC Endpoint Interface {endpoint.object_id}",
        InterfaceType="vpc_endpoint",
        RequesterManaged=True,
        Status="in-use",
        Attachment=attachment,
    )


def _interfaces(networks: Networks, endpoint: NetworkObject) -> list[NetworkObject]:
    return [networks.require(NETWORK_INTERFACE, each) for each in endpoint.body["NetworkInterfaceIds"]]


def _check_subnets(endpoint: NetworkObject, subnets: Iterable[NetworkObject]) -> None:
    zones: dict[str, str] = {}
    for subnet in subnets:
        if subnet.vpc_id != endpoint.vpc_id:
            raise InvalidParameter(f"The subnet ID '{subnet.object_id}' is not in VPC {endpoint.vpc_id}.")
        other = zones.setdefault(subnet.body["AvailabilityZone"], subnet.object_id)
        if other != subnet.object_id:
            raise DuplicateSubnetsInSameZone(
                f"Found another VPC endpoint subnet in the availability zone of {subnet.object_id}"
            )


def _check_private_dns(networks: Networks, endpoint: NetworkObject) -> None:
    """Check that an endpoint may have private DNS, if it is to have it.

    Raises:
        InvalidParameter: An attribute of its VPC is off, or another endpoint has the name.
    """
    vpc_id = endpoint.body["VpcId"]
    if not endpoint.body["PrivateDnsEnabled"]:
        return
    attributes = vpc_attributes(networks, vpc_id)
    if not (attributes["EnableDnsSupport"]["Value"] and attributes["EnableDnsHostnames"]["Value"]):
        raise InvalidParameter(
            "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for"
            f" {vpc_id}"
        )
    for other in networks.of_vpc(vpc_id, VPC_ENDPOINT):
        is_alike = other.body["ServiceName"] == endpoint.body["ServiceName"] and other.body["PrivateDnsEnabled"]
        if is_alike and other.object_id != endpoint.object_id:
            service = service_behind(networks.place.region, endpoint.body["ServiceName"])
            raise InvalidParameter(
                "private-dns-enabled cannot be set because there is already a conflicting DNS domain for"
                f" {private_name(networks.place.region, service)} in the VPC {vpc_id}"
            )


def _changed(present: Sequence[str], request: Request, member: str, endpoint_id: str) -> list[str]:
    """Return ids with those that a request adds, and without those that it removes."""
    removed: Sequence[str] = request.get(f"Remove{member}") or ()
    for object_id in removed:
        if object_id not in present:
            raise InvalidParameter(f"{object_id} is not associated with {endpoint_id}.")
    left = [object_id for object_id in present if object_id not in removed]
    return list(dict.fromkeys([*left, *(request.get(f"Add{member}") or ())]))


def _changed_policy(endpoint: NetworkObject, request: Request) -> Any:
    policy = _checked_policy(request.get("PolicyDocument"))
    if not request.get("ResetPolicy"):
        return policy or endpoint.body["PolicyDocument"]
    if policy:
        raise InvalidParameterCombination("The parameter policyDocument cannot be used with the parameter resetPolicy")
    return _FULL_ACCESS


def _checked_policy(text: str | None) -> str | None:
    """Return a policy that an endpoint can have; None if there is none.

    Raises:
        InvalidPolicyDocument: It is none, or is too long.
    """
    if not text:
        return None
    if len(text) > _POLICY_CHARACTERS:
        raise InvalidPolicyDocument(f"The specified policy document has more than {_POLICY_CHARACTERS} characters.")
    try:
        parse_resource_policy(text)
    except MalformedPolicyDocumentException as error:
        raise InvalidPolicyDocument from error
    return text
