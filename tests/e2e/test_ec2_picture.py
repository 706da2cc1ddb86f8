"""What is made through EC2's API means to the rules of networks what it says: to the doctor's, and to the plan's."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

import pytest

from keyturn.doctor.asking import AskByBoto3
from keyturn.doctor.facts import Facts
from keyturn.doctor.network import Network as DoctorsNetwork
from keyturn.rules.network.endpoints import DNS_ATTRIBUTES
from keyturn.rules.network.hops import Hop, HopKind, Passage, passage_of
from keyturn.rules.network.picture import Picture
from keyturn.rules.network.plan import plan_of
from keyturn.rules.network.traffic import Ports
from keyturn.rules.network.ways import Origin, Server, to_secrets_manager, to_server

from .conftest import ServerProcess
from .networks import new_group, new_subnet, new_vpc, tcp, where

REGION = "us-east-1"
HOST = f"secretsmanager.{REGION}.amazonaws.com"
DATABASE = "10.0.2.15"
FUNCTION = "10.0.1.200"


class Network:
    """A function's subnet, and one with a database and an endpoint of Secrets Manager; each group lets in its own."""

    def __init__(self, ec2: Any) -> None:
        self.ec2 = ec2
        self.vpc_id = new_vpc(ec2)
        self.attribute("EnableDnsHostnames", value=True)
        self.function_subnet = new_subnet(ec2, self.vpc_id, "10.0.1.0/24")
        self.database_subnet = new_subnet(ec2, self.vpc_id, "10.0.2.0/24", AvailabilityZone="us-east-1b")
        self.function, self.endpoint, self.database = (
            new_group(ec2, self.vpc_id, name) for name in ("function", "endpoint", "database")
        )
        everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        ec2.revoke_security_group_egress(GroupId=self.function, IpPermissions=everything)
        for group_id, port in ((self.endpoint, 443), (self.database, 5432)):
            ec2.authorize_security_group_egress(GroupId=self.function, IpPermissions=tcp(port, groups=(group_id,)))
            ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=tcp(port, groups=(self.function,)))
        self.endpoint_id = ec2.create_vpc_endpoint(
            VpcEndpointType="Interface",
            VpcId=self.vpc_id,
            ServiceName=f"com.amazonaws.{REGION}.secretsmanager",
            SubnetIds=[self.database_subnet],
            SecurityGroupIds=[self.endpoint],
        )["VpcEndpoint"]["VpcEndpointId"]
        ec2.create_network_interface(SubnetId=self.database_subnet, PrivateIpAddress=DATABASE, Groups=[self.database])
        self.acl_id = ec2.create_network_acl(VpcId=self.vpc_id)["NetworkAcl"]["NetworkAclId"]
        for is_egress in (True, False):
            self.pass_acl(100, is_egress=is_egress)
        (default,) = ec2.describe_network_acls(Filters=where(association__subnet_id=self.database_subnet))[
            "NetworkAcls"
        ]
        (association,) = (each for each in default["Associations"] if each["SubnetId"] == self.database_subnet)
        ec2.replace_network_acl_association(
            AssociationId=association["NetworkAclAssociationId"], NetworkAclId=self.acl_id
        )

    def attribute(self, name: str, *, value: bool) -> None:
        self.ec2.modify_vpc_attribute(VpcId=self.vpc_id, **{name: {"Value": value}})

    def pass_acl(self, number: int, *, is_egress: bool) -> None:
        self.ec2.create_network_acl_entry(
            NetworkAclId=self.acl_id,
            RuleNumber=number,
            Protocol="6",
            RuleAction="allow",
            Egress=is_egress,
            CidrBlock="10.0.0.0/16",
            PortRange={"From": 0, "To": 65535},
        )

    def described(self, operation: str, member: str) -> Any:
        call: Callable[..., dict[str, Any]] = getattr(self.ec2, operation)
        return call(Filters=where(vpc_id=self.vpc_id))[member]

    def picture(self) -> Picture:
        """All that the doctor asks for."""
        attributes = {
            name: self.ec2.describe_vpc_attribute(VpcId=self.vpc_id, Attribute=name) for name in DNS_ATTRIBUTES
        }
        return Picture(
            subnets=self.described("describe_subnets", "Subnets"),
            route_tables=self.described("describe_route_tables", "RouteTables"),
            acls=self.described("describe_network_acls", "NetworkAcls"),
            groups=self.described("describe_security_groups", "SecurityGroups"),
            endpoints=self.described("describe_vpc_endpoints", "VpcEndpoints"),
            nat_gateways=self.ec2.describe_nat_gateways(Filter=where(vpc_id=self.vpc_id))["NatGateways"],
            vpcs=self.described("describe_vpcs", "Vpcs"),
            dns={name: answer[name[0].upper() + name[1:]]["Value"] for name, answer in attributes.items()},
        )

    @property
    def origin(self) -> Origin:
        return Origin(self.function_subnet, (self.function,))

    def hops_to_endpoint(self) -> tuple[Hop, ...]:
        return to_secrets_manager(self.picture(), self.origin, REGION, HOST)

    def hops_to_database(self) -> tuple[Hop, ...]:
        server = Server(self.vpc_id, (self.database_subnet,), (self.database,), HopKind.DATABASE_GROUP, "the database")
        return to_server(self.picture(), self.origin, server, Ports(5432, 5432))

    def plan(self) -> Any:
        return plan_of(
            self.picture(),
            self.origin,
            region=REGION,
            interfaces=self.described("describe_network_interfaces", "NetworkInterfaces"),
            address=FUNCTION,
            services=("secretsmanager", "kms"),
        )


