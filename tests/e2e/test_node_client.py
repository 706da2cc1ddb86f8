"""The AWS SDK for JavaScript: a client that shares no code with botocore, whose models the server is built from."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keyturn.testing.functions import zip_package

from .conftest import DEADLINE_SECONDS, ServerProcess

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


def run(server: ServerProcess, script: str, *arguments: str) -> None:
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


def test_secrets(server: ServerProcess) -> None:
    run(server, "secretsmanager.mjs")


def test_roles_and_sessions(server: ServerProcess) -> None:
    run(server, "identities.mjs")


def test_functions_and_their_logs(server: ServerProcess, tmp_path: Path) -> None:
    package = tmp_path / "package.zip"
    package.write_bytes(zip_package({"lambda_function.py": FUNCTION}))

    run(server, "functions.mjs", str(package), f"python3.{sys.version_info.minor}")
