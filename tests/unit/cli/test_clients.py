from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from keyturn.cli.clients import Clients, explained
from keyturn.errors.base import KeyturnError


def client_error(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "RotateSecret")


@pytest.mark.parametrize(
    "code",
    ["AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ResourceNotFoundException"],
)
def test_a_refusal_becomes_a_sentence_with_a_hint(code: str) -> None:
    with pytest.raises(KeyturnError) as told, explained():
        raise client_error(code, "No.")

    assert told.value.message == "RotateSecret: No."
    assert told.value.hints


def test_a_refusal_without_words_is_told_by_its_code() -> None:
    with pytest.raises(KeyturnError) as told, explained():
        raise client_error("SomethingNew", "")

    assert told.value.message == "RotateSecret: SomethingNew"


def test_a_server_that_is_not_there_is_said_with_a_hint() -> None:
    with pytest.raises(KeyturnError) as told, explained():
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    assert "http://127.0.0.1:1" in told.value.message
    assert "Is the server running" in told.value.hints[0]


def test_a_profile_that_is_not_there_is_said_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")

    with pytest.raises(KeyturnError) as told, explained():
        Clients("nobody", None, None)

    assert "nobody" in told.value.message
    assert told.value.hints


def test_a_client_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    clients = Clients(None, "http://127.0.0.1:1", "us-east-1")

    assert clients["sts"] is clients["sts"]
    assert clients["sts"].meta.endpoint_url == "http://127.0.0.1:1"
