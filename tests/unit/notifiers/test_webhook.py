"""Webhooks: what is sent, signed as an independent library verifies it, and what each answer means."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from tests.contract.told import PASSWORD, PATH_SECRET, QUERY_SECRET, SECRET, Post, WebhookReceiver

import keyturn
from keyturn.errors.base import KeyturnError
from keyturn.notifiers.base import Notifier, NotifierError, NotifierGone, open_notifiers

DOCUMENT = json.dumps({"format": "keyturn.notification/1", "id": "msg-1", "text": "Zoë ‹b› failed"}, ensure_ascii=False)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[WebhookReceiver]:
    opened = WebhookReceiver(tmp_path)
    yield opened
    opened.stop()


@pytest.fixture
def opened() -> Iterator[Callable[[str], Notifier]]:
    made = []

    def open_one(setting: str) -> Notifier:
        (named,) = open_notifiers(setting)
        made.append(named.notifier)
        return named.notifier

    yield open_one
    for notifier in made:
        notifier.close()


def send(notifier: Notifier, at: float | None = None) -> str:
    return notifier.send("msg-1", DOCUMENT, time.time() if at is None else at)


def test_a_message_is_posted_as_it_is(receiver: WebhookReceiver, opened: Callable[[str], Notifier]) -> None:
    assert send(opened(receiver.setting)) == "204 No Content"

    (post,) = receiver.posts
    assert post.path == f"/{PATH_SECRET}?sig={QUERY_SECRET}"
    assert post.body == DOCUMENT.encode()
    assert post.headers["content-type"] == "application/json"
    assert post.headers["user-agent"] == f"Keyturn/{keyturn.__version__}"
    assert post.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert post.headers["authorization"] == f"Basic {base64.b64encode(f'hook:{PASSWORD}'.encode()).decode()}"


def test_the_library_of_standard_webhooks_verifies_it(
    receiver: WebhookReceiver, opened: Callable[[str], Notifier]
) -> None:
    send(opened(receiver.setting))

    (post,) = receiver.posts
    assert Webhook(SECRET).verify(post.body, post.headers) == json.loads(DOCUMENT)
    tampered = Post(post.path, post.headers, post.body.replace(b"failed", b"worked"))
    for secret, body, headers in (
        (SECRET, tampered.body, post.headers),
        ("whsec_" + base64.b64encode(b"x" * 32).decode(), post.body, post.headers),
        (SECRET, post.body, {**post.headers, "webhook-id": "msg-2"}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers)


def test_a_known_answer_of_the_specification(receiver: WebhookReceiver, opened: Callable[[str], Notifier]) -> None:
    # Source: the tests of Standard Webhooks' reference libraries.
    receiver.secret_file.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    notifier = opened(receiver.setting)
    notifier.send("msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}', 1614265330.0)

    (post,) = receiver.posts
    assert post.headers["webhook-timestamp"] == "1614265330"
    assert post.headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_each_try_is_signed_anew(receiver: WebhookReceiver, opened: Callable[[str], Notifier]) -> None:
    notifier = opened(receiver.setting)
    now = time.time()
    send(notifier, now)
    send(notifier, now + 60)

    first, second = receiver.posts
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == "msg-1"
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    Webhook(SECRET).verify(second.body, second.headers)


def test_without_a_secret_there_is_no_signature(receiver: WebhookReceiver, opened: Callable[[str], Notifier]) -> None:
    send(opened(f"{receiver.url}#name=hook"))

    (post,) = receiver.posts
    assert "webhook-signature" not in post.headers
    assert post.headers["webhook-id"] == "msg-1"


def test_chats_get_the_text_alone(receiver: WebhookReceiver, opened: Callable[[str], Notifier]) -> None:
    send(opened(f"{receiver.setting}&format=text"))

    (post,) = receiver.posts
    assert post.document == {"text": "Zoë ‹b› failed"}
    Webhook(SECRET).verify(post.body, post.headers)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_status_of_two_hundred_is_success(
    receiver: WebhookReceiver, opened: Callable[[str], Notifier], status: int
) -> None:
    receiver.status = status
    assert send(opened(receiver.setting)).startswith(str(status))


@pytest.mark.parametrize(
    ("status", "hint"),
    [(301, "Redirects are not followed"), (307, "Redirects"), (400, "format=text"), (401, "signing secret"), (500, "")],
)
def test_any_other_status_fails_and_says_why(
    receiver: WebhookReceiver, opened: Callable[[str], Notifier], status: int, hint: str
) -> None:
    receiver.status, receiver.answer = status, b"invalid_payload\n\x1b[31m"
    receiver.headers = {"location": f"http://127.0.0.1:{receiver.port}/elsewhere"}

    with pytest.raises(NotifierError) as failed:
        send(opened(receiver.setting))

    assert str(status) in failed.value.message
    assert "It said: invalid_payload[31m" in failed.value.hints
    assert hint in " ".join(failed.value.hints)
    assert [post.path for post in receiver.posts] == [f"/{PATH_SECRET}?sig={QUERY_SECRET}"]


def test_gone_is_for_good(receiver: WebhookReceiver, opened: Callable[[str], Notifier]) -> None:
    receiver.status = 410
    with pytest.raises(NotifierGone, match="410 Gone"):
        send(opened(receiver.setting))


def test_a_receiver_that_never_answers_is_left(tmp_path: Path, opened: Callable[[str], Notifier]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        notifier = opened(f"http://127.0.0.1:{silent.getsockname()[1]}/{PATH_SECRET}#timeout_seconds=1")
        with pytest.raises(NotifierError, match="did not answer in time") as failed:
            send(notifier)
    assert PATH_SECRET not in str(failed.value)
    assert failed.value.__cause__ is None


def test_a_receiver_that_is_not_there_is_named_by_what_the_system_says(
    receiver: WebhookReceiver, opened: Callable[[str], Notifier]
) -> None:
    receiver.stop()
    with pytest.raises(NotifierError, match="Connection refused"):
        send(opened(receiver.setting))


def test_a_host_that_nobody_knows(opened: Callable[[str], Notifier]) -> None:
    with pytest.raises(NotifierError, match="host is not known"):
        send(opened("https://no-such-host.invalid/hook"))


def test_a_certificate_is_verified(tmp_path: Path, opened: Callable[[str], Notifier]) -> None:
    receiver = WebhookReceiver(tmp_path, tls=True)
    try:
        with pytest.raises(NotifierError, match="could not be trusted") as failed:
            send(opened(f"{receiver.url}#name=hook"))
        assert "ca=" in failed.value.hints[0]
        assert receiver.posts == []
        assert send(opened(receiver.setting)) == "204 No Content"
        named = receiver.setting.replace("127.0.0.1", "localhost")
        with pytest.raises(NotifierError, match="could not be trusted"):
            send(opened(named))
    finally:
        receiver.stop()


def test_a_url_can_lie_in_a_file_of_its_owner(
    receiver: WebhookReceiver, tmp_path: Path, opened: Callable[[str], Notifier]
) -> None:
    file = tmp_path / "chat.url"
    file.write_text(f"{receiver.url}\n")
    file.chmod(0o640)
    with pytest.raises(KeyturnError, match="others than its owner"):
        open_notifiers(f"webhook:{file}#name=chat")
    file.chmod(0o600)

    send(opened(f"webhook:{file}#name=chat"))

    assert len(receiver.posts) == 1


@pytest.mark.parametrize("text", ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_***", "whsec_c2hvcnQ=", "ä"])
def test_a_signing_secret_that_is_none_is_refused(receiver: WebhookReceiver, text: str) -> None:
    receiver.secret_file.write_text(text)
    with pytest.raises(KeyturnError) as refused:
        open_notifiers(receiver.setting)
    assert text == "" or text not in str(refused.value) or text == "whsec_"


def test_a_signing_secret_that_others_may_read_is_refused(receiver: WebhookReceiver) -> None:
    receiver.secret_file.chmod(0o644)
    with pytest.raises(KeyturnError, match="mode 0644"):
        open_notifiers(receiver.setting)


def test_in_the_clear_over_a_network_only_who_insists() -> None:
    with pytest.raises(KeyturnError, match="in the clear"):
        open_notifiers("http://hooks.example.org/a")
    assert open_notifiers("http://hooks.example.org/a#plaintext_on_network=true")
    assert open_notifiers("http://localhost:1/a")
