"""The network's causes at their edges: what is near a fault and is none, what is not known, what only the log says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.contract.doctor.vpc import (
    ACL,
    DATABASE_GROUP,
    ENDPOINT,
    ENDPOINT_GROUP,
    FUNCTION_GROUP,
    GATEWAY,
    NAT,
    OTHER_VPC,
    PRIVATE_A,
    PRIVATE_B,
    PRIVATE_TABLE,
    PUBLIC,
    PUBLIC_TABLE,
    everywhere,
    rule,
    table,
)
from tests.contract.doctor.world import NOW, SECRET, World, ago, diagnosed

from keyturn.doctor.case import Case
from keyturn.doctor.collect import collect
from keyturn.doctor.database import Address, Database, NameKind
from keyturn.doctor.facts import Facts
from keyturn.doctor.model import Confidence, Finding, Role, Section, Status, Verdict
from keyturn.doctor.remedies import line_with, put_host, words
from keyturn.doctor.runner import examine
from keyturn.doctor.subject import Options
from keyturn.rules.network.hops import Passage

ALL = "0.0.0.0/0"


def found(world: World, cause_id: str) -> Finding | None:
    return next((each for each in diagnosed(world).findings if each.id == cause_id), None)


def status(world: World, cause_id: str) -> Status:
    return next(each.status for each in diagnosed(world).outcomes if each.cause.id == cause_id)


def case_of(world: World) -> Case:
    return collect(Facts(world.ask), SECRET, NOW, world.options)


def in_vpc(*, endpoint: bool = False, value: bool = False) -> World:
    world = World()
    world.in_vpc()
    if endpoint:
        world.network.with_endpoint()
    if value:
        world.with_value()
    return world


def test_nothing_is_asked_of_ec2_for_a_function_in_no_vpc() -> None:
    world = World()
    report = diagnosed(world)

    assert not [action for action in world.asked if action.startswith(("ec2:", "rds:"))]
    assert report.verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    ("world", "most"),
    [(in_vpc(), 9), (in_vpc(endpoint=True), 8), (in_vpc(value=True), 9)],
    ids=["NAT", "endpoint", "database"],
)
def test_few_calls_are_made_and_none_of_them_twice(world: World, most: int) -> None:
    diagnosed(world)
    asked = [action for action in world.asked if action.startswith("ec2:")]

    assert len(asked) <= most, asked
    # Subnets by their ids, for the VPC, and then of the VPC; an attribute is a call.
    assert len(asked) - len(set(asked)) <= 2


@pytest.mark.parametrize("endpoint", [False, True])
def test_an_open_network_is_called_open(endpoint: bool) -> None:
    world = in_vpc(endpoint=endpoint, value=True)
    network = case_of(world).network

    assert diagnosed(world).verdict is Verdict.HEALTHY
    assert (network.to_secrets_manager, network.to_database) == (Passage.PASSES, Passage.PASSES)
    assert not network.may_stop_login


def test_public_addresses_of_the_vpc_itself_are_not_the_internet() -> None:
    world = in_vpc()
    for each in world.network.route_tables:
        each["Routes"].append({"DestinationCidrBlock": "11.0.0.0/16", "GatewayId": "local", "State": "active"})

    assert case_of(world).network.to_secrets_manager is Passage.PASSES


def test_the_report_says_in_a_line_how_the_network_stands() -> None:
    world, broken = in_vpc(), in_vpc()
    broken.network.nat_gateways[0]["State"] = "deleted"

    assert diagnosed(world).facts[Section.NETWORK] == (
        "vpc-01, subnet-0a, subnet-0b: Secrets Manager is reached; the way to the database was not looked at: its"
        " address is in the value (--read-value or --db-host HOST:PORT)"
    )
    world.with_value()
    assert diagnosed(world).facts[Section.NETWORK].endswith("Secrets Manager is reached; the database is reached")
    assert "Secrets Manager is not reached;" in diagnosed(broken).facts[Section.NETWORK]
    assert diagnosed(World()).facts[Section.NETWORK] == "the function is in no VPC"


def test_a_transit_gateway_may_lead_on_and_is_not_called_open_or_shut() -> None:
    world = in_vpc()
    world.network.route_tables[0] = table(PRIVATE_TABLE, {"TransitGatewayId": "tgw-01"}, main=True)

    assert diagnosed(world).causes == ()
    assert status(world, "network-no-route-to-secretsmanager") is Status.SKIPPED
    assert case_of(world).network.to_secrets_manager is Passage.UNKNOWN


def test_without_a_default_route_an_endpoint_of_a_connected_network_may_serve() -> None:
    world = in_vpc()
    without = table(PRIVATE_TABLE, {}, main=True)
    without["Routes"].append({"DestinationCidrBlock": "10.0.0.0/8", "TransitGatewayId": "tgw-01", "State": "active"})
    world.network.route_tables[0] = without

    assert diagnosed(world).causes == ()
    assert case_of(world).network.to_secrets_manager is Passage.UNKNOWN


def test_an_endpoint_without_private_dns_harms_nobody_who_has_a_nat_gateway() -> None:
    world = in_vpc(endpoint=True)
    world.network.endpoints[0]["PrivateDnsEnabled"] = False
    world.network.route_tables[0] = table(PRIVATE_TABLE, {"NatGatewayId": NAT}, main=True)

    assert diagnosed(world).causes == ()
    assert case_of(world).network.to_secrets_manager is Passage.PASSES


def test_an_endpoint_without_private_dns_serves_who_calls_it_by_its_own_name() -> None:
    world = in_vpc(endpoint=True)
    world.network.endpoints[0]["PrivateDnsEnabled"] = False
    world.network.dns["enableDnsHostnames"] = False
    name = f"https://{ENDPOINT}-abcd.secretsmanager.eu-west-1.vpce.amazonaws.com"
    world.configuration["Environment"] = {"Variables": {"SECRETS_MANAGER_ENDPOINT": name}}

    assert diagnosed(world).causes == ()
    assert case_of(world).network.to_secrets_manager is Passage.PASSES


def test_without_dns_support_no_name_is_found_but_by_servers_of_ones_own() -> None:
    world, failing, later = in_vpc(), in_vpc(), in_vpc()
    failing.fail()
    later.fail("setSecret")
    for each in (world, failing, later):
        each.network.dns["enableDnsSupport"] = False

    assert diagnosed(world).verdict is Verdict.AT_RISK
    [cause] = diagnosed(failing).causes
    assert (cause.id, cause.confidence, cause.step) == ("vpc-dns-off", Confidence.LIKELY, "createSecret")
    # The first step has found the name.
    assert [each.id for each in diagnosed(later).causes if each.id == "vpc-dns-off"] == []
    assert case_of(world).network.to_secrets_manager is Passage.UNKNOWN
    world.deny("ec2:DescribeVpcAttribute")
    assert status(world, "vpc-dns-off") is Status.BLIND


def test_a_broken_endpoint_is_in_the_way_even_beside_a_nat_gateway() -> None:
    world = in_vpc(endpoint=True)
    world.network.route_tables[0] = table(PRIVATE_TABLE, {"NatGatewayId": NAT}, main=True)
    world.network.groups[ENDPOINT_GROUP]["IpPermissions"] = []

    assert [each.id for each in diagnosed(world).causes] == ["endpoint-sg-blocks-https"]


def test_a_prefix_list_is_read_and_one_that_may_not_be_is_not_taken_for_none() -> None:
    world = in_vpc(endpoint=True)
    listed = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "PrefixListIds": [{"PrefixListId": "pl-01"}]}
    world.network.groups[ENDPOINT_GROUP]["IpPermissions"] = [listed]
    world.network.lists["pl-01"] = ["10.0.1.0/24", "10.0.2.0/24"]
    assert diagnosed(world).causes == ()

    world.network.lists["pl-01"] = ["10.0.1.0/24"]
    finding = found(world, "endpoint-sg-blocks-https")
    assert finding is not None
    assert f"only from {PRIVATE_B}" in finding.title

    world.deny("ec2:GetManagedPrefixListEntries")
    assert status(world, "endpoint-sg-blocks-https") is Status.BLIND
    assert diagnosed(world).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("state", ["deleting", "failed", "pending"])
def test_a_nat_gateway_is_judged_by_its_own_state(state: str) -> None:
    world = in_vpc()
    world.network.nat_gateways[0] |= {"State": state, "FailureMessage": "Elastic IP address is gone"}

    finding = found(world, "network-nat-broken")
    assert finding is not None
    assert f"{NAT} is {state}: Elastic IP address is gone" in finding.title


def test_a_nat_gateway_that_ec2_has_forgotten_and_one_behind_a_black_hole_are_gone() -> None:
    forgotten, hole = in_vpc(), in_vpc()
    forgotten.network.nat_gateways = []
    hole.network.route_tables[0]["Routes"][1]["State"] = "blackhole"

    for world in (forgotten, hole):
        assert [each.id for each in diagnosed(world).causes] == ["network-nat-broken"]


def test_a_nat_gateway_in_a_private_subnet_leads_nowhere() -> None:
    world = in_vpc()
    world.network.nat_gateways[0]["SubnetId"] = PRIVATE_B

    finding = found(world, "network-nat-broken")
    assert finding is not None
    # Its route table is that of subnets which have to stay private.
    assert finding.remedy.by_hand == (
        "ROUTE_TABLE=$(aws ec2 create-route-table --vpc-id vpc-01 --query RouteTable.RouteTableId --output text)",
        f"aws ec2 create-route --route-table-id $ROUTE_TABLE --destination-cidr-block 0.0.0.0/0 --gateway-id {GATEWAY}",
        f"aws ec2 associate-route-table --subnet-id {PRIVATE_B} --route-table-id $ROUTE_TABLE",
    )
    assert PRIVATE_A in finding.remedy.text


def without_a_way_out(*, gateway: bool) -> World:
    """The NAT gateway's own subnet has no default route; and the VPC no internet gateway."""
    world = in_vpc()
    world.network.route_tables[1] = table(PUBLIC_TABLE, {}, PUBLIC)
    if not gateway:
        world.network.internet_gateways = []
    return world


