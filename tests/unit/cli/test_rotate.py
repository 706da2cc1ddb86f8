from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from rich.console import Console
from typer.testing import CliRunner

from keyturn.cli import follow
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
            yield Ending("no", {"Rotation": FAILED}, ("old", "old"))

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
        assert "\nAWSCURRENT is version old, as before.\n" in result.stdout
        assert "\nNow pending: attempt 2 of 5 begins at 2100-01-01 00:00:00 UTC\n" in result.stdout
        assert "\n  keyturn rotation show db --endpoint-url http://127.0.0.1:1" in result.stdout


@pytest.mark.parametrize("error", [None, "no"])
def test_an_attempt_that_was_under_way_is_announced_and_its_failure_is_not_the_last_word(
    monkeypatch: pytest.MonkeyPatch, error: str | None
) -> None:
    class Followed:
        def __init__(self, *_: Any) -> None:
            pass

        def follow(self, *_: Any) -> Iterator[StepSeen | Ending]:
            yield Ending(error, {"Rotation": FAILED}, ("old", "old"))

    at = datetime(2026, 3, 4, 23, 52, 12, tzinfo=UTC)
    monkeypatch.setattr(command, "Rotation", Followed)
    monkeypatch.setattr(command, "start_rotation", lambda *_: Started("version", at, under_way=(1, at)))

    where = ("--endpoint-url", "http://127.0.0.1:1", "--region", "eu-west-1")
    result = CliRunner().invoke(app, ["rotate", "db", *where])

    announced, _, rest = result.stdout.partition("\n")
    assert announced == "Attempt 1, begun at 2026-03-04 23:52:12 UTC, is under way; following it."
    assert ("what was changed since counts from the next one on." in rest) is (error is not None)
    assert ("Now pending: attempt 2 of 5 begins at 2100-01-01" in rest) is (error is not None)


ARN = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-abcdef"


class Account:
    """A secret whose rotation to version ``v`` goes as told; GetRotation answers one after the other."""

    def __init__(self, event: str | None, *answers: dict[str, Any], current: str = "old", enabled: bool = True) -> None:
        self.event, self.answers, self.enabled = event, list(answers), enabled
        self.current = ["old", current]
        self.meta = self
        self.endpoint_url = "http://127.0.0.1:1"

    def describe_secret(self, **_: Any) -> dict[str, Any]:
        current = self.current.pop(0) if len(self.current) > 1 else self.current[0]
        return {"ARN": ARN, "VersionIdsToStages": {current: ["AWSCURRENT"]}, "RotationEnabled": self.enabled}

    def lookup_events(self, **_: Any) -> dict[str, Any]:
        event = {"eventID": "e", "eventName": self.event, "requestID": "Rotation-v", "errorMessage": None}
        return {"Events": [{"CloudTrailEvent": json.dumps(event)}] if self.event else []}

    def get_rotation(self, **_: Any) -> dict[str, Any]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def __getitem__(self, _: str) -> Account:
        return self


def told(status: str, kind: str = "rotation", attempt: int = 1, **members: Any) -> dict[str, Any]:
    rotation = {**FAILED, "Status": status, "Kind": kind, "Attempt": attempt, "Step": "probeSecret"}
    del rotation["DueAt"]
    return {"Rotation": rotation, **members}


def knows(version_id: str, label: str, *maybe: str) -> dict[str, Any]:
    at = datetime(2026, 3, 4, tzinfo=UTC)
    known = {"VersionId": version_id, "At": at, "MaybeVersions": [{"VersionId": one, "SetAt": at} for one in maybe]}
    return {"DatabaseVersion": known, "VersionIdsToStages": {version_id: [label], "v": ["AWSPENDING"]}}


MAYBE_PENDING = (
    "Password: may be that of version v (AWSPENDING): setSecret ran for it at 2026-03-04 00:00:00 UTC;"
    " before that version old (AWSCURRENT) logged in at 2026-03-04 00:00:00 UTC."
)
RUNNING, CANCELLED, ABANDONED = told("running"), told("cancelled"), told("abandoned")


