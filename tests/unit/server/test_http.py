from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from keyturn.arn import Place
from keyturn.entrance import Entrance
from keyturn.errors.base import AwsError
from keyturn.server import http
from keyturn.server.http import Application
from keyturn.wire.http import HttpReply, HttpRequest


class FakePipeline:
    """Answers with status 200, or with the refusal's name as the body."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []
        self.held_bytes: list[int] = []

    async def answer(self, request: HttpRequest) -> HttpReply:
        self.requests.append(request)
        return HttpReply(200, (), b"")

    async def refuse(self, request: HttpRequest, error: AwsError) -> HttpReply:
        self.requests.append(request)
        return HttpReply(413, (), type(error).__name__.encode())


class Bench:
    def __init__(self) -> None:
        self.pipeline = FakePipeline()
        self.is_ready = True
        self.application = Application(cast("Any", self.pipeline), lambda: self.is_ready, self.download, self.metrics)
        self.sent: list[Any] = []

    def download(self, path: bytes, _query: bytes) -> HttpReply | None:
        return HttpReply(200, (), b"zip") if path == b"/package" else None

    async def metrics(self, headers: Mapping[str, str]) -> HttpReply:
        return HttpReply(200, (), headers.get("authorization", "no token").encode())

    def ask(
        self,
        *body: bytes,
        method: str = "POST",
        path: bytes = b"/",
        headers: Sequence[tuple[bytes, bytes]] = (),
        goes: bool = False,
        entrance: Entrance | None = None,
    ) -> None:
        """Send one request, its body in pieces; with ``goes`` the client goes after the last of them."""
        pieces: list[dict[str, Any]] = [
            {"type": "http.request", "body": piece, "more_body": goes or number < len(body) - 1}
            for number, piece in enumerate(body)
        ]
        messages = iter([*pieces, {"type": "http.disconnect"}])

        async def receive() -> Any:
            return next(messages)

        async def send(message: Any) -> None:
            self.sent.append(message)

        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "raw_path": path,
            "query_string": b"",
            "headers": list(headers),
            "scheme": "http",
            "client": ("192.0.2.7", 40000),
        }
        if entrance is not None:
            scope["entrance"] = entrance
        asyncio.run(self.application(scope, receive, send))

    @property
    def reply(self) -> tuple[int, bytes]:
        start, body = self.sent
        return start["status"], body["body"]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_pieces_of_a_body_are_put_together(bench: Bench) -> None:
    bench.ask(b"one ", b"two ", b"three")

    assert bench.pipeline.requests[0].body == b"one two three"
    assert bench.reply == (200, b"")


def test_metrics_are_asked_for_with_a_token_and_never_of_the_pipeline(bench: Bench) -> None:
    bench.ask(method="GET", path=b"/metrics", headers=[(b"authorization", b"Bearer token")])

    assert bench.reply == (200, b"Bearer token")
    assert bench.pipeline.requests == []
    bench.sent.clear()
    bench.ask(b"", method="POST", path=b"/metrics")
    assert len(bench.pipeline.requests) == 1


def test_headers_keep_every_octet_and_are_joined_where_they_repeat(bench: Bench) -> None:
    bench.ask(b"", headers=[(b"x-a", b" \xff "), (b"host", b"a"), (b"x-a", b"b")])

    (request,) = bench.pipeline.requests
    assert request.headers == {"x-a": "\xff,b", "host": "a"}
    assert request.client_host == "192.0.2.7"


def test_a_client_that_goes_before_its_request_is_complete_leaves_no_trace(bench: Bench) -> None:
    bench.ask(goes=True)
    bench.ask(b"half", goes=True)

    assert (bench.sent, bench.pipeline.requests) == ([], [])


def test_a_declared_length_is_refused_before_a_byte_is_read(bench: Bench) -> None:
    bench.ask(headers=[(b"content-length", b"%d" % (http.MAX_BODY_BYTES_AT_ROOT + 1))])

    assert bench.reply == (413, b"RequestTooLarge")
    assert (b"connection", b"close") not in bench.sent[0]["headers"]


def test_who_asked_before_sending_is_told_that_the_connection_ends(bench: Bench) -> None:
    bench.ask(headers=[(b"content-length", b"9999999999"), (b"expect", b"100-continue")])

    assert (b"connection", b"close") in bench.sent[0]["headers"]


@pytest.mark.parametrize(
    ("path", "limit_bytes"), [(b"/", http.MAX_BODY_BYTES_AT_ROOT), (b"/2015-03-31/functions", http.MAX_BODY_BYTES)]
)
def test_only_lambdas_paths_take_large_bodies(bench: Bench, path: bytes, limit_bytes: int) -> None:
    bench.ask(bytes(limit_bytes - 1), b"a", path=path)
    assert bench.reply == (200, b"")

    bench.sent.clear()
    bench.ask(bytes(limit_bytes), b"a", path=path)
    assert bench.reply == (413, b"RequestTooLarge")


def test_all_bodies_together_have_a_limit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_BODY_BYTES_TOGETHER", 100)

    bench.ask(bytes(60), bytes(60))
    assert bench.reply == (413, b"Throttled")

    # What was held is given back, whatever became of the request.
    bench.ask(bytes(60), goes=True)
    bench.sent.clear()
    bench.ask(bytes(60), bytes(40))
    assert bench.reply == (200, b"")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_needs_no_signature(bench: Bench, method: str) -> None:
    bench.ask(method=method, path=b"/healthz")
    assert bench.reply == (200, b"ok\n")

    bench.sent.clear()
    bench.ask(method=method, path=b"/readyz")
    assert bench.reply == (200, b"ready\n")

    bench.sent.clear()
    bench.is_ready = False
    bench.ask(method=method, path=b"/readyz")
    assert bench.reply == (503, b"not ready\n")
    assert bench.pipeline.requests == []


def test_a_download_link_needs_no_signature_and_any_other_get_does(bench: Bench) -> None:
    bench.ask(method="GET", path=b"/package")
    assert bench.reply == (200, b"zip")

    bench.ask(b"", method="GET", path=b"/2015-03-31/functions")
    assert len(bench.pipeline.requests) == 1


def test_what_comes_by_a_door_has_its_entrance_and_the_callers_address_in_the_vpc() -> None:
    bench = Bench()
    door = Entrance("vpce-1", "vpc-1", "10.0.1.5", Place("aws", "us-east-1", "000000000000"))

    bench.ask(b"{}", entrance=door)
    bench.ask(b"{}")

    assert [(each.client_host, each.entrance) for each in bench.pipeline.requests] == [
        ("10.0.1.5", door),
        ("192.0.2.7", None),
    ]
