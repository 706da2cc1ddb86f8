"""Is there a rotation at all? Where one of these is the cause, nothing else is to be examined."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from shlex import quote

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import check
from keyturn.doctor.checks.schedule import window_length
from keyturn.doctor.facts import Kind
from keyturn.doctor.model import Cause, Change, Confidence, Evidence, Finding, Fix, Remedy, Role, Section, Topic
from keyturn.doctor.remedies import begin_anew, command, rotate

NOT_CONFIGURED = Cause(
    id="rotation-not-configured",
    section=Section.ROTATION,
    topic=Topic.SCHEDULE,
    title="Rotation has never been configured",
    symptoms=(
        "No Lambda rotation function ARN is associated with this secret.",
        (
            "You tried to enable rotation on a secret that doesn't already have a Lambda function ARN configured and"
            " you didn't include such an ARN as a parameter in this call."
        ),
    ),
    evidence=("secretsmanager:DescribeSecret",),
    decision="DescribeSecret shows no RotationLambdaARN, and no service and no partner rotates the secret.",
    remedy="Give the secret a rotation function and a schedule. keyturn function create --for SECRET does both.",
    fix=Fix.PRINTED,
)


@check(NOT_CONFIGURED)
def rotation_not_configured(case: Case) -> Iterator[Finding]:
    """Look for a rotation function."""
    secret = case.secret
    if case.function_arn or secret.get("OwningService") or secret.get("ExternalSecretRotationRoleArn"):
        return
    yield Finding(
        NOT_CONFIGURED,
        f"rotation has never been configured: {case.name} has no rotation function",
        (_described(case, RotationLambdaARN=None, RotationEnabled=secret.get("RotationEnabled")),),
        Remedy(
            "Give it a function and a schedule.",
            by_hand=(
                f"keyturn function create --for {quote(case.name)}",
                (
                    f"aws secretsmanager rotate-secret --secret-id {quote(case.arn)} --rotation-lambda-arn FUNCTION_ARN"
                    " --rotation-rules AutomaticallyAfterDays=30"
                ),
            ),
        ),
    )


CANCELLED = Cause(
    id="rotation-cancelled",
    section=Section.ROTATION,
    topic=Topic.SCHEDULE,
    title="Rotation was switched off",
    symptoms=("RotationEnabled: false", "CancelRotateSecret"),
    evidence=("secretsmanager:DescribeSecret", "cloudtrail:LookupEvents"),
    decision="There is a RotationLambdaARN, and RotationEnabled is false. The trail tells who called"
    " CancelRotateSecret.",
    remedy="RotateSecret turns the schedule on again and rotates at once (--no-rotate-immediately waits for the"
    " window). Where AWSPENDING was left on another version and setSecret may have run, find out first which password"
    " the database has (keyturn rotation resolve does): with the label the only copy of it could be lost. Otherwise"
    " take the label off first.",
    fix=Fix.PRINTED,
)


@check(CANCELLED)
def rotation_cancelled(case: Case) -> Iterator[Finding]:
    """Look whether rotation is on."""
    if not case.function_arn or case.secret.get("RotationEnabled") or case.secret.get("DeletedDate"):
        return
    evidence = [_described(case, RotationLambdaARN=case.function_arn, RotationEnabled=False)]
    cancelled = [event for event in case.events_if_seen("CancelRotateSecret") if not event.error_code]
    who = ""
    if cancelled:
        last = cancelled[-1]
        who = f" by {last.caller.rpartition(':')[2]}"
        evidence.append(last.evidence(last.by_whom))
    yield Finding(CANCELLED, f"rotation was switched off{who}", tuple(evidence), _turned_on(case))


def _turned_on(case: Case) -> Remedy:
    """Return how rotation is turned on again without losing a password that only AWSPENDING has."""
    if not pending_may_be_set(case):
        return Remedy("Turn it on again; that rotates the secret at once.", begin_anew(case))
    look = (f"keyturn rotation resolve {quote(case.name)}",) if case.endpoint else ()
    return Remedy(
        f"AWSPENDING has been left on version {str(case.pending_version)[:8]}…, and if setSecret has run, the database"
        " may have that password, which is stored nowhere else. Find out first which of the two values logs in; take"
        " the label off only if it is AWSCURRENT's. Then turn rotation on again.",
        by_hand=(*look, command(rotate(case))),
    )


def pending_may_be_set(case: Case) -> bool:
    """Whether the database may have the password of the pending version: unless setSecret cannot have run for it."""
    if case.pending_version is None:
        return False
    if case.versions.kind is Kind.OK and case.pending_is_empty:
        return False
    if case.log_events.kind not in (Kind.OK, Kind.GONE):
        return True
    failed = {event.step for event in case.failures_if_seen} | {run.step for run in case.failed_runs} - {None}
    others = [run for run in case.step_runs if not run.has_failed and run.step != "createSecret"]
    return bool(others) or failed != {"createSecret"}


DELETED = Cause(
    id="secret-marked-for-deletion",
    section=Section.ROTATION,
    topic=Topic.SCHEDULE,
    title="The secret is marked for deletion",
    symptoms=(
        "You can't perform this operation on the secret because it was marked for deletion.",
        "You tried to perform the operation on a secret that's currently marked deleted.",
    ),
    evidence=("secretsmanager:DescribeSecret", "cloudtrail:LookupEvents"),
    decision="DescribeSecret shows a DeletedDate. The trail tells who called DeleteSecret.",
    remedy="Restore the secret before its recovery window ends, then turn rotation on again if it is off.",
    fix=Fix.SAFE,
)


@check(DELETED)
def secret_marked_for_deletion(case: Case) -> Iterator[Finding]:
    """Look for the date of a deletion."""
    deleted_at = case.secret.get("DeletedDate")
    if deleted_at is None:
        return
    evidence = [_described(case, DeletedDate=f"{deleted_at:%Y-%m-%d %H:%M:%S} UTC")]
    deletions = [event for event in case.events_if_seen("DeleteSecret") if not event.error_code]
    if deletions:
        last = deletions[-1]
        evidence.append(last.evidence(last.by_whom))
    yield Finding(
        DELETED,
        f"{case.name} is marked for deletion since {deleted_at:%Y-%m-%d}: it can be neither read nor rotated",
        tuple(evidence),
        Remedy(
            "Restore it, then look again: rotation may be off as well.",
            (Change("secretsmanager", "RestoreSecret", {"SecretId": case.arn}),),
        ),
    )


MANAGED = Cause(
    id="secret-managed-by-service",
    section=Section.ROTATION,
    topic=Topic.BEYOND,
    title="An AWS service rotates this secret itself",
    symptoms=("This secret is managed by an AWS service, and you must use that service to update it.",),
    evidence=("secretsmanager:DescribeSecret",),
    decision="DescribeSecret shows an OwningService: there is no function to examine. Where its last rotation went well"
    " and the next is not overdue, this is a note.",
    remedy="Ask the owner: for RDS the instance's MasterUserSecret.SecretStatus, and modify-db-instance to rotate.",
)


@check(MANAGED)
def secret_managed_by_service(case: Case) -> Iterator[Finding]:
    """Look for a service that owns the secret."""
    owner = case.secret.get("OwningService")
    if not owner:
        return
    commands = {
        "rds": (
            (
                "aws rds modify-db-instance --db-instance-identifier INSTANCE --rotate-master-user-password"
                " --apply-immediately"
            ),
        )
    }
    yield Finding(
        MANAGED,
        f"{owner} owns {case.name} and rotates it itself: what is wrong is to be seen there",
        (_described(case, OwningService=owner),),
        Remedy("Rotate it through the service that owns it.", by_hand=commands.get(str(owner), ())),
        role=Role.NOTE if _rotates_well(case) else Role.CAUSE,
        confidence=Confidence.CERTAIN,
    )


def _rotates_well(case: Case) -> bool:
    """Whether it has been rotated, not failed since, and is not overdue."""
    following = case.next_rotation_at
    is_overdue = following is not None and case.now - following > window_length(case)
    return case.last_rotated_at is not None and not is_overdue and not case.has_failed


EXTERNAL = Cause(
    id="external-rotation-role-denied",
    section=Section.ROTATION,
    topic=Topic.BEYOND,
    title="A partner's rotation fails, and its role may be why",
    symptoms=("RotationFailed", "ExternalSecretRotationRoleArn"),
    evidence=("secretsmanager:DescribeSecret", "cloudtrail:LookupEvents"),
    decision="The secret is a managed external secret (it has a Type and ExternalSecretRotationRoleArn), and its"
    " rotation has failed since it last went well.",
    remedy="Give that role the permissions that the partner's page lists, and let secretsmanager.amazonaws.com"
    " assume it.",
)


@check(EXTERNAL)
def external_rotation_role_denied(case: Case) -> Iterator[Finding]:
    """Look for failures of a partner's rotation."""
    role_arn = case.secret.get("ExternalSecretRotationRoleArn")
    if not role_arn or case.function_arn or not case.failures:
        return
    last = case.failures[-1]
    yield Finding(
        EXTERNAL,
        f"the rotation of a partner's secret fails; its role {role_arn} may lack permissions or trust",
        (
            _described(case, ExternalSecretRotationRoleArn=role_arn),
            last.evidence(),
        ),
        Remedy("Compare the role's permissions and trust policy with the partner's page."),
        confidence=Confidence.POSSIBLE,
    )


