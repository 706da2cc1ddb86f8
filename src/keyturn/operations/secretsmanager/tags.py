"""TagResource and UntagResource."""

from __future__ import annotations

from keyturn.call import Call
from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.operations.kit import Kit
from keyturn.operations.registry import Response, operation
from keyturn.operations.secretsmanager.subjects import secret
from keyturn.operations.secretsmanager.writing import lock_alive
from keyturn.storage import secrets
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.secretsmanager import TagResourceRequest, UntagResourceRequest

_MAX_TAGS = 50


@operation("secretsmanager", "TagResource", subject=secret)
def tag_resource(kit: Kit, call: Call, request: TagResourceRequest, subject: SecretRecord) -> Response:
    """Add tags; a key that exists gets the new value."""
    added = {tag["Key"]: tag.get("Value", "") for tag in request["Tags"]}
    with kit.state.write() as transaction:
        current = lock_alive(transaction, subject.arn)
        tags = {**(current.tags or {}), **added}
        if len(tags) > _MAX_TAGS:
            raise InvalidParameterException(f"A secret can't have more than {_MAX_TAGS} tags.")
        secrets.update_secret(transaction, current, tags=tags, last_changed_at=call.at)
    return {}


@operation("secretsmanager", "UntagResource", subject=secret)
def untag_resource(kit: Kit, call: Call, request: UntagResourceRequest, subject: SecretRecord) -> Response:
    """Remove tags; keys that the secret does not have are passed over."""
    with kit.state.write() as transaction:
        current = lock_alive(transaction, subject.arn)
        if current.tags is not None:
            tags = {key: value for key, value in current.tags.items() if key not in request["TagKeys"]}
            secrets.update_secret(transaction, current, tags=tags, last_changed_at=call.at)
    return {}