def test_a_nat_gateway_whose_subnet_lost_its_route_gets_it_back() -> None:
    world = without_a_way_out(gateway=True)

    finding = found(world, "network-nat-broken")
    assert finding is not None
    assert [line_with(" ".join(words(each)), "") for each in finding.remedy.changes] == [
        f"aws ec2 create-route --route-table-id {PUBLIC_TABLE} --destination-cidr-block {ALL} --gateway-id {GATEWAY}"
    ]
    assert finding.remedy.by_hand == ()


def test_a_default_route_to_something_else_is_replaced() -> None:
    world = in_vpc()
    world.network.route_tables[1]["Routes"][1]["State"] = "blackhole"

    finding = found(world, "network-nat-broken")
    assert finding is not None
    assert [each.operation for each in finding.remedy.changes] == ["ReplaceRoute"]


def test_a_vpc_without_an_internet_gateway_gets_one() -> None:
    finding = found(without_a_way_out(gateway=False), "network-nat-broken")
    assert finding is not None
    assert finding.remedy.by_hand == (
        "GATEWAY=$(aws ec2 create-internet-gateway --query InternetGateway.InternetGatewayId --output text)",
        "aws ec2 attach-internet-gateway --internet-gateway-id $GATEWAY --vpc-id vpc-01",
        f"aws ec2 create-route --route-table-id {PUBLIC_TABLE} --destination-cidr-block {ALL} --gateway-id $GATEWAY",
    )


