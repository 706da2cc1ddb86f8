"""Names of secrets, and what a SecretId can mean.

A SecretId is a name, an ARN, or a partial ARN: the ARN without the hyphen and six characters that AWS appends. A name
that itself ends in a hyphen and six characters looks, behind a partial ARN, like a full one, and is not found by it;
AWS has the same trap, and its documentation warns of such names.

Source: Secrets Manager User Guide, "What's in a secret"; recorded by localstack (test_invalid_secret_name,
test_create_and_update_secret).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from keyturn.arn import Arn, InvalidArn, Place
from keyturn.errors.common import ValidationFailed
from keyturn.errors.secretsmanager import ResourceNotFoundException

# "!" is in names of secrets that other services own (rds!cluster-…).
_NAME = re.compile(r"[A-Za-z0-9/_+=.@!-]+")
_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}\Z")
_RESOURCE_PREFIX = "secret:"


class Meaning(Enum):
    """How to look a SecretId up."""

    NAME = auto()
    FULL_ARN = auto()
    PARTIAL_ARN = auto()


@dataclass(frozen=True, slots=True)
class SecretReference:
    """What a SecretId means: ``value`` is the whole ARN for a full one, else the secret's name."""

    meaning: Meaning
    value: str


def check_name(name: str) -> str:
    """Return the name of a secret if it is a valid one.

    Raises:
        ValidationFailed: It has characters that names do not have.
    """
    if not _NAME.fullmatch(name):
        raise ValidationFailed(
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
        )
    return name


def looks_suffixed(name: str) -> bool:
    """Whether the text ends in a hyphen and six characters, as ARNs of secrets do and names should not."""
    return _SUFFIX.search(name) is not None


def secret_reference(secret_id: str, place: Place) -> SecretReference:
    """Say what a SecretId means on this server.

    Args:
        secret_id: As sent.
        place: Where this server's secrets live.

    Raises:
        ValidationFailed: Neither a valid name nor an ARN.
        ResourceNotFoundException: An ARN of another partition, region, account or service.
    """
    if not secret_id.startswith("arn:"):
        return SecretReference(Meaning.NAME, check_name(secret_id))
    try:
        arn = Arn.parse(secret_id)
    except InvalidArn:
        # With its colons it is no name either, and so the message about names is the one AWS gives.
        return SecretReference(Meaning.NAME, check_name(secret_id))
    here = (place.partition, "secretsmanager", place.region, place.account_id)
    if (arn.partition, arn.service, arn.region, arn.account_id) != here:
        raise ResourceNotFoundException
    if not arn.resource.startswith(_RESOURCE_PREFIX):
        raise ResourceNotFoundException
    name = check_name(arn.resource.removeprefix(_RESOURCE_PREFIX))
    if looks_suffixed(name):
        return SecretReference(Meaning.FULL_ARN, secret_id)
    return SecretReference(Meaning.PARTIAL_ARN, name)
