"""Names of secrets, and what a SecretId can mean.

A SecretId is a name, an ARN, or a partial ARN: the ARN without the hyphen and six characters that AWS appends. A name
that itself ends in a hyphen and six characters looks, behind a partial ARN, like a full one, and is not found by it;
AWS has the same trap, and its documentation warns of such names.

Source: Secrets Manager User Guide, "What's in a secret"; recorded by localstack (test_invalid_secret_name,
test_create_and_update_secret).
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import NamedTuple

from keyturn.arn import Arn, InvalidArn, Place
from keyturn.errors.common import ValidationFailed
from keyturn.errors.secretsmanager import ResourceNotFoundException

# "!" is in names of secrets that other services own (rds!cluster-…).
_NAME = re.compile(r"[A-Za-z0-9/_+=.@!-]+")
_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}\Z")
_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_RESOURCE_PREFIX = "secret:"


class SecretReference(NamedTuple):
    """What a SecretId means. A tuple, because one is made for every call and tuples are quick.

    Attributes:
        arn: The secret's ARN; without its suffix unless ``is_full``.
        is_full: Whether the caller gave the whole ARN; otherwise the secret is found by place and name.
        place: Where the secret lives: the caller's own account, or another one by ARN.
        name: The secret's name; with the suffix if ``is_full``.
    """

    arn: str
    is_full: bool
    place: Place
    name: str


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


def without_suffix(name: str) -> str:
    """Return the name in a full ARN without the hyphen and six characters that AWS appends."""
    return _SUFFIX.sub("", name)


def secret_reference(secret_id: str, place: Place) -> SecretReference:
    """Say what a SecretId means on this server.

    Args:
        secret_id: As sent.
        place: Where the caller works.

    Raises:
        ValidationFailed: Neither a valid name nor an ARN.
        ResourceNotFoundException: An ARN of another partition, region or service, or of what is no account.
    """
    arn = None
    if secret_id.startswith("arn:"):
        # What is no ARN is no name either, with its colons: the message about names is the one AWS gives.
        with suppress(InvalidArn):
            arn = Arn.parse(secret_id)
    if arn is None:
        return SecretReference(
            place.partial_secret_arn(check_name(secret_id)), is_full=False, place=place, name=secret_id
        )
    if (arn.partition, arn.service, arn.region) != (place.partition, "secretsmanager", place.region):
        raise ResourceNotFoundException
    if not _ACCOUNT_ID.fullmatch(arn.account_id):
        raise ResourceNotFoundException
    if not arn.resource.startswith(_RESOURCE_PREFIX):
        raise ResourceNotFoundException
    name = check_name(arn.resource.removeprefix(_RESOURCE_PREFIX))
    owner = Place(arn.partition, arn.region, arn.account_id)
    return SecretReference(secret_id, is_full=looks_suffixed(name), place=owner, name=name)
