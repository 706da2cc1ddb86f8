"""What the function does with the superuser secret: where it logs in, as whom, and for whom.

The database's own answer cannot be seen from outside, so that the function's log is the witness.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from keyturn.doctor.access import Verdict, access
from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import check
from keyturn.doctor.checks.superuser import newest_line
from keyturn.doctor.facts import Kind, Unseen
from keyturn.doctor.known_keys import keys_of_call
from keyturn.doctor.log import LogLine
from keyturn.doctor.model import Cause, Confidence, Evidence, Finding, Fix, Remedy, Role, Section, Topic
from keyturn.doctor.remedies import put_role_policy, store_value
from keyturn.doctor.rotation_calls import require_role
from keyturn.doctor.rotation_policies import managed_superuser_policy
from keyturn.doctor.seen_policies import ROLE_CALLS, role_layers, session

_LOG = ("logs:FilterLogEvents",)
_SET = "setSecret"
# A template tries a login for five seconds at most: what takes longer did not reach the database.
_SLOW_MS = 5000
_KINDS = "(?:master|admin)"

LOGIN_FAILED = Cause(
    id="master-login-failed",
    section=Section.SUPERUSER,
    topic=Topic.FIRST_ROTATION,
    title="The database does not let the superuser in with the superuser secret",
    symptoms=(
        "setSecret: Unable to log into database using credentials in master secret",
        "setSecret: Unable to log into database using credentials in admin secret",
        "setSecret: Unable to log into rdsadmin database using credentials in master secret",
    ),
    evidence=_LOG,
    decision="The function says so in its log. An answer within five seconds is the database's: the password is wrong."
    " One that takes longer never reached it: the network.",
    remedy="Put the superuser's true password into the superuser secret; of a superuser that RDS manages, use its rds!"
    " secret.",
    tried_by=("login.superuser",),
)
_LOGIN = re.compile(rf"Unable to log into (?:rdsadmin )?database using credentials in {_KINDS} secret[^\n]*")


@check(LOGIN_FAILED)
def master_login_failed(case: Case) -> Iterator[Finding]:
    """Look for the function's complaint, and how long it took."""
    found = newest_line(case, _LOGIN)
    if found is None:
        return
    run = case.failed_runs[-1]
    is_slow = run.duration_ms is not None and run.duration_ms >= _SLOW_MS
    why = ": it took so long that the network is to be looked at first" if is_slow else ": its password is another one"
    superuser = case.superuser_arn or "SUPERUSER_SECRET_ARN"
    yield Finding(
        LOGIN_FAILED,
        f"the superuser of the superuser secret cannot log into the database{why}",
        (_line(case, found),),
        Remedy(
            "See whether the function reaches the database." if is_slow else "Put the true password into it.",
            by_hand=() if is_slow else store_value(superuser),
        ),
        confidence=Confidence.POSSIBLE if is_slow else Confidence.LIKELY,
        step=_SET,
    )


HOST_MISMATCH = Cause(
    id="master-host-mismatch",
    section=Section.SUPERUSER,
    topic=Topic.FIRST_ROTATION,
    title="The superuser secret is for another database host than the secret",
    symptoms=(
        "setSecret: Current database host %s is not the same host as/rds replica of master %s",
        "setSecret: Current database host %s is not the same host as master %s",
        "setSecret: Current database host %s is not the same host as admin %s",
    ),
    evidence=_LOG,
    decision="The function compares the host of both values, and takes them only if they are the same, or one is a read"
    " replica of the other.",
    remedy="Write the same host into both values: the cluster's writer endpoint, not an instance and not a CNAME.",
)
_HOSTS = re.compile(
    r"Current (?:database )?(?:host|url)[^\n]{0,300}? is not the same[^\n]{0,300}?(?:master|admin)[^\n]*"
)


@check(HOST_MISMATCH)
def master_host_mismatch(case: Case) -> Iterator[Finding]:
    """Look for the function's complaint."""
    yield from _as_logged(
        case,
        HOST_MISMATCH,
        _HOSTS,
        "the superuser secret is for another host than the secret",
        "Write the same host into both values.",
    )


RDS_API_DENIED = Cause(
    id="master-rds-api-denied",
    section=Section.SUPERUSER,
    topic=Topic.FIRST_ROTATION,
    title="The function may not ask RDS or Redshift where the managed superuser's database is",
    symptoms=(
        ("setSecret: Encountered API error while fetching connection parameters from DescribeDBInstances RDS API"),
        "setSecret: Encountered API error while fetching connection parameters from DescribeDBClusters RDS API",
        (
            "setSecret: Encountered API error while fetching connection parameters from ListNamespaces Redshift"
            " Serverless API"
        ),
    ),
    evidence=(*_LOG, *ROLE_CALLS),
    decision="The value of a superuser secret that RDS or Redshift manages has no host, so that the function asks for"
    " it. Its log says that this failed; the role's policies are evaluated for the call.",
    remedy="Allow the call to the role, on *.",
    fix=Fix.PRINTED,
)
_API = re.compile(
    r"Encountered API error while fetching connection parameters from (?P<operation>\w+)"
    r" (?P<api>RDS|Redshift[ \w]*) API[^\n]*"
)
_SERVICES = {"RDS": "rds", "Redshift": "redshift", "Redshift Serverless": "redshift-serverless"}


