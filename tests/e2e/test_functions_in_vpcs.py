"""Functions in VPCs: Lambda's API, and what a real process reaches.

The one real address that anything leads to is this machine's 127.0.0.1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyturn.testing.postgresql import PostgresqlServer

from .callers import Caller, allow, deny
from .conftest import ServerProcess, run_keyturn, wait_until
from .functions_in_vpcs import NETWORK_POLICY, Vpc, answer, create_function, make_vpc
from .networks import where
from .refusals import refusal

DATABASE = "10.0.2.15"
# What PostgreSQL answers with one letter. Source: PostgreSQL, "Message Formats", SSLRequest.
SSL_REQUEST = "0000000804d2162f"
SECRETS_MANAGER = "secretsmanager.us-east-1.amazonaws.com"
ASKS = """
import logging
import os

import boto3

logging.getLogger().setLevel(logging.INFO)

def lambda_handler(event, context):
    client = boto3.client("secretsmanager", endpoint_url=os.environ["SECRETS_MANAGER_ENDPOINT"])
    return client.get_secret_value(SecretId="app/database")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("keyturn"), "--network-map", f"{DATABASE}=127.0.0.1")
    process.start()
    yield process
    assert process.stop() == 0, process.log()


@pytest.fixture(scope="module")
def functions(server: ServerProcess) -> Any:
    return server.client("lambda")


@pytest.fixture(scope="module")
def vpc(server: ServerProcess) -> Vpc:
    return make_vpc(server, "10.0.1.0/24", "10.0.2.0/24")


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


def test_a_function_in_a_vpc_is_made_shown_and_detached(server: ServerProcess, functions: Any, vpc: Vpc) -> None:
    arn = create_function(server, "shown", vpc)
    functions.get_waiter("function_active_v2").wait(FunctionName=arn)

    shown = functions.get_function_configuration(FunctionName="shown")
    whole = {**vpc.config, "VpcId": vpc.vpc_id, "Ipv6AllowedForDualStack": False}
    assert shown["VpcConfig"] == whole
    (listed,) = [each for each in functions.list_functions()["Functions"] if each["FunctionName"] == "shown"]
    assert listed["VpcConfig"] == whole
    functions.publish_version(FunctionName="shown")

    nothing: dict[str, list[str]] = {"SubnetIds": [], "SecurityGroupIds": []}
    detached = functions.update_function_configuration(FunctionName="shown", VpcConfig=nothing)
    functions.get_waiter("function_updated_v2").wait(FunctionName="shown")
    assert detached["VpcConfig"] == {**nothing, "VpcId": "", "Ipv6AllowedForDualStack": False}
    assert functions.get_function_configuration(FunctionName="shown", Qualifier="1")["VpcConfig"] == whole


def test_lambda_refuses_in_its_own_words(server: ServerProcess, functions: Any, vpc: Vpc) -> None:
    create_function(server, "refused", vpc)
    no_subnet = {"SubnetIds": ["subnet-0123456789abcdef0"], "SecurityGroupIds": [vpc.group_id]}
    many = {"SubnetIds": [f"subnet-{number}" for number in range(17)], "SecurityGroupIds": [vpc.group_id]}

    refused = refusal(functions.update_function_configuration, FunctionName="refused", VpcConfig=no_subnet)
    assert (refused.code, refused.status) == ("InvalidParameterValueException", 400)
    assert refused.message == (
        "Error occurred while DescribeSubnets. EC2 Error Code: InvalidSubnetID.NotFound. EC2 Error Message: The subnet"
        " ID 'subnet-0123456789abcdef0' does not exist"
    )
    refused = refusal(functions.update_function_configuration, FunctionName="refused", VpcConfig=many)
    assert refused.code == "ValidationException"
    assert "'vpcConfig.subnetIds'" in refused.message
    assert "Member must have length less than or equal to 16" in refused.message

    server.client("iam").detach_role_policy(RoleName="refused", PolicyArn=NETWORK_POLICY)
    refused = refusal(functions.update_function_configuration, FunctionName="refused", VpcConfig=vpc.config)
    assert (
        refused.message == "The provided execution role does not have permissions to call CreateNetworkInterface on EC2"
    )


