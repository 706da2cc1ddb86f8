"""May Secrets Manager invoke a rotation function? Only the function's own policy counts.

Source: Secrets Manager User Guide, "Permissions policies for the Lambda rotation function"; IAM User Guide,
"AWS service principals".
"""

from __future__ import annotations

from collections.abc import Sequence

from keyturn.call import Principal, PrincipalKind
from keyturn.operations.lambda_.subjects import policy_text
from keyturn.rules.policy.document import parse_resource_policy
from keyturn.rules.policy.evaluate import Decision, Policy, PolicySet, RequestContext, evaluate
from keyturn.storage.functions import FunctionRecord, StatementRecord

SECRETS_MANAGER = "secretsmanager.amazonaws.com"
_INVOKE = "lambda:InvokeFunction"


def service_may_invoke(
    function: FunctionRecord, statements: Sequence[StatementRecord], source_arn: str, source_account: str
) -> Decision:
    """Decide whether Secrets Manager may invoke a function on behalf of a secret.

    Args:
        function: The rotation function.
        statements: Of its policy.
        source_arn: The secret: what a confused deputy would have wrong.
        source_account: The account of the secret.
    """
    text = policy_text(tuple(statements))
    keys = {
        "aws:sourcearn": (source_arn,),
        "aws:sourceaccount": (source_account,),
        "aws:principalisawsservice": ("true",),
        "aws:principalservicename": (SECRETS_MANAGER,),
    }
    principal = Principal(
        kind=PrincipalKind.SERVICE,
        arn=SECRETS_MANAGER,
        unique_id=SECRETS_MANAGER,
        account_id=source_account,
        name=SECRETS_MANAGER,
    )
    resource = None if text is None else Policy("default", parse_resource_policy(text), text)
    return evaluate(RequestContext(principal, _INVOKE, function.arn, keys), PolicySet(resource=resource))
