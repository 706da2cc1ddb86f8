"""A policy that is called narrow lets no outsider in, whatever it is made of."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from keyturn.call import Principal, PrincipalKind
from keyturn.rules.policy.document import parse_identity_policy, parse_resource_policy
from keyturn.rules.policy.evaluate import Policy, PolicySet, RequestContext, evaluate
from keyturn.rules.policy.public_access import grants_broad_access

ACCOUNT, OUTSIDE = "000000000000", "999999999999"
SECRETS = [f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:{name}-a1b2c3" for name in ("a", "b")]
ACTIONS = ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"]
USER_ARN = f"arn:aws:iam::{ACCOUNT}:user/u"
# Somebody of another account, who owns an organisation, a VPC and tags, and calls from where they like.
OUTSIDER = Principal(PrincipalKind.USER, f"arn:aws:iam::{OUTSIDE}:user/u", "AIDAOUT", OUTSIDE, "u", "AKIA")
EVERYTHING = Policy("own", parse_identity_policy('{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'))
KEYS = {
    "aws:principalaccount": [OUTSIDE],
    "aws:principalarn": [OUTSIDER.arn, f"arn:aws:iam::{OUTSIDE}:role/:iam::{ACCOUNT}:role/x"],
    "aws:principalorgid": ["o-outside000"],
    # In none of the networks that are narrow: whoever is in one of those is no outsider.
    "aws:sourceip": ["203.0.113.7", "151.1.1.1"],
    "aws:sourcevpc": ["vpc-2"],
    "aws:principaltag/team": ["db"],
}

operators = st.sampled_from(
    [
        "StringEquals",
        "StringLike",
        "StringNotEquals",
        "StringEqualsIfExists",
        "StringNotLikeIfExists",
        "ForAllValues:StringEquals",
        "ForAnyValue:StringLike",
        "ForAnyValue:StringNotEquals",
        "ForAllValues:StringNotLike",
    ]
)
arn_operators = st.sampled_from(["ArnLike", "ArnNotLike", "ArnLikeIfExists", "StringLike", "StringNotLike"])
values = {
    "aws:PrincipalAccount": st.sampled_from([ACCOUNT, "*", "${aws:PrincipalAccount}"]),
    "aws:PrincipalOrgID": st.sampled_from(["o-inside0000", "o-*"]),
    "aws:SourceVpc": st.sampled_from(["vpc-1", "vpc-?"]),
    "aws:PrincipalTag/team": st.just("db"),
}
arns = st.sampled_from(
    [USER_ARN, f"arn:aws:iam::{ACCOUNT}:*", f"arn:*:iam::{ACCOUNT}:role/x", "arn:aws:iam::*:role/x", "*"]
)
ip_operators = st.sampled_from(["IpAddress", "NotIpAddress", "IpAddressIfExists", "NotIpAddressIfExists"])
networks = st.sampled_from(["192.0.2.0/24", "10.0.0.0/8", "0.0.0.0/0", "128.0.0.0/1", "8.0.0.0/8", "130.0.0.0/8"])


def conditions_on(
    key: str, operators: st.SearchStrategy[str], values: st.SearchStrategy[str]
) -> st.SearchStrategy[dict[str, Any]]:
    found = st.lists(values, min_size=1, max_size=2)
    return st.builds(lambda operator, chosen: {operator: {key: chosen}}, operators, found)


conditions: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    *(conditions_on(key, operators, of) for key, of in values.items()),
    conditions_on("aws:PrincipalArn", arn_operators, arns),
    conditions_on("aws:SourceIp", ip_operators, networks),
)
who = st.sampled_from(
    [
        {"Principal": "*"},
        {"Principal": {"AWS": ["*", USER_ARN]}},
        {"Principal": {"AWS": USER_ARN}},
        {"Principal": {"AWS": ACCOUNT}},
        {"NotPrincipal": {"AWS": USER_ARN}},
        {"NotPrincipal": "*"},
    ]
)
what = st.sampled_from(
    [
        {"Action": "*"},
        {"Action": "secretsmanager:*"},
        {"Action": ACTIONS[0]},
        {"Action": ACTIONS},
        {"Action": "secretsmanager:Get*"},
        {"NotAction": ACTIONS[0]},
    ]
)
where = st.sampled_from(
    [{"Resource": "*"}, {"Resource": SECRETS[0]}, {"Resource": SECRETS}, {"NotResource": SECRETS[0]}]
)


def _statement(effect: str, *parts: dict[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {"Effect": effect}
    for part in parts:
        whole.update(part)
    return whole


statements = st.builds(
    _statement,
    st.sampled_from(["Allow", "Allow", "Deny"]),
    who,
    what,
    where,
    st.builds(lambda one, other: {"Condition": {**one, **other}}, conditions, conditions),
)


@given(st.lists(statements, min_size=1, max_size=4), st.data())
@example([_statement("Allow", {"Principal": "*"}, {"Action": "*"}, {"Resource": "*"})], None)
def test_a_narrow_policy_lets_no_outsider_in(written: list[dict[str, Any]], data: st.DataObject | None) -> None:
    document = parse_resource_policy(json.dumps({"Version": "2012-10-17", "Statement": written}))
    keys = {
        name: (found[0] if data is None else data.draw(st.sampled_from(found)),)
        for name, found in KEYS.items()
        if data is None or data.draw(st.booleans())
    }
    policies = PolicySet(identity=(EVERYTHING,), resource=Policy("of the secret", document))

    is_let_in = any(
        evaluate(RequestContext(OUTSIDER, action, secret, keys), policies).allowed
        for action in ACTIONS
        for secret in SECRETS
    )

    assert grants_broad_access(document) or not is_let_in
