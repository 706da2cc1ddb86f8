"""Network ACLs through boto3 and the AWS CLI."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .callers import Caller, allow
from .conftest import ServerProcess
from .networks import new_subnet, new_vpc, refused, tagged, where
from .test_awscli import TODAYS, Cli

DENY_ALL = {"CidrBlock": "0.0.0.0/0", "Protocol": "-1", "RuleAction": "deny", "RuleNumber": 32767}
HTTPS = {
    "RuleNumber": 100,
    "Protocol": "6",
    "RuleAction": "allow",
    "Egress": True,
    "CidrBlock": "10.0.0.0/16",
    "PortRange": {"From": 443, "To": 443},
}


@pytest.fixture(scope="module")
def ec2(server: ServerProcess) -> Any:
    return server.client("ec2")


@pytest.fixture
def vpc_id(ec2: Any) -> str:
    return new_vpc(ec2)


@pytest.fixture
def acl_id(ec2: Any, vpc_id: str) -> str:
    made: str = ec2.create_network_acl(VpcId=vpc_id)["NetworkAcl"]["NetworkAclId"]
    return made


def described(ec2: Any, acl_id: str) -> dict[str, Any]:
    (found,) = ec2.describe_network_acls(NetworkAclIds=[acl_id])["NetworkAcls"]
    acl: dict[str, Any] = found
    return acl


def acl_of(ec2: Any, subnet_id: str) -> dict[str, Any]:
    (found,) = ec2.describe_network_acls(Filters=where(association__subnet_id=subnet_id))["NetworkAcls"]
    acl: dict[str, Any] = found
    return acl


def test_a_new_acl_lets_nothing_pass(server: ServerProcess, ec2: Any, vpc_id: str) -> None:
    made = ec2.create_network_acl(VpcId=vpc_id, TagSpecifications=tagged("network-acl", a="b"))["NetworkAcl"]
    assert re.fullmatch("acl-[0-9a-f]{17}", made["NetworkAclId"])
    assert described(ec2, made["NetworkAclId"]) == made
    assert made == {
        "NetworkAclId": made["NetworkAclId"],
        "VpcId": vpc_id,
        "OwnerId": server.account_id,
        "IsDefault": False,
        "Associations": [],
        "Entries": [{**DENY_ALL, "Egress": True}, {**DENY_ALL, "Egress": False}],
        "Tags": [{"Key": "a", "Value": "b"}],
    }


def test_the_default_acl_lets_everything_pass_and_covers_new_subnets(ec2: Any, vpc_id: str) -> None:
    subnets = [new_subnet(ec2, vpc_id, f"10.0.{number}.0/24") for number in (1, 2)]
    (default,) = ec2.describe_network_acls(Filters=where(vpc_id=vpc_id, default="true"))["NetworkAcls"]
    assert default["IsDefault"] is True
    allow_all = {**DENY_ALL, "RuleAction": "allow", "RuleNumber": 100}
    assert default["Entries"] == [{**each, "Egress": way} for way in (True, False) for each in (allow_all, DENY_ALL)]
    assert [each["SubnetId"] for each in default["Associations"]] == subnets


def test_entries_are_made_replaced_and_deleted(ec2: Any, acl_id: str) -> None:
    def entries() -> list[tuple[Any, ...]]:
        found = [each for each in described(ec2, acl_id)["Entries"] if each["Egress"]]
        return [(each["RuleNumber"], each["RuleAction"], each["Protocol"]) for each in found]

    ec2.create_network_acl_entry(NetworkAclId=acl_id, **HTTPS)
    # Names of protocols are numbers in the answer; a block loses what is behind its prefix.
    udp = {**HTTPS, "RuleNumber": 50, "Protocol": "UDP", "CidrBlock": "10.0.3.4/16"}
    ec2.create_network_acl_entry(NetworkAclId=acl_id, **udp)
    # The other direction has numbers of its own, and ports mean nothing to all protocols.
    ec2.create_network_acl_entry(NetworkAclId=acl_id, **{**HTTPS, "Egress": False, "Protocol": "-1"})
    assert entries() == [(50, "allow", "17"), (100, "allow", "6"), (32767, "deny", "-1")]
    everything = described(ec2, acl_id)["Entries"]
    assert everything[0]["CidrBlock"] == "10.0.0.0/16"
    assert everything[0]["PortRange"] == {"From": 443, "To": 443}
    assert everything[3] == {
        "CidrBlock": "10.0.0.0/16",
        "Egress": False,
        "Protocol": "-1",
        "RuleAction": "allow",
        "RuleNumber": 100,
    }

    icmp = {**HTTPS, "RuleAction": "deny", "Protocol": "1", "IcmpTypeCode": {"Type": -1, "Code": -1}}
    ec2.replace_network_acl_entry(NetworkAclId=acl_id, **icmp)
    assert entries() == [(50, "allow", "17"), (100, "deny", "1"), (32767, "deny", "-1")]
    assert described(ec2, acl_id)["Entries"][1]["IcmpTypeCode"] == {"Type": -1, "Code": -1}
    ec2.delete_network_acl_entry(NetworkAclId=acl_id, RuleNumber=50, Egress=True)
    assert entries() == [(100, "deny", "1"), (32767, "deny", "-1")]


def test_the_command_line_makes_an_acl_for_a_subnet(server: ServerProcess, ec2: Any, vpc_id: str) -> None:
    aws = Cli(TODAYS, ("--output", "json"), server.environ())
    subnet_id = new_subnet(ec2, vpc_id)
    acl_id = aws("ec2", "create-network-acl", "--vpc-id", vpc_id)["NetworkAcl"]["NetworkAclId"]
    aws(
        *("ec2", "create-network-acl-entry", "--network-acl-id", acl_id, "--egress", "--rule-number", "110"),
        *("--protocol", "tcp", "--port-range", "From=443,To=443", "--cidr-block", "0.0.0.0/0"),
        *("--rule-action", "allow"),
    )
    association_id = acl_of(ec2, subnet_id)["Associations"][0]["NetworkAclAssociationId"]
    made = aws(
        *("ec2", "replace-network-acl-association", "--association-id", association_id, "--network-acl-id", acl_id)
    )
    told = aws("ec2", "describe-network-acls", "--filters", f"Name=association.subnet-id,Values={subnet_id}")
    (acl,) = told["NetworkAcls"]
    assert acl["Associations"] == [
        {
            "NetworkAclAssociationId": made["NewAssociationId"],
            "NetworkAclId": acl_id,
            "SubnetId": subnet_id,
        }
    ]
    assert acl["Entries"][0]["Protocol"] == "6"


def test_a_subnet_has_one_acl(ec2: Any, vpc_id: str, acl_id: str) -> None:
    subnet_id, other = new_subnet(ec2, vpc_id), new_subnet(ec2, vpc_id, "10.0.2.0/24")
    default = acl_of(ec2, subnet_id)
    first = default["Associations"][0]["NetworkAclAssociationId"]

    second = ec2.replace_network_acl_association(AssociationId=first, NetworkAclId=acl_id)["NewAssociationId"]
    assert re.fullmatch("aclassoc-[0-9a-f]{17}", second)
    assert acl_of(ec2, subnet_id)["NetworkAclId"] == acl_id
    assert [each["SubnetId"] for each in described(ec2, default["NetworkAclId"])["Associations"]] == [other]
    # Even by the same ACL, an association is replaced by a new one.
    third = ec2.replace_network_acl_association(AssociationId=second, NetworkAclId=acl_id)["NewAssociationId"]
    assert third != second
    assert [each["NetworkAclAssociationId"] for each in acl_of(ec2, subnet_id)["Associations"]] == [third]

    assert refused(ec2.replace_network_acl_association, AssociationId=first, NetworkAclId=acl_id) == (
        "InvalidAssociationID.NotFound",
        f"The association ID '{first}' does not exist",
    )
    elsewhere = ec2.create_network_acl(VpcId=new_vpc(ec2))["NetworkAcl"]["NetworkAclId"]
    assert refused(ec2.replace_network_acl_association, AssociationId=third, NetworkAclId=elsewhere)[0] == (
        "InvalidParameter"
    )
    ec2.delete_subnet(SubnetId=subnet_id)
    assert described(ec2, acl_id)["Associations"] == []


@pytest.mark.parametrize(
    ("changed", "code", "told"),
    [
        *(
            (
                {"RuleNumber": number},
                "InvalidParameterValue",
                f"Value ({number}) for parameter ruleNumber is invalid. The rule number must be from 1 to 32766.",
            )
            for number in (0, 32767)
        ),
        ({"CidrBlock": "10.0.0.0"}, "InvalidParameterValue", None),
        ({"CidrBlock": None}, "MissingParameter", None),
        ({"CidrBlock": None, "Ipv6CidrBlock": "::/0"}, "NotImplemented", None),
        (
            {"Protocol": "esp"},
            "InvalidParameterValue",
            "Value (esp) for parameter protocol is invalid. Unknown protocol.",
        ),
        ({"Protocol": "256"}, "InvalidParameterValue", None),
        ({"PortRange": None}, "MissingParameter", "The request must contain the parameter portRange"),
        ({"PortRange": {"From": 2, "To": 1}}, "InvalidParameterValue", None),
        ({"PortRange": {"From": 0, "To": 65536}}, "InvalidParameterValue", None),
        ({"Protocol": "icmp"}, "MissingParameter", "The request must contain the parameter icmpTypeCode"),
        ({"RuleAction": "drop"}, "InvalidParameterValue", None),
        ({"NetworkAclId": "acl-0"}, "InvalidNetworkAclID.NotFound", "The networkAcl ID 'acl-0' does not exist"),
    ],
)
def test_an_entry_that_cannot_be_is_refused(
    ec2: Any, acl_id: str, changed: dict[str, Any], code: str, told: str | None
) -> None:
    complete = {"NetworkAclId": acl_id, **HTTPS, **changed}
    request = {name: value for name, value in complete.items() if value is not None}
    for call in (ec2.create_network_acl_entry, ec2.replace_network_acl_entry):
        found = refused(call, **request)
        assert found[0] == code
        assert told is None or found[1] == told


def test_entries_are_found_by_number_and_direction(ec2: Any, acl_id: str) -> None:
    ec2.create_network_acl_entry(NetworkAclId=acl_id, **HTTPS)
    assert refused(ec2.create_network_acl_entry, NetworkAclId=acl_id, **HTTPS) == (
        "NetworkAclEntryAlreadyExists",
        "The network acl entry identified by 100 already exists.",
    )
    gone = ("InvalidNetworkAclEntry.NotFound", "The network acl entry identified by 100 does not exist.")
    inward = {**HTTPS, "Egress": False}
    assert refused(ec2.replace_network_acl_entry, NetworkAclId=acl_id, **inward) == gone
    assert refused(ec2.delete_network_acl_entry, NetworkAclId=acl_id, RuleNumber=100, Egress=False) == gone
    last = {"NetworkAclId": acl_id, "RuleNumber": 32767, "Egress": True}
    assert refused(ec2.delete_network_acl_entry, **last)[0] == "InvalidParameterValue"


def test_an_acl_has_twenty_entries_in_one_direction(ec2: Any, acl_id: str) -> None:
    for number in range(1, 21):
        ec2.create_network_acl_entry(NetworkAclId=acl_id, **{**HTTPS, "RuleNumber": number})
    assert refused(ec2.create_network_acl_entry, NetworkAclId=acl_id, **HTTPS) == (
        "NetworkAclEntryLimitExceeded",
        "The maximum number of network acl entries has been reached.",
    )
    ec2.create_network_acl_entry(NetworkAclId=acl_id, **{**HTTPS, "Egress": False})


def test_an_acl_that_covers_a_subnet_or_is_the_default_is_not_deleted(ec2: Any, vpc_id: str, acl_id: str) -> None:
    subnet_id = new_subnet(ec2, vpc_id)
    default = acl_of(ec2, subnet_id)
    association_id = default["Associations"][0]["NetworkAclAssociationId"]
    new_id = ec2.replace_network_acl_association(AssociationId=association_id, NetworkAclId=acl_id)["NewAssociationId"]
    assert refused(ec2.delete_network_acl, NetworkAclId=acl_id) == (
        "DependencyViolation",
        f"The networkAcl '{acl_id}' has dependencies and cannot be deleted.",
    )
    ec2.replace_network_acl_association(AssociationId=new_id, NetworkAclId=default["NetworkAclId"])
    # Nor does a VPC go that has another than its default one.
    ec2.delete_subnet(SubnetId=subnet_id)
    assert refused(ec2.delete_vpc, VpcId=vpc_id)[0] == "DependencyViolation"
    ec2.delete_network_acl(NetworkAclId=acl_id)
    assert refused(ec2.delete_network_acl, NetworkAclId=acl_id)[0] == "InvalidNetworkAclID.NotFound"
    assert refused(ec2.delete_network_acl, NetworkAclId=default["NetworkAclId"])[0] == "InvalidParameterValue"
    ec2.delete_vpc(VpcId=vpc_id)


def test_acls_are_filtered(ec2: Any, vpc_id: str, acl_id: str) -> None:
    ec2.create_network_acl_entry(NetworkAclId=acl_id, **HTTPS)

    def found(**filters: str) -> list[str]:
        acls = ec2.describe_network_acls(Filters=where(vpc_id=vpc_id, **filters))["NetworkAcls"]
        return [acl["NetworkAclId"] for acl in acls]

    assert len(found()) == 2
    assert found(network_acl_id=acl_id) == found(default="false") == found(entry__protocol="6") == [acl_id]
    assert found(entry__cidr="10.0.*") == found(entry__port_range__from="443") == [acl_id]
    assert found(association__subnet_id="subnet-0") == []


def test_covering_a_subnet_is_asked_on_both(server: ServerProcess, ec2: Any, vpc_id: str, acl_id: str) -> None:
    subnet_id = new_subnet(ec2, vpc_id)
    request = {
        "AssociationId": acl_of(ec2, subnet_id)["Associations"][0]["NetworkAclAssociationId"],
        "NetworkAclId": acl_id,
    }
    caller = Caller(server, "user")
    theirs, of_account = caller.client("ec2"), f"arn:aws:ec2:us-east-1:{server.account_id}"
    assert f"{of_account}:network-acl/{acl_id} because" in refused(theirs.replace_network_acl_association, **request)[1]
    caller.may(allow("ec2:ReplaceNetworkAclAssociation", f"{of_account}:network-acl/*"))
    assert f"{of_account}:subnet/{subnet_id} because" in refused(theirs.replace_network_acl_association, **request)[1]
    caller.may(allow("ec2:ReplaceNetworkAclAssociation", f"{of_account}:*"))
    theirs.replace_network_acl_association(**request)
