"""Many callers change one network at once: on SQLite, on PostgreSQL, and on two servers that share one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import ServerProcess

_AT_ONCE = 8


@pytest.fixture
def clients(servers: list[ServerProcess]) -> list[Any]:
    return [servers[number % len(servers)].client("ec2") for number in range(_AT_ONCE)]


def at_once(clients: list[Any], call: Callable[[Any], Any]) -> list[Any]:
    """Make a call with every client at once; return what each was answered, or the code of its refusal."""

    def attempt(client: Any) -> Any:
        try:
            return call(client)
        except ClientError as error:
            return error.response["Error"]["Code"]

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(attempt, clients))


def test_addresses_are_given_to_one_each(clients: list[Any]) -> None:
    vpc_id = clients[0].create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]

    subnets = at_once(clients, lambda one: one.create_subnet(VpcId=vpc_id, CidrBlock="10.0.1.0/28"))
    made = [answer["Subnet"]["SubnetId"] for answer in subnets if isinstance(answer, dict)]
    assert len(made) == 1
    assert [answer for answer in subnets if isinstance(answer, str)] == ["InvalidSubnet.Conflict"] * (_AT_ONCE - 1)

    gateways = at_once(
        clients, lambda one: one.create_nat_gateway(SubnetId=made[0], ConnectivityType="private")["NatGateway"]
    )
    private = {gateway["NatGatewayAddresses"][0]["PrivateIp"] for gateway in gateways}
    assert private == {f"10.0.1.{number}" for number in range(4, 4 + _AT_ONCE)}
    (subnet,) = clients[-1].describe_subnets(SubnetIds=made)["Subnets"]
    assert subnet["AvailableIpAddressCount"] == 11 - _AT_ONCE

    allocated = at_once(clients, lambda one: one.allocate_address()["PublicIp"])
    assert len(set(allocated)) == _AT_ONCE


def test_what_is_of_one_only_is_of_one(clients: list[Any]) -> None:
    made = at_once(clients, lambda one: one.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"])
    assert len({vpc["DhcpOptionsId"] for vpc in made}) == 1
    vpc_id = made[0]["VpcId"]

    gateways = at_once(clients, lambda one: one.create_internet_gateway()["InternetGateway"]["InternetGatewayId"])
    waiting = iter(gateways)
    attached = at_once(
        clients, lambda one: one.attach_internet_gateway(InternetGatewayId=next(waiting), VpcId=vpc_id) and "attached"
    )
    assert sorted(attached) == ["InvalidParameterValue"] * (_AT_ONCE - 1) + ["attached"]

    numbers = iter(range(_AT_ONCE))
    tags = at_once(
        clients, lambda one: one.create_tags(Resources=[vpc_id], Tags=[{"Key": f"k{next(numbers)}", "Value": ""}])
    )
    assert not [answer for answer in tags if isinstance(answer, str)]
    (vpc,) = clients[0].describe_vpcs(VpcIds=[vpc_id])["Vpcs"]
    assert [tag["Key"] for tag in vpc["Tags"]] == [f"k{number}" for number in range(_AT_ONCE)]


def test_what_is_made_in_a_vpc_while_it_is_deleted_is_not_left_alone(clients: list[Any]) -> None:
    vpc_id = clients[0].create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    turns = iter(range(_AT_ONCE))

    def delete_or_make(client: Any) -> str:
        if next(turns) % 2:
            client.delete_vpc(VpcId=vpc_id)
            return "deleted"
        return str(client.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"])

    answers = at_once(clients, delete_or_make)

    left = clients[0].describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])["RouteTables"]
    if "deleted" in answers:
        assert left == []
    else:
        assert len(left) == 1 + _AT_ONCE // 2
