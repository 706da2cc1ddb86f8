from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from keyturn.console.session import IDLE, WHOLE, Session, Sessions, SignedIn
from keyturn.crypto.tokens import TokenSealer
from keyturn.errors.common import UnrecognizedClient
from keyturn.sensitive import Sensitive
from keyturn.server.authenticate import Signer
from keyturn.storage import console_sign_outs
from keyturn.testing.handlers import HandlerBench, open_bench, user

SECRET = "the secret access key"
MINUTE = timedelta(minutes=1)


class Desk:
    def __init__(self, bench: HandlerBench) -> None:
        self.clock, kit = bench.clock, bench.kit
        self.state = kit.state
        self.is_active = True
        self.kit = kit
        self.sealer = TokenSealer(kit.keyring, key_id=kit.system_key_id, purpose="console-session")
        self.sessions = Sessions(self.sealer, self.find, kit.state, kit.clock)

    def find(self, access_key_id: str, session_token: str | None, now: datetime) -> Signer:
        del now
        if access_key_id != "AKIA" or not self.is_active or session_token not in (None, "token"):
            raise UnrecognizedClient
        return Signer(user("anna"), Sensitive(SECRET))

    def begin(self, session_token: str = "") -> SignedIn:
        begun = self.sessions.begin("AKIA", SECRET, session_token, "us-east-1")
        assert begun is not None
        return begun

    def cookie(self) -> str:
        cookie = self.begin().cookie
        assert cookie is not None
        return cookie


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_bench(tmp_path) as bench:
        yield Desk(bench)


def test_who_knows_a_key_gets_a_session_of_its_own_each_time(desk: Desk) -> None:
    first, second = desk.begin(), desk.begin()

    assert first.principal.name == "anna"
    assert first.credentials.secret_access_key.reveal() == SECRET
    assert first.session.session_id != second.session.session_id
    assert first.session.is_forged(second.session.csrf_token.reveal())
    assert not first.session.is_forged(first.session.csrf_token.reveal())


@pytest.mark.parametrize(
    ("access_key_id", "secret", "token"),
    [("AKIA", "", ""), ("AKIA", "guess", ""), ("AKIB", SECRET, ""), ("AKIB", "", ""), ("AKIA", SECRET, "forged")],
)
def test_nobody_else_does(desk: Desk, access_key_id: str, secret: str, token: str) -> None:
    assert desk.sessions.begin(access_key_id, secret, token, "us-east-1") is None


@pytest.mark.parametrize("access_key_id", ["", "AKIA\0", "AK IA", "é", "A" * 129])
def test_what_is_no_access_key_id_is_not_looked_up(desk: Desk, access_key_id: str) -> None:
    def find(asked: str, *_: object) -> Signer:
        raise AssertionError(f"the database was asked for {asked}")

    sessions = Sessions(desk.sealer, find, desk.state, desk.clock)

    assert sessions.begin(access_key_id, SECRET, "", "us-east-1") is None


def test_a_cookie_holds_neither_the_secret_nor_anything_to_be_read(desk: Desk) -> None:
    cookie = desk.cookie()

    assert SECRET not in str(desk.sealer.open(cookie))
    assert "AKIA" not in cookie


def test_a_session_ends_when_it_is_not_used(desk: Desk) -> None:
    cookie = desk.cookie()

    desk.clock.advance(IDLE - MINUTE)
    assert desk.sessions.open(cookie) is not None
    desk.clock.advance(MINUTE)
    assert desk.sessions.open(cookie) is None


def test_a_session_that_is_used_ends_in_the_evening(desk: Desk) -> None:
    cookie, used = desk.cookie(), timedelta(0)

    while used + 50 * MINUTE < WHOLE:
        used += 50 * MINUTE
        desk.clock.advance(50 * MINUTE)
        found = desk.sessions.open(cookie)
        assert found is not None
        assert found.cookie is not None
        cookie = found.cookie
    desk.clock.advance(WHOLE - used)

    assert desk.sessions.open(cookie) is None


def test_a_cookie_is_not_renewed_at_each_request(desk: Desk) -> None:
    cookie = desk.cookie()

    desk.clock.advance(4 * MINUTE)
    found = desk.sessions.open(cookie)

    assert found is not None
    assert found.cookie is None


def test_a_session_ends_with_its_key(desk: Desk) -> None:
    cookie = desk.cookie()
    desk.is_active = False

    assert desk.sessions.open(cookie) is None


def test_a_session_that_was_ended_is_dead_in_every_cookie_of_it(desk: Desk) -> None:
    cookie = desk.cookie()
    desk.clock.advance(10 * MINUTE)
    renewed = desk.sessions.open(cookie)
    assert renewed is not None
    assert renewed.cookie is not None
    moved = desk.sessions.move(renewed.session, "eu-west-1")

    desk.sessions.end(renewed.session)
    desk.sessions.end(renewed.session)

    assert [desk.sessions.open(each) for each in (cookie, renewed.cookie, moved)] == [None, None, None]
    assert desk.sessions.open(desk.cookie()) is not None


def test_ended_sessions_are_forgotten_when_they_would_have_ended_anyway(desk: Desk) -> None:
    ended: list[Session] = [desk.begin().session]
    desk.sessions.end(ended[0])
    desk.clock.advance(WHOLE)
    ended.append(desk.begin().session)

    desk.sessions.end(ended[1])

    with desk.state.read() as connection:
        kept = [console_sign_outs.is_signed_out(connection, session.session_id) for session in ended]
    assert kept == [False, True]


def test_another_region_is_looked_at_in_the_same_session(desk: Desk) -> None:
    session = desk.begin().session

    moved = desk.sessions.open(desk.sessions.move(session, "eu-west-1"))

    assert moved is not None
    assert (moved.session.region, moved.session.session_id) == ("eu-west-1", session.session_id)


@pytest.mark.parametrize("cookie", ["", "x", "AAAA", "é"])
def test_what_was_not_sealed_here_is_no_session(desk: Desk, cookie: str) -> None:
    assert desk.sessions.open(cookie) is None


def test_a_token_of_another_purpose_is_no_session(desk: Desk) -> None:
    fields = desk.sealer.open(desk.cookie())

    assert desk.sessions.open(desk.kit.page_tokens.seal(fields)) is None
