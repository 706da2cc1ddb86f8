"""The words of a diagnosis: cause, finding, evidence, remedy, report.

The values of the closed sets are those of ``keyturn.doctor/1`` (docs/doctor.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from .facts import DENIED, Answer

Json = Mapping[str, object]

SCHEMA = "keyturn.doctor/1"
LONGEST_EXCERPT = 500
"""Characters of an excerpt at most."""


def shortened(text: str, longest: int) -> str:
    """Return a text of so many characters at most: without its middle, for what it is about often stands at its end."""
    if len(text) <= longest:
        return text
    end = longest // 3
    return f"{text[: longest - end - 1]}…{text[-end:]}"


def whole_lines(text: str, longest: int) -> str:
    """Return the beginning of a text, of so many characters at most: to the end of a line, if one ends there."""
    if len(text) <= longest:
        return text
    return text[:longest].rpartition("\n")[0] or text[:longest]


class Role(StrEnum):
    """What part a finding plays. Only a cause makes the verdict ``broken``."""

    CAUSE = "cause"
    CONTRIBUTING = "contributing"
    CONSEQUENCE = "consequence"
    RISK = "risk"
    NOTE = "note"


class Confidence(StrEnum):
    """How sure a finding is. Only what is certain is ever fixed by the program."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


class Status(StrEnum):
    """How a check came out."""

    PASS = "pass"  # noqa: S105 - the word of the format
    FAIL = "fail"
    WARN = "warn"
    BLIND = "blind"
    SKIPPED = "skipped"
    UNSUPPORTED = "unsupported"


class Verdict(StrEnum):
    """How a diagnosis came out; the first that fits, in this order."""

    BROKEN = "broken"
    INCONCLUSIVE = "inconclusive"
    AT_RISK = "at-risk"
    HEALTHY = "healthy"


class Fix(StrEnum):
    """Who may apply a remedy: see docs/doctor.md, "What --fix does"."""

    SAFE = "safe"
    """It is reversible and narrow: ``--fix ID`` applies it."""
    HARMLESS = "harmless"
    """It does no harm where something else is the cause: ``--fix ID`` applies it where the cause is likely, too."""
    WIDENS = "widens access"
    """It is safe, and whoever applies it is told so."""
    PRINTED = "printed"
    """It may lose data, cost money or concern others: it is printed, never applied."""
    BY_HAND = "by hand"
    """It is nothing that an AWS call does: a database, code, an organisation."""


class Section(StrEnum):
    """Where a person would look; the lines of the report, in order."""

    ROTATION = "Rotation"
    VERSIONS = "Versions"
    FUNCTION = "Function"
    INVOKE = "Permission to invoke"
    ROLE = "Role"
    SUPERUSER = "Superuser secret"
    KEY = "Encryption key"
    NETWORK = "Network"
    LOG = "Log"
    VALUE = "Secret value"
    DATABASE = "Database"
    CODE = "Function's code"


class Topic(StrEnum):
    """The chapters of AWS's guide to troubleshooting rotation."""

    LOGS = "I want to find the diagnostic logs for my Lambda rotation function"
    SCHEDULE = "I can't predict when rotation will start"
    CONFIGURING = 'I get "access denied" when trying to configure rotation for my secret'
    FIRST_ROTATION = "My first rotation fails after I enable rotation"
    NETWORK = "Secrets Manager says I successfully configured rotation, but the password isn't rotating"
    ACCESS_DENIED = "CloudTrail shows access-denied errors during rotation"
    BEYOND = "Beyond the guide"


