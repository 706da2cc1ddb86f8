"""AWS Query: IAM and STS. A form in, XML out.

A request names ``Action`` and ``Version``; lists are ``Name.member.1``, maps ``Name.entry.1.key`` and ``….value``. A
reply is ``<ActionResponse><ActionResult>…</ActionResult><ResponseMetadata><RequestId>…``, an error ``<ErrorResponse>``.
Timestamps are ISO 8601, blobs Base64. IAM's policy documents are percent-encoded inside the XML; a handler gives and
gets them plain.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final
from urllib.parse import quote
from xml.sax.saxutils import escape

from keyturn.errors.base import AwsError
from keyturn.errors.common import (
    AccessDenied,
    ExpiredToken,
    IncompleteSignature,
    InternalFailure,
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
from keyturn.wire.form import form_fields, in_order, tree_of
from keyturn.wire.http import HttpReply, HttpRequest
from keyturn.wire.models import OperationModel, ServiceModel, Shape
from keyturn.wire.null_characters import refuse_in_encoded
from keyturn.wire.outcome import Outcome, outcome
from keyturn.wire.readers import Dialect, Reader, reader_for, text_converter
from keyturn.wire.route import Route, query_source
from keyturn.wire.validate import Faults
from keyturn.wire.writers import UnknownMember, timestamp_writer

# Source: AWS CommonErrors of the Query APIs. Not 5xx for what Keyturn lacks: SDKs would repeat the call.
_CODES: Final = {
    AccessDenied: ("AccessDenied", 403),
    ValidationFailed: ("ValidationError", 400),
    SerializationFailed: ("MalformedInput", 400),
    UnknownOperation: ("InvalidAction", 400),
    NotImplementedHere: ("NotImplemented", 400),
    RequestTooLarge: ("RequestEntityTooLargeException", 413),
    Throttled: ("Throttling", 400),
    MissingAuthenticationToken: ("MissingAuthenticationToken", 403),
    IncompleteSignature: ("IncompleteSignature", 400),
    SignatureMismatch: ("SignatureDoesNotMatch", 403),
    UnrecognizedClient: ("InvalidClientTokenId", 403),
    ExpiredToken: ("ExpiredToken", 403),
    SigningFault: ("SignatureDoesNotMatch", 403),
}

_CONTENT_TYPE: Final = (b"content-type", b"text/xml")

# Characters that XML 1.0 cannot hold, not even escaped. An error may echo them from a request.
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

XmlWriter = Callable[[str, Any], str]
"""Writes a value as an element of the given name."""


def parse(operation: OperationModel, route: Route, request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - the protocols' common signature
    """Return the request's members, spelled as in the model; blobs are bytes, timestamps aware UTC.

    Raises:
        SerializationFailed: The form is malformed, or a member has another type than the model says.
        ValidationFailed: Members break constraints.
    """
    shape, reader = operation.input, _reader(operation)
    if shape is None or reader is None:
        return {}
    form = query_source(request)
    faults = Faults(is_terse=operation.service.name == "iam")
    params: dict[str, Any] = reader(tree_of(form_fields(form)), "", faults)
    if faults.count:
        raise faults.error()
    refuse_in_encoded(shape, params, form)
    return params


def reply(operation: OperationModel, response: Mapping[str, Any], request_id: str) -> HttpReply:
    """Return the reply of a success.

    Raises:
        UnknownMember: The response has a member that the model does not know.
    """
    result = ""
    if operation.output is not None:
        result = _xml_writer(operation.output)(operation.result_wrapper or f"{operation.name}Result", response)
    metadata = f"<ResponseMetadata><RequestId>{_text(request_id)}</RequestId></ResponseMetadata>"
    namespace = operation.service.xml_namespace
    body = f'<{operation.name}Response xmlns="{namespace}">{result}{metadata}</{operation.name}Response>'
    return _http_reply(operation.http_status, body, request_id)


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
    blamed = "Sender" if told.is_senders and not isinstance(error, InternalFailure) else "Receiver"
    members = "".join(f"<{name}>{_text(str(value))}</{name}>" for name, value in told.members.items())
    body = (
        f'<ErrorResponse xmlns="{service.xml_namespace}"><Error><Type>{blamed}</Type><Code>{_text(told.code)}</Code>'
        f"<Message>{_text(told.message)}</Message>{members}</Error><RequestId>{_text(request_id)}</RequestId>"
        "</ErrorResponse>"
    )
    return _http_reply(told.status, body, request_id)


# Requests -------------------------------------------------------------------------------------------------------------


def _form_members(raw: Any) -> Mapping[str, Any]:
    if type(raw) is not dict:
        raise SerializationFailed("Unexpected scalar where a structure was expected.")
    return raw


def _form_elements(raw: Any, shape: Shape) -> Sequence[Any]:
    # An empty list is sent as an empty value.
    if raw == "":
        return ()
    if not shape.traits.get("flattened"):
        raw = _form_members(raw).get(shape.member.wire_name or "member")
    return in_order(raw)


def _form_pairs(raw: Any, shape: Shape) -> Iterable[tuple[Any, Any]]:
    if raw == "":
        return
    if not shape.traits.get("flattened"):
        raw = _form_members(raw).get("entry")
    for entry in in_order(raw):
        members = _form_members(entry)
        yield members.get(shape.key.wire_name or "key"), members.get(shape.value.wire_name or "value")


_FORM: Final = Dialect(converter=text_converter, members=_form_members, elements=_form_elements, pairs=_form_pairs)


@cache
def _reader(operation: OperationModel) -> Reader | None:
    return None if operation.input is None else reader_for(operation.input, "", _FORM)


# Replies --------------------------------------------------------------------------------------------------------------


def _text(value: str) -> str:
    # A carriage return would come back as a line feed.
    return escape(_NOT_XML.sub("\ufffd", value), {"\r": "&#13;"})


@cache
def _xml_writer(shape: Shape) -> XmlWriter:
    if shape.kind == "structure":
        return _xml_structure(shape)
    if shape.kind == "list":
        return _xml_list(shape)
    if shape.kind == "map":
        return _xml_map(shape)
    scalar = _xml_scalar(shape)
    return lambda name, value: f"<{name}>{scalar(value)}</{name}>"


def _xml_scalar(shape: Shape) -> Callable[[Any], str]:
    if shape.kind == "timestamp":
        write = timestamp_writer(shape, "iso8601")
        return lambda value: str(write(value))
    if shape.kind == "boolean":
        return lambda value: "true" if value else "false"
    if shape.kind == "blob":
        return lambda value: b64encode(value).decode()
    if shape.name == "policyDocumentType":
        # "Policies returned by this operation are URL-encoded compliant with RFC 3986": IAM API Reference, GetRole.
        return lambda value: quote(value, safe="")
    return lambda value: _text(str(value))


def _xml_structure(shape: Shape) -> XmlWriter:
    members = shape.members

    def write(name: str, value: Mapping[str, Any]) -> str:
        pieces = []
        for member_name, member_value in value.items():
            if member_name not in members:
                raise UnknownMember(shape, member_name)
            if member_value is not None:
                member = members[member_name]
                pieces.append(_xml_writer(member)(member.wire_name or member_name, member_value))
        return f"<{name}>{''.join(pieces)}</{name}>"

    return write


def _xml_list(shape: Shape) -> XmlWriter:
    element_name = shape.member.wire_name or "member"

    def write(name: str, values: Sequence[Any]) -> str:
        write_element = _xml_writer(shape.member)
        if shape.traits.get("flattened"):
            return "".join(write_element(shape.member.wire_name or name, value) for value in values)
        return f"<{name}>{''.join(write_element(element_name, value) for value in values)}</{name}>"

    return write


def _xml_map(shape: Shape) -> XmlWriter:
    key_name, value_name = shape.key.wire_name or "key", shape.value.wire_name or "value"

    def write(name: str, values: Mapping[Any, Any]) -> str:
        write_key, write_value = _xml_writer(shape.key), _xml_writer(shape.value)
        pairs = [f"{write_key(key_name, key)}{write_value(value_name, value)}" for key, value in values.items()]
        if shape.traits.get("flattened"):
            return "".join(f"<{name}>{pair}</{name}>" for pair in pairs)
        return f"<{name}>{''.join(f'<entry>{pair}</entry>' for pair in pairs)}</{name}>"

    return write


def _http_reply(status: int, xml: str, request_id: str) -> HttpReply:
    body = xml.encode()
    headers = (
        (b"x-amzn-requestid", request_id.encode()),
        _CONTENT_TYPE,
        (b"content-length", str(len(body)).encode()),
    )
    return HttpReply(status, headers, body)
