"""Roles, assumed through boto3: what a session may do, how long, and when it ends early."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Credentials, ServerProcess

READ_USERS = {"Effect": "Allow", "Action": ["iam:ListUsers", "iam:GetUser"], "Resource": "*"}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def make_role(server: ServerProcess, name: str, principal: Any, *statements: dict[str, Any]) -> str:
    iam = server.client("iam")
    trust = document({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})
    arn: str = iam.create_role(RoleName=name, Path="/team/", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=document(*statements))
    return arn


def assume(server: ServerProcess, arn: str, **request: Any) -> tuple[Credentials, Any]:
    response = server.client("sts").assume_role(**{"RoleArn": arn, "RoleSessionName": "test", **request})
    made = response["Credentials"]
    return Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]), response


def test_a_session_is_its_role_and_may_what_its_role_may(server: ServerProcess) -> None:
    account = server.account_id
    arn = make_role(server, "reader", {"AWS": f"arn:aws:iam::{account}:root"}, READ_USERS)

    credentials, response = assume(server, arn)

    assert response["Credentials"]["AccessKeyId"].startswith("ASIA")
    assert abs(response["Credentials"]["Expiration"] - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
    identity = server.client("sts", credentials).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{account}:assumed-role/reader/test"
    assert identity["UserId"] == response["AssumedRoleUser"]["AssumedRoleId"]
    iam = server.client("iam", credentials)
    iam.list_users()
    with pytest.raises(
        ClientError, match="is not authorized to perform: iam:DeleteUser on resource: user administrator"
    ):
        iam.delete_user(UserName="administrator")


def test_a_session_policy_takes_away_and_never_adds(server: ServerProcess) -> None:
    arn = make_role(server, "narrowed", {"AWS": "*"}, READ_USERS)
    policy = document({"Effect": "Allow", "Action": ["iam:GetUser", "iam:ListRoles"], "Resource": "*"})

    iam = server.client("iam", assume(server, arn, Policy=policy)[0])

    iam.get_user(UserName="administrator")
    with pytest.raises(ClientError, match="because no session policy allows the iam:ListUsers action"):
        iam.list_users()
    with pytest.raises(ClientError, match="because no identity-based policy allows the iam:ListRoles action"):
        iam.list_roles()


@pytest.mark.parametrize("exists", [True, False])
def test_a_role_that_does_not_trust_the_caller_reads_like_a_missing_one(server: ServerProcess, exists: bool) -> None:
    arn = f"arn:aws:iam::{server.account_id}:role/team/only-lambda"
    if exists:
        make_role(server, "only-lambda", {"Service": "lambda.amazonaws.com"})
    else:
        arn += "-missing"

    with pytest.raises(ClientError) as refused:
        assume(server, arn)

    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert refused.value.response["Error"] == {
        "Type": "Sender",
        "Code": "AccessDenied",
        "Message": f"User: arn:aws:iam::{server.account_id}:user/administrator is not authorized to perform:"
        f" sts:AssumeRole on resource: {arn}",
    }


def test_a_session_dies_with_its_role_though_another_gets_its_name(server: ServerProcess) -> None:
    iam = server.client("iam")
    arn = make_role(server, "short-lived", {"AWS": "*"})
    credentials, _ = assume(server, arn)
    iam.delete_role(RoleName="short-lived")
    make_role(server, "short-lived", {"AWS": "*"}, READ_USERS)

    with pytest.raises(ClientError) as refused:
        server.client("sts", credentials).get_caller_identity()
    assert refused.value.response["Error"]["Code"] == "InvalidClientTokenId"


def test_a_token_of_one_session_does_not_fit_the_key_of_another(server: ServerProcess) -> None:
    arn = make_role(server, "mixed", {"AWS": "*"})
    first, second = assume(server, arn)[0], assume(server, arn)[0]

    mixed = Credentials(first.access_key_id, first.secret_access_key, second.session_token)

    with pytest.raises(ClientError) as refused:
        server.client("sts", mixed).get_caller_identity()
    assert refused.value.response["Error"]["Code"] == "InvalidClientTokenId"


def test_what_is_not_valid_is_said_in_the_words_of_sts(server: ServerProcess) -> None:
    arn = make_role(server, "limited", {"AWS": "*"})
    user_arn = f"arn:aws:iam::{server.account_id}:user/administrator"

    for request, message in (
        ({"DurationSeconds": 3601}, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."),
        ({"RoleArn": user_arn}, f"{user_arn} is invalid"),
    ):
        with pytest.raises(ClientError) as refused:
            assume(server, arn, **request)
        assert refused.value.response["Error"]["Code"] == "ValidationError"
        assert refused.value.response["Error"]["Message"] == message


def test_session_tags_decide_and_are_not_in_the_trail_of_anybody_elses_session(server: ServerProcess) -> None:
    statement = {**READ_USERS, "Condition": {"StringEquals": {"aws:PrincipalTag/team": "db"}}}
    arn = make_role(server, "tagged", {"AWS": "*"}, statement)
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    server.client("iam").update_assume_role_policy(RoleName="tagged", PolicyDocument=document(trust))

    with_tag, _ = assume(server, arn, Tags=[{"Key": "Team", "Value": "db"}])
    without, _ = assume(server, arn)

    server.client("iam", with_tag).list_users()
    with pytest.raises(ClientError, match="no identity-based policy allows"):
        server.client("iam", without).list_users()


def test_sessions_are_revoked_as_in_aws(server: ServerProcess) -> None:
    """IAM's own recipe: deny everything to sessions that were issued before a moment."""
    arn = make_role(server, "revoked", {"AWS": "*"}, READ_USERS)
    credentials, _ = assume(server, arn)
    server.client("iam", credentials).list_users()
    later = (datetime.now(UTC) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    revoking = {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"DateLessThan": {"aws:TokenIssueTime": later}},
    }

    server.client("iam").put_role_policy(
        RoleName="revoked", PolicyName="AWSRevokeOlderSessions", PolicyDocument=document(revoking)
    )

    with pytest.raises(ClientError, match="with an explicit deny in an identity-based policy"):
        server.client("iam", credentials).list_users()


