"""What a database or the way to it answers beyond what AWS's guide tells of: one entry for each kind of answer.

Keyturn's rotation functions tell these kinds apart (``rotators/engines/base.py``); of drivers the usual words are
known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from shlex import quote

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import check
from keyturn.doctor.facts import Unseen
from keyturn.doctor.lines import LineCause, enter, line_saying, newest_said
from keyturn.doctor.model import Cause, Confidence, Finding, Remedy, Section, Topic
from keyturn.doctor.network_changes import OF_AWS, SILENT, mended_since, silent_database
from keyturn.doctor.network_probe import nobody_at_database
from keyturn.doctor.remedies import ATTEMPTED_AGAIN, STORE_VALUE
from keyturn.doctor.told_address import address_said
from keyturn.rules.network.hops import Passage

_SUMMED_UP = ("db-login-failed", "pending-login-failed")
_LEFT_BEHIND = ("pending-stuck", "pending-empty")


def _entry(
    cause_id: str,
    title: str,
    said: str,
    symptoms: tuple[str, ...],
    parts: tuple[str, ...],
    remedy: str,
    *,
    yields: bool = False,
    confidence: Confidence = Confidence.CERTAIN,
    evidence: tuple[str, ...] = (),
    unless_changed: str = "",
    tried_by: str = "",
) -> LineCause:
    cause = Cause(
        id=cause_id,
        section=Section.DATABASE,
        topic=Topic.BEYOND,
        title=title,
        symptoms=symptoms,
        evidence=("logs:FilterLogEvents", *evidence),
        decision=f"The newest failed invocation of this secret says so.{unless_changed}",
        remedy=remedy.format(again=ATTEMPTED_AGAIN),
        outranks=(*_SUMMED_UP, *(_LEFT_BEHIND if yields else ())),
        yields=yields,
        tried_by=(tried_by,) if tried_by else (),
    )
    by_hand = (STORE_VALUE,) if "in the value" in remedy else ()
    pattern, told = line_saying(*parts), f"{said}: {{why}}"
    return LineCause(cause, pattern, told, remedy, confidence, unless=OF_AWS, by_hand=by_hand)


UNREACHABLE = _entry(
    "db-unreachable",
    "The database does not answer",
    "the database does not answer",
    (
        "ConnectionTimedOut: host %s, port %s: no answer within the time limit",
        "HostUnreachable: host %s, port %s: No route to host",
        "timeout expired",
        "Can't connect to MySQL server on '%s' (timed out)",
    ),
    SILENT,
    "Open the way from the function to the database: routes, security groups, firewalls; or start the database; or"
    " correct host and port in the value.",
    # What closes the way is the cause where it can be seen.
    yields=True,
    confidence=Confidence.LIKELY,
    evidence=("cloudtrail:LookupEvents",),
    unless_changed=" Where the way to the database is open, by EC2, and the trail has a change of that network since"
    " the invocation began, it is a note: the next rotation will show whether that was it.",
    tried_by="database.connect",
)


@check(UNREACHABLE.cause)
def db_unreachable(case: Case) -> Iterator[Finding]:
    """Look for an attempt that found no way, and say how that is looked at, or who has mended it since."""
    mended = _mended(case)
    if mended is not None:
        yield mended
        return
    for finding in UNREACHABLE(case):
        yield replace(finding, remedy=_look_at_way(case, finding.remedy))


def _mended(case: Case) -> Finding | None:
    try:
        said = silent_database(case)
        if said is None or case.network.to_database is not Passage.PASSES or nobody_at_database(case) is not None:
            return None
        return mended_since(case, said, UNREACHABLE.cause, f"the database did not answer {case.function_name}")
    except Unseen:
        # What the line says stands, whatever else is not known.
        return None


def _look_at_way(case: Case, remedy: Remedy) -> Remedy:
    try:
        database = case.database
    except Unseen:
        database = None
    if database is None:
        asked = f"keyturn doctor {quote(case.name)} --read-value"
        if case.options.is_on_page:
            return remedy
        text = f"{remedy.text} With --read-value or --db-host HOST:PORT the doctor looks at that way."
        return Remedy(text, by_hand=(asked, *remedy.by_hand))
    if case.endpoint is None:
        return remedy
    to = quote(f"{database.address.host}:{database.address.port}")
    traced = f"keyturn network trace {quote(case.function_name)} {to}"
    text = f"{remedy.text} keyturn network trace shows where the packets are lost."
    return Remedy(text, by_hand=(traced, *remedy.by_hand))


REFUSED = _entry(
    "db-connection-refused",
    "Nothing listens where the value says that the database is",
    "nothing listens where the value says that the database is",
    ("ConnectionRefused: host %s, port %s: Connection refused", "[Errno 111] Connection refused", "ECONNREFUSED"),
    (r"\bConnectionRefused: ", "Connection refused", "ECONNREFUSED", "ORA-12541"),
    "Start the database, or correct host and port in the value.",
    tried_by="database.connect",
)


@check(REFUSED.cause)
def db_connection_refused(case: Case) -> Iterator[Finding]:
    """Look for an attempt that was refused, and say where if the line does."""
    said = newest_said(case, REFUSED.pattern, REFUSED.unless)
    told = None if said is None else address_said(said.line.text)
    title = "" if told is None else f"nothing listens at {told.host}:{told.port}, where the value has the database"
    yield from (replace(REFUSED, title=title) if title else REFUSED)(case)


NOT_ADMITTED = _entry(
    "db-not-admitted",
    "The database does not let this user in from the function's address",
    "the database does not let the user in from here, whatever the password",
    (
        'FATAL: no pg_hba.conf entry for host "%s", user "%s", database "%s", SSL encryption',
        "Host '%s' is not allowed to connect to this MySQL server",
        'role "%s" is not permitted to log in',
        "Account is locked.",
        "NotAdmitted: ",
    ),
    (
        r"\b(?:NotAdmitted|HostBlocked): ",
        r"no pg_hba\.conf entry for (?![^\n\r]*(?:no encryption|SSL off))",
        "is not allowed to connect to this",
        "is not permitted to log in",
        "Account is locked",
        "ORA-28000",
        r"is blocked because of many connection errors",
    ),
    "Let this user log in from the function's addresses: in PostgreSQL a line in pg_hba.conf and the right to log in,"
    " in MySQL and MariaDB the host of the account. It must be neither locked nor expired.",
    tried_by="login.current",
)


@check(NOT_ADMITTED.cause)
def db_not_admitted(case: Case) -> Iterator[Finding]:
    """Look for a user who is not let in, and say what lets it in as far as the line tells."""
    said = newest_said(case, NOT_ADMITTED.pattern, NOT_ADMITTED.unless)
    for finding in NOT_ADMITTED(case):
        yield finding if said is None else replace(finding, remedy=admitting(said.line.text, finding.remedy))


# Whoever writes the log must not write commands: other names are left to whoever knows them.
_NAME = r"[\w.$-]{1,63}"
_ADMITTED_BY = (
    (
        re.compile(rf'role "(?P<user>{_NAME})" is not permitted to log in'),
        "Let the role log in again; then look from inside the sandbox, or rotate.",
        'ALTER ROLE "{user}" LOGIN;',
    ),
    (
        re.compile(rf"Access denied for user '(?P<user>{_NAME})'@'[^'\n\r]*'[^\n\r]*Account is locked"),
        "Unlock the account, with HOST as mysql.user has it; then look from inside the sandbox, or rotate.",
        "ALTER USER '{user}'@'HOST' ACCOUNT UNLOCK;",
    ),
    (
        re.compile(r"no pg_hba\.conf entry for host"),
        "Add a line to the server's pg_hba.conf that lets this user in from the function's address, and reload it.",
        "SELECT pg_reload_conf();",
    ),
    (
        re.compile(r"is blocked because of many connection errors"),
        "Let the server forget the errors of the function's address, and find out who makes them.",
        "mysqladmin flush-hosts",
    ),
)


def admitting(said: str, otherwise: Remedy) -> Remedy:
    """Return what lets a user in, by the database's own words; what helps otherwise if they do not tell."""
    for pattern, text, line in _ADMITTED_BY:
        if match := pattern.search(said):
            return Remedy(text, by_hand=(line.format_map(match.groupdict()),))
    return otherwise


