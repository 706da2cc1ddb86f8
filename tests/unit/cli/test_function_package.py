"""What keyturn function package writes beside the zip: AWS's own check accepts it, and so does Keyturn's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from keyturn.cli.function_template import template
from keyturn.cli.main import app, register_commands
from keyturn.cli.yaml_text import yaml_text
from keyturn.errors.base import KeyturnError
from keyturn.rotators import catalogue

register_commands()


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["function", "package", *words])


def templates() -> list[Any]:
    return [
        template(
            title="PostgreSQL",
            handler="postgresql_single_user.lambda_handler",
            zip_name="postgresql_single_user.zip",
            architecture=architecture,
            strategy="alternating users" if has_superuser else "single user",
            has_superuser=has_superuser,
        )
        for architecture in (None, "arm64")
        for has_superuser in (False, True)
    ]


def test_cfn_lint_accepts_every_template(tmp_path: Path) -> None:
    files = []
    for number, made in enumerate(templates()):
        files.append(tmp_path / f"{number}.yaml")
        files[-1].write_text(yaml_text(made))
    # W3002: the zip beside it is for `aws cloudformation package`, and that is how the template says it is deployed.
    command = [
        str(Path(sys.executable).with_name("cfn-lint")),
        "--ignore-checks",
        "W3002",
        "--template",
        *map(str, files),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_every_template_says_which_python_and_which_processor() -> None:
    pure, compiled = (yaml_text(made) for made in templates()[::2])
    version = f"python3.{sys.version_info.minor}"
    assert f"{version} or later, x86_64 or arm64" in pure
    assert f"{version} on arm64 only" in compiled
    assert "- arm64" in compiled


PAIRS = [
    (engine, strategy.replace("_", "-"))
    for engine in catalogue.engines()
    for strategy in catalogue.strategies()
    if catalogue.go_together(engine, strategy)
]


@pytest.mark.parametrize(("engine", "strategy"), PAIRS)
def test_a_folder_has_the_zip_the_template_and_policies_that_are_accepted(
    tmp_path: Path, engine: str, strategy: str
) -> None:
    folder = tmp_path / "new" / "folder"
    result = run(engine, "--strategy", strategy, "--directory", str(folder))
    assert result.exit_code == 0, result.output
    name = f"{engine}_{strategy.replace('-', '_')}"
    has_superuser = strategy in ("alternating-users", "single-user-by-superuser")
    superuser = {"superuser-policy.json", "superuser-key-policy.json"} if has_superuser else set()
    policies = {"role-policy.json", "role-key-policy.json", "trust-policy.json"} | superuser
    assert {path.name for path in folder.iterdir()} == {f"{name}.zip", "template.yaml"} | policies
    assert f"Handler: {name}.lambda_handler" in result.stderr
    text = (folder / "template.yaml").read_text()
    made = yaml.safe_load(text)
    assert made["Resources"]["RotationFunction"]["Properties"]["Code"] == f"{name}.zip"
    assert ("SuperuserSecretArn=" in text) == bool(superuser)
    for file in policies:
        checked = CliRunner().invoke(app, ["policy", "check", str(folder / file), "--output", "json"])
        assert json.loads(checked.stdout)["faults"] == []
        assert checked.exit_code == 0


def test_a_folder_with_other_files_is_left_as_it_is_and_ones_own_is_written_again(tmp_path: Path) -> None:
    mine, own = tmp_path / "mine", tmp_path / "own"
    mine.mkdir()
    for file in ("target.py", "template.yaml"):
        (mine / file).write_text("mine")
    result = run("mariadb", "--directory", str(mine))
    assert isinstance(result.exception, KeyturnError)
    assert "has files that are not this package's: target.py. Nothing was written." in result.exception.message
    assert {path.read_text() for path in mine.iterdir()} == {"mine"}

    own.mkdir()
    for _ in range(2):
        assert run("mariadb", "--directory", str(own)).exit_code == 0
        # What the commands at the top of the template leave there.
        (own / "packaged.yaml").touch()


def test_nothing_of_a_superuser_secret_is_in_what_one_user_takes() -> None:
    assert "uperuser" not in yaml_text(templates()[0])


def test_a_folder_and_a_file_exclude_each_other(tmp_path: Path) -> None:
    assert run("mariadb", "--directory", str(tmp_path), "--file", str(tmp_path / "zip")).exit_code == 2


def test_a_folder_that_cannot_be_made_is_said_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("mariadb", "--directory", str(tmp_path / "file" / "folder"))
    assert isinstance(result.exception, KeyturnError)
    assert "--directory" in result.exception.hints[0]
