"""Functions in VPCs: what Lambda answers, who must allow it, and the network interfaces that stand for them."""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from keyturn.errors.common import AccessDenied
from keyturn.errors.ec2 import DependencyViolation, InvalidParameterValue
from keyturn.errors.lambda_ import ENINotReadyException, InvalidParameterValueException
from keyturn.operations import registry
from keyturn.operations.ec2.networks import changing
from keyturn.operations.lambda_.names import parse_function_name
from keyturn.operations.lambda_.specs import spec_of
from keyturn.operations.lambda_.subjects import load_function
from keyturn.rules.network.plan import KEYTURN_PUBLIC_ADDRESS, NetworkPlan
from keyturn.testing.handlers import PLACE, user

from .conftest import ARN, LambdaBench
from .networks import ATTACHING, Vpc, add_interface, interfaces, make_vpc

NOWHERE = {"SubnetIds": [], "SecurityGroupIds": [], "VpcId": "", "Ipv6AllowedForDualStack": False}
ALLOWED = {"Effect": "Allow", "Action": list(ATTACHING), "Resource": "*"}


@pytest.fixture
def vpc(bench: LambdaBench) -> Vpc:
    bench.let_role(ALLOWED)
    return make_vpc(bench, "10.0.1.0/24", "10.0.2.0/24")


def refusal(bench: LambdaBench, vpc_config: dict[str, Any]) -> str:
    with pytest.raises(InvalidParameterValueException) as refused:
        bench.create(VpcConfig=vpc_config)
    return refused.value.message


def plans(bench: LambdaBench, name: str = "rotate") -> tuple[NetworkPlan, ...]:
    bench.handlers.kept.refresh()
    record = load_function(bench.handlers.kit, parse_function_name(PLACE, name))
    assert record is not None
    return spec_of(bench.handlers.kit, record).networks


def test_a_function_in_a_vpc_is_shown_with_it_and_can_be_invoked_at_once(bench: LambdaBench, vpc: Vpc) -> None:
    created = bench.create(VpcConfig=vpc.config())

    assert created["VpcConfig"] == {
        "SubnetIds": vpc.subnet_ids,
        "SecurityGroupIds": [vpc.group_id],
        "VpcId": vpc.vpc_id,
        "Ipv6AllowedForDualStack": False,
    }
    assert (created["State"], created["LastUpdateStatus"]) == ("Active", "Successful")
    assert bench.call("GetFunction", FunctionName="rotate")["Configuration"] == created
    assert bench.call("ListFunctions")["Functions"] == [created]
    bench.call("Invoke", FunctionName="rotate")
    assert [each.subnet_id for each in bench.runtime.specs[0].networks] == vpc.subnet_ids


def test_a_function_is_moved_and_detached(bench: LambdaBench, vpc: Vpc) -> None:
    other = make_vpc(bench, "10.0.9.0/24")
    bench.create(VpcConfig=vpc.config())

    moved = bench.call("UpdateFunctionConfiguration", FunctionName="rotate", VpcConfig=other.config())
    assert (moved["VpcConfig"]["VpcId"], moved["VpcConfig"]["SubnetIds"]) == (other.vpc_id, other.subnet_ids)
    assert [each["SubnetId"] for each in interfaces(bench)] == other.subnet_ids
    renamed = bench.call("UpdateFunctionConfiguration", FunctionName="rotate", Description="new")
    assert renamed["VpcConfig"] == moved["VpcConfig"]

    nothing: dict[str, list[str]] = {"SubnetIds": [], "SecurityGroupIds": []}
    detached = bench.call("UpdateFunctionConfiguration", FunctionName="rotate", VpcConfig=nothing)
    assert detached["VpcConfig"] == NOWHERE
    assert interfaces(bench) == []
    assert plans(bench) == ()


