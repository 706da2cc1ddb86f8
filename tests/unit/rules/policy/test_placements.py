"""Where a missing statement goes: a command only where it adds and takes nothing away."""

from __future__ import annotations

import json
import shlex

import pytest

from keyturn.rules.policy.evaluate import PolicyType
from keyturn.rules.policy.placements import placement_of

from .callers import ACCOUNT, ROLE_ARN, SECRET, SESSION_ARN, USER_ARN

STATEMENT = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": SECRET}
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:rotate"


@pytest.mark.parametrize(
    ("principal_arn", "kind", "name"),
    [
        (USER_ARN, "user", "alice"),
        (f"arn:aws:iam::{ACCOUNT}:user/team/bob", "user", "bob"),
        (SESSION_ARN, "role", "app"),
    ],
)
def test_a_user_or_role_gets_a_policy_of_its_own(principal_arn: str, kind: str, name: str) -> None:
    placement = placement_of(PolicyType.IDENTITY, STATEMENT, principal_arn, SECRET)

    assert placement.place == f"a policy of the {kind} {name}"
    words = shlex.split(placement.command or "")
    assert words[:5] == ["aws", "iam", f"put-{kind}-policy", f"--{kind}-name", name]
    assert json.loads(words[-1])["Statement"] == [STATEMENT]
    assert placement.policy is not None
    assert [placement.policy.kind, placement.policy.holder] == [kind, name]
    assert words[5:] == ["--policy-name", placement.policy.name, "--policy-document", placement.policy.document]


def test_another_statement_is_another_policy_so_that_none_is_replaced() -> None:
    other = {**STATEMENT, "Resource": SECRET + "x"}
    commands = [placement_of(PolicyType.IDENTITY, one, USER_ARN, SECRET).command or "" for one in (STATEMENT, other)]
    names = {shlex.split(command)[6] for command in commands}

    assert len(names) == 2


def test_the_same_refusal_another_time_is_another_policy_so_that_what_became_of_the_first_is_kept() -> None:
    first, second = (
        placement_of(PolicyType.IDENTITY, STATEMENT, USER_ARN, SECRET, occasion=event_id) for event_id in ("1", "2")
    )

    assert first.command != second.command


def test_for_a_name_with_wildcards_there_is_no_command() -> None:
    placement = placement_of(PolicyType.IDENTITY, {**STATEMENT, "Resource": "arn:aws:kms:::key/${*}"}, USER_ARN, "")

    assert placement.command is None
    assert "wildcards" in (placement.hint or "")


def test_a_function_lets_secrets_manager_in_by_the_guides_own_command() -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "secretsmanager.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": FUNCTION,
        "Condition": {
            "StringEquals": {"AWS:SourceAccount": ACCOUNT},
            "ArnLike": {"AWS:SourceArn": SECRET},
        },
    }

    assert placement_of(PolicyType.RESOURCE, statement, "secretsmanager.amazonaws.com", FUNCTION).command == (
        f"aws lambda add-permission --function-name {FUNCTION} --principal secretsmanager.amazonaws.com"
        " --action lambda:InvokeFunction --statement-id SecretsManagerAccess"
        f" --source-account {ACCOUNT} --source-arn {SECRET}"
    )


def test_a_function_lets_a_role_in() -> None:
    statement = {"Principal": {"AWS": ROLE_ARN}, "Action": "lambda:InvokeFunction", "Resource": FUNCTION}

    command = placement_of(PolicyType.RESOURCE, statement, SESSION_ARN, FUNCTION).command

    assert command is not None
    assert command.endswith(f"--principal {ROLE_ARN} --action lambda:InvokeFunction --statement-id AllowInvokeFunction")


@pytest.mark.parametrize(
    ("policy_type", "resource_arn", "place", "hint"),
    [
        (PolicyType.RESOURCE, SECRET, "the policy of arn:aws:secretsmanager", "put-resource-policy"),
        (PolicyType.RESOURCE, f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1", "the policy of arn:aws:kms", "put-key-policy"),
        (PolicyType.TRUST, ROLE_ARN, "the trust policy of arn:aws:iam", "update-assume-role-policy"),
        (PolicyType.BOUNDARY, SECRET, "the permissions boundary", "create-policy-version"),
        (PolicyType.SESSION, SECRET, "the session policy", "assume the role again"),
        (PolicyType.ENDPOINT, SECRET, "the policy of the VPC endpoint", "modify-vpc-endpoint --vpc-endpoint-id ID"),
    ],
)
def test_what_would_be_replaced_whole_is_left_to_a_person(
    policy_type: PolicyType, resource_arn: str, place: str, hint: str
) -> None:
    placement = placement_of(policy_type, STATEMENT, USER_ARN, resource_arn)

    assert placement.place.startswith(place)
    assert placement.command is None
    assert hint in (placement.hint or "")
