"""Whether a function may write to the log group that it is told to log to.

The group that is named after a function is its own, and everything it prints goes there. Any other may hold the logs of
others: for it the execution role needs ``logs:PutLogEvents``, as in AWS for every group; without, lines are lost.

Source: AWS Lambda Developer Guide, "Configuring CloudWatch log groups", "Execution role permissions".
"""

from __future__ import annotations

from datetime import datetime

from keyturn.call import Call, Principal, PrincipalKind
from keyturn.ids import new_request_id
from keyturn.operations.kit import Authorise
from keyturn.operations.logs.subjects import policy_arn
from keyturn.operations.subject import Subject
from keyturn.runtime.spec import FunctionSpec
from keyturn.storage.roles import RoleRecord

_LAMBDA = "lambda.amazonaws.com"


def may_log(authorise: Authorise, spec: FunctionSpec, role: RoleRecord | None, stream: str, now: datetime) -> bool:
    """Return whether a function's lines are stored.

    Args:
        authorise: Decides.
        spec: The function.
        role: Its execution role; None if that is gone.
        stream: Of its log group.
        now: Aware UTC.
    """
    if not spec.shares_log_group:
        return True
    if role is None:
        return False
    principal = Principal(
        kind=PrincipalKind.ASSUMED_ROLE,
        arn=spec.place.assumed_role_arn(role.name, spec.name),
        unique_id=f"{role.unique_id}:{spec.name}",
        account_id=spec.place.account_id,
        name=role.name,
        role_arn=role.arn,
        session_name=spec.name,
    )
    call = Call(principal, spec.place, _LAMBDA, _LAMBDA, new_request_id(), now)
    arn = policy_arn(spec.place, spec.log_group, stream)
    subject: Subject[object] = Subject(arn, arn, record=None)
    return authorise.decide(call, "logs:PutLogEvents", subject).allowed
