"""``docs/settings.md`` names every setting there is, with its flag, its variable and its default, and no other."""

from __future__ import annotations

import re
import tomllib
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import pytest
import typer.main

from keyturn.cli.main import app, register_commands
from keyturn.config import Settings

register_commands()

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL))
SERVE: Any = typer.main.get_command(app)
FLAGS = {parameter.name: parameter.opts[0] for parameter in SERVE.commands["serve"].params}


def test_the_headings_are_the_settings_in_their_order() -> None:
    assert list(SECTIONS) == [field.name for field in fields(Settings)]


@pytest.mark.parametrize("setting", fields(Settings), ids=lambda setting: setting.name)
def test_a_setting_is_given_with_flag_variable_and_default(setting: Field[Any]) -> None:
    section = " ".join(SECTIONS[setting.name].split())

    assert f"`KEYTURN_{setting.name.upper()}`" in section
    if setting.name in FLAGS:
        assert f"`{FLAGS[setting.name]}`" in section
    else:
        without = ("quota_", "rate_", "rotations_", "audit_", "notify", "metrics_", "preflight", "heartbeat")
        is_quota = setting.name.startswith(without)
        assert (
            "neither have quotas, rates, bounds of rotations and what concerns pre-flights, the audit trail,"
            " notifications and metrics"
            if is_quota
            else f"`{setting.name}` has no flag"
        ) in " ".join(PAGE.split())
    if setting.default not in (MISSING, None, ""):
        shown = str(setting.default).lower() if isinstance(setting.default, bool) else str(setting.default)
        assert f"Default `{shown}`" in section


def test_the_example_is_a_file_that_would_be_read() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)

    assert set(tomllib.loads(example)) <= {field.name for field in fields(Settings)}