def test_the_caller_must_be_allowed_to_look_at_subnets_and_groups(
    server: ServerProcess, functions: Any, vpc: Vpc
) -> None:
    create_function(server, "asked", vpc)
    caller = Caller(server, "user")
    caller.may(allow("lambda:*"), allow("ec2:Describe*"), deny("ec2:DescribeSecurityGroups"))
    update = caller.client("lambda").update_function_configuration

    refused = refusal(update, FunctionName="asked", VpcConfig=vpc.config)
    assert (refused.code, refused.status) == ("AccessDeniedException", 403)
    assert refused.message.startswith(
        "Your access has been denied by EC2, please make sure your request credentials have permission to"
        f" DescribeSecurityGroups for {vpc.group_id}. EC2 Error Code: UnauthorizedOperation."
    )
    caller.may(allow("lambda:*"), allow("ec2:Describe*"))
    update(FunctionName="asked", VpcConfig=vpc.config)


def test_the_interface_of_a_function_is_lambdas_and_keeps_its_subnet(server: ServerProcess, functions: Any) -> None:
    vpc, ec2 = make_vpc(server, "10.0.7.0/24"), server.client("ec2")
    subnet_id = vpc.subnet_ids[0]
    before = ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]["AvailableIpAddressCount"]
    create_function(server, "stays", vpc)

    assert ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]["AvailableIpAddressCount"] == before - 1
    found = ec2.describe_network_interfaces(Filters=where(description="AWS Lambda VPC ENI-stays-*"))
    (interface,) = found["NetworkInterfaces"]
    assert (interface["InterfaceType"], interface["Status"]) == ("lambda", "in-use")
    assert interface["PrivateIpAddress"] == "10.0.7.4"
    assert interface["Groups"] == [{"GroupId": vpc.group_id, "GroupName": "default"}]
    assert interface["Attachment"]["InstanceOwnerId"] == "amazon-aws"
    refused = refusal(ec2.delete_network_interface, NetworkInterfaceId=interface["NetworkInterfaceId"])
    assert refused.message.endswith("is currently in use.")
    assert refusal(ec2.delete_subnet, SubnetId=subnet_id).code == "DependencyViolation"
    functions.delete_function(FunctionName="stays")
    ec2.delete_subnet(SubnetId=subnet_id)


def test_without_a_way_to_secrets_manager_the_log_ends_as_in_the_guide(
    server: ServerProcess, functions: Any, vpc: Vpc
) -> None:
    create_function(server, "hangs", vpc, ASKS, Timeout=3)

    invoked = functions.invoke(FunctionName="hangs")
    assert b"Task timed out after 3.00 seconds" in invoked["Payload"].read()
    events = server.client("logs").filter_log_events(logGroupName="/aws/lambda/hangs")["events"]
    messages = [event["message"] for event in events if not event["message"].startswith(("END", "REPORT", "INIT"))]
    assert messages[0].startswith("START")
    assert "Found credentials in environment variables." in messages[1]
    assert "Task timed out after 3.00 seconds" in messages[2]
    assert len(messages) == 3


def test_a_database_is_reached_at_its_address_in_the_vpc_and_nothing_else_is(
    server: ServerProcess, vpc: Vpc, postgresql: PostgresqlServer
) -> None:
    create_function(server, "reaches", vpc)
    others = [("10.0.2.16", postgresql.port), ("10.1.0.1", 443), ("203.0.113.10", 443), ("192.0.2.1", 443)]

    found = answer(server, "reaches", reach=[[*each, SSL_REQUEST] for each in [(DATABASE, postgresql.port), *others]])
    assert found == ["N", *["TimeoutError"] * 4]


