"""Subnets of a VPC, each in one Availability Zone.

Source: Amazon VPC User Guide, "Subnets for your VPC"; Amazon EC2 API Reference, CreateSubnet.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Final

from keyturn import ids
from keyturn.call import Call
from keyturn.errors.ec2 import (
    DependencyViolation,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidSubnetConflict,
    InvalidSubnetRange,
    MissingParameter,
)
from keyturn.operations.ec2.cidrs import ipv4_block
from keyturn.operations.ec2.kinds import (
    NAT_GATEWAY,
    NETWORK_ACL,
    NETWORK_INTERFACE,
    ROUTE_TABLE,
    SUBNET,
    VPC,
    VPC_ENDPOINT,
)
from keyturn.operations.ec2.listing import Listing
from keyturn.operations.ec2.networks import ChangingNetworks, Networks, Request, Response, changing
from keyturn.operations.ec2.operation import describes, ec2_operation, makes
from keyturn.operations.ec2.private_addresses import free_address_count
from keyturn.operations.ec2.subjects import existing
from keyturn.operations.ec2.tagging import tags_for
from keyturn.operations.ec2.zones import zones_of
from keyturn.operations.kit import Kit
from keyturn.storage.network_objects import Document, NetworkObject

_LARGEST_PREFIX, _SMALLEST_PREFIX = 16, 28
# What is the same of every subnet here.
_ALWAYS: Final = {
    "State": "available",
    "Ipv6CidrBlockAssociationSet": [],
    "DefaultForAz": False,
    "MapCustomerOwnedIpOnLaunch": False,
    "AssignIpv6AddressOnCreation": False,
    "EnableDns64": False,
    "Ipv6Native": False,
    "PrivateDnsNameOptionsOnLaunch": {
        "HostnameType": "ip-name",
        "EnableResourceNameDnsARecord": False,
        "EnableResourceNameDnsAAAARecord": False,
    },
}


def described_subnet(networks: Networks, record: NetworkObject) -> Document:
    """Describe a subnet with the number of its addresses that are left."""
    return {**record.body, "AvailableIpAddressCount": free_address_count(networks, record)}


_SUBNETS: Final = Listing(
    kind=SUBNET,
    answered_in="Subnets",
    ids_in="SubnetIds",
    filters={
        "availability-zone": "AvailabilityZone",
        "availabilityZone": "AvailabilityZone",
        "availability-zone-id": "AvailabilityZoneId",
        "availabilityZoneId": "AvailabilityZoneId",
        "available-ip-address-count": "AvailableIpAddressCount",
        "cidr": "CidrBlock",
        "cidr-block": "CidrBlock",
        "cidrBlock": "CidrBlock",
        "default-for-az": "DefaultForAz",
        "defaultForAz": "DefaultForAz",
        "map-public-ip-on-launch": "MapPublicIpOnLaunch",
        "owner-id": "OwnerId",
        "state": "State",
        "subnet-arn": "SubnetArn",
        "subnet-id": "SubnetId",
        "vpc-id": "VpcId",
    },
    shown=described_subnet,
)


@makes("CreateSubnet", SUBNET, takes="VpcId CidrBlock AvailabilityZone AvailabilityZoneId", also=(existing(VPC),))
def create_subnet(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Make a subnet, which the VPC's default network ACL then covers."""
    if not request.get("CidrBlock"):
        raise MissingParameter("Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided.")
    zone, zone_id = _zone(call, request)
    subnet_id = SUBNET.new_id()
    with changing(kit, call) as networks:
        vpc = networks.require(VPC, request["VpcId"])
        body = {
            **_ALWAYS,
            "SubnetId": subnet_id,
            "SubnetArn": call.place.ec2_arn(SUBNET.name, subnet_id),
            "VpcId": vpc.object_id,
            "OwnerId": call.place.account_id,
            "CidrBlock": str(_free_block(networks, vpc, request["CidrBlock"])),
            "AvailabilityZone": zone,
            "AvailabilityZoneId": zone_id,
            "MapPublicIpOnLaunch": False,
            "Tags": tags_for(SUBNET, request),
        }
        made = networks.add(SUBNET, subnet_id, body, vpc_id=vpc.object_id)
        _cover_by_default_acl(networks, made)
        return {"Subnet": described_subnet(networks, made)}


