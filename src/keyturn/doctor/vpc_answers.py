"""EC2's answers about one VPC, each asked for once and only if it is needed."""

from __future__ import annotations

from collections.abc import Sequence

from keyturn.rules.network.endpoints import DNS_ATTRIBUTES

from .cached import cached
from .facts import Answer, Facts


class VpcAnswers:
    """EC2's answers about one VPC."""

    def __init__(self, facts: Facts, vpc_id: str) -> None:
        self._facts = facts
        self.vpc_id = vpc_id

    @cached
    def subnets(self) -> Answer:
        """DescribeSubnets."""
        return self._of_vpc("DescribeSubnets")

    @cached
    def route_tables(self) -> Answer:
        """DescribeRouteTables."""
        return self._of_vpc("DescribeRouteTables")

    @cached
    def acls(self) -> Answer:
        """DescribeNetworkAcls."""
        return self._of_vpc("DescribeNetworkAcls")

    @cached
    def endpoints(self) -> Answer:
        """DescribeVpcEndpoints."""
        return self._of_vpc("DescribeVpcEndpoints")

    @cached
    def nat_gateways(self) -> Answer:
        """DescribeNatGateways."""
        return self._facts.ask("ec2", "DescribeNatGateways", Filter=[{"Name": "vpc-id", "Values": [self.vpc_id]}])

    @cached
    def internet_gateways(self) -> Answer:
        """DescribeInternetGateways of those that are attached."""
        wanted = [{"Name": "attachment.vpc-id", "Values": [self.vpc_id]}]
        return self._facts.ask("ec2", "DescribeInternetGateways", Filters=wanted)

    @cached
    def interfaces(self) -> Answer:
        """DescribeNetworkInterfaces."""
        return self._of_vpc("DescribeNetworkInterfaces")

    @cached
    def described(self) -> Answer:
        """DescribeVpcs of this one."""
        return self._facts.ask("ec2", "DescribeVpcs", VpcIds=[self.vpc_id])

    @cached
    def dns(self) -> tuple[Answer, ...]:
        """DescribeVpcAttribute of the two attributes: names need the first, private DNS both."""
        return tuple(
            self._facts.ask("ec2", "DescribeVpcAttribute", VpcId=self.vpc_id, Attribute=name) for name in DNS_ATTRIBUTES
        )

    def interfaces_in(self, subnet_ids: Sequence[str]) -> Answer:
        """DescribeNetworkInterfaces of those that functions have in some subnets."""
        given = {"interface-type": ["lambda"], "subnet-id": list(subnet_ids)}
        wanted = [{"Name": name, "Values": values} for name, values in given.items()]
        return self._facts.ask("ec2", "DescribeNetworkInterfaces", Filters=wanted)

    def groups_named(self, *names: str) -> Answer:
        """DescribeSecurityGroups of those with some names."""
        wanted = [{"Name": "vpc-id", "Values": [self.vpc_id]}, {"Name": "group-name", "Values": list(names)}]
        return self._facts.ask("ec2", "DescribeSecurityGroups", Filters=wanted)

    def _of_vpc(self, operation: str) -> Answer:
        return self._facts.ask("ec2", operation, Filters=[{"Name": "vpc-id", "Values": [self.vpc_id]}])
