"""A database that is none of RDS', by its address: where it is, what lies before it, and what is not known of that."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.contract.doctor.vpc import (
    ACL,
    DATABASE_GROUP,
    DATABASE_SUBNET,
    FUNCTION_GROUP,
    NAT,
    OTHER_VPC,
    OWN_HOST,
    PRIVATE_A,
    PRIVATE_B,
    PRIVATE_TABLE,
    VPC,
    allow_all,
    deny_all,
    rule,
    table,
)
from tests.contract.doctor.world import NOW, SECRET, World, diagnosed

from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts
from keyturn.doctor.model import Confidence, Finding, Report, Role, Status, Verdict
from keyturn.doctor.network import Network
from keyturn.doctor.runner import examine
from keyturn.rules.network.hops import HopKind, Passage

KEYTURN = "https://keyturn.example"
CHECKS = ("db-sg-blocks-function", "function-outside-db-vpc", "nacl-blocks-database", "function-sg-blocks-egress")


def with_interface(address: str = OWN_HOST) -> World:
    """A function in a VPC, and a server of one's own beside it, whose interface lets the function's group in."""
    world = by_subnet(address)
    world.network.with_interface(address)
    return world


def by_subnet(address: str = OWN_HOST) -> World:
    """The same, without an interface that has the address."""
    world = World()
    world.in_vpc()
    world.with_own_database(address)
    return world


def network_of(world: World) -> Network:
    return collect(Facts(world.ask), SECRET, NOW, world.options).network


def on_keyturn(world: World) -> Report:
    return examine(collect(Facts(world.ask), SECRET, NOW, world.options), KEYTURN)


def status(report: Report, cause_id: str) -> Status:
    return next(each.status for each in report.outcomes if each.cause.id == cause_id)


def the_cause(world: World) -> Finding:
    [found] = diagnosed(world).causes
    return found


# What breaks it.


def group_shut(world: World) -> None:
    world.network.groups[DATABASE_GROUP]["IpPermissions"] = [rule(5432, cidr="192.168.0.0/16")]


def acl_denies(world: World) -> None:
    ports = {"From": 5432, "To": 5432}
    denied = {**deny_all(egress=True), "RuleNumber": 7, "Protocol": "6", "PortRange": ports}
    world.network.acls[0]["Entries"].insert(0, denied)


def not_let_out(world: World) -> None:
    world.network.groups[FUNCTION_GROUP]["IpPermissionsEgress"] = [rule(443, cidr="0.0.0.0/0")]


def another_vpc(world: World) -> None:
    subnet = "subnet-12"
    world.network.subnets.append({"SubnetId": subnet, "VpcId": OTHER_VPC, "CidrBlock": "10.9.0.0/24"})
    world.network.route_tables.append(table("rtb-12", {}, vpc_id=OTHER_VPC, main=True))
    world.network.interfaces[-1] |= {"VpcId": OTHER_VPC, "SubnetId": subnet, "PrivateIpAddress": "10.9.0.7"}
    world.with_own_database("10.9.0.7")


BROKEN: dict[str, Callable[[World], None]] = {
    "db-sg-blocks-function": group_shut,
    "function-outside-db-vpc": another_vpc,
    "nacl-blocks-database": acl_denies,
    "function-sg-blocks-egress": not_let_out,
}


def test_a_healthy_one_is_called_healthy_and_its_way_open() -> None:
    world = with_interface()
    report, network = diagnosed(world), network_of(world)

    assert report.verdict is Verdict.HEALTHY
    assert {status(report, each) for each in CHECKS} == {Status.PASS}
    assert (network.to_database, network.may_stop_login) == (Passage.PASSES, False)
    assert not [action for action in world.asked if action.startswith("rds:")]


@pytest.mark.parametrize("cause_id", BROKEN)
def test_what_is_in_the_way_is_named(cause_id: str) -> None:
    world = with_interface()
    BROKEN[cause_id](world)

    finding = the_cause(world)
    assert finding.id == cause_id
    assert isinstance(world.value, dict)
    assert world.value["host"] in finding.title


@pytest.mark.parametrize("cause_id", CHECKS)
def test_who_may_not_ask_for_interfaces_is_not_told_that_the_way_is_open(cause_id: str) -> None:
    world = with_interface()
    world.deny("ec2:DescribeNetworkInterfaces")
    report = diagnosed(world)

    assert status(report, cause_id) is Status.BLIND
    assert report.verdict is Verdict.INCONCLUSIVE
    assert network_of(world).may_stop_login


@pytest.mark.parametrize("cause_id", CHECKS)
def test_where_interfaces_are_not_offered_the_checks_say_so(cause_id: str) -> None:
    world = with_interface()
    world.lose("ec2:DescribeNetworkInterfaces", "InvalidAction")

    assert status(diagnosed(world), cause_id) is Status.UNSUPPORTED


def test_the_acl_of_its_subnet_is_judged_by_its_very_address() -> None:
    world = with_interface()
    acl_denies(world)
    finding = the_cause(world)

    assert finding.evidence[0].resource == ACL
    assert finding.remedy.changes[0].parameters["CidrBlock"] == f"{OWN_HOST}/32"


def test_where_no_route_leads_to_its_group_need_not_let_another_vpcs_in() -> None:
    world = with_interface()
    another_vpc(world)
    group_shut(world)
    not_let_out(world)

    assert the_cause(world).id == "function-outside-db-vpc"
    assert status(diagnosed(world), "db-sg-blocks-function") is Status.SKIPPED


# An address that no interface has, as behind a map of one's own network.


def test_without_an_interface_there_is_no_group_on_its_side() -> None:
    world = by_subnet()
    group_shut(world)
    network, report = network_of(world), diagnosed(world)

    assert report.verdict is Verdict.HEALTHY
    assert network.place is not None
    assert (network.place.subnet_ids, network.place.group_ids) == ((DATABASE_SUBNET,), None)
    kinds = {hop.kind for hops in network.ways_to_database.values() for hop in hops}
    assert kinds == {HopKind.FUNCTION_GROUP, HopKind.ACL}


def test_egress_is_opened_to_its_address_where_it_has_no_group() -> None:
    world = by_subnet()
    not_let_out(world)

    [change] = the_cause(world).remedy.changes
    [permission] = change.parameters["IpPermissions"]  # type: ignore[misc]  # a list
    assert permission["IpRanges"] == [{"CidrIp": f"{OWN_HOST}/32"}]  # type: ignore[has-type]  # an object


def test_egress_to_its_very_address_is_enough() -> None:
    world = by_subnet()
    rules = [rule(443, cidr="0.0.0.0/0"), rule(5432, cidr=f"{OWN_HOST}/32")]
    world.network.groups[FUNCTION_GROUP]["IpPermissionsEgress"] = rules

    assert diagnosed(world).verdict is Verdict.HEALTHY
    assert network_of(world).to_database is Passage.PASSES


# An address in no VPC.


def test_a_public_address_is_reached_through_the_nat_gateway() -> None:
    world = by_subnet("93.184.216.34")

    assert diagnosed(world).verdict is Verdict.HEALTHY
    assert network_of(world).to_database is Passage.PASSES


def test_a_public_address_has_no_way_where_only_an_endpoint_leads_out() -> None:
    world = by_subnet("93.184.216.34")
    world.network.with_endpoint()

    finding = the_cause(world)
    assert finding.id == "function-outside-db-vpc"
    assert PRIVATE_TABLE in finding.title
    assert finding.step == "setSecret"


def test_what_closes_both_ways_is_told_once() -> None:
    world = by_subnet("93.184.216.34")
    world.network.nat_gateways[0]["State"] = "deleted"

    finding = the_cause(world)
    assert finding.id == "network-nat-broken"
    assert NAT in finding.title


def test_a_private_address_elsewhere_has_no_way_but_by_a_route() -> None:
    world = by_subnet("172.16.4.7")
    assert the_cause(world).id == "function-outside-db-vpc"

    world.network.route_tables[0]["Routes"].append(
        {"DestinationCidrBlock": "172.16.0.0/12", "TransitGatewayId": "tgw-01", "State": "active"}
    )
    report = diagnosed(world)
    assert report.causes == ()
    assert status(report, "function-outside-db-vpc") is Status.SKIPPED
    assert network_of(world).may_stop_login


def test_an_address_of_the_vpc_in_none_of_its_subnets_is_nobodys() -> None:
    finding = the_cause(by_subnet("10.0.99.7"))

    assert finding.id == "function-outside-db-vpc"
    assert f"{VPC} has no subnet in which 10.0.99.7 lies" in finding.title


@pytest.mark.parametrize(
    ("address", "taken", "block"),
    [
        ("10.0.99.7", [], "10.0.99.0/24"),
        ("10.0.99.7", ["10.0.99.128/25"], "10.0.99.0/25"),
        ("10.0.99.7", ["10.0.99.16/28"], "10.0.99.0/28"),
    ],
)
def test_on_keyturn_an_address_in_no_subnet_is_given_one(address: str, taken: list[str], block: str) -> None:
    world = by_subnet(address)
    world.network.subnets += [
        {"SubnetId": f"subnet-1{position}", "VpcId": VPC, "CidrBlock": each} for position, each in enumerate(taken)
    ]

    [finding] = on_keyturn(world).causes
    [change] = finding.remedy.changes
    assert (change.operation, change.parameters) == ("CreateSubnet", {"VpcId": VPC, "CidrBlock": block})
    # In AWS nobody would be there.
    [finding] = diagnosed(world).causes
    assert finding.remedy.changes == ()


def test_no_subnet_is_made_where_none_is_free() -> None:
    world = by_subnet("10.0.99.7")
    world.network.subnets.append({"SubnetId": "subnet-1", "VpcId": VPC, "CidrBlock": "10.0.99.8/29"})

    [finding] = on_keyturn(world).causes
    assert finding.remedy.changes == ()


def test_of_several_interfaces_it_is_the_one_in_the_functions_vpc() -> None:
    world = with_interface()
    world.network.with_interface(OWN_HOST, VpcId=OTHER_VPC, SubnetId="subnet-12")
    world.network.interfaces.reverse()

    place = network_of(world).place
    assert place is not None
    assert (place.vpc_id, place.subnet_ids) == (VPC, (DATABASE_SUBNET,))


def test_where_a_subnet_of_the_functions_vpc_has_room_for_it_another_vpcs_is_another() -> None:
    world = by_subnet()
    world.network.with_interface(OWN_HOST, VpcId=OTHER_VPC, SubnetId="subnet-12")

    place = network_of(world).place
    assert place is not None
    # The route of the VPC itself goes before any other.
    assert (place.vpc_id, place.group_ids) == (VPC, None)
    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_of_several_elsewhere_none_is_taken_for_it() -> None:
    world = by_subnet("172.16.4.7")
    for number in (12, 13):
        world.network.with_interface("172.16.4.7", VpcId=f"vpc-{number}", SubnetId=f"subnet-{number}")

    assert network_of(world).place is None


# A function in no VPC.


def in_no_vpc(address: str = OWN_HOST) -> World:
    world = World()
    world.network.shut_in()
    world.with_own_database(address)
    world.network.with_interface(address)
    return world


def test_on_aws_a_function_in_no_vpc_reaches_no_private_address() -> None:
    world = in_no_vpc()

    finding = the_cause(world)
    assert (finding.id, finding.confidence) == ("function-outside-db-vpc", Confidence.CERTAIN)
    assert f"--group-id {DATABASE_GROUP} --protocol tcp --port 5432" in finding.remedy.by_hand[2]
    assert diagnosed(in_no_vpc("93.184.216.34")).verdict is Verdict.HEALTHY


def test_on_keyturn_it_may_have_the_machines_network() -> None:
    world = in_no_vpc()

    report = on_keyturn(world)
    assert report.verdict is Verdict.HEALTHY
    assert status(report, "function-outside-db-vpc") is Status.SKIPPED


@pytest.mark.parametrize(
    "line",
    [
        "[ERROR] HostUnreachable: host 10.0.4.7, port 5432: Network is unreachable",
        "[ERROR] ConnectionTimedOut: host 10.0.4.7, port 5432: no answer within the time limit",
    ],
)
def test_on_keyturn_it_is_outside_once_it_has_not_reached_what_is_in_a_vpc(line: str) -> None:
    world = in_no_vpc()
    world.fail("setSecret")
    world.run(line)

    report = on_keyturn(world)
    assert [each.id for each in report.causes] == ["function-outside-db-vpc"]
    assert report.findings[0].confidence is Confidence.LIKELY
    # What it is is said once: that the database does not answer follows from it.
    assert [each.id for each in report.findings].count("db-unreachable") == 1


def test_on_keyturn_an_address_in_no_vpc_is_the_machines_affair() -> None:
    world = in_no_vpc()
    world.network.interfaces.clear()
    world.fail("setSecret")
    world.run("[ERROR] ConnectionTimedOut: host 10.0.4.7, port 5432: no answer within the time limit")

    assert [each.id for each in on_keyturn(world).causes] == ["db-unreachable"]


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.1.1", "0.0.0.0", "db.example.com", "::1"])
def test_what_is_no_address_in_a_network_is_not_asked_about(host: str) -> None:
    world = by_subnet(host)

    assert status(diagnosed(world), "db-sg-blocks-function") is Status.SKIPPED
    assert "ec2:DescribeNetworkInterfaces" not in world.asked


# An ACL that admits a part of the function's subnet.


def part_admitted(*addresses: str) -> World:
    """A world whose ACL before the database admits the upper half of the function's subnet, that is at some address."""
    world = with_interface()
    world.configuration["VpcConfig"]["SubnetIds"] = [PRIVATE_A]
    for address in addresses:
        world.network.with_function_at(address, PRIVATE_A)
    admitted = {**allow_all(egress=False), "CidrBlock": "10.0.1.128/25"}
    [acl] = world.network.acls
    acl["Associations"] = [each for each in acl["Associations"] if each["SubnetId"] != DATABASE_SUBNET]
    of_database = {
        "NetworkAclId": "acl-0d",
        "VpcId": VPC,
        "Associations": [{"SubnetId": DATABASE_SUBNET, "NetworkAclId": "acl-0d"}],
        "Entries": [admitted, allow_all(egress=True), *(deny_all(egress=egress) for egress in (True, False))],
    }
    world.network.acls.append(of_database)
    return world


