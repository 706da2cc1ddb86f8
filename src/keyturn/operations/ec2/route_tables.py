"""Route tables and what they are associated with: each VPC has a main one, for the subnets that name no other.

Source: Amazon VPC User Guide, "Configure route tables"; texts as Terraform's AWS provider and users report them.
"""

from __future__ import annotations

from typing import Any, Final

from keyturn import ids
from keyturn.call import Call
from keyturn.errors.ec2 import (
    DependencyViolation,
    InvalidAssociationIDNotFound,
    InvalidParameterValue,
    ResourceAlreadyAssociated,
)
from keyturn.operations.ec2.kinds import ROUTE_TABLE, SUBNET, VPC
from keyturn.operations.ec2.listing import Listing
from keyturn.operations.ec2.networks import ChangingNetworks, Networks, Request, Response, changing, reading
from keyturn.operations.ec2.operation import describes, ec2_operation, makes
from keyturn.operations.ec2.routes import local_route, with_state
from keyturn.operations.ec2.subjects import existing, subject_of
from keyturn.operations.ec2.tagging import tags_for
from keyturn.operations.kit import Kit
from keyturn.operations.subject import Subject
from keyturn.storage.network_objects import Document, NetworkObject

_ASSOCIATED: Final = {"State": "associated"}


def described_route_table(networks: Networks, record: NetworkObject) -> Document:
    """Describe a route table, with what has become of where its routes lead."""
    return {**record.body, "Routes": [with_state(networks, record, route) for route in record.body["Routes"]]}


_ROUTE_TABLES: Final = Listing(
    kind=ROUTE_TABLE,
    answered_in="RouteTables",
    ids_in="RouteTableIds",
    filters={
        "association.gateway-id": "Associations.GatewayId",
        "association.main": "Associations.Main",
        "association.route-table-association-id": "Associations.RouteTableAssociationId",
        "association.route-table-id": "Associations.RouteTableId",
        "association.subnet-id": "Associations.SubnetId",
        "owner-id": "OwnerId",
        "route.destination-cidr-block": "Routes.DestinationCidrBlock",
        "route.destination-ipv6-cidr-block": "Routes.DestinationIpv6CidrBlock",
        "route.destination-prefix-list-id": "Routes.DestinationPrefixListId",
        "route.egress-only-internet-gateway-id": "Routes.EgressOnlyInternetGatewayId",
        "route.gateway-id": "Routes.GatewayId",
        "route.instance-id": "Routes.InstanceId",
        "route.nat-gateway-id": "Routes.NatGatewayId",
        "route.origin": "Routes.Origin",
        "route.state": "Routes.State",
        "route.transit-gateway-id": "Routes.TransitGatewayId",
        "route.vpc-peering-connection-id": "Routes.VpcPeeringConnectionId",
        "route-table-id": "RouteTableId",
        "vpc-id": "VpcId",
    },
    shown=described_route_table,
)


def table_of_association(kit: Kit, call: Call, request: Request) -> Subject[NetworkObject]:
    """Load the route table that ``AssociationId`` is an association of."""
    association_id = request["AssociationId"]
    with reading(kit, call) as networks:
        record = _associated(networks, association_id)
    if record is None:
        arn = call.place.ec2_arn(ROUTE_TABLE.name, "*")
        return Subject(arn, arn, record=None, missing=_no_association(association_id))
    return subject_of(kit, call, ROUTE_TABLE, record.object_id)


