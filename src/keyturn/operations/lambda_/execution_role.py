"""May a function have this execution role? The caller must be allowed to pass it, and the role must trust Lambda.

What Lambda does for a function with the role's permissions, it does as a session of the role.

Source: AWS Lambda Developer Guide, "Defining Lambda function permissions with an execution role".
"""

from __future__ import annotations

from datetime import datetime

from keyturn.arn import Place
from keyturn.call import Call, Principal, PrincipalKind
from keyturn.errors.lambda_ import InvalidParameterValueException
from keyturn.ids import new_request_id
from keyturn.operations.kit import Kit
from keyturn.operations.service_roles import check_may_pass, trusts_service
from keyturn.storage import roles
from keyturn.storage.roles import RoleRecord

LAMBDA = "lambda.amazonaws.com"


def check_execution_role(kit: Kit, call: Call, role_arn: str, function_arn: str) -> None:
    """Return if the caller may give the function this role and Lambda may assume it.

    Raises:
        AccessDenied: The caller may not pass the role, or it belongs to another account.
        InvalidParameterValueException: There is no such role, or it does not trust Lambda.
    """
    check_may_pass(kit, call, role_arn, LAMBDA, function_arn)
    with kit.state.read() as connection:
        role = roles.load_role_by_arn(connection, role_arn)
    if role is None or not trusts_service(role, LAMBDA, function_arn):
        raise InvalidParameterValueException("The role defined for the function cannot be assumed by Lambda.")


def call_of_role(place: Place, role: RoleRecord, function_name: str, now: datetime) -> Call:
    """Return a call that Lambda makes as a function's session of its execution role."""
    principal = Principal(
        kind=PrincipalKind.ASSUMED_ROLE,
        arn=place.assumed_role_arn(role.name, function_name),
        unique_id=f"{role.unique_id}:{function_name}",
        account_id=place.account_id,
        name=role.name,
        role_arn=role.arn,
        session_name=function_name,
    )
    return Call(principal, place, LAMBDA, LAMBDA, new_request_id(), now)
