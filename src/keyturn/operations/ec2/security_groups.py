"""Security groups of a VPC; their rules are changed in ``security_group_rules.py``.

A new group lets everything out and nothing in. The default group, which its VPC is made with, lets its members in too,
and cannot be deleted.

Source: Amazon VPC User Guide, "Security groups" and "Default security groups"; Amazon EC2 API Reference,
CreateSecurityGroup; texts as users have published them.
"""

from __future__ import annotations

import re
from typing import Final

from keyturn.call import Call
from keyturn.errors.base import AwsError
from keyturn.errors.ec2 import (
    CannotDelete,
    DependencyViolation,
    InvalidGroupDuplicate,
    InvalidParameterValue,
    MissingParameter,
    VPCIdNotSpecified,
)
from keyturn.operations.ec2.group_rules import TO_EVERYWHERE, add_rules, rules_of
from keyturn.operations.ec2.kinds import (
    NETWORK_INTERFACE,
    SECURITY_GROUP,
    SECURITY_GROUP_RULE,
    VPC,
    VPC_ENDPOINT,
)
from keyturn.operations.ec2.listing import Listing
from keyturn.operations.ec2.networks import ChangingNetworks, Networks, Request, Response, changing
from keyturn.operations.ec2.operation import ec2_operation, makes
from keyturn.operations.ec2.subjects import existing_each, subject_of
from keyturn.operations.ec2.tagging import Tag, tags_for
from keyturn.operations.kit import Kit
from keyturn.operations.subject import Subject
from keyturn.rules.network.group_rules import ALL, GROUP, Terms
from keyturn.storage.network_objects import NetworkObject

_DEFAULT: Final = "default"
_CHARACTERS: Final = re.compile(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}", re.ASCII)
_PERMISSION_FILTERS: Final = {
    "cidr": "IpRanges.CidrIp",
    "from-port": "FromPort",
    "group-id": "UserIdGroupPairs.GroupId",
    "ipv6-cidr": "Ipv6Ranges.CidrIpv6",
    "prefix-list-id": "PrefixListIds.PrefixListId",
    "protocol": "IpProtocol",
    "to-port": "ToPort",
    "user-id": "UserIdGroupPairs.UserId",
}

_GROUPS: Final = Listing(
    kind=SECURITY_GROUP,
    answered_in="SecurityGroups",
    ids_in="GroupIds",
    filters={
        "description": "Description",
        "group-id": "GroupId",
        "group-name": "GroupName",
        "owner-id": "OwnerId",
        "vpc-id": "VpcId",
        **{f"ip-permission.{name}": f"IpPermissions.{path}" for name, path in _PERMISSION_FILTERS.items()},
        **{f"egress.ip-permission.{name}": f"IpPermissionsEgress.{path}" for name, path in _PERMISSION_FILTERS.items()},
    },
)


def named_group(kit: Kit, call: Call, request: Request) -> Subject[NetworkObject]:
    """Load the group that a request names by its id; by its name it would be one of the default VPC, which none has."""
    group_id = request.get("GroupId")
    if group_id:
        return subject_of(kit, call, SECURITY_GROUP, group_id)
    missing: AwsError = VPCIdNotSpecified()
    if not request.get("GroupName"):
        missing = MissingParameter("The request must contain the parameter GroupName or GroupId")
    arn = call.place.ec2_arn(SECURITY_GROUP.name, "*")
    return Subject(arn, arn, record=None, missing=missing)


