"""The secret's key: who may use it by its policy, by grants and by the role's policies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.contract.doctor import key
from tests.contract.doctor.world import ACCOUNT, CURRENT, KEY, REGION, ROLE, SECRET, World, ago, diagnosed, policy

from keyturn.doctor.model import Confidence, Status, Verdict

from .test_access import causes, finding, outcome

ACTIONS = ["kms:Decrypt", "kms:GenerateDataKey"]


def sealed(*statements: dict[str, Any], **role: Any) -> World:
    """A secret under a key of this policy, whose role has no statement for it, or this one."""
    world = World()
    world.with_key()
    if statements:
        world.replies["kms:GetKeyPolicy"] = {"Policy": json.dumps(policy(*statements))}
    world.role_policies["key"] = policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*", **role})
    return world


def let(principal: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "kms:*", "Resource": "*", **more}


def test_a_healthy_key_is_healthy() -> None:
    world = World()
    world.with_key()
    assert diagnosed(world).verdict is Verdict.HEALTHY


@pytest.mark.parametrize("principal", [ROLE, f"arn:aws:sts::{ACCOUNT}:assumed-role/rotator/rotate-orders", "*"])
def test_a_key_policy_that_names_the_role_is_enough(principal: str) -> None:
    assert diagnosed(sealed(let(principal))).verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    ("condition", "is_met"),
    [
        ({"StringEquals": {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}}, True),
        ({"StringEquals": {"kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"}}, False),
        ({"StringEquals": {"kms:EncryptionContext:SecretARN": SECRET}}, True),
        ({"StringEquals": {"kms:EncryptionContext:SecretARN": f"{SECRET}x"}}, False),
        ({"StringEquals": {"kms:CallerAccount": ACCOUNT}}, True),
        ({"Bool": {"aws:ViaAWSService": "false"}}, False),
    ],
)
def test_conditions_tell_whether_secrets_manager_may_use_it_for_this_secret(
    condition: dict[str, Any], is_met: bool
) -> None:
    report = diagnosed(sealed(let(ROLE, Condition=condition)))
    assert causes(report) == ([] if is_met else ["kms-key-policy-denies"])


def grant(**more: Any) -> dict[str, Any]:
    return {
        "GrantId": "1",
        "KeyId": KEY,
        "GranteePrincipal": ROLE,
        "Operations": ["Decrypt", "GenerateDataKey"],
        **more,
    }


@pytest.mark.parametrize(
    ("granted", "is_enough"),
    [
        (grant(), True),
        (grant(Operations=["Decrypt"]), False),
        (grant(GranteePrincipal=f"arn:aws:iam::{ACCOUNT}:role/other"), False),
        (grant(GranteePrincipal="lambda.eu-west-1.amazonaws.com"), False),
        (grant(Constraints={"EncryptionContextSubset": {"SecretARN": SECRET}}), True),
        (grant(Constraints={"EncryptionContextSubset": {"SecretARN": "another"}}), False),
        (grant(Constraints={"EncryptionContextEquals": {"SecretARN": SECRET, "SecretVersionId": CURRENT}}), True),
    ],
)
def test_a_grant_is_enough_if_it_names_the_role(granted: dict[str, Any], is_enough: bool) -> None:
    world = sealed()
    world.replies["kms:ListGrants"] = {"Grants": [granted]}
    assert causes(diagnosed(world)) == ([] if is_enough else ["kms-role-denied"])


def test_what_is_missing_is_named_and_allowed_on_the_key() -> None:
    found = diagnosed(sealed(Action="kms:Decrypt", Resource=KEY)).findings[0]
    assert (found.id, found.step) == ("kms-role-denied", "createSecret")
    assert "kms:GenerateDataKey" in found.title
    assert "kms:Decrypt" not in found.title
    assert (found.remedy.policy or {})["Statement"] == [
        {"Effect": "Allow", "Action": ["kms:GenerateDataKey"], "Resource": KEY}
    ]


def test_a_deny_of_the_role_is_its_own_and_not_outvoted_by_a_statement() -> None:
    world = World()
    world.with_key()
    world.role_policies["guard"] = policy({"Effect": "Deny", "Action": "kms:*", "Resource": "*"})
    found = diagnosed(world).findings[0]
    assert (found.id, found.is_fixable) == ("kms-role-denied", False)
    assert "denied by the identity-based policy" in found.title


def test_a_deny_of_the_key_policy_is_taken_away() -> None:
    world = sealed(let(ROLE), {**let(ROLE), "Effect": "Deny", "Action": "kms:GenerateDataKey"})
    found = diagnosed(world).findings[0]
    assert found.id == "kms-key-policy-denies"
    [change] = found.remedy.changes
    assert json.loads(str(change.parameters["Policy"]))["Statement"] == [let(ROLE)]


@pytest.mark.parametrize("call", ["kms:GetKeyPolicy", "kms:DescribeKey"])
def test_where_the_key_may_not_be_seen_a_message_is_likely_and_silence_is_blind(call: str) -> None:
    world = sealed()
    world.deny(call)
    report = diagnosed(world)
    assert (causes(report), outcome(report, "kms-role-denied").status) == ([], Status.BLIND)
    world.refused_key()
    world.fail()
    found = diagnosed(world).findings[0]
    assert (found.id, found.confidence) == ("kms-role-denied", Confidence.LIKELY)


def test_what_was_refused_and_may_be_used_now_is_history() -> None:
    world = World()
    world.with_key()
    world.refused_key()
    world.fail()
    assert finding(diagnosed(world), "kms-role-denied").is_history


def test_an_alias_of_the_key_is_the_key() -> None:
    world = World()
    world.with_key()
    world.secret["KmsKeyId"] = "alias/orders"
    asked: list[Any] = []

    def answer(parameters: Any) -> dict[str, Any]:
        asked.append(parameters["KeyId"])
        return {"Grants": []}

    world.replies["kms:ListGrants"] = answer
    assert diagnosed(world).verdict is Verdict.HEALTHY
    # ListGrants takes no alias.
    assert asked == [KEY]


def test_the_accounts_own_key_has_nothing_to_check() -> None:
    world = World()
    world.secret["KmsKeyId"] = "alias/aws/secretsmanager"
    report = diagnosed(world)
    assert outcome(report, "kms-role-denied").status is Status.SKIPPED
    assert not [action for action in world.asked if action.startswith("kms:")]


def test_a_key_that_is_gone_is_told_with_what_is_lost() -> None:
    world = World()
    world.with_key()
    world.lose("kms:DescribeKey", "NotFoundException", f"Key '{KEY}' does not exist")
    world.fail()
    report = diagnosed(world)
    assert causes(report) == ["kms-key-pending-deletion"]
    assert "is gone" in report.findings[0].title
    assert not report.findings[0].is_fixable


def test_the_date_of_its_end_is_told() -> None:
    world = World()
    key.kms_key_pending_deletion(world)
    assert f"on {ago(days=-7):%Y-%m-%d} the secret is lost" in diagnosed(world).findings[0].title


def test_what_the_key_has_stopped_is_no_fault_of_the_code() -> None:
    world = World()
    key.kms_key_disabled(world)
    world.fail()
    said = "An error occurred (DecryptionFailure) when calling the GetSecretValue operation: can't decrypt"
    frame = 'File "/var/task/secret.py", line 225, in read'
    world.run(f"[ERROR] DecryptionFailure: {said}\nTraceback (most recent call last):\n  {frame}")
    report = diagnosed(world)

    assert causes(report) == ["kms-key-disabled"]
    assert "function-unhandled-error" not in [finding.id for finding in report.findings]
    assert report.findings[0].evidence[-1].source == "logs:FilterLogEvents"
