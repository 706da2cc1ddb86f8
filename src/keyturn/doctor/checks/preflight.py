"""What Keyturn finds from inside the function's sandbox: the package, the way, the logins (``--preflight``).

Without ``--preflight`` it is told what was found last, as far as the doctor does not see it itself and as long as it
holds (``newest.py``).

Each check reads items of PreflightRotation's or GetRotationPreflight's reply; the words of items and codes are those of
docs/preflight.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from shlex import quote
from typing import Any

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, Unasked, Untried, cause_of, check
from keyturn.doctor.checks.database_errors import NOT_ADMITTED, admitting
from keyturn.doctor.checks.lambda_service import with_handler
from keyturn.doctor.facts import Kind
from keyturn.doctor.model import Cause, Confidence, Evidence, Finding, Remedy, Role, Section, Topic
from keyturn.doctor.newest import Item, evidence_of, is_seen_from_outside, newest_look, overtaken_by
from keyturn.doctor.own_functions import own_function
from keyturn.doctor.remedies import go_on, store_value
from keyturn.rules.distance import distance

_ASKED = ("keyturn:PreflightRotation", "keyturn:GetRotationPreflight")
_REFUSED = "AuthenticationFailed"
_ENGINE = "engine "
_PENDING, _PREVIOUS, _STILL, _OUTSIDE, _REFUSED_NOW = (
    f"drift:{how}"
    for how in (
        "PendingIsInDatabase", "PreviousIsInDatabase", "PreviousStillAccepted", "ChangedOutside", "CurrentRefused"
    )
)  # fmt: skip
_DRIFTS = {
    _PENDING: "the database refuses AWSCURRENT and has AWSPENDING's password",
    _PREVIOUS: "the database refuses AWSCURRENT and has AWSPREVIOUS' password",
    _OUTSIDE: "the database refuses every labelled version: the password was changed outside of rotation",
    _REFUSED_NOW: "the database refuses AWSCURRENT",
    _STILL: "the database still accepts the previous password, which should be dead",
}
# Of what was skipped: something before it has failed, or it cannot be tried there.
_NOT_TRIED = frozenset(
    {
        "DriverMissing",
        "NotReached",
        "NotRead",
        "NotTried",
        "OldPython",
        "PasswordNotAsked",
        "UnknownEngine",
    }
)


def _items(case: Case, *names: str) -> list[Item]:
    """Return the items of these names, or of names that begin with them and a full stop, of the newest look.

    Raises:
        Skip: There is no look that still holds, or it did not get that far.
        Unseen: It could not be made.
    """
    if case.preflight is None and not case.options.may_be_keyturn:
        raise Skip("only Keyturn looks from inside the sandbox")
    if case.put_off:
        raise Unasked(case.put_off)
    look = newest_look(case)
    if look is None:
        if case.preflight is not None:
            _ = case.preflight.value
        raise Unasked(f"a look from inside the sandbox{case.options.told(', --preflight,')} decides this")
    found = [item for item in look.standing if any(f"{item['Item']}.".startswith(f"{name}.") for name in names)]
    is_failed = any(item["Status"] == "failed" for item in found)
    untried = [item for item in found if item["Status"] == "skipped" and item["Code"] in _NOT_TRIED]
    if untried and not is_failed:
        raise Untried(f"a look from inside the sandbox did not get that far: {_told(untried)}")
    return found


def _failed(case: Case, *names: str) -> list[Item]:
    return [item for item in _items(case, *names) if item["Status"] == "failed"]


def _drift(case: Case) -> Sequence[str]:
    look = newest_look(case)
    return [] if look is None else [cause for cause in look.causes if cause.startswith("drift:")]


def _finding(
    case: Case,
    cause: Cause,
    title: str,
    items: Iterable[Item],
    remedy: Remedy,
    *,
    role: Role = Role.CAUSE,
    step: str | None = None,
) -> Finding:
    """Return what the newest look has found; of one that was made before, with its age, and likely only."""
    look = newest_look(case)
    assert look is not None  # noqa: S101 - asked after _items
    found = Finding(cause, title, look.evidence(case.name, items), remedy, role=role, step=step)
    if look.is_now:
        return found
    again = f"A look from inside the sandbox{case.options.told(' (--preflight)')} says whether it still holds."
    look_again = f"keyturn doctor {quote(case.name)} --preflight"
    return replace(
        found,
        title=f"as was found {distance(look.at, case.now)}, {title}",
        remedy=replace(remedy, text=f"{remedy.text} {again}", by_hand=(*remedy.by_hand, look_again)),
        confidence=Confidence.LIKELY,
    )


def _told(items: Sequence[Item]) -> str:
    first = items[0]
    reason = str(first.get("Reason") or first["Code"]).rstrip(".")
    return f"{reason} ({first['Code']})" if first["Code"] not in reason else reason


FUNCTION = Cause(
    id="preflight-function-start",
    section=Section.FUNCTION,
    topic=Topic.LOGS,
    title="The function does not start in its sandbox",
    symptoms=("function.import", "function.start", "Runtime.ImportModuleError", "Runtime.HandlerNotFound"),
    evidence=_ASKED,
    decision="The pre-flight could not import the function's handler, or not start an execution environment for it.",
    remedy="Mend the package or the handler's name, as the reason says; then look again with --preflight.",
    outranks=("lambda-import-error", "lambda-native-module-mismatch", "lambda-syntax-error", "lambda-handler-missing"),
)


@check(FUNCTION)
def preflight_function_start(case: Case) -> Iterator[Finding]:
    """Look whether the handler imports."""
    if items := _failed(case, "function"):
        remedy = with_handler(case, Remedy("Mend the package, or the function's handler, and look again."))
        yield _finding(
            case,
            FUNCTION,
            f"the function {case.function_name} does not start: {_told(items)}",
            items,
            remedy,
        )


ENDPOINT = Cause(
    id="preflight-endpoint-unreachable",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The function cannot reach Secrets Manager",
    symptoms=("endpoint.resolve", "endpoint.connect", "endpoint.tls", "Could not connect to the endpoint URL"),
    evidence=_ASKED,
    decision="From inside the sandbox the endpoint's name does not resolve, or nothing answers there, or TLS fails.",
    remedy="Set SECRETS_MANAGER_ENDPOINT (or AWS_ENDPOINT_URL) of the function to an address that it reaches, or let"
    " its network reach it.",
    outranks=("function-endpoint-wrong", "function-timeout-too-short"),
)


@check(ENDPOINT)
def preflight_endpoint_unreachable(case: Case) -> Iterator[Finding]:
    """Look whether Secrets Manager is reached."""
    if items := _failed(case, "endpoint"):
        yield _finding(
            case,
            ENDPOINT,
            f"the function {case.function_name} cannot reach Secrets Manager: {_told(items)}",
            items,
            Remedy("Give the function an endpoint that it reaches, or a way to this one."),
            step="createSecret",
        )


DENIED = Cause(
    id="preflight-secret-unreadable",
    section=Section.ROLE,
    topic=Topic.ACCESS_DENIED,
    title="The function's role cannot read the secret, or the superuser secret",
    symptoms=("secret.describe", "secret.read", "superuser.read", "AccessDeniedException"),
    evidence=_ASKED,
    decision="With the function's own credentials DescribeSecret or GetSecretValue was refused, from inside the"
    " sandbox. Where a policy is to blame, the check of that policy says which.",
    remedy="Allow the role what the reason names.",
    yields=True,
)


@check(DENIED)
def preflight_secret_unreadable(case: Case) -> Iterator[Finding]:
    """Look whether the role reads what it needs."""
    if items := _failed(case, "secret.describe", "secret.read", "superuser.read"):
        yield _finding(
            case,
            DENIED,
            f"the function {case.function_name} cannot read what it needs: {_told(items)}",
            items,
            Remedy("Allow the role what the reason names; keyturn audit explain prints the statement for an event."),
            step="createSecret" if any(item["Item"].startswith("secret.") for item in items) else "setSecret",
        )


VALUE = Cause(
    id="preflight-value-unusable",
    section=Section.VALUE,
    topic=Topic.BEYOND,
    title="The secret's value is not one that the function can use",
    symptoms=("secret.value", "superuser.value", "key is missing from secret JSON"),
    evidence=_ASKED,
    decision="The current value of the secret, or of its superuser secret, is no JSON object or lacks what its engine"
    " needs, or names another engine than the function is for, if that is one of Keyturn's.",
    remedy="Store a complete value with put-secret-value: the same, with what is missing.",
    outranks=(
        "secret-not-json",
        "secret-is-binary",
        "secret-key-missing",
        "secret-engine-mismatch",
        "secret-value-unusable",
        # What another engine says to a server is no answer.
        "preflight-database-unreachable",
        "preflight-tls-failed",
        "preflight-login-refused",
    ),
)


@check(VALUE)
def preflight_value_unusable(case: Case) -> Iterator[Finding]:
    """Look whether the values are complete."""
    own = own_function(case)
    named = [item for item in _items(case, "secret.value") if str(item.get("Reason")).startswith(_ENGINE)]
    if own is not None and named and (engine := named[0]["Reason"].removeprefix(_ENGINE)) not in own.engine_names:
        title = f"{case.function_name} is for engine {own.engine_names[0]}, and the value of {case.name} says {engine}"
        text = "Set engine in the value to what the database is, or give the secret the function made for it."
        yield _finding(case, VALUE, title, named, Remedy(text))
    elif items := _failed(case, "secret.value", "superuser.value"):
        whose = "the superuser secret's value" if items[0]["Item"].startswith("superuser") else "the secret's value"
        title = f"{whose} cannot be used: {_told(items)}"
        arn = case.superuser_arn if items[0]["Item"].startswith("superuser") else case.arn
        remedy = Remedy("Store a complete value: the same, with what is missing.", by_hand=store_value(arn))
        yield _finding(case, VALUE, title, items, remedy)


UNREACHABLE = Cause(
    id="preflight-database-unreachable",
    section=Section.DATABASE,
    topic=Topic.NETWORK,
    title="The function cannot reach the database",
    symptoms=("database.resolve", "database.connect", "ConnectionRefused", "ConnectionTimedOut", "HostNotFound"),
    evidence=_ASKED,
    decision="From inside the sandbox the host's name does not resolve, or nothing answers at host and port.",
    remedy="Start the database, correct host and port in the value, or let the function's network reach it.",
    outranks=(
        "db-host-gone",
        "db-login-failed",
        "db-connection-refused",
        "db-unreachable",
        "db-connection-lost",
        "pending-login-failed",
    ),
)


@check(UNREACHABLE)
def preflight_database_unreachable(case: Case) -> Iterator[Finding]:
    """Look whether the database answers."""
    if items := _failed(case, "database.resolve", "database.connect"):
        yield _finding(
            case,
            UNREACHABLE,
            f"the function {case.function_name} cannot reach the database: {_told(items)}",
            items,
            Remedy(
                "Start the database, correct host and port in the secret's value, or open the way to it.",
                by_hand=store_value(case.arn),
            ),
            step="setSecret",
        )


TLS = Cause(
    id="preflight-tls-failed",
    section=Section.DATABASE,
    topic=Topic.BEYOND,
    title="TLS between the function and the database fails",
    symptoms=("database.tls", "TlsFailed", "TlsRequired"),
    evidence=_ASKED,
    decision="The database was reached from inside the sandbox, and TLS was refused, demanded or not trusted.",
    remedy="Set ssl in the value as the server is, or give the function the server's certificate authority.",
    outranks=("db-tls-required", "db-tls-handshake", "db-tls-hostname-mismatch"),
)


@check(TLS)
def preflight_tls_failed(case: Case) -> Iterator[Finding]:
    """Look whether TLS holds."""
    if items := _failed(case, "database.tls"):
        remedy = Remedy(
            "Set ssl in the secret's value as the server is, or mend the certificate.", by_hand=store_value(case.arn)
        )
        yield _finding(case, TLS, f"TLS to the database fails: {_told(items)}", items, remedy, step="setSecret")


# What an error of Keyturn's engines is in the words of the causes that a log tells of.
_TOLD_BY = {
    "AnotherProduct": "db-another-product",
    "AuthenticationMethodRefused": "db-authentication-method",
    "BehindProxy": "db-proxy-endpoint",
    "ConnectionLost": "db-connection-lost",
    "DatabaseMissing": "db-database-missing",
    "HostBlocked": "db-not-admitted",
    "NotAdmitted": "db-not-admitted",
    "NotReady": "db-not-ready",
    "ReadOnlyReplica": "db-read-only-endpoint",
    "UnsupportedMethod": "db-authentication-method",
    "UserMissing": "db-user-missing",
}

LOGIN = Cause(
    id="preflight-login-refused",
    section=Section.DATABASE,
    topic=Topic.BEYOND,
    title="The database refuses AWSCURRENT",
    symptoms=("login.current", "AuthenticationFailed", "drift:ChangedOutside", "drift:CurrentRefused"),
    evidence=_ASKED,
    decision="The login with the current value was refused, and none of the other labelled versions is known to be"
    " accepted: the password was changed outside, or the user is gone. The code of the item tells other reasons apart:"
    " not admitted from here, no such database.",
    remedy="Set the user's password in the database to the one that is stored, or store the one that the database has"
    " (put-secret-value); then look again.",
    outranks=("db-login-failed", "pending-login-failed", *sorted(set(_TOLD_BY.values()))),
)


@check(LOGIN)
def preflight_login_refused(case: Case) -> Iterator[Finding]:
    """Look whether AWSCURRENT logs in."""
    items = _failed(case, "login.current")
    if items and not {_PENDING, _PREVIOUS} & set(_drift(case)):
        title = "a login with AWSCURRENT fails"
        store = store_value(case.arn)
        remedy = Remedy("Do what the reason names, then look again.")
        if items[0]["Code"] == _REFUSED:
            title = "the database refuses AWSCURRENT, so that who reads the secret does not get in"
            remedy = Remedy(
                "Set that user's password to the stored one, or store the one that the database has.", by_hand=store
            )
        elif told_by := cause_of(_TOLD_BY.get(items[0]["Code"], "")):
            title = f"{told_by.title[0].lower()}{told_by.title[1:]}"
            remedy = Remedy(told_by.remedy, by_hand=store if "in the value" in told_by.remedy else ())
            if told_by is NOT_ADMITTED.cause:
                remedy = admitting(str(items[0].get("Reason")), remedy)
        yield _finding(case, LOGIN, f"{title}: {_told(items)}", items, remedy)


SUPERUSER = Cause(
    id="preflight-superuser-login-refused",
    section=Section.SUPERUSER,
    topic=Topic.FIRST_ROTATION,
    title="The database refuses the superuser secret's value",
    symptoms=("login.superuser", "Unable to log into database using credentials in master secret"),
    evidence=_ASKED,
    decision="The login with the superuser secret's current value failed, from inside the sandbox.",
    remedy="Store the superuser's true password in the superuser secret.",
    outranks=("master-login-failed",),
)


@check(SUPERUSER)
def preflight_superuser_login_refused(case: Case) -> Iterator[Finding]:
    """Look whether the superuser logs in."""
    if items := _failed(case, "login.superuser"):
        yield _finding(
            case,
            SUPERUSER,
            f"the superuser secret does not log in: {_told(items)}",
            items,
            Remedy(
                "Store the superuser's true password in the superuser secret.", by_hand=store_value(case.superuser_arn)
            ),
            step="setSecret",
        )


PENDING_SET = Cause(
    id="drift-pending-in-database",
    section=Section.DATABASE,
    topic=Topic.BEYOND,
    title="The database has the password of AWSPENDING, and AWSCURRENT is refused",
    symptoms=(_PENDING, "login.pending Accepted"),
    evidence=_ASKED,
    decision="The login with AWSCURRENT was refused and the one with AWSPENDING accepted: a rotation was cut off"
    " between setSecret and finishSecret.",
    remedy="Rotate: it goes on from there. keyturn rotation resolve moves the label at once.",
    outranks=("db-login-failed", "pending-login-failed", "pending-stuck"),
)


@check(PENDING_SET)
def drift_pending_in_database(case: Case) -> Iterator[Finding]:
    """Look whether the pending value is the one that logs in."""
    items = _items(case, "login.current", "login.pending")
    if _PENDING in _drift(case):
        resolve = f"keyturn rotation resolve {quote(case.name)}"
        yield _finding(
            case,
            PENDING_SET,
            "the database has AWSPENDING's password, so that who reads the secret is refused",
            items,
            Remedy("Let the rotation go on, or have the label moved at once.", (go_on(case),), by_hand=(resolve,)),
        )


PREVIOUS_SET = Cause(
    id="drift-previous-in-database",
    section=Section.DATABASE,
    topic=Topic.BEYOND,
    title="The database has the password of AWSPREVIOUS, and AWSCURRENT is refused",
    symptoms=(_PREVIOUS, "login.previous StillAccepted"),
    evidence=_ASKED,
    decision="The login with AWSCURRENT was refused and the one with AWSPREVIOUS accepted: the database was restored"
    " from a backup, or somebody has set the old password.",
    remedy="Make that version current again, then rotate.",
    outranks=("db-login-failed",),
)


@check(PREVIOUS_SET)
def drift_previous_in_database(case: Case) -> Iterator[Finding]:
    """Look whether the previous value is the one that logs in."""
    items = _items(case, "login.current", "login.previous")
    if _PREVIOUS in _drift(case):
        resolve = f"keyturn rotation resolve {quote(case.name)}"
        yield _finding(
            case,
            PREVIOUS_SET,
            "the database has AWSPREVIOUS' password, so that who reads the secret is refused",
            items,
            Remedy("Have the label moved back to that version, then rotate.", by_hand=(resolve,)),
        )


PREVIOUS_ALIVE = Cause(
    id="drift-previous-still-accepted",
    section=Section.DATABASE,
    topic=Topic.BEYOND,
    title="The database still accepts the previous password",
    symptoms=(_STILL, "login.previous StillAccepted"),
    evidence=_ASKED,
    decision="AWSCURRENT and AWSPREVIOUS are of one user, and the database accepts both: a password that is thought"
    " dead lives.",
    remedy="Look for a second way to authenticate (several password hashes, a proxy's cache, trust in pg_hba.conf), and"
    " rotate once more.",
)


@check(PREVIOUS_ALIVE)
def drift_previous_still_accepted(case: Case) -> Iterator[Finding]:
    """Look whether the previous value is dead where it should be."""
    items = _items(case, "login.previous")
    if _STILL in _drift(case):
        yield _finding(
            case,
            PREVIOUS_ALIVE,
            "the database still accepts the previous password, which should be dead",
            items,
            Remedy("Find out by what it lives; rotating once more replaces both.", (go_on(case),)),
            role=Role.RISK,
        )


LAST = Cause(
    id="preflight-found-last",
    section=Section.ROTATION,
    topic=Topic.BEYOND,
    title="The last look from inside the function's sandbox has found that a rotation will fail, or a drift",
    symptoms=("It will fail, as was found", _OUTSIDE, _REFUSED_NOW, _PENDING, _PREVIOUS, _STILL),
    evidence=("keyturn:GetRotationPreflight",),
    decision="Keyturn's last pre-flight of this secret has found what the doctor does not see from outside: a login,"
    " the way to the database, the package. As long as it holds the cause that it has found is told in its place. Where"
    " a rotation has failed since, it is a cause only if nothing else is one; where the value or the function was"
    " changed since, or where it is more than a day old, a note.",
    remedy="Look again with --preflight, which says what to do.",
    outranks=("pending-stuck",),
    yields=True,
)


@check(LAST)
def preflight_found_last(case: Case) -> Iterator[Finding]:
    """Look at what is known already, and was overtaken."""
    found, checked_at = _found_last(case)
    if newest_look(case) is not None:
        raise Skip("what was tried last is told by the checks of it")
    drifts = [cause for cause in found.get("Causes", []) if cause.startswith("drift:")]
    failed = [item for item in found.get("Items", []) if item["Status"] == "failed" and not is_seen_from_outside(item)]
    is_over = case.last_rotated_at is not None and case.last_rotated_at > checked_at
    if is_over or not (failed or drifts) or (found["Verdict"] != "will fail" and not drifts):
        return
    told = _DRIFTS.get(drifts[0], drifts[0]) if drifts else f"a rotation would fail: {_told(failed)}"
    overtaken = overtaken_by(case, checked_at)
    stored = store_value(case.arn) if not {_OUTSIDE, _REFUSED_NOW}.isdisjoint(drifts) else ()
    is_past = bool(overtaken)
    yield Finding(
        LAST,
        f"as was found at {checked_at:%Y-%m-%d %H:%M:%S} UTC, {told}; {overtaken}"
        if is_past
        else f"as was found {distance(checked_at, case.now)}, {told}",
        evidence_of(LAST.evidence[0], case.name, failed, checked_at)
        or (Evidence(LAST.evidence[0], case.name, ", ".join(drifts), checked_at),),
        Remedy(
            f"A look from inside the sandbox{case.options.told(' (--preflight)')} says whether it still holds, and what"
            f" to do.{' Or store the password that the database has.' if stored and not is_past else ''}",
            by_hand=(f"keyturn doctor {quote(case.name)} --preflight", *(() if is_past else stored)),
        ),
        role=Role.NOTE
        if is_past
        else Role.RISK
        if drifts == [_STILL] and found["Verdict"] != "will fail"
        else Role.CAUSE,
        confidence=Confidence.LIKELY,
        is_history=is_past,
    )


def _found_last(case: Case) -> tuple[Mapping[str, Any], datetime]:
    """Return what was found last, and when.

    Raises:
        Skip: Nothing was, or nobody knows such a thing.
        Unseen: It may not be looked at.
    """
    answer = case.last_preflight
    if answer is None:
        raise Skip("it is looked at now" if case.options.preflight else "only Keyturn knows this")
    if answer.kind is Kind.UNSUPPORTED or answer.code == "NotAReply":
        raise Skip("only Keyturn knows this")
    found = answer.value
    return found, found["CheckedAt"].astimezone(UTC)
