"""Users and role sessions with policies of their own, and the policies."""

from __future__ import annotations

import itertools
import json
from typing import Any

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

    def __init__(self, server: ServerProcess, kind: str, name: str | None = None) -> None:
        self.server, self.kind = server, kind
        self.admin = server.client("iam")
        self.name = name or f"{kind}-{next(_numbers)}"
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
