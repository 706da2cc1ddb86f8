"""What the doctor itself has to be allowed: the least that looks everywhere, and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping

from .case import Case
from .facts import Kind

_SECRET = ("DescribeSecret", "ListSecretVersionIds", "GetResourcePolicy")
_FUNCTION = (
    "GetFunctionConfiguration",
    "GetPolicy",
    "ListAliases",
    "GetFunctionConcurrency",
    "ListProvisionedConcurrencyConfigs",
)
_ROLE = ("GetRole", "ListRolePolicies", "GetRolePolicy", "ListAttachedRolePolicies", "SimulatePrincipalPolicy")
_KNOWN = ("GetRotationPreflight", "ListRotations")
_PREFLIGHT = "PreflightRotation"
# Of what has no resource, and of what nobody knows before it is looked at: policies, keys, networks.
_ANYWHERE = {
    "iam": ("GetPolicy", "GetPolicyVersion"),
    "kms": ("DescribeKey", "GetKeyPolicy", "ListGrants"),
    "sts": ("GetCallerIdentity",),
    "cloudformation": ("DescribeStackEvents",),
    "cloudtrail": ("LookupEvents",),
    "cloudwatch": ("GetMetricStatistics",),
    "lambda": ("GetAccountSettings",),
    "logs": ("DescribeLogGroups",),
    "ec2": (
        "DescribeSubnets",
        "DescribeVpcAttribute",
        "DescribeRouteTables",
        "DescribeNatGateways",
        "DescribeInternetGateways",
        "DescribeVpcEndpoints",
        "DescribeSecurityGroups",
        "DescribeNetworkAcls",
        "DescribeNetworkInterfaces",
        "DescribeInstances",
        "DescribeVpcPeeringConnections",
        "GetManagedPrefixListEntries",
    ),
    "rds": ("DescribeDBInstances", "DescribeDBClusters", "DescribeDBProxies"),
}


def reading_policy(
    case: Case | None = None,
    *,
    read_value: bool = False,
    every: bool = False,
    preflight: bool = False,
    may_be_keyturn: bool = False,
) -> Mapping[str, object]:
    """Return the policy that lets a principal run the doctor.

    Args:
        case: The secret that it is cut to; None for all, as for one that may not be looked at.
        read_value: With what ``--read-value`` needs beside it.
        every: With what ``--all`` needs beside it.
        preflight: With what ``--preflight`` needs beside it.
        may_be_keyturn: With what is asked of Keyturn, and not of AWS.
    """
    if case is not None and case.described.kind is not Kind.OK:
        # Of one that may not be looked at it is not known what belongs to it.
        case = None
    arns = _arns(case)
    secret = _statement("Secret", "secretsmanager", _SECRET, arns["secrets"])
    function = _statement("Function", "lambda", _FUNCTION, arns["function"])
    if may_be_keyturn or preflight:
        known = (*_KNOWN, _PREFLIGHT) if preflight else _KNOWN
        secret["Action"] = [f"secretsmanager:{name}" for name in _SECRET] + [f"keyturn:{name}" for name in known]
    anywhere = [f"{service}:{name}" for service, names in _ANYWHERE.items() for name in names]
    if every:
        anywhere.append("secretsmanager:ListSecrets")
    statements = [
        secret,
        function,
        _statement("Role", "iam", _ROLE, arns["role"]),
        _statement("Log", "logs", ("FilterLogEvents",), arns["log"]),
        {"Sid": "Anywhere", "Effect": "Allow", "Action": anywhere, "Resource": "*"},
    ]
    if preflight:
        # Who may probe can find out what the server's network maps lead to: not everybody who runs the doctor.
        function["Action"] = [*(f"lambda:{name}" for name in _FUNCTION), "keyturn:ProbeFunctionNetwork"]
    if read_value:
        of_value = arns["secrets"] if case is None else case.arn
        statements.append(_statement("Value", "secretsmanager", ("GetSecretValue",), of_value))
        statements.append(_statement("ValueKey", "kms", ("Decrypt",), "*"))
    return {"Version": "2012-10-17", "Statement": statements}


def _arns(case: Case | None) -> dict[str, str | list[str]]:
    if case is None:
        return {
            "secrets": "arn:aws:secretsmanager:*:*:secret:*",
            "function": "arn:aws:lambda:*:*:function:*",
            "role": "arn:aws:iam::*:role/*",
            "log": "arn:aws:logs:*:*:log-group:*",
        }
    secrets = [case.arn, case.superuser_arn] if case.superuser_arn else case.arn
    function = ":".join(case.function_arn.split(":")[:7])
    role = case.role_arn if case.configuration.kind is Kind.OK else ""
    return {
        "secrets": secrets,
        "function": [function, f"{function}:*"] if function else "arn:aws:lambda:*:*:function:*",
        "role": role or "arn:aws:iam::*:role/*",
        "log": _log(case),
    }


def _log(case: Case) -> str:
    place = case.function_place
    if place is None or case.configuration.kind is not Kind.OK:
        return "arn:aws:logs:*:*:log-group:*"
    return f"arn:{place.partition}:logs:{place.region}:{place.account_id}:log-group:{case.log_group}:*"


def _statement(sid: str, service: str, names: tuple[str, ...], resource: str | list[str]) -> dict[str, object]:
    actions = [f"{service}:{name}" for name in names]
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}