def test_a_nat_gateway_that_is_gone_is_made_again_only_where_a_subnet_is_public() -> None:
    there, nowhere = in_vpc(), without_a_way_out(gateway=True)
    for world in (there, nowhere):
        world.network.nat_gateways[0]["State"] = "deleted"
    made, endpoint = found(there, "network-nat-broken"), found(nowhere, "network-nat-broken")
    assert made is not None
    assert endpoint is not None

    assert f"--subnet-id {PUBLIC}" in made.remedy.by_hand[0]
    assert f"--route-table-id {PRIVATE_TABLE}" in made.remedy.by_hand[2]
    assert "create-vpc-endpoint" in endpoint.remedy.by_hand[-1]


def test_the_network_acl_of_the_nat_gateways_subnet_is_on_the_way_too() -> None:
    world = in_vpc()
    [acl] = world.network.acls
    closed = {**acl, "NetworkAclId": "acl-02", "Entries": [each for each in acl["Entries"] if each["Egress"]]}
    closed["Associations"] = [each for each in acl["Associations"] if each["SubnetId"] == PUBLIC]
    acl["Associations"] = [each for each in acl["Associations"] if each["SubnetId"] != PUBLIC]
    world.network.acls.append(closed)

    finding = found(world, "nacl-blocks-https")
    assert finding is not None
    assert finding.title.startswith("acl-02 ")


def test_answers_need_a_rule_of_their_own_and_a_number_that_is_free_and_low_enough() -> None:
    world = in_vpc()
    entries = world.network.acls[0]["Entries"]
    entries[:] = [each for each in entries if each["Egress"] or each["RuleNumber"] == 32767]
    entries.append({**everywhere_in(), "RuleNumber": 90, "Protocol": "17"})

    finding = found(world, "nacl-blocks-https")
    assert finding is not None
    commands = [words(change) for change in finding.remedy.changes]
    assert all("--ingress" in command and command[command.index("--rule-number") + 1] != "90" for command in commands)
    numbers = [change.parameters["RuleNumber"] for change in finding.remedy.changes]
    assert len(set(numbers)) == len(numbers)


def everywhere_in() -> dict[str, Any]:
    return {"RuleAction": "allow", "Egress": False, "CidrBlock": "0.0.0.0/0"}


def let_back(world: World, first: int, last: int) -> None:
    """Let answers back to these ports only."""
    entries = world.network.acls[0]["Entries"]
    entries[:] = [each for each in entries if each["Egress"] or each["RuleNumber"] == 32767]
    for number, ports in ((100, (first, last)), (110, (443, 443))):
        ranged = {"From": ports[0], "To": ports[1]}
        entries.append({**everywhere_in(), "RuleNumber": number, "Protocol": "6", "PortRange": ranged})


@pytest.mark.parametrize(("first", "last"), [(32768, 65535), (49152, 65535)])
def test_a_part_of_the_ephemeral_ports_is_a_risk_and_a_possible_cause_where_an_attempt_was_lost(
    first: int, last: int
) -> None:
    world = in_vpc()
    let_back(world, first, last)

    finding = found(world, "nacl-blocks-https")
    assert finding is not None
    assert (finding.role, finding.confidence) == (Role.RISK, Confidence.POSSIBLE)
    assert "now and then" in finding.title
    assert diagnosed(world).verdict is Verdict.AT_RISK

    world.fail("createSecret")
    world.run(timed_out=60, duration_ms=60000, secret=None)
    [cause] = diagnosed(world).causes
    assert (cause.id, cause.confidence) == ("nacl-blocks-https", Confidence.POSSIBLE)


@pytest.mark.parametrize(("first", "role"), [(32768, Role.NOTE), (49152, Role.CAUSE)])
def test_on_keyturn_the_ports_count_that_its_functions_take(first: int, role: Role) -> None:
    world = in_vpc()
    let_back(world, first, 65535)
    report = examine(case_of(world), "http://127.0.0.1:8470")

    [finding] = [each for each in report.findings if each.id == "nacl-blocks-https"]
    assert (finding.role, finding.cause.id in {each.id for each in report.causes}) == (role, role is Role.CAUSE)
    numbers = [change.parameters["RuleNumber"] for change in finding.remedy.changes]
    assert numbers == [90]


def enter(world: World, finding: Finding) -> None:
    """Run the commands of a finding, of which each needs a number that is free."""
    for change in finding.remedy.changes:
        entry: dict[str, Any] = dict(change.parameters)
        acl_id = entry.pop("NetworkAclId")
        [acl] = [each for each in world.network.acls if each["NetworkAclId"] == acl_id]
        place = (entry["Egress"], entry["RuleNumber"])
        there = [each for each in acl["Entries"] if (each["Egress"], each["RuleNumber"]) == place]
        assert change.operation == ("ReplaceNetworkAclEntry" if there else "CreateNetworkAclEntry")
        for each in there:
            acl["Entries"].remove(each)
        acl["Entries"].append(entry)


def acl_findings(world: World) -> list[Finding]:
    return [each for each in diagnosed(world).findings if each.id.startswith("nacl-")]


@pytest.mark.parametrize("endpoint", [False, True])
def test_the_commands_of_all_findings_can_be_run_one_after_another(endpoint: bool) -> None:
    world = in_vpc(endpoint=endpoint, value=True)
    entries = world.network.acls[0]["Entries"]
    entries[:] = [each for each in entries if each["RuleNumber"] == 32767]
    causes = [each for each in acl_findings(world) if each.role is Role.CAUSE]
    assert [each.id for each in causes] == ["nacl-blocks-https", "nacl-blocks-database"]

    for each in causes:
        enter(world, each)
    assert acl_findings(world) == []
    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_an_entry_that_two_causes_need_is_printed_for_one_and_named_by_the_other() -> None:
    world = in_vpc(value=True)
    entries = world.network.acls[0]["Entries"]
    entries[:] = [each for each in entries if each["RuleNumber"] == 32767]
    https, database = acl_findings(world)
    answers = {"From": 1024, "To": 65535}

    assert "printed for" not in https.remedy.text
    # What comes from everywhere comes from the database as well.
    assert "printed for nacl-blocks-https" in database.remedy.text
    into = [each for each in database.remedy.changes if each.parameters["PortRange"] == answers]
    assert not [each for each in into if not each.parameters["Egress"]]


