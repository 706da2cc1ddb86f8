"""Whether a function's policy lets Secrets Manager invoke it for a secret, as far as that policy says."""

from __future__ import annotations

from keyturn.call import Principal, PrincipalKind
from keyturn.rules.policy.document import parse_resource_policy
from keyturn.rules.policy.evaluate import Outcome, Policy, PolicySet, RequestContext, evaluate
from keyturn.rules.rotation_permissions import SECRETS_MANAGER

INVOKE = "lambda:InvokeFunction"


def service_may_invoke(policy: str, function_arn: str, secret_arn: str, account_id: str) -> bool:
    """Return what a policy decides.

    Args:
        policy: The function's, as GetPolicy answers it.
        function_arn: As the secret names it.
        secret_arn: Of the secret.
        account_id: Whose both are.

    Raises:
        AwsError: The policy cannot be read.
    """
    keys = {
        "aws:sourcearn": (secret_arn,),
        "aws:sourceaccount": (account_id,),
        "aws:principalisawsservice": ("true",),
        "aws:principalservicename": (SECRETS_MANAGER,),
    }
    principal = Principal(PrincipalKind.SERVICE, SECRETS_MANAGER, SECRETS_MANAGER, account_id, SECRETS_MANAGER)
    context = RequestContext(principal, INVOKE, function_arn, keys)
    document = parse_resource_policy(policy)
    decision = evaluate(context, PolicySet(resource=Policy("function policy", document, policy)))
    return decision.outcome is Outcome.ALLOW
