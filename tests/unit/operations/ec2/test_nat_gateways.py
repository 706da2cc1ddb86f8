"""How long NAT gateways are described that have ended, by a clock that is put forward."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from keyturn.errors.ec2 import NatGatewayNotFound
from keyturn.operations.ec2.kinds import NAT_GATEWAY
from keyturn.storage import network_objects
from keyturn.testing.handlers import PLACE, HandlerBench

ALMOST_AN_HOUR, LITTLE = timedelta(minutes=59), timedelta(minutes=1)


@pytest.fixture
def subnet_id(bench: HandlerBench) -> str:
    vpc_id = bench.call("ec2", "CreateVpc", CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    made: str = bench.call("ec2", "CreateSubnet", VpcId=vpc_id, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    return made


def nat(bench: HandlerBench, subnet_id: str, **request: Any) -> str:
    wanted = {"ConnectivityType": "private", **request}
    made: str = bench.call("ec2", "CreateNatGateway", SubnetId=subnet_id, **wanted)["NatGateway"]["NatGatewayId"]
    return made


def described(bench: HandlerBench) -> dict[str, str]:
    found = bench.call("ec2", "DescribeNatGateways")["NatGateways"]
    return {one["NatGatewayId"]: one["State"] for one in found}


def stored(bench: HandlerBench) -> list[str]:
    with bench.kit.state.read() as connection:
        return [one.object_id for one in network_objects.list_objects(connection, PLACE, NAT_GATEWAY.name)]


def test_one_that_was_deleted_is_described_for_an_hour(bench: HandlerBench, subnet_id: str) -> None:
    doomed, stays = nat(bench, subnet_id), nat(bench, subnet_id)
    bench.clock.advance(timedelta(days=1))
    bench.call("ec2", "DeleteNatGateway", NatGatewayId=doomed)
    bench.clock.advance(ALMOST_AN_HOUR)
    assert described(bench) == {doomed: "deleted", stays: "available"}
    bench.clock.advance(LITTLE)
    assert described(bench) == {stays: "available"}
    with pytest.raises(NatGatewayNotFound):
        bench.call("ec2", "DescribeNatGateways", NatGatewayIds=[doomed])
    with pytest.raises(NatGatewayNotFound):
        bench.call("ec2", "DeleteNatGateway", NatGatewayId=doomed)


def test_one_that_failed_likewise_and_then_nothing_is_left_of_it(bench: HandlerBench, subnet_id: str) -> None:
    allocation_id = bench.call("ec2", "AllocateAddress")["AllocationId"]
    failed = nat(bench, subnet_id, ConnectivityType="public", AllocationId=allocation_id)
    bench.clock.advance(ALMOST_AN_HOUR)
    assert described(bench) == {failed: "failed"}
    bench.clock.advance(LITTLE)
    assert described(bench) == {}
    another = nat(bench, subnet_id)
    assert stored(bench) == [another]


def test_to_delete_one_again_changes_nothing(bench: HandlerBench, subnet_id: str) -> None:
    doomed = nat(bench, subnet_id)
    bench.call("ec2", "DeleteNatGateway", NatGatewayId=doomed)
    (first,) = bench.call("ec2", "DescribeNatGateways")["NatGateways"]
    bench.clock.advance(LITTLE)
    bench.call("ec2", "DeleteNatGateway", NatGatewayId=doomed)
    assert bench.call("ec2", "DescribeNatGateways")["NatGateways"] == [first]
