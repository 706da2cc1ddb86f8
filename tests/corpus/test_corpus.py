"""The doctor is right as often as it has to be: of the causes that it names first, of the faults there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contract.doctor.world import NOW

from keyturn.doctor.catalogue import all_checks

from .account import Account
from .cases import Case, all_cases
from .disguise import DISGUISES, PLAIN, Disguise
from .score import Result, Score, diagnosed, said_otherwise, table

CASES = all_cases()
# Told by a server about itself, or by functions of Keyturn's own: there are tests on real servers of these.
ELSEWHERE = (
    "preflight-", "drift-", "secret-value-unusable", "pending-not-from-function", "db-another-product",
    "db-clone-conflict", "db-user-without-password", "db-change-not-durable", "function-isolated",
    "network-map-missing",
)  # fmt: skip


def test_there_are_enough_cases() -> None:
    faults = [case for case in CASES if case.is_fault]
    assert len(faults) >= 100
    assert len(CASES) - len(faults) >= 100
    assert len({case.name for case in CASES}) == len(CASES)


def test_every_cause_of_the_catalogue_has_a_case() -> None:
    told = {cause_id for case in CASES for cause_id in (*case.first, *case.among, *case.notes)}
    missing = {check.cause.id for check in all_checks()} - told
    assert {cause_id for cause_id in missing if not cause_id.startswith(ELSEWHERE)} == set()


def test_no_case_names_a_cause_that_the_catalogue_has_not() -> None:
    known = {check.cause.id for check in all_checks()}
    for case in CASES:
        assert {*case.first, *case.among, *case.also, *case.guesses, *case.notes} <= known, case.name


@pytest.mark.parametrize(
    "disguise", [PLAIN, *(pytest.param(each, marks=pytest.mark.slow) for each in DISGUISES)], ids=lambda each: each.name
)
def test_the_target_is_met(disguise: Disguise) -> None:
    results = [diagnosed(case, disguise) for case in CASES]
    assert Score(results).meets_target, said_otherwise(results)
    assert not [each.case.name for each in results if each.broken_checks]


def test_the_page_says_how_many_there_are() -> None:
    page = (Path(__file__).parents[2] / "docs/doctor-corpus.md").read_text()
    assert f"{len(CASES)} cases, {sum(case.is_fault for case in CASES)} with a fault." in page


# The reckoning itself.


def _case(**answer: tuple[str, ...]) -> Case:
    def no_function(account: Account) -> None:
        account.secret["DeletedDate"] = NOW

    return Case("a case", "some", "nowhere: nothing", no_function, **answer)  # type: ignore[arg-type]  # of their types


def _result(**answer: tuple[str, ...]) -> Result:
    return diagnosed(_case(**answer))


def test_a_case_is_right_missed_or_invented() -> None:
    found = "secret-marked-for-deletion"
    assert _result(first=(found,)).outcome == "right"
    assert _result(first=("kms-key-disabled",)).outcome == "missed"
    assert _result(verdict=("healthy",)).outcome == "invented"
    assert _result(verdict=("healthy",), guesses=(found,)).outcome == "invented"
    assert _result(verdict=("healthy",), also=(found,)).outcome == "right"
    assert _result(first=(found,), among=("kms-key-disabled",)).outcome == "incomplete"


def test_precision_is_of_what_is_named_and_recall_of_what_is_there() -> None:
    right, missed = _result(first=("secret-marked-for-deletion",)), _result(first=("kms-key-disabled",))
    invented = _result(verdict=("healthy",))
    score = Score([right, right, missed, invented])
    assert (score.precision, score.recall) == (2 / 4, 2 / 3)
    assert (score.invented, score.invented_without_fault) == (2, 1)
    assert not score.meets_target
    assert Score([right]).meets_target
    assert "| **all** | 4 | 2 | 0 | 1 | 1 |" in table([right, right, missed, invented])
