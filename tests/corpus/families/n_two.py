"""Two faults at once: both are causes, for the second would fail the next attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.corpus import lines
from tests.corpus.account import FUNCTION, SECRET, SUPERUSER, Account, policy
from tests.corpus.cases import Break, Family
from tests.corpus.network import EVERYWHERE, allow, entry

two = Family("two at once", "AWS documentation: Troubleshoot rotation; each of the two as in its own family")


def _without(account: Account, action: str) -> None:
    account.role_policies["rotation"]["Statement"][0]["Action"].remove(f"secretsmanager:{action}")


def both(one: str, other: str) -> Callable[[Break], Break]:
    def add(make: Break) -> Break:
        two.fault(one, other, among=(one, other))(make)
        return make

    return add


@both("network-no-route-to-secretsmanager", "role-missing-secret-actions")
def no_route_and_no_permission(account: Account) -> None:
    account.failing()
    account.timed_out()
    account.in_vpc().without_nat()
    _without(account, "PutSecretValue")


@both("kms-key-disabled", "invoke-permission-missing")
def no_key_and_no_invocation(account: Account) -> None:
    account.failing()
    account.with_key()
    reply: Any = account.replies["kms:DescribeKey"]
    reply["KeyMetadata"] |= {"KeyState": "Disabled", "Enabled": False}
    account.function_policy = None


@both("lambda-concurrency-zero", "role-getrandompassword-scoped")
def no_concurrency_and_no_random_password(account: Account) -> None:
    account.failing()
    account.replies["lambda:GetFunctionConcurrency"] = {"ReservedConcurrentExecutions": 0}
    account.role_policies["rotation"]["Statement"][1]["Resource"] = SECRET


@both("master-secret-read-denied", "role-missing-secret-actions")
def no_superuser_and_no_finish(account: Account) -> None:
    account.failing("setSecret")
    account.with_superuser()
    account.role_policies.pop("superuser")
    _without(account, "UpdateSecretVersionStage")
    account.refused("secretsmanager:GetSecretValue", SUPERUSER, function="set_secret")


@both("db-sg-blocks-function", "role-missing-secret-actions")
def no_database_and_no_finish(account: Account) -> None:
    account.failing("setSecret")
    account.in_vpc().group("sg-database")["IpPermissions"] = []
    account.with_instance()
    _without(account, "UpdateSecretVersionStage")


@both("endpoint-sg-blocks-https", "nacl-blocks-https")
def two_walls_one_behind_the_other(account: Account) -> None:
    account.failing()
    account.timed_out()
    found = account.in_vpc()
    found.with_endpoint()
    found.group("sg-endpoint")["IpPermissions"] = [allow("tcp", 443, "192.168.0.0/16")]
    found.first_entries(entry(90, "deny", egress=True, protocol="6", ports=(443, 443)))


@both("lambda-import-error", "role-cannot-be-assumed")
def no_module_and_no_trust(account: Account) -> None:
    account.failing()
    account.ran(
        lines.Init("Runtime.ImportModuleError", "Unable to import module 'lambda_function': No module named 'pg'")
    )
    account.trust = policy(
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    )


@both("role-rotation-lambda-condition", "kms-role-denied")
def a_condition_and_a_key(account: Account) -> None:
    account.failing()
    account.with_key()
    account.role_policies.pop("key")
    condition = {"StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": f"{FUNCTION}-old"}}
    account.role_policies["rotation"]["Statement"][0]["Condition"] = condition


@both("secret-engine-mismatch", "invoke-permission-condition")
def an_engine_and_a_permission_that_is_gone_since(account: Account) -> None:
    account.failing()
    account.raised("KeyError", "\"Database engine must be set to 'mysql' in order to use this rotation lambda\"")
    account.function_policy = policy(
        {
            "Effect": "Allow",
            "Principal": {"Service": "secretsmanager.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": FUNCTION,
            "Condition": {"StringEquals": {"AWS:SourceAccount": "999988887777"}},
        }
    )


@both("function-sg-blocks-egress", "db-sg-blocks-function")
def both_groups(account: Account) -> None:
    account.failing("setSecret")
    found = account.in_vpc()
    account.with_instance()
    found.group("sg-function")["IpPermissionsEgress"] = [allow("tcp", 443, EVERYWHERE)]
    found.group("sg-database")["IpPermissions"] = []
