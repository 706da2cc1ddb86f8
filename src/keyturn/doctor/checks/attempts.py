"""What stands in the way of a rotation that the function could do: versions, limits, the hour."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, check
from keyturn.doctor.checks.schedule import has_stored
from keyturn.doctor.facts import Kind
from keyturn.doctor.lines import LineCause, enter, line_evidence
from keyturn.doctor.model import Cause, Confidence, Evidence, Finding, Fix, Remedy, Role, Section, Topic
from keyturn.doctor.remedies import begin_anew, go_on
from keyturn.doctor.trail import TrailEvent

_LOG = ("logs:FilterLogEvents",)


enter(
    LineCause(
        Cause(
            id="pending-identity-changed",
            section=Section.VERSIONS,
            topic=Topic.BEYOND,
            title="The pending version is for another user or host than the current one",
            symptoms=(
                "setSecret: Attempting to modify user %s other than current user %s",
                "setSecret: Attempting to modify user %s other than current user or clone %s",
                "setSecret: Attempting to modify user %s other than previous valid user %s",
                "setSecret: Attempting to modify user for host %s other than current host %s",
                "setSecret: Attempting to modify user for host %s other than previous host %s",
                "Username %s in current dict does not match username %s in pending dict",
            ),
            evidence=_LOG,
            decision="The newest failed invocation of this secret refuses a pending value of another user or host:"
            " the current value was edited while a rotation was pending, or the pending one was stored by hand.",
            remedy="Take AWSPENDING off and rotate: the next pending value is made from the current one.",
            fix=Fix.PRINTED,
            outranks=("pending-stuck",),
        ),
        re.compile(
            r"(?P<why>Attempting to modify user [^\n\r]{0,300}? other than [^\n\r]*"
            r"|Username \S+ in current dict does not match username \S+ in pending dict)"
        ),
        "the pending version of {secret} is not for the current user and host: {why}",
        "Take AWSPENDING off, then rotate: a new pending value is made from the current one.",
        changes=begin_anew,
    ),
    LineCause(
        Cause(
            id="secretsmanager-throttled",
            section=Section.VERSIONS,
            topic=Topic.BEYOND,
            title="Secrets Manager answered the function that it was asked too often",
            symptoms=("ThrottlingException: Rate exceeded", "(ThrottlingException) when calling the"),
            evidence=_LOG,
            decision="The newest failed invocation of this secret ends with a ThrottlingException of a call to Secrets"
            " Manager. Often many secrets are due in the same hour.",
            remedy="Spread the schedules, and let the function's client retry.",
        ),
        re.compile(r"\(ThrottlingException\) when calling the (?P<operation>\w+) operation|ThrottlingException: Rate"),
        "Secrets Manager throttled {function} when it was to rotate {secret}",
        "Give the secrets that are due at the same hour other windows, and let the function's client retry.",
        Confidence.LIKELY,
    ),
)


FOREIGN = Cause(
    id="pending-not-from-function",
    section=Section.VERSIONS,
    topic=Topic.BEYOND,
    title="The pending version was not stored by the rotation function, and is not used",
    symptoms=(
        (
            "Pending secret version %s for Secret %s was not created by Lambda %s. Remove the AWSPENDING staging label"
            " and restart rotation"
        ),
    ),
    evidence=("cloudtrail:LookupEvents", "secretsmanager:DescribeSecret"),
    decision="The newest RotationFailed says so, and AWSPENDING is still on that version: somebody stored a version"
    " with that label by hand, or the function did without ClientRequestToken.",
    remedy="Take AWSPENDING off that version, then rotate.",
    fix=Fix.PRINTED,
    outranks=("pending-stuck", "pending-empty"),
)
_FOREIGN = re.compile(
    r"Pending secret version (?P<version>\S+) for Secret \S+ (?:was not created by Lambda|has been current before)"
)


@check(FOREIGN)
def pending_not_from_function(case: Case) -> Iterator[Finding]:
    """Look whether the pending version was refused for where it comes from."""
    failures = case.failures
    match = _FOREIGN.search(failures[-1].error_message) if failures else None
    if match is None or match["version"] != case.pending_version:
        return
    last = failures[-1]
    label = {"VersionIdsToStages": {match["version"]: ["AWSPENDING"]}}
    yield Finding(
        FOREIGN,
        f"the pending version {match['version'][:8]}… of {case.name} was not stored by the function for this rotation",
        (
            last.evidence(last.error_message),
            Evidence("secretsmanager:DescribeSecret", case.name, label),
        ),
        Remedy("Take AWSPENDING off it, then rotate.", begin_anew(case)),
        step=last.step,
    )


ABANDONED = Cause(
    id="rotation-abandoned",
    section=Section.VERSIONS,
    topic=Topic.BEYOND,
    title="The rotation was abandoned, because another version was stored meanwhile",
    symptoms=("RotationAbandoned",),
    evidence=("cloudtrail:LookupEvents",),
    decision="The last event of the newest attempt is RotationAbandoned. The trail tells who stored a value before. The"
    " cause only where nothing else is one, and nothing has failed before that was mended by storing that value.",
    remedy="Rotate again, and stop whoever writes during rotations.",
    fix=Fix.PRINTED,
    outranks=("pending-stuck", "pending-empty"),
    yields=True,
)
_STORING = ("PutSecretValue", "UpdateSecret")


@check(ABANDONED)
def rotation_abandoned(case: Case) -> Iterator[Finding]:
    """Look whether the newest attempt was given up."""
    abandoned = [event for event in case.events("RotationAbandoned") if event.at >= case.opens_at]
    if not abandoned:
        return
    last = abandoned[-1]
    newer = [*case.failures, *case.events("RotationStarted"), *case.events("RotationSucceeded")]
    if any(event.at > last.at for event in newer):
        return
    evidence = [last.evidence()]
    writer = _writer_before(case, last)
    who = ""
    if writer is not None:
        who = f": {writer.caller.rpartition(':')[2]} had stored a version meanwhile"
        said = f"{writer.name} by {writer.caller}"
        evidence.append(writer.evidence(said))
    yield Finding(
        ABANDONED,
        f"the newest rotation of {case.name} was abandoned{who}",
        tuple(evidence),
        Remedy("Rotate again, and see to it that nobody else stores a version meanwhile.", (go_on(case),)),
    )


def _writer_before(case: Case, abandoned: TrailEvent) -> TrailEvent | None:
    stored = [event for name in _STORING for event in case.events(name)]
    before = [event for event in stored if event.at <= abandoned.at and has_stored(case, event)]
    others = [event for event in before if case.function_name not in event.caller]
    return max(others, key=lambda event: event.at, default=None)


VERSION_QUOTA = Cause(
    id="version-quota-exceeded",
    section=Section.VERSIONS,
    topic=Topic.BEYOND,
    title="Versions are stored so often that the secret's quota is used up",
    symptoms=("LimitExceededException",),
    evidence=("secretsmanager:ListSecretVersionIds",),
    decision="More than 100 versions were stored within the last 24 hours, and rotation has failed. AWS keeps at least"
    " 100 versions and removes none that is younger than a day.",
    remedy="Stop what stores a version more often than every ten minutes.",
)
_MOST_A_DAY = 100


@check(VERSION_QUOTA)
def version_quota_exceeded(case: Case) -> Iterator[Finding]:
    """Count the versions of the last day."""
    versions = case.versions.value.get("Versions", [])
    if len(versions) <= _MOST_A_DAY:
        return
    moments = [version["CreatedDate"] for version in versions if isinstance(version.get("CreatedDate"), datetime)]
    young = sum(case.now - moment < timedelta(days=1) for moment in moments)
    if young <= _MOST_A_DAY:
        return
    yield Finding(
        VERSION_QUOTA,
        f"{young} versions of {case.name} were stored within a day",
        (Evidence("secretsmanager:ListSecretVersionIds", case.name, {"versions": len(versions), "of a day": young}),),
        Remedy("Stop what stores them; the trail tells who it is.", by_hand=_WHO_STORES),
        role=Role.CAUSE if case.has_failed else Role.RISK,
        confidence=Confidence.LIKELY,
    )


_WHO_STORES = ("aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=PutSecretValue",)

CONSISTENCY = Cause(
    id="eventual-consistency",
    section=Section.VERSIONS,
    topic=Topic.BEYOND,
    title="A version was not to be seen everywhere at once, and a moment later it was",
    symptoms=("Secrets Manager can't find the specified secret value for VersionId: %s",),
    evidence=_LOG,
    decision="An invocation did not find the pending version, and within five minutes another one of this secret went"
    " well. It is never a cause.",
    remedy="Nothing is to be done. A function of one's own may ask again when a version is not found.",
)
_NO_VERSION = re.compile(r"can't find the specified secret value for (?:VersionId|staging label: AWSPENDING)")
_SOON = timedelta(minutes=5)


@check(CONSISTENCY)
def eventual_consistency(case: Case) -> Iterator[Finding]:
    """Look for an error that has gone by itself."""
    if case.log_events.kind is Kind.GONE:
        raise Skip("there is no log to read")
    for run in case.failed_runs:
        lines = [line for line in run.telling_lines if _NO_VERSION.search(line.text)]
        if not lines:
            continue
        well = [
            each
            for each in case.step_runs
            if each.went_well and run.ended_at <= each.started_at <= run.ended_at + _SOON
        ]
        if well:
            yield Finding(
                CONSISTENCY,
                "the pending version could not be seen for a moment, and then it could",
                (line_evidence(case, lines[-1]),),
                Remedy("It has passed by itself; a function of one's own may ask again when a version is not found."),
                role=Role.NOTE,
                is_history=True,
            )
            return
