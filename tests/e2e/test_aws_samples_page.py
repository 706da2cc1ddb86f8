"""docs/aws-samples.md is run as it stands, with AWS's function where it is at hand and with one of ours everywhere."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import DEADLINE_SECONDS, ServerProcess
from .driver_layers import layer_of
from .pages import after_init, examples
from .test_functions_like_aws import DRIVERS, FOLDER

PAGE = Path(__file__).parents[2] / "docs" / "aws-samples.md"
REPOSITORY = "aws-secrets-manager-rotation-lambdas"
SAMPLE = "SecretsManagerRDSPostgreSQLRotationSingleUser"


def bring_ours(folder: Path) -> None:
    """Put a function and drivers of ours where the page's commands put AWS's function and PyGreSQL."""
    shutil.copytree(FOLDER, folder / REPOSITORY / SAMPLE)
    for distributions in DRIVERS.values():
        with zipfile.ZipFile(io.BytesIO(layer_of(*distributions))) as archive:
            archive.extractall(folder / "layer")


def bring_aws(folder: Path) -> None:
    named = os.environ.get("KEYTURN_AWS_SAMPLES", "")
    if not named:
        pytest.skip("KEYTURN_AWS_SAMPLES names no checkout of aws-samples/aws-secrets-manager-rotation-lambdas")
    shutil.copytree(Path(named) / SAMPLE, folder / REPOSITORY / SAMPLE)
    with zipfile.ZipFile(io.BytesIO(layer_of("PyGreSQL"))) as archive:
        archive.extractall(folder / "layer")


@pytest.mark.parametrize("whose", ["ours", "AWS's"])
def test_the_commands_rotate_the_password(own_server: ServerProcess, tmp_path: Path, whose: str) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (bring_ours if whose == "ours" else bring_aws)(folder)
    [example] = examples(PAGE.read_text())
    commands = [line for line in example.code.splitlines() if not line.startswith(("git clone", "python3 -m pip"))]
    assert len(example.code.splitlines()) - len(commands) == 2
    with PostgresqlServer.start() as database:
        database.create_user("app", "first password")
        own_server.start()
        script = "\n".join(commands).replace('"port":5432', f'"port":{database.port}')
        script = script.replace("python3.11", f"python3.{sys.version_info.minor}")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=after_init(own_server),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE_SECONDS * 4,
        )
        assert done.returncode == 0, done.stdout
        assert not database.accepts("app", "first password")
    assert "finishSecret" in done.stdout
