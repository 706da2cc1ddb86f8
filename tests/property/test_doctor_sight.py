"""Whatever the doctor may not look at: it is never taken for health, and never for a cause."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.doctor.world import World, diagnosed
from tests.contract.test_every_check import BREAKERS

from keyturn.doctor.catalogue import all_checks
from keyturn.doctor.model import Role, Status, Verdict

CAUSES = {check.cause.id: check.cause for check in all_checks()}
ACTIONS = sorted({action for cause in CAUSES.values() for action in cause.evidence})
# Where a policy may not be seen, a message alone tells that it denies, and not how it came to it.
MORE_GENERAL = {
    "role-getrandompassword-scoped": "role-missing-secret-actions",
    "role-wrong-secret-arn": "role-missing-secret-actions",
    "role-rotation-lambda-condition": "role-missing-secret-actions",
    "kms-key-policy-denies": "kms-role-denied",
}
# It quotes the error that nothing which may be seen explains, as a possible cause.
FALLBACK = "function-unhandled-error"
denials = st.sets(st.sampled_from(ACTIONS), min_size=1)


@given(denials)
def test_a_healthy_secret_that_may_not_be_looked_at_is_never_called_broken(denied: set[str]) -> None:
    world = World()
    world.deny(*denied)
    report = diagnosed(world)

    assert report.causes == ()
    is_blind = any(outcome.status is Status.BLIND for outcome in report.outcomes)
    assert report.verdict is (Verdict.INCONCLUSIVE if is_blind else Verdict.HEALTHY)
    # What hides something is told, with what would let it be seen.
    hidden = {cause_id for spot in report.blind for cause_id in spot.hides}
    assert hidden == {outcome.cause.id for outcome in report.outcomes if outcome.status is Status.BLIND}
    assert {spot.action for spot in report.blind} <= denied


@given(st.sampled_from(sorted(BREAKERS)), denials)
def test_darkness_adds_no_cause_but_what_yields_to_what_is_hidden(cause_id: str, denied: set[str]) -> None:
    seen, dim = World(), World()
    for world in (seen, dim):
        BREAKERS[cause_id](world)
    dim.deny(*denied)

    known = {finding.id for finding in diagnosed(seen).findings if finding.role is not Role.NOTE}
    known |= {MORE_GENERAL[each] for each in known if each in MORE_GENERAL}
    report = diagnosed(dim)
    told = {finding.id for finding in report.causes}

    assert told <= known | {FALLBACK}, (told, known)
    if told < {finding.id for finding in diagnosed(seen).causes}:
        assert report.verdict is not Verdict.HEALTHY


@pytest.mark.parametrize("cause_id", sorted(BREAKERS))
def test_the_order_of_the_checks_does_not_matter(cause_id: str) -> None:
    world = World()
    BREAKERS[cause_id](world)

    first, again = diagnosed(world), diagnosed(world)

    assert first == again
