"""Which VPC a function is attached to: whether what it names is there, and who must allow it.

Lambda looks at subnets and groups with the caller's permissions, and makes network interfaces with those of the
execution role. What is said of both is answered at once: a function is attached when its configuration is stored.

Sources: AWS Lambda Developer Guide, "Giving Lambda functions access to resources in an Amazon VPC", required
permissions; texts as recorded by localstack, 2025, and as published by users: serverless issue 8209 (the caller's
permissions), aws-sdk-js issue 1293 (one without the other), serverless-vpc-plugin issue 765 (several VPCs).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.errors.common import AccessDenied
from keyturn.errors.ec2 import Ec2Error
from keyturn.errors.lambda_ import InvalidParameterValueException
from keyturn.operations.ec2.kinds import NETWORK_INTERFACE, SECURITY_GROUP, SUBNET, Kind
from keyturn.operations.ec2.networks import Networks
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.execution_role import call_of_role
from keyturn.operations.subject import NO_SUBJECT, Subject
from keyturn.storage import roles
from keyturn.storage.functions import AttachedVpc
from keyturn.storage.network_objects import NetworkObject

_ATTACHED_NOWHERE = AttachedVpc(SubnetIds=[], SecurityGroupIds=[], VpcId="", Ipv6AllowedForDualStack=False)


def check_vpc_config(kit: Kit, call: Call, function_arn: str, asked: Mapping[str, Any] | None) -> None:
    """Return if this server, and the caller's permissions, let a function be attached to what a request names.

    Args:
        kit: Decides.
        call: Who asks.
        function_arn: The function.
        asked: The request's ``VpcConfig``; None without one.

    Raises:
        AccessDenied: The caller may not look at subnets, groups or VPCs.
        InvalidParameterValueException: Something is not there, does not fit together, or is not offered here.
    """
    subnet_ids, group_ids = _named(asked, "SubnetIds"), _named(asked, "SecurityGroupIds")
    if bool(subnet_ids) != bool(group_ids):
        raise InvalidParameterValueException("SubnetIds and SecurityIds must coexist or be both empty list.")
    if (asked or {}).get("Ipv6AllowedForDualStack"):
        raise InvalidParameterValueException(
            "Keyturn does not offer this value of Ipv6AllowedForDualStack: no subnet has IPv6 here."
        )
    if not subnet_ids:
        return
    place = Place.of(function_arn)
    if kit.runtime.vpc_problem is not None:
        raise InvalidParameterValueException(
            f"This server cannot attach functions to a VPC: {kit.runtime.vpc_problem}. It needs bubblewrap,"
            " slirp4netns, nftables and /dev/net/tun."
        )
    _check_may_describe(kit, call, place, "DescribeSubnets", subnet_ids[0])
    _check_may_describe(kit, call, place, "DescribeSecurityGroups", group_ids[0])
    with kit.state.read() as connection:
        attached = attached_vpc(Networks(connection, place, call.at), asked)
    _check_may_describe(kit, call, place, "DescribeVpcs", attached["VpcId"] if attached else "")


def attached_vpc(networks: Networks, asked: Mapping[str, Any] | None) -> AttachedVpc | None:
    """Return what a function keeps of the ``VpcConfig`` of a request; None without one.

    Raises:
        InvalidParameterValueException: A subnet or a group is not there, or they are of several VPCs.
    """
    if asked is None:
        return None
    subnets = [_existing(networks, SUBNET, "DescribeSubnets", each) for each in _named(asked, "SubnetIds")]
    group_ids = _named(asked, "SecurityGroupIds")
    groups = [_existing(networks, SECURITY_GROUP, "DescribeSecurityGroups", each) for each in group_ids]
    if not subnets:
        return _ATTACHED_NOWHERE
    vpc_id = subnets[0].vpc_id
    for what, named in (("Subnets", subnets), ("Security Groups", groups)):
        if any(each.vpc_id != vpc_id for each in named):
            raise InvalidParameterValueException(f"{what} are required to be in the same VPC.")
    return AttachedVpc(
        SubnetIds=[each.object_id for each in subnets],
        SecurityGroupIds=group_ids,
        VpcId=str(vpc_id),
        Ipv6AllowedForDualStack=False,
    )


def check_role_may_attach(
    kit: Kit, role_arn: str, function_arn: str, vpc: Mapping[str, Any] | None, now: datetime
) -> None:
    """Return if a function's execution role lets Lambda make, find and delete the network interfaces that it needs.

    Args:
        kit: Decides.
        role_arn: The role.
        function_arn: The function.
        vpc: A ``VpcConfig``, stored or asked for; None without any.
        now: Aware UTC.

    Raises:
        InvalidParameterValueException: It does not.
    """
    subnet_ids, group_ids = _named(vpc, "SubnetIds"), _named(vpc, "SecurityGroupIds")
    if not subnet_ids:
        return
    with kit.state.read() as connection:
        role = roles.load_role_by_arn(connection, role_arn)
    if role is None:
        raise InvalidParameterValueException("The role defined for the function cannot be assumed by Lambda.")
    place = Place.of(function_arn)
    made_of = [place.ec2_arn(SUBNET.name, each) for each in subnet_ids]
    made_of += [place.ec2_arn(SECURITY_GROUP.name, each) for each in group_ids]
    # Which interface will be deleted is not known yet: as in AWS, only a role that may delete any of them will do.
    asked = {
        "CreateNetworkInterface": [place.ec2_arn(NETWORK_INTERFACE.name, "*"), *made_of],
        "DescribeNetworkInterfaces": ["*"],
        "DeleteNetworkInterface": [place.ec2_arn("*", "*")],
    }
    session = call_of_role(place, role, function_arn.rpartition(":")[2], now)
    for action, arns in asked.items():
        subjects: list[Subject[object]] = [Subject(arn, arn, record=None) for arn in arns]
        if not all(kit.authorise.decide(session, f"ec2:{action}", subject).allowed for subject in subjects):
            raise InvalidParameterValueException(
                f"The provided execution role does not have permissions to call {action} on EC2"
            )


def _named(asked: Mapping[str, Any] | None, member: str) -> list[str]:
    """Return the ids of a member, each once."""
    return list(dict.fromkeys((asked or {}).get(member) or ()))


def _check_may_describe(kit: Kit, call: Call, place: Place, operation: str, object_id: str) -> None:
    # Nobody is let look into the networks of another account.
    is_own = call.principal.account_id == place.account_id
    if not is_own or not kit.authorise.decide(call, f"ec2:{operation}", NO_SUBJECT).allowed:
        raise AccessDenied(
            "Your access has been denied by EC2, please make sure your request credentials have permission to"
            f" {operation} for {object_id}. EC2 Error Code: UnauthorizedOperation. EC2 Error Message: You are not"
            " authorized to perform this operation."
        )


def _existing(networks: Networks, kind: Kind, operation: str, object_id: str) -> NetworkObject:
    try:
        return networks.require(kind, object_id)
    except Ec2Error as error:
        raise InvalidParameterValueException(
            f"Error occurred while {operation}. EC2 Error Code: {error.shape_name()}. EC2 Error Message:"
            f" {error.message}"
        ) from error
