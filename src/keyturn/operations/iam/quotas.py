"""How much of IAM an account may have, and the check of a new name.

Source: IAM User Guide, "IAM and AWS STS quotas", 2026.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from keyturn.errors.iam import EntityAlreadyExistsException, LimitExceededException

USERS: Final = 5000
GROUPS: Final = 300
ROLES: Final = 1000
POLICIES: Final = 1500
KEYS_PER_USER: Final = 2
GROUPS_PER_USER: Final = 10
VERSIONS_PER_POLICY: Final = 5
ATTACHED: Final = {"User": 10, "Group": 10, "Role": 20}
"""Managed policies that one of each may have."""


def check_new_name(entity: str, name: str, taken: Iterable[str], limit: int) -> None:
    """Check that one more user, group or role may have this name.

    Names that differ in case only are the same to IAM.

    Args:
        entity: ``Role``, ``User`` or ``Group``.
        name: The new one.
        taken: All names there are.
        limit: How many there may be.

    Raises:
        EntityAlreadyExistsException: The name is taken.
        LimitExceededException: There are too many.
    """
    names = [other.casefold() for other in taken]
    if name.casefold() in names:
        raise already_exists(entity, name)
    check_count(f"{entity}sPerAccount", len(names), limit)


def check_count(quota: str, count: int, limit: int) -> None:
    """Check that there may be one more of something.

    Args:
        quota: Its name, as AWS tells it.
        count: How many there are.
        limit: How many there may be.

    Raises:
        LimitExceededException: There are as many as there may be.
    """
    if count >= limit:
        raise LimitExceededException(f"Cannot exceed quota for {quota}: {limit}")


def already_exists(entity: str, name: str) -> EntityAlreadyExistsException:
    """What is said about a name that is taken."""
    return EntityAlreadyExistsException(f"{entity} with name {name} already exists.")