@makes(
    "CreateSecurityGroup",
    SECURITY_GROUP,
    takes="GroupName Description VpcId",
    each=(existing_each(VPC, "VpcId"),),
)
def create_security_group(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Make a group that lets everything out."""
    name, description = request["GroupName"], request["Description"]
    _check_name(name)
    if not _CHARACTERS.fullmatch(description):
        raise InvalidParameterValue(
            "Invalid security group description. Valid descriptions are strings less than 256 characters from the"
            " following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
        )
    if not request.get("VpcId"):
        raise VPCIdNotSpecified("No default VPC for this user")
    tags = tags_for(SECURITY_GROUP, request)
    with changing(kit, call) as networks:
        vpc_id = networks.require(VPC, request["VpcId"]).object_id
        if any(other.body["GroupName"] == name for other in networks.of_vpc(vpc_id, SECURITY_GROUP)):
            raise InvalidGroupDuplicate(f"The security group '{name}' already exists for VPC '{vpc_id}'")
        group = _add_group(networks, vpc_id, name, description, tags)
        add_rules(networks, group, [(TO_EVERYWHERE, None)])
    return {"GroupId": group.object_id, "SecurityGroupArn": group.body["SecurityGroupArn"], "Tags": tags}


def add_default_security_group(networks: ChangingNetworks, vpc_id: str) -> None:
    """Make the group of a new VPC whose members reach each other, and everything else."""
    group = _add_group(networks, vpc_id, _DEFAULT, "default VPC security group", [])
    from_members = Terms(is_egress=False, protocol=ALL, from_port=-1, to_port=-1, peer_kind=GROUP, peer=group.object_id)
    add_rules(networks, group, [(from_members, None), (TO_EVERYWHERE, None)])


def default_security_group(networks: Networks, vpc_id: str) -> NetworkObject:
    """Return the default group of a VPC."""
    return next(group for group in networks.of_vpc(vpc_id, SECURITY_GROUP) if group.body["GroupName"] == _DEFAULT)


@ec2_operation("DescribeSecurityGroups", takes="GroupIds GroupNames Filters MaxResults NextToken")
def describe_security_groups(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Describe security groups, by their names those of the default VPC, which no account has."""
    if request.get("GroupNames"):
        raise VPCIdNotSpecified
    return _GROUPS.answer(kit, call, request)


@ec2_operation("DeleteSecurityGroup", takes="GroupId", subject=named_group)
def delete_security_group(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Delete a group that nothing uses."""
    with changing(kit, call) as networks:
        group = networks.require(SECURITY_GROUP, request["GroupId"])
        group_id = group.object_id
        if group.body["GroupName"] == _DEFAULT:
            raise CannotDelete(f'the specified group: "{group_id}" name: "{_DEFAULT}" cannot be deleted by a user')
        users = networks.of_vpc(group.body["VpcId"], NETWORK_INTERFACE, VPC_ENDPOINT, SECURITY_GROUP_RULE)
        if any(_uses(user, group_id) for user in users):
            raise DependencyViolation(f"resource {group_id} has a dependent object")
        for rule in rules_of(networks, group):
            networks.delete(rule)
        networks.delete(group)
    return {"Return": True, "GroupId": group_id}


def _uses(record: NetworkObject, group_id: str) -> bool:
    if record.kind == SECURITY_GROUP_RULE.name:
        referenced = record.body.get("ReferencedGroupInfo", {}).get("GroupId")
        return bool(referenced == group_id != record.body["GroupId"])
    return any(group["GroupId"] == group_id for group in record.body["Groups"])


def _check_name(name: str) -> None:
    if not _CHARACTERS.fullmatch(name):
        raise InvalidParameterValue(
            "Invalid security group name. Valid names are strings less than 256 characters from the following set: "
            " a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
        )
    if name.lower().startswith("sg-"):
        raise InvalidParameterValue.of("GroupName", name, "Group names may not be in the format sg-*.")
    if name == _DEFAULT:
        raise InvalidParameterValue(f"Cannot use reserved security group name: {_DEFAULT}")


def _add_group(networks: ChangingNetworks, vpc_id: str, name: str, description: str, tags: list[Tag]) -> NetworkObject:
    group_id = SECURITY_GROUP.new_id()
    body = {
        "GroupId": group_id,
        "GroupName": name,
        "Description": description,
        "VpcId": vpc_id,
        "OwnerId": networks.place.account_id,
        "SecurityGroupArn": networks.place.ec2_arn(SECURITY_GROUP.name, group_id),
        "IpPermissions": [],
        "IpPermissionsEgress": [],
        "Tags": tags,
    }
    return networks.add(SECURITY_GROUP, group_id, body, vpc_id=vpc_id)
