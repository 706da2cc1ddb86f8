"""NAT gateways: in a subnet, with an Elastic IP address if they lead to the internet.

One is available or has failed as soon as it is made. Those that failed or were deleted are described for an hour more.

Source: Amazon VPC User Guide, "NAT gateways" and "Troubleshoot NAT gateways"; Amazon EC2 API Reference.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from keyturn import ids
from keyturn.call import Call
from keyturn.errors.ec2 import InvalidElasticIpIDNotFound, InvalidParameterCombination, MissingParameter
from keyturn.operations.ec2.kinds import ELASTIC_IP, INTERNET_GATEWAY, NAT_GATEWAY, SUBNET
from keyturn.operations.ec2.listing import Listing
from keyturn.operations.ec2.networks import ChangingNetworks, Networks, Request, Response, changing
from keyturn.operations.ec2.operation import describes, ec2_operation, makes
from keyturn.operations.ec2.private_addresses import free_address
from keyturn.operations.ec2.subjects import existing, existing_each
from keyturn.operations.ec2.tagging import tags_for
from keyturn.operations.kit import Kit
from keyturn.storage.network_objects import Document, NetworkObject

_DESCRIBED_AFTER_ITS_END: Final = timedelta(hours=1)
_PUBLIC, _PRIVATE = "public", "private"
# Here an address that is not there is told in other words than where it is itself acted on.
_ADDRESS: Final = replace(ELASTIC_IP, not_found=InvalidElasticIpIDNotFound, text="The elasticIp ID '{}' does not exist")
_NO_ADDRESS: Final = dict.fromkeys(
    ("AssociationId", "NetworkInterfaceId", "NetworkInterfaceOwnerId", "PrivateIpAddress")
)


def described_nat_gateway(_networks: Networks, record: NetworkObject) -> Document:
    """Describe a NAT gateway with its moments."""
    ended_at = record.body.get("DeleteTime")
    end = {} if ended_at is None else {"DeleteTime": datetime.fromisoformat(ended_at)}
    return {**record.body, "CreateTime": record.created_at, **end}


def is_described(networks: Networks, record: NetworkObject) -> bool:
    """Say whether a NAT gateway is still described: it lives, or ended within an hour."""
    ended_at = record.body.get("DeleteTime")
    return ended_at is None or networks.at - datetime.fromisoformat(ended_at) < _DESCRIBED_AFTER_ITS_END


_NAT_GATEWAYS: Final = Listing(
    kind=NAT_GATEWAY,
    answered_in="NatGateways",
    ids_in="NatGatewayIds",
    filters={
        "nat-gateway-id": "NatGatewayId",
        "state": "State",
        "subnet-id": "SubnetId",
        "vpc-id": "VpcId",
    },
    shown=described_nat_gateway,
    exists=is_described,
    filters_in="Filter",
)


@makes(
    "CreateNatGateway",
    NAT_GATEWAY,
    takes="SubnetId AllocationId ConnectivityType PrivateIpAddress",
    also=(existing(SUBNET),),
    each=(existing_each(_ADDRESS, "AllocationId"),),
)
def create_nat_gateway(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Make a NAT gateway in a subnet; that it cannot work is told by its state."""
    connectivity = request.get("ConnectivityType", _PUBLIC)
    _check_address(connectivity, request)
    gateway_id = NAT_GATEWAY.new_id()
    with changing(kit, call) as networks:
        _forget_ended(networks)
        subnet = networks.require(SUBNET, request["SubnetId"])
        address: dict[str, Any] = {
            "NetworkInterfaceId": ids.new_ec2_id("eni"),
            "PrivateIp": free_address(networks, subnet, request.get("PrivateIpAddress")),
            "IsPrimary": True,
            "Status": "succeeded",
        }
        body: dict[str, Any] = {
            "NatGatewayId": gateway_id,
            "SubnetId": subnet.object_id,
            "VpcId": subnet.body["VpcId"],
            "ConnectivityType": connectivity,
            "NatGatewayAddresses": [address],
            "Tags": tags_for(NAT_GATEWAY, request),
        }
        outcome: dict[str, str] = {"State": "available"}
        if connectivity == _PUBLIC:
            outcome = _give_address(networks, body["VpcId"], address, request["AllocationId"])
        # One that has failed is in nobody's way.
        vpc_id = body["VpcId"] if outcome["State"] == "available" else None
        networks.add(NAT_GATEWAY, gateway_id, {**body, **outcome}, vpc_id=vpc_id)
    answered = {**body, "State": "pending", "CreateTime": call.at}
    return {"NatGateway": answered, "ClientToken": request.get("ClientToken")}


@describes("DescribeNatGateways", _NAT_GATEWAYS)
def describe_nat_gateways(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Describe NAT gateways, also those that ended within an hour."""
    return _NAT_GATEWAYS.answer(kit, call, request)


@ec2_operation("DeleteNatGateway", takes="NatGatewayId", subject=existing(NAT_GATEWAY))
def delete_nat_gateway(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Delete a NAT gateway; its Elastic IP address stays, and is free again."""
    with changing(kit, call) as networks:
        _forget_ended(networks)
        gateway = networks.require(NAT_GATEWAY, request["NatGatewayId"])
        if gateway.vpc_id is not None:
            for held in gateway.body["NatGatewayAddresses"]:
                if "AllocationId" in held:
                    networks.update(networks.require(ELASTIC_IP, held["AllocationId"]), **_NO_ADDRESS)
            networks.update(replace(gateway, vpc_id=None), State="deleted", DeleteTime=call.at.isoformat())
    return {"NatGatewayId": request["NatGatewayId"]}


def _check_address(connectivity: str, request: Request) -> None:
    has_address = bool(request.get("AllocationId"))
    if connectivity == _PUBLIC and not has_address:
        raise MissingParameter(
            "The request must include the AllocationId parameter. Add the required parameter and retry the request."
        )
    if connectivity == _PRIVATE and has_address:
        raise InvalidParameterCombination(
            "The request cannot include the AllocationId parameter if the connectivity type is private."
        )


def _give_address(
    networks: ChangingNetworks, vpc_id: str, address: dict[str, Any], allocation_id: str
) -> dict[str, str]:
    """Give a NAT gateway its Elastic IP address; return the state that it is in then, and why."""
    elastic = networks.require(_ADDRESS, allocation_id)
    address |= {"AllocationId": allocation_id, "PublicIp": elastic.body["PublicIp"]}
    if "AssociationId" in elastic.body:
        code, message = "Resource.AlreadyAssociated", f"Elastic IP address [{allocation_id}] is already associated"
    elif not networks.of_vpc(vpc_id, INTERNET_GATEWAY):
        code, message = "Gateway.NotAttached", f"Network {vpc_id} has no Internet gateway attached"
    else:
        address["AssociationId"] = ids.new_ec2_id("eipassoc")
        networks.update(
            elastic,
            AssociationId=address["AssociationId"],
            NetworkInterfaceId=address["NetworkInterfaceId"],
            NetworkInterfaceOwnerId=networks.place.account_id,
            PrivateIpAddress=address["PrivateIp"],
        )
        return {"State": "available"}
    address["Status"] = "failed"
    ended_at = networks.at.isoformat()
    return {"State": "failed", "FailureCode": code, "FailureMessage": message, "DeleteTime": ended_at}


def _forget_ended(networks: ChangingNetworks) -> None:
    for record in networks.all(NAT_GATEWAY):
        if not is_described(networks, record):
            networks.delete(record)
