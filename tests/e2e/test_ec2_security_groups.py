"""Security groups and their rules through boto3 and the AWS CLI."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .callers import Caller, allow
from .conftest import ServerProcess
from .networks import default_group, new_group, new_subnet, new_vpc, refused, tagged, tcp, where
from .test_awscli import TODAYS, Cli

TO_EVERYWHERE = {
    "IpProtocol": "-1",
    "UserIdGroupPairs": [],
    "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
    "Ipv6Ranges": [],
    "PrefixListIds": [],
}


@pytest.fixture(scope="module")
def ec2(server: ServerProcess) -> Any:
    return server.client("ec2")


@pytest.fixture
def vpc_id(ec2: Any) -> str:
    return new_vpc(ec2)


@pytest.fixture
def group_id(ec2: Any, vpc_id: str) -> str:
    return new_group(ec2, vpc_id)


def described(ec2: Any, group_id: str) -> dict[str, Any]:
    (found,) = ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    group: dict[str, Any] = found
    return group


def rules(ec2: Any, group_id: str, *, is_egress: bool = False) -> list[dict[str, Any]]:
    found = ec2.describe_security_group_rules(Filters=where(group_id=group_id))["SecurityGroupRules"]
    return [rule for rule in found if rule["IsEgress"] is is_egress]


def test_a_new_group_lets_everything_out_and_nothing_in(server: ServerProcess, ec2: Any, vpc_id: str) -> None:
    made = ec2.create_security_group(
        GroupName="functions", Description="Ours", VpcId=vpc_id, TagSpecifications=tagged("security-group", a="b")
    )
    group_id = made["GroupId"]

    assert re.fullmatch("sg-[0-9a-f]{17}", group_id)
    arn = f"arn:aws:ec2:us-east-1:{server.account_id}:security-group/{group_id}"
    tags = [{"Key": "a", "Value": "b"}]
    assert (made["SecurityGroupArn"], made["Tags"]) == (arn, tags)
    assert described(ec2, group_id) == {
        "GroupId": group_id,
        "GroupName": "functions",
        "Description": "Ours",
        "VpcId": vpc_id,
        "OwnerId": server.account_id,
        "SecurityGroupArn": arn,
        "IpPermissions": [],
        "IpPermissionsEgress": [TO_EVERYWHERE],
        "Tags": tags,
    }
    (rule,) = rules(ec2, group_id, is_egress=True)
    assert re.fullmatch("sgr-[0-9a-f]{17}", rule["SecurityGroupRuleId"])
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], rule["CidrIpv4"]) == ("-1", -1, -1, "0.0.0.0/0")
    assert rules(ec2, group_id) == []


def test_members_of_a_default_group_reach_each_other(server: ServerProcess, ec2: Any, vpc_id: str) -> None:
    group = described(ec2, default_group(ec2, vpc_id))
    (permission,) = group["IpPermissions"]
    assert permission["IpProtocol"] == "-1"
    assert permission["UserIdGroupPairs"] == [{"GroupId": group["GroupId"], "UserId": server.account_id}]
    assert group["IpPermissionsEgress"] == [TO_EVERYWHERE]
    assert len(rules(ec2, group["GroupId"])) == len(rules(ec2, group["GroupId"], is_egress=True)) == 1


def test_the_command_line_makes_a_group_and_its_rules(server: ServerProcess, vpc_id: str) -> None:
    aws = Cli(TODAYS, ("--output", "json"), server.environ())
    made = aws("ec2", "create-security-group", "--group-name", "cli", "--description", "d", "--vpc-id", vpc_id)
    of_group = ("--group-id", made["GroupId"])
    rule = aws(
        *("ec2", "authorize-security-group-ingress", *of_group),
        *("--protocol", "tcp", "--port", "5432", "--cidr", "10.0.0.0/16"),
    )["SecurityGroupRules"][0]
    assert (rule["FromPort"], rule["ToPort"], rule["CidrIpv4"]) == (5432, 5432, "10.0.0.0/16")
    aws("ec2", "revoke-security-group-egress", *of_group, "--protocol", "all", "--cidr", "0.0.0.0/0")
    aws("ec2", "authorize-security-group-egress", *of_group, "--protocol", "tcp", "--port", "443", "--source-group",
        made["GroupId"])  # fmt: skip
    told = aws("ec2", "describe-security-groups", "--group-ids", made["GroupId"])["SecurityGroups"][0]
    assert [each["FromPort"] for each in told["IpPermissionsEgress"]] == [443]
    assert told["IpPermissions"][0]["IpRanges"] == [{"CidrIp": "10.0.0.0/16"}]
    aws(
        *("ec2", "revoke-security-group-ingress", *of_group),
        *("--security-group-rule-ids", rule["SecurityGroupRuleId"]),
    )
    aws("ec2", "delete-security-group", *of_group)
    assert "InvalidGroup.NotFound" in aws.refused("ec2", "describe-security-groups", "--group-ids", made["GroupId"])


def test_rules_of_one_protocol_and_port_are_one_permission(ec2: Any, vpc_id: str, group_id: str) -> None:
    other = new_group(ec2, vpc_id, "other")
    described_range = [{**tcp(443)[0], "IpRanges": [{"CidrIp": "10.0.5.9/16", "Description": "the VPC"}]}]

    first = ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=described_range)
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=tcp(443, "192.168.0.0/24", groups=(other,)))
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=tcp(5432, groups=(other,)))

    # What is behind the prefix is dropped.
    assert (first["Return"], first["SecurityGroupRules"][0]["CidrIpv4"]) == (True, "10.0.0.0/16")
    https, database = described(ec2, group_id)["IpPermissions"]
    assert https["FromPort"] == https["ToPort"] == 443
    assert sorted(https["IpRanges"], key=lambda each: str(each["CidrIp"])) == [
        {"CidrIp": "10.0.0.0/16", "Description": "the VPC"},
        {"CidrIp": "192.168.0.0/24"},
    ]
    assert [pair["GroupId"] for pair in https["UserIdGroupPairs"]] == [other]
    assert (database["FromPort"], database["IpRanges"]) == (5432, [])
    assert len(rules(ec2, group_id)) == 4


def test_rules_are_tagged_and_found_by_their_tags(ec2: Any, group_id: str) -> None:
    made = ec2.authorize_security_group_ingress(
        GroupId=group_id,
        IpPermissions=tcp(443, "10.0.0.0/16"),
        TagSpecifications=tagged("security-group-rule", Use="https"),
    )["SecurityGroupRules"][0]
    found = ec2.describe_security_group_rules(Filters=[{"Name": "tag:Use", "Values": ["https"]}])
    assert made["SecurityGroupRuleId"] in [rule["SecurityGroupRuleId"] for rule in found["SecurityGroupRules"]]
    ec2.create_tags(Resources=[made["SecurityGroupRuleId"]], Tags=[{"Key": "More", "Value": "1"}])
    (found,) = ec2.describe_security_group_rules(SecurityGroupRuleIds=[made["SecurityGroupRuleId"]])[
        "SecurityGroupRules"
    ]
    assert found == {**made, "Tags": [{"Key": "More", "Value": "1"}, {"Key": "Use", "Value": "https"}]}


def test_rules_are_taken_away_by_what_they_say_or_by_their_ids(ec2: Any, group_id: str) -> None:
    permissions = tcp(443, "10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16")
    made = ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=permissions)["SecurityGroupRules"]

    # A description does not matter.
    by_terms = [{**tcp(443)[0], "IpRanges": [{"CidrIp": "10.1.0.0/16", "Description": "another"}]}]
    revoked = ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=by_terms)
    assert revoked["Return"] is True
    assert [rule["CidrIpv4"] for rule in revoked["RevokedSecurityGroupRules"]] == ["10.1.0.0/16"]
    ec2.revoke_security_group_ingress(GroupId=group_id, SecurityGroupRuleIds=[made[0]["SecurityGroupRuleId"]])

    assert [rule["CidrIpv4"] for rule in rules(ec2, group_id)] == [made[2]["CidrIpv4"]]
    gone = ("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
    both = tcp(443, made[2]["CidrIpv4"], "10.1.0.0/16")
    assert refused(ec2.revoke_security_group_ingress, GroupId=group_id, IpPermissions=both) == gone
    # All or nothing.
    assert len(rules(ec2, group_id)) == 1
    egress = rules(ec2, group_id, is_egress=True)[0]["SecurityGroupRuleId"]
    assert refused(ec2.revoke_security_group_ingress, GroupId=group_id, SecurityGroupRuleIds=[egress]) == (
        "InvalidSecurityGroupRuleId.NotFound",
        f"The security group rule ID '{egress}' does not exist",
    )


def test_rules_are_changed_in_their_place(ec2: Any, vpc_id: str, group_id: str) -> None:
    other = new_group(ec2, vpc_id, "other")
    made = ec2.authorize_security_group_ingress(
        GroupId=group_id, IpPermissions=tcp(443, "10.0.0.0/16", groups=(other,))
    )["SecurityGroupRules"]
    by_cidr = next(rule["SecurityGroupRuleId"] for rule in made if "CidrIpv4" in rule)
    by_group = next(rule["SecurityGroupRuleId"] for rule in made if "CidrIpv4" not in rule)

    def change(rule_id: str, **rule: Any) -> dict[str, Any]:
        return {
            "GroupId": group_id,
            "SecurityGroupRules": [{"SecurityGroupRuleId": rule_id, "SecurityGroupRule": rule}],
        }

    wanted = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5433, "CidrIpv4": "10.0.1.0/24", "Description": "new"}
    assert ec2.modify_security_group_rules(**change(by_cidr, **wanted))["Return"] is True
    (found,) = ec2.describe_security_group_rules(SecurityGroupRuleIds=[by_cidr])["SecurityGroupRules"]
    assert {name: found[name] for name in wanted} == wanted
    ports = {(each["FromPort"], each["ToPort"]) for each in described(ec2, group_id)["IpPermissions"]}
    assert ports == {(443, 443), (5432, 5433)}

    def told(rule_id: str, **rule: Any) -> tuple[str, str]:
        return refused(ec2.modify_security_group_rules, **change(rule_id, **rule))

    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    assert told(by_cidr, **https) == (
        "MissingParameter",
        "The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId",
    )
    assert told(by_cidr, **https, CidrIpv4="10.0.0.0/8", ReferencedGroupId=other)[0] == "InvalidParameterCombination"
    assert told(by_cidr, **https, ReferencedGroupId=other) == (
        "InvalidParameterValue",
        (
            f"Invalid rule type for security group rule '{by_cidr}'. You may not specify ReferencedGroupId for an"
            " existing CidrIpv4 rule."
        ),
    )
    assert told(by_cidr, FromPort=1, ToPort=1, CidrIpv4="10.0.0.0/8")[0] == "InvalidParameterValue"
    assert told("sgr-0", **https, CidrIpv4="10.0.0.0/8")[0] == "InvalidSecurityGroupRuleId.NotFound"
    elsewhere = rules(ec2, other, is_egress=True)[0]["SecurityGroupRuleId"]
    assert told(elsewhere, **https, CidrIpv4="10.0.0.0/8")[0] == "InvalidSecurityGroupRuleId.NotFound"
    assert told(by_group, **https, ReferencedGroupId="sg-0")[0] == "InvalidGroup.NotFound"


def test_a_rule_cannot_be_changed_into_one_that_is_there(ec2: Any, group_id: str) -> None:
    made = ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=tcp(443, "10.0.0.0/16", "10.1.0.0/16"))
    one, two = made["SecurityGroupRules"]
    wanted = {"IpProtocol": "6", "FromPort": 443, "ToPort": 443, "CidrIpv4": two["CidrIpv4"]}
    change = [{"SecurityGroupRuleId": one["SecurityGroupRuleId"], "SecurityGroupRule": wanted}]
    assert refused(ec2.modify_security_group_rules, GroupId=group_id, SecurityGroupRules=change) == (
        "InvalidPermission.Duplicate",
        f'the specified rule "peer: {two["CidrIpv4"]}, TCP, from port: 443, to port: 443, ALLOW" already exists',
    )
    assert {rule["CidrIpv4"] for rule in rules(ec2, group_id)} == {"10.0.0.0/16", "10.1.0.0/16"}


def test_descriptions_are_changed(ec2: Any, group_id: str) -> None:
    rule = ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=tcp(443, "10.0.0.0/16"))[
        "SecurityGroupRules"
    ][0]

    def description() -> str | None:
        told: str | None = described(ec2, group_id)["IpPermissions"][0]["IpRanges"][0].get("Description")
        return told

    by_terms = [{**tcp(443)[0], "IpRanges": [{"CidrIp": "10.0.0.0/16", "Description": "one"}]}]
    ec2.update_security_group_rule_descriptions_ingress(GroupId=group_id, IpPermissions=by_terms)
    assert description() == "one"
    by_id = [{"SecurityGroupRuleId": rule["SecurityGroupRuleId"], "Description": "two"}]
    ec2.update_security_group_rule_descriptions_ingress(GroupId=group_id, SecurityGroupRuleDescriptions=by_id)
    assert description() == "two"
    without = [{"SecurityGroupRuleId": rule["SecurityGroupRuleId"]}]
    ec2.update_security_group_rule_descriptions_ingress(GroupId=group_id, SecurityGroupRuleDescriptions=without)
    assert description() is None
    update = ec2.update_security_group_rule_descriptions_egress
    assert refused(update, GroupId=group_id, IpPermissions=by_terms)[0] == "InvalidPermission.NotFound"
    assert refused(update, GroupId=group_id, SecurityGroupRuleDescriptions=by_id)[0] == (
        "InvalidSecurityGroupRuleId.NotFound"
    )
    assert refused(update, GroupId=group_id)[0] == "MissingParameter"
    ingress = ec2.update_security_group_rule_descriptions_ingress
    bad = [{**by_id[0], "Description": "ä"}]
    assert refused(ingress, GroupId=group_id, SecurityGroupRuleDescriptions=bad)[0] == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("request_", "code", "told"),
    [
        ({}, "MissingParameter", "The request must contain the parameter ipPermissions"),
        (
            {"IpPermissions": tcp(443)},
            "MissingParameter",
            "A CIDR block, a security group ID or a prefix list has to be specified",
        ),
        (
            {"IpPermissions": tcp(443, "10.0.0.0/16", "10.0.5.5/16")},
            "InvalidParameterValue",
            "The same permission must not appear multiple times",
        ),
        ({"IpPermissions": tcp(443, "10.0.0.0")}, "InvalidParameterValue", "CIDR block 10.0.0.0 is malformed"),
        ({"IpPermissions": tcp(443, "::/0")}, "InvalidParameterValue", "CIDR block ::/0 is malformed"),
        (
            {"IpPermissions": tcp(443, groups=("sg-0",))},
            "InvalidGroup.NotFound",
            "The security group 'sg-0' does not exist",
        ),
        (
            {"IpPermissions": tcp(443, groups=("default",))},
            "InvalidGroupId.Malformed",
            'Invalid id: "default" (expecting "sg-...")',
        ),
        (
            {"IpPermissions": tcp(70000, "10.0.0.0/16")},
            "InvalidParameterValue",
            "TCP/UDP (from) port (70000) out of range",
        ),
        (
            {"IpPermissions": [{"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}]},
            "InvalidParameterValue",
            "Invalid value for portRange. Must specify both from and to ports with TCP/UDP.",
        ),
        (
            {"IpProtocol": "esp", "CidrIp": "10.0.0.0/16"},
            "InvalidParameterValue",
            "Invalid value 'esp' for IP protocol. Unknown protocol.",
        ),
        (
            {"CidrIp": "10.0.0.0/16"},
            "InvalidParameterValue",
            "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.",
        ),
        ({"IpPermissions": tcp(443, "10.0.0.0/16"), "IpProtocol": "tcp"}, "InvalidParameterCombination", None),
        (
            {"IpPermissions": [{"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": "pl-1"}]}]},
            "InvalidPrefixListID.NotFound",
            "The prefix list ID 'pl-1' does not exist",
        ),
        (
            {"IpPermissions": [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupName": "default"}]}]},
            "MissingParameter",
            "The request must contain the parameter GroupName or GroupId",
        ),
        (
            {"IpPermissions": [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-1", "UserId": "1" * 12}]}]},
            "InvalidGroup.NotFound",
            "The security group 'sg-1' does not exist",
        ),
        (
            {"IpPermissions": [{**tcp(1)[0], "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "x" * 256}]}]},
            "InvalidParameterValue",
            None,
        ),
    ],
)
def test_a_rule_that_cannot_be_is_refused(
    ec2: Any, group_id: str, request_: dict[str, Any], code: str, told: str | None
) -> None:
    found = refused(ec2.authorize_security_group_ingress, GroupId=group_id, **request_)
    assert found[0] == code
    assert told is None or found[1] == told
    assert rules(ec2, group_id) == []


def test_a_group_has_a_rule_once(ec2: Any, group_id: str) -> None:
    ec2.authorize_security_group_ingress(GroupId=group_id, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0")
    assert refused(ec2.authorize_security_group_ingress, GroupId=group_id, IpPermissions=tcp(22, "0.0.0.0/0")) == (
        "InvalidPermission.Duplicate",
        'the specified rule "peer: 0.0.0.0/0, TCP, from port: 22, to port: 22, ALLOW" already exists',
    )
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    assert refused(ec2.authorize_security_group_egress, GroupId=group_id, IpPermissions=everything) == (
        "InvalidPermission.Duplicate",
        'the specified rule "peer: 0.0.0.0/0, ALL, ALLOW" already exists',
    )


def test_a_group_has_sixty_rules_in_one_direction(ec2: Any, group_id: str) -> None:
    sixty = tcp(443, *(f"10.0.{number}.0/24" for number in range(60)))
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=sixty)
    assert refused(ec2.authorize_security_group_ingress, GroupId=group_id, IpPermissions=tcp(1, "10.0.0.0/8")) == (
        "RulesPerSecurityGroupLimitExceeded",
        "The maximum number of rules per security group has been reached.",
    )
    ec2.authorize_security_group_egress(GroupId=group_id, IpPermissions=tcp(443, "10.0.0.0/8"))


def test_groups_of_two_vpcs_do_not_refer_to_each_other(ec2: Any, group_id: str) -> None:
    other = new_group(ec2, new_vpc(ec2))
    assert refused(ec2.authorize_security_group_ingress, GroupId=group_id, IpPermissions=tcp(1, groups=(other,))) == (
        "InvalidGroup.NotFound",
        "You have specified two resources that belong to different networks.",
    )


@pytest.mark.parametrize(
    ("wanted", "code", "told"),
    [
        (
            {"GroupName": "sg-mine"},
            "InvalidParameterValue",
            "Value (sg-mine) for parameter GroupName is invalid. Group names may not be in the format sg-*.",
        ),
        ({"GroupName": "default"}, "InvalidParameterValue", "Cannot use reserved security group name: default"),
        ({"GroupName": "ä"}, "InvalidParameterValue", None),
        (
            {"Description": "no 'quotes'"},
            "InvalidParameterValue",
            (
                "Invalid security group description. Valid descriptions are strings less than 256 characters from the"
                " following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
            ),
        ),
        ({"VpcId": "vpc-0"}, "InvalidVpcID.NotFound", "The vpc ID 'vpc-0' does not exist"),
        ({"VpcId": None}, "VPCIdNotSpecified", "No default VPC for this user"),
    ],
)
def test_a_group_that_cannot_be_is_refused(
    ec2: Any, vpc_id: str, wanted: dict[str, Any], code: str, told: str | None
) -> None:
    complete = {"GroupName": "name", "Description": "d", "VpcId": vpc_id, **wanted}
    request = {name: value for name, value in complete.items() if value is not None}
    found = refused(ec2.create_security_group, **request)
    assert found[0] == code
    assert told is None or found[1] == told


def test_a_vpc_has_one_group_of_a_name(ec2: Any, vpc_id: str, group_id: str) -> None:
    assert refused(ec2.create_security_group, GroupName="group", Description="d", VpcId=vpc_id) == (
        "InvalidGroup.Duplicate",
        f"The security group 'group' already exists for VPC '{vpc_id}'",
    )
    assert new_group(ec2, new_vpc(ec2)) != group_id


def test_a_group_that_is_used_is_not_deleted(ec2: Any, vpc_id: str, group_id: str) -> None:
    in_use = ("DependencyViolation", f"resource {group_id} has a dependent object")
    subnet_id, other = new_subnet(ec2, vpc_id), new_group(ec2, vpc_id, "other")
    # A group's rule about itself does not hold it.
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=tcp(1, groups=(group_id,)))

    ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=tcp(443, groups=(group_id,)))
    assert refused(ec2.delete_security_group, GroupId=group_id) == in_use
    ec2.revoke_security_group_ingress(GroupId=other, IpPermissions=tcp(443, groups=(group_id,)))

    interface = ec2.create_network_interface(SubnetId=subnet_id, Groups=[group_id])["NetworkInterface"]
    assert refused(ec2.delete_security_group, GroupId=group_id) == in_use
    ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])

    endpoint = ec2.create_vpc_endpoint(
        VpcEndpointType="Interface",
        VpcId=vpc_id,
        ServiceName="com.amazonaws.us-east-1.kms",
        SecurityGroupIds=[group_id],
        PrivateDnsEnabled=False,
    )["VpcEndpoint"]["VpcEndpointId"]
    assert refused(ec2.delete_security_group, GroupId=group_id) == in_use
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])

    own_rules = [rule["SecurityGroupRuleId"] for rule in rules(ec2, group_id)]
    assert ec2.delete_security_group(GroupId=group_id)["GroupId"] == group_id
    assert refused(ec2.delete_security_group, GroupId=group_id)[0] == "InvalidGroup.NotFound"
    assert refused(ec2.describe_security_group_rules, SecurityGroupRuleIds=own_rules)[0] == (
        "InvalidSecurityGroupRuleId.NotFound"
    )


def test_a_default_group_goes_with_its_vpc_alone(ec2: Any, vpc_id: str) -> None:
    group_id = default_group(ec2, vpc_id)
    assert refused(ec2.delete_security_group, GroupId=group_id) == (
        "CannotDelete",
        f'the specified group: "{group_id}" name: "default" cannot be deleted by a user',
    )
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=tcp(443, "10.0.0.0/16"))
    ec2.delete_vpc(VpcId=vpc_id)
    assert refused(ec2.describe_security_groups, GroupIds=[group_id])[0] == "InvalidGroup.NotFound"
    assert ec2.describe_security_group_rules(Filters=where(group_id=group_id))["SecurityGroupRules"] == []


def test_groups_are_named_by_their_ids(ec2: Any) -> None:
    by_name = ("VPCIdNotSpecified", ("No default VPC for this user. GroupName is only supported for EC2-Classic and"
        " default VPC."))  # fmt: skip
    assert refused(ec2.delete_security_group, GroupName="group") == by_name
    assert refused(ec2.authorize_security_group_ingress, GroupName="group", IpPermissions=tcp(1, "10.0.0.0/8")) == (
        by_name
    )
    assert refused(ec2.delete_security_group) == (
        "MissingParameter",
        "The request must contain the parameter GroupName or GroupId",
    )
    assert refused(ec2.delete_security_group, GroupId="group")[0] == "InvalidGroupId.Malformed"


def test_groups_are_filtered(ec2: Any, vpc_id: str, group_id: str) -> None:
    other = new_group(ec2, vpc_id, "other")
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=tcp(443, "10.0.0.0/16", groups=(other,)))

    def found(**filters: str) -> set[str]:
        groups = ec2.describe_security_groups(Filters=where(vpc_id=vpc_id, **filters))["SecurityGroups"]
        return {group["GroupName"] for group in groups}

    assert found() == {"default", "group", "other"}
    assert found(group_name="o*") == found(group_id=other) == {"other"}
    assert found(description="for a test") == {"group", "other"}
    assert found(ip_permission__cidr="10.0.0.0/16") == found(ip_permission__from_port="443") == {"group"}
    assert found(ip_permission__group_id=other) == {"group"}
    assert found(egress__ip_permission__cidr="0.0.0.0/0") == {"default", "group", "other"}
    assert found(egress__ip_permission__protocol="tcp") == set()


def test_changes_are_asked_on_the_group_and_its_rules(server: ServerProcess, ec2: Any, group_id: str) -> None:
    rule_id = rules(ec2, group_id, is_egress=True)[0]["SecurityGroupRuleId"]
    caller = Caller(server, "user")
    theirs = caller.client("ec2")
    arn = f"arn:aws:ec2:us-east-1:{server.account_id}:security-group/{group_id}"
    change = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "CidrIpv4": "10.0.0.0/8"}
    modify = {
        "GroupId": group_id,
        "SecurityGroupRules": [{"SecurityGroupRuleId": rule_id, "SecurityGroupRule": change}],
    }
    ingress = {"GroupId": group_id, "IpPermissions": tcp(443, "10.0.0.0/16")}

    assert (
        f"ec2:AuthorizeSecurityGroupIngress on resource: {arn} because"
        in (refused(theirs.authorize_security_group_ingress, **ingress)[1])
    )
    caller.may(allow("ec2:*SecurityGroup*", arn))
    theirs.authorize_security_group_ingress(**ingress)
    told = refused(theirs.modify_security_group_rules, **modify)
    assert (told[0], f"security-group-rule/{rule_id} because" in told[1]) == ("UnauthorizedOperation", True)
    tags = {"TagSpecifications": tagged("security-group-rule", a="b")}
    assert "ec2:CreateTags" in refused(theirs.authorize_security_group_egress, **ingress, **tags)[1]
    assert refused(ec2.modify_security_group_rules, **modify, DryRun=True)[0] == "DryRunOperation"


def test_policies_may_name_a_group_by_a_condition(server: ServerProcess, vpc_id: str, group_id: str) -> None:
    caller = Caller(server, "user")
    of_vpc = {"ArnEquals": {"ec2:Vpc": f"arn:aws:ec2:us-east-1:{server.account_id}:vpc/{vpc_id}"}}
    caller.may(
        allow("ec2:DeleteSecurityGroup", Condition={**of_vpc, "StringEquals": {"ec2:SecurityGroupID": group_id}})
    )
    other = new_group(server.client("ec2"), vpc_id, "other")
    theirs = caller.client("ec2")
    assert refused(theirs.delete_security_group, GroupId=other)[0] == "UnauthorizedOperation"
    theirs.delete_security_group(GroupId=group_id)
