"""Whatever is asked of groups, endpoints and interfaces in whatever order, what they tell of each other is true."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from keyturn.errors.base import AwsError
from keyturn.rules.network.group_rules import permissions_of
from keyturn.storage import inline_policies
from keyturn.testing.handlers import ALLOW_ALL, open_bench

ZONES = ("us-east-1a", "us-east-1a", "us-east-1b")
MAY_BE_REFUSED = {
    "AuthFailure",
    "CannotDelete",
    "DependencyViolation",
    "DuplicateSubnetsInSameZone",
    "InsufficientFreeAddressesInSubnet",
    "InvalidGroup.Duplicate",
    "InvalidIPAddress.InUse",
    "InvalidParameter",
    "InvalidParameterValue",
    "InvalidPermission.Duplicate",
    "InvalidPermission.NotFound",
}
numbers = st.integers(0, 5)


class Machine(RuleBasedStateMachine):
    """One VPC with three small subnets, of which two are in one zone."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        self._opened = open_bench(Path(self._directory.name))
        self.bench = self._opened.__enter__()
        self.vpc_id = ""
        self.subnets: list[str] = []
        with self.bench.kit.state.write() as transaction:
            inline_policies.put_inline_policy(transaction, self.bench.caller.arn, "everything", ALLOW_ALL)

    def teardown(self) -> None:
        self._opened.__exit__(None, None, None)
        self._directory.cleanup()

    def call(self, name: str, **request: Any) -> Any:
        return self.bench.call("ec2", name, **request)

    def attempt(self, name: str, **request: Any) -> None:
        """Make a call that may be refused, for reasons that are known."""
        try:
            self.call(name, **request)
        except AwsError as error:
            if error.shape_name() not in MAY_BE_REFUSED:
                raise

    def listed(self, name: str, member: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call(name)[member]
        return found

    def one_of(self, objects: list[dict[str, Any]], number: int, member: str) -> str:
        return str(objects[number % len(objects)][member])

    def group(self, number: int) -> str:
        return self.one_of(self.listed("DescribeSecurityGroups", "SecurityGroups"), number, "GroupId")

    def subnet(self, number: int) -> str:
        return self.subnets[number % len(self.subnets)]

    @initialize()
    def make_a_vpc(self) -> None:
        self.vpc_id = self.call("CreateVpc", CidrBlock="10.0.0.0/24")["Vpc"]["VpcId"]
        self.subnets = [
            self.call("CreateSubnet", VpcId=self.vpc_id, CidrBlock=f"10.0.0.{16 * number}/28", AvailabilityZone=zone)[
                "Subnet"
            ]["SubnetId"]
            for number, zone in enumerate(ZONES)
        ]

    @rule(name=st.sampled_from("abc"))
    def make_a_group(self, name: str) -> None:
        self.attempt("CreateSecurityGroup", GroupName=name, Description="d", VpcId=self.vpc_id)

    @rule(number=numbers)
    def delete_a_group(self, number: int) -> None:
        self.attempt("DeleteSecurityGroup", GroupId=self.group(number))

    @rule(
        way=st.sampled_from(["AuthorizeSecurityGroup", "RevokeSecurityGroup"]),
        direction=st.sampled_from(["Ingress", "Egress"]),
        numbers=st.tuples(numbers, numbers),
        port=st.sampled_from([443, 5432]),
        is_about_a_group=st.booleans(),
    )
    def change_rules(
        self, way: str, direction: str, numbers: tuple[int, int], port: int, is_about_a_group: bool
    ) -> None:
        peers: dict[str, Any] = {"IpRanges": [{"CidrIp": f"10.{numbers[1]}.0.0/16"}]}
        if is_about_a_group:
            peers = {"UserIdGroupPairs": [{"GroupId": self.group(numbers[1])}]}
        permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **peers}
        self.attempt(f"{way}{direction}", GroupId=self.group(numbers[0]), IpPermissions=[permission])

    @rule(subnets=st.lists(numbers, max_size=2), number=numbers)
    def make_an_endpoint(self, subnets: list[int], number: int) -> None:
        self.attempt(
            "CreateVpcEndpoint",
            VpcEndpointType="Interface",
            VpcId=self.vpc_id,
            ServiceName="com.amazonaws.us-east-1.kms",
            PrivateDnsEnabled=False,
            SubnetIds=[self.subnet(each) for each in subnets],
            SecurityGroupIds=[self.group(number)],
        )

    @rule(
        number=numbers,
        member=st.sampled_from(["AddSubnetIds", "RemoveSubnetIds", "AddSecurityGroupIds", "RemoveSecurityGroupIds"]),
        other=numbers,
    )
    def change_an_endpoint(self, number: int, member: str, other: int) -> None:
        endpoints = self.listed("DescribeVpcEndpoints", "VpcEndpoints")
        if endpoints:
            changed = self.subnet(other) if member.endswith("SubnetIds") else self.group(other)
            endpoint_id = self.one_of(endpoints, number, "VpcEndpointId")
            self.attempt("ModifyVpcEndpoint", VpcEndpointId=endpoint_id, **{member: [changed]})

    @rule(number=numbers)
    def delete_an_endpoint(self, number: int) -> None:
        endpoints = self.listed("DescribeVpcEndpoints", "VpcEndpoints")
        if endpoints:
            told = self.call("DeleteVpcEndpoints", VpcEndpointIds=[self.one_of(endpoints, number, "VpcEndpointId")])
            assert told["Unsuccessful"] == []

    @rule(subnet=numbers, number=numbers, host=st.none() | st.integers(0, 15))
    def make_an_interface(self, subnet: int, number: int, host: int | None) -> None:
        address = {} if host is None else {"PrivateIpAddress": f"10.0.0.{16 * (subnet % 3) + host}"}
        self.attempt("CreateNetworkInterface", SubnetId=self.subnet(subnet), Groups=[self.group(number)], **address)

    @rule(number=numbers, group=numbers, is_deleted=st.booleans())
    def change_an_interface(self, number: int, group: int, is_deleted: bool) -> None:
        interfaces = self.listed("DescribeNetworkInterfaces", "NetworkInterfaces")
        if not interfaces:
            return
        interface_id = self.one_of(interfaces, number, "NetworkInterfaceId")
        if is_deleted:
            self.attempt("DeleteNetworkInterface", NetworkInterfaceId=interface_id)
        else:
            groups = [self.group(group)]
            self.attempt("ModifyNetworkInterfaceAttribute", NetworkInterfaceId=interface_id, Groups=groups)

    @invariant()
    def an_endpoint_has_an_interface_with_its_groups_in_each_of_its_subnets(self) -> None:
        interfaces = self.listed("DescribeNetworkInterfaces", "NetworkInterfaces")
        requested = {each["NetworkInterfaceId"]: each for each in interfaces if each["RequesterManaged"]}
        told: list[str] = []
        for endpoint in self.listed("DescribeVpcEndpoints", "VpcEndpoints"):
            own = [requested[interface_id] for interface_id in endpoint["NetworkInterfaceIds"]]
            assert [each["SubnetId"] for each in own] == endpoint["SubnetIds"]
            assert all(each["Groups"] == endpoint["Groups"] for each in own)
            assert len({each["AvailabilityZone"] for each in own}) == len(own)
            assert len(endpoint["DnsEntries"]) == 1 + len(own)
            assert endpoint["Groups"]
            told += endpoint["NetworkInterfaceIds"]
        assert sorted(told) == sorted(requested)

    @invariant()
    def no_address_is_given_twice_and_what_is_left_is_told(self) -> None:
        interfaces = self.listed("DescribeNetworkInterfaces", "NetworkInterfaces")
        addresses = [each["PrivateIpAddress"] for each in interfaces]
        assert len(addresses) == len(set(addresses))
        for subnet in self.listed("DescribeSubnets", "Subnets"):
            taken = sum(each["SubnetId"] == subnet["SubnetId"] for each in interfaces)
            assert subnet["AvailableIpAddressCount"] == 11 - taken

    @invariant()
    def a_group_tells_its_rules_and_what_is_referred_to_is_there(self) -> None:
        groups = {each["GroupId"]: each for each in self.listed("DescribeSecurityGroups", "SecurityGroups")}
        rules = self.listed("DescribeSecurityGroupRules", "SecurityGroupRules")
        assert {each["GroupId"] for each in rules} <= set(groups)
        for group_id, group in groups.items():
            own = [each for each in rules if each["GroupId"] == group_id]
            assert group["IpPermissions"] == permissions_of(own, is_egress=False)
            assert group["IpPermissionsEgress"] == permissions_of(own, is_egress=True)
        referred = {each["ReferencedGroupInfo"]["GroupId"] for each in rules if "ReferencedGroupInfo" in each}
        interfaces = self.listed("DescribeNetworkInterfaces", "NetworkInterfaces")
        held = {group["GroupId"] for each in interfaces for group in each["Groups"]}
        assert referred | held <= set(groups)


TestEndpoints = Machine.TestCase
TestEndpoints.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
