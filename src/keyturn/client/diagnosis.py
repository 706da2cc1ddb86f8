"""One section of a diagnosis: how it stands, what was found in it, and where nobody could look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from keyturn.doctor.model import Finding, Outcome, Report, Role, Section, Status

_REASONS_AT_MOST = 2


class Standing(StrEnum):
    """How a section stands; the first that fits, in this order."""

    BROKEN = "broken"
    UNSEEN = "not seen"
    AT_RISK = "at risk"
    WELL = "well"
    NOTHING = "nothing to see"


@dataclass(frozen=True, slots=True)
class SeenSection:
    """What a diagnosis says of one section.

    Attributes:
        fact: How things stand, in a line; empty if nothing is known.
    """

    section: Section
    outcomes: Sequence[Outcome]
    findings: Sequence[Finding]
    fact: str

    @property
    def unseen(self) -> Sequence[Outcome]:
        """The checks that could not look."""
        return [outcome for outcome in self.outcomes if outcome.status is Status.BLIND]

    @property
    def has_passed(self) -> bool:
        """Whether any check has decided."""
        return any(outcome.status in (Status.PASS, Status.WARN, Status.FAIL) for outcome in self.outcomes)

    @property
    def standing(self) -> Standing:
        """How it stands."""
        roles = {finding.role for finding in self.findings}
        if roles & {Role.CAUSE, Role.CONTRIBUTING}:
            return Standing.BROKEN
        if self.unseen:
            return Standing.UNSEEN
        if roles & {Role.CONSEQUENCE, Role.RISK}:
            return Standing.AT_RISK
        return Standing.WELL if self.has_passed else Standing.NOTHING

    @property
    def could_not(self) -> str:
        """Why it could not be looked at."""
        reasons = list(dict.fromkeys(outcome.reason for outcome in self.unseen))
        more = ", …" if len(reasons) > _REASONS_AT_MOST else ""
        return f"could not look ({'; '.join(reasons[:_REASONS_AT_MOST])}{more})"

    @property
    def told(self) -> str:
        """Its line."""
        return self.fact or (self.could_not if self.unseen and not self.findings else "")


def seen_section(report: Report, section: Section) -> SeenSection:
    """Return what a report says of one section."""
    outcomes = [outcome for outcome in report.outcomes if outcome.cause.section is section]
    findings = [finding for finding in report.findings if finding.cause.section is section]
    return SeenSection(section, outcomes, findings, report.facts.get(section, ""))
