"""Tags of EC2's objects: those that something is made with, and rules that hold for all.

Source: Amazon EC2 User Guide, "Tag your Amazon EC2 resources", tag restrictions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from keyturn.errors.ec2 import InvalidParameterValue, TagLimitExceeded
from keyturn.operations.ec2.kinds import Kind

Tag = dict[str, str]
_MOST_TAGS = 50
_LONGEST_KEY, _LONGEST_VALUE = 127, 255


def tags_for(kind: Kind, request: Mapping[str, Any]) -> list[Tag]:
    """Return the tags that a request wants an object of a kind to be made with, by key.

    Raises:
        InvalidParameterValue: A specification is for another kind, or a tag cannot be.
        TagLimitExceeded: They are too many.
    """
    wanted: list[Tag] = []
    for specification in request.get("TagSpecifications") or ():
        resource_type = specification.get("ResourceType", "")
        if resource_type != kind.name:
            raise InvalidParameterValue(f"'{resource_type}' is not a valid taggable resource type for this operation.")
        wanted += specification.get("Tags") or ()
    return merged((), wanted)


def merged(present: Iterable[Mapping[str, str]], wanted: Iterable[Mapping[str, str]]) -> list[Tag]:
    """Return tags with others laid over them, by key.

    Raises:
        InvalidParameterValue: A tag cannot be.
        TagLimitExceeded: They are too many together.
    """
    tags = {tag["Key"]: tag["Value"] for tag in present}
    for tag in wanted:
        key, value = tag.get("Key", ""), tag.get("Value", "")
        _check(key, value)
        tags[key] = value
    if len(tags) > _MOST_TAGS:
        raise TagLimitExceeded
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]


def _check(key: str, value: str) -> None:
    if not key:
        raise InvalidParameterValue("Tag key cannot be null or empty.")
    if key.lower().startswith("aws:"):
        raise InvalidParameterValue(
            f"Value ( {key} ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved for internal use"
        )
    if len(key) > _LONGEST_KEY:
        raise InvalidParameterValue(f"Tag key exceeds the maximum length of {_LONGEST_KEY} characters")
    if len(value) > _LONGEST_VALUE:
        raise InvalidParameterValue(f"Tag value exceeds the maximum length of {_LONGEST_VALUE} characters")
