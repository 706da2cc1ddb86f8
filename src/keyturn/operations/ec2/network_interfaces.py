"""Network interfaces: what has addresses in a subnet, and security groups.

One that a user makes stands for a host of the operator's network, which its address is mapped to: its groups are that
host's. Those of VPC endpoints and of functions are made with these, and only by them.

Source: Amazon EC2 API Reference, NetworkInterface, CreateNetworkInterface; texts as users have published them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from keyturn.call import Call
from keyturn.errors.common import NotImplementedHere
from keyturn.errors.ec2 import (
    AuthFailure,
    InvalidParameter,
    InvalidParameterCombination,
    InvalidParameterValue,
    SecurityGroupsPerInterfaceLimitExceeded,
)
from keyturn.operations.ec2.kinds import NETWORK_INTERFACE, SECURITY_GROUP, SUBNET
from keyturn.operations.ec2.listing import Listing
from keyturn.operations.ec2.networks import ChangingNetworks, Networks, Request, Response, changing, reading
from keyturn.operations.ec2.operation import describes, ec2_operation, makes
from keyturn.operations.ec2.private_addresses import free_address
from keyturn.operations.ec2.security_groups import default_security_group
from keyturn.operations.ec2.subjects import existing, existing_each
from keyturn.operations.ec2.tagging import Tag, tags_for
from keyturn.operations.kit import Kit
from keyturn.storage.network_objects import Document, NetworkObject

_MOST_GROUPS: Final = 5
_ATTRIBUTES: Final = {
    "attachment": "Attachment",
    "description": "Description",
    "groupSet": "Groups",
    "sourceDestCheck": "SourceDestCheck",
}


def described_interface(_networks: Networks, record: NetworkObject) -> Document:
    """Describe an interface, with the moment when it was attached if it is: interfaces are made for what has them."""
    attachment = record.body.get("Attachment")
    return {**record.body, "Attachment": attachment and {**attachment, "AttachTime": record.created_at}}


_INTERFACES: Final = Listing(
    kind=NETWORK_INTERFACE,
    answered_in="NetworkInterfaces",
    ids_in="NetworkInterfaceIds",
    filters={
        "addresses.primary": "PrivateIpAddresses.Primary",
        "addresses.private-ip-address": "PrivateIpAddresses.PrivateIpAddress",
        "attachment.attachment-id": "Attachment.AttachmentId",
        "attachment.instance-owner-id": "Attachment.InstanceOwnerId",
        "attachment.status": "Attachment.Status",
        "availability-zone": "AvailabilityZone",
        "availability-zone-id": "AvailabilityZoneId",
        "description": "Description",
        "group-id": "Groups.GroupId",
        "group-name": "Groups.GroupName",
        "interface-type": "InterfaceType",
        "mac-address": "MacAddress",
        "network-interface-id": "NetworkInterfaceId",
        "owner-id": "OwnerId",
        "private-dns-name": "PrivateDnsName",
        "private-ip-address": "PrivateIpAddress",
        "requester-id": "RequesterId",
        "requester-managed": "RequesterManaged",
        "source-dest-check": "SourceDestCheck",
        "status": "Status",
        "subnet-id": "SubnetId",
        "vpc-id": "VpcId",
    },
    shown=described_interface,
)


@makes(
    "CreateNetworkInterface",
    NETWORK_INTERFACE,
    takes="SubnetId Description Groups PrivateIpAddress PrivateIpAddresses",
    also=(existing(SUBNET),),
    each=(existing_each(SECURITY_GROUP, "Groups"),),
)
def create_network_interface(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Make an interface, which stands for a host of the operator's network."""
    wanted = _wanted_address(request)
    tags = tags_for(NETWORK_INTERFACE, request)
    with changing(kit, call) as networks:
        subnet = networks.require(SUBNET, request["SubnetId"])
        groups = groups_for(networks, subnet.body["VpcId"], request.get("Groups") or (), beside=subnet.object_id)
        made = add_interface(
            networks,
            subnet,
            groups,
            description=request.get("Description", ""),
            wanted=wanted,
            tags=tags,
            InterfaceType="interface",
            RequesterManaged=False,
            Status="available",
        )
    return {"NetworkInterface": {**made.body, "Status": "pending"}}


def groups_for(networks: Networks, vpc_id: str, group_ids: Sequence[str], *, beside: str) -> list[dict[str, str]]:
    """Return the groups of an interface as it tells them.

    Args:
        networks: What there is.
        vpc_id: The VPC.
        group_ids: The groups; the VPC's default group if there are none.
        beside: What has them, for errors: a subnet, or the VPC.

    Raises:
        InvalidGroupNotFound: There is no such group.
        InvalidParameter: One is of another VPC.
        SecurityGroupsPerInterfaceLimitExceeded: They are too many.
    """
    found = [networks.require(SECURITY_GROUP, group_id) for group_id in dict.fromkeys(group_ids)]
    for group in found:
        if group.vpc_id != vpc_id:
            kind = beside.partition("-")[0]
            raise InvalidParameter(
                f"Security group {group.object_id} and {kind} {beside} belong to different networks."
            )
    if len(found) > _MOST_GROUPS:
        raise SecurityGroupsPerInterfaceLimitExceeded
    found = found or [default_security_group(networks, vpc_id)]
    return [{"GroupId": group.object_id, "GroupName": group.body["GroupName"]} for group in found]


