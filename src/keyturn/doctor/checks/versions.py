"""The secret's versions: what a rotation that did not end has left behind."""

from __future__ import annotations

import re
from collections.abc import Iterator

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, check
from keyturn.doctor.facts import Kind
from keyturn.doctor.lines import line_evidence, newest_said
from keyturn.doctor.model import Cause, Evidence, Finding, Fix, Remedy, Section, Topic
from keyturn.doctor.remedies import begin_anew, store_value, take_off_pending

PENDING_STUCK = Cause(
    id="pending-stuck",
    section=Section.VERSIONS,
    topic=Topic.BEYOND,
    title="AWSPENDING was left behind by a rotation that did not end",
    symptoms=(
        "InvalidRequestException: A previous rotation isn't complete. That rotation will be reattempted.",
        "A previous rotation isn't complete",
    ),
    evidence=("secretsmanager:DescribeSecret", "secretsmanager:ListSecretVersionIds"),
    decision="AWSPENDING is on a version that is not AWSCURRENT, and the attempt that put it there has failed, or began"
    " more than 15 minutes ago; until then it is taken to be under way. A consequence where something else explains the"
    " failure, the cause where nothing does.",
    remedy="Let the next attempt run once the cause is mended; it takes the version up again. Otherwise take the label"
    " off and rotate: but if setSecret has run, the database may have the pending password already.",
    fix=Fix.PRINTED,
    yields=True,
)


@check(PENDING_STUCK)
def pending_stuck(case: Case) -> Iterator[Finding]:
    """Look for a pending version that nobody works on."""
    if case.pending_version is None:
        return
    if case.is_in_progress:
        raise Skip("an attempt is under way")
    if case.pending_is_empty:
        return
    yield Finding(
        PENDING_STUCK,
        f"AWSPENDING has been left on version {case.pending_version[:8]}…",
        (_stages(case),),
        Remedy(
            "The next attempt takes it up again when what stops it is mended. To begin anew instead, take the label off"
            " and rotate; if setSecret has run, the database may have that password, so look first.",
            begin_anew(case),
        ),
    )


PENDING_EMPTY = Cause(
    id="pending-empty",
    section=Section.VERSIONS,
    topic=Topic.BEYOND,
    title="AWSPENDING is on a version that has no value",
    symptoms=("Secrets Manager can't find the specified secret value for staging label: AWSPENDING",),
    evidence=("secretsmanager:DescribeSecret", "secretsmanager:ListSecretVersionIds", "logs:FilterLogEvents"),
    decision="The pending version is not among the versions that have a value: createSecret has never stored one. The"
    " line in which a later step misses the value is shown, if there is one.",
    remedy="Take the label off and rotate again: there is nothing that could be lost.",
    fix=Fix.SAFE,
    outranks=("pending-stuck",),
    yields=True,
)

_NO_PENDING_VALUE = re.compile("can't find the specified secret value for staging label: AWSPENDING")


@check(PENDING_EMPTY)
def pending_empty(case: Case) -> Iterator[Finding]:
    """Look for a pending version without a value."""
    if case.pending_version is None:
        return
    if case.is_in_progress:
        raise Skip("an attempt is under way")
    if not case.pending_is_empty:
        return
    seen = [_stages(case), Evidence("secretsmanager:ListSecretVersionIds", case.name, "the version is not listed")]
    said = newest_said(case, _NO_PENDING_VALUE) if case.function_arn and case.log_events.kind is Kind.OK else None
    if said is not None and not said.history:
        seen.append(line_evidence(case, said.line))
    yield Finding(
        PENDING_EMPTY,
        f"AWSPENDING has been left on version {case.pending_version[:8]}…, which has no value",
        tuple(seen),
        Remedy("Take the label off, then rotate; nothing can be lost.", (take_off_pending(case),)),
    )


NO_CURRENT = Cause(
    id="no-current-version",
    section=Section.VERSIONS,
    topic=Topic.BEYOND,
    title="No version is current: rotation was switched on before a first value was stored",
    symptoms=(
        "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
        "Invalid type for parameter RemoveFromVersionId, value: None",
    ),
    evidence=("secretsmanager:DescribeSecret",),
    decision="No version carries AWSCURRENT.",
    remedy="Store a first value, then rotate.",
    fix=Fix.PRINTED,
    outranks=("pending-stuck", "pending-empty"),
)


@check(NO_CURRENT)
def no_current_version(case: Case) -> Iterator[Finding]:
    """Look for AWSCURRENT."""
    if "AWSCURRENT" in case.labels:
        return
    yield Finding(
        NO_CURRENT,
        f"{case.name} has no current version: no first value was ever stored",
        (_stages(case),),
        Remedy(
            "Store the value that the database has now, then rotate.",
            by_hand=store_value(case.arn),
        ),
        step="createSecret",
    )


def _stages(case: Case) -> Evidence:
    stages = {version_id: labels for version_id, labels in case.secret.get("VersionIdsToStages", {}).items() if labels}
    began_at = case.attempt_began_at
    return Evidence("secretsmanager:DescribeSecret", case.name, {"VersionIdsToStages": stages}, began_at)
