"""The resource-based policy of a function: who else may use it. RotateSecret needs a statement here.

Texts and the members' order in a statement as recorded by localstack, 2022 to 2025.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from keyturn.arn import Arn, InvalidArn, Place
from keyturn.call import Call
from keyturn.errors.lambda_ import (
    InvalidParameterValueException,
    PolicyLengthExceededException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.names import LATEST, parse_function_name
from keyturn.operations.lambda_.subjects import UNQUALIFIED, policy_text, statements_of, subject_of
from keyturn.operations.registry import operation
from keyturn.operations.subject import Subject
from keyturn.storage import functions
from keyturn.storage.database import Transaction
from keyturn.storage.functions import FunctionRecord
from keyturn.wire.types.lambda_ import (
    AddPermissionRequest,
    AddPermissionResponse,
    GetPolicyRequest,
    GetPolicyResponse,
    RemovePermissionRequest,
    RemovePermissionResponse,
)

_POLICY_LIMIT_BYTES = 20 * 1024
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?")
_ACCOUNT_ID = re.compile(r"\d{12}")
_INVALID_PRINCIPAL = "The provided principal was invalid. Please check the principal and try again."


def function_with_policy(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[FunctionRecord]:
    """Load the function whose policy is meant; only functions as a whole have one."""
    reference = parse_function_name(call.place, request["FunctionName"], request.get("Qualifier"))
    keys = {"lambda:principal": (request["Principal"],)} if "Principal" in request else {}
    return subject_of(kit, reference, missing=f"Function not found: {reference.arn}", keys=keys)


@operation("lambda", "AddPermission", subject=function_with_policy)
def add_permission(
    kit: Kit, call: Call, request: AddPermissionRequest, record: FunctionRecord
) -> AddPermissionResponse:
    """Add a statement to a function's policy."""
    _refuse_latest(call.place, request, "adding")
    statement = _statement(call.place.partition, request, record.arn)
    statement_id = request["StatementId"]
    with kit.state.write() as transaction:
        _renew_revision(transaction, request, record)
        if not functions.put_statement(transaction, record.arn, UNQUALIFIED, statement_id, statement):
            raise ResourceConflictException(
                f"The statement id ({statement_id}) provided already exists. Please provide a new statement id, or"
                " remove the existing statement."
            )
        stored = functions.load_statements(transaction.connection, record.arn)[UNQUALIFIED]
        if len((policy_text(stored) or "").encode()) > _POLICY_LIMIT_BYTES:
            raise PolicyLengthExceededException(
                f"The final policy size is bigger than the limit ({_POLICY_LIMIT_BYTES})."
            )
    return {"Statement": statement}


@operation("lambda", "GetPolicy", subject=function_with_policy)
def get_policy(kit: Kit, _call: Call, _request: GetPolicyRequest, record: FunctionRecord) -> GetPolicyResponse:
    """Show a function's policy."""
    text = policy_text(statements_of(kit, record.arn))
    if text is None:
        raise ResourceNotFoundException("The resource you requested does not exist.")
    return {"Policy": text, "RevisionId": record.revision_id}


@operation("lambda", "RemovePermission", subject=function_with_policy)
def remove_permission(
    kit: Kit, call: Call, request: RemovePermissionRequest, record: FunctionRecord
) -> RemovePermissionResponse:
    """Remove a statement from a function's policy."""
    _refuse_latest(call.place, request, "removing")
    statement_id = request["StatementId"]
    with kit.state.write() as transaction:
        if not functions.load_statements(transaction.connection, record.arn).get(UNQUALIFIED):
            raise ResourceNotFoundException("No policy is associated with the given resource.")
        _renew_revision(transaction, request, record)
        if not functions.remove_statement(transaction, record.arn, UNQUALIFIED, statement_id):
            raise ResourceNotFoundException(f"Statement {statement_id} is not found in resource policy.")
    return {}


def _refuse_latest(place: Place, request: Mapping[str, Any], verb: str) -> None:
    if parse_function_name(place, request["FunctionName"], request.get("Qualifier")).qualifier == LATEST:
        raise InvalidParameterValueException(f"We currently do not support {verb} policies for $LATEST.")


def _renew_revision(
    transaction: Transaction, request: AddPermissionRequest | RemovePermissionRequest, record: FunctionRecord
) -> None:
    """Give the function a new revision id: a change of its policy is one of the function. Checks the request's own."""
    current = functions.load_function(transaction.connection, record.arn)
    if current is None:
        raise ResourceNotFoundException(f"Function not found: {record.arn}")
    if request.get("RevisionId", current.revision_id) != current.revision_id:
        raise PreconditionFailedException
    functions.update_function(transaction, current, revision_id=str(uuid.uuid4()))


def _statement(partition: str, request: AddPermissionRequest, function_arn: str) -> str:
    """Return the statement as compact JSON, with members in the order in which AWS writes them."""
    statement: dict[str, object] = {
        "Sid": request["StatementId"],
        "Effect": "Allow",
        "Principal": _principal(partition, request["Principal"]),
        "Action": request["Action"],
        "Resource": function_arn,
    }
    conditions = _conditions(request)
    if conditions:
        statement["Condition"] = conditions
    return json.dumps(statement, separators=(",", ":"))


def _principal(partition: str, principal: str) -> str | dict[str, str]:
    if principal == "*":
        return "*"
    if _ACCOUNT_ID.fullmatch(principal):
        return {"AWS": f"arn:{partition}:iam::{principal}:root"}
    if _SERVICE.fullmatch(principal):
        return {"Service": principal}
    try:
        arn = Arn.parse(principal)
    except InvalidArn as error:
        raise InvalidParameterValueException(_INVALID_PRINCIPAL) from error
    is_identity = arn.service == "iam" and (arn.resource == "root" or arn.resource.startswith(("user/", "role/")))
    is_session = arn.service == "sts" and arn.resource.startswith(("assumed-role/", "federated-user/"))
    if not _ACCOUNT_ID.fullmatch(arn.account_id) or not (is_identity or is_session):
        raise InvalidParameterValueException(_INVALID_PRINCIPAL)
    return {"AWS": principal}


def _conditions(request: AddPermissionRequest) -> dict[str, dict[str, str]]:
    equal: dict[str, str] = {}
    if "SourceAccount" in request:
        equal["AWS:SourceAccount"] = request["SourceAccount"]
    if "PrincipalOrgID" in request:
        equal["aws:PrincipalOrgID"] = request["PrincipalOrgID"]
    if "EventSourceToken" in request:
        equal["lambda:EventSourceToken"] = request["EventSourceToken"]
    if "FunctionUrlAuthType" in request:
        equal["lambda:FunctionUrlAuthType"] = request["FunctionUrlAuthType"]
    conditions = {"StringEquals": equal} if equal else {}
    if "InvokedViaFunctionUrl" in request:
        conditions["Bool"] = {"lambda:InvokedViaFunctionUrl": str(request["InvokedViaFunctionUrl"]).lower()}
    if "SourceArn" in request:
        conditions["ArnLike"] = {"AWS:SourceArn": request["SourceArn"]}
    return conditions
