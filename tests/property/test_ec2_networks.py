"""Whatever is asked of a network in whatever order: addresses are given once, ways lead where they should.

A model of a VPC runs beside the handlers and says what each call must answer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from keyturn.errors.base import AwsError
from keyturn.storage import inline_policies
from keyturn.testing.handlers import ALLOW_ALL, open_bench

VPC = IPv4Network("10.0.0.0/22")
EVERYWHERE = "0.0.0.0/0"
# Some are outside, too large or too small, and many overlap.
blocks = st.builds(
    lambda offset, prefix: f"10.0.{offset // 16}.{offset % 16 * 16}/{prefix}",
    st.integers(0, 79),
    st.integers(21, 29),
)


class NetworkMachine(RuleBasedStateMachine):
    """One VPC, and what is known of it."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        self._opened = open_bench(Path(self._directory.name))
        self.bench = self._opened.__enter__()
        with self.bench.kit.state.write() as transaction:
            inline_policies.put_inline_policy(transaction, self.bench.caller.arn, "everything", ALLOW_ALL)
        self.subnets: dict[str, IPv4Network] = {}
        self.nats: dict[str, str] = {}
        self.gateway: str | None = None
        self.route: str | None = None

    def teardown(self) -> None:
        self._opened.__exit__(None, None, None)
        self._directory.cleanup()

    def call(self, name: str, **request: Any) -> Any:
        return self.bench.call("ec2", name, **request)

    def attempt(self, call: Callable[[], Any]) -> Any:
        """Return the answer, or the code of the refusal."""
        try:
            return call()
        except AwsError as error:
            return error.shape_name()

    @initialize()
    def make(self) -> None:
        self.vpc_id = self.call("CreateVpc", CidrBlock=str(VPC))["Vpc"]["VpcId"]
        (table,) = self.tables()
        self.table_id = table["RouteTableId"]

    def tables(self) -> list[dict[str, Any]]:
        filters = [{"Name": "vpc-id", "Values": [self.vpc_id]}]
        found: list[dict[str, Any]] = self.call("DescribeRouteTables", Filters=filters)["RouteTables"]
        return found

    @rule(block=blocks)
    def add_subnet(self, block: str) -> None:
        network = IPv4Network(block, strict=False)
        answer = self.attempt(lambda: self.call("CreateSubnet", VpcId=self.vpc_id, CidrBlock=block))
        if not network.subnet_of(VPC) or not 16 <= network.prefixlen <= 28:
            assert answer == "InvalidSubnet.Range"
        elif any(network.overlaps(other) for other in self.subnets.values()):
            assert answer == "InvalidSubnet.Conflict"
        else:
            self.subnets[answer["Subnet"]["SubnetId"]] = network

    @precondition(lambda self: self.subnets)
    @rule(data=st.data())
    def remove_subnet(self, data: st.DataObject) -> None:
        subnet_id = data.draw(st.sampled_from(sorted(self.subnets)))
        answer = self.attempt(lambda: self.call("DeleteSubnet", SubnetId=subnet_id))
        if subnet_id in self.nats.values():
            assert answer == "DependencyViolation"
        else:
            del self.subnets[subnet_id]

    @precondition(lambda self: self.subnets)
    @rule(data=st.data())
    def add_nat_gateway(self, data: st.DataObject) -> None:
        subnet_id = data.draw(st.sampled_from(sorted(self.subnets)))
        answer = self.attempt(lambda: self.call("CreateNatGateway", SubnetId=subnet_id, ConnectivityType="private"))
        used = list(self.nats.values()).count(subnet_id)
        if used == self.subnets[subnet_id].num_addresses - 5:
            assert answer == "InsufficientFreeAddressesInSubnet"
        else:
            self.nats[answer["NatGateway"]["NatGatewayId"]] = subnet_id

    @precondition(lambda self: self.nats)
    @rule(data=st.data())
    def remove_nat_gateway(self, data: st.DataObject) -> None:
        nat = data.draw(st.sampled_from(sorted(self.nats)))
        self.call("DeleteNatGateway", NatGatewayId=nat)
        del self.nats[nat]

    @rule()
    def attach_or_detach(self) -> None:
        if self.gateway is None:
            self.gateway = self.call("CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
            self.call("AttachInternetGateway", InternetGatewayId=self.gateway, VpcId=self.vpc_id)
        else:
            self.call("DetachInternetGateway", InternetGatewayId=self.gateway, VpcId=self.vpc_id)
            self.gateway = None

    @rule(data=st.data())
    def lead_everything(self, data: st.DataObject) -> None:
        targets = [*sorted(self.nats), *([self.gateway] if self.gateway else [])]
        if not targets:
            return
        target = data.draw(st.sampled_from(targets))
        name = "CreateRoute" if self.route is None else "ReplaceRoute"
        member = "NatGatewayId" if target.startswith("nat-") else "GatewayId"
        request = {"RouteTableId": self.table_id, "DestinationCidrBlock": EVERYWHERE, member: target}
        self.call(name, **request)
        self.route = target

    @rule()
    def try_to_delete_it(self) -> None:
        if self.subnets or self.gateway:
            assert self.attempt(lambda: self.call("DeleteVpc", VpcId=self.vpc_id)) == "DependencyViolation"

    @invariant()
    def what_is_described_is_what_there_is(self) -> None:
        filters = [{"Name": "vpc-id", "Values": [self.vpc_id]}]
        described = self.call("DescribeSubnets", Filters=filters)["Subnets"]
        assert {one["SubnetId"]: one["CidrBlock"] for one in described} == {
            subnet_id: str(network) for subnet_id, network in self.subnets.items()
        }
        for one in described:
            used = list(self.nats.values()).count(one["SubnetId"])
            assert one["AvailableIpAddressCount"] == self.subnets[one["SubnetId"]].num_addresses - 5 - used

    @invariant()
    def no_address_is_given_twice(self) -> None:
        living = [one for one in self.call("DescribeNatGateways")["NatGateways"] if one["State"] == "available"]
        addresses = [one["NatGatewayAddresses"][0]["PrivateIp"] for one in living]
        assert len(set(addresses)) == len(addresses) == len(self.nats)

    @invariant()
    def a_route_lives_as_long_as_where_it_leads(self) -> None:
        (table,) = self.tables()
        found = {route["DestinationCidrBlock"]: route["State"] for route in table["Routes"]}
        expected = {str(VPC): "active"}
        if self.route is not None:
            expected[EVERYWHERE] = "active" if self.route in {*self.nats, self.gateway} else "blackhole"
        assert found == expected


NetworkMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
TestNetworks = NetworkMachine.TestCase