def test_the_functions_own_address_decides_where_an_acl_admits_a_part_of_its_subnet() -> None:
    world = part_admitted("10.0.1.5")
    finding = the_cause(world)

    assert finding.id == "nacl-blocks-database"
    assert finding.title.startswith("acl-0d of the database's subnet stands between")
    assert finding.title.endswith("it does not let tcp 5432 from 10.0.1.5/32 pass (packets in)")
    # Another interface of the function's will lie in the same subnet.
    assert finding.remedy.changes[0].parameters["CidrBlock"] == "10.0.1.0/24"
    assert network_of(world).to_database is Passage.BLOCKS


def test_an_address_that_the_acl_admits_is_let_in() -> None:
    world = part_admitted("10.0.1.200")

    assert diagnosed(world).verdict is Verdict.HEALTHY
    assert network_of(world).to_database is Passage.PASSES


@pytest.mark.parametrize("addresses", [(), ("10.0.1.5", "10.0.1.200")])
def test_where_the_address_is_not_known_a_part_is_a_risk(addresses: tuple[str, ...]) -> None:
    report = diagnosed(part_admitted(*addresses))

    assert [each.id for each in report.findings if each.role is Role.RISK] == ["nacl-blocks-database"]
    assert report.causes == ()


def test_interfaces_of_functions_with_other_groups_are_not_its_own() -> None:
    world = part_admitted("10.0.1.5")
    world.network.interfaces[-1]["Groups"] = [{"GroupId": DATABASE_GROUP}]

    assert diagnosed(world).verdict is Verdict.AT_RISK


