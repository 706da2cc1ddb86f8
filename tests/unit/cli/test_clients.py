from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    ReadTimeoutError,
)

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


def test_a_function_that_cannot_be_invoked_is_not_blamed_on_the_caller() -> None:
    with pytest.raises(KeyturnError) as told, explained():
        raise client_error("AccessDeniedException", "Secrets Manager cannot invoke the specified Lambda function.")

    assert told.value.hints[0].startswith("The function is missing, or its own policy")
    assert not any("--profile" in hint for hint in told.value.hints)


@pytest.mark.parametrize("code", ["InternalServiceError", "InternalFailure"])
def test_a_server_at_fault_says_where_to_look(code: str) -> None:
    with pytest.raises(KeyturnError) as told, explained():
        raise client_error(code, "An error occurred on the server side.")

    assert "/readyz" in told.value.hints[0]


def test_a_refusal_without_words_is_told_by_its_code() -> None:
    with pytest.raises(KeyturnError) as told, explained():
        raise client_error("SomethingNew", "")

    assert told.value.message == "RotateSecret: SomethingNew"


@pytest.mark.parametrize("kind", [EndpointConnectionError, ReadTimeoutError])
def test_a_server_that_is_not_there_is_said_with_a_hint(kind: type[BotoCoreError]) -> None:
    with pytest.raises(KeyturnError) as told, explained():
        raise kind(endpoint_url="http://127.0.0.1:1")

    assert "http://127.0.0.1:1" in told.value.message
    assert "Is the server running" in told.value.hints[0]


def test_parameters_that_cannot_be_are_not_blamed_on_the_server() -> None:
    with pytest.raises(KeyturnError) as told, explained():
        raise ParamValidationError(report="Invalid length for parameter SecretId, value: 0, valid min length: 1")

    assert "Invalid length for parameter SecretId" in told.value.message
    assert told.value.hints == ()


@pytest.mark.parametrize("error", [NoCredentialsError(), NoRegionError()])
def test_who_has_no_profile_is_told_of_the_one_that_init_writes(error: BotoCoreError) -> None:
    with pytest.raises(KeyturnError) as told, explained():
        raise error

    assert "--profile keyturn" in told.value.hints[0]


@pytest.mark.parametrize("profile", ["nobody", None])
def test_a_profile_that_is_not_there_is_said_with_a_hint(monkeypatch: pytest.MonkeyPatch, profile: str | None) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    if profile is None:
        monkeypatch.setenv("AWS_PROFILE", "nobody")

    # boto3 looks for the profile when it needs something of it: at the latest for a client.
    with pytest.raises(KeyturnError) as told, explained():
        Clients(profile, None, None)["sts"]

    assert told.value.message == "There is no AWS profile 'nobody'."
    assert "aws configure list-profiles" in told.value.hints[0]


def test_a_profile_that_is_named_spares_the_one_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[profile mine]\nregion = eu-west-1\nendpoint_url = http://127.0.0.1:1\n")
    (tmp_path / "credentials").write_text("[mine]\naws_access_key_id = AKIAMINE\naws_secret_access_key = s3cret\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    session = {"AccessKeyId": "ASIAROLE", "SecretAccessKey": "s3cret", "SessionToken": "token"}
    assumed = Clients("mine", None, None).signing_with(session)["iam"]

    assert (assumed.meta.endpoint_url, assumed.meta.region_name) == ("http://127.0.0.1:1", "eu-west-1")
    assert assumed._request_signer._credentials.access_key == "ASIAROLE"


def test_a_client_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    clients = Clients(None, "http://127.0.0.1:1", "us-east-1")

    assert clients["sts"] is clients["sts"]
    assert clients["sts"].meta.endpoint_url == "http://127.0.0.1:1"
