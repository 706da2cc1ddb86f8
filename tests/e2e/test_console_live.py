"""Parts of pages that are sent as they change: who holds a connection for it, and who asks again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import urllib3

from .conftest import DEADLINE_SECONDS, Credentials, ServerProcess, wait_until
from .console_session import ConsoleSession
from .raw_http import Wire

_PLACES, _PLACES_OF_KEY = 3, 30


@pytest.fixture
def session(server: ServerProcess) -> ConsoleSession:
    return ConsoleSession(server)


def user(server: ServerProcess, name: str) -> Credentials:
    """A user who may do everything."""
    iam = server.client("iam")
    iam.create_user(UserName=name)
    document = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


@contextmanager
def followed(server: ServerProcess, session: ConsoleSession, **headers: str) -> Iterator[urllib3.BaseHTTPResponse]:
    """Follow a log."""
    cookie = f"keyturn-session={session.cookies['keyturn-session']}"
    with urllib3.PoolManager(timeout=DEADLINE_SECONDS) as pool:
        answered = pool.request(
            "GET",
            f"{server.endpoint_url}/console/log/live?group=/followed",
            headers={"cookie": cookie, **headers},
            preload_content=False,
        )
        assert answered.status == 200
        yield answered
        answered.close()


@pytest.fixture(scope="module", autouse=True)
def group(server: ServerProcess) -> None:
    server.client("logs").create_log_group(logGroupName="/followed")


def goes_on(answered: urllib3.BaseHTTPResponse) -> bool:
    """Whether it goes on after what is new was sent: with a line of no meaning, until there is more."""
    read = b""
    while not read.endswith(b"\n:"):
        piece = answered.read(1)
        if not piece:
            assert read == b"retry: 5000\n\n"
            return False
        read += piece
    return True


def test_a_session_holds_some_connections_and_asks_again_beside_them(
    server: ServerProcess, session: ConsoleSession
) -> None:
    with ExitStack() as held:
        for _ in range(_PLACES - 1):
            assert goes_on(held.enter_context(followed(server, session)))
        with followed(server, session) as last:
            assert goes_on(last)
            with followed(server, session) as other:
                assert not goes_on(other)
            # Others have theirs.
            with followed(server, ConsoleSession(server)) as of_another:
                assert goes_on(of_another)

        def has_place() -> bool:
            with followed(server, session) as asked_again:
                return goes_on(asked_again)

        wait_until(has_place, "who asks again gets the place that is free", server)


def test_one_key_does_not_hold_the_connections_of_all(server: ServerProcess) -> None:
    credentials = user(server, "many-windows")
    sessions = [ConsoleSession(server, credentials) for _ in range(_PLACES_OF_KEY // _PLACES)]
    with ExitStack() as held:
        for session in sessions * _PLACES:
            assert goes_on(held.enter_context(followed(server, session)))
        with followed(server, ConsoleSession(server, credentials)) as other:
            assert not goes_on(other)
        with followed(server, ConsoleSession(server)) as of_another:
            assert goes_on(of_another)


def test_who_asks_for_the_head_holds_nothing(server: ServerProcess, session: ConsoleSession) -> None:
    head = f"host: localhost\r\ncookie: keyturn-session={session.cookies['keyturn-session']}\r\n\r\n"
    with Wire(server) as wire:
        for _ in range(20):
            wire.send(f"HEAD /console/log/live?group=/followed HTTP/1.1\r\n{head}".encode())
            answered = wire.reply(to_head=True)
            assert (answered.status, answered.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        wire.send(f"HEAD /console/secrets HTTP/1.1\r\n{head}".encode())
        assert wire.reply(to_head=True).status == 200
    with followed(server, session) as followed_too:
        assert goes_on(followed_too)


def test_who_goes_at_once_holds_nothing(server: ServerProcess, session: ConsoleSession) -> None:
    head = f"host: localhost\r\ncookie: keyturn-session={session.cookies['keyturn-session']}\r\n\r\n"
    for _ in range(40):
        with Wire(server) as wire:
            wire.send(f"GET /console/log/live?group=/followed HTTP/1.1\r\n{head}".encode())

    def has_place() -> bool:
        with followed(server, session) as answered:
            return goes_on(answered)

    wait_until(has_place, "places are free again", server)


def test_who_asks_again_gets_what_came_since(server: ServerProcess, session: ConsoleSession) -> None:
    now = int(time.time()) * 1000 - 600_000
    logs = server.client("logs")
    logs.create_log_stream(logGroupName="/followed", logStreamName="s")
    logs.put_log_events(
        logGroupName="/followed",
        logStreamName="s",
        logEvents=[{"timestamp": now + 120_000 * minute, "message": f"line {minute}"} for minute in range(3)],
    )

    def sent(mark: str) -> bytes:
        with followed(server, session, **{"last-event-id": mark}) as answered:
            read = b""
            while not read.endswith(b"\n:"):
                read += answered.read(1)
            return read

    all_of_it = sent(str(now))
    assert b"line 0" in all_of_it
    # The browser gives back the mark that it got last.
    assert f"id: {now + 240_000}\n".encode() in all_of_it
    since = sent(str(now + 240_000))
    assert b"line 2" in since
    assert b"line 0" not in since
