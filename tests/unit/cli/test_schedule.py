"""``keyturn schedule`` without a server: previews, and planned rotations as they are shown."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from icalendar import Calendar
from rich.console import Console
from typer.testing import CliRunner

from keyturn.cli import planned_views
from keyturn.cli.calendar_feed import feed
from keyturn.cli.main import app, register_commands
from keyturn.cli.moments import read_span, rough
from keyturn.cli.planned import Wanted
from keyturn.client.planned import PlannedRotation, SeenBefore
from keyturn.client.schedule_preview import preview, refusal
from keyturn.errors.base import KeyturnError
from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.rules.schedule import RotationWindow, parse_rotation_rules

register_commands()

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
ROTATED = datetime(2026, 2, 4, 9, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DAILY = RotationWindow(datetime(2026, 3, 6, tzinfo=UTC), datetime(2026, 3, 7, tzinfo=UTC))
NIGHT = RotationWindow(datetime(2026, 4, 1, 2, tzinfo=UTC), datetime(2026, 4, 1, 3, tzinfo=UTC))
ROTATION = PlannedRotation(
    arn="arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db-aaaaaa",
    name="prod/db",
    function_arn="arn:aws:lambda:us-east-1:000000000000:function:rotate",
    at=datetime(2026, 3, 6, 14, 3, 22, tzinfo=UTC),
    planned_at=ROTATED,
    in_minute=3,
    window=DAILY,
    last_rotated_at=ROTATED,
    counted_from=ROTATED,
    members={"AutomaticallyAfterDays": 30},
    state="planned",
)
MONTHLY = replace(
    ROTATION,
    name="prod/night",
    at=datetime(2026, 4, 1, 2, 7, tzinfo=UTC),
    window=NIGHT,
    in_minute=1,
    members={"ScheduleExpression": "cron(0 2 1 * ? *)", "Duration": "1h"},
)


@pytest.fixture(autouse=True)
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def _run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["schedule", *arguments])
    return result.exit_code, result.output


def _shown(show: Any, *arguments: Any, width: int = 80, **options: Any) -> list[str]:
    written = StringIO()
    show(Console(file=written, width=width, highlight=False, emoji=False), *arguments, **options)
    lines = [line.rstrip() for line in written.getvalue().splitlines()]
    assert max(map(len, lines)) <= width
    return lines


def test_a_preview_shows_windows_in_utc_and_in_local_time_across_the_change_of_clocks() -> None:
    status, output = _run("preview", "cron(0 2 ? * SUN *)", "--duration", "1h", "--from", "2026-03-20", "--count", "2")
    assert status == 0
    lines = output.splitlines()
    assert lines[0] == "ScheduleExpression=cron(0 2 ? * SUN *) Duration=1h"
    assert [" ".join(line.split()) for line in lines[2:4]] == [
        "Sun 2026-03-22 02:00 03:00 Sun 03:00 to Sun 04:00 CET",
        "Sun 2026-03-29 02:00 03:00 Sun 04:00 to Sun 05:00 CEST 7 days",
    ]
    assert lines[4] == "Every 7 days."


@pytest.mark.parametrize(("text", "days"), [("30", 30), ("1 day", 1), ("7d", 7), (" 90 days ", 90)])
def test_a_number_is_a_number_of_days(text: str, days: int) -> None:
    status, output = _run("preview", text, "--from", "2026-01-31T23:00", "--count", "1", "--output", "json")
    document = json.loads(output)
    first = date(2026, 1, 31) + days * DAY
    assert (status, document["rotation_rules"]) == (0, {"AutomaticallyAfterDays": days})
    assert document["windows"] == [
        {"opens_at": f"{first}T00:00:00+00:00", "closes_at": f"{first + DAY}T00:00:00+00:00"}
    ]
    assert document["average_interval_hours"] == 24 * days


def test_a_preview_tells_how_far_apart_windows_are() -> None:
    seen = preview({"ScheduleExpression": "cron(0 16 1,15 * ? *)"}, NOW, 3).document()
    assert (seen["shortest_interval_hours"], seen["longest_interval_hours"]) == (14 * 24, 17 * 24)
    assert seen["average_interval_hours"] == pytest.approx(365.25, abs=1)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("cron(0 8,20 * * ? *)", "whether AWS takes 8,20 is not known"),
        ("cron(0 0 29 FEB ? *)", "more than a year apart"),
        ("rate(36 hours)", "Hours are counted from"),
    ],
)
def test_a_preview_tells_what_is_not_known_of_aws(expression: str, said: str) -> None:
    assert said in " ".join(preview({"ScheduleExpression": expression}, NOW, 3).notes)


@pytest.mark.parametrize(
    "expression", ["cron(0 8/8 * * ? *)", "cron(0 /8 * * ? *)", "cron(0 18 ? * SAT *)", "rate(1 day)"]
)
def test_a_preview_of_what_aws_documents_has_no_notes(expression: str) -> None:
    assert not preview({"ScheduleExpression": expression}, NOW, 3).notes


def test_what_would_be_refused_is_refused_with_the_reason() -> None:
    status, output = _run("preview", "rate(3 hours)", "--output", "json")
    document = json.loads(output)
    assert (status, document["accepted"]) == (1, False)
    assert document["reason"] == "A secret can't rotate more often than every four hours."
    with pytest.raises(KeyturnError) as caught:
        CliRunner().invoke(app, ["schedule", "preview", "0 8 * * ? *"], catch_exceptions=False)
    assert caught.value.hints[0] == "In AWS's way: 'cron(0 8 * * ? *)'."


def test_a_table_shows_moments_in_utc_and_here() -> None:
    assert _shown(planned_views.print_table, [ROTATION, MONTHLY], NOW) == [
        "Next (UTC)        Local  In          State    Secret      Rule",
        "2026-03-06 14:03  15:03  5 d         planned  prod/db     every 30 days",
        "2026-04-01 02:07  04:07  30 d, late  planned  prod/night  cron(0 2 1 * ? *), 1h",
    ]
    assert _shown(planned_views.print_table, [ROTATION, MONTHLY], NOW, width=120)[1:] == [
        "2026-03-06 14:03  15:03  5 d         planned  prod/db     all day      every 30 days",
        "2026-04-01 02:07  04:07  30 d, late  planned  prod/night  02:00-03:00  cron(0 2 1 * ? *), 1h",
    ]


def test_a_name_is_shown_in_full_and_does_nothing_to_the_screen() -> None:
    named = replace(ROTATION, name="prod/" + "x" * 60 + "[red]\x1b[2J")
    head, *rows = _shown(planned_views.print_table, [named], NOW)
    name = "".join(row[head.index("Secret") : head.index("Rule")].strip() for row in rows)
    assert name == "prod/" + "x" * 60 + "[red]\\x1b[2J"
    lines = "".join(_shown(planned_views.print_reasons, [named], NOW, width=200))
    assert "[red]\\x1b[2J" in lines


def test_what_is_late_is_said_to_be() -> None:
    due, missed = replace(ROTATION, at=NOW - timedelta(minutes=5)), replace(ROTATION, counted_from=ROTATED - 40 * DAY)
    column = [line.split("  ")[2] for line in _shown(planned_views.print_table, [due, missed], NOW)[1:]]
    assert column == ["late, 5 min", "5 d, late"]
    assert [rotation.is_late(NOW) for rotation in (ROTATION, due, missed)] == [False, True, True]
    # Nobody knows when it should have.
    assert not replace(ROTATION, counted_from=None).is_late(NOW)


def test_the_reason_names_the_date_the_hour_and_the_minute() -> None:
    assert ROTATION.why() == (
        "It rotated last at 2026-02-04 09:12. 30 days later is 2026-03-06."
        " Of the hours from 00:00 to 24:00 chance drew 14:00, each being as likely."
        " It drew minute 03, the top of the hour and empty minutes being likelier; 3 are planned in it."
        " This was planned at 2026-02-04 09:12."
    )


@pytest.mark.parametrize(
    ("rotation", "said"),
    [
        (MONTHLY, "By cron(0 2 1 * ? *), 1h the next window after that opens at 2026-03-01 02:00: missed, or"),
        (MONTHLY, "It drew minute 07, the top of the hour and empty minutes being likelier; nothing else is planned"),
        (replace(ROTATION, counted_from=ROTATED + DAY), "Its value was put by hand at 2026-02-05 09:12, which counts"),
        (replace(ROTATION, counted_from=None), "It has never rotated. Of the hours"),
        (
            replace(ROTATION, counted_from=ROTATED - 2 * DAY),
            "30 days later is 2026-03-04: missed, or the rotation failed; the next window opens at 2026-03-06 00:00.",
        ),
        (
            replace(ROTATION, members={"ScheduleExpression": "rate(6 hours)"}),
            "rate(6 hours): a window opens at 2026-03-06 00:00.",
        ),
    ],
)
def test_the_reason_tells_what_the_window_was_counted_from(rotation: PlannedRotation, said: str) -> None:
    assert said in rotation.why()


def test_a_calendar_shows_the_days_of_a_month_and_shades_the_busy_ones() -> None:
    per_day = Counter({date(2026, 3, 2): 8, date(2026, 3, 3): 1, date(2026, 3, 31): 4})
    lines = _shown(planned_views.print_calendar, per_day, date(2026, 3, 1))
    assert lines[0].strip() == "March 2026 (UTC)"
    assert " ".join(lines[1].split()) == "Mon Tue Wed Thu Fri Sat Sun"
    # The first is a Sunday.
    assert (lines[2].split(), lines[3].split()) == (["1"], ["·"])
    assert lines[5].split() == ["8", "█", "1", "▁", "·", "·", "·", "·", "·"]
    assert lines[-2].split() == ["·", "4", "▄"]
    assert lines[-1] == "Next rotations of 13 secrets, 0.4 a day on average; most on Mon 2026-03-02: 8."
    assert _shown(planned_views.print_calendar, {}, date(2026, 3, 1))[-1] == "Nothing is planned."
    told = _shown(planned_views.print_calendar, {}, date(2026, 3, 1), date(2026, 5, 2))
    assert told[-1] == "Nothing is planned. What is planned next is on 2026-05-02."


def test_a_histogram_draws_hours_or_minutes() -> None:
    moments = [NOW + timedelta(minutes=minutes) for minutes in (0, 1, 2, 61)]
    hours = _shown(planned_views.print_histogram, moments, by_minute=False)
    assert (hours[10], hours[11], hours[12]) == ("10:00 3 " + "█" * 72, "11:00 1 " + "█" * 24, "12:00 0")
    summary = "Next rotations of 4 secrets, 0.2 in each hour of the day (UTC) on average, 3 at most."
    assert " ".join(hours[24:]) == summary
    minutes = _shown(planned_views.print_histogram, moments, by_minute=True)
    assert minutes[1] == "  :01 2 " + "█" * 72
    assert _shown(planned_views.print_histogram, [], by_minute=False)[0] == "00:00 0"


def test_a_feed_is_what_the_standard_says() -> None:
    named = replace(MONTHLY, name="prod/night;, " + "ü" * 60 + "\n", arn=MONTHLY.arn + "2")
    content = feed([ROTATION, named], NOW)
    lines = content.split(b"\r\n")
    assert (lines[0], lines[-1]) == (b"BEGIN:VCALENDAR", b"")
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(map(len, lines)) <= 75
    assert b"DTSTART:20260306T140322Z" in lines
    assert b"DTSTAMP:20260204T091200Z" in lines
    assert b"SUMMARY:Rotation of prod/night\\;\\, " in content
    events = Calendar.from_ical(content).walk("VEVENT")
    assert [str(event["SUMMARY"]) for event in events] == ["Rotation of prod/db", f"Rotation of {named.name[:-1]}\\x0a"]
    assert "30 days later is 2026-03-06" in str(events[0]["DESCRIPTION"])
    # Planned anew it is the same event, at another moment.
    moved = Calendar.from_ical(feed([replace(ROTATION, at=DAILY.opens_at + DAY)], NOW)).walk("VEVENT")[0]
    assert moved["UID"] == events[0]["UID"] != events[1]["UID"]
    assert feed([ROTATION], NOW) == feed([ROTATION], NOW + DAY)


def test_spans_of_time_are_read_and_said() -> None:
    assert (read_span("90m"), read_span("2d"), read_span("2 d")) == (timedelta(minutes=90), 2 * DAY, None)
    spans = (timedelta(seconds=59), timedelta(minutes=90), timedelta(hours=47), 2 * DAY, -DAY)
    assert [rough(span) for span in spans] == ["59 s", "90 min", "47 h", "2 d", "0 s"]


def test_options_say_which_rotations() -> None:
    wanted = Wanted.of("2026-03-01T12:00+02:00", None, "1d", "prod/", None, NOW)
    assert wanted.request == {"From": NOW, "To": NOW + DAY, "NamePrefix": "prod/"}
    assert Wanted.of(None, "2026-03-02", None, None, "f", NOW).request == {
        "To": datetime(2026, 3, 2, tzinfo=UTC),
        "RotationLambdaARN": "f",
    }
    for begin, end, within in (("soon", None, None), (None, None, "soon"), (None, "2026-03-02", "1d")):
        with pytest.raises(KeyturnError):
            Wanted.of(begin, end, within, None, None, NOW)


UNDER_WAY = replace(ROTATION, at=None, window=None, planned_at=None, attempt=(2, 5), cause="timeout")
STATES = {
    "running": replace(UNDER_WAY, state="running", name="running"),
    "pending": replace(UNDER_WAY, state="pending", name="pending", due_at=NOW + timedelta(minutes=4)),
    "parked": replace(ROTATION, state="parked", name="parked", attempt=(5, 5), cause="AuthenticationFailed"),
    "parked for ever": replace(UNDER_WAY, state="parked", name="parked for ever", members={}),
    "unplanned": replace(UNDER_WAY, state="unplanned", name="unplanned", attempt=None, cause=None, members={}),
    "off": replace(UNDER_WAY, state="off", name="off", attempt=None, cause=None, counted_from=ROTATED - 90 * DAY),
}


def test_every_secret_that_could_rotate_is_shown_with_its_state() -> None:
    assert [" ".join(line.split()) for line in _shown(planned_views.print_table, STATES.values(), NOW)] == [
        "Next (UTC) Local In State Secret Rule",
        "– running running every 30 days",
        "2026-03-01 10:04 11:04 4 min pending pending every 30 days",
        "2026-03-06 14:03 15:03 5 d parked parked every 30 days",
        "– parked parked for ever no schedule",
        "– unplanned unplanned no schedule",
        "– off off every 30 days",
    ]
    wide = _shown(planned_views.print_table, STATES.values(), NOW, width=140)
    for words in ("running (2 of 5): timeout", "pending (2 of 5): timeout", "parked: AuthenticationFailed"):
        assert any(f"  {words}  " in line for line in wide)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("running", "A rotation runs: attempt 2 of 5. The next one is planned when it has ended."),
        (
            "pending",
            (
                "A rotation is under way: attempt 2 of 5 begins at 2026-03-01 10:04."
                " The last one failed: the function ran out of time."
            ),
        ),
        (
            "parked",
            (
                "Its rotation is out of attempts: the database refuses the login, and is tried again in the next"
                " window. It rotated"
            ),
        ),
        ("parked for ever", "is tried again when keyturn rotation retry asks for it: no window is planned."),
        ("unplanned", "It has no schedule: it rotates when RotateSecret asks for it."),
        ("off", "Rotation is switched off: RotateSecret turns it on again."),
    ],
)
def test_why_tells_of_a_secret_that_does_not_just_wait(name: str, said: str) -> None:
    assert said in STATES[name].why()
    text = " ".join(" ".join(_shown(planned_views.print_reasons, [STATES[name]], NOW, width=400)).split())
    assert said in text
    document = STATES[name].document(NOW)
    assert (document["state"], document["cause"]) == (STATES[name].state, STATES[name].cause)
    assert document["running"] is (name in ("running", "pending"))


def test_what_has_no_moment_is_in_no_calendar() -> None:
    assert len(Calendar.from_ical(feed(STATES.values(), NOW)).walk("VEVENT")) == 1


def test_a_window_that_has_passed_is_late_though_its_rotation_is_tried_and_one_that_is_off_is_not() -> None:
    counted_from = ROTATED - 90 * DAY
    assert replace(STATES["pending"], counted_from=counted_from).is_late(NOW)
    assert not replace(STATES["off"], counted_from=counted_from).is_late(NOW)


@pytest.mark.parametrize(
    ("written", "hinted"),
    [
        ("0 16 * * *", "cron(0 16 * * ? *)"),
        ("0 16 * * MON", "cron(0 16 ? * MON *)"),
        ("0 16 1,15 * *", "cron(0 16 1,15 * ? *)"),
        ("0 16 ? * SUN *", "cron(0 16 ? * SUN *)"),
        ("cron(0 16 * * *)", "cron(0 16 * * ? *)"),
        # Sunday is 0 there and 1 here.
        ("cron(0 16 * * 1-5)", "cron(0 16 ? * MON-FRI *)"),
        ("30 4 * * 0,7", "cron(0 4 ? * SUN,SUN *)"),
        ("0 4 * * 2#1", "cron(0 4 ? * TUE#1 *)"),
    ],
)
def test_a_cron_expression_of_unix_is_hinted_at_as_aws_has_it(written: str, hinted: str) -> None:
    told = refusal(InvalidParameterException("no"), written)

    assert told.hints[0] == f"In AWS's way: '{hinted}'."
    assert any("six fields" in hint for hint in told.hints) is ("?" not in written)
    assert any("The minutes must be 0 and not 30" in hint for hint in told.hints) is written.startswith("30")
    parse_rotation_rules({"ScheduleExpression": hinted})


@pytest.mark.parametrize("written", ["cron(0 3 * * ? *)", "rate(3 hours)", "soon", "a b c"])
def test_what_looks_like_no_cron_expression_of_unix_gets_no_such_hint(written: str) -> None:
    assert len(refusal(InvalidParameterException("no"), written).hints) == 1


@pytest.mark.parametrize(
    ("arguments", "said", "made_up_for"),
    [
        (["30"], "Each window is 1 day long; a Duration makes it shorter.", True),
        (["30", "--duration", "3h"], "Each window is 3 hours long (Duration=3h).", False),
        (["rate(12 hours)"], "Each window is one hour long; a Duration makes it longer.", False),
        (["cron(0 2 1 * ? *)"], "Each window is 22 hours long; a Duration makes it shorter.", False),
    ],
)
def test_a_preview_says_how_long_a_window_is_and_what_becomes_of_a_missed_one(
    arguments: list[str], said: str, made_up_for: bool
) -> None:
    text = " ".join(_run("preview", *arguments)[1].split())

    assert said in text
    missed = "it rotates as soon as one is." if made_up_for else "it waits for the next one."
    assert f"If no server was running in the whole window, {missed}" in text


def test_a_list_in_a_pipe_is_as_wide_as_columns_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, _run("preview", "30")[1].splitlines())) <= 60
    monkeypatch.delenv("COLUMNS")
    assert max(map(len, _run("preview", "30")[1].splitlines())) > 200


def _seen(verdict: str, heartbeat: str, *causes: str) -> PlannedRotation:
    return replace(ROTATION, preflight=SeenBefore(verdict, heartbeat, causes, NOW))


SEEN = {
    "ready": _seen("ready", "in step"),
    "will fail": _seen("will fail", "unknown", "database.connect:ConnectionRefused"),
    "drift": _seen("ready", "drift", "drift:PreviousStillAccepted"),
    "unknown": _seen("unknown", "unknown", "secret.value:UnknownEngine"),
}


def test_a_column_shows_what_is_known_before_with_causes_if_there_is_room() -> None:
    narrow = _shown(planned_views.print_table, [ROTATION, *SEEN.values()], NOW)
    wide = _shown(planned_views.print_table, [ROTATION, *SEEN.values()], NOW, width=180)

    assert "Pre-flight" in narrow[0]
    for word, line in zip(SEEN, narrow[2:], strict=True):
        assert f" {word} " in line
    said = ["ready", "will fail: database.connect:ConnectionRefused", "drift: PreviousStillAccepted", "unknown"]
    for words, line in zip(said, wide[2:], strict=True):
        assert f"  {words}  " in line
    assert "Pre-flight" not in _shown(planned_views.print_table, [ROTATION], NOW)[0]


def test_why_ends_with_what_is_known_before() -> None:
    endings = {
        "ready": "It is expected to succeed, as was found at 2026-03-01 10:00.",
        "will fail": "It will fail, as was found at 2026-03-01 10:00: connecting to the database: the database's host"
        " refuses connections.",
        "drift": "The database does not have what the secret says, as was found at 2026-03-01 10:00:"
        " the previous password is still accepted.",
        "unknown": "Whether it will succeed could not be found out at 2026-03-01 10:00: the secret's value: its engine"
        " is not known, so no login can be tried.",
    }
    for name, ending in endings.items():
        assert SEEN[name].why().endswith(ending)
    assert SEEN["drift"].document(NOW)["preflight"] == {
        "verdict": "ready",
        "heartbeat": "drift",
        "causes": ["drift:PreviousStillAccepted"],
        "checked_at": "2026-03-01T10:00:00+00:00",
        "overtaken": False,
    }
    assert ROTATION.document(NOW)["preflight"] is None


def test_what_was_found_before_the_last_rotation_or_the_value_is_told_as_such() -> None:
    entry = {"Verdict": "will fail", "Heartbeat": "unknown", "PreflightCauses": ["a:B"], "CheckedAt": NOW}
    after, before = NOW + timedelta(minutes=1), NOW - timedelta(minutes=1)
    for heartbeat, verdict in (("unknown", "will fail"), ("drift", "ready")):
        now_bad = {**entry, "Verdict": verdict, "Heartbeat": heartbeat}
        for rotated_at, since in ((after, "the last rotation"), (before, "the value")):
            seen = SeenBefore.of({**now_bad, "CountedFrom": after, "LastRotatedDate": rotated_at})
            assert seen is not None
            # No cause of what is over.
            assert seen.in_words() == f"The last pre-flight, made at 2026-03-01 10:00, is older than {since}."
            assert seen.document()["overtaken"] is True
            column = _shown(planned_views.print_table, [replace(ROTATION, preflight=seen)], NOW, width=200)
            assert f"older than {since}" in column[1]
            assert verdict not in column[1]
        still = SeenBefore.of({**now_bad, "CountedFrom": before})
        assert still is not None
        assert not still.is_overtaken
    well = SeenBefore.of({**entry, "Verdict": "ready", "Heartbeat": "in step", "CountedFrom": after})
    assert well is not None
    assert well.in_words() == "It is expected to succeed, as was found at 2026-03-01 10:00."
    failed = SeenBefore.of({**entry, "Verdict": "ready", "Heartbeat": "in step", "Cause": "ClientError"})
    assert failed is not None
    assert failed.in_words() == (
        "It was expected to succeed, as was found at 2026-03-01 10:00; its last attempt has failed."
    )


def test_an_entry_of_a_server_that_has_not_looked_has_nothing_of_it() -> None:
    assert SeenBefore.of({"ARN": "a"}) is None
    seen = SeenBefore.of({"Verdict": "ready", "Heartbeat": "in step", "PreflightCauses": [], "CheckedAt": NOW})
    assert seen == SeenBefore("ready", "in step", [], NOW)
