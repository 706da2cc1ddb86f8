"""The function for API keys against a real HTTP service: what it does, and what it says when it cannot."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from keyturn.rotators.engines import base, http_api
from keyturn.rotators.engines.http_api import Engine
from keyturn.rotators.engines.http_keys import exchange as http
from keyturn.rotators.engines.http_keys.description import Misdescribed
from keyturn.rotators.handler import Rotator
from keyturn.rotators.new_key import Strategy
from keyturn.testing.http_api import CHOSEN, ISSUED, Key, KeyServer, Reply, Seen
from keyturn.testing.private_server import Owner, free_port, write_certificate
from keyturn.testing.secretsmanager import ARN, FakeSecretsManager

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
TOKEN = "11111111-2222-3333-4444-555555555555"
SUPERUSER_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:superuser-AbCdEf"


class Killed(BaseException):
    """The function's process ends here."""


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with KeyServer.start() as started:
        yield started


@pytest.fixture(params=["issued", "issued idempotently", "chosen"])
def environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    variables = dict(CHOSEN if request.param == "chosen" else ISSUED)
    if "idempotently" in request.param:
        variables["API_IDEMPOTENCY_HEADER"] = "Idempotency-Key"
    use(monkeypatch, variables)
    return variables


@pytest.fixture
def issued(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ISSUED)


