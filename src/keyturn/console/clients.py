"""boto3's clients whose requests go straight into the pipeline: no socket, and no other way in than everybody's.

A client signs with the access key of whoever is signed in, so that their own policies decide, and each call is
validated and audited like one that came from outside, with the browser's address. botocore's ``before-send`` is where a
request can be answered without being sent (botocore, ``httpsession`` and ``awsrequest.AWSResponse``).
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from keyturn.sensitive import Sensitive
from keyturn.server.pipeline import Pipeline
from keyturn.service_models import OWN_MODELS
from keyturn.wire.http import HttpReply, HttpRequest

USER_AGENT = "Keyturn-Console"
_MOST_KEPT = 64
_OK = 200


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a browser is, and by which address it reached the server.

    Attributes:
        url: Scheme and host as in the browser's address line, without a trailing slash.
        client_host: The browser's IP address.
    """

    url: str
    client_host: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a session signs with; ``session_token`` is empty for a user's own access key."""

    access_key_id: str
    secret_access_key: Sensitive[str]
    session_token: Sensitive[str]


class Answers:
    """Answers a request as the server would that is asked by a socket. Called from threads beside its loop.

    Args:
        pipeline: For signed calls.
        downloads: Answers links that calls have handed out: path and query to reply, or None.
        loop: The server's.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        downloads: Callable[[bytes, bytes], HttpReply | None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._pipeline = pipeline
        self.downloads = downloads
        self._loop = loop

    def answer(self, request: HttpRequest) -> HttpReply:
        """Run a request through all steps of the pipeline."""
        return asyncio.run_coroutine_threadsafe(self._pipeline.answer(request), self._loop).result()

    def might_allow(self, request: HttpRequest, *, resource_is_chosen: bool) -> bool:
        """Return whether it might be let through."""
        return self._pipeline.might_allow(request, resource_is_chosen=resource_is_chosen)


class Judge(Protocol):
    """Says whether a request might be let through."""

    def __call__(self, request: HttpRequest, *, resource_is_chosen: bool) -> bool:
        """Return it; nothing is done or recorded."""
        ...


class Clients:
    """Clients of one session, by botocore's names of the services; satisfies the doctor's ``ClientsByName``."""

    def __init__(
        self,
        make: Callable[[str], Any],
        answers: Callable[[HttpRequest], HttpReply],
        might_allow: Judge,
        downloads: Callable[[bytes, bytes], HttpReply | None],
        endpoint_url: str,
    ) -> None:
        self.endpoint_url = endpoint_url
        self._make = make
        self._answers = answers
        self._might_allow = might_allow
        self._downloads = downloads
        self._clients: dict[str, Any] = {}
        self._asking: dict[str, Any] = {}
        self._making = threading.Lock()

    @property
    def target(self) -> str:
        """The options, each behind a space, that lead a command of the AWS CLI to this server and not to AWS."""
        return f" --endpoint-url {self.endpoint_url}"

    def __getitem__(self, service: str) -> Any:
        """Return the client of a service."""
        with self._making:
            if service not in self._clients:
                self._clients[service] = _sending(self._make(service), self._answered)
            return self._clients[service]

    def fetch(self, link: str) -> bytes | None:
        """Return what a link leads to that a call has handed out, as GetFunction does; None if it does so no more."""
        url = urlsplit(link)
        reply = self._downloads(url.path.encode(), url.query.encode())
        return None if reply is None or reply.status != _OK else reply.body

    def allow(self, service: str, operation: str, **parameters: Any) -> bool:
        """Return whether a call might be allowed, as a button has to know; nothing is done or recorded.

        Conditions on what is filled in only then, tags for instance, are taken to be met.

        Args:
            service: As botocore names it.
            operation: Name of the client's method, for instance ``rotate_secret``.
            parameters: As for the call itself. What decides are those that name its resource; where others have to be
                there, any that the service accepts will do.
        """
        return self._might_allow(self._unsent(service, operation, parameters), resource_is_chosen=False)

    def allow_some(self, service: str, operation: str, **parameters: Any) -> bool:
        """Return whether a call might be allowed about something of whatever name, as a form for a new one has to know.

        Args:
            service: As botocore names it.
            operation: Name of the client's method, for instance ``create_secret``.
            parameters: Any that the service accepts.
        """
        return self._might_allow(self._unsent(service, operation, parameters), resource_is_chosen=True)

    def _unsent(self, service: str, operation: str, parameters: Mapping[str, Any]) -> HttpRequest:
        with self._making:
            if service not in self._asking:
                self._asking[service] = _sending(self._make(service), _keep)
            client = self._asking[service]
        try:
            getattr(client, operation)(**parameters)
        except _Unsent as unsent:
            return unsent.request
        raise TypeError(f"{service} {operation} was sent")

    def _answered(self, request: Any, **_: Any) -> Any:
        # A quarter of a second to import; a server that nobody looks at in a browser need not take it.
        from botocore.awsrequest import AWSResponse  # noqa: PLC0415 - see above
        from botocore.compat import HTTPHeaders  # noqa: PLC0415 - likewise

        reply = self._answers(_http_request(request))
        headers = HTTPHeaders.from_pairs(
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in reply.headers]
        )
        return AWSResponse(request.url, reply.status, headers, _Raw(reply.body))


class ClientMaker:
    """Makes the clients of sessions, and keeps those of the sessions that were used last."""

    def __init__(self, answers: Answers) -> None:
        import botocore.session  # noqa: PLC0415 - a quarter of a second to import
        from botocore.config import Config  # noqa: PLC0415 - likewise

        self._answers = answers
        self._session = botocore.session.Session()
        # Nothing of the machine that the server runs on decides what the console asks.
        self._session.set_config_variable("credentials_file", "/dev/null")
        self._session.set_config_variable("config_file", "/dev/null")
        self._session.get_component("data_loader").search_paths.append(str(OWN_MODELS))
        # What is wrong with a parameter the server says, in AWS's words.
        self._config = Config(
            retries={"total_max_attempts": 1},
            user_agent=USER_AGENT,
            parameter_validation=False,
            inject_host_prefix=False,
        )
        self._kept: OrderedDict[tuple[str, str, Origin], Clients] = OrderedDict()
        self._keeping = threading.Lock()
        self._making = threading.Lock()

    def clients(self, credentials: Credentials, region: str, origin: Origin) -> Clients:
        """Return the clients of whoever holds credentials, in a region, at a browser."""
        key = (credentials.access_key_id, region, origin)
        with self._keeping:
            kept = self._kept.get(key)
            if kept is None:
                self._kept[key] = kept = self._new(credentials, region, origin)
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
            return kept

    def _new(self, credentials: Credentials, region: str, origin: Origin) -> Clients:
        def make(service: str) -> Any:
            # botocore makes clients in one thread at a time only.
            with self._making:
                return self._session.create_client(
                    service,
                    region_name=region,
                    endpoint_url=origin.url,
                    aws_access_key_id=credentials.access_key_id,
                    aws_secret_access_key=credentials.secret_access_key.reveal(),
                    aws_session_token=credentials.session_token.reveal() or None,
                    config=self._config,
                )

        def completed(request: HttpRequest) -> HttpRequest:
            return request._replace(client_host=origin.client_host)

        def might_allow(request: HttpRequest, *, resource_is_chosen: bool) -> bool:
            return self._answers.might_allow(completed(request), resource_is_chosen=resource_is_chosen)

        return Clients(
            make,
            lambda request: self._answers.answer(completed(request)),
            might_allow,
            self._answers.downloads,
            origin.url,
        )


class _Unsent(Exception):
    """A request that would have been sent."""

    def __init__(self, request: HttpRequest) -> None:
        super().__init__()
        self.request = request


def _keep(request: Any, **_: Any) -> Any:
    raise _Unsent(_http_request(request))


class _Raw(io.BytesIO):
    """A body as botocore reads it: whole, or in pieces where an operation streams."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.getvalue()


def _sending(client: Any, send: Callable[..., Any]) -> Any:
    client.meta.events.register("before-send", send)
    return client


def _http_request(request: Any) -> HttpRequest:
    """Return a prepared request of botocore's as the server reads it from a socket."""
    url = urlsplit(request.url)
    headers = {name.lower(): _text(value).strip() for name, value in request.headers.items()}
    headers.setdefault("host", url.netloc)
    body = request.body or b""
    if not isinstance(body, bytes | bytearray):
        body = body.encode() if isinstance(body, str) else body.read()
    return HttpRequest(
        method=request.method,
        raw_path=url.path.encode("ascii") or b"/",
        query_string=url.query.encode("ascii"),
        headers=headers,
        body=bytes(body),
        scheme=url.scheme,
        client_host="",
    )


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