def test_a_security_group_counts_from_the_next_invocation(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    vpc, ec2 = make_vpc(server, "10.0.2.0/24"), server.client("ec2")
    create_function(server, "grouped", vpc)
    reach = [[DATABASE, postgresql.port, SSL_REQUEST]]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ports = {"FromPort": postgresql.port, "ToPort": postgresql.port}
    to_database = [{"IpProtocol": "tcp", **ports, "IpRanges": [{"CidrIp": f"{DATABASE}/32"}]}]

    assert answer(server, "grouped", reach=reach) == ["N"]
    ec2.revoke_security_group_egress(GroupId=vpc.group_id, IpPermissions=everything)
    assert answer(server, "grouped", reach=reach) == ["TimeoutError"]
    ec2.authorize_security_group_egress(GroupId=vpc.group_id, IpPermissions=to_database)
    assert answer(server, "grouped", reach=reach) == ["N"]


def test_a_change_of_the_vpc_counts_from_the_next_invocation(server: ServerProcess) -> None:
    vpc, ec2 = make_vpc(server, "10.0.1.0/24"), server.client("ec2")
    create_function(server, "resolves", vpc, Timeout=2)

    assert answer(server, "resolves", resolve=[SECRETS_MANAGER]) == [["203.0.113.10"]]
    ec2.modify_vpc_attribute(VpcId=vpc.vpc_id, EnableDnsSupport={"Value": False})
    event = json.dumps({"resolve": [SECRETS_MANAGER]})
    invoked = server.client("lambda").invoke(FunctionName="resolves", Payload=event)
    assert b"Task timed out" in invoked["Payload"].read()
    ec2.modify_vpc_attribute(VpcId=vpc.vpc_id, EnableDnsSupport={"Value": True})
    assert answer(server, "resolves", resolve=[SECRETS_MANAGER]) == [["203.0.113.10"]]


def create_for(server: ServerProcess, secret: str, *options: str) -> Any:
    arguments = ("function", "create", "--for", secret, "--no-rotate-now", "--no-wait", *options)
    return run_keyturn(*arguments, home=server.home, check=False, environ=server.environ())


def options_of(vpc: Vpc) -> list[str]:
    subnets = [part for each in vpc.subnet_ids for part in ("--subnet", each)]
    return [*subnets, "--security-group", vpc.group_id]


def test_keyturn_function_create_makes_a_function_in_a_vpc_which_the_preflight_looks_out_of(
    server: ServerProcess, functions: Any, vpc: Vpc
) -> None:
    value = {"engine": "postgres", "host": DATABASE, "port": 5432, "username": "app", "password": "x", "dbname": "app"}
    server.client("secretsmanager").create_secret(Name="in-vpc", SecretString=json.dumps(value))

    made = create_for(server, "in-vpc", *options_of(vpc), "--name", "made-in-vpc")
    assert made.returncode == 0, made.stdout + made.stderr
    shown = functions.get_function_configuration(FunctionName="made-in-vpc")["VpcConfig"]
    assert {member: shown[member] for member in vpc.config} == vpc.config
    again = create_for(server, "in-vpc", *options_of(vpc), "--name", "made-in-vpc")
    assert again.returncode in (0, 1), again.stdout + again.stderr
    assert "made  " not in again.stdout
    one = ("--subnet", vpc.subnet_ids[0], "--security-group", vpc.group_id)
    elsewhere = create_for(server, "in-vpc", *one, "--name", "made-in-vpc")
    assert elsewhere.returncode == 1
    assert f"what this command does not give it: the VPC {vpc.vpc_id}" in elsewhere.stderr
    half = create_for(server, "in-vpc", "--subnet", vpc.subnet_ids[0])
    assert half.returncode == 2
    assert "go together" in half.stderr

    keyturn = server.client("keyturn")
    unfinished = {"pending", "running"}
    wait_until(
        lambda: keyturn.get_rotation(SecretId="in-vpc")["Rotation"]["Status"] not in unfinished, "the test", server
    )
    found = keyturn.preflight_rotation(SecretId="in-vpc")
    items = {item["Item"]: (item["Status"], item["Code"]) for item in found["Items"]}
    assert items["endpoint.resolve"] == ("ok", "Ok")
    assert items["endpoint.connect"] == ("failed", "ConnectionTimedOut")
    assert items["database.connect"] == ("skipped", "NotRead")
    assert found["Verdict"] == "will fail"
    assert "endpoint.connect:ConnectionTimedOut" in found["Causes"]


def test_a_server_that_cannot_give_networks_refuses_and_says_so_when_it_starts(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    server.start()
    try:
        assert "functions can be in VPCs" in server.log()
        vpc = make_vpc(server, "10.0.1.0/24")
        create_function(server, "there", vpc)
        server.stop()

        server.options = ("--sandbox", "none")
        server.start()
        assert "functions cannot be in VPCs: bubblewrap is not used" in server.log()
        functions = server.client("lambda")
        refused = refusal(functions.invoke, FunctionName="there")
        assert (refused.code, refused.status) == ("EC2UnexpectedException", 502)
        refused = refusal(functions.update_function_configuration, FunctionName="there", VpcConfig=vpc.config)
        assert refused.code == "InvalidParameterValueException"
        assert "bubblewrap, slirp4netns, nftables" in refused.message
        # What does not concern its network can be changed.
        functions.update_function_configuration(FunctionName="there", Description="new")
        nothing: dict[str, list[str]] = {"SubnetIds": [], "SecurityGroupIds": []}
        functions.update_function_configuration(FunctionName="there", VpcConfig=nothing)
        assert answer(server, "there", resolve=["localhost"]) == [["127.0.0.1"]]
    finally:
        server.stop()
