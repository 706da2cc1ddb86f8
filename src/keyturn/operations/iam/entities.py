"""The users and roles that IAM's calls act on, and the quotas and names they share.

A refusal names the entity as AWS does: ``on resource: role NAME``, and its ARN where it is about to be made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keyturn.call import Call, PrincipalKind
from keyturn.errors.common import ValidationFailed
from keyturn.errors.iam import (
    EntityAlreadyExistsException,
    InvalidInputException,
    LimitExceededException,
    NoSuchEntityException,
)
from keyturn.operations.kit import Kit
from keyturn.operations.subject import Subject
from keyturn.storage import principals
from keyturn.storage.principals import RoleRecord, UserRecord
from keyturn.wire.types.iam import Tag

_TAGS_PER_ENTITY = 50

ConditionKeys = Mapping[str, tuple[str, ...]]


def role(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[RoleRecord]:
    """Load the role that ``RoleName`` means."""
    name = request["RoleName"]
    with kit.state.read() as connection:
        record = principals.load_role(connection, call.place.account_id, name)
    asked, keys = f"role {name}", request_tag_keys(request)
    if record is None:
        return Subject(call.place.role_arn("/", name), asked, None, missing=missing_role(name), keys=keys)
    return Subject(record.arn, asked, record, keys={**keys, **_resource_tag_keys(record.tags)})


def user(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[UserRecord]:
    """Load the user that ``UserName`` means; without it, the user who calls.

    Raises:
        ValidationFailed: No name, and the caller is not a user.
    """
    name = request.get("UserName")
    if name is None:
        if call.principal.kind is not PrincipalKind.USER:
            raise ValidationFailed("Must specify userName when calling with non-User credentials")
        name = call.principal.name
    with kit.state.read() as connection:
        record = principals.load_user(connection, call.place.account_id, name)
    if record is None:
        return Subject(call.place.user_arn("/", name), f"user {name}", None, missing=missing_user(name))
    return Subject(record.arn, f"user {name}", record, keys=_resource_tag_keys(record.tags))


def all_roles(_kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[None]:
    """The path under which roles are listed."""
    arn = call.place.role_arn(request.get("PathPrefix", "/"), "")
    return Subject(arn, arn, record=None)


def all_users(_kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[None]:
    """The path under which users are listed."""
    arn = call.place.user_arn(request.get("PathPrefix", "/"), "")
    return Subject(arn, arn, record=None)


def missing_role(name: str) -> NoSuchEntityException:
    """What is said about a role that does not exist."""
    return NoSuchEntityException(f"The role with name {name} cannot be found.")


def missing_user(name: str) -> NoSuchEntityException:
    """What is said about a user that does not exist."""
    return NoSuchEntityException(f"The user with name {name} cannot be found.")


def check_new_name(entity: str, name: str, taken: Iterable[str], limit: int) -> None:
    """Check that one more user or role may have this name. Names that differ in case only are the same to IAM.

    Args:
        entity: ``Role`` or ``User``.
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
    if len(names) >= limit:
        raise LimitExceededException(f"Cannot exceed quota for {entity}sPerAccount: {limit}")


def already_exists(entity: str, name: str) -> EntityAlreadyExistsException:
    """What is said about a name that is taken."""
    return EntityAlreadyExistsException(f"{entity} with name {name} already exists.")


def request_tag_keys(request: Mapping[str, Any]) -> ConditionKeys:
    """Condition keys of the tags in a request. Source: IAM User Guide, "Controlling access for tags"."""
    tags: Sequence[Tag] = request.get("Tags") or ()
    tag_names = tuple(tag["Key"] for tag in tags) or tuple(request.get("TagKeys") or ())
    if not tag_names:
        return {}
    return {"aws:tagkeys": tag_names, **{f"aws:requesttag/{tag['Key'].lower()}": (tag["Value"],) for tag in tags}}


def with_tags(present: Mapping[str, str] | None, added: Sequence[Tag] | None) -> dict[str, str] | None:
    """Return the tags of an entity after some were added; None if there are none.

    Raises:
        InvalidInputException: A key occurs twice.
        LimitExceededException: There are more than an entity may have.
    """
    added = added or ()
    lowered = [tag["Key"].casefold() for tag in added]
    if len(set(lowered)) != len(lowered):
        raise InvalidInputException("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    # Keys are compared without regard to case, and shown as they were written last.
    tags = {key: value for key, value in (present or {}).items() if key.casefold() not in lowered}
    tags.update((tag["Key"], tag["Value"]) for tag in added)
    if len(tags) > _TAGS_PER_ENTITY:
        raise LimitExceededException(f"Cannot exceed quota for TagsPerEntity: {_TAGS_PER_ENTITY}")
    return tags or None


def tag_list(tags: Mapping[str, str] | None) -> list[Tag]:
    """Return tags as IAM lists them, by key."""
    return [{"Key": key, "Value": value} for key, value in sorted((tags or {}).items())]


def _resource_tag_keys(tags: Mapping[str, str] | None) -> ConditionKeys:
    return {
        f"{prefix}:resourcetag/{key.lower()}": (value,)
        for key, value in (tags or {}).items()
        for prefix in ("aws", "iam")
    }
