"""VPCs, with what each is made with: a main route table, a default network ACL and a default security group.

The DHCP options that a VPC has are shared by all of an account's region, and are made with the first. No account has a
VPC that it did not make.

Source: Amazon VPC User Guide, "VPC basics"; Amazon EC2 API Reference.
"""

from __future__ import annotations

from typing import Any, Final

from keyturn import ids
from keyturn.call import Call
from keyturn.errors.ec2 import (
    DependencyViolation,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidVpcRange,
    MissingParameter,
)
from keyturn.operations.ec2.cidrs import ipv4_block
from keyturn.operations.ec2.kinds import (
    DHCP_OPTIONS,
    NETWORK_ACL,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SECURITY_GROUP_RULE,
    VPC,
    VPC_ATTRIBUTES,
)
from keyturn.operations.ec2.listing import Listing
from keyturn.operations.ec2.network_acls import add_default_network_acl
from keyturn.operations.ec2.networks import ChangingNetworks, Networks, Request, Response, changing, reading
from keyturn.operations.ec2.operation import describes, ec2_operation, makes
from keyturn.operations.ec2.routes import local_route
from keyturn.operations.ec2.security_groups import add_default_security_group
from keyturn.operations.ec2.subjects import existing
from keyturn.operations.ec2.tagging import tags_for
from keyturn.operations.kit import Kit
from keyturn.storage.network_objects import Document, NetworkObject

_LARGEST_PREFIX, _SMALLEST_PREFIX = 16, 28
_ATTRIBUTES: Final = {
    "enableDnsSupport": "EnableDnsSupport",
    "enableDnsHostnames": "EnableDnsHostnames",
    "enableNetworkAddressUsageMetrics": "EnableNetworkAddressUsageMetrics",
}
_NOT_AT_FIRST: Final = {"EnableDnsHostnames": {"Value": False}, "EnableNetworkAddressUsageMetrics": {"Value": False}}

_VPCS: Final = Listing(
    kind=VPC,
    answered_in="Vpcs",
    ids_in="VpcIds",
    filters={
        "cidr": "CidrBlock",
        "cidr-block-association.association-id": "CidrBlockAssociationSet.AssociationId",
        "cidr-block-association.cidr-block": "CidrBlockAssociationSet.CidrBlock",
        "cidr-block-association.state": "CidrBlockAssociationSet.CidrBlockState.State",
        "dhcp-options-id": "DhcpOptionsId",
        "is-default": "IsDefault",
        "isDefault": "IsDefault",
        "owner-id": "OwnerId",
        "state": "State",
        "vpc-id": "VpcId",
    },
)


