"""Identity-based policies of users and roles, enforced by a real server."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from .callers import Caller, allow, deny
from .conftest import ServerProcess


@pytest.fixture(params=["user", "session"])
def caller(server: ServerProcess, request: pytest.FixtureRequest) -> Caller:
    return Caller(server, request.param)


def refusal(function: Any, **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        function(**request)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def test_nothing_is_allowed_at_first(caller: Caller) -> None:
    assert refusal(caller.client("iam").get_user, UserName="administrator") == (
        "AccessDenied",
        (
            f"User: {caller.arn} is not authorized to perform: iam:GetUser on resource: user administrator"
            " because no identity-based policy allows the iam:GetUser action"
        ),
    )
    assert caller.client("sts").get_caller_identity()["Arn"] == caller.arn


def test_a_change_counts_for_the_very_next_call(caller: Caller) -> None:
    client = caller.client("iam")

    for _ in range(10):
        caller.may(allow("iam:GetUser"))
        client.get_user(UserName="administrator")
        caller.may(allow("iam:ListUsers"))
        assert refusal(client.get_user, UserName="administrator")[0] == "AccessDenied"


def test_wildcards_in_actions_and_resources(caller: Caller) -> None:
    account = caller.server.account_id
    client = caller.client("iam")

    caller.may(allow("iam:Get*", f"arn:aws:iam::{account}:user/admin*"), allow("IAM:listrole?"))
    client.get_user(UserName="administrator")
    client.list_roles()
    caller.may(allow("iam:Get*", f"arn:aws:iam::{account}:user/other*"))

    assert refusal(client.get_user, UserName="administrator")[0] == "AccessDenied"
    assert refusal(client.list_users)[1].endswith(
        f"iam:ListUsers on resource: arn:aws:iam::{account}:user/"
        " because no identity-based policy allows the iam:ListUsers action"
    )


def test_an_explicit_deny_wins(caller: Caller) -> None:
    caller.may(allow("*"), deny("iam:GetUser", Sid="NotThis"))
    client = caller.client("iam")

    client.list_users()
    assert refusal(client.get_user, UserName="administrator") == (
        "AccessDenied",
        (
            f"User: {caller.arn} is not authorized to perform: iam:GetUser on resource: user administrator"
            " with an explicit deny in an identity-based policy"
        ),
    )


def test_conditions_see_the_call(caller: Caller) -> None:
    client = caller.client("iam")

    caller.may(allow("iam:ListUsers", Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}))
    client.list_users()
    caller.may(allow("iam:ListUsers", Condition={"Bool": {"aws:SecureTransport": "true"}}))
    assert refusal(client.list_users)[0] == "AccessDenied"


def test_who_may_not_look_cannot_tell_a_missing_user_from_a_forbidden_one(caller: Caller) -> None:
    client = caller.client("iam")
    forbidden = refusal(client.get_user, UserName="administrator")
    missing = refusal(client.get_user, UserName="no-such-user")

    assert missing == (forbidden[0], forbidden[1].replace("administrator", "no-such-user"))


def test_json_and_rest_services_refuse_with_their_own_code_and_status(caller: Caller) -> None:
    for service, call, status in (
        ("secretsmanager", "list_secrets", 400),
        ("cloudtrail", "lookup_events", 400),
        ("lambda", "list_functions", 403),
    ):
        with pytest.raises(ClientError) as refused:
            getattr(caller.client(service), call)()
        response = refused.value.response
        assert response["Error"]["Code"] == "AccessDeniedException", service
        assert response["ResponseMetadata"]["HTTPStatusCode"] == status, service
        assert f"User: {caller.arn} is not authorized to perform: {service}:" in str(refused.value)