def test_a_users_own_session_is_the_user_but_for_iam_and_dies_with_the_user(server: ServerProcess) -> None:
    iam = server.client("iam")
    iam.create_user(UserName="temporary")
    policy = document({"Effect": "Allow", "Action": ["secretsmanager:ListSecrets", "iam:*"], "Resource": "*"})
    iam.put_user_policy(UserName="temporary", PolicyName="p", PolicyDocument=policy)
    key = iam.create_access_key(UserName="temporary")["AccessKey"]
    own = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    made = server.client("sts", own).get_session_token(DurationSeconds=900)["Credentials"]
    session = Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])

    identity = server.client("sts", session).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:iam::{server.account_id}:user/temporary"
    server.client("secretsmanager", session).list_secrets()
    with pytest.raises(ClientError) as refused:
        server.client("iam", session).list_users()
    assert refused.value.response["Error"]["Code"] == "InvalidClientTokenId"
    with pytest.raises(ClientError, match="Cannot call GetSessionToken with session credentials"):
        server.client("sts", session).get_session_token()

    iam.delete_access_key(UserName="temporary", AccessKeyId=own.access_key_id)
    iam.delete_user_policy(UserName="temporary", PolicyName="p")
    iam.delete_user(UserName="temporary")
    iam.create_user(UserName="temporary")
    with pytest.raises(ClientError) as gone:
        server.client("sts", session).get_caller_identity()
    assert gone.value.response["Error"]["Code"] == "InvalidClientTokenId"


def test_nothing_that_a_session_signs_with_is_in_the_trail(server: ServerProcess) -> None:
    arn = make_role(server, "unseen", {"AWS": "*"})
    credentials, _ = assume(server, arn)
    own = server.client("sts").get_session_token()["Credentials"]

    events = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventSource", "AttributeValue": "sts.amazonaws.com"}]
    )["Events"]

    told = "".join(event["CloudTrailEvent"] for event in events)
    assert credentials.access_key_id in told
    for secret in (credentials.secret_access_key, credentials.session_token, own["SecretAccessKey"]):
        assert secret
        assert secret not in told