def test_a_port_that_is_denied_within_those_of_answers_is_mended_by_one_set() -> None:
    world = in_vpc(value=True)
    world.network.acls[0]["Entries"].append(
        {
            **everywhere_in(),
            "RuleNumber": 50,
            "RuleAction": "deny",
            "Protocol": "6",
            "PortRange": {"From": 5432, "To": 5432},
        }
    )
    [database] = [each for each in acl_findings(world) if each.role is Role.CAUSE]
    assert database.id == "nacl-blocks-database"

    for each in acl_findings(world):
        enter(world, each)
    assert acl_findings(world) == []


def refuse(world: World, *numbers: int) -> list[dict[str, Any]]:
    """Let the ACL refuse what leaves, by rules with some numbers."""
    refused = {**everywhere_in(), "Egress": True, "RuleAction": "deny", "Protocol": "-1"}
    refusing = [{**refused, "RuleNumber": each} for each in numbers]
    world.network.acls[0]["Entries"] += refusing
    return refusing


@pytest.mark.parametrize("endpoint", [False, True])
def test_where_no_number_is_left_below_the_one_that_refuses_it_gets_a_higher_one(endpoint: bool) -> None:
    world = in_vpc(endpoint=endpoint, value=True)
    [refusing] = refuse(world, 1)
    causes = [each for each in acl_findings(world) if each.role is Role.CAUSE]
    assert "gets a higher one" in causes[0].remedy.text
    for each in causes:
        enter(world, each)

    assert acl_findings(world) == []
    # What is not the function's stays refused, before all that is let pass.
    kept = [each for each in world.network.acls[0]["Entries"] if each["Egress"] and each["RuleAction"] == "deny"]
    assert {**refusing, "RuleNumber": 11} in kept


def test_where_no_number_is_left_behind_it_either_that_is_said() -> None:
    world = in_vpc()
    refuse(world, 1, 2)
    [finding] = acl_findings(world)

    assert finding.remedy.changes == ()
    assert "higher numbers" in finding.remedy.text


def test_two_independent_faults_are_both_causes() -> None:
    world = in_vpc(value=True)
    world.network.nat_gateways[0]["State"] = "deleted"
    world.network.groups[DATABASE_GROUP]["IpPermissions"] = []

    assert {each.id for each in diagnosed(world).causes} == {"network-nat-broken", "db-sg-blocks-function"}


def test_one_public_subnet_among_two_is_left_out() -> None:
    world = in_vpc()
    world.network.route_tables.append(table("rtb-0b", {"GatewayId": GATEWAY}, PRIVATE_B))

    finding = found(world, "network-public-subnet-no-nat")
    assert finding is not None
    assert f"only from {PRIVATE_B}" in finding.title
    [change] = finding.remedy.changes
    assert change.parameters["VpcConfig"] == {"SubnetIds": [PRIVATE_A], "SecurityGroupIds": [FUNCTION_GROUP]}


def test_egress_that_leads_to_the_database_only_is_found_without_the_value() -> None:
    world = in_vpc()
    world.network.groups[FUNCTION_GROUP]["IpPermissionsEgress"] = [rule(5432, source=DATABASE_GROUP)]

    finding = found(world, "function-sg-blocks-egress")
    assert finding is not None
    # No call opens a group to everybody: that command is only printed.
    assert finding.remedy.changes == ()
    assert not finding.is_fixable


def widened(world: World) -> list[dict[str, Any]]:
    """The statements of the policy that is to be put on the endpoint, which is put there."""
    finding = found(world, "endpoint-policy-denies")
    assert finding is not None
    assert "repeats what it allows to everybody else now" in finding.remedy.text
    [change] = finding.remedy.changes
    world.network.endpoints[0]["PolicyDocument"] = text = str(change.parameters["PolicyDocument"])
    statements: list[dict[str, Any]] = json.loads(text)["Statement"]
    return statements