def add_interface(
    networks: ChangingNetworks,
    subnet: NetworkObject,
    groups: Sequence[Mapping[str, str]],
    *,
    description: str,
    wanted: str | None = None,
    tags: Sequence[Tag] = (),
    **members: Any,
) -> NetworkObject:
    """Make an interface in a subnet.

    Args:
        networks: To be changed.
        subnet: Where.
        groups: As :func:`groups_for` returns them.
        description: What it is for.
        wanted: Its address; the lowest free one, if that is None.
        tags: Its tags.
        members: Its type, its status, who made it; and what else is told of it.

    Raises:
        InsufficientFreeAddressesInSubnet: The subnet is full.
        InvalidParameterValue: The address that is wanted is not the subnet's.
        InvalidIPAddressInUse: Something has the address that is wanted.
    """
    interface_id = NETWORK_INTERFACE.new_id()
    address = free_address(networks, subnet, wanted)
    name = _private_dns_name(networks.place.region, address)
    body = {
        "NetworkInterfaceId": interface_id,
        "SubnetId": subnet.object_id,
        "VpcId": subnet.body["VpcId"],
        "AvailabilityZone": subnet.body["AvailabilityZone"],
        "AvailabilityZoneId": subnet.body["AvailabilityZoneId"],
        "Description": description,
        "OwnerId": networks.place.account_id,
        "RequesterId": networks.place.account_id,
        "Groups": list(groups),
        "MacAddress": _mac_address(interface_id),
        "PrivateDnsName": name,
        "PrivateIpAddress": address,
        "PrivateIpAddresses": [{"Primary": True, "PrivateDnsName": name, "PrivateIpAddress": address}],
        "Ipv6Addresses": [],
        "SourceDestCheck": True,
        "TagSet": list(tags),
        **members,
    }
    return networks.add(NETWORK_INTERFACE, interface_id, body, vpc_id=subnet.vpc_id)


@describes("DescribeNetworkInterfaces", _INTERFACES)
def describe_network_interfaces(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Describe network interfaces."""
    return _INTERFACES.answer(kit, call, request)


@ec2_operation(
    "DescribeNetworkInterfaceAttribute", takes="NetworkInterfaceId Attribute", subject=existing(NETWORK_INTERFACE)
)
def describe_network_interface_attribute(kit: Kit, call: Call, request: Request, interface: NetworkObject) -> Response:
    """Describe one attribute of an interface."""
    attribute = request.get("Attribute", "")
    member = _ATTRIBUTES.get(attribute)
    if member is None:
        raise InvalidParameterValue.of("attribute", attribute, f"It is one of {', '.join(_ATTRIBUTES)}.")
    with reading(kit, call) as networks:
        value = described_interface(networks, interface).get(member)
    told = {"Value": value} if member in ("Description", "SourceDestCheck") else value
    return {"NetworkInterfaceId": interface.object_id, member: told}


@ec2_operation(
    "ModifyNetworkInterfaceAttribute",
    takes="NetworkInterfaceId Description Groups",
    subject=existing(NETWORK_INTERFACE),
    each=(existing_each(SECURITY_GROUP, "Groups"),),
)
def modify_network_interface_attribute(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Change the description of an interface, or its groups."""
    description, group_ids = request.get("Description"), request.get("Groups")
    if (description is None) is (group_ids is None):
        raise InvalidParameterCombination("Only one attribute of a network interface can be modified at a time.")
    with changing(kit, call) as networks:
        interface = networks.require(NETWORK_INTERFACE, request["NetworkInterfaceId"])
        if not _is_a_users(interface):
            raise AuthFailure("You do not have permission to access the specified resource.")
        if description is not None:
            networks.update(interface, Description=description.get("Value", ""))
        else:
            vpc_id, subnet_id = interface.body["VpcId"], interface.body["SubnetId"]
            networks.update(interface, Groups=groups_for(networks, vpc_id, group_ids or (), beside=subnet_id))
    return {}


@ec2_operation("DeleteNetworkInterface", takes="NetworkInterfaceId", subject=existing(NETWORK_INTERFACE))
def delete_network_interface(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Delete an interface that a user made."""
    with changing(kit, call) as networks:
        interface = networks.require(NETWORK_INTERFACE, request["NetworkInterfaceId"])
        if not _is_a_users(interface):
            raise InvalidParameterValue(f"Network interface '{interface.object_id}' is currently in use.")
        networks.delete(interface)
    return {}


def _is_a_users(interface: NetworkObject) -> bool:
    return bool(interface.body["Status"] == "available")


def _wanted_address(request: Request) -> str | None:
    """Return the address that a request wants, if it wants one."""
    listed: Sequence[Mapping[str, Any]] = request.get("PrivateIpAddresses") or ()
    single: str | None = request.get("PrivateIpAddress")
    if listed and single:
        raise InvalidParameterCombination(
            "The parameter privateIpAddress cannot be used with the parameter privateIpAddresses"
        )
    if len(listed) > 1:
        raise NotImplementedHere(
            "Keyturn does not offer secondary addresses of network interfaces; see docs/compatibility.md."
        )
    return listed[0].get("PrivateIpAddress") if listed else single


def _mac_address(interface_id: str) -> str:
    # The first octet says that it is locally administered; the others are the id's.
    return "02:" + bytes.fromhex(interface_id.rpartition("-")[2][:10]).hex(":")


def _private_dns_name(region: str, address: str) -> str:
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{address.replace('.', '-')}.{domain}"
