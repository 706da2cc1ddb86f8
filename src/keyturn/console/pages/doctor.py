"""The doctor: why does a secret not rotate, what exactly is to be changed, and what is wrong with all of them.

It runs here, and asks as whoever is signed in: what their policies hide from them is hidden from it, and it says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum

from keyturn.client.diagnosis import seen_section
from keyturn.client.planned import PlannedRotation
from keyturn.console.pages.doctor_findings import MAIN, sentence, shown_findings
from keyturn.console.replies import Html, Part, Redirect, Reply, address
from keyturn.console.rotation_act import BESIDE_A_VERDICT, Act, NextAct, next_act
from keyturn.console.routing import action, live, page
from keyturn.console.visit import Visit
from keyturn.doctor.asking import AskByBoto3
from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import cause_of
from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts, Kind
from keyturn.doctor.fixing import fixable, made, refuse_other_change
from keyturn.doctor.lines import is_mended
from keyturn.doctor.model import Finding, Fix, Report, Section, Status, Verdict
from keyturn.doctor.newest import has_tried
from keyturn.doctor.own_policy import reading_policy
from keyturn.doctor.runner import NoSuchSecret, examine
from keyturn.doctor.subject import Options
from keyturn.errors.base import KeyturnError

_AT_ONCE = 4
_ON_A_PAGE = 20
_VERDICTS = {Verdict.BROKEN: "bad", Verdict.INCONCLUSIVE: "warn", Verdict.AT_RISK: "warn", Verdict.HEALTHY: "good"}
# What tells of attempts, and of a value that is not read here.
_TOLD = frozenset({"logs:FilterLogEvents", "cloudtrail:LookupEvents", "secretsmanager:GetSecretValue"})


class Checked(StrEnum):
    """What is known of a finding that somebody has done something about."""

    GONE = "gone"
    STILL = "still"
    UNSEEN = "unseen"


@page("secret/doctor", needs="id", chosen_in="doctor")
def show(visit: Visit) -> Reply:
    """Look at one secret, and show what is wrong."""
    return _shown(visit, Options(is_on_page=True, may_be_keyturn=True))


@action("secret/doctor/preflight", shows=show)
def preflight(visit: Visit) -> Reply:
    """Look from inside the function's sandbox, too."""
    return _shown(visit, Options(is_on_page=True, may_be_keyturn=True, preflight=True))


@action("secret/doctor/fix", shows=show)
def fix(visit: Visit) -> Reply:
    """Apply the remedy of one finding, if it is still the one that was shown."""
    secret_id, cause_id = visit.asked("id"), visit.form.line("cause")
    _, report = _examined(visit, secret_id, Options(is_on_page=True, may_be_keyturn=True))
    finding = fixable(report, cause_id)
    refuse_other_change(report, cause_id, visit.form.line("fingerprint"))
    if finding.cause.fix is Fix.WIDENS and not visit.form.is_on("read"):
        raise KeyturnError("Nothing was changed.", "Say that you have read the change: it widens access.")
    done = [change.action for change in made(visit.clients, finding)]
    return Redirect(address("secret/doctor", id=secret_id, fixed=cause_id), f"Made: {', '.join(done)}.")


@page("doctor", title="Doctor", order=35, calls={"keyturn": ["list_planned_rotations"]})
def show_all(visit: Visit) -> Reply:
    """Show what is known of all secrets that rotate, those in trouble first."""
    query = {"NamePrefix": visit.asked("prefix")} if visit.asked("prefix") else {}
    more = {"NextToken": visit.asked("next")} if visit.asked("next") else {}
    is_all = visit.asked("show") == "all"
    trouble = {} if is_all else {"Troubled": True}
    listed = visit.look("keyturn", "list_planned_rotations", MaxResults=_ON_A_PAGE, **trouble, **query, **more)
    rotations = [PlannedRotation.of(entry) for entry in listed.get("PlannedRotations", [])]
    return Html(
        "doctor.html",
        {
            "listed": listed,
            "rotations": rotations,
            "prefix": visit.asked("prefix"),
            "is_all": is_all,
            "is_looking": visit.asked("look") == "1",
            "next": visit.asked("next"),
            "look_at": ",".join(rotation.arn for rotation in rotations),
        },
    )


@live("doctor/live")
def watch(visit: Visit) -> Iterator[Sequence[Part]]:
    """Look at the secrets of a page, some at a time, and show the verdicts as they come, the worst first."""
    secret_ids = [each for each in visit.asked("ids").split(",") if each][:_ON_A_PAGE]
    facts = Facts(AskByBoto3(visit.clients))
    reports: list[Report] = []
    for begin in range(0, len(secret_ids), _AT_ONCE):
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="secret") as pool:
            looked = pool.map(lambda each: _report(visit, facts, each), secret_ids[begin : begin + _AT_ONCE])
            reports += [report for report in looked if report is not None]
        order = list(Verdict)
        reports.sort(key=lambda report: (order.index(report.verdict), report.name))
        done = min(begin + _AT_ONCE, len(secret_ids))
        shown = {"reports": reports, "done": done, "count": len(secret_ids), "verdicts": _VERDICTS}
        yield [Part("doctor_verdicts.html", shown, target="verdicts")]


