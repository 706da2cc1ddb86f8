"""Guessing at the sign-in of the console, as fast as a program can."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from .callers import Caller
from .conftest import Credentials, ServerProcess
from .console_session import ConsoleSession

_AT_ONCE = 50


def test_many_guesses_at_once_are_no_more_than_one_after_the_other(own_server: ServerProcess) -> None:
    own_server.start()
    key = own_server.admin.access_key_id
    guessers = [ConsoleSession(own_server, is_signed_in=False) for _ in range(_AT_ONCE)]
    for guesser in guessers:
        guesser.open_sign_in()
    begin = Barrier(_AT_ONCE)

    def guess(guesser: ConsoleSession) -> int:
        begin.wait()
        return guesser.try_to_sign_in(Credentials(key, "wrong")).status

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        told = Counter(pool.map(guess, guessers))

    assert told == {403: 6, 429: _AT_ONCE - 6}


def test_what_is_sent_before_signing_in_is_small(own_server: ServerProcess) -> None:
    own_server.start()
    stranger = ConsoleSession(own_server, is_signed_in=False)
    stranger.open_sign_in()

    assert stranger.post("sign-in", access_key_id="A" * 20_000).status == 413
    assert stranger.post("sign-in", access_key_id="A" * 10_000).status == 403


def test_many_good_sign_ins_are_no_guesses(own_server: ServerProcess) -> None:
    own_server.start()
    session = ConsoleSession(own_server, is_signed_in=False)

    told = []
    for _ in range(40):
        session.open_sign_in()
        told.append(session.try_to_sign_in(own_server.admin).status)

    assert set(told) == {303}


def test_who_was_signed_in_is_told_why_that_is_over(own_server: ServerProcess) -> None:
    own_server.start()
    carol = Caller(own_server, "user", "carol")
    session = ConsoleSession(own_server, carol.credentials)
    assert session.get("settings").status == 200

    own_server.client("iam").update_access_key(
        UserName="carol", AccessKeyId=carol.credentials.access_key_id, Status="Inactive"
    )

    assert session.get("settings").headers["location"].startswith("/console/sign-in")
    assert "or its access key is active no more" in session.get("sign-in").data.decode()
    stranger = ConsoleSession(own_server, is_signed_in=False)
    assert "session has ended" not in stranger.get("sign-in").data.decode()
