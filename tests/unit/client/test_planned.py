"""What a pre-flight has found, and how the last rotation went, for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.client.planned import PlannedRotation, SeenBefore

FAILED_AT = datetime(2026, 11, 28, 9, 7, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ENTRY: dict[str, Any] = {
    "ARN": "arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/hr/db-aaaaaa",
    "Name": "prod/hr/db",
    "State": "failed",
    "Cause": "timeout",
    "FailedAt": FAILED_AT,
    "NextRotationAt": FAILED_AT + timedelta(days=29),
    "Verdict": "ready",
    "Heartbeat": "in step",
    "CheckedAt": FAILED_AT - MINUTE,
}


def test_the_reason_that_says_most_comes_first_and_in_words() -> None:
    causes = ["login.current:AuthenticationFailed", "doctor:db-login-failed", "drift:ChangedOutside"]
    assert SeenBefore("will fail", "drift", causes, None).reasons == [
        "the password was changed outside of rotation",
        "the database refuses the stored credentials",
        "logging in with AWSCURRENT: the database refuses the login",
    ]
    assert SeenBefore("will fail", "drift", causes, None).ranked == list(reversed(causes))
    # A server that is newer may know others.
    assert SeenBefore("ready", "drift", ["drift:Unheard"], None).reasons == ["drift:Unheard"]


def test_a_secret_whose_last_rotation_failed_is_never_expected_to_succeed_by_what_was_found_before() -> None:
    planned = PlannedRotation.of(ENTRY)

    assert planned.preflight is not None
    assert (planned.preflight.is_overtaken, planned.preflight.overtaken_by) == (True, "the last rotation")
    why = planned.why()
    assert why.startswith("Its last rotation failed at 2026-11-28 09:07: the function ran out of time.")
    assert "It rotates again in the next window." in why
    assert why.endswith("The last pre-flight, made at 2026-11-28 09:06, is older than the last rotation.")
    assert "expected" not in why
    document = planned.document(FAILED_AT + MINUTE)
    assert (document["state"], document["cause"]) == ("failed", "timeout")
    assert document["last_failed_at"] == FAILED_AT.isoformat()


def test_a_look_after_the_failure_says_what_it_found_beside_that() -> None:
    why = PlannedRotation.of({**ENTRY, "CheckedAt": FAILED_AT + MINUTE}).why()

    assert why.startswith("Its last rotation failed at 2026-11-28 09:07: the function ran out of time.")
    assert why.endswith("It is expected to succeed, as was found at 2026-11-28 09:08.")


@pytest.mark.parametrize("found", [{"Verdict": "will fail"}, {"Heartbeat": "drift"}])
def test_what_was_found_to_be_wrong_holds_after_a_rotation_that_failed(found: dict[str, str]) -> None:
    seen = SeenBefore.of({**ENTRY, **found})

    assert seen is not None
    assert not seen.is_overtaken


def test_without_a_schedule_it_rotates_when_somebody_asks() -> None:
    entry = {name: value for name, value in ENTRY.items() if name != "NextRotationAt"}

    assert "It rotates again when RotateSecret asks." in PlannedRotation.of(entry).why()
