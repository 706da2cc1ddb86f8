"""Tags of functions."""

from __future__ import annotations

from keyturn.call import Call
from keyturn.errors.lambda_ import InvalidParameterValueException, ResourceNotFoundException
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.names import parse_function_name
from keyturn.operations.lambda_.subjects import tagged_function
from keyturn.operations.registry import operation
from keyturn.storage import functions
from keyturn.storage.database import Transaction
from keyturn.storage.functions import FunctionRecord
from keyturn.wire.types.lambda_ import (
    ListTagsRequest,
    ListTagsResponse,
    TagResourceRequest,
    TagResourceResponse,
    UntagResourceRequest,
    UntagResourceResponse,
)

_TAGS_LIMIT = 50


@operation("lambda", "TagResource", subject=tagged_function)
def tag_resource(kit: Kit, call: Call, request: TagResourceRequest, record: FunctionRecord) -> TagResourceResponse:
    """Add tags, or replace the values of those that are there."""
    _refuse_qualifier(call, request["Resource"])
    with kit.state.write() as transaction:
        current = _current(transaction, record)
        tags = {**(current.tags or {}), **request["Tags"]}
        if len(tags) > _TAGS_LIMIT:
            raise InvalidParameterValueException("Number of tags exceeds resource tag limit.")
        functions.update_function(transaction, current, tags=tags)
    return {}


@operation("lambda", "UntagResource", subject=tagged_function)
def untag_resource(
    kit: Kit, call: Call, request: UntagResourceRequest, record: FunctionRecord
) -> UntagResourceResponse:
    """Remove tags; keys that are not there do not matter."""
    _refuse_qualifier(call, request["Resource"])
    with kit.state.write() as transaction:
        current = _current(transaction, record)
        rest = {key: value for key, value in (current.tags or {}).items() if key not in request["TagKeys"]}
        functions.update_function(transaction, current, tags=rest or None)
    return {}


@operation("lambda", "ListTags", subject=tagged_function)
def list_tags(_kit: Kit, call: Call, request: ListTagsRequest, record: FunctionRecord) -> ListTagsResponse:
    """Show a function's tags."""
    _refuse_qualifier(call, request["Resource"])
    return {"Tags": dict(record.tags or {})}


def _refuse_qualifier(call: Call, arn: str) -> None:
    if parse_function_name(call.place, arn).qualifier:
        raise InvalidParameterValueException(
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        )


def _current(transaction: Transaction, record: FunctionRecord) -> FunctionRecord:
    current = functions.load_function(transaction.connection, record.arn)
    if current is None:
        raise ResourceNotFoundException(f"Function not found: {record.arn}")
    return current
