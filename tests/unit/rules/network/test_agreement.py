"""What a live probe means beside what the rules say."""

from __future__ import annotations

import pytest

from keyturn.rules.network.agreement import Outcome, Verdict, compared, not_run, on_loopback, read
from keyturn.rules.network.hops import Passage

PASSES, BLOCKS, UNKNOWN = Passage.PASSES, Passage.BLOCKS, Passage.UNKNOWN
ANSWERED = (Outcome.CONNECTED, Outcome.REFUSED)
LOST = [outcome for outcome in Outcome if outcome not in ANSWERED]


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("reading", Passage)
def test_every_pair_has_a_verdict_and_what_is_wrong_is_explained(reading: Passage, outcome: Outcome) -> None:
    agreement = compared(reading, outcome)

    assert agreement.verdict is not Verdict.UNKNOWN
    assert (agreement.verdict is Verdict.PASSES) == (agreement.meaning == "")


@pytest.mark.parametrize("outcome", ANSWERED)
def test_who_answers_where_a_rule_blocks_shows_a_fault_of_keyturn(outcome: Outcome) -> None:
    agreement = compared(BLOCKS, outcome)

    assert (agreement.verdict, agreement.agrees) == (Verdict.DISPUTED, False)
    assert "please report it" in agreement.meaning


@pytest.mark.parametrize("outcome", LOST)
def test_what_is_blocked_and_lost_agrees(outcome: Outcome) -> None:
    assert compared(BLOCKS, outcome).agrees is True
    assert compared(BLOCKS, outcome).verdict is Verdict.BLOCKS


def test_a_refused_connection_proves_that_packets_pass() -> None:
    agreement = compared(PASSES, Outcome.REFUSED)

    assert (agreement.verdict, agreement.agrees) == (Verdict.FAILS, True)
    assert "nothing listens" in agreement.meaning


@pytest.mark.parametrize("outcome", LOST)
def test_what_passes_by_the_rules_and_is_lost_does_not_agree(outcome: Outcome) -> None:
    assert (compared(PASSES, outcome).verdict, compared(PASSES, outcome).agrees) == (Verdict.FAILS, False)


def test_where_the_reading_does_not_know_the_probe_decides() -> None:
    assert (compared(UNKNOWN, Outcome.CONNECTED).verdict, compared(UNKNOWN, Outcome.CONNECTED).agrees) == (
        Verdict.PASSES,
        None,
    )
    assert compared(UNKNOWN, Outcome.TIMEOUT).verdict is Verdict.FAILS


@pytest.mark.parametrize("reading", Passage)
def test_without_a_probe_the_reading_stands(reading: Passage) -> None:
    assert read(reading).verdict.value == reading.value
    assert read(reading).agrees is None


def test_who_answers_on_a_functions_own_loopback_disputes_nothing() -> None:
    assert (on_loopback().verdict, on_loopback().agrees) == (Verdict.BLOCKS, True)
    assert "the function's own" in on_loopback().meaning


@pytest.mark.parametrize("reading", Passage)
def test_a_function_that_cannot_run_never_passes(reading: Passage) -> None:
    agreement = not_run(reading)

    assert agreement.verdict is (Verdict.BLOCKS if reading is BLOCKS else Verdict.FAILS)
    assert agreement.agrees is None
