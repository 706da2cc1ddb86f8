"""A report card, counted and as JUnit XML."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from keyturn.bench.card import Card, Left, Result, Status, junit


def card(*results: Result, leaks: tuple[str, ...] = (), broken_off: str = "") -> Card:
    return Card("my.zip", "PostgreSQL", "none", results, leaks, 3, 10, ("GetSecretValue",), (), broken_off)


KEPT = Result("contract", "rotates", "It rotates", Status.PASSED, seconds=0.5)
BROKEN = Result("contract", "tests", "It tests", Status.FAILED, "It does <not>\x00.")
NOT_TOLD = Result("contract", "sets", "It sets", Status.SKIPPED, "Unknown.")
STOOD = Result("setSecret", "crash-1", "killed", Status.PASSED, left=Left.MENDED)
LOST = Result("setSecret", "crash-2", "killed", Status.FAILED, "Lost.", Left.LOCKED_OUT)


@pytest.mark.parametrize(
    ("told", "has_passed"),
    [
        (card(KEPT, STOOD, NOT_TOLD), True),
        (card(KEPT, BROKEN), False),
        (card(KEPT, LOST), False),
        (card(KEPT, leaks=("createSecret: ***",)), False),
        (card(KEPT, broken_off="Nobody can log in."), False),
        (replace(card(KEPT), left="It is in x.json."), False),
    ],
)
def test_it_has_passed_only_if_nothing_at_all_was_found(told: Card, has_passed: bool) -> None:
    assert told.has_passed is has_passed


def test_contract_and_faults_are_told_apart() -> None:
    told = card(KEPT, BROKEN, STOOD, LOST)
    assert told.contract == [KEPT, BROKEN]
    assert told.faults == [STOOD, LOST]
    assert told.failed == [BROKEN, LOST]


def test_junit_has_a_case_for_each_trial_and_one_for_leaks() -> None:
    root = ET.fromstring(junit(card(KEPT, BROKEN, NOT_TOLD, STOOD, LOST, leaks=("createSecret: ***",))))
    suites = {suite.get("name"): suite for suite in root}
    counts = {
        name: tuple(suite.get(each) for each in ("tests", "failures", "skipped")) for name, suite in suites.items()
    }
    assert counts == {"contract": ("3", "1", "1"), "setSecret": ("2", "1", "0"), "leaks": ("1", "1", "0")}
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert cases["rotates"].find("failure") is None
    failure = cases["tests"].find("failure")
    assert failure is not None
    # A character that XML has no place for does not spoil the file.
    assert failure.text == "It does <not>\N{REPLACEMENT CHARACTER}."
    assert cases["sets"].find("skipped") is not None


def test_without_leaks_the_case_passes() -> None:
    root = ET.fromstring(junit(card(KEPT)))
    [case] = [case for case in root.iter("testcase") if case.get("name") == "no-secret-value-shown"]
    assert list(case) == []
