"""Networks as a picture and hop by hop, and the life of a key."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.e2e.callers import Caller, allow, document
from tests.e2e.conftest import ServerProcess

from keyturn.testing.functions import zip_package

from .conftest import NewVisitor, Visitor, each_look

SCRIPT = "<script>document.title = 'taken over'</script>"


@dataclass(frozen=True)
class Net:
    """A VPC with a private and a public subnet, and a function."""

    vpc_id: str
    subnet_id: str
    gateway_id: str


@pytest.fixture(scope="module")
def network(server: ServerProcess) -> Net:
    ec2 = server.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.20.0.0/16", TagSpecifications=_named("vpc", SCRIPT))["Vpc"]["VpcId"]
    private = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.20.1.0/24", TagSpecifications=_named("subnet", "private"))
    public = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.20.2.0/24", TagSpecifications=_named("subnet", "public"))
    gateway_id = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc_id)
    table_id = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway_id)
    ec2.associate_route_table(RouteTableId=table_id, SubnetId=public["Subnet"]["SubnetId"])
    ec2.create_security_group(GroupName="database", Description="Of the database", VpcId=vpc_id)
    trust = document({"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"})
    role = server.client("iam").create_role(RoleName="worker", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    server.client("lambda").create_function(
        FunctionName="worker",
        Runtime=f"python3.{sys.version_info.minor}",
        Role=role,
        Handler="f.handler",
        Code={"ZipFile": zip_package({"f.py": "def handler(event, context): pass\n"})},
    )
    return Net(vpc_id, private["Subnet"]["SubnetId"], gateway_id)


def _named(kind: str, name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]


def test_without_a_vpc_the_next_step_is_taught(visitor: Visitor, server: ServerProcess) -> None:
    page = visitor.open("networks")

    expect(page.get_by_text("There is no VPC yet.")).to_be_visible()
    commands = page.locator("pre").inner_text().strip().splitlines()
    assert [line.partition(" ")[0] for line in commands] == [
        "vpc=$(aws",
        "subnet=$(aws",
        "group=$(aws",
        "aws",
    ]
    assert all(f"--endpoint-url {server.endpoint_url}" in line for line in commands)


def test_a_vpc_is_a_picture_and_tables(visitor: Visitor, network: Net) -> None:
    page = visitor.open("networks")
    page.get_by_role("link", name=SCRIPT).click()

    picture = page.get_by_role("img", name=f"The network {SCRIPT}"[:30])
    expect(picture).to_contain_text("private")
    expect(picture).to_contain_text(network.gateway_id)
    expect(page.get_by_role("region", name="Subnets").get_by_text(network.subnet_id)).to_be_visible()
    expect(page.get_by_role("region", name="Route tables")).to_contain_text(f"0.0.0.0/0 to {network.gateway_id}")
    expect(page.get_by_role("region", name="Security groups")).to_contain_text("all with 0.0.0.0/0")
    assert "taken over" in page.title()
    assert page.title() != "taken over"


@pytest.mark.usefixtures("network")
def test_a_trace_is_read_and_tried(visitor: Visitor, server: ServerProcess) -> None:
    port = re.sub(r".*:", "", server.endpoint_url)
    page = visitor.open("networks")
    page.get_by_label("Function").select_option("worker")
    page.get_by_label("Host and port").fill(f"127.0.0.1:{port}")
    page.get_by_role("button", name="Trace").click()
    heading = page.get_by_role("heading", level=2)
    expect(heading).to_contain_text("worker")
    expect(page.get_by_text("Probe:")).to_have_count(0)

    page.get_by_role("button", name="Try the connection").click()

    expect(page.get_by_text("Probe:")).to_be_visible()
    assert server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "ProbeFunctionNetwork"}]
    )["Events"]


@pytest.mark.parametrize("to", ["nothing", "host:0", "host:99999", "http://host:1"])
@pytest.mark.usefixtures("network")
def test_what_is_no_host_and_port_is_told(visitor: Visitor, to: str) -> None:
    page = visitor.open("network/trace", function="worker", to=to)

    expect(page.get_by_role("alert")).to_contain_text(f"{to} is no HOST:PORT.")


def test_a_key_lives_and_is_to_die(visitor: Visitor, server: ServerProcess) -> None:
    page = visitor.open("keys")
    page.get_by_text("Create a key").click()
    page.get_by_label("Alias").fill("orders")
    page.get_by_label("Description").fill(SCRIPT)
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page).to_have_title("alias/orders · Keyturn")
    key_id = server.client("kms").describe_key(KeyId="alias/orders")["KeyMetadata"]["KeyId"]

    page.get_by_role("button", name="Rotate it once a year").click()
    expect(page.get_by_text("every 365 days")).to_be_visible()
    page.get_by_role("button", name="Rotate it no more").click()
    page.get_by_label(f"Type {key_id} to confirm").first.fill(key_id)
    page.get_by_role("button", name="Disable the key").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("disabled")
    page.get_by_role("button", name="Enable").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("enabled")
    delete = page.get_by_role("button", name="Schedule the deletion")
    expect(delete).to_be_disabled()
    page.get_by_label("Days until then").fill("7")
    page.get_by_label(f"Type {key_id} to confirm").last.fill(key_id)
    delete.click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("to be deleted")
    assert server.client("kms").describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    page.get_by_role("button", name="Cancel the deletion").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("disabled")
    page.get_by_role("button", name="Enable").click()


def test_a_key_names_the_secrets_under_it_before_it_is_disabled(visitor: Visitor, server: ServerProcess) -> None:
    kms, secrets = server.client("kms"), server.client("secretsmanager")
    key_id, bare_id = (kms.create_key(Description=name)["KeyMetadata"]["KeyId"] for name in ("used", "bare"))
    kms.create_alias(AliasName="alias/used", TargetKeyId=key_id)
    secrets.create_secret(Name="under/by-id", SecretString="x", KmsKeyId=key_id)
    secrets.create_secret(Name="under/by-alias", SecretString="x", KmsKeyId="alias/used")
    secrets.create_secret(Name="under/the-usual-key", SecretString="x")

    page = visitor.open("key", id=key_id)
    # Where they are listed, before it is disabled, and where its deletion is confirmed.
    expect(page.get_by_text("2 secrets are under it:")).to_have_count(3)
    deletion = page.locator("form").filter(has=page.get_by_role("button", name="Schedule the deletion"))
    expect(deletion.get_by_role("link", name="under/by-id")).to_be_visible()
    expect(deletion.get_by_role("link", name="under/by-alias")).to_be_visible()
    expect(page.get_by_role("link", name="under/the-usual-key")).to_have_count(0)

    page = visitor.open("key", id="alias/aws/secretsmanager")
    expect(page.get_by_role("link", name="under/the-usual-key")).to_be_visible()
    page = visitor.open("key", id=bare_id)
    expect(page.get_by_text("No secret is under it.").first).to_be_visible()


def test_a_keys_policy_is_edited(visitor: Visitor, server: ServerProcess) -> None:
    key_id = server.client("kms").create_key(Description="edited")["KeyMetadata"]["KeyId"]
    page = visitor.open("key", id=key_id)
    page.get_by_role("link", name="Edit the policy").click()
    policy = json.loads(page.get_by_label("Policy", exact=True).input_value())
    policy["Statement"][0]["Sid"] = "Changed"
    page.get_by_label("Policy", exact=True).fill(json.dumps(policy))

    page.get_by_role("button", name="Put in force").click()

    expect(page.get_by_role("region", name="Key policy")).to_contain_text("Changed")
    assert "Changed" in server.client("kms").get_key_policy(KeyId=key_id, PolicyName="default")["Policy"]


def test_who_may_only_look_at_keys_is_offered_nothing(new_visitor: NewVisitor, server: ServerProcess) -> None:
    key_id = server.client("kms").create_key()["KeyMetadata"]["KeyId"]
    looker = Caller(server, "user")
    looker.may(allow(["kms:ListKeys", "kms:DescribeKey"]))
    visitor = new_visitor()
    visitor.sign_in(looker.credentials)

    page = visitor.open("keys")
    expect(page.get_by_text("Create a key")).to_have_count(0)
    page.get_by_role("link", name=key_id).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("enabled")
    expect(page.get_by_text("Your policies do not allow kms:GetKeyPolicy here.")).to_be_visible()
    expect(page.get_by_role("main").get_by_role("button")).to_have_count(0)


@each_look
def test_the_pages_are_accessible(
    new_visitor: NewVisitor, network: Net, server: ServerProcess, size: tuple[int, int], scheme: str
) -> None:
    visitor = new_visitor(size=size, color_scheme=scheme)
    visitor.sign_in()
    key_id = server.client("kms").create_key(Description="looked at")["KeyMetadata"]["KeyId"]

    for path, query in (
        ("networks", {}),
        ("network", {"id": network.vpc_id}),
        ("network/trace", {"function": "worker", "to": "10.20.1.5:5432"}),
        ("keys", {}),
        ("key", {"id": key_id}),
    ):
        visitor.open(path, **query)
        assert visitor.violations() == [], path
        assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
