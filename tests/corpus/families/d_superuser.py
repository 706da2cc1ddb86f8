"""The superuser ("master", "admin") secret."""

from __future__ import annotations

import json
from typing import Any

from tests.corpus import lines
from tests.corpus.account import ACCOUNT, CURRENT, REGION, SUPERUSER, Account, policy, refusal
from tests.corpus.cases import HEALTHY, Family

superuser = Family("superuser secret", "AWS samples: error texts of the multi-user rotation functions, February 2025")

MASTER_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/22222222-3333-4444-5555-666666666666"
RDS_ERROR = (
    "An error occurred (AccessDenied) when calling the {0} operation: User: arn:aws:sts::123456789012:assumed-role/rotator/"
    "rotate-orders is not authorized to perform: rds:{0} on resource: arn:aws:rds:eu-west-1:123456789012:db:* because no "
    "identity-based policy allows the rds:{0} action"
)


@superuser.fault(
    "master-secret-read-denied", source="AWS documentation: Troubleshoot rotation, My first rotation fails"
)
def its_role_may_not_read_it(account: Account) -> None:
    account.failing("setSecret")
    account.with_superuser()
    account.role_policies.pop("superuser")
    account.refused("secretsmanager:GetSecretValue", SUPERUSER, function="set_secret")


@superuser.fault(
    "master-secret-read-denied", source="public thread: aws-cdk#28308, the policy has the ARN without its suffix"
)
def its_role_names_it_without_the_suffix(account: Account) -> None:
    account.failing("setSecret")
    account.with_superuser()
    account.role_policies["superuser"] = policy(
        {"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"], "Resource": SUPERUSER.rpartition("-")[0]}
    )
    account.refused("secretsmanager:GetSecretValue", SUPERUSER, function="set_secret")


@superuser.fault("master-secret-read-denied")
def found_by_reading_the_value(account: Account) -> None:
    account.failing("setSecret")
    account.with_superuser()
    account.with_value()
    account.role_policies.pop("superuser")


@superuser.fault("master-secret-arn-missing", source="public thread: aws-cdk#6358")
def no_masterarn(account: Account) -> None:
    account.failing("setSecret")
    account.raised("KeyError", "'masterarn'", function="set_secret")


@superuser.fault("master-secret-arn-missing", source="public thread: aws-cdk#6358, as it stands there")
def no_masterarn_in_one_line(account: Account) -> None:
    account.failing("setSecret")
    account.ran(
        lines.Bare(
            "'masterarn': KeyErrorTraceback (most recent call last):  File \"/var/task/lambda_function.py\", line 79, in "
            'lambda_handler    set_secret(service_client, arn, token)  File "/var/task/lambda_function.py", line 172, in '
            "set_secret    master_arn = current_dict['masterarn']KeyError: 'masterarn'"
        )
    )


@superuser.fault("master-secret-arn-missing", source="public thread: aws-secrets-manager-rotation-lambdas#99")
def the_key_masterarn_is_missing(account: Account) -> None:
    account.failing("createSecret")
    account.raised("KeyError", "'masterarn key is missing from secret JSON'", function="create_secret")


def _master_is_gone(account: Account) -> None:
    ordinary = account._secretsmanager_describe_secret
    said = "Secrets Manager can't find the specified secret."

    def reply(asked: Any) -> Any:
        if asked["SecretId"] == SUPERUSER:
            return refusal("DescribeSecret", "ResourceNotFoundException", said)
        return ordinary(asked)

    account.replies["secretsmanager:DescribeSecret"] = reply


@superuser.fault("master-secret-not-found")
def it_was_deleted(account: Account) -> None:
    account.failing("setSecret")
    account.with_superuser()
    _master_is_gone(account)
    account.raised(
        "ResourceNotFoundException",
        "An error occurred (ResourceNotFoundException) when calling the GetSecretValue operation: Secrets Manager can't find the "
        "specified secret.",
        function="set_secret",
    )


@superuser.fault("master-secret-not-found")
def it_was_deleted_and_the_value_names_it(account: Account) -> None:
    account.failing("setSecret")
    account.with_superuser()
    account.with_value()
    _master_is_gone(account)


