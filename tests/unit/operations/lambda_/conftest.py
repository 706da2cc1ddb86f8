from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from keyturn.runtime.pool import Runtime
from keyturn.runtime.spec import FunctionSpec, Invocation
from keyturn.testing.functions import zip_package
from keyturn.testing.handlers import HandlerBench, open_bench

RUNTIME = f"python3.{sys.version_info.minor}"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:rotate"
ROLE = "arn:aws:iam::000000000000:role/runner"
PACKAGE = zip_package({"lambda_function.py": "def lambda_handler(event, context):\n    return event\n"})


@dataclass
class RecordedRuntime:
    """Answers every invocation with what a test wants, and remembers what it was asked."""

    answers: list[Invocation | Exception] = field(default_factory=list)
    specs: list[FunctionSpec] = field(default_factory=list)
    requests: list[tuple[bytes, str, str | None]] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    vpc_problem: str | None = None

    def invoke(
        self, spec: FunctionSpec, payload: bytes, *, request_id: str, client_context: str | None = None
    ) -> Invocation:
        self.specs.append(spec)
        self.requests.append((payload, request_id, client_context))
        answer = self.answers.pop(0) if self.answers else Invocation(b'"done"', None, b"END\n", "$LATEST", 1.0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def discard(self, arn: str) -> None:
        self.discarded.append(arn)


class LambdaBench:
    """The workbench of handlers, with a role for functions and a runtime that records."""

    def __init__(self, handlers: HandlerBench) -> None:
        self.handlers = handlers
        self.runtime = RecordedRuntime()
        self.events: list[Callable[[], bool]] = []
        handlers.kit = replace(
            handlers.kit,
            runtime=cast("Runtime", self.runtime),
            download_url=lambda endpoint, sha, at: f"{endpoint}/{sha}",
            run_event=self.events.append,
        )
        self.make_role("runner", "lambda.amazonaws.com")

    def make_role(self, name: str, service: str) -> None:
        statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.handlers.call("iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument=document)
        self.allow_all()

    def allow_all(self) -> None:
        """The administrator, whose policies iam:PassRole asks."""
        with self.handlers.kit.state.read() as connection:
            known = connection.exec_driver_sql("select 1 from users").first()
        if known is None:
            self.handlers.call("iam", "CreateUser", UserName="administrator")
            self.allow("administrator", Effect="Allow", Action="*", Resource="*")

    def allow(self, user_name: str, **statement: Any) -> None:
        self.handlers.call(
            "iam",
            "PutUserPolicy",
            UserName=user_name,
            PolicyName="p",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )

    def let_role(self, *statements: dict[str, Any], name: str = "runner") -> None:
        """Give the execution role these statements, and no others."""
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        self.handlers.call("iam", "PutRolePolicy", RoleName=name, PolicyName="p", PolicyDocument=document)

    def call(self, operation: str, **request: Any) -> Any:
        return self.handlers.call("lambda", operation, **request)

    def create(self, name: str = "rotate", **request: Any) -> Any:
        whole = {
            "FunctionName": name,
            "Runtime": RUNTIME,
            "Role": ROLE,
            "Handler": "lambda_function.lambda_handler",
            "Code": {"ZipFile": PACKAGE},
        }
        return self.call("CreateFunction", **{**whole, **request})


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[LambdaBench]:
    with open_bench(tmp_path) as opened:
        yield LambdaBench(opened)
