"""What was found inside the function's sandbox, and what that means for the next rotation and for now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyturn.rules.preflight import (
    LOOK_AGAIN,
    WHILE_AWAY,
    Heartbeat,
    Item,
    ItemStatus,
    Judgement,
    Verdict,
    judge,
    next_look,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WELL = {
    "function.invoke": "ok Ok",
    "function.import": "ok Ok",
    "secret.describe": "ok Ok",
    "secret.read": "ok Ok",
    "secret.value": "ok Ok",
    "database.connect": "ok Ok",
    "login.current": "ok Accepted",
    "login.superuser": "skipped NoSuperuser",
    "login.previous": "ok Refused",
    "login.pending": "skipped NoVersion",
}


def found(**changed: str) -> list[Item]:
    """Everything is well but for these; an underscore stands for the dot."""
    said = {**WELL, **{name.replace("_", "."): words for name, words in changed.items()}}
    return [Item(name, ItemStatus(words.split()[0]), words.split()[1], "") for name, words in said.items() if words]


def judged(before: list[str] | None = None, **changed: str) -> Judgement:
    return judge(found(**changed), before)


def test_where_all_is_well_a_rotation_is_ready_and_the_database_in_step() -> None:
    assert judged() == Judgement(Verdict.READY, Heartbeat.IN_STEP, ())


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("function_invoke", "failed notInvoked"),
        ("function_import", "failed Runtime.ImportModuleError"),
        ("endpoint_tls", "failed TlsFailed"),
        ("secret_read", "failed AccessDeniedException"),
        ("secret_value", "failed MissingKey"),
        ("superuser_read", "failed AccessDeniedException"),
        ("login_superuser", "failed AuthenticationFailed"),
    ],
)
def test_whatever_a_rotation_needs_and_does_not_get_will_fail_it(item: str, said: str) -> None:
    judgement = judged([], **{item: said})

    assert judgement.verdict is Verdict.WILL_FAIL
    assert judgement.causes == (f"{item.replace('_', '.')}:{said.split()[1]}",)
    assert judgement.is_bad


def test_two_causes_are_both_told() -> None:
    judgement = judged([], function_import="failed Runtime.ImportModuleError", login_superuser="failed NotAdmitted")

    assert judgement.causes == ("function.import:Runtime.ImportModuleError", "login.superuser:NotAdmitted")


def test_what_may_pass_by_itself_is_looked_at_twice() -> None:
    away = {"database_connect": "failed ConnectionRefused", "login_current": "skipped NotReached"}
    cause = ["database.connect:ConnectionRefused"]

    first, second, asked = judged([], **away), judged(cause, **away), judged(None, **away)

    assert (first.verdict, first.again_after, first.causes) == (Verdict.UNKNOWN, LOOK_AGAIN, tuple(cause))
    assert (second.verdict, second.again_after, second.causes) == (Verdict.WILL_FAIL, WHILE_AWAY, tuple(cause))
    assert asked.verdict is Verdict.WILL_FAIL


def test_a_database_that_is_away_is_no_drift() -> None:
    away = {"database_connect": "failed ConnectionTimedOut", "login_current": "skipped NotReached"}

    assert judged(None, **away).heartbeat is Heartbeat.UNKNOWN


@pytest.mark.parametrize("item", ["function_import", "secret_read", "secret_value", "login_current"])
def test_what_could_not_be_looked_at_is_never_ready(item: str) -> None:
    judgement = judged([], **{item: "skipped DriverMissing"})

    assert judgement.verdict is Verdict.UNKNOWN
    assert judgement.causes == (f"{item.replace('_', '.')}:DriverMissing",)
    assert not judgement.is_bad


def test_a_program_that_did_not_start_is_unknown_for_that_reason() -> None:
    started = Item("function.start", ItemStatus.SKIPPED, "Sandbox.Timedout", "")

    assert judge([started], []).causes == ("function.start:Sandbox.Timedout",)
    assert judge([], []) == Judgement(
        Verdict.UNKNOWN,
        Heartbeat.UNKNOWN,
        ("function.import:NotLooked", "secret.read:NotLooked", "secret.value:NotLooked", "login.current:NotLooked"),
    )


REFUSED = "failed AuthenticationFailed"


@pytest.mark.parametrize(
    ("previous", "pending", "cause"),
    [
        ("ok Refused", "ok Accepted", "drift:PendingIsInDatabase"),
        ("failed StillAccepted", "ok Refused", "drift:PreviousIsInDatabase"),
        ("ok Accepted", "skipped NoVersion", "drift:PreviousIsInDatabase"),
        ("ok Refused", "ok Refused", "drift:ChangedOutside"),
        ("ok Refused", "skipped SameValue", "drift:ChangedOutside"),
        ("ok AcceptedOtherUser", "skipped NoVersion", "drift:ChangedOutside"),
        ("skipped NotAdmitted", "skipped NoVersion", "drift:CurrentRefused"),
    ],
)
def test_a_current_value_that_is_refused_is_drift_with_its_cause(previous: str, pending: str, cause: str) -> None:
    judgement = judged([], login_current=REFUSED, login_previous=previous, login_pending=pending)

    assert judgement.heartbeat is Heartbeat.DRIFT
    assert judgement.causes[-1] == cause


def test_a_rotation_recovers_from_what_it_asks_for_itself() -> None:
    forward = judged([], login_current=REFUSED, login_pending="ok Accepted")
    back = judged([], login_current=REFUSED, login_previous="failed StillAccepted")
    outside = judged([], login_current=REFUSED)

    assert (forward.verdict, forward.causes) == (Verdict.READY, ("drift:PendingIsInDatabase",))
    assert (back.verdict, back.causes) == (Verdict.READY, ("drift:PreviousIsInDatabase",))
    assert outside.causes == ("login.current:AuthenticationFailed", "drift:ChangedOutside")
    assert outside.verdict is Verdict.WILL_FAIL
    assert forward.is_bad
    assert back.is_bad


def test_a_previous_password_that_lives_on_is_drift_but_no_hindrance() -> None:
    judgement = judged([], login_previous="failed StillAccepted")

    assert judgement == Judgement(Verdict.READY, Heartbeat.DRIFT, ("drift:PreviousStillAccepted",))


def test_without_the_heartbeat_nothing_is_said_of_it() -> None:
    off = {"login_previous": "skipped Off", "login_pending": "skipped Off"}

    assert judged([], **off) == Judgement(Verdict.READY, Heartbeat.UNKNOWN, ())
    refused = judged([], login_current=REFUSED, **off)
    assert (refused.verdict, refused.heartbeat) == (Verdict.WILL_FAIL, Heartbeat.UNKNOWN)


class Chance:
    def __init__(self, share: float) -> None:
        self.share = share

    def randbelow(self, bound: int) -> int:
        return int(self.share * bound)


def test_the_next_look_is_within_a_day_and_sooner_if_something_may_pass() -> None:
    assert next_look(NOW, Chance(0), None) == NOW + timedelta(hours=22)
    assert next_look(NOW, Chance(0.5), None) == NOW + timedelta(hours=23)
    assert next_look(NOW, Chance(0.5), LOOK_AGAIN) == NOW + timedelta(minutes=10)


def test_what_a_login_was_refused_for_is_not_tried_again_soon() -> None:
    both = {"login_current": REFUSED, "endpoint_connect": "failed ConnectionRefused"}

    assert judged([], login_current=REFUSED).again_after is None
    assert judged([], **both).again_after is None
    # One cause that lasts beside one that may pass.
    assert judged([], **both).verdict is Verdict.WILL_FAIL