def use(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def service_for(server: KeyServer, **more: object) -> FakeSecretsManager:
    """A secret for an account whose first key was made by hand."""
    key_id = server.create_key("app", "made by hand", "first-key")
    server.create_key("somebody", "theirs", "their-key")
    service = FakeSecretsManager({**server.secret_value("app", "first-key", key_id), "note": "kept", **more})
    service.others[SUPERUSER_ARN] = server.superuser_value()
    return service


def step(service: FakeSecretsManager, name: str, token: str = TOKEN, **more: object) -> dict[str, object]:
    rotator = Rotator(Engine(), Strategy(), client=lambda: service)
    return rotator({"Step": name, "SecretId": ARN, "ClientRequestToken": token, **more}, None)


def rotate(service: FakeSecretsManager, token: str = TOKEN, times: int = 1) -> None:
    if token not in service.versions:
        service.begin_rotation(token)
    for name in STEPS:
        for _ in range(times):
            step(service, name, token)


def keys_of(server: KeyServer, account: str = "app") -> set[str]:
    return {key.key for key in server.keys.values() if key.account == account}


def labelled_keys(service: FakeSecretsManager) -> set[str]:
    return {service.value(label)["api_key"] for label in ("AWSCURRENT", "AWSPREVIOUS")}


def connect(value: Mapping[str, object], **more: object) -> None:
    engine = Engine()
    engine.connect(engine.login({**value, **more})).close()


# What it does.


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("by", ["own", "superuser"])
def test_the_keys_of_current_and_previous_are_valid_and_no_others(server: KeyServer, by: str) -> None:
    service = service_for(server, **({"masterarn": SUPERUSER_ARN} if by == "superuser" else {}))
    for token in ("token-1", "token-2", "token-3", "token-4"):
        rotate(service, token, times=2)
        assert keys_of(server) == labelled_keys(service)
    assert service.value("AWSCURRENT")["note"] == "kept"
    assert keys_of(server, "somebody") == {"their-key"}
    managing = {seen.headers["x-api-key"] for seen in server.seen if seen.method in ("POST", "PUT", "DELETE")}
    assert (managing == {server.superuser_key}) == (by == "superuser")


@pytest.mark.parametrize("by", ["own", "superuser"])
def test_killed_anywhere_the_current_key_is_valid_and_a_repetition_leaves_no_orphan(
    environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    real = http.exchange
    for fatal in count():
        moments = count()

        def interrupt(_: str, moments: count[int] = moments, fatal: int = fatal) -> None:
            if next(moments) == fatal:
                raise Killed

        def exchange(*arguments: Any, interrupt: Callable[[str], None] = interrupt) -> Any:
            interrupt("before a request")
            answer = real(*arguments)
            interrupt("after a request")
            return answer

        monkeypatch.setattr(http_api, "exchange", exchange)
        with KeyServer.start() as server:
            service = service_for(server, **({"masterarn": SUPERUSER_ARN} if by == "superuser" else {}))
            rotate_before(service, monkeypatch)
            monkeypatch.setattr(http_api, "exchange", exchange)
            service.interrupt = interrupt
            service.begin_rotation(TOKEN)
            try:
                rotate(service)
            except Killed:
                survived = False
                assert server.accepts("app", service.value("AWSCURRENT")["api_key"])
                rotate(service)
            else:
                survived = True
            assert keys_of(server) == labelled_keys(service)
            assert keys_of(server, "somebody") == {"their-key"}
        if survived:
            break
    assert fatal > 15


def rotate_before(service: FakeSecretsManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a previous version, whose key is to be revoked."""
    monkeypatch.setattr(http_api, "exchange", http.exchange)
    rotate(service, "the-one-before")


def test_without_a_list_the_previous_key_is_revoked_by_its_id(
    server: KeyServer, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("API_LIST")
    service = service_for(server)
    for token in ("token-1", "token-2", "token-3"):
        rotate(service, token, times=2)
        assert keys_of(server) == labelled_keys(service)


@pytest.mark.usefixtures("environment")
def test_a_service_that_revokes_nothing_keeps_its_keys(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_REVOKE")
    service = service_for(server)
    for token in ("token-1", "token-2"):
        rotate(service, token)
    assert len(keys_of(server)) == 3


@pytest.mark.usefixtures("issued")
def test_what_an_abandoned_rotation_has_left_is_revoked_by_the_next_one(server: KeyServer) -> None:
    service = service_for(server)
    service.begin_rotation("abandoned")
    for _ in range(2):
        step(service, "createSecret", "abandoned")
    assert len(keys_of(server)) == 2
    service.versions["abandoned"].labels.clear()
    rotate(service, "token-2")
    assert keys_of(server) == labelled_keys(service)


@pytest.mark.usefixtures("issued")
def test_a_current_value_without_an_id_is_not_guessed_and_its_key_not_revoked(
    server: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    service = service_for(server)
    for token in ("token-1", "token-2"):
        rotate(service, token)
    stored = service.value("AWSCURRENT")
    del stored["key_id"]
    # Somebody has stored the value again, and left out what he did not know.
    without = FakeSecretsManager(stored)
    without.begin_rotation("token-3")
    rotate(without, "token-3")
    assert labelled_keys(without) <= keys_of(server)
    rotate(without, "token-4")
    assert without.value("AWSCURRENT")["api_key"] in keys_of(server)
    assert "has no key_id: revoke its key by hand" in caplog.text


@pytest.mark.usefixtures("issued")
def test_the_previous_key_makes_the_new_one_when_the_current_one_was_revoked(server: KeyServer) -> None:
    service = service_for(server)
    rotate(service, "token-1")
    del server.keys[service.value("AWSCURRENT")["key_id"]]
    rotate(service, "token-2")
    assert server.accepts("app", service.value("AWSCURRENT")["api_key"])


@pytest.mark.usefixtures("environment")
def test_when_all_keys_were_revoked_the_superuser_does_nothing(server: KeyServer) -> None:
    service = service_for(server, masterarn=SUPERUSER_ARN)
    server.keys.clear()
    service.begin_rotation(TOKEN)
    with pytest.raises(base.AuthenticationFailed, match="refuses the current and the previous key"):
        rotate(service)
    assert server.superuser_key not in {seen.headers.get("x-api-key") for seen in server.seen}


@pytest.mark.usefixtures("issued")
def test_the_service_is_asked_which_keys_it_accepts(server: KeyServer) -> None:
    service = service_for(server)
    rotate(service, "token-1")
    service.begin_rotation(TOKEN)
    step(service, "createSecret")
    current = next(name for name, version in service.versions.items() if "AWSCURRENT" in version.labels)
    assert TOKEN in step(service, "probeSecret")["accepted"]  # type: ignore[operator]  # a list
    del server.keys[service.value("AWSPENDING")["key_id"]]
    answer = step(service, "probeSecret")
    assert current in answer["accepted"]  # type: ignore[operator]  # as above
    assert answer["refused"] == [TOKEN]


@pytest.mark.usefixtures("issued")
def test_a_function_that_is_described_wrongly_says_of_no_key_that_it_is_refused(
    server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_for(server)
    monkeypatch.delenv("API_TEST")
    service.begin_rotation(TOKEN)
    with pytest.raises(Misdescribed, match=r"API_TEST is missing .*Hint: Correct the API_"):
        step(service, "createSecret")
    with pytest.raises(Misdescribed):
        step(service, "probeSecret")
    assert server.seen == []


@pytest.mark.usefixtures("environment")
def test_a_secret_without_the_account_that_paths_name_is_refused_before_anything_is_stored(server: KeyServer) -> None:
    value = server.secret_value("app", "first-key")
    del value["account"]
    service = FakeSecretsManager(value)
    service.begin_rotation(TOKEN)
    with pytest.raises(KeyError, match="account key is missing from secret JSON"):
        step(service, "createSecret")
    assert service.versions[TOKEN].value is None


# Nobody passes.


@pytest.mark.usefixtures("environment")
def test_a_halted_rotation_revokes_no_key_of_a_later_one(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    service = service_for(server)
    rotate(service, "before")
    service.begin_rotation(TOKEN)
    real, passed = FakeSecretsManager.describe_secret, list[str]()

    def describe_secret(self: FakeSecretsManager, **request: Any) -> Any:
        reply = real(self, **request)
        if passed == ["armed"]:
            # Halted after the confirmation; another function finishes this rotation and makes two more.
            passed[:] = ["passed"]
            rotate(service)
            for token in ("later", "still-later"):
                rotate(service, token)
        return reply

    step(service, "createSecret")
    monkeypatch.setattr(FakeSecretsManager, "describe_secret", describe_secret)
    passed[:] = ["armed"]
    # Its own key, with which it would revoke, may be one of those that are gone by now.
    with contextlib.suppress(base.AuthenticationFailed):
        step(service, "setSecret")
    assert passed == ["passed"]
    assert labelled_keys(service) <= keys_of(server)
    rotate(service, "the-last")
    assert keys_of(server) == labelled_keys(service)


@pytest.mark.usefixtures("environment")
def test_a_rotation_that_is_cancelled_makes_and_revokes_nothing(server: KeyServer) -> None:
    service = service_for(server)
    for token in ("token-1", "token-2"):
        rotate(service, token)
    service.begin_rotation(TOKEN)
    step(service, "createSecret")
    before = keys_of(server)
    service.rotation_enabled = False
    with pytest.raises(ValueError, match="not enabled for rotation"):
        step(service, "setSecret")
    assert keys_of(server) == before


# Where keys go.


@pytest.mark.usefixtures("environment")
def test_a_key_is_in_one_header_and_the_body_that_sets_it_and_never_in_a_path_log_or_error(
    server: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service = service_for(server, masterarn=SUPERUSER_ARN)
    for token in ("token-1", "token-2"):
        rotate(service, token)
    keys = {*labelled_keys(service), server.superuser_key, "first-key"}
    for seen in server.seen:
        others = [value for name, value in seen.headers.items() if name != "x-api-key"]
        assert not any(key in f"{seen.path} {others}" for key in keys)
        assert seen.method == "PUT" or not any(key.encode() in seen.body for key in keys)
    # The service quotes the key that it refuses.
    server.keys.clear()
    with pytest.raises(base.AuthenticationFailed) as caught:
        connect(service.value("AWSCURRENT"))
    assert not any(key in f"{caught.value} {caught.value!r} {caplog.text}" for key in keys)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.usefixtures("issued")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(server: KeyServer, status: int) -> None:
    service = service_for(server)
    with KeyServer.start() as elsewhere:
        server.overrides.append(lambda _: Reply(status, headers={"Location": elsewhere.url()}))
        with pytest.raises(http.Redirected, match="answers with another address"):
            connect(service.value("AWSCURRENT"))
        assert elsewhere.seen == []


@pytest.mark.usefixtures("issued")
@pytest.mark.parametrize("more", [{"url": "http://127.0.0.1:9/v1"}, {"account": "somebody"}, {"path": "/other"}])
def test_a_pending_value_for_another_place_or_account_is_refused_before_anything_is_sent(
    server: KeyServer, more: dict[str, str]
) -> None:
    service = service_for(server)
    service.begin_rotation(TOKEN)
    value = {**service.value("AWSCURRENT"), "key_id": "1", **more}
    if "path" in value:
        value["url"] = server.url().replace("/v1", "/v2")
    service.versions[TOKEN].value = json.dumps(value)
    with pytest.raises(ValueError, match="setSecret: Attempting to use account"):
        step(service, "setSecret")
    assert server.seen == []


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("other", ["host", "path"])
def test_a_superuser_secret_for_another_place_is_not_used(server: KeyServer, other: str) -> None:
    service = service_for(server, masterarn=SUPERUSER_ARN)
    url = server.url("localhost") if other == "host" else f"{server.url()}/admin"
    service.others[SUPERUSER_ARN] = {**server.superuser_value(), "url": url}
    service.begin_rotation(TOKEN)
    with pytest.raises(ValueError, match="is not the same as that of master secret"):
        rotate(service)
    assert server.superuser_key not in {seen.headers.get("x-api-key") for seen in server.seen}


@pytest.mark.usefixtures("environment")
def test_a_secret_whose_key_is_not_the_accounts_gets_nothing_from_the_superuser(server: KeyServer) -> None:
    service = service_for(server, masterarn=SUPERUSER_ARN, account="somebody")
    service.begin_rotation(TOKEN)
    with pytest.raises(base.AuthenticationFailed):
        rotate(service)
    assert keys_of(server, "somebody") == {"their-key"}


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("account", ["../somebody", "..", "somebody/keys", "some?body", "app#", "%2e%2e", "a{id}"])
def test_an_account_is_one_word_of_a_path_whatever_is_in_it(server: KeyServer, account: str) -> None:
    value = server.secret_value(account, "first-key")
    with pytest.raises((base.DatabaseError, ValueError)):
        connect(value)
    for seen in server.seen:
        assert seen.path.count("/") == 3
        assert not {"?", "#"} & set(seen.path)


# TLS.


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[KeyServer]:
    write_certificate(Owner(None), tmp_path)
    with KeyServer.start((tmp_path / "server.crt", tmp_path / "server.key")) as started:
        yield started


@pytest.mark.usefixtures("issued")
def test_a_certificate_must_hold_and_carry_the_name(
    tls_server: KeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_for(tls_server, url=tls_server.url("localhost"))
    with pytest.raises(base.TlsFailed, match=r"self.signed certificate"):
        connect(service.value("AWSCURRENT"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.crt"))
    with pytest.raises(base.TlsFailed, match="Hostname verification failed"):
        connect(service.value("AWSCURRENT"), url=tls_server.url())
    assert tls_server.seen == []
    rotate(service)
    assert tls_server.accepts("app", service.value("AWSCURRENT")["api_key"])


@pytest.mark.usefixtures("issued")
def test_https_to_a_port_without_tls_and_plain_http_to_one_with_tls_fail(
    server: KeyServer, tls_server: KeyServer
) -> None:
    with pytest.raises(base.DatabaseError):
        connect(server.secret_value("app", "k"), url=server.url().replace("http:", "https:"))
    with pytest.raises(base.DatabaseError):
        connect(tls_server.secret_value("app", "k"), url=tls_server.url().replace("https:", "http:"))
    assert server.seen == tls_server.seen == []


@pytest.mark.usefixtures("issued")
def test_plain_http_reaches_this_machine_only_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value = {"engine": "http-api", "url": "http://api.example/v1", "api_key": "k"}
    with pytest.raises(ValueError, match=r"must begin with https://.*API_UNENCRYPTED"):
        Engine().login(value)
    monkeypatch.setenv("API_UNENCRYPTED", "true")
    assert Engine().login(value).tls is base.TlsMode.FORBIDDEN


# What it says when it cannot.


@pytest.mark.usefixtures("issued")
@pytest.mark.parametrize(
    ("status", "headers", "kind", "reason"),
    [
        (401, {}, base.AuthenticationFailed, "API_TEST: the service refuses this key"),
        (403, {}, base.AuthenticationFailed, "API_TEST: the service refuses this key"),
        (400, {}, http.UnexpectedAnswer, "API_TEST: the service refuses the request"),
        (404, {}, http.UnexpectedAnswer, "API_TEST: there is nothing at this path"),
        (429, {"Retry-After": "17"}, base.NotReady, "the service asks to wait, for 17 seconds"),
        (429, {"Retry-After": "marked"}, base.NotReady, "the service asks to wait"),
        (500, {}, base.NotReady, "the service has failed"),
        (503, {}, base.NotReady, "the service has failed"),
    ],
)
def test_what_a_status_means_is_named(
    server: KeyServer, status: int, headers: dict[str, str], kind: type[base.DatabaseError], reason: str
) -> None:
    server.overrides.append(lambda _: Reply(status, {"error": "marked"}, headers))
    with pytest.raises(kind) as caught:
        connect(server.secret_value("app", "first-key"))
    assert reason in caught.value.reason
    assert caught.value.code in (str(status), None)
    assert "marked" not in str(caught.value)


@pytest.mark.usefixtures("issued")
@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (401, base.AuthenticationFailed, "API_CREATE: the service refuses this key"),
        (403, base.MissingGrant, "API_CREATE: the service does not let this key do that"),
        (404, http.UnexpectedAnswer, "API_CREATE: there is nothing at this path"),
        (409, http.UnexpectedAnswer, "API_CREATE: the service refuses the request"),
        (422, http.UnexpectedAnswer, "API_CREATE: the service refuses the request"),
        (429, base.NotReady, "API_CREATE: the service asks to wait"),
        (502, base.NotReady, "API_CREATE: the service has failed"),
    ],
)
def test_what_a_status_of_another_request_means_is_named(
    server: KeyServer, status: int, kind: type[base.DatabaseError], reason: str
) -> None:
    service = service_for(server)
    server.overrides.append(lambda seen: Reply(status) if seen.method == "POST" else None)
    service.begin_rotation(TOKEN)
    with pytest.raises(kind, match=reason):
        rotate(service)
    assert service.versions[TOKEN].value is None


@pytest.mark.usefixtures("issued")
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(201, body=b"<html>"), "the answer is no JSON"),
        (Reply(201, body=b"[" * 100_000), "the answer is no JSON"),
        (Reply(201, {"data": {"id": 1}}), "has not the key at /data/key"),
        (Reply(201, {"data": {"id": 1, "key": None}}), "has not the key at /data/key"),
        (Reply(201, {"data": {"key": "k"}}), "has not its id at /data/id"),
        (Reply(201, []), "has not the key at /data/key"),
        (Reply(201, body=b"x" * (http.ANSWER_LIMIT_BYTES + 1)), "more than 1048576 bytes"),
    ],
)
def test_an_answer_that_is_not_as_described_is_named(server: KeyServer, reply: Reply, reason: str) -> None:
    service = service_for(server)
    server.overrides.append(lambda seen: reply if seen.method == "POST" else None)
    service.begin_rotation(TOKEN)
    with pytest.raises(http.UnexpectedAnswer, match=reason):
        rotate(service)


@pytest.mark.usefixtures("issued")
@pytest.mark.parametrize("listed", [{}, {"data": {}}, {"data": [{"id": 1}]}, {"data": [7]}])
def test_a_list_that_is_not_as_described_revokes_nothing(server: KeyServer, listed: object) -> None:
    service = service_for(server)
    rotate(service, "token-1")
    before = keys_of(server)
    server.overrides.append(
        lambda seen: Reply(200, listed) if seen.path.endswith("/keys") and seen.method == "GET" else None
    )
    service.begin_rotation(TOKEN)
    with pytest.raises(http.UnexpectedAnswer, match="API_LIST"):
        rotate(service)
    assert before < keys_of(server)
    assert not [seen for seen in server.seen if seen.method == "DELETE"]


@pytest.mark.usefixtures("issued")
def test_a_test_that_passes_without_a_key_proves_nothing_and_is_refused(server: KeyServer) -> None:
    service = service_for(server)
    server.overrides.append(lambda seen: Reply(200) if seen.method == "GET" else None)
    service.begin_rotation(TOKEN)
    with pytest.raises(http.UnexpectedAnswer, match="the same without a key, so it proves nothing"):
        rotate(service)
    assert {seen.method for seen in server.seen} == {"GET"}


@pytest.mark.usefixtures("issued")
def test_a_key_with_a_line_break_is_never_sent(server: KeyServer) -> None:
    for key in ("a\r\nX-Other: b", "a b", "ü", ""):
        with pytest.raises(ValueError, match="api_key in the secret JSON must be"):
            connect(server.secret_value("app", key))
    assert server.seen == []


@pytest.mark.usefixtures("issued")
def test_a_service_out_of_reach_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ANSWER_TIMEOUT_SECONDS", 0.2)
    value = {"engine": "http-api", "account": "a", "api_key": "marked"}
    with pytest.raises(base.ConnectionRefused):
        connect(value, url=f"http://127.0.0.1:{free_port()}")
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(base.ConnectionTimedOut, match="no answer within the time limit"),
    ):
        connect(value, url=f"http://127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.usefixtures("issued")
@pytest.mark.parametrize("answer", [b"", b"-ERR unknown command\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"])
def test_something_that_speaks_no_http_or_hangs_up_is_reported(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            accepted, _ = listener.accept()
            with accepted:
                accepted.recv(1000)
                accepted.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(base.ConnectionLost) as caught:
            connect({"engine": "http-api", "account": "a", "api_key": "marked", "url": url})
        thread.join(10)
    assert "marked" not in str(caught.value)


@pytest.mark.parametrize("by", ["its own key", "a superuser's key"])
def test_a_service_that_keeps_one_key_takes_the_new_one_in_its_place_and_the_secret_follows_at_once(
    server: KeyServer, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    use(monkeypatch, {**CHOSEN, "API_CREATE": "PUT /accounts/{account}/keys/only"})
    monkeypatch.delenv("API_REVOKE")
    server.keys["only"] = Key("app", "only", "first-key")
    more = {} if by == "its own key" else {"masterarn": SUPERUSER_ARN}
    service = FakeSecretsManager({**server.secret_value("app", "first-key"), **more})
    service.others[SUPERUSER_ARN] = server.superuser_value()
    for token in ("token-1", "token-2"):
        service.begin_rotation(token)
        for name in ("createSecret", "setSecret"):
            step(service, name, token)
        assert keys_of(server) == {service.value("AWSCURRENT")["api_key"]}
        rotate(service, token, times=2)
        assert keys_of(server) == {service.value("AWSCURRENT")["api_key"]}


def test_requests_of_the_tests_service_are_not_shown_with_their_bodies(server: KeyServer) -> None:
    assert "marked" not in repr(Seen("PUT", "/", {}, b"marked"))
    assert "marked" not in repr(Key("app", "name", "marked"))
    assert server.superuser_key not in repr(server)
