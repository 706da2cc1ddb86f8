from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.call import Principal
from keyturn.errors.common import AccessDenied, NotImplementedHere, ValidationFailed
from keyturn.errors.sts import MalformedPolicyDocumentException, PackedPolicyTooLargeException
from keyturn.operations.sessions import open_session
from keyturn.testing.handlers import ALLOW_ALL, HandlerBench, open_bench, user

ROLE = "arn:aws:iam::000000000000:role/team/rotator"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        opened.call("iam", "CreateUser", UserName="ada")
        yield opened


def trust(bench: HandlerBench, principal: Any, **more: Any) -> None:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    bench.call("iam", "CreateRole", RoleName="rotator", Path="/team/", AssumeRolePolicyDocument=document)


def allow_ada(bench: HandlerBench, **statement: Any) -> None:
    whole = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": ROLE, **statement}
    bench.call("iam", "PutUserPolicy", UserName="ada", PolicyName="p", PolicyDocument=json.dumps({"Statement": whole}))


def assume(bench: HandlerBench, caller: Principal | None = None, **request: Any) -> Any:
    call = bench.as_(caller or user("ada"))
    return bench.call_as(call, "sts", "AssumeRole", **{"RoleArn": ROLE, "RoleSessionName": "a session", **request})


def session_of(bench: HandlerBench, response: Any) -> Principal:
    return open_session(bench.kit.session_tokens, response["Credentials"]["SessionToken"]).principal


def test_a_role_that_names_the_user_can_be_assumed_for_an_hour(bench: HandlerBench) -> None:
    trust(bench, {"AWS": "arn:aws:iam::000000000000:user/ada"})

    response = assume(bench)

    assert response["Credentials"]["Expiration"] == bench.clock.now() + timedelta(hours=1)
    assert response["AssumedRoleUser"]["Arn"] == "arn:aws:sts::000000000000:assumed-role/rotator/a session"
    assert response["AssumedRoleUser"]["AssumedRoleId"].endswith(":a session")
    assert "PackedPolicySize" not in response
    principal = session_of(bench, response)
    assert (principal.role_arn, principal.arn) == (ROLE, response["AssumedRoleUser"]["Arn"])


def test_a_role_that_trusts_the_account_needs_the_users_own_policy_too(bench: HandlerBench) -> None:
    trust(bench, {"AWS": "arn:aws:iam::000000000000:root"})

    with pytest.raises(AccessDenied):
        assume(bench)
    allow_ada(bench)
    assume(bench)


def test_the_users_own_policy_is_not_enough(bench: HandlerBench) -> None:
    trust(bench, {"Service": "lambda.amazonaws.com"})
    allow_ada(bench)

    with pytest.raises(AccessDenied) as refused:
        assume(bench)
    assert refused.value.message == (
        "User: arn:aws:iam::000000000000:user/ada is not authorized to perform: sts:AssumeRole on resource: " + ROLE
    )


@pytest.mark.parametrize("may_assume_anything", [True, False])
def test_a_missing_role_reads_like_one_that_does_not_trust_the_caller(
    bench: HandlerBench,
    may_assume_anything: bool,
) -> None:
    if may_assume_anything:
        allow_ada(bench, Resource="*")
    missing = "arn:aws:iam::000000000000:role/missing"

    with pytest.raises(AccessDenied) as refused:
        assume(bench, RoleArn=missing)
    assert refused.value.message == (
        "User: arn:aws:iam::000000000000:user/ada is not authorized to perform: sts:AssumeRole on resource: " + missing
    )


def test_an_explicit_deny_of_the_user_decides(bench: HandlerBench) -> None:
    trust(bench, {"AWS": "arn:aws:iam::000000000000:user/ada"})
    allow_ada(bench, Effect="Deny")

    with pytest.raises(AccessDenied, match=r"with an explicit deny in an identity-based policy$"):
        assume(bench)


def test_the_external_id_is_a_condition_of_trust(bench: HandlerBench) -> None:
    trust(bench, {"AWS": "*"}, Condition={"StringEquals": {"sts:ExternalId": "agreed"}})

    with pytest.raises(AccessDenied):
        assume(bench)
    assume(bench, ExternalId="agreed")


def test_a_session_lasts_no_longer_than_its_role_allows(bench: HandlerBench) -> None:
    trust(bench, {"AWS": "*"})
    bench.call("iam", "UpdateRole", RoleName="rotator", MaxSessionDuration=7200)

    assert assume(bench, DurationSeconds=7200)["Credentials"]["Expiration"] == bench.clock.now() + timedelta(hours=2)
    with pytest.raises(ValidationFailed) as refused:
        assume(bench, DurationSeconds=7201)
    assert refused.value.message == ("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")


def test_a_session_that_assumes_a_role_gets_one_hour_at_most(bench: HandlerBench) -> None:
    trust(bench, {"AWS": "*"})
    bench.call("iam", "UpdateRole", RoleName="rotator", MaxSessionDuration=7200)
    session = session_of(bench, assume(bench))

    assume(bench, session, DurationSeconds=3600)
    with pytest.raises(ValidationFailed, match=r"exceeds the 1 hour session limit for roles assumed by role chaining$"):
        assume(bench, session, DurationSeconds=3601)


def test_a_session_policy_is_checked_measured_and_sealed_into_the_token(bench: HandlerBench) -> None:
    trust(bench, {"AWS": "*"})

    response = assume(bench, Policy=ALLOW_ALL)

    assert response["PackedPolicySize"] == 5
    opened = open_session(bench.kit.session_tokens, response["Credentials"]["SessionToken"])
    assert opened.policy == ALLOW_ALL
    with pytest.raises(MalformedPolicyDocumentException):
        assume(bench, Policy="{}")
    sid = "x" * 2048
    with pytest.raises(PackedPolicyTooLargeException, match=r"^Packed policy consumes 105% of allotted space"):
        assume(bench, Policy=ALLOW_ALL.replace('"Effect"', f'"Sid":"{sid}","Effect"'))


@pytest.mark.parametrize(
    "text", ["a text of twenty characters", "arn:aws:iam::000000000000:user/ada", "arn:aws:sts:eu:0:role/rotator"]
)
def test_what_is_not_the_arn_of_a_role_is_invalid(bench: HandlerBench, text: str) -> None:
    with pytest.raises(ValidationFailed, match=rf"^{text} is invalid$"):
        assume(bench, RoleArn=text)


def test_limits_that_nothing_would_enforce_are_refused(bench: HandlerBench) -> None:
    trust(bench, {"AWS": "*"})

    with pytest.raises(NotImplementedHere, match="PolicyArns"):
        assume(bench, PolicyArns=[{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}])


def test_anybody_may_ask_who_they_are(bench: HandlerBench) -> None:
    allow_ada(bench, Effect="Deny", Action="*", Resource="*")
    nobody = replace(user("ada"), unique_id="AIDAEXAMPLE")

    assert bench.call_as(bench.as_(nobody), "sts", "GetCallerIdentity") == {
        "UserId": "AIDAEXAMPLE",
        "Account": "000000000000",
        "Arn": "arn:aws:iam::000000000000:user/ada",
    }
