"""The story of a rotation: in the order of what happened, each fact once, bounded, without secret values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.rules import timeline as rules
from keyturn.rules.masking import Mask
from keyturn.rules.timeline import LogLine, Told, timeline
from keyturn.rules.timeline_calls import Calls
from keyturn.rules.timeline_calls import Told as Event
from keyturn.rules.timeline_entry import Entry, EntryKind, Severity

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NOBODY = Mask([])


@dataclass(frozen=True)
class Step:
    """A step as it is stored."""

    step: str
    started_at: datetime
    ended_at: datetime | None = None
    outcome: str | None = None
    error: str | None = None
    attempt: int = 1
    request_id: str = "r1"
    cause: str | None = None


def told(*steps: Step, status: str = "pending", **more: Any) -> Told:
    return Told(
        "v1", status, more.pop("kind", "rotation"), AT, more.pop("ended_at", None), more.pop("reason", None), steps
    )


def entries(
    rotation: Told, logs: Mapping[str, Sequence[LogLine]] | None = None, calls: Calls | None = None
) -> list[Entry]:
    return timeline(rotation, logs or {}, calls or Calls(), [], NOBODY).entries


def messages(found: Sequence[Entry]) -> list[str]:
    return [entry.message for entry in found]


def test_things_of_one_moment_follow_the_steps_and_within_a_step_cause_and_effect() -> None:
    steps = [
        Step("createSecret", AT, AT, "succeeded", request_id="r1"),
        Step("setSecret", AT, AT, "succeeded", request_id="r2"),
    ]
    stored = Entry(AT, EntryKind.LABEL, "a value was stored", event_id="e1")
    ended = told(*steps, status="succeeded", ended_at=AT)
    logs = {"r1": [LogLine(AT, "one\n"), LogLine(AT, "two")], "r2": [LogLine(AT, "three")]}

    found = entries(ended, logs, Calls([stored]))

    assert messages(found) == [
        "The rotation to version v1 began",
        "createSecret began",
        "one",
        "two",
        "createSecret succeeded",
        "setSecret began",
        # Nobody knows in which step of this moment somebody else did it: behind the one that began last.
        "a value was stored",
        "three",
        "setSecret succeeded",
        "The rotation has succeeded",
    ]


def test_what_the_function_called_is_of_its_step_and_what_others_did_is_of_none() -> None:
    step = Step("setSecret", AT, AT + SECOND, "succeeded", attempt=3)
    calls = [Entry(AT, EntryKind.CALL, name, event_id=name) for name in ("by the function", "by somebody")]

    found = entries(told(step), calls=Calls(calls, frozenset({"by the function"})))

    assert [(entry.attempt, entry.step) for entry in found if entry.kind is EntryKind.CALL] == [
        (3, "setSecret"),
        (None, None),
    ]


def test_why_a_step_failed_is_told_once() -> None:
    step = Step("setSecret", AT, AT + 2 * SECOND, "functionError", "ValueError: no such user")
    log = {"r1": [LogLine(AT + SECOND, "[ERROR] ValueError: no such user\nTraceback …")]}

    (*_, line, with_log), (*_, without_log) = entries(told(step), log), entries(told(step))

    assert (line.severity, with_log.severity) == (Severity.ERROR, Severity.ERROR)
    assert with_log.message == "setSecret failed"
    assert without_log.message == "setSecret failed: ValueError: no such user"
    assert with_log.duration_milliseconds == 2000


def test_a_timeout_is_told_once_too() -> None:
    step = Step("testSecret", AT, AT + SECOND, "timeout", "Sandbox.Timedout: RequestId: r1 Error: Task timed out …")
    log = {"r1": [LogLine(AT, "2026-03-04T05:06:08Z r1 Task timed out after 1.00 seconds")]}

    assert messages(entries(told(step), log))[-1] == "testSecret timed out"


def test_the_services_own_events_lend_their_ids_and_are_no_entries() -> None:
    step = Step("createSecret", AT, AT + SECOND, "succeeded")
    ended = told(step, status="succeeded", ended_at=AT + SECOND)
    calls = Calls(asked_by=Event("e0", who="user/alice"), invocations={"r1": Event("e1")}, ended_by=Event("e2"))

    found = entries(ended, calls=calls)

    assert [(entry.message, entry.event_id) for entry in found] == [
        ("user/alice asked for the rotation to version v1", "e0"),
        ("createSecret began", None),
        ("createSecret succeeded", "e1"),
        ("The rotation has succeeded", "e2"),
    ]


def test_a_function_that_may_not_be_invoked_is_a_refusal_that_can_be_explained() -> None:
    step = Step("createSecret", AT, AT, "notInvoked", "Secrets Manager cannot invoke the function")

    *_, denied, ended = entries(told(step), calls=Calls(invocations={"r1": Event("e1", is_denied=True)}))

    assert (denied.kind, denied.event_id) == (EntryKind.DENIED, "e1")
    assert denied.message == "Invoke was denied: Secrets Manager cannot invoke the function"
    assert (ended.message, ended.event_id) == ("createSecret was not invoked", None)


def test_a_step_that_runs_has_no_end_and_one_whose_server_died_was_interrupted() -> None:
    steps = [Step("createSecret", AT), Step("createSecret", AT + SECOND, request_id="r2")]

    assert messages(entries(told(*steps, status="running")))[1:] == [
        "createSecret began",
        "createSecret was interrupted: its server ended while it ran",
        "createSecret began",
    ]
    log = {"r2": [LogLine(AT + 2 * SECOND, "a last word")]}
    assert messages(entries(told(*steps), log))[-2:] == [
        "a last word",
        "createSecret was interrupted: its server ended while it ran",
    ]


@pytest.mark.parametrize(
    ("rotation", "last", "severity"),
    [
        (told(status="abandoned", ended_at=AT, reason="No label."), "The rotation was abandoned: No label.", "warning"),
        (
            told(status="cancelled", ended_at=AT, reason="Cancelled."),
            "The rotation was cancelled: Cancelled.",
            "warning",
        ),
        (told(status="failed", ended_at=AT, kind="test"), "The test has failed", "error"),
        (told(status="resolved", ended_at=AT, kind="resolution"), "The labels are in line with the database", "info"),
        (
            told(Step("setSecret", AT, AT, "timeout"), status="parked"),
            "Out of attempts: the rotation waits for its next window, or to be retried or resolved",
            "warning",
        ),
    ],
)
def test_how_it_ended_is_the_last_word(rotation: Told, last: str, severity: str) -> None:
    assert (entries(rotation)[-1].message, entries(rotation)[-1].severity) == (last, severity)


def test_notes_come_first() -> None:
    found = timeline(told(), {}, Calls(), ["The log is left out."], NOBODY).entries

    assert messages(found) == ["The log is left out.", "The rotation to version v1 began"]


def test_secret_values_and_access_keys_are_taken_out_of_whatever_was_said() -> None:
    step = Step("setSecret", AT, AT, "functionError", "ValueError: hunter22")
    call = Entry(AT, EntryKind.CALL, "hunter22 by AKIAABCDEFGHIJKLMNOP")
    log = {"r1": [LogLine(AT, "is hunter22 now")]}

    found = timeline(told(step), log, Calls([call]), ["hunter22"], Mask(["hunter22"])).entries

    assert "hunter22" not in "".join(messages(found))
    assert "*** by ***" in messages(found)


def test_a_long_line_is_cut_and_says_so() -> None:
    log = {"r1": [LogLine(AT, "x" * (rules.MESSAGE_CHARACTERS + 7))]}

    line = entries(told(Step("setSecret", AT)), log)[2].message

    assert line == "x" * rules.MESSAGE_CHARACTERS + "… (7 more characters)"


def test_of_a_long_log_the_beginning_and_the_end_are_kept() -> None:
    log = {"r1": [LogLine(AT, f"line {number}") for number in range(10_000)]}

    found = timeline(told(Step("setSecret", AT, AT, "succeeded")), log, Calls(), [], NOBODY)
    lines = [entry for entry in found.entries if entry.step]

    assert found.is_truncated
    assert messages(lines)[1] == "line 0"
    assert messages(lines)[-2:] == ["line 9999", "setSecret succeeded"]
    (note,) = [entry for entry in found.entries if entry.kind is EntryKind.NOTE]
    assert note.message == f"{10_000 - (len(lines) - 3)} entries are left out here"


def test_a_rotation_with_ever_more_steps_says_that_there_were_some_before() -> None:
    assert timeline(replace(told(), has_earlier_steps=True), {}, Calls(), [], NOBODY).is_truncated


moments = st.integers(0, 5).map(lambda seconds: AT + seconds * SECOND)
outcomes = st.sampled_from(["succeeded", "functionError", "timeout", "throttled", "notInvoked", None])


@st.composite
def rotations(draw: st.DrawFn) -> tuple[Told, dict[str, list[LogLine]], Calls]:
    """Steps one after the other, with lines and calls at any time."""
    at, steps, logs = AT, [], {}
    for number in range(draw(st.integers(0, 6))):
        outcome = draw(outcomes)
        end = at + draw(st.integers(0, 2)) * SECOND
        step = Step("setSecret", at, end if outcome else None, outcome, "E: no", request_id=f"r{number}")
        times = sorted(draw(st.lists(st.integers(0, (end - at) // SECOND), max_size=3)))
        logs[step.request_id] = [LogLine(at + time * SECOND, f"line {time}") for time in times]
        steps.append(step)
        at = end + draw(st.integers(0, 1)) * SECOND
    calls = [Entry(moment, EntryKind.CALL, "call", event_id=str(n)) for n, moment in enumerate(draw(st.lists(moments)))]
    own = frozenset(draw(st.lists(st.sampled_from([str(n) for n in range(9)]))))
    return told(*steps, status=draw(st.sampled_from(["running", "pending", "parked"]))), logs, Calls(calls, own)


@given(rotations())
def test_whatever_happened_the_timeline_is_in_order_and_steps_hold_what_is_theirs(
    drawn: tuple[Told, dict[str, list[LogLine]], Calls],
) -> None:
    rotation, logs, calls = drawn
    found = entries(rotation, logs, calls)

    assert [entry.at for entry in found] == sorted(entry.at for entry in found)
    assert sum(entry.kind is EntryKind.CALL for entry in found) == len(calls.entries)
    for step in rotation.steps:
        own = [entry for entry in found if entry.request_id == step.request_id and entry.kind is not EntryKind.CALL]
        assert own[0].kind is EntryKind.STEP_STARTED
        assert messages([entry for entry in own if entry.kind is EntryKind.LOG]) == [
            line.text for line in logs[step.request_id]
        ]
        if step.outcome is not None:
            assert own[-1].kind is EntryKind.STEP_ENDED


@given(st.lists(st.integers(0, 3000), max_size=60), st.integers(1, 40), st.integers(1, 20_000))
def test_what_is_shortened_keeps_to_its_bounds_and_its_order(sizes: list[int], most: int, most_characters: int) -> None:
    given_entries = [Entry(AT, EntryKind.LOG, "x" * size, duration_milliseconds=n) for n, size in enumerate(sizes)]

    found, is_cut = rules._shortened(given_entries, most, most_characters)
    kept = [entry for entry in found if entry.kind is EntryKind.LOG]

    assert kept == [entry for entry in given_entries if entry in kept]
    assert is_cut == (len(kept) < len(sizes))
    assert len(found) == len(kept) + is_cut
    assert len(kept) <= most
    assert sum(min(len(entry.message), rules.MESSAGE_CHARACTERS) for entry in kept) <= most_characters


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (2, "Attempt 2 of 5 begins at 2026-03-04 05:07:07 UTC"),
        (6, "Attempt 6, of the database only, begins at 2026-03-04 05:07:07 UTC"),
    ],
)
def test_behind_a_failure_stands_when_it_goes_on(attempt: int, message: str) -> None:
    failed = Step("setSecret", AT, AT + SECOND, "functionError", "E: no")
    waiting = replace(told(failed), attempt=(attempt, 5), due_at=AT + 60 * SECOND)

    assert messages(entries(waiting))[-2:] == ["setSecret failed: E: no", message]
    assert entries(waiting)[-1].severity is Severity.WARNING
    assert messages(entries(replace(waiting, status="running")))[-1] == "setSecret failed: E: no"


@pytest.mark.parametrize(
    ("answers", "severity"),
    [("pending refused, current accepted", Severity.INFO), ("pending refused, current refused", Severity.ERROR)],
)
def test_a_question_is_told_with_what_the_database_said(answers: str, severity: Severity) -> None:
    probe = Step("probeSecret", AT, AT + SECOND, "succeeded", cause=answers)

    ended = entries(told(probe))[-1]

    assert (ended.message, ended.severity) == (f"probeSecret was answered: {answers}", severity)


def test_a_rotation_that_was_cancelled_says_by_whom_if_that_is_known() -> None:
    cancelled = told(status="cancelled", ended_at=AT + SECOND, reason="no more")

    assert messages(entries(cancelled))[-1] == "The rotation was cancelled: no more"
    known = Calls(cancelled_by=Event("e1", who="user/alice"))
    assert messages(entries(cancelled, calls=known))[-1] == "The rotation was cancelled by user/alice"
