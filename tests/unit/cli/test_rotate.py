from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from keyturn.cli import rotate as command
from keyturn.cli.follow import Ending, Started, StepSeen
from keyturn.cli.main import app, register_commands
from keyturn.cli.rotate import print_step
from keyturn.errors.base import KeyturnError

register_commands()

DENIED = "ClientError: An error occurred (AccessDeniedException) when calling the GetSecretValue operation: no"
WHY = "Why: keyturn audit events --denied --since 10m --endpoint-url http://127.0.0.1:1 --region eu-west-1\n"


def test_a_log_line_neither_forges_another_nor_moves_the_cursor() -> None:
    file = io.StringIO()
    lines = ["[\x1b[2J]\ttime\tid\tfine\n\x1b[1A\N{CHECK MARK} finishSecret\x9b2J\u202e", "[bold]:secret:key:"]

    print_step(Console(file=file, highlight=False, emoji=False, soft_wrap=True), StepSeen("setSecret", None, lines))

    _, *printed = file.getvalue().splitlines()
    assert all(line.isprintable() and line.startswith("    ") for line in printed)
    assert any(line.endswith("\\x1b[1A\N{CHECK MARK} finishSecret\\x9b2J\\u202e") for line in printed)
    assert printed[-1].strip() == "[bold]:secret:key:"


@pytest.mark.parametrize(
    ("step_error", "error", "says_why"),
    [
        (DENIED, "Error when executing lambda", True),
        ("ValueError: no", "Error when executing lambda", False),
        (None, None, False),
    ],
)
def test_a_rotation_that_was_denied_something_says_where_to_look(
    monkeypatch: pytest.MonkeyPatch, step_error: str | None, error: str | None, says_why: bool
) -> None:
    class Followed:
        def __init__(self, *_: Any) -> None:
            pass

        def follow(self, *_: Any) -> Iterator[StepSeen | Ending]:
            yield StepSeen("createSecret", step_error, [])
            yield Ending(error)

    monkeypatch.setattr(command, "Rotation", Followed)
    monkeypatch.setattr(command, "start_rotation", lambda *_: Started("version", datetime(2026, 3, 4, tzinfo=UTC)))

    result = CliRunner().invoke(app, ["rotate", "db", "--endpoint-url", "http://127.0.0.1:1", "--region", "eu-west-1"])

    assert result.exit_code == (0 if error is None else 1)
    assert result.stdout.endswith(WHY) is says_why
    assert ("Why:" in result.stdout) is says_why


@pytest.mark.parametrize("message", ["User: x is not authorized to perform: y", "There is none."])
def test_a_rotation_that_may_not_begin_says_where_to_look(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    def refuse(*_: Any) -> None:
        raise KeyturnError(message, "Do this.")

    monkeypatch.setattr(command, "start_rotation", refuse)

    result = CliRunner().invoke(app, ["rotate", "db", "--endpoint-url", "http://127.0.0.1:1", "--region", "eu-west-1"])

    assert isinstance(result.exception, KeyturnError)
    assert list(result.exception.hints) == ["Do this.", WHY.rstrip()][: 2 if "authorized" in message else 1]