@makes("CreateVpc", VPC, takes="CidrBlock InstanceTenancy")
def create_vpc(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Make a VPC with all that belongs to one."""
    if not request.get("CidrBlock"):
        raise MissingParameter("Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided.")
    block = ipv4_block(request["CidrBlock"])
    if not _LARGEST_PREFIX <= block.prefixlen <= _SMALLEST_PREFIX:
        raise InvalidVpcRange(f"The CIDR '{block}' is invalid.")
    vpc_id = VPC.new_id()
    association = {
        "AssociationId": ids.new_ec2_id("vpc-cidr-assoc"),
        "CidrBlock": str(block),
        "CidrBlockState": {"State": "associated"},
    }
    with changing(kit, call) as networks:
        body = {
            "VpcId": vpc_id,
            "OwnerId": call.place.account_id,
            "State": "available",
            "CidrBlock": str(block),
            "CidrBlockAssociationSet": [association],
            "Ipv6CidrBlockAssociationSet": [],
            "DhcpOptionsId": _default_dhcp_options(networks),
            "InstanceTenancy": request.get("InstanceTenancy", "default"),
            "IsDefault": False,
            "Tags": tags_for(VPC, request),
        }
        networks.add(VPC, vpc_id, body, vpc_id=vpc_id)
        attributes = {"VpcId": vpc_id, "EnableDnsSupport": {"Value": True}, **_NOT_AT_FIRST}
        networks.add(VPC_ATTRIBUTES, vpc_id, attributes, vpc_id=vpc_id)
        main = _main_route_table(networks, vpc_id, str(block))
        networks.add(ROUTE_TABLE, main["RouteTableId"], main, vpc_id=vpc_id)
        add_default_network_acl(networks, vpc_id)
        add_default_security_group(networks, vpc_id)
    return {"Vpc": {**body, "State": "pending"}}


@describes("DescribeVpcs", _VPCS)
def describe_vpcs(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Describe VPCs."""
    return _VPCS.answer(kit, call, request)


@ec2_operation("DeleteVpc", takes="VpcId", subject=existing(VPC))
def delete_vpc(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Delete a VPC with what it was made with, if it has nothing else."""
    with changing(kit, call) as networks:
        vpc = networks.require(VPC, request["VpcId"])
        its_own = networks.of_vpc(vpc.object_id)
        if not all(map(_goes_with_its_vpc, its_own)):
            raise DependencyViolation(f"The vpc '{vpc.object_id}' has dependencies and cannot be deleted.")
        for record in its_own:
            networks.delete(record)
    return {}


@ec2_operation("DescribeVpcAttribute", takes="Attribute VpcId", subject=existing(VPC))
def describe_vpc_attribute(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Describe one attribute of a VPC."""
    with reading(kit, call) as networks:
        attributes = vpc_attributes(networks, request["VpcId"])
    member = _ATTRIBUTES[request["Attribute"]]
    return {"VpcId": request["VpcId"], member: attributes[member]}


@ec2_operation("ModifyVpcAttribute", takes=f"VpcId {' '.join(_ATTRIBUTES.values())}", subject=existing(VPC))
def modify_vpc_attribute(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Change one attribute of a VPC."""
    changes = {member: {"Value": bool(request[member].get("Value"))} for member in request if member != "VpcId"}
    if not changes:
        raise MissingParameter("The request must contain the parameter attribute")
    if len(changes) > 1:
        raise InvalidParameterCombination("Only one attribute of a VPC can be modified at a time.")
    with changing(kit, call) as networks:
        networks.require(VPC, request["VpcId"])
        record = networks.get(VPC_ATTRIBUTES, request["VpcId"])
        if record is None:
            raise LookupError(request["VpcId"])
        changed = networks.update(record, **changes).body
        if changes.get("EnableDnsHostnames", {}).get("Value") and not changed["EnableDnsSupport"]["Value"]:
            raise InvalidParameterValue("DNS hostnames can only be enabled in a VPC whose DNS support is enabled.")
    return {}


def vpc_attributes(networks: Networks, vpc_id: str) -> Document:
    """Return the attributes of a VPC, each as DescribeVpcAttribute answers it.

    Raises:
        InvalidVpcIDNotFound: There is no such VPC.
    """
    record = networks.get(VPC_ATTRIBUTES, vpc_id)
    if record is None:
        raise VPC.missing(vpc_id)
    return record.body


def _goes_with_its_vpc(record: NetworkObject) -> bool:
    if record.kind == ROUTE_TABLE.name:
        return any(association["Main"] for association in record.body["Associations"])
    if record.kind == NETWORK_ACL.name:
        return bool(record.body["IsDefault"])
    if record.kind == SECURITY_GROUP.name:
        return bool(record.body["GroupName"] == "default")
    # Rules go with their groups.
    return record.kind in (VPC.name, VPC_ATTRIBUTES, SECURITY_GROUP_RULE.name)


def _default_dhcp_options(networks: ChangingNetworks) -> str:
    """Return the id of the DHCP options that all VPCs of the account's region have; they are made if there are none."""
    present = networks.all(DHCP_OPTIONS)
    if present:
        return present[0].object_id
    region = networks.place.region
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    options = {"domain-name": domain, "domain-name-servers": "AmazonProvidedDNS"}
    dhcp_options_id = DHCP_OPTIONS.new_id()
    body = {
        "DhcpOptionsId": dhcp_options_id,
        "OwnerId": networks.place.account_id,
        "DhcpConfigurations": [{"Key": key, "Values": [{"Value": value}]} for key, value in options.items()],
        "Tags": [],
    }
    networks.add(DHCP_OPTIONS, dhcp_options_id, body)
    return dhcp_options_id


def _main_route_table(networks: Networks, vpc_id: str, block: str) -> dict[str, Any]:
    route_table_id = ROUTE_TABLE.new_id()
    return {
        "RouteTableId": route_table_id,
        "VpcId": vpc_id,
        "OwnerId": networks.place.account_id,
        "Associations": [
            {
                "Main": True,
                "RouteTableAssociationId": ids.new_ec2_id("rtbassoc"),
                "RouteTableId": route_table_id,
                "AssociationState": {"State": "associated"},
            }
        ],
        "Routes": [local_route(block)],
        "PropagatingVgws": [],
        "Tags": [],
    }