def test_an_endpoints_policy_is_never_made_narrower() -> None:
    world = in_vpc(endpoint=True)
    other = {"Sid": "Other", "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}
    # One statement may stand without its list.
    world.network.endpoints[0]["PolicyDocument"] = json.dumps({"Version": "2012-10-17", "Id": "x", "Statement": other})

    statements = widened(world)
    assert statements[0] == other
    assert [each["Effect"] for each in statements] == ["Allow"] * 3
    assert found(world, "endpoint-policy-denies") is None
    assert json.loads(world.network.endpoints[0]["PolicyDocument"])["Id"] == "x"


def test_a_denial_of_an_endpoints_policy_stays_for_all_but_the_role() -> None:
    world = in_vpc(endpoint=True)
    everything = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    denied = {"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:PutSecretValue", "Resource": "*"}
    deleting = {"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:DeleteSecret", "Resource": "*"}
    world.network.endpoints[0]["PolicyDocument"] = json.dumps({"Statement": [everything, denied, deleting]})
    role = str(world.configuration["Role"])

    kept, unless, untouched, *_ = widened(world)
    assert (kept, untouched) == (everything, deleting)
    assert unless == {**denied, "Condition": {"ArnNotEquals": {"aws:PrincipalArn": role}}}


def without_a_route(*egress: dict[str, Any]) -> World:
    world = in_vpc()
    world.network.route_tables[0] = table(PRIVATE_TABLE, {}, main=True)
    world.network.groups[FUNCTION_GROUP]["IpPermissionsEgress"] = list(egress)
    world.fail("createSecret")
    return world


def changes_of(world: World) -> list[tuple[str, object, object]]:
    [cause] = diagnosed(world).causes
    made = [(each.operation, each.parameters) for each in cause.remedy.changes]
    return [(name, given["RouteTableId"], given["NatGatewayId"]) for name, given in made]


def test_a_nat_gateway_that_is_there_is_the_way_out() -> None:
    world = without_a_route(everywhere())
    assert changes_of(world) == [("CreateRoute", PRIVATE_TABLE, NAT)]

    world.network.route_tables[0] = table(PRIVATE_TABLE, {"GatewayId": GATEWAY}, main=True)
    assert changes_of(world) == [("ReplaceRoute", PRIVATE_TABLE, NAT)]

    world.network.route_tables[0] = table(PRIVATE_TABLE, {"NatGatewayId": "nat-02"}, main=True)
    world.network.route_tables[0]["Routes"][1]["State"] = "blackhole"
    assert changes_of(world) == [("ReplaceRoute", PRIVATE_TABLE, NAT)]


@pytest.mark.parametrize(
    "change", [{"State": "deleted"}, {"ConnectivityType": "private"}, {"SubnetId": PRIVATE_B}], ids=str
)
def test_a_nat_gateway_that_leads_nowhere_is_none(change: dict[str, str]) -> None:
    world = without_a_route(everywhere())
    world.network.nat_gateways[0] |= change
    [cause] = diagnosed(world).causes
    assert (cause.remedy.changes, "create-vpc-endpoint" in cause.remedy.by_hand[-1]) == ((), True)


def test_the_route_table_of_the_nat_gateway_itself_is_left_alone() -> None:
    world = in_vpc()
    world.network.route_tables[:] = [table(PUBLIC_TABLE, {"GatewayId": GATEWAY}, main=True)]
    world.fail("createSecret")
    [cause] = diagnosed(world).causes
    assert (cause.id, cause.remedy.changes) == ("network-public-subnet-no-nat", ())


def test_what_the_endpoint_does_not_need_is_no_cause_beside_the_lack_of_a_way() -> None:
    world = without_a_route(rule(443, cidr="10.0.0.0/16"))
    # Nor does an endpoint in the function's subnets need a network ACL that lets answers come from the internet.
    for entry in world.network.acls[0]["Entries"]:
        entry["CidrBlock"] = "10.0.0.0/16" if entry["RuleAction"] == "allow" else ALL

    assert [each.id for each in diagnosed(world).causes] == ["network-no-route-to-secretsmanager"]


def test_egress_is_opened_to_where_the_endpoint_is_to_be_and_not_to_the_world() -> None:
    world = without_a_route(rule(5432, cidr="10.0.0.0/16"))

    assert {each.id for each in diagnosed(world).causes} == {
        "network-no-route-to-secretsmanager",
        "function-sg-blocks-egress",
    }
    egress = found(world, "function-sg-blocks-egress")
    assert egress is not None
    [change] = egress.remedy.changes
    assert [each["IpRanges"] for each in change.parameters["IpPermissions"]] == [  # type: ignore[attr-defined] # a list
        [{"CidrIp": "10.0.1.0/24"}, {"CidrIp": "10.0.2.0/24"}]
    ]


@pytest.mark.parametrize("is_let_in", [False, True])
def test_a_group_that_is_there_already_is_taken_for_the_endpoint(is_let_in: bool) -> None:
    world = without_a_route(rule(443, cidr="10.0.0.0/16"))
    known = rule(443, source=FUNCTION_GROUP) if is_let_in else rule(443, source=DATABASE_GROUP)
    world.network.groups["sg-0a"] = {
        "GroupId": "sg-0a",
        "GroupName": "secretsmanager-endpoint",
        "VpcId": "vpc-01",
        "IpPermissions": [known],
    }
    finding = found(world, "network-no-route-to-secretsmanager")
    assert finding is not None
    commands = finding.remedy.by_hand

    assert [command.split()[2] for command in commands] == [
        *([] if is_let_in else ["authorize-security-group-ingress"]),
        "create-vpc-endpoint",
    ]
    assert all("sg-0a" in command and "$" not in command for command in commands)


def test_egress_to_the_database_is_opened_to_its_group() -> None:
    world = in_vpc(value=True)
    world.network.groups[FUNCTION_GROUP]["IpPermissionsEgress"] = [rule(443, cidr="0.0.0.0/0")]

    finding = found(world, "function-sg-blocks-egress")
    assert finding is not None
    [permission] = finding.remedy.changes[0].parameters["IpPermissions"]  # type: ignore[misc] # a list
    assert permission["UserIdGroupPairs"] == [{"GroupId": DATABASE_GROUP}]  # type: ignore[has-type] # an object
    assert finding.step == "setSecret"


def test_what_of_egress_may_not_be_seen_is_blind_though_the_other_way_is_open() -> None:
    world = in_vpc(value=True)
    world.deny("rds:DescribeDBInstances")

    assert status(world, "function-sg-blocks-egress") is Status.BLIND


# The database.


def test_a_public_database_in_another_vpc_has_to_let_the_nat_gateways_address_in() -> None:
    world = in_vpc(value=True)
    other = [{**each, "VpcId": OTHER_VPC, "SubnetId": f"{each['SubnetId']}2"} for each in world.network.subnets]
    world.network.subnets += other
    world.network.acls.append(
        {
            **world.network.acls[0],
            "VpcId": OTHER_VPC,
            "NetworkAclId": "acl-03",
            "Associations": [{"SubnetId": each["SubnetId"]} for each in other],
        }
    )
    world.network.nat_gateways[0]["NatGatewayAddresses"] = [{"PublicIp": "198.51.100.7"}]
    world.network.instance["PubliclyAccessible"] = True
    world.network.instance["DBSubnetGroup"] = {
        "VpcId": OTHER_VPC,
        "Subnets": [{"SubnetIdentifier": other[0]["SubnetId"]}],
    }
    world.network.groups[DATABASE_GROUP]["IpPermissions"] = [rule(5432, cidr="198.51.100.7/32")]
    assert case_of(world).network.to_database is Passage.PASSES

    world.network.groups[DATABASE_GROUP]["IpPermissions"] = [rule(5432, cidr="198.51.100.8/32")]
    assert [each.id for each in diagnosed(world).causes] == ["db-sg-blocks-function"]


def test_the_operators_address_serves_in_place_of_the_value() -> None:
    world = in_vpc()
    world.options = Options(database_address=("orders.abc123.eu-west-1.rds.amazonaws.com", 5432))
    world.network.groups[DATABASE_GROUP]["IpPermissions"] = []

    assert [each.id for each in diagnosed(world).causes] == ["db-sg-blocks-function"]
    assert "secretsmanager:GetSecretValue" not in world.asked


def test_a_host_of_ones_own_is_not_asked_about() -> None:
    world = in_vpc()
    world.options = Options(database_address=("db.example.com", 5432))

    assert diagnosed(world).causes == ()
    assert not [action for action in world.asked if action.startswith("rds:")]
    assert status(world, "db-sg-blocks-function") is Status.SKIPPED
    assert case_of(world).network.may_stop_login


def test_outside_a_vpc_a_server_of_ones_own_has_nothing_before_it_that_aws_knows() -> None:
    world = World()
    world.options = Options(database_address=("127.0.0.1", 5432))

    assert not case_of(world).network.may_stop_login


@pytest.mark.parametrize(
    ("host", "kind", "identifier"),
    [
        ("orders.abc123.eu-west-1.rds.amazonaws.com", NameKind.INSTANCE, "orders"),
        ("ORDERS.abc123.eu-west-1.rds.amazonaws.com.", NameKind.INSTANCE, "orders"),
        ("orders.cluster-abc123.eu-west-1.rds.amazonaws.com", NameKind.CLUSTER, "orders"),
        ("orders.cluster-ro-abc123.eu-west-1.rds.amazonaws.com", NameKind.READER, "orders"),
        ("some.cluster-custom-abc123.eu-west-1.rds.amazonaws.com", NameKind.CUSTOM, "some"),
        ("pool.proxy-abc123.eu-west-1.rds.amazonaws.com", NameKind.PROXY, "pool"),
        ("docs.cluster-abc123.eu-west-1.docdb.amazonaws.com", NameKind.CLUSTER, "docs"),
        ("orders.abc123.us-east-1.rds.amazonaws.com", NameKind.ELSEWHERE, ""),
        ("db.example.com", NameKind.ELSEWHERE, ""),
        ("10.0.4.7", NameKind.ELSEWHERE, ""),
    ],
)
def test_the_name_of_a_host_says_what_is_behind_it(host: str, kind: NameKind, identifier: str) -> None:
    database = Database(Facts(None), Address(host, 5432), "eu-west-1")

    assert (database.kind, database.identifier) == (kind, identifier)


def test_a_host_in_china_is_read_with_its_region_behind_the_service() -> None:
    database = Database(Facts(None), Address("orders.abc123.rds.cn-north-1.amazonaws.com.cn", 3306), "cn-north-1")

    assert database.kind is NameKind.INSTANCE


def test_a_clusters_place_is_its_writers() -> None:
    world = in_vpc(value=True)
    assert isinstance(world.value, dict)
    world.value["host"] = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com"
    world.replies["rds:DescribeDBClusters"] = {
        "DBClusters": [
            {
                "DBClusterIdentifier": "orders",
                "Endpoint": world.value["host"],
                "DBClusterMembers": [
                    {"DBInstanceIdentifier": "orders-2", "IsClusterWriter": False},
                    {"DBInstanceIdentifier": "orders-1", "IsClusterWriter": True},
                ],
            }
        ]
    }
    case = case_of(world)

    assert case.network.to_database is Passage.PASSES
    assert case.database is not None
    assert case.database.writer is not None
    assert '"orders-1"' in case.database.writer.question.parameters


def test_a_proxy_has_a_place_of_its_own() -> None:
    world = in_vpc(value=True)
    assert isinstance(world.value, dict)
    world.value["host"] = "pool.proxy-abc123.eu-west-1.rds.amazonaws.com"
    world.replies["rds:DescribeDBProxies"] = {
        "DBProxies": [
            {
                "DBProxyName": "pool",
                "VpcId": "vpc-01",
                "VpcSubnetIds": [PRIVATE_A, PRIVATE_B],
                "VpcSecurityGroupIds": [DATABASE_GROUP],
                "Endpoint": world.value["host"],
            }
        ]
    }

    assert case_of(world).network.to_database is Passage.PASSES


def test_a_host_that_is_gone_is_a_risk_while_rotation_works_for_it_may_be_another_accounts() -> None:
    world = World()
    world.with_value()
    world.lose("rds:DescribeDBInstances", "DBInstanceNotFound")

    report = diagnosed(world)
    assert report.verdict is Verdict.AT_RISK


def test_a_database_that_listens_under_another_name_is_told_with_it() -> None:
    world = World()
    world.with_value()
    world.network.instance["Endpoint"]["Address"] = "orders.xyz789.eu-west-1.rds.amazonaws.com"
    world.fail("setSecret")

    finding = found(world, "db-host-gone")
    assert finding is not None
    assert "listens at orders.xyz789" in finding.title


def test_a_private_database_of_a_function_in_no_vpc_is_moved_to_with_everything_that_takes() -> None:
    world = World()
    world.with_value()
    world.network.shut_in()

    finding = found(world, "function-outside-db-vpc")
    assert finding is not None
    # The VPC's private subnets lead out through its NAT gateway: into these, not into the database's own.
    assert f"SubnetIds={PRIVATE_A},{PRIVATE_B}," in finding.remedy.by_hand[-1]


# What the function says.


def timed_out(world: World, *, seconds: int = 3, step: str = "createSecret") -> World:
    world.configuration["Timeout"] = seconds
    world.fail(step)
    world.run(timed_out=seconds, duration_ms=seconds * 1000)
    return world


def test_a_short_timeout_is_never_blamed_for_a_network_that_is_broken_or_dark() -> None:
    broken, dark, off = (timed_out(in_vpc()) for _ in range(3))
    broken.network.nat_gateways[0]["State"] = "deleted"
    dark.deny("ec2:DescribeNetworkAcls")
    off.lose("ec2:DescribeNetworkAcls", "UnsupportedOperation")

    assert [each.id for each in diagnosed(broken).causes] == ["network-nat-broken"]
    assert status(broken, "function-timeout-too-short") is Status.SKIPPED
    assert status(dark, "function-timeout-too-short") is Status.BLIND
    assert status(off, "function-timeout-too-short") is Status.UNSUPPORTED


def test_a_short_timeout_is_certain_where_the_network_is_open() -> None:
    finding = found(timed_out(in_vpc()), "function-timeout-too-short")
    assert finding is not None
    assert finding.confidence is Confidence.CERTAIN


def test_in_a_step_at_the_database_it_is_a_guess_until_the_way_there_is_known() -> None:
    guessed = found(timed_out(in_vpc(), step="setSecret"), "function-timeout-too-short")
    assert guessed is not None
    assert guessed.confidence is Confidence.POSSIBLE
    assert not guessed.is_fixable
    known = found(timed_out(in_vpc(value=True), step="setSecret"), "function-timeout-too-short")
    assert known is not None
    assert known.confidence is Confidence.CERTAIN
    outside = found(timed_out(World(), step="setSecret"), "function-timeout-too-short")
    assert outside is not None
    assert outside.confidence is Confidence.LIKELY
    # More time does no harm, whatever else it is.
    assert outside.is_fixable
    assert [change.parameters["Timeout"] for change in outside.remedy.changes] == [60]


@pytest.mark.parametrize(("seconds", "allowed"), [(1, "1 second,"), (3, "3 seconds,")])
def test_a_short_timeout_is_told_in_seconds(seconds: int, allowed: str) -> None:
    finding = found(timed_out(World(), seconds=seconds), "function-timeout-too-short")
    assert finding is not None
    assert f"is ended after {allowed}" in finding.title


def test_a_short_timeout_is_not_blamed_where_names_may_not_be_found() -> None:
    world = timed_out(in_vpc())
    world.network.dns["enableDnsSupport"] = False

    assert [each.id for each in diagnosed(world).causes] == ["vpc-dns-off"]
    assert status(world, "function-timeout-too-short") is Status.SKIPPED


def test_half_a_minute_is_not_too_short_and_one_that_was_raised_since_is_no_cause() -> None:
    raised = timed_out(World())
    raised.configuration["Timeout"] = 10
    assert found(timed_out(World(), seconds=30), "function-timeout-too-short") is None
    assert found(timed_out(World(), seconds=10), "function-timeout-too-short") is not None
    # It was ended after 3 seconds, and would have 10 now: nothing says that these are too few.
    assert found(raised, "function-timeout-too-short") is None


@pytest.mark.parametrize(
    ("timeout", "taken_ms", "is_risk"), [(3, 2399, False), (3, 2400, True), (1, 1800, True), (30, 29_000, False)]
)
def test_a_step_that_took_nearly_all_of_a_short_timeout_is_a_risk_before_anything_fails(
    timeout: int, taken_ms: int, is_risk: bool
) -> None:
    world = World()
    world.configuration["Timeout"] = timeout
    world.run(duration_ms=40)
    world.run(duration_ms=taken_ms)

    report = diagnosed(world)
    assert report.verdict is (Verdict.AT_RISK if is_risk else Verdict.HEALTHY)
    found_of = [each for each in report.findings if each.id == "function-timeout-too-short"]
    assert len(found_of) == int(is_risk)
    for finding in found_of:
        assert f"took {taken_ms / 1000:.1f} seconds for a step" in finding.title
        assert finding.is_fixable


def test_timeouts_of_another_secret_on_the_same_function_are_not_this_ones() -> None:
    world = World()
    world.configuration["Timeout"] = 3
    world.run(timed_out=3, secret=SECRET.replace("orders", "other"))

    assert found(world, "function-timeout-too-short") is None


def endpoint_variable(address: str) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.configuration["Environment"] = {"Variables": {"SECRETS_MANAGER_ENDPOINT": address, "TOKEN": "x"}}

    return change


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://secretsmanager.us-east-1.amazonaws.com", "in us-east-1, and the secret is in eu-west-1"),
        ("https://vpce-09-x.secretsmanager.us-east-1.vpce.amazonaws.com", "in us-east-1"),
        ("https://vpce-09-x.secretsmanager.eu-west-1.vpce.amazonaws.com", "vpce-09, which is not in vpc-01"),
    ],
)
def test_a_variable_that_names_somewhere_else_is_found_by_itself(address: str, said: str) -> None:
    world = in_vpc()
    endpoint_variable(address)(world)

    [cause] = diagnosed(world).causes
    assert cause.id == "function-endpoint-wrong"
    assert said in cause.title
    assert "TOKEN=ITS_VALUE" in cause.remedy.by_hand[0]