@describes("DescribeSubnets", _SUBNETS)
def describe_subnets(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Describe subnets."""
    return _SUBNETS.answer(kit, call, request)


@ec2_operation("ModifySubnetAttribute", takes="SubnetId MapPublicIpOnLaunch", subject=existing(SUBNET))
def modify_subnet_attribute(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Change one attribute of a subnet."""
    if "MapPublicIpOnLaunch" not in request:
        raise MissingParameter("The request must contain the parameter attribute")
    with changing(kit, call) as networks:
        subnet = networks.require(SUBNET, request["SubnetId"])
        networks.update(subnet, MapPublicIpOnLaunch=bool(request["MapPublicIpOnLaunch"].get("Value")))
    return {}


@ec2_operation("DeleteSubnet", takes="SubnetId", subject=existing(SUBNET))
def delete_subnet(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Delete a subnet that nothing is in, with what associates it."""
    with changing(kit, call) as networks:
        subnet = networks.require(SUBNET, request["SubnetId"])
        if any(_is_in(record, subnet.object_id) for record in networks.of_vpc(subnet.body["VpcId"])):
            raise DependencyViolation(f"The subnet '{subnet.object_id}' has dependencies and cannot be deleted.")
        for record in networks.of_vpc(subnet.body["VpcId"], NETWORK_ACL, ROUTE_TABLE):
            others = [one for one in record.body["Associations"] if one.get("SubnetId") != subnet.object_id]
            if len(others) < len(record.body["Associations"]):
                networks.update(record, Associations=others)
        networks.delete(subnet)
    return {}


def _zone(call: Call, request: Request) -> tuple[str, str]:
    """Return name and id of the zone that a subnet is to be in; the first, if it is not said."""
    zones = zones_of(call.place.region)
    name, zone_id = request.get("AvailabilityZone"), request.get("AvailabilityZoneId")
    if name and zone_id:
        raise InvalidParameterCombination(
            "The request must contain either the parameter availabilityZone or availabilityZoneId, not both"
        )
    for known, known_id in zones.items():
        if known == name or known_id == zone_id or not (name or zone_id):
            return known, known_id
    valid = zones if name else zones.values()
    raise InvalidParameterValue.of(
        "availabilityZone" if name else "availabilityZoneId",
        str(name or zone_id),
        f"Subnets can currently only be created in the following availability zones: {', '.join(valid)}.",
    )


def _free_block(networks: Networks, vpc: NetworkObject, text: str) -> IPv4Network:
    block = ipv4_block(text)
    is_within = block.subnet_of(IPv4Network(vpc.body["CidrBlock"]))
    if not is_within or not _LARGEST_PREFIX <= block.prefixlen <= _SMALLEST_PREFIX:
        raise InvalidSubnetRange(f"The CIDR '{block}' is invalid.")
    others = networks.of_vpc(vpc.object_id, SUBNET)
    if any(block.overlaps(IPv4Network(other.body["CidrBlock"])) for other in others):
        raise InvalidSubnetConflict(f"The CIDR '{block}' conflicts with another subnet")
    return block


def _cover_by_default_acl(networks: ChangingNetworks, subnet: NetworkObject) -> None:
    for acl in networks.of_vpc(subnet.body["VpcId"], NETWORK_ACL):
        if acl.body["IsDefault"]:
            association = {
                "NetworkAclAssociationId": ids.new_ec2_id("aclassoc"),
                "NetworkAclId": acl.object_id,
                "SubnetId": subnet.object_id,
            }
            networks.update(acl, Associations=[*acl.body["Associations"], association])


def _is_in(record: NetworkObject, subnet_id: str) -> bool:
    if record.kind in (NETWORK_INTERFACE.name, NAT_GATEWAY.name):
        return bool(record.body["SubnetId"] == subnet_id)
    return record.kind == VPC_ENDPOINT.name and subnet_id in record.body.get("SubnetIds", ())
