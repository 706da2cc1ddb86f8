"""Why a step of a rotation failed, in one word of a closed set.

A rotation function can be anybody's, and what it calls its errors is its own affair: whatever counts or groups by cause
must not have to keep every word that a function makes up.
"""

from __future__ import annotations

import re

from keyturn.rules.rotation import StepOutcome

OTHER = "other"
# What a function's own error type may be called to be told apart: the faults of Keyturn's rotation functions
# (rotators/engines/base.py), what Python and boto3 raise in any, and what Lambda says of a function that did not run.
KNOWN = frozenset(
    {
        "AuthenticationFailed",
        "AuthenticationMethodRefused",
        "ConnectionLost",
        "ConnectionRefused",
        "ConnectionTimedOut",
        "DatabaseError",
        "DatabaseMissing",
        "HostNotFound",
        "HostUnreachable",
        "MissingGrant",
        "NotAClone",
        "NotAdmitted",
        "NotReady",
        "PasswordRejected",
        "ReadOnlyReplica",
        "TlsFailed",
        "TlsRequired",
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
_TYPE = re.compile(r"([A-Za-z][A-Za-z0-9.]{0,63}): ", re.ASCII)


def cause_of(outcome: StepOutcome, error: str | None) -> str:
    """Return the cause of a step that failed.

    Args:
        outcome: How its invocation ended.
        error: What is stored of the error: its type, a colon and its message, if a function said so.

    Returns:
        One of :data:`KNOWN`; ``other`` for errors of any other name; ``timeout``, ``throttled`` and ``notInvoked`` for
        functions that did not get to say anything. Empty if the step succeeded.
    """
    if outcome is StepOutcome.SUCCEEDED:
        return ""
    if outcome is not StepOutcome.FUNCTION_ERROR:
        return outcome.value
    named = _TYPE.match(error or "")
    return named[1] if named is not None and named[1] in KNOWN else OTHER