@dataclass(frozen=True, slots=True)
class Cause:
    """An entry of the catalogue: one reason why a secret does not rotate, and a page of the documentation.

    Attributes:
        id: Never used again for anything else.
        section: Where it is reported.
        topic: The chapter of the guide that leads to it.
        title: The cause in one sentence, without a full stop.
        symptoms: What people see and search for, word for word; ``%s`` where the program fills something in.
        evidence: The calls that show it: ``lambda:GetPolicy``.
        decision: How the check decides, in a sentence or two.
        remedy: What is to be changed, in a sentence or two.
        fix: Who may apply it.
        outranks: More general causes that are no causes of their own where this one stands.
        yields: It is a cause only if nothing else is one; otherwise the consequence of what is.
        tried_by: Items of a look from inside the sandbox (docs/preflight.md) that try the same: later and in order they
            make it history.
    """

    id: str
    section: Section
    topic: Topic
    title: str
    symptoms: tuple[str, ...]
    evidence: tuple[str, ...]
    decision: str
    remedy: str
    fix: Fix = Fix.BY_HAND
    outranks: tuple[str, ...] = ()
    yields: bool = False
    tried_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen.

    Attributes:
        source: The call that showed it: ``iam:GetRolePolicy``.
        resource: Of what: ``role/rotator policy rotation``.
        excerpt: Text or JSON, never a secret value.
        at: When it happened, of events and lines.
    """

    source: str
    resource: str
    excerpt: object
    at: datetime | None = None

    def document(self) -> dict[str, object]:
        """Return it for programs."""
        at = {"at": f"{self.at:%Y-%m-%dT%H:%M:%SZ}"} if self.at else {}
        return {"source": self.source, "resource": self.resource, **at, "excerpt": self.excerpt}


@dataclass(frozen=True, slots=True)
class Change:
    """A call that changes something: what is printed as a command of the AWS CLI and what ``--fix`` makes are one.

    Attributes:
        service: botocore's name of it.
        operation: As in the API: ``AddPermission``.
        parameters: As in the API.
    """

    service: str
    operation: str
    parameters: Json

    @property
    def action(self) -> str:
        """What has to be allowed for it."""
        return f"{self.service}:{self.operation}"


@dataclass(frozen=True, slots=True)
class NextAttempt:
    """How a secret is rotated once all is mended.

    Attributes:
        text: What to do, without a full stop.
        command: That does it, without the target's options.
    """

    text: str
    command: str


@dataclass(frozen=True, slots=True)
class Remedy:
    """What is to be changed.

    Attributes:
        text: In a sentence or two, with the names of this case.
        changes: The calls that do it, in order; empty if no call does.
        policy: The statement or document that is missing, if one is.
        by_hand: Commands with something left to fill in, or of another program: printed, never run.
    """

    text: str
    changes: tuple[Change, ...] = ()
    policy: Json | None = None
    by_hand: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: made by it with the role and the confidence that it has by itself.

    Attributes:
        cause: The entry of the catalogue.
        title: The cause in this case's words, one sentence without a full stop.
        evidence: What shows it.
        remedy: The way out.
        role: Its part; the runner lowers that of a cause which another one explains.
        confidence: How sure it is.
        step: The step that it stops, if that is known.
        is_history: It is a note on what has stopped a rotation in the window and stands in its way no longer.
    """

    cause: Cause
    title: str
    evidence: tuple[Evidence, ...]
    remedy: Remedy
    role: Role = Role.CAUSE
    confidence: Confidence = Confidence.CERTAIN
    step: str | None = None
    is_history: bool = False

    @property
    def id(self) -> str:
        """Of its cause."""
        return self.cause.id

    @property
    def is_fixable(self) -> bool:
        """Whether ``--fix`` may apply the remedy."""
        is_harmless = self.cause.fix is Fix.HARMLESS
        is_ours = is_harmless or self.cause.fix in (Fix.SAFE, Fix.WIDENS)
        is_sure = self.confidence is Confidence.CERTAIN or (is_harmless and self.confidence is Confidence.LIKELY)
        return is_ours and is_sure and bool(self.remedy.changes)

    def with_role(self, role: Role) -> Finding:
        """Return the same in another part."""
        return replace(self, role=role)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one check came out.

    Attributes:
        cause: What it decides.
        status: How.
        reason: Why, if it did not decide.
        findings: What it found.
        unseen: The answer that it lacks, if it is blind or unsupported.
        is_unasked: Whether it applies, and would decide if it was asked to look further: the reason says how.
    """

    cause: Cause
    status: Status
    reason: str = ""
    findings: tuple[Finding, ...] = ()
    unseen: Answer | None = None
    is_unasked: bool = False


@dataclass(frozen=True, slots=True)
class BlindSpot:
    """A call that was not allowed.

    Attributes:
        action: As policies name it.
        resource: Its ARN, or ``*``.
        error: The code that was answered.
        hides: The ids of what could not be decided without it.
    """

    action: str
    resource: str
    error: str
    hides: tuple[str, ...] = ()

    @property
    def is_denied(self) -> bool:
        """Whether a policy is in the way, not a connection or a limit."""
        return self.error in DENIED

    @property
    def grant(self) -> dict[str, object]:
        """The statement that would allow it."""
        return {"Effect": "Allow", "Action": self.action, "Resource": self.resource}


@dataclass(frozen=True, slots=True)
class Target:
    """Where the secret is.

    Attributes:
        endpoint: Address of the server; None for AWS's own.
        account: Twelve digits.
        region: Its name.
    """

    endpoint: str | None
    account: str
    region: str


@dataclass(frozen=True, slots=True)
class Report:
    """A diagnosis.

    Attributes:
        arn: Of the secret.
        name: Of the secret.
        target: Where it is.
        verdict: How it came out.
        summary: The answer in one sentence.
        findings: Causes first.
        outcomes: Of all checks, in their order.
        blind: What was not allowed.
        facts: Lines that say how things stand, by section.
        next_attempt: How the secret is rotated once all is mended; None if it cannot be looked at, or is not rotated
            by a function.
        affected: Sections in which nothing is wrong by itself, and that show that rotation fails.
        unreached: Sections of which nobody can tell how they stand: what is broken stops a rotation before it gets
            there.
    """

    arn: str
    name: str
    target: Target
    verdict: Verdict
    summary: str
    findings: tuple[Finding, ...]
    outcomes: tuple[Outcome, ...]
    blind: tuple[BlindSpot, ...]
    facts: Mapping[Section, str] = field(default_factory=dict)
    next_attempt: NextAttempt | None = None
    affected: frozenset[Section] = frozenset()
    unreached: frozenset[Section] = frozenset()

    @property
    def causes(self) -> tuple[Finding, ...]:
        """The findings that explain it."""
        return tuple(finding for finding in self.findings if finding.role is Role.CAUSE)
