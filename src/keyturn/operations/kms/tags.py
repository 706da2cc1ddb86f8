"""TagResource, UntagResource and ListResourceTags, and which tags a key can have. Texts as recorded by localstack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keyturn.call import Call
from keyturn.errors.kms import TagException
from keyturn.operations.kit import Kit
from keyturn.operations.kms.locking import lock_changeable
from keyturn.operations.kms.pages import page_of
from keyturn.operations.kms.subjects import own_key
from keyturn.operations.registry import operation
from keyturn.storage import kms_keys
from keyturn.storage.kms_keys import KmsKeyRecord
from keyturn.wire.types.kms import (
    ListResourceTagsRequest,
    ListResourceTagsResponse,
    Tag,
    TagResourceRequest,
    TagResourceResponse,
    UntagResourceRequest,
    UntagResourceResponse,
)

_MAX_TAGS = 50
_RESERVED_PREFIX = "aws:"


def tags_with(existing: Mapping[str, str], added: Sequence[Tag]) -> dict[str, str]:
    """Return tags with others added; a key that exists gets the new value and keeps its place.

    Raises:
        TagException: A key cannot have them.
    """
    new = {tag["TagKey"]: tag["TagValue"] for tag in added}
    if len(new) != len(added):
        raise TagException("Duplicate tag keys")
    if any(key.lower().startswith(_RESERVED_PREFIX) for key in new):
        raise TagException("Tags beginning with aws: are reserved")
    tags = {**existing, **new}
    if len(tags) > _MAX_TAGS:
        raise TagException("Too many tags")
    return tags


@operation("kms", "TagResource", subject=own_key)
def tag_resource(kit: Kit, _call: Call, request: TagResourceRequest, record: KmsKeyRecord) -> TagResourceResponse:
    """Add tags to a key, or give them other values."""
    with kit.state.write() as transaction:
        current = lock_changeable(transaction, record)
        kms_keys.update_key(transaction, current, tags=tags_with(current.tags or {}, request["Tags"]) or None)
    return {}


@operation("kms", "UntagResource", subject=own_key)
def untag_resource(kit: Kit, _call: Call, request: UntagResourceRequest, record: KmsKeyRecord) -> UntagResourceResponse:
    """Take tags off a key; those that it does not have are passed over."""
    with kit.state.write() as transaction:
        current = lock_changeable(transaction, record)
        tags = {key: value for key, value in (current.tags or {}).items() if key not in request["TagKeys"]}
        kms_keys.update_key(transaction, current, tags=tags or None)
    return {}


@operation("kms", "ListResourceTags", subject=own_key)
def list_resource_tags(
    kit: Kit, call: Call, request: ListResourceTagsRequest, record: KmsKeyRecord
) -> ListResourceTagsResponse:
    """List a key's tags by their keys."""
    tags = sorted((record.tags or {}).items())
    page = page_of(kit, call, f"kms:ListResourceTags {record.arn}", request, tags, lambda tag: tag[0], _MAX_TAGS)
    response: ListResourceTagsResponse = {
        "Tags": [{"TagKey": key, "TagValue": value} for key, value in page.items],
        "Truncated": page.is_truncated,
    }
    if page.marker is not None:
        response["NextMarker"] = page.marker
    return response
