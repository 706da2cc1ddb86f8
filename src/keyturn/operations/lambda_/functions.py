"""Functions: create, read, list, update, delete. What they were at other times is in :mod:`.versions`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.errors.common import ValidationFailed
from keyturn.errors.lambda_ import (
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceConflictException,
)
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_ import configuration, versions
from keyturn.operations.lambda_.attached_layers import attach, check_layers, layer_keys
from keyturn.operations.lambda_.concurrency import CONCURRENT_EXECUTIONS
from keyturn.operations.lambda_.configuration import check_environment, configuration_of, zip_file_of
from keyturn.operations.lambda_.execution_role import check_execution_role
from keyturn.operations.lambda_.interfaces import lock_networks, settle_interfaces
from keyturn.operations.lambda_.logging_config import changed_logging
from keyturn.operations.lambda_.names import LATEST, parse_function_name
from keyturn.operations.lambda_.subjects import function, tag_keys, whole_function
from keyturn.operations.lambda_.vpc_config import attached_vpc, check_role_may_attach, check_vpc_config
from keyturn.operations.paging import open_page, seal_page
from keyturn.operations.registry import no_subject, operation
from keyturn.operations.sealing import seal_environment
from keyturn.operations.secretsmanager.overtaken_preflight import look_again_at_users
from keyturn.operations.subject import Subject
from keyturn.runtime import package
from keyturn.runtime.interpreters import find_interpreter
from keyturn.storage import functions, layers
from keyturn.storage.database import Transaction
from keyturn.storage.functions import FunctionRecord
from keyturn.wire.types.lambda_ import (
    CreateFunctionRequest,
    DeleteFunctionRequest,
    DeleteFunctionResponse,
    FunctionConfiguration,
    GetAccountSettingsRequest,
    GetAccountSettingsResponse,
    GetFunctionConfigurationRequest,
    GetFunctionRequest,
    GetFunctionResponse,
    ListFunctionsRequest,
    ListFunctionsResponse,
    UpdateFunctionCodeRequest,
    UpdateFunctionConfigurationRequest,
)

_NAME_LIMIT = 64
_PAGE_SIZE = 50
_LISTING = "lambda:ListFunctions"
_TOTAL_CODE_SIZE_BYTES = 80_530_636_800


def new_function(_kit: Kit, call: Call, request: CreateFunctionRequest) -> Subject[None]:
    """The function that CreateFunction would make."""
    reference = parse_function_name(call.place, request["FunctionName"])
    keys = {**tag_keys(request.get("Tags")), **layer_keys(request)}
    return Subject(reference.arn, reference.arn, record=None, keys=keys)


def function_to_configure(kit: Kit, call: Call, request: UpdateFunctionConfigurationRequest) -> Subject[FunctionRecord]:
    """Load the function; policies may ask which layers it is to have."""
    return whole_function(kit, call, request, layer_keys(request))


@operation("lambda", "CreateFunction", subject=new_function)
def create_function(kit: Kit, call: Call, request: CreateFunctionRequest, _subject: None) -> FunctionConfiguration:
    """Store a function; it can be invoked at once."""
    name = _new_name(call.place, request["FunctionName"])
    if request.get("Tags"):
        kit.authorise(call, "lambda:TagResource", new_function(kit, call, request))
    configuration.refuse_what_is_not_offered(request)
    zip_file = zip_file_of(request["Code"])
    if "Runtime" not in request or "Handler" not in request:
        raise InvalidParameterValueException(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages."
        )
    arn = call.place.function_arn(name)
    check_execution_role(kit, call, request["Role"], arn)
    find_interpreter(request["Runtime"])
    variables = request.get("Environment", {}).get("Variables", {})
    check_environment(variables)
    layer_arns = request.get("Layers", [])
    check_layers(kit, call, layer_arns, package.check(zip_file))
    check_vpc_config(kit, call, arn, request.get("VpcConfig"))
    check_role_may_attach(kit, request["Role"], arn, request.get("VpcConfig"), call.at)
    record = FunctionRecord(
        arn=arn,
        account_id=call.place.account_id,
        region=call.place.region,
        name=name,
        runtime=request["Runtime"],
        handler=request["Handler"],
        role_arn=request["Role"],
        description=request.get("Description", ""),
        timeout_seconds=request.get("Timeout", configuration.DEFAULT_TIMEOUT_SECONDS),
        memory_mb=request.get("MemorySize", configuration.DEFAULT_MEMORY_MB),
        ephemeral_storage_mb=request.get("EphemeralStorage", {}).get(
            "Size", configuration.DEFAULT_EPHEMERAL_STORAGE_MB
        ),
        sealed=seal_environment(kit, arn, variables) if variables else None,
        logging=changed_logging(name, None, request.get("LoggingConfig", {})),
        code_sha256=package.code_sha256(zip_file),
        code_size_bytes=len(zip_file),
        revision_id=str(uuid.uuid4()),
        last_modified_at=call.at,
        tags=dict(request["Tags"]) if request.get("Tags") else None,
    )
    with kit.state.write() as transaction:
        networks = lock_networks(kit, transaction, arn, call.at)
        vpc_config = attached_vpc(networks, request.get("VpcConfig"))
        record = replace(record, vpc_config=vpc_config, layers=attach(transaction, layer_arns))
        # Locked before its package, in case somebody is deleting it.
        present = functions.lock_function(transaction, arn)
        functions.store_package(transaction, record.code_sha256, zip_file)
        if present is not None or not functions.insert_function(transaction, record):
            raise ResourceConflictException(f"Function already exist: {name}")
        if vpc_config is not None:
            settle_interfaces(transaction, networks, record)
        # The version is shown under the ARN of the function, as recorded.
        shown = versions.publish(transaction, record) if request.get("Publish", False) else record
    return configuration_of(kit, shown)


@operation("lambda", "GetFunction", subject=function)
def get_function(kit: Kit, call: Call, request: GetFunctionRequest, record: FunctionRecord) -> GetFunctionResponse:
    """Show a function, with a link to its deployment package."""
    response: GetFunctionResponse = {
        "Configuration": configuration_of(kit, record, _asked_arn(call, request)),
        "Code": {"RepositoryType": "S3", "Location": kit.download_url(call.endpoint, record.code_sha256, call.at)},
    }
    if record.reserved_concurrency is not None:
        response["Concurrency"] = {"ReservedConcurrentExecutions": record.reserved_concurrency}
    if record.tags:
        response["Tags"] = dict(record.tags)
    return response


@operation("lambda", "GetFunctionConfiguration", subject=function)
def get_function_configuration(
    kit: Kit, call: Call, request: GetFunctionConfigurationRequest, record: FunctionRecord
) -> FunctionConfiguration:
    """Show a function's configuration."""
    return configuration_of(kit, record, _asked_arn(call, request))


