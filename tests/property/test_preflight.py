"""Whatever a pre-flight finds: what was not seen is never ready, and what is told has been found."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keyturn.rules.preflight import Heartbeat, Item, ItemStatus, Verdict, judge

NAMES = (
    "doctor", "function.invoke", "function.start", "function.import", "endpoint.connect", "secret.read",
    "secret.value", "superuser.read", "database.connect", "database.tls", "login.current", "login.superuser",
    "login.previous", "login.pending",
)  # fmt: skip
CODES = (
    "Ok", "Accepted", "Refused", "StillAccepted", "AcceptedOtherUser", "AuthenticationFailed", "NotAdmitted",
    "ConnectionRefused", "NotReady", "NoVersion", "SameValue", "NotReached", "Off", "DriverMissing",
)  # fmt: skip
NEEDED = {"function.import", "secret.read", "secret.value", "login.current"}

items_of = st.lists(
    st.builds(Item, st.sampled_from(NAMES), st.sampled_from(ItemStatus), st.sampled_from(CODES), st.just("")),
    unique_by=lambda item: item.item,
)


@given(items_of, st.none() | st.lists(st.sampled_from([f"{name}:{code}" for name in NAMES for code in CODES])))
def test_ready_means_that_everything_was_seen_and_nothing_lasting_has_failed(
    items: list[Item], before: list[str] | None
) -> None:
    judgement = judge(items, before)
    found = {item.item: item for item in items}

    if judgement.verdict is Verdict.READY:
        assert {name for name in NEEDED if name in found} == NEEDED
        assert not [item for item in items if item.item in NEEDED and item.status is ItemStatus.SKIPPED]
        failed = {item.item for item in items if item.status is ItemStatus.FAILED}
        # A rotation goes on from a pending or a previous password.
        assert failed <= {"login.previous", "login.current"}
        assert "login.current" not in failed or judgement.heartbeat is Heartbeat.DRIFT
    if judgement.verdict is Verdict.WILL_FAIL:
        assert judgement.causes
    told = {cause for cause in judgement.causes if not cause.startswith("drift:")}
    assert told <= {item.cause for item in items} | {f"{name}:NotLooked" for name in NEEDED}


@given(items_of)
def test_drift_is_never_told_of_a_database_that_did_not_answer(items: list[Item]) -> None:
    judgement = judge(items, None)
    current = next((item for item in items if item.item == "login.current"), None)

    if judgement.heartbeat is not Heartbeat.UNKNOWN:
        assert current is not None
        assert current.status is ItemStatus.OK or current.code == "AuthenticationFailed"
    is_told = any(cause.startswith("drift:") for cause in judgement.causes)
    assert is_told == (judgement.heartbeat is Heartbeat.DRIFT)


@given(items_of)
def test_a_second_look_that_finds_the_same_is_at_least_as_sure(items: list[Item]) -> None:
    first = judge(items, [])
    second = judge(items, first.causes)

    assert second.verdict in (first.verdict, Verdict.WILL_FAIL)
    assert judge(items, None).verdict == second.verdict
