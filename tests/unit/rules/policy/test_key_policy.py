"""Policies of KMS keys: what KMS takes that others refuse, and what it says about the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keyturn.errors.kms import LimitExceededException, MalformedPolicyDocumentException
from keyturn.rules.policy.document import KEY_LIMIT_BYTES, parse_key_policy


def statement(**elements: Any) -> dict[str, Any]:
    root = {"AWS": "arn:aws:iam::123456789012:root"}
    merged = {"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*", **elements}
    return {name: value for name, value in merged.items() if value is not None}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def test_statements_may_share_a_sid_that_has_blanks() -> None:
    parsed = parse_key_policy(policy(statement(Sid="Allow use"), statement(Sid="Allow use")))
    assert [item.sid for item in parsed.statements] == ["Allow use", "Allow use"]


@pytest.mark.parametrize("missing", ["Action", "Resource"])
def test_a_statement_without_actions_or_resources_applies_to_nothing(missing: str) -> None:
    (parsed,) = parse_key_policy(policy(statement(**{missing: None}))).statements

    matches = {
        "Action": parsed.actions.matches("kms:decrypt", {}),
        "Resource": parsed.resources is not None and parsed.resources.matches("arn:aws:kms:us-east-1:1:key/a", {}),
    }
    assert matches == {"Action": missing != "Action", "Resource": missing != "Resource"}
    assert not parsed.actions_negated
    assert not parsed.resources_negated


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "This policy contains invalid Json"),
        ("", "This policy contains invalid Json"),
        ('{"Version": "2012-10-17", "Statement": []}', "Syntax errors in policy."),
        (policy(statement(Effect="allow")), "The policy failed legacy parsing"),
        (policy(statement(Principal=None)), "Policy contains a statement with no principal."),
        (policy(statement(Action=[])), "Policy statement must contain actions."),
        (policy(statement(Resource=[])), "Policy statement must contain resources."),
        (
            policy(statement(Principal={"AWS": "nobody"})),
            "Policy contains a statement with one or more invalid principals.",
        ),
        (
            policy(statement(Principal={"AWS": "arn:aws:iam::1234:user/a"})),
            "Policy contains a statement with one or more invalid principals.",
        ),
    ],
)
def test_kms_refuses_a_key_policy_in_these_words(text: str, message: str) -> None:
    with pytest.raises(MalformedPolicyDocumentException) as caught:
        parse_key_policy(text)
    assert caught.value.message == message


def test_a_key_policy_has_32_kilobytes() -> None:
    room = KEY_LIMIT_BYTES - len(policy(statement(Sid="")).encode())
    parse_key_policy(policy(statement(Sid="a" * room)))
    with pytest.raises(LimitExceededException):
        parse_key_policy(policy(statement(Sid="a" * (room + 1))))