def test_a_version_keeps_the_vpc_that_it_was_published_with(bench: LambdaBench, vpc: Vpc) -> None:
    bench.create(VpcConfig=vpc.config(0))
    published = bench.call("PublishVersion", FunctionName="rotate")
    bench.call("UpdateFunctionConfiguration", FunctionName="rotate", VpcConfig=vpc.config(1))

    assert published["VpcConfig"]["SubnetIds"] == [vpc.subnet_ids[0]]
    version = bench.call("GetFunctionConfiguration", FunctionName="rotate", Qualifier="1")
    assert version["VpcConfig"] == published["VpcConfig"]
    assert sorted(each["SubnetId"] for each in interfaces(bench)) == sorted(vpc.subnet_ids)
    bench.call("DeleteFunction", FunctionName="rotate", Qualifier="1")
    assert [each["SubnetId"] for each in interfaces(bench)] == [vpc.subnet_ids[1]]


def test_functions_share_an_interface_for_each_subnet_and_set_of_groups(bench: LambdaBench, vpc: Vpc) -> None:
    bench.create("one", VpcConfig=vpc.config())
    first = interfaces(bench)
    bench.create("two", VpcConfig=vpc.config(1))

    assert interfaces(bench) == first
    assert {each["SubnetId"] for each in first} == set(vpc.subnet_ids)
    (interface,) = [each for each in first if each["SubnetId"] == vpc.subnet_ids[0]]
    assert re.fullmatch("AWS Lambda VPC ENI-one-[0-9a-f-]{36}", interface["Description"])
    assert re.fullmatch("eni-[0-9a-f]{17}", interface["NetworkInterfaceId"])
    assert interface["InterfaceType"] == "lambda"
    assert interface["PrivateIpAddress"] == "10.0.1.4"
    assert interface["PrivateDnsName"] == "ip-10-0-1-4.ec2.internal"
    assert interface["Groups"] == [{"GroupId": vpc.group_id, "GroupName": "default"}]
    assert interface["Attachment"]["InstanceOwnerId"] == "amazon-aws"
    assert interface["RequesterId"].startswith("AROA")

    bench.call("DeleteFunction", FunctionName="one")
    assert [each["SubnetId"] for each in interfaces(bench)] == [vpc.subnet_ids[1]]
    bench.call("DeleteFunction", FunctionName="two")
    assert interfaces(bench) == []


def test_an_interface_takes_no_address_of_others_nor_of_ec2s(bench: LambdaBench) -> None:
    bench.let_role(ALLOWED)
    tiny = make_vpc(bench, "10.0.1.0/28")
    for last in (4, 5, 6, 7, 8, 9, 10, 11, 12, 14):
        add_interface(bench, tiny, f"10.0.1.{last}")

    bench.create(VpcConfig=tiny.config())
    (own,) = [each for each in interfaces(bench) if each["InterfaceType"] == "lambda"]
    assert own["PrivateIpAddress"] == "10.0.1.13"

    bench.call("DeleteFunction", FunctionName="rotate")
    add_interface(bench, tiny, "10.0.1.13")
    assert refusal(bench, tiny.config()) == (
        "Lambda was not able to set up VPC access for the Lambda function because one or more configured subnets has no"
        f" available IP addresses: {tiny.subnet_ids[0]}."
    )
    assert bench.call("ListFunctions")["Functions"] == []


def test_a_vpc_has_no_room_for_more_than_500_interfaces(bench: LambdaBench, vpc: Vpc) -> None:
    body: dict[str, Any] = {"SubnetId": vpc.subnet_ids[0], "PrivateIpAddresses": []}
    with changing(bench.handlers.kit, bench.handlers.as_(bench.handlers.caller)) as networks:
        for number in range(500):
            networks.add("network-interface", f"eni-{number}", body, vpc_id=vpc.vpc_id)

    assert "the limit for network interfaces has been reached" in refusal(bench, vpc.config(0))


