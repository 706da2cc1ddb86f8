"""Documentation is tested: commands that it shows exist, links lead somewhere, the README has the two commands."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from keyturn.cli.main import app, register_commands
from keyturn.config import Settings
from keyturn.operations import registry

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
COMMAND = re.compile(r"^(?:\$ )?(keyturn [^#`\n]*)", re.MULTILINE)
INLINE = re.compile(r"`(keyturn [a-z][^`]*)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")

register_commands()


def shown_commands() -> list[tuple[str, str]]:
    """Every keyturn command of every page."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in [*COMMAND.finditer(text), *INLINE.finditer(text)]:
            found.append((page.name, match.group(1).strip().rstrip("\\").rstrip(".;:")))
    return found


@pytest.mark.parametrize(("page", "command"), shown_commands())
def test_a_command_in_the_documentation_exists_with_its_options(page: str, command: str) -> None:
    words = shlex.split(command.partition(" > ")[0])[1:]
    current: Any = typer.main.get_command(app)
    while words and hasattr(current, "commands") and words[0] in current.commands:
        current = current.commands[words.pop(0)]
    if words and hasattr(current, "default"):
        # Of a group that has one, what is no command is an argument of the default.
        current = getattr(current, "commands", {})[current.default]
    assert not hasattr(current, "commands") or not words or words[0].startswith("-") or words[0] == "…", (page, command)
    known = {name for parameter in current.params for name in parameter.opts} | {"--help", "-h"}
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, f"{page}: {command}: {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_in_the_documentation_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_begins_with_what_it_is_and_the_two_commands() -> None:
    first_screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:40])
    assert "make demo" in first_screen
    assert "make test" in first_screen
    assert "TRANSCRIPT" not in first_screen


def test_continuous_integration_runs_the_readmes_test_command() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Settings)])
def test_every_setting_has_a_heading_and_its_variable(field: str) -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    assert f"### {field}\n" in text
    assert f"`KEYTURN_{field.upper()}`" in text


def test_the_compatibility_page_names_every_operation() -> None:
    registry.discover()
    text = (ROOT / "docs" / "compatibility.md").read_text()
    assert not [operation.name for operation in registry.all_operations() if operation.name not in text]
