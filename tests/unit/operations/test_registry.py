"""No operation is reached without a permission, and none is asked about everything by mistake."""

from __future__ import annotations

from keyturn.operations import registry

# Source: Service Authorization Reference, "Resource types" of each action.
WITHOUT_RESOURCE = {
    # An account is a resource of Organizations, but only the management account may ask about it.
    "organizations:CreateAccount",
    "organizations:DescribeAccount",
    "organizations:DescribeCreateAccountStatus",
    "organizations:DescribeOrganization",
    "organizations:ListAccounts",
    "cloudtrail:LookupEvents",
    "cloudwatch:GetMetricData",
    "cloudwatch:GetMetricStatistics",
    "cloudwatch:ListMetrics",
    "iam:GetContextKeysForCustomPolicy",
    "iam:SimulateCustomPolicy",
    "keyturn:CountPlannedRotations",
    "keyturn:GetAuditTrailStatus",
    "keyturn:GetServerStatus",
    "keyturn:ListPlannedRotations",
    "keyturn:LookupDeniedEvents",
    "lambda:GetAccountSettings",
    "lambda:ListFunctions",
    "lambda:ListLayerVersions",
    "lambda:ListLayers",
    "secretsmanager:BatchGetSecretValue",
    "secretsmanager:GetRandomPassword",
    "secretsmanager:ListSecrets",
    "sts:DecodeAuthorizationMessage",
    "sts:GetAccessKeyInfo",
}


def test_only_who_am_i_and_a_users_own_session_need_no_permission() -> None:
    registry.discover()
    free = [f"{operation.service}:{operation.name}" for operation in registry.all_operations() if not operation.action]
    assert free == ["sts:GetCallerIdentity", "sts:GetSessionToken"]


def test_only_actions_without_resources_are_asked_about_everything() -> None:
    registry.discover()
    found = {operation.action for operation in registry.all_operations() if operation.load is registry.no_subject}
    # Whoever may describe one kind of EC2's objects may describe all of that kind.
    assert {action for action in found - {""} if not action.startswith("ec2:Describe")} == WITHOUT_RESOURCE
