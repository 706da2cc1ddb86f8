"""What callers send before anybody knows who they are: any octets are read or refused in the service's words."""

from __future__ import annotations

from typing import Final

from tests.fuzz.targets.signatures import read_request

from keyturn.arn import Place
from keyturn.crypto.keyring import Keyring, MaterialId, WrappedMaterial
from keyturn.crypto.tokens import ForeignToken, TokenSealer
from keyturn.errors.common import SerializationFailed, UnknownOperation, ValidationFailed
from keyturn.errors.lambda_ import InvalidParameterValueException, ResourceNotFoundException
from keyturn.operations.lambda_.names import parse_function_name
from keyturn.testing.root_key import InMemoryProvider
from keyturn.wire.http import HttpRequest
from keyturn.wire.models import service
from keyturn.wire.protocols import protocol
from keyturn.wire.route import Route, addressed_service, route

_LONGEST: Final = 8192
_JSON: Final = tuple(
    (name, operation)
    for name, operations in (
        ("secretsmanager", ("CreateSecret", "GetSecretValue", "ListSecrets", "PutResourcePolicy", "RotateSecret")),
        ("logs", ("FilterLogEvents", "PutLogEvents")),
        ("cloudtrail", ("LookupEvents",)),
        ("kms", ("CreateKey", "Encrypt")),
        ("organizations", ("CreateAccount",)),
    )
    for operation in operations
)
_FORMS: Final = tuple(
    (name, operation)
    for name, operations in (
        ("iam", ("CreateRole", "SimulateCustomPolicy", "ListUsers")),
        ("sts", ("AssumeRole", "GetCallerIdentity")),
        ("ec2", ("CreateVpc", "DescribeVpcs")),
        ("cloudwatch", ("GetMetricStatistics",)),
    )
    for operation in operations
)
_PLACE: Final = Place("aws", "us-east-1", "000000000000")


def json_bodies(data: bytes) -> None:
    """Read a body as an operation of JSON 1.1: the first byte chooses which."""
    name, operation = _JSON[data[0] % len(_JSON) if data else 0]
    _read(Route(service(name), operation), _posted(data[1:_LONGEST]))


def forms(data: bytes) -> None:
    """Read a form as an operation, chosen by the first byte, and as whatever it says it is."""
    name, operation = _FORMS[data[0] % len(_FORMS) if data else 0]
    request = _posted(data[1:_LONGEST])
    _read(Route(service(name), operation), request)
    _read_routed(request)
    _read_routed(request._replace(method="GET", query_string=request.body, body=b""))


def paths(data: bytes) -> None:
    """Read a request of Lambda's: its path, its query, its body; and the function that it names."""
    request = read_request(data[:_LONGEST])
    if request is None:
        return
    found = _read_routed(request)
    if found is not None and "FunctionName" in found:
        _name_function(str(found["FunctionName"]))
    _name_function(request.raw_path.decode("latin-1"))


def tokens(data: bytes) -> None:
    """Open a text as a session token, and a real token that was altered: where, how much of it, by what."""
    _refused(data[:_LONGEST].decode("latin-1"))
    at, gone = int.from_bytes(data[:2], "big") % (len(_TOKEN) + 1), data[2] % 8 if len(data) > 2 else 0
    altered = _TOKEN[:at] + data[3:_LONGEST].decode("latin-1") + _TOKEN[at + gone :]
    if altered == _TOKEN:
        assert _SEALER.open(altered) == _PAYLOAD
    else:
        _refused(altered)


def _posted(body: bytes) -> HttpRequest:
    return HttpRequest("POST", b"/", b"", {}, body, "http", "127.0.0.1")


def _read_routed(request: HttpRequest) -> dict[str, object] | None:
    assert addressed_service(request).name
    try:
        found = route(request)
    except UnknownOperation:
        return None
    return _read(found, request)


def _read(found: Route, request: HttpRequest) -> dict[str, object] | None:
    operation = found.service.operation(found.operation_name)
    spoken = protocol(found.service)
    try:
        return spoken.parse(operation, found, request)
    except (SerializationFailed, ValidationFailed) as error:
        reply = spoken.error(found.service, operation, error, "the-request-id")
        assert 400 <= reply.status < 500
        reply.body.decode()
    return None


def _name_function(text: str) -> None:
    try:
        reference = parse_function_name(_PLACE, text)
    except (InvalidParameterValueException, ResourceNotFoundException):
        return
    again = parse_function_name(_PLACE, reference.arn)
    assert (again.name, again.qualifier, again.arn) == (reference.name, reference.qualifier, reference.arn)


# Session tokens -------------------------------------------------------------------------------------------------------


def _sealer(purpose: str) -> TokenSealer:
    materials: dict[MaterialId, WrappedMaterial] = {}
    keyring = Keyring(InMemoryProvider(), materials.__getitem__)
    materials[MaterialId("system")] = keyring.new_material(MaterialId("system"))
    return TokenSealer(keyring, key_id="system", purpose=purpose)


_PAYLOAD: Final = {"role": "rotation", "secret_access_key": "s", "expires_at": "1767323045000"}
_SEALER: Final = _sealer("sts-session")
_TOKEN: Final = _SEALER.seal(_PAYLOAD)


def _refused(token: str) -> None:
    if token == _TOKEN:
        return
    try:
        _SEALER.open(token)
    except ForeignToken:
        return
    raise AssertionError("a token was opened that was not sealed here")
