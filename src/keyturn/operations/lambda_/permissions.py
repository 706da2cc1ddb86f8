"""The resource-based policy of a function: who else may use it. RotateSecret needs a statement here.

A version and an alias each have a policy of their own, which says who may use the function under that name.

Texts and the members' order in a statement as recorded by localstack, 2022 to 2025.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from keyturn.arn import Arn, InvalidArn
from keyturn.call import Call
from keyturn.errors.base import AwsError
from keyturn.errors.lambda_ import (
    InvalidParameterValueException,
    PolicyLengthExceededException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_ import versions
from keyturn.operations.lambda_.names import LATEST, UNQUALIFIED, parse_function_name
from keyturn.operations.lambda_.subjects import (
    at_qualifier,
    load_function,
    policy_text,
    qualifiers_of,
    statements_of,
    subject_of,
)
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.overtaken_preflight import look_at_all_users
from keyturn.operations.subject import Subject
from keyturn.rules.policy.document import parse_resource_policy
from keyturn.rules.policy.principals import InvalidPrincipal, parse_principals
from keyturn.storage import function_versions, functions
from keyturn.storage.database import Transaction
from keyturn.wire.types.lambda_ import (
    AddPermissionRequest,
    AddPermissionResponse,
    GetPolicyRequest,
    GetPolicyResponse,
    RemovePermissionRequest,
    RemovePermissionResponse,
)

POLICY_LIMIT_BYTES = 20 * 1024
"""How long a resource-based policy of Lambda may be."""
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?")
_ACCOUNT_ID = re.compile(r"\d{12}")
# Recorded by localstack, 2025-11; other operations say "GetFunction/GetAlias".
_OTHER_REVISION = (
    "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest"
    " Revision Id"
)
_INVALID_PRINCIPAL = "The provided principal was invalid. Please check the principal and try again."


@dataclass(frozen=True, slots=True)
class PolicyHolder:
    """What has a policy of its own: a function as a whole, one of its versions, or an alias.

    Attributes:
        function_arn: Without qualifier.
        arn: With the qualifier, if it has one.
        revision_id: Of the function, version or alias.
    """

    function_arn: str
    qualifier: str
    arn: str
    revision_id: str


def policy_holder(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[PolicyHolder]:
    """Load what GetPolicy asks about."""
    return _holder(kit, call, request, "The resource you requested does not exist.")


def holder_to_add_to(kit: Kit, call: Call, request: AddPermissionRequest) -> Subject[PolicyHolder]:
    """Load what AddPermission changes."""
    return _holder(kit, call, request, _missing(kit, call, request, "Function not found: {}"))


def holder_to_remove_from(kit: Kit, call: Call, request: RemovePermissionRequest) -> Subject[PolicyHolder]:
    """Load what RemovePermission changes."""
    return _holder(kit, call, request, _missing(kit, call, request, "No policy found for: {}"))


@operation("lambda", "AddPermission", subject=holder_to_add_to)
def add_permission(kit: Kit, call: Call, request: AddPermissionRequest, holder: PolicyHolder) -> AddPermissionResponse:
    """Add a statement to a function's policy."""
    _refuse_latest(holder, "adding")
    statement = _statement(call.place.partition, request, holder.arn)
    _check_readable(statement)
    statement_id = request["StatementId"]
    with kit.state.write() as transaction:
        _renew_revision(transaction, request, holder)
        if not functions.put_statement(transaction, holder.function_arn, holder.qualifier, statement_id, statement):
            raise ResourceConflictException(
                f"The statement id ({statement_id}) provided already exists. Please provide a new statement id, or"
                " remove the existing statement."
            )
        stored = functions.load_statements(transaction.connection, holder.function_arn)[holder.qualifier]
        if len((policy_text(stored) or "").encode()) > POLICY_LIMIT_BYTES:
            raise PolicyLengthExceededException(
                f"The final policy size is bigger than the limit ({POLICY_LIMIT_BYTES})."
            )
        look_at_all_users(kit, transaction, holder.function_arn, call.at)
    return {"Statement": statement}


@operation("lambda", "GetPolicy", subject=policy_holder)
def get_policy(kit: Kit, _call: Call, _request: GetPolicyRequest, holder: PolicyHolder) -> GetPolicyResponse:
    """Show the policy of a function, a version or an alias."""
    text = policy_text(statements_of(kit, holder.function_arn, holder.qualifier))
    if text is None:
        raise ResourceNotFoundException("The resource you requested does not exist.")
    return {"Policy": text, "RevisionId": holder.revision_id}


