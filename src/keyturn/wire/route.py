"""From a request to the service and the operation it is for.

Four ways to tell them apart, tried in this order: an ``X-Amz-Target`` header (JSON), a path that begins with a date
(Lambda's REST) or with ``/service/`` (RPC with CBOR), an ``Action`` and a ``Version`` in the query or the form (Query:
IAM, STS, EC2 and CloudWatch differ by version). CloudWatch speaks all but REST.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final
from urllib.parse import parse_qs, unquote_to_bytes

from keyturn.errors.common import SerializationFailed, UnknownOperation
from keyturn.wire.form import form_fields
from keyturn.wire.http import HttpRequest
from keyturn.wire.models import OperationModel, ProtocolName, ServiceModel, service

# Known here so that a server starts without loading every model; a test compares them with the models.
TARGET_PREFIXES: Final[Mapping[str, str]] = {
    "secretsmanager": "secretsmanager",
    "TrentService": "kms",
    "AWSOrganizationsV20161128": "organizations",
    "Logs_20140328": "logs",
    "Keyturn_20261127": "keyturn",
    "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101": "cloudtrail",
    "GraniteServiceVersion20100801": "cloudwatch",
}
QUERY_VERSIONS: Final[Mapping[str, str]] = {
    "2010-05-08": "iam",
    "2011-06-15": "sts",
    "2016-11-15": "ec2",
    "2010-08-01": "cloudwatch",
}
_SIGNING_NAMES: Final[Mapping[str, str]] = {
    **{
        name: name
        for name in (
            "secretsmanager",
            "lambda",
            "iam",
            "sts",
            "logs",
            "cloudtrail",
            "kms",
            "organizations",
            "ec2",
            "keyturn",
        )
    },
    "monitoring": "cloudwatch",
}

_REST_PATH: Final = re.compile(rb"/\d{4}-\d\d-\d\d/")
_RPC_PATH: Final = re.compile(rb"/service/(\w{1,128})/operation/(\w{1,128})")
_RPC_HEADER: Final = "smithy-protocol"
_CREDENTIAL_SCOPE: Final = re.compile(r"Credential=[^/,]*/\d*/[^/,]*/([a-z0-9]+)/aws4_request")
_ROUTING_FIELD: Final = re.compile(rb"(?:\A|&)(Action|Version)=([A-Za-z0-9.-]{0,128})(?=&|\Z)")
_LONGEST_PATH: Final = 8192

_LABEL: Final = r"([^/]+)"
# At the end of a path an ARN, whose colons may come as they are or as %3A, may itself contain slashes. Elsewhere it may
# not: a path that repeats what stands between two such labels would take quadratic time, before anybody has signed.
_LAST_LABEL: Final = r"(arn(?::|%3[Aa]).+?|[^/]+)"
# Signatures cover the path without these, so what they mean here would not be what was signed.
_DOT_SEGMENTS: Final = frozenset({b".", b".."})


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes.

    Attributes:
        service: Its service.
        operation_name: A name that the service's model has.
        path_parameters: What the labels of a REST path hold, decoded.
    """

    service: ServiceModel
    operation_name: str
    path_parameters: dict[str, str] = field(default_factory=dict)


def route(request: HttpRequest) -> Route:
    """Return the service and operation that a request is for.

    Raises:
        UnknownOperation: No service of Keyturn has such an operation. :func:`addressed_service` says in whose words to
            answer.
    """
    target = request.headers.get("x-amz-target")
    if target is not None:
        # A GET would act all the same, and something between the client and us might keep what it was answered.
        if request.method != "POST":
            raise UnknownOperation
        return _json_route(target)
    if _REST_PATH.match(request.raw_path):
        return _rest_route(request)
    if _RPC_HEADER in request.headers:
        return _rpc_route(request)
    return _query_route(request)


def spoken_in(service: ServiceModel, request: HttpRequest) -> ProtocolName:
    """Return which of a service's protocols a request is in."""
    if len(service.protocols) == 1:
        return service.protocol
    if "x-amz-target" in request.headers:
        return "json"
    return "smithy-rpc-v2-cbor" if _RPC_HEADER in request.headers else service.protocol


def addressed_service(request: HttpRequest) -> ServiceModel:
    """Return the service a request seems meant for, to answer in its protocol when :func:`route` refuses."""
    prefix, _, _ = request.headers.get("x-amz-target", "").rpartition(".")
    if prefix in TARGET_PREFIXES:
        return service(TARGET_PREFIXES[prefix])
    scope = _CREDENTIAL_SCOPE.search(request.headers.get("authorization", ""))
    if scope is not None and scope[1] in _SIGNING_NAMES:
        return service(_SIGNING_NAMES[scope[1]])
    if _REST_PATH.match(request.raw_path):
        return service("lambda")
    is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    return service("sts" if is_form else "secretsmanager")


