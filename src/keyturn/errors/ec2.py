"""Errors of Amazon EC2. Its model lists none; their codes have dots, so each says its own.

Source: Amazon EC2 API Reference, "Error codes"; texts as reported by users and by Terraform's AWS provider, and those
collected by moto.
"""

from __future__ import annotations

from typing import ClassVar, Self

from keyturn.errors.base import AwsError
from keyturn.errors.common import ValidationFailed


class Ec2Error(AwsError):
    """An error of EC2."""

    code: ClassVar[str] = ""
    """What it is called on the wire, if not by its class."""

    @classmethod
    def shape_name(cls) -> str:
        """Name of the error on the wire."""
        return cls.code or cls.__name__


class DryRunOperation(Ec2Error):
    """The call was allowed and would have been tried; told instead of trying it."""

    default_message = "Request would have succeeded, but DryRun flag is set."


class MissingParameter(ValidationFailed):
    """A parameter is missing."""


class InvalidParameterValue(ValidationFailed):
    """A parameter's value cannot be."""

    @classmethod
    def of(cls, parameter: str, value: str, reason: str) -> Self:
        """Say of a parameter's value why it cannot be."""
        return cls(f"Value ({value}) for parameter {parameter} is invalid. {reason}".rstrip())


class InvalidParameterCombination(Ec2Error):
    """Parameters do not go together."""


class InvalidID(Ec2Error):
    """No kind of object has such ids."""


class InvalidNextToken(Ec2Error):
    """The token is not one of this listing."""


class FilterLimitExceeded(Ec2Error):
    """More filter values than one call may have."""


class TagLimitExceeded(Ec2Error):
    """More tags than an object may have."""

    default_message = "The maximum number of Tags for a resource has been reached."


class DependencyViolation(Ec2Error):
    """It is in use."""


class InvalidParameter(Ec2Error):
    """A parameter does not go with what there is."""


class InvalidPermissionDuplicate(Ec2Error):
    """The group has such a rule."""

    code = "InvalidPermission.Duplicate"


class InvalidPermissionNotFound(Ec2Error):
    """The group has no such rule."""

    code = "InvalidPermission.NotFound"
    default_message = "The specified rule does not exist in this security group."


class RulesPerSecurityGroupLimitExceeded(Ec2Error):
    """More rules than a group may have."""

    default_message = "The maximum number of rules per security group has been reached."


class SecurityGroupsPerInterfaceLimitExceeded(Ec2Error):
    """More groups than a network interface may have."""

    default_message = "The maximum number of security groups per interface has been reached."


class InvalidGroupDuplicate(Ec2Error):
    """The VPC has a group of this name."""

    code = "InvalidGroup.Duplicate"


class InvalidGroupIdMalformed(Ec2Error):
    """No group has such an id."""

    code = "InvalidGroupId.Malformed"


class CannotDelete(Ec2Error):
    """Nobody can delete it."""


class VPCIdNotSpecified(Ec2Error):
    """No VPC is named, and there is none by default."""

    default_message = "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC."


class InvalidSecurityGroupRuleIdNotFound(Ec2Error):
    """No such rule."""

    code = "InvalidSecurityGroupRuleId.NotFound"


class NetworkAclEntryAlreadyExists(Ec2Error):
    """The ACL has an entry by this number."""


class InvalidNetworkAclEntryNotFound(Ec2Error):
    """The ACL has no entry by this number."""

    code = "InvalidNetworkAclEntry.NotFound"


class NetworkAclEntryLimitExceeded(Ec2Error):
    """More entries than an ACL may have."""

    default_message = "The maximum number of network acl entries has been reached."


class NetworkAclLimitExceeded(Ec2Error):
    """More ACLs than a VPC may have."""

    default_message = "The maximum number of network acls has been reached."


class DuplicateSubnetsInSameZone(Ec2Error):
    """An endpoint has one network interface in a zone at most."""


class InvalidServiceName(Ec2Error):
    """No endpoint leads to this service."""


class InvalidPolicyDocument(Ec2Error):
    """It is not the policy of an endpoint."""

    default_message = "The specified policy document is not a valid JSON policy document."


