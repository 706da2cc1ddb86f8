"""Applies the remedy of a finding by boto3, whoever asks for it: a command or a page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from keyturn.errors.base import KeyturnError

from .asking import ClientsByName
from .model import Change, Confidence, Finding, Fix, Report


class NotFixable(KeyturnError):
    """The remedy that was asked for is none that a program applies here."""

    exit_status = 4


def fixable(report: Report, cause_id: str) -> Finding:
    """Return the finding whose remedy is to be applied.

    Raises:
        NotFixable: There is no such finding, or its remedy is not one that a program applies.
    """
    finding = next((each for each in report.findings if each.id == cause_id), None)
    if finding is None:
        named = ", ".join(each.id for each in report.causes) or "none"
        raise NotFixable(
            f"{cause_id} is not found here, so that there is nothing to fix.", f"The causes found: {named}."
        )
    if finding.is_fixable:
        return finding
    if finding.confidence is not Confidence.CERTAIN:
        raise NotFixable(
            f"{cause_id} is {finding.confidence.value}, and only what is certain is fixed by a program.",
            "What helps is printed above.",
        )
    reasons = {
        Fix.PRINTED: "may lose data, cost money or concern others",
        Fix.BY_HAND: "is nothing that a call to AWS does",
    }
    why = reasons.get(finding.cause.fix, "needs something filled in")
    raise NotFixable(f"The remedy of {cause_id} {why}: it is printed, and yours to apply.")


def fingerprint(changes: Sequence[Change]) -> str:
    """Return what tells changes from others: of what was shown, whoever kept it meanwhile."""
    told = json.dumps([asdict(change) for change in changes], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()


def refuse_other_change(report: Report, cause_id: str, shown: str) -> None:
    """Refuse what was shown if it is not what is needed by now.

    A document that is written anew would undo what somebody else has written meanwhile.

    Args:
        report: What is found now.
        cause_id: Whose remedy.
        shown: The :func:`fingerprint` of the changes that somebody has seen.

    Raises:
        KeyturnError: It is another one.
    """
    if not any(each.id == cause_id and fingerprint(each.remedy.changes) == shown for each in report.findings):
        raise KeyturnError("It is another change that is needed by now. Nothing was changed.", "Look again.")


def made(clients: ClientsByName, finding: Finding) -> Iterator[Change]:
    """Make the changes of a finding's remedy, and yield each when it is made."""
    from botocore import xform_name  # noqa: PLC0415 - it takes long, and `keyturn --help` need not

    for change in finding.remedy.changes:
        getattr(clients[change.service], xform_name(change.operation))(**change.parameters)
        yield change
