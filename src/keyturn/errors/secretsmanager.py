"""Errors of AWS Secrets Manager.

The model gives no HTTP status: recorded replies show 400 for every client error, not-found included, and the fault
is 500. Messages are the ones recorded from AWS by localstack and moto (2022-09 to 2025-03).
"""

from __future__ import annotations

from keyturn.errors.base import AwsError


class DecryptionFailure(AwsError):
    """The protected value cannot be decrypted with its KMS key."""


class EncryptionFailure(AwsError):
    """The value cannot be encrypted with the KMS key: is it there, enabled, symmetric?"""


class InternalServiceError(AwsError):
    """Something broke on the server's side."""

    default_message = "An error occurred on the server side."


class InvalidNextTokenException(AwsError):
    """The page token is not one this server gave for this question."""

    default_message = "Invalid token"


class InvalidParameterException(AwsError):
    """A parameter, or a combination of parameters, is not valid."""


class InvalidRequestException(AwsError):
    """The request does not fit the state the secret is in."""


class LimitExceededException(AwsError):
    """The request would exceed a quota."""


class MalformedPolicyDocumentException(AwsError):
    """The resource policy has a syntax error."""

    default_message = "This resource policy contains a syntax error."


class PreconditionNotMetException(AwsError):
    """A step that has to come first is missing."""


class PublicPolicyException(AwsError):
    """The resource policy would give broad access, and the caller asked to refuse that."""

    default_message = "You can't attach a resource-based policy that allows broad access to the secret."


class ResourceExistsException(AwsError):
    """A secret or version by that name or token exists already."""


class ResourceNotFoundException(AwsError):
    """No such secret, version or policy."""

    default_message = "Secrets Manager can't find the specified secret."
