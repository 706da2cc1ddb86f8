"""AWS Query: IAM, STS and CloudWatch. A form in, XML out.

A request names ``Action`` and ``Version``; lists are ``Name.member.1``, maps ``Name.entry.1.key`` and ``….value``. A
reply is ``<ActionResponse><ActionResult>…</ActionResult><ResponseMetadata><RequestId>…``, an error ``<ErrorResponse>``.
Timestamps are ISO 8601, blobs Base64. IAM's policy documents are percent-encoded inside the XML; a handler gives and
gets them plain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

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
from keyturn.wire.form import in_order, members_of
from keyturn.wire.http import HttpReply, HttpRequest
from keyturn.wire.models import OperationModel, ServiceModel, Shape
from keyturn.wire.outcome import Outcome, outcome
from keyturn.wire.query_form import members_in
from keyturn.wire.readers import Dialect, text_converter
from keyturn.wire.route import Route
from keyturn.wire.validate import Faults
from keyturn.wire.xml import http_reply, text, xml_writer

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


def parse(operation: OperationModel, route: Route, request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - the protocols' common signature
    """Return the request's members, spelled as in the model; blobs are bytes, timestamps aware UTC.

    Raises:
        SerializationFailed: The form is malformed, or a member has another type than the model says.
        ValidationFailed: Members break constraints.
    """
    return members_in(request, operation, _FORM, Faults(is_terse=operation.service.name == "iam"))


def reply(operation: OperationModel, response: Mapping[str, Any], request_id: str) -> HttpReply:
    """Return the reply of a success.

    Raises:
        UnknownMember: The response has a member that the model does not know.
    """
    result = ""
    if operation.output is not None:
        result = xml_writer(operation.output)(operation.result_wrapper or f"{operation.name}Result", response)
    metadata = f"<ResponseMetadata><RequestId>{text(request_id)}</RequestId></ResponseMetadata>"
    namespace = operation.service.xml_namespace
    body = f'<{operation.name}Response xmlns="{namespace}">{result}{metadata}</{operation.name}Response>'
    return http_reply(operation.http_status, body, request_id)


def told_as(service: ServiceModel, error: AwsError) -> Outcome:
    """Return what an error is called on the wire."""
    return outcome(service, error, _CODES)


def compatible_header(service: ServiceModel, error: AwsError) -> tuple[bytes, bytes]:
    """Return the header by which a service that once spoke Query says, in another protocol, what Query calls an error.

    Source: Smithy, "awsQueryCompatible trait". It is sent to clients that ask for it (``x-amzn-query-mode``); to others
    it means nothing.
    """
    told = told_as(service, error)
    return b"x-amzn-query-error", f"{told.code};{_blamed(told, error)}".encode()


def error(
    service: ServiceModel,
    operation: OperationModel | None,  # noqa: ARG001 - the protocols' common signature
    error: AwsError,
    request_id: str,
) -> HttpReply:
    """Return the reply of an error."""
    told = told_as(service, error)
    blamed = _blamed(told, error)
    members = "".join(f"<{name}>{text(str(value))}</{name}>" for name, value in told.members.items())
    body = (
        f'<ErrorResponse xmlns="{service.xml_namespace}"><Error><Type>{blamed}</Type><Code>{text(told.code)}</Code>'
        f"<Message>{text(told.message)}</Message>{members}</Error><RequestId>{text(request_id)}</RequestId>"
        "</ErrorResponse>"
    )
    return http_reply(told.status, body, request_id)


def _blamed(told: Outcome, error: AwsError) -> str:
    return "Sender" if told.is_senders and not isinstance(error, InternalFailure) else "Receiver"


# Requests -------------------------------------------------------------------------------------------------------------


def _form_elements(raw: Any, shape: Shape) -> Sequence[Any]:
    # An empty list is sent as an empty value.
    if raw == "":
        return ()
    if not shape.traits.get("flattened"):
        raw = members_of(raw).get(shape.member.wire_name or "member")
    return in_order(raw)


def _form_pairs(raw: Any, shape: Shape) -> Iterable[tuple[Any, Any]]:
    if raw == "":
        return
    if not shape.traits.get("flattened"):
        raw = members_of(raw).get("entry")
    for entry in in_order(raw):
        members = members_of(entry)
        yield members.get(shape.key.wire_name or "key"), members.get(shape.value.wire_name or "value")


_FORM: Final = Dialect(converter=text_converter, members=members_of, elements=_form_elements, pairs=_form_pairs)
