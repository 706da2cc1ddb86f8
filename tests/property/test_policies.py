"""Properties of policy evaluation: Deny wins, Allow only opens, what narrows only narrows, order means nothing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.naive_patterns import naive_match

from keyturn.errors.base import AwsError
from keyturn.rules.policy.document import (
    PolicyDocument,
    parse_identity_policy,
    parse_key_policy,
    parse_managed_policy,
    parse_resource_policy,
    parse_session_policy,
    parse_trust_policy,
)
from keyturn.rules.policy.evaluate import Decision, Outcome, Policy, PolicySet, PolicyType, RequestContext, evaluate
from keyturn.rules.policy.explanation import Remedy, remedies
from keyturn.rules.policy.patterns import ArnRule, pattern_set

from .policies import (
    SERVICE,
    STRANGER,
    USER,
    Statement,
    conditions,
    contexts,
    identity,
    none_or_some,
    of_resource,
    policy_sets,
    resource,
    some,
    statements,
    text,
)

DENY_ALL = identity([{"Effect": "Deny", "Action": "*", "Resource": "*"}])
ALLOW_ALL = identity([{"Effect": "Allow", "Action": "*", "Resource": "*"}])
ALLOW_EVERYBODY = resource([{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}])
DENY_EVERYBODY = resource([{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}])
PARSERS = [
    parse_identity_policy,
    parse_managed_policy,
    parse_session_policy,
    parse_trust_policy,
    parse_resource_policy,
    parse_key_policy,
]


def _kind(decision: Decision) -> tuple[Outcome, str]:
    return decision.outcome, decision.policy_type


@given(contexts, policy_sets)
@settings(max_examples=400)
def test_a_deny_wins_over_everything(context: RequestContext, policies: PolicySet) -> None:
    for denied in (
        replace(policies, identity=(*policies.identity, DENY_ALL)),
        replace(policies, boundary=DENY_ALL),
        replace(policies, session=(*policies.session, DENY_ALL)),
        replace(policies, resource=DENY_EVERYBODY),
        replace(policies, endpoint=DENY_EVERYBODY),
    ):
        assert evaluate(context, denied).outcome is Outcome.EXPLICIT_DENY


@given(contexts, policy_sets, st.lists(statements("Allow"), min_size=1, max_size=3))
@settings(max_examples=400)
def test_adding_an_allow_never_takes_anything_away(
    context: RequestContext, policies: PolicySet, added: list[Statement]
) -> None:
    before = evaluate(context, policies)
    after = evaluate(context, replace(policies, identity=(*policies.identity, identity(added))))
    if before.allowed:
        assert after.allowed
    assert (before.outcome is Outcome.EXPLICIT_DENY) == (after.outcome is Outcome.EXPLICIT_DENY)


@given(contexts, policy_sets, of_resource, statements("Allow", principal=True), st.integers(0, 3))
@settings(max_examples=400)
def test_taking_an_allow_out_never_widens(
    context: RequestContext, policies: PolicySet, entries: list[Statement], taken: Statement, place: int
) -> None:
    whole, without = resource([*entries[:place], taken, *entries[place:]]), resource(entries)

    if evaluate(context, replace(policies, resource=without)).allowed:
        assert evaluate(context, replace(policies, resource=whole)).allowed


@given(contexts, policy_sets, some)
@settings(max_examples=400)
def test_a_boundary_or_session_policy_never_gives_anything(
    context: RequestContext, policies: PolicySet, added: list[Statement]
) -> None:
    if not evaluate(context, replace(policies, boundary=None, session=())).allowed:
        narrowed = replace(policies, boundary=identity(added), session=(identity(added),))
        assert not evaluate(context, narrowed).allowed


@given(contexts, policy_sets, of_resource.map(resource))
@settings(max_examples=400)
def test_through_an_endpoint_its_policy_must_allow_and_so_must_the_others(
    context: RequestContext, policies: PolicySet, endpoint: Policy
) -> None:
    others = evaluate(context, replace(policies, endpoint=None))
    # What a Deny with NotPrincipal means hangs on whether there is a boundary, not on what it says.
    boundary = ALLOW_ALL if policies.boundary else None
    alone = PolicySet(identity=(ALLOW_ALL,), resource=ALLOW_EVERYBODY, boundary=boundary, endpoint=endpoint)
    by_endpoint = evaluate(context, alone)

    decision = evaluate(context, replace(policies, endpoint=endpoint))

    assert decision.allowed is (others.allowed and by_endpoint.allowed)
    denied = Outcome.EXPLICIT_DENY in (others.outcome, by_endpoint.outcome)
    assert (decision.outcome is Outcome.EXPLICIT_DENY) is denied
    if not others.allowed and not denied:
        assert decision == others, "who lacks an Allow is told of it before the way is"


@given(contexts, policy_sets)
@settings(max_examples=400)
def test_of_the_policies_of_a_caller_each_kind_must_allow(context: RequestContext, policies: PolicySet) -> None:
    own = replace(policies, resource=None, resource_must_allow=False, endpoint=None)
    kinds = [own.identity, *([(own.boundary,)] if own.boundary else []), *([own.session] if own.session else [])]

    each_allows = all(evaluate(context, PolicySet(identity=kind)).allowed for kind in kinds)

    assert evaluate(context, own).allowed is each_allows
    if context.principal in (STRANGER, SERVICE):
        assert not each_allows, "what belongs to others is theirs to allow"


@given(contexts, policy_sets)
@settings(max_examples=400)
def test_between_accounts_both_sides_must_allow(context: RequestContext, policies: PolicySet) -> None:
    foreign = replace(context, principal=STRANGER)
    # A boundary stays one: with it a NotPrincipal spares nobody.
    boundary = ALLOW_ALL if policies.boundary else None
    theirs = PolicySet(identity=(ALLOW_ALL,), resource=policies.resource, boundary=boundary)
    ours = replace(policies, resource=ALLOW_EVERYBODY)

    both = evaluate(foreign, theirs).allowed and evaluate(foreign, ours).allowed

    assert evaluate(foreign, policies).allowed is both


@given(contexts, st.lists(some, max_size=3), st.none() | of_resource, st.randoms(use_true_random=False))
def test_the_order_of_statements_of_policies_and_of_elements_means_nothing(
    context: RequestContext, own: list[list[Statement]], of: list[Statement] | None, random: Any
) -> None:
    def shuffled(entries: list[Statement]) -> list[Statement]:
        mixed = [dict(random.sample(list(entry.items()), len(entry))) for entry in entries]
        return random.sample(mixed, len(mixed))  # type: ignore[no-any-return]

    straight = PolicySet(tuple(map(identity, own)), None if of is None else resource(of))
    mixed = PolicySet(
        tuple(identity(shuffled(entries)) for entries in random.sample(own, len(own))),
        None if of is None else resource(shuffled(of)),
    )

    assert _kind(evaluate(context, straight)) == _kind(evaluate(context, mixed))


@given(contexts, policy_sets, statements("Allow"), conditions)
@settings(max_examples=400)
def test_a_condition_never_widens_an_allow(
    context: RequestContext, policies: PolicySet, entry: Statement, added: dict[str, dict[str, Any]]
) -> None:
    both = {**entry, "Condition": {**entry["Condition"], **_under_other_names(added)}}
    narrow = replace(policies, identity=(*policies.identity, identity([both])))
    wide = replace(policies, identity=(*policies.identity, identity([entry])))

    if evaluate(context, narrow).allowed:
        assert evaluate(context, wide).allowed


def _under_other_names(block: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    # An operator may stand in a block twice if it is written in two ways.
    return {operator.upper(): keys for operator, keys in block.items()}


@given(contexts, policy_sets, some, st.lists(st.text("abc", min_size=1, max_size=3), unique=True, min_size=4))
@settings(max_examples=400)
def test_the_decision_does_not_depend_on_sids(
    context: RequestContext, policies: PolicySet, entries: list[Statement], sids: list[str]
) -> None:
    named = [{**entry, "Sid": sid} for entry, sid in zip(entries, sids, strict=False)]
    decided = [evaluate(context, replace(policies, identity=(identity(listed),))) for listed in (entries, named)]

    assert decided[0][:4] == decided[1][:4]


@given(contexts, statements("Allow"))
def test_notaction_and_notresource_are_complements(context: RequestContext, entry: Statement) -> None:
    def allowed(**elements: Any) -> bool:
        policy = identity([{"Effect": "Allow", **elements}])
        return evaluate(replace(context, principal=USER), PolicySet(identity=(policy,))).allowed

    for plain, other in (("Action", "Resource"), ("Resource", "Action")):
        listed = entry.get(plain, entry.get(f"Not{plain}"))
        assert allowed(**{plain: listed, other: "*"}) is not allowed(**{f"Not{plain}": listed, other: "*"})


@given(contexts, policy_sets)
@settings(max_examples=400)
def test_the_decision_names_a_statement_of_the_effect_it_had(context: RequestContext, policies: PolicySet) -> None:
    decision = evaluate(context, policies)
    assert (decision.statement_index is None) == (decision.outcome is Outcome.IMPLICIT_DENY)
    assert bool(decision.reason(context.action)) is not decision.allowed


@given(contexts, none_or_some)
def test_without_allow_there_is_no_access(context: RequestContext, own: tuple[Policy, ...]) -> None:
    decision = evaluate(context, PolicySet(identity=own))
    if not any(policy.document.allows for policy in own):
        assert not decision.allowed


# Documents ------------------------------------------------------------------------------------------------------------


@given(some)
def test_a_document_read_printed_and_read_again_is_the_same(entries: list[Statement]) -> None:
    written = text(entries)

    assert parse_identity_policy(json.dumps(json.loads(written), indent=3)) == parse_identity_policy(written)


@given(of_resource, st.randoms(use_true_random=False))
def test_white_space_between_entities_means_nothing(entries: list[Statement], random: Any) -> None:
    written = text(entries)

    assert parse_resource_policy(_spread(json.loads(written), random)) == parse_resource_policy(written)


def _spread(value: Any, random: Any) -> str:
    """Print JSON with white space wherever it may stand."""

    def blank() -> str:
        return "".join(random.choice(" \t\r\n") for _ in range(random.randrange(3)))

    if isinstance(value, dict):
        members = [
            f"{blank()}{json.dumps(name)}{blank()}:{blank()}{_spread(member, random)}{blank()}"
            for name, member in value.items()
        ]
        return f"{blank()}{{{','.join(members) or blank()}}}{blank()}"
    if isinstance(value, list):
        return f"[{','.join(blank() + _spread(element, random) + blank() for element in value)}]"
    return json.dumps(value)


texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "Version",
                    "Statement",
                    "Effect",
                    "Action",
                    "Resource",
                    "Principal",
                    "AWS",
                    "Condition",
                    "StringEquals",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
).map(json.dumps)


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@given(st.text(max_size=300) | texts | some.map(text) | of_resource.map(text), contexts)
def test_any_text_is_parsed_or_refused_and_what_is_parsed_decides(
    parse: Callable[[str], PolicyDocument], written: str, context: RequestContext
) -> None:
    with contextlib.suppress(AwsError):
        policy = Policy("any", parse(written))
        evaluate(context, PolicySet(identity=(policy,), resource=policy, session=(policy,)))


@given(contexts, policy_sets)
@settings(max_examples=400)
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
        return replace(policies, boundary=identity([*_written(policies.boundary), remedy.statement]))
    if remedy.policy_type is PolicyType.RESOURCE:
        return replace(policies, resource=resource([*_written(policies.resource), remedy.statement]))
    if remedy.policy_type is PolicyType.ENDPOINT:
        return replace(policies, endpoint=resource([*_written(policies.endpoint), remedy.statement]))
    added = identity([remedy.statement])
    if remedy.policy_type is PolicyType.SESSION:
        return replace(policies, session=(*policies.session, added))
    return replace(policies, identity=(*policies.identity, added))


def _written(policy: Policy | None) -> list[Statement]:
    statements: list[Statement] = json.loads(policy.text)["Statement"] if policy else []
    return statements


# Patterns -------------------------------------------------------------------------------------------------------------

RULES = {"none": ArnRule.NONE, "resource": ArnRule.RESOURCE, "condition": ArnRule.CONDITION}
PIECES = st.sampled_from(["a", "b", "ab", ":", "*", "?", "${v}", "${w}", "${absent, '*'}", "${*}", "${?}", "${gone}"])


@given(st.sampled_from(list(RULES)), st.text("ab*?:", max_size=16), st.text("ab:", max_size=16))
@settings(max_examples=1000)
def test_wildcards_match_as_a_naive_matcher(rule: str, pattern: str, value: str) -> None:
    matched = pattern_set([pattern], variables=False, arn=RULES[rule]).matches(value, {})
    assert matched is naive_match(pattern, value, rule=rule)


@given(
    st.sampled_from(list(RULES)),
    st.lists(PIECES, max_size=12).map("".join),
    st.text("ab*?:", max_size=14),
    st.fixed_dictionaries({"v": st.text("ab*?:", max_size=3), "w": st.text("ab?", max_size=2)}),
)
@settings(max_examples=1000)
def test_patterns_with_variables_match_as_a_naive_matcher(
    rule: str, pattern: str, value: str, values: Mapping[str, str]
) -> None:
    keys = {name: (one,) for name, one in values.items()}
    matched = pattern_set([pattern], variables=True, arn=RULES[rule]).matches(value, keys)
    assert matched is naive_match(pattern, value, keys, rule=rule)


@given(st.lists(st.text("ab*?:", max_size=8), max_size=4), st.text("ab:", max_size=8))
def test_a_set_matches_what_one_of_its_patterns_matches(patterns: list[str], value: str) -> None:
    matched = pattern_set(patterns, variables=False, arn=ArnRule.RESOURCE).matches(value, {})
    assert matched is any(naive_match(pattern, value, rule="resource") for pattern in patterns)
