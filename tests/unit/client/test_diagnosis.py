"""How a section of a diagnosis stands: what was not looked at is not called well."""

from __future__ import annotations

from datetime import datetime

import pytest
from tests.contract.doctor.key import kms_key_disabled
from tests.contract.doctor.world import World, ago, diagnosed

from keyturn.client.diagnosis import SeenSection, Standing, seen_section
from keyturn.doctor.catalogue import all_checks
from keyturn.doctor.model import Cause, Finding, Outcome, Remedy, Role, Section, Status
from keyturn.doctor.runner import ENDS

CAUSE: Cause = next(check.cause for check in all_checks() if check.cause.section is Section.DATABASE)
PASSED = Outcome(CAUSE, Status.PASS)
BLIND = Outcome(CAUSE, Status.BLIND, "iam:GetRole: AccessDenied")
UNASKED = Outcome(CAUSE, Status.SKIPPED, "--preflight decides this", is_unasked=True)
UNSUPPORTED = Outcome(CAUSE, Status.UNSUPPORTED, "ec2:DescribeSubnets: UnknownOperation")
INAPPLICABLE = Outcome(CAUSE, Status.SKIPPED, "the function is in no VPC")
ENDED = Outcome(CAUSE, Status.SKIPPED, f"rotation-cancelled {ENDS}")


def section(outcomes: list[Outcome], role: Role | None = None) -> SeenSection:
    findings = [] if role is None else [Finding(CAUSE, "it is so", (), Remedy("Do."), role)]
    return SeenSection(Section.DATABASE, outcomes, findings, "")


@pytest.mark.parametrize(
    ("outcomes", "standing"),
    [
        ([PASSED], Standing.WELL),
        ([PASSED, INAPPLICABLE], Standing.WELL),
        ([INAPPLICABLE], Standing.NOTHING),
        ([], Standing.NOTHING),
        ([PASSED, BLIND], Standing.PARTLY),
        ([PASSED, UNASKED], Standing.PARTLY),
        ([PASSED, UNSUPPORTED], Standing.PARTLY),
        ([BLIND], Standing.UNSEEN),
        ([UNASKED, INAPPLICABLE], Standing.UNSEEN),
        ([ENDED], Standing.UNSEEN),
    ],
)
def test_a_section_is_well_only_if_all_that_applies_has_looked(outcomes: list[Outcome], standing: Standing) -> None:
    assert section(outcomes).standing is standing
    # What is found comes first.
    for role in (Role.CAUSE, Role.CONTRIBUTING):
        assert section(outcomes, role).standing is Standing.BROKEN
    for role in (Role.CONSEQUENCE, Role.RISK):
        assert section(outcomes, role).standing is Standing.AT_RISK
    assert section(outcomes, Role.NOTE).standing is standing


def test_it_says_why_something_was_not_looked_at() -> None:
    seen = section([PASSED, UNASKED, UNASKED, UNSUPPORTED, BLIND])
    assert seen.not_asked == (
        "3 checks were not made (--preflight decides this; ec2:DescribeSubnets: UnknownOperation)"
    )
    assert seen.could_not == "could not look (iam:GetRole: AccessDenied)"
    assert section([PASSED, UNASKED]).not_asked == "1 check was not made (--preflight decides this)"
    assert section([PASSED]).not_asked == ""
    assert section([INAPPLICABLE]).inapplicable == "the function is in no VPC"
    assert section([ENDED]).is_ended


@pytest.mark.parametrize(
    ("verdict", "causes", "checked_at", "standing"),
    [
        ("ready", (), ago(hours=3), Standing.WELL),
        ("ready", ("drift:PendingIsInDatabase",), ago(hours=3), Standing.BROKEN),
        ("will fail", ("login.superuser:AuthenticationFailed",), ago(hours=3), Standing.WELL),
        ("unknown", (), ago(hours=3), Standing.PARTLY),
        ("ready", (), ago(hours=25), Standing.PARTLY),
        (None, (), ago(hours=3), Standing.PARTLY),
    ],
)
def test_the_database_is_seen_if_it_was_looked_at_from_inside_not_long_ago(
    verdict: str | None, causes: tuple[str, ...], checked_at: datetime, standing: Standing
) -> None:
    world = World()
    world.with_last_look(*causes, verdict=verdict or "ready", at=checked_at)
    if verdict is None:
        world.lose("keyturn:GetRotationPreflight")

    assert seen_section(diagnosed(world), Section.DATABASE).standing is standing


def test_what_a_rotation_does_not_come_to_is_not_called_well() -> None:
    world = World()
    kms_key_disabled(world)
    world.fail()
    world.run("[ERROR] DecryptionFailure: not now\nTraceback (most recent call last):")
    standings = {each: seen_section(diagnosed(world), each) for each in Section}

    assert standings[Section.KEY].standing is Standing.BROKEN
    for name in (Section.VALUE, Section.DATABASE):
        assert (standings[name].standing, standings[name].told) == (Standing.UNSEEN, "a rotation does not come so far")
    # Nothing is wrong there, and they show it.
    assert standings[Section.ROTATION].standing is Standing.AT_RISK
    assert standings[Section.LOG].standing is Standing.AT_RISK
    assert standings[Section.CODE].standing is Standing.WELL


def test_what_was_looked_at_from_inside_is_told_whatever_stops_a_rotation() -> None:
    world = World()
    world.with_last_look(verdict="ready", accepted=("secret.value", "login.current"))
    world.function_policy = None

    for name in (Section.VALUE, Section.DATABASE):
        assert seen_section(diagnosed(world), name).standing is Standing.WELL


def test_nobody_looks_from_inside_but_keyturn() -> None:
    seen = seen_section(diagnosed(World()), Section.DATABASE)
    assert (seen.standing, seen.not_asked) == (Standing.WELL, "")
