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
from keyturn.errors.sts import (
    InvalidAuthorizationMessageException,
    InvalidParameterValue,
    MalformedPolicyDocumentException,
    PackedPolicyTooLargeException,
)
from keyturn.operations.refusal import Refused
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

    with pytest.raises(NotImplementedHere, match="SerialNumber"):
        assume(bench, SerialNumber="GAHT12345678")


def test_managed_policies_narrow_a_session_and_have_to_be_there(bench: HandlerBench) -> None:
    trust(bench, {"AWS": "*"})
    own = bench.call("iam", "CreatePolicy", PolicyName="narrow", PolicyDocument=ALLOW_ALL)["Policy"]["Arn"]
    aws = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"

    response = assume(bench, PolicyArns=[{"arn": own}, {"arn": aws}, {"arn": own}])

    assert response["PackedPolicySize"] > 0
    opened = open_session(bench.kit.session_tokens, response["Credentials"]["SessionToken"])
    assert opened.policy_arns == (own, aws)
    foreign = own.replace("000000000000", "111111111111")
    for missing in (own + "x", aws + "x", foreign):
        with pytest.raises(ValidationFailed, match=rf"^{missing} is invalid$"):
            assume(bench, PolicyArns=[{"arn": missing}])
    with pytest.raises(ValidationFailed, match="up to 10"):
        assume(bench, PolicyArns=[{"arn": f"{own}{number}"} for number in range(11)])


TAGS = [{"Key": "Team", "Value": "db"}, {"Key": "Purpose", "Value": "rotation"}]
ALL_OF_IT = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]


def test_tags_need_the_right_to_give_them_and_are_the_sessions_own(bench: HandlerBench) -> None:
    trust(bench, {"AWS": "*"})
    with pytest.raises(AccessDenied, match=r"not authorized to perform: sts:TagSession on resource: "):
        assume(bench, Tags=TAGS)
    bench.call("iam", "DeleteRole", RoleName="rotator")
    trust(bench, {"AWS": "*"}, Action=ALL_OF_IT[:2])

    response = assume(bench, Tags=TAGS, TransitiveTagKeys=["team"])

    principal = session_of(bench, response)
    assert dict(principal.session_tags) == {"Team": "db", "Purpose": "rotation"}
    assert principal.transitive_tag_keys == ("Team",)
    assert response["PackedPolicySize"] == 2


def test_only_transitive_tags_go_down_a_chain_of_roles_and_nobody_there_changes_them(bench: HandlerBench) -> None:
    trust(bench, {"AWS": "*"}, Action=ALL_OF_IT[:2])
    first = session_of(bench, assume(bench, Tags=TAGS, TransitiveTagKeys=["team"]))

    second = session_of(bench, assume(bench, first, Tags=[{"Key": "Other", "Value": "1"}]))

    assert dict(second.session_tags) == {"Team": "db", "Other": "1"}
    assert second.transitive_tag_keys == ("Team",)
    with pytest.raises(InvalidParameterValue, match=r"conflicts with a transitive tag key from the calling session\.$"):
        assume(bench, second, Tags=[{"Key": "TEAM", "Value": "web"}])


def test_tags_that_come_down_a_chain_need_the_right_too(bench: HandlerBench) -> None:
    trust(bench, {"AWS": "*"}, Action=ALL_OF_IT[:2])
    first = session_of(bench, assume(bench, Tags=TAGS, TransitiveTagKeys=["Team"]))
    document = {"Statement": {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}}
    bench.call("iam", "UpdateAssumeRolePolicy", RoleName="rotator", PolicyDocument=json.dumps(document))

    with pytest.raises(AccessDenied, match="sts:TagSession"):
        assume(bench, first)


@pytest.mark.parametrize(
    ("tags", "transitive", "message"),
    [
        (
            [{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}],
            [],
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        ),
        (TAGS, ["Elsewhere"], "The specified transitive tag key must be included in the requested tags."),
    ],
)
def test_tags_that_cannot_be_are_refused(
    bench: HandlerBench, tags: list[dict[str, str]], transitive: list[str], message: str
) -> None:
    trust(bench, {"AWS": "*"}, Action=ALL_OF_IT)

    with pytest.raises(InvalidParameterValue) as refused:
        assume(bench, Tags=tags, TransitiveTagKeys=transitive)
    assert refused.value.message == message


