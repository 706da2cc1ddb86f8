"""How things stand, in words: the answer in one sentence, a line for each section, and what a call was about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from keyturn.rules.distance import distance
from keyturn.rules.network.hops import Passage

from .case import Case
from .facts import DENIED, UNKNOWN_CALLERS, Answer, Kind, Question, Unseen
from .lines import explains_newest, is_mended
from .model import Finding, Outcome, Role, Section, Status, Verdict
from .network import Network
from .network_probe import is_isolated, nobody_at_database
from .newest import newest_look
from .waiting import Waiting

_NAMED_AT_MOST = 3


def summary(case: Case, verdict: Verdict, findings: Sequence[Finding], outcomes: Sequence[Outcome]) -> str:
    """Return the answer in one sentence, and in another one what could not be looked at just now."""
    said = _said(case, verdict, findings, outcomes)
    if case.described.kind is Kind.OK and case.put_off:
        return f"{said} From inside the function's sandbox it could not be looked at: {case.put_off}."
    return said


def _said(case: Case, verdict: Verdict, findings: Sequence[Finding], outcomes: Sequence[Outcome]) -> str:
    causes = [finding for finding in findings if finding.role is Role.CAUSE]
    if verdict is Verdict.BROKEN:
        return _broken(causes)
    if verdict is Verdict.INCONCLUSIVE:
        return _inconclusive(case, findings, outcomes)
    if verdict is Verdict.AT_RISK:
        risk = next(finding for finding in findings if finding.role is Role.RISK)
        return f"Nothing is broken, but: {risk.title}."
    if is_mended(case, findings):
        return f"What failed is mended, by a look from inside the sandbox: {_go_on(case)}."
    return f"Nothing is wrong: {_rotation(case)}."


def _go_on(case: Case) -> str:
    waiting = case.waiting
    if waiting is None or waiting.runs:
        return "rotate now, or let the schedule do it"
    due = "" if waiting.due_at is None or waiting.due_at <= case.now else f", {distance(waiting.due_at, case.now)}"
    return f"let the next attempt begin now, or wait for it{due}"


def _broken(causes: Sequence[Finding]) -> str:
    first = causes[0]
    begun = f"Rotation fails in {first.step}: " if first.step else ""
    further = len(causes) - 1
    more = "" if not further else f" ({further} more cause{'s' if further > 1 else ''} below)"
    return f"{begun}{first.title}{more}."


def _inconclusive(case: Case, findings: Sequence[Finding], outcomes: Sequence[Outcome]) -> str:
    hidden = list(dict.fromkeys(each.cause.section for each in outcomes if each.status is Status.BLIND))
    if case.described.kind is not Kind.OK:
        return _unseen_secret(case.described)
    if any(explains_newest(case, finding) for finding in findings):
        begun = "What failed has been changed since; the next rotation will show whether that was it"
    elif case.has_failed:
        step = f" in {case.failed_step}" if case.failed_step else ""
        begun = f"Rotation fails{step}, and nothing that may be seen explains it"
    else:
        begun = "Found nothing"
    if not hidden:
        if begun == "Found nothing" and not case.put_off:
            rotated = "since it was changed" if case.last_rotated_at else "yet"
            begun += f", but not everything can be asked here and the secret has not been rotated {rotated}"
        return f"{begun}."
    named = [f"the {section.value.lower()}" for section in hidden[:_NAMED_AT_MOST]]
    more = "" if len(hidden) <= _NAMED_AT_MOST else f" and {len(hidden) - _NAMED_AT_MOST} more"
    return f"{begun}, but could not look at {', '.join(named)}{more}."


def _unseen_secret(answer: Answer) -> str:
    if answer.code in UNKNOWN_CALLERS:
        return f"Nothing can be seen: the credentials are not known there, or have expired ({answer.code})."
    if answer.code in DENIED:
        return f"The secret itself may not be looked at ({answer.code})."
    return f"Nothing can be seen: {answer.message.rstrip('.') or answer.code} ({answer.code})."


def affected_sections(case: Case, verdict: Verdict) -> frozenset[Section]:
    """Return the sections that show that rotation fails, whatever the cause is."""
    if verdict not in (Verdict.BROKEN, Verdict.INCONCLUSIVE) or not case.has_failed:
        return frozenset()
    has_log = case.log_events.kind is Kind.OK and bool(case.failed_runs)
    return frozenset({Section.ROTATION, Section.LOG} if has_log else {Section.ROTATION})


# What has to hold before the value is read, and before the database is asked.
_BEFORE_VALUE = frozenset({Section.FUNCTION, Section.INVOKE, Section.ROLE, Section.KEY, Section.NETWORK})
_BEFORE_DATABASE = _BEFORE_VALUE | {Section.VALUE}


def unreached_sections(case: Case, findings: Sequence[Finding]) -> frozenset[Section]:
    """Return the sections that a rotation does not come to, and that nobody has looked at otherwise."""
    stopped = {finding.cause.section for finding in findings if finding.role is Role.CAUSE}
    look = newest_look(case)
    tried = frozenset() if look is None else look.tried
    found = set()
    if stopped & _BEFORE_VALUE and not case.options.read_value and "secret.value" not in tried:
        found.add(Section.VALUE)
    if stopped & _BEFORE_DATABASE and "login.current" not in tried:
        found.add(Section.DATABASE)
    return frozenset(found) - stopped


def section_facts(case: Case) -> Mapping[Section, str]:
    """Return a line for each section of which something is known."""
    lines: Mapping[Section, Callable[[Case], str]] = {
        Section.ROTATION: _rotation,
        Section.FUNCTION: _function,
        Section.ROLE: lambda case: case.role_name if case.function_arn else "",
        Section.SUPERUSER: lambda case: case.superuser_arn,
        Section.KEY: lambda case: case.key_id or "the account's own, nothing to check",
        Section.NETWORK: _network,
        Section.LOG: _log,
    }
    found = {}
    for section, line in lines.items():
        try:
            found[section] = line(case)
        except Unseen as unseen:
            found[section] = f"could not look ({unseen.answer.question.action}: {unseen.answer.code})"
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
            found[section] = f"could not look (a reply is not as it should be: {type(error).__name__})"
    return {section: line for section, line in found.items() if line}


def _rotation(case: Case) -> str:
    if not case.function_arn:
        return "not configured"
    rules = case.secret.get("RotationRules") or {}
    days, expression = rules.get("AutomaticallyAfterDays"), rules.get("ScheduleExpression")
    every = f"every {days} days" if days and not expression else str(expression or "no schedule")
    if not case.secret.get("RotationEnabled"):
        return f"{every}, switched off"
    last, following = case.last_rotated_at, case.next_rotation_at
    parts = [every, f"last {distance(last, case.now)}" if last else "never rotated yet"]
    if following:
        parts.append(
            f"next at the latest {distance(following, case.now)}"
            if following > case.now
            else f"due {distance(following, case.now)}"
        )
    if case.waiting is not None:
        parts.append(_waiting(case.waiting, case.now))
    return ", ".join(parts)


def _waiting(waiting: Waiting, now: datetime) -> str:
    # Behind a window's attempts the database is asked which password it has, until it answers.
    is_beyond = waiting.attempt > waiting.attempts
    attempt = f"attempt {waiting.attempt}{', of the database only,' if is_beyond else f' of {waiting.attempts}'}"
    if waiting.runs:
        return f"{attempt} runs"
    if waiting.status == "parked":
        return f"out of attempts, goes on {distance(waiting.due_at, now)}" if waiting.due_at else "out of attempts"
    return (
        f"{attempt} begins {distance(waiting.due_at, now)}"
        if waiting.due_at and waiting.due_at > now
        else f"{attempt} is due"
    )


def _function(case: Case) -> str:
    if not case.function_arn:
        return ""
    configuration = case.configuration.value
    said = [str(configuration[name]) for name in ("Runtime",) if configuration.get(name)]
    said.append(f"timeout {configuration.get('Timeout', '?')} s, {configuration.get('MemorySize', '?')} MB")
    return f"{case.function_name} ({', '.join(said)})"


_REACHED = {
    Passage.PASSES: "Secrets Manager is reached",
    Passage.BLOCKS: "Secrets Manager is not reached",
    Passage.UNKNOWN: "whether Secrets Manager is reached is not seen from here",
}


def _network(case: Case) -> str:
    if not case.function_arn:
        return ""
    network = case.network
    if not network.is_attached:
        return "the function is in no VPC, and isolated" if is_isolated(case) else "the function is in no VPC"
    network.look("subnets")
    vpc_id = network.vpc.vpc_id if network.vpc is not None else ""
    of_aws = f"{vpc_id}, {', '.join(network.subnet_ids)}: {_REACHED[network.to_secrets_manager]}"
    return f"{of_aws}; {_way_to_database(case, network)}"


_DATABASE_REACHED = {
    Passage.PASSES: "the database is reached",
    Passage.BLOCKS: "the database is not reached",
    Passage.UNKNOWN: "whether the database is reached is not seen from here",
}


def _way_to_database(case: Case, network: Network) -> str:
    if network.database is not None:
        is_nowhere = nobody_at_database(case) is not None
        return _DATABASE_REACHED[Passage.BLOCKS if is_nowhere else network.to_database]
    is_in_value = case.options.told("is in the value (--read-value or --db-host HOST:PORT)", "is in the value")
    where = "could not be read" if case.options.read_value else is_in_value
    return f"the way to the database was not looked at: its address {where}"


def _log(case: Case) -> str:
    if not case.function_arn:
        return ""
    failed = len(case.failed_runs)
    runs = len(case.runs)
    since = f"{case.log_group}: {runs} invocation{'' if runs == 1 else 's'} since the last good rotation"
    return f"{since}, {failed} failed" if failed else since


def resource_of(question: Question, case: Case) -> str:
    """Return the ARN of what a call was about, as a policy would name it; ``*`` where there is none."""
    if question.service in ("secretsmanager", "keyturn") and case.described.kind is Kind.OK:
        return case.superuser_arn if case.superuser_arn and case.superuser_arn in question.parameters else case.arn
    if question.service == "lambda" and question.operation != "GetAccountSettings":
        return ":".join(case.function_arn.split(":")[:7]) or "*"
    if question.service == "iam" and "Role" in question.operation:
        return case.role_arn or "*"
    return "*"
