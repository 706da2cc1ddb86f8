"""Errors of AWS Identity and Access Management, for users, roles, access keys and inline policies.

The wire code comes from the model and is not the class's name (``NoSuchEntity`` for ``NoSuchEntityException``).
"""

from __future__ import annotations

from keyturn.errors.base import AwsError


class ConcurrentModificationException(AwsError):
    """Several requests change the same entity at once."""


class DeleteConflictException(AwsError):
    """The entity still has policies or access keys."""


class EntityAlreadyExistsException(AwsError):
    """An entity by that name exists already."""


class InvalidInputException(AwsError):
    """A parameter's value is not valid."""


class LimitExceededException(AwsError):
    """The request would exceed a quota of the account."""


class MalformedPolicyDocumentException(AwsError):
    """The policy document is not well-formed."""

    default_message = "Syntax errors in policy."


class NoSuchEntityException(AwsError):
    """No such user, role, access key or policy."""


class PolicyEvaluationException(AwsError):
    """The simulator could not evaluate a policy."""


class ServiceFailureException(AwsError):
    """Something broke on the server's side."""

    default_message = "An error occurred on the server side."


class UnmodifiableEntityException(AwsError):
    """Only the service that owns this role may change it."""
