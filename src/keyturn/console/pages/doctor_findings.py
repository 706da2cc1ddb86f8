"""A finding of the doctor's as its page shows it: with what mends it, who may do that, and where more of it is seen."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from keyturn.console.pages.secret import may
from keyturn.console.replies import address
from keyturn.console.visit import Visit
from keyturn.doctor.case import Case
from keyturn.doctor.facts import Kind, Unseen
from keyturn.doctor.fixing import fingerprint
from keyturn.doctor.formats import excerpt
from keyturn.doctor.model import Evidence, Finding, Fix, Report, Role, Section
from keyturn.doctor.remedies import command, line_with, stored_by
from keyturn.doctor.told_address import address_said

MAIN = (Role.CAUSE, Role.CONTRIBUTING)
# What an address that does not answer is the cause of.
_UNANSWERED = ("db-unreachable", "db-connection-refused", "preflight-database-unreachable")
# What is read in the function's own files.
_IN_CODE = frozenset(
    {
        "function-not-implemented",
        "function-unhandled-error",
        "lambda-handler-missing",
        "lambda-import-error",
        "lambda-syntax-error",
        "preflight-function-start",
    }
)
# What stands in the way to Secrets Manager is a better word for this.
_CALLS = "preflight-endpoint-unreachable"
# Keys of a value, as remedies speak of them.
_IS_WORD = re.compile(r"[a-z]+(?:'s)?[\s,:]")
_FIELDS = ("password", "host", "dbname", "engine", "username", "ssl")
_CONFIGURATION = "lambda:GetFunctionConfiguration"
# What Keyturn found last from inside the sandbox.
_FOUND_LAST = "keyturn:GetRotationPreflight"


@dataclass(frozen=True, slots=True)
class Found:
    """A finding as it is shown.

    Attributes:
        commands: The changes, as commands of the AWS CLI, then what is to be done by hand.
        fingerprint: Of the changes; empty if none is applied here.
        is_allowed: Whether whoever looks may make all of them.
        widens: Whether they widen access.
        edits: The secret whose value somebody has to change; empty if that does not help.
        field: The key of it that matters most.
        may_edit: Whether whoever looks may read and store it.
        places: Where what it is about is seen and changed: what it is called, and its address under ``/console/``.
        also: Other findings that tell of the same: from the log, where this one is from inside the sandbox.
    """

    finding: Finding
    title: str
    commands: Sequence[str]
    policy: str
    evidence: Sequence[tuple[Evidence, str]]
    fingerprint: str
    is_allowed: bool
    widens: bool
    edits: str
    field: str
    may_edit: bool
    places: Sequence[tuple[str, str]] = ()
    also: Sequence[Found] = ()

    @property
    def is_preflight_wanted(self) -> bool:
        """Whether a look from inside the sandbox says more of it."""
        return any(each.source == _FOUND_LAST for each in self.finding.evidence)

    @property
    def has_button(self) -> bool:
        """Whether it is mended by a button, or at least begun."""
        return bool(self.fingerprint and self.is_allowed) or bool(self.edits and self.may_edit)


def shown_findings(visit: Visit, case: Case, report: Report) -> list[Found]:
    """Return what was found, the first to be mended first.

    Args:
        visit: Who looks.
        case: What was looked at.
        report: What came of it.
    """
    return _merged([_found(visit, case, report, finding) for finding in report.findings])


def sentence(text: str, name: str) -> str:
    """Return a text that begins with a capital letter, unless it begins with a name."""
    return f"{text[:1].upper()}{text[1:]}" if _IS_WORD.match(text) and not text.startswith(name) else text


def _merged(found: Sequence[Found]) -> list[Found]:
    """Return findings; what another one tells better stands below that one, and not beside it."""
    below = {
        each.finding.id: [
            other for other in found if other.finding.id in each.finding.cause.outranks and other.finding.role in MAIN
        ]
        for each in found
        if each.finding.role is Role.CAUSE
    }
    told = {other.finding.id for others in below.values() for other in others}
    return [replace(each, also=below.get(each.finding.id, ())) for each in found if each.finding.id not in told]


def _found(visit: Visit, case: Case, report: Report, finding: Finding) -> Found:
    remedy, target = finding.remedy, visit.clients.target
    lines = [line_with(line, target) for line in remedy.by_hand]
    # Of a secret that is not known a line has a word to be filled in.
    stored = [arn for line in remedy.by_hand if (arn := stored_by(line) or "").startswith("arn:")]
    edits = stored[0] if stored and finding.role in MAIN and not finding.is_history else ""
    may_edit = bool(edits) and all(may(visit, edits, "get_secret_value", "put_secret_value").values())
    return Found(
        finding=finding,
        title=sentence(finding.title, report.name),
        commands=[*(command(change, target) for change in remedy.changes), *lines],
        policy="" if remedy.policy is None or remedy.changes else json.dumps(remedy.policy, indent=2),
        evidence=[(each, _text(each)) for each in finding.evidence],
        fingerprint=fingerprint(remedy.changes) if finding.is_fixable else "",
        is_allowed=finding.is_fixable and _is_allowed(visit, finding),
        widens=finding.cause.fix is Fix.WIDENS,
        edits=edits,
        field=next((key for key in _FIELDS if re.search(rf"\b{key}\b", remedy.text)), "password"),
        may_edit=may_edit,
        places=_places(case, finding),
    )


def _places(case: Case, finding: Finding) -> list[tuple[str, str]]:
    """Return where in the console more of what a finding is about is seen and changed."""
    section, found = finding.cause.section, list[tuple[str, str]]()
    if finding.role not in (*MAIN, Role.RISK) or case.described.kind is not Kind.OK or not case.function_arn:
        return found
    is_there = case.configuration.kind is not Kind.GONE
    is_about_function = section in (Section.FUNCTION, Section.INVOKE) or _CONFIGURATION in finding.cause.evidence
    if is_there and is_about_function:
        there = address("function", name=case.function_name, tab="configuration")
        found.append((f"Configuration of {case.function_name}", there))
    if is_there and finding.id in _IN_CODE:
        found.append((f"Code of {case.function_name}", address("function", name=case.function_name, tab="code")))
    if section is Section.ROLE and case.configuration.kind is Kind.OK:
        found.append((f"The role {case.role_name}", address("access/role", name=case.role_name)))
    if is_there and (section is Section.NETWORK or finding.id in _UNANSWERED):
        to = f"{case.network.called_host}:443" if _CALLS in finding.cause.outranks else _database_address(case, finding)
        found.append(("Trace what the function reaches", address("network/trace", function=case.function_name, to=to)))
    return found


def _database_address(case: Case, finding: Finding) -> str:
    """Return HOST:PORT of the database, as it is known or as a finding's evidence names it; empty if nothing does."""
    try:
        known = None if case.database is None else case.database.address
    except Unseen:
        known = None
    named = (address_said(str(each.excerpt)) for each in finding.evidence)
    found = known or next(filter(None, named), None)
    if found is None:
        return ""
    return f"[{found.host}]:{found.port}" if ":" in found.host else f"{found.host}:{found.port}"


def _is_allowed(visit: Visit, finding: Finding) -> bool:
    from botocore import xform_name  # noqa: PLC0415 - botocore takes a quarter of a second to import

    return all(
        visit.clients.allow(change.service, xform_name(change.operation), **change.parameters)
        for change in finding.remedy.changes
    )


def _text(evidence: Evidence) -> str:
    found = excerpt(evidence.excerpt)
    return found.strip() if isinstance(found, str) else json.dumps(found, indent=2, default=str)
