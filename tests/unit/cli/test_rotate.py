from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from rich.console import Console
from typer.testing import CliRunner

from keyturn.cli import rotate as command
from keyturn.cli.follow import Ending, Rotation, Started, StepSeen, StillUnderWay
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


FAILED = {
    "VersionId": "v", "Kind": "rotation", "Status": "pending", "Step": "createSecret", "Attempt": 2, "Attempts": 5,
    "DueAt": datetime(2100, 1, 1, tzinfo=UTC),
}  # fmt: skip


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_rotation_that_failed_says_when_the_next_attempt_begins(monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    class Followed:
        def __init__(self, *_: Any) -> None:
            pass

        def follow(self, *_: Any) -> Iterator[StepSeen | Ending]:
            yield Ending("no", FAILED)

    monkeypatch.setattr(command, "Rotation", Followed)
    monkeypatch.setattr(command, "start_rotation", lambda *_: Started("version", datetime(2026, 3, 4, tzinfo=UTC)))

    where = ("--endpoint-url", "http://127.0.0.1:1", "--region", "eu-west-1")
    result = CliRunner().invoke(app, ["rotate", "db", "--output", output, *where])

    assert result.exit_code == 1
    if output == "json":
        rotation = json.loads(result.stdout)["rotation"]
        assert (rotation["attempt"], rotation["attempts"]) == (2, 5)
        assert rotation["due_at"] == "2100-01-01T00:00:00+00:00"
    else:
        assert "\nNow pending: attempt 2 of 5 begins at 2100-01-01 00:00:00 UTC\n" in result.stdout
        assert "\n  keyturn rotation show db --endpoint-url http://127.0.0.1:1" in result.stdout


class Gone:
    """A server that is there for a moment."""

    def describe_secret(self, **_: Any) -> dict[str, Any]:
        return {"ARN": "arn", "RotationLambdaARN": "arn:aws:lambda:eu-west-1:000000000000:function:f"}

    def lookup_events(self, **_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


def test_a_rotation_whose_server_goes_away_goes_on_and_nobody_claims_to_know_how_it_ends() -> None:
    clients: Any = {"secretsmanager": Gone(), "cloudtrail": Gone()}
    rotation = Rotation(clients, "db", Started("v", datetime(2026, 3, 4, tzinfo=UTC)), " --profile p")

    with pytest.raises(StillUnderWay, match="The server does not answer any more") as caught:
        list(rotation.follow(10, lambda _: None))

    assert caught.value.exit_status == 3
    first, second = caught.value.hints
    assert "goes on by itself, from the step it was in, when the server is back" in first
    assert second == "keyturn rotation show db --profile p shows how far it is."


def test_a_rotation_that_is_not_watched_to_its_end_says_how_to_look_at_it() -> None:
    clients: Any = {"secretsmanager": Gone(), "cloudtrail": Gone()}

    with pytest.raises(StillUnderWay, match="has not ended within 0 seconds") as caught:
        list(Rotation(clients, "db", Started("v", datetime(2026, 3, 4, tzinfo=UTC))).follow(0, lambda _: None))

    assert caught.value.hints[0] == "keyturn rotation show db shows how far it is."