REPLICA = Cause(
    id="secret-is-replica",
    section=Section.ROTATION,
    topic=Topic.BEYOND,
    title="This is a replica: it is rotated in its primary region",
    symptoms=("Operation not permitted on a replica secret. Call must be made in primary secret's region.",),
    evidence=("secretsmanager:DescribeSecret",),
    decision="DescribeSecret shows a PrimaryRegion other than the secret's own.",
    remedy="Run the doctor, and the rotation, in the primary region; or make the replica a secret of its own.",
    fix=Fix.PRINTED,
)


@check(REPLICA)
def secret_is_replica(case: Case) -> Iterator[Finding]:
    """Look for another primary region."""
    primary = case.secret.get("PrimaryRegion")
    if not primary or primary == case.place.region:
        return
    yield Finding(
        REPLICA,
        f"this is a replica: it is rotated in {primary}, not in {case.place.region}",
        (_described(case, PrimaryRegion=primary),),
        Remedy(
            "Look there, or make this a secret of its own (aws secretsmanager stop-replication-to-replica).",
            by_hand=(f"keyturn doctor {quote(case.name)} --region {quote(primary)}",),
        ),
    )


SCHEDULE_INVALID = Cause(
    id="schedule-expression-invalid",
    section=Section.ROTATION,
    topic=Topic.SCHEDULE,
    title="The schedule that somebody tried to set was refused",
    symptoms=(
        "InvalidParameterException: You cannot specify both rotation frequency and schedule expression together.",
        "InvalidParameterException",
    ),
    evidence=("cloudtrail:LookupEvents",),
    decision="The newest RotateSecret of this secret was refused with a message about its schedule. The minutes of"
    " cron() must be 0 and its year *, only one of its two fields of days may be set, nothing may be more often than"
    " every four hours, and a window must end before the next one begins.",
    remedy="Set a schedule by either AutomaticallyAfterDays or a ScheduleExpression (UTC). keyturn schedule preview"
    " shows what an expression means.",
    fix=Fix.PRINTED,
)
_OF_SCHEDULES = re.compile(r"(?i)schedule|rotation frequency|AutomaticallyAfterDays|duration|\brate\b|more often")