def test_its_interfaces_are_asked_for_only_where_they_matter() -> None:
    world = World()
    world.in_vpc()
    world.with_value()
    diagnosed(world)

    assert "ec2:DescribeNetworkInterfaces" not in world.asked


# Another port.


def at_port(port: int, *kept: str) -> World:
    """A world whose value has a port; what is named lets that of 5432 pass, and no other."""
    world = with_interface()
    world.network.groups[FUNCTION_GROUP]["IpPermissionsEgress"] = [
        rule(443, cidr="0.0.0.0/0"),
        *([rule(5432, cidr=f"{OWN_HOST}/32")] if "egress" in kept else []),
    ]
    assert isinstance(world.value, dict)
    world.value["port"] = port
    return world


def test_where_all_lets_another_port_pass_the_port_may_be_wrong() -> None:
    world = at_port(5433, "egress")
    causes = diagnosed(world).causes

    assert {each.id for each in causes} == {"db-sg-blocks-function", "function-sg-blocks-egress"}
    for each in causes:
        assert each.remedy.text.endswith(
            "Or is the port in the value wrong? All that is on the way lets port 5432 pass."
        )
        assert each.remedy.changes


def test_an_acl_that_closes_a_port_of_the_value_asks_as_well() -> None:
    world = with_interface()
    acl_denies(world)
    world.network.groups[DATABASE_GROUP]["IpPermissions"].append(rule(6432, source=FUNCTION_GROUP))

    assert "port 6432 pass" in the_cause(world).remedy.text


