"""VPCs through boto3 and the AWS CLI: what each is made with, how they are found, and who may do what."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from .callers import Caller, allow, deny
from .conftest import ServerProcess
from .networks import refused, tagged
from .test_awscli import TODAYS, Cli


@pytest.fixture(scope="module")
def ec2(server: ServerProcess) -> Any:
    return server.client("ec2")


@pytest.fixture
def vpc_id(ec2: Any) -> str:
    made: str = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return made


def test_a_vpc_is_made_and_described(server: ServerProcess, ec2: Any) -> None:
    made = ec2.create_vpc(CidrBlock="10.1.2.3/16", TagSpecifications=tagged("vpc", Name="one", Zone="Größe & <b>"))[
        "Vpc"
    ]

    assert re.fullmatch("vpc-[0-9a-f]{17}", made["VpcId"])
    assert made["State"] == "pending"
    ec2.get_waiter("vpc_available").wait(VpcIds=[made["VpcId"]])
    (found,) = ec2.describe_vpcs(VpcIds=[made["VpcId"]])["Vpcs"]
    assert found == {**made, "State": "available"}
    assert found["CidrBlock"] == "10.1.0.0/16"
    assert (found["OwnerId"], found["IsDefault"], found["InstanceTenancy"]) == (server.account_id, False, "default")
    (association,) = found["CidrBlockAssociationSet"]
    assert (association["CidrBlock"], association["CidrBlockState"]) == ("10.1.0.0/16", {"State": "associated"})
    assert found["Tags"] == [{"Key": "Name", "Value": "one"}, {"Key": "Zone", "Value": "Größe & <b>"}]


def test_the_command_line_makes_describes_and_deletes_one(server: ServerProcess) -> None:
    aws = Cli(TODAYS, ("--output", "json"), server.environ())
    vpc_id = aws("ec2", "create-vpc", "--cidr-block", "10.2.0.0/16")["Vpc"]["VpcId"]
    aws("ec2", "modify-vpc-attribute", "--vpc-id", vpc_id, "--enable-dns-hostnames")
    attribute = aws("ec2", "describe-vpc-attribute", "--vpc-id", vpc_id, "--attribute", "enableDnsHostnames")
    assert attribute == {"VpcId": vpc_id, "EnableDnsHostnames": {"Value": True}}
    assert aws("ec2", "describe-vpcs", "--vpc-ids", vpc_id, "--query", "Vpcs[].CidrBlock") == ["10.2.0.0/16"]
    aws("ec2", "delete-vpc", "--vpc-id", vpc_id)
    assert aws.refused("ec2", "describe-vpcs", "--vpc-ids", vpc_id).endswith(
        f"An error occurred (InvalidVpcID.NotFound) when calling the DescribeVpcs operation: The vpc ID '{vpc_id}' does"
        " not exist"
    )


@pytest.mark.parametrize(
    ("wanted", "code", "told"),
    [
        ({}, "MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided."),
        ({"CidrBlock": "10.0.0.0/8"}, "InvalidVpc.Range", "The CIDR '10.0.0.0/8' is invalid."),
        ({"CidrBlock": "10.0.0.0/29"}, "InvalidVpc.Range", "The CIDR '10.0.0.0/29' is invalid."),
        *(
            (
                {"CidrBlock": text},
                "InvalidParameterValue",
                f"Value ({text}) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
            )
            for text in ("10.0.0.0", "10.0.0.256/16", "10.0.0.0/33", "fd00::/64", "٣.0.0.0/16", " 10.0.0.0/16")
        ),
        (
            {"CidrBlock": "10.0.0.0/16", "InstanceTenancy": "none"},
            "InvalidParameterValue",
            (
                "Value (none) for parameter instanceTenancy is invalid. Member must satisfy enum value set: [default,"
                " dedicated, host]"
            ),
        ),
        (
            {"CidrBlock": "10.0.0.0/16", "AmazonProvidedIpv6CidrBlock": True},
            "NotImplemented",
            "Keyturn does not offer AmazonProvidedIpv6CidrBlock of ec2 CreateVpc; see docs/compatibility.md.",
        ),
        (
            {"CidrBlock": "10.0.0.0/16", "TagSpecifications": tagged("subnet", a="b")},
            "InvalidParameterValue",
            "'subnet' is not a valid taggable resource type for this operation.",
        ),
        (
            {"CidrBlock": "10.0.0.0/16", "TagSpecifications": tagged("vpc", **{"aws:a": "b"})},
            "InvalidParameterValue",
            (
                "Value ( aws:a ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved for internal"
                " use"
            ),
        ),
        (
            {"CidrBlock": "10.0.0.0/16", "TagSpecifications": tagged("vpc", **{f"k{n}": "v" for n in range(51)})},
            "TagLimitExceeded",
            "The maximum number of Tags for a resource has been reached.",
        ),
    ],
)
def test_a_vpc_that_cannot_be_is_refused(ec2: Any, wanted: dict[str, Any], code: str, told: str) -> None:
    before = ec2.describe_vpcs()["Vpcs"]

    assert refused(ec2.create_vpc, **wanted) == (code, told)

    assert ec2.describe_vpcs()["Vpcs"] == before


def test_two_vpcs_share_their_dhcp_options(ec2: Any) -> None:
    one, two = (ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"] for _ in range(2))
    assert one["DhcpOptionsId"] == two["DhcpOptionsId"]
    assert re.fullmatch("dopt-[0-9a-f]{17}", one["DhcpOptionsId"])


def test_vpcs_are_of_an_account_and_a_region(server: ServerProcess, vpc_id: str) -> None:
    elsewhere = server.client("ec2", region="eu-west-1")
    somebody = server.client("ec2", server.create_account("Networks").admin)
    for client in (elsewhere, somebody):
        assert client.describe_vpcs()["Vpcs"] == []
        assert refused(client.describe_vpcs, VpcIds=[vpc_id])[0] == "InvalidVpcID.NotFound"
        assert refused(client.delete_vpc, VpcId=vpc_id)[0] == "InvalidVpcID.NotFound"


def test_vpcs_are_filtered(ec2: Any) -> None:
    made = [
        ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16", TagSpecifications=tagged("vpc", Team=f"team-{number}"))["Vpc"]
        for number in (11, 12)
    ]
    ids = {each["VpcId"] for each in made}

    def found(name: str, *values: str) -> list[str]:
        vpcs = ec2.describe_vpcs(Filters=[{"Name": name, "Values": list(values)}])["Vpcs"]
        return [each["CidrBlock"] for each in vpcs if each["VpcId"] in ids]

    assert found("tag:Team", "team-1*") == ["10.11.0.0/16", "10.12.0.0/16"]
    assert found("tag:Team", "team-?2", "other") == ["10.12.0.0/16"]
    assert found("tag:team", "team-11") == []
    assert found("tag-key", "Te?m") == ["10.11.0.0/16", "10.12.0.0/16"]
    assert found("cidr", "10.11.0.0/16") == found("vpc-id", made[0]["VpcId"]) == ["10.11.0.0/16"]
    assert found("cidr", "10.11.0.0/1") == []
    assert found("cidr-block-association.state", "associated") == ["10.11.0.0/16", "10.12.0.0/16"]
    assert found("is-default", "true") == []
    assert found("is-default", "false") == ["10.11.0.0/16", "10.12.0.0/16"]
    both = [{"Name": "tag:Team", "Values": ["team-1*"]}, {"Name": "cidr", "Values": ["10.12.*"]}]
    assert [each["VpcId"] for each in ec2.describe_vpcs(Filters=both)["Vpcs"]] == [made[1]["VpcId"]]
    assert refused(ec2.describe_vpcs, Filters=[{"Name": "colour", "Values": ["red"]}]) == (
        "InvalidParameterValue",
        "The filter 'colour' is invalid",
    )
    assert refused(ec2.describe_vpcs, Filters=[{"Name": "cidr", "Values": ["a"] * 201}]) == (
        "FilterLimitExceeded",
        "The maximum number of filter values specified on a single call is 200",
    )


def test_vpcs_are_described_page_by_page_in_the_order_in_which_they_were_made(server: ServerProcess) -> None:
    ec2 = server.client("ec2", region="ap-south-1")
    made = [ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"] for _ in range(12)]

    pages = list(ec2.get_paginator("describe_vpcs").paginate(PaginationConfig={"PageSize": 5}))

    assert [[vpc["VpcId"] for vpc in page["Vpcs"]] for page in pages] == [made[:5], made[5:10], made[10:]]
    token = pages[0]["NextToken"]
    assert refused(ec2.describe_vpcs, NextToken="x", MaxResults=5) == ("InvalidNextToken", "The token 'x' is invalid")
    assert refused(server.client("ec2").describe_vpcs, NextToken=token)[0] == "InvalidNextToken"
    assert refused(ec2.describe_vpcs, VpcIds=made[:1], MaxResults=5) == (
        "InvalidParameterCombination",
        "The parameter vpcIds cannot be used with the parameter maxResults",
    )
    assert refused(ec2.describe_vpcs, MaxResults=1001)[0] == "InvalidParameterValue"


def test_an_attribute_is_changed_and_described(ec2: Any, vpc_id: str) -> None:
    def attribute(name: str) -> bool:
        answer = ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute=name)
        value: bool = answer[name[0].upper() + name[1:]]["Value"]
        assert answer["VpcId"] == vpc_id
        return value

    assert (attribute("enableDnsSupport"), attribute("enableDnsHostnames")) == (True, False)
    assert attribute("enableNetworkAddressUsageMetrics") is False
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": True})
    assert attribute("enableDnsHostnames")
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": False})
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsSupport={"Value": False})
    assert (attribute("enableDnsSupport"), attribute("enableDnsHostnames")) == (False, False)
    assert refused(ec2.modify_vpc_attribute, VpcId=vpc_id, EnableDnsHostnames={"Value": True}) == (
        "InvalidParameterValue",
        "DNS hostnames can only be enabled in a VPC whose DNS support is enabled.",
    )
    assert attribute("enableDnsHostnames") is False
    both = {"EnableDnsSupport": {"Value": True}, "EnableDnsHostnames": {"Value": True}}
    assert refused(ec2.modify_vpc_attribute, VpcId=vpc_id, **both)[0] == "InvalidParameterCombination"
    assert refused(ec2.modify_vpc_attribute, VpcId=vpc_id)[0] == "MissingParameter"


def test_a_dry_run_changes_nothing(ec2: Any, vpc_id: str) -> None:
    calls: tuple[tuple[Any, dict[str, str]], ...] = (
        (ec2.create_vpc, {"CidrBlock": "10.0.0.0/16"}),
        (ec2.delete_vpc, {"VpcId": vpc_id}),
        (ec2.describe_vpcs, {}),
    )
    for call, request in calls:
        with pytest.raises(ec2.exceptions.ClientError) as caught:
            call(**request, DryRun=True)
        response = caught.value.response
        assert response["Error"] == {
            "Code": "DryRunOperation",
            "Message": "Request would have succeeded, but DryRun flag is set.",
        }
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"]


def test_who_may_not_is_told_on_what_and_why(server: ServerProcess, vpc_id: str) -> None:
    caller = Caller(server, "user")
    ec2, vpcs = caller.client("ec2"), f"arn:aws:ec2:{server.region}:{server.account_id}:vpc"

    with pytest.raises(ec2.exceptions.ClientError) as caught:
        ec2.create_vpc(CidrBlock="10.0.0.0/16")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    error = caught.value.response["Error"]
    told, _, encoded = error["Message"].partition(". Encoded authorization failure message: ")
    assert (error["Code"], told) == (
        "UnauthorizedOperation",
        (
            f"You are not authorized to perform this operation. User: {caller.arn} is not authorized to perform:"
            f" ec2:CreateVpc on resource: {vpcs}/* because no identity-based policy allows the ec2:CreateVpc action"
        ),
    )
    decoded = server.client("sts").decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"]
    assert json.loads(decoded)["context"]["action"] == "ec2:CreateVpc"
    assert refused(ec2.describe_vpcs) == (
        "UnauthorizedOperation",
        (
            f"You are not authorized to perform this operation. User: {caller.arn} is not authorized to perform:"
            " ec2:DescribeVpcs because no identity-based policy allows the ec2:DescribeVpcs action"
        ),
    )
    assert f"on resource: {vpcs}/{vpc_id} because" in refused(ec2.delete_vpc, VpcId=vpc_id)[1]
    # Nobody learns what there is without being allowed to.
    assert refused(ec2.delete_vpc, VpcId="vpc-0")[0] == "UnauthorizedOperation"
    # A dry run is how one asks.
    assert refused(ec2.create_vpc, CidrBlock="10.0.0.0/16", DryRun=True)[0] == "UnauthorizedOperation"


def test_tagging_while_making_needs_a_permission_of_its_own(server: ServerProcess) -> None:
    caller = Caller(server, "user")
    ec2, tags = caller.client("ec2"), tagged("vpc", Team="blue")
    caller.may(allow("ec2:CreateVpc"))
    ec2.create_vpc(CidrBlock="10.0.0.0/16")
    told = refused(ec2.create_vpc, CidrBlock="10.0.0.0/16", TagSpecifications=tags)
    assert "is not authorized to perform: ec2:CreateTags on resource: " in told[1]

    blue = {"StringEquals": {"ec2:CreateAction": "CreateVpc", "aws:RequestTag/Team": "blue"}}
    caller.may(allow("ec2:CreateVpc"), {**allow("ec2:CreateTags"), "Condition": blue})
    made = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tags)["Vpc"]
    red = tagged("vpc", Team="red")
    assert refused(ec2.create_vpc, CidrBlock="10.0.0.0/16", TagSpecifications=red)[0] == "UnauthorizedOperation"

    of_blue = {"StringEquals": {"aws:ResourceTag/Team": "blue"}}
    caller.may(allow("ec2:DeleteVpc"), {**deny("ec2:DeleteVpc"), "Condition": of_blue})
    assert "with an explicit deny in an identity-based policy" in refused(ec2.delete_vpc, VpcId=made["VpcId"])[1]


def test_calls_are_in_the_trail(server: ServerProcess, ec2: Any) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    ec2.describe_vpcs(VpcIds=[vpc_id])
    trail = server.client("cloudtrail")

    def newest(name: str) -> dict[str, Any]:
        attributes = [{"AttributeKey": "EventName", "AttributeValue": name}]
        found = trail.lookup_events(LookupAttributes=attributes, MaxResults=1)["Events"][0]
        assert found["EventSource"] == "ec2.amazonaws.com"
        event: dict[str, Any] = json.loads(found["CloudTrailEvent"])
        return event

    made, described = newest("CreateVpc"), newest("DescribeVpcs")
    assert (made["readOnly"], described["readOnly"]) == (False, True)
    assert made["requestParameters"]["cidrBlock"] == "10.77.0.0/16"
    assert made["responseElements"]["vpc"]["vpcId"] == vpc_id
    assert described["requestParameters"] == {"vpcIds": [vpc_id]}


def test_whoever_is_not_known_is_told_in_ec2s_words(server: ServerProcess) -> None:
    admin = server.admin
    unknown = type(admin)("AKIAEXAMPLEEXAMPLE00", admin.secret_access_key)
    wrong = type(admin)(admin.access_key_id, "wrong")
    told = ("AuthFailure", "AWS was not able to validate the provided access credentials")
    for credentials in (unknown, wrong):
        assert refused(server.client("ec2", credentials).describe_vpcs) == told


def test_what_is_not_offered_is_refused_by_name(ec2: Any) -> None:
    assert refused(ec2.run_instances, MinCount=1, MaxCount=1) == (
        "NotImplemented",
        "Keyturn does not offer ec2 RunInstances; see docs/compatibility.md.",
    )
