"""docs/clients.md is run from top to bottom as it stands: its shell commands, its Python, its JavaScript."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import DEADLINE_SECONDS, Credentials, ServerProcess
from .pages import ADDRESS, after_init, examples
from .refusals import refusal

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
NODE_MODULES = Path(__file__).parent / "node" / "node_modules"
RUN = ("sh", "python", "js")
NOT_RUN = ("go", "java", "csharp", "hcl")


def test_every_example_of_the_page_works_in_turn(server: ServerProcess, tmp_path: Path) -> None:
    if shutil.which("node") is None or not NODE_MODULES.is_dir():
        pytest.skip("Node.js and its SDK are installed by make test")
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    programs = {"sh": ["bash", "-euo", "pipefail"], "python": [sys.executable], "js": ["node"]}
    environ = after_init(server)
    suffixes = {"sh": "sh", "python": "py", "js": "mjs"}
    for number, example in enumerate(examples(PAGE.read_text())):
        if example.language in NOT_RUN:
            continue
        environ |= dict(re.findall(r"^export (\w+)=(\S+)$", example.code, re.MULTILINE))
        file = tmp_path / f"{number}.{suffixes[example.language]}"
        file.write_text(example.code.replace(ADDRESS, server.endpoint_url))
        done = subprocess.run(
            [*programs[example.language], str(file)],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
        )
        assert done.returncode == 0, f"{example.code}\n{done.stdout}{done.stderr}"
        if "create-access-key" in example.code:
            application = server.client("secretsmanager", Credentials(*done.stdout.splitlines()[-1].split()))
        if example.language != "sh":
            assert done.stdout.replace(server.endpoint_url, ADDRESS).splitlines() == example.prints, example.code

    made = server.client("secretsmanager").list_secrets(SortOrder="asc")["SecretList"]
    assert [secret["Name"] for secret in made] == ["app/database", "app/token", "app/flag"]
    assert len(application.get_secret_value(SecretId="app/token")["SecretString"]) == 40
    assert refusal(application.put_secret_value, SecretId="app/token", SecretString="x").code == "AccessDeniedException"


def test_what_is_not_run_is_said_not_to_be() -> None:
    run, separator, rest = PAGE.read_text().partition("\n## Not run by the tests\n")

    assert separator
    assert {example.language for example in examples(run)} == set(RUN)
    assert {example.language for example in examples(rest)} == set(NOT_RUN)
