"""What the pipeline does when something breaks. That it works is proven end to end."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest

from keyturn.entrance import Entrance
from keyturn.errors.common import RequestTooLarge
from keyturn.errors.iam import EntityAlreadyExistsException
from keyturn.operations import registry
from keyturn.operations.registry import Runs
from keyturn.sensitive import Sensitive
from keyturn.server.audit import Auditor
from keyturn.server.authenticate import Authenticated, Authenticator, Signer
from keyturn.server.authorise import Authoriser
from keyturn.server.exchange import Exchange
from keyturn.server.pipeline import Pipeline
from keyturn.server.throttle import Throttle
from keyturn.server.vpc_endpoints import VpcEndpoint
from keyturn.storage.database import StorageError
from keyturn.testing.handlers import PLACE, HandlerBench, open_bench, user
from keyturn.wire.http import HttpReply, HttpRequest


def request(headers: Mapping[str, str], body: bytes = b"") -> HttpRequest:
    return HttpRequest(
        method="POST",
        raw_path=b"/",
        query_string=b"",
        headers=headers,
        body=body,
        scheme="http",
        client_host="192.0.2.7",
    )


_DEADLINE_SECONDS = 20
IDENTITY = request(
    {"content-type": "application/x-www-form-urlencoded", "host": "a"}, b"Action=GetCallerIdentity&Version=2011-06-15"
)


class TrustingAuthenticator:
    def authenticate(self, _request: HttpRequest, _signing_name: str, _now: datetime) -> Authenticated:
        return Authenticated(Signer(user("ada"), Sensitive("x")), "us-east-1")


class RecordingAuditor:
    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.codes: list[str | None] = []

    def record(self, exchange: Exchange) -> asyncio.Future[None]:
        self.codes.append(None if exchange.error is None else type(exchange.error).__name__)
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.failure is None:
            stored.set_result(None)
        else:
            stored.set_exception(self.failure)
        return stored


class Bench:
    def __init__(self, handlers: HandlerBench) -> None:
        self.handlers = handlers
        self.endpoints = handlers.endpoints
        self.throttle = Throttle({})
        self.auditor = RecordingAuditor()
        self.pipeline = Pipeline(
            handlers.kit,
            cast("Authenticator", TrustingAuthenticator()),
            cast("Auditor", self.auditor),
            self.throttle,
            lambda entrance: handlers.endpoints.get(entrance.vpc_endpoint_id),
            cast("Authoriser", handlers.kit.authorise).might_allow,
        )

    def answer(self, entrance: Entrance | None = None) -> HttpReply:
        return asyncio.run(self.pipeline.answer(IDENTITY._replace(entrance=entrance)))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_bench(tmp_path) as handlers:
        bench = Bench(handlers)
        yield bench
        bench.pipeline.close()


def with_handler(monkeypatch: pytest.MonkeyPatch, handle: Any, runs: Runs = Runs.ON_LOOP) -> None:
    """Let GetCallerIdentity do something else."""
    key = ("sts", "GetCallerIdentity")
    changed = replace(registry._operations[key], handle=handle, runs=runs)
    monkeypatch.setitem(registry._operations, key, changed)


def test_a_call_is_answered_and_recorded(bench: Bench) -> None:
    reply = bench.answer()

    assert reply.status == 200
    assert b"user/ada" in reply.body
    assert bench.auditor.codes == [None]


def test_replies_are_counted_by_operation_and_what_is_none_without_its_name(bench: Bench) -> None:
    bench.answer()
    bench.answer()
    nonsense = request(IDENTITY.headers, b"Action=NoSuchAction&Version=2011-06-15")
    status = asyncio.run(bench.pipeline.answer(nonsense)).status

    counted = {(model and model.name, status): count for (model, status), count in bench.pipeline.replies.items()}
    assert counted == {("GetCallerIdentity", 200): 2, (None, status): 1}


def test_what_nobody_foresaw_is_an_internal_error_without_detail(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(*_: object) -> Any:
        raise ZeroDivisionError("a detail")

    with_handler(monkeypatch, break_down)
    reply = bench.answer()

    assert reply.status == 500
    assert b"a detail" not in reply.body
    assert bench.auditor.codes == ["InternalFailure"]
    request_id = dict(reply.headers)[b"x-amzn-requestid"].decode()
    assert request_id in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_response_that_cannot_be_written_is_an_internal_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with_handler(monkeypatch, lambda *_: {"NoSuchMember": "a"})

    reply = bench.answer()

    assert reply.status == 500
    assert b"NoSuchMember" not in reply.body
    assert bench.auditor.codes == ["InternalFailure"]


@pytest.mark.parametrize("failure", [StorageError("The disk is full."), ValueError("a detail")])
def test_nobody_is_served_without_a_record_of_it(bench: Bench, failure: Exception) -> None:
    bench.auditor.failure = failure

    reply = bench.answer()

    assert reply.status == 500
    assert b"user/ada" not in reply.body
    assert b"disk" not in reply.body


def test_while_nothing_can_be_recorded_nothing_is_done(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    acted: list[object] = []

    def act(*_: object) -> Any:
        acted.append("acted")
        return {}

    with_handler(monkeypatch, act)
    bench.pipeline._kit.audit_log.hold_up("a sink", holds_up=True)

    assert bench.answer().status == 500
    assert acted == []
    assert bench.auditor.codes == ["InternalFailure"]

    bench.pipeline._kit.audit_log.hold_up("a sink", holds_up=False)
    assert bench.answer().status == 200
    assert acted == ["acted"]


def test_a_call_that_the_servers_end_cuts_short_is_recorded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def wait(*_: object) -> Any:
        has_begun.set()
        may_end.wait()
        return {}

    async def cut_short() -> HttpReply:
        task = asyncio.create_task(bench.pipeline.answer(IDENTITY))
        assert await asyncio.to_thread(has_begun.wait, _DEADLINE_SECONDS)
        task.cancel()
        return await task

    with_handler(monkeypatch, wait, Runs.WAITING)
    try:
        reply = asyncio.run(cut_short())
    finally:
        may_end.set()

    assert reply.status == 500
    assert bench.auditor.codes == ["InternalFailure"]


@pytest.mark.parametrize("target", ["secretsmanager.PutSecretValue", "secretsmanager.Nothing", "nobody"])
def test_a_refusal_before_the_call_was_looked_at_is_recorded(bench: Bench, target: str) -> None:
    reply = asyncio.run(bench.pipeline.refuse(request({"x-amz-target": target}), RequestTooLarge("Too large.")))

    assert reply.status == 413
    assert reply.body == b'{"__type":"RequestEntityTooLargeException","message":"Too large."}'
    assert bench.auditor.codes == ["RequestTooLarge"]


@pytest.mark.parametrize(
    ("service_name", "region", "status"),
    [
        ("com.amazonaws.us-east-1.sts", "us-east-1", 200),
        ("com.amazonaws.us-east-1.sts-fips", "us-east-1", 200),
        ("com.amazonaws.us-east-1.secretsmanager", "us-east-1", 400),
        ("com.amazonaws.eu-west-1.sts", "eu-west-1", 403),
    ],
)
def test_an_endpoint_leads_to_one_service_in_one_region(
    bench: Bench, service_name: str, region: str, status: int
) -> None:
    bench.endpoints["vpce-1"] = VpcEndpoint(service_name, "")

    assert bench.answer(Entrance("vpce-1", "vpc-1", "10.0.1.5", replace(PLACE, region=region))).status == status


def test_the_public_address_leads_everywhere_also_from_a_vpc(bench: Bench) -> None:
    assert bench.answer(Entrance("", "vpc-1", "203.0.113.99", replace(PLACE, region="eu-west-1"))).status == 200


def asked(operation: str, **parameters: object) -> HttpRequest:
    headers = {"x-amz-target": f"secretsmanager.{operation}", "content-type": "application/x-amz-json-1.1", "host": "a"}
    return request(headers, json.dumps(parameters).encode())


def allow_ada(bench: Bench, **statement: object) -> None:
    statement = {"Effect": "Allow", "Resource": "*", **statement}
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    with suppress(EntityAlreadyExistsException):
        bench.handlers.call("iam", "CreateUser", UserName="ada")
    bench.handlers.call("iam", "PutUserPolicy", UserName="ada", PolicyName="own", PolicyDocument=document)


def test_what_might_be_allowed_is_told_without_a_trace(bench: Bench) -> None:
    bench.throttle.count = Mock(side_effect=AssertionError("counted"))  # type: ignore[method-assign]
    tag = {"StringEquals": {"aws:RequestTag/team": "a"}}
    allow_ada(bench, Action="secretsmanager:CreateSecret", Condition=tag)

    assert bench.pipeline.might_allow(asked("CreateSecret", Name="new"))
    assert not bench.pipeline.might_allow(asked("ListSecrets"))
    assert bench.auditor.codes == []
    assert bench.handlers.kit.uses.last("AKIA", None) is None
    # Whoever may do everything but is refused what they send is told when they send it.
    assert bench.pipeline.might_allow(asked("CreateSecret", Name=7))


def test_a_policy_may_be_about_some_names_only(bench: Bench) -> None:
    allow_ada(bench, Action="secretsmanager:CreateSecret", Resource="arn:aws:secretsmanager:*:*:secret:dev/*")

    assert not bench.pipeline.might_allow(asked("CreateSecret", Name="new"))
    assert bench.pipeline.might_allow(asked("CreateSecret", Name="new"), resource_is_chosen=True)


@pytest.mark.parametrize("unknown", ["Nothing", "GetSecretValues"])
def test_what_is_no_operation_is_never_offered(bench: Bench, unknown: str) -> None:
    allow_ada(bench, Action="*")

    assert not bench.pipeline.might_allow(asked(unknown))