@check(RDS_API_DENIED)
def master_rds_api_denied(case: Case) -> Iterator[Finding]:
    """Look for the function's complaint, and whether the role may make the call."""
    found = newest_line(case, _API)
    if found is None:
        return
    match = _API.search(found[1])
    assert match is not None  # noqa: S101 - it was found by it
    action = f"{_SERVICES.get(match['api'], 'rds')}:{match['operation']}"
    verdict = _may(case, action)
    policy = managed_superuser_policy()
    if verdict is Verdict.ALLOWED:
        yield Finding(
            RDS_API_DENIED,
            f"the function could not call {action}, and its role allows it now",
            (_line(case, found),),
            Remedy("The next attempt will show whether that was it."),
            role=Role.NOTE,
            is_history=True,
        )
        return
    yield Finding(
        RDS_API_DENIED,
        f"the function's role {_role(case)} may not call {action}, which tells where the superuser's database is",
        (_line(case, found),),
        Remedy("Allow it.", (put_role_policy(case, f"keyturn-{RDS_API_DENIED.id}", policy),), policy)
        if verdict is Verdict.DENIED
        else Remedy("Allow it.", policy=policy),
        confidence=Confidence.CERTAIN if verdict is Verdict.DENIED else Confidence.LIKELY,
        step=_SET,
    )


TAG_STALE = Cause(
    id="master-tag-stale",
    section=Section.SUPERUSER,
    topic=Topic.FIRST_ROTATION,
    title="The managed superuser secret belongs to a database that is gone",
    symptoms=(
        (
            "setSecret: %s is not a valid DB Instance ARN. No Instances found when using DescribeDBInstances RDS API to"
            " get connection params."
        ),
        "Redshift can't find the cluster defined in the tag",
    ),
    evidence=_LOG,
    decision="The function found no database of the ARN in the superuser secret's tag (aws:rds:primaryDBInstanceArn,"
    " aws:rds:primaryDBClusterArn or aws:redshift:primaryClusterArn).",
    remedy="Point masterarn at the managed secret of the database that is there.",
)
_TAG = re.compile(
    r"(?m:^)[^\n]*(?:is not a valid DB (?:Instance|Cluster) ARN\.|can't find the cluster defined in the tag)[^\n]*"
)


@check(TAG_STALE)
def master_tag_stale(case: Case) -> Iterator[Finding]:
    """Look for the function's complaint."""
    yield from _as_logged(
        case,
        TAG_STALE,
        _TAG,
        "the managed superuser secret belongs to a database that is gone",
        "Point masterarn at the managed secret of the database that is there.",
    )


USERNAME_TOO_LONG = Cause(
    id="clone-username-too-long",
    section=Section.SUPERUSER,
    topic=Topic.FIRST_ROTATION,
    title="The user's name is too long for a second user beside it",
    symptoms=("Unable to clone user, username length with _clone appended would exceed %s characters",),
    evidence=_LOG,
    decision="The function says so: with _clone behind it the name would have more characters than the engine takes (16"
    " to 128).",
    remedy="Use a user with a shorter name, or the single-user strategy.",
)
_CLONE = re.compile(r"Unable to clone user, username length with [^\n]*")


@check(USERNAME_TOO_LONG)
def clone_username_too_long(case: Case) -> Iterator[Finding]:
    """Look for the function's complaint."""
    yield from _as_logged(
        case,
        USERNAME_TOO_LONG,
        _CLONE,
        "the user's name is too long for a second user named after it",
        "Use a user with a shorter name, or the single-user strategy.",
        step="createSecret",
    )


def _as_logged(
    case: Case, cause: Cause, pattern: re.Pattern[str], title: str, text: str, step: str = _SET
) -> Iterator[Finding]:
    """Report what the newest failed invocation says in as many words."""
    found = newest_line(case, pattern)
    if found is not None:
        yield Finding(cause, title, (_line(case, found),), Remedy(text), step=case.failed_step or step)


def _line(case: Case, found: tuple[LogLine, str]) -> Evidence:
    return Evidence("logs:FilterLogEvents", case.log_group, found[1], found[0].at)


def _may(case: Case, action: str) -> Verdict:
    try:
        require_role(case)
        principal = session(case)
        return access(principal, action, "*", keys_of_call(case, principal, None), role_layers(case)).verdict
    except Unseen:
        return Verdict.UNKNOWN


def _role(case: Case) -> str:
    return case.role_name if case.configuration.kind is Kind.OK else ""
