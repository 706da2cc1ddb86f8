"""May the role do it? The three answers, and what they rest on."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contract.doctor import role
from tests.contract.doctor.world import ACCOUNT, FUNCTION, REGION, ROLE, SECRET, World, diagnosed, policy, refusal

from keyturn.doctor.model import Confidence, Report, Role, Status, Verdict

READ = "secretsmanager:GetSecretValue"
MISSING = "role-missing-secret-actions"
STATEMENT = {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": SECRET}


def causes(report: Report) -> list[str]:
    return [finding.id for finding in report.causes]


def finding(report: Report, cause_id: str) -> Any:
    return next(each for each in report.findings if each.id == cause_id)


def outcome(report: Report, cause_id: str) -> Any:
    return next(each for each in report.outcomes if each.cause.id == cause_id)


def only(world: World, *statements: dict[str, Any]) -> None:
    """Let the role have these statements about secrets, and those about passwords and logs."""
    own = world.role_policies["rotation"]
    own["Statement"] = [*statements, *own["Statement"][1:]]


# Conditions that can be known.


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": FUNCTION}},
        {"StringEquals": {"aws:PrincipalAccount": ACCOUNT, "aws:RequestedRegion": REGION}},
        {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/*"}},
        {"StringEquals": {"aws:ResourceTag/team": "orders"}},
        {"StringEquals": {"secretsmanager:ResourceTag/team": "orders"}},
        {"StringLike": {"aws:userid": "AROA0000000000000ROLE:*"}},
        {"ArnEquals": {"lambda:SourceFunctionArn": FUNCTION}},
        {"Bool": {"aws:SecureTransport": "true"}},
        {"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}},
        {"Null": {"aws:ResourceTag/secret": "true"}},
    ],
    ids=lambda condition: str(condition)[:60],
)
def test_a_condition_that_is_known_to_hold_allows(condition: dict[str, Any]) -> None:
    world = World()
    world.secret["Tags"] = [{"Key": "team", "Value": "orders"}]
    only(world, {**STATEMENT, "Condition": condition})
    assert diagnosed(world).verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"aws:ResourceTag/team": "payments"}},
        {"StringEquals": {"aws:PrincipalTag/team": "orders"}},
        {"StringEquals": {"aws:RequestedRegion": "us-east-1"}},
    ],
)
def test_a_condition_that_is_known_not_to_hold_does_not(condition: dict[str, Any]) -> None:
    world = World()
    only(world, {**STATEMENT, "Condition": condition})
    found = finding(diagnosed(world), MISSING)
    assert found.confidence is Confidence.CERTAIN
    # What nearly allowed it is what is shown.
    assert found.evidence[0].excerpt == {**STATEMENT, "Condition": condition}


@pytest.mark.parametrize(
    "statement",
    [
        {**STATEMENT, "Condition": {"StringEquals": {"aws:SourceVpce": "vpce-1"}}},
        {**STATEMENT, "Resource": f"{SECRET[:-7]}-${{aws:SourceVpc}}"},
        {**STATEMENT, "Condition": {"StringLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/${aws:SourceVpc}"}}},
        {**STATEMENT, "Condition": {"StringResembles": {"aws:PrincipalArn": ROLE}}},
    ],
    ids=["condition", "variable of a resource", "variable of a condition", "operator that Keyturn does not know"],
)
def test_what_hangs_on_something_unknown_is_neither_allowed_nor_a_cause(statement: dict[str, Any]) -> None:
    world = World()
    only(world, statement)
    report = diagnosed(world)
    assert causes(report) == []
    assert report.verdict is Verdict.INCONCLUSIVE
    assert outcome(report, MISSING).status is Status.BLIND
    assert "hangs on" in outcome(report, MISSING).reason


def test_an_unknown_condition_of_a_statement_about_something_else_does_not_matter() -> None:
    world = World()
    unknown = {"StringEquals": {"aws:SourceVpce": "vpce-1"}}
    world.role_policies["more"] = policy({"Effect": "Deny", "Action": "s3:*", "Resource": "*", "Condition": unknown})
    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_an_unknown_condition_does_not_matter_where_another_statement_decides() -> None:
    world = World()
    unknown = {"StringEquals": {"aws:SourceVpce": "vpce-1"}}
    world.role_policies["more"] = policy({**STATEMENT, "Condition": unknown})
    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_a_deny_on_an_unknown_condition_is_not_known() -> None:
    world = World()
    unknown = {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}
    world.role_policies["guard"] = policy({**STATEMENT, "Effect": "Deny", "Condition": unknown})
    report = diagnosed(world)
    assert (causes(report), report.verdict) == ([], Verdict.INCONCLUSIVE)


def test_a_message_about_what_is_unknown_is_likely() -> None:
    world = World()
    unknown = {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}
    world.secret_policy = policy({**STATEMENT, "Effect": "Deny", "Principal": "*", "Condition": unknown})
    world.denied(READ, SECRET, "with an explicit deny in a resource-based policy")
    world.fail()
    found = diagnosed(world).findings[0]
    assert (found.id, found.role, found.confidence) == ("secret-policy-denies", Role.CAUSE, Confidence.LIKELY)


def test_a_policy_larger_than_keyturn_stores_is_read() -> None:
    world = World()
    many = [f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:a/{number}-AbCdEf" for number in range(500)]
    only(world, {**STATEMENT, "Resource": [*many, SECRET]})
    assert diagnosed(world).verdict is Verdict.HEALTHY


# The secret's own policy.


def test_the_secrets_policy_can_allow_what_the_roles_do_not() -> None:
    world = World()
    role.role_missing_secret_actions(world)
    world.log, world.trail, world.secret["VersionIdsToStages"] = (
        [],
        world.trail[:1],
        World().secret["VersionIdsToStages"],
    )
    world.secret_policy = policy({**STATEMENT, "Resource": "*", "Principal": {"AWS": ROLE}})
    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_it_is_not_known_whether_it_does_where_it_may_not_be_seen() -> None:
    world = World()
    world.role_policies["rotation"]["Statement"][0]["Action"] = READ
    world.deny("secretsmanager:GetResourcePolicy")
    report = diagnosed(world)
    assert (causes(report), outcome(report, MISSING).status) == ([], Status.BLIND)
    assert "secretsmanager:GetResourcePolicy" in [spot.action for spot in report.blind]


@pytest.mark.parametrize(
    "statement",
    [
        {"Principal": "*", "Condition": {"ArnNotEquals": {"aws:PrincipalArn": [ROLE, "arn:aws:iam::1:role/x"]}}},
        {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/other"}},
        {"NotPrincipal": {"AWS": [ROLE, f"arn:aws:iam::{ACCOUNT}:root"]}},
        {"Principal": "*", "Condition": {"StringNotLike": {"aws:userId": "AROA0000000000000ROLE:*"}}},
    ],
)
def test_a_deny_that_spares_the_role_is_no_cause(statement: dict[str, Any]) -> None:
    world = World()
    world.secret_policy = policy({"Effect": "Deny", "Action": "*", "Resource": "*", **statement})
    assert diagnosed(world).verdict is Verdict.HEALTHY


# The simulator.


def simulator(world: World, decisions: dict[str, str], **more: Any) -> None:
    def answer(parameters: Any) -> dict[str, Any]:
        return {
            "EvaluationResults": [
                {
                    "EvalActionName": action,
                    "EvalResourceName": parameters["ResourceArns"][0],
                    "EvalDecision": decisions.get(action, "allowed"),
                    "MissingContextValues": [],
                    **more,
                }
                for action in parameters["ActionNames"]
            ]
        }

    world.replies["iam:SimulatePrincipalPolicy"] = answer


def test_the_simulator_is_told_which_function_rotates_the_secret() -> None:
    world = World()
    asked: list[Any] = []

    def answer(parameters: Any) -> dict[str, Any]:
        asked.append(parameters)
        return {"EvaluationResults": []}

    world.replies["iam:SimulatePrincipalPolicy"] = answer
    diagnosed(world)
    on_secret = next(each for each in asked if each["ResourceArns"] == [SECRET])
    assert on_secret["PolicySourceArn"] == ROLE
    assert {
        "ContextKeyName": "secretsmanager:resource/AllowRotationLambdaArn",
        "ContextKeyValues": [FUNCTION],
        "ContextKeyType": "string",
    } in on_secret["ContextEntries"]
    assert [each["ResourceArns"] for each in asked if "secretsmanager:GetRandomPassword" in each["ActionNames"]] == [
        ["*"]
    ]


def test_where_both_agree_a_cause_is_certain() -> None:
    world = World()
    role.role_missing_secret_actions(world)
    simulator(world, {"secretsmanager:PutSecretValue": "implicitDeny"})
    assert diagnosed(world).findings[0].confidence is Confidence.CERTAIN


@pytest.mark.parametrize("says", ["allowed", "implicitDeny"])
def test_where_they_disagree_a_cause_is_likely_and_the_simulators_word_is_shown(says: str) -> None:
    world = World()
    if says == "allowed":
        role.role_missing_secret_actions(world)
        simulator(world, {})
    else:
        simulator(world, {"secretsmanager:PutSecretValue": says})
    found = diagnosed(world).findings[0]
    assert (found.id, found.role, found.confidence) == (MISSING, Role.CAUSE, Confidence.LIKELY)
    assert "iam:SimulatePrincipalPolicy" in {evidence.source for evidence in found.evidence}


def test_the_simulator_sees_what_the_organisation_denies() -> None:
    world = World()
    detail = {"AllowedByOrganizations": False}
    simulator(world, dict.fromkeys([READ], "implicitDeny"), OrganizationsDecisionDetail=detail)
    report = diagnosed(world)
    assert causes(report) == ["scp-denies"]
    assert report.findings[0].confidence is Confidence.LIKELY


def test_the_simulator_decides_where_a_policy_may_not_be_seen() -> None:
    world = World()
    world.deny("iam:ListAttachedRolePolicies")
    simulator(world, {})
    assert diagnosed(world).verdict is not Verdict.BROKEN
    assert outcome(diagnosed(world), MISSING).status is Status.PASS


def test_a_simulation_that_lacks_a_condition_key_does_not_count() -> None:
    world = World()
    simulator(world, {READ: "implicitDeny"}, MissingContextValues=["aws:SourceVpce"])
    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_a_simulator_that_is_not_offered_or_denied_is_done_without() -> None:
    for answer in (
        refusal("SimulatePrincipalPolicy", "NotImplemented", status=501),
        refusal("SimulatePrincipalPolicy", "AccessDenied", status=403),
    ):
        world = World()
        world.replies["iam:SimulatePrincipalPolicy"] = answer
        assert diagnosed(world).verdict is Verdict.HEALTHY


# Boundaries that may not be seen.


def test_a_boundary_that_may_not_be_seen_hides_whether_it_is_allowed() -> None:
    world = World()
    world.with_boundary(policy({**STATEMENT, "Resource": "*"}))
    world.deny("iam:GetPolicyVersion")
    report = diagnosed(world)
    assert (causes(report), report.verdict) == ([], Verdict.INCONCLUSIVE)
    assert outcome(report, "role-boundary-blocks").status is Status.BLIND


def test_what_the_policies_do_not_allow_is_a_cause_whatever_the_boundary_is() -> None:
    world = World()
    role.role_missing_secret_actions(world)
    world.with_boundary(policy({**STATEMENT, "Resource": "*"}))
    world.deny("iam:GetPolicyVersion")
    found = diagnosed(world).findings[0]
    assert (found.id, found.confidence) == (MISSING, Confidence.CERTAIN)


def test_a_boundary_that_allows_it_is_no_cause() -> None:
    world = World()
    world.with_boundary(policy({"Effect": "Allow", "Action": ["secretsmanager:*", "logs:*"], "Resource": "*"}))
    assert diagnosed(world).verdict is Verdict.HEALTHY
