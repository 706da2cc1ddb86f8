"""What the database says, as far as the function's log has it.

Each pattern knows three dialects: AWS's rotation functions, which write one summary for many reasons; Keyturn's own,
whose errors are classes (``rotators/engines/base.py``); and the drivers', as functions of one's own let them through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from shlex import quote

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import check
from keyturn.doctor.facts import Kind
from keyturn.doctor.lines import LineCause, Said, enter, finding_of, line_saying, newest_said
from keyturn.doctor.model import Cause, Confidence, Evidence, Finding, Remedy, Role, Section, Topic
from keyturn.doctor.remedies import STORE_VALUE, store_value
from keyturn.doctor.value import ValueParts

_LOG = ("logs:FilterLogEvents",)
_BOTH = (*_LOG, "secretsmanager:GetSecretValue")
_READS_AS = "The newest failed invocation of this secret says so."
_SUMMED_UP = ("db-login-failed", "pending-login-failed")
"""What AWS's functions write beside the reason, if they write a reason."""


# What a look from inside the sandbox tries as well.
_TRIED_BY = {
    "db-login-failed": ("login.current",),
    "db-tls-handshake": ("database.tls", "login.current"),
    "db-tls-hostname-mismatch": ("database.tls", "login.current"),
    "db-tls-required": ("database.tls", "login.current"),
    "db-user-missing": ("login.current",),
}


def _cause(cause_id: str, title: str, symptoms: tuple[str, ...], remedy: str, decision: str = _READS_AS) -> Cause:
    return Cause(
        id=cause_id,
        section=Section.DATABASE,
        topic=Topic.BEYOND,
        title=title,
        symptoms=symptoms,
        evidence=_LOG,
        decision=decision,
        remedy=remedy,
        outranks=() if cause_id in _SUMMED_UP else _SUMMED_UP,
        tried_by=_TRIED_BY.get(cause_id, ()),
    )


LOGIN_FAILED = _cause(
    "db-login-failed",
    "The database refuses the stored credentials",
    (
        "setSecret: Unable to log into database with previous, current, or pending secret of secret arn",
        "setSecret: Unable to log into database using current credentials for secret",
        "AuthenticationFailed: The database refuses all stored passwords of user",
        'password authentication failed for user "%s"',
        "Access denied for user '%s'@'%s' (using password: YES)",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "pymongo.errors.OperationFailure: Authentication failed.",
    ),
    "Set the user's password in the database to that of AWSCURRENT, or store the one that is valid there; then rotate.",
    "The newest failed invocation could not log in. Where the database's own refusal is quoted that is certain. AWS's"
    " functions write the same line if the database cannot be reached: then the invocation took five seconds or more.",
)
# The summary of AWS's functions ends with the ARN; Keyturn's goes on with the reason.
_SUMMARY = (
    r"Unable to log into database (?:with previous, current, or pending secret of secret (?:arn|ARN)"
    r"|using current credentials for secret) \S+?[.]?\s*(?:[\n\r]|$)"
)
_REFUSED = (
    r"\bAuthenticationFailed: |password authentication failed for user|Access denied for user '[^']*'@"
    r"|WRONGPASS |invalid username-password pair|OperationFailure: Authentication failed|Login failed for user"
    r"|ORA-01017|SQL30082N"
)
_LOGIN = line_saying(rf"(?P<refused>{_REFUSED})", _SUMMARY)
_NOT_THIS_LOGIN = re.compile(
    r"credentials in (?:master|admin) secret|Unable to log into database with pending secret of secret ARN"
)
_SLOW_MS = 5000


@check(LOGIN_FAILED)
def db_login_failed(case: Case) -> Iterator[Finding]:
    """Look for a login that was refused, and for how long that took."""
    said = newest_said(case, _LOGIN, _NOT_THIS_LOGIN)
    if said is None:
        return
    duration_ms = said.run.duration_ms
    if said.match["refused"]:
        title, sure = _refused(case, said.words["why"].removeprefix("AuthenticationFailed: ")), True
    elif _may_be_network(case, duration_ms):
        after = f" after {duration_ms / 1000:.1f} s" if duration_ms else ""
        title, sure = f"login failed{after}; could not tell network from credentials", False
    else:
        within = f" within {duration_ms:.0f} ms" if duration_ms else ""
        title, sure = f"the database refuses the stored credentials of {case.name}{within}", True
    confidence = Confidence.CERTAIN if said.match["refused"] else Confidence.LIKELY if sure else Confidence.POSSIBLE
    yield finding_of(case, said, LOGIN_FAILED, title, _credentials(case, sure=sure), confidence)


