"""What a person reads of a rotation: status in words, attempts, a story, a ticket; what others wrote is harmless."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from keyturn.cli import rotation as command
from keyturn.cli.clients import Clients
from keyturn.cli.follow import Started
from keyturn.cli.main import app, register_commands
from keyturn.cli.rotation_markdown import markdown
from keyturn.cli.rotation_report import Report, duration
from keyturn.cli.rotation_text import print_report

register_commands()

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SECOND = timedelta(seconds=1)
VERSION, BEFORE = "6ad2f1d0-8c1b-4b52-9f0e-0d5a3c1f7e42", "f23a8ea8-e589-495f-8108-91b635ca4a37"
ARN = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-abcdef"


def rotation(status: str = "pending", **members: Any) -> dict[str, Any]:
    return {
        "VersionId": VERSION,
        "Kind": "rotation",
        "Status": status,
        "Step": "createSecret",
        "Attempt": 2,
        "RequestedAt": AT,
        **members,
    }


def step(name: str, outcome: str = "succeeded", attempt: int = 1, seconds: int = 0) -> dict[str, Any]:
    members = {"Attempt": attempt, "Step": name, "StartedAt": AT + seconds * SECOND, "Outcome": outcome}
    return members if outcome in ("running", "interrupted") else {**members, "DurationMilliseconds": 1500}


def entry(kind: str, message: str, severity: str = "info", **members: Any) -> dict[str, Any]:
    return {"At": AT, "Kind": kind, "Severity": severity, "Message": message, **members}


def answer(told: dict[str, Any], *entries: dict[str, Any], steps: Any = ()) -> dict[str, Any]:
    stages = {VERSION: ["AWSPENDING"], BEFORE: ["AWSCURRENT"]}
    return {
        "ARN": ARN,
        "Name": "db",
        "Rotation": told,
        "VersionIdsToStages": stages,
        "Steps": list(steps),
        "Timeline": list(entries),
    }


def report(told: dict[str, Any], *entries: dict[str, Any], steps: Any = (), verbose: bool = False) -> Report:
    return Report(answer(told, *entries, steps=steps), AT, is_verbose=verbose)


def printed(of: Report, width: int = 80, options: str = "") -> str:
    file = io.StringIO()
    print_report(Console(file=file, width=width, highlight=False, emoji=False, soft_wrap=True), of, options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("told", "status"),
    [
        (rotation(DueAt=AT + SECOND), "pending: attempt 2 begins at 2026-03-04 05:06:08 UTC"),
        (rotation(DueAt=AT), "pending: attempt 2 begins at once"),
        (rotation("running", Step="setSecret"), "running: attempt 2, setSecret"),
        (rotation("parked"), "parked: out of attempts, and no window is planned"),
        (
            rotation("parked", DueAt=AT, WindowClosesAt=AT + SECOND),
            (
                "parked: out of attempts; tried again at 2026-03-04 05:06:07 UTC, in the window that closes at"
                " 2026-03-04 05:06:08 UTC"
            ),
        ),
        (rotation("succeeded"), "succeeded"),
    ],
)
def test_the_status_says_when_it_goes_on(told: dict[str, Any], status: str) -> None:
    assert report(told).header()[0] == ("status", status)


def test_the_header_has_cause_and_error_without_what_every_error_begins_with() -> None:
    error = "Error when executing lambda arn:aws:lambda:x during setSecret step: E: no during that"
    rows = report(rotation(Cause="AuthenticationFailed", Error=error, EndedAt=AT + 90 * SECOND)).header()

    assert ("cause", "AuthenticationFailed") in rows
    assert ("error", "setSecret step: E: no during that") in rows
    assert ("ended", "2026-03-04 05:07:37 UTC, after 1 min 30 s") in rows
    assert rows[-2:] == [("version", f"{BEFORE}  AWSCURRENT"), ("version", f"{VERSION}  AWSPENDING")]


def test_runs_are_told_apart_by_failures_and_an_interrupted_step_counts_as_it_ended() -> None:
    steps = [
        step("createSecret", "interrupted"),
        step("createSecret"),
        step("setSecret", "timeout"),
        step("probeSecret"),
        step("createSecret", attempt=1, seconds=60),
        step("setSecret", "running", seconds=61),
    ]
    of = report(rotation(), steps=steps)

    first, second = of.runs()

    assert of.steps() == ["createSecret", "setSecret", "testSecret", "finishSecret", "probeSecret"]
    assert first.cells == {"createSecret": "✓ 1.5 s", "setSecret": "✗ timeout 1.5 s", "probeSecret": "✓ 1.5 s"}
    assert second.cells == {"createSecret": "✓ 1.5 s", "setSecret": "… running"}
    assert (first.began, second.began) == ("05:06:07", "05:07:07")


def test_runs_of_several_days_show_the_date() -> None:
    steps = [step("createSecret", "timeout"), step("createSecret", "timeout", seconds=86_400)]

    assert [run.began for run in report(rotation(), steps=steps).runs()] == [
        "2026-03-04 05:06:07",
        "2026-03-05 05:06:07",
    ]


@pytest.mark.parametrize(
    ("took", "text"),
    [
        (0, "0 ms"),
        (0.9994, "999 ms"),
        (1, "1.0 s"),
        (59.94, "59.9 s"),
        (60, "1 min"),
        (3_661, "1 h 1 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_are_as_exact_as_matters(took: float, text: str) -> None:
    assert duration(timedelta(seconds=took)) == text


def test_each_day_of_a_timeline_begins_with_its_date() -> None:
    later = {**entry("event", "then"), "At": AT + timedelta(days=1)}
    lines = [
        line.text for line in report(rotation(), entry("event", "first"), entry("event", "second"), later).timeline()
    ]

    assert lines == [["2026-03-04 (UTC)"], ["  first"], ["  second"], ["2026-03-05 (UTC)"], ["  then"]]


def test_a_brief_story_has_no_calls_that_went_well_and_no_stack_traces() -> None:
    told = [
        entry("call", "DescribeSecret by the function"),
        entry("call", "RotateSecret by user/a was refused", "warning"),
        entry("log", "START RequestId: r1"),
        entry("log", "[ERROR] E: no\nTraceback (most recent call last):\n  File x"),
        entry("label", f"AWSCURRENT moved from {BEFORE} to {VERSION}"),
    ]

    assert [line.text for line in report(rotation(), *told).timeline()][1:] == [
        ["  RotateSecret by user/a was refused"],
        ["    [ERROR] E: no"],
        ["  AWSCURRENT moved from f23a8ea8… to 6ad2f1d0…"],
    ]
    whole = [text for line in report(rotation(), *told, verbose=True).timeline() for text in line.text]
    assert len(whole) == 8
    assert whole[-1] == f"  AWSCURRENT moved from {BEFORE} to {VERSION}"


def test_what_a_refusal_says_the_log_does_not_repeat() -> None:
    why = "User: arn:aws:sts::1:assumed-role/r/r is not authorized to perform: x"
    told = [
        entry("denied", f"GetSecretValue by the function was denied: {why}", "error", EventId="e1"),
        entry("log", f"[ERROR] ClientError: An error occurred: {why}"),
        entry("log", "[ERROR] another"),
    ]

    assert [line.text[0] for line in report(rotation(), *told).timeline()][2:] == ["    [ERROR] another"]


def test_a_refusal_comes_with_the_command_that_explains_it_once_each() -> None:
    denied = [
        entry("denied", f"{name} by the function was denied: no", "error", EventId=event_id)
        for name, event_id in (("GetSecretValue", "e1"), ("PutSecretValue", "e2"), ("GetSecretValue", "e3"))
    ]
    text = printed(report(rotation(), *denied), options=" --profile p")

    next_steps = text.partition("What next\n")[2]
    assert [line.strip() for line in next_steps.splitlines()] == [
        "keyturn audit explain e3 --profile p",
        "why GetSecretValue was denied, and what would allow it",
        "keyturn audit explain e2 --profile p",
        "why PutSecretValue was denied, and what would allow it",
        "keyturn rotation retry db --wait --profile p",
        "try again now, and watch",
    ]
    assert text.count("                keyturn audit explain") == 3


@pytest.mark.parametrize(
    ("told", "commands"),
    [
        (rotation("parked"), ["keyturn rotation retry db --wait"]),
        (rotation("running"), ["keyturn rotation show db"]),
        (rotation("abandoned"), ["keyturn rotate db"]),
        (rotation("failed", Kind="test"), ["keyturn rotate db"]),
        (rotation("succeeded"), []),
    ],
)
def test_what_can_be_done_depends_on_where_it_stands(told: dict[str, Any], commands: list[str]) -> None:
    assert [step.command for step in report(told).next_steps()] == commands


@pytest.mark.parametrize("width", [20, 80, 120])
def test_it_fits_the_screen_and_what_belongs_together_stands_below_each_other(width: int) -> None:
    long = "word " * 60
    text = printed(report(rotation(), entry("event", long), entry("log", f"[INFO]\tt\tr\t{long}")), width)

    timeline = text.partition("Timeline\n")[2].partition("\n\nWhat next")[0].splitlines()
    if width >= 80:
        assert max(map(len, timeline)) <= width
    assert all(line.startswith(("05:06:07.000  ", " " * 14, "2026-03-04")) for line in timeline)
    assert timeline[-1].split()[-1] == "word"


HOSTILE = "\x1b[2J\u202e\n05:06:07.000  ✓ forged | `x` ```` [bold]<img src=//evil>@all"


def test_what_others_wrote_forges_nothing_on_the_screen() -> None:
    told = [entry("denied", HOSTILE, "error", EventId="\x1b"), entry("log", HOSTILE), entry("event", HOSTILE)]
    text = printed(report(rotation(Error=HOSTILE), *told), 300)

    assert all(line.isprintable() for line in text.splitlines())
    assert "\n05:06:07.000  ✓ forged" not in text
    assert "[bold]" in text


def test_what_others_wrote_stays_within_its_place_in_a_ticket() -> None:
    text = markdown(report(rotation(Error=HOSTILE), entry("log", HOSTILE), entry("event", HOSTILE)))

    (error,) = [line for line in text.splitlines() if line.startswith("| error")]
    assert error.count("|") == 3
    assert error.count("`") == 2
    fences = [line for line in text.splitlines() if line.startswith("`````")]
    assert fences == ["`````text", "`````"]
    assert text.isprintable() or all(line.isprintable() for line in text.splitlines())


def test_a_ticket_stands_for_itself() -> None:
    told = rotation("parked", Error="E: no")
    text = markdown(
        report(told, entry("event", "It began"), steps=[step("createSecret"), step("setSecret", "timeout")])
    )

    assert text.splitlines() == [
        f"## `db: rotation to version {VERSION}`",
        "",
        "|  |  |",
        "| --- | --- |",
        "| status | `parked: out of attempts, and no window is planned` |",
        "| error | `E: no` |",
        "| began | `2026-03-04 05:06:07 UTC` |",
        f"| version | `{BEFORE}  AWSCURRENT` |",
        f"| version | `{VERSION}  AWSPENDING` |",
        "",
        "### Attempts",
        "",
        "| # | began (UTC) | createSecret | setSecret | testSecret | finishSecret |",
        "| --- | --- | --- | --- | --- | --- |",
        "| 1 | 05:06:07 | ✓ 1.5 s | ✗ timeout 1.5 s | – | – |",
        "",
        "### Timeline",
        "",
        "```text",
        "2026-03-04 (UTC)",
        "05:06:07.000    It began",
        "```",
        "",
        "### What next",
        "",
        "- `keyturn rotation retry db --wait`: try again now, and watch",
        "- `keyturn rotation resolve db`: ask the database which version it accepts, and move the labels there",
    ]


class Server:
    """Answers as the server does."""

    def __init__(self, *rotations: dict[str, Any]) -> None:
        self.rotations = rotations

    def get_rotation(self, **request: Any) -> Any:
        assert request == {"SecretId": "db", "VersionId": VERSION}
        return answer(self.rotations[0])

    def get_paginator(self, name: str) -> Any:
        assert name == "list_rotations"
        return self

    def paginate(self, **request: Any) -> Any:
        assert request == {"SecretId": "db"}
        return [{"Rotations": [each]} for each in self.rotations]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, server: Server) -> str:
    monkeypatch.setattr(Clients, "__getitem__", lambda *_: server)
    where = ("--endpoint-url", "http://127.0.0.1:1", "--region", "eu-west-1")
    result = CliRunner().invoke(app, ["rotation", *arguments, *where])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_programs_get_names_with_underscores_and_moments_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    text = run(monkeypatch, "show", "db", "--version-id", VERSION, "--output", "json", server=Server(rotation()))

    document = json.loads(text)
    assert document["format"] == "keyturn.rotation/1"
    assert document["rotation"]["requested_at"] == "2026-03-04T05:06:07+00:00"
    assert document["versions"] == {VERSION: ["AWSPENDING"], BEFORE: ["AWSCURRENT"]}


def test_a_list_says_how_each_ended_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = rotation("succeeded", EndedAt=AT + 2 * SECOND, Error="E: an attempt before it was settled")
    parked = rotation("parked", Cause="timeout", Error="E: no")
    test = rotation("failed", Kind="test")

    assert run(monkeypatch, "list", "db", "--limit", "3", server=Server(ended, parked, test, test)).splitlines() == [
        f"2026-03-04 05:06:07 UTC  {VERSION}  succeeded after 2.0 s",
        "    E: an attempt before it was settled",
        f"2026-03-04 05:06:07 UTC  {VERSION}  parked",
        "    timeout: E: no",
        f"2026-03-04 05:06:07 UTC  {VERSION}  test failed",
    ]
    assert run(monkeypatch, "list", "db", server=Server()) == "The secret has not been rotated.\n"


def test_a_retry_that_is_not_waited_for_says_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "retry_rotation", lambda *_: Started(VERSION, AT))

    text = run(monkeypatch, "retry", "db", server=Server())

    assert text.splitlines() == [
        f"Retrying the rotation of db to {VERSION}",
        "  keyturn rotation show db --endpoint-url http://127.0.0.1:1 --region eu-west-1",
    ]
