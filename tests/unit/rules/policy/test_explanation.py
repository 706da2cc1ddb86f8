"""Why a request was refused, and what would allow it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from keyturn.call import Principal
from keyturn.rules.policy.document import (
    parse_identity_policy,
    parse_key_policy,
    parse_resource_policy,
    parse_session_policy,
    parse_trust_policy,
)
from keyturn.rules.policy.evaluate import Outcome, Policy, PolicySet, PolicyType, RequestContext
from keyturn.rules.policy.explanation import Remedy, explain, remedies
from keyturn.rules.policy.patterns import ConditionKeys

from .callers import ACCOUNT, ROLE_ARN, SECRET, SERVICE, SESSION, STRANGER, USER

GET = "secretsmanager:GetSecretValue"
NO_KEYS: ConditionKeys = {}
ALLOW_ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}
PARSERS = {
    PolicyType.IDENTITY: parse_identity_policy,
    PolicyType.BOUNDARY: parse_identity_policy,
    PolicyType.SESSION: parse_session_policy,
    PolicyType.RESOURCE: parse_resource_policy,
    PolicyType.TRUST: parse_trust_policy,
}


def policy(kind: PolicyType, *statements: dict[str, Any]) -> Policy:
    text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    return Policy(kind.value, PARSERS[kind](text), text)


def asked(
    principal: Principal = USER, action: str = GET, resource: str = SECRET, keys: ConditionKeys = NO_KEYS
) -> RequestContext:
    return RequestContext(principal, action, resource, keys)


def test_without_any_policy_the_least_is_one_statement_about_the_very_thing() -> None:
    explanation = explain(asked(), PolicySet())

    assert explanation.decision.outcome is Outcome.IMPLICIT_DENY
    assert explanation.policies == ()
    assert explanation.remedies == (
        Remedy(PolicyType.IDENTITY, {"Effect": "Allow", "Action": GET, "Resource": SECRET}),
    )


def test_what_is_allowed_needs_nothing() -> None:
    assert remedies(asked(), PolicySet(identity=(policy(PolicyType.IDENTITY, ALLOW_ALL),))) == ()


def test_no_allow_helps_against_a_deny() -> None:
    denied = policy(PolicyType.IDENTITY, ALLOW_ALL, {"Sid": "Never", "Effect": "Deny", "Action": GET, "Resource": "*"})

    explanation = explain(asked(), PolicySet(identity=(denied,)))

    assert explanation.remedies == ()
    assert [(one.sid, one.applies) for one in explanation.policies[0].statements] == [(None, True), ("Never", True)]


def test_a_deny_behind_what_is_missing_leaves_no_remedy() -> None:
    """Only one Deny is told of at a time, and it may be one of a policy that nothing is missing in."""
    boundary = policy(PolicyType.BOUNDARY, {"Effect": "Deny", "Action": GET, "Resource": "*"})

    assert remedies(asked(), PolicySet(boundary=boundary)) == ()


def test_each_kind_of_policy_that_lacks_something_is_named() -> None:
    other = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policies = PolicySet(boundary=policy(PolicyType.BOUNDARY, other), session=(policy(PolicyType.SESSION, other),))

    found = remedies(asked(SESSION), policies)

    assert [remedy.policy_type for remedy in found] == [
        PolicyType.IDENTITY,
        PolicyType.BOUNDARY,
        PolicyType.SESSION,
    ]
    assert all(remedy.statement == {"Effect": "Allow", "Action": GET, "Resource": SECRET} for remedy in found)


def test_from_another_account_both_sides_have_to_allow() -> None:
    foreign = SECRET.replace(ACCOUNT, STRANGER.account_id)

    found = remedies(asked(SESSION, resource=foreign), PolicySet())

    assert found == (
        Remedy(PolicyType.IDENTITY, {"Effect": "Allow", "Action": GET, "Resource": foreign}),
        Remedy(
            PolicyType.RESOURCE,
            # The role, and not its session, which will not be there next time.
            {"Effect": "Allow", "Principal": {"AWS": ROLE_ARN}, "Action": GET, "Resource": foreign},
        ),
    )


def test_a_role_that_does_not_trust_the_caller_lacks_a_statement_without_a_resource() -> None:
    policies = PolicySet(
        identity=(policy(PolicyType.IDENTITY, ALLOW_ALL),), resource_must_allow=True, resource_type=PolicyType.TRUST
    )

    found = remedies(asked(action="sts:AssumeRole", resource=ROLE_ARN), policies)

    assert found == (
        Remedy(PolicyType.TRUST, {"Effect": "Allow", "Principal": {"AWS": USER.arn}, "Action": "sts:AssumeRole"}),
    )


def test_a_service_is_named_as_a_service() -> None:
    function = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:rotate"

    found = remedies(asked(SERVICE, "lambda:InvokeFunction", function), PolicySet())

    assert found[0].statement["Principal"] == {"Service": "secretsmanager.amazonaws.com"}
    assert "Condition" not in found[0].statement


def test_a_service_is_let_in_for_what_it_calls_on_behalf_of_only() -> None:
    function = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:rotate"
    keys = {"aws:sourceaccount": (ACCOUNT,), "aws:sourcearn": (SECRET,)}

    [remedy] = remedies(asked(SERVICE, "lambda:InvokeFunction", function, keys), PolicySet())

    assert remedy.statement["Condition"] == {
        "StringEquals": {"AWS:SourceAccount": ACCOUNT},
        "ArnLike": {"AWS:SourceArn": SECRET},
    }


@pytest.mark.parametrize(
    ("change", "names_resource", "unmet"),
    [
        ({"Resource": SECRET + "x"}, False, []),
        ({"Condition": {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}}, True, ["aws:requestedregion"]),
        ({"Condition": {"Bool": {"aws:SecureTransport": "true"}}}, True, ["aws:securetransport"]),
    ],
)
def test_a_statement_that_almost_applies_says_what_keeps_it(
    change: dict[str, Any], names_resource: bool, unmet: list[str]
) -> None:
    statement = {"Effect": "Allow", "Action": "secretsmanager:Get*", "Resource": "*", **change}
    policies = PolicySet(identity=(policy(PolicyType.IDENTITY, statement),))

    verdict = explain(asked(keys={"aws:requestedregion": ("us-east-1",)}), policies).policies[0].statements[0]

    assert verdict.is_near
    assert not verdict.applies
    assert verdict.names_resource is names_resource
    assert [condition.key for condition in verdict.unmet] == unmet


def test_a_statement_about_something_else_is_not_near() -> None:
    policies = PolicySet(identity=(policy(PolicyType.IDENTITY, {**ALLOW_ALL, "Action": "s3:*"}),))

    verdict = explain(asked(), policies).policies[0].statements[0]

    assert not verdict.applies
    assert not verdict.is_near


def test_a_key_policy_must_allow_even_within_the_account() -> None:
    text = json.dumps({"Statement": [{**ALLOW_ALL, "Principal": {"AWS": ACCOUNT}, "Action": "kms:Encrypt"}]})
    key = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1"
    policies = PolicySet(
        identity=(policy(PolicyType.IDENTITY, ALLOW_ALL),),
        resource=Policy("key", parse_key_policy(text), text),
        resource_must_allow=True,
    )

    found = remedies(asked(action="kms:Decrypt", resource=key), policies)

    assert [remedy.policy_type for remedy in found] == [PolicyType.RESOURCE]


def test_a_notprincipal_is_said_to_be_about_those_whom_it_denies() -> None:
    spared = {"AWS": [USER.arn, ACCOUNT]}
    denying = policy(PolicyType.RESOURCE, {"Effect": "Deny", "NotPrincipal": spared, "Action": GET, "Resource": "*"})
    policies = PolicySet(identity=(policy(PolicyType.IDENTITY, ALLOW_ALL),), resource=denying)

    for boundary in (None, policy(PolicyType.BOUNDARY, ALLOW_ALL)):
        explanation = explain(asked(), replace(policies, boundary=boundary))
        [statement] = next(each for each in explanation.policies if each.policy is denying).statements
        assert statement.applies is (boundary is not None)
        assert explanation.decision.allowed is (boundary is None)
