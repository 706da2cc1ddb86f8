"""Calls of the function that were refused, as its log and the audit trail tell of them.

AWS's message names the kind of policy that decided. A refused call belongs to this secret by the ARN that it names: the
secret's or its superuser secret's; a call without resource by its time.

Source of the texts: IAM User Guide, "Troubleshoot access denied error messages".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from .case import Case
from .facts import Kind
from .log import LogLine
from .model import Evidence
from .trail import TrailEvent, events_in

_NEAR = timedelta(minutes=5)
_DENIED = re.compile(
    r"is not authorized to perform: (?P<action>[a-z0-9-]+:\w+)(?: on (?:the )?resource: (?P<resource>\S+))?"
    r"(?P<why>[^\n]*)"
)
_LAYER = re.compile(
    r"because no (?P<lacking>[a-z -]{1,60}?|VPC endpoint policy) allows"
    r"|with an explicit deny in (?:an?|the) (?P<denying>identity-based policy|resource-based policy"
    r"|permissions boundary|session policy|service control policy|resource control policy|VPC endpoint policy)"
)
_WHEN_CALLING = re.compile(r"when calling the (\w+) operation")
NO_KEY = "Access to KMS is not allowed"
"""What Secrets Manager says of every refusal by KMS's policies."""


@dataclass(frozen=True, slots=True)
class Denial:
    """One refused call.

    Attributes:
        action: ``secretsmanager:PutSecretValue``.
        resource: As the message names it; empty if it names none.
        layer: The kind of policy, in AWS's words; empty if the message names none.
        is_explicit: Whether a Deny decided.
        at: When.
        evidence: The line or the event.
        text: The message.
    """

    action: str
    resource: str
    layer: str
    is_explicit: bool
    at: datetime
    evidence: Evidence
    text: str

    @property
    def is_of_key(self) -> bool:
        """Whether KMS refused it."""
        return NO_KEY in self.text or self.action.startswith("kms:")

    def is_of_superuser(self, case: Case) -> bool:
        """Whether it was the superuser secret that could not be read; a traceback tells if no ARN does."""
        if self.resource:
            return self.resource == case.superuser_arn
        return "superuser" in self.text or "masterarn" in self.text


def denials(case: Case) -> tuple[Denial, ...]:
    """Return this secret's refused calls in the window, oldest first, as far as log and trail may be seen."""
    found = [*_in_log(case), *_in_trail(case)]
    return tuple(sorted((each for each in found if _is_about(case, each)), key=lambda each: each.at))


def evidence_of(found: list[Denial]) -> tuple[Evidence, ...]:
    """Return what shows these: the newest line of the log and the newest event of the trail."""
    newest = {each.evidence.source: each.evidence for each in found}
    return tuple(newest.values())


def _in_log(case: Case) -> Iterator[Denial]:
    if case.log_events.kind not in (Kind.OK, Kind.GONE):
        return
    for run in case.runs:
        for line in run.lines:
            yield from _read(line.text, "", line.at, _of_line(case, line))


def _of_line(case: Case, line: LogLine) -> Evidence:
    return Evidence("logs:FilterLogEvents", case.log_group, line.text.partition("\nTraceback")[0], line.at)


def _in_trail(case: Case) -> Iterator[Denial]:
    for event in case.facts.once(events_in, case.calls_of_function):
        if event.is_denied and case.is_in_window(event):
            evidence = event.evidence(f"{event.error_code}: {event.error_message}")
            yield from _read(event.error_message, event.secret_id, event.at, evidence, event)


def _read(
    text: str, resource: str, at: datetime, evidence: Evidence, event: TrailEvent | None = None
) -> Iterator[Denial]:
    if NO_KEY in text:
        called = _WHEN_CALLING.search(text)
        operation = event.name if event else called[1] if called else ""
        yield Denial(f"secretsmanager:{operation}", resource, "", False, at, evidence, text)
        return
    for match in _DENIED.finditer(text):
        layer = _LAYER.search(match["why"])
        named = (match["resource"] or resource).rstrip(".,;")
        yield Denial(
            match["action"],
            named,
            (layer["lacking"] or layer["denying"]) if layer else "",
            bool(layer and layer["denying"]),
            at,
            evidence,
            match[0],
        )


def _is_about(case: Case, denial: Denial) -> bool:
    named = denial.resource
    if not named.startswith("arn:") and named not in (case.name, "*", ""):
        return False
    if ":secretsmanager:" in named:
        return named in (case.arn, case.arn.rpartition("-")[0], case.superuser_arn)
    # Out of the log only this secret's own runs are read.
    return denial.evidence.source == "logs:FilterLogEvents" or case.is_near_failure(denial.at) or named == case.name