def _report(visit: Visit, facts: Facts, secret_id: str) -> Report | None:
    """Return what is found of one of many secrets; None if it is gone."""
    options = Options(is_on_page=True, may_be_keyturn=True, is_one_of_many=True)
    try:
        return examine(collect(facts, secret_id, visit.now, options), visit.clients.endpoint_url)
    except NoSuchSecret:
        return None


def _examined(visit: Visit, secret_id: str, options: Options) -> tuple[Case, Report]:
    case = collect(Facts(AskByBoto3(visit.clients)), secret_id, visit.now, options)
    return case, examine(case, visit.clients.endpoint_url)


def _shown(visit: Visit, options: Options) -> Html:
    secret_id = visit.asked("id")
    case, report = _examined(visit, secret_id, options)
    found = shown_findings(visit, case, report)
    main = [each for each in found if each.finding.role in MAIN]
    sections = [seen_section(report, section) for section in Section]
    # An address may say anything; what the page says is about causes that there are.
    fixed = visit.asked("fixed") if cause_of(visit.asked("fixed")) else ""
    act = _act(visit, case, report)
    checked = _checked(case, report, fixed) if fixed else None
    is_seen = case.described.kind is Kind.OK
    is_rotating = act is not None and act.act is not Act.SET_UP
    may_preflight = is_rotating and visit.clients.allow("keyturn", "preflight_rotation", SecretId=report.arn)
    is_look_first = may_preflight and checked is Checked.UNSEEN
    policy = reading_policy(case, may_be_keyturn=True, preflight=options.preflight)
    described = {"ARN": report.arn, "Name": report.name}
    return Html(
        "secret_doctor.html",
        {
            "section": "secrets",
            "described": described,
            "is_seen": is_seen,
            "report": report,
            "summary": sentence(report.summary, report.name),
            "verdict_kind": _VERDICTS[report.verdict],
            "main": main,
            "others": [each for each in found if each.finding.role not in MAIN],
            "act": act,
            "course": None,
            **BESIDE_A_VERDICT,
            "may_watch": act is not None
            and act.state in ("running", "pending")
            and visit.clients.allow("keyturn", "get_rotation", SecretId=report.arn),
            "is_first": not is_look_first
            and not any(each.has_button for each in main)
            and (bool(fixed) or _is_wanted(act, case, report)),
            "is_look_first": is_look_first,
            "sections": [each for each in sections if not each.is_ended],
            "ended_by": next((each.outcomes[0].reason for each in sections if each.is_ended), ""),
            "policy": json.dumps(policy, indent=2) if report.blind else "",
            "fixed": fixed,
            "checked": checked,
            "is_preflight": options.preflight and is_seen and not case.put_off,
            "may_preflight": may_preflight,
        },
    )


def _act(visit: Visit, case: Case, report: Report) -> NextAct | None:
    """Return how the rotation is got going; None if it may not be looked at."""
    if case.described.kind is not Kind.OK:
        return None
    waiting = case.waiting
    return next_act(
        visit,
        {**case.secret, "ARN": report.arn},
        "" if waiting is None else waiting.status,
        None if waiting is None else waiting.due_at,
    )


def _is_wanted(act: NextAct | None, case: Case, report: Report) -> bool:
    """Return whether it is the next thing to do: not of what is well and was not mended, or is to be mended first."""
    if act is None or act.act is Act.TAKE_OFF:
        return False
    if act.act in (Act.RETRY, Act.ROTATE) and report.causes:
        return False
    is_broken = report.verdict in (Verdict.BROKEN, Verdict.INCONCLUSIVE)
    return act.act is not Act.ROTATE or is_broken or is_mended(case, report.findings)


def _checked(case: Case, report: Report, cause_id: str) -> Checked:
    """Return what is known by now of a finding that somebody has done something about."""
    found = [finding for finding in report.findings if finding.id == cause_id]
    if any(finding.role in MAIN for finding in found):
        return Checked.STILL
    if any(finding.is_history and _is_told(finding) and not has_tried(case, finding.cause) for finding in found):
        return Checked.UNSEEN
    statuses = [outcome.status for outcome in report.outcomes if outcome.cause.id == cause_id]
    has_decided = any(status in (Status.PASS, Status.WARN, Status.FAIL) for status in statuses)
    return Checked.GONE if has_decided or not statuses else Checked.UNSEEN


def _is_told(finding: Finding) -> bool:
    """Return whether only the next attempt, or a look from inside, tells that it is mended: nothing else here does."""
    return bool(finding.cause.tried_by) or _TOLD.issuperset(finding.cause.evidence)
