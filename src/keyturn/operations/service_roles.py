"""Roles that a service takes on for somebody: functions' execution roles, the role by which secrets are replicated.

Source: IAM User Guide, "Grant a user permissions to pass a role to an AWS service".
"""

from __future__ import annotations

from keyturn.arn import Arn
from keyturn.call import Call, Principal, PrincipalKind
from keyturn.errors.base import AwsError
from keyturn.errors.common import AccessDenied
from keyturn.operations.kit import Kit
from keyturn.operations.subject import Subject
from keyturn.rules.policy.document import parse_trust_policy
from keyturn.rules.policy.evaluate import Policy, PolicySet, PolicyType, RequestContext, evaluate
from keyturn.storage.principals import RoleRecord


def check_may_pass(kit: Kit, call: Call, role_arn: str, service: str, resource_arn: str) -> None:
    """Return if the caller may give a role to a service.

    Args:
        kit: Decides.
        call: Who gives it.
        role_arn: The role.
        service: For instance ``lambda.amazonaws.com``.
        resource_arn: For what the service will use it.

    Raises:
        AccessDenied: The caller may not pass the role, or it belongs to another account.
    """
    if Arn.parse(role_arn).account_id != call.place.account_id:
        raise AccessDenied("Cross-account pass role is not allowed.")
    keys = {"iam:passedtoservice": (service,), "iam:associatedresourcearn": (resource_arn,)}
    kit.authorise(call, "iam:PassRole", Subject(arn=role_arn, asked=role_arn, record=None, keys=keys))


def trusts_service(role: RoleRecord, service: str, resource_arn: str) -> bool:
    """Whether a role lets a service assume it for a resource of the role's own account."""
    account_id = Arn.parse(role.arn).account_id
    principal = Principal(PrincipalKind.SERVICE, arn=service, unique_id=service, account_id=account_id, name=service)
    keys = {
        "aws:sourcearn": (resource_arn,),
        "aws:sourceaccount": (account_id,),
        "aws:principalisawsservice": ("true",),
        "aws:principalservicename": (service,),
    }
    try:
        trust = Policy("trust", parse_trust_policy(role.trust_policy), role.trust_policy)
    except AwsError:
        # A document that cannot be read grants nothing; IAM refuses such documents when they are stored.
        return False
    policies = PolicySet(resource=trust, resource_must_allow=True, resource_type=PolicyType.TRUST)
    return evaluate(RequestContext(principal, "sts:AssumeRole", role.arn, keys), policies).allowed
