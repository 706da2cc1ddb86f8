"""Routes of a route table: to an internet gateway or a NAT gateway of its VPC, and the one within the VPC.

Whether a route leads anywhere is worked out when it is described: one to what is detached or gone is a black hole.

Source: Amazon VPC User Guide, "Configure route tables"; texts as Terraform's AWS provider and users report them.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any, Final

from keyturn.call import Call
from keyturn.errors.ec2 import (
    InvalidGatewayIDNotFound,
    InvalidNatGatewayIDNotFound,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidRouteNotFound,
    MissingParameter,
    RouteAlreadyExists,
)
from keyturn.operations.ec2.cidrs import ipv4_block
from keyturn.operations.ec2.kinds import INTERNET_GATEWAY, NAT_GATEWAY, ROUTE_TABLE
from keyturn.operations.ec2.networks import Networks, Request, Response, changing
from keyturn.operations.ec2.operation import ec2_operation
from keyturn.operations.ec2.subjects import existing
from keyturn.operations.kit import Kit
from keyturn.storage.network_objects import Document, NetworkObject

_LOCAL: Final = "local"
_TARGETS: Final = ("GatewayId", "NatGatewayId")
_TAKES: Final = f"RouteTableId DestinationCidrBlock {' '.join(_TARGETS)}"


def local_route(block: str) -> dict[str, Any]:
    """Return the route within a VPC, which every route table of it begins with."""
    return {"DestinationCidrBlock": block, "GatewayId": _LOCAL, "Origin": "CreateRouteTable", "State": "active"}


def with_state(networks: Networks, table: NetworkObject, route: Document) -> Document:
    """Describe a route with its state as it is now."""
    leads = route.get("GatewayId") == _LOCAL or _target_of(networks, table, route) is not None
    return {**route, "State": "active" if leads else "blackhole"}


@ec2_operation("CreateRoute", takes=_TAKES, subject=existing(ROUTE_TABLE))
def create_route(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Add a route to where the table has none."""
    with changing(kit, call) as networks:
        table = networks.require(ROUTE_TABLE, request["RouteTableId"])
        made = _route(networks, table, request)
        destination = made["DestinationCidrBlock"]
        if _find(table, destination) is not None:
            raise RouteAlreadyExists(f"The route identified by {destination} already exists.")
        _require_outside(table, destination)
        networks.update(table, Routes=[*table.body["Routes"], made])
    return {"Return": True}


@ec2_operation("ReplaceRoute", takes=_TAKES, subject=existing(ROUTE_TABLE))
def replace_route(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Let a route lead to another target."""
    with changing(kit, call) as networks:
        table = networks.require(ROUTE_TABLE, request["RouteTableId"])
        made = _route(networks, table, request)
        destination = made["DestinationCidrBlock"]
        present = _find(table, destination)
        if present is None:
            raise InvalidParameterValue(
                f"There is no route defined for '{destination}' in the route table. Use CreateRoute instead."
            )
        _require_outside(table, destination)
        networks.update(table, Routes=[made if route is present else route for route in table.body["Routes"]])
    return {}


@ec2_operation("DeleteRoute", takes="RouteTableId DestinationCidrBlock", subject=existing(ROUTE_TABLE))
def delete_route(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Remove a route, but not the one within the VPC."""
    with changing(kit, call) as networks:
        table = networks.require(ROUTE_TABLE, request["RouteTableId"])
        destination = _destination(request)
        doomed = _find(table, destination)
        if doomed is None:
            raise InvalidRouteNotFound(
                f"no route with destination-cidr-block {destination} in route table {table.object_id}"
            )
        if doomed.get("GatewayId") == _LOCAL:
            raise InvalidParameterValue(f"cannot remove local route {destination} in route table {table.object_id}")
        networks.update(table, Routes=[route for route in table.body["Routes"] if route is not doomed])
    return {}


def _destination(request: Request) -> str:
    if not request.get("DestinationCidrBlock"):
        raise MissingParameter("The request must contain the parameter destinationCidrBlock")
    return str(ipv4_block(request["DestinationCidrBlock"], "destinationCidrBlock"))


def _route(networks: Networks, table: NetworkObject, request: Request) -> dict[str, Any]:
    """Return the route that a request describes, which leads somewhere."""
    destination = _destination(request)
    targets = {name: request[name] for name in _TARGETS if request.get(name)}
    if len(targets) != 1:
        error = InvalidParameterCombination if targets else MissingParameter
        raise error("The request must contain exactly one of gatewayId, natGatewayId")
    _require_target(networks, table, targets)
    return {"DestinationCidrBlock": destination, **targets, "Origin": "CreateRoute", "State": "active"}


def _require_target(networks: Networks, table: NetworkObject, targets: Document) -> None:
    if _target_of(networks, table, targets) is not None:
        return
    gateway_id, nat_gateway_id = targets.get("GatewayId"), targets.get("NatGatewayId")
    if gateway_id is not None:
        if networks.get(INTERNET_GATEWAY, gateway_id) is None:
            raise InvalidGatewayIDNotFound(f"The gateway ID '{gateway_id}' does not exist")
        raise InvalidParameterValue(
            f"route table {table.object_id} and network gateway {gateway_id} belong to different networks"
        )
    found = networks.get(NAT_GATEWAY, str(nat_gateway_id))
    if found is None or found.vpc_id is None:
        raise InvalidNatGatewayIDNotFound(f"The natGateway ID '{nat_gateway_id}' does not exist")
    raise InvalidParameterValue(
        f"route table {table.object_id} and nat gateway {nat_gateway_id} belong to different networks"
    )


def _target_of(networks: Networks, table: NetworkObject, route: Document) -> NetworkObject | None:
    """Return the gateway that a route leads to, if it is there and of the table's VPC."""
    kind, name = (NAT_GATEWAY, "NatGatewayId") if "NatGatewayId" in route else (INTERNET_GATEWAY, "GatewayId")
    found = networks.get(kind, route[name])
    # What has ended or is detached is of no VPC.
    return found if found is not None and found.vpc_id == table.body["VpcId"] else None


def _find(table: NetworkObject, destination: str) -> dict[str, Any] | None:
    return next((route for route in table.body["Routes"] if route["DestinationCidrBlock"] == destination), None)


def _require_outside(table: NetworkObject, destination: str) -> None:
    """Raise if a route would lead packets within the VPC elsewhere."""
    within = IPv4Network(
        next(one["DestinationCidrBlock"] for one in table.body["Routes"] if one.get("GatewayId") == _LOCAL)
    )
    if IPv4Network(destination).subnet_of(within):
        raise InvalidParameterValue(
            f"The destination CIDR block {destination} is equal to or more specific than one of this VPC's CIDR blocks."
            " This route can target only an interface or an instance."
        )
