"""What a person reads of a rotation: status in words, attempts, a story, a ticket; what others wrote is harmless."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from rich.console import Console
from typer.testing import CliRunner

from keyturn.cli import rotation as command
from keyturn.cli.clients import Clients
from keyturn.cli.follow import Started
from keyturn.cli.main import app, register_commands
from keyturn.cli.rotation_markdown import markdown
from keyturn.cli.rotation_text import print_report
from keyturn.client.rotation_password import password_of
from keyturn.client.rotation_report import Report, Run
from keyturn.client.rotation_status import duration
from keyturn.errors.base import KeyturnError

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
        "Attempts": 5,
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
        (rotation(DueAt=AT + SECOND), "pending: attempt 2 of 5 begins at 2026-03-04 05:06:08 UTC"),
        (rotation(DueAt=AT), "pending: attempt 2 of 5 begins at once"),
        (rotation("running", Step="setSecret"), "running: attempt 2 of 5, setSecret"),
        (rotation("parked"), "parked: out of attempts, and no window is planned"),
        (
            rotation("parked", DueAt=AT, WindowClosesAt=AT + SECOND),
            (
                "parked: out of attempts; tried again at 2026-03-04 05:06:07 UTC, in the window that closes at"
                " 2026-03-04 05:06:08 UTC"
            ),
        ),
        (rotation("succeeded"), "succeeded"),
        (
            rotation(DueAt=AT + SECOND, Attempt=7),
            "pending: out of attempts; the database is asked again at 2026-03-04 05:06:08 UTC",
        ),
        (rotation(DueAt=AT, Kind="resolution"), "pending: attempt 2 of 5 begins at once"),
        (rotation("cancelled", EndedAt=AT), "cancelled at 2026-03-04 05:06:07 UTC"),
        (
            rotation("cancelled", EndedAt=AT, EndedBy="user/alice"),
            "cancelled by user/alice at 2026-03-04 05:06:07 UTC",
        ),
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

    first, again, second = of.runs()

    assert of.steps() == ["createSecret", "setSecret", "testSecret", "finishSecret", "probeSecret"]
    assert first.cells == {"createSecret": "✓ 1.5 s", "setSecret": "✗ timeout 1.5 s", "probeSecret": "✓ 1.5 s"}
    assert second.cells == {"createSecret": "✓ 1.5 s", "setSecret": "… running"}
    assert (of.clock(first.began_at), of.clock(second.began_at)) == ("05:06:07", "05:07:07")
    assert (first.attempt, again, second.attempt) == ("1 of 5", Run("again", AT + 60 * SECOND, {}), "1 of 5")


def test_a_retry_stands_between_the_attempts_that_are_counted_anew() -> None:
    retried = {**entry("event", "user/alice retried the rotation: it is due at once"), "At": AT + 50 * SECOND}
    steps = [
        step("createSecret", "timeout"),
        step("createSecret", "timeout", attempt=2, seconds=10),
        step("createSecret", "timeout", attempt=1, seconds=60),
        step("probeSecret", "functionError", attempt=6, seconds=70),
    ]

    of = report(rotation(), retried, steps=steps)

    assert [(run.attempt, of.clock(run.began_at)) for run in of.runs()] == [
        ("1 of 5", "05:06:07"),
        ("2 of 5", "05:06:17"),
        ("retried", "05:06:57"),
        ("1 of 5", "05:07:07"),
        ("6", "05:07:17"),
    ]
    text = printed(report(rotation(), retried, steps=steps))
    assert "\nretried 05:06:57 " in text
    assert "| retried | 05:06:57 |  |  |  |  |  |\n" in markdown(report(rotation(), retried, steps=steps))


def test_runs_of_several_days_show_the_date() -> None:
    steps = [step("createSecret", "timeout"), step("createSecret", "timeout", seconds=86_400)]

    of = report(rotation(), steps=steps)

    assert [of.clock(run.began_at) for run in of.runs() if run.cells] == [
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


def test_attempts_that_went_as_the_one_before_are_told_once_and_the_last_one_with_what_came_of_it() -> None:
    def attempt(number: int, error: str = "no") -> list[dict[str, Any]]:
        return [
            entry("step-started", "createSecret began", Attempt=number),
            entry("log", f"[ERROR] E: {error}, after {number} s", Attempt=number),
            entry("step-ended", "createSecret failed", "error", Attempt=number, DurationMilliseconds=number * 700),
        ]

    told = [entry("event", "It began"), *attempt(1), *attempt(2), *attempt(3), *attempt(4, "yes"), *attempt(5, "yes")]
    parked = entry("event", "Out of attempts")

    text = [line.text[0] for line in report(rotation(), *told, parked).timeline()][1:]

    assert text == [
        "  It began",
        "▸ createSecret began",
        "    [ERROR] E: no, after 1 s",
        "✗ createSecret failed (700 ms)",
        "  2 further attempts went as this one (-v shows all)",
        "▸ createSecret began, in attempt 4 of 5",
        "    [ERROR] E: yes, after 4 s",
        "✗ createSecret failed (2.8 s)",
        "▸ createSecret began, in attempt 5 of 5",
        "    [ERROR] E: yes, after 5 s",
        "✗ createSecret failed (3.5 s)",
        "  Out of attempts",
    ]
    assert "Another attempt went as this one" in printed(report(rotation(), *told[:7]))
    assert len(list(report(rotation(), *told, parked, verbose=True).timeline())) == 1 + 1 + 15 + 1


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
        ["    [ERROR] E: no", "    (-v shows the traceback, 2 lines)"],
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


def probed(**answers: str) -> dict[str, Any]:
    return {
        **step("probeSecret"),
        "EndedAt": AT + 2 * SECOND,
        "Answers": {f"AWS{label.upper()}": said for label, said in answers.items()},
    }


def test_when_every_version_is_refused_only_another_password_helps() -> None:
    steps = [step("setSecret", "functionError"), probed(pending="refused", current="refused")]
    unlabelled = [{"VersionId": "u" * 32, "CreatedDate": AT}]
    told = {**answer(rotation("parked"), steps=steps), "CanBeResolved": True, "UnlabelledVersions": unlabelled}

    of = Report(told, AT)

    assert [each.command for each in of.next_steps(" --profile p")] == [
        "aws secretsmanager put-secret-value --secret-id db --secret-string file://value.json --profile p",
        "keyturn rotate db --profile p",
        f"aws secretsmanager get-secret-value --secret-id db --version-id {'u' * 32} --profile p",
        "aws secretsmanager get-secret-value --secret-id db --profile p",
        "keyturn rotation retry db --wait --profile p",
    ]
    words = " ".join(each.what for each in of.next_steps())
    assert "every stored version is refused" in words
    assert "set this password in the database as its superuser" in words
    # Which database it is nobody here knows.
    assert "PostgreSQL" not in words
    said = "AWSPENDING refused, AWSCURRENT refused (of labels as they were at 2026-03-04 05:06:09 UTC)"
    assert ("database", said) in of.header()
    assert of.header()[-1] == ("version", f"{'u' * 32}  no label, made 2026-03-04 05:06:07 UTC")
    assert (of.document()["every_version_refused"], of.document()["can_be_resolved"]) == (True, True)
    assert of.runs()[0].cells["probeSecret"] == "✗ all refused"
    failed = Report({**told, "Rotation": rotation("failed", Kind="resolution")}, AT).next_steps()
    assert [each.command for each in failed if each.command.startswith("keyturn")] == ["keyturn rotate db"]
    # What was stored since was not refused.
    mended = Report({**told, "DatabaseVersion": {"RefusalOvertaken": True, "At": AT}}, AT)
    assert not mended.document()["every_version_refused"]
    assert "every stored version is refused" not in " ".join(each.what for each in mended.next_steps())
    assert "ends the rotation that waits" in words
    assert not [each for each in failed if "ends the rotation that waits" in each.what]


def test_what_the_database_said_before_it_let_a_version_in_is_not_told_any_more() -> None:
    refused = [step("setSecret", "functionError"), probed(pending="refused", current="refused")]
    succeeded = [step(name) for name in ("createSecret", "setSecret", "testSecret", "finishSecret")]
    for told in (rotation("succeeded"), rotation("running")):
        of = Report(answer(told, steps=[*refused, *succeeded]), AT)
        assert "database" not in dict(of.header())
        assert not of.document()["every_version_refused"]
    # A test that fails decides nothing, and a question that is answered after one counts.
    still = Report(answer(rotation("parked"), steps=[*refused, step("testSecret", "functionError")]), AT)
    assert "AWSCURRENT refused" in dict(still.header())["database"]
    again = Report(answer(rotation("pending"), steps=[*succeeded[:3], *refused]), AT)
    assert "AWSCURRENT refused" in dict(again.header())["database"]


@pytest.mark.parametrize(
    ("answers", "cell"),
    [
        ({"pending": "accepted", "current": "refused"}, "✓ pending"),
        ({"pending": "refused", "current": "accepted"}, "✓ current"),
        ({"pending": "refused", "current": "refused", "previous": "accepted"}, "✓ previous"),
        ({"pending": "refused", "current": "no answer"}, "✗ no answer"),
    ],
)
def test_a_question_shows_which_version_the_database_accepts(answers: dict[str, str], cell: str) -> None:
    of = report(rotation(), steps=[step("setSecret", "functionError"), probed(**answers)])

    assert of.runs()[0].cells["probeSecret"] == cell
    assert [each.command for each in of.next_steps()] == ["keyturn rotation retry db --wait"]
    assert "UnlabelledVersions" not in str(of.document())


@pytest.mark.parametrize("can_be_resolved", [False, True])
def test_only_a_function_that_offers_it_is_offered_to_be_asked(can_be_resolved: bool) -> None:
    steps = [step("setSecret", "functionError")]
    told = {**answer(rotation("parked"), steps=steps), "CanBeResolved": can_be_resolved}

    commands = [each.command for each in Report(told, AT).next_steps()]

    assert commands == ["keyturn rotation resolve db", "keyturn rotation retry db --wait"][1 - can_be_resolved :]


LEFT = "9f02983d-8c1b-4b52-9f0e-0d5a3c1f7e42"


def set_but_not_current(status: str, version_id: str, **members: Any) -> dict[str, Any]:
    """What GetRotation tells where a function without probeSecret has set a password that is not current."""
    known = {
        "VersionId": BEFORE,
        "At": AT,
        "EveryVersionRefused": False,
        "MaybeVersions": [{"VersionId": version_id, "SetAt": AT + SECOND}],
    }
    return {**answer(rotation(status), steps=[step("setSecret")]), "DatabaseVersion": known, **members}


@pytest.mark.parametrize("status", ["pending", "parked", "abandoned", "cancelled", "failed"])
def test_a_password_that_may_be_in_the_database_and_is_not_current_comes_with_the_commands(status: str) -> None:
    of = Report(set_but_not_current(status, VERSION), AT)

    read, move, *rest = of.next_steps(" --profile p")

    assert read.command == f"aws secretsmanager get-secret-value --secret-id db --version-id {VERSION} --profile p"
    assert "the database may have its password, and refuse that of AWSCURRENT" in read.what
    assert move.command == (
        f"aws secretsmanager update-secret-version-stage --secret-id db --version-stage AWSCURRENT"
        f" --move-to-version-id {VERSION} --remove-from-version-id {BEFORE} --profile p"
    )
    again = "rotation retry db --wait" if status in ("pending", "parked") else "rotate db"
    assert [each.command for each in rest] == [f"keyturn {again} --profile p"]
    password = (
        f"may be that of version {VERSION} (AWSPENDING): setSecret ran for it at 2026-03-04 05:06:08 UTC;"
        f" before that version {BEFORE} (AWSCURRENT) logged in at 2026-03-04 05:06:07 UTC"
    )
    assert ("password", password) in of.header()
    assert of.document()["password"] == password


def test_a_version_that_has_lost_its_label_and_may_be_in_the_database_is_listed_by_a_later_rotation() -> None:
    unlabelled = [{"VersionId": LEFT, "CreatedDate": AT}, {"VersionId": "0" * 32, "CreatedDate": AT}]
    of = Report(set_but_not_current("pending", LEFT, UnlabelledVersions=unlabelled), AT)

    without = [value for name, value in of.header() if name == "version" and "no label" in value]
    made = "no label, made 2026-03-04 05:06:07 UTC, setSecret ran at 2026-03-04 05:06:08 UTC"
    assert without == [f"{LEFT}  {made}"]
    assert f"--move-to-version-id {LEFT}" in of.next_steps()[1].command


def test_a_question_about_the_same_version_is_mentioned() -> None:
    told = {**answer(rotation("succeeded")), "OtherKinds": ["resolution"]}

    (look,) = Report(told, AT).next_steps(" --profile p")

    assert look.command == f"keyturn rotation show db --version-id {VERSION} --kind resolution --profile p"


def test_what_may_be_current_already_needs_no_command() -> None:
    of = Report(set_but_not_current("pending", BEFORE), AT)

    assert [each.command for each in of.next_steps()] == ["keyturn rotation retry db --wait"]


def test_while_rotation_is_off_nothing_is_retried() -> None:
    told = {**answer(rotation("pending", Kind="resolution")), "RotationEnabled": False}

    assert [each.command for each in Report(told, AT).next_steps()] == ["keyturn rotation show db", "keyturn rotate db"]
    cancelled = {**answer(rotation("cancelled")), "RotationEnabled": False}
    (begin,) = Report(cancelled, AT).next_steps()
    assert begin.what == "switch rotation on again, and rotate"


@pytest.mark.parametrize(
    ("known", "password"),
    [
        ({}, ""),
        ({"EveryVersionRefused": False, "MaybeVersions": []}, ""),
        (
            {"VersionId": LEFT, "At": AT},
            f"version {LEFT} (no label) logged in at 2026-03-04 05:06:07 UTC",
        ),
        ({"EveryVersionRefused": True, "At": AT}, "every version was refused at 2026-03-04 05:06:07 UTC"),
        (
            {"EveryVersionRefused": False, "RefusalOvertaken": True, "At": AT},
            "every version of before was refused at 2026-03-04 05:06:07 UTC; the current value was stored since",
        ),
    ],
)
def test_no_more_is_said_of_the_password_than_is_known(known: dict[str, Any], password: str) -> None:
    assert password_of({**answer(rotation()), "DatabaseVersion": known}) == password


def test_one_that_was_cancelled_shows_the_last_error_beside_what_ended_it() -> None:
    told = rotation("cancelled", Error="Rotation was cancelled.", LastError="E: no", EndedAt=AT)

    rows = report(told).header()

    assert ("reason", "Rotation was cancelled.") in rows
    assert ("last try", "E: no") in rows
    assert not [value for name, value in rows if name in ("error", "cause")]


@pytest.mark.parametrize("width", [20, 80, 120])
def test_it_fits_the_screen_and_what_belongs_together_stands_below_each_other(width: int) -> None:
    long = "word " * 60
    text = printed(report(rotation(), entry("event", long), entry("log", f"[INFO]\tt\tr\t{long}")), width)

    timeline = text.partition("Timeline\n")[2].partition("\n\nWhy, and")[0].splitlines()
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
    steps = [step("createSecret"), step("setSecret", "timeout")]
    text = markdown(Report({**answer(told, entry("event", "It began"), steps=steps), "CanBeResolved": True}, AT))

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
        "|  | began (UTC) | createSecret | setSecret | testSecret | finishSecret |",
        "| --- | --- | --- | --- | --- | --- |",
        "| 1 of 5 | 05:06:07 | ✓ 1.5 s | ✗ timeout 1.5 s | – | – |",
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
        "- `keyturn rotation resolve db`: ask the database which version it accepts, and move the labels there",
        "- `keyturn rotation retry db --wait`: try again now, and watch",
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


LISTED = (
    rotation("succeeded", EndedAt=AT + 2 * SECOND, Error="E: an attempt before it was settled"),
    rotation("parked", Cause="timeout", Error="E: no"),
    rotation("pending", Cause="E", Error="setSecret step: E: no", DueAt=datetime(2100, 1, 1, tzinfo=UTC)),
    rotation("failed", Kind="test", EndedAt=AT + 3 * SECOND),
    rotation("cancelled", EndedAt=AT + SECOND),
)


def test_a_list_has_a_header_fits_the_screen_and_says_how_each_ended_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = run(monkeypatch, "list", "db", "--limit", "5", server=Server(*LISTED, LISTED[0])).splitlines()

    assert lines == [
        "began (UTC)          version    rotation     took",
        "2026-03-04 05:06:07  6ad2f1d0…  parked",
        "  out of attempts, and no window is planned",
        "  timeout: E: no",
        "2026-03-04 05:06:07  6ad2f1d0…  pending",
        "  attempt 2 of 5 begins at 2100-01-01 00:00:00 UTC",
        "  setSecret step: E: no",
        "2026-03-04 05:06:07  6ad2f1d0…  test failed  3.0 s",
        "2026-03-04 05:06:07  6ad2f1d0…  succeeded    2.0 s",
        "  E: an attempt before it was settled",
        "2026-03-04 05:06:07  6ad2f1d0…  cancelled    1.0 s",
    ]
    monkeypatch.setenv("COLUMNS", "120")
    assert VERSION in run(monkeypatch, "list", "db", server=Server(*LISTED))
    assert run(monkeypatch, "list", "db", server=Server()) == "The secret has not been rotated.\n"


def test_a_list_for_a_ticket_and_for_programs_has_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = run(monkeypatch, "list", "db", "--output", "markdown", server=Server(*LISTED[:2]))
    assert text.splitlines() == [
        "## Rotations of `db`",
        "",
        "| began (UTC) | version | rotation | took | why |",
        "| --- | --- | --- | --- | --- |",
        (
            f"| `2026-03-04 05:06:07` | `{VERSION}` | `parked` |  | `out of attempts, and no window is planned`<br>"
            "`timeout: E: no` |"
        ),
        f"| `2026-03-04 05:06:07` | `{VERSION}` | `succeeded` | `2.0 s` | `E: an attempt before it was settled` |",
        "",
    ]
    document = json.loads(run(monkeypatch, "list", "db", "--output", "json", server=Server(*LISTED)))
    assert [one["status"] for one in document["rotations"]] == [
        "parked", "pending", "failed", "succeeded", "cancelled"
    ]  # fmt: skip
    assert document["rotations"][1]["attempts"] == 5


@pytest.mark.parametrize("begun", [VERSION[:8], f"{VERSION[:8]}…", VERSION[:13].upper(), VERSION])
def test_a_version_is_known_by_its_beginning_as_it_is_shown(monkeypatch: pytest.MonkeyPatch, begun: str) -> None:
    server = Server(rotation(), rotation(VersionId=BEFORE))

    text = run(monkeypatch, "show", "db", "--version-id", begun, server=server)

    assert text.startswith(f"db: rotation to version {VERSION}\n")


@pytest.mark.parametrize(
    ("begun", "message", "hint"),
    [
        ("6ad2", "6ad2 is too short for a version id", "keyturn rotation list db --endpoint-url http://127.0.0.1:1"),
        ("ffffffff", "no rotation to a version that begins with ffffffff", "keyturn rotation list db --endpoint-url"),
        ("6ad2f1d0", f"begin with 6ad2f1d0: {VERSION}, {VERSION[:-1]}3.", "Say more of it."),
    ],
)
def test_a_beginning_that_is_of_no_version_or_of_several_is_refused_with_where_to_look(
    monkeypatch: pytest.MonkeyPatch, begun: str, message: str, hint: str
) -> None:
    server = Server(rotation(), rotation(VersionId=f"{VERSION[:-1]}3"))
    monkeypatch.setattr(Clients, "__getitem__", lambda *_: server)
    where = ("--endpoint-url", "http://127.0.0.1:1", "--region", "eu-west-1")

    result = CliRunner().invoke(app, ["rotation", "show", "db", "--version-id", begun, *where])

    assert isinstance(result.exception, KeyturnError)
    assert message in result.exception.message
    assert result.exception.hints[0].startswith(hint)


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("The secret has not been rotated.", "It has no rotation function: keyturn function create --for db"),
        (f"The secret has no rotation to version {VERSION}.", "keyturn rotation list db --endpoint-url"),
        ("Secrets Manager can't find the specified secret.", "aws secretsmanager list-secrets"),
    ],
)
def test_a_rotation_that_is_not_there_comes_with_a_hint_that_helps(
    monkeypatch: pytest.MonkeyPatch, message: str, hint: str
) -> None:
    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": message}}, "GetRotation")

    server = Server()
    monkeypatch.setattr(server, "get_rotation", refuse)
    monkeypatch.setattr(server, "describe_secret", lambda **_: {}, raising=False)
    monkeypatch.setattr(Clients, "__getitem__", lambda *_: server)
    where = ("--endpoint-url", "http://127.0.0.1:1", "--region", "eu-west-1")

    result = CliRunner().invoke(app, ["rotation", "show", "db", "--version-id", VERSION, *where])

    assert isinstance(result.exception, KeyturnError)
    assert result.exception.hints[0].startswith(hint)


def test_a_secret_that_has_a_function_and_was_not_rotated_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        said = {"Error": {"Code": "ResourceNotFoundException", "Message": "The secret has not been rotated."}}
        raise ClientError(said, "GetRotation")  # type: ignore[arg-type]  # a part of an answer

    server: Any = Server()
    monkeypatch.setattr(server, "get_rotation", refuse)
    monkeypatch.setattr(server, "describe_secret", lambda **_: {"RotationLambdaARN": "arn"}, raising=False)
    monkeypatch.setattr(Clients, "__getitem__", lambda *_: server)

    result = CliRunner().invoke(app, ["rotation", "show", "db", "--endpoint-url", "http://127.0.0.1:1"])

    assert isinstance(result.exception, KeyturnError)
    assert result.exception.hints == ("keyturn rotate db --endpoint-url http://127.0.0.1:1 rotates it.",)


def test_a_function_that_cannot_ask_is_told_of_before_anything_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    server: Any = Server()
    monkeypatch.setattr(server, "get_rotation", lambda **_: {**answer(rotation()), "CanBeResolved": False})
    monkeypatch.setattr(Clients, "__getitem__", lambda *_: server)

    result = CliRunner().invoke(app, ["rotation", "resolve", "db", "--endpoint-url", "http://127.0.0.1:1"])

    assert isinstance(result.exception, KeyturnError)
    assert "has not offered to ask the database" in result.exception.message
    assert result.exception.hints[0].startswith("keyturn rotation show db --endpoint-url http://127.0.0.1:1 says which")
    assert result.stdout == ""


def test_a_retry_that_is_not_waited_for_says_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "retry_rotation", lambda *_: Started(VERSION, AT))

    text = run(monkeypatch, "retry", "db", server=Server())

    assert text.splitlines() == [
        f"Retrying the rotation of db to {VERSION}",
        "  keyturn rotation show db --endpoint-url http://127.0.0.1:1 --region eu-west-1",
    ]


@pytest.mark.parametrize("status", ["pending", "parked", "failed", "running", "succeeded", "abandoned", "resolved"])
def test_what_has_failed_is_sent_to_the_doctor(status: str) -> None:
    text = printed(report(rotation(status)), options=" --profile p")

    has_failed = status in {"pending", "parked", "failed"}
    assert ("Why, and what to change\n  keyturn doctor db --profile p\n" in text) is has_failed
