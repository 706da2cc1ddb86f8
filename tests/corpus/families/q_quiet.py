"""Nothing is wrong, however it looks: written last, against inventions."""

from __future__ import annotations

import json
from typing import Any

from tests.corpus import lines
from tests.corpus.account import (
    ACCOUNT,
    CURRENT,
    FUNCTION,
    KEY,
    NAME,
    OTHER_SECRET,
    REGION,
    ROLE,
    SECRET,
    SUPERUSER,
    Account,
    ago,
    policy,
    refusal,
)
from tests.corpus.cases import HEALTHY, INCONCLUSIVE, Family
from tests.corpus.network import EVERYWHERE, LOCAL, allow, route

quiet = Family("quiet", "AWS documentation: as in the families above; nothing is wrong")


def _statements(account: Account) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = account.role_policies["rotation"]["Statement"]
    return found


@quiet.nothing(*HEALTHY)
def allowed_by_the_secrets_tag(account: Account) -> None:
    _statements(account)[0] |= {
        "Resource": "*",
        "Condition": {"StringEquals": {"secretsmanager:ResourceTag/team": "orders"}},
    }
    account.secret["Tags"] = [{"Key": "team", "Value": "orders"}]


@quiet.nothing(*HEALTHY)
def allowed_by_its_name_in_a_condition(account: Account) -> None:
    condition = {"StringLike": {"secretsmanager:SecretId": [f"{SECRET.rpartition('-')[0]}*"]}}
    _statements(account)[0] |= {"Resource": "*", "Condition": condition}


@quiet.nothing(*HEALTHY)
def a_deny_of_others_by_notresource(account: Account) -> None:
    deny = {
        "Effect": "Deny",
        "Action": "secretsmanager:PutSecretValue",
        "NotResource": SECRET.rpartition("-")[0] + "-*",
    }
    account.role_policies["guard"] = policy(deny)


@quiet.nothing(*HEALTHY)
def a_deny_outside_of_this_region(account: Account) -> None:
    deny = {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:RequestedRegion": REGION}},
    }
    account.role_policies["region"] = policy(deny)


@quiet.nothing(*HEALTHY, *INCONCLUSIVE, source="AWS documentation: IAM; a condition that cannot be known from outside")
def a_deny_outside_of_a_network(account: Account) -> None:
    deny = {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:SourceVpc": "vpc-1"}, "Bool": {"aws:ViaAWSService": "false"}},
    }
    account.role_policies["network"] = policy(deny)
    account.in_vpc().with_endpoint()


@quiet.nothing(*HEALTHY)
def two_policies_allow_it_together(account: Account) -> None:
    actions = _statements(account)[0]["Action"]
    account.role_policies["second"] = policy({"Effect": "Allow", "Action": actions[2:], "Resource": SECRET})
    _statements(account)[0]["Action"] = actions[:2]