@pytest.mark.parametrize(
    ("account", "lines"),
    [
        pytest.param(
            Account("RotationFailed", RUNNING, told("failed", **knows("lost", "AWSCURRENT")), current="lost"),
            [
                "Not rotated: RotationFailed",
                "AWSCURRENT has moved from old to lost.",
                "Password: version lost (AWSCURRENT) logged in at 2026-03-04 00:00:00 UTC.",
                "Now failed",
            ],
            id="moved to a version that had lost its label",
        ),
        pytest.param(
            Account(
                "RotationAbandoned", ABANDONED, told("pending", "resolution"), told("running", "resolution"),
                told("resolved", "resolution", **knows("v", "AWSCURRENT")), current="v",
            ),
            [
                "Not rotated: AWSPENDING was taken off its version.",
                "AWSCURRENT has moved from old to v.",
                "Password: version v (AWSPENDING) logged in at 2026-03-04 00:00:00 UTC.",
                "The database was to be asked which version it accepts: resolved",
            ],
            id="its label was taken off",
        ),
        pytest.param(
            Account(
                None, CANCELLED, told("pending", "resolution", 2, **knows("old", "AWSCURRENT", "v")), enabled=False
            ),
            [
                "Not rotated: Rotation of this secret is off: it was cancelled.",
                "AWSCURRENT is version old, as before.",
                MAYBE_PENDING,
                "The database was to be asked which version it accepts: pending",
            ],
            id="cancelled",
        ),
        pytest.param(
            Account("RotationFailed", told("parked", **knows("old", "AWSCURRENT", "v"))),
            [
                "Not rotated: RotationFailed",
                "AWSCURRENT is version old, as before.",
                MAYBE_PENDING,
                "Now parked: out of attempts, and no window is planned",
            ],
            id="failed behind setSecret",
        ),
    ],
)  # fmt: skip
def test_after_a_failure_no_more_is_said_than_is_known(
    monkeypatch: pytest.MonkeyPatch, account: Any, lines: list[str]
) -> None:
    monkeypatch.setattr(follow, "_POLL_SECONDS", 0)
    file = io.StringIO()
    rotation = Rotation(account, "db", Started("v", datetime(2026, 3, 4, tzinfo=UTC)))

    command.follow(Console(file=file, highlight=False, emoji=False, soft_wrap=True), rotation, 60)

    assert file.getvalue().splitlines() == lines


def test_who_may_not_look_is_told_where_current_is_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    account: Any = Account("RotationFailed")

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetRotation")

    monkeypatch.setattr(account, "get_rotation", refuse)
    (ending,) = Rotation(account, "db", Started("v", datetime(2026, 3, 4, tzinfo=UTC))).follow(60, lambda _: None)

    assert ending == Ending("RotationFailed", None, ("old", "old"))


