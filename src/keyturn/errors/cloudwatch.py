"""Errors of Amazon CloudWatch, for the metrics of functions."""

from __future__ import annotations

from keyturn.errors.base import AwsError


class InternalServiceFault(AwsError):
    """Something broke on the server's side."""

    default_message = "An error occurred on the server side."


class InvalidNextToken(AwsError):
    """The token is not one of this question."""


class InvalidParameterCombinationException(AwsError):
    """Parameters do not go together."""


class InvalidParameterValueException(AwsError):
    """A parameter is not valid."""


class MissingRequiredParameterException(AwsError):
    """A parameter is missing."""
