"""The AWS command line as people type it: today's, which finds the server by a profile, and Debian's older one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from keyturn.testing.functions import zip_package

from .conftest import DEADLINE_SECONDS, ServerProcess, clean_environ, run_keyturn

TODAYS = Path(sys.executable).with_name("aws")
DEBIANS = Path("/usr/bin/aws")


@dataclass(frozen=True)
class Cli:
    """One AWS CLI, pointed at the server."""

    program: Path
    options: tuple[str, ...]
    environ: dict[str, str]

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.program), *self.options, *arguments],
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
        )

    def __call__(self, *arguments: str, stdin: str = "") -> Any:
        """Run a command that must succeed and return what it prints, read as JSON."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def refused(self, *arguments: str) -> str:
        """Run a command that the server must refuse and return what it prints."""
        done = self.run(*arguments)
        assert done.returncode in (254, 255), done
        return done.stderr.strip()


@pytest.fixture(scope="module")
def cli_of(server: ServerProcess) -> Callable[[str], Cli]:
    def make(which: str) -> Cli:
        environ = server.environ()
        if which == "today's":
            return Cli(TODAYS, ("--output", "json"), environ)
        if not DEBIANS.exists():
            pytest.skip("Debian's awscli is not installed")
        # It does not know AWS_ENDPOINT_URL. Its own Python must not see ours.
        environ = {name: value for name, value in environ.items() if not name.startswith("PYTHON")}
        return Cli(DEBIANS, ("--output", "json", "--endpoint-url", server.endpoint_url), environ)

    return make


@pytest.fixture(params=["today's", "Debian's"])
def aws(request: pytest.FixtureRequest, cli_of: Callable[[str], Cli]) -> Cli:
    return cli_of(request.param)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return "cli/" + "".join(character for character in request.node.name if character.isalnum())


def test_the_life_of_a_secret(aws: Cli, name: str, tmp_path: Path) -> None:
    value = tmp_path / "value.json"
    value.write_text('{"username": "app", "password": "pässword"}')
    sm = "secretsmanager"

    made = aws(sm, "create-secret", "--name", name, "--secret-string", f"file://{value}", "--tags", "Key=a,Value=b")
    read = aws(sm, "get-secret-value", "--secret-id", name)
    put = aws(sm, "put-secret-value", "--secret-id", name, "--secret-string", "new", "--version-stages", "AWSPENDING")
    moved = aws(
        sm, "update-secret-version-stage", "--secret-id", name, "--version-stage", "AWSCURRENT",
        "--move-to-version-id", put["VersionId"], "--remove-from-version-id", made["VersionId"],
    )  # fmt: skip
    described = aws(sm, "describe-secret", "--secret-id", made["ARN"])
    versions = aws(sm, "list-secret-version-ids", "--secret-id", name)["Versions"]
    listed = aws(sm, "list-secrets", "--filters", f"Key=name,Values={name}")["SecretList"]
    deleted = aws(sm, "delete-secret", "--secret-id", name, "--recovery-window-in-days", "7")
    restored = aws(sm, "restore-secret", "--secret-id", name)

    assert read["SecretString"] == value.read_text()
    assert moved == {"ARN": made["ARN"], "Name": name}
    assert described["VersionIdsToStages"][put["VersionId"]] == ["AWSCURRENT", "AWSPENDING"]
    assert described["VersionIdsToStages"][made["VersionId"]] == ["AWSPREVIOUS"]
    assert [version["VersionId"] for version in versions] == [made["VersionId"], put["VersionId"]]
    assert [secret["Tags"] for secret in listed] == [[{"Key": "a", "Value": "b"}]]
    assert deleted["DeletionDate"]
    assert restored["ARN"] == made["ARN"]
    assert aws(sm, "get-secret-value", "--secret-id", name)["SecretString"] == "new"


def test_a_binary_value_goes_in_and_out_as_a_file(aws: Cli, name: str, tmp_path: Path) -> None:
    value = tmp_path / "value.bin"
    value.write_bytes(bytes(range(256)))

    aws("secretsmanager", "create-secret", "--name", name, "--secret-binary", f"fileb://{value}")
    done = aws.run(
        "secretsmanager", "get-secret-value", "--secret-id", name, "--query", "SecretBinary", "--output", "text"
    )

    read = subprocess.run(["base64", "-d"], input=done.stdout.encode(), capture_output=True, check=True).stdout
    assert read == value.read_bytes()


