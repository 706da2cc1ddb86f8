"""The AWS SDK for JavaScript: a client that shares no code with botocore, whose models the server is built from."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keyturn.testing.functions import zip_package

from .conftest import DEADLINE_SECONDS, ServerProcess
from .offered import offered
from .rotation_function import create_rotation_function

SCRIPTS = Path(__file__).parent / "node"
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(
    NODE is None or not (SCRIPTS / "node_modules").is_dir(), reason="Node.js and its SDK are installed by make test"
)

FUNCTION = """
import os


def lambda_handler(event, context):
    print(os.environ["GREETING"])
    if "fail" in event:
        raise ValueError(event["fail"])
    return event
"""


# Three releases: the first, the one that all clients here have, and today's, which reads and writes by schemas instead
# of code for every operation.
RELEASES = ("secrets-manager-2020", "@aws-sdk/client-secrets-manager", "secrets-manager-2026")


def run(server: ServerProcess, script: str, *arguments: str) -> str:
    """Run a script to its end; it says itself what it expected."""
    assert NODE is not None
    done = subprocess.run(
        [NODE, str(SCRIPTS / script), *arguments],
        env=server.environ(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS * 2,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def rotation_function(server: ServerProcess) -> str:
    return create_rotation_function(server)


@pytest.mark.parametrize("release", RELEASES)
def test_every_operation_that_the_client_knows(server: ServerProcess, rotation_function: str, release: str) -> None:
    called = run(server, "secretsmanager.mjs", release, rotation_function, *sorted(offered("secretsmanager")))

    assert set(called.split()) >= {"GetSecretValue", "PutSecretValue", "RotateSecret"}


@pytest.mark.parametrize("release", RELEASES)
def test_errors_are_what_the_client_takes_them_for(server: ServerProcess, release: str) -> None:
    run(server, "errors.mjs", release)


def test_roles_and_sessions(server: ServerProcess) -> None:
    run(server, "identities.mjs")


def test_functions_and_their_logs(server: ServerProcess, tmp_path: Path) -> None:
    package = tmp_path / "package.zip"
    package.write_bytes(zip_package({"lambda_function.py": FUNCTION}))

    run(server, "functions.mjs", str(package), f"python3.{sys.version_info.minor}")


@pytest.mark.parametrize(
    ("release", "content_type"),
    [
        ("@aws-sdk/client-cloudwatch", "application/x-www-form-urlencoded"),
        ("cloudwatch-2026", "application/x-amz-json-1.0"),
    ],
)
def test_metrics_of_functions(server: ServerProcess, release: str, content_type: str) -> None:
    name = f"measured-by-{release.rpartition('/')[2]}"
    create_rotation_function(server, name)
    # It misses the event of a rotation.
    server.client("lambda").invoke(FunctionName=name, Payload=b"{}")

    run(server, "cloudwatch.mjs", release, name, content_type)


def test_powertools_parameters(server: ServerProcess) -> None:
    run(server, "powertools.mjs")