@operation("lambda", "ListFunctions", subject=no_subject)
def list_functions(kit: Kit, call: Call, request: ListFunctionsRequest, _subject: None) -> ListFunctionsResponse:
    """List functions by name."""
    after = ""
    if request.get("Marker"):
        after = open_page(kit, call, _LISTING, request["Marker"], InvalidParameterValueException("Invalid Marker"))[
            "after"
        ]
    size = min(request.get("MaxItems", _PAGE_SIZE), _PAGE_SIZE)
    with kit.state.read() as connection:
        rest = [record for record in functions.list_functions(connection, call.place) if record.name > after]
    page = rest[:size]
    response: ListFunctionsResponse = {"Functions": [configuration_of(kit, record) for record in page]}
    if len(rest) > size:
        response["NextMarker"] = seal_page(kit, call, _LISTING, after=page[-1].name)
    return response


@operation("lambda", "UpdateFunctionCode", subject=whole_function)
def update_function_code(
    kit: Kit, call: Call, request: UpdateFunctionCodeRequest, record: FunctionRecord
) -> FunctionConfiguration:
    """Replace a function's deployment package."""
    _refuse_published(call, request)
    configuration.refuse_what_is_not_offered(request)
    zip_file = zip_file_of(request)
    package.check_together(package.check(zip_file), *(layer["unzipped_size_bytes"] for layer in record.layers or ()))
    sha256 = package.code_sha256(zip_file)
    columns = {"code_sha256": sha256, "code_size_bytes": len(zip_file)}
    if request.get("DryRun", False):
        _check_revision(request, record)
        return configuration_of(kit, record)
    with kit.state.write() as transaction:
        current = versions.lock(transaction, record.arn)
        functions.store_package(transaction, sha256, zip_file, replaced=current.code_sha256)
        updated = _update(transaction, call, request, record, columns)
        published = versions.publish(transaction, updated) if request.get("Publish", False) else None
        look_again_at_users(kit, transaction, record.arn, call.at)
    kit.runtime.discard(record.arn)
    if published is not None:
        return configuration_of(kit, published, versions.qualified_arn(published))
    return configuration_of(kit, updated)


