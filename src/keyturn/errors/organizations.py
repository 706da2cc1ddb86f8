"""Errors of AWS Organizations, for accounts."""

from __future__ import annotations

from keyturn.errors.base import AwsError


class AWSOrganizationsNotInUseException(AwsError):
    """The account is in no organization. Every account of a Keyturn is."""


class AccessDeniedException(AwsError):
    """Only the management account may do this."""


class AccountNotFoundException(AwsError):
    """No such account."""


class ConcurrentModificationException(AwsError):
    """Somebody else changes the same thing."""


class ConstraintViolationException(AwsError):
    """The request would exceed a quota."""


class CreateAccountStatusNotFoundException(AwsError):
    """No such request to make an account."""


class FinalizingOrganizationException(AwsError):
    """The organization is not ready yet. It always is here."""


class InvalidInputException(AwsError):
    """A parameter is not valid; ``Reason`` says how."""


class ServiceException(AwsError):
    """Something broke on the server's side."""

    default_message = "An error occurred on the server side."


class TooManyRequestsException(AwsError):
    """Too many calls at once."""


class UnsupportedAPIEndpointException(AwsError):
    """The endpoint does not offer this."""
