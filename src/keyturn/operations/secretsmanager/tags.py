"""TagResource and UntagResource, and which tags a secret can have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from keyturn.call import Call
from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.operations.kit import Kit
from keyturn.operations.registry import Response, operation
from keyturn.operations.secretsmanager.lockout import TAG_RESOURCE, UNTAG_RESOURCE, check_tags_keep_access
from keyturn.operations.secretsmanager.subjects import secret, secret_subject
from keyturn.operations.secretsmanager.writing import lock_alive
from keyturn.rules.replication import Part
from keyturn.storage import secrets
from keyturn.storage.database import Transaction
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.secretsmanager import Tag, TagResourceRequest, UntagResourceRequest

_RESERVED_PREFIX = "aws:"


def tags_with(existing: Mapping[str, str], added: Sequence[Tag], quota: int) -> dict[str, str]:
    """Return tags with others added; a key that exists gets the new value and keeps its place.

    Args:
        existing: Of the secret.
        added: As sent.
        quota: How many a secret may have.

    Raises:
        InvalidParameterException: A secret cannot have them.

    Source: AWS Secrets Manager API Reference, TagResource, for the rules; the texts are ours.
    """
    new = {tag.get("Key", ""): tag.get("Value", "") for tag in added}
    if "" in new:
        raise InvalidParameterException("You must provide a key for each tag.")
    if len(new) != len(added):
        raise InvalidParameterException("You can't use the same tag key more than once.")
    if any(key.lower().startswith(_RESERVED_PREFIX) for key in new):
        raise InvalidParameterException("You can't use tag keys that begin with aws: because they are reserved.")
    tags = {**existing, **new}
    if len(tags) > quota:
        raise InvalidParameterException(f"A secret can't have more than {quota} tags.")
    return tags


@operation("secretsmanager", "TagResource", subject=secret)
def tag_resource(kit: Kit, call: Call, request: TagResourceRequest, subject: SecretRecord) -> Response:
    """Add tags; a key that exists gets the new value."""
    with kit.state.write() as transaction:
        current = lock_alive(transaction, subject.arn, call.at, Part.METADATA)
        tags = tags_with(current.tags or {}, request["Tags"], kit.quotas.tags)
        _change(kit, call, transaction, request, current, tags)
    return {}


@operation("secretsmanager", "UntagResource", subject=secret)
def untag_resource(kit: Kit, call: Call, request: UntagResourceRequest, subject: SecretRecord) -> Response:
    """Remove tags; keys that the secret does not have are passed over."""
    with kit.state.write() as transaction:
        current = lock_alive(transaction, subject.arn, call.at, Part.METADATA)
        present = current.tags or {}
        tags = {key: value for key, value in present.items() if key not in request["TagKeys"]}
        if tags != present:
            _change(kit, call, transaction, request, current, tags)
    return {}


def _change(
    kit: Kit,
    call: Call,
    transaction: Transaction,
    request: TagResourceRequest | UntagResourceRequest,
    current: SecretRecord,
    tags: Mapping[str, str],
) -> None:
    """Store tags that leave the caller their own permissions.

    Raises:
        AccessDenied: They would not.
    """
    before, after = (secret_subject(record, request) for record in (current, replace(current, tags=tags)))
    action = UNTAG_RESOURCE if "TagKeys" in request else TAG_RESOURCE
    check_tags_keep_access(kit, call, action, before, after)
    secrets.update_secret(transaction, current, tags=tags, last_changed_at=call.at)