@operation("lambda", "UpdateFunctionConfiguration", subject=function_to_configure)
def update_function_configuration(
    kit: Kit, call: Call, request: UpdateFunctionConfigurationRequest, record: FunctionRecord
) -> FunctionConfiguration:
    """Change settings of a function; what the request leaves out stays."""
    _refuse_published(call, request)
    configuration.refuse_what_is_not_offered(request)
    columns = _changed_columns(kit, call, request, record)
    with kit.state.write() as transaction:
        networks = lock_networks(kit, transaction, record.arn, call.at)
        if "VpcConfig" in request:
            columns["vpc_config"] = attached_vpc(networks, request["VpcConfig"])
        if "Layers" in request:
            columns["layers"] = attach(transaction, request["Layers"])
        if "LoggingConfig" in request:
            current = versions.lock(transaction, record.arn)
            columns["logging"] = changed_logging(current.name, current.logging, request["LoggingConfig"])
        updated = _update(transaction, call, request, record, columns)
        if "VpcConfig" in request:
            settle_interfaces(transaction, networks, updated)
        look_again_at_users(kit, transaction, record.arn, call.at)
    kit.runtime.discard(record.arn)
    return configuration_of(kit, updated)


@operation("lambda", "DeleteFunction", subject=whole_function)
def delete_function(
    kit: Kit, call: Call, request: DeleteFunctionRequest, record: FunctionRecord
) -> DeleteFunctionResponse:
    """Remove a function, its policy and, if nobody else uses it, its deployment package; or one version of it."""
    reference = parse_function_name(call.place, request["FunctionName"], request.get("Qualifier"))
    if reference.qualifier == LATEST:
        raise InvalidParameterValueException("$LATEST version cannot be deleted without deleting the function.")
    if reference.names_alias:
        raise InvalidParameterValueException("Deletion of aliases is not currently supported.")
    with kit.state.write() as transaction:
        networks = lock_networks(kit, transaction, record.arn, call.at)
        if reference.qualifier:
            versions.delete_version(transaction, versions.lock(transaction, record.arn), reference.qualifier)
        else:
            functions.delete_function(transaction, record)
        settle_interfaces(transaction, networks, record)
    kit.runtime.discard(record.arn)
    return {}


@operation("lambda", "GetAccountSettings", subject=no_subject)
def get_account_settings(
    kit: Kit, call: Call, _request: GetAccountSettingsRequest, _subject: None
) -> GetAccountSettingsResponse:
    """Show Lambda's usual limits and what is used of them."""
    with kit.state.read() as connection:
        records = functions.list_functions(connection, call.place)
        reserved = functions.reserved_in(connection, call.place)
        of_layers = [record.code_size_bytes for record in layers.list_layers(connection, call.place)]
    return {
        "AccountLimit": {
            "TotalCodeSize": _TOTAL_CODE_SIZE_BYTES,
            "CodeSizeUnzipped": package.UNZIPPED_LIMIT_BYTES,
            "CodeSizeZipped": package.ZIPPED_LIMIT_BYTES,
            "ConcurrentExecutions": CONCURRENT_EXECUTIONS,
            "UnreservedConcurrentExecutions": CONCURRENT_EXECUTIONS - reserved,
        },
        "AccountUsage": {
            "TotalCodeSize": sum(record.code_size_bytes for record in records) + sum(of_layers),
            "FunctionCount": len(records),
        },
    }


