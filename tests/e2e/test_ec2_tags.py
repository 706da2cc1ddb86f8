"""Tags of EC2's objects through boto3 and the AWS CLI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .callers import Caller, allow
from .conftest import ServerProcess
from .networks import refused, where
from .test_awscli import TODAYS, Cli


@pytest.fixture(scope="module")
def ec2(server: ServerProcess) -> Any:
    return server.client("ec2")


@pytest.fixture
def vpc_id(ec2: Any) -> Iterator[str]:
    made: str = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    yield made
    ec2.delete_vpc(VpcId=made)


def pairs(**tags: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tags_of(ec2: Any, *object_ids: str) -> list[tuple[str, str, str]]:
    found = ec2.describe_tags(Filters=where(resource_id=list(object_ids)))["Tags"]
    return [(tag["ResourceType"], tag["Key"], tag["Value"]) for tag in found]


def test_everything_that_a_vpc_is_made_with_can_be_tagged(ec2: Any, vpc_id: str) -> None:
    (vpc,) = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"]
    (table,) = ec2.describe_route_tables(Filters=where(vpc_id=vpc_id))["RouteTables"]
    ids = [vpc_id, table["RouteTableId"], vpc["DhcpOptionsId"]]

    ec2.create_tags(Resources=ids, Tags=pairs(Name="one", Team="blue"))
    ec2.create_tags(Resources=ids[:1], Tags=pairs(Name="two"))

    assert ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0]["Tags"] == pairs(Name="two", Team="blue")
    assert sorted(tags_of(ec2, *ids)) == [
        ("dhcp-options", "Name", "one"),
        ("dhcp-options", "Team", "blue"),
        ("route-table", "Name", "one"),
        ("route-table", "Team", "blue"),
        ("vpc", "Name", "two"),
        ("vpc", "Team", "blue"),
    ]
    assert tags_of(ec2, vpc_id) == [("vpc", "Name", "two"), ("vpc", "Team", "blue")]
    found = ec2.describe_tags(Filters=where(resource_type="vpc", key="Na*", value="t?o"))["Tags"]
    assert [tag["ResourceId"] for tag in found] == [vpc_id]
    found = ec2.describe_tags(Filters=[{"Name": "tag:Name", "Values": ["two"]}])["Tags"]
    assert [tag["ResourceId"] for tag in found] == [vpc_id]
    ec2.delete_tags(Resources=ids[1:])
    assert tags_of(ec2, *ids[1:]) == []


def test_tags_are_removed_by_key_by_value_or_all(ec2: Any, vpc_id: str) -> None:
    ec2.create_tags(Resources=[vpc_id], Tags=pairs(a="1", b="2", c="3", d=""))
    ec2.delete_tags(Resources=[vpc_id], Tags=[{"Key": "a"}, {"Key": "b", "Value": "other"}, {"Key": "c", "Value": "3"}])
    assert tags_of(ec2, vpc_id) == [("vpc", "b", "2"), ("vpc", "d", "")]
    ec2.delete_tags(Resources=[vpc_id])
    assert tags_of(ec2, vpc_id) == []


def test_tags_are_described_page_by_page(server: ServerProcess) -> None:
    ec2 = server.client("ec2", region="sa-east-1")
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ec2.create_tags(Resources=[vpc_id], Tags=pairs(**{f"key-{number:02}": "" for number in range(12)}))

    pages = list(ec2.get_paginator("describe_tags").paginate(PaginationConfig={"PageSize": 5}))

    assert [len(page["Tags"]) for page in pages] == [5, 5, 2]
    assert [tag["Key"] for page in pages for tag in page["Tags"]] == [f"key-{number:02}" for number in range(12)]
    assert refused(ec2.describe_tags, NextToken="x") == ("InvalidNextToken", "The token 'x' is invalid")


def test_tags_that_cannot_be_are_refused_and_none_is_put(ec2: Any, vpc_id: str) -> None:
    def told(*object_ids: str, **tags: str) -> tuple[str, str]:
        return refused(ec2.create_tags, Resources=list(object_ids), Tags=pairs(**tags))

    assert told(vpc_id, "vpc-0", a="b") == ("InvalidVpcID.NotFound", "The vpc ID 'vpc-0' does not exist")
    assert told(vpc_id, "tgw-0", a="b") == ("InvalidID", "The ID 'tgw-0' is not valid")
    assert told(vpc_id, **{"aws:a": "b"})[0] == "InvalidParameterValue"
    assert told(vpc_id, **{"": "b"})[0] == "InvalidParameterValue"
    assert told(vpc_id, **{"k" * 128: "b"})[0] == "InvalidParameterValue"
    assert told(vpc_id, a="v" * 256)[0] == "InvalidParameterValue"
    assert told(vpc_id, **{f"k{number}": "" for number in range(51)}) == (
        "TagLimitExceeded",
        "The maximum number of Tags for a resource has been reached.",
    )
    assert refused(ec2.create_tags, Resources=[vpc_id], Tags=[])[0] == "MissingParameter"
    assert refused(ec2.delete_tags, Resources=["tgw-0"])[0] == "InvalidID"
    assert tags_of(ec2, vpc_id) == []


def test_tagging_needs_a_permission_on_each_object(server: ServerProcess, ec2: Any, vpc_id: str) -> None:
    (vpc,) = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"]
    caller, here = Caller(server, "user"), f"arn:aws:ec2:{server.region}:{server.account_id}"
    client, ids = caller.client("ec2"), [vpc_id, vpc["DhcpOptionsId"]]
    caller.may(allow("ec2:*Tags", f"{here}:vpc/*"))
    for call in (client.create_tags, client.delete_tags):
        told = refused(call, Resources=ids, Tags=pairs(a="b"))
        assert f"on resource: {here}:dhcp-options/{ids[1]} because" in told[1]
        assert told[0] == "UnauthorizedOperation"
    client.create_tags(Resources=ids[:1], Tags=pairs(a="b"))

    only_b = {"ForAllValues:StringEquals": {"aws:TagKeys": ["b"]}}
    caller.may(allow("ec2:CreateTags", Condition=only_b))
    assert refused(client.create_tags, Resources=ids[:1], Tags=pairs(c="d"))[0] == "UnauthorizedOperation"
    client.create_tags(Resources=ids[:1], Tags=pairs(b="c"))
    assert tags_of(ec2, vpc_id) == [("vpc", "a", "b"), ("vpc", "b", "c")]


def test_the_command_line_tags(server: ServerProcess, vpc_id: str) -> None:
    aws = Cli(TODAYS, ("--output", "json"), server.environ())
    aws("ec2", "create-tags", "--resources", vpc_id, "--tags", "Key=Name,Value=one", "Key=Stack,Value=test")
    of_vpc = ("--filters", f"Name=resource-id,Values={vpc_id}", "--query", "Tags[].[Key,Value]")
    assert aws("ec2", "describe-tags", *of_vpc) == [["Name", "one"], ["Stack", "test"]]
    aws("ec2", "delete-tags", "--resources", vpc_id, "--tags", "Key=Name")
    assert aws("ec2", "describe-tags", *of_vpc) == [["Stack", "test"]]
