"""Lambda's network interfaces: one for each subnet and set of security groups that functions are attached to.

Functions share them, and their versions. One is made with the first that needs it, and deleted with the last: whoever
changes what functions are attached to holds the lock of the networks, and settles them before the transaction ends.

Sources: AWS Lambda Developer Guide, "Understanding Hyperplane Elastic Network Interfaces (ENIs)" and "Lambda quotas";
entries of DescribeNetworkInterfaces as users have published them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime

from keyturn.arn import Place
from keyturn.errors.ec2 import InsufficientFreeAddressesInSubnet
from keyturn.errors.lambda_ import InvalidParameterValueException
from keyturn.ids import new_ec2_id
from keyturn.operations.ec2.kinds import NETWORK_INTERFACE, SUBNET
from keyturn.operations.ec2.network_interfaces import add_interface, groups_for
from keyturn.operations.ec2.networks import ChangingNetworks
from keyturn.operations.kit import Kit
from keyturn.storage import functions, network_objects, roles
from keyturn.storage.database import Transaction
from keyturn.storage.functions import AttachedVpc, FunctionRecord
from keyturn.storage.network_objects import NetworkObject

INTERFACE_TYPE = "lambda"

InterfacePlace = tuple[str, frozenset[str]]
"""A subnet, and security groups."""

_MOST_OF_A_VPC = 500


def lock_networks(kit: Kit, transaction: Transaction, function_arn: str, now: datetime) -> ChangingNetworks:
    """Return the networks where a function is, which nobody else changes until the transaction ends."""
    place = Place.of(function_arn)
    network_objects.lock_networks(kit.state, transaction, place)
    return ChangingNetworks(transaction, place, now)


def settle_interfaces(transaction: Transaction, networks: ChangingNetworks, record: FunctionRecord) -> None:
    """Let there be the interfaces that functions and their versions need, and no others.

    Args:
        transaction: In which what a function is attached to has changed, or a function was deleted.
        networks: Locked in it.
        record: The function.

    Raises:
        InvalidParameterValueException: A subnet has no address left, or the VPC has as many interfaces as one may have.
    """
    attached = functions.list_attached_vpcs(transaction.connection, networks.place)
    needed = {place: vpc["VpcId"] for vpc in attached for place in places_of(vpc)}
    there = interfaces_in(networks.all(NETWORK_INTERFACE))
    for place, interface in there.items():
        if place not in needed:
            networks.delete(interface)
    missing = [place for place in needed if place not in there]
    if missing:
        role = roles.load_role_by_arn(transaction.connection, record.role_arn)
        requester_id = f"{role.unique_id if role else ''}:{record.account_id}"
        for place in missing:
            _make(networks, needed[place], place, requester_id, record.name)


def places_of(vpc: AttachedVpc) -> list[InterfacePlace]:
    """Return where a function that is attached to a VPC has interfaces, one for each of its subnets."""
    group_ids = frozenset(vpc["SecurityGroupIds"])
    return [(subnet_id, group_ids) for subnet_id in vpc["SubnetIds"]]


def interfaces_in(records: Iterable[NetworkObject]) -> dict[InterfacePlace, NetworkObject]:
    """Return Lambda's interfaces among some, by where they are."""
    return {
        (str(each.body["SubnetId"]), frozenset(group["GroupId"] for group in each.body["Groups"])): each
        for each in records
        if each.kind == NETWORK_INTERFACE.name and each.body.get("InterfaceType") == INTERFACE_TYPE
    }


def _make(
    networks: ChangingNetworks, vpc_id: str, place: InterfacePlace, requester_id: str, function_name: str
) -> None:
    subnet_id, group_ids = place
    others = networks.of_vpc(vpc_id, NETWORK_INTERFACE)
    if len(others) >= _MOST_OF_A_VPC:
        raise InvalidParameterValueException(
            "Lambda was not able to create an elastic network interface in the VPC, specified as part of Lambda"
            f" function configuration, because the limit for network interfaces has been reached: {vpc_id} has"
            f" {len(others)}."
        )
    subnet = networks.require(SUBNET, subnet_id)
    try:
        add_interface(
            networks,
            subnet,
            groups_for(networks, vpc_id, sorted(group_ids), beside=subnet_id),
            description=f"AWS Lambda VPC ENI-{function_name}-{uuid.uuid4()}",
            InterfaceType=INTERFACE_TYPE,
            RequesterId=requester_id,
            RequesterManaged=False,
            Status="in-use",
            Attachment={
                "AttachmentId": new_ec2_id("ela-attach"),
                "DeleteOnTermination": False,
                "DeviceIndex": 1,
                "InstanceOwnerId": "amazon-aws",
                "Status": "attached",
            },
        )
    except InsufficientFreeAddressesInSubnet as error:
        raise InvalidParameterValueException(
            "Lambda was not able to set up VPC access for the Lambda function because one or more configured subnets"
            f" has no available IP addresses: {subnet_id}."
        ) from error
