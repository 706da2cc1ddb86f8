"""Tags of users, roles and managed policies, and the condition keys that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keyturn.errors.iam import InvalidInputException, LimitExceededException
from keyturn.wire.types.iam import Tag

_TAGS_PER_ENTITY = 50

Tags = Mapping[str, str]
ConditionKeys = Mapping[str, tuple[str, ...]]


def request_tag_keys(request: Mapping[str, Any]) -> ConditionKeys:
    """Condition keys of the tags in a request. Source: IAM User Guide, "Controlling access for tags"."""
    tags: Sequence[Tag] = request.get("Tags") or ()
    tag_names = tuple(tag["Key"] for tag in tags) or tuple(request.get("TagKeys") or ())
    if not tag_names:
        return {}
    return {"aws:tagkeys": tag_names, **{f"aws:requesttag/{tag['Key'].lower()}": (tag["Value"],) for tag in tags}}


def resource_tag_keys(tags: Tags | None) -> ConditionKeys:
    """Condition keys of the tags that something has."""
    return {
        f"{prefix}:resourcetag/{key.lower()}": (value,)
        for key, value in (tags or {}).items()
        for prefix in ("aws", "iam")
    }


def with_tags(present: Tags | None, added: Sequence[Tag] | None) -> dict[str, str] | None:
    """Return the tags of a user or role after some were added; None if there are none.

    Raises:
        InvalidInputException: A key occurs twice.
        LimitExceededException: There are more than an entity may have.
    """
    added = added or ()
    lowered = [tag["Key"].casefold() for tag in added]
    if len(set(lowered)) != len(lowered):
        raise InvalidInputException("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    # Keys are compared without regard to case, and shown as they were written last.
    return _checked({**without_tags(present, lowered), **_values(added)})


def without_tags(present: Tags | None, unwanted: Sequence[str]) -> dict[str, str]:
    """Return the tags of a user or role after some were taken off, whatever their keys' case."""
    lowered = {key.casefold() for key in unwanted}
    return {key: value for key, value in (present or {}).items() if key.casefold() not in lowered}


def with_policy_tags(present: Tags | None, added: Sequence[Tag] | None) -> dict[str, str] | None:
    """Return the tags of a managed policy after some were added; None if there are none. Keys differ by case, too.

    Raises:
        InvalidInputException: A key occurs twice.
        LimitExceededException: There are more than an entity may have.
    """
    values = _values(added or ())
    if len(values) != len(added or ()):
        raise InvalidInputException("Duplicate tag keys found.")
    return _checked({**(present or {}), **values})


def tag_list(tags: Tags | None) -> list[Tag]:
    """Return tags as IAM lists them, by key."""
    return [{"Key": key, "Value": value} for key, value in sorted((tags or {}).items())]


def _values(tags: Sequence[Tag]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def _checked(tags: dict[str, str]) -> dict[str, str] | None:
    if len(tags) > _TAGS_PER_ENTITY:
        raise LimitExceededException(f"Cannot exceed quota for TagsPerEntity: {_TAGS_PER_ENTITY}")
    return tags or None
