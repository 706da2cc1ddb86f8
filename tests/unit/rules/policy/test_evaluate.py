from __future__ import annotations

from dataclasses import replace

import pytest

from keyturn.call import Principal
from keyturn.rules.policy.evaluate import (
    Outcome,
    Policy,
    PolicySet,
    PolicyType,
    access_denied_message,
    evaluate,
)

from .callers import (
    ACCOUNT,
    ROLE_ARN,
    ROOT_ARN,
    SECRET,
    SERVICE,
    SESSION,
    SESSION_ARN,
    STRANGER,
    USER,
    USER_ARN,
    identity,
    request,
    resource,
    statement,
    trust,
)

ALLOW = identity(statement())
DENY = identity(statement("Deny", Sid="Never"), name="deny")
OTHER = identity(statement(Action="secretsmanager:ListSecrets"))


def _named(*arns: str, effect: str = "Allow") -> Policy:
    return resource(statement(effect, Principal={"AWS": list(arns)}))


def _outcome(principal: Principal, policies: PolicySet) -> Outcome:
    return evaluate(request(principal), policies).outcome


def test_nothing_allows_by_itself() -> None:
    decision = evaluate(request(), PolicySet())
    assert (decision.outcome, decision.policy_type) == (Outcome.IMPLICIT_DENY, PolicyType.IDENTITY)
    assert decision.policy_name is None


def test_an_allow_names_its_policy_and_statement() -> None:
    policy = identity(statement(Action="iam:*"), statement(Sid="Read"), name="app")
    decision = evaluate(request(), PolicySet(identity=(OTHER, policy)))
    assert decision.allowed
    assert (decision.policy_name, decision.statement_index, decision.sid) == ("app", 1, "Read")


def test_a_deny_anywhere_wins_over_every_allow() -> None:
    everything = PolicySet(identity=(ALLOW,), resource=_named(SESSION_ARN), boundary=ALLOW, session=(ALLOW,))
    assert _outcome(SESSION, everything) is Outcome.ALLOW
    for denied in (
        replace(everything, identity=(ALLOW, DENY)),
        replace(everything, resource=_named(ROLE_ARN, effect="Deny")),
        replace(everything, boundary=DENY),
        replace(everything, session=(ALLOW, DENY)),
    ):
        assert _outcome(SESSION, denied) is Outcome.EXPLICIT_DENY


@pytest.mark.parametrize(
    ("principal", "named", "identity_allows", "narrowed", "expected"),
    [
        (USER, USER_ARN, False, False, True),
        (USER, USER_ARN, False, True, True),
        (SESSION, SESSION_ARN, False, True, True),
        (SESSION, ROLE_ARN, False, False, True),
        (SESSION, ROLE_ARN, False, True, False),
        (USER, "*", False, False, True),
        (USER, "*", False, True, True),
        (USER, ROOT_ARN, False, False, False),
        (USER, ROOT_ARN, True, False, True),
        (USER, ACCOUNT, True, False, True),
        (USER, ROLE_ARN, False, False, False),
    ],
)
def test_an_allow_of_the_resource_is_worth_what_its_principal_names(
    principal: Principal, named: str, identity_allows: bool, narrowed: bool, expected: bool
) -> None:
    policies = PolicySet(
        identity=(ALLOW,) if identity_allows else (),
        resource=_named(named),
        boundary=OTHER if narrowed else None,
        session=(OTHER,) if narrowed else (),
    )
    assert evaluate(request(principal), policies).allowed is expected


def test_boundary_and_session_policy_narrow_identity_policies() -> None:
    by_boundary = evaluate(request(), PolicySet(identity=(ALLOW,), boundary=OTHER))
    by_session = evaluate(request(SESSION), PolicySet(identity=(ALLOW,), session=(OTHER,)))
    assert (by_boundary.outcome, by_boundary.policy_type) == (Outcome.IMPLICIT_DENY, PolicyType.BOUNDARY)
    assert (by_session.outcome, by_session.policy_type) == (Outcome.IMPLICIT_DENY, PolicyType.SESSION)


def test_another_account_needs_both_sides() -> None:
    named = _named(STRANGER.arn)
    assert _outcome(STRANGER, PolicySet(identity=(ALLOW,), resource=named)) is Outcome.ALLOW
    assert evaluate(request(STRANGER), PolicySet(resource=named)).policy_type is PolicyType.IDENTITY
    assert evaluate(request(STRANGER), PolicySet(identity=(ALLOW,))).policy_type is PolicyType.RESOURCE


