"""Invoke: run a function and wait, run it later, or only ask whether one might.

Source: AWS Lambda API Reference, "Invoke"; texts as recorded by localstack.
"""

from __future__ import annotations

import base64
import binascii
import json

from keyturn.call import Call
from keyturn.errors.lambda_ import (
    InvalidRequestContentException,
    RequestTooLargeException,
)
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.names import LATEST, FunctionReference, parse_function_name
from keyturn.operations.lambda_.specs import spec_of
from keyturn.operations.lambda_.subjects import stored_function, subject_of
from keyturn.operations.registry import Runs, operation
from keyturn.operations.subject import Subject
from keyturn.runtime.report import REQUEST_LIMIT_BYTES
from keyturn.storage.functions import FunctionRecord
from keyturn.wire.types.lambda_ import InvokeRequest, InvokeResponse

_EVENT_LIMIT_BYTES = 1_048_576
_CLIENT_CONTEXT_LIMIT_BYTES = 3583
_ACCEPTED, _NO_CONTENT = 202, 204


def function_to_invoke(kit: Kit, call: Call, request: InvokeRequest) -> Subject[FunctionRecord]:
    """Load the function; a refusal names the version that would have run."""
    reference = _reference(call, request)
    named = f"{reference.unqualified_arn}:{reference.qualifier or LATEST}"
    return subject_of(kit, reference, missing=f"Function not found: {named}")


@operation("lambda", "Invoke", subject=function_to_invoke, runs=Runs.WAITING, action="lambda:InvokeFunction")
def invoke(kit: Kit, call: Call, request: InvokeRequest, record: FunctionRecord) -> InvokeResponse:
    """Run a function once."""
    payload = request.get("Payload", b"")
    invocation_type = request.get("InvocationType", "RequestResponse")
    _check_payload(payload, _EVENT_LIMIT_BYTES if invocation_type == "Event" else REQUEST_LIMIT_BYTES)
    client_context = _client_context(request.get("ClientContext", ""))
    if invocation_type == "DryRun":
        return {"StatusCode": _NO_CONTENT}
    reference = _reference(call, request)
    if invocation_type == "Event":
        _invoke_later(kit, call, reference, payload, client_context)
        return {"StatusCode": _ACCEPTED}
    spec = spec_of(kit, record, reference.qualifier)
    invocation = kit.runtime.invoke(spec, payload, request_id=call.request_id, client_context=client_context)
    response: InvokeResponse = {"Payload": invocation.payload, "ExecutedVersion": invocation.executed_version}
    if invocation.function_error is not None:
        response["FunctionError"] = invocation.function_error
    if request.get("LogType") == "Tail":
        response["LogResult"] = base64.b64encode(invocation.log_tail).decode()
    return response


def _reference(call: Call, request: InvokeRequest) -> FunctionReference:
    return parse_function_name(call.place, request["FunctionName"], request.get("Qualifier"))


def _check_payload(payload: bytes, limit_bytes: int) -> None:
    if len(payload) > limit_bytes:
        raise RequestTooLargeException(
            f"Request must be smaller than {limit_bytes} bytes for the InvokeFunction operation"
        )
    if not payload:
        return
    try:
        json.loads(payload)
    except (ValueError, RecursionError) as error:
        # What is wrong is said without the parser's text, which might quote the payload.
        raise InvalidRequestContentException("Could not parse request body into json.", Type="User") from error


def _client_context(text: str) -> str | None:
    """Return the JSON of the context object, which travels in base64."""
    if not text:
        return None
    try:
        client_context = base64.b64decode(text, validate=True)
        loaded = json.loads(client_context)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidRequestContentException("Client context must be a valid Base64-encoded JSON object.") from error
    if not isinstance(loaded, dict) or len(text) > _CLIENT_CONTEXT_LIMIT_BYTES:
        raise InvalidRequestContentException("Client context must be a valid Base64-encoded JSON object.")
    return client_context.decode()


def _invoke_later(
    kit: Kit, call: Call, reference: FunctionReference, payload: bytes, client_context: str | None
) -> None:
    """Accept an event. Every attempt has the call's request id, as in Lambda, and runs the function as it is then."""

    def attempt() -> bool:
        # Read from the database: between requests nobody refreshes the kept rows.
        with kit.state.read() as connection:
            current = stored_function(connection, reference)
        # Nothing is kept for the day when a function that nobody may invoke may be invoked again, as recorded.
        if current is None or current.reserved_concurrency == 0:
            return True
        spec = spec_of(kit, current, reference.qualifier)
        invocation = kit.runtime.invoke(spec, payload, request_id=call.request_id, client_context=client_context)
        return invocation.function_error is None

    kit.run_event(attempt)
