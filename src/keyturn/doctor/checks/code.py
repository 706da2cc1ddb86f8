"""The rotation function's own code: what it does with the token, and the errors that nothing else explains."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, check
from keyturn.doctor.facts import Kind, Unseen
from keyturn.doctor.lines import (
    LineCause,
    deciding_run,
    enter,
    finding_of,
    line_evidence,
    newest_said,
    short,
)
from keyturn.doctor.log import LogRun
from keyturn.doctor.model import Cause, Change, Confidence, Evidence, Finding, Fix, Remedy, Role, Section, Topic
from keyturn.doctor.network_changes import UNANSWERED, unanswered
from keyturn.doctor.remedies import begin_anew, go_on

_LOG = ("logs:FilterLogEvents",)


enter(
    LineCause(
        Cause(
            id="function-not-implemented",
            section=Section.CODE,
            topic=Topic.BEYOND,
            title="The template's empty steps were never written",
            symptoms=("NotImplementedError", "raise NotImplementedError"),
            evidence=_LOG,
            decision="The newest failed invocation of this secret ends with NotImplementedError: AWS's generic template"
            " raises it in set_secret and test_secret.",
            remedy="Write the two steps, or end them with pass if the value lives in the secret only; in a project of"
            " keyturn function new these are set_value and accepts in target.py. keyturn function create makes"
            " functions for databases and HTTP keys.",
        ),
        re.compile(r"\bNotImplementedError\b"),
        "the function {function} has steps that were never written: it raises NotImplementedError",
        "Write what the traceback names: set_secret and test_secret (for a value that lives in the secret only, pass is"
        " enough), or set_value and accepts in target.py of a project of keyturn function new.",
    ),
    LineCause(
        Cause(
            id="function-token-mishandled",
            section=Section.CODE,
            topic=Topic.BEYOND,
            title="The version that the token names is not the pending one",
            symptoms=(
                "Secret version %s not set as AWSPENDING for rotation of secret %s.",
                "Secret version %s has no stage for rotation of secret %s.",
                "Secret version %s has no value labelled AWSPENDING for rotation of secret %s.",
            ),
            evidence=_LOG,
            decision="The newest failed invocation of this secret says so: the function stored the value without"
            " ClientRequestToken, moved labels itself, or was invoked by hand with an old event.",
            remedy="Pass event['ClientRequestToken'] to put_secret_value; take AWSPENDING off and rotate.",
            fix=Fix.PRINTED,
            outranks=("pending-stuck", "pending-empty", "rotation-abandoned"),
        ),
        re.compile(
            r"Secret version (?P<version>\S+) (?P<why>not set as AWSPENDING|has no stage|has no value labelled"
            r" AWSPENDING)"
        ),
        "the function {function} lost the version that it was to rotate to: version {version} {why}",
        "Pass ClientRequestToken of the event to put_secret_value; take AWSPENDING off, then rotate.",
        changes=begin_anew,
    ),
    LineCause(
        Cause(
            id="function-bound-to-other-secret",
            section=Section.CODE,
            topic=Topic.BEYOND,
            title="The function is bound to another secret or user",
            symptoms=(
                "Secret %s is not allowed to use this Lambda function for rotation",
                "User %s is not allowed to use this Lambda function for rotation",
            ),
            evidence=_LOG,
            decision="The newest failed invocation of this secret says so: AWS's function for ElastiCache serves the"
            " one secret that its variables SECRET_ARN and USER_NAME name.",
            remedy="Make a function for each secret, or correct the two variables, repeating the others.",
        ),
        re.compile(r"(?P<why>(?:Secret|User) \S+ is not allowed to use this Lambda function for rotation)"),
        "the function {function} is bound to another secret or user: {why}",
        "Make a function for this secret, or correct SECRET_ARN and USER_NAME among its variables.",
    ),
    LineCause(
        Cause(
            id="function-step-unknown",
            section=Section.CODE,
            topic=Topic.BEYOND,
            title="The function was invoked with something else than a rotation's event",
            symptoms=("lambda_handler: Invalid step parameter %s for secret %s", "KeyError: 'ClientRequestToken'"),
            evidence=_LOG,
            decision="The newest failed invocation that may be this secret's did not find the step, the secret or the"
            " token in its event: a test event of the console, for instance.",
            remedy="Rotate through RotateSecret; invoke the function from nowhere else.",
            fix=Fix.PRINTED,
            # A test in the console is no attempt: what stops those is another thing, if it can be seen.
            outranks=("pending-stuck", "pending-empty"),
            yields=True,
        ),
        re.compile(r"(?P<why>Invalid step parameter[^\n\r]*|KeyError: '(?:Step|SecretId|ClientRequestToken)')"),
        "the function {function} was invoked with an event that is no rotation's: {why}",
        "Rotate through RotateSecret.",
        changes=lambda case: (go_on(case),),
    ),
)


NOT_ENABLED = Cause(
    id="function-not-enabled-check",
    section=Section.CODE,
    topic=Topic.BEYOND,
    title="The function was invoked while rotation was off",
    symptoms=("Secret %s is not enabled for rotation",),
    evidence=_LOG,
    decision="A failed invocation says so, and rotation is on now: something else than Secrets Manager invoked the"
    " function, or rotation was switched on afterwards. A note; where rotation is off that is the cause.",
    remedy="Invoke the function from nowhere else: no schedule of EventBridge, no test event.",
)
_OFF = re.compile(r"Secret (?P<arn>\S+) is not enabled for rotation")


@check(NOT_ENABLED)
def function_not_enabled_check(case: Case) -> Iterator[Finding]:
    """Look for invocations that came while rotation was off."""
    said = newest_said(case, _OFF)
    if said is None:
        return
    yield Finding(
        NOT_ENABLED,
        f"the function {case.function_name} was invoked at {said.line.at:%Y-%m-%d %H:%M:%S} UTC while rotation was off;"
        " it is on now",
        (line_evidence(case, said.line),),
        Remedy("Let nothing but Secrets Manager invoke it."),
        role=Role.NOTE,
    )


LEAVES_PENDING = Cause(
    id="function-leaves-pending",
    section=Section.CODE,
    topic=Topic.BEYOND,
    title="The function finishes without moving AWSCURRENT",
    symptoms=(
        "finishSecret",
        "AWSCURRENT does not move",
        "AWSPENDING stays on the new version after all steps",
    ),
    evidence=("logs:FilterLogEvents", "cloudtrail:LookupEvents", "secretsmanager:DescribeSecret"),
    decision="AWSPENDING is on a version that is not current, and the newest invocation went well as finishSecret, by"
    " its own line or by the step in RotationFailed; no attempt has failed later, and the function has not been changed"
    " since.",
    remedy="Call UpdateSecretVersionStage in finishSecret with VersionStage AWSCURRENT, MoveToVersionId the token and"
    " RemoveFromVersionId the current version.",
    outranks=("pending-stuck",),
)
_NEAR = timedelta(minutes=5)


@check(LEAVES_PENDING)
def function_leaves_pending(case: Case) -> Iterator[Finding]:
    """Look for a last step that went well and did nothing."""
    if case.log_events.kind is not Kind.GONE:
        _ = case.log_events.value
    if case.pending_version is None or case.is_in_progress or not case.step_runs:
        return
    newest = case.step_runs[-1]
    failures = case.failures_if_seen
    is_last_step = newest.step == "finishSecret" or (
        newest.step is None
        and bool(failures)
        and failures[-1].step == "finishSecret"
        and abs(failures[-1].at - newest.ended_at) <= _NEAR
    )
    if not newest.went_well or not is_last_step:
        return
    if failures and failures[-1].at > newest.ended_at + _NEAR:
        # The newest attempt has not come so far.
        return
    stages = {version_id: labels for version_id, labels in case.secret["VersionIdsToStages"].items() if labels}
    evidence = [
        Evidence("secretsmanager:DescribeSecret", case.name, {"VersionIdsToStages": stages}),
        line_evidence(case, newest.lines[-1]),
    ]
    if failures and failures[-1].step == "finishSecret":
        last = failures[-1]
        evidence.append(last.evidence(last.error_message))
    changed_at = case.function_changed_at
    is_changed = changed_at is not None and changed_at > newest.ended_at
    since = f" at {newest.ended_at:%Y-%m-%d %H:%M:%S} UTC; the function has been changed since" if is_changed else ""
    title = f"the function {case.function_name} ends finishSecret without an error and leaves AWSCURRENT where it was"
    yield Finding(
        LEAVES_PENDING,
        title + since,
        tuple(evidence),
        Remedy(
            "Let finishSecret call UpdateSecretVersionStage: AWSCURRENT to the token's version, from the current one."
            " The database may have the pending password already; the next rotation then finishes it."
        ),
        role=Role.NOTE if is_changed else Role.CAUSE,
        step="finishSecret",
        is_history=is_changed,
    )


UNHANDLED = Cause(
    id="function-unhandled-error",
    section=Section.CODE,
    topic=Topic.BEYOND,
    title="The function fails with an error that no other entry names",
    symptoms=("[ERROR] %s: %s", "Traceback (most recent call last):"),
    evidence=_LOG,
    decision="The newest failed invocation of this secret ends with an error, and no other check speaks of it. The"
    " last frame of its traceback in the function's own code is named.",
    remedy="Look at the line that is named.",
)
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_NOT_OWN = ("/botocore/", "/boto3/", "/var/runtime/", "/opt/python/", "site-packages", "/var/lang/", "importlib")


@check(UNHANDLED)
def function_unhandled_error(case: Case) -> Iterator[Finding]:
    """Quote the newest error. The runner leaves this out where another finding speaks of the same invocation."""
    if case.log_events.kind is Kind.GONE and case.failures_if_seen:
        raise Skip("there is no log to read")
    run, said = deciding_run(case), newest_said(case, _ANYTHING)
    if run is None or said is None or said.run is not run:
        return
    with suppress(Unseen):
        if unanswered(case) is not None and UNANSWERED.search(said.line.text):
            # The network's affair: what is in its way is told there.
            return
    advice = _ADVICE.search(said.line.text)
    where = "" if advice else _last_frame(run)
    at = f" ({where})" if where else ""
    look = f"Look at {where} in the function's code." if where else "Look at the invocation's lines in the log."
    yield finding_of(
        case,
        said,
        UNHANDLED,
        f"the function {case.function_name} fails with {short(said.line.text.splitlines()[0])}{at}",
        Remedy(advice["advice"] if advice else look),
        Confidence.POSSIBLE,
    )


# An error first, and what Lambda itself says of the end of an invocation; not its numbers.
_ANYTHING = re.compile(r"\[ERROR\]|\tERROR\t|\"ERROR\"|Runtime exited|Task timed out|Error: ")


# Errors of Keyturn's rotation functions end with what is to be done.
_ADVICE = re.compile(r"\. Hint: (?P<advice>[^\n\r]{1,400})")


def _last_frame(run: LogRun) -> str:
    frames = [frame for line in run.telling_lines for frame in _FRAME.findall(line.text)]
    own = [frame for frame in frames if not any(part in frame[0] for part in _NOT_OWN)]
    if not frames:
        return ""
    path, line_number, name = (own or frames)[-1]
    return f"{path.rpartition('/')[2]}, line {line_number}, in {name}"


HOLDS_OLD = Cause(
    id="app-holds-old-credential",
    section=Section.VERSIONS,
    topic=Topic.BEYOND,
    title="Rotation has gone well; who still fails to log in holds the former value",
    symptoms=("password authentication failed after a successful rotation", "RotationSucceeded"),
    evidence=("cloudtrail:LookupEvents", "secretsmanager:DescribeSecret"),
    decision="The newest rotation succeeded less than a day ago, and AWSPREVIOUS has been read since. A note, never a"
    " cause.",
    remedy="Let applications read the secret again when a login is refused, keep it for a shorter time, or use"
    " alternating users. As a last resort AWSCURRENT can be moved back.",
)
_RECENTLY = timedelta(days=1)


@check(HOLDS_OLD)
def app_holds_old_credential(case: Case) -> Iterator[Finding]:
    """Look for readers of the former value after a rotation that went well."""
    succeeded = case.events("RotationSucceeded")
    rotated_at = succeeded[-1].at if succeeded else case.last_rotated_at
    if rotated_at is None or case.now - rotated_at > _RECENTLY or case.has_failed:
        return
    previous = case.labels.get("AWSPREVIOUS")
    versions = case.versions.value.get("Versions", [])
    read = [version.get("LastAccessedDate") for version in versions if version.get("VersionId") == previous]
    # AWS keeps the day only, as its first moment: what was read on the day of the rotation is not told.
    if not read or read[0] is None or read[0] <= rotated_at:
        return
    current = case.labels.get("AWSCURRENT")
    evidence = [Evidence("secretsmanager:DescribeSecret", case.name, {"AWSPREVIOUS": previous}, rotated_at)]
    if succeeded:
        last = succeeded[-1]
        evidence.append(last.evidence(last.name))
    back = {"VersionStage": "AWSCURRENT", "MoveToVersionId": previous, "RemoveFromVersionId": current}
    yield Finding(
        HOLDS_OLD,
        f"rotation went well at {rotated_at:%Y-%m-%d %H:%M:%S} UTC; an application that fails to log in since then"
        " holds the former value",
        tuple(evidence),
        Remedy(
            "Let it read the secret again when a login is refused. As a last resort the former version can be made"
            " current again, if the database still takes it.",
            (Change("secretsmanager", "UpdateSecretVersionStage", {"SecretId": case.arn, **back}),),
        ),
        role=Role.NOTE,
        confidence=Confidence.POSSIBLE,
    )
