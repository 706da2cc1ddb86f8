"""EC2's dialect of AWS Query. A form in, XML out, but spelled otherwise than ``query.py``.

A request's lists have no ``member`` (``Filter.1.Value.2``), and its members are called by their ``queryName``, or by
their ``locationName`` with a capital. A reply is ``<ActionResponse><requestId>…`` with the members beside it, an error
``<Response><Errors><Error>…``. Broken constraints are told one at a time, as MissingParameter or InvalidParameterValue.

Source: botocore, ``EC2Serializer`` and ``EC2QueryParser``; Amazon EC2 API Reference, "Error codes".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

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
from keyturn.errors.ec2 import DryRunOperation, InvalidParameterValue, MissingParameter
from keyturn.wire.form import in_order, members_of
from keyturn.wire.http import HttpReply, HttpRequest
from keyturn.wire.models import OperationModel, ServiceModel, Shape
from keyturn.wire.outcome import Outcome, outcome
from keyturn.wire.query_form import members_in
from keyturn.wire.readers import Dialect, text_converter
from keyturn.wire.route import Route
from keyturn.wire.validate import Faults
from keyturn.wire.xml import http_reply, members_writer, text

_CODES: Final = {
    AccessDenied: ("UnauthorizedOperation", 403),
    MissingParameter: ("MissingParameter", 400),
    ValidationFailed: ("InvalidParameterValue", 400),
    SerializationFailed: ("InvalidParameterValue", 400),
    DryRunOperation: ("DryRunOperation", 412),
    UnknownOperation: ("InvalidAction", 400),
    NotImplementedHere: ("NotImplemented", 400),
    RequestTooLarge: ("RequestEntityTooLargeException", 413),
    Throttled: ("RequestLimitExceeded", 503),
    MissingAuthenticationToken: ("MissingAuthenticationToken", 403),
    IncompleteSignature: ("IncompleteSignature", 400),
    SignatureMismatch: ("AuthFailure", 401),
    UnrecognizedClient: ("AuthFailure", 401),
    ExpiredToken: ("RequestExpired", 400),
    SigningFault: ("AuthFailure", 401),
}

# What EC2 says where other services have a sentence of their own.
_TEXTS: Final = {
    Throttled: "Request limit exceeded.",
    SignatureMismatch: "AWS was not able to validate the provided access credentials",
    UnrecognizedClient: "AWS was not able to validate the provided access credentials",
    ExpiredToken: "Request has expired.",
}

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


class _Faults(Faults):
    """Tells the first violation only, and in EC2's words."""

    __slots__ = ("_first",)

    def __init__(self) -> None:
        super().__init__()
        self._first: ValidationFailed | None = None

    def add(self, value: Any, shape: Shape, path: str, texts: Sequence[str]) -> None:
        self._note(InvalidParameterValue.of(path, _echo(value, shape), _reason(value, shape) or ". ".join(texts)))

    def add_missing(self, path: str) -> None:
        self._note(MissingParameter(f"The request must contain the parameter {path}"))

    def error(self) -> ValidationFailed:
        return self._first or ValidationFailed()

    def _note(self, error: ValidationFailed) -> None:
        self.count += 1
        self._first = self._first or error


def parse(operation: OperationModel, route: Route, request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - the protocols' common signature
    """Return the request's members, spelled as in the model; blobs are bytes, timestamps aware UTC.

    Raises:
        SerializationFailed: The form is malformed, or a member has another type than the model says.
        ValidationFailed: A member breaks a constraint.
    """
    return members_in(request, operation, _FORM, _Faults())


def reply(operation: OperationModel, response: Mapping[str, Any], request_id: str) -> HttpReply:
    """Return the reply of a success.

    Raises:
        UnknownMember: The response has a member that the model does not know.
    """
    # What has nothing to answer says that it is true.
    members = "<return>true</return>" if operation.output is None else members_writer(operation.output)(response)
    # The model's namespace lacks the slash that AWS's replies have.
    name, namespace = f"{operation.name}Response", f"{operation.service.xml_namespace}/"
    body = f'<{name} xmlns="{namespace}"><requestId>{text(request_id)}</requestId>{members}</{name}>'
    return http_reply(operation.http_status, _DECLARATION + body, request_id)


def told_as(service: ServiceModel, error: AwsError) -> Outcome:
    """Return what an error is called on the wire."""
    told = outcome(service, error, _CODES)
    own_text = _TEXTS.get(type(error))
    return replace(told, message=own_text) if own_text and told.message == error.default_message else told


def error(
    service: ServiceModel,
    operation: OperationModel | None,  # noqa: ARG001 - the protocols' common signature
    error: AwsError,
    request_id: str,
) -> HttpReply:
    """Return the reply of an error."""
    told = told_as(service, error)
    body = (
        f"<Response><Errors><Error><Code>{text(told.code)}</Code><Message>{text(told.message)}</Message></Error>"
        f"</Errors><RequestID>{text(request_id)}</RequestID></Response>"
    )
    return http_reply(told.status, _DECLARATION + body, request_id)


def _wire_name(member: Shape, name: str) -> str:
    query_name: str | None = member.traits.get("queryName")
    if query_name is not None:
        return query_name
    own = member.wire_name
    return name if own is None else own[:1].upper() + own[1:]


def _elements(raw: Any, shape: Shape) -> Sequence[Any]:  # noqa: ARG001 - the dialects' common signature
    # An empty list is sent as an empty value.
    return () if raw == "" else in_order(raw)


def _pairs(raw: Any, shape: Shape) -> Iterable[tuple[Any, Any]]:
    raise NotImplementedError(f"EC2 has no maps: {shape!r} {type(raw)}")


_FORM: Final = Dialect(
    converter=text_converter, members=members_of, elements=_elements, pairs=_pairs, wire_name=_wire_name
)


_NUMBERS: Final = frozenset({"integer", "long", "float", "double"})


def _echo(value: Any, shape: Shape) -> str:
    return "" if shape.sensitive or isinstance(value, (list, dict, bytes)) else str(value)[:256]


def _reason(value: Any, shape: Shape) -> str:
    """Return AWS's sentence about a number that is out of bounds, empty for what else is broken."""
    if shape.kind not in _NUMBERS:
        return ""
    low, high = shape.traits.get("min"), shape.traits.get("max")
    if low is not None and value < low:
        return f"Expecting a value greater than {low}."
    return "" if high is None else f"Expecting a value less than {high}."
