"""How many invocations of a function may run at once.

A reservation is of the function as a whole, whatever version runs. Nothing keeps environments ready: provisioned
concurrency can be asked for, and there is none.

Sources: AWS Lambda API Reference, "PutFunctionConcurrency"; AWS Lambda Developer Guide, "Configuring reserved
concurrency"; texts as recorded by localstack.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.errors.lambda_ import (
    InvalidParameterValueException,
    ProvisionedConcurrencyConfigNotFoundException,
    ResourceNotFoundException,
)
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.names import LATEST, parse_function_name
from keyturn.operations.lambda_.subjects import subject_of, whole_function
from keyturn.operations.lambda_.versions import lock
from keyturn.operations.registry import operation
from keyturn.operations.subject import Subject
from keyturn.storage import functions
from keyturn.storage.functions import FunctionRecord
from keyturn.wire.types.lambda_ import (
    DeleteFunctionConcurrencyRequest,
    DeleteFunctionConcurrencyResponse,
    GetFunctionConcurrencyRequest,
    GetFunctionConcurrencyResponse,
    GetProvisionedConcurrencyConfigRequest,
    GetProvisionedConcurrencyConfigResponse,
    ListProvisionedConcurrencyConfigsRequest,
    ListProvisionedConcurrencyConfigsResponse,
    PutFunctionConcurrencyRequest,
    PutFunctionConcurrencyResponse,
)

CONCURRENT_EXECUTIONS = 1000
"""Of all functions of an account's region together, as in AWS."""
_LEAST_UNRESERVED = 100


def function_to_limit(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[FunctionRecord]:
    """Load the function as a whole; if it is missing, what is missing is its ``$LATEST``, as recorded."""
    subject = whole_function(kit, call, request)
    missing = ResourceNotFoundException(f"Function not found: {subject.arn}:{LATEST}")
    return subject if subject.record is not None else subject._replace(missing=missing)


def provisioned_function(
    kit: Kit, call: Call, request: GetProvisionedConcurrencyConfigRequest
) -> Subject[FunctionRecord]:
    """Load the version that a number or an alias means."""
    reference = parse_function_name(call.place, request["FunctionName"], request["Qualifier"])
    what = "Cannot find alias arn" if reference.names_alias else "Function not found"
    return subject_of(kit, reference, missing=f"{what}: {reference.arn}")


@operation("lambda", "PutFunctionConcurrency", subject=function_to_limit)
def put_function_concurrency(
    kit: Kit, call: Call, request: PutFunctionConcurrencyRequest, record: FunctionRecord
) -> PutFunctionConcurrencyResponse:
    """Bound how many invocations of a function run at once; 0 lets none run."""
    _refuse_qualifier(call, request["FunctionName"])
    reserved = request["ReservedConcurrentExecutions"]
    with kit.state.write() as transaction:
        current = lock(transaction, record.arn)
        of_others = functions.reserved_in(transaction.connection, Place.of(record.arn)) - (
            current.reserved_concurrency or 0
        )
        if CONCURRENT_EXECUTIONS - of_others - reserved < _LEAST_UNRESERVED:
            raise InvalidParameterValueException(
                "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution"
                f" below its minimum value of [{_LEAST_UNRESERVED}]."
            )
        functions.update_function(transaction, current, reserved_concurrency=reserved)
    return {"ReservedConcurrentExecutions": reserved}


@operation("lambda", "GetFunctionConcurrency", subject=whole_function)
def get_function_concurrency(
    _kit: Kit, _call: Call, _request: GetFunctionConcurrencyRequest, record: FunctionRecord
) -> GetFunctionConcurrencyResponse:
    """Show the bound; nothing if there is none."""
    if record.reserved_concurrency is None:
        return {}
    return {"ReservedConcurrentExecutions": record.reserved_concurrency}


@operation("lambda", "DeleteFunctionConcurrency", subject=function_to_limit)
def delete_function_concurrency(
    kit: Kit, call: Call, request: DeleteFunctionConcurrencyRequest, record: FunctionRecord
) -> DeleteFunctionConcurrencyResponse:
    """Take the bound away, if there is one."""
    _refuse_qualifier(call, request["FunctionName"])
    with kit.state.write() as transaction:
        functions.update_function(transaction, lock(transaction, record.arn), reserved_concurrency=None)
    return {}


@operation("lambda", "ListProvisionedConcurrencyConfigs", subject=whole_function)
def list_provisioned_concurrency_configs(
    _kit: Kit, _call: Call, _request: ListProvisionedConcurrencyConfigsRequest, _record: FunctionRecord
) -> ListProvisionedConcurrencyConfigsResponse:
    """Answer that no environments are kept ready."""
    return {"ProvisionedConcurrencyConfigs": []}


@operation("lambda", "GetProvisionedConcurrencyConfig", subject=provisioned_function)
def get_provisioned_concurrency_config(
    _kit: Kit, _call: Call, request: GetProvisionedConcurrencyConfigRequest, _record: FunctionRecord
) -> GetProvisionedConcurrencyConfigResponse:
    """Answer that no environments are kept ready for a version or alias."""
    if request["Qualifier"] == LATEST:
        raise InvalidParameterValueException("The function resource provided must be an alias or a published version.")
    raise ProvisionedConcurrencyConfigNotFoundException(Type="User")


def _refuse_qualifier(call: Call, function_name: str) -> None:
    if parse_function_name(call.place, function_name).qualifier:
        raise InvalidParameterValueException(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation."
            " Please specify either a function name or an unqualified function ARN."
        )