def _refused(case: Case, why: str) -> str:
    # Keyturn's functions say it in as many words.
    of = re.fullmatch("The database refuses all stored passwords (of user .*)", why)
    if of is not None:
        return f"the database refuses all stored passwords of {case.name}, {of[1]}"
    return f"the database refuses the stored credentials of {case.name}: {why}"


def _may_be_network(case: Case, duration_ms: float | None) -> bool:
    """Whether a login may have failed for want of a way: it took long, or the groups may not be looked at."""
    if duration_ms is not None and duration_ms >= _SLOW_MS:
        return True
    in_vpc = case.configuration.kind is Kind.OK and bool((case.configuration.found.get("VpcConfig") or {}).get("VpcId"))
    return in_vpc and any(
        answer.kind is Kind.BLIND and answer.question.service == "ec2" for answer in case.facts.answers()
    )


def _credentials(case: Case, *, sure: bool) -> Remedy:
    first = "" if sure else "Look for a way to the database first (security groups, routes, whether it runs). "
    return Remedy(
        f"{first}The password was changed outside of rotation, or the user is gone: set AWSCURRENT's password in the"
        " database, or store the one that is valid there; then rotate.",
        by_hand=(*store_value(case.arn), f"aws secretsmanager rotate-secret --secret-id {quote(case.arn)}"),
    )


HANDSHAKE = LineCause(
    _cause(
        "db-tls-handshake",
        "TLS is asked for, and the database has none that holds",
        (
            "Unable to establish SSL/TLS handshake, SSL/TLS is not enabled on the host: %s",
            "Unable to establish SSL/TLS handshake, check that SSL/TLS is enabled on the host: %s",
            "TlsFailed: Unable to establish SSL/TLS handshake with the host %s",
            "server does not support SSL, but SSL was required",
            "certificate verify failed: unable to get local issuer certificate",
        ),
        "Turn TLS on in the database, or set ssl to false in the value; if the certificate's authority is not known,"
        " build the package with the present bundle of authorities.",
        "The newest failed invocation says so. AWS's functions try without TLS afterwards unless the value says ssl"
        " true: with --read-value that is looked at.",
    ),
    line_saying(
        "SSL/TLS is not enabled on the host",
        "check that SSL/TLS is enabled on the host",
        r"\bTlsFailed: ",
        "server does not support SSL",
        "certificate verify failed",
        "CERTIFICATE_VERIFY_FAILED",
        "SSL Provider: ",
    ),
    "the database cannot be entered by TLS: {why}",
    "Turn TLS on in the database, set ssl to false in the value, or name the certificate's authority in the function.",
    unless=re.compile(r"Hostname verification failed"),
)
_GOES_ON_WITHOUT = re.compile("SSL/TLS is not enabled on the host|check that SSL/TLS is enabled on the host")

_ENTERED = re.compile("Successfully established non SSL/TLS connection")


@check(HANDSHAKE.cause)
def db_tls_handshake(case: Case) -> Iterator[Finding]:
    """Look for a handshake that failed, and was not followed by a login without one."""
    for finding in HANDSHAKE(case):
        said = newest_said(case, HANDSHAKE.pattern, HANDSHAKE.unless)
        if said is not None and _GOES_ON_WITHOUT.search(said.match[0]) and _ENTERED.search(said.run.text):
            # It has gone on without TLS, and got in: what has stopped it came later.
            return
        value = case.value if case.options.read_value else None
        summed_up = said is not None and _GOES_ON_WITHOUT.search(said.match[0]) and _LOGIN.search(said.run.text)
        if summed_up and value is not None and value.text("ssl").lower() != "true":
            return
        is_sure = not summed_up or value is not None
        yield finding if is_sure else _less_sure(case, finding, said)


def _less_sure(case: Case, finding: Finding, said: Said | None) -> Finding:
    if said is None:
        return finding
    return finding_of(case, said, finding.cause, finding.title, finding.remedy, Confidence.LIKELY)


