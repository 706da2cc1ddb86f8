"""What the role lacks and what refuses it: history, risks, other secrets, and several causes at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.contract.doctor import key, role, superuser
from tests.contract.doctor.world import (
    ACCOUNT,
    FUNCTION,
    OTHER_SECRET,
    REGION,
    ROLE,
    SECRET,
    World,
    ago,
    diagnosed,
    policy,
)

from keyturn.doctor.model import Confidence, Finding, Role, Status, Verdict
from keyturn.doctor.secret_arns import miss

from .test_access import causes, finding, outcome

NONE = "because no identity-based policy allows the {} action"
PUT = "secretsmanager:PutSecretValue"
PASSWORD = "secretsmanager:GetRandomPassword"
CALLER = f"arn:aws:sts::{ACCOUNT}:assumed-role/rotator/rotate-orders"


def statements(found: Finding) -> Any:
    return (found.remedy.policy or {})["Statement"]


def test_what_was_denied_and_is_allowed_now_is_history() -> None:
    world = World()
    world.denied(PUT, SECRET, NONE.format(PUT))
    world.fail()
    report = diagnosed(world)
    found = finding(report, "role-missing-secret-actions")
    assert (found.role, found.is_history) == (Role.NOTE, True)
    assert "is allowed now" in found.title
    assert report.verdict is not Verdict.HEALTHY


@pytest.mark.parametrize(
    ("why", "cause_id"),
    [
        ("with an explicit deny in an identity-based policy", "role-explicit-deny"),
        ("because no permissions boundary allows the secretsmanager:PutSecretValue action", "role-boundary-blocks"),
        ("with an explicit deny in a resource-based policy", "secret-policy-denies"),
        (f"with an explicit deny in an identity-based policy: arn:aws:iam::{ACCOUNT}:policy/x", "role-explicit-deny"),
    ],
)
def test_the_history_of_a_layer_is_told_by_its_own_check(why: str, cause_id: str) -> None:
    world = World()
    world.denied(PUT, SECRET, why)
    world.fail()
    assert [each.id for each in diagnosed(world).findings if each.is_history] == [cause_id]


def test_a_denial_before_the_last_good_rotation_is_not_even_history() -> None:
    world = World()
    world.denied(PUT, SECRET, NONE.format(PUT), at=ago(days=20))
    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_what_another_secret_was_denied_is_not_this_ones() -> None:
    world = World()
    message = f"User: {CALLER} is not authorized to perform: {PUT} on resource: {OTHER_SECRET} {NONE.format(PUT)}"
    world.run(f"[ERROR] ClientError: {message}", secret=OTHER_SECRET)
    world.event("PutSecretValue", secret=OTHER_SECRET, by=CALLER, errorCode="AccessDenied", errorMessage=message)
    world.fail(secret=OTHER_SECRET)
    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_a_denied_password_is_whose_rotation_failed_then() -> None:
    def denied_at_the_time_of(secret: str) -> World:
        world = World()
        message = f"User: {CALLER} is not authorized to perform: {PASSWORD} {NONE.format(PASSWORD)}"
        world.event("GetRandomPassword", secret=None, by=CALLER, errorCode="AccessDenied", errorMessage=message)
        world.fail(secret=secret)
        return world

    assert diagnosed(denied_at_the_time_of(OTHER_SECRET)).verdict is Verdict.HEALTHY
    assert finding(diagnosed(denied_at_the_time_of(SECRET)), "role-missing-secret-actions").is_history


def test_without_any_attempt_the_state_alone_is_certain_and_names_the_step() -> None:
    world = World()
    actions = world.role_policies["rotation"]["Statement"][0]["Action"]
    actions.remove("secretsmanager:UpdateSecretVersionStage")
    found = diagnosed(world).findings[0]
    assert (found.id, found.role, found.confidence) == (
        "role-missing-secret-actions",
        Role.CAUSE,
        Confidence.CERTAIN,
    )
    assert found.step == "finishSecret"


def test_the_remedy_is_what_is_missing_on_this_secret_and_nothing_more() -> None:
    world = World()
    world.role_policies["rotation"]["Statement"][0]["Action"] = [
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
    ]
    del world.role_policies["rotation"]["Statement"][1]
    found = diagnosed(world).findings[0]
    assert statements(found) == [
        {"Effect": "Allow", "Action": [PUT, "secretsmanager:UpdateSecretVersionStage"], "Resource": SECRET},
        {"Effect": "Allow", "Action": PASSWORD, "Resource": "*"},
    ]
    [change] = found.remedy.changes
    assert change.parameters["PolicyName"] == "keyturn-role-missing-secret-actions"
    assert json.loads(str(change.parameters["PolicyDocument"])) == found.remedy.policy


def test_a_function_that_makes_its_passwords_itself_may_lack_the_action() -> None:
    world = World()
    del world.role_policies["rotation"]["Statement"][1]
    for name in ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"):
        world.event(name, at=ago(days=12), by=CALLER, parameters={})
    report = diagnosed(world)
    assert finding(report, "role-missing-secret-actions").role is Role.RISK
    assert report.verdict is Verdict.AT_RISK


def test_two_independent_causes_are_both_told() -> None:
    world = World()
    role.role_missing_secret_actions(world)
    world.with_key()
    del world.role_policies["key"]
    key.kms_key_disabled(world)
    world.role_policies["key"] = policy(
        {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": "*"}
    )
    assert sorted(causes(diagnosed(world))) == ["kms-key-disabled", "role-missing-secret-actions"]


def test_different_faults_of_different_actions_are_causes_of_their_own() -> None:
    world = World()
    role.role_wrong_secret_arn(world)
    world.role_policies["guard"] = policy({"Effect": "Deny", "Action": PASSWORD, "Resource": "*"})
    assert sorted(causes(diagnosed(world))) == ["role-explicit-deny", "role-wrong-secret-arn"]


def test_a_group_of_statements_that_nearly_allow_shows_the_one_that_misses_by_the_arn() -> None:
    world = World()
    only_name = {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": [OTHER_SECRET, SECRET[:-7]]}
    world.role_policies["rotation"]["Statement"][0] = only_name
    found = diagnosed(world).findings[0]
    assert (found.id, found.evidence[0].excerpt) == ("role-wrong-secret-arn", only_name)


def test_the_condition_is_set_to_this_function_where_it_stands() -> None:
    world = World()
    role.role_rotation_lambda_condition(world)
    [change] = finding(diagnosed(world), "role-rotation-lambda-condition").remedy.changes
    changed = json.loads(str(change.parameters["PolicyDocument"]))
    assert change.parameters["PolicyName"] == "rotation"
    assert changed["Statement"][0]["Condition"] == {
        "StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": FUNCTION}
    }
    assert changed["Statement"][1:] == world.role_policies["rotation"]["Statement"][1:]


def test_a_deny_that_is_all_of_a_policy_goes_with_it() -> None:
    world = World()
    role.role_explicit_deny(world)
    [change] = finding(diagnosed(world), "role-explicit-deny").remedy.changes
    assert (change.operation, change.parameters) == ("DeleteRolePolicy", {"RoleName": "rotator", "PolicyName": "guard"})


def managed(world: World, arn: str, document: dict[str, Any]) -> None:
    world.replies["iam:ListAttachedRolePolicies"] = {"AttachedPolicies": [{"PolicyArn": arn, "PolicyName": "any"}]}
    world.replies["iam:GetPolicyVersion"] = {"PolicyVersion": {"Document": document}}


@pytest.mark.parametrize(
    ("arn", "operation"),
    [
        ("arn:aws:iam::aws:policy/AWSDenyAll", "DetachRolePolicy"),
        (f"arn:aws:iam::{ACCOUNT}:policy/guard", "CreatePolicyVersion"),
    ],
)
def test_a_deny_of_a_managed_policy_is_taken_away_where_it_can_be(arn: str, operation: str) -> None:
    world = World()
    deny = {"Effect": "Deny", "Action": "secretsmanager:Put*", "Resource": "*"}
    managed(world, arn, policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*"}, deny))
    found = diagnosed(world).findings[0]
    assert found.id == "role-explicit-deny"
    assert found.evidence[0].resource == f"role/rotator policy {arn}, statement 2"
    assert [change.operation for change in found.remedy.changes] == [operation]


def test_the_exemption_of_the_secrets_policy_gets_the_role() -> None:
    world = World()
    role.secret_policy_denies(world)
    [change] = finding(diagnosed(world), "secret-policy-denies").remedy.changes
    changed = json.loads(str(change.parameters["ResourcePolicy"]))
    assert changed["Statement"][0]["Condition"]["StringNotEquals"]["aws:PrincipalArn"] == [
        f"arn:aws:iam::{ACCOUNT}:role/admin",
        ROLE,
    ]
    world.secret_policy = changed
    assert "secret-policy-denies" not in causes(diagnosed(world))


def test_a_deny_without_an_exemption_gets_one() -> None:
    world = World()
    world.secret_policy = policy({"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"})
    [change] = diagnosed(world).findings[0].remedy.changes
    world.secret_policy = json.loads(str(change.parameters["ResourcePolicy"]))
    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_a_denial_that_names_the_secret_by_its_name_is_this_ones() -> None:
    world = World()
    world.denied(PUT, "svc/orders/db", NONE.format(PUT))
    world.fail()
    assert any(each.is_history for each in diagnosed(world).findings)


def test_an_scp_that_was_named_in_an_older_attempt_only_is_none() -> None:
    world = World()
    world.denied(PUT, SECRET, "with an explicit deny in a service control policy", at=ago(days=2))
    world.run("[ERROR] ValueError: something else")
    world.fail()
    report = diagnosed(world)
    assert "scp-denies" not in causes(report)


def test_a_resource_control_policy_is_the_organisations_too() -> None:
    world = World()
    world.denied(PUT, SECRET, "with an explicit deny in a resource control policy")
    world.fail()
    report = diagnosed(world)
    assert causes(report) == ["scp-denies"]
    assert "resource control policy" in report.findings[0].title
    assert report.findings[0].remedy.text.count("(00000000-") == 1


def test_a_role_that_is_gone_is_told_once() -> None:
    world = World()
    for action in ("GetRole", "ListRolePolicies", "ListAttachedRolePolicies"):
        world.lose(f"iam:{action}", "NoSuchEntity")
    world.fail()
    report = diagnosed(world)
    assert causes(report) == ["role-cannot-be-assumed"]
    assert "is gone" in report.findings[0].title
    assert outcome(report, "role-missing-secret-actions").status is Status.SKIPPED


@pytest.mark.parametrize(
    ("condition", "is_trusted"),
    [
        ({"StringEquals": {"aws:SourceAccount": ACCOUNT}}, True),
        ({"StringEquals": {"aws:SourceAccount": "999988887777"}}, False),
        ({"ArnLike": {"aws:SourceArn": FUNCTION}}, True),
    ],
)
def test_conditions_of_the_trust_policy_count(condition: dict[str, Any], is_trusted: bool) -> None:
    world = World()
    world.trust["Statement"][0]["Condition"] = condition
    assert ("role-cannot-be-assumed" in causes(diagnosed(world))) is not is_trusted


def test_whom_the_role_trusts_besides_is_kept() -> None:
    world = World()
    role.role_cannot_be_assumed(world)
    [change] = finding(diagnosed(world), "role-cannot-be-assumed").remedy.changes
    changed = json.loads(str(change.parameters["PolicyDocument"]))
    assert [each["Principal"]["Service"] for each in changed["Statement"]] == [
        "ec2.amazonaws.com",
        "lambda.amazonaws.com",
    ]


def test_a_statement_for_another_secret_is_no_near_miss() -> None:
    world = World()
    world.role_policies["rotation"]["Statement"][0]["Resource"] = OTHER_SECRET
    assert causes(diagnosed(world)) == ["role-missing-secret-actions"]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (SECRET, ""),
        (f"{SECRET[:-6]}??????", ""),
        (f"{SECRET[:-6]}*", ""),
        (SECRET[:-7], "lacks the hyphen"),
        (f"{SECRET[:-6]}XyZ123", "another secret of this name"),
        (SECRET.replace(REGION, "us-east-1"), "in region us-east-1"),
        (SECRET.replace(ACCOUNT, "999988887777"), "of account 999988887777"),
        (SECRET.replace("svc/orders", "svc/Orders"), "capitals"),
        (f"{SECRET[:-7]}-replica", ""),
        (OTHER_SECRET, ""),
        ("*", ""),
        ("arn:aws:s3:::bucket", ""),
    ],
)
def test_how_a_pattern_misses_a_secret(pattern: str, words: str) -> None:
    assert words in miss(pattern, SECRET)
    assert bool(miss(pattern, SECRET)) is bool(words)


def test_a_namesake_in_a_policy_is_no_superuser_secret() -> None:
    world = World()
    read = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": f"{SECRET[:-6]}XyZ123"}
    world.role_policies["rotation"]["Statement"][0]["Action"].remove("secretsmanager:GetSecretValue")
    world.role_policies["read"] = policy(read)
    report = diagnosed(world)
    assert causes(report) == ["role-wrong-secret-arn"]
    assert outcome(report, "master-secret-read-denied").status is Status.SKIPPED


def test_a_superusers_denial_is_not_the_secrets_own() -> None:
    world = World()
    superuser.master_secret_read_denied(world)
    report = diagnosed(world)
    assert causes(report) == ["master-secret-read-denied"]
    assert not [each for each in report.findings if each.is_history]


def test_the_condition_of_the_statement_that_misses_is_kept_by_what_mends_it() -> None:
    world = World()
    role.role_wrong_secret_arn(world)
    condition = {"Bool": {"aws:SecureTransport": "true"}}
    world.role_policies["rotation"]["Statement"][0]["Condition"] = condition

    [found] = diagnosed(world).causes
    assert found.id == "role-wrong-secret-arn"
    assert (
        json.loads(str(found.remedy.changes[0].parameters["PolicyDocument"]))["Statement"][0]["Condition"] == condition
    )