def test_a_subnet_and_its_vpc_stay_as_long_as_a_function_is_in_them(bench: LambdaBench, vpc: Vpc) -> None:
    bench.create(VpcConfig=vpc.config())

    own = bench.handlers.call("ec2", "CreateSecurityGroup", GroupName="f", Description="f", VpcId=vpc.vpc_id)["GroupId"]
    in_own = {"SubnetIds": vpc.subnet_ids, "SecurityGroupIds": [own]}
    bench.create("other", VpcConfig=in_own)
    for operation, request in (
        ("DeleteSubnet", {"SubnetId": vpc.subnet_ids[0]}),
        ("DeleteSecurityGroup", {"GroupId": own}),
        ("DeleteVpc", {"VpcId": vpc.vpc_id}),
    ):
        with pytest.raises(DependencyViolation):
            bench.handlers.call("ec2", operation, **request)
    for interface in interfaces(bench):
        interface_id = interface["NetworkInterfaceId"]
        with pytest.raises(InvalidParameterValue, match="is currently in use"):
            bench.handlers.call("ec2", "DeleteNetworkInterface", NetworkInterfaceId=interface_id)
    bench.call("DeleteFunction", FunctionName="other")
    bench.handlers.call("ec2", "DeleteSecurityGroup", GroupId=own)
    bench.call("DeleteFunction", FunctionName="rotate")
    for subnet_id in vpc.subnet_ids:
        bench.handlers.call("ec2", "DeleteSubnet", SubnetId=subnet_id)
    bench.handlers.call("ec2", "DeleteVpc", VpcId=vpc.vpc_id)


def test_what_is_not_there_is_told_in_ec2s_words(bench: LambdaBench, vpc: Vpc) -> None:
    no_subnet = {"SubnetIds": [vpc.subnet_ids[0], "subnet-0"], "SecurityGroupIds": [vpc.group_id]}
    no_group = {"SubnetIds": vpc.subnet_ids, "SecurityGroupIds": ["sg-0"]}

    assert refusal(bench, no_subnet) == (
        "Error occurred while DescribeSubnets. EC2 Error Code: InvalidSubnetID.NotFound. EC2 Error Message: The subnet"
        " ID 'subnet-0' does not exist"
    )
    assert refusal(bench, no_group) == (
        "Error occurred while DescribeSecurityGroups. EC2 Error Code: InvalidGroup.NotFound. EC2 Error Message: The"
        " security group 'sg-0' does not exist"
    )


def test_what_does_not_fit_together_is_refused(bench: LambdaBench, vpc: Vpc) -> None:
    other = make_vpc(bench, "10.0.9.0/24")
    neither = "SubnetIds and SecurityIds must coexist or be both empty list."

    assert refusal(bench, {"SubnetIds": vpc.subnet_ids}) == neither
    assert refusal(bench, {"SubnetIds": [], "SecurityGroupIds": [vpc.group_id]}) == neither
    assert refusal(bench, {**vpc.config(), "SubnetIds": [*vpc.subnet_ids, *other.subnet_ids]}) == (
        "Subnets are required to be in the same VPC."
    )
    assert refusal(bench, {**vpc.config(), "SecurityGroupIds": [vpc.group_id, other.group_id]}) == (
        "Security Groups are required to be in the same VPC."
    )
    assert "Ipv6AllowedForDualStack" in refusal(bench, {**vpc.config(), "Ipv6AllowedForDualStack": True})
    assert interfaces(bench) == []


@pytest.mark.parametrize("action", ATTACHING)
def test_the_execution_role_must_be_allowed_to_have_interfaces(bench: LambdaBench, vpc: Vpc, action: str) -> None:
    bench.create()
    others = [each for each in ATTACHING if each != action]
    bench.let_role({"Effect": "Allow", "Action": others, "Resource": "*"})

    text = f"The provided execution role does not have permissions to call {action.removeprefix('ec2:')} on EC2"
    with pytest.raises(InvalidParameterValueException, match=text):
        bench.create("other", VpcConfig=vpc.config())
    with pytest.raises(InvalidParameterValueException, match=text):
        bench.call("UpdateFunctionConfiguration", FunctionName="rotate", VpcConfig=vpc.config())
    bench.let_role(ALLOWED)
    bench.call("UpdateFunctionConfiguration", FunctionName="rotate", VpcConfig=vpc.config())