def _new_name(place: Place, text: str) -> str:
    reference = parse_function_name(place, text)
    if reference.qualifier or reference.unqualified_arn != place.function_arn(reference.name):
        raise InvalidParameterValueException(
            "A new function is named without a qualifier, and in the caller's own account."
        )
    if len(reference.name) > _NAME_LIMIT:
        raise ValidationFailed(
            f"1 validation error detected: Value '{reference.name}' at 'functionName' failed to satisfy constraint:"
            f" Member must have length less than or equal to {_NAME_LIMIT}"
        )
    return reference.name


def _asked_arn(call: Call, request: GetFunctionRequest | GetFunctionConfigurationRequest) -> str:
    return parse_function_name(call.place, request["FunctionName"], request.get("Qualifier")).arn


def _changed_columns(
    kit: Kit, call: Call, request: UpdateFunctionConfigurationRequest, record: FunctionRecord
) -> dict[str, object]:
    """Check what the request sets and return it as columns."""
    columns: dict[str, object] = {}
    if "Role" in request:
        check_execution_role(kit, call, request["Role"], record.arn)
        columns["role_arn"] = request["Role"]
    check_vpc_config(kit, call, record.arn, request.get("VpcConfig"))
    if "Role" in request or "VpcConfig" in request:
        vpc = request.get("VpcConfig", record.vpc_config)
        check_role_may_attach(kit, request.get("Role", record.role_arn), record.arn, vpc, call.at)
    if "Runtime" in request:
        find_interpreter(request["Runtime"])
        columns["runtime"] = request["Runtime"]
    if request.get("Layers"):
        with kit.state.read() as connection:
            zip_file = functions.load_package(connection, record.code_sha256) or b""
        check_layers(kit, call, request["Layers"], package.unzipped_size_bytes(zip_file))
    if "Environment" in request:
        # The map is replaced as a whole. Source: AWS Lambda API Reference, UpdateFunctionConfiguration.
        variables = request["Environment"].get("Variables", {})
        check_environment(variables)
        columns["sealed"] = seal_environment(kit, record.arn, variables) if variables else None
    if "EphemeralStorage" in request:
        columns["ephemeral_storage_mb"] = request["EphemeralStorage"]["Size"]
    plain: Mapping[str, str] = {
        "Handler": "handler",
        "Description": "description",
        "Timeout": "timeout_seconds",
        "MemorySize": "memory_mb",
    }
    values: Mapping[str, Any] = request
    columns.update({column: values[member] for member, column in plain.items() if member in values})
    return columns


def _update(
    transaction: Transaction,
    call: Call,
    request: UpdateFunctionCodeRequest | UpdateFunctionConfigurationRequest,
    record: FunctionRecord,
    columns: Mapping[str, object],
) -> FunctionRecord:
    """Change a function as it is now, which may be newer than ``record``, and return it as it is then."""
    current = versions.lock(transaction, record.arn)
    _check_revision(request, current)
    functions.update_function(
        transaction,
        current,
        revision_id=str(uuid.uuid4()),
        last_modified_at=call.at,
        published_version=None,
        **columns,
    )
    return versions.lock(transaction, record.arn)


def _refuse_published(call: Call, request: UpdateFunctionCodeRequest | UpdateFunctionConfigurationRequest) -> None:
    if not parse_function_name(call.place, request["FunctionName"]).names_latest:
        raise InvalidParameterValueException("A published version cannot be changed, nor what an alias names.")


def _check_revision(
    request: UpdateFunctionCodeRequest | UpdateFunctionConfigurationRequest, record: FunctionRecord
) -> None:
    if request.get("RevisionId", record.revision_id) != record.revision_id:
        raise PreconditionFailedException
