"""Every generated operation, in both directions: what botocore sends we read, what we answer botocore reads."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from botocore.awsrequest import HeadersDict, create_request_object, prepare_request_dict
from botocore.loaders import Loader
from botocore.model import OperationModel as BotocoreOperation
from botocore.model import ServiceModel as BotocoreService
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from keyturn.errors import common
from keyturn.errors.base import AwsError
from keyturn.service_models import OWN_MODELS
from keyturn.wire import protocol
from keyturn.wire.http import HttpReply, HttpRequest
from keyturn.wire.models import API_VERSIONS, OperationModel, ProtocolName, Shape, service
from keyturn.wire.patterns import compiled
from keyturn.wire.protocols import PROTOCOLS
from keyturn.wire.route import route

ROOT = Path(__file__).resolve().parents[2]

_MOMENT = datetime(2024, 2, 29, 23, 59, 59, 123000, tzinfo=UTC)
_WHOLE_SECOND = _MOMENT.replace(microsecond=0)

# The codes and statuses of faults that no model lists, by protocol.
_UNMODELLED = {
    "json": {
        common.AccessDenied: ("AccessDeniedException", 400),
        common.ValidationFailed: ("ValidationException", 400),
        common.SerializationFailed: ("SerializationException", 400),
        common.UnknownOperation: ("UnknownOperationException", 400),
        common.NotImplementedHere: ("NotImplementedException", 400),
        common.RequestTooLarge: ("RequestEntityTooLargeException", 413),
        common.Throttled: ("ThrottlingException", 400),
        common.MissingAuthenticationToken: ("MissingAuthenticationTokenException", 400),
        common.IncompleteSignature: ("IncompleteSignatureException", 400),
        common.SignatureMismatch: ("InvalidSignatureException", 400),
        common.UnrecognizedClient: ("UnrecognizedClientException", 400),
        common.ExpiredToken: ("ExpiredTokenException", 400),
    },
    "rest-json": {
        common.AccessDenied: ("AccessDeniedException", 403),
        common.ValidationFailed: ("ValidationException", 400),
        common.SerializationFailed: ("InvalidRequestContentException", 400),
        common.UnknownOperation: ("UnknownOperationException", 404),
        common.NotImplementedHere: ("NotImplementedException", 400),
        common.RequestTooLarge: ("RequestEntityTooLargeException", 413),
        common.Throttled: ("TooManyRequestsException", 429),
        common.MissingAuthenticationToken: ("MissingAuthenticationTokenException", 403),
        common.IncompleteSignature: ("IncompleteSignatureException", 403),
        common.SignatureMismatch: ("InvalidSignatureException", 403),
        common.UnrecognizedClient: ("UnrecognizedClientException", 403),
        common.ExpiredToken: ("ExpiredTokenException", 403),
    },
    "query": {
        common.AccessDenied: ("AccessDenied", 403),
        common.ValidationFailed: ("ValidationError", 400),
        common.SerializationFailed: ("MalformedInput", 400),
        common.UnknownOperation: ("InvalidAction", 400),
        common.NotImplementedHere: ("NotImplemented", 400),
        common.RequestTooLarge: ("RequestEntityTooLargeException", 413),
        common.Throttled: ("Throttling", 400),
        common.MissingAuthenticationToken: ("MissingAuthenticationToken", 403),
        common.IncompleteSignature: ("IncompleteSignature", 400),
        common.SignatureMismatch: ("SignatureDoesNotMatch", 403),
        common.UnrecognizedClient: ("InvalidClientTokenId", 403),
        common.ExpiredToken: ("ExpiredToken", 403),
    },
    "ec2": {
        common.AccessDenied: ("UnauthorizedOperation", 403),
        common.ValidationFailed: ("InvalidParameterValue", 400),
        common.SerializationFailed: ("InvalidParameterValue", 400),
        common.UnknownOperation: ("InvalidAction", 400),
        common.NotImplementedHere: ("NotImplemented", 400),
        common.RequestTooLarge: ("RequestEntityTooLargeException", 413),
        common.Throttled: ("RequestLimitExceeded", 503),
        common.MissingAuthenticationToken: ("MissingAuthenticationToken", 403),
        common.IncompleteSignature: ("IncompleteSignature", 400),
        common.SignatureMismatch: ("AuthFailure", 401),
        common.UnrecognizedClient: ("AuthFailure", 401),
        common.ExpiredToken: ("RequestExpired", 400),
    },
}

_INTERNAL = {
    "secretsmanager": "InternalServiceError",
    "lambda": "ServiceException",
    "iam": "ServiceFailure",
    "sts": "InternalFailure",
    "logs": "ServiceUnavailableException",
    "cloudtrail": "InternalFailure",
    "kms": "KMSInternalException",
    "organizations": "ServiceException",
    "ec2": "InternalError",
    "keyturn": "InternalServiceError",
    "cloudwatch": "InternalServiceError",
}

# What the models' patterns ask for. The first that fits pattern and length is taken.
_CANDIDATES = (
    "a",
    "1",
    "x" * 36,
    "arn:aws:lambda:us-east-1:123456789012:function:name:1",
    "arn:aws:lambda:us-east-1:123456789012:layer:name:1",
    "arn:aws:lambda:us-east-1:123456789012:layer:name",
    "lambda:GetLayerVersion",
    "arn:aws:iam::123456789012:role/name",
    "arn:aws:secretsmanager:us-east-1:123456789012:secret:name",
    "arn:aws:kms:us-east-1:123456789012:key/1234",
    "arn:aws:logs:us-east-1:123456789012:log-group:name",
    "arn:aws:elasticfilesystem:us-east-1:123456789012:access-point/fsap-0123456789abcdef0",
    "arn:aws:lambda:us-east-1:123456789012:capacity-provider:name",
    "arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-0123456789abcdef0",
    "arn:aws:lambda:us-east-1::runtime:" + "0" * 64,
    "123456789012.dkr.ecr.us-east-1.amazonaws.com/image:tag",
    "arn:aws:lambda:us-east-1:123456789012:runtime/python3.11",
    "arn:aws:lambda:us-east-1:123456789012:function:name:1/durable-execution/name/1",
    "cluster-234567abcdefg",
    "ServiceException",
    "us-east-1",
    "backup.us-east-1.amazonaws.com",
    "2h",
    "$LATEST",
    "lambda:InvokeFunction",
    "123456789012",
    "/",
    "/path/",
    "/mnt/data",
    "o-1234567890",
    "subnet-0123456789abcdef0",
    "sg-0123456789abcdef0",
    "alias/name",
    "123456",
    "123456789",
    "lambda_function.handler",
    "name",
    "car-" + "0" * 32,
    "somebody@example.com",
    "o-1234567890/r-1234/123456789012/",
    "arn:aws:organizations::123456789012:account/o-1234567890/123456789012",
    "arn:aws:organizations::123456789012:organization/o-1234567890",
    "v1",
)


@cache
def generator() -> ModuleType:
    """The script that knows which operations have types."""
    spec = importlib.util.spec_from_file_location("generate_wire_types", ROOT / "scripts/generate_wire_types.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def botocore_service(name: str) -> BotocoreService:
    return BotocoreService(
        Loader(extra_search_paths=[str(OWN_MODELS)]).load_service_model(name, "service-2", API_VERSIONS[name]), name
    )


def botocore_operation(service: str, name: str) -> BotocoreOperation:
    return botocore_service(service).operation_model(name)


def sent_by_botocore(operation: BotocoreOperation, params: dict[str, Any], spoken: str = "") -> HttpRequest:
    """What botocore puts on the wire for ``params``, in the protocol of its choice or another."""
    serializer = create_serializer(spoken or operation.service_model.resolved_protocol, include_validation=True)
    serialized = serializer.serialize_to_request(params, operation)
    serialized["context"] = {}
    prepare_request_dict(serialized, endpoint_url="http://127.0.0.1:8443")
    prepared = create_request_object(serialized).prepare()
    url = urlsplit(prepared.url)
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else str(value)
        for name, value in prepared.headers.items()
    }
    body = prepared.body or b""
    return HttpRequest(
        method=prepared.method,
        raw_path=url.path.encode(),
        query_string=url.query.encode(),
        headers=headers,
        body=body if isinstance(body, bytes) else body.encode(),
        scheme="http",
        client_host="127.0.0.1",
    )


def read_by_botocore(operation: BotocoreOperation, reply: HttpReply, spoken: str = "") -> dict[str, Any]:
    """What botocore makes of our reply, in the protocol of its choice or another."""
    response = {
        "status_code": reply.status,
        "headers": HeadersDict({name.decode(): value.decode() for name, value in reply.headers}),
        # botocore hands a streamed payload on unread.
        "body": BytesIO(reply.body) if operation.has_streaming_output and reply.status < 300 else reply.body,
        "context": {"operation_name": operation.name},
    }
    parsed: dict[str, Any] = create_parser(spoken or operation.service_model.resolved_protocol).parse(
        response,
        operation.output_shape,  # type: ignore[arg-type]  # the stubs forget operations without an output
    )
    return parsed


def example(shape: Shape, *, full: bool) -> Any:
    """A value of a shape at its lower limits with required members only, or at its upper limits with all of them."""
    if shape.kind == "structure":
        wanted = [name for name in shape.members if full or name in shape.required]
        # Of a union one member at a time.
        wanted = wanted[:1] if shape.traits.get("union") else wanted
        return {name: example(shape.members[name], full=full) for name in wanted}
    if shape.kind in ("list", "map"):
        # One element at least: a form cannot tell an empty map from none. Not the greatest number: that takes minutes.
        if shape.kind == "list":
            count = max(shape.traits.get("min", 0), 2 if full else 1)
            one = example(shape.member, full=full)
            if one == {} and shape.member.members:
                # Nor an element without members.
                name, member = next(iter(shape.member.members.items()))
                one = {name: example(member, full=full)}
            return [one] * min(count, shape.traits.get("max", count))
        keys = [example(shape.key, full=full)]
        keys += [f"{keys[0][:-1]}{number}" for number in range(1, shape.traits.get("min", 0))]
        return {key: example(shape.value, full=full) for key in keys}
    return _scalar(shape, full=full)


def _scalar(shape: Shape, *, full: bool) -> Any:
    low, high = shape.traits.get("min"), shape.traits.get("max")
    if shape.location == "statusCode":
        return 202
    if shape.kind in ("integer", "long"):
        limit = 2 ** (31 if shape.kind == "integer" else 63)
        return int(high if high is not None else limit - 1) if full else int(low if low is not None else -limit)
    if shape.kind in ("float", "double"):
        return float(low or 0.5)
    if shape.kind == "boolean":
        return full
    if shape.kind == "timestamp":
        return _WHOLE_SECOND if shape.location == "header" else _MOMENT
    length = min(high if high is not None else 70, 5000) if full else max(low or 0, 1)
    return (
        bytes(range(256)) * (length // 256) + b"\xff" * (length % 256) if shape.kind == "blob" else _text(shape, length)
    )


def _text(shape: Shape, length: int) -> str:
    if enum := shape.traits.get("enum"):
        return str(enum[-1])
    low, high, pattern = (shape.traits.get(name) for name in ("min", "max", "pattern"))
    if pattern is None:
        return ("ä<&\"'>\t %+/" * length)[:length] if shape.location is None else "a" * length
    candidates = [*("a" * length, "1" * length), *_CANDIDATES]
    for candidate in candidates:
        if (low or 0) <= len(candidate) <= (high or len(candidate)) and compiled(pattern).fullmatch(candidate):
            return candidate
    message = f"No candidate fits {shape.name}: {low}-{high} {pattern}"
    raise AssertionError(message)


def _operations() -> Iterator[Any]:
    """Every operation in each protocol that its service speaks."""
    for name in API_VERSIONS:
        for operation in generator().operations_of(name):
            for spoken in operation.service.protocols:
                further = f".{spoken}" if len(operation.service.protocols) > 1 else ""
                yield pytest.param(operation, spoken, id=f"{name}.{operation.name}{further}")


every_operation = pytest.mark.parametrize(("operation", "spoken"), list(_operations()))
every_service = pytest.mark.parametrize(
    ("name", "spoken"), [(name, spoken) for name in API_VERSIONS for spoken in service(name).protocols]
)
both_limits = pytest.mark.parametrize("full", [False, True], ids=["least", "most"])


def _parsed(operation: OperationModel, request: HttpRequest) -> dict[str, Any]:
    found = route(request)
    assert (found.service.name, found.operation_name) == (operation.service.name, operation.name)
    return protocol(found.service, request).parse(operation, found, request)


@both_limits
@every_operation
def test_what_botocore_sends_is_read_as_it_was_meant(
    operation: OperationModel, spoken: ProtocolName, full: bool
) -> None:
    params = example(operation.input, full=full) if operation.input is not None else {}
    request = sent_by_botocore(botocore_operation(operation.service.name, operation.name), params, spoken)
    assert _parsed(operation, request) == params


@both_limits
@every_operation
def test_what_we_answer_botocore_reads_as_it_was_meant(
    operation: OperationModel, spoken: ProtocolName, full: bool
) -> None:
    response = example(operation.output, full=full) if operation.output is not None else {}
    reply = PROTOCOLS[spoken].reply(operation, response, "the-request-id")
    parsed = read_by_botocore(botocore_operation(operation.service.name, operation.name), reply, spoken)
    metadata = parsed.pop("ResponseMetadata")
    assert metadata["RequestId"] == "the-request-id"
    assert metadata["HTTPStatusCode"] == response.pop("StatusCode", operation.http_status)
    parsed.pop("StatusCode", None)
    if operation.output is not None and operation.output.payload is not None:
        # A blob that is the whole body is there even if it is empty.
        response.setdefault(operation.output.payload, b"")
        parsed[operation.output.payload] = parsed[operation.output.payload].read()
    assert _plain(parsed) == response


def _plain(value: Any) -> Any:
    """Undo what boto3 undoes in a handler of its own: IAM's policy documents come percent-encoded."""
    if isinstance(value, dict):
        return {name: unquote(one) if name.endswith("PolicyDocument") else _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


@every_operation
def test_every_listed_error_has_a_class_and_reaches_the_client(operation: OperationModel, spoken: ProtocolName) -> None:
    module = importlib.import_module(
        f"keyturn.errors.{'lambda_' if operation.service.name == 'lambda' else operation.service.name}"
    )
    for shape_name, (code, status) in operation.error_codes.items():
        error: AwsError = getattr(module, shape_name)("Wörds & <marks>")
        reply = PROTOCOLS[spoken].error(operation.service, operation, error, "the-request-id")
        parsed = read_by_botocore(botocore_operation(operation.service.name, operation.name), reply, spoken)
        assert (parsed["Error"]["Code"], parsed["Error"]["Message"]) == (code, "Wörds & <marks>")
        assert parsed["ResponseMetadata"]["HTTPStatusCode"] == status
        assert parsed["ResponseMetadata"]["RequestId"] == "the-request-id"


@every_service
def test_faults_that_no_model_lists_have_the_codes_of_their_protocol(name: str, spoken: ProtocolName) -> None:
    model = service(name)
    operation = next(generator().operations_of(name))
    # CBOR's are those of JSON; but a service that once spoke Query tells its codes in all its protocols.
    statuses = _UNMODELLED["json" if spoken == "smithy-rpc-v2-cbor" else spoken]
    for kind, (code, _) in _UNMODELLED[model.protocol].items():
        expected = "InvalidParameterException" if (name, kind) == ("logs", common.ValidationFailed) else code
        reply = PROTOCOLS[spoken].error(model, None, kind("Told."), "the-request-id")
        parsed = read_by_botocore(botocore_operation(name, operation.name), reply, spoken)
        assert (parsed["Error"]["Code"], parsed["Error"]["Message"]) == (expected, "Told.")
        assert reply.status == statuses[kind][1]


@every_service
def test_an_internal_failure_is_the_services_own_and_500(name: str, spoken: ProtocolName) -> None:
    operation = next(generator().operations_of(name))
    reply = PROTOCOLS[spoken].error(operation.service, operation, common.InternalFailure(), "the-request-id")
    parsed = read_by_botocore(botocore_operation(name, operation.name), reply, spoken)
    assert (parsed["Error"]["Code"], reply.status) == (_INTERNAL[name], 500)
    assert parsed["Error"]["Message"] == "An error occurred on the server side."


def _recorded_examples() -> Iterator[Any]:
    for name, version in API_VERSIONS.items():
        examples = Loader(extra_search_paths=[str(OWN_MODELS)]).load_data(f"{name}/{version}/examples-1")["examples"]
        for operation in generator().operations_of(name):
            for number, one in enumerate(examples.get(operation.name, ())):
                yield pytest.param(operation, one, id=f"{name}.{operation.name}.{number}")


# botocore's own examples contain placeholders that AWS itself would refuse.
_PLACEHOLDERS = ("<", "AKIAIOSFODNN7EXAMPLE", "...")


@pytest.mark.parametrize(("operation", "one"), list(_recorded_examples()))
def test_botocores_own_examples_pass_in_both_directions(operation: OperationModel, one: dict[str, Any]) -> None:
    peer = botocore_operation(operation.service.name, operation.name)
    params = one.get("input", {})
    request = sent_by_botocore(peer, params)
    found = route(request)
    try:
        parsed = protocol(found.service, request).parse(operation, found, request)
    except common.ValidationFailed:
        assert any(mark in json.dumps(params) for mark in _PLACEHOLDERS)
    else:
        assert parsed.keys() == params.keys()


def test_everything_about_networks_travels_in_both_directions() -> None:
    """Not the generated operations alone: EC2's names on the wire follow rules of their own."""
    about = re.compile(
        r"Vpcs?|Subnets?|RouteTables?|Routes?|(Nat|Internet)Gateways?|NetworkInterfaces?|Addresses|NetworkAcl"
    )
    names = [name for name in service("ec2").operation_names if about.search(name)]
    assert len(names) > 150
    for name in names:
        operation, peer = service("ec2").operation(name), botocore_operation("ec2", name)
        params = example(operation.input, full=True) if operation.input is not None else {}
        assert _parsed(operation, sent_by_botocore(peer, params)) == params, name
        response = example(operation.output, full=True) if operation.output is not None else {}
        parsed = read_by_botocore(peer, protocol(operation.service).reply(operation, response, "the-request-id"))
        assert parsed.pop("ResponseMetadata")["RequestId"] == "the-request-id", name
        assert parsed == response, name
