"""Callers and policies that the tests of this folder share."""

from __future__ import annotations

import json
from collections.abc import Mapping

from keyturn.call import Principal, PrincipalKind
from keyturn.rules.policy.document import parse_identity_policy, parse_resource_policy, parse_trust_policy
from keyturn.rules.policy.evaluate import Policy, RequestContext, condition_keys

ACCOUNT = "000000000000"
SECRET = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:prod/db-a1b2c3"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/app"
SESSION_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/app/one"
USER_ARN = f"arn:aws:iam::{ACCOUNT}:user/alice"
ROOT_ARN = f"arn:aws:iam::{ACCOUNT}:root"

USER = Principal(PrincipalKind.USER, USER_ARN, "AIDAALICE", ACCOUNT, "alice", "AKIA1")
SESSION = Principal(PrincipalKind.ASSUMED_ROLE, SESSION_ARN, "AROAAPP:one", ACCOUNT, "app", "ASIA1", ROLE_ARN, "one")
STRANGER = Principal(
    PrincipalKind.USER, "arn:aws:iam::111111111111:user/bob", "AIDABOB", "111111111111", "bob", "AKIA2"
)
SERVICE = Principal(PrincipalKind.SERVICE, "secretsmanager.amazonaws.com", "", ACCOUNT, "secretsmanager.amazonaws.com")


def document(*statements: Mapping[str, object], version: str = "2012-10-17") -> str:
    return json.dumps({"Version": version, "Statement": list(statements)})


def statement(effect: str = "Allow", **elements: object) -> dict[str, object]:
    return {"Effect": effect, "Action": "secretsmanager:GetSecretValue", "Resource": "*", **elements}


def identity(*statements: Mapping[str, object], name: str = "inline") -> Policy:
    return Policy(name, parse_identity_policy(document(*statements)))


def resource(*statements: Mapping[str, object]) -> Policy:
    return Policy("resource", parse_resource_policy(document(*statements)))


def trust(*statements: Mapping[str, object]) -> Policy:
    return Policy("trust", parse_trust_policy(document(*statements)))


def request(
    principal: Principal = USER,
    action: str = "secretsmanager:GetSecretValue",
    arn: str = SECRET,
    **keys: str,
) -> RequestContext:
    named = {name.replace("__", "/").replace("_", ":", 1): (value,) for name, value in keys.items()}
    return RequestContext(principal, action, arn, condition_keys(named))