@pytest.mark.parametrize(
    "address",
    [
        "https://secretsmanager.eu-west-1.amazonaws.com",
        "https://secretsmanager-fips.eu-west-1.amazonaws.com",
        "https://secretsmanager.eu-west-1.api.aws",
        "http://127.0.0.1:4566",
    ],
)
def test_a_variable_that_names_what_is_right_or_keyturn_is_let_be(address: str) -> None:
    world = World()
    endpoint_variable(address)(world)

    assert diagnosed(world).verdict is Verdict.HEALTHY


@pytest.mark.parametrize("address", ["http://127.0.0.1:8200", "http://localhost:8200", "https://[::1]:8200"])
def test_on_keyturn_a_function_in_a_vpc_is_not_on_the_machine(address: str) -> None:
    world, outside = in_vpc(), World()
    for each in (world, outside):
        endpoint_variable(address)(each)

    [cause] = examine(case_of(world), address).causes
    assert cause.id == "function-endpoint-wrong"
    assert "Variables={TOKEN=ITS_VALUE}" in cause.remedy.by_hand[0]
    assert examine(case_of(outside), address).causes == ()


def test_an_endpoint_elsewhere_may_be_in_a_network_that_is_connected() -> None:
    world = in_vpc()
    endpoint_variable("https://vpce-09-x.secretsmanager.eu-west-1.vpce.amazonaws.com")(world)
    world.network.route_tables[0] = table(PRIVATE_TABLE, {"TransitGatewayId": "tgw-01"}, main=True)

    assert diagnosed(world).causes == ()
    assert status(world, "function-endpoint-wrong") is Status.SKIPPED