def test_a_role_that_may_delete_some_interfaces_is_not_enough_as_in_aws(bench: LambdaBench, vpc: Vpc) -> None:
    here = "arn:aws:ec2:us-east-1:000000000000"
    of_some = [f"{here}:network-interface/*", f"{here}:subnet/*", f"{here}:security-group/*"]
    described = {"Effect": "Allow", "Action": ATTACHING[1], "Resource": "*"}
    made = {"Effect": "Allow", "Action": ATTACHING[0], "Resource": of_some}
    bench.let_role(described, made, {"Effect": "Allow", "Action": ATTACHING[2], "Resource": of_some})
    assert "DeleteNetworkInterface" in refusal(bench, vpc.config())

    bench.let_role(described, made, {"Effect": "Allow", "Action": ATTACHING[2], "Resource": f"{here}:*/*"})
    bench.create(VpcConfig=vpc.config())


def test_a_role_that_a_function_in_a_vpc_is_given_must_be_allowed_as_well(bench: LambdaBench, vpc: Vpc) -> None:
    bench.create(VpcConfig=vpc.config())
    bench.make_role("other", "lambda.amazonaws.com")
    other = "arn:aws:iam::000000000000:role/other"

    with pytest.raises(InvalidParameterValueException, match="call CreateNetworkInterface on EC2"):
        bench.call("UpdateFunctionConfiguration", FunctionName="rotate", Role=other)
    nothing: dict[str, list[str]] = {"SubnetIds": [], "SecurityGroupIds": []}
    bench.call("UpdateFunctionConfiguration", FunctionName="rotate", Role=other, VpcConfig=nothing)


@pytest.mark.parametrize("operation", ["DescribeSubnets", "DescribeSecurityGroups", "DescribeVpcs"])
def test_the_caller_must_be_allowed_to_look_at_what_is_named(bench: LambdaBench, vpc: Vpc, operation: str) -> None:
    bench.handlers.call("iam", "PutUserPolicy", UserName="administrator", PolicyName="no", PolicyDocument=(
        f'{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Action":"ec2:{operation}","Resource":"*"}}]}}'
    ))  # fmt: skip
    named = {"DescribeSubnets": vpc.subnet_ids[0], "DescribeSecurityGroups": vpc.group_id, "DescribeVpcs": vpc.vpc_id}

    with pytest.raises(AccessDenied) as refused:
        bench.create(VpcConfig=vpc.config())
    assert refused.value.message == (
        "Your access has been denied by EC2, please make sure your request credentials have permission to"
        f" {operation} for {named[operation]}. EC2 Error Code: UnauthorizedOperation. EC2 Error Message: You are not"
        " authorized to perform this operation."
    )
    assert bench.create(VpcConfig={})["VpcConfig"] == NOWHERE


def test_a_caller_of_another_account_attaches_nothing_and_what_it_deletes_is_settled(
    bench: LambdaBench, vpc: Vpc
) -> None:
    bench.create(VpcConfig=vpc.config(0))
    stranger = replace(user("stranger"), account_id="111111111111")
    elsewhere = replace(PLACE, account_id="111111111111")

    def call(operation: str, **request: Any) -> None:
        bench.handlers.kept.refresh()
        found = registry.find("lambda", operation)
        assert found is not None
        as_stranger = bench.handlers.as_(stranger)._replace(place=elsewhere)
        subject = found.load(bench.handlers.kit, as_stranger, {"FunctionName": ARN, **request})
        found.handle(bench.handlers.kit, as_stranger, {"FunctionName": ARN, **request}, subject.record)

    with pytest.raises(AccessDenied, match="permission to DescribeSubnets"):
        call("UpdateFunctionConfiguration", VpcConfig=vpc.config(1))
    assert len(interfaces(bench)) == 1
    call("DeleteFunction")
    assert interfaces(bench) == []


