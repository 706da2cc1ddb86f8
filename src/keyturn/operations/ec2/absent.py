"""What networks here never have, but is asked for: prefix lists, peering connections, instances, a default VPC.

A list of them is empty, and one by its id is not there.
"""

from __future__ import annotations

from typing import Final

from keyturn.call import Call
from keyturn.operations.ec2.kinds import INSTANCE, PREFIX_LIST, VPC_PEERING_CONNECTION
from keyturn.operations.ec2.listing import Listing
from keyturn.operations.ec2.networks import Request, Response
from keyturn.operations.ec2.operation import describes, ec2_operation
from keyturn.operations.ec2.subjects import existing
from keyturn.operations.kit import Kit
from keyturn.storage.network_objects import NetworkObject

_PREFIX_LISTS: Final = Listing(
    kind=PREFIX_LIST,
    answered_in="PrefixLists",
    ids_in="PrefixListIds",
    filters={"prefix-list-id": "PrefixListId", "prefix-list-name": "PrefixListName", "owner-id": "OwnerId"},
)
_PEERINGS: Final = Listing(
    kind=VPC_PEERING_CONNECTION,
    answered_in="VpcPeeringConnections",
    ids_in="VpcPeeringConnectionIds",
    filters={
        **{
            f"{side}-vpc-info.{name}": f"{side.capitalize()}VpcInfo.{member}"
            for side in ("accepter", "requester")
            for name, member in (("cidr-block", "CidrBlock"), ("owner-id", "OwnerId"), ("vpc-id", "VpcId"))
        },
        "status-code": "Status.Code",
        "vpc-peering-connection-id": "VpcPeeringConnectionId",
    },
)
_INSTANCES: Final = Listing(
    kind=INSTANCE,
    answered_in="Reservations",
    ids_in="InstanceIds",
    filters={
        "instance-id": "InstanceId",
        "instance-state-name": "State.Name",
        "network-interface.network-interface-id": "NetworkInterfaces.NetworkInterfaceId",
        "private-ip-address": "PrivateIpAddress",
        "subnet-id": "SubnetId",
        "vpc-id": "VpcId",
    },
)


@describes("DescribePrefixLists", _PREFIX_LISTS)
def describe_prefix_lists(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Tell that there are no prefix lists."""
    return _PREFIX_LISTS.answer(kit, call, request)


@describes("DescribeManagedPrefixLists", _PREFIX_LISTS)
def describe_managed_prefix_lists(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Tell that there are no managed prefix lists."""
    return _PREFIX_LISTS.answer(kit, call, request)


@ec2_operation(
    "GetManagedPrefixListEntries",
    takes="PrefixListId TargetVersion MaxResults NextToken",
    subject=existing(PREFIX_LIST),
)
def get_managed_prefix_list_entries(_kit: Kit, _call: Call, _request: Request, _subject: NetworkObject) -> Response:
    """Tell that there is no such prefix list."""
    return {"Entries": []}


@describes("DescribeVpcPeeringConnections", _PEERINGS)
def describe_vpc_peering_connections(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Tell that there are no peering connections."""
    return _PEERINGS.answer(kit, call, request)


@describes("DescribeInstances", _INSTANCES)
def describe_instances(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Tell that there are no instances."""
    return _INSTANCES.answer(kit, call, request)


_ATTRIBUTES: Final = {"supported-platforms": "VPC", "default-vpc": "none"}


@ec2_operation("DescribeAccountAttributes", takes="AttributeNames")
def describe_account_attributes(_kit: Kit, _call: Call, request: Request, _subject: None) -> Response:
    """Tell that the account has no default VPC."""
    wanted = request.get("AttributeNames") or _ATTRIBUTES
    told = [{"AttributeName": name, "AttributeValues": [{"AttributeValue": _ATTRIBUTES[name]}]} for name in wanted]
    return {"AccountAttributes": told}
