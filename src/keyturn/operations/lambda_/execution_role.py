"""May a function have this execution role? The caller must be allowed to pass it, and the role must trust Lambda.

Source: AWS Lambda Developer Guide, "Defining Lambda function permissions with an execution role"; IAM User Guide,
"Grant a user permissions to pass a role to an AWS service".
"""

from __future__ import annotations

from keyturn.arn import Arn
from keyturn.call import Call, Principal, PrincipalKind
from keyturn.errors.base import AwsError
from keyturn.errors.common import AccessDenied
from keyturn.errors.lambda_ import InvalidParameterValueException
from keyturn.operations.kit import Kit
from keyturn.operations.subject import Subject
from keyturn.rules.policy.document import parse_trust_policy
from keyturn.rules.policy.evaluate import Policy, PolicySet, PolicyType, RequestContext, evaluate
from keyturn.storage import principals
from keyturn.storage.principals import RoleRecord

LAMBDA = "lambda.amazonaws.com"


def check_execution_role(kit: Kit, call: Call, role_arn: str, function_arn: str) -> None:
    """Return if the caller may give the function this role and Lambda may assume it.

    Raises:
        AccessDenied: The caller may not pass the role, or it belongs to another account.
        InvalidParameterValueException: There is no such role, or it does not trust Lambda.
    """
    if Arn.parse(role_arn).account_id != call.place.account_id:
        raise AccessDenied("Cross-account pass role is not allowed.")
    keys = {"iam:passedtoservice": (LAMBDA,), "iam:associatedresourcearn": (function_arn,)}
    kit.authorise(call, "iam:PassRole", Subject(arn=role_arn, asked=role_arn, record=None, keys=keys))
    with kit.state.read() as connection:
        role = principals.load_role_by_arn(connection, role_arn)
    if role is None or not _trusts_lambda(role, call.place.account_id, function_arn):
        raise InvalidParameterValueException("The role defined for the function cannot be assumed by Lambda.")


def _trusts_lambda(role: RoleRecord, account_id: str, function_arn: str) -> bool:
    service = Principal(kind=PrincipalKind.SERVICE, arn=LAMBDA, unique_id=LAMBDA, account_id=account_id, name=LAMBDA)
    keys = {
        "aws:sourcearn": (function_arn,),
        "aws:sourceaccount": (account_id,),
        "aws:principalisawsservice": ("true",),
        "aws:principalservicename": (LAMBDA,),
    }
    try:
        trust = Policy("trust", parse_trust_policy(role.trust_policy))
    except AwsError:
        # A document that cannot be read grants nothing; IAM refuses such documents when they are stored.
        return False
    policies = PolicySet(resource=trust, resource_must_allow=True, resource_type=PolicyType.TRUST)
    return evaluate(RequestContext(service, "sts:AssumeRole", role.arn, keys), policies).allowed
