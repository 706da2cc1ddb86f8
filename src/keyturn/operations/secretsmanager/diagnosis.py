"""What the doctor finds of a secret before its rotation is due: its causes as items of the pre-flight.

It is the same examination as ``keyturn doctor SECRET``, asked from inside (``operations/inside.py``); the secret's
value is not read.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from keyturn.arn import Place
from keyturn.doctor.asking import AskByBoto3
from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts
from keyturn.doctor.model import Confidence, Finding, Section, Verdict
from keyturn.doctor.newest import is_in_order, tries_the_same
from keyturn.doctor.runner import examine
from keyturn.operations.inside import InsideClients
from keyturn.operations.kit import Kit
from keyturn.rules.preflight import Item, ItemStatus

_log = logging.getLogger(__name__)

_ITEM = "doctor"


def diagnosed(kit: Kit, secret_arn: str, looked: Sequence[Item]) -> list[Item]:
    """Return an item for each cause that is certain; or one that says that there is none, or that it cannot be told.

    Args:
        kit: Adapters.
        secret_arn: The secret.
        looked: What was tried from inside just now: an attempt before, of which the log tells, is overruled by it.
    """
    facts = Facts(AskByBoto3(InsideClients(kit, Place.of(secret_arn))))
    try:
        case = collect(facts, secret_arn, kit.clock.now())
        report = examine(case)
    except Exception:  # noqa: BLE001 - what the examination did not foresee must not hide what else was found
        _log.exception("the doctor could not examine %s", secret_arn)
        return [Item(_ITEM, ItemStatus.SKIPPED, "Unexpected", "The examination failed; the server's log says how.")]
    in_order = frozenset(item.item for item in looked if is_in_order(item.status, item.code))
    standing = [finding for finding in report.causes if not tries_the_same(case, finding.cause, in_order)]
    certain = [finding for finding in standing if _fails_the_next(finding)]
    if certain:
        return [Item(_ITEM, ItemStatus.FAILED, finding.id, f"{finding.title}.") for finding in certain]
    if report.causes and not standing:
        return [Item(_ITEM, ItemStatus.OK, Verdict.HEALTHY.value, "What failed before is in order now.")]
    if report.verdict in (Verdict.HEALTHY, Verdict.AT_RISK):
        return [Item(_ITEM, ItemStatus.OK, report.verdict.value, report.summary)]
    return [Item(_ITEM, ItemStatus.SKIPPED, report.verdict.value, report.summary)]


def _fails_the_next(finding: Finding) -> bool:
    """Whether a rotation would fail of it.

    What is a cause only where nothing else is one (a pending version that was left, a window that has passed) tells of
    rotations that were, and stands in the way of none; neither does a log that cannot be found.
    """
    is_sure = finding.confidence is Confidence.CERTAIN
    return is_sure and not finding.cause.yields and finding.cause.section is not Section.LOG
