"""Smithy RPC v2 with CBOR: the protocol that CloudWatch's model names first; SDKs choose by orders of their own.

A request is ``POST /service/PREFIX/operation/Operation`` with ``smithy-protocol: rpc-v2-cbor`` and a CBOR map as its
body; the prefix is that of JSON's target. Members have their names in the model, timestamps are tag 1 (epoch seconds),
blobs byte strings. An error adds ``__type``, as in JSON.

Source: Smithy, "Smithy RPC v2 CBOR protocol"; RFC 8949.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any, Final

import cbor2

from keyturn.errors.base import AwsError
from keyturn.errors.common import SerializationFailed
from keyturn.wire import timestamps
from keyturn.wire.http import HttpReply, HttpRequest
from keyturn.wire.json11 import error_members, told_as
from keyturn.wire.models import OperationModel, ServiceModel, Shape
from keyturn.wire.null_characters import refuse_in_encoded
from keyturn.wire.query import compatible_header
from keyturn.wire.readers import JSON, Convert, Reader, reader_for, wrong_container, wrong_type
from keyturn.wire.route import Route
from keyturn.wire.validate import Faults
from keyturn.wire.writers import UnknownMember

__all__ = ["error", "parse", "reply", "told_as"]

_HEADERS: Final = ((b"smithy-protocol", b"rpc-v2-cbor"), (b"content-type", b"application/cbor"))
_DEEPEST: Final = 64


class _OnlyMoments(dict[int, Callable[[Any, bool], Any]]):
    """Reads tag 1. CBOR's other tags make fractions, patterns and whatever else, and no request has a use for them."""

    def __missing__(self, tag: int) -> Callable[[Any, bool], Any]:
        raise SerializationFailed


def _moment(seconds: Any, _is_immutable: bool) -> datetime:  # noqa: FBT001 - cbor2 calls it so
    if type(seconds) is not int and type(seconds) is not float:
        raise SerializationFailed
    return timestamps.from_epoch(seconds)


_TAGS: Final = _OnlyMoments({1: _moment})


def parse(operation: OperationModel, route: Route, request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - the protocols' common signature
    """Return the request's members, spelled as in the model; blobs are bytes, timestamps aware UTC.

    Raises:
        SerializationFailed: The body is not CBOR, or a member has another type than the model says.
        ValidationFailed: Members break constraints.
    """
    raw = _decoded(request.body) if request.body else {}
    if type(raw) is not dict:
        raise wrong_container(raw)
    shape, reader = operation.input, _reader(operation)
    if shape is None or reader is None:
        return {}
    faults = Faults()
    params: dict[str, Any] = reader(raw, "", faults)
    if faults.count:
        raise faults.error()
    refuse_in_encoded(shape, params, request.body)
    return params


def reply(operation: OperationModel, response: Mapping[str, Any], request_id: str) -> HttpReply:
    """Return the reply of a success.

    Raises:
        UnknownMember: The response has a member that the model does not know.
    """
    body = {} if operation.output is None else _written(operation.output, response)
    return _http_reply(operation.http_status, body, request_id)


def error(
    service: ServiceModel,
    operation: OperationModel | None,  # noqa: ARG001 - the protocols' common signature
    error: AwsError,
    request_id: str,
) -> HttpReply:
    """Return the reply of an error."""
    told = told_as(service, error)
    further = (compatible_header(service, error),) if service.is_query_compatible else ()
    return _http_reply(told.status, error_members(service, told), request_id, further)


def _decoded(body: bytes) -> Any:
    try:
        return cbor2.loads(body, semantic_decoders=_TAGS, max_depth=_DEEPEST, strict_hashable_types=True)
    except cbor2.CBORError as failure:
        raise SerializationFailed from failure


def _blob(raw: Any) -> bytes:
    if type(raw) is not bytes:
        raise wrong_type(raw, "Blob")
    return raw


def _timestamp(raw: Any) -> datetime:
    if type(raw) is not datetime:
        raise wrong_type(raw, "Timestamp")
    return raw


def _converter(shape: Shape) -> Convert:
    return {"blob": _blob, "timestamp": _timestamp}.get(shape.kind) or JSON.converter(shape)


_CBOR: Final = replace(JSON, converter=_converter, wire_name=lambda _, name: name)


@cache
def _reader(operation: OperationModel) -> Reader | None:
    return None if operation.input is None else reader_for(operation.input, "", _CBOR)


def _written(shape: Shape, value: Any) -> Any:
    """Return a value as CBOR has it: without members that are None."""
    if shape.kind == "structure":
        for name in value:
            if name not in shape.members:
                raise UnknownMember(shape, name)
        return {name: _written(shape.members[name], one) for name, one in value.items() if one is not None}
    if shape.kind == "list":
        return [_written(shape.member, one) for one in value]
    if shape.kind == "map":
        return {key: _written(shape.value, one) for key, one in value.items()}
    return value


def _http_reply(
    status: int, body: Mapping[str, Any], request_id: str, further: tuple[tuple[bytes, bytes], ...] = ()
) -> HttpReply:
    encoded = cbor2.dumps(body, datetime_as_timestamp=True)
    headers = (
        (b"x-amzn-requestid", request_id.encode()),
        *_HEADERS,
        (b"content-length", str(len(encoded)).encode()),
        *further,
    )
    return HttpReply(status, headers, encoded)
