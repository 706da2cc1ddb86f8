"""Where the function's log is, and why it may say nothing: AWS's guide begins there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, check
from keyturn.doctor.facts import Kind
from keyturn.doctor.model import Cause, Change, Confidence, Evidence, Finding, Fix, Remedy, Role, Section, Topic
from keyturn.doctor.remedies import configure, go_on

GROUP_MISSING = Cause(
    id="logs-group-missing",
    section=Section.LOG,
    topic=Topic.LOGS,
    title="The function's log group is not there",
    symptoms=("ResourceNotFoundException: The specified log group does not exist.",),
    evidence=("logs:FilterLogEvents", "cloudwatch:GetMetricStatistics", "cloudtrail:LookupEvents"),
    decision="Rotation has failed, and FilterLogEvents answers that the group does not exist. The metric AWS/Lambda"
    " Invocations tells which: 0, the function was never invoked; more, the log could not be written or was deleted.",
    remedy="It stops no rotation, but hides why one fails. If the function was never invoked, look at the permission to"
    " invoke it; otherwise at what its role may write.",
)


@check(GROUP_MISSING)
def logs_group_missing(case: Case) -> Iterator[Finding]:
    """Look for the group, if there should be something in it."""
    if not case.function_arn:
        raise Skip("there is no function")
    if case.log_events.kind is not Kind.GONE:
        _ = case.log_events.value
        return
    if not case.failures:
        return
    failure = case.failures[-1]
    evidence = [
        Evidence("logs:FilterLogEvents", case.log_group, case.log_events.message or case.log_events.code),
        failure.evidence(),
    ]
    metric = case.metric("Invocations")
    why, what = "it was never invoked, or its log was deleted", "Look at the permissions to invoke it and to write"
    if metric.kind is Kind.OK:
        count = int(sum(point.get("Sum", 0) for point in metric.found.get("Datapoints", [])))
        evidence.append(Evidence("cloudwatch:GetMetricStatistics", case.function_name, {"Invocations": count}))
        if count:
            why, what = f"it was invoked {count} times and wrote nothing", "Let its role write, and rotate once more"
        else:
            why, what = "it was not invoked at all", "Look at the permission to invoke it"
    yield Finding(
        GROUP_MISSING,
        f"the log group {case.log_group} of {case.function_name} is not there: {why}",
        tuple(evidence),
        Remedy(f"{what}."),
        role=Role.NOTE,
        confidence=Confidence.LIKELY,
    )


REDIRECTED = Cause(
    id="logs-redirected",
    section=Section.LOG,
    topic=Topic.LOGS,
    title="The function's log is elsewhere, or leaves errors out",
    symptoms=("LoggingConfig", "ApplicationLogLevel", "The default log group is empty"),
    evidence=("lambda:GetFunctionConfiguration",),
    decision="LoggingConfig names another group than /aws/lambda/FUNCTION while rotation fails: a note. A level above"
    " ERROR is a risk: the lines that would tell are never written.",
    remedy="Read the group that is named. Set the log format to text, or the levels to INFO, to have the errors.",
    fix=Fix.PRINTED,
)


@check(REDIRECTED)
def logs_redirected(case: Case) -> Iterator[Finding]:
    """Look at where and what the function logs."""
    if not case.function_arn:
        raise Skip("there is no function")
    logging: Mapping[str, Any] = case.configuration.value.get("LoggingConfig") or {}
    is_silent = logging.get("LogFormat") == "JSON" and logging.get("ApplicationLogLevel") == "FATAL"
    is_elsewhere = case.log_group != f"/aws/lambda/{case.function_name}"
    if not is_silent and not (is_elsewhere and case.has_failed):
        return
    if is_silent:
        title = f"the function {case.function_name} writes no errors to its log: its level is FATAL"
        remedy = Remedy("Write all levels, as text.", (configure(case, LoggingConfig={"LogFormat": "Text"}),))
    else:
        title = f"the log of {case.function_name} is in {case.log_group}, not in the usual group"
        remedy = Remedy("It has been read there.")
    yield Finding(
        REDIRECTED,
        title,
        (Evidence("lambda:GetFunctionConfiguration", case.function_name, {"LoggingConfig": dict(logging)}),),
        remedy,
        role=Role.RISK if is_silent else Role.NOTE,
    )


EXPIRED = Cause(
    id="logs-expired",
    section=Section.LOG,
    topic=Topic.LOGS,
    title="The log of the failed rotation has expired",
    symptoms=("retentionInDays",),
    evidence=("logs:DescribeLogGroups", "cloudtrail:LookupEvents"),
    decision="The newest RotationFailed is older than the log group's retention, so its lines are gone.",
    remedy="Keep the log for longer, then rotate once more to have a fresh one.",
    fix=Fix.PRINTED,
)
_DAYS_TO_KEEP = 90


@check(EXPIRED)
def logs_expired(case: Case) -> Iterator[Finding]:
    """Compare the retention with the age of the failure."""
    if not case.function_arn:
        raise Skip("there is no function")
    groups = case.log_groups.value.get("logGroups", [])
    failures = case.failures
    kept = [group.get("retentionInDays") for group in groups if group.get("logGroupName") == case.log_group]
    days = kept[0] if kept else None
    if not days or not failures or case.now - failures[-1].at <= timedelta(days=days):
        return
    last = failures[-1]
    keep = {"logGroupName": case.log_group, "retentionInDays": _DAYS_TO_KEEP}
    yield Finding(
        EXPIRED,
        f"the log of the rotation that failed at {last.at:%Y-%m-%d %H:%M:%S} UTC is gone: it is kept for {days} days",
        (
            Evidence("logs:DescribeLogGroups", case.log_group, {"retentionInDays": days}),
            last.evidence(),
        ),
        Remedy("Keep it for longer, and rotate once more.", (Change("logs", "PutRetentionPolicy", keep), go_on(case))),
        role=Role.NOTE,
    )
