from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
import typer
import typer.main
from typer.testing import CliRunner

import keyturn
from keyturn.cli import main
from keyturn.cli.follow import StillUnderWay
from keyturn.cli.main import app, print_error, register_commands
from keyturn.config import Settings
from keyturn.errors.base import KeyturnError

register_commands()

# What serve alone decides about itself, and what cannot be given to a command that makes what it names.
NOT_SETTINGS = {"no_profile", "replace_profile", "help", "profile", "output"}
NOT_FLAGS = {
    "partition",
    "rate_limits",
    "preflight",
    "preflight_hours_ahead",
    "heartbeat",
    "notify",
    "metrics_token_file",
} | {field.name for field in fields(Settings) if field.name.startswith(("quota_", "rotations_", "audit_"))}


def commands(group: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Every command and group with the words that lead to it."""
    yield " ".join(path), group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *path, name)


COMMANDS = dict(commands(typer.main.get_command(app)))


def help_of(words: str) -> str:
    result = CliRunner().invoke(app, [*words.split(), "--help"], terminal_width=80)
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("words", COMMANDS)
def test_help_fits_a_screen_and_says_everything_in_full(words: str) -> None:
    lines = help_of(words).splitlines()

    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line or "..." in line.replace("[ARGS]...", "")]
    assert not [line for line in lines if "[/]" in line or "``" in line or "[bold" in line]


@pytest.mark.parametrize("words", COMMANDS)
def test_everything_that_can_be_said_is_explained(words: str) -> None:
    command = COMMANDS[words]

    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{words} {parameter.name}"


@pytest.mark.parametrize("words", ["serve", "init"])
def test_each_flag_of_a_setting_names_its_variable(words: str) -> None:
    settings = {field.name for field in fields(Settings)}
    flags = {parameter.name: parameter for parameter in COMMANDS[words].params if parameter.name not in NOT_SETTINGS}

    assert set(flags) <= settings
    for name, flag in flags.items():
        assert f"KEYTURN_{name.upper()}" in flag.help
    if words == "serve":
        assert settings - set(flags) == NOT_FLAGS


@pytest.mark.parametrize("words", ["serve", "init"])
def test_defaults_in_help_are_those_of_the_settings(words: str) -> None:
    text = " ".join(help_of(words).split())

    for name in ("host", "port", "account_id", "region", "max_environments", "clock_skew_seconds", "log_level"):
        default = next(field.default for field in fields(Settings) if field.name == name)
        variable = f"[KEYTURN_{name.upper()}; default "
        if variable in text:
            assert f"{variable}{default}]" in text


def test_help_loads_none_of_the_server() -> None:
    program = "import sys; from keyturn.cli import main; main.register_commands(); print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    loaded = set(done.stdout.split())
    for heavy in ("boto3", "botocore", "sqlalchemy", "uvicorn", "cryptography", "keyturn.app", "keyturn.wire.models"):
        assert heavy not in loaded


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(app, ["--version"])

    assert (result.exit_code, result.output) == (0, f"keyturn {keyturn.__version__}\n")


def test_an_error_is_a_sentence_and_its_hints(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(KeyturnError("It [bold]failed[/bold].", "Do [this].", "Or that: " + "x" * 200))

    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"error: It [bold]failed[/bold].\nhint: Do [this].\nhint: Or that: {'x' * 200}\n"


def test_an_error_prints_what_it_quotes_as_it_is_and_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:key:x"
    print_error(KeyturnError(f"No {arn}.\nhint: curl it\x1b[2J", "Not \x9b31m\u202e."))

    assert capsys.readouterr().err == (f"error: No {arn}.\\x0ahint: curl it\\x1b[2J\nhint: Not \\x9b31m\\u202e.\n")


@pytest.mark.parametrize(("kind", "status"), [(KeyturnError, 1), (StillUnderWay, 3)])
def test_an_operator_s_error_ends_with_its_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: type[KeyturnError], status: int
) -> None:
    def fail() -> None:
        raise kind("It failed.", "Try again.")

    monkeypatch.setattr(main, "app", fail)
    monkeypatch.setattr(main, "register_commands", lambda: None)

    with pytest.raises(SystemExit) as ended:
        main.main()

    assert ended.value.code == status
    assert capsys.readouterr().err == "error: It failed.\nhint: Try again.\n"
