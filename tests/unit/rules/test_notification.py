"""The document that notifiers are given, and when a message is offered again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.arn import Place
from keyturn.notifiers.base import Location
from keyturn.rules.audit_event import ServiceEventName
from keyturn.rules.notification import (
    LONGEST_WAIT,
    Notification,
    PreflightFacts,
    RotationFacts,
    Wanted,
    is_final,
    next_try,
)
from keyturn.rules.repair import Repair

PLACE = Place("aws", "us-east-1", "000000000000")
NOW = datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
FAILED = Notification(
    event_id="019c6a1f-2d4e-7b8e-9a51-2f6c8d1e0b37",
    event_name="RotationFailed",
    at=NOW,
    account_id=PLACE.account_id,
    region=PLACE.region,
    secret_arn=PLACE.secret_arn("app/database", "a1b2c3"),
    error="Error when executing lambda",
    rotation=RotationFacts(
        function_arn=PLACE.function_arn("rotate-postgresql"),
        version_id="7f3c1a52-0d4e-4b8e-9a51-2f6c8d1e0b37",
        attempt=2,
        attempts=5,
        step="setSecret",
        cause="AuthenticationFailed",
        error="AuthenticationFailed: the database refused user app",
        is_final=False,
        next_attempt_at=NOW + timedelta(seconds=9),
    ),
)


def facts(**changes: Any) -> Notification:
    assert FAILED.rotation is not None
    return replace(FAILED, rotation=replace(FAILED.rotation, **changes))


def test_the_documentation_shows_the_document_as_it_is() -> None:
    page = (Path(__file__).parents[3] / "docs" / "notifications.md").read_text()
    shown = page.partition("```json\n")[2].partition("```")[0]

    assert json.loads(shown) == FAILED.document()


@pytest.mark.parametrize("name", ServiceEventName)
def test_every_event_has_a_line_for_people(name: ServiceEventName) -> None:
    for rotation in (None, FAILED.rotation, RotationFacts(None, "v")):
        text = replace(FAILED, event_name=name, rotation=rotation, error=None).text()
        assert "app/database" in text
        assert "None" not in text
        assert "\n" not in text


@pytest.mark.parametrize(
    ("changes", "ending"),
    [
        (
            {},
            " at attempt 2 of 5; it is tried again at 05:06:16 UTC: AuthenticationFailed: the database refused",
        ),
        (
            {"is_final": True, "next_attempt_at": None, "next_rotation_at": NOW + timedelta(days=1)},
            "; it is not tried again before 2026-03-05 05:06 UTC (keyturn rotation show app/database): Authentication",
        ),
        (
            {"is_final": True, "next_attempt_at": None},
            " at attempt 2 of 5; it is not tried again by itself (keyturn rotation show app/database): Authentication",
        ),
        ({"next_attempt_at": None}, " at attempt 2 of 5; it goes on: Authentication"),
        (
            {"next_attempt_at": None, "is_final": None},
            " at attempt 2 of 5; the database is being asked which password it",
        ),
        (
            {"next_attempt_at": None, "is_final": None, "attempt": None, "step": None},
            " (000000000000, us-east-1): Auth",
        ),
    ],
)
def test_the_line_says_how_a_failed_rotation_goes_on(changes: dict[str, Any], ending: str) -> None:
    assert ending in facts(**changes).text()


@pytest.mark.parametrize("repair", [repair for repair in Repair if repair is not Repair.UNKNOWN])
def test_what_was_done_about_labels_is_said_in_words(repair: Repair) -> None:
    rotation = RotationFacts(None, "v", repair=repair.value)
    resolved = replace(FAILED, event_name="RotationResolved", error=None, rotation=rotation)

    assert "which password it accepts (000000000000, us-east-1): " in resolved.text()
    assert repair.value not in resolved.text().rpartition(": ")[2].split()


def test_who_is_locked_out_and_who_ended_it_is_said_with_the_command_that_tells_more() -> None:
    refused = replace(facts(repair="allRefused"), event_name="RotationResolved", error=None).text()
    abandoned = replace(FAILED, event_name="RotationAbandoned", rotation=None, error=None).text()

    assert "who reads the secret does not get in. Somebody has to set a password. keyturn rotation show app/" in refused
    assert abandoned.endswith(" (by whom: keyturn rotation show app/database)")


def test_a_failure_waits_a_moment_until_it_is_known_how_it_goes_on() -> None:
    undecided = facts(is_decided=False)
    assert undecided.may_be_decided_soon(NOW)
    assert undecided.may_be_decided_soon(NOW + timedelta(seconds=4.9))
    assert not undecided.may_be_decided_soon(NOW + timedelta(seconds=5))
    # A clock that was set back must not make it wait for an hour.
    assert not undecided.may_be_decided_soon(NOW - timedelta(seconds=1))
    assert not facts().may_be_decided_soon(NOW)
    assert not replace(FAILED, rotation=None).may_be_decided_soon(NOW)


def test_what_a_function_says_cannot_act_on_who_reads_it() -> None:
    said = "ValueError: <!channel> <@U1>\r\n\x1b[31mred\u202e " + "x" * 5000
    text = facts(error=said).text()

    assert not set(text) & set("<>\r\n\x1b\u202e")
    assert len(text) <= 600
    # Programs get it as it is.
    assert facts(error=said).document()["error"] == said


def test_events_that_are_about_no_rotation_say_so() -> None:
    document = replace(FAILED, event_name="ReplicationFailed", rotation=None, error="no key").document()
    assert document["rotation"] is None
    assert document["error"] == "no key"


def test_by_default_failures_and_abandoned_rotations_are_told() -> None:
    told = [name for name in ServiceEventName if Wanted().wants(replace(FAILED, event_name=name))]
    assert told == [
        "RotationFailed",
        "RotationAbandoned",
        "RotationResolved",
        "RotationPreflightFailed",
        "RotationPreflightSucceeded",
    ]


def test_what_will_fail_is_told_with_when_it_is_due_and_the_command_that_tells_more() -> None:
    found = PreflightFacts("will fail", "drift", ("login.current:AuthenticationFailed",), NOW + timedelta(hours=6))
    foreseen = replace(
        FAILED, event_name="RotationPreflightFailed", rotation=None, preflight=found, error="login.current:<!x>"
    )

    assert foreseen.text() == (
        "The next rotation of app/database will fail (000000000000, us-east-1); it is planned for 2026-03-04 11:06 UTC"
        " (keyturn schedule --why --name-prefix app/database): login.current:‹!x›"
    )
    assert foreseen.document()["preflight"] == {
        "verdict": "will fail",
        "heartbeat": "drift",
        "causes": ["login.current:AuthenticationFailed"],
        "next_rotation_at": "2026-03-04T11:06:07.089Z",
    }
    drifted = replace(foreseen, preflight=replace(found, verdict="ready", next_rotation_at=None))
    assert drifted.text().startswith("The database of app/database does not have what the secret says (0")


def test_nobody_is_woken_because_nothing_had_to_be_changed_unless_they_asked_for_it() -> None:
    def resolved(repair: Repair) -> Notification:
        return replace(facts(repair=repair), event_name="RotationResolved")

    assert {repair for repair in Repair if not Wanted().wants(resolved(repair))} == {Repair.NONE_NEEDED}
    for text in ("https://h.example/x#events=RotationResolved", "https://h.example/x#events=all"):
        assert Location.parse(text).wanted().wants(resolved(Repair.NONE_NEEDED))
    assert not Location.parse("https://h.example/x").wanted().wants(resolved(Repair.NONE_NEEDED))


def test_patterns_are_of_whole_names_and_case_counts() -> None:
    assert Wanted(secrets=("app/*",)).wants(FAILED)
    assert Wanted(secrets=("x", "*database")).wants(FAILED)
    assert not Wanted(secrets=("database", "APP/*")).wants(FAILED)


def test_only_final_failures_where_that_was_asked_for() -> None:
    wanted = Wanted(only_final=True)
    assert not wanted.wants(FAILED)
    assert wanted.wants(facts(is_final=True))
    # Not known is not left out.
    assert wanted.wants(facts(is_final=None))
    assert wanted.wants(replace(FAILED, rotation=None))


@pytest.mark.parametrize(
    ("failed", "begun_later", "planned", "final"),
    [
        (1, None, 2, False),
        (1, 2, 3, False),
        (5, None, None, True),
        # A window closed after the first attempt; the next one has begun, and even failed, since.
        (1, None, 1, True),
        (1, 1, 2, True),
        (5, 1, None, True),
    ],
)
def test_an_attempt_is_final_unless_the_next_number_follows(
    failed: int, begun_later: int | None, planned: int | None, final: bool
) -> None:
    assert is_final(failed, begun_later=begun_later, planned=planned) is final


@given(st.integers(1, 10_000), st.floats(0, 0.999), st.floats(0, 90_000))
def test_a_message_is_offered_again_after_a_bounded_pause_for_a_day(tries: int, jitter: float, waited: float) -> None:
    now = NOW + timedelta(seconds=waited)
    at = next_try(NOW, tries, now, jitter)

    if at is None:
        assert now + timedelta(minutes=15) > NOW + LONGEST_WAIT
    else:
        assert timedelta(seconds=2) <= at - now <= timedelta(minutes=15)
        assert at <= NOW + LONGEST_WAIT


def test_pauses_double() -> None:
    pauses = []
    for tries in range(1, 11):
        at = next_try(NOW, tries, NOW, 0.0)
        assert at is not None
        pauses.append((at - NOW).total_seconds())
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]
