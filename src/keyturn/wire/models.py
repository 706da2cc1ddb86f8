"""The service models: botocore's JSON, corrected where AWS is known to differ, as a few small read-only classes.

What Keyturn offers beside AWS's services has a model of its own, so that it is parsed, validated, redacted, authorised
and recorded like everything else, and boto3 makes the client of it.

This is the only module that knows botocore. Everything that a protocol needs to know about an operation (its shapes,
their constraints, what is sensitive, where a member travels, which errors it has) is read here and nowhere repeated.
A model is loaded when its service is first asked for, a shape when it is first followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Final, Literal

from botocore.loaders import Loader

from keyturn.service_models import OWN_MODELS

ProtocolName = Literal["json", "rest-json", "query", "ec2", "smithy-rpc-v2-cbor"]

API_VERSIONS: Final[Mapping[str, str]] = {
    "secretsmanager": "2017-10-17",
    "lambda": "2015-03-31",
    "iam": "2010-05-08",
    "sts": "2011-06-15",
    "logs": "2014-03-28",
    "cloudtrail": "2013-11-01",
    "kms": "2014-11-01",
    "organizations": "2016-11-28",
    "ec2": "2016-11-15",
    "cloudwatch": "2010-08-01",
    "keyturn": "2026-11-27",
}
"""The services Keyturn speaks, with the version of the API that is meant."""

# Where recorded answers or current documentation contradict the model: service, shape, traits to lay over it.
_SHAPE_CORRECTIONS: Final[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
    "lambda": {
        # AWS Lambda Developer Guide, "Configure Lambda function timeout": 1 to 900 seconds. The model's 5400 is for
        # compute types Keyturn does not offer.
        "Timeout": {"min": 1, "max": 900},
        # AWS Lambda Developer Guide, "Configure Lambda function memory": 128 to 10,240 MB; the model says 32,768.
        "MemorySize": {"min": 128, "max": 10240},
        # A pre-signed address is as good as the package it opens.
        "FunctionCodeLocation": {"sensitive": True},
    },
    "sts": {
        # The model marks the secret access key but not the session token, which is worth as much.
        "tokenType": {"sensitive": True},
    },
    "kms": {
        # AWS Key Management Service Developer Guide, "Grant token": it cannot be had from CloudTrail's events.
        "GrantTokenType": {"sensitive": True},
    },
    "logs": {
        # A function may print anything. AWS records neither the events put nor those read in CloudTrail.
        "EventMessage": {"sensitive": True},
    },
}

# Likewise for the HTTP status of a success.
_STATUS_CORRECTIONS: Final[Mapping[tuple[str, str], int]] = {
    # Recorded by localstack from AWS: DeleteFunction answers 204; the model says 200.
    ("lambda", "DeleteFunction"): 204,
}

# Errors AWS answers but the model does not list: service, shape name, HTTP status.
_FURTHER_ERRORS: Final[Mapping[str, Mapping[str, int]]] = {
    # Recorded by localstack: a zip file of more than 50 MB.
    "lambda": {"RequestEntityTooLargeException": 413},
    # Collected by moto: an alias that begins with alias/aws/.
    "kms": {"NotAuthorizedException": 400},
}

_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class ErrorModel:
    """How one modelled error looks on the wire.

    Attributes:
        code: The wire code, which need not be the shape's name.
        status: HTTP status.
        sender_fault: Whether the caller is to blame.
        shape: Its members.
    """

    code: str
    status: int
    sender_fault: bool
    shape: Shape


class Shape:
    """One type of the model, seen through one reference to it.

    Traits of the reference (a location, a name on the wire) are laid over those of the type.

    Attributes:
        name: The type's name.
        kind: ``structure`` ``list`` ``map`` ``string`` ``integer`` ``long`` ``float`` ``double`` ``boolean`` ``blob``
            or ``timestamp``.
        traits: Everything the model says about it, ``members`` and documentation aside.
    """

    def __init__(self, service: ServiceModel, name: str, traits: Mapping[str, Any]) -> None:
        self._service = service
        self.name = name
        self.traits = traits
        self.kind: str = traits["type"]

    def __repr__(self) -> str:
        return f"Shape({self.name}: {self.kind})"

    @cached_property
    def members(self) -> dict[str, Shape]:
        """Members of a structure, in the model's order."""
        return {name: self._service.follow(reference) for name, reference in self.traits.get("members", {}).items()}

    @cached_property
    def member(self) -> Shape:
        """Elements of a list."""
        return self._service.follow(self.traits["member"])

    @cached_property
    def key(self) -> Shape:
        """Keys of a map."""
        return self._service.follow(self.traits["key"])

    @cached_property
    def value(self) -> Shape:
        """Values of a map."""
        return self._service.follow(self.traits["value"])

    def only(self, members: Mapping[str, Shape]) -> Shape:
        """Return this structure reduced to some of its members; none of them is required."""
        reduced = Shape(self._service, self.name, {**self.traits, "required": (), "payload": None})
        reduced.members = dict(members)
        return reduced

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the members a structure must have."""
        return tuple(self.traits.get("required", ()))

    @property
    def sensitive(self) -> bool:
        """Whether values must not be shown anywhere."""
        return bool(self.traits.get("sensitive", False))

    @property
    def location(self) -> str | None:
        """Where a member travels if not in the body: uri, querystring, header, headers or statusCode."""
        location: str | None = self.traits.get("location")
        return location

    @property
    def wire_name(self) -> str | None:
        """The name on the wire, if it is not the member's own."""
        name: str | None = self.traits.get("locationName")
        return name

    @property
    def payload(self) -> str | None:
        """The member of a structure that is the whole body, if there is one."""
        payload: str | None = self.traits.get("payload")
        return payload