class AuthFailure(Ec2Error):
    """What a service made for itself is not for users to change."""


class InvalidPrefixListIDNotFound(Ec2Error):
    """No such prefix list."""

    code = "InvalidPrefixListID.NotFound"


class InvalidVpcPeeringConnectionIDNotFound(Ec2Error):
    """No such peering connection."""

    code = "InvalidVpcPeeringConnectionID.NotFound"


class InvalidInstanceIDNotFound(Ec2Error):
    """No such instance."""

    code = "InvalidInstanceID.NotFound"


class InvalidVpcRange(Ec2Error):
    """A VPC cannot be so large or so small."""

    code = "InvalidVpc.Range"


class InvalidVpcIDNotFound(Ec2Error):
    """No such VPC."""

    code = "InvalidVpcID.NotFound"


class InvalidSubnetIDNotFound(Ec2Error):
    """No such subnet."""

    code = "InvalidSubnetID.NotFound"


class InvalidRouteTableIDNotFound(Ec2Error):
    """No such route table."""

    code = "InvalidRouteTableID.NotFound"


class InvalidInternetGatewayIDNotFound(Ec2Error):
    """No such internet gateway."""

    code = "InvalidInternetGatewayID.NotFound"


class NatGatewayNotFound(Ec2Error):
    """No such NAT gateway."""


class InvalidAllocationIDNotFound(Ec2Error):
    """No such Elastic IP address."""

    code = "InvalidAllocationID.NotFound"


class InvalidDhcpOptionIDNotFound(Ec2Error):
    """No such set of DHCP options."""

    code = "InvalidDhcpOptionID.NotFound"


class InvalidGroupNotFound(Ec2Error):
    """No such security group."""

    code = "InvalidGroup.NotFound"


class InvalidNetworkAclIDNotFound(Ec2Error):
    """No such network ACL."""

    code = "InvalidNetworkAclID.NotFound"


class InvalidNetworkInterfaceIDNotFound(Ec2Error):
    """No such network interface."""

    code = "InvalidNetworkInterfaceID.NotFound"


class InvalidVpcEndpointIdNotFound(Ec2Error):
    """No such VPC endpoint."""

    code = "InvalidVpcEndpointId.NotFound"


class InvalidSubnetRange(Ec2Error):
    """A subnet cannot be so large or so small, or is not within its VPC."""

    code = "InvalidSubnet.Range"


class InvalidSubnetConflict(Ec2Error):
    """Another subnet has some of its addresses."""

    code = "InvalidSubnet.Conflict"


class InsufficientFreeAddressesInSubnet(Ec2Error):
    """The subnet is full."""

    default_message = "The specified subnet does not have enough free addresses to satisfy the request."


class RouteAlreadyExists(Ec2Error):
    """The table has a route to there."""


class InvalidRouteNotFound(Ec2Error):
    """The table has no route to there."""

    code = "InvalidRoute.NotFound"


class InvalidGatewayIDNotFound(Ec2Error):
    """A route names a gateway that does not exist."""

    code = "InvalidGatewayID.NotFound"


class InvalidNatGatewayIDNotFound(Ec2Error):
    """A route names a NAT gateway that does not exist."""

    code = "InvalidNatGatewayID.NotFound"


class InvalidAssociationIDNotFound(Ec2Error):
    """No such association."""

    code = "InvalidAssociationID.NotFound"


class ResourceAlreadyAssociated(Ec2Error):
    """It belongs to something already."""

    code = "Resource.AlreadyAssociated"


class GatewayNotAttached(Ec2Error):
    """The gateway is not attached to this VPC."""

    code = "Gateway.NotAttached"


class InvalidIPAddressInUse(Ec2Error):
    """The address is in use."""

    code = "InvalidIPAddress.InUse"


class InvalidAddressNotFound(Ec2Error):
    """No such public address."""

    code = "InvalidAddress.NotFound"


class AddressLimitExceeded(Ec2Error):
    """There are no more addresses."""

    default_message = "The maximum number of addresses has been reached."


class InvalidElasticIpIDNotFound(Ec2Error):
    """A NAT gateway is to have an Elastic IP address that does not exist."""

    code = "InvalidElasticIpID.NotFound"
