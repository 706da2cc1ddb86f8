"""Quotas and rates that an operator has set, with AWS's errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import ServerProcess

_SETTINGS = """
quota_secrets = 2
rate_limits = "TagResource=2"
"""


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("limited"))
    (process.data_dir / "keyturn.toml").write_text(_SETTINGS)
    process.start()
    yield process
    assert process.stop() == 0, process.log()


@pytest.fixture
def client(limited: ServerProcess) -> Iterator[Any]:
    client = limited.client("secretsmanager")
    yield client
    for entry in client.list_secrets()["SecretList"]:
        client.delete_secret(SecretId=entry["ARN"], ForceDeleteWithoutRecovery=True)


def code_of(call: Any, **arguments: Any) -> str:
    """Return the error's code; empty if there was none."""
    code, status = "", 200
    try:
        call(**arguments)
    except ClientError as error:
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    assert status == (400 if code else 200)
    return code


def test_secrets_are_counted_in_each_region_and_room_is_made_by_deleting(limited: ServerProcess, client: Any) -> None:
    for name in ("a", "b"):
        client.create_secret(Name=name)
    assert code_of(client.create_secret, Name="c", SecretString="x") == "LimitExceededException"
    assert [entry["Name"] for entry in client.list_secrets()["SecretList"]] == ["a", "b"]

    elsewhere = limited.client("secretsmanager", region="eu-west-1")
    assert code_of(elsewhere.create_secret, Name="c") == ""
    elsewhere.delete_secret(SecretId="c", ForceDeleteWithoutRecovery=True)
    client.delete_secret(SecretId="a", ForceDeleteWithoutRecovery=True)
    assert code_of(client.create_secret, Name="c") == ""


def test_what_comes_too_fast_is_throttled_and_counts_for_all_that_share_the_rate(client: Any) -> None:
    client.create_secret(Name="tagged")
    tag: dict[str, Any] = {"SecretId": "tagged", "Tags": [{"Key": "a", "Value": "b"}]}
    untag: dict[str, Any] = {"SecretId": "tagged", "TagKeys": ["a"]}

    calls = [(client.tag_resource, tag), (client.untag_resource, untag)] * 20
    codes = [code_of(call, **arguments) for call, arguments in calls]

    assert codes[:2] == ["", ""]
    assert set(codes) == {"", "ThrottlingException"}
    assert code_of(client.describe_secret, SecretId="tagged") == ""


def test_a_client_that_tries_again_gets_through(limited: ServerProcess, client: Any) -> None:
    client.create_secret(Name="patient")
    patient = limited.client("secretsmanager", retries={"mode": "standard", "total_max_attempts": 10})

    for number in range(4):
        patient.tag_resource(SecretId="patient", Tags=[{"Key": "n", "Value": str(number)}])

    assert client.describe_secret(SecretId="patient")["Tags"] == [{"Key": "n", "Value": "3"}]
