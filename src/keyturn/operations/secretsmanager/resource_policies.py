"""The resource policy of a secret: who else may use it, and who may not, whatever their own policies say.

A secret has one that can be attached, named ``default``; it is kept as it was put and shown in AWS's layout. Texts
about a policy are those of the User Guide (2020), where it lists them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from keyturn.call import Call
from keyturn.errors.common import ValidationFailed
from keyturn.errors.secretsmanager import (
    InvalidNextTokenException,
    InvalidParameterException,
    MalformedPolicyDocumentException,
    PublicPolicyException,
    ResourceNotFoundException,
)
from keyturn.operations.kit import Kit
from keyturn.operations.named_principals import missing_principals
from keyturn.operations.paging import open_page, seal_page
from keyturn.operations.registry import Runs, operation
from keyturn.operations.secretsmanager.condition_keys import SecretKeys
from keyturn.operations.secretsmanager.lockout import PUT_RESOURCE_POLICY, locks_out
from keyturn.operations.secretsmanager.overtaken_preflight import look_at_secret
from keyturn.operations.secretsmanager.subjects import secret, secret_subject
from keyturn.operations.secretsmanager.writing import lock_alive
from keyturn.operations.subject import NO_SUBJECT, Subject
from keyturn.rules.deletion import check_alive
from keyturn.rules.policy.document import PolicyDocument, parse_resource_policy
from keyturn.rules.policy.layout import laid_out
from keyturn.rules.policy.public_access import grants_broad_access
from keyturn.rules.replication import MANAGED_POLICY, Part, managed_policy
from keyturn.storage import secrets
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.secretsmanager import (
    DeleteResourcePolicyRequest,
    DeleteResourcePolicyResponse,
    GetResourcePolicyRequest,
    GetResourcePolicyResponse,
    ListResourcePoliciesRequest,
    ListResourcePoliciesResponse,
    PutResourcePolicyRequest,
    PutResourcePolicyResponse,
    ValidateResourcePolicyRequest,
    ValidateResourcePolicyResponse,
    ValidationErrorsEntry,
)

_DEFAULT = "default"
_PAGE_SIZE = 100
_UNSUPPORTED_PRINCIPAL = "This resource policy contains an unsupported principal."
_LOCKED_OUT = "Your requested changes will not allow you to manage this secret in the future."
_BROAD_ACCESS = (
    "This resource policy grants broad access to your secret. Secrets Manager does not allow creating and applying such"
    " policies in the console."
)


@operation("secretsmanager", "PutResourcePolicy", subject=secret)
def put_resource_policy(
    kit: Kit, call: Call, request: PutResourcePolicyRequest, subject: SecretRecord
) -> PutResourcePolicyResponse:
    """Attach a policy to a secret, in place of the one it has."""
    _check_is_default(request)
    text = request["ResourcePolicy"]
    document = _parsed(kit, text)
    with kit.state.write() as transaction:
        current = lock_alive(transaction, subject.arn, call.at, Part.METADATA)
        _check_principals(transaction.connection, document)
        if request.get("BlockPublicPolicy", False) and grants_broad_access(document):
            raise PublicPolicyException
        before = secret_subject(current, request)
        if locks_out(kit, call, before, before._replace(policy=text)):
            raise MalformedPolicyDocumentException(_LOCKED_OUT)
        secrets.update_secret(transaction, current, resource_policy=text, last_changed_at=call.at)
        look_at_secret(kit, transaction, current, call.at)
    return {"ARN": subject.arn, "Name": subject.name, "PolicyName": _DEFAULT}


@operation("secretsmanager", "GetResourcePolicy", subject=secret, runs=Runs.ON_LOOP)
def get_resource_policy(
    _kit: Kit, _call: Call, request: GetResourcePolicyRequest, subject: SecretRecord
) -> GetResourcePolicyResponse:
    """Show a secret's policy; one without answers without."""
    check_alive(subject.deletion_at)
    name = request.get("PolicyName", _DEFAULT)
    policies = _policies(subject)
    if name != _DEFAULT and name not in policies:
        raise ResourceNotFoundException("Secrets Manager can't find the specified resource policy.")
    response: GetResourcePolicyResponse = {"ARN": subject.arn, "Name": subject.name, "PolicyName": name}
    if name in policies:
        response["ResourcePolicy"] = laid_out(policies[name])
    return response


@operation("secretsmanager", "DeleteResourcePolicy", subject=secret)
def delete_resource_policy(
    kit: Kit, call: Call, request: DeleteResourcePolicyRequest, subject: SecretRecord
) -> DeleteResourcePolicyResponse:
    """Take a secret's policy off; to do so where there is none changes nothing."""
    _check_is_default(request)
    with kit.state.write() as transaction:
        current = lock_alive(transaction, subject.arn, call.at, Part.METADATA)
        if current.resource_policy is not None:
            secrets.update_secret(transaction, current, resource_policy=None, last_changed_at=call.at)
            look_at_secret(kit, transaction, current, call.at)
    return {"ARN": subject.arn, "Name": subject.name, "PolicyName": _DEFAULT}