@dataclass(eq=False)
class OperationModel:
    """One operation. Compared by identity, so that what is compiled for it can be kept.

    Attributes:
        service: Its service.
        name: As in ``GetSecretValue``.
        http_method: ``POST`` unless the protocol is REST.
        request_uri: The template of its path.
        http_status: Status of a success.
        input: Shape of the request, None if it takes nothing.
        output: Shape of the response, None if it answers nothing.
        result_wrapper: The element around a Query response.
        error_codes: Shape name to (wire code, HTTP status) of the errors the operation lists.
    """

    service: ServiceModel = field(repr=False)
    name: str
    http_method: str
    request_uri: str
    http_status: int
    input: Shape | None
    output: Shape | None
    result_wrapper: str | None
    error_codes: Mapping[str, tuple[str, int]] = field(repr=False)


class ServiceModel:
    """One service. Get it from :func:`service`.

    Attributes:
        name: botocore's name of it, with which its actions begin.
        signing_name: What its signatures and its events in the trail call it.
        protocol: The one in whose words its errors are known. Of a service that took up further protocols later, and
            is compatible with its first, that is AWS Query.
        protocols: All that it speaks.
    """

    def __init__(self, name: str, description: Mapping[str, Any]) -> None:
        metadata = description["metadata"]
        self.name = name
        self.signing_name: str = metadata.get("signingName", metadata["endpointPrefix"])
        self.is_query_compatible = "awsQueryCompatible" in metadata
        self.protocol: ProtocolName = "query" if self.is_query_compatible else metadata["protocol"]
        self.protocols: tuple[ProtocolName, ...] = tuple(metadata.get("protocols", (self.protocol,)))
        self.api_version: str = metadata["apiVersion"]
        self.target_prefix: str = metadata.get("targetPrefix", "")
        self.json_version: str = metadata.get("jsonVersion", "1.1")
        self.xml_namespace: str = metadata.get("xmlNamespace", "")
        self.operation_names: tuple[str, ...] = tuple(description["operations"])
        self._operations: Mapping[str, Any] = description["operations"]
        self._shapes: dict[str, Any] = dict(description["shapes"])
        for shape_name, traits in _SHAPE_CORRECTIONS.get(name, {}).items():
            self._shapes[shape_name] = {**self._shapes[shape_name], **traits}
        for shape_name, status in _FURTHER_ERRORS.get(name, {}).items():
            self._shapes[shape_name] = {"type": "structure", "exception": True, "error": {"httpStatusCode": status}}
        self._compiled: dict[str, OperationModel] = {}

    def __repr__(self) -> str:
        return f"ServiceModel({self.name})"

    @property
    def event_source(self) -> str:
        """What its events in the trail say they come from."""
        return f"{self.signing_name}.amazonaws.com"

    def operation(self, name: str) -> OperationModel:
        """Return one operation, always the same object for the same name.

        Raises:
            KeyError: The service has no such operation; :func:`keyturn.wire.route.route` tells a caller.
        """
        operation = self._compiled.get(name)
        if operation is None:
            operation = self._compiled.setdefault(name, self._read_operation(name))
        return operation

    def shape(self, name: str) -> Shape:
        """Return one type by its name."""
        return Shape(self, name, self._shapes[name])

    def follow(self, reference: Mapping[str, Any]) -> Shape:
        """Return the type that ``reference`` names, with the reference's own traits laid over it."""
        name = reference["shape"]
        own = {key: value for key, value in reference.items() if key not in ("shape", "documentation")}
        return Shape(self, name, {**self._shapes[name], **own} if own else self._shapes[name])

    @cached_property
    def errors(self) -> Mapping[str, ErrorModel]:
        """Every error of the service by shape name."""
        return {
            name: _error_model(self.shape(name)) for name, traits in self._shapes.items() if traits.get("exception")
        }

    def _read_operation(self, name: str) -> OperationModel:
        entry = self._operations[name]
        http = entry["http"]
        listed = (reference["shape"] for reference in entry.get("errors", ()))
        return OperationModel(
            service=self,
            name=name,
            http_method=http["method"],
            request_uri=http["requestUri"],
            http_status=_STATUS_CORRECTIONS.get((self.name, name), http.get("responseCode", 200)),
            input=self.follow(entry["input"]) if "input" in entry else None,
            output=self.follow(entry["output"]) if "output" in entry else None,
            result_wrapper=entry.get("output", {}).get("resultWrapper"),
            error_codes={shape: (self.errors[shape].code, self.errors[shape].status) for shape in listed},
        )


