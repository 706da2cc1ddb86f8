from __future__ import annotations

import base64
from typing import Any

import pytest

from keyturn.errors.common import AccessDenied
from keyturn.errors.lambda_ import (
    InvalidRequestContentException,
    RequestTooLargeException,
    ResourceNotFoundException,
    TooManyRequestsException,
)
from keyturn.runtime.spec import Invocation
from keyturn.testing.functions import zip_package
from keyturn.testing.handlers import user

from .conftest import ARN, LambdaBench

FAILED = Invocation(b'{"errorMessage": "boom"}', "Unhandled", b"boom\n", "$LATEST", 1.0)


@pytest.fixture(autouse=True)
def function(bench: LambdaBench) -> None:
    bench.create()


def invoke(bench: LambdaBench, **request: Any) -> Any:
    return bench.call("Invoke", **{"FunctionName": "rotate", **request})


def test_the_answer_is_the_functions(bench: LambdaBench) -> None:
    assert invoke(bench, Payload=b'{"a": 1}') == {"Payload": b'"done"', "ExecutedVersion": "$LATEST"}
    assert bench.runtime.specs[0].arn == ARN
    assert bench.runtime.requests[0][0] == b'{"a": 1}'


def test_an_error_of_the_function_is_an_answer_too(bench: LambdaBench) -> None:
    bench.runtime.answers = [FAILED]

    assert invoke(bench) == {
        "Payload": b'{"errorMessage": "boom"}',
        "FunctionError": "Unhandled",
        "ExecutedVersion": "$LATEST",
    }


def test_the_end_of_the_log_comes_when_asked_for(bench: LambdaBench) -> None:
    assert base64.b64decode(invoke(bench, LogType="Tail")["LogResult"]) == b"END\n"


def test_a_dry_run_runs_nothing(bench: LambdaBench) -> None:
    assert invoke(bench, InvocationType="DryRun") == {"StatusCode": 204}
    assert bench.runtime.specs == []


def test_client_context_is_unpacked_for_the_function(bench: LambdaBench) -> None:
    invoke(bench, ClientContext=base64.b64encode(b'{"custom": {}}').decode())

    assert bench.runtime.requests[0][2] == '{"custom": {}}'
    for wrong in ("%%%", base64.b64encode(b"[]").decode(), base64.b64encode(b"{").decode()):
        with pytest.raises(InvalidRequestContentException, match="Client context"):
            invoke(bench, ClientContext=wrong)


@pytest.mark.parametrize("payload", [b"{", b"canary", b"[" * 100_000, b"\xff"])
def test_a_payload_is_json(bench: LambdaBench, payload: bytes) -> None:
    with pytest.raises(InvalidRequestContentException) as refused:
        invoke(bench, Payload=payload)
    assert "canary" not in refused.value.message


def test_events_may_have_1_mb_and_requests_6(bench: LambdaBench) -> None:
    one_mb = b'"' + b"x" * 1_048_575 + b'"'

    invoke(bench, Payload=one_mb)
    with pytest.raises(RequestTooLargeException):
        invoke(bench, Payload=one_mb, InvocationType="Event")
    with pytest.raises(RequestTooLargeException):
        invoke(bench, Payload=b'"' + b"x" * 6_291_560 + b'"')


def test_a_missing_function_is_named_with_the_version_that_would_have_run(bench: LambdaBench) -> None:
    for request, named in (({"FunctionName": "other"}, "other:$LATEST"), ({"Qualifier": "7"}, "rotate:7")):
        with pytest.raises(ResourceNotFoundException) as refused:
            invoke(bench, **request)
        assert refused.value.message == f"Function not found: {ARN.removesuffix('rotate')}{named}"


def test_the_functions_policy_lets_a_caller_in_who_has_none(bench: LambdaBench) -> None:
    handlers = bench.handlers
    handlers.call("iam", "CreateUser", UserName="ada")
    call = handlers.as_(user("ada"))

    with pytest.raises(AccessDenied, match="lambda:InvokeFunction"):
        handlers.call_as(call, "lambda", "Invoke", FunctionName="rotate")
    bench.call(
        "AddPermission",
        FunctionName="rotate",
        StatementId="ada",
        Action="lambda:InvokeFunction",
        Principal="arn:aws:iam::000000000000:user/ada",
    )
    handlers.call_as(call, "lambda", "Invoke", FunctionName="rotate")


def test_an_event_is_accepted_and_run_later(bench: LambdaBench) -> None:
    assert invoke(bench, InvocationType="Event", Payload=b"{}") == {"StatusCode": 202}
    assert bench.runtime.specs == []

    assert bench.events[0]() is True

    assert bench.runtime.requests[0][0] == b"{}"


def test_every_attempt_of_an_event_has_the_same_request_id_and_the_functions_newest_code(bench: LambdaBench) -> None:
    invoke(bench, InvocationType="Event")
    bench.runtime.answers = [FAILED, TooManyRequestsException("Rate Exceeded.")]

    assert bench.events[0]() is False
    bench.call("UpdateFunctionCode", FunctionName="rotate", ZipFile=zip_package({"x.py": "y = 1"}))
    with pytest.raises(TooManyRequestsException):
        bench.events[0]()
    assert bench.events[0]() is True

    assert len({request_id for _, request_id, _ in bench.runtime.requests}) == 1
    assert bench.runtime.specs[0].code_sha256 != bench.runtime.specs[1].code_sha256


def test_an_event_of_a_deleted_function_is_dropped(bench: LambdaBench) -> None:
    invoke(bench, InvocationType="Event")
    bench.call("DeleteFunction", FunctionName="rotate")

    assert bench.events[0]() is True
    assert bench.runtime.specs == []
