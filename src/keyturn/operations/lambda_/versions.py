"""Versions of a function: what it was when it was published, under a number that is never given again.

Source: AWS Lambda Developer Guide, "Manage Lambda function versions"; texts as recorded by localstack.
"""

from __future__ import annotations

import uuid
from dataclasses import fields, replace

from keyturn.call import Call
from keyturn.errors.lambda_ import (
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_ import configuration
from keyturn.operations.lambda_.configuration import configuration_of
from keyturn.operations.lambda_.names import version_text
from keyturn.operations.lambda_.subjects import qualifiers_of, whole_function
from keyturn.operations.paging import page_after
from keyturn.operations.registry import operation
from keyturn.storage import function_versions, functions
from keyturn.storage.database import Transaction
from keyturn.storage.function_versions import VersionRecord
from keyturn.storage.functions import FunctionRecord
from keyturn.wire.types.lambda_ import (
    FunctionConfiguration,
    ListVersionsByFunctionRequest,
    ListVersionsByFunctionResponse,
    PublishVersionRequest,
)

PAGE_SIZE = 50


@operation("lambda", "PublishVersion", subject=whole_function)
def publish_version(
    kit: Kit, _call: Call, request: PublishVersionRequest, record: FunctionRecord
) -> FunctionConfiguration:
    """Keep what the function is now as a version; the same one again if nothing has changed since."""
    configuration.refuse_what_is_not_offered(request)
    with kit.state.write() as transaction:
        current = lock(transaction, record.arn)
        if request.get("RevisionId", current.revision_id) != current.revision_id:
            raise PreconditionFailedException
        asked_sha256 = request.get("CodeSha256") or current.code_sha256
        if asked_sha256 != current.code_sha256:
            raise InvalidParameterValueException(
                f"CodeSHA256 ({asked_sha256}) is different from current CodeSHA256 in $LATEST ({current.code_sha256})."
                " Please try again with the CodeSHA256 in $LATEST."
            )
        published = publish(transaction, current, request.get("Description"))
    return configuration_of(kit, published, qualified_arn(published))


@operation("lambda", "ListVersionsByFunction", subject=whole_function)
def list_versions_by_function(
    kit: Kit, call: Call, request: ListVersionsByFunctionRequest, record: FunctionRecord
) -> ListVersionsByFunctionResponse:
    """List ``$LATEST`` and then the versions by number."""
    versions = qualifiers_of(kit, record.arn).versions
    page = page_after(
        kit,
        call,
        f"lambda:ListVersionsByFunction {record.arn}",
        [record, *(version.of(record, number) for number, version in versions.items())],
        lambda each: f"{each.version or 0:010}",
        marker=request.get("Marker") or None,
        limit=min(request.get("MaxItems", PAGE_SIZE), PAGE_SIZE),
        refusal=InvalidParameterValueException("Invalid Marker"),
    )
    response: ListVersionsByFunctionResponse = {
        "Versions": [configuration_of(kit, each, qualified_arn(each)) for each in page.items]
    }
    if page.marker is not None:
        response["NextMarker"] = page.marker
    return response


def publish(transaction: Transaction, current: FunctionRecord, description: str | None = None) -> FunctionRecord:
    """Publish a function that is locked, and return the version.

    Args:
        transaction: In which it is locked.
        current: As it is now.
        description: Of the version; the function's own if None.
    """
    if current.published_version is not None:
        qualifiers = function_versions.load_qualifiers(transaction.connection, current.arn)
        return qualifiers.versions[current.published_version].of(current, current.published_version)
    version = (current.last_version or 0) + 1
    now = replace(
        current,
        revision_id=str(uuid.uuid4()),
        description=current.description if description is None else description,
    )
    record = VersionRecord(**{field.name: getattr(now, field.name) for field in fields(VersionRecord)})
    function_versions.insert_version(transaction, current, version, record)
    functions.update_function(transaction, current, revision_id=str(uuid.uuid4()))
    return record.of(current, version)


def delete_version(transaction: Transaction, current: FunctionRecord, text: str) -> None:
    """Remove a version of a function that is locked; nothing happens if there is none of that number.

    Raises:
        ResourceConflictException: An alias names it.
    """
    qualifiers = function_versions.load_qualifiers(transaction.connection, current.arn)
    version = qualifiers.number(text)
    if version is None:
        return
    aliases = [alias.name for alias in qualifiers.aliases.values() if alias.version == version]
    if aliases:
        raise ResourceConflictException(
            f"Unable to delete version because the following aliases reference it: [{', '.join(aliases)}]"
        )
    function_versions.delete_version(transaction, current, version)


def lock(transaction: Transaction, function_arn: str) -> FunctionRecord:
    """Return a function as it is now, which stays so until the transaction ends.

    Raises:
        ResourceNotFoundException: It was deleted meanwhile.
    """
    current = functions.lock_function(transaction, function_arn)
    if current is None:
        raise ResourceNotFoundException(f"Function not found: {function_arn}")
    return current


def qualified_arn(record: FunctionRecord) -> str:
    """ARN of a function with its version, ``$LATEST`` included."""
    return f"{record.arn}:{version_text(record.version)}"
