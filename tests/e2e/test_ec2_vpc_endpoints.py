"""Interface endpoints of VPCs through boto3 and the AWS CLI."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from .callers import Caller, allow
from .conftest import ServerProcess
from .networks import default_group, new_group, new_subnet, new_vpc, refused, tagged, where
from .test_awscli import TODAYS, Cli

SECRETS_MANAGER = "com.amazonaws.us-east-1.secretsmanager"
HOST = "secretsmanager.us-east-1.amazonaws.com"
FULL_ACCESS = {"Statement": [{"Action": "*", "Effect": "Allow", "Principal": "*", "Resource": "*"}]}


@pytest.fixture(scope="module")
def ec2(server: ServerProcess) -> Any:
    return server.client("ec2")


@pytest.fixture
def vpc_id(ec2: Any) -> str:
    """A VPC that resolves private names."""
    made = new_vpc(ec2)
    ec2.modify_vpc_attribute(VpcId=made, EnableDnsHostnames={"Value": True})
    return made


def create(ec2: Any, vpc_id: str, service: str = "secretsmanager", **request: Any) -> dict[str, Any]:
    name = f"com.amazonaws.us-east-1.{service}"
    endpoint: dict[str, Any] = ec2.create_vpc_endpoint(
        **{"VpcEndpointType": "Interface", "VpcId": vpc_id, "ServiceName": name, **request}
    )["VpcEndpoint"]
    return endpoint


def described(ec2: Any, endpoint_id: str) -> dict[str, Any]:
    (found,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint_id])["VpcEndpoints"]
    endpoint: dict[str, Any] = found
    return endpoint


def interfaces(ec2: Any, endpoint_id: str) -> list[dict[str, Any]]:
    filters = where(description=f"VPC Endpoint Interface {endpoint_id}")
    found: list[dict[str, Any]] = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    return found


def names(endpoint: dict[str, Any]) -> list[str]:
    return [entry["DnsName"] for entry in endpoint["DnsEntries"]]


def test_an_endpoint_has_an_interface_in_each_subnet_and_names(server: ServerProcess, ec2: Any, vpc_id: str) -> None:
    group_id = new_group(ec2, vpc_id, "endpoint")
    subnets = [
        new_subnet(ec2, vpc_id, f"10.0.{number}.0/24", AvailabilityZone=f"us-east-1{zone}")
        for number, zone in enumerate("ab", 1)
    ]
    made = create(
        ec2,
        vpc_id,
        SubnetIds=subnets,
        SecurityGroupIds=[group_id],
        TagSpecifications=tagged("vpc-endpoint", Name="secrets"),
    )
    endpoint_id = made["VpcEndpointId"]

    assert re.fullmatch("vpce-[0-9a-f]{17}", endpoint_id)
    found = described(ec2, endpoint_id)
    assert found == {**made, "State": "available"}
    assert json.loads(found["PolicyDocument"]) == FULL_ACCESS
    expected = {
        "VpcEndpointType": "Interface",
        "VpcId": vpc_id,
        "ServiceName": SECRETS_MANAGER,
        "ServiceRegion": "us-east-1",
        "SubnetIds": subnets,
        "Groups": [{"GroupId": group_id, "GroupName": "endpoint"}],
        "IpAddressType": "ipv4",
        "PrivateDnsEnabled": True,
        "RequesterManaged": False,
        "RouteTableIds": [],
        "OwnerId": server.account_id,
        "Tags": [{"Key": "Name", "Value": "secrets"}],
    }
    assert {name: found[name] for name in expected} == expected
    own = names(found)[0].partition(".")[0]
    assert re.fullmatch(f"{endpoint_id}-[0-9a-z]{{8}}", own)
    behind = "secretsmanager.us-east-1.vpce.amazonaws.com"
    assert names(found) == [f"{own}.{behind}", f"{own}-us-east-1a.{behind}", f"{own}-us-east-1b.{behind}", HOST]

    its_own = interfaces(ec2, endpoint_id)
    assert {each["NetworkInterfaceId"] for each in its_own} == set(found["NetworkInterfaceIds"])
    assert {each["SubnetId"] for each in its_own} == set(subnets)
    for interface in its_own:
        assert (interface["InterfaceType"], interface["RequesterManaged"], interface["Status"]) == (
            "vpc_endpoint",
            True,
            "in-use",
        )
        assert interface["Groups"] == found["Groups"]
        assert interface["Attachment"]["InstanceOwnerId"] == "amazon-aws"


def test_without_groups_it_has_the_default_group(ec2: Any, vpc_id: str) -> None:
    endpoint = create(ec2, vpc_id)
    assert [group["GroupId"] for group in endpoint["Groups"]] == [default_group(ec2, vpc_id)]
    assert (endpoint["SubnetIds"], endpoint["NetworkInterfaceIds"]) == ([], [])


def test_the_command_line_makes_changes_and_deletes_one(server: ServerProcess, ec2: Any, vpc_id: str) -> None:
    aws = Cli(TODAYS, ("--output", "json"), server.environ())
    subnet_id = new_subnet(ec2, vpc_id)
    endpoint_id = aws(
        *("ec2", "create-vpc-endpoint", "--vpc-endpoint-type", "Interface", "--vpc-id", vpc_id),
        *("--service-name", SECRETS_MANAGER, "--subnet-ids", subnet_id, "--no-private-dns-enabled"),
    )["VpcEndpoint"]["VpcEndpointId"]
    aws("ec2", "modify-vpc-endpoint", "--vpc-endpoint-id", endpoint_id, "--private-dns-enabled")
    filters = ("--filters", f"Name=vpc-id,Values={vpc_id}", f"Name=service-name,Values={SECRETS_MANAGER}")
    told = aws("ec2", "describe-vpc-endpoints", *filters, "--query", "VpcEndpoints[].[VpcEndpointId,State]")
    assert told == [[endpoint_id, "available"]]
    assert HOST in names(described(ec2, endpoint_id))
    deleted = aws("ec2", "delete-vpc-endpoints", "--vpc-endpoint-ids", endpoint_id, "vpce-0")
    assert deleted["Unsuccessful"] == [
        {
            "ResourceId": "vpce-0",
            "Error": {
                "Code": "InvalidVpcEndpoint.NotFound",
                "Message": "The Vpc Endpoint Id 'vpce-0' does not exist",
            },
        }
    ]
    assert refused(ec2.describe_vpc_endpoints, VpcEndpointIds=[endpoint_id])[0] == "InvalidVpcEndpointId.NotFound"


def test_its_interfaces_go_with_it_and_only_with_it(ec2: Any, vpc_id: str) -> None:
    subnet_id = new_subnet(ec2, vpc_id)
    endpoint = create(ec2, vpc_id, SubnetIds=[subnet_id])
    (interface_id,) = endpoint["NetworkInterfaceIds"]
    in_use = ("InvalidParameterValue", f"Network interface '{interface_id}' is currently in use.")
    assert refused(ec2.delete_network_interface, NetworkInterfaceId=interface_id) == in_use
    change = {"NetworkInterfaceId": interface_id, "Groups": [default_group(ec2, vpc_id)]}
    assert refused(ec2.modify_network_interface_attribute, **change) == (
        "AuthFailure",
        "You do not have permission to access the specified resource.",
    )
    assert refused(ec2.delete_subnet, SubnetId=subnet_id)[0] == "DependencyViolation"
    assert refused(ec2.delete_vpc, VpcId=vpc_id)[0] == "DependencyViolation"

    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint["VpcEndpointId"]])

    assert refused(ec2.describe_network_interfaces, NetworkInterfaceIds=[interface_id])[0] == (
        "InvalidNetworkInterfaceID.NotFound"
    )
    ec2.delete_subnet(SubnetId=subnet_id)
    ec2.delete_vpc(VpcId=vpc_id)


def test_subnets_and_groups_are_changed_with_the_interfaces(ec2: Any, vpc_id: str) -> None:
    one, two = (
        new_subnet(ec2, vpc_id, f"10.0.{number}.0/24", AvailabilityZone=f"us-east-1{zone}")
        for number, zone in enumerate("ab", 1)
    )
    first, second = new_group(ec2, vpc_id, "first"), new_group(ec2, vpc_id, "second")
    endpoint = create(ec2, vpc_id, SubnetIds=[one], SecurityGroupIds=[first])
    endpoint_id, (kept,) = endpoint["VpcEndpointId"], endpoint["NetworkInterfaceIds"]

    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint_id, AddSubnetIds=[two], AddSecurityGroupIds=[second])
    found = described(ec2, endpoint_id)
    assert (found["SubnetIds"], found["NetworkInterfaceIds"][0]) == ([one, two], kept)
    assert len(interfaces(ec2, endpoint_id)) == len(found["NetworkInterfaceIds"]) == 2
    assert any("us-east-1b" in name for name in names(found))
    for interface in interfaces(ec2, endpoint_id):
        assert [group["GroupId"] for group in interface["Groups"]] == [first, second]

    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint_id, RemoveSubnetIds=[one], RemoveSecurityGroupIds=[first])
    found = described(ec2, endpoint_id)
    assert found["SubnetIds"] == [two]
    (left,) = interfaces(ec2, endpoint_id)
    assert ([group["GroupId"] for group in left["Groups"]], left["SubnetId"]) == ([second], two)
    assert not any("us-east-1a" in name for name in names(found))

    modify = ec2.modify_vpc_endpoint
    assert refused(modify, VpcEndpointId=endpoint_id, RemoveSecurityGroupIds=[second])[0] == "InvalidParameter"
    assert refused(modify, VpcEndpointId=endpoint_id, RemoveSubnetIds=[one])[0] == "InvalidParameter"
    assert refused(modify, VpcEndpointId=endpoint_id, AddSubnetIds=["subnet-0"])[0] == "InvalidSubnetID.NotFound"
    assert refused(modify, VpcEndpointId="vpce-0", AddSubnetIds=[one])[0] == "InvalidVpcEndpointId.NotFound"
    assert described(ec2, endpoint_id) == found


def test_an_endpoint_has_one_subnet_in_a_zone(ec2: Any, vpc_id: str) -> None:
    one, two = (new_subnet(ec2, vpc_id, f"10.0.{number}.0/24") for number in (1, 2))
    create_two = {"VpcEndpointType": "Interface", "VpcId": vpc_id, "ServiceName": SECRETS_MANAGER}
    assert refused(ec2.create_vpc_endpoint, **create_two, SubnetIds=[one, two]) == (
        "DuplicateSubnetsInSameZone",
        f"Found another VPC endpoint subnet in the availability zone of {two}",
    )
    assert ec2.describe_vpc_endpoints(Filters=where(vpc_id=vpc_id))["VpcEndpoints"] == []
    endpoint = create(ec2, vpc_id, SubnetIds=[one])
    add = {"VpcEndpointId": endpoint["VpcEndpointId"], "AddSubnetIds": [two]}
    assert refused(ec2.modify_vpc_endpoint, **add)[0] == "DuplicateSubnetsInSameZone"
    ec2.modify_vpc_endpoint(**add, RemoveSubnetIds=[one])
    assert described(ec2, endpoint["VpcEndpointId"])["SubnetIds"] == [two]


def test_private_dns_needs_both_attributes_of_the_vpc(ec2: Any) -> None:
    vpc_id = new_vpc(ec2)
    request = {"VpcEndpointType": "Interface", "VpcId": vpc_id, "ServiceName": SECRETS_MANAGER}
    needs_both = (
        "InvalidParameter",
        (
            "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for"
            f" {vpc_id}"
        ),
    )
    # It is on if nothing is said.
    assert refused(ec2.create_vpc_endpoint, **request) == needs_both
    endpoint = create(ec2, vpc_id, PrivateDnsEnabled=False)
    endpoint_id = endpoint["VpcEndpointId"]
    assert HOST not in names(endpoint)
    assert refused(ec2.modify_vpc_endpoint, VpcEndpointId=endpoint_id, PrivateDnsEnabled=True) == needs_both

    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": True})
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint_id, PrivateDnsEnabled=True)

    assert HOST in names(described(ec2, endpoint_id))
    assert refused(ec2.create_vpc_endpoint, **request) == (
        "InvalidParameter",
        (
            f"private-dns-enabled cannot be set because there is already a conflicting DNS domain for {HOST} in the VPC"
            f" {vpc_id}"
        ),
    )
    create(ec2, vpc_id, PrivateDnsEnabled=False)
    create(ec2, vpc_id, "kms")
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint_id, PrivateDnsEnabled=False)
    assert HOST not in names(described(ec2, endpoint_id))
    create(ec2, vpc_id)


def test_its_policy_is_checked_changed_and_reset(ec2: Any, vpc_id: str) -> None:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    endpoint_id = create(ec2, vpc_id, PolicyDocument=policy)["VpcEndpointId"]
    assert described(ec2, endpoint_id)["PolicyDocument"] == policy
    modify = ec2.modify_vpc_endpoint
    malformed = ("InvalidPolicyDocument", "The specified policy document is not a valid JSON policy document.")
    without_principal = {name: value for name, value in statement.items() if name != "Principal"}
    for text in ("{", "[]", json.dumps({"Version": "2012-10-17", "Statement": [without_principal]})):
        assert refused(modify, VpcEndpointId=endpoint_id, PolicyDocument=text) == malformed
    long = policy + " " * 20_480
    assert refused(modify, VpcEndpointId=endpoint_id, PolicyDocument=long)[0] == "InvalidPolicyDocument"
    both = {"PolicyDocument": policy, "ResetPolicy": True}
    assert refused(modify, VpcEndpointId=endpoint_id, **both)[0] == "InvalidParameterCombination"
    assert described(ec2, endpoint_id)["PolicyDocument"] == policy
    modify(VpcEndpointId=endpoint_id, ResetPolicy=True)
    assert json.loads(described(ec2, endpoint_id)["PolicyDocument"]) == FULL_ACCESS


@pytest.mark.parametrize(
    ("changed", "code", "told"),
    [
        ({"ServiceName": None}, "MissingParameter", "The request must contain the parameter serviceName"),
        (
            {"ServiceName": "com.amazonaws.us-east-1.ec2"},
            "InvalidServiceName",
            "The Vpc Endpoint Service 'com.amazonaws.us-east-1.ec2' does not exist",
        ),
        ({"ServiceName": "com.amazonaws.eu-west-1.kms"}, "InvalidServiceName", None),
        (
            {"VpcEndpointType": None},
            "InvalidParameter",
            "Endpoint type (Gateway) does not match available service types ([Interface]).",
        ),
        (
            {"ServiceName": "com.amazonaws.us-east-1.s3", "VpcEndpointType": "Gateway"},
            "NotImplemented",
            "Keyturn does not offer gateway endpoints: it has neither S3 nor DynamoDB; see docs/compatibility.md.",
        ),
        ({"VpcId": "vpc-0"}, "InvalidVpcID.NotFound", None),
        ({"SubnetIds": ["subnet-0"]}, "InvalidSubnetID.NotFound", None),
        ({"SecurityGroupIds": ["sg-0"]}, "InvalidGroup.NotFound", None),
        ({"RouteTableIds": ["rtb-0"]}, "NotImplemented", None),
        ({"IpAddressType": "dualstack"}, "NotImplemented", None),
        ({"PolicyDocument": "nonsense"}, "InvalidPolicyDocument", None),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused(
    ec2: Any, vpc_id: str, changed: dict[str, Any], code: str, told: str | None
) -> None:
    complete = {"VpcEndpointType": "Interface", "VpcId": vpc_id, "ServiceName": SECRETS_MANAGER, **changed}
    found = refused(ec2.create_vpc_endpoint, **{name: value for name, value in complete.items() if value is not None})
    assert found[0] == code
    assert told is None or found[1] == told
    assert ec2.describe_vpc_endpoints(Filters=where(vpc_id=vpc_id))["VpcEndpoints"] == []


def test_subnets_and_groups_are_of_its_vpc(ec2: Any, vpc_id: str) -> None:
    elsewhere = new_vpc(ec2)
    request = {"VpcEndpointType": "Interface", "VpcId": vpc_id, "ServiceName": SECRETS_MANAGER}
    group_id = new_group(ec2, elsewhere)
    assert refused(ec2.create_vpc_endpoint, **request, SubnetIds=[new_subnet(ec2, elsewhere)])[0] == "InvalidParameter"
    assert refused(ec2.create_vpc_endpoint, **request, SecurityGroupIds=[group_id]) == (
        "InvalidParameter",
        f"Security group {group_id} and vpc {vpc_id} belong to different networks.",
    )


def test_services_are_described(ec2: Any) -> None:
    told = ec2.describe_vpc_endpoint_services()
    assert told["ServiceNames"] == [
        f"com.amazonaws.us-east-1.{service}" for service in ("kms", "logs", "secretsmanager", "sts")
    ]
    (detail,) = ec2.describe_vpc_endpoint_services(ServiceNames=[SECRETS_MANAGER])["ServiceDetails"]
    assert detail["ServiceType"] == [{"ServiceType": "Interface"}]
    assert (detail["PrivateDnsName"], detail["Owner"]) == (HOST, "amazon")
    assert detail["AvailabilityZones"] == ["us-east-1a", "us-east-1b", "us-east-1c"]

    def count(**filters: str) -> int:
        return len(ec2.describe_vpc_endpoint_services(Filters=where(**filters))["ServiceNames"])

    assert count(service_type="Interface") == 4
    assert count(service_type="Gateway") == 0
    assert count(service_name="*.kms") == 1
    pages = ec2.get_paginator("describe_vpc_endpoint_services").paginate(PaginationConfig={"PageSize": 3})
    assert [len(page["ServiceNames"]) for page in pages] == [3, 1]
    describe = ec2.describe_vpc_endpoint_services
    assert refused(describe, NextToken="x") == ("InvalidNextToken", "The token 'x' is invalid")
    assert refused(describe, ServiceNames=["s3"]) == (
        "InvalidServiceName",
        "The Vpc Endpoint Service 's3' does not exist",
    )


def test_endpoints_are_filtered(ec2: Any, vpc_id: str) -> None:
    made = {service: create(ec2, vpc_id, service)["VpcEndpointId"] for service in ("kms", "sts")}

    def found(**filters: str) -> list[str]:
        endpoints = ec2.describe_vpc_endpoints(Filters=where(vpc_id=vpc_id, **filters))["VpcEndpoints"]
        return [endpoint["VpcEndpointId"] for endpoint in endpoints]

    assert found() == found(vpc_endpoint_state="available") == found(vpc_endpoint_type="Interface") == [*made.values()]
    assert found(service_name="com.amazonaws.us-east-1.sts") == [made["sts"]]
    assert found(vpc_endpoint_id=made["kms"]) == [made["kms"]]


def test_what_is_asked_of_policies(server: ServerProcess, ec2: Any, vpc_id: str) -> None:
    subnet_id, group_id = new_subnet(ec2, vpc_id), new_group(ec2, vpc_id)
    caller = Caller(server, "user")
    theirs, of_account = caller.client("ec2"), f"arn:aws:ec2:us-east-1:{server.account_id}"
    request = {
        "VpcEndpointType": "Interface",
        "VpcId": vpc_id,
        "ServiceName": SECRETS_MANAGER,
        "SubnetIds": [subnet_id],
        "SecurityGroupIds": [group_id],
    }
    allowed: list[str] = []
    for resource in ("vpc-endpoint/*", f"vpc/{vpc_id}", f"subnet/{subnet_id}", f"security-group/{group_id}"):
        told = refused(theirs.create_vpc_endpoint, **request)
        assert (told[0], f"on resource: {of_account}:{resource} because" in told[1]) == ("UnauthorizedOperation", True)
        allowed.append(f"{of_account}:{resource}")
        caller.may(allow("ec2:CreateVpcEndpoint", allowed))
    made = theirs.create_vpc_endpoint(**request)["VpcEndpoint"]["VpcEndpointId"]
    other = create(ec2, vpc_id, "kms")["VpcEndpointId"]

    caller.may(allow("ec2:DeleteVpcEndpoints", f"{of_account}:vpc-endpoint/{made}"))
    told = refused(theirs.delete_vpc_endpoints, VpcEndpointIds=[made, other])
    assert (told[0], f"vpc-endpoint/{other} because" in told[1]) == ("UnauthorizedOperation", True)
    assert described(ec2, made)["State"] == "available"
    assert theirs.delete_vpc_endpoints(VpcEndpointIds=[made])["Unsuccessful"] == []


def test_policies_may_name_the_service_behind_an_endpoint(server: ServerProcess, ec2: Any, vpc_id: str) -> None:
    caller = Caller(server, "user")
    theirs = caller.client("ec2")
    of_kms = {"StringLike": {"ec2:VpceServiceName": "*.kms"}, "StringEquals": {"ec2:VpceServiceOwner": "amazon"}}
    on_endpoints = f"arn:aws:ec2:us-east-1:{server.account_id}:vpc-endpoint/*"
    caller.may(
        allow("ec2:CreateVpcEndpoint", f"arn:aws:ec2:us-east-1:{server.account_id}:vpc/*"),
        allow(["ec2:CreateVpcEndpoint", "ec2:DeleteVpcEndpoints"], on_endpoints, Condition=of_kms),
    )
    made = create(theirs, vpc_id, "kms")["VpcEndpointId"]
    request = {"VpcEndpointType": "Interface", "VpcId": vpc_id, "ServiceName": SECRETS_MANAGER}
    assert refused(theirs.create_vpc_endpoint, **request)[0] == "UnauthorizedOperation"
    other = create(ec2, vpc_id)["VpcEndpointId"]
    assert refused(theirs.delete_vpc_endpoints, VpcEndpointIds=[other])[0] == "UnauthorizedOperation"
    theirs.delete_vpc_endpoints(VpcEndpointIds=[made])