@cache
def service(name: str) -> ServiceModel:
    """Return the model of one of :data:`API_VERSIONS`, loaded at the first call (tens of milliseconds).

    Raises:
        KeyError: Keyturn does not speak this service.
    """
    description = _loader().load_service_model(name, "service-2", API_VERSIONS[name])
    return ServiceModel(name, description)


@cache
def regions_of(partition: str) -> frozenset[str]:
    """Return the names of AWS's regions in a partition, without the pseudo regions of global endpoints."""
    partitions = _loader().load_data("partitions")["partitions"]
    names = {name for entry in partitions if entry["id"] == partition for name in entry["regions"]}
    return frozenset(name for name in names if not name.endswith("-global"))


def _loader() -> Loader:
    # The loader keeps what it has read, documentation included: a fresh one is dropped with its memory. It looks only
    # into botocore itself and at our own, because a model in the operator's ~/.aws/models must not change what this
    # server accepts.
    return Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH, str(OWN_MODELS)], include_default_search_paths=False)


def _error_model(shape: Shape) -> ErrorModel:
    """Read code and status; a service without modelled statuses answers 400, or 500 for a fault of its own."""
    error = shape.traits.get("error", {})
    fault = bool(shape.traits.get("fault", False) or error.get("fault", False))
    status = error.get("httpStatusCode", _SERVER_ERROR if fault else _CLIENT_ERROR)
    sender_fault = error.get("senderFault", status < _SERVER_ERROR)
    return ErrorModel(code=error.get("code", shape.name), status=status, sender_fault=sender_fault, shape=shape)
