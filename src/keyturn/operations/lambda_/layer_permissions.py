"""The resource-based policy of a layer version: which other accounts' functions may have it.

Texts and the members' order in a statement as recorded by localstack, 2025.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from keyturn.call import Call
from keyturn.errors.lambda_ import (
    PolicyLengthExceededException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.layer_subjects import layer_policy_text, layer_version_with_policy
from keyturn.operations.lambda_.permissions import POLICY_LIMIT_BYTES, principal_element
from keyturn.operations.registry import operation
from keyturn.storage import layers
from keyturn.storage.database import Transaction
from keyturn.storage.layers import LayerVersionRecord
from keyturn.wire.types.lambda_ import (
    AddLayerVersionPermissionRequest,
    AddLayerVersionPermissionResponse,
    GetLayerVersionPolicyRequest,
    GetLayerVersionPolicyResponse,
    RemoveLayerVersionPermissionRequest,
)

_OTHER_REVISION = (
    "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve the latest"
    " Revision Id"
)


@operation("lambda", "AddLayerVersionPermission", subject=layer_version_with_policy)
def add_layer_version_permission(
    kit: Kit, call: Call, request: AddLayerVersionPermissionRequest, record: LayerVersionRecord
) -> AddLayerVersionPermissionResponse:
    """Add a statement to the policy of a layer version."""
    statement_id = request["StatementId"]
    statement = _statement(call.place.partition, request, record.arn)
    with kit.state.write() as transaction:
        current = _current(transaction, record, request.get("RevisionId"))
        if any(known == statement_id for known, _ in current.statements):
            raise ResourceConflictException(
                f"The statement id ({statement_id}) provided already exists. Please provide a new statement id, or"
                " remove the existing statement."
            )
        statements = [*current.statements, (statement_id, statement)]
        if sum(len(text) for _, text in statements) > POLICY_LIMIT_BYTES:
            raise PolicyLengthExceededException(
                f"The final policy size is bigger than the limit ({POLICY_LIMIT_BYTES})."
            )
        revision_id = str(uuid.uuid4())
        layers.update_statements(transaction, current, statements, revision_id)
    return {"Statement": statement, "RevisionId": revision_id}


@operation("lambda", "GetLayerVersionPolicy", subject=layer_version_with_policy)
def get_layer_version_policy(
    _kit: Kit, _call: Call, _request: GetLayerVersionPolicyRequest, record: LayerVersionRecord
) -> GetLayerVersionPolicyResponse:
    """Show the policy of a layer version."""
    text = layer_policy_text(record)
    if text is None:
        raise ResourceNotFoundException("No policy is associated with the given resource.")
    return {"Policy": text, "RevisionId": record.revision_id}


@operation("lambda", "RemoveLayerVersionPermission", subject=layer_version_with_policy)
def remove_layer_version_permission(
    kit: Kit, _call: Call, request: RemoveLayerVersionPermissionRequest, record: LayerVersionRecord
) -> dict[str, Any]:
    """Remove a statement from the policy of a layer version."""
    statement_id = request["StatementId"]
    with kit.state.write() as transaction:
        current = _current(transaction, record, request.get("RevisionId"))
        rest = [statement for statement in current.statements if statement[0] != statement_id]
        if len(rest) == len(current.statements):
            raise ResourceNotFoundException(f"Statement {statement_id} is not found in resource policy.")
        layers.update_statements(transaction, current, rest, str(uuid.uuid4()))
    return {}


def _current(transaction: Transaction, record: LayerVersionRecord, revision_id: str | None) -> LayerVersionRecord:
    """Lock a layer version whose policy is to change, and return it as it is now."""
    current = layers.lock_version(transaction, record.layer_arn, record.version)
    if current is None:
        raise ResourceNotFoundException(f"Layer version {record.arn} does not exist.")
    if revision_id not in (None, current.revision_id):
        raise PreconditionFailedException(_OTHER_REVISION)
    return current


def _statement(partition: str, request: AddLayerVersionPermissionRequest, arn: str) -> str:
    """Return the statement as compact JSON, with members in the order in which AWS writes them."""
    statement: dict[str, object] = {
        "Sid": request["StatementId"],
        "Effect": "Allow",
        "Principal": principal_element(partition, request["Principal"]),
        "Action": request["Action"],
        "Resource": arn,
    }
    if "OrganizationId" in request:
        statement["Condition"] = {"StringEquals": {"aws:PrincipalOrgID": request["OrganizationId"]}}
    return json.dumps(statement, separators=(",", ":"))
