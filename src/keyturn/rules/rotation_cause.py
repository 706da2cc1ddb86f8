"""Causes of failed steps, as they are counted: words of a closed set.

A rotation function can be anybody's, and what it calls its errors is its own affair: whoever counts by cause must not
have to keep every word that a function makes up.
"""

from __future__ import annotations

import re

from keyturn.rules.rotation import StepOutcome

OTHER = "other"
# What Keyturn itself calls causes (scheduler/), the faults of its rotation functions (rotators/engines/base.py), what
# Python and boto3 raise in any function, and what Lambda says of one that did not run.
KNOWN = frozenset(
    {
        *(outcome.value for outcome in StepOutcome if outcome is not StepOutcome.SUCCEEDED),
        "NotFinished",
        "PendingFromElsewhere",
        "Unanswered",
        "AnotherProduct",
        "AuthenticationFailed",
        "AuthenticationMethodRefused",
        "BehindProxy",
        "ConnectionLost",
        "ConnectionRefused",
        "ConnectionTimedOut",
        "DatabaseError",
        "DatabaseMissing",
        "HostBlocked",
        "HostNotFound",
        "HostUnreachable",
        "LockTimedOut",
        "Misdescribed",
        "MissingGrant",
        "NotAClone",
        "NotAdmitted",
        "NotDurable",
        "NotReady",
        "PasswordNotAsked",
        "PasswordRejected",
        "ReadOnlyReplica",
        "Redirected",
        "StatementTimedOut",
        "TlsFailed",
        "TlsRequired",
        "UnexpectedAnswer",
        "UnsupportedMethod",
        "UserMissing",
        "AttributeError",
        "ClientError",
        "ConnectTimeoutError",
        "EndpointConnectionError",
        "Exception",
        "IndexError",
        "KeyError",
        "NameError",
        "OSError",
        "OperationalError",
        "PermissionError",
        "ReadTimeoutError",
        "ResourceNotFoundException",
        "RuntimeError",
        "TimeoutError",
        "TypeError",
        "ValueError",
        "Runtime.ExitError",
        "Runtime.HandlerNotFound",
        "Runtime.ImportModuleError",
        "Runtime.MalformedHandlerName",
        "Runtime.OutOfMemory",
        "Runtime.UserCodeSyntaxError",
    }
)


_REFUSED = re.compile(r"is not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)")


def refused_action(error: str | None) -> str:
    """Return what an error says that somebody may not do, as policies name it; empty if it says no such thing."""
    found = _REFUSED.search(error or "")
    return found[1] if found else ""


def refused_call(cause: str | None, error: str | None) -> str:
    """Return what a function was not allowed when a rotation failed; empty if that is not why.

    Args:
        cause: The failure's short name.
        error: What was said.
    """
    # Who was refused when the function could not be invoked is Secrets Manager.
    return "" if cause == StepOutcome.NOT_INVOKED else refused_action(error)


def counted_cause(cause: str | None) -> str:
    """Return the cause under which a failure is counted: one of :data:`KNOWN`, or ``other``.

    Args:
        cause: As it is stored; None if there is none.
    """
    return cause if cause in KNOWN else OTHER
