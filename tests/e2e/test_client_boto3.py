"""boto3, the client of most: today's and an older one; typed errors, retries, and how it finds a server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from .conftest import DEADLINE_SECONDS, ServerProcess
from .offered import offered
from .rotation_function import create_rotation_function

DEBIANS_PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def rotation_function(server: ServerProcess) -> str:
    return create_rotation_function(server)


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Any:
    made = server.client("secretsmanager")
    made.create_secret(Name="boto3", SecretString="s")
    made.create_secret(Name="dead", SecretString="s")
    made.delete_secret(SecretId="dead")
    return made


@pytest.mark.parametrize("python", [sys.executable, DEBIANS_PYTHON], ids=["today's", "Debian's"])
def test_every_operation_that_the_client_knows(server: ServerProcess, rotation_function: str, python: str) -> None:
    # Debian's Python must not see ours.
    environ = {name: value for name, value in server.environ().items() if not name.startswith("PYTHON")}
    if python == DEBIANS_PYTHON and subprocess.run([python, "-c", "import boto3"], env=environ).returncode:
        pytest.skip("Debian's python3-boto3 is not installed")
    script = Path(__file__).with_name("every_operation.py")
    done = subprocess.run(
        [python, str(script), server.endpoint_url, rotation_function, *sorted(offered("secretsmanager"))],
        env=environ,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS * 2,
    )

    assert done.returncode == 0, done.stderr
    assert {"GetSecretValue", "PutSecretValue", "RotateSecret"} <= set(done.stdout.split())


@pytest.mark.parametrize(
    ("name", "operation", "request_", "message"),
    [
        (
            "ResourceNotFoundException", "get_secret_value", {"SecretId": "no/such"},
            "Secrets Manager can't find the specified secret.",
        ),
        (
            "InvalidRequestException", "get_secret_value", {"SecretId": "dead"},
            "You can't perform this operation on the secret because it was marked for deletion.",
        ),
        (
            "InvalidParameterException", "get_random_password", {"PasswordLength": 3},
            "Password length is too short based on the required types.",
        ),
        (
            "ResourceExistsException", "create_secret", {"Name": "boto3", "SecretString": "t"},
            "The operation failed because the secret boto3 already exists.",
        ),
        ("InvalidNextTokenException", "list_secrets", {"NextToken": "made up"}, "Invalid token"),
    ],
)  # fmt: skip
def test_an_error_has_the_class_that_the_client_made_for_it(
    client: Any, name: str, operation: str, request_: dict[str, Any], message: str
) -> None:
    with pytest.raises(getattr(client.exceptions, name)) as caught:
        getattr(client, operation)(**request_)

    error: ClientError = caught.value
    assert error.response["Error"] == {"Code": name, "Message": message}
    assert error.response["Message"] == message  # type: ignore[typeddict-item]  # the model's own member
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert error.response["ResponseMetadata"]["RequestId"]


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_what_was_refused_is_not_asked_again(server: ServerProcess, mode: str) -> None:
    patient = server.client("secretsmanager", retries={"mode": mode, "total_max_attempts": 5})

    with pytest.raises(ClientError) as caught:
        patient.get_secret_value(SecretId="no/such")

    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0


PROFILE = "[profile keyturn]\nregion = {region}\nendpoint_url = {url}\n"
SERVICE = """
[profile keyturn]
region = {region}
services = mine

[services mine]
secrets_manager =
  endpoint_url = {url}
"""


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    ("variables", "config", "is_for_all"),
    [
        ({"AWS_ENDPOINT_URL": "{url}"}, "", True),
        ({"AWS_ENDPOINT_URL_SECRETS_MANAGER": "{url}"}, "", False),
        ({"AWS_ENDPOINT_URL_SECRETS_MANAGER": "{url}", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "", False),
        ({"AWS_PROFILE": "keyturn"}, PROFILE, True),
        ({"AWS_PROFILE": "keyturn"}, SERVICE, False),
    ],
)
def test_the_server_is_found_without_a_word_in_the_code(
    server: ServerProcess,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variables: dict[str, str],
    config: str,
    is_for_all: bool,
) -> None:
    def filled(text: str) -> str:
        return text.format(url=server.endpoint_url, region=server.region)

    for name in [*server.environ()]:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name, raising=False)
    file = tmp_path / "config"
    file.write_text(filled(config))
    key = {"AWS_ACCESS_KEY_ID": server.admin.access_key_id, "AWS_SECRET_ACCESS_KEY": server.admin.secret_access_key}
    region = {} if config else {"AWS_DEFAULT_REGION": server.region}
    for name, value in {**variables, **region, **key, "AWS_CONFIG_FILE": str(file)}.items():
        monkeypatch.setenv(name, filled(value))

    session = boto3.Session()

    assert session.client("secretsmanager").list_secrets()["SecretList"]
    others: Any = session.client("sts").meta
    assert (others.endpoint_url == server.endpoint_url) == is_for_all
