"""Errors of Amazon CloudWatch Logs, for log groups, log streams and events.

Messages as recorded by localstack; the missing full stops are AWS's.
"""

from __future__ import annotations

from keyturn.errors.base import AwsError


class DataAlreadyAcceptedException(AwsError):
    """The event was stored before. AWS no longer answers this."""


class InvalidParameterException(AwsError):
    """A parameter is not valid."""


class InvalidSequenceTokenException(AwsError):
    """The sequence token is not the expected one. AWS no longer answers this."""


class LimitExceededException(AwsError):
    """The request would exceed a quota."""


class OperationAbortedException(AwsError):
    """Several requests change the same resource at once."""


class ResourceAlreadyExistsException(AwsError):
    """A log group or log stream by that name exists already."""

    default_message = "The specified log group already exists"


class ResourceNotFoundException(AwsError):
    """No such log group or log stream."""

    default_message = "The specified log group does not exist."


class ServiceUnavailableException(AwsError):
    """The request cannot be completed now."""

    default_message = "The service cannot complete the request."


class UnrecognizedClientException(AwsError):
    """The access key is not valid. Listed by PutLogEvents; elsewhere it is a signing fault."""


class ValidationException(AwsError):
    """A parameter, or a combination of parameters, is not valid."""
