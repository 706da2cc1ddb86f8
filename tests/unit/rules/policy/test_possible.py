"""What somebody might be allowed, with the best choice of what they have not chosen yet."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keyturn.rules.policy.document import parse_identity_policy, parse_resource_policy
from keyturn.rules.policy.evaluate import Policy, PolicySet, RequestContext, condition_keys, evaluate
from keyturn.rules.policy.possible import at_best

from .callers import SECRET, USER

ACTION = "secretsmanager:CreateSecret"
OTHERS = "arn:aws:secretsmanager:*:*:secret:dev/*"


def statement(effect: str = "Allow", resource: str = "*", **more: Any) -> dict[str, Any]:
    named = {} if "NotResource" in more else {"Resource": resource}
    return {"Effect": effect, "Action": ACTION, **named, **more}


def policy(*statements: dict[str, Any]) -> Policy:
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    return Policy("own", parse_identity_policy(text), text)


def might(policies: PolicySet, *given: str, resource_is_chosen: bool = False) -> bool:
    """Whether it might be allowed, in a call in which the condition keys that are given have the value ``a``."""
    context = RequestContext(USER, ACTION, SECRET, condition_keys(dict.fromkeys(given, ("a",))))
    return evaluate(context, at_best(policies, resource_is_chosen=resource_is_chosen)).allowed


def condition(key: str) -> dict[str, Any]:
    return {"Condition": {"StringEquals": {key: "a"}}}


CHOSEN = ["aws:RequestTag/team", "aws:TagKeys", "secretsmanager:Name", "secretsmanager:KmsKeyId", "iam:PolicyARN"]
GIVEN = [
    "aws:ResourceTag/team",
    "secretsmanager:ResourceTag/team",
    "aws:PrincipalTag/team",
    "aws:RequestedRegion",
    "kms:ViaService",
]


@pytest.mark.parametrize("key", CHOSEN)
def test_what_is_chosen_is_chosen_well(key: str) -> None:
    assert might(PolicySet((policy(statement(**condition(key))),)))
    denied = policy(statement(), statement("Deny", **condition(key)))
    assert might(PolicySet((denied,)), key)


@pytest.mark.parametrize("key", GIVEN)
def test_what_is_given_decides(key: str) -> None:
    assert not might(PolicySet((policy(statement(**condition(key))),)))
    assert might(PolicySet((policy(statement(**condition(key))),)), key)
    assert not might(PolicySet((policy(statement(), statement("Deny", **condition(key))),)), key)


def test_a_name_is_chosen_by_who_creates() -> None:
    allowed = PolicySet((policy(statement(resource=OTHERS)),))
    assert might(allowed, resource_is_chosen=True)
    assert not might(allowed)


def test_a_deny_of_all_but_some_spares_those() -> None:
    own = policy(statement(), statement("Deny", NotResource=OTHERS))
    assert might(PolicySet((own,)), resource_is_chosen=True)
    assert not might(PolicySet((own,)))


def test_a_deny_of_everything_decides() -> None:
    assert not might(PolicySet((policy(statement(), statement("Deny")),)), resource_is_chosen=True)


@pytest.mark.parametrize("member", ["boundary", "session"])
def test_what_narrows_has_to_allow_as_well(member: str) -> None:
    own = (policy(statement()),)
    wide, narrow = policy(statement(resource=OTHERS)), policy(statement(**condition("aws:PrincipalTag/team")))

    def narrowed(by: Policy) -> PolicySet:
        return PolicySet(own, boundary=by) if member == "boundary" else PolicySet(own, session=(by,))

    assert might(narrowed(wide), resource_is_chosen=True)
    assert not might(narrowed(narrow), resource_is_chosen=True)


def test_the_policy_of_a_resource_may_hang_on_what_is_chosen() -> None:
    principal: dict[str, Any] = {"Principal": {"AWS": USER.arn}}
    text = json.dumps({"Version": "2012-10-17", "Statement": statement(**principal, **condition("aws:TagKeys"))})
    assert might(PolicySet(resource=Policy("resource", parse_resource_policy(text), text)))
