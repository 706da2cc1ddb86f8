"""Grants: who passes one on gives no more than they had, and a grant only ever opens what no Deny keeps shut."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from keyturn.call import Principal, PrincipalKind
from keyturn.rules.kms_grants import Asked, Constraint, Grant, Terms, allowed_operations, is_within, policy_of
from keyturn.rules.policy.document import parse_identity_policy, parse_key_policy
from keyturn.rules.policy.evaluate import Outcome, Policy, PolicySet, PolicyType, RequestContext, evaluate

ACCOUNT, THEIRS = "000000000000", "111122223333"
KEYS = [f"arn:aws:kms:us-east-1:{account}:key/k" for account in (ACCOUNT, THEIRS)]
OPERATIONS = ("Decrypt", "Encrypt", "CreateGrant", "RetireGrant", "DescribeKey")
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/r"
USER = Principal(PrincipalKind.USER, f"arn:aws:iam::{ACCOUNT}:user/u", "AIDA", ACCOUNT, "u", "AKIA")
SESSION = Principal(
    PrincipalKind.ASSUMED_ROLE,
    f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s",
    "AROA:s",
    ACCOUNT,
    "r",
    "ASIA",
    ROLE_ARN,
    "s",
)

pairs = st.dictionaries(st.sampled_from(["a", "A", "b"]), st.sampled_from(["1", "2"]), max_size=3)
constraints = st.none() | st.builds(Constraint, pairs, st.booleans())
terms = st.builds(Terms, st.frozensets(st.sampled_from(OPERATIONS)), constraints)
questions = st.builds(Asked, st.none() | pairs, st.none() | terms)
grants = st.builds(
    Grant,
    grant_id=st.sampled_from(["1", "2"]),
    grantee=st.sampled_from([USER.arn, SESSION.arn, ROLE_ARN, f"arn:aws:iam::{ACCOUNT}:root", f"{USER.arn}x"]),
    unique_id=st.none(),
    terms=terms,
)


def _policy(effect: str, actions: list[str]) -> Policy:
    statement = {"Effect": effect, "Action": actions, "Resource": "*"}
    return Policy(effect, parse_identity_policy(json.dumps({"Version": "2012-10-17", "Statement": statement})))


def _beside_the_key(given_grants: list[Grant], asked: Asked) -> Policy | None:
    text = policy_of(given_grants, asked)
    return None if text is None else Policy("grants", parse_key_policy(text))


actions = st.lists(st.sampled_from(["kms:*", "kms:Decrypt", "s3:Get"]), min_size=1)
policies = st.builds(_policy, st.sampled_from(["Allow", "Deny"]), actions)
policy_sets = st.builds(
    PolicySet,
    identity=st.lists(policies, max_size=2).map(tuple),
    boundary=st.none() | policies,
    session=st.lists(policies, max_size=1).map(tuple),
    resource_must_allow=st.booleans(),
)
calls = st.builds(
    RequestContext,
    principal=st.sampled_from([USER, SESSION]),
    action=st.sampled_from([f"kms:{operation}" for operation in OPERATIONS]),
    resource=st.sampled_from(KEYS),
    keys=st.just({}),
)


@given(terms, terms, pairs)
@example(
    Terms(frozenset(["Decrypt"]), Constraint({"a": "1"}, False)),
    Terms(frozenset(["Decrypt"]), Constraint({"a": "1"}, True)),
    {"a": "1", "b": "1"},
)
def test_a_grant_by_leave_of_another_allows_no_more(child: Terms, parent: Terms, context: dict[str, str]) -> None:
    if not is_within(child, parent):
        return
    for asked in (Asked(), Asked(context=context)):
        assert allowed_operations(child, asked) <= allowed_operations(parent, asked)


@given(terms, terms, terms)
def test_leave_is_not_widened_by_passing_it_on(child: Terms, parent: Terms, grandparent: Terms) -> None:
    assert is_within(child, child)
    if is_within(child, parent) and is_within(parent, grandparent):
        assert is_within(child, grandparent)


@given(terms, questions)
def test_a_grant_allows_nothing_that_it_does_not_name(given_terms: Terms, asked: Asked) -> None:
    assert allowed_operations(given_terms, asked) <= given_terms.operations - {"RetireGrant"}


@given(calls, policy_sets, st.lists(grants, max_size=3), questions)
def test_grants_only_ever_open_and_never_what_a_deny_shuts(
    call: RequestContext, without: PolicySet, given_grants: list[Grant], asked: Asked
) -> None:
    before = evaluate(call, without)
    after = evaluate(call, replace(without, grants=_beside_the_key(given_grants, asked)))
    assert (before.outcome is Outcome.EXPLICIT_DENY) == (after.outcome is Outcome.EXPLICIT_DENY)
    if before.allowed:
        assert after.allowed
    if after.policy_type is PolicyType.GRANT:
        # A grant that does not exist, or is for somebody else, decides nothing.
        (grant_id,) = {grant.grant_id for grant in given_grants if grant.grant_id == after.sid}
        assert any(
            grant.grant_id == grant_id and call.action.removeprefix("kms:") in allowed_operations(grant.terms, asked)
            for grant in given_grants
        )


@given(calls, st.lists(grants, max_size=3), questions)
def test_a_grant_for_a_principal_needs_nothing_else_in_any_account(
    call: RequestContext, given_grants: list[Grant], asked: Asked
) -> None:
    named = {call.principal.arn, call.principal.role_arn or call.principal.arn}
    operation = call.action.removeprefix("kms:")
    expected = any(
        grant.grantee in named and operation in allowed_operations(grant.terms, asked) for grant in given_grants
    )
    alone = PolicySet(grants=_beside_the_key(given_grants, asked), resource_must_allow=True)
    assert evaluate(call, alone).allowed is expected