@operation("lambda", "RemovePermission", subject=holder_to_remove_from)
def remove_permission(
    kit: Kit, call: Call, request: RemovePermissionRequest, holder: PolicyHolder
) -> RemovePermissionResponse:
    """Remove a statement from a function's policy."""
    _refuse_latest(holder, "removing")
    statement_id = request["StatementId"]
    with kit.state.write() as transaction:
        if not functions.load_statements(transaction.connection, holder.function_arn).get(holder.qualifier):
            raise ResourceNotFoundException("No policy is associated with the given resource.")
        _renew_revision(transaction, request, holder)
        if not functions.remove_statement(transaction, holder.function_arn, holder.qualifier, statement_id):
            raise ResourceNotFoundException(f"Statement {statement_id} is not found in resource policy.")
        look_at_all_users(kit, transaction, holder.function_arn, call.at)
    return {}


def _holder(kit: Kit, call: Call, request: Mapping[str, Any], missing: str) -> Subject[PolicyHolder]:
    reference = parse_function_name(call.place, request["FunctionName"], request.get("Qualifier"))
    keys = {"lambda:principal": (request["Principal"],)} if "Principal" in request else {}
    subject = subject_of(kit, reference, missing=missing, keys=keys)
    record = subject.record
    if record is None:
        return Subject(subject.arn, subject.asked, None, subject.missing, subject.policy, subject.keys)
    alias = qualifiers_of(kit, record.arn).aliases.get(reference.qualifier)
    revision_id = record.revision_id if alias is None else alias.revision_id
    holder = PolicyHolder(record.arn, reference.qualifier, reference.arn, revision_id)
    return Subject(subject.arn, subject.asked, holder, None, subject.policy, subject.keys)


def _missing(kit: Kit, call: Call, request: Mapping[str, Any], text: str) -> str:
    """Return what is said of a missing function, version or alias; of an alias in words of its own."""
    reference = parse_function_name(call.place, request["FunctionName"], request.get("Qualifier"))
    is_alias = reference.names_alias and load_function(kit, replace(reference, qualifier=UNQUALIFIED)) is not None
    return ("Cannot find alias arn: {}" if is_alias else text).format(reference.arn)


def _refuse_latest(holder: PolicyHolder, verb: str) -> None:
    if holder.qualifier == LATEST:
        raise InvalidParameterValueException(f"We currently do not support {verb} policies for $LATEST.")


def _renew_revision(
    transaction: Transaction, request: AddPermissionRequest | RemovePermissionRequest, holder: PolicyHolder
) -> None:
    """Give a new revision id to what has the policy: a change of it is one of the holder. Checks the request's own."""
    current = versions.lock(transaction, holder.function_arn)
    qualifiers = function_versions.load_qualifiers(transaction.connection, holder.function_arn)
    alias = qualifiers.aliases.get(holder.qualifier)
    record = at_qualifier(current, qualifiers, holder.qualifier) if holder.qualifier else current
    if record is None:
        raise ResourceNotFoundException(f"Function not found: {holder.arn}")
    found = record.revision_id if alias is None else alias.revision_id
    if request.get("RevisionId", found) != found:
        raise PreconditionFailedException(_OTHER_REVISION)
    renewed = str(uuid.uuid4())
    if alias is not None:
        function_versions.update_alias(transaction, current.arn, alias.name, revision_id=renewed)
    elif record.version is not None:
        function_versions.update_version(transaction, current.arn, record.version, revision_id=renewed)
    else:
        functions.update_function(transaction, current, revision_id=renewed)


def _statement(partition: str, request: AddPermissionRequest, function_arn: str) -> str:
    """Return the statement as compact JSON, with members in the order in which AWS writes them."""
    statement: dict[str, object] = {
        "Sid": request["StatementId"],
        "Effect": "Allow",
        "Principal": principal_element(partition, request["Principal"]),
        "Action": request["Action"],
        "Resource": function_arn,
    }
    conditions = _conditions(request)
    if conditions:
        statement["Condition"] = conditions
    return json.dumps(statement, separators=(",", ":"))


def _check_readable(statement: str) -> None:
    """Refuse what the policy could not be read with.

    Raises:
        InvalidParameterValueException: The statement is none of a resource-based policy.
    """
    try:
        parse_resource_policy(f'{{"Version":"2012-10-17","Statement":[{statement}]}}')
    except AwsError as error:
        raise InvalidParameterValueException(error.message) from error


def principal_element(partition: str, principal: str) -> str | dict[str, str]:
    """Return the Principal of a statement for what a request names.

    Raises:
        InvalidParameterValueException: It names nobody.
    """
    if principal == "*":
        return "*"
    if _ACCOUNT_ID.fullmatch(principal):
        return {"AWS": f"arn:{partition}:iam::{principal}:root"}
    if _SERVICE.fullmatch(principal):
        return {"Service": principal}
    try:
        Arn.parse(principal)
        # As whoever decides will read it: a policy that cannot be read lets nobody near the function any more.
        parse_principals({"AWS": (principal,)}, negated=False)
    except (InvalidArn, InvalidPrincipal) as error:
        raise InvalidParameterValueException(_INVALID_PRINCIPAL) from error
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