def test_a_server_that_cannot_give_networks_says_why(bench: LambdaBench, vpc: Vpc) -> None:
    bench.runtime.vpc_problem = "slirp4netns is not installed"

    said = refusal(bench, vpc.config())
    assert said.startswith("This server cannot attach functions to a VPC: slirp4netns is not installed.")
    bench.create(VpcConfig={"SubnetIds": [], "SecurityGroupIds": []})


def test_a_function_that_is_moved_while_it_is_invoked_is_not_run(bench: LambdaBench, vpc: Vpc) -> None:
    bench.create(VpcConfig=vpc.config(0))
    before = load_function(bench.handlers.kit, parse_function_name(PLACE, "rotate"))
    assert before is not None
    bench.call("UpdateFunctionConfiguration", FunctionName="rotate", VpcConfig=vpc.config(1))

    with pytest.raises(ENINotReadyException):
        spec_of(bench.handlers.kit, before)


def test_a_plan_is_made_of_the_vpcs_objects_and_kept_until_one_changes(bench: LambdaBench, vpc: Vpc) -> None:
    bench.create(VpcConfig=vpc.config())
    (first, second) = plans(bench)

    assert (first.vpc_id, first.subnet_id, first.address) == (vpc.vpc_id, vpc.subnet_ids[0], "10.0.1.4")
    assert (second.subnet_id, second.address) == (vpc.subnet_ids[1], "10.0.2.4")
    assert first.resolver.answers
    assert "sts.amazonaws.com" in dict(first.resolver.names)
    # The default group and ACL let everything pass within the VPC; out of it there is no route.
    assert {(str(permit.network), permit.protocol) for permit in first.permits} == {
        (network, protocol) for network in ("10.0.1.0/24", "10.0.2.0/24") for protocol in ("tcp", "udp")
    }
    assert plans(bench) is plans(bench)

    all_out = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2 = functools.partial(bench.handlers.call, "ec2")
    ec2("RevokeSecurityGroupEgress", GroupId=vpc.group_id, IpPermissions=all_out)
    assert plans(bench)[0].permits == ()
    ec2("ModifyVpcAttribute", VpcId=vpc.vpc_id, EnableDnsSupport={"Value": False})
    assert not plans(bench)[0].resolver.answers


def test_a_nat_gateway_leads_out_until_its_subnets_internet_gateway_is_gone(bench: LambdaBench, vpc: Vpc) -> None:
    ec2 = functools.partial(bench.handlers.call, "ec2")
    internet = ec2("CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
    ec2("AttachInternetGateway", InternetGatewayId=internet, VpcId=vpc.vpc_id)
    address = ec2("AllocateAddress", Domain="vpc")
    made = ec2("CreateNatGateway", SubnetId=vpc.subnet_ids[1], AllocationId=address["AllocationId"])
    for subnet_id, target in (
        (vpc.subnet_ids[0], {"NatGatewayId": made["NatGateway"]["NatGatewayId"]}),
        (vpc.subnet_ids[1], {"GatewayId": internet}),
    ):
        table = ec2("CreateRouteTable", VpcId=vpc.vpc_id)["RouteTable"]["RouteTableId"]
        ec2("AssociateRouteTable", RouteTableId=table, SubnetId=subnet_id)
        ec2("CreateRoute", RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **target)
    bench.create(VpcConfig=vpc.config(0))

    (plan,) = plans(bench)
    assert plan.public_source == address["PublicIp"]
    assert any(ip_address(KEYTURN_PUBLIC_ADDRESS) in permit.network for permit in plan.permits)
    ec2("DeleteNatGateway", NatGatewayId=made["NatGateway"]["NatGatewayId"])
    (plan,) = plans(bench)
    assert plan.public_source == ""
    assert not any(ip_address(KEYTURN_PUBLIC_ADDRESS) in permit.network for permit in plan.permits)
