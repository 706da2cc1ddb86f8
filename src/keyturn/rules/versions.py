"""Versions of a secret: what a client request token means, and which version a caller asks for.

The token becomes the version id, so sending a request twice makes one version. Comparing values needs the old one to be
opened; that is left to the caller and asked for only when it matters.

Source: Secrets Manager API Reference, CreateSecret, PutSecretValue, GetSecretValue; texts recorded by moto and
localstack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto

from keyturn.errors.base import AwsError
from keyturn.errors.secretsmanager import (
    InvalidParameterException,
    InvalidRequestException,
    ResourceExistsException,
    ResourceNotFoundException,
)
from keyturn.rules.staging import AWSCURRENT


class TokenUse(Enum):
    """What a write with a client request token does."""

    NEW = auto()  # It makes a version.
    FILLS = auto()  # It puts the value into the version that a rotation labelled before.
    REPEATS = auto()  # It was done before: answer the same, change nothing.


class Existing(Enum):
    """What is stored under a version id."""

    NOTHING = auto()
    TOKEN_ONLY = auto()  # Of a CreateSecret that brought no value.
    WITHOUT_VALUE = auto()
    WITH_VALUE = auto()


def no_token(error: type[AwsError] = InvalidRequestException) -> AwsError:
    """Return what is said of a request without ClientRequestToken; InvalidParameterException by RotateSecret."""
    return error("You must provide a ClientRequestToken value. We recommend a UUID-type value.")


def require_token(token: str | None, error: type[AwsError] = InvalidRequestException) -> str:
    """Return the token; SDKs and the CLI always send one.

    Args:
        token: ClientRequestToken.
        error: As for :func:`no_token`.
    """
    if not token:
        raise no_token(error)
    return token


def check_single_value(secret_string: object | None, secret_binary: object | None) -> None:
    """Check that a request brings one value at most.

    Raises:
        InvalidParameterException: Both are given.
    """
    if secret_string is not None and secret_binary is not None:
        raise InvalidParameterException(
            "You can't specify both a binary secret value and a string secret value in the same secret."
        )


def require_value(secret_string: object | None, secret_binary: object | None) -> None:
    """Check that PutSecretValue brings exactly one value.

    Raises:
        InvalidRequestException: None is given.
        InvalidParameterException: Both are given.
    """
    check_single_value(secret_string, secret_binary)
    if secret_string is None and secret_binary is None:
        raise InvalidRequestException("You must provide either SecretString or SecretBinary.")


def use_of_token(token: str, arn: str, existing: Existing, same_value: Callable[[], bool]) -> TokenUse:
    """Decide what PutSecretValue or UpdateSecret does with its token.

    Args:
        token: ClientRequestToken.
        arn: The secret, for the message.
        existing: What is stored under the token as version id.
        same_value: Whether that version's value is the one of the request; called only if it has a value.

    Raises:
        ResourceExistsException: The token belongs to a version with another value.
    """
    if existing is Existing.NOTHING:
        return TokenUse.NEW
    if existing in (Existing.TOKEN_ONLY, Existing.WITHOUT_VALUE):
        return TokenUse.FILLS
    if same_value():
        return TokenUse.REPEATS
    raise ResourceExistsException(
        f"You can't use ClientRequestToken {token} because that value is already in use for a version of secret {arn}."
    )


def use_of_token_to_create(
    token: str, name: str, arn: str, existing: Existing, *, brings_value: bool, same_value: Callable[[], bool]
) -> TokenUse:
    """Decide what CreateSecret does when a secret of that name exists: repeat its answer, or refuse.

    Args:
        token: ClientRequestToken.
        name: The secret's, for the message.
        arn: Likewise.
        existing: What is stored under the token as version id.
        brings_value: Whether the request has a value.
        same_value: Whether that version's value is the one of the request; called only if it has a value.

    Raises:
        ResourceExistsException: The secret was created by another request.
    """
    if existing is Existing.TOKEN_ONLY and not brings_value:
        return TokenUse.REPEATS
    if existing is not Existing.WITH_VALUE:
        raise ResourceExistsException(f"The operation failed because the secret {name} already exists.")
    return use_of_token(token, arn, existing, same_value)


def version_to_read(labels: Mapping[str, str], version_id: str | None, stage: str | None) -> str:
    """Return the version that GetSecretValue is asked for; whether it has a value is not known here.

    Args:
        labels: Staging label to version id.
        version_id: As sent.
        stage: As sent; without either, AWSCURRENT is meant.

    Raises:
        InvalidRequestException: Both are given and belong to different versions.
        ResourceNotFoundException: No version has the label.
    """
    if version_id is not None:
        if stage is not None and labels.get(stage) != version_id:
            raise InvalidRequestException(
                "You provided a VersionStage that is not associated to the provided VersionId."
            )
        return version_id
    wanted = AWSCURRENT if stage is None else stage
    if wanted not in labels:
        raise no_value(None, wanted)
    return labels[wanted]


def no_value(version_id: str | None, stage: str | None) -> ResourceNotFoundException:
    """Return what GetSecretValue says when the version is not there or has no value yet."""
    which = f"VersionId: {version_id}" if version_id is not None else f"staging label: {stage or AWSCURRENT}"
    return ResourceNotFoundException(f"Secrets Manager can't find the specified secret value for {which}")
