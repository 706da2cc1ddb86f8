"""Permissions boundaries and managed policies in the decisions of the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyturn.call import Call, Principal, PrincipalKind
from keyturn.operations.refusal import Refused
from keyturn.operations.subject import Subject
from keyturn.rules.policy.evaluate import Decision, Outcome, PolicyType
from keyturn.testing.handlers import ALLOW_ALL, PLACE, HandlerBench, open_bench, user

GET = "secretsmanager:GetSecretValue"
SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf"
DENY_ALL = "arn:aws:iam::aws:policy/AWSDenyAll"
ROLE_ARN = PLACE.role_arn("/", "run")
SESSION_ARN = "arn:aws:sts::000000000000:assumed-role/run/s"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Principal": {"AWS": PLACE.account_id}, "Action": "sts:AssumeRole"},
    }
)


def document(effect: str = "Allow", action: str = "*", **more: Any) -> str:
    statement = {"Sid": "S", "Effect": effect, "Action": action, "Resource": "*", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        opened.call("iam", "CreateUser", UserName="ada")
        opened.call("iam", "CreateRole", RoleName="run", AssumeRolePolicyDocument=TRUST)
        for name, kind, owner in (("ada", "User", {"UserName": "ada"}), ("run", "Role", {"RoleName": "run"})):
            opened.call("iam", f"Put{kind}Policy", **owner, PolicyName="all", PolicyDocument=ALLOW_ALL)
            limit = opened.call("iam", "CreatePolicy", PolicyName=f"limit-{name}", PolicyDocument=document(action=GET))
            opened.call("iam", f"Put{kind}PermissionsBoundary", **owner, PermissionsBoundary=limit["Policy"]["Arn"])
        opened.kept.refresh()
        yield opened


def session(bench: HandlerBench, policy: str = "") -> Call:
    principal = Principal(
        PrincipalKind.ASSUMED_ROLE, SESSION_ARN, "AROA:s", PLACE.account_id, "run", "ASIA", ROLE_ARN, "s"
    )
    return bench.as_(principal, policy)


def subject(*principals: str) -> Subject[object]:
    """A secret whose own policy allows somebody to do everything."""
    policy = document(Principal={"AWS": list(principals)}) if principals else None
    return Subject(SECRET, "db", object(), policy=policy)


def decide(bench: HandlerBench, call: Call, action: str, secret: Subject[object]) -> Decision:
    return bench.kit.authorise.decide(call, action, secret)


def test_nothing_is_allowed_beyond_the_boundary(bench: HandlerBench) -> None:
    for call in (bench.as_(user("ada")), session(bench)):
        assert decide(bench, call, GET, subject()).allowed
        with pytest.raises(Refused) as refused:
            bench.kit.authorise(call, "secretsmanager:PutSecretValue", subject())
        assert refused.value.message == (
            f"User: {call.principal.arn} is not authorized to perform: secretsmanager:PutSecretValue on resource: db"
            " because no permissions boundary allows the secretsmanager:PutSecretValue action"
        )


def test_a_boundary_allows_nothing_by_itself(bench: HandlerBench) -> None:
    bench.call("iam", "DeleteUserPolicy", UserName="ada", PolicyName="all")
    bench.kept.refresh()

    assert decide(bench, bench.as_(user("ada")), GET, subject()) == Decision(Outcome.IMPLICIT_DENY, PolicyType.IDENTITY)


def test_a_resources_policy_that_names_the_user_or_the_session_is_not_narrowed_and_one_that_names_the_role_is(
    bench: HandlerBench,
) -> None:
    put = "secretsmanager:PutSecretValue"

    assert decide(bench, bench.as_(user("ada")), put, subject(PLACE.user_arn("/", "ada"))).allowed
    assert decide(bench, session(bench), put, subject(SESSION_ARN)).allowed
    assert decide(bench, session(bench), put, subject(ROLE_ARN)) == Decision(Outcome.IMPLICIT_DENY, PolicyType.BOUNDARY)


def test_a_boundary_and_a_session_policy_must_both_allow(bench: HandlerBench) -> None:
    narrow = document(action="secretsmanager:Describe*")

    assert decide(bench, session(bench, narrow), GET, subject()) == Decision(Outcome.IMPLICIT_DENY, PolicyType.SESSION)
    assert decide(bench, session(bench, narrow), "secretsmanager:DescribeSecret", subject()) == Decision(
        Outcome.IMPLICIT_DENY, PolicyType.BOUNDARY
    )
    assert decide(bench, session(bench, document()), GET, subject()).allowed


def test_a_deny_in_a_boundary_counts_even_where_the_boundary_need_not_allow(bench: HandlerBench) -> None:
    bench.call("iam", "PutUserPermissionsBoundary", UserName="ada", PermissionsBoundary=DENY_ALL)
    bench.kept.refresh()
    call = bench.as_(user("ada"))

    decision = decide(bench, call, GET, subject(PLACE.user_arn("/", "ada")))

    assert decision == Decision(Outcome.EXPLICIT_DENY, PolicyType.BOUNDARY, DENY_ALL, 0, "DenyAll")
    assert bench.kit.authorise.may_deny(call)
    assert not bench.kit.authorise.may_deny(session(bench))


def test_a_boundary_counts_for_roles_that_are_assumed(bench: HandlerBench) -> None:
    role = Subject(ROLE_ARN, ROLE_ARN, object(), policy=TRUST)

    decision = decide(bench, bench.as_(user("ada")), "sts:AssumeRole", role)

    assert decision == Decision(Outcome.IMPLICIT_DENY, PolicyType.BOUNDARY)


def test_a_managed_policy_goes_by_its_arn_in_decisions(bench: HandlerBench) -> None:
    bench.call("iam", "CreateGroup", GroupName="team")
    bench.call("iam", "AddUserToGroup", GroupName="team", UserName="ada")
    bench.call("iam", "AttachGroupPolicy", GroupName="team", PolicyArn=DENY_ALL)
    bench.kept.refresh()

    decision = decide(bench, bench.as_(user("ada")), GET, subject())

    assert decision == Decision(Outcome.EXPLICIT_DENY, PolicyType.IDENTITY, DENY_ALL, 0, "DenyAll")