@check(SCHEDULE_INVALID)
def schedule_expression_invalid(case: Case) -> Iterator[Finding]:
    """Look whether the last call to set a schedule was refused."""
    calls = case.events("RotateSecret")
    if not calls:
        return
    last = calls[-1]
    is_of_schedule = _OF_SCHEDULES.search(last.error_message) is not None
    # A rotation that went well since goes by a schedule that was taken.
    is_past = last.at < case.opens_at.replace(microsecond=0)
    if last.is_denied or not last.error_code or not is_of_schedule or is_past:
        return
    rules = {"ScheduleExpression": "rate(10 days)", "Duration": "3h"}
    yield Finding(
        SCHEDULE_INVALID,
        f"the schedule that was to be set was refused: {last.error_message.rstrip('.')}",
        (last.evidence(f"{last.error_code}: {last.error_message}"),),
        Remedy(
            "Set a schedule that is taken, for instance this one (UTC).",
            by_hand=(
                "keyturn schedule preview 'rate(10 days)' --duration 3h",
                (
                    f"aws secretsmanager rotate-secret --secret-id {quote(case.arn)}"
                    f" --rotation-rules '{json.dumps(rules)}'"
                ),
            ),
        ),
    )


def _described(case: Case, **excerpt: object) -> Evidence:
    return Evidence("secretsmanager:DescribeSecret", case.name, excerpt)
