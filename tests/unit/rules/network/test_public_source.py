from __future__ import annotations

from typing import Any

import pytest

from keyturn.rules.network.picture import Picture
from keyturn.rules.network.plan import NetworkPlan, plan_of
from keyturn.rules.network.ways import Origin

_NAT = {
    "NatGatewayId": "nat-1",
    "VpcId": "vpc-1",
    "SubnetId": "subnet-2",
    "State": "available",
    "ConnectivityType": "public",
    "NatGatewayAddresses": [
        {"PrivateIp": "10.0.2.9", "PublicIp": "198.51.100.9", "IsPrimary": False},
        {"PrivateIp": "10.0.2.5", "PublicIp": "198.51.100.5", "IsPrimary": True},
    ],
}


def _plan(nat: dict[str, Any], out: dict[str, str]) -> NetworkPlan:
    """The plan of subnet-1, from which a route leads to a NAT gateway in subnet-2, from which another leads out."""
    local = {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local"}
    tables = [
        {"VpcId": "vpc-1", "Associations": [{"SubnetId": subnet_id}], "Routes": [local, route]}
        for subnet_id, route in (
            ("subnet-1", {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}),
            ("subnet-2", {"DestinationCidrBlock": "0.0.0.0/0", **out}),
        )
    ]
    picture = Picture(
        subnets=[
            {"SubnetId": f"subnet-{number}", "VpcId": "vpc-1", "CidrBlock": f"10.0.{number}.0/24"} for number in (1, 2)
        ],
        route_tables=tables,
        acls=[],
        groups=[],
        endpoints=[],
        nat_gateways=[nat],
    )
    origin = Origin("subnet-1", ("sg-1",))
    return plan_of(picture, origin, region="us-east-1", interfaces=[], address="10.0.1.4", services=["secretsmanager"])


def test_packets_come_from_the_primary_public_address_of_the_nat_gateway() -> None:
    assert _plan(_NAT, {"GatewayId": "igw-1"}).public_source == "198.51.100.5"


@pytest.mark.parametrize(
    ("nat", "out"),
    [
        ({**_NAT, "State": "failed"}, {"GatewayId": "igw-1"}),
        (_NAT, {"NatGatewayId": "nat-1"}),
        (_NAT, {"GatewayId": "igw-1", "State": "blackhole"}),
    ],
)
def test_where_no_nat_gateway_leads_out_there_is_no_public_address(nat: dict[str, Any], out: dict[str, str]) -> None:
    assert _plan(nat, out).public_source == ""
