"""A call of the function is denied: by its role, its boundary, the organisation, the secret's policy; or no role at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.corpus import lines
from tests.corpus.account import (
    ACCOUNT,
    FAILED_AT,
    FUNCTION,
    NAME,
    REGION,
    ROLE,
    SECRET,
    SESSION,
    Account,
    ago,
    policy,
    refusal,
)
from tests.corpus.cases import HEALTHY, Family

access = Family("access", "AWS documentation: Troubleshoot rotation, access-denied errors; IAM, access denied messages")
healthy = Family("access, healthy", "AWS documentation: Permissions for the rotation function; IAM policy evaluation")

FOUR = ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
OWN = f"arn:aws:iam::{ACCOUNT}:policy/rotation"


def _four(*, resource: object = SECRET, actions: tuple[str, ...] = FOUR, **more: Any) -> dict[str, Any]:
    names = [f"secretsmanager:{action}" for action in actions]
    return {"Effect": "Allow", "Action": names, "Resource": resource, **more}


RANDOM: dict[str, Any] = {"Effect": "Allow", "Action": "secretsmanager:GetRandomPassword", "Resource": "*"}
LOGS: dict[str, Any] = {"Effect": "Allow", "Action": ["logs:*"], "Resource": "*"}


def _managed(account: Account, attached: Mapping[str, Any], others: Mapping[str, Any] | None = None) -> None:
    documents = {**attached, **(others or {})}
    named = [{"PolicyArn": name, "PolicyName": name.rpartition("/")[2]} for name in attached]
    account.replies["iam:ListAttachedRolePolicies"] = {"AttachedPolicies": named}
    account.replies["iam:GetPolicy"] = lambda asked: {"Policy": {"Arn": asked["PolicyArn"], "DefaultVersionId": "v3"}}
    account.replies["iam:GetPolicyVersion"] = lambda asked: {
        "PolicyVersion": {"VersionId": "v3", "Document": documents[asked["PolicyArn"]], "IsDefaultVersion": True}
    }


def _bounded(account: Account, *statements: dict[str, Any]) -> None:
    _managed(account, {}, {BOUNDARY: policy(*statements)})
    role = account._iam_get_role({})
    assert isinstance(role, Mapping)
    boundary = {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": BOUNDARY}
    account.replies["iam:GetRole"] = {"Role": {**role["Role"], "PermissionsBoundary": boundary}}


def _only(account: Account, *statements: dict[str, Any]) -> None:
    account.role_policies["rotation"] = policy(*statements)


def _lacking(action: str) -> tuple[str, ...]:
    return tuple(each for each in FOUR if each != action)


@access.fault("role-missing-secret-actions")
def may_not_put(account: Account) -> None:
    account.failing()
    _only(account, _four(actions=_lacking("PutSecretValue")), RANDOM, LOGS)
    account.refused("secretsmanager:PutSecretValue")


@access.fault("role-missing-secret-actions")
def may_not_describe(account: Account) -> None:
    account.failing(retries=4)
    _only(account, _four(actions=_lacking("DescribeSecret")), RANDOM, LOGS)
    account.refused("secretsmanager:DescribeSecret", function="lambda_handler")


@access.fault("role-missing-secret-actions")
def may_not_read(account: Account) -> None:
    account.failing()
    _only(account, _four(actions=_lacking("GetSecretValue")), RANDOM, LOGS)
    account.refused("secretsmanager:GetSecretValue")


@access.fault("role-missing-secret-actions")
def may_not_finish(account: Account) -> None:
    account.failing("finishSecret")
    _only(account, _four(actions=_lacking("UpdateSecretVersionStage")), RANDOM, LOGS)
    account.refused("secretsmanager:UpdateSecretVersionStage", function="finish_secret")


@access.fault("role-missing-secret-actions")
def has_no_policy_at_all_but_for_its_log(account: Account) -> None:
    account.failing()
    _only(account, LOGS)
    account.refused("secretsmanager:DescribeSecret", function="lambda_handler")


@access.fault(
    "role-missing-secret-actions", source="form of words: JavaScript SDK v3 errors as Node.js's runtime logs them"
)
def may_not_put_in_node(account: Account) -> None:
    account.failing()
    account.configuration |= {"Runtime": "nodejs22.x", "Handler": "index.handler"}
    _only(account, _four(actions=_lacking("PutSecretValue")), RANDOM, LOGS)
    why = "because no identity-based policy allows the secretsmanager:PutSecretValue action"
    message = lines.denial(SESSION, "secretsmanager:PutSecretValue", SECRET, why)
    request_id = "9d000000-0000-4000-8000-000000000003"
    account.raw(
        f"START RequestId: {request_id} Version: $LATEST\n",
        lines.node_error(request_id, FAILED_AT, "AccessDeniedException", message),
        f"END RequestId: {request_id}\n",
        f"REPORT RequestId: {request_id}\tDuration: 812.11 ms\tBilled Duration: 813 ms\tMemory Size: 256 MB\tMax Memory Used: 101 MB\t\n",
        at=FAILED_AT,
    )


@access.fault("role-missing-secret-actions", source="form of words: Java SDK v2 errors as Java's runtime logs them")
def may_not_put_in_java(account: Account) -> None:
    account.failing()
    account.configuration |= {"Runtime": "java21", "Handler": "com.example.rotation.Handler::handleRequest"}
    _only(account, _four(actions=_lacking("PutSecretValue")), RANDOM, LOGS)
    why = "because no identity-based policy allows the secretsmanager:PutSecretValue action"
    message = lines.denial(SESSION, "secretsmanager:PutSecretValue", SECRET, why)
    request_id = "9d000000-0000-4000-8000-000000000004"
    account.raw(
        f"START RequestId: {request_id} Version: $LATEST\n",
        lines.java_error(
            f"{message} (Service: SecretsManager, Status Code: 400, Request ID: 9d00) (SDK Attempt Count: 1)",
            "software.amazon.awssdk.services.secretsmanager.model.SecretsManagerException",
        ),
        f"END RequestId: {request_id}\n",
        f"REPORT RequestId: {request_id}\tDuration: 4812.11 ms\tBilled Duration: 4813 ms\tMemory Size: 512 MB\tMax Memory Used: 171 MB\t\n",
        at=FAILED_AT,
    )


@access.fault("role-missing-secret-actions")
def may_not_put_and_only_the_trail_says_so(account: Account) -> None:
    account.failing()
    _only(account, _four(actions=_lacking("PutSecretValue")), RANDOM, LOGS)
    account.refused("secretsmanager:PutSecretValue", in_log=False)


@access.fault("role-missing-secret-actions")
def may_not_ask_for_random_passwords(account: Account) -> None:
    account.failing()
    _only(account, _four(), LOGS)
    account.refused("secretsmanager:GetRandomPassword", None)


@access.fault("role-getrandompassword-scoped")
def random_passwords_of_a_secret(account: Account) -> None:
    account.failing()
    _only(account, _four(actions=(*FOUR, "GetRandomPassword")), LOGS)
    account.refused("secretsmanager:GetRandomPassword", None)


@access.fault("role-getrandompassword-scoped")
def random_passwords_of_all_secrets(account: Account) -> None:
    account.failing()
    _only(account, _four(resource=f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:*", actions=("*",)), LOGS)
    account.refused("secretsmanager:GetRandomPassword", None)


@access.fault("role-wrong-secret-arn", source="public thread: aws-cdk#28308, an ARN without its suffix")
def an_arn_without_its_suffix(account: Account) -> None:
    account.failing()
    _only(account, _four(resource=SECRET.rpartition("-")[0]), RANDOM, LOGS)
    account.refused("secretsmanager:DescribeSecret", function="lambda_handler")


@access.fault("role-wrong-secret-arn")
def an_arn_of_a_deleted_namesake(account: Account) -> None:
    account.failing()
    _only(account, _four(resource=SECRET.rpartition("-")[0] + "-Zz9Yy8"), RANDOM, LOGS)
    account.refused("secretsmanager:DescribeSecret", function="lambda_handler")


@access.fault("role-wrong-secret-arn")
def an_arn_of_another_region(account: Account) -> None:
    account.failing()
    _only(account, _four(resource=SECRET.replace(REGION, "us-east-1")), RANDOM, LOGS)
    account.refused("secretsmanager:DescribeSecret", function="lambda_handler")


@access.fault("role-wrong-secret-arn")
def an_arn_of_another_account_in_a_managed_policy(account: Account) -> None:
    account.failing()
    account.role_policies = {}
    _managed(account, {OWN: policy(_four(resource=SECRET.replace(ACCOUNT, "210987654321")), RANDOM, LOGS)})
    account.refused("secretsmanager:DescribeSecret", function="lambda_handler")


@access.fault("role-rotation-lambda-condition")
def for_secrets_of_another_function(account: Account) -> None:
    account.failing()
    condition = {"StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": f"{FUNCTION}-old"}}
    _only(account, _four(resource="*", Condition=condition), RANDOM, LOGS)
    account.refused("secretsmanager:DescribeSecret", function="lambda_handler")


@access.fault("role-explicit-deny")
def a_statement_of_its_own_denies(account: Account) -> None:
    account.failing()
    account.role_policies["guard"] = policy(
        {"Sid": "NoWrites", "Effect": "Deny", "Action": "secretsmanager:Put*", "Resource": "*"}
    )
    account.refused("secretsmanager:PutSecretValue", SECRET, "with an explicit deny in an identity-based policy")


@access.fault("role-explicit-deny")
def a_managed_policy_denies_by_notaction(account: Account) -> None:
    account.failing("finishSecret")
    deny = {
        "Effect": "Deny",
        "NotAction": ["secretsmanager:Get*", "secretsmanager:Describe*", "secretsmanager:Put*", "logs:*"],
        "Resource": "*",
    }
    _managed(account, {OWN: policy(deny)})
    account.refused(
        "secretsmanager:UpdateSecretVersionStage",
        SECRET,
        "with an explicit deny in an identity-based policy",
        function="finish_secret",
    )


@access.fault("role-boundary-blocks", source="public thread: aws-secrets-manager-rotation-lambdas#27, aws-cdk#19649")
def its_boundary_allows_logs_only(account: Account) -> None:
    account.failing()
    _bounded(account, LOGS)
    why = "because no permissions boundary allows the secretsmanager:DescribeSecret action"
    account.refused("secretsmanager:DescribeSecret", SECRET, why, function="lambda_handler")


@access.fault("role-boundary-blocks")
def its_boundary_denies(account: Account) -> None:
    account.failing()
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    _bounded(account, everything, {"Effect": "Deny", "Action": "secretsmanager:PutSecretValue", "Resource": "*"})
    account.refused("secretsmanager:PutSecretValue", SECRET, "with an explicit deny in a permissions boundary")


@access.fault("scp-denies")
def the_organisation_denies(account: Account) -> None:
    account.failing()
    account.refused("secretsmanager:PutSecretValue", SECRET, "with an explicit deny in a service control policy")


@access.fault("scp-denies")
def the_organisation_allows_nothing_of_it(account: Account) -> None:
    account.failing()
    why = "because no service control policy allows the secretsmanager:PutSecretValue action"
    account.refused("secretsmanager:PutSecretValue", SECRET, why)


@access.fault("scp-denies")
def the_organisations_resource_policy_denies(account: Account) -> None:
    account.failing()
    account.refused(
        "secretsmanager:GetSecretValue", SECRET, "with an explicit deny in a resource control policy", in_log=False
    )


@access.fault("session-policy-denies")
def its_session_may_less(account: Account) -> None:
    account.failing()
    why = "because no session policy allows the secretsmanager:PutSecretValue action"
    account.refused("secretsmanager:PutSecretValue", SECRET, why)


def _guarded(account: Account, **statement: Any) -> None:
    document = policy({"Sid": "OnlyUs", "Effect": "Deny", "Action": "secretsmanager:*", "Resource": "*", **statement})
    account.replies["secretsmanager:GetResourcePolicy"] = {
        "ARN": SECRET,
        "Name": NAME,
        "ResourcePolicy": json.dumps(document),
    }


@access.fault("secret-policy-denies")
def the_secrets_policy_spares_an_administrator_only(account: Account) -> None:
    account.failing()
    admin = {"StringNotEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/admin"}}
    _guarded(account, Principal="*", Condition=admin)
    account.refused(
        "secretsmanager:DescribeSecret",
        SECRET,
        "with an explicit deny in a resource-based policy",
        function="lambda_handler",
    )


@access.fault("secret-policy-denies")
def the_secrets_policy_spares_one_user_by_notprincipal(account: Account) -> None:
    account.failing()
    _guarded(account, NotPrincipal={"AWS": [f"arn:aws:iam::{ACCOUNT}:user/admin", f"arn:aws:iam::{ACCOUNT}:root"]})
    account.refused("secretsmanager:GetSecretValue", SECRET, "with an explicit deny in a resource-based policy")


@access.fault(
    "secret-policy-denies", source="AWS documentation: Secrets Manager, resource policy example with aws:sourceVpce"
)
def the_secrets_policy_wants_an_endpoint(account: Account) -> None:
    account.failing()
    _guarded(account, Principal="*", Condition={"StringNotEquals": {"aws:sourceVpce": "vpce-1234567890abcdef0"}})
    account.refused("secretsmanager:GetSecretValue", SECRET, "with an explicit deny in a resource-based policy")


@access.fault("role-cannot-be-assumed")
def the_role_is_gone(account: Account) -> None:
    account.failing()
    said = "The role with name rotator cannot be found."
    for operation in ("GetRole", "ListRolePolicies", "ListAttachedRolePolicies"):
        account.replies[f"iam:{operation}"] = refusal(operation, "NoSuchEntity", said, 404)


@access.fault("role-cannot-be-assumed")
def the_role_trusts_ec2_only(account: Account) -> None:
    account.failing()
    account.trust = policy(
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    )


@access.fault("cross-account-rotation-token", source="AWS documentation: Troubleshoot rotation, PutSecretValue failed")
def a_function_of_another_account_without_the_token(account: Account) -> None:
    account.uses(FUNCTION.replace(ACCOUNT, "210987654321"))
    account.failing()
    for action in ("lambda:GetFunctionConfiguration", "lambda:GetPolicy", "lambda:GetFunctionConcurrency"):
        account.deny(action)
    by = f"arn:aws:sts::{ACCOUNT}:assumed-role/rotation-for-others/rotate-orders"
    why = "because no identity-based policy allows the secretsmanager:PutSecretValue action"
    account.call(
        "PutSecretValue",
        by=by,
        at=FAILED_AT,
        parameters={"secretId": SECRET},
        error=("AccessDenied", lines.denial(by, "secretsmanager:PutSecretValue", SECRET, why)),
    )


# All is well.


@healthy.nothing(*HEALTHY, source="AWS documentation: Troubleshoot rotation, the guide's own policy (Resource *)")
def the_guides_own_policy(account: Account) -> None:
    _only(account, _four(resource="*", actions=(*FOUR, "GetRandomPassword")), LOGS)


@healthy.nothing(*HEALTHY)
def everything_on_everything(account: Account) -> None:
    _only(account, {"Effect": "Allow", "Action": "*", "Resource": "*"})


@healthy.nothing(*HEALTHY)
def wildcards_and_case(account: Account) -> None:
    read = {"Effect": "Allow", "Action": ["secretsmanager:get*", "SecretsManager:describe?ecret"], "Resource": "*"}
    arn = SECRET.rpartition("-")[0] + "-??????"
    write = _four(resource=[arn], actions=("PutSecretValue", "UpdateSecretVersionStage"))
    _only(account, read, write, LOGS)


@healthy.nothing(*HEALTHY)
def by_the_beginning_of_its_name(account: Account) -> None:
    _only(account, _four(resource=f"arn:aws:secretsmanager:*:{ACCOUNT}:secret:svc/*"), RANDOM, LOGS)


@healthy.nothing(*HEALTHY)
def for_secrets_of_this_function(account: Account) -> None:
    condition = {"StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": FUNCTION}}
    _only(account, _four(resource="*", Condition=condition), RANDOM, LOGS)


@healthy.nothing(*HEALTHY)
def by_a_managed_policy(account: Account) -> None:
    account.role_policies = {}
    _managed(account, {OWN: policy(_four(), RANDOM, LOGS)})


@healthy.nothing(*HEALTHY)
def one_statement_that_is_no_list(account: Account) -> None:
    account.role_policies = {
        "all": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    }


@healthy.nothing(*HEALTHY)
def within_a_boundary(account: Account) -> None:
    _bounded(account, {"Effect": "Allow", "NotAction": ["iam:*", "organizations:*"], "Resource": "*"})


@healthy.nothing(*HEALTHY)
def a_deny_of_other_actions(account: Account) -> None:
    account.role_policies["guard"] = policy(
        {"Effect": "Deny", "Action": "secretsmanager:DeleteSecret", "Resource": "*"}
    )


@healthy.nothing(*HEALTHY)
def a_deny_on_other_secrets(account: Account) -> None:
    deny = {"Effect": "Deny", "Action": "secretsmanager:*", "NotResource": [SECRET, "*"]}
    account.role_policies["guard"] = policy(deny)


@healthy.nothing(*HEALTHY)
def a_deny_for_calls_without_tls(account: Account) -> None:
    deny = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    account.role_policies["guard"] = policy(deny)


@healthy.nothing(*HEALTHY)
def the_secrets_policy_spares_the_role(account: Account) -> None:
    spared = [f"arn:aws:iam::{ACCOUNT}:role/admin", ROLE]
    _guarded(account, Principal="*", Condition={"StringNotEquals": {"aws:PrincipalArn": spared}})


@healthy.nothing(*HEALTHY)
def the_secrets_policy_spares_the_roles_sessions(account: Account) -> None:
    _guarded(
        account, Principal="*", Condition={"ArnNotLike": {"aws:PrincipalArn": [f"arn:aws:iam::{ACCOUNT}:role/rot*"]}}
    )


@healthy.nothing(*HEALTHY)
def the_secrets_policy_denies_deletion(account: Account) -> None:
    _guarded(account, Principal="*", Action="secretsmanager:DeleteSecret")


@healthy.nothing(*HEALTHY)
def the_secrets_own_policy_lets_the_role_in(account: Account) -> None:
    _only(account, RANDOM, LOGS)
    document = policy({"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "secretsmanager:*", "Resource": "*"})
    account.replies["secretsmanager:GetResourcePolicy"] = {
        "ARN": SECRET,
        "Name": NAME,
        "ResourcePolicy": json.dumps(document),
    }


@healthy.nothing(*HEALTHY)
def more_services_are_trusted(account: Account) -> None:
    services = {"Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"]}
    account.trust = policy({"Effect": "Allow", "Principal": services, "Action": ["sts:AssumeRole", "sts:TagSession"]})


@healthy.nothing(*HEALTHY)
def denials_of_before_the_last_good_rotation(account: Account) -> None:
    account.failed("createSecret", at=ago(days=12, minutes=20))
    account.refused("secretsmanager:PutSecretValue", at=ago(days=12, minutes=20))
