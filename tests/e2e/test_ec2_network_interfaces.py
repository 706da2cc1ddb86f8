"""Network interfaces through boto3 and the AWS CLI, and what networks here have none of."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from .callers import Caller, allow
from .conftest import ServerProcess
from .networks import default_group, new_group, new_subnet, new_vpc, refused, tagged, where
from .test_awscli import TODAYS, Cli


@pytest.fixture(scope="module")
def ec2(server: ServerProcess) -> Any:
    return server.client("ec2")


@pytest.fixture
def vpc_id(ec2: Any) -> str:
    return new_vpc(ec2)


@pytest.fixture
def subnet_id(ec2: Any, vpc_id: str) -> str:
    return new_subnet(ec2, vpc_id)


def described(ec2: Any, interface_id: str) -> dict[str, Any]:
    (found,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface_id])["NetworkInterfaces"]
    interface: dict[str, Any] = found
    return interface


def free_addresses(ec2: Any, subnet_id: str) -> int:
    count: int = ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]["AvailableIpAddressCount"]
    return count


def test_an_interface_stands_for_a_host(server: ServerProcess, ec2: Any, vpc_id: str, subnet_id: str) -> None:
    group_id = new_group(ec2, vpc_id, "database")
    made = ec2.create_network_interface(
        SubnetId=subnet_id,
        PrivateIpAddress="10.0.1.15",
        Groups=[group_id],
        Description="The database",
        TagSpecifications=tagged("network-interface", Name="db"),
    )["NetworkInterface"]

    assert re.fullmatch("eni-[0-9a-f]{17}", made["NetworkInterfaceId"])
    assert made["Status"] == "pending"
    ec2.get_waiter("network_interface_available").wait(NetworkInterfaceIds=[made["NetworkInterfaceId"]])
    found = described(ec2, made["NetworkInterfaceId"])
    assert found == {**made, "Status": "available"}
    assert re.fullmatch("02(:[0-9a-f]{2}){5}", found.pop("MacAddress"))
    assert found == {
        "NetworkInterfaceId": made["NetworkInterfaceId"],
        "InterfaceType": "interface",
        "SubnetId": subnet_id,
        "VpcId": vpc_id,
        "AvailabilityZone": "us-east-1a",
        "AvailabilityZoneId": "use1-az1",
        "Description": "The database",
        "OwnerId": server.account_id,
        "RequesterId": server.account_id,
        "RequesterManaged": False,
        "Groups": [{"GroupId": group_id, "GroupName": "database"}],
        "PrivateDnsName": "ip-10-0-1-15.ec2.internal",
        "PrivateIpAddress": "10.0.1.15",
        "PrivateIpAddresses": [
            {"Primary": True, "PrivateDnsName": "ip-10-0-1-15.ec2.internal", "PrivateIpAddress": "10.0.1.15"}
        ],
        "Ipv6Addresses": [],
        "SourceDestCheck": True,
        "Status": "available",
        "TagSet": [{"Key": "Name", "Value": "db"}],
    }


def test_addresses_are_taken_from_the_subnet_and_given_back(ec2: Any, vpc_id: str, subnet_id: str) -> None:
    before = free_addresses(ec2, subnet_id)
    first, second = (ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"] for _ in range(2))
    assert [first["PrivateIpAddress"], second["PrivateIpAddress"]] == ["10.0.1.4", "10.0.1.5"]
    assert [group["GroupId"] for group in first["Groups"]] == [default_group(ec2, vpc_id)]
    assert free_addresses(ec2, subnet_id) == before - 2
    assert refused(ec2.delete_subnet, SubnetId=subnet_id)[0] == "DependencyViolation"

    ec2.delete_network_interface(NetworkInterfaceId=first["NetworkInterfaceId"])

    assert free_addresses(ec2, subnet_id) == before - 1
    listed = [{"PrivateIpAddress": "10.0.1.4", "Primary": True}]
    again = ec2.create_network_interface(SubnetId=subnet_id, PrivateIpAddresses=listed)["NetworkInterface"]
    assert again["PrivateIpAddress"] == "10.0.1.4"
    assert refused(ec2.delete_network_interface, NetworkInterfaceId=first["NetworkInterfaceId"]) == (
        "InvalidNetworkInterfaceID.NotFound",
        f"The networkInterface ID '{first['NetworkInterfaceId']}' does not exist",
    )


def test_an_address_that_cannot_be_had_is_refused(ec2: Any, vpc_id: str, subnet_id: str) -> None:
    ec2.create_network_interface(SubnetId=subnet_id, PrivateIpAddress="10.0.1.15")

    def told(address: str) -> tuple[str, str]:
        return refused(ec2.create_network_interface, SubnetId=subnet_id, PrivateIpAddress=address)

    assert told("10.0.1.15") == ("InvalidIPAddress.InUse", "Address 10.0.1.15 is in use.")
    for address in ("10.0.2.1", "10.0.1", "::1"):
        assert told(address) == (
            "InvalidParameterValue",
            "Address does not fall within the subnet's address range",
        )
    # The network's own, the router's, the last one.
    for address in ("10.0.1.0", "10.0.1.3", "10.0.1.255"):
        assert told(address) == (
            "InvalidParameterValue",
            f"Address {address} is in subnet's reserved address range",
        )
    two = [{"PrivateIpAddress": "10.0.1.20", "Primary": True}, {"PrivateIpAddress": "10.0.1.21"}]
    assert refused(ec2.create_network_interface, SubnetId=subnet_id, PrivateIpAddresses=two)[0] == "NotImplemented"
    both = {"PrivateIpAddress": "10.0.1.20", "PrivateIpAddresses": two[:1]}
    assert refused(ec2.create_network_interface, SubnetId=subnet_id, **both)[0] == "InvalidParameterCombination"

    small = new_subnet(ec2, vpc_id, "10.0.9.0/28")
    for _ in range(11):
        ec2.create_network_interface(SubnetId=small)
    assert free_addresses(ec2, small) == 0
    assert refused(ec2.create_network_interface, SubnetId=small) == (
        "InsufficientFreeAddressesInSubnet",
        "The specified subnet does not have enough free addresses to satisfy the request.",
    )


def test_groups_and_description_are_changed(ec2: Any, vpc_id: str, subnet_id: str) -> None:
    interface_id = ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"]["NetworkInterfaceId"]
    one, two = new_group(ec2, vpc_id, "one"), new_group(ec2, vpc_id, "two")
    ec2.modify_network_interface_attribute(NetworkInterfaceId=interface_id, Groups=[one, two])
    ec2.modify_network_interface_attribute(NetworkInterfaceId=interface_id, Description={"Value": "new"})
    found = described(ec2, interface_id)
    assert [group["GroupName"] for group in found["Groups"]] == ["one", "two"]
    assert found["Description"] == "new"

    def attribute(name: str) -> Any:
        answer = ec2.describe_network_interface_attribute(NetworkInterfaceId=interface_id, Attribute=name)
        return {member: value for member, value in answer.items() if member != "ResponseMetadata"}

    assert attribute("description") == {"NetworkInterfaceId": interface_id, "Description": {"Value": "new"}}
    assert attribute("groupSet") == {"NetworkInterfaceId": interface_id, "Groups": found["Groups"]}
    assert attribute("sourceDestCheck") == {"NetworkInterfaceId": interface_id, "SourceDestCheck": {"Value": True}}
    assert attribute("attachment") == {"NetworkInterfaceId": interface_id}
    modify = ec2.modify_network_interface_attribute
    both = {"Groups": [one], "Description": {"Value": "x"}}
    assert refused(modify, NetworkInterfaceId=interface_id, **both)[0] == "InvalidParameterCombination"
    assert refused(modify, NetworkInterfaceId=interface_id, Groups=["sg-0"])[0] == "InvalidGroup.NotFound"
    assert refused(modify, NetworkInterfaceId="eni-0", Groups=[one])[0] == "InvalidNetworkInterfaceID.NotFound"
    off = {"SourceDestCheck": {"Value": False}}
    assert refused(modify, NetworkInterfaceId=interface_id, **off, Groups=[one])[0] == "NotImplemented"


def test_groups_are_of_the_same_vpc_and_five_at_most(ec2: Any, vpc_id: str, subnet_id: str) -> None:
    elsewhere = new_group(ec2, new_vpc(ec2))
    assert refused(ec2.create_network_interface, SubnetId=subnet_id, Groups=[elsewhere]) == (
        "InvalidParameter",
        f"Security group {elsewhere} and subnet {subnet_id} belong to different networks.",
    )
    six = [new_group(ec2, vpc_id, f"group {number}") for number in range(6)]
    assert refused(ec2.create_network_interface, SubnetId=subnet_id, Groups=six) == (
        "SecurityGroupsPerInterfaceLimitExceeded",
        "The maximum number of security groups per interface has been reached.",
    )
    ec2.create_network_interface(SubnetId=subnet_id, Groups=six[:5])


def test_the_command_line_makes_one(server: ServerProcess, subnet_id: str) -> None:
    aws = Cli(TODAYS, ("--output", "json"), server.environ())
    made = aws("ec2", "create-network-interface", "--subnet-id", subnet_id, "--private-ip-address", "10.0.1.77")
    interface_id = made["NetworkInterface"]["NetworkInterfaceId"]
    by_address = (
        "--filters",
        "Name=addresses.private-ip-address,Values=10.0.1.77",
        f"Name=subnet-id,Values={subnet_id}",
    )
    told = aws("ec2", "describe-network-interfaces", *by_address, "--query", "NetworkInterfaces[].NetworkInterfaceId")
    assert told == [interface_id]
    aws("ec2", "delete-network-interface", "--network-interface-id", interface_id)


def test_interfaces_are_filtered(ec2: Any, vpc_id: str, subnet_id: str) -> None:
    group_id = new_group(ec2, vpc_id, "database")
    made = ec2.create_network_interface(SubnetId=subnet_id, Groups=[group_id], Description="The database")
    interface = made["NetworkInterface"]
    ec2.create_network_interface(SubnetId=new_subnet(ec2, vpc_id, "10.0.2.0/24"))

    def count(**filters: str) -> int:
        return len(ec2.describe_network_interfaces(Filters=where(vpc_id=vpc_id, **filters))["NetworkInterfaces"])

    assert count() == count(status="available") == count(interface_type="interface") == 2
    assert count(requester_managed="false") == 2
    assert count(requester_managed="true") == count(status="in-use") == count(interface_type="lambda") == 0
    for found in (
        count(subnet_id=subnet_id),
        count(group_id=group_id),
        count(group_name="database"),
        count(description="The *"),
        count(private_ip_address=interface["PrivateIpAddress"]),
        count(mac_address=interface["MacAddress"]),
        count(network_interface_id=interface["NetworkInterfaceId"]),
    ):
        assert found == 1


def test_making_one_is_asked_on_what_it_is_made_of(
    server: ServerProcess, ec2: Any, vpc_id: str, subnet_id: str
) -> None:
    group_id = new_group(ec2, vpc_id)
    caller = Caller(server, "user")
    theirs, of_account = caller.client("ec2"), f"arn:aws:ec2:us-east-1:{server.account_id}"
    request = {"SubnetId": subnet_id, "Groups": [group_id]}
    allowed = []
    for resource in ("network-interface/*", f"subnet/{subnet_id}", f"security-group/{group_id}"):
        told = refused(theirs.create_network_interface, **request)
        assert (told[0], f"on resource: {of_account}:{resource} because" in told[1]) == ("UnauthorizedOperation", True)
        allowed.append(f"{of_account}:{resource}")
        caller.may(allow("ec2:CreateNetworkInterface", allowed))
    assert theirs.create_network_interface(**request)["NetworkInterface"]["SubnetId"] == subnet_id


def test_what_there_is_none_of_is_an_empty_list(ec2: Any) -> None:
    assert ec2.describe_prefix_lists()["PrefixLists"] == []
    assert ec2.describe_managed_prefix_lists(Filters=where(owner_id="AWS"))["PrefixLists"] == []
    of_vpc = where(requester_vpc_info__vpc_id="vpc-1") + where(accepter_vpc_info__vpc_id="vpc-2")
    assert ec2.describe_vpc_peering_connections(Filters=of_vpc)["VpcPeeringConnections"] == []
    assert ec2.describe_instances(Filters=where(instance_id="i-1"))["Reservations"] == []
    for call, request, told in (
        (ec2.describe_prefix_lists, {"PrefixListIds": ["pl-1"]}, "InvalidPrefixListID.NotFound"),
        (ec2.get_managed_prefix_list_entries, {"PrefixListId": "pl-1"}, "InvalidPrefixListID.NotFound"),
        (
            ec2.describe_vpc_peering_connections,
            {"VpcPeeringConnectionIds": ["pcx-1"]},
            "InvalidVpcPeeringConnectionID.NotFound",
        ),
        (ec2.describe_instances, {"InstanceIds": ["i-1"]}, "InvalidInstanceID.NotFound"),
    ):
        assert refused(call, **request)[0] == told


def test_an_attachment_has_its_moment(ec2: Any, vpc_id: str, subnet_id: str) -> None:
    ec2.create_vpc_endpoint(
        VpcEndpointType="Interface",
        VpcId=vpc_id,
        ServiceName="com.amazonaws.us-east-1.sts",
        SubnetIds=[subnet_id],
        PrivateDnsEnabled=False,
    )
    (interface,) = ec2.describe_network_interfaces(Filters=where(subnet_id=subnet_id))["NetworkInterfaces"]
    age = datetime.now(UTC) - interface["Attachment"]["AttachTime"]
    assert timedelta() - timedelta(seconds=5) < age < timedelta(minutes=5)
    told = ec2.describe_network_interface_attribute(
        NetworkInterfaceId=interface["NetworkInterfaceId"], Attribute="attachment"
    )
    assert told["Attachment"] == interface["Attachment"]