READ_ONLY = _cause(
    "db-read-only-endpoint",
    "The host in the value takes no changes: it is a reader or a replica",
    (
        "cannot execute ALTER ROLE in a read-only transaction",
        "The MySQL server is running with the --read-only option so it cannot execute this statement",
        "ReadOnlyReplica: %s is a read-only replica: it is in recovery",
        "READONLY You can't write against a read only replica.",
    ),
    "Put the writer's endpoint into host, and keep the reader's under another key.",
    "The newest failed invocation says so; or, with --read-value, the host is a cluster's reader endpoint.",
)
_READS_ONLY = line_saying(
    r"\bReadOnlyReplica: ",
    r"cannot execute [A-Z ]+ in a read-only transaction",
    r"running with the --(?:super-)?read-only option",
    "READONLY You can't write",
    r"\(NotWritablePrimary\)|NotWritablePrimary|not primary",
)
_READER_ENDPOINT = re.compile(r"\.cluster-ro-\w+\.[\w-]+\.rds\.amazonaws\.com", re.IGNORECASE)


@check(READ_ONLY)
def db_read_only_endpoint(case: Case) -> Iterator[Finding]:
    """Look for a database that takes no changes."""
    remedy = Remedy(
        "Put the writer's endpoint into host of the value, and keep the reader's under another key.",
        by_hand=store_value(case.arn),
    )
    said = newest_said(case, _READS_ONLY)
    if said is not None:
        yield finding_of(case, said, READ_ONLY, f"the database takes no changes: {said.words['why']}", remedy)
        return
    yield from _by_host(case, READ_ONLY, _READER_ENDPOINT, "a reader's endpoint, which takes no changes", remedy)


PROXY = _cause(
    "db-proxy-endpoint",
    "The host in the value is a proxy, not the database",
    (
        "FATAL:  This RDS Proxy requires TLS connections",
        "FATAL: This RDS proxy has no credentials for the role",
        "BehindProxy: %s is an RDS Proxy, which lets users in by the secrets that it has read itself",
    ),
    "Put the database's own endpoint into host, and the proxy's under another key. With a proxy use the single-user"
    " strategy.",
    "The newest failed invocation says so; or, with --read-value, the host is one of RDS Proxy.",
)
_BY_PROXY = line_saying(r"\bBehindProxy: ", r"This RDS [Pp]roxy ")
_PROXY_ENDPOINT = re.compile(r"\.proxy-\w+\.[\w-]+\.rds\.amazonaws\.com", re.IGNORECASE)


@check(PROXY)
def db_proxy_endpoint(case: Case) -> Iterator[Finding]:
    """Look for a proxy in the way."""
    remedy = Remedy(
        "Put the database's own endpoint into host of the value, and the proxy's under another key.",
        by_hand=store_value(case.arn),
    )
    said = newest_said(case, _BY_PROXY)
    if said is not None:
        yield finding_of(case, said, PROXY, f"a proxy stands before the database: {said.words['why']}", remedy)
        return
    yield from _by_host(case, PROXY, _PROXY_ENDPOINT, "a proxy's endpoint", remedy)


def _by_host(case: Case, cause: Cause, pattern: re.Pattern[str], what: str, remedy: Remedy) -> Iterator[Finding]:
    """Look at the host in the value, if that was to be read; what has not failed yet is a risk."""
    value: ValueParts | None = case.value
    if value is None or not pattern.search(value.text("host")):
        return
    yield Finding(
        cause,
        f"host in the value of {case.name} is {what}: {value.text('host')}",
        (Evidence("secretsmanager:GetSecretValue", case.name, {"host": value.text("host")}),),
        remedy,
        role=Role.CAUSE if case.has_failed else Role.RISK,
        step=case.failed_step,
    )


NEW_LOGIN = LineCause(
    _cause(
        "pending-login-failed",
        "The new password was set, and does not log in",
        (
            "testSecret: Unable to log into database with pending secret of secret ARN %s",
            "Unable to log into database with pending secret of secret ARN",
            "TestRotationFailed",
        ),
        "Rotate again; use the writer's endpoint. A database that changes passwords with a delay needs a function"
        " that waits. Of a test (RotateSecret without RotateImmediately) it is AWSCURRENT that does not log in.",
        "The newest failed invocation of this secret says so. A TestRotationFailed beside it tells that it was a test,"
        " which sets no password: it logs in with a copy of the current value.",
    ),
    line_saying("Unable to log into database with pending secret of secret ARN"),
    "the new password of {secret} was set and does not log in",
    "Rotate again, against the writer's endpoint; let the function wait where the database takes its time.",
    Confidence.LIKELY,
)


