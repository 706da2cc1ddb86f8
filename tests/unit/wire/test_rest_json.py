"""REST-JSON as Lambda speaks it: members in paths, queries, headers and bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keyturn.errors.common import AccessDenied, SerializationFailed, ValidationFailed
from keyturn.errors.lambda_ import (
    RequestEntityTooLargeException,
    ResourceConflictException,
    ResourceNotFoundException,
    TooManyRequestsException,
)
from keyturn.wire import rest_json
from keyturn.wire.http import HttpRequest
from keyturn.wire.models import service
from keyturn.wire.route import route

LAMBDA = service("lambda")
ARN = "arn:aws:lambda:us-east-1:000000000000:function:name"


def parse(
    method: str, path: str, body: bytes = b"", query: bytes = b"", headers: dict[str, str] | None = None
) -> dict[str, Any]:
    request = HttpRequest(method, path.encode(), query, headers or {}, body, "http", "127.0.0.1")
    found = route(request)
    return rest_json.parse(LAMBDA.operation(found.operation_name), found, request)


def test_invoke_takes_its_payload_raw_and_its_options_from_headers_and_query() -> None:
    params = parse(
        "POST",
        "/2015-03-31/functions/name/invocations",
        b"\x00 not even JSON",
        b"Qualifier=1",
        {"x-amz-invocation-type": "Event", "x-amz-log-type": "Tail"},
    )
    assert params == {
        "FunctionName": "name",
        "InvocationType": "Event",
        "LogType": "Tail",
        "Qualifier": "1",
        "Payload": b"\x00 not even JSON",
    }


def test_an_empty_payload_is_no_payload() -> None:
    assert parse("POST", "/2015-03-31/functions/name/invocations") == {"FunctionName": "name"}


def test_an_arn_in_the_path_may_have_its_colons_either_way() -> None:
    for written in (ARN, ARN.replace(":", "%3A"), ARN.replace(":", "%3a")):
        assert parse("GET", f"/2015-03-31/functions/{written}/policy") == {"FunctionName": ARN}


def test_a_broken_header_member_is_told_like_any_other() -> None:
    with pytest.raises(ValidationFailed, match="Value 'Soon' at 'invocationType' failed"):
        parse("POST", "/2015-03-31/functions/n/invocations", headers={"x-amz-invocation-type": "Soon"})


def test_a_number_in_the_query_must_be_one() -> None:
    assert parse("GET", "/2015-03-31/functions", query=b"MaxItems=10") == {"MaxItems": 10}
    with pytest.raises(SerializationFailed, match="STRING_VALUE can not be converted to an Integer"):
        parse("GET", "/2015-03-31/functions", query=b"MaxItems=ten")


def test_limits_are_lambdas_documented_ones_not_the_models() -> None:
    with pytest.raises(ValidationFailed) as caught:
        parse("PUT", "/2015-03-31/functions/n/configuration", b'{"Timeout":901,"MemorySize":10241}')
    assert (
        "Value '901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900"
        in (caught.value.message)
    )
    assert "less than or equal to 10240" in caught.value.message


def test_environment_names_are_checked_and_values_not_echoed() -> None:
    body = json.dumps({"Environment": {"Variables": {"_BAD": "hush"}}}).encode()
    with pytest.raises(ValidationFailed) as caught:
        parse("PUT", "/2015-03-31/functions/n/configuration", body)
    assert (
        "Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy" in caught.value.message
    )
    assert "hush" not in caught.value.message


def test_a_body_that_is_not_json_is_told_in_lambdas_words() -> None:
    with pytest.raises(SerializationFailed) as caught:
        parse("POST", "/2015-03-31/functions", b"{")
    reply = rest_json.error(LAMBDA, None, caught.value, "r")
    assert (reply.status, dict(reply.headers)[b"x-amzn-errortype"]) == (400, b"InvalidRequestContentException")
    assert json.loads(reply.body)["message"].startswith("Could not parse request body into json: ")


def test_an_answer_to_invoke_carries_its_members_in_headers() -> None:
    reply = rest_json.reply(
        LAMBDA.operation("Invoke"),
        {
            "StatusCode": 202,
            "FunctionError": "Unhandled",
            "LogResult": "bG9n",
            "ExecutedVersion": "$LATEST",
            "Payload": b"{}",
        },
        "r",
    )
    headers = dict(reply.headers)
    assert (reply.status, reply.body) == (202, b"{}")
    assert headers[b"x-amz-function-error"] == b"Unhandled"
    assert headers[b"x-amz-log-result"] == b"bG9n"
    assert headers[b"x-amz-executed-version"] == b"$LATEST"


def test_a_header_cannot_be_broken_into_two() -> None:
    reply = rest_json.reply(LAMBDA.operation("Invoke"), {"FunctionError": "a\r\nx-evil: 1"}, "r")
    assert dict(reply.headers)[b"x-amz-function-error"] == b"a  x-evil: 1"


def test_statuses_are_those_of_recorded_answers() -> None:
    assert rest_json.reply(LAMBDA.operation("CreateFunction"), {}, "r").status == 201
    deleted = rest_json.reply(LAMBDA.operation("DeleteFunction"), {}, "r")
    assert (deleted.status, deleted.body) == (204, b"")
    assert rest_json.reply(LAMBDA.operation("AddPermission"), {}, "r").status == 201
    assert rest_json.reply(LAMBDA.operation("RemovePermission"), {}, "r").status == 204


def test_each_error_spells_its_message_as_its_shape_does() -> None:
    found = rest_json.error(LAMBDA, None, ResourceNotFoundException("Gone."), "r")
    assert (found.status, json.loads(found.body)) == (404, {"Type": "User", "Message": "Gone."})
    conflict = rest_json.error(LAMBDA, None, ResourceConflictException("Twice."), "r")
    assert (conflict.status, json.loads(conflict.body)) == (409, {"Type": "User", "message": "Twice."})
    denied = rest_json.error(LAMBDA, None, AccessDenied("No."), "r")
    assert (denied.status, json.loads(denied.body)) == (403, {"Message": "No."})


def test_an_error_the_model_lacks_has_its_recorded_status() -> None:
    assert rest_json.error(LAMBDA, None, RequestEntityTooLargeException(), "r").status == 413


def test_an_errors_header_member_becomes_a_header() -> None:
    error = TooManyRequestsException(retryAfterSeconds="3", Reason="ConcurrentInvocationLimitExceeded")
    reply = rest_json.error(LAMBDA, None, error, "r")
    assert reply.status == 429
    assert dict(reply.headers)[b"retry-after"] == b"3"
    assert json.loads(reply.body) == {
        "Type": "User",
        "Reason": "ConcurrentInvocationLimitExceeded",
        "message": "Rate Exceeded.",
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "query", "member"),
    [
        ("GET", "/2015-03-31/functions/", b"", b"Marker=a%00", "marker"),
        ("PUT", "/2015-03-31/functions/name/configuration", b'{"Description": "a\\u0000"}', b"", "description"),
    ],
)
def test_no_text_holds_a_null_character(method: str, path: str, body: bytes, query: bytes, member: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        parse(method, path, body, query)

    assert caught.value.message == (
        f"1 validation error detected: Value 'a\0' at '{member}' failed to satisfy constraint:"
        " Member must not contain null characters"
    )