def test_tags_have_their_space(bench: HandlerBench) -> None:
    trust(bench, {"AWS": "*"}, Action=ALL_OF_IT)

    with pytest.raises(PackedPolicyTooLargeException) as refused:
        assume(bench, Tags=[{"Key": f"{number}", "Value": "x" * 256} for number in range(9)])
    assert refused.value.message == "Packed size of session tags consumes 113% of allotted space."


def test_trust_may_ask_for_tags(bench: HandlerBench) -> None:
    condition = {
        "StringEquals": {"aws:RequestTag/Team": "db"},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["Team", "Purpose"], "sts:TransitiveTagKeys": ["Team"]},
    }
    trust(bench, {"AWS": "*"}, Action=ALL_OF_IT[:2], Condition=condition)

    assume(bench, Tags=TAGS, TransitiveTagKeys=["Team"])
    with pytest.raises(AccessDenied):
        assume(bench, Tags=TAGS, TransitiveTagKeys=["Team", "Purpose"])
    with pytest.raises(AccessDenied):
        assume(bench)


def test_who_is_behind_a_session_is_said_once_and_stays(bench: HandlerBench) -> None:
    trust(bench, {"AWS": "*"}, Action=ALL_OF_IT)

    response = assume(bench, SourceIdentity="ada.lovelace")
    first = session_of(bench, response)
    assert response["SourceIdentity"] == first.source_identity == "ada.lovelace"
    again = assume(bench, first)

    assert again["SourceIdentity"] == "ada.lovelace"
    with pytest.raises(ValidationFailed) as refused:
        assume(bench, first, SourceIdentity="somebody.else")
    assert refused.value.message == "The source identity is already set for this assume role session"


def test_who_is_behind_a_session_needs_the_right_to_be_said(bench: HandlerBench) -> None:
    trust(bench, {"AWS": "*"})

    with pytest.raises(AccessDenied, match=r"not authorized to perform: sts:SetSourceIdentity on resource: "):
        assume(bench, SourceIdentity="ada")


def test_a_user_may_be_itself_for_a_while(bench: HandlerBench) -> None:
    response = bench.call_as(bench.as_(user("ada")), "sts", "GetSessionToken")

    assert response["Credentials"]["Expiration"] == bench.clock.now() + timedelta(hours=12)
    principal = session_of(bench, response)
    assert principal.arn == user("ada").arn
    assert principal.access_key_id == response["Credentials"]["AccessKeyId"]
    for session in (principal, replace(principal, role_arn=ROLE)):
        with pytest.raises(AccessDenied) as refused:
            bench.call_as(bench.as_(session), "sts", "GetSessionToken")
        assert refused.value.message == "Cannot call GetSessionToken with session credentials"


def test_a_refusal_can_be_decoded_where_it_belongs(bench: HandlerBench) -> None:
    with pytest.raises(Refused) as refused:
        bench.call_as(bench.as_(user("ada")), "iam", "GetRole", RoleName="x")
    encoded = refused.value.encoded_messages["000000000000"]

    decoded = bench.call("sts", "DecodeAuthorizationMessage", EncodedMessage=encoded)["DecodedMessage"]

    assert json.loads(decoded)["context"]["action"] == "iam:GetRole"
    with pytest.raises(InvalidAuthorizationMessageException, match=r"^Message is not valid$"):
        bench.call(
            "sts", "DecodeAuthorizationMessage", EncodedMessage=encoded[:-2] + ("AA" if encoded[-2:] != "AA" else "BB")
        )


def test_a_key_tells_its_account(bench: HandlerBench) -> None:
    made = bench.call("iam", "CreateAccessKey", UserName="ada")["AccessKey"]

    assert bench.call("sts", "GetAccessKeyInfo", AccessKeyId=made["AccessKeyId"]) == {"Account": "000000000000"}
    with pytest.raises(ValidationFailed):
        bench.call("sts", "GetAccessKeyInfo", AccessKeyId="AKIAIOSFODNN7EXAMPLE")


def test_anybody_may_ask_who_they_are(bench: HandlerBench) -> None:
    allow_ada(bench, Effect="Deny", Action="*", Resource="*")
    nobody = replace(user("ada"), unique_id="AIDAEXAMPLE")

    assert bench.call_as(bench.as_(nobody), "sts", "GetCallerIdentity") == {
        "UserId": "AIDAEXAMPLE",
        "Account": "000000000000",
        "Arn": "arn:aws:iam::000000000000:user/ada",
    }