def test_a_binary_value_that_is_typed_is_what_each_cli_takes_it_for(aws: Cli, server: ServerProcess, name: str) -> None:
    aws("secretsmanager", "create-secret", "--name", name, "--secret-binary", "AAECww==")

    # The first version sends the characters themselves, the second takes them for base64.
    taken_for = b"AAECww==" if aws.program == TODAYS else b"\x00\x01\x02\xc3"
    assert server.client("secretsmanager").get_secret_value(SecretId=name)["SecretBinary"] == taken_for


def test_a_value_is_piped_in_and_one_member_out(aws: Cli, name: str) -> None:
    value = "päss'\"$word\\"

    aws("secretsmanager", "create-secret", "--name", name, "--secret-string", "file:///dev/stdin", stdin=value)
    done = aws.run(
        "secretsmanager", "get-secret-value", "--secret-id", name, "--query", "SecretString", "--output", "text"
    )

    assert done.stdout == value + "\n"


def test_a_skeleton_is_filled_in_and_sent(aws: Cli, name: str, tmp_path: Path) -> None:
    request = aws("secretsmanager", "create-secret", "--generate-cli-skeleton")
    assert {"Name", "SecretString", "ClientRequestToken", "Tags"} <= set(request)
    token = str(uuid.uuid4())
    file = tmp_path / "request.json"
    filled = {"Name": name, "SecretString": "s", "ClientRequestToken": token, "Tags": [{"Key": "a", "Value": ""}]}
    file.write_text(json.dumps(filled))

    made = aws("secretsmanager", "create-secret", "--cli-input-json", f"file://{file}", "--description", "of mine")

    described = aws("secretsmanager", "describe-secret", "--secret-id", name)
    assert made["VersionId"] == token
    assert (described["Description"], described["Tags"]) == ("of mine", [{"Key": "a", "Value": ""}])


def test_filters_in_shorthand_and_pages_as_the_cli_asks_for_them(aws: Cli, server: ServerProcess, name: str) -> None:
    client = server.client("secretsmanager")
    for letter in "abcde":
        client.create_secret(Name=f"{name}/{letter}", SecretString="x", Description=f"the secret {letter}")
    client.delete_secret(SecretId=f"{name}/e")
    listing = ("secretsmanager", "list-secrets", "--sort-order", "asc", "--filters", f"Key=name,Values={name}/")

    def names(*options: str) -> list[str]:
        found: list[str] = aws(*listing, "--query", "SecretList[].Name", *options)
        return [each.rpartition("/")[2] for each in found]

    first = aws(*listing, "--include-planned-deletion", "--max-items", "3", "--page-size", "2")
    assert [secret["Name"][-1] for secret in first["SecretList"]] == ["a", "b", "c"]
    assert names("--max-items", "3", "--starting-token", first["NextToken"], "--include-planned-deletion") == ["d", "e"]
    assert names("--no-paginate", "--max-results", "2") == ["a", "b"]
    assert names("Key=description,Values=the secret c,secret d") == ["c", "d"]


def test_passwords_of_every_kind(cli_of: Callable[[str], Cli]) -> None:
    aws = cli_of("today's")

    def password(*options: str) -> str:
        made: str = aws("secretsmanager", "get-random-password", *options)["RandomPassword"]
        return made

    plain = password("--password-length", "200", "--exclude-characters", '"@/\\abc', "--include-space")
    assert len(plain) == 200
    assert not set(plain) & set('"@/\\abc')
    digits = password("--exclude-lowercase", "--exclude-uppercase", "--exclude-punctuation", "--no-include-space")
    assert digits.isdigit()
    anything = password("--password-length", "1", "--no-require-each-included-type")
    assert len(anything) == 1


