"""REST with JSON: Lambda.

The operation is in the method and path. Members travel in the path, the query, headers and the body, as the model says
of each; a blob that is the payload is the body itself. An error has its code in ``x-amzn-ErrorType`` and a body
``{"Type": "User", "Message": …}``, with ``message`` or ``Message`` as the error's shape spells it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
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
from keyturn.wire.form import form_fields
from keyturn.wire.http import HttpReply, HttpRequest
from keyturn.wire.json11 import decode_json
from keyturn.wire.models import OperationModel, ServiceModel, Shape
from keyturn.wire.null_characters import refuse_in_encoded, refuse_in_json
from keyturn.wire.outcome import Outcome, outcome
from keyturn.wire.readers import JSON, Dialect, Reader, reader_for, text_converter
from keyturn.wire.route import Route
from keyturn.wire.validate import Faults, label_of
from keyturn.wire.writers import UnknownMember, Writer, structure_writer, timestamp_writer, writer_for

# Source: recorded answers of Lambda; signing faults are 403 here. Not 5xx for what Keyturn lacks: SDKs would repeat
# the call.
_CODES: Final = {
    AccessDenied: ("AccessDeniedException", 403),
    ValidationFailed: ("ValidationException", 400),
    SerializationFailed: ("InvalidRequestContentException", 400),
    UnknownOperation: ("UnknownOperationException", 404),
    NotImplementedHere: ("NotImplementedException", 400),
    RequestTooLarge: ("RequestEntityTooLargeException", 413),
    Throttled: ("TooManyRequestsException", 429),
    MissingAuthenticationToken: ("MissingAuthenticationTokenException", 403),
    IncompleteSignature: ("IncompleteSignatureException", 403),
    SignatureMismatch: ("InvalidSignatureException", 403),
    UnrecognizedClient: ("UnrecognizedClientException", 403),
    ExpiredToken: ("ExpiredTokenException", 403),
    SigningFault: ("InvalidSignatureException", 403),
}

_JSON_TYPE: Final = b"application/json"
_STATUSES_WITHOUT_BODY: Final = frozenset({204, 304})

_encode = msgspec.json.Encoder().encode


def parse(operation: OperationModel, route: Route, request: HttpRequest) -> dict[str, Any]:
    """Return the request's members, spelled as in the model; blobs are bytes, timestamps aware UTC.

    Raises:
        SerializationFailed: The body is not JSON, or a member has another type than the model says.
        ValidationFailed: Members break constraints.
    """
    plan = _request_plan(operation)
    faults = Faults()
    params: dict[str, Any] = {}
    queried = _query_values(request) if plan.has_query else {}
    for member in plan.outside:
        raw = member.raw(route, queried, request)
        if raw is not None:
            params[member.name] = member.read(raw, "", faults)
    try:
        _read_body(plan, request.body, params, faults)
    except SerializationFailed as error:
        raise SerializationFailed(f"Could not parse request body into json: {error.message}") from error
    for name, name_in_path in plan.required:
        if name not in params:
            faults.add_missing(name_in_path)
    if faults.count:
        raise faults.error()
    if operation.input is not None:
        refuse_in_encoded(operation.input, params, request.raw_path, request.query_string)
        refuse_in_json(operation.input, params, request.body)
    return params


def reply(operation: OperationModel, response: Mapping[str, Any], request_id: str) -> HttpReply:
    """Return the reply of a success: 200, 201, 202 or 204 as the model or the response says.

    Raises:
        UnknownMember: The response has a member that the model does not know.
    """
    plan = _response_plan(operation)
    status, headers, body = operation.http_status, list[tuple[bytes, bytes]](), {}
    for name, value in response.items():
        if value is None:
            continue
        member = plan.outside.get(name)
        if member is None:
            body[name] = value
        elif member.location == "statusCode":
            status = value
        else:
            headers.append(((member.wire_name or name).lower().encode(), _header_value(member, value)))
    return _http_reply(status, request_id, plan.write_body(body), tuple(headers))


def told_as(service: ServiceModel, error: AwsError) -> Outcome:
    """Return what an error is called on the wire."""
    return outcome(service, error, _CODES)


def error(
    service: ServiceModel,
    operation: OperationModel | None,  # noqa: ARG001 - the protocols' common signature
    error: AwsError,
    request_id: str,
) -> HttpReply:
    """Return the reply of an error."""
    told = told_as(service, error)
    body: dict[str, Any] = {}
    headers = [(b"x-amzn-errortype", told.code.encode())]
    if told.shape is not None:
        body["Type"] = "User" if told.is_senders else "Service"
    for name, value in told.members.items():
        member = None if told.shape is None else told.shape.members.get(name)
        if member is not None and member.location == "header":
            headers.append(((member.wire_name or name).lower().encode(), _header_value(member, value)))
        else:
            body[name] = value
    if told.message:
        body[_message_member(error, told)] = told.message
    return _http_reply(told.status, request_id, _encode(body), tuple(headers))


def _message_member(error: AwsError, told: Outcome) -> str:
    # Lambda spells it with a capital for a denial, unlike the JSON services (AWS API, recorded).
    return "Message" if isinstance(error, AccessDenied) else told.message_member


# Requests -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _OutsideMember:
    """A member of a request that is not in the body."""

    name: str
    wire_name: str
    shape: Shape
    read: Reader

    def raw(self, route: Route, queried: Mapping[str, list[str]], request: HttpRequest) -> Any:
        """Return the member as sent, None if it was not."""
        if self.shape.location == "uri":
            return route.path_parameters.get(self.wire_name)
        if self.shape.location == "header":
            return request.headers.get(self.wire_name.lower())
        values = queried.get(self.wire_name)
        if values is None or self.shape.kind == "list":
            return values
        return values[-1]


@dataclass(frozen=True, slots=True)
class _RequestPlan:
    outside: tuple[_OutsideMember, ...]
    required: tuple[tuple[str, str], ...]
    has_query: bool
    body: Reader | None
    payload: str | None


def _no_container(raw: Any, *_: Any) -> Any:
    """Take a list of query values as it is; nothing else outside a body is a container."""
    if not isinstance(raw, list):
        raise SerializationFailed("Unexpected scalar where a list was expected.")
    return raw


def _outside_dialect(location: str | None) -> Dialect:
    timestamp_format = "rfc822" if location == "header" else "iso8601"
    return Dialect(
        converter=lambda shape: text_converter(shape, timestamp_format),
        members=_no_container,
        elements=_no_container,
        pairs=_no_container,
    )


@cache
def _request_plan(operation: OperationModel) -> _RequestPlan:
    shape = operation.input
    if shape is None:
        return _RequestPlan((), (), has_query=False, body=None, payload=None)
    outside = tuple(
        _OutsideMember(
            name, one.wire_name or name, one, reader_for(one, label_of(name), _outside_dialect(one.location))
        )
        for name, one in shape.members.items()
        if one.location is not None
    )
    return _RequestPlan(
        outside=outside,
        required=tuple((name, label_of(name)) for name in shape.required),
        has_query=any(one.shape.location == "querystring" for one in outside),
        body=_body_reader(shape),
        payload=shape.payload,
    )


def _body_reader(shape: Shape) -> Reader | None:
    """Return the reader of a JSON body, None if there is nothing in it or if it is a blob."""
    if shape.payload is not None:
        payload = shape.members[shape.payload]
        return None if payload.kind == "blob" else reader_for(payload, label_of(shape.payload), JSON)
    inside = {name: one for name, one in shape.members.items() if one.location is None}
    return reader_for(shape.only(inside), "", JSON) if inside else None


def _read_body(plan: _RequestPlan, body: bytes, params: dict[str, Any], faults: Faults) -> None:
    # The SDKs send an empty body for a payload, and for members, that were not given.
    if not body:
        return
    value = None if plan.body is None else plan.body(decode_json(body), "", faults)
    if plan.payload is not None:
        params[plan.payload] = body if plan.body is None else value
    elif value is not None:
        params.update(value)


def _query_values(request: HttpRequest) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in form_fields(request.query_string):
        values.setdefault(name, []).append(value)
    return values


# Replies --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ResponsePlan:
    """Which members leave the body, and how the rest is written."""

    outside: Mapping[str, Shape]
    shape: Shape | None
    write: Writer | None
    payload: str | None

    def write_body(self, members: Mapping[str, Any]) -> bytes:
        """Write what is left for the body."""
        if self.payload is not None and self.shape is not None:
            if unknown := members.keys() - {self.payload}:
                raise UnknownMember(self.shape, unknown.pop())
            value = members.get(self.payload)
            if isinstance(value, bytes) or value is None:
                return value or b""
            return _encode(value if self.write is None else self.write(value))
        return b"" if self.write is None else _encode(self.write(members))


@cache
def _response_plan(operation: OperationModel) -> _ResponsePlan:
    shape = operation.output
    if shape is None:
        return _ResponsePlan({}, None, None, None)
    outside = {name: one for name, one in shape.members.items() if one.location is not None}
    inside = {name: one for name, one in shape.members.items() if one.location is None}
    payload = shape.payload
    write = structure_writer(shape, inside) if payload is None else writer_for(shape.members[payload])
    return _ResponsePlan(outside, shape, write, payload)


def _header_value(shape: Shape, value: Any) -> bytes:
    if shape.kind == "timestamp":
        return str(timestamp_writer(shape, "rfc822")(value)).encode()
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, bytes):
        return b64encode(value)
    # A line break in a header would begin another header.
    return str(value).replace("\r", " ").replace("\n", " ").encode()


def _http_reply(status: int, request_id: str, body: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> HttpReply:
    common: tuple[tuple[bytes, bytes], ...] = ((b"x-amzn-requestid", request_id.encode()),)
    if status in _STATUSES_WITHOUT_BODY:
        return HttpReply(status, (*common, *headers), b"")
    length = str(len(body)).encode()
    return HttpReply(status, (*common, (b"content-type", _JSON_TYPE), (b"content-length", length), *headers), body)
