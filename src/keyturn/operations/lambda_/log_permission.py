"""Whether a function may write to the log group that it is told to log to.

The group that is named after a function is its own, and everything it prints goes there. Any other may hold the logs of
others: for it the execution role needs ``logs:PutLogEvents``, as in AWS for every group; without, lines are lost.

Source: AWS Lambda Developer Guide, "Configuring CloudWatch log groups", "Execution role permissions".
"""

from __future__ import annotations

from datetime import datetime

from keyturn.operations.kit import Authorise
from keyturn.operations.lambda_.execution_role import call_of_role
from keyturn.operations.logs.subjects import policy_arn
from keyturn.operations.subject import Subject
from keyturn.runtime.spec import FunctionSpec
from keyturn.storage.roles import RoleRecord


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
    call = call_of_role(spec.place, role, spec.name, now)
    arn = policy_arn(spec.place, spec.log_group, stream)
    subject: Subject[object] = Subject(arn, arn, record=None)
    return authorise.decide(call, "logs:PutLogEvents", subject).allowed
