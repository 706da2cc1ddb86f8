"""AWS JSON 1.1: Secrets Manager, CloudWatch Logs, CloudTrail, KMS; JSON 1.0, which is read alike: CloudWatch.

A request is ``POST /`` with ``X-Amz-Target: PREFIX.Operation`` and a JSON object as its body. A reply is a JSON object;
an error adds ``__type``. Timestamps are epoch seconds, blobs Base64. Of a key that occurs twice the last value counts,
as in AWS's own parser.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

import msgspec

from keyturn.errors.base import AwsError
from keyturn.errors.common import (
    AccessDenied,
    ExpiredToken,
    IncompleteSignature,
    MissingAuthenticationToken,
    NotImplementedHere,
    RequestTooLarge,
    SerializationFailed,
    SignatureMismatch,
    SigningFault,
    Throttled,
    UnknownOperation,
    UnrecognizedClient,
    ValidationFailed,
)
from keyturn.wire.http import HttpReply, HttpRequest
from keyturn.wire.models import OperationModel, ServiceModel
from keyturn.wire.null_characters import refuse_in_json
from keyturn.wire.outcome import Outcome, outcome
from keyturn.wire.query import compatible_header
from keyturn.wire.readers import JSON, Reader, reader_for, wrong_container
from keyturn.wire.route import Route
from keyturn.wire.validate import Faults
from keyturn.wire.writers import Writer, structure_writer

# Source: AWS CommonErrors, and recorded answers. A real action that Keyturn lacks answers 400, because the SDKs repeat
# a call that was answered 500 to 504, some of them any 5xx, and would keep the user waiting for the same sentence.
_CODES: Final = {
    AccessDenied: ("AccessDeniedException", 400),
    ValidationFailed: ("ValidationException", 400),
    SerializationFailed: ("SerializationException", 400),
    UnknownOperation: ("UnknownOperationException", 400),
    NotImplementedHere: ("NotImplementedException", 400),
    RequestTooLarge: ("RequestEntityTooLargeException", 413),
    Throttled: ("ThrottlingException", 400),
    MissingAuthenticationToken: ("MissingAuthenticationTokenException", 400),
    IncompleteSignature: ("IncompleteSignatureException", 400),
    SignatureMismatch: ("InvalidSignatureException", 400),
    UnrecognizedClient: ("UnrecognizedClientException", 400),
    ExpiredToken: ("ExpiredTokenException", 400),
    SigningFault: ("InvalidSignatureException", 400),
}

# CloudWatch Logs tells broken constraints in the framework's words but under its own code (recorded by localstack).
_CODES_OF_LOGS: Final = {**_CODES, ValidationFailed: ("InvalidParameterException", 400)}

_CONTENT_TYPES: Final = {
    version: (b"content-type", f"application/x-amz-json-{version}".encode()) for version in ("1.0", "1.1")
}

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def parse(operation: OperationModel, route: Route, request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - the protocols' common signature
    """Return the request's members, spelled as in the model; blobs are bytes, timestamps aware UTC.

    Raises:
        SerializationFailed: The body is not JSON, or a member has another type than the model says.
        ValidationFailed: Members break constraints.
    """
    try:
        raw = decode_json(request.body)
    except SerializationFailed as failure:
        # AWS gives no reason.
        raise SerializationFailed from failure
    if type(raw) is not dict:
        raise wrong_container(raw)
    shape, reader = operation.input, _reader(operation)
    if shape is None or reader is None:
        return {}
    faults = Faults()
    params: dict[str, Any] = reader(raw, "", faults)
    if faults.count:
        raise faults.error()
    refuse_in_json(shape, params, request.body)
    return params


def reply(operation: OperationModel, response: Mapping[str, Any], request_id: str) -> HttpReply:
    """Return the reply of a success.

    Raises:
        UnknownMember: The response has a member that the model does not know.
    """
    writer = _writer(operation)
    # An operation without an output shape answers an empty body, an empty output shape an empty object.
    body = b"" if writer is None else _encode(writer(response))
    return _http_reply(operation.service, operation.http_status, body, request_id)


def told_as(service: ServiceModel, error: AwsError) -> Outcome:
    """Return what an error is called on the wire."""
    told = outcome(service, error, _CODES_OF_LOGS if service.name == "logs" else _CODES)
    # The framework's own parser spells it like this, whatever the service does; measured on Kinesis and Athena.
    return replace(told, message_member="Message") if isinstance(error, SerializationFailed) else told


def error(
    service: ServiceModel,
    operation: OperationModel | None,  # noqa: ARG001 - the protocols' common signature
    error: AwsError,
    request_id: str,
) -> HttpReply:
    """Return the reply of an error."""
    told = told_as(service, error)
    further = (compatible_header(service, error),) if service.is_query_compatible else ()
    return _http_reply(service, told.status, _encode(error_members(service, told)), request_id, further)


def error_members(service: ServiceModel, told: Outcome) -> dict[str, Any]:
    """Return what the body of an error holds."""
    # A service that once spoke Query has other codes there, and says here which shape of the model it is.
    code = told.shape.name if told.shape is not None and service.is_query_compatible else told.code
    body: dict[str, Any] = {"__type": code, **told.members}
    if told.message:
        body[told.message_member] = told.message
    return body


def decode_json(body: bytes) -> Any:
    """Read JSON of any shape, whatever a caller may send.

    Raises:
        SerializationFailed: It is not JSON, not UTF-8, nested too deeply, or holds a number that no type can.
    """
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeError) as failure:
        # The decoder's message may quote the body; only its kind is told.
        raise SerializationFailed("The request body is not valid JSON.") from failure
    except RecursionError as failure:
        raise SerializationFailed("The request body is nested too deeply.") from failure


@cache
def _reader(operation: OperationModel) -> Reader | None:
    return None if operation.input is None else reader_for(operation.input, "", JSON)


@cache
def _writer(operation: OperationModel) -> Writer | None:
    return None if operation.output is None else structure_writer(operation.output, operation.output.members)


def _http_reply(
    service: ServiceModel, status: int, body: bytes, request_id: str, further: tuple[tuple[bytes, bytes], ...] = ()
) -> HttpReply:
    headers = (
        (b"x-amzn-requestid", request_id.encode()),
        _CONTENT_TYPES[service.json_version],
        (b"content-length", str(len(body)).encode()),
        *further,
    )
    return HttpReply(status, headers, body)