def test_a_service_needs_the_resources_policy_and_nothing_else() -> None:
    function = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:rotate"
    granted = resource(
        {
            "Sid": "SecretsManagerAccess",
            "Effect": "Allow",
            "Principal": {"Service": "secretsmanager.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": function,
            "Condition": {"StringEquals": {"AWS:SourceAccount": ACCOUNT}},
        }
    )
    asked = request(SERVICE, "lambda:InvokeFunction", function, aws_SourceAccount=ACCOUNT)
    assert evaluate(asked, PolicySet(resource=granted)).sid == "SecretsManagerAccess"
    assert not evaluate(request(SERVICE, "lambda:InvokeFunction", function), PolicySet(resource=granted)).allowed
    assert not evaluate(asked, PolicySet(identity=(identity(statement(Action="*")),))).allowed


def test_a_role_is_assumed_only_with_leave_of_its_trust_policy() -> None:
    def asked(principal: Principal, named: str, *policies: Policy) -> bool:
        trusted = trust({"Effect": "Allow", "Principal": {"AWS": named}, "Action": "sts:AssumeRole"})
        policy_set = PolicySet(policies, trusted, resource_must_allow=True, resource_type=PolicyType.TRUST)
        return evaluate(request(principal, "sts:AssumeRole", ROLE_ARN), policy_set).allowed

    may = identity(statement(Action="sts:AssumeRole", Resource=ROLE_ARN))
    assert asked(USER, USER_ARN)
    assert asked(USER, ROOT_ARN, may)
    assert not asked(USER, ROOT_ARN)
    assert not asked(USER, STRANGER.arn, may)
    assert asked(STRANGER, STRANGER.arn, may)
    assert not asked(STRANGER, STRANGER.arn)


def test_notprincipal_denies_everybody_else() -> None:
    policy = resource(statement("Deny", NotPrincipal={"AWS": [ROLE_ARN, SESSION_ARN, ROOT_ARN]}))
    assert _outcome(SESSION, PolicySet(identity=(ALLOW,), resource=policy)) is Outcome.ALLOW
    assert _outcome(STRANGER, PolicySet(identity=(ALLOW,), resource=policy)) is Outcome.EXPLICIT_DENY


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"Action": "secretsmanager:*"}, True),
        ({"Action": "SECRETSMANAGER:getsecretvalue"}, True),
        ({"Action": ["secretsmanager:Get*Value"]}, True),
        ({"Action": "secretsmanager:GetSecretValu?"}, True),
        ({"Action": "secretsmanager:GetSecret"}, False),
        ({"Action": None, "NotAction": "iam:*"}, True),
        ({"Action": None, "NotAction": "secretsmanager:*"}, False),
        ({"Resource": SECRET}, True),
        ({"Resource": "arn:aws:secretsmanager:*:*:secret:prod/*"}, True),
        ({"Resource": f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:prod/db-??????"}, True),
        ({"Resource": f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:prod/db-?????"}, False),
        ({"Resource": "arn:aws:secretsmanager:*:secret:prod/*"}, True),
        ({"Resource": "arn:aws:secretsmanager:*:secret:test/*"}, False),
        ({"Resource": "arn:aws:secretsmanager"}, True),
        ({"Resource": "arn:aws:secretsmanager:us-east-1:*"}, True),
        ({"Resource": None, "NotResource": "arn:aws:secretsmanager:*:*:secret:prod/*"}, False),
        ({"Resource": None, "NotResource": "arn:aws:secretsmanager:*:*:secret:test/*"}, True),
        ({"Resource": "arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/stage}/*"}, True),
        ({"Resource": "arn:aws:secretsmanager:*:*:secret:${aws:username}/*"}, False),
        ({"Resource": "arn:aws:secretsmanager:*:*:secret:${aws:username, 'prod'}/*"}, True),
        ({"Resource": "arn:aws:secretsmanager:*:*:secret:prod/${*}"}, False),
    ],
)
def test_action_and_resource_match_as_iam_matches_them(elements: dict[str, object], expected: bool) -> None:
    written = {key: value for key, value in {**statement(), **elements}.items() if value is not None}
    context = request(aws_PrincipalTag__stage="prod")
    assert evaluate(context, PolicySet(identity=(identity(written),))).allowed is expected


def test_a_variables_value_is_text_and_no_pattern() -> None:
    policy = identity(statement(Resource="arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/stage}/db-??????"))
    assert not evaluate(request(aws_PrincipalTag__stage="*"), PolicySet(identity=(policy,))).allowed


def test_wildcards_cost_no_more_than_pattern_times_value() -> None:
    hostile = "arn:aws:secretsmanager:*:*:secret:" + "*a" * 60 + "b"
    context = request(arn=f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:" + "a" * 2000)
    assert not evaluate(context, PolicySet(identity=(identity(statement(Resource=hostile)),))).allowed


def test_an_action_without_resource_needs_a_star() -> None:
    asked = request(action="secretsmanager:ListSecrets", arn="*")
    by_star = identity(statement(Action="secretsmanager:ListSecrets"))
    by_arn = identity(statement(Action="*", Resource="arn:aws:secretsmanager:*:*:secret:*"))
    assert evaluate(asked, PolicySet(identity=(by_star,))).allowed
    assert not evaluate(asked, PolicySet(identity=(by_arn,))).allowed


@pytest.mark.parametrize(
    ("policies", "ending"),
    [
        (
            PolicySet(),
            "because no identity-based policy allows the secretsmanager:GetSecretValue action",
        ),
        (
            PolicySet(identity=(ALLOW,), session=(OTHER,)),
            "because no session policy allows the secretsmanager:GetSecretValue action",
        ),
        (
            PolicySet(identity=(ALLOW,), boundary=OTHER),
            "because no permissions boundary allows the secretsmanager:GetSecretValue action",
        ),
        (PolicySet(identity=(DENY,)), "with an explicit deny in an identity-based policy"),
        (PolicySet(resource=_named(ROLE_ARN, effect="Deny")), "with an explicit deny in a resource-based policy"),
        (PolicySet(boundary=DENY), "with an explicit deny in a permissions boundary"),
    ],
)
def test_a_refusal_reads_as_in_aws(policies: PolicySet, ending: str) -> None:
    context = request(SESSION)
    message = access_denied_message(evaluate(context, policies), context, shown_resource="prod/db")
    assert message == (
        f"User: {SESSION_ARN} is not authorized to perform: secretsmanager:GetSecretValue on resource: prod/db {ending}"
    )


def test_a_refusal_without_resource_names_none() -> None:
    context = request(action="secretsmanager:ListSecrets", arn="*")
    assert access_denied_message(evaluate(context, PolicySet()), context, shown_resource=None) == (
        f"User: {USER_ARN} is not authorized to perform: secretsmanager:ListSecrets"
        " because no identity-based policy allows the secretsmanager:ListSecrets action"
    )
