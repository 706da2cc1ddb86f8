"""Internet gateways: of no VPC when they are made, then attached to one at most.

Source: Amazon VPC User Guide, "Internet gateways"; texts as Terraform's AWS provider and users report them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from keyturn.call import Call
from keyturn.errors.ec2 import (
    DependencyViolation,
    GatewayNotAttached,
    InvalidParameterValue,
    ResourceAlreadyAssociated,
)
from keyturn.operations.ec2.kinds import INTERNET_GATEWAY, NAT_GATEWAY, VPC
from keyturn.operations.ec2.listing import Listing
from keyturn.operations.ec2.networks import Request, Response, changing
from keyturn.operations.ec2.operation import describes, ec2_operation, makes
from keyturn.operations.ec2.subjects import existing
from keyturn.operations.ec2.tagging import tags_for
from keyturn.operations.kit import Kit
from keyturn.storage.network_objects import NetworkObject

_INTERNET_GATEWAYS: Final = Listing(
    kind=INTERNET_GATEWAY,
    answered_in="InternetGateways",
    ids_in="InternetGatewayIds",
    filters={
        "attachment.state": "Attachments.State",
        "attachment.vpc-id": "Attachments.VpcId",
        "internet-gateway-id": "InternetGatewayId",
        "owner-id": "OwnerId",
    },
)


@makes("CreateInternetGateway", INTERNET_GATEWAY, takes="")
def create_internet_gateway(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Make an internet gateway that is attached to nothing."""
    gateway_id = INTERNET_GATEWAY.new_id()
    body = {
        "InternetGatewayId": gateway_id,
        "OwnerId": call.place.account_id,
        "Attachments": [],
        "Tags": tags_for(INTERNET_GATEWAY, request),
    }
    with changing(kit, call) as networks:
        networks.add(INTERNET_GATEWAY, gateway_id, body)
    return {"InternetGateway": body}


@describes("DescribeInternetGateways", _INTERNET_GATEWAYS)
def describe_internet_gateways(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Describe internet gateways."""
    return _INTERNET_GATEWAYS.answer(kit, call, request)


@ec2_operation(
    "AttachInternetGateway",
    takes="InternetGatewayId VpcId",
    subject=existing(INTERNET_GATEWAY),
    also=(existing(VPC),),
)
def attach_internet_gateway(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Attach an internet gateway to a VPC that has none."""
    with changing(kit, call) as networks:
        gateway = networks.require(INTERNET_GATEWAY, request["InternetGatewayId"])
        vpc_id = networks.require(VPC, request["VpcId"]).object_id
        if gateway.vpc_id is not None:
            raise ResourceAlreadyAssociated(
                f"resource {gateway.object_id} is already attached to network {gateway.vpc_id}"
            )
        if networks.of_vpc(vpc_id, INTERNET_GATEWAY):
            raise InvalidParameterValue(f"Network {vpc_id} already has an internet gateway attached")
        attachment = {"State": "available", "VpcId": vpc_id}
        networks.update(replace(gateway, vpc_id=vpc_id), Attachments=[attachment])
    return {}


@ec2_operation(
    "DetachInternetGateway",
    takes="InternetGatewayId VpcId",
    subject=existing(INTERNET_GATEWAY),
    also=(existing(VPC),),
)
def detach_internet_gateway(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Detach an internet gateway from its VPC, in which nothing has a public address any more."""
    with changing(kit, call) as networks:
        gateway = networks.require(INTERNET_GATEWAY, request["InternetGatewayId"])
        vpc_id = request["VpcId"]
        if gateway.vpc_id != vpc_id:
            raise GatewayNotAttached(f"resource {gateway.object_id} is not attached to network {vpc_id}")
        if any(one.body["ConnectivityType"] == "public" for one in networks.of_vpc(vpc_id, NAT_GATEWAY)):
            raise DependencyViolation(
                f"Network {vpc_id} has some mapped public address(es). Please unmap those public address(es) before"
                " detaching the gateway."
            )
        networks.update(replace(gateway, vpc_id=None), Attachments=[])
    return {}


@ec2_operation("DeleteInternetGateway", takes="InternetGatewayId", subject=existing(INTERNET_GATEWAY))
def delete_internet_gateway(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Delete an internet gateway that is attached to nothing."""
    with changing(kit, call) as networks:
        gateway = networks.require(INTERNET_GATEWAY, request["InternetGatewayId"])
        if gateway.vpc_id is not None:
            raise DependencyViolation(
                f"The internetGateway '{gateway.object_id}' has dependencies and cannot be deleted."
            )
        networks.delete(gateway)
    return {}
