"""Errors of the AWS Security Token Service."""

from __future__ import annotations

from keyturn.errors.base import AwsError


class ExpiredTokenException(AwsError):
    """A web identity token has expired. Session credentials that have expired are a signing fault."""


class InvalidAuthorizationMessageException(AwsError):
    """The message to decode was not encoded here, or it is another account's."""


class InvalidContextAssertionException(AwsError):
    """A context assertion of ProvidedContexts is not valid."""


class InvalidParameterValue(AwsError):
    """Session tags that cannot be; no model lists it. Source: field reports."""


class MalformedPolicyDocumentException(AwsError):
    """The session policy is not well-formed."""

    default_message = "Syntax errors in policy."


class PackedPolicyTooLargeException(AwsError):
    """Session policy and session tags are too large together."""


class RegionDisabledException(AwsError):
    """The service is not activated in this region."""