def test_a_port_that_is_closed_elsewhere_is_not_named() -> None:
    world = at_port(5433)

    assert not [each for each in diagnosed(world).causes if "wrong" in each.remedy.text]


# Where a function is put.


@pytest.mark.parametrize("is_shut", [False, True])
def test_a_function_is_put_where_acls_let_it_reach_the_endpoint_too(is_shut: bool) -> None:
    world = in_no_vpc()
    world.network.with_endpoint()
    [acl] = world.network.acls
    acl["Associations"] = [each for each in acl["Associations"] if each["SubnetId"] != DATABASE_SUBNET]
    rules = [{**allow_all(egress=False), "Protocol": "6", "PortRange": {"From": 5432, "To": 5432}}]
    of_database = {
        "NetworkAclId": "acl-0d",
        "VpcId": VPC,
        "Associations": [{"SubnetId": DATABASE_SUBNET, "NetworkAclId": "acl-0d"}],
        "Entries": [*(rules if is_shut else [allow_all(egress=False)]), allow_all(egress=True)],
    }
    world.network.acls.append(of_database)

    moving = the_cause(world).remedy.by_hand[-1]
    subnets = f"{PRIVATE_A},{PRIVATE_B}" if is_shut else DATABASE_SUBNET
    assert f"--vpc-config SubnetIds={subnets},SecurityGroupIds=" in moving
