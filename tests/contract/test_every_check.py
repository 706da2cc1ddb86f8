"""What holds for every cause of the catalogue: found where it is, not found where all is well, blind where it is dark.

How a cause is brought about is a function of its name in ``doctor/``; one more check is one more function there.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable

import pytest

from keyturn.doctor.catalogue import all_checks
from keyturn.doctor.model import Cause, Fix, Report, Role, Status, Verdict
from keyturn.doctor.own_policy import reading_policy

from . import doctor
from .doctor.world import World, diagnosed

CAUSES = [check.cause for check in all_checks()]
each_cause = pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.id)


def _breakers() -> dict[str, Callable[[World], None]]:
    found: dict[str, Callable[[World], None]] = {}
    for entry in pkgutil.iter_modules(doctor.__path__):
        module = importlib.import_module(f"{doctor.__name__}.{entry.name}")
        if entry.name not in ("vpc", "world"):
            for name, member in vars(module).items():
                if inspect.isfunction(member) and not name.startswith("_") and member.__module__ == module.__name__:
                    found[name.replace("_", "-")] = member
    return found


BREAKERS = _breakers()


def broken(cause: Cause) -> World:
    world = World()
    BREAKERS[cause.id](world)
    return world


def outcome(report: Report, cause: Cause) -> Status:
    return next(each.status for each in report.outcomes if each.cause.id == cause.id)


def test_every_cause_can_be_brought_about_and_nothing_else_is() -> None:
    assert sorted(BREAKERS) == sorted(cause.id for cause in CAUSES)


def test_a_healthy_rotation_is_called_healthy() -> None:
    report = diagnosed(World())
    assert [each for each in report.outcomes if each.status in (Status.FAIL, Status.WARN, Status.BLIND)] == []
    assert report.verdict is Verdict.HEALTHY


@each_cause
def test_it_is_found_and_named_first(cause: Cause) -> None:
    report = diagnosed(broken(cause))
    mine = [finding for finding in report.findings if finding.id == cause.id]
    assert mine, [finding.id for finding in report.findings]
    if any(finding.role is Role.CAUSE for finding in mine):
        assert report.verdict is Verdict.BROKEN
        assert report.findings[0].id == cause.id, [(each.id, each.role) for each in report.findings]
    else:
        # A note, a risk or a consequence: then nothing else is invented for it.
        assert not report.causes, [each.id for each in report.causes]


@each_cause
def test_nothing_else_is_invented_for_it(cause: Cause) -> None:
    report = diagnosed(broken(cause))
    assert {finding.id for finding in report.causes} <= {cause.id}


@each_cause
def test_it_shows_evidence_and_says_what_to_do(cause: Cause) -> None:
    [finding, *_] = [each for each in diagnosed(broken(cause)).findings if each.id == cause.id]
    assert finding.evidence
    assert finding.remedy.text
    assert {evidence.source for evidence in finding.evidence} <= set(cause.evidence)
    if cause.fix in (Fix.SAFE, Fix.WIDENS) and finding.role is Role.CAUSE:
        assert finding.is_fixable


@each_cause
def test_who_may_not_look_is_not_told_that_all_is_well(cause: Cause) -> None:
    for action in cause.evidence:
        world = broken(cause)
        world.deny(action)
        report = diagnosed(world)
        is_found = any(finding.id == cause.id for finding in report.findings)
        assert is_found or outcome(report, cause) in (Status.BLIND, Status.SKIPPED), action
        assert report.verdict is not Verdict.HEALTHY, action


@each_cause
def test_without_any_of_its_evidence_it_is_blind(cause: Cause) -> None:
    world = broken(cause)
    world.deny(*cause.evidence)
    assert outcome(diagnosed(world), cause) in (Status.BLIND, Status.SKIPPED)


@each_cause
def test_no_check_asks_for_what_was_not_collected(cause: Cause) -> None:
    report = diagnosed(broken(cause))
    assert not [
        each.reason for each in report.outcomes if "NotCollected" in each.reason or "itself failed" in each.reason
    ]


@each_cause
def test_an_entry_of_the_catalogue_is_complete(cause: Cause) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", cause.id)
    assert cause.title
    assert not cause.title.endswith(".")
    assert cause.symptoms
    assert cause.decision.endswith(".")
    assert cause.remedy.endswith(".")
    assert all(re.fullmatch(r"[a-z0-9-]+:[A-Z]\w+", action) for action in cause.evidence)
    assert set(cause.outranks) <= {each.id for each in CAUSES} - {cause.id}


def test_the_policy_that_is_printed_allows_every_call_and_nothing_that_changes_something() -> None:
    statements = reading_policy(read_value=True, preflight=True, may_be_keyturn=True)["Statement"]
    assert isinstance(statements, list)
    allowed = {action for statement in statements for action in statement["Action"]}
    asked: set[str] = set()
    for cause in CAUSES:
        world = broken(cause)
        diagnosed(world)
        asked |= set(world.asked)

    assert asked <= allowed
    assert {action.partition(":")[2][:3] for action in allowed} <= {
        "Des",
        "Get",
        "Lis",
        "Loo",
        "Fil",
        "Sim",
        "Dec",
        "Pre",
        "Pro",
    }