@superuser.fault("master-secret-kms-denied")
def it_is_under_another_key(account: Account) -> None:
    account.failing("setSecret")
    account.with_key()
    account.with_superuser()
    ordinary: Any = account._secretsmanager_describe_secret
    account.replies["secretsmanager:DescribeSecret"] = lambda asked: (
        {
            "ARN": SUPERUSER,
            "Name": "svc/superuser",
            "KmsKeyId": MASTER_KEY,
            "VersionIdsToStages": {CURRENT: ["AWSCURRENT"]},
        }
        if asked["SecretId"] == SUPERUSER
        else ordinary(asked)
    )
    described: Any = account.replies["kms:DescribeKey"]
    account.replies["kms:DescribeKey"] = lambda asked: {
        "KeyMetadata": {**described["KeyMetadata"], "Arn": asked["KeyId"], "KeyId": asked["KeyId"].rpartition("/")[2]}
    }
    account.raised(
        "ClientError",
        "An error occurred (AccessDeniedException) when calling the GetSecretValue operation: Access to KMS is not allowed",
        function="set_secret",
    )


superuser.lines(
    "master-login-failed",
    step="setSecret",
    superuser=True,
    its_password_is_wrong=f"setSecret: Unable to log into database using credentials in master secret {SUPERUSER}",
    its_password_is_wrong_redshift=f"setSecret: Unable to log into database using credentials in admin secret {SUPERUSER}",
    its_password_is_wrong_db2=f"setSecret: Unable to log into rdsadmin database using credentials in master secret {SUPERUSER}",
)
superuser.lines(
    "master-host-mismatch",
    step="setSecret",
    superuser=True,
    another_host_or_replica="setSecret: Current database host orders.internal is not the same host as/rds replica of master orders.abc123.eu-west-1.rds.amazonaws.com",
    another_host_mongodb="setSecret: Current database host docdb-2 is not the same host as master docdb-1",
    another_host_redshift="setSecret: Current database host wh.example is not the same host as admin wh-old.example",
)
superuser.lines(
    "master-rds-api-denied",
    step="setSecret",
    superuser=True,
    may_not_ask_for_instances="setSecret: Encountered API error while fetching connection parameters from DescribeDBInstances RDS API: "
    + RDS_ERROR.format("DescribeDBInstances"),
    may_not_ask_for_clusters="setSecret: Encountered API error while fetching connection parameters from DescribeDBClusters RDS API: "
    + RDS_ERROR.format("DescribeDBClusters"),
    may_not_ask_for_namespaces="setSecret: Encountered API error while fetching connection parameters from ListNamespaces Redshift "
    "Serverless API: An error occurred (AccessDeniedException) when calling the ListNamespaces operation: User is not authorized",
)
superuser.lines(
    "master-tag-stale",
    step="setSecret",
    superuser=True,
    its_instance_is_gone="setSecret: arn:aws:rds:eu-west-1:123456789012:db:old is not a valid DB Instance ARN. No Instances found when using DescribeDBInstances RDS API to get connection params.",
    its_redshift_cluster_is_gone="setSecret: The secret has a tag aws:redshift:primaryclusterarn, but Redshift can't find the cluster defined in the tag: arn:aws:redshift:eu-west-1:123456789012:cluster:wh",
)
superuser.lines(
    "clone-username-too-long",
    step="createSecret",
    too_long_for_postgresql="Unable to clone user, username length with _clone appended would exceed 63 characters",
    too_long_for_mysql="Unable to clone user, username length with _clone appended would exceed 16 characters",
    too_long_for_oracle="Unable to clone user, username length with _CLONE appended would exceed 30 characters",
)


@superuser.nothing(*HEALTHY)
def alternating_users_rotate_well(account: Account) -> None:
    account.with_superuser()
    account.secret["VersionIdsToStages"][CURRENT] = ["AWSCURRENT", "AWSPENDING"]


@superuser.nothing(*HEALTHY)
def alternating_users_and_the_value_is_read(account: Account) -> None:
    account.with_superuser()
    account.with_value()


@superuser.nothing(*HEALTHY)
def its_own_policy_lets_the_role_in(account: Account) -> None:
    account.with_superuser()
    account.with_value()
    account.role_policies.pop("superuser")
    document = policy(
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/rotator"},
            "Action": "secretsmanager:GetSecretValue",
            "Resource": "*",
        }
    )
    account.replies["secretsmanager:GetResourcePolicy"] = lambda asked: {
        "ARN": asked["SecretId"],
        "Name": "any",
        **({"ResourcePolicy": json.dumps(document)} if asked["SecretId"] == SUPERUSER else {}),
    }
