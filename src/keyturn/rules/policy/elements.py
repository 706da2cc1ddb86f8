"""The texts of Action and Resource: what IAM takes for an action's name and for a pattern of ARNs.

Source: IAM User Guide, "Resource", "Policy variables" (no variable before the fifth colon) and "Grammar of the IAM JSON
policy language" (incomplete ARNs); the rest as collected by moto and recorded by cdk-preflight.
"""

from __future__ import annotations

import re

from keyturn.rules.policy.patterns import first_variable
from keyturn.rules.policy.refusals import IAM_PATHS, Reason

PARTITIONS = frozenset(
    ("aws", "aws-cn", "aws-eusc", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-us-gov", "*")
)

_VENDOR = re.compile(r"[A-Za-z0-9.-]+")
_WILDCARD = re.compile(r"[*?]")
_ONLY_WILDCARDS = re.compile(r"[*?]*")
_ARN_FIELDS = 6
# Behind the first colon.
_SHOWN_FIELDS = 5


class InvalidElement(ValueError):
    """The text is none that Action or Resource may hold.

    Args:
        reason: Why.
        subject: What a text quotes of it.
    """

    def __init__(self, reason: Reason, subject: str) -> None:
        super().__init__(subject)
        self.reason = reason
        self.subject = subject


def check_action(action: str) -> None:
    """Check that a text can be an action, or a pattern of actions of one service.

    Raises:
        InvalidElement: It cannot.
    """
    if action == "*":
        return
    vendor, colon, name = action.partition(":")
    if not colon:
        raise InvalidElement(Reason.ACTION_VENDORLESS, action)
    if ":" in name:
        raise InvalidElement(Reason.ACTION_COLONS, action)
    if _WILDCARD.search(vendor):
        raise InvalidElement(Reason.ACTION_VENDOR_WILDCARD, vendor)
    if not _VENDOR.fullmatch(vendor):
        raise InvalidElement(Reason.ACTION_VENDOR, vendor)
    if not name:
        raise InvalidElement(Reason.ACTION_NAME, action)


def completed_resource(resource: str, *, completing: bool, variables: bool) -> str:
    """Return a resource with the fields that were left out; they stand for anything.

    Args:
        resource: As written in the policy.
        completing: Whether fields may be left out.
        variables: Whether ``${…}`` means something.

    Raises:
        InvalidElement: It is no pattern of ARNs.
    """
    if resource == "*":
        return resource
    prefix, colon, rest = resource.partition(":")
    if not colon:
        raise InvalidElement(Reason.RESOURCE_FORMAT, resource)
    partition = rest.partition(":")[0]
    if partition not in PARTITIONS:
        raise InvalidElement(Reason.PARTITION, _as_read(rest))
    if prefix != "arn":
        raise InvalidElement(Reason.RESOURCE_FORMAT, resource)
    fields = resource.split(":", _ARN_FIELDS - 1)
    service = fields[2] if len(fields) > 2 else "*"
    if _WILDCARD.search(service):
        raise InvalidElement(Reason.RESOURCE_VENDOR, resource)
    if not service or (len(fields) < _ARN_FIELDS and "::" in resource):
        raise InvalidElement(Reason.LEGACY_RESOURCE, resource)
    variable = first_variable(resource) if variables else -1
    if variable >= 0 and resource.count(":", 0, variable) < _ARN_FIELDS - 1:
        raise InvalidElement(Reason.LEGACY_RESOURCE, resource)
    if len(fields) < _ARN_FIELDS and not completing:
        raise InvalidElement(Reason.RESOURCE_INCOMPLETE, resource)
    fields += ["*"] * (_ARN_FIELDS - len(fields))
    completed = ":".join(fields)
    _check_place(completed, *fields[2:])
    return completed


def _as_read(rest: str) -> str:
    """Return what AWS shows of a resource of no partition: what stands behind the first colon, completed."""
    fields = rest.split(":", _SHOWN_FIELDS - 1)
    fields += ["*"] * (_SHOWN_FIELDS - len(fields))
    return ":".join(["arn", *fields])


def _check_place(resource: str, service: str, region: str, account_id: str, name: str) -> None:
    """Check that the ARN of a service without regions has none; a wildcard alone is none."""
    has_region = not _ONLY_WILDCARDS.fullmatch(region)
    has_account = not _ONLY_WILDCARDS.fullmatch(account_id)
    # What has a slash may be an access point or a job, which have both; a bucket has neither.
    is_bucket = service == "s3" and "/" not in name
    if service == "iam":
        if has_region:
            raise InvalidElement(Reason.IAM_REGION, resource)
        # What a wildcard in front of the slash stands for nobody can tell.
        if not (name == "*" or name.startswith(IAM_PATHS) or _WILDCARD.search(name.partition("/")[0])):
            raise InvalidElement(Reason.IAM_PATH, resource)
    elif has_region and (is_bucket or service == "route53" or (service == "s3" and not has_account)):
        raise InvalidElement(Reason.REGION, resource)
    elif has_account and is_bucket:
        raise InvalidElement(Reason.ACCOUNT, resource)
