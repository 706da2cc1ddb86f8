"""Causes of failed steps, as they are counted: words of a closed set.

A rotation function can be anybody's, and what it calls its errors is its own affair: whoever counts by cause must not
have to keep every word that a function makes up.
"""

from __future__ import annotations

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


def counted_cause(cause: str | None) -> str:
    """Return the cause under which a failure is counted: one of :data:`KNOWN`, or ``other``.

    Args:
        cause: As it is stored; None if there is none.
    """
    return cause if cause in KNOWN else OTHER
