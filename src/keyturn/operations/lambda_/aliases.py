"""Aliases: names that lead to one version of a function each, and can be led to another.

Source: AWS Lambda Developer Guide, "Create an alias for a Lambda function"; texts as recorded by localstack.
"""

from __future__ import annotations

import uuid
from typing import Any

from keyturn.call import Call
from keyturn.errors.lambda_ import (
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.names import LATEST, version_text
from keyturn.operations.lambda_.subjects import qualifiers_of, whole_function
from keyturn.operations.lambda_.versions import PAGE_SIZE, lock
from keyturn.operations.paging import page_after
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.overtaken_preflight import look_again_at_users
from keyturn.operations.subject import Subject
from keyturn.storage import function_versions
from keyturn.storage.database import Transaction
from keyturn.storage.function_versions import AliasRecord
from keyturn.storage.functions import FunctionRecord
from keyturn.wire.types.lambda_ import (
    AliasConfiguration,
    CreateAliasRequest,
    DeleteAliasRequest,
    GetAliasRequest,
    ListAliasesRequest,
    ListAliasesResponse,
    UpdateAliasRequest,
)


def function_of_alias(kit: Kit, call: Call, request: CreateAliasRequest) -> Subject[FunctionRecord]:
    """Load the function; if it is missing, so is the version that the alias was to name."""
    subject = whole_function(kit, call, request)
    missing = ResourceNotFoundException(f"Function not found: {subject.arn}:{request['FunctionVersion']}")
    return subject if subject.record is not None else subject._replace(missing=missing)


@operation("lambda", "CreateAlias", subject=function_of_alias)
def create_alias(kit: Kit, _call: Call, request: CreateAliasRequest, record: FunctionRecord) -> AliasConfiguration:
    """Name a version."""
    _refuse_weights(request.get("RoutingConfig", {}))
    with kit.state.write() as transaction:
        lock(transaction, record.arn)
        alias = AliasRecord(
            request["Name"],
            _existing_version(transaction, record.arn, request["FunctionVersion"]),
            request.get("Description", ""),
            str(uuid.uuid4()),
        )
        if not function_versions.insert_alias(transaction, record.arn, alias):
            raise ResourceConflictException(f"Alias already exists: {record.arn}:{alias.name}")
    return _shown(record.arn, alias)


@operation("lambda", "GetAlias", subject=whole_function)
def get_alias(kit: Kit, _call: Call, request: GetAliasRequest, record: FunctionRecord) -> AliasConfiguration:
    """Show an alias."""
    alias = qualifiers_of(kit, record.arn).aliases.get(request["Name"])
    if alias is None:
        raise ResourceNotFoundException(f"Cannot find alias arn: {record.arn}:{request['Name']}")
    return _shown(record.arn, alias)


@operation("lambda", "ListAliases", subject=whole_function)
def list_aliases(kit: Kit, call: Call, request: ListAliasesRequest, record: FunctionRecord) -> ListAliasesResponse:
    """List aliases by name, all of them or those of one version."""
    aliases = qualifiers_of(kit, record.arn).aliases.values()
    wanted = request.get("FunctionVersion")
    page = page_after(
        kit,
        call,
        f"lambda:ListAliases {record.arn} {wanted}",
        [alias for alias in aliases if wanted in (None, version_text(alias.version))],
        lambda alias: alias.name,
        marker=request.get("Marker") or None,
        limit=min(request.get("MaxItems", PAGE_SIZE), PAGE_SIZE),
        refusal=InvalidParameterValueException("Invalid Marker"),
    )
    response: ListAliasesResponse = {"Aliases": [_shown(record.arn, alias) for alias in page.items]}
    if page.marker is not None:
        response["NextMarker"] = page.marker
    return response


@operation("lambda", "UpdateAlias", subject=whole_function)
def update_alias(kit: Kit, call: Call, request: UpdateAliasRequest, record: FunctionRecord) -> AliasConfiguration:
    """Lead an alias to another version, or describe it anew; its policy stays."""
    _refuse_weights(request.get("RoutingConfig", {}))
    name = request["Name"]
    with kit.state.write() as transaction:
        lock(transaction, record.arn)
        found = function_versions.load_qualifiers(transaction.connection, record.arn).aliases.get(name)
        if found is None:
            raise ResourceNotFoundException(f"Alias not found: {record.arn}:{name}")
        if request.get("RevisionId", found.revision_id) != found.revision_id:
            raise PreconditionFailedException
        version = found.version
        if "FunctionVersion" in request:
            version = _existing_version(transaction, record.arn, request["FunctionVersion"])
        alias = AliasRecord(name, version, request.get("Description", found.description), str(uuid.uuid4()))
        function_versions.update_alias(
            transaction,
            record.arn,
            name,
            version=alias.version,
            description=alias.description,
            revision_id=alias.revision_id,
        )
        look_again_at_users(kit, transaction, record.arn, call.at)
    return _shown(record.arn, alias)


@operation("lambda", "DeleteAlias", subject=whole_function)
def delete_alias(kit: Kit, _call: Call, request: DeleteAliasRequest, record: FunctionRecord) -> dict[str, Any]:
    """Remove an alias with its policy; one that is not there is removed already."""
    with kit.state.write() as transaction:
        lock(transaction, record.arn)
        function_versions.delete_alias(transaction, record.arn, request["Name"])
    return {}


def _refuse_weights(routing: Any) -> None:
    if routing.get("AdditionalVersionWeights"):
        raise InvalidParameterValueException("Keyturn does not offer this value of RoutingConfig.")


def _existing_version(transaction: Transaction, function_arn: str, text: str) -> int | None:
    if text == LATEST:
        return None
    version = function_versions.load_qualifiers(transaction.connection, function_arn).number(text)
    if version is None:
        raise ResourceNotFoundException(f"Function not found: {function_arn}:{text}")
    return version


def _shown(function_arn: str, alias: AliasRecord) -> AliasConfiguration:
    return {
        "AliasArn": f"{function_arn}:{alias.name}",
        "Name": alias.name,
        "FunctionVersion": version_text(alias.version),
        "Description": alias.description,
        "RevisionId": alias.revision_id,
    }