@pytest.fixture
def network(server: ServerProcess) -> Network:
    return Network(server.client("ec2"))


def blocking(hops: tuple[Hop, ...]) -> set[tuple[HopKind, str]]:
    return {(hop.kind, hop.at) for hop in hops if hop.passage is Passage.BLOCKS}


def test_what_fits_together_lets_the_function_pass(network: Network) -> None:
    to_endpoint, to_database = network.hops_to_endpoint(), network.hops_to_database()
    assert passage_of(to_endpoint) is passage_of(to_database) is Passage.PASSES
    kinds = {hop.kind for hop in (*to_endpoint, *to_database)}
    assert kinds >= {
        HopKind.PRIVATE_DNS,
        HopKind.VPC_DNS,
        HopKind.ENDPOINT,
        HopKind.FUNCTION_GROUP,
        HopKind.ENDPOINT_GROUP,
        HopKind.DATABASE_GROUP,
        HopKind.ACL,
    }


def test_the_doctor_asks_and_is_told_the_same(network: Network) -> None:
    configuration = {
        "VpcConfig": {"SubnetIds": [network.function_subnet], "SecurityGroupIds": [network.function]},
    }

    def doctors_network() -> DoctorsNetwork:
        return DoctorsNetwork(Facts(AskByBoto3({"ec2": network.ec2})), configuration, REGION, database=None)

    healthy = doctors_network()
    healthy.look("subnets", "route_tables", "acls", "endpoints", "gateways", "groups", "prefix_lists", "dns")
    assert healthy.to_secrets_manager is Passage.PASSES
    assert healthy.endpoint is not None
    assert healthy.endpoint["VpcEndpointId"] == network.endpoint_id

    network.attribute("EnableDnsHostnames", value=False)

    hops = doctors_network().ways_to_secrets_manager[network.function_subnet]
    assert blocking(hops) == {(HopKind.VPC_DNS, network.vpc_id)}


def test_the_plan_permits_what_the_hops_let_pass(network: Network) -> None:
    plan = network.plan()
    (interface,) = network.ec2.describe_network_interfaces(
        Filters=where(interface_type="vpc_endpoint", vpc_id=network.vpc_id)
    )["NetworkInterfaces"]
    door = plan.doors[0]
    assert (door.endpoint_id, door.addresses) == (network.endpoint_id, (interface["PrivateIpAddress"],))
    assert dict(plan.resolver.names)[HOST] == door.addresses

    def permitted(address: str, port: int) -> bool:
        return any(
            IPv4Address(address) in permit.network
            and permit.protocol == "tcp"
            and permit.ports.first <= port <= permit.ports.last
            for permit in plan.permits
        )

    assert permitted(interface["PrivateIpAddress"], 443)
    assert permitted(DATABASE, 5432)
    assert not permitted(DATABASE, 443)
    assert not permitted("10.0.2.16", 5432)


