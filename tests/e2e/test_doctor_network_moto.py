"""The doctor in an account of moto, which implements EC2, RDS and Lambda by itself: every cause that it can express.

A doctor that is tested only against answers of its own making learns their habits. What is printed as the way out is
done word for word, by the AWS CLI, and looked at again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from keyturn.doctor.model import Verdict
from keyturn.rules.network.hops import Passage

from .moto_account import CREDENTIALS, REGION, Account, account
from .vpc import ALL

Break = Callable[[Account], None]
OWN_HOST = "10.0.3.20"
"""In a database's subnet, of a server that is none of RDS'."""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with account() as healthy:
        yield healthy


# Each breaks the account as people do, by calls.


def no_route(made: Account) -> None:
    made.unroute()


def no_route_a_second_time(made: Account) -> None:
    # The group of an endpoint that was made before, and is gone.
    group_id = made.ec2.create_security_group(
        GroupName="secretsmanager-endpoint", Description="secretsmanager-endpoint", VpcId=made.vpc
    )["GroupId"]
    made.let_in(group_id, 443, made.function_group)
    no_route(made)


def no_route_and_no_way_out_but_to_the_vpc(made: Account) -> None:
    no_way_out_to_the_internet(made)
    no_route(made)


def outside_a_second_time(made: Account) -> None:
    group_id = made.ec2.create_security_group(GroupName="rotate-orders", Description="x", VpcId=made.vpc)["GroupId"]
    made.let_in(made.database_group, 5432, group_id)
    outside(made)


def main_table_without_a_route(made: Account) -> None:
    # The subnets fall back to the VPC's main table, which has the local route only.
    for table in made.ec2.describe_route_tables(RouteTableIds=[made.private_table])["RouteTables"]:
        for association in table["Associations"]:
            made.ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])


def public_subnet(made: Account) -> None:
    made.move("public")


def one_public_subnet(made: Account) -> None:
    made.move("private_a", "public")


def nat_deleted(made: Account) -> None:
    made.ec2.delete_nat_gateway(NatGatewayId=made.nat)


def nat_in_a_private_subnet(made: Account) -> None:
    nat = made.nat_in("data_a")
    made.ec2.replace_route(RouteTableId=made.private_table, DestinationCidrBlock=ALL, NatGatewayId=nat)


def nat_without_a_route(made: Account) -> None:
    made.ec2.delete_route(RouteTableId=made.public_table, DestinationCidrBlock=ALL)


def nat_without_an_internet_gateway(made: Account) -> None:
    nat_without_a_route(made)
    made.ec2.detach_internet_gateway(InternetGatewayId=made.gateway, VpcId=made.vpc)


def nat_deleted_where_no_subnet_is_public(made: Account) -> None:
    nat_without_a_route(made)
    nat_deleted(made)


def _nat_instance(made: Account) -> str:
    image = made.ec2.describe_images()["Images"][0]["ImageId"]
    started = made.ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=made.subnets["public"])
    instance_id: str = started["Instances"][0]["InstanceId"]
    made.ec2.replace_route(RouteTableId=made.private_table, DestinationCidrBlock=ALL, InstanceId=instance_id)
    return instance_id


def nat_instance_checks_addresses(made: Account) -> None:
    _nat_instance(made)


def nat_instance_stopped(made: Account) -> None:
    instance_id = _nat_instance(made)
    made.ec2.modify_instance_attribute(InstanceId=instance_id, SourceDestCheck={"Value": False})
    made.ec2.stop_instances(InstanceIds=[instance_id])


def endpoint_without_private_dns(made: Account) -> None:
    made.endpoint(PrivateDnsEnabled=False)


def vpc_without_host_names(made: Account) -> None:
    made.endpoint()
    made.ec2.modify_vpc_attribute(VpcId=made.vpc, EnableDnsHostnames={"Value": False})


def endpoint_open_to_others(made: Account) -> None:
    made.endpoint()
    made.shut(made.endpoint_group)
    other = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "192.168.0.0/16"}]}
    made.ec2.authorize_security_group_ingress(GroupId=made.endpoint_group, IpPermissions=[other])


def endpoint_for_another_secret(made: Account) -> None:
    other = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:other-AbCdEf"
    statement = {"Effect": "Allow", "Principal": "*", "Action": "secretsmanager:*", "Resource": other}
    made.endpoint(PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


def https_denied(made: Account) -> None:
    acl_id = made.acl("private_a", "private_b")
    made.ec2.create_network_acl_entry(
        NetworkAclId=acl_id,
        RuleNumber=50,
        Protocol="6",
        RuleAction="deny",
        Egress=True,
        CidrBlock=ALL,
        PortRange={"From": 443, "To": 443},
    )


def answers_denied(made: Account) -> None:
    acl_id = made.acl("private_a", "private_b")
    made.ec2.delete_network_acl_entry(NetworkAclId=acl_id, RuleNumber=100, Egress=False)
    made.ec2.create_network_acl_entry(
        NetworkAclId=acl_id, RuleNumber=100, Protocol="-1", RuleAction="allow", Egress=False, CidrBlock="10.0.0.0/16"
    )


def database_denied(made: Account) -> None:
    acl_id = made.acl("data_a", "data_b")
    made.ec2.create_network_acl_entry(
        NetworkAclId=acl_id,
        RuleNumber=50,
        Protocol="6",
        RuleAction="deny",
        Egress=False,
        CidrBlock="10.0.0.0/16",
        PortRange={"From": 5000, "To": 6000},
    )


def no_way_out(made: Account) -> None:
    made.endpoint()
    group = made.ec2.describe_security_groups(GroupIds=[made.function_group])["SecurityGroups"][0]
    made.ec2.revoke_security_group_egress(GroupId=made.function_group, IpPermissions=group["IpPermissionsEgress"])
    into = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}
    made.ec2.authorize_security_group_egress(GroupId=made.function_group, IpPermissions=[into])


def no_way_out_to_the_internet(made: Account) -> None:
    group = made.ec2.describe_security_groups(GroupIds=[made.function_group])["SecurityGroups"][0]
    made.ec2.revoke_security_group_egress(GroupId=made.function_group, IpPermissions=group["IpPermissionsEgress"])
    into = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    made.ec2.authorize_security_group_egress(GroupId=made.function_group, IpPermissions=[into])


def database_shut(made: Account) -> None:
    made.shut(made.database_group)


def own_database_shut(made: Account) -> None:
    made.database_at(OWN_HOST)
    database_shut(made)


def own_database_denied(made: Account) -> None:
    made.database_at(OWN_HOST)
    database_denied(made)


def no_way_out_to_own_database(made: Account) -> None:
    made.database_at(OWN_HOST)
    https_only(made)


def no_way_out_to_a_database_without_an_interface(made: Account) -> None:
    made.say_host(OWN_HOST)
    https_only(made)


def https_only(made: Account) -> None:
    group = made.ec2.describe_security_groups(GroupIds=[made.function_group])["SecurityGroups"][0]
    made.ec2.revoke_security_group_egress(GroupId=made.function_group, IpPermissions=group["IpPermissionsEgress"])
    web = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": ALL}]}
    made.ec2.authorize_security_group_egress(GroupId=made.function_group, IpPermissions=[web])


def own_database_and_no_vpc(made: Account) -> None:
    made.database_at(OWN_HOST)
    made.move()


def own_database_and_another_vpc(made: Account) -> None:
    made.database_at(OWN_HOST)
    other_vpc(made)


def outside(made: Account) -> None:
    made.move()


def outside_where_no_subnet_leads_out(made: Account) -> None:
    no_route(made)
    made.move()


def outside_where_there_is_an_endpoint(made: Account) -> None:
    made.endpoint()
    made.move()


def other_vpc(made: Account) -> None:
    vpc_id = made.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = made.ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    public = made.ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    gateway = made.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    made.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc_id)
    group = made.ec2.create_security_group(GroupName="other", Description="other", VpcId=vpc_id)["GroupId"]
    address = made.ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = made.ec2.create_nat_gateway(SubnetId=public, AllocationId=address)["NatGateway"]["NatGatewayId"]
    for subnet_id, target in ((public, {"GatewayId": gateway}), (subnet, {"NatGatewayId": nat})):
        table_id = made.ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
        made.ec2.associate_route_table(RouteTableId=table_id, SubnetId=subnet_id)
        made.ec2.create_route(RouteTableId=table_id, DestinationCidrBlock=ALL, **target)
    made.clients["lambda"].update_function_configuration(
        FunctionName="rotate-orders", VpcConfig={"SubnetIds": [subnet], "SecurityGroupIds": [group]}
    )
    permission = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "10.9.0.0/16"}]}
    made.ec2.authorize_security_group_ingress(GroupId=made.database_group, IpPermissions=[permission])


def other_region(made: Account) -> None:
    made.say(SECRETS_MANAGER_ENDPOINT="https://secretsmanager.us-east-1.amazonaws.com")


def endpoint_of_another_vpc(made: Account) -> None:
    made.say(SECRETS_MANAGER_ENDPOINT=f"https://vpce-0123456789abcdef0-abcd.secretsmanager.{REGION}.vpce.amazonaws.com")


BROKEN: dict[Break, str] = {
    no_route: "network-no-route-to-secretsmanager",
    no_route_a_second_time: "network-no-route-to-secretsmanager",
    no_route_and_no_way_out_but_to_the_vpc: "network-no-route-to-secretsmanager",
    outside_a_second_time: "function-outside-db-vpc",
    main_table_without_a_route: "network-no-route-to-secretsmanager",
    public_subnet: "network-public-subnet-no-nat",
    one_public_subnet: "network-public-subnet-no-nat",
    nat_deleted: "network-nat-broken",
    nat_in_a_private_subnet: "network-nat-broken",
    nat_without_a_route: "network-nat-broken",
    nat_without_an_internet_gateway: "network-nat-broken",
    nat_deleted_where_no_subnet_is_public: "network-nat-broken",
    nat_instance_checks_addresses: "network-nat-broken",
    nat_instance_stopped: "network-nat-broken",
    endpoint_without_private_dns: "endpoint-private-dns-off",
    vpc_without_host_names: "vpc-dns-off",
    endpoint_open_to_others: "endpoint-sg-blocks-https",
    endpoint_for_another_secret: "endpoint-policy-denies",
    https_denied: "nacl-blocks-https",
    answers_denied: "nacl-blocks-https",
    database_denied: "nacl-blocks-database",
    no_way_out: "function-sg-blocks-egress",
    no_way_out_to_the_internet: "function-sg-blocks-egress",
    database_shut: "db-sg-blocks-function",
    own_database_shut: "db-sg-blocks-function",
    own_database_denied: "nacl-blocks-database",
    no_way_out_to_own_database: "function-sg-blocks-egress",
    no_way_out_to_a_database_without_an_interface: "function-sg-blocks-egress",
    own_database_and_no_vpc: "function-outside-db-vpc",
    own_database_and_another_vpc: "function-outside-db-vpc",
    outside: "function-outside-db-vpc",
    outside_where_no_subnet_leads_out: "function-outside-db-vpc",
    outside_where_there_is_an_endpoint: "function-outside-db-vpc",
    other_vpc: "function-outside-db-vpc",
    other_region: "function-endpoint-wrong",
    endpoint_of_another_vpc: "function-endpoint-wrong",
}


def test_a_healthy_account_is_called_healthy_and_its_network_open(made: Account) -> None:
    report = made.report()
    network = made.case().network

    assert made.causes() == []
    assert report.verdict is Verdict.HEALTHY
    assert (network.to_secrets_manager, network.to_database) == (Passage.PASSES, Passage.PASSES)
    assert not network.may_stop_login


def test_a_database_of_ones_own_is_found_by_the_interface_that_has_its_address(made: Account) -> None:
    made.database_at(OWN_HOST)
    place = made.case().network.place

    assert made.report().verdict is Verdict.HEALTHY
    assert made.case().network.to_database is Passage.PASSES
    assert place is not None
    assert (place.vpc_id, place.subnet_ids, place.group_ids) == (
        made.vpc,
        (made.subnets["data_a"],),
        (made.database_group,),
    )


def test_an_endpoint_in_place_of_a_nat_gateway_is_as_good(made: Account) -> None:
    made.endpoint()

    assert made.causes() == []
    assert made.case().network.to_secrets_manager is Passage.PASSES


@pytest.mark.parametrize("breaking", BROKEN, ids=lambda each: each.__name__)
def test_it_is_found_nothing_else_is_and_the_way_out_leads_out(made: Account, breaking: Break) -> None:
    breaking(made)

    [finding] = made.causes()
    assert finding.id == BROKEN[breaking], finding.title
    assert made.report().findings[0].id == finding.id

    if breaking is endpoint_without_private_dns:
        # moto takes this change and does not make it.
        return
    made.follow(finding)
    assert made.ids() == []
    network = made.case().network
    # What a NAT instance does with its packets is not seen from outside.
    is_seen = breaking not in (nat_instance_checks_addresses, nat_instance_stopped)
    assert network.to_secrets_manager is (Passage.PASSES if is_seen else Passage.UNKNOWN)
    assert network.to_database is Passage.PASSES


def test_one_bad_subnet_of_several_is_said_to_fail_now_and_then(made: Account) -> None:
    one_public_subnet(made)

    [finding] = made.causes()
    assert f"only from {made.subnets['public']}" in finding.title


def test_a_database_that_is_gone_is_a_risk_until_a_rotation_fails(made: Account) -> None:
    made.rds.delete_db_instance(DBInstanceIdentifier="orders", SkipFinalSnapshot=True)

    assert [each.id for each in made.report().findings if each.id == "db-host-gone"] == ["db-host-gone"]


def test_two_independent_faults_are_both_reported(made: Account) -> None:
    https_denied(made)
    database_shut(made)

    assert sorted(made.ids()) == ["db-sg-blocks-function", "nacl-blocks-https"]


def test_without_the_value_the_databases_side_is_not_asked_about(made: Account) -> None:
    database_shut(made)
    case = made.case(read_value=False)

    assert made.ids(read_value=False) == []
    assert not [answer for answer in case.facts.answers() if answer.question.service == "rds"]
    # And so it is not said that nothing but the password can be the matter.
    assert case.network.may_stop_login


def test_a_peering_that_is_routed_both_ways_leads_to_the_database(made: Account) -> None:
    other_vpc(made)
    vpcs = {each["CidrBlock"]: each["VpcId"] for each in made.ec2.describe_vpcs()["Vpcs"]}
    made_peering = made.ec2.create_vpc_peering_connection(VpcId=vpcs["10.9.0.0/16"], PeerVpcId=made.vpc)
    peering = made_peering["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    made.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peering)
    for table in made.ec2.describe_route_tables()["RouteTables"]:
        block = {vpcs["10.9.0.0/16"]: "10.0.0.0/16", made.vpc: "10.9.0.0/16"}.get(table["VpcId"])
        if block:
            made.ec2.create_route(
                RouteTableId=table["RouteTableId"], DestinationCidrBlock=block, VpcPeeringConnectionId=peering
            )

    assert made.ids() == []
    assert made.case().network.to_database is Passage.PASSES


def test_a_function_in_no_vpc_is_not_asked_about_in_ec2(made: Account) -> None:
    made.move()
    case = made.case(read_value=False)

    assert not [answer for answer in case.facts.answers() if answer.question.service in ("ec2", "rds")]