def test_passwords_identities_and_roles(aws: Cli, server: ServerProcess, name: str) -> None:
    role_name = name.rpartition("/")[2]
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": server.account_id}, "Action": "sts:AssumeRole"},
        ],
    }

    password = aws("secretsmanager", "get-random-password", "--password-length", "20")["RandomPassword"]
    identity = aws("sts", "get-caller-identity")
    role = aws("iam", "create-role", "--role-name", role_name, "--assume-role-policy-document", json.dumps(trust))
    assumed = aws("sts", "assume-role", "--role-arn", role["Role"]["Arn"], "--role-session-name", "cli")

    assert len(password) == 20
    assert identity["Arn"] == f"arn:aws:iam::{server.account_id}:user/administrator"
    assert role["Role"]["AssumeRolePolicyDocument"] == trust
    assert assumed["Credentials"]["SessionToken"]
    assert assumed["AssumedRoleUser"]["Arn"].endswith(f":assumed-role/{role_name}/cli")


def test_refusals_read_as_those_of_aws(aws: Cli) -> None:
    assert aws.refused("secretsmanager", "get-secret-value", "--secret-id", "no/such") == (
        "An error occurred (ResourceNotFoundException) when calling the GetSecretValue operation: Secrets Manager can't"
        " find the specified secret."
    )
    assert aws.refused("iam", "get-role", "--role-name", "nobody") == (
        "An error occurred (NoSuchEntity) when calling the GetRole operation: The role with name nobody cannot be"
        " found."
    )
    assert aws.refused("lambda", "list-event-source-mappings").startswith(
        "An error occurred (NotImplementedException) when calling the ListEventSourceMappings operation: "
    )
    assert aws.refused("iam", "list-server-certificates").startswith(
        "An error occurred (NotImplemented) when calling the ListServerCertificates operation: "
    )


def test_a_wrong_key_is_said_to_be_wrong(aws: Cli) -> None:
    wrong = Cli(aws.program, aws.options, {**aws.environ, "AWS_SECRET_ACCESS_KEY": "A" * 40})
    unknown = Cli(aws.program, aws.options, {**aws.environ, "AWS_ACCESS_KEY_ID": "AKIA" + "A" * 16})

    assert "(InvalidSignatureException)" in wrong.refused("secretsmanager", "list-secrets")
    assert "(UnrecognizedClientException)" in unknown.refused("secretsmanager", "list-secrets")
    assert "(SignatureDoesNotMatch)" in wrong.refused("sts", "get-caller-identity")
    assert "(InvalidClientTokenId)" in unknown.refused("sts", "get-caller-identity")


def test_the_profile_that_init_writes_is_all_that_todays_cli_needs(tmp_path: Path) -> None:
    assert shutil.which(str(TODAYS))
    server = ServerProcess(tmp_path)
    server.start()
    try:
        other = tmp_path / "other"
        run_keyturn("init", "--data-dir", str(other), "--port", str(server.port), home=tmp_path)
        wrong = Cli(TODAYS, ("--profile", "keyturn"), clean_environ(tmp_path))
        # The key of another installation, but the right address and region.
        assert "(UnrecognizedClientException)" in wrong.refused("secretsmanager", "list-secrets")

        credentials = tmp_path / ".aws" / "credentials"
        assert credentials.stat().st_mode & 0o077 == 0
        credentials.write_text(
            f"[keyturn]\naws_access_key_id = {server.admin.access_key_id}\n"
            f"aws_secret_access_key = {server.admin.secret_access_key}\n"
        )
        assert wrong("secretsmanager", "list-secrets") == {"SecretList": []}
    finally:
        server.stop()


def test_a_layer_is_published_from_a_zip_file(aws: Cli, name: str, tmp_path: Path) -> None:
    archive = tmp_path / "layer.zip"
    archive.write_bytes(zip_package({"python/a.py": "x = 1\n"}))
    layer = name.replace("/", "-")

    made = aws("lambda", "publish-layer-version", "--layer-name", layer, "--zip-file", f"fileb://{archive}")

    got = aws("lambda", "get-layer-version-by-arn", "--arn", made["LayerVersionArn"])
    assert (got["Version"], got["Content"]["CodeSize"]) == (1, archive.stat().st_size)
    assert layer in [one["LayerName"] for one in aws("lambda", "list-layers")["Layers"]]
    assert aws("lambda", "delete-layer-version", "--layer-name", layer, "--version-number", "1") is None
    assert aws("lambda", "list-layer-versions", "--layer-name", layer)["LayerVersions"] == []