Change = Callable[[Network], object]
BROKEN_ENDPOINTS: dict[str, tuple[Change, Callable[[Network], tuple[HopKind, str]]]] = {
    "the endpoint's group does not let it in": (
        lambda one: one.ec2.revoke_security_group_ingress(
            GroupId=one.endpoint, IpPermissions=tcp(443, groups=(one.function,))
        ),
        lambda one: (HopKind.ENDPOINT_GROUP, one.endpoint),
    ),
    "its own group does not let it out": (
        lambda one: one.ec2.revoke_security_group_egress(
            GroupId=one.function, IpPermissions=tcp(443, groups=(one.endpoint,))
        ),
        lambda one: (HopKind.FUNCTION_GROUP, one.function),
    ),
    "private DNS is off": (
        lambda one: one.ec2.modify_vpc_endpoint(VpcEndpointId=one.endpoint_id, PrivateDnsEnabled=False),
        lambda one: (HopKind.PRIVATE_DNS, one.endpoint_id),
    ),
    "host names are off": (
        lambda one: one.attribute("EnableDnsHostnames", value=False),
        lambda one: (HopKind.VPC_DNS, one.vpc_id),
    ),
    "the ACL takes the packets": (
        lambda one: one.ec2.delete_network_acl_entry(NetworkAclId=one.acl_id, RuleNumber=100, Egress=False),
        lambda one: (HopKind.ACL, one.acl_id),
    ),
    "the ACL takes the answers": (
        lambda one: one.ec2.delete_network_acl_entry(NetworkAclId=one.acl_id, RuleNumber=100, Egress=True),
        lambda one: (HopKind.ACL, one.acl_id),
    ),
}


@pytest.mark.parametrize("name", BROKEN_ENDPOINTS)
def test_what_keeps_the_function_from_the_endpoint_is_named(network: Network, name: str) -> None:
    break_it, where_it_is = BROKEN_ENDPOINTS[name]
    break_it(network)
    assert blocking(network.hops_to_endpoint()) == {where_it_is(network)}


def test_whose_groups_are_meant_follows_the_endpoint(network: Network) -> None:
    network.ec2.modify_vpc_endpoint(
        VpcEndpointId=network.endpoint_id,
        AddSecurityGroupIds=[network.database],
        RemoveSecurityGroupIds=[network.endpoint],
    )
    assert blocking(network.hops_to_endpoint()) == {
        (HopKind.ENDPOINT_GROUP, network.database),
        (HopKind.FUNCTION_GROUP, network.function),
    }


def test_without_an_endpoint_there_is_no_way_out(network: Network) -> None:
    network.ec2.delete_vpc_endpoints(VpcEndpointIds=[network.endpoint_id])
    assert HopKind.ROUTE in {kind for kind, _ in blocking(network.hops_to_endpoint())}
    assert [door.endpoint_id for door in network.plan().doors] == [""]


def test_a_rule_that_is_changed_counts(network: Network) -> None:
    (rule,) = (
        each
        for each in network.ec2.describe_security_group_rules(Filters=where(group_id=network.database))[
            "SecurityGroupRules"
        ]
        if not each["IsEgress"]
    )
    wanted = {"IpProtocol": "tcp", "FromPort": 3306, "ToPort": 3306, "ReferencedGroupId": network.function}
    change = [{"SecurityGroupRuleId": rule["SecurityGroupRuleId"], "SecurityGroupRule": wanted}]
    network.ec2.modify_security_group_rules(GroupId=network.database, SecurityGroupRules=change)
    assert blocking(network.hops_to_database()) == {(HopKind.DATABASE_GROUP, network.database)}