def test_a_variable_that_was_missing_and_is_there_now_is_history() -> None:
    world = World()
    world.fail()
    world.run("[ERROR] KeyError: 'SECRETS_MANAGER_ENDPOINT'")

    finding = found(world, "function-endpoint-wrong")
    assert finding is not None
    assert (finding.role, finding.is_history) == (Role.NOTE, True)


def test_what_the_endpoints_policy_denied_and_allows_now_is_history() -> None:
    world = in_vpc(endpoint=True)
    world.fail()
    world.run("[ERROR] ClientError: ... because no VPC endpoint policy allows the secretsmanager:DescribeSecret action")

    finding = found(world, "endpoint-policy-denies")
    assert finding is not None
    assert (finding.role, finding.is_history) == (Role.NOTE, True)


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Allow", "Principal": "*", "Action": "secretsmanager:*", "Resource": "*"},
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::123456789012:role/rotator"},
            "Action": "*",
            "Resource": "*",
        },
    ],
)
def test_an_endpoints_policy_that_allows_the_five_actions_is_let_be(statement: dict[str, Any]) -> None:
    world = in_vpc(endpoint=True)
    world.network.endpoints[0]["PolicyDocument"] = policy_text(statement)

    assert diagnosed(world).causes == ()
    assert status(world, "endpoint-policy-denies") is Status.PASS


