"""A diagnosis for programs: ``keyturn.doctor/1``, JUnit XML, SARIF.

Sources: the JUnit schema that CI servers share (testmoapp/junitxml); OASIS SARIF 2.1.0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

import keyturn

from .catalogue import all_checks
from .model import LONGEST_EXCERPT, SCHEMA, Evidence, Finding, Fix, Outcome, Remedy, Report, Role, Status, shortened
from .remedies import words

_LEVELS = {
    Role.CAUSE: "error",
    Role.CONTRIBUTING: "warning",
    Role.CONSEQUENCE: "note",
    Role.RISK: "warning",
    Role.NOTE: "note",
}


def document(report: Report) -> dict[str, object]:
    """Return a diagnosis as ``keyturn.doctor/1``."""
    return {
        "schema": SCHEMA,
        "secret": {"arn": report.arn, "name": report.name},
        "target": {
            "endpoint": report.target.endpoint,
            "account": report.target.account,
            "region": report.target.region,
        },
        "verdict": report.verdict.value,
        "summary": report.summary,
        "findings": [_finding(finding) for finding in report.findings],
        "checks": [
            {"id": outcome.cause.id, "status": outcome.status.value, "reason": outcome.reason}
            for outcome in report.outcomes
        ],
        "blind": [
            {
                "action": spot.action,
                "resource": spot.resource,
                "error": spot.error,
                "hides": list(spot.hides),
                "grant": spot.grant,
            }
            for spot in report.blind
        ],
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "id": finding.id,
        "role": finding.role.value,
        "confidence": finding.confidence.value,
        "step": finding.step,
        "title": finding.title,
        "evidence": [_evidence(each) for each in finding.evidence],
        "remedy": _remedy(finding, finding.remedy),
    }


def _evidence(evidence: Evidence) -> dict[str, object]:
    return {**evidence.document(), "excerpt": excerpt(evidence.excerpt)}


def excerpt(found: object) -> object:
    """Return an excerpt that is not longer than excerpts are."""
    text = found if isinstance(found, str) else json.dumps(found, default=str)
    return found if len(text) <= LONGEST_EXCERPT else shortened(text, LONGEST_EXCERPT)


def _remedy(finding: Finding, remedy: Remedy) -> dict[str, object]:
    return {
        "text": remedy.text,
        "commands": [words(change) for change in remedy.changes],
        "by_hand": list(remedy.by_hand),
        "policy": remedy.policy,
        "fixable": finding.is_fixable,
        "needs": sorted({change.action for change in remedy.changes}),
        "widens_access": finding.cause.fix is Fix.WIDENS,
    }


def all_documents(reports: Sequence[Report]) -> dict[str, object]:
    """Return the diagnoses of many secrets as one document."""
    return {"schema": SCHEMA, "secrets": [document(report) for report in reports]}


def junit(reports: Sequence[Report]) -> str:
    """Return diagnoses as JUnit XML: a suite for each secret, a case for each check."""
    root = ET.Element("testsuites", name="keyturn doctor")
    for report in reports:
        outcomes = report.outcomes
        suite = ET.SubElement(
            root,
            "testsuite",
            name=_xml(report.name),
            tests=str(len(outcomes)),
            failures=str(sum(_has_failed(report, outcome) for outcome in outcomes)),
            errors=str(sum(outcome.status is Status.BLIND for outcome in outcomes)),
            skipped=str(sum(_is_skipped(outcome) for outcome in outcomes)),
        )
        for outcome in outcomes:
            _case(suite, report, outcome)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _case(suite: ET.Element, report: Report, outcome: Outcome) -> None:
    case = ET.SubElement(suite, "testcase", name=outcome.cause.id, classname=_xml(report.name))
    if _has_failed(report, outcome):
        for finding in _causes(report, outcome):
            failure = ET.SubElement(case, "failure", message=_xml(finding.title), type=finding.confidence.value)
            failure.text = _xml(finding.remedy.text)
    elif outcome.status is Status.BLIND:
        ET.SubElement(case, "error", message=_xml(outcome.reason), type="blind")
    elif _is_skipped(outcome):
        ET.SubElement(case, "skipped", message=_xml(outcome.reason))


def _xml(text: str) -> str:
    """Return a text without the characters that XML cannot hold, or that do something on a terminal."""
    return "".join(each if each.isprintable() or each in "\n\t" else "?" for each in text)


def _causes(report: Report, outcome: Outcome) -> list[Finding]:
    return [finding for finding in report.causes if finding.id == outcome.cause.id]


def _has_failed(report: Report, outcome: Outcome) -> bool:
    return bool(_causes(report, outcome))


def _is_skipped(outcome: Outcome) -> bool:
    return outcome.status in (Status.SKIPPED, Status.UNSUPPORTED)


def sarif(reports: Sequence[Report]) -> Mapping[str, object]:
    """Return diagnoses as SARIF: the catalogue as rules, the findings as results."""
    rules = [
        {
            "id": check.cause.id,
            "shortDescription": {"text": check.cause.title},
            "fullDescription": {"text": check.cause.decision},
            "help": {"text": check.cause.remedy},
        }
        for check in all_checks()
    ]
    driver = {"name": "keyturn doctor", "version": keyturn.__version__, "rules": rules}
    results = [_result(report, finding) for report in reports for finding in report.findings]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def _result(report: Report, finding: Finding) -> dict[str, object]:
    return {
        "ruleId": finding.id,
        "level": _LEVELS[finding.role],
        "message": {"text": f"{finding.title}. {finding.remedy.text}"},
        "locations": [
            {"logicalLocations": [{"fullyQualifiedName": report.arn, "name": report.name, "kind": "resource"}]}
        ],
        "properties": {"role": finding.role.value, "confidence": finding.confidence.value},
    }
