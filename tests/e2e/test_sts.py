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
