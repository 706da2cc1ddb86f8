"""One section of a diagnosis: how it stands, what was found in it, and where nobody could look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from keyturn.doctor.model import Finding, Outcome, Report, Role, Section, Status
from keyturn.doctor.runner import ENDS

_REASONS_AT_MOST = 2
_DECIDED = (Status.PASS, Status.WARN, Status.FAIL)


class Standing(StrEnum):
    """How a section stands; the first that fits, in this order."""

    BROKEN = "broken"
    AT_RISK = "at risk"
    # No check that applies could, or was to, look.
    UNSEEN = "not looked at"
    # Those that looked found nothing; others did not look.
    PARTLY = "partly seen"
    # All that apply looked, and found nothing.
    WELL = "well"
    NOTHING = "does not apply"


@dataclass(frozen=True, slots=True)
class SeenSection:
    """What a diagnosis says of one section.

    Attributes:
        fact: How things stand, in a line; empty if nothing is known.
        is_affected: Whether it shows that rotation fails, of a cause elsewhere.
        is_unreached: Whether a rotation does not come so far, so that nobody can tell.
    """

    section: Section
    outcomes: Sequence[Outcome]
    findings: Sequence[Finding]
    fact: str
    is_affected: bool = False
    is_unreached: bool = False

    @property
    def unseen(self) -> Sequence[Outcome]:
        """The checks that could not look."""
        return [outcome for outcome in self.outcomes if outcome.status is Status.BLIND]

    @property
    def decided(self) -> Sequence[Outcome]:
        """The checks that have looked."""
        return [outcome for outcome in self.outcomes if outcome.status in _DECIDED]

    @property
    def left_out(self) -> Sequence[Outcome]:
        """The checks that apply and were not asked to look, or cannot ask what they need here."""
        return [each for each in self.outcomes if each.is_unasked or each.status is Status.UNSUPPORTED]

    @property
    def standing(self) -> Standing:
        """How it stands."""
        roles = {finding.role for finding in self.findings}
        if roles & {Role.CAUSE, Role.CONTRIBUTING}:
            return Standing.BROKEN
        if roles & {Role.CONSEQUENCE, Role.RISK} or self.is_affected:
            return Standing.AT_RISK
        if self.is_unreached:
            return Standing.UNSEEN
        if self.unseen or self.left_out:
            return Standing.PARTLY if self.decided else Standing.UNSEEN
        if not self.decided:
            return Standing.UNSEEN if self.is_ended else Standing.NOTHING
        return Standing.WELL

    @property
    def is_ended(self) -> bool:
        """Whether it was left, because of what ends the examination."""
        return any(outcome.reason.endswith(ENDS) for outcome in self.outcomes) and not self.decided

    @property
    def could_not(self) -> str:
        """Why it could not be looked at."""
        return f"could not look ({_reasons(self.unseen)})"

    @property
    def not_asked(self) -> str:
        """What was left out, and what has it looked at; empty if nothing was."""
        count = len(self.left_out)
        checks = "1 check was" if count == 1 else f"{count} checks were"
        return f"{checks} not made ({_reasons(self.left_out)})" if count else ""

    @property
    def inapplicable(self) -> str:
        """Why nothing of it applies; empty if something does."""
        return _reasons(self.outcomes) if self.standing is Standing.NOTHING else ""

    @property
    def told(self) -> str:
        """Its line."""
        if self.is_unreached and not self.fact:
            return "a rotation does not come so far"
        return self.fact or (self.could_not if self.unseen and not self.findings else "")


def _reasons(outcomes: Sequence[Outcome]) -> str:
    reasons = list(dict.fromkeys(outcome.reason for outcome in outcomes if outcome.reason))
    return "; ".join(reasons[:_REASONS_AT_MOST]) + (", …" if len(reasons) > _REASONS_AT_MOST else "")


def seen_section(report: Report, section: Section) -> SeenSection:
    """Return what a report says of one section."""
    outcomes = [outcome for outcome in report.outcomes if outcome.cause.section is section]
    findings = [finding for finding in report.findings if finding.cause.section is section]
    return SeenSection(
        section,
        outcomes,
        findings,
        report.facts.get(section, ""),
        is_affected=section in report.affected,
        is_unreached=section in report.unreached,
    )
