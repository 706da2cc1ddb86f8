"""Runs the checks over a case, tells causes from consequences, and reaches the verdict.

A check that may not look is blind, and one that breaks is blind as well: neither is taken for health.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta

from keyturn.errors.base import KeyturnError

from .case import Case
from .catalogue import Check, Skip, Unasked, Undecided, Untried, all_checks
from .changed_by import with_change
from .facts import Answer, Kind, Unseen
from .lines import deciding_run, explains_newest, is_mended
from .model import BlindSpot, Cause, Confidence, Finding, Outcome, Report, Role, Section, Status, Target, Verdict
from .newest import newest_look, overruled
from .remedies import next_attempt
from .sections import affected_sections, resource_of, section_facts, summary, unreached_sections

_ORDER = list(Role)
_LONGEST = 200
_A_MOMENT = timedelta(minutes=1)
# Where one of these is the cause there is no rotation to be examined.
ENDS_EXAMINATION = (
    "secret-marked-for-deletion",
    "secret-is-replica",
    "secret-managed-by-service",
    "external-rotation-role-denied",
    "rotation-not-configured",
    "rotation-cancelled",
)
ENDS = "ends the examination"
# These say why rotation could not be configured.
EXPLAINS_CONFIGURING = ("caller-not-allowed", "hosted-stack-failed")

# What any failure leaves behind: never the reason of one that is seen while something else is not.
_LEFT_BEHIND = ("pending-stuck", "pending-empty", "schedule-overdue")
_QUOTES_ANY_ERROR = "function-unhandled-error"


class NoSuchSecret(KeyturnError):
    """There is no secret of that name, here."""

    exit_status = 4


def examine(case: Case, target_endpoint: str | None = None) -> Report:
    """Return the diagnosis of a case.

    Raises:
        NoSuchSecret: There is no such secret.
    """
    if case.described.kind is Kind.GONE:
        raise no_such_secret(case)
    case.endpoint = target_endpoint
    outcomes = _without_needless_quote(case, _run(case)) if case.described.kind is Kind.OK else _all_blind(case)
    found = [_as_sure_as_told(case, finding) for outcome in outcomes for finding in outcome.findings]
    findings = _settled(
        found,
        is_dark=_is_dark(case, outcomes),
        is_mended=any(explains_newest(case, finding) for finding in found),
    )
    blind = _blind_spots(case, outcomes)
    verdict = _verdict(case, findings, outcomes)
    is_seen = case.described.kind is Kind.OK
    return Report(
        arn=case.arn if is_seen else case.secret_id,
        name=case.name if is_seen else case.secret_id,
        target=Target(target_endpoint, case.place.account_id if is_seen else "", case.place.region if is_seen else ""),
        verdict=verdict,
        summary=summary(case, verdict, findings, outcomes),
        findings=tuple(with_change(case, finding) for finding in findings),
        outcomes=tuple(outcomes),
        blind=blind,
        facts=section_facts(case) if is_seen else {},
        next_attempt=next_attempt(case) if is_seen else None,
        affected=affected_sections(case, verdict) if is_seen else frozenset(),
        unreached=unreached_sections(case, findings) if is_seen and case.function_arn else frozenset(),
    )


def _run(case: Case) -> list[Outcome]:
    outcomes = {check.cause.id: _outcome(check, case) for check in all_checks() if check.cause.id in ENDS_EXAMINATION}
    ended_by = next((cause_id for cause_id in ENDS_EXAMINATION if _is_cause(outcomes.get(cause_id))), None)
    for check in all_checks():
        if check.cause.id in outcomes:
            continue
        if ended_by is None and not case.function_arn:
            # A service or a partner rotates it, and well: there is nothing of it to be seen.
            outcomes[check.cause.id] = Outcome(check.cause, Status.SKIPPED, "there is no function")
        elif ended_by is None or check.cause.id in EXPLAINS_CONFIGURING:
            outcomes[check.cause.id] = _outcome(check, case)
        else:
            outcomes[check.cause.id] = Outcome(check.cause, Status.SKIPPED, f"{ended_by} {ENDS}")
    if ended_by is not None:
        for cause_id in ENDS_EXAMINATION:
            if cause_id != ended_by and cause_id in outcomes:
                cause = outcomes[cause_id].cause
                outcomes[cause_id] = Outcome(cause, Status.SKIPPED, f"{ended_by} {ENDS}")
    return [outcomes[check.cause.id] for check in all_checks()]


def _without_needless_quote(case: Case, outcomes: list[Outcome]) -> list[Outcome]:
    """Return outcomes; where another finding speaks of the failed invocation, it is not quoted as an unknown error."""
    quoted = next((outcome for outcome in outcomes if outcome.cause.id == _QUOTES_ANY_ERROR and outcome.findings), None)
    run = deciding_run(case) if quoted is not None else None
    if quoted is None or run is None:
        return outcomes
    others = [finding for outcome in outcomes if outcome is not quoted for finding in outcome.findings]
    lines = [each.at for finding in others for each in finding.evidence if each.source == "logs:FilterLogEvents"]
    if not any(at is not None and run.started_at <= at <= run.ended_at for at in lines):
        return outcomes
    passed = Outcome(quoted.cause, Status.PASS, "another check names the error")
    return [passed if outcome is quoted else outcome for outcome in outcomes]


def _is_cause(outcome: Outcome | None) -> bool:
    return outcome is not None and any(finding.role is Role.CAUSE for finding in outcome.findings)


def _outcome(check: Check, case: Case) -> Outcome:
    try:
        found = tuple(overruled(case, finding) for finding in check.examine(case))
    except Skip as skip:
        is_unasked = isinstance(skip, Untried) or (isinstance(skip, Unasked) and newest_look(case) is None)
        return Outcome(check.cause, Status.SKIPPED, str(skip), is_unasked=is_unasked)
    except Undecided as undecided:
        return Outcome(check.cause, Status.BLIND, str(undecided))
    except Unseen as unseen:
        return _unseen(check.cause, unseen.answer)
    except Exception as error:  # noqa: BLE001 - what one check did not foresee must not hide what the others find
        return Outcome(
            check.cause, Status.BLIND, f"the check itself failed: {type(error).__name__}: {error}"[:_LONGEST]
        )
    roles = {finding.role for finding in found}
    if roles & {Role.CAUSE, Role.CONTRIBUTING, Role.CONSEQUENCE}:
        return Outcome(check.cause, Status.FAIL, findings=found)
    return Outcome(check.cause, Status.WARN if Role.RISK in roles else Status.PASS, findings=found)


def _unseen(cause: Cause, answer: Answer) -> Outcome:
    said = f"{answer.question.action}: {answer.code}"
    if answer.kind is Kind.GONE:
        return Outcome(cause, Status.SKIPPED, f"{answer.question.action}: there is none")
    status = Status.UNSUPPORTED if answer.kind is Kind.UNSUPPORTED else Status.BLIND
    return Outcome(cause, status, said, unseen=answer)


def _all_blind(case: Case) -> list[Outcome]:
    return [_unseen(check.cause, case.described) for check in all_checks()]


def _is_dark(case: Case, outcomes: list[Outcome]) -> bool:
    """Whether that nothing else explains a failure is not known: it may be behind what may not be looked at."""
    if case.described.kind is not Kind.OK or not case.function_arn:
        return False
    if case.has_failed and any(outcome.status is Status.BLIND for outcome in outcomes):
        return True
    return case.log_events.kind is Kind.BLIND and case.trail("RotationFailed").kind is Kind.BLIND


def _as_sure_as_told(case: Case, finding: Finding) -> Finding:
    """Return a finding, no surer than the log's words where they alone tell the database's address.

    Whoever writes the function chooses them: nothing is opened by ``--fix`` on their account.
    """
    told = case.told_address if finding.cause.section is Section.NETWORK else None
    rests_on_it = told is not None and any(each.excerpt == told.line.text for each in finding.evidence)
    is_sure = finding.confidence is Confidence.CERTAIN
    return replace(finding, confidence=Confidence.LIKELY) if rests_on_it and is_sure else finding


def _settled(findings: list[Finding], *, is_dark: bool, is_mended: bool) -> list[Finding]:
    """Return findings with the parts that they play beside each other: causes first, the surest first."""
    causes = [finding for finding in findings if finding.role is Role.CAUSE]
    outranked = {general for finding in causes for general in finding.cause.outranks}
    standing = [finding for finding in causes if not finding.cause.yields and finding.id not in outranked]
    sure = any(finding.confidence is not Confidence.POSSIBLE for finding in standing)
    # What has been mended since has left behind what the next attempt will take up.
    is_explained = bool(standing) or is_mended
    settled = []
    for finding in findings:
        role = finding.role
        is_guess = sure and finding.confidence is Confidence.POSSIBLE
        is_outranked = finding.id in outranked
        is_left_behind = is_explained or (is_dark and finding.id in _LEFT_BEHIND)
        if role is Role.CAUSE and finding.cause.yields and (is_left_behind or is_outranked):
            role = Role.CONSEQUENCE
        elif role is Role.CAUSE and (is_outranked or is_guess):
            role = Role.CONTRIBUTING
        settled.append(finding.with_role(role))
    sureness = list(Confidence)
    return sorted(settled, key=lambda finding: (_ORDER.index(finding.role), sureness.index(finding.confidence)))


def _blind_spots(case: Case, outcomes: list[Outcome]) -> tuple[BlindSpot, ...]:
    unseen: dict[str, Answer] = {}
    hidden: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.status is Status.BLIND and outcome.unseen is not None:
            action = outcome.unseen.question.action
            unseen.setdefault(action, outcome.unseen)
            hidden.setdefault(action, []).append(outcome.cause.id)
    return tuple(
        BlindSpot(action, resource_of(answer.question, case), answer.code, tuple(hidden[action]))
        for action, answer in unseen.items()
    )


def _verdict(case: Case, findings: list[Finding], outcomes: list[Outcome]) -> Verdict:
    roles = {finding.role for finding in findings}
    statuses = {outcome.status for outcome in outcomes}
    if Role.CAUSE in roles:
        return Verdict.BROKEN
    if Status.BLIND in statuses or case.described.kind is not Kind.OK:
        return Verdict.INCONCLUSIVE
    if case.has_failed and not is_mended(case, findings):
        return Verdict.INCONCLUSIVE
    if case.put_off:
        return Verdict.INCONCLUSIVE
    look = newest_look(case)
    is_known = _has_rotated_as_it_is(case) or (look is not None and look.is_well)
    if Status.UNSUPPORTED in statuses and not is_known:
        return Verdict.INCONCLUSIVE
    return Verdict.AT_RISK if Role.RISK in roles else Verdict.HEALTHY


def _has_rotated_as_it_is(case: Case) -> bool:
    """Whether a good rotation is on record since the secret and its function were changed last."""
    rotated_at = case.last_rotated_at
    if rotated_at is None:
        return False
    changed_at, function_changed_at = case.secret.get("LastChangedDate"), case.function_changed_at
    if isinstance(changed_at, datetime) and changed_at > rotated_at + _A_MOMENT:
        return False
    # Some servers tell of rotations in whole seconds.
    return function_changed_at is None or function_changed_at.replace(microsecond=0) <= rotated_at


def no_such_secret(case: Case) -> NoSuchSecret:
    """Return the error that says so, with what often is behind it."""
    hints = [
        "aws secretsmanager list-secrets shows those there are: check --profile, --region and --endpoint-url, too."
    ]
    named = re.match(r"arn:[\w-]+:secretsmanager:(?P<region>[a-z0-9-]+):", case.secret_id)
    if named:
        hints = [f"This ARN is of the region {named['region']}: --region {named['region']} looks there."]
    elif re.search(r"-[A-Za-z0-9]{6}$", case.secret_id):
        hints.append(
            "A name that ends in a hyphen and six characters is read as the end of an ARN: give the whole ARN."
        )
    return NoSuchSecret(f"There is no secret {case.secret_id} here.", *hints)
