"""The policies that remedies print, cut to what is missing.

Sources: AWS's guide to troubleshooting rotation (the five actions; AllowAccessToMasterSecret); AWS Secrets Manager User
Guide, "Lambda rotation function execution role permissions" (logs, customer managed keys); AWS Lambda Developer Guide,
"Defining Lambda function permissions with an execution role" (trust policy).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence

from keyturn.arn import Place
from keyturn.rules.rotation_permissions import Document, Statement, document, superuser_statements

from .case import Case
from .documents import Json, statements_of
from .model import Change
from .remedies import put_role_policy
from .seen_policies import Quoted
from .subject import RANDOM_PASSWORD

LOG_ACTIONS = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")


def rotation_policy(arn: str, actions: Iterable[str], condition: Json | None = None) -> Document:
    """Return what lets a role do these of the five actions (P8), on the secret under a condition, if there is one."""
    wanted = list(actions)
    on_secret = [action for action in wanted if action != RANDOM_PASSWORD]
    statements: list[Statement] = []
    if on_secret:
        terms = {"Condition": dict(condition)} if condition else {}
        statements.append({"Effect": "Allow", "Action": on_secret, "Resource": arn, **terms})
    if RANDOM_PASSWORD in wanted:
        # There is nothing to narrow it to.
        statements.append({"Effect": "Allow", "Action": RANDOM_PASSWORD, "Resource": "*"})
    return document(*statements)


def superuser_policy(superuser_arn: str) -> Document:
    """Return the guide's AllowAccessToMasterSecret (P3)."""
    return document(*superuser_statements(superuser_arn, None))


def caller_policy(arn: str, function_arn: str) -> Document:
    """Return what it takes to configure rotation (P1)."""
    return document(
        {"Effect": "Allow", "Action": "secretsmanager:RotateSecret", "Resource": arn},
        {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": function_arn},
    )


def logs_policy(place: Place) -> Document:
    """Return what it takes to write a log (P2)."""
    resource = f"arn:{place.partition}:logs:{place.region}:{place.account_id}:*"
    return document({"Effect": "Allow", "Action": list(LOG_ACTIONS), "Resource": resource})


def key_policy(key_arn: str, actions: Sequence[str]) -> Document:
    """Return what it takes to use a key (P4)."""
    return document({"Effect": "Allow", "Action": list(actions), "Resource": key_arn})


def managed_superuser_policy() -> Document:
    """Return what it takes to ask for the address of a managed superuser's database (P5)."""
    actions = [
        "rds:DescribeDBInstances",
        "rds:DescribeDBClusters",
        "redshift:DescribeClusters",
        "redshift-serverless:ListNamespaces",
        "redshift-serverless:ListWorkgroups",
    ]
    return document({"Effect": "Allow", "Action": actions, "Resource": "*"})


def trust_statement() -> Statement:
    """Return what lets Lambda assume a role (P9)."""
    return {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}


def with_statement(policy: Json, statement: Statement) -> Document:
    """Return a policy with one more statement."""
    return {**policy, "Statement": [*statements_of(policy), statement]}


def without_statement(policy: Json, index: int) -> Document | None:
    """Return a policy without one of its statements; None if there is nothing left."""
    left = [each for position, each in enumerate(statements_of(policy)) if position != index]
    return {**policy, "Statement": left} if left else None


def with_condition_value(policy: Json, index: int, key: str, value: str) -> Document:
    """Return a policy in one of whose statements a condition key is compared with another value."""
    statements = copy.deepcopy([dict(each) for each in statements_of(policy)])
    for keys in statements[index].get("Condition", {}).values():
        for name in [each for each in keys if each.lower() == key.lower()]:
            keys[name] = value
    return {**policy, "Statement": statements}


def sparing(policy: Json, index: int, role_arn: str) -> Document:
    """Return a policy one of whose statements of Deny spares a role: in the exemption that it has, or a new one."""
    statements = copy.deepcopy([dict(each) for each in statements_of(policy)])
    conditions = dict(statements[index].get("Condition") or {})
    for operator, keys in conditions.items():
        is_exemption = "not" in operator.lower() and "ifexists" not in operator.lower()
        for name in list(keys):
            if is_exemption and name.lower() == "aws:principalarn":
                there = [keys[name]] if isinstance(keys[name], str) else list(keys[name])
                keys[name] = [*there, role_arn]
                statements[index]["Condition"] = conditions
                return {**policy, "Statement": statements}
    spared = {**conditions.get("ArnNotEquals", {}), "aws:PrincipalArn": role_arn}
    statements[index]["Condition"] = {**conditions, "ArnNotEquals": spared}
    return {**policy, "Statement": statements}


def replaced(case: Case, quoted: Quoted, changed: Document | None) -> tuple[Change, ...]:
    """Return the calls that put another document in the place of a role's policy; none if that belongs to AWS.

    Args:
        case: Whose role it is.
        quoted: A statement of the policy.
        changed: The new document; None if nothing of it is left.
    """
    named = quoted.policy.named
    if named is None:
        return ()
    if named.kind == "inline":
        if changed is None:
            return (Change("iam", "DeleteRolePolicy", {"RoleName": case.role_name, "PolicyName": named.name}),)
        return (put_role_policy(case, named.name, changed),)
    if changed is None or ":iam::aws:policy/" in named.name:
        if named.kind == "boundary":
            return ()
        return (Change("iam", "DetachRolePolicy", {"RoleName": case.role_name, "PolicyArn": named.name}),)
    return (new_version(named.name, changed),)


def new_version(policy_arn: str, changed: Mapping[str, object]) -> Change:
    """Return the call that changes a managed policy."""
    parameters = {"PolicyArn": policy_arn, "PolicyDocument": json.dumps(changed), "SetAsDefault": True}
    return Change("iam", "CreatePolicyVersion", parameters)
