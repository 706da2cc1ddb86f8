"""The doctor may not see everything: what is proved elsewhere stands, the rest is not known."""

from __future__ import annotations

import json
from typing import Any

from tests.corpus import lines
from tests.corpus.account import SECRET, Account, policy, refusal
from tests.corpus.cases import HEALTHY, INCONCLUSIVE, Family

partial = Family("partial sight", "AWS documentation: IAM; a denied call proves nothing about what it would have shown")

LOGIN = f"setSecret: Unable to log into database with previous, current, or pending secret of secret arn {SECRET}"
LOG = ("logs:FilterLogEvents", "logs:DescribeLogGroups", "logs:DescribeLogStreams")
TRAIL = ("cloudtrail:LookupEvents",)
ROLE = (
    "iam:GetRole", "iam:ListRolePolicies", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:GetPolicy",
    "iam:GetPolicyVersion", "iam:SimulatePrincipalPolicy",
)  # fmt: skip
NETWORK = (
    "ec2:DescribeSubnets", "ec2:DescribeVpcs", "ec2:DescribeVpcAttribute", "ec2:DescribeRouteTables", "ec2:DescribeNatGateways",
    "ec2:DescribeVpcEndpoints", "ec2:DescribeSecurityGroups", "ec2:DescribeNetworkAcls", "ec2:DescribeManagedPrefixLists",
)  # fmt: skip
FUNCTION = ("lambda:GetFunctionConfiguration", "lambda:GetPolicy", "lambda:GetFunctionConcurrency")


def _without(account: Account, action: str) -> None:
    account.role_policies["rotation"]["Statement"][0]["Action"].remove(f"secretsmanager:{action}")


@partial.nothing(*INCONCLUSIVE)
def no_log_and_it_fails(account: Account) -> None:
    account.failing("setSecret")
    account.template(LOGIN)
    account.deny(*LOG)


@partial.fault("role-missing-secret-actions")
def no_log_and_the_role_shows_it(account: Account) -> None:
    account.failing()
    _without(account, "PutSecretValue")
    account.refused("secretsmanager:PutSecretValue")
    account.deny(*LOG)


@partial.fault("lambda-import-error")
def no_trail_and_the_log_shows_it(account: Account) -> None:
    account.failing()
    account.ran(
        lines.Init("Runtime.ImportModuleError", "Unable to import module 'lambda_function': No module named 'pg'")
    )
    account.deny(*TRAIL)


@partial.nothing(*INCONCLUSIVE)
def no_trail_and_nothing_else(account: Account) -> None:
    account.deny(*TRAIL)


@partial.fault("role-missing-secret-actions")
def no_role_and_the_message_says_it(account: Account) -> None:
    account.failing()
    _without(account, "PutSecretValue")
    account.refused("secretsmanager:PutSecretValue")
    account.deny(*ROLE)


@partial.nothing(*INCONCLUSIVE)
def no_role_and_nothing_else(account: Account) -> None:
    account.deny(*ROLE)


@partial.fault("role-explicit-deny")
def one_policy_of_the_role_is_hidden_and_another_denies(account: Account) -> None:
    account.failing()
    account.role_policies["guard"] = policy({"Effect": "Deny", "Action": "secretsmanager:Put*", "Resource": "*"})
    account.deny("iam:ListAttachedRolePolicies")


@partial.nothing(*INCONCLUSIVE)
def one_policy_of_the_role_is_hidden_and_the_others_allow_too_little(account: Account) -> None:
    account.due(days=29)
    _without(account, "PutSecretValue")
    account.deny("iam:ListAttachedRolePolicies")


@partial.nothing(*INCONCLUSIVE, guesses=("function-unhandled-error",))
def no_network_and_it_times_out(account: Account) -> None:
    account.failing()
    account.timed_out()
    account.in_vpc().without_nat()
    account.deny(*NETWORK)


@partial.nothing(*INCONCLUSIVE, guesses=("function-unhandled-error",))
def no_network_and_a_short_timeout(account: Account) -> None:
    account.failing()
    account.configuration["Timeout"] = 3
    account.timed_out(seconds=3.0)
    account.in_vpc()
    account.deny(*NETWORK)


@partial.nothing(*INCONCLUSIVE, guesses=("db-login-failed",))
def no_groups_and_a_login_that_fails(account: Account) -> None:
    account.failing("setSecret")
    account.template(LOGIN, ms=412)
    account.in_vpc()
    account.with_instance()
    account.deny("ec2:DescribeSecurityGroups")


@partial.fault("network-no-route-to-secretsmanager")
def no_groups_and_no_route(account: Account) -> None:
    account.failing()
    account.timed_out()
    account.in_vpc().without_nat()
    account.deny("ec2:DescribeSecurityGroups", "ec2:DescribeNetworkAcls")


@partial.nothing(*INCONCLUSIVE)
def no_policy_of_the_function_and_no_line(account: Account) -> None:
    account.failing()
    account.function_policy = None
    account.deny("lambda:GetPolicy")


@partial.nothing(*INCONCLUSIVE)
def nothing_of_the_function(account: Account) -> None:
    account.deny(*FUNCTION)


@partial.nothing(*INCONCLUSIVE)
def not_even_the_secret(account: Account) -> None:
    account.failing()
    account.deny("secretsmanager:DescribeSecret")


@partial.fault("kms-key-disabled")
def no_policy_of_the_key_and_it_is_disabled(account: Account) -> None:
    account.failing()
    account.with_key()
    reply: Any = account.replies["kms:DescribeKey"]
    reply["KeyMetadata"] |= {"KeyState": "Disabled", "Enabled": False}
    account.deny("kms:GetKeyPolicy", "kms:ListGrants")


@partial.nothing(*INCONCLUSIVE)
def nothing_of_the_key(account: Account) -> None:
    account.with_key()
    account.deny("kms:DescribeKey", "kms:GetKeyPolicy", "kms:ListGrants")


@partial.nothing(*INCONCLUSIVE)
def the_trail_is_throttled(account: Account) -> None:
    account.replies["cloudtrail:LookupEvents"] = refusal("LookupEvents", "ThrottlingException", "Rate exceeded")


@partial.nothing(*HEALTHY, source="form of words: moto's habits; an endpoint without CloudTrail and simulation")
def an_endpoint_that_has_less(account: Account) -> None:
    for action in (
        "cloudtrail:LookupEvents",
        "iam:SimulatePrincipalPolicy",
        "lambda:GetAccountSettings",
        "cloudwatch:GetMetricStatistics",
    ):
        account.replies[action] = refusal(action.partition(":")[2], "500", "Internal Server Error", 500)


@partial.nothing(*INCONCLUSIVE)
def the_value_may_not_be_read(account: Account) -> None:
    account.failing("setSecret")
    account.with_value()
    account.deny("secretsmanager:GetSecretValue")


@partial.fault("invoke-permission-missing")
def neither_log_nor_trail_nor_role(account: Account) -> None:
    account.failing()
    account.function_policy = None
    account.deny(*LOG, *TRAIL, *ROLE)


@partial.fault("secret-policy-denies")
def no_role_and_the_secrets_policy_shows_it(account: Account) -> None:
    account.failing()
    document = policy({"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:PutSecretValue", "Resource": "*"})
    account.replies["secretsmanager:GetResourcePolicy"] = {
        "ARN": SECRET,
        "Name": "n",
        "ResourcePolicy": json.dumps(document),
    }
    account.refused("secretsmanager:PutSecretValue", SECRET, "with an explicit deny in a resource-based policy")
    account.deny(*ROLE)
