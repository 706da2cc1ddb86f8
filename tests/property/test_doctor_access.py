"""What the doctor says of an access is what the policies decide, and what it does not know it does not say."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from keyturn.call import Principal, PrincipalKind
from keyturn.doctor.access import Verdict, access
from keyturn.doctor.facts import Answer, Kind, Question
from keyturn.doctor.known_keys import KnownKeys
from keyturn.doctor.seen_policies import Layers, SeenPolicy
from keyturn.rules.policy.document import parse_identity_policy, parse_resource_policy
from keyturn.rules.policy.evaluate import Policy, PolicySet, PolicyType, RequestContext, evaluate

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/rotator"
SECRET = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:db-AbCdEf"
ACTION = "secretsmanager:GetSecretValue"
SESSION = Principal(
    PrincipalKind.ASSUMED_ROLE,
    f"arn:aws:sts::{ACCOUNT}:assumed-role/rotator/rotate",
    "AROA0000000000000000:rotate",
    ACCOUNT,
    "rotator",
    role_arn=ROLE,
    session_name="rotate",
)
KNOWN = {"aws:principalaccount": (ACCOUNT,), "aws:username": None}
UNKNOWN = "aws:sourcevpce"
HIDDEN = Answer(Question("iam", "GetRolePolicy"), Kind.BLIND, code="AccessDenied")

conditions = st.sampled_from(
    [
        None,
        {"StringEquals": {"aws:PrincipalAccount": ACCOUNT}},
        {"StringEquals": {"aws:PrincipalAccount": "999988887777"}},
        {"Null": {"aws:username": "true"}},
    ]
)
unknown_conditions = st.sampled_from(
    [
        {"StringEquals": {"aws:SourceVpce": "vpce-1"}},
        {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}},
        {"StringEqualsIfExists": {"aws:SourceVpce": "vpce-1"}},
        {"Null": {"aws:SourceVpce": "true"}},
        {"StringEquals": {"aws:SourceVpce": "vpce-1", "aws:PrincipalAccount": "999988887777"}},
        {"StringEquals": {"aws:PrincipalAccount": "${aws:SourceVpce}"}},
    ]
)


@st.composite
def statements(draw: st.DrawFn, condition: st.SearchStrategy[Any], *, on_resource: bool = False) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Effect": draw(st.sampled_from(["Allow", "Allow", "Deny"])),
        "Action": draw(st.sampled_from([ACTION, "secretsmanager:Get*", "secretsmanager:PutSecretValue", "*"])),
        "Resource": draw(st.sampled_from([SECRET, SECRET[:-7], f"{SECRET[:-6]}*", "*"])),
    }
    if on_resource:
        statement["Principal"] = draw(
            st.sampled_from(["*", {"AWS": ROLE}, {"AWS": ACCOUNT}, {"AWS": f"arn:aws:iam::{ACCOUNT}:role/other"}])
        )
    if (found := draw(condition)) is not None:
        statement["Condition"] = found
    return statement


def documents(condition: st.SearchStrategy[Any], *, on_resource: bool = False) -> st.SearchStrategy[Any]:
    listed = st.lists(statements(condition, on_resource=on_resource), min_size=1, max_size=3)
    return listed.map(lambda found: {"Version": "2012-10-17", "Statement": found})


@st.composite
def layers(draw: st.DrawFn, condition: st.SearchStrategy[Any]) -> Layers:
    own = draw(st.lists(documents(condition), max_size=2))
    boundary = draw(st.none() | documents(condition))
    resource = draw(st.none() | documents(condition, on_resource=True))
    return Layers(
        tuple(SeenPolicy(PolicyType.IDENTITY, f"policy {number}", "", each) for number, each in enumerate(own)),
        None if boundary is None else SeenPolicy(PolicyType.BOUNDARY, "boundary", "", boundary),
        None if resource is None else SeenPolicy(PolicyType.RESOURCE, "resource", "", resource),
    )


def decided(found: Layers, keys: dict[str, Any]) -> bool:
    """What whoever knows everything decides."""

    def read(seen: SeenPolicy) -> Policy:
        parse = parse_resource_policy if seen.policy_type is PolicyType.RESOURCE else parse_identity_policy
        return Policy(seen.where, parse(json.dumps(seen.document)))

    policies = PolicySet(
        identity=tuple(map(read, found.identity)),
        resource=read(found.resource) if found.resource else None,
        boundary=read(found.boundary) if found.boundary else None,
    )
    return evaluate(RequestContext(SESSION, ACTION, SECRET, keys), policies).allowed


def said(found: Layers) -> Verdict:
    return access(SESSION, ACTION, SECRET, KnownKeys(KNOWN), found).verdict


@given(layers(conditions))
def test_where_everything_is_known_it_is_what_is_decided(found: Layers) -> None:
    assert said(found) is (Verdict.ALLOWED if decided(found, KNOWN) else Verdict.DENIED)


@given(layers(conditions | unknown_conditions))
def test_what_it_says_holds_whatever_the_unknown_is(found: Layers) -> None:
    verdict = said(found)
    possible = {decided(found, {**KNOWN, UNKNOWN: values}) for values in (None, ("vpce-1",), ("vpce-2",), (ACCOUNT,))}
    if verdict is not Verdict.UNKNOWN:
        assert possible == {verdict is Verdict.ALLOWED}


@given(layers(conditions), st.data())
def test_what_may_not_be_seen_changes_nothing_that_is_said(found: Layers, data: st.DataObject) -> None:
    def hidden(seen: SeenPolicy | None) -> SeenPolicy | None:
        is_hidden = seen is not None and data.draw(st.booleans())
        return replace(seen, document=None, unseen=HIDDEN) if seen is not None and is_hidden else seen

    dim = Layers(tuple(filter(None, map(hidden, found.identity))), hidden(found.boundary), hidden(found.resource))
    if said(dim) is not Verdict.UNKNOWN:
        assert said(dim) is said(found)


@given(layers(conditions | unknown_conditions))
def test_a_denial_shows_what_decides_or_who_should_have_allowed(found: Layers) -> None:
    result = access(SESSION, ACTION, SECRET, KnownKeys(KNOWN), found)
    if result.verdict is Verdict.DENIED:
        assert result.layer
        assert (result.deciding is not None) is result.is_explicit
        for quoted in (result.deciding, *result.near):
            assert quoted is None or quoted.statement["Effect"] == ("Deny" if quoted is result.deciding else "Allow")


def test_a_boundary_that_may_not_be_seen_may_deny_what_the_secrets_policy_allows() -> None:
    statement = {"Effect": "Allow", "Principal": "*", "Action": ACTION, "Resource": SECRET}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    boundary = SeenPolicy(PolicyType.BOUNDARY, "boundary", "", None, unseen=HIDDEN)

    assert said(Layers((), boundary, SeenPolicy(PolicyType.RESOURCE, "resource", "", document))) is Verdict.UNKNOWN
