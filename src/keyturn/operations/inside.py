"""AWS clients whose calls never leave this process: what the doctor asks with, inside the server.

The doctor speaks to clients of botocore, to AWS's as to Keyturn's. Here such a client has its request answered by the
operations themselves: parsed and serialised as on the wire, so that each reply, page and error is what any client gets,
but without a socket, a signature, a policy or an event in the trail. It is the server that looks, not a principal.

Only operations that read are answered, and none that opens a secret value.
"""

from __future__ import annotations

import functools
import io
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

import botocore.session
from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HeadersDict
from botocore.config import Config

from keyturn.arn import Place
from keyturn.call import Call, Principal, PrincipalKind
from keyturn.errors.base import AwsError
from keyturn.errors.common import InternalFailure, NotImplementedHere
from keyturn.ids import new_request_id
from keyturn.operations import registry
from keyturn.operations.kit import Kit
from keyturn.operations.subject import Subject
from keyturn.rules.policy.evaluate import Decision, Outcome, PolicyType
from keyturn.service_models import OWN_MODELS
from keyturn.wire import protocol
from keyturn.wire.http import HttpReply, HttpRequest
from keyturn.wire.route import route

# Nobody resolves it: it is never connected to.
_ENDPOINT = "http://keyturn.invalid"
_NAME = "keyturn.preflight"
_VALUES = frozenset({"GetSecretValue", "BatchGetSecretValue", "GetRandomPassword"})
_SESSION_LOCK: Final = threading.Lock()


class InsideClients:
    """Clients of one account's region by their services' names, made when they are first needed.

    Args:
        kit: Adapters.
        place: The account and the region that are looked at.
    """

    def __init__(self, kit: Kit, place: Place) -> None:
        self._kit = replace(kit, authorise=_Anything())
        self._place = place
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}

    def __getitem__(self, service: str) -> Any:
        """Return the client of a service, by botocore's name of it."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._new_client(service)
            return self._clients[service]

    def _new_client(self, service: str) -> Any:
        config = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
        # Sessions are not made for threads.
        with _SESSION_LOCK:
            client: Any = _session().create_client(
                service, region_name=self._place.region, endpoint_url=_ENDPOINT, config=config
            )
        client.meta.events.register("before-send", self._answer)
        return client

    def _answer(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        """Answer in place of the network; botocore asks this before it sends."""
        reply = self._reply(_read(request))
        headers: Any = HeadersDict({name.decode(): value.decode() for name, value in reply.headers})
        return AWSResponse(request.url, reply.status, headers, _Body(reply.body))

    def _reply(self, request: HttpRequest) -> HttpReply:
        found = route(request)
        model = found.service.operation(found.operation_name)
        wire, request_id = protocol(found.service, request), new_request_id()
        operation = registry.find(found.service.name, found.operation_name)
        try:
            if operation is None:
                raise NotImplementedHere(f"Keyturn does not offer {found.service.name} {found.operation_name}.")
            if not operation.read_only or operation.name in _VALUES:
                raise InternalFailure(f"{operation.name} is not asked from inside.")
            parameters = wire.parse(model, found, request)
            response = self._run(operation, self._call(request_id), parameters)
            return wire.reply(model, response, request_id)
        except AwsError as error:
            return wire.error(found.service, model, error, request_id)

    def _run(self, operation: registry.Operation, call: Call, parameters: Mapping[str, Any]) -> registry.Response:
        subject = operation.load(self._kit, call, parameters)
        if subject.missing is not None:
            raise subject.missing
        return operation.handle(self._kit, call, parameters, subject.record)

    def _call(self, request_id: Any) -> Call:
        account_id = self._place.account_id
        principal = Principal(PrincipalKind.SERVICE, arn=_NAME, unique_id=_NAME, account_id=account_id, name=_NAME)
        return Call(
            principal=principal,
            place=self._place,
            source_address=_NAME,
            user_agent=_NAME,
            request_id=request_id,
            at=self._kit.clock.now(),
            further_events=[],
        )


class _Anything:
    """Allows what operations ask for beside their own action: the server may look at everything that it keeps."""

    def __call__(self, call: Call, action: str, subject: Subject[object]) -> None:
        """Return."""

    def decide(self, call: Call, action: str, subject: Subject[object]) -> Decision:  # noqa: ARG002 - as Authorise has it
        """Allow."""
        return Decision(Outcome.ALLOW, PolicyType.IDENTITY)

    def may_deny(self, call: Call) -> bool:  # noqa: ARG002 - likewise
        """Deny nothing."""
        return False


class _Body(io.BytesIO):
    """What botocore reads a reply from."""

    def stream(self) -> Iterator[bytes]:
        """Yield all of it."""
        yield self.read()


@functools.cache
def _session() -> botocore.session.Session:
    """The session of all these clients, which nothing of the machine's AWS settings has a part in."""
    settings: dict[str, Any] = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    session = botocore.session.Session(session_vars=settings)
    session.get_component("data_loader").search_paths.append(str(OWN_MODELS))
    return session


def _read(request: AWSPreparedRequest) -> HttpRequest:
    url = urlsplit(request.url)
    headers = {name.lower(): _text(value) for name, value in request.headers.items()}
    body: Any = request.body or b""
    return HttpRequest(
        method=request.method,
        raw_path=url.path.encode() or b"/",
        query_string=url.query.encode(),
        headers=headers,
        body=body.encode() if isinstance(body, str) else bytes(body),
        scheme="http",
        client_host=_NAME,
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
