"""Properties of policy evaluation: Deny wins, Allow only ever opens, narrowing only ever narrows."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import re
from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keyturn.call import Principal, PrincipalKind
from keyturn.errors.base import AwsError
from keyturn.rules.policy.document import parse_identity_policy, parse_resource_policy
from keyturn.rules.policy.evaluate import Outcome, Policy, PolicySet, PolicyType, RequestContext, evaluate
from keyturn.rules.policy.explanation import Remedy, remedies
from keyturn.rules.policy.patterns import pattern_set

ACCOUNT = "000000000000"
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

conditions = st.sampled_from(
    [
        {},
        {"StringEquals": {"aws:k": "1"}},
        {"StringNotEquals": {"aws:k": "1"}},
        {"StringEqualsIfExists": {"aws:k": "2"}},
        {"Null": {"aws:k": "true"}},
        {"ForAllValues:StringLike": {"aws:k": ["1", "3*"]}},
    ]
)


def _statements(effect: str | None = None) -> st.SearchStrategy[dict[str, object]]:
    return st.fixed_dictionaries(
        {
            "Effect": st.just(effect) if effect else st.sampled_from(["Allow", "Deny"]),
            "Action": st.sampled_from([*ACTIONS, "*", "secretsmanager:*", "secretsmanager:Get*"]),
            "Resource": st.sampled_from(
                [*SECRETS, "*", SECRETS[0][:-7] + "*", "arn:aws:secretsmanager:*:*:secret:?-*"]
            ),
            "Condition": conditions,
        }
    )


principals = st.sampled_from(["*", ACCOUNT, USER.arn, SESSION.arn, ROLE_ARN, "arn:aws:iam::111111111111:root"])


def _text(statements: list[dict[str, object]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _identity(statements: list[dict[str, object]]) -> Policy:
    text = _text(statements)
    return Policy("identity", parse_identity_policy(text), text)


def _resource(entries: list[tuple[dict[str, object], str]]) -> Policy:
    text = _text([{**entry, "Principal": {"AWS": principal}} for entry, principal in entries])
    return Policy("resource", parse_resource_policy(text), text)


some = st.lists(_statements(), min_size=1, max_size=4)
identities = st.lists(some.map(_identity), max_size=2).map(tuple)
resources = st.none() | st.lists(st.tuples(_statements(), principals), min_size=1, max_size=4).map(_resource)
policy_sets = st.builds(
    PolicySet,
    identity=identities,
    resource=resources,
    boundary=st.none() | some.map(_identity),
    session=identities,
    resource_must_allow=st.booleans(),
)
contexts = st.builds(
    RequestContext,
    principal=st.sampled_from([USER, SESSION]),
    action=st.sampled_from(ACTIONS),
    resource=st.sampled_from(SECRETS),
    keys=st.sampled_from([{}, {"aws:k": ("1",)}, {"aws:k": ("2",)}, {"aws:k": ("1", "3x")}]),
)
DENY_ALL = _identity([{"Effect": "Deny", "Action": "*", "Resource": "*"}])


@given(contexts, policy_sets)
def test_a_deny_wins_over_everything(context: RequestContext, policies: PolicySet) -> None:
    denied = replace(policies, identity=(*policies.identity, DENY_ALL))
    assert evaluate(context, denied).outcome is Outcome.EXPLICIT_DENY


@given(contexts, policy_sets, st.lists(_statements("Allow"), min_size=1, max_size=3))
def test_adding_an_allow_never_takes_anything_away(
    context: RequestContext, policies: PolicySet, added: list[dict[str, object]]
) -> None:
    before = evaluate(context, policies)
    after = evaluate(context, replace(policies, identity=(*policies.identity, _identity(added))))
    if before.allowed:
        assert after.allowed
    assert (before.outcome is Outcome.EXPLICIT_DENY) == (after.outcome is Outcome.EXPLICIT_DENY)


@given(contexts, policy_sets, some)
def test_a_boundary_or_session_policy_never_gives_anything(
    context: RequestContext, policies: PolicySet, added: list[dict[str, object]]
) -> None:
    if not evaluate(context, replace(policies, boundary=None, session=())).allowed:
        narrowed = replace(policies, boundary=_identity(added), session=(_identity(added),))
        assert not evaluate(context, narrowed).allowed


@given(contexts, policy_sets)
def test_the_decision_names_a_statement_of_the_effect_it_had(context: RequestContext, policies: PolicySet) -> None:
    decision = evaluate(context, policies)
    assert (decision.statement_index is None) == (decision.outcome is Outcome.IMPLICIT_DENY)
    assert bool(decision.reason(context.action)) is not decision.allowed


@given(contexts, identities)
def test_without_allow_there_is_no_access(context: RequestContext, identity: tuple[Policy, ...]) -> None:
    decision = evaluate(context, PolicySet(identity=identity))
    if not any(policy.document.allows for policy in identity):
        assert not decision.allowed


@given(st.text("ab*?", max_size=12), st.text("ab", max_size=12))
def test_wildcards_match_as_a_shells_do(pattern: str, value: str) -> None:
    assert pattern_set([pattern], variables=False).matches(value, {}) is fnmatch.fnmatchcase(value, pattern)


@given(st.text("ab*?:", max_size=14), st.text("ab:", max_size=14))
def test_in_an_arn_wildcards_stay_within_the_first_five_fields(pattern: str, value: str) -> None:
    fields, parts = pattern.split(":", 5), value.split(":", 5)
    expected = pattern == "*" or (len(fields) == len(parts) and all(map(fnmatch.fnmatchcase, parts, fields)))
    assert pattern_set([pattern], variables=False, is_arn=True).matches(value, {}) is expected


PIECES = st.sampled_from(["a", "b", "ab", ":", "*", "?", "${v}", "${w}", "${absent, '*'}", "${*}", "${?}"])


def _naively(piece: str, keys: dict[str, str]) -> str:
    """Write a piece of a pattern as a regular expression."""
    literals = {"${v}": keys["v"], "${w}": keys["w"], "${absent, '*'}": "*", "${*}": "*", "${?}": "?"}
    wildcards = {"*": ".*", "?": "."}
    return wildcards.get(piece) or re.escape(literals.get(piece, piece))


@given(
    st.lists(PIECES, max_size=9), st.text("ab*?:", max_size=12), st.text("ab*?", max_size=3), st.text("ab?", max_size=2)
)
@settings(max_examples=500)
def test_patterns_with_variables_match_as_a_naive_regex(pieces: list[str], value: str, v: str, w: str) -> None:
    pattern = "".join([*pieces, "${v}"])
    expected = re.fullmatch("".join(_naively(piece, {"v": v, "w": w}) for piece in [*pieces, "${v}"]), value)
    assert pattern_set([pattern], variables=True).matches(value, {"v": (v,), "w": (w,)}) is (expected is not None)


@given(st.lists(PIECES, max_size=12), st.text("ab*:", max_size=14), st.text("a*:", max_size=3))
@settings(max_examples=500)
def test_patterns_of_arns_match_with_variables_as_without(pieces: list[str], value: str, v: str) -> None:
    names = {"${v}": v, "${w}": "b"}
    # Wildcards in a value are characters.
    written = "".join(re.sub(r"([*?])", r"${\1}", names[piece]) if piece in names else piece for piece in pieces)
    written = written.replace("${absent, '*'}", "${*}")
    assume(written != "*")  # Which alone is no pattern of fields.
    expected = pattern_set([written], variables=True, is_arn=True).matches(value, {})
    keys = {"v": (v,), "w": ("b",), "none": ("",)}
    patterns = pattern_set(["".join([*pieces, "${none}"])], variables=True, is_arn=True)
    assert patterns.matches(value, keys) is expected


@given(st.text(max_size=300))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(AwsError):
        parse_identity_policy(text)


@given(contexts, policy_sets)
def test_what_is_said_to_be_missing_is_enough_and_against_a_deny_nothing_is_said(
    context: RequestContext, policies: PolicySet
) -> None:
    before = evaluate(context, policies)
    found = remedies(context, policies)

    if before.outcome is not Outcome.IMPLICIT_DENY:
        assert found == ()
        return
    mended = policies
    for remedy in found:
        assert not evaluate(context, mended).allowed, "a statement more than it needs"
        mended = _mended(mended, remedy)
    # What is missing may hide a Deny that nothing helps against.
    assert evaluate(context, mended).allowed is bool(found)


def _mended(policies: PolicySet, remedy: Remedy) -> PolicySet:
    """The policies with a statement added as a person would add it: to a document of that kind."""
    if remedy.policy_type is PolicyType.BOUNDARY:
        return replace(policies, boundary=_identity([*_written(policies.boundary), remedy.statement]))
    if remedy.policy_type is PolicyType.RESOURCE:
        text = _text([*_written(policies.resource), remedy.statement])
        return replace(policies, resource=Policy("resource", parse_resource_policy(text), text))
    added = _identity([remedy.statement])
    if remedy.policy_type is PolicyType.SESSION:
        return replace(policies, session=(*policies.session, added))
    return replace(policies, identity=(*policies.identity, added))


def _written(policy: Policy | None) -> list[dict[str, object]]:
    return json.loads(policy.text)["Statement"] if policy else []