@operation("secretsmanager", "ListResourcePolicies", subject=secret, runs=Runs.ON_LOOP)
def list_resource_policies(
    kit: Kit, call: Call, request: ListResourcePoliciesRequest, subject: SecretRecord
) -> ListResourcePoliciesResponse:
    """List the names of a secret's policies; only one can be attached."""
    check_alive(subject.deletion_at)
    return page_of_policies(kit, call, subject.arn, request, list(_policies(subject)))


def _policies(subject: SecretRecord) -> dict[str, str]:
    """Return a secret's policies by name: its own, and that of a replica of another account's secret."""
    policies = {} if subject.resource_policy is None else {_DEFAULT: subject.resource_policy}
    if subject.primary_arn is not None and subject.is_account_replica:
        policies[MANAGED_POLICY] = managed_policy(subject.primary_arn)
    return policies


def page_of_policies(
    kit: Kit, call: Call, arn: str, request: ListResourcePoliciesRequest, names: Sequence[str]
) -> ListResourcePoliciesResponse:
    """Return the part of a secret's policies that a request asks for.

    Args:
        kit: Seals the token.
        call: Who lists.
        arn: Of the secret.
        request: May have MaxResults and NextToken.
        names: Of all its policies.

    Raises:
        InvalidNextTokenException: The token is not one of this secret's policies.
    """
    listing = f"ListResourcePolicies {arn}"
    # "default" comes first, the others by their names.
    ordered = sorted(names, key=_place_in_list)
    if "NextToken" in request:
        after = open_page(kit, call, listing, request["NextToken"], InvalidNextTokenException())["after"]
        ordered = [name for name in ordered if _place_in_list(name) > _place_in_list(after)]
    page = ordered[: request.get("MaxResults", _PAGE_SIZE)]
    response: ListResourcePoliciesResponse = {"ResourcePolicies": [{"PolicyName": name} for name in page]}
    if len(page) < len(ordered):
        response["NextToken"] = seal_page(kit, call, listing, after=page[-1])
    return response


def _place_in_list(name: str) -> tuple[bool, str]:
    return name != _DEFAULT, name


def _secret_if_named(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[SecretRecord]:
    """Load the secret if one is named; without, policies are asked about ``*``."""
    if "SecretId" in request:
        return secret(kit, call, request)
    return Subject(NO_SUBJECT.arn, NO_SUBJECT.asked, record=None, keys=SecretKeys(request))


@operation("secretsmanager", "ValidateResourcePolicy", subject=_secret_if_named)
def validate_resource_policy(
    kit: Kit, call: Call, request: ValidateResourcePolicyRequest, subject: SecretRecord | None
) -> ValidateResourcePolicyResponse:
    """Say what speaks against a policy: that it lets everybody in, or locks the caller out."""
    before: Subject[object] = (
        _secret_if_named(kit, call, request) if subject is None else secret_subject(subject, request)
    )
    kit.authorise(call, PUT_RESOURCE_POLICY, before)
    if subject is not None:
        check_alive(subject.deletion_at)
    text = request["ResourcePolicy"]
    document = _parsed(kit, text)
    with kit.state.read() as connection:
        _check_principals(connection, document)
    errors: list[ValidationErrorsEntry] = []
    if grants_broad_access(document):
        errors.append({"CheckName": "BlockPublicPolicyCheck", "ErrorMessage": _BROAD_ACCESS})
    if locks_out(kit, call, before, before._replace(policy=text)):
        errors.append({"CheckName": "LockOutCheck", "ErrorMessage": _LOCKED_OUT})
    return {"PolicyValidationPassed": not errors, "ValidationErrors": errors}


def _check_is_default(request: PutResourcePolicyRequest | DeleteResourcePolicyRequest) -> None:
    if request.get("PolicyName", _DEFAULT) != _DEFAULT:
        raise InvalidParameterException("You can only use the resource policy name default.")


def _parsed(kit: Kit, text: str) -> PolicyDocument:
    """Parse a policy that fits the quota.

    Raises:
        ValidationFailed: It does not, in the words in which the model's own limit is told.
        MalformedPolicyDocumentException: It is not well-formed.
    """
    if len(text) > kit.quotas.policy_characters:
        raise ValidationFailed(
            "1 validation error detected: Value at 'resourcePolicy' failed to satisfy constraint: Member must have"
            f" length less than or equal to {kit.quotas.policy_characters}"
        )
    return parse_resource_policy(text)


def _check_principals(connection: Connection, document: PolicyDocument) -> None:
    """Refuse a policy that names somebody who does not exist, or whom nobody here can be.

    Raises:
        MalformedPolicyDocumentException: It does.
    """
    has_others = any(statement.principals and statement.principals.others for statement in document.statements)
    if has_others or missing_principals(connection, document):
        raise MalformedPolicyDocumentException(_UNSUPPORTED_PRINCIPAL)