@pytest.mark.parametrize("operation", ["get_rotation", "lookup_events"])
def test_a_server_whose_own_database_is_away_does_not_make_a_rotation_fail(
    monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    account: Any = Account("RotationFailed")

    def fault(**_: Any) -> None:
        said = {"Error": {"Code": "InternalServiceError"}, "ResponseMetadata": {"HTTPStatusCode": 500}}
        raise ClientError(said, "GetRotation")  # type: ignore[arg-type]  # a part of an answer

    monkeypatch.setattr(account, operation, fault)
    rotation = Rotation(account, "db", Started("v", datetime(2026, 3, 4, tzinfo=UTC)))

    with pytest.raises(StillUnderWay, match="cannot tell how the rotation goes on just now") as caught:
        list(rotation.follow(60, lambda _: None))

    assert "/readyz" in caught.value.hints[0]


@pytest.mark.parametrize("enabled", [False, True])
def test_that_rotation_is_switched_on_again_is_said(monkeypatch: pytest.MonkeyPatch, enabled: bool) -> None:
    class Followed:
        def __init__(self, *_: Any) -> None:
            pass

        def follow(self, *_: Any) -> Iterator[Ending]:
            yield Ending(None)

    account: Any = Account(None, told("succeeded"), enabled=enabled)
    account.rotate_secret = lambda **_: {"VersionId": "v"}
    monkeypatch.setattr(command, "Rotation", Followed)
    monkeypatch.setattr(command, "Clients", lambda *_: account)

    result = CliRunner().invoke(app, ["rotate", "db"])

    assert result.exit_code == 0, result.output
    assert ("Rotation of this secret was off: it is on again now." in result.stdout) is not enabled


class Gone:
    """A server that is there for a moment."""

    def describe_secret(self, **_: Any) -> dict[str, Any]:
        return {"ARN": "arn", "RotationLambdaARN": "arn:aws:lambda:eu-west-1:000000000000:function:f"}

    def lookup_events(self, **_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    def get_function_configuration(self, **_: Any) -> dict[str, Any]:
        return {"LoggingConfig": {"LogGroup": "app"}}


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
    clients: Any = {"secretsmanager": Gone(), "cloudtrail": Gone(), "lambda": Gone()}

    with pytest.raises(StillUnderWay, match="has not ended within 0 seconds") as caught:
        list(Rotation(clients, "db", Started("v", datetime(2026, 3, 4, tzinfo=UTC))).follow(0, lambda _: None))

    assert caught.value.hints == (
        "keyturn rotation show db shows how far it is.",
        "aws logs tail app --follow shows what the function does.",
    )


def printed(*lines: str, **terminal: Any) -> str:
    file = io.StringIO()
    console = Console(file=file, highlight=False, emoji=False, soft_wrap=True, **terminal)
    print_step(console, StepSeen("setSecret", None, list(lines)))
    return file.getvalue()


def test_what_a_step_says_again_and_again_is_shown_once() -> None:
    warning = "[WARNING]\t{}\tid\tThe host h has no TLS"
    lines = (warning.format("09:00"), "[INFO]\t09:01\tid\tdone", warning.format("09:02"), warning.format("09:03"))
    assert printed(*lines).splitlines()[1:] == [
        "    WARNING The host h has no TLS (3 times)",
        "    INFO    done",
    ]


def test_a_traceback_is_folded() -> None:
    said = printed(
        "[ERROR] AuthenticationFailed: no\nTraceback (most recent call last):\n  File x, line 1\n    raise\n"
    )
    assert [line.strip() for line in said.splitlines()[1:]] == [
        "[ERROR] AuthenticationFailed: no",
        "(keyturn rotation show -v shows the traceback, 3 lines)",
    ]


def test_a_long_line_is_indented_on_a_terminal_and_whole_elsewhere() -> None:
    line = "[INFO]\t09:00\tid\t" + " ".join(["arn:aws:secretsmanager:eu-central-1:1:secret:x-AbCdEf"] * 3)
    on_terminal = printed(line, force_terminal=True, width=80, no_color=True, legacy_windows=False)
    rows = [row for row in re.sub(r"\x1b\[[\d;]*m", "", on_terminal).splitlines() if "arn:" in row]
    assert len(rows) == 3
    assert all(row.startswith(" " * 12) for row in rows[1:])
    assert max(map(len, rows)) <= 80
    assert len(printed(line, width=80).splitlines()) == 2


def test_records_in_json_are_shown_like_those_in_text_and_the_platforms_give_the_duration() -> None:
    error = {
        "timestamp": "t",
        "level": "ERROR",
        "message": "no way",
        "stackTrace": ["  File x, line 1\n    raise\n"],
        "errorType": "ValueError",
        "errorMessage": "as asked",
        "requestId": "r",
    }
    report = {"time": "t", "type": "platform.report", "record": {"requestId": "r", "metrics": {"durationMs": 12.3456}}}

    first, *rest = printed(
        json.dumps({"timestamp": "t", "level": "WARN", "message": {"host": "h"}, "requestId": "r"}),
        json.dumps(error),
        '{"of": "the function"}',
        json.dumps(report, separators=(",", ":")),
    ).splitlines()

    assert first.split() == ["✓", "setSecret", "12.35", "ms"]
    assert [line.split(maxsplit=1) for line in rest] == [
        ["WARN", '{"host": "h"}'],
        ["ERROR", "no way"],
        ["ValueError:", "as asked"],
        ["(keyturn", "rotation show -v shows the traceback, 2 lines)"],
        ['{"of":', '"the function"}'],
    ]


class Refusing(Account):
    """A secret of which RotateSecret says that the rotation before is not complete."""

    class exceptions:  # noqa: N801 - as clients have it
        class InvalidRequestException(ClientError):
            pass

    def describe_secret(self, **_: Any) -> dict[str, Any]:
        return {"ARN": ARN, "VersionIdsToStages": {"v": ["AWSPENDING"]}, "RotationEnabled": True}

    refusals = 100

    def rotate_secret(self, **_: Any) -> dict[str, Any]:
        self.refusals -= 1
        if self.refusals < 0:
            return {"VersionId": "new"}
        said: Any = {"Code": "InvalidRequestException", "Message": "A previous rotation isn't complete."}
        raise self.exceptions.InvalidRequestException({"Error": said}, "RotateSecret")


BEGUN_AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
STEPS = [{"Attempt": 1, "StartedAt": BEGUN_AT.replace(year=2025)}, {"Attempt": 2, "StartedAt": BEGUN_AT}]


@pytest.mark.parametrize(
    ("answer", "under_way"),
    [
        (told("running", attempt=2, Steps=STEPS), (2, BEGUN_AT)),
        (told("pending", attempt=2, Steps=STEPS), None),
        (told("running", "resolution", attempt=2, Steps=STEPS), None),
        (told("running", attempt=3, Steps=STEPS), None),
    ],
)
def test_a_rotation_that_is_taken_up_knows_which_attempt_was_under_way(
    answer: dict[str, Any], under_way: tuple[int, datetime] | None
) -> None:
    started = follow.start_rotation(Refusing(None, answer), "db")  # type: ignore[arg-type]  # stands for clients

    assert (started.version_id, started.under_way) == ("v", under_way)


@pytest.mark.parametrize(
    ("answers", "is_pending"),
    [
        ([told("running", "test"), told("running", "test"), told("succeeded", "test")], True),
        ([told("running", "test"), told("failed", "test")], True),
        ([told("running", "test"), told("succeeded", "test")], False),
    ],
    ids=["running", "has failed meanwhile", "has ended meanwhile"],
)
def test_a_test_of_the_function_is_waited_for_and_then_a_rotation_started(
    monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]], is_pending: bool
) -> None:
    monkeypatch.setattr(follow, "_POLL_SECONDS", 0)
    account = Refusing(None, *answers)
    account.refusals = 1
    if not is_pending:
        monkeypatch.setattr(account, "describe_secret", lambda **_: {"ARN": ARN})

    assert follow.start_rotation(account, "db").version_id == "new"  # type: ignore[arg-type]  # stands for clients
    assert account.answers == answers[-1:]


def test_a_test_that_does_not_end_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_LONGEST_TEST_SECONDS", 0)

    with pytest.raises(StillUnderWay, match="A test of the function has not ended, so that no rotation was started"):
        follow.start_rotation(Refusing(None, told("running", "test")), "db")  # type: ignore[arg-type]  # as above


def test_a_refusal_that_no_test_explains_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Refusing(None, told("running", "resolution"))
    monkeypatch.setattr(account, "describe_secret", lambda **_: {"ARN": ARN})

    with pytest.raises(ClientError, match="A previous rotation isn't complete"):
        follow.start_rotation(account, "db")  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize("event", ["TestRotationSucceeded", "TestRotationFailed"])
def test_where_only_the_trail_tells_of_a_test_its_end_is_an_end(event: str) -> None:
    account: Any = Account(event)
    (ending,) = Rotation(account, "db", Started("v", datetime(2026, 3, 4, tzinfo=UTC))).follow(60, lambda _: None)

    assert ending.error == "No rotation was started: the function was being tested. Start it again."
