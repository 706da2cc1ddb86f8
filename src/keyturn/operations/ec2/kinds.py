"""The kinds of objects that networks consist of: what their ids look like, and what is said of one that is not there.

Source: Amazon EC2 API Reference, ``ResourceType`` and "Error codes"; texts as Terraform's AWS provider and users report
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from keyturn import ids
from keyturn.errors.ec2 import (
    Ec2Error,
    InvalidAllocationIDNotFound,
    InvalidDhcpOptionIDNotFound,
    InvalidGroupIdMalformed,
    InvalidGroupNotFound,
    InvalidInstanceIDNotFound,
    InvalidInternetGatewayIDNotFound,
    InvalidNetworkAclIDNotFound,
    InvalidNetworkInterfaceIDNotFound,
    InvalidPrefixListIDNotFound,
    InvalidRouteTableIDNotFound,
    InvalidSecurityGroupRuleIdNotFound,
    InvalidSubnetIDNotFound,
    InvalidVpcEndpointIdNotFound,
    InvalidVpcIDNotFound,
    InvalidVpcPeeringConnectionIDNotFound,
    NatGatewayNotFound,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object.

    Attributes:
        name: EC2's resource type, as in ARNs and TagSpecifications.
        prefix: Of its ids, without the hyphen.
        id_member: The member that holds its id, in requests and where it is described.
        not_found: Raised if there is none by an id.
        text: What that says, with ``{}`` for the id.
        tags_member: The member that holds its tags where it is described.
        malformed: Raised for an id that nothing of this kind can have; if None, it is said that there is none by it.
        id_key: The condition key that holds its id, behind ``ec2:``; made of its name if empty.
    """

    name: str
    prefix: str
    id_member: str
    not_found: type[Ec2Error]
    text: str
    tags_member: str = "Tags"
    malformed: type[Ec2Error] | None = None
    id_key: str = ""

    def new_id(self) -> str:
        """Return an id that nothing has."""
        return ids.new_ec2_id(self.prefix)

    def missing(self, object_id: str) -> Ec2Error:
        """Return the error of there being none by an id."""
        if self.malformed is not None and not object_id.startswith(f"{self.prefix}-"):
            return self.malformed(f'Invalid id: "{object_id}" (expecting "{self.prefix}-...")')
        return self.not_found(self.text.format(object_id))


VPC: Final = Kind("vpc", "vpc", "VpcId", InvalidVpcIDNotFound, "The vpc ID '{}' does not exist")
SUBNET: Final = Kind("subnet", "subnet", "SubnetId", InvalidSubnetIDNotFound, "The subnet ID '{}' does not exist")
ROUTE_TABLE: Final = Kind(
    "route-table", "rtb", "RouteTableId", InvalidRouteTableIDNotFound, "The routeTable ID '{}' does not exist"
)
INTERNET_GATEWAY: Final = Kind(
    "internet-gateway",
    "igw",
    "InternetGatewayId",
    InvalidInternetGatewayIDNotFound,
    "The internetGateway ID '{}' does not exist",
)
NAT_GATEWAY: Final = Kind("natgateway", "nat", "NatGatewayId", NatGatewayNotFound, "The Nat Gateway {} was not found")
ELASTIC_IP: Final = Kind(
    "elastic-ip",
    "eipalloc",
    "AllocationId",
    InvalidAllocationIDNotFound,
    "The allocation ID '{}' does not exist",
    id_key="allocationid",
)
DHCP_OPTIONS: Final = Kind(
    "dhcp-options", "dopt", "DhcpOptionsId", InvalidDhcpOptionIDNotFound, "The dhcpOption ID '{}' does not exist"
)
SECURITY_GROUP: Final = Kind(
    "security-group",
    "sg",
    "GroupId",
    InvalidGroupNotFound,
    "The security group '{}' does not exist",
    malformed=InvalidGroupIdMalformed,
)
SECURITY_GROUP_RULE: Final = Kind(
    "security-group-rule",
    "sgr",
    "SecurityGroupRuleId",
    InvalidSecurityGroupRuleIdNotFound,
    "The security group rule ID '{}' does not exist",
)
NETWORK_ACL: Final = Kind(
    "network-acl", "acl", "NetworkAclId", InvalidNetworkAclIDNotFound, "The networkAcl ID '{}' does not exist"
)
NETWORK_INTERFACE: Final = Kind(
    "network-interface",
    "eni",
    "NetworkInterfaceId",
    InvalidNetworkInterfaceIDNotFound,
    "The networkInterface ID '{}' does not exist",
    tags_member="TagSet",
)
VPC_ENDPOINT: Final = Kind(
    "vpc-endpoint", "vpce", "VpcEndpointId", InvalidVpcEndpointIdNotFound, "The Vpc Endpoint Id '{}' does not exist"
)
# There are none of these here.
PREFIX_LIST: Final = Kind(
    "prefix-list", "pl", "PrefixListId", InvalidPrefixListIDNotFound, "The prefix list ID '{}' does not exist"
)
VPC_PEERING_CONNECTION: Final = Kind(
    "vpc-peering-connection",
    "pcx",
    "VpcPeeringConnectionId",
    InvalidVpcPeeringConnectionIDNotFound,
    "The vpcPeeringConnection ID '{}' does not exist",
)
INSTANCE: Final = Kind("instance", "i", "InstanceId", InvalidInstanceIDNotFound, "The instance ID '{}' does not exist")

_ALL: Final = (
    VPC,
    SUBNET,
    ROUTE_TABLE,
    INTERNET_GATEWAY,
    NAT_GATEWAY,
    ELASTIC_IP,
    DHCP_OPTIONS,
    SECURITY_GROUP,
    SECURITY_GROUP_RULE,
    NETWORK_ACL,
    NETWORK_INTERFACE,
    VPC_ENDPOINT,
    PREFIX_LIST,
    VPC_PEERING_CONNECTION,
    INSTANCE,
)
KINDS: Final = {kind.name: kind for kind in _ALL}
"""All kinds that have tags, by their name."""
_BY_PREFIX: Final = {kind.prefix: kind for kind in _ALL}

VPC_ATTRIBUTES: Final = "vpc-attributes"
"""The kind of documents that DescribeVpcAttribute describes piece by piece; each has the id of its VPC."""


def kind_of(object_id: str) -> Kind | None:
    """Return the kind that an id is of, None if it is of none."""
    return _BY_PREFIX.get(object_id.rpartition("-")[0])
