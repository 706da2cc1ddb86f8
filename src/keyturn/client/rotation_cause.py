"""Why a rotation failed, or would, in words, where its cause is one that Keyturn, Lambda or Keyturn's engines name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from keyturn.doctor.catalogue import cause_of

_WORDS: Final[Mapping[str, str]] = {
    "notInvoked": "Secrets Manager could not invoke the function",
    "timeout": "the function ran out of time",
    "throttled": "the function was throttled",
    "functionError": "the function failed",
    "refused": "Secrets Manager refused to go on with the version that is pending",
    "internal": "Keyturn itself failed; its log says how",
    "AllRefused": "the database refuses every stored version",
    "AnotherProduct": "the database is of another kind than the secret says",
    "AuthenticationFailed": "the database refuses the login",
    "AuthenticationMethodRefused": "the database asks for the password in a way that the function does not use",
    "BehindProxy": "a proxy answered, not the database",
    "ClientError": "a call of the function to Keyturn was refused",
    "ConnectTimeoutError": "the function could not reach Keyturn",
    "ConnectionLost": "the connection to the database was lost",
    "ConnectionRefused": "the database's host refuses connections",
    "ConnectionTimedOut": "the database did not answer in time",
    "DatabaseMissing": "the server has no database of that name",
    "EndpointConnectionError": "the function could not reach Keyturn",
    "HostBlocked": "the database has blocked the function's address after broken connections",
    "HostNotFound": "the database's host has no address",
    "HostUnreachable": "the database's host cannot be reached",
    "KeyError": "the secret's value, or the function's environment, lacks a key that the function reads",
    "LockTimedOut": "another session of the database holds a lock on the user",
    "Misdescribed": "the secret describes the API's key wrongly",
    "MissingGrant": "the database user lacks a right",
    "NotAClone": "the second user exists and is not a clone of the secret's user",
    "NotAdmitted": "the database does not let the user in from the function's address, or the user may not log in",
    "NotDurable": "the database would forget a new password when it starts again",
    "NotFinished": "finishSecret did not make the new version current",
    "NotReady": "the database is starting, stopping or has no connection left",
    "PasswordNotAsked": "the database lets the user in without a password",
    "PasswordRejected": "the database does not take the new password",
    "PendingFromElsewhere": "the pending version was not stored by the rotation function",
    "PendingWasCurrent": "the pending version was current before, and holds an old value",
    "ReadOnlyReplica": "the host takes no changes: it is a replica",
    "ReadTimeoutError": "Keyturn did not answer the function in time",
    "Redirected": "the API answered with a redirection",
    "StatementTimedOut": "the database ended a statement that took too long",
    "TlsFailed": "no TLS connection to the database could be made",
    "TlsRequired": "the database wants TLS",
    "Unanswered": "the function does not say which version the database accepts",
    "UnexpectedAnswer": "the API answered something unexpected",
    "UnsupportedMethod": "the database asks for the password in a way that the function does not know",
    "UserMissing": "the database has no such user",
    "Runtime.ExitError": "the function's process ended",
    "Runtime.HandlerNotFound": "the function's package has no such handler",
    "Runtime.ImportModuleError": "the function's code could not be imported",
    "Runtime.MalformedHandlerName": "the function's handler is not a name like module.function",
    "Runtime.OutOfMemory": "the function ran out of memory",
    "Runtime.UserCodeSyntaxError": "the function's code is not valid Python",
}
# Faults of Secrets Manager that boto3 raises under their own names.
_FAULTS: Final[Mapping[str, str]] = {
    "AccessDeniedException": "the function's role may not make the call",
    "DecryptionFailure": "the secret's KMS key could not be used to decrypt it",
    "EncryptionFailure": "the secret's KMS key could not be used to encrypt it",
    "InvalidRequestException": "Secrets Manager refused a call of the function in the secret's present state",
    "ResourceNotFoundException": "Secrets Manager does not find the secret, or a version of it",
    "ThrottlingException": "Secrets Manager was called too often",
}
_DRIFTS: Final[Mapping[str, str]] = {
    "drift:ChangedOutside": "the password was changed outside of rotation",
    "drift:CurrentRefused": "the database refuses AWSCURRENT",
    "drift:PendingIsInDatabase": "the database has AWSPENDING's password",
    "drift:PreviousIsInDatabase": "the database has AWSPREVIOUS' password",
    "drift:PreviousStillAccepted": "the previous password is still accepted",
}
# What a pre-flight looks at: a code alone does not say, where a rotation names none, what it is about.
_LOOKS: Final[Mapping[str, str]] = {
    "endpoint.connect": "connecting to Secrets Manager",
    "endpoint.resolve": "the address of Secrets Manager",
    "endpoint.tls": "TLS to Secrets Manager",
    "function.import": "the function's code",
    "function.start": "the function's start",
    "secret.describe": "describing the secret",
    "secret.read": "reading the secret",
    "secret.value": "the secret's value",
    "superuser.read": "reading the superuser secret",
    "superuser.value": "the superuser secret's value",
    "database.resolve": "the name of the database's host",
    "database.connect": "connecting to the database",
    "database.tls": "TLS to the database",
    "login.current": "logging in with AWSCURRENT",
    "login.pending": "logging in with AWSPENDING",
    "login.previous": "logging in with AWSPREVIOUS",
    "login.superuser": "logging in as the superuser",
}
_LOOKED: Final[Mapping[str, str]] = {
    "MissingKey": "a key is missing",
    "NotJson": "it is not a JSON object",
    "NotLooked": "not looked at",
    "NotReached": "not looked at, because the way there fails",
    "NotRead": "not looked at, because the value could not be read",
    "NotStarted": "not tried",
    "NotTried": "not tried",
    "OldPython": "the function's Python is too old for Keyturn's look",
    "OtherHost": "it names another host than the secret",
    "OtherUser": "it names a user that no rotation would set",
    "UnknownEngine": "its engine is not known, so no login can be tried",
}
_BEGINNINGS: Final = ("A ", "An ", "It ", "Nothing ", "The ", "There ")
_OF_ENDPOINT: Final = {"HostNotFound": "no address is found", "TlsFailed": "it fails"}


def cause_in_words(cause: str, refused_action: str = "") -> str:
    """Return why a rotation failed; a name that a function of somebody's has made up stays as it is.

    Args:
        cause: Its short name.
        refused_action: What the function was not allowed, as policies name it; empty if that is not why.
    """
    if refused_action:
        return f"the function may not call {refused_action}"
    return _WORDS.get(cause) or _FAULTS.get(cause, cause)


def preflight_cause_in_words(cause: str) -> str:
    """Return what a pre-flight has found: a drift, an entry of the doctor's catalogue, or what came of one look."""
    kind, _, code = cause.partition(":")
    if kind == "drift":
        return _DRIFTS.get(cause, cause)
    if kind == "doctor":
        known = cause_of(code)
        return _in_a_sentence(known.title) if known else code
    if kind == "function.invoke":
        return cause_in_words(code)
    if kind not in _LOOKS:
        return cause
    of_endpoint = _OF_ENDPOINT.get(code) if kind.startswith("endpoint.") else None
    said = of_endpoint or _LOOKED.get(code) or cause_in_words(code)
    return f"{_LOOKS[kind]}: {said}"


def cause_name(cause: str) -> str:
    """Return the name of what a pre-flight has found as documentation and searches have it."""
    return cause.removeprefix("doctor:")


def _in_a_sentence(title: str) -> str:
    """Return a title with a small letter first, unless it begins with a name."""
    return title[:1].lower() + title[1:] if title.startswith(_BEGINNINGS) else title
