"""Policies, requests and callers for the properties of policy evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from keyturn.call import Principal, PrincipalKind
from keyturn.rules.policy.document import parse_identity_policy, parse_resource_policy
from keyturn.rules.policy.evaluate import Policy, PolicySet, RequestContext

ACCOUNT, STRANGERS = "000000000000", "111111111111"
ACTIONS = ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue", "secretsmanager:ListSecrets"]
SECRETS = [f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:{name}-a1b2c3" for name in ("a", "ab", "b")]
USER = Principal(PrincipalKind.USER, f"arn:aws:iam::{ACCOUNT}:user/u", "AIDA", ACCOUNT, "u", "AKIA")
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/r"
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
STRANGER = Principal(PrincipalKind.USER, f"arn:aws:iam::{STRANGERS}:user/v", "AIDB", STRANGERS, "v", "AKIB")
SERVICE = Principal(PrincipalKind.SERVICE, "lambda.amazonaws.com", "", ACCOUNT, "lambda.amazonaws.com")

Statement = dict[str, Any]

# Mostly what applies: where nothing does, every evaluation is right.
conditions = st.just({}) | st.sampled_from(
    [
        {"StringEquals": {"aws:k": "1"}},
        {"StringNotEquals": {"aws:k": "1"}},
        {"StringEqualsIfExists": {"aws:k": "2"}},
        {"Null": {"aws:k": "true"}},
        {"Null": {"aws:k": "false"}, "StringLike": {"aws:k": "?"}},
        {"ForAllValues:StringLike": {"aws:k": ["1", "3*"]}},
        {"ForAnyValue:StringNotEquals": {"aws:k": ["1", "2"]}},
        {"NumericLessThan": {"aws:k": 2}},
        {"StringLike": {"aws:k": ["${aws:other}*", "${aws:none, '1'}"]}},
    ]
)
effects = st.sampled_from(["Allow"] * 5 + ["Deny"])
actions = st.just("*") | st.sampled_from([*ACTIONS, "secretsmanager:*", "secretsmanager:Get*"])
resources = st.just("*") | st.sampled_from(
    [
        *SECRETS,
        SECRETS[0][:-7] + "*",
        "arn:aws:secretsmanager:*:*:secret:?-*",
        "arn:aws:secretsmanager:*:secret:a*",
    ]
)
named = st.sampled_from(
    ["*", "*", ACCOUNT, USER.arn, SESSION.arn, ROLE_ARN, f"arn:aws:iam::{STRANGERS}:root", STRANGER.arn]
)


def one_or_more(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A value, or a list of some."""
    return strategy | st.lists(strategy, min_size=1, max_size=3)


@st.composite
def statements(draw: st.DrawFn, effect: str | None = None, *, principal: bool = False) -> Statement:
    """A statement of an identity-based policy, or of a resource-based one."""
    entry: Statement = {
        "Effect": effect or draw(effects),
        draw(st.sampled_from(["Action"] * 4 + ["NotAction"])): draw(one_or_more(actions)),
        draw(st.sampled_from(["Resource"] * 4 + ["NotResource"])): draw(one_or_more(resources)),
        "Condition": draw(conditions),
    }
    if principal:
        may_negate = entry["Effect"] == "Deny"
        element = draw(st.sampled_from(["Principal", "NotPrincipal"])) if may_negate else "Principal"
        entry[element] = draw(st.just("*") | st.fixed_dictionaries({"AWS": one_or_more(named)}))
    return entry


def text(entries: Sequence[Statement], **elements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", **elements, "Statement": entries})


def identity(entries: Sequence[Statement], name: str = "identity") -> Policy:
    written = text(entries)
    return Policy(name, parse_identity_policy(written), written)


def resource(entries: Sequence[Statement]) -> Policy:
    written = text(entries)
    return Policy("resource", parse_resource_policy(written), written)


some = st.lists(statements(), min_size=1, max_size=3)
of_resource = st.lists(statements(principal=True), min_size=1, max_size=3)
none_or_some = st.just(()) | st.lists(some.map(identity), min_size=1, max_size=2).map(tuple)
policy_sets = st.builds(
    PolicySet,
    identity=none_or_some,
    resource=st.none() | of_resource.map(resource),
    boundary=st.none() | some.map(identity),
    session=none_or_some,
    endpoint=st.none() | of_resource.map(resource),
    resource_must_allow=st.sampled_from([False, False, False, True]),
)
request_keys: st.SearchStrategy[Mapping[str, tuple[str, ...]]] = st.sampled_from(
    [{}, {"aws:k": ("1",)}, {"aws:k": ("2",)}, {"aws:k": ("1", "3x")}, {"aws:k": ("",), "aws:other": ("*",)}]
)
contexts = st.builds(
    RequestContext,
    principal=st.sampled_from([USER, SESSION, USER, SESSION, STRANGER, SERVICE]),
    action=st.sampled_from(ACTIONS),
    resource=st.sampled_from(SECRETS),
    keys=request_keys,
)
