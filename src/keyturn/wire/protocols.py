"""Which module speaks a protocol, and which protocol a request is in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from typing import Protocol as TypingProtocol

from keyturn.errors.base import AwsError
from keyturn.wire import cbor, ec2, json11, query, rest_json
from keyturn.wire.http import HttpReply, HttpRequest
from keyturn.wire.models import OperationModel, ProtocolName, ServiceModel
from keyturn.wire.outcome import Outcome
from keyturn.wire.route import Route, spoken_in


class Protocol(TypingProtocol):
    """The functions that every protocol has; its module documents them."""

    def parse(self, operation: OperationModel, route: Route, request: HttpRequest) -> dict[str, Any]:
        """Read and validate a request."""
        ...

    def reply(self, operation: OperationModel, response: Mapping[str, Any], request_id: str) -> HttpReply:
        """Write a response."""
        ...

    def told_as(self, service: ServiceModel, error: AwsError) -> Outcome:
        """Say what an error is called on the wire."""
        ...

    def error(
        self, service: ServiceModel, operation: OperationModel | None, error: AwsError, request_id: str
    ) -> HttpReply:
        """Write an error."""
        ...


PROTOCOLS: Final[Mapping[ProtocolName, Protocol]] = {
    "json": json11,
    "rest-json": rest_json,
    "query": query,
    "ec2": ec2,
    "smithy-rpc-v2-cbor": cbor,
}


def protocol(service: ServiceModel, request: HttpRequest | None = None) -> Protocol:
    """Return the protocol a service speaks; of several the one of a request, or without one the service's first."""
    return PROTOCOLS[service.protocol if request is None else spoken_in(service, request)]
