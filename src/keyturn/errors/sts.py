"""Errors of the AWS Security Token Service, for AssumeRole, GetSessionToken and GetCallerIdentity."""

from __future__ import annotations

from keyturn.errors.base import AwsError


class ExpiredTokenException(AwsError):
    """A web identity token has expired. Session credentials that have expired are a signing fault."""


class InvalidContextAssertionException(AwsError):
    """A context assertion of ProvidedContexts is not valid."""


class MalformedPolicyDocumentException(AwsError):
    """The session policy is not well-formed."""

    default_message = "Syntax errors in policy."


class PackedPolicyTooLargeException(AwsError):
    """Session policy and session tags are too large together."""


class RegionDisabledException(AwsError):
    """The service is not activated in this region."""