# The names of real operations only, so that a caller cannot fill the memory with invented ones.
@cache
def _json_routes(service_name: str) -> Mapping[str, Route]:
    model = service(service_name)
    return {name: Route(model, name) for name in model.operation_names}


def _json_route(target: str) -> Route:
    prefix, _, name = target.rpartition(".")
    service_name = TARGET_PREFIXES.get(prefix)
    found = None if service_name is None else _json_routes(service_name).get(name)
    if found is None:
        raise UnknownOperation
    return found


def _rpc_route(request: HttpRequest) -> Route:
    """Read service and operation from the path. Source: Smithy RPC v2 CBOR protocol, "Requests"."""
    named = _RPC_PATH.fullmatch(request.raw_path)
    if named is None or request.method != "POST" or request.headers[_RPC_HEADER] != "rpc-v2-cbor":
        raise UnknownOperation
    found = _json_route(f"{named[1].decode()}.{named[2].decode()}")
    if "smithy-rpc-v2-cbor" not in found.service.protocols:
        raise UnknownOperation
    return found


@dataclass(frozen=True, slots=True)
class _Template:
    """One REST operation's path: its pattern, its labels in order, and the query it insists on."""

    operation_name: str
    pattern: re.Pattern[str]
    labels: tuple[str, ...]
    query: Mapping[str, list[str]]
    literal_length: int


@cache
def _rest_templates() -> Mapping[str, tuple[_Template, ...]]:
    """Templates of Lambda by method, the most specific first: more literal characters win."""
    by_method: dict[str, list[_Template]] = {}
    model = service("lambda")
    for name in model.operation_names:
        operation = model.operation(name)
        by_method.setdefault(operation.http_method, []).append(_template(operation))
    return {
        method: tuple(sorted(templates, key=lambda template: -template.literal_length))
        for method, templates in by_method.items()
    }


def _template(operation: OperationModel) -> _Template:
    path, _, query = operation.request_uri.partition("?")
    pieces = re.split(r"\{([^}]+)\}", path.rstrip("/"))
    literals, labels = pieces[::2], tuple(label.rstrip("+") for label in pieces[1::2])
    pattern = _LABEL.join(re.escape(literal) for literal in literals)
    if labels and not literals[-1]:
        pattern = pattern.removesuffix(_LABEL) + _LAST_LABEL
    # ListFunctions is called with and without a slash at the end.
    pattern += "/?"
    literal_length = sum(map(len, literals)) + len(query)
    return _Template(operation.name, re.compile(pattern), labels, parse_qs(query), literal_length)


def _rest_route(request: HttpRequest) -> Route:
    if len(request.raw_path) > _LONGEST_PATH or not _DOT_SEGMENTS.isdisjoint(request.raw_path.split(b"/")):
        raise UnknownOperation
    path = request.raw_path.decode("latin-1")
    for template in _rest_templates().get(request.method, ()):
        match = template.pattern.fullmatch(path)
        if match is None or not _has_query(request, template.query):
            continue
        values = (_decoded(value) for value in match.groups())
        return Route(service("lambda"), template.operation_name, dict(zip(template.labels, values, strict=True)))
    raise UnknownOperation


def _has_query(request: HttpRequest, wanted: Mapping[str, list[str]]) -> bool:
    if not wanted:
        return True
    try:
        sent = dict(form_fields(request.query_string))
    except SerializationFailed:
        return False
    return all(sent.get(name) == values[0] for name, values in wanted.items())


def _decoded(value: str) -> str:
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeDecodeError as error:
        raise UnknownOperation from error


def _query_route(request: HttpRequest) -> Route:
    """Read Action and Version from the form, or from the query of a GET, as pre-signed requests have them.

    The two are looked for, and the form is not read: nobody has signed yet, and a large form takes long.
    """
    if request.raw_path.strip(b"/"):
        raise UnknownOperation
    fields = {match[1]: match[2].decode() for match in _ROUTING_FIELD.finditer(query_source(request))}
    action, version = fields.get(b"Action", ""), fields.get(b"Version", "")
    name = QUERY_VERSIONS.get(version)
    if name is None or action not in service(name).operation_names:
        raise UnknownOperation(f"Could not find operation {action} for version {version or 'NO_VERSION'}")
    return Route(service(name), action)


def query_source(request: HttpRequest) -> bytes:
    """Return the encoded fields of a Query request: its body, or its query string if it has none."""
    return request.body or request.query_string
