"""The documents around a rotation function: accepted without a warning, and no wider than they must be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keyturn.rules import rotation_permissions as permissions
from keyturn.rules.policy.faults import examine
from keyturn.rules.policy.refusals import DocumentKind
from keyturn.rules.policy.service_names import action_names
from keyturn.wire import models

SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:app/database-AbCdEf"
SUPERUSER = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:superuser-AbCdEf"
FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:SecretsManager-app"
LOG_GROUP = "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/SecretsManager-app"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-4333-8444-555555555555"


def role_policy(key: str | None) -> dict[str, Any]:
    return permissions.role_policy(SECRET, FUNCTION, LOG_GROUP, f"{LOG_GROUP}:*", key)


def statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = policy["Statement"]
    return found


@pytest.mark.parametrize(
    ("kind", "policy"),
    [
        (DocumentKind.TRUST, permissions.trust_policy("123456789012")),
        (DocumentKind.IDENTITY, role_policy(None)),
        (DocumentKind.IDENTITY, role_policy(KEY)),
        (DocumentKind.IDENTITY, permissions.document(*permissions.superuser_statements(SUPERUSER, None))),
        (DocumentKind.IDENTITY, permissions.document(*permissions.superuser_statements(SUPERUSER, KEY))),
    ],
)
def test_a_policy_is_accepted_without_a_warning(kind: DocumentKind, policy: dict[str, Any]) -> None:
    names = action_names({service: models.service(service).operation_names for service in models.API_VERSIONS})
    report = examine(json.dumps(policy), kind, names)
    assert list(report.faults) == []


@pytest.mark.parametrize("key", [None, KEY])
def test_the_role_gets_the_guides_five_actions_on_one_secret_and_no_wildcard_but_for_passwords(key: str | None) -> None:
    found = statements(role_policy(key))
    actions = [
        action for each in found for action in ([each["Action"]] if type(each["Action"]) is str else each["Action"])
    ]
    assert {action for action in actions if action.startswith("secretsmanager:")} == {
        f"secretsmanager:{action}"
        for action in (
            "DescribeSecret", "GetRandomPassword", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage",
        )
    }  # fmt: skip
    assert not any("*" in action for action in actions)
    assert [each["Action"] for each in found if each["Resource"] == "*"] == ["secretsmanager:GetRandomPassword"]
    assert any(action.startswith("kms:") for action in actions) == (key is not None)


def test_the_superuser_secret_is_no_part_of_the_roles_own_policy() -> None:
    assert SUPERUSER not in json.dumps(role_policy(KEY))


def test_a_key_is_used_for_its_secret_only() -> None:
    for statement, secret in (
        (permissions.key_statement(SECRET, KEY), SECRET),
        (permissions.superuser_statements(SUPERUSER, KEY)[1], SUPERUSER),
    ):
        assert statement["Resource"] == KEY
        assert statement["Condition"] == {"StringEquals": {"kms:EncryptionContext:SecretARN": secret}}


def test_a_template_may_have_anything_where_an_arn_stands() -> None:
    reference = {"Ref": "SecretArn"}
    policy = permissions.role_policy(reference, "f", "g", "s", None)
    assert statements(policy)[0]["Resource"] is reference
    assert permissions.invoke_permission(reference, "a")["SourceArn"] is reference


def test_where_no_secret_is_known_those_of_the_account_may_have_the_function_invoked_and_no_others() -> None:
    permission = permissions.invoke_permission(None, "123456789012")
    assert permission["SourceAccount"] == "123456789012"
    assert "SourceArn" not in permission
