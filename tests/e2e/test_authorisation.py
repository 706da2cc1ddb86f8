"""Identity-based policies of users and roles, enforced by a real server."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Credentials, ServerProcess

_numbers = itertools.count()


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {**allow(action, resource, **more), "Effect": "Deny"}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


class Caller:
    """A user or a role session with an inline policy."""

    def __init__(self, server: ServerProcess, kind: str) -> None:
        self.server, self.kind = server, kind
        self.admin = server.client("iam")
        self.name = f"{kind}-{next(_numbers)}"
        account = server.account_id
        if kind == "user":
            self.admin.create_user(UserName=self.name)
            made = self.admin.create_access_key(UserName=self.name)["AccessKey"]
            self.arn = f"arn:aws:iam::{account}:user/{self.name}"
            self.credentials = Credentials(made["AccessKeyId"], made["SecretAccessKey"])
        else:
            trust = document({"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"})
            role = self.admin.create_role(RoleName=self.name, AssumeRolePolicyDocument=trust)["Role"]
            made = server.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="test")["Credentials"]
            self.arn = f"arn:aws:sts::{account}:assumed-role/{self.name}/test"
            self.credentials = Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])

    def may(self, *statements: dict[str, Any]) -> None:
        put = self.admin.put_user_policy if self.kind == "user" else self.admin.put_role_policy
        owner = {"UserName": self.name} if self.kind == "user" else {"RoleName": self.name}
        put(**owner, PolicyName="inline", PolicyDocument=document(*statements))

    def client(self, service: str) -> Any:
        return self.server.client(service, self.credentials)


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