@makes("CreateRouteTable", ROUTE_TABLE, takes="VpcId", also=(existing(VPC),))
def create_route_table(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Make a route table of a VPC, with the route within it."""
    route_table_id = ROUTE_TABLE.new_id()
    with changing(kit, call) as networks:
        vpc = networks.require(VPC, request["VpcId"])
        body = {
            "RouteTableId": route_table_id,
            "VpcId": vpc.object_id,
            "OwnerId": call.place.account_id,
            "Associations": [],
            "Routes": [local_route(vpc.body["CidrBlock"])],
            "PropagatingVgws": [],
            "Tags": tags_for(ROUTE_TABLE, request),
        }
        networks.add(ROUTE_TABLE, route_table_id, body, vpc_id=vpc.object_id)
    return {"RouteTable": body, "ClientToken": request.get("ClientToken")}


@describes("DescribeRouteTables", _ROUTE_TABLES)
def describe_route_tables(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Describe route tables."""
    return _ROUTE_TABLES.answer(kit, call, request)


@ec2_operation("DeleteRouteTable", takes="RouteTableId", subject=existing(ROUTE_TABLE))
def delete_route_table(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Delete a route table that nothing is associated with."""
    with changing(kit, call) as networks:
        table = networks.require(ROUTE_TABLE, request["RouteTableId"])
        if table.body["Associations"]:
            raise DependencyViolation(f"The routeTable '{table.object_id}' has dependencies and cannot be deleted.")
        networks.delete(table)
    return {}


@ec2_operation(
    "AssociateRouteTable",
    takes="RouteTableId SubnetId",
    subject=existing(ROUTE_TABLE),
    also=(existing(SUBNET),),
)
def associate_route_table(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Associate a subnet that has no association yet with a route table of its VPC."""
    with changing(kit, call) as networks:
        table = networks.require(ROUTE_TABLE, request["RouteTableId"])
        subnet = networks.require(SUBNET, request["SubnetId"])
        _require_one_network(table, subnet)
        tables = networks.of_vpc(table.body["VpcId"], ROUTE_TABLE)
        if any(one.get("SubnetId") == subnet.object_id for each in tables for one in each.body["Associations"]):
            raise ResourceAlreadyAssociated(
                f"the specified association for route table {table.object_id} conflicts with an existing association"
            )
        association_id = _add_association(networks, table, {"Main": False, "SubnetId": subnet.object_id})
    return {"AssociationId": association_id, "AssociationState": _ASSOCIATED}


@ec2_operation("DisassociateRouteTable", takes="AssociationId", subject=table_of_association)
def disassociate_route_table(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """End the association of a subnet, for which the main route table counts again."""
    with changing(kit, call) as networks:
        table, association = _require_association(networks, request["AssociationId"])
        if association["Main"]:
            raise InvalidParameterValue(
                f"cannot disassociate the main route table association {association['RouteTableAssociationId']}"
            )
        _remove_association(networks, table, association)
    return {}


@ec2_operation(
    "ReplaceRouteTableAssociation",
    takes="AssociationId RouteTableId",
    subject=table_of_association,
    also=(existing(ROUTE_TABLE),),
)
def replace_route_table_association(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Associate a subnet, or the VPC with its main association, with another route table."""
    with changing(kit, call) as networks:
        table, association = _require_association(networks, request["AssociationId"])
        other = networks.require(ROUTE_TABLE, request["RouteTableId"])
        if other.body["VpcId"] != table.body["VpcId"]:
            raise InvalidParameterValue(
                f"Route table {other.object_id} and route table {table.object_id} belong to different networks"
            )
        _remove_association(networks, table, association)
        kept = {name: value for name, value in association.items() if name in ("Main", "SubnetId")}
        association_id = _add_association(networks, networks.require(ROUTE_TABLE, other.object_id), kept)
    return {"NewAssociationId": association_id, "AssociationState": _ASSOCIATED}


def _require_one_network(table: NetworkObject, subnet: NetworkObject) -> None:
    if table.body["VpcId"] != subnet.body["VpcId"]:
        raise InvalidParameterValue(
            f"Route table {table.object_id} and subnet {subnet.object_id} belong to different networks"
        )


def _add_association(networks: ChangingNetworks, table: NetworkObject, members: Document) -> str:
    association_id = ids.new_ec2_id("rtbassoc")
    association = {
        **members,
        "RouteTableAssociationId": association_id,
        "RouteTableId": table.object_id,
        "AssociationState": _ASSOCIATED,
    }
    networks.update(table, Associations=[*table.body["Associations"], association])
    return association_id


def _remove_association(networks: ChangingNetworks, table: NetworkObject, association: Document) -> None:
    networks.update(table, Associations=[one for one in table.body["Associations"] if one != association])


def _associated(networks: Networks, association_id: str) -> NetworkObject | None:
    for table in networks.all(ROUTE_TABLE):
        if any(one["RouteTableAssociationId"] == association_id for one in table.body["Associations"]):
            return table
    return None


def _require_association(networks: Networks, association_id: str) -> tuple[NetworkObject, dict[str, Any]]:
    table = _associated(networks, association_id)
    if table is None:
        raise _no_association(association_id)
    every = table.body["Associations"]
    return table, next(one for one in every if one["RouteTableAssociationId"] == association_id)


def _no_association(association_id: str) -> InvalidAssociationIDNotFound:
    return InvalidAssociationIDNotFound(f"The association ID '{association_id}' does not exist")
