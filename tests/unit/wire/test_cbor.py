"""CBOR as AWS's SDKs send it is read; everything else that CBOR can say is refused and does nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import cbor2
import pytest

from keyturn.errors.base import AwsError
from keyturn.errors.cloudwatch import InvalidParameterValueException
from keyturn.errors.common import AccessDenied, InternalFailure, SerializationFailed, ValidationFailed
from keyturn.wire import cbor
from keyturn.wire.http import HttpRequest
from keyturn.wire.models import service
from keyturn.wire.route import Route
from keyturn.wire.writers import UnknownMember

OPERATION = service("cloudwatch").operation("GetMetricStatistics")
AT = datetime(2026, 1, 2, 3, 4, 5, 250_000, tzinfo=UTC)
ASKED: dict[str, Any] = {
    "Namespace": "AWS/Lambda",
    "MetricName": "Errors",
    "StartTime": AT,
    "EndTime": AT,
    "Period": 60,
    "Statistics": ["Sum"],
}


def parsed(body: bytes) -> dict[str, Any]:
    request = HttpRequest("POST", b"/", b"", {}, body, "http", "127.0.0.1")
    return cbor.parse(OPERATION, Route(OPERATION.service, OPERATION.name), request)


def encoded(**changes: Any) -> bytes:
    return cbor2.dumps({**ASKED, **changes}, datetime_as_timestamp=True)


def test_members_are_read_as_the_model_says() -> None:
    assert parsed(encoded(Unknown=1, Unit=None)) == ASKED
    # As some SDKs write: without lengths.
    assert parsed(cbor2.dumps(ASKED, datetime_as_timestamp=True, indefinite_containers=True)) == ASKED


@pytest.mark.parametrize(
    "changes",
    [
        {"StartTime": AT.timestamp()},
        {"StartTime": cbor2.CBORTag(1, "2026-01-02")},
        {"StartTime": cbor2.CBORTag(1, 1e300)},
        {"StartTime": cbor2.CBORTag(0, "2026-01-02T03:04:05Z")},
        {"Namespace": cbor2.CBORTag(35, "(a+)+")},
        {"Namespace": b"AWS/Lambda"},
        {"Period": cbor2.CBORTag(2, b"\x01" * 100)},
        {"Period": "60"},
        {"Statistics": {"Sum": 1}},
        {"Statistics": cbor2.undefined},
        {"Unknown": cbor2.CBORTag(30, [1, 3])},
    ],
)
def test_what_is_of_another_type_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SerializationFailed):
        parsed(encoded(**changes))


@pytest.mark.parametrize(
    "body",
    [
        b"\x01",
        b"\xbf",
        b"\xa1",
        b"\x9f",
        b"\x81" * 100_000,
        b"\xa1\x61a" * 100_000,
        b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x81\x01\x01",
        b"\xa1\x61\xff\x01",
        b"\xd9\xd9\xf7\xa0",
        b'{"Namespace": "AWS/Lambda"}',
    ],
)
def test_what_is_no_cbor_or_no_map_is_refused(body: bytes) -> None:
    with pytest.raises(SerializationFailed):
        parsed(body)


def test_constraints_are_those_of_all_protocols() -> None:
    with pytest.raises(ValidationFailed, match="5 validation errors detected"):
        parsed(b"")
    with pytest.raises(ValidationFailed, match="null characters"):
        parsed(encoded(MetricName="a\0b"))


def test_a_reply_leaves_out_what_is_none_and_knows_its_members() -> None:
    point = {"Timestamp": AT, "Sum": 2.0, "Unit": None}
    reply = cbor.reply(OPERATION, {"Label": "Errors", "Datapoints": [point]}, "the-request-id")

    assert cbor2.loads(reply.body) == {"Label": "Errors", "Datapoints": [{"Timestamp": AT, "Sum": 2.0}]}
    headers = dict(reply.headers)
    assert (headers[b"smithy-protocol"], headers[b"content-type"]) == (b"rpc-v2-cbor", b"application/cbor")
    with pytest.raises(UnknownMember):
        cbor.reply(OPERATION, {"Datapoints": [{"Mean": 1.0}]}, "the-request-id")


@pytest.mark.parametrize(
    ("error", "kind", "header", "status"),
    [
        (InvalidParameterValueException("No."), "InvalidParameterValueException", "InvalidParameterValue;Sender", 400),
        (AccessDenied("No."), "AccessDeniedException", "AccessDenied;Sender", 400),
        (InternalFailure("No."), "InternalServiceFault", "InternalServiceError;Receiver", 500),
    ],
)
def test_an_error_has_its_code_in_query_too(error: AwsError, kind: str, header: str, status: int) -> None:
    reply = cbor.error(OPERATION.service, OPERATION, error, "the-request-id")
    body = cbor2.loads(reply.body)

    assert (body["__type"], reply.status) == (kind, status)
    assert body.get("message", body.get("Message")) == "No."
    assert dict(reply.headers)[b"x-amzn-query-error"].decode() == header
