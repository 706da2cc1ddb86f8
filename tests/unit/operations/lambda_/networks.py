"""VPCs for tests of functions in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keyturn.operations.ec2.networks import reading

from .conftest import LambdaBench

ATTACHING = ("ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface")


@dataclass
class Vpc:
    """A VPC with some subnets and its default security group."""

    vpc_id: str
    subnet_ids: list[str]
    group_id: str

    def config(self, *subnets: int) -> dict[str, list[str]]:
        """A VpcConfig of some of the subnets, by their positions; of all if none is named."""
        subnet_ids = [self.subnet_ids[each] for each in subnets] or self.subnet_ids
        return {"SubnetIds": subnet_ids, "SecurityGroupIds": [self.group_id]}


def make_vpc(bench: LambdaBench, *blocks: str) -> Vpc:
    """Make a VPC with a subnet for each block of addresses."""
    vpc_id = bench.handlers.call("ec2", "CreateVpc", CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    made = [bench.handlers.call("ec2", "CreateSubnet", VpcId=vpc_id, CidrBlock=block) for block in blocks]
    subnet_ids = [each["Subnet"]["SubnetId"] for each in made]
    with reading(bench.handlers.kit, bench.handlers.as_(bench.handlers.caller)) as networks:
        (group,) = networks.of_vpc(vpc_id, "security-group")
    return Vpc(vpc_id, subnet_ids, group.object_id)


def add_interface(bench: LambdaBench, vpc: Vpc, address: str) -> None:
    """Let somebody have an address of a VPC's first subnet."""
    wanted = {"SubnetId": vpc.subnet_ids[0], "PrivateIpAddress": address}
    bench.handlers.call("ec2", "CreateNetworkInterface", **wanted)


def interfaces(bench: LambdaBench) -> list[Any]:
    """All network interfaces, as DescribeNetworkInterfaces shows them."""
    with reading(bench.handlers.kit, bench.handlers.as_(bench.handlers.caller)) as networks:
        return [record.body for record in networks.all("network-interface")]