enter(
    _entry(
        "db-connection-lost",
        "The database has closed the connection in the middle",
        "the database has closed the connection",
        (
            "ConnectionLost: ",
            "server closed the connection unexpectedly",
            "Lost connection to MySQL server during query",
        ),
        (r"\bConnectionLost: ", "server closed the connection unexpectedly", "Lost connection to MySQL server"),
        "Look into the database's log at that moment; the next attempt finds out what had been done.",
        confidence=Confidence.LIKELY,
    ),
    _entry(
        "db-database-missing",
        "There is no database of that name on the server",
        "there is no such database on the server",
        ('FATAL: database "%s" does not exist', "Unknown database '%s'", "DatabaseMissing: "),
        (r"\bDatabaseMissing: ", r'database "[^"]*" does not exist', "Unknown database"),
        "Set dbname in the value to a database that is there.",
        tried_by="login.current",
    ),
    _entry(
        "db-not-ready",
        "The database has no connection left, or is starting or stopping",
        "the database is not ready",
        (
            "NotReady: ",
            "FATAL: sorry, too many clients already",
            "remaining connection slots are reserved",
            "Too many connections",
            "the database system is starting up",
        ),
        (
            r"\bNotReady: ",
            "too many clients already",
            "remaining connection slots are reserved",
            "Too many connections",
            r"the database system is (?:starting up|shutting down|in recovery mode)",
        ),
        "Wait, or raise the limit of connections; {again}.",
        confidence=Confidence.LIKELY,
        tried_by="login.current",
    ),
    _entry(
        "db-lock-timeout",
        "The user is locked by another session in the database",
        "the change of the password has waited too long in the database",
        (
            "LockTimedOut: ",
            "StatementTimedOut: ",
            "canceling statement due to lock timeout",
            "canceling statement due to statement timeout",
            "Lock wait timeout exceeded; try restarting transaction",
        ),
        (
            r"\b(?:LockTimedOut|StatementTimedOut): ",
            r"canceling statement due to (?:lock|statement) timeout",
            "Lock wait timeout exceeded",
        ),
        "Find and end the session that holds the lock, in pg_stat_activity or SHOW PROCESSLIST; {again}.",
        confidence=Confidence.LIKELY,
    ),
    _entry(
        "db-authentication-method",
        "The database asks for the password in a way that the function does not know",
        "the database asks for the password in a way that the function does not know",
        (
            "AuthenticationMethodRefused: ",
            "UnsupportedMethod: ",
            "Authentication plugin '%s' is not supported",
            "Authentication plugin 'caching_sha2_password' cannot be loaded",
        ),
        (
            r"\b(?:AuthenticationMethodRefused|UnsupportedMethod): ",
            r"Authentication plugin '[^']*' (?:is not supported|cannot be loaded)",
        ),
        "Let the database ask this user in another way, or use a function whose driver knows it.",
    ),
    _entry(
        "db-grant-missing",
        "The user who logs in may not change the password",
        "the user who logs in may not change the password",
        (
            "MissingGrant: ",
            "must be superuser to alter",
            "Access denied; you need (at least one of) the CREATE USER privilege(s) for this operation",
            "ORA-01031: insufficient privileges",
        ),
        (
            r"\bMissingGrant: ",
            "must be superuser to",
            "must have CREATEROLE privilege",
            r"permission denied to alter role(?=\s*DETAIL: +Only roles with the CREATEROLE)",
            r"Access denied; you need \(at least one of\)",
            "ORA-01031",
            "NOPERM ",
        ),
        "Grant the right to the user who logs in: with alternating users that is the superuser secret's.",
    ),
    _entry(
        "db-another-product",
        "The server is a database of another kind than the value says",
        "the server is a database of another kind",
        ("AnotherProduct: ",),
        (r"\bAnotherProduct: ",),
        "Set engine in the value to what the server is, and give the secret the function that is made for it.",
    ),
    _entry(
        "db-clone-conflict",
        "The second of two alternating users exists, and is somebody else",
        "the second of the two alternating users is somebody else",
        ("NotAClone: %s: user %s may do more than %s and is not its clone",),
        (r"\bNotAClone: ",),
        "Make one of the two a member of the other, or give both the same rights; otherwise rename the secret's user.",
    ),
    _entry(
        "db-user-without-password",
        "The database lets this user in without a password",
        "the database does not ask this user for a password",
        ("PasswordNotAsked: ",),
        (r"\bPasswordNotAsked: ",),
        "Give the user a password, let its clients send it, store it in the secret; then rotate.",
    ),
    _entry(
        "db-change-not-durable",
        "The database would forget the new password when it starts again",
        "the database would forget the new password when it starts again",
        ("NotDurable: ",),
        (r"\bNotDurable: ",),
        "Name an aclfile that the server may write, or start it from a configuration file that it may write.",
    ),
)