def policy_text(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def test_an_endpoints_policy_with_a_condition_is_not_guessed_at() -> None:
    world = in_vpc(endpoint=True)
    world.network.endpoints[0]["PolicyDocument"] = policy_text(
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "*",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}},
        }
    )

    assert diagnosed(world).causes == ()
    assert status(world, "endpoint-policy-denies") is Status.SKIPPED


def test_a_subnet_of_the_function_that_is_gone_is_told() -> None:
    world = in_vpc()
    world.lose("ec2:DescribeSubnets", "InvalidSubnetID.NotFound", "The subnet ID 'subnet-0a' does not exist")
    world.fail()

    assert [each.id for each in diagnosed(world).causes] == ["lambda-eni-unavailable"]


def test_the_trail_and_the_log_agree_with_what_the_routes_show() -> None:
    world = in_vpc()
    world.network.route_tables[0] = table(PRIVATE_TABLE, {}, main=True)
    world.fail(at=ago(hours=1))
    world.run("Found credentials in environment variables.", timed_out=30, duration_ms=30000, secret=None)

    finding = found(world, "network-no-route-to-secretsmanager")
    assert finding is not None
    sources = [each.source for each in finding.evidence]
    assert sources == ["ec2:DescribeRouteTables", "cloudtrail:LookupEvents", *["logs:FilterLogEvents"] * 2]
    assert finding.step == "createSecret"


def test_an_acl_is_named_with_its_rule() -> None:
    world = in_vpc()
    world.network.acls[0]["Entries"].append(
        {"RuleNumber": 7, "Protocol": "-1", "RuleAction": "deny", "Egress": True, "CidrBlock": "0.0.0.0/0"}
    )

    finding = found(world, "nacl-blocks-https")
    assert finding is not None
    assert finding.evidence[0].resource == ACL
    assert finding.evidence[0].excerpt == {
        "RuleNumber": 7,
        "Protocol": "-1",
        "RuleAction": "deny",
        "Egress": True,
        "CidrBlock": "0.0.0.0/0",
    }
    assert all(int(str(change.parameters["RuleNumber"])) < 7 for change in finding.remedy.changes)


def test_every_command_of_a_line_is_told_where_to_go() -> None:
    nested = "NAT=$(aws ec2 create-nat-gateway --allocation-id $(aws ec2 allocate-address))"

    assert line_with(nested, " --region x") == (
        "NAT=$(aws --region x ec2 create-nat-gateway --allocation-id $(aws --region x ec2 allocate-address))"
    )
    assert line_with("aws ec2 describe-vpcs", " --region x") == "aws ec2 describe-vpcs --region x"
    assert line_with("/bin/true", " --region x") == "/bin/true"


def test_each_command_of_a_pipe_has_the_targets_options() -> None:
    piped = line_with(put_host("orders", "10.0.4.7"), " --region x").split(" | ")
    assert [part.endswith(" --region x") for part in piped] == [True, False, True]
    assert piped[1].endswith(" 10.0.4.7")


def test_what_an_endpoints_private_names_need_of_the_vpc_is_turned_on_first() -> None:
    world = without_a_route()
    world.network.dns["enableDnsHostnames"] = False
    finding = found(world, "network-no-route-to-secretsmanager")
    assert finding is not None

    assert finding.remedy.by_hand[0] == (
        "aws ec2 modify-vpc-attribute --vpc-id vpc-01 --enable-dns-hostnames '{\"Value\": true}'"
    )
    assert "create-vpc-endpoint" in finding.remedy.by_hand[-1]