@quiet.nothing(*HEALTHY)
def the_keys_policy_names_the_account_by_its_number(account: Account) -> None:
    account.with_key()
    document = policy({"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "kms:*", "Resource": "*"})
    account.replies["kms:GetKeyPolicy"] = {"Policy": json.dumps(document), "PolicyName": "default"}


@quiet.nothing(*HEALTHY)
def the_keys_policy_denies_deletion_and_others(account: Account) -> None:
    account.with_key()
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    document = policy(
        {"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"},
        {"Effect": "Deny", "Principal": "*", "Action": "kms:ScheduleKeyDeletion", "Resource": "*"},
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "kms:Decrypt",
            "Resource": "*",
            "Condition": {"StringNotLike": {"aws:PrincipalArn": [ROLE, "arn:aws:iam::*:role/app-*"]}},
        },
    )
    account.replies["kms:GetKeyPolicy"] = {"Policy": json.dumps(document), "PolicyName": "default"}


@quiet.nothing(*HEALTHY)
def a_multi_region_key(account: Account) -> None:
    account.with_key()
    mrk = KEY.replace("key/1", "key/mrk-1")
    account.secret["KmsKeyId"] = mrk
    reply: Any = account.replies["kms:DescribeKey"]
    reply["KeyMetadata"] |= {
        "Arn": mrk,
        "MultiRegion": True,
        "MultiRegionConfiguration": {"MultiRegionKeyType": "PRIMARY"},
    }
    account.role_policies["key"] = policy(
        {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": mrk}
    )


@quiet.nothing(*HEALTHY)
def an_alias_with_a_slash_in_the_secrets_description(account: Account) -> None:
    account.secret |= {"Description": "AccessDenied? Ask #payments. Task timed out after 3.00 seconds", "Tags": []}


@quiet.nothing(*HEALTHY)
def its_function_logs_errors_that_it_handles(account: Account) -> None:
    account.trail.clear()
    account.succeeded(at=ago(hours=3))
    account.secret |= {
        "LastRotatedDate": ago(hours=3),
        "LastChangedDate": ago(hours=3),
        "NextRotationDate": ago(days=-30),
    }
    account.ran(
        lines.CREDENTIALS,
        lines.error("cannot notify the channel: HTTP 503"),
        lines.info(f"finishSecret: Successfully set AWSCURRENT stage to version {CURRENT} for secret {SECRET}."),
        at=ago(hours=3, seconds=2),
    )


@quiet.nothing(*HEALTHY)
def a_good_rotation_of_which_the_trail_is_not_told_yet(account: Account) -> None:
    account.trail.clear()
    account.secret |= {
        "LastRotatedDate": ago(minutes=4),
        "LastChangedDate": ago(minutes=4),
        "NextRotationDate": ago(days=-30),
    }
    account.ran(
        lines.CREDENTIALS,
        lines.info(f"finishSecret: Successfully set AWSCURRENT stage to version {CURRENT} for secret {SECRET}."),
        at=ago(minutes=4, seconds=1),
    )


@quiet.nothing(*HEALTHY)
def the_default_acl_and_a_hundred_rules(account: Account) -> None:
    found = account.in_vpc()
    found.group("sg-database")["IpPermissions"] = [
        allow("tcp", 1000 + number, "10.9.0.0/16") for number in range(60)
    ] + [allow("tcp", 5432, "10.0.1.0/24", "10.0.2.0/24")]
    account.with_instance()


@quiet.nothing(*HEALTHY)
def a_port_range_and_every_protocol(account: Account) -> None:
    found = account.in_vpc()
    wide = {
        "IpProtocol": "tcp",
        "FromPort": 1024,
        "ToPort": 65535,
        "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
        "Ipv6Ranges": [],
        "PrefixListIds": [],
        "UserIdGroupPairs": [],
    }
    found.group("sg-database")["IpPermissions"] = [wide]
    found.group("sg-function")["IpPermissionsEgress"] = [allow("-1", None, EVERYWHERE)]
    account.with_instance()


@quiet.nothing(
    *HEALTHY, *INCONCLUSIVE, source="AWS documentation: VPC; a firewall appliance behind a network interface"
)
def by_an_appliance(account: Account) -> None:
    account.in_vpc().table("rtb-private")["Routes"] = [LOCAL, route(NetworkInterfaceId="eni-0fw")]


@quiet.nothing(*HEALTHY)
def its_database_is_in_another_vpc_that_is_peered(account: Account) -> None:
    found = account.in_vpc()
    account.with_instance()
    found.subnets[3] |= {"VpcId": "vpc-2", "CidrBlock": "10.9.20.0/24"}
    found.group("sg-database")["VpcId"] = "vpc-2"
    found.group("sg-database")["IpPermissions"] = [allow("tcp", 5432, "10.0.0.0/16")]
    peer = {"DestinationCidrBlock": "10.9.0.0/16", "VpcPeeringConnectionId": "pcx-1", "State": "active"}
    found.table("rtb-private")["Routes"].append(peer)
    found.table("rtb-main")["Associations"] = [{"Main": True, "RouteTableId": "rtb-main"}]
    back = {"DestinationCidrBlock": "10.0.0.0/16", "VpcPeeringConnectionId": "pcx-1", "State": "active"}
    found.tables.append(
        {
            "RouteTableId": "rtb-2",
            "VpcId": "vpc-2",
            "Routes": [{**LOCAL, "DestinationCidrBlock": "10.9.0.0/16"}, back],
            "Associations": [{"Main": True, "RouteTableId": "rtb-2"}],
        }
    )
    found.acls.append(
        {
            **found.acls[0],
            "NetworkAclId": "acl-2",
            "VpcId": "vpc-2",
            "Associations": [{"SubnetId": "subnet-database", "NetworkAclId": "acl-2"}],
        }
    )
    found.acls[0]["Associations"] = [
        each for each in found.acls[0]["Associations"] if each["SubnetId"] != "subnet-database"
    ]
    found.peerings.append(
        {
            "VpcPeeringConnectionId": "pcx-1",
            "Status": {"Code": "active"},
            "RequesterVpcInfo": {"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/16"},
            "AccepterVpcInfo": {"VpcId": "vpc-2", "CidrBlock": "10.9.0.0/16"},
        }
    )
    account.databases["DBInstances"][0]["DBSubnetGroup"]["VpcId"] = "vpc-2"


@quiet.nothing(*HEALTHY)
def a_superuser_of_rds_that_is_under_the_accounts_key(account: Account) -> None:
    account.with_superuser()
    managed = {
        "ARN": SUPERUSER,
        "Name": "rds!db-1",
        "OwningService": "rds",
        "Tags": [{"Key": "aws:rds:primaryDBInstanceArn", "Value": f"arn:aws:rds:{REGION}:{ACCOUNT}:db:orders"}],
        "VersionIdsToStages": {CURRENT: ["AWSCURRENT"]},
    }
    ordinary: Any = account._secretsmanager_describe_secret
    account.replies["secretsmanager:DescribeSecret"] = lambda asked: (
        managed if asked["SecretId"] == SUPERUSER else ordinary(asked)
    )


@quiet.nothing(*HEALTHY)
def a_role_that_may_read_some_other_secret_that_is_gone(account: Account) -> None:
    gone = OTHER_SECRET.replace("other", "gone")
    account.role_policies["old"] = policy(
        {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": gone}
    )
    ordinary: Any = account._secretsmanager_describe_secret
    missing: Any = refusal(
        "DescribeSecret", "ResourceNotFoundException", "Secrets Manager can't find the specified secret."
    )
    account.replies["secretsmanager:DescribeSecret"] = lambda asked: (
        missing if asked["SecretId"] == gone else ordinary(asked)
    )


@quiet.nothing(*HEALTHY)
def an_old_function_that_still_works(account: Account) -> None:
    account.configuration["LastModified"] = "2020-03-02T10:00:00.000+0000"


@quiet.nothing(*HEALTHY)
def a_short_timeout_that_has_always_been_enough(account: Account) -> None:
    account.configuration["Timeout"] = 3


@quiet.nothing(*HEALTHY)
def versions_stored_by_hand_and_no_rotation_since(account: Account) -> None:
    account.secret["LastChangedDate"] = ago(hours=5)
    for hours in (7, 6, 5):
        account.call(
            "PutSecretValue",
            by=f"arn:aws:iam::{ACCOUNT}:user/admin",
            at=ago(hours=hours),
            parameters={"secretId": NAME},
        )


@quiet.nothing(*HEALTHY)
def a_permission_with_an_url_function_beside_it(account: Account) -> None:
    assert account.function_policy
    account.function_policy["Statement"].insert(
        0,
        {
            "Sid": "url",
            "Effect": "Allow",
            "Principal": "*",
            "Action": "lambda:InvokeFunctionUrl",
            "Resource": FUNCTION,
            "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}},
        },
    )