@check(NEW_LOGIN.cause)
def pending_login_failed(case: Case) -> Iterator[Finding]:
    """Look for a login that failed after the password was set, or in a test, in which none is set."""
    for finding in NEW_LOGIN(case):
        said = newest_said(case, NEW_LOGIN.pattern)
        if said is None or not case.is_test(said.run):
            yield finding
            return
        title = f"{case.function_name} does not log in with the current value of {case.name}"
        yield finding_of(case, said, NEW_LOGIN.cause, title, _credentials(case, sure=True), Confidence.LIKELY)


enter(
    LineCause(
        _cause(
            "db-scram-unsupported",
            "The function's driver is too old for the database's passwords",
            (
                "SCRAM authentication requires libpq version 10 or above",
                "authentication method 10 not supported",
            ),
            "Create the rotation function anew: AWS's functions know SCRAM since the end of 2021.",
        ),
        line_saying("SCRAM authentication requires libpq version 10 or above", "authentication method 10 not support"),
        "the function {function} has a driver that cannot log in by SCRAM: {why}",
        "Create the rotation function anew, with a present driver.",
        by_hand=("keyturn function create --for {secret}",),
    ),
    LineCause(
        _cause(
            "db-tls-required",
            "The database takes TLS connections only, and the function comes without",
            (
                "Unable to establish SSL/TLS handshake, SSL/TLS is enforced on the host: %s",
                'no pg_hba.conf entry for host "%s", user "%s", database "%s", no encryption',
                "Connections using insecure transport are prohibited while --require_secure_transport=ON.",
                "TlsRequired: host %s: no pg_hba.conf entry",
            ),
            "Remove ssl from the value or set it to true. Functions of AWS from before 20 December 2021 know no TLS:"
            " create those anew.",
        ),
        line_saying(
            r"\bTlsRequired: ",
            "SSL/TLS is enforced on the host",
            r"no pg_hba\.conf entry for [^\n\r]*(?:no encryption|SSL off)",
            "require_secure_transport=ON",
            "Connections using insecure transport are prohibited",
        ),
        "the database takes TLS connections only: {why}",
        "Remove ssl from the value or set it to true; a function that knows no TLS is to be created anew.",
        by_hand=(STORE_VALUE,),
    ),
    LineCause(
        _cause(
            "db-tls-hostname-mismatch",
            "The database's certificate is for another name than the host in the value",
            (
                "Hostname verification failed when estlablishing SSL/TLS Handshake with host: %s",
                "Hostname verification failed when establishing SSL/TLS Handshake with host: %s",
                'server certificate for "%s" does not match host name "%s"',
                "certificate verify failed: Hostname mismatch",
            ),
            "Put the name that is in the certificate into host: for RDS its endpoint, no alias and no address.",
        ),
        line_saying(
            "Hostname verification failed when est",
            r"server certificate for \S+ (?:\(and [^)]*\) )?does not match host name",
            "Hostname mismatch",
        ),
        "the database's certificate is for another name than host in the value of {secret}: {why}",
        "Put the name that is in the certificate into host of the value.",
        by_hand=(STORE_VALUE,),
    ),
    LineCause(
        _cause(
            "db-password-rejected",
            "The database refuses the new password",
            (
                (
                    "The parameter MasterUserPassword is not a valid password. Only printable ASCII characters besides"
                    " '/', '@', '\"', ' ' may be used."
                ),
                "Your password does not satisfy the current policy requirements",
                "ORA-28003: password verification for the specified password failed",
                "PasswordRejected: ",
                "Password validation failed.",
            ),
            "Set EXCLUDE_CHARACTERS and PASSWORD_LENGTH of the function to what the database takes. The call replaces"
            " all variables of the function: repeat the others.",
        ),
        line_saying(
            r"\bPasswordRejected: ",
            "is not a valid password",
            "does not satisfy the current policy requirements",
            "Password validation failed",
            "ORA-28003|ORA-00988|ORA-00922",
        ),
        "the database refuses the new password: {why}",
        "Set EXCLUDE_CHARACTERS and PASSWORD_LENGTH of the function to what the database takes; repeat its other"
        " variables, for the call replaces all of them.",
        Confidence.LIKELY,
        by_hand=(
            (
                "aws lambda update-function-configuration --function-name {function} --environment"
                " 'Variables={{EXCLUDE_CHARACTERS=CHARACTERS,PASSWORD_LENGTH=32}}'"
            ),
        ),
    ),
    LineCause(
        _cause(
            "db-user-host-pattern",
            "The user exists for other hosts than the function assumes",
            ("There is no such grant defined for user '%s' on host '%s'",),
            "Create the user for '%', which AWS's functions for alternating users assume, or adapt the function.",
        ),
        line_saying("There is no such grant defined for user"),
        "the user exists for other hosts than {function} assumes: {why}",
        "Create the user for '%', or adapt the function.",
        Confidence.LIKELY,
    ),
    LineCause(
        _cause(
            "db-user-cannot-set-password",
            "The user may not set its own password",
            ("must be a member of rds_password", "permission denied to alter role"),
            "Grant rds_password to a superuser and let the users alternate, or lift rds.restrict_password_commands.",
        ),
        # With this detail PostgreSQL 16 tells of a right over another user: db-grant-missing.
        line_saying(
            "must be (?:a )?member of rds_password",
            r"permission denied to alter role(?!\s*DETAIL: +Only roles with the CREATEROLE)",
        ),
        "the user may not set its own password: {why}",
        "Grant rds_password to a superuser and let the users alternate, or lift rds.restrict_password_commands.",
        Confidence.LIKELY,
    ),
    LineCause(
        _cause(
            "db-user-missing",
            "The user whose password is to be set does not exist",
            (
                "setSecret: User %s does not exist in database",
                "setSecret: Unable to create user %s",
                "UserMissing: ",
                'role "%s" does not exist',
                "Operation ALTER USER failed for '%s'@'%s'",
            ),
            "Create the user in the database, or correct username in the value.",
        ),
        line_saying(
            r"\bUserMissing: ",
            r"User \S+ does not exist in database",
            "Unable to create user ",
            r'role "[^"]*" does not exist',
            "Operation ALTER USER failed for",
            "Can't find any matching row in the user table",
            "Cannot alter the login",
        ),
        "the user whose password is to be set is not there: {why}",
        "Create the user in the database, or correct username in the value.",
        by_hand=(STORE_VALUE,),
    ),
    LineCause(
        _cause(
            "elasticache-user-not-active",
            "The ElastiCache user has not become active again",
            ("%s: user %s associated with secret %s did not reached the active status.",),
            "Wait until the user is active and rotate again; raise the function's timeout.",
        ),
        line_saying("did not reached the active status"),
        "{why}",
        "Wait until the user is active and rotate again; raise the function's timeout.",
    ),
    LineCause(
        _cause(
            "directory-password-reset-failed",
            "The directory has not set the new password",
            (
                ("setSecret: Unable to reset the users password in Directory Services for directory %s and user %s"),
                "execute_kinit_command: kinit failed",
                "testSecret: One or more keytabs failed validation",
            ),
            "Grant ds:ResetUserPassword to the role; let the function reach the controllers by DNS and the ports 88"
            " and 464.",
        ),
        line_saying(
            "Unable to reset the users password in Directory",
            "kinit failed",
            "execute_kinit_command: ",
            "check_inputs: Invalid character",
            r"[Kk]eytabs? (?:failed|validation failed)",
            r"Failed to [^\n\r]*(?:keytab|principal slots)",
            "Principals in secret do not match principals in keytab",
        ),
        "the directory has not set the new password: {why}",
        "Grant ds:ResetUserPassword to the role; open DNS and the ports 88 and 464 to the controllers.",
        Confidence.LIKELY,
    ),
    LineCause(
        _cause(
            "influxdb-token-refused",
            "The InfluxDB token cannot be replaced",
            (
                "Authentication creation has not been enabled to allow the Lambda function to create tokens.",
                "Failed to find the current secret token defined in the InfluxDB instance.",
            ),
            "Set AUTHENTICATION_CREATION_ENABLED=true among the function's variables, and store a token that is live.",
        ),
        line_saying(
            "Authentication creation has not been enabled to allow the Lambda function to create tokens",
            "Failed to find the current secret token defined in the InfluxDB instance",
            "Failed to copy or create a new token",
            "Failed to set new authorization",
            "No permissions were set for token creation",
            r"Permission \S+ must fit the format <action>-<type>",
            "is not a valid token type",
            "token value must be set when rotating an operator token",
            "Current and pending (?:tokens|secrets) (?:failed user equality test|do not have the same token types)",
        ),
        "the InfluxDB token cannot be replaced: {why}",
        "Set AUTHENTICATION_CREATION_ENABLED=true among the function's variables, and store a token that is live.",
    ),
)
