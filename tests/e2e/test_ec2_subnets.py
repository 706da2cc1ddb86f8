"""Subnets and Availability Zones through boto3 and the AWS CLI."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .callers import Caller, allow
from .conftest import ServerProcess
from .networks import refused, tagged, where
from .test_awscli import TODAYS, Cli


@pytest.fixture(scope="module")
def ec2(server: ServerProcess) -> Any:
    return server.client("ec2")


@pytest.fixture
def vpc_id(ec2: Any) -> str:
    made: str = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return made


def subnet(ec2: Any, vpc_id: str, block: str = "10.0.1.0/24", **request: Any) -> str:
    made: str = ec2.create_subnet(VpcId=vpc_id, CidrBlock=block, **request)["Subnet"]["SubnetId"]
    return made


def test_a_subnet_is_made_and_described(server: ServerProcess, ec2: Any, vpc_id: str) -> None:
    made = ec2.create_subnet(
        VpcId=vpc_id, CidrBlock="10.0.1.77/24", AvailabilityZone="us-east-1b", TagSpecifications=tagged("subnet", a="b")
    )["Subnet"]

    assert re.fullmatch("subnet-[0-9a-f]{17}", made["SubnetId"])
    ec2.get_waiter("subnet_available").wait(SubnetIds=[made["SubnetId"]])
    assert ec2.describe_subnets(SubnetIds=[made["SubnetId"]])["Subnets"] == [made]
    assert {name: made[name] for name in ("VpcId", "CidrBlock", "AvailabilityZone", "AvailabilityZoneId", "Tags")} == {
        "VpcId": vpc_id,
        "CidrBlock": "10.0.1.0/24",
        "AvailabilityZone": "us-east-1b",
        "AvailabilityZoneId": "use1-az2",
        "Tags": [{"Key": "a", "Value": "b"}],
    }
    assert made["SubnetArn"] == f"arn:aws:ec2:us-east-1:{server.account_id}:subnet/{made['SubnetId']}"
    # Of 256 addresses five are EC2's own.
    assert made["AvailableIpAddressCount"] == 251


def test_the_command_line_makes_describes_and_deletes_one(server: ServerProcess, vpc_id: str) -> None:
    aws = Cli(TODAYS, ("--output", "json"), server.environ())
    made = aws("ec2", "create-subnet", "--vpc-id", vpc_id, "--cidr-block", "10.0.5.0/28")["Subnet"]
    assert (made["AvailabilityZone"], made["AvailableIpAddressCount"]) == ("us-east-1a", 11)
    of_vpc = ("--filters", f"Name=vpc-id,Values={vpc_id}", "Name=cidr-block,Values=10.0.5.*")
    assert aws("ec2", "describe-subnets", *of_vpc, "--query", "Subnets[].SubnetId") == [made["SubnetId"]]
    aws("ec2", "modify-subnet-attribute", "--subnet-id", made["SubnetId"], "--map-public-ip-on-launch")
    assert aws("ec2", "describe-subnets", *of_vpc)["Subnets"][0]["MapPublicIpOnLaunch"] is True
    aws("ec2", "delete-subnet", "--subnet-id", made["SubnetId"])
    assert aws("ec2", "describe-subnets", *of_vpc)["Subnets"] == []


@pytest.mark.parametrize(
    ("wanted", "code", "told"),
    [
        ({}, "MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided."),
        ({"CidrBlock": "10.1.0.0/24"}, "InvalidSubnet.Range", "The CIDR '10.1.0.0/24' is invalid."),
        ({"CidrBlock": "10.0.0.0/15"}, "InvalidSubnet.Range", "The CIDR '10.0.0.0/15' is invalid."),
        ({"CidrBlock": "10.0.9.0/29"}, "InvalidSubnet.Range", "The CIDR '10.0.9.0/29' is invalid."),
        (
            {"CidrBlock": "10.0.1.128/25"},
            "InvalidSubnet.Conflict",
            "The CIDR '10.0.1.128/25' conflicts with another subnet",
        ),
        (
            {"CidrBlock": "10.0.0.0/22"},
            "InvalidSubnet.Conflict",
            "The CIDR '10.0.0.0/22' conflicts with another subnet",
        ),
        (
            {"CidrBlock": "10.0.2.0"},
            "InvalidParameterValue",
            "Value (10.0.2.0) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
        ),
        (
            {"CidrBlock": "10.0.2.0/24", "AvailabilityZone": "us-east-1z"},
            "InvalidParameterValue",
            (
                "Value (us-east-1z) for parameter availabilityZone is invalid. Subnets can currently only be created in"
                " the following availability zones: us-east-1a, us-east-1b, us-east-1c."
            ),
        ),
        (
            {"CidrBlock": "10.0.2.0/24", "AvailabilityZoneId": "use1-az9"},
            "InvalidParameterValue",
            (
                "Value (use1-az9) for parameter availabilityZoneId is invalid. Subnets can currently only be created in"
                " the following availability zones: use1-az1, use1-az2, use1-az3."
            ),
        ),
        (
            {"CidrBlock": "10.0.2.0/24", "AvailabilityZoneId": "use1-az1", "AvailabilityZone": "us-east-1a"},
            "InvalidParameterCombination",
            "The request must contain either the parameter availabilityZone or availabilityZoneId, not both",
        ),
        (
            {"CidrBlock": "10.0.2.0/24", "Ipv6CidrBlock": "fd00::/64"},
            "NotImplemented",
            "Keyturn does not offer Ipv6CidrBlock of ec2 CreateSubnet; see docs/compatibility.md.",
        ),
    ],
)
def test_a_subnet_that_cannot_be_is_refused(
    ec2: Any, vpc_id: str, wanted: dict[str, Any], code: str, told: str
) -> None:
    subnet(ec2, vpc_id, "10.0.1.0/24")

    assert refused(ec2.create_subnet, VpcId=vpc_id, **wanted) == (code, told)

    assert len(ec2.describe_subnets(Filters=where(vpc_id=vpc_id))["Subnets"]) == 1


def test_what_does_not_exist_is_told(ec2: Any) -> None:
    assert refused(ec2.create_subnet, VpcId="vpc-0", CidrBlock="10.0.0.0/24") == (
        "InvalidVpcID.NotFound",
        "The vpc ID 'vpc-0' does not exist",
    )
    told = ("InvalidSubnetID.NotFound", "The subnet ID 'subnet-0' does not exist")
    assert refused(ec2.describe_subnets, SubnetIds=["subnet-0"]) == told
    assert refused(ec2.delete_subnet, SubnetId="subnet-0") == told
    assert refused(ec2.modify_subnet_attribute, SubnetId="subnet-0", MapPublicIpOnLaunch={"Value": True}) == told


def test_vpcs_may_have_the_same_addresses(ec2: Any, vpc_id: str) -> None:
    other = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    found = {subnet(ec2, one, "10.0.1.0/24") for one in (vpc_id, other)}
    both = ec2.describe_subnets(Filters=where(vpc_id=[vpc_id, other]))["Subnets"]
    assert {each["SubnetId"] for each in both} == found


def test_a_subnet_is_filtered_by_what_is_worked_out(ec2: Any, vpc_id: str) -> None:
    small = subnet(ec2, vpc_id, "10.0.1.0/28", AvailabilityZoneId="use1-az3")
    subnet(ec2, vpc_id, "10.0.2.0/24")
    for filters in (
        where(vpc_id=vpc_id, available_ip_address_count="11"),
        where(vpc_id=vpc_id, availability_zone="us-east-1c"),
        where(subnet_id=small, default_for_az="false", state="available"),
    ):
        assert [one["SubnetId"] for one in ec2.describe_subnets(Filters=filters)["Subnets"]] == [small]


def test_a_vpc_with_a_subnet_cannot_be_deleted(ec2: Any, vpc_id: str) -> None:
    made = subnet(ec2, vpc_id)
    assert refused(ec2.delete_vpc, VpcId=vpc_id) == (
        "DependencyViolation",
        f"The vpc '{vpc_id}' has dependencies and cannot be deleted.",
    )
    ec2.delete_subnet(SubnetId=made)
    ec2.delete_vpc(VpcId=vpc_id)
    assert refused(ec2.describe_vpcs, VpcIds=[vpc_id])[0] == "InvalidVpcID.NotFound"


def test_one_attribute_at_a_time_is_changed(ec2: Any, vpc_id: str) -> None:
    made = subnet(ec2, vpc_id)
    assert refused(ec2.modify_subnet_attribute, SubnetId=made)[0] == "MissingParameter"
    dns = {"EnableDns64": {"Value": True}}
    assert refused(ec2.modify_subnet_attribute, SubnetId=made, **dns)[0] == "NotImplemented"


def test_making_one_needs_a_permission_on_the_vpc_too(server: ServerProcess, ec2: Any, vpc_id: str) -> None:
    caller, here = Caller(server, "user"), f"arn:aws:ec2:{server.region}:{server.account_id}"
    client = caller.client("ec2")
    caller.may(allow("ec2:CreateSubnet", f"{here}:subnet/*"))
    told = refused(client.create_subnet, VpcId=vpc_id, CidrBlock="10.0.1.0/24")
    assert told[0] == "UnauthorizedOperation"
    assert f"is not authorized to perform: ec2:CreateSubnet on resource: {here}:vpc/{vpc_id} because" in told[1]
    caller.may(allow("ec2:CreateSubnet", [f"{here}:subnet/*", f"{here}:vpc/{vpc_id}"]))
    made = subnet(client, vpc_id)

    of_vpc = {"StringEquals": {"ec2:Vpc": f"{here}:vpc/{vpc_id}"}}
    caller.may(allow("ec2:DeleteSubnet", Condition=of_vpc))
    other = subnet(ec2, ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])
    assert refused(client.delete_subnet, SubnetId=other)[0] == "UnauthorizedOperation"
    client.delete_subnet(SubnetId=made)


def test_all_regions_of_the_partition_are_there(server: ServerProcess, ec2: Any) -> None:
    regions = {each["RegionName"]: each for each in ec2.describe_regions()["Regions"]}
    assert {"us-east-1", "eu-central-1", "ap-southeast-2"} <= set(regions)
    assert not {"cn-north-1", "aws-global"} & set(regions)
    [one] = ec2.describe_regions(RegionNames=["eu-central-1"])["Regions"]
    assert one == {
        "RegionName": "eu-central-1",
        "Endpoint": "ec2.eu-central-1.amazonaws.com",
        "OptInStatus": "opt-in-not-required",
    }
    assert ec2.describe_regions(Filters=where(region_name="eu-central-?"))["Regions"][0] == one
    assert refused(ec2.describe_regions, RegionNames=["eu-nowhere-1"]) == (
        "InvalidParameterValue",
        "Invalid region: [eu-nowhere-1]",
    )


def test_no_account_has_a_default_vpc(ec2: Any) -> None:
    told = {
        each["AttributeName"]: [value["AttributeValue"] for value in each["AttributeValues"]]
        for each in ec2.describe_account_attributes()["AccountAttributes"]
    }
    assert told == {"supported-platforms": ["VPC"], "default-vpc": ["none"]}
    [chosen] = ec2.describe_account_attributes(AttributeNames=["default-vpc"])["AccountAttributes"]
    assert chosen["AttributeName"] == "default-vpc"
    assert refused(ec2.describe_security_groups, GroupNames=["default"])[0] == "VPCIdNotSpecified"


def test_a_region_has_three_zones(server: ServerProcess, ec2: Any) -> None:
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert [(zone["ZoneName"], zone["ZoneId"]) for zone in zones] == [
        ("us-east-1a", "use1-az1"),
        ("us-east-1b", "use1-az2"),
        ("us-east-1c", "use1-az3"),
    ]
    assert {zone["State"] for zone in zones} == {"available"}
    (found,) = ec2.describe_availability_zones(Filters=where(zone_id="use1-az2"))["AvailabilityZones"]
    assert found["ZoneName"] == "us-east-1b"
    assert ec2.describe_availability_zones(ZoneNames=["us-east-1b"])["AvailabilityZones"] == [found]
    assert refused(ec2.describe_availability_zones, ZoneNames=["us-east-1z"]) == (
        "InvalidParameterValue",
        "Invalid availability zone: [us-east-1z]",
    )
    for region, zone_id in (("ap-southeast-2", "apse2-az1"), ("eu-central-1", "euc1-az1")):
        elsewhere = server.client("ec2", region=region).describe_availability_zones()["AvailabilityZones"]
        assert (elsewhere[0]["ZoneName"], elsewhere[0]["ZoneId"]) == (f"{region}a", zone_id)
