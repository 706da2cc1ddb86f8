"""Powertools for AWS Lambda (Python): its parameters utility reads, keeps, transforms and writes secrets."""

from __future__ import annotations

import base64
import uuid
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.parameters.exceptions import (
    GetParameterError,
    GetSecretError,
    SetSecretError,
    TransformParameterError,
)
from botocore.config import Config

from .conftest import ServerProcess


@pytest.fixture(autouse=True)
def environment(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the functions of the utility, which make their own clients, find the server."""
    for variable, value in server.environ().items():
        monkeypatch.setenv(variable, value)
    parameters.clear_caches()  # type: ignore[no-untyped-call]  # the library forgot its type


@pytest.fixture
def client(server: ServerProcess) -> Any:
    return server.client("secretsmanager")


@pytest.fixture
def name(client: Any, request: pytest.FixtureRequest) -> str:
    """A secret of the test's own."""
    name = "powertools/" + request.node.name.replace("[", "/").replace("]", "")
    made: str = client.create_secret(Name=name, SecretString="first")["Name"]
    return made


def test_a_value_is_kept_until_somebody_insists(client: Any, name: str) -> None:
    assert parameters.get_secret(name, max_age=3600) == "first"
    client.put_secret_value(SecretId=name, SecretString="second")

    assert parameters.get_secret(name, max_age=3600) == "first"
    assert parameters.get_secret(name, max_age=3600, force_fetch=True) == "second"
    assert parameters.get_secret(name) == "second"


def test_a_value_that_must_not_age_is_not_kept(client: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_PARAMETERS_MAX_AGE", "0")
    assert parameters.get_secret(name) == "first"
    client.put_secret_value(SecretId=name, SecretString="second")

    assert parameters.get_secret(name) == "second"


def test_a_version_is_chosen_by_what_is_passed_on(client: Any, name: str) -> None:
    first = client.get_secret_value(SecretId=name)["VersionId"]
    client.put_secret_value(SecretId=name, SecretString="second")

    assert parameters.get_secret(name, VersionId=first, max_age=0) == "first"
    assert parameters.get_secret(name, VersionStage="AWSPREVIOUS", max_age=0) == "first"
    assert parameters.get_secret(name, max_age=0) == "second"


@pytest.mark.parametrize(
    ("value", "transform", "read"),
    [
        ({"SecretString": '{"username": "app", "password": "pä$$"}'}, "json", {"username": "app", "password": "pä$$"}),
        ({"SecretBinary": b'{"a": 1}'}, "json", {"a": 1}),
        ({"SecretString": base64.b64encode(b"\x00\xff").decode()}, "binary", b"\x00\xff"),
        ({"SecretBinary": b"\x00\xff"}, None, b"\x00\xff"),
    ],
    ids=["json", "json-in-bytes", "base64", "bytes"],
)
def test_a_value_is_transformed(client: Any, name: str, value: dict[str, Any], transform: Any, read: object) -> None:
    client.put_secret_value(SecretId=name, **value)

    assert parameters.get_secret(name, transform=transform) == read


def test_refusals_are_its_own_errors_with_the_servers_words(name: str) -> None:
    with pytest.raises(GetParameterError, match=r"\(ResourceNotFoundException\).* can't find the specified secret\.$"):
        parameters.get_secret("no/such")
    with pytest.raises(GetParameterError, match=r"can't find the specified secret value for staging label: green$"):
        parameters.get_secret(name, VersionStage="green")
    with pytest.raises(TransformParameterError):
        parameters.get_secret(name, transform="json")


def test_setting_makes_a_version_of_a_secret_that_exists(client: Any, name: str) -> None:
    token = str(uuid.uuid4())

    put = parameters.set_secret(name, "second", client_request_token=token)
    again = parameters.set_secret(name, "second", client_request_token=token)

    assert put["VersionId"] == again["VersionId"] == token
    assert client.get_secret_value(SecretId=name)["SecretString"] == "second"
    with pytest.raises(SetSecretError, match="ResourceExistsException"):
        parameters.set_secret(name, "third", client_request_token=token)


@pytest.mark.parametrize(
    ("value", "member", "stored"),
    [
        ("text", "SecretString", "text"),
        (b"\x00\xff", "SecretBinary", b"\x00\xff"),
        ({"a": 1}, "SecretString", '{"a": 1}'),
    ],
    ids=["text", "bytes", "mapping"],
)
def test_setting_creates_a_secret_that_does_not_exist(
    client: Any, name: str, value: Any, member: str, stored: object
) -> None:
    made = parameters.set_secret(f"{name}/new", value)

    read = client.get_secret_value(SecretId=f"{name}/new")
    assert read["VersionId"] == made["VersionId"]
    assert read[member] == stored


def test_what_cannot_be_set_says_why(client: Any, name: str) -> None:
    client.delete_secret(SecretId=name)

    with pytest.raises(SetSecretError, match="marked for deletion"):
        parameters.set_secret(name, "x")
    with pytest.raises(SetSecretError, match=r"\(ValidationException\).*Invalid name"):
        parameters.set_secret("no such name", "x")


def test_a_provider_takes_a_session_a_configuration_or_a_client(
    server: ServerProcess, client: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", server.endpoint_url)
    providers = [
        parameters.SecretsProvider(boto_config=Config(region_name=server.region, retries={"total_max_attempts": 1})),
        parameters.SecretsProvider(boto3_session=boto3.Session(region_name=server.region)),
        parameters.SecretsProvider(boto3_client=client),
    ]

    assert [provider.get(name) for provider in providers] == ["first"] * 3


def test_several_at_once(client: Any, name: str) -> None:
    for letter, value in (("a", {"SecretString": '{"n": 1}'}), ("b", {"SecretBinary": b'{"n": 2}'})):
        client.create_secret(Name=f"{name}/{letter}", **value)
    provider = parameters.SecretsProvider(boto3_client=client)

    assert provider.get_multiple([f"{name}/a", f"{name}/b"], transform="json") == {
        f"{name}/a": {"n": 1},
        f"{name}/b": {"n": 2},
    }
    both = parameters.get_secrets_by_name([f"{name}/a", f"{name}/b"])
    assert both == {f"{name}/a": '{"n": 1}', f"{name}/b": b'{"n": 2}'}
    # Names are prefixes in the filter that it asks with, pages are followed.
    assert set(provider.get_multiple([f"{name}/"], MaxResults=1)) == {f"{name}/a", f"{name}/b"}
    with pytest.raises(GetSecretError, match="No secrets found"):
        provider.get_multiple(["no/such"])
