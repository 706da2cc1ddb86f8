"""Key policies: who may use a key and change it. A key has one, named ``default``, which is never taken away.

Texts from field reports; that of another policy's name as collected by moto; that about set operators from the AWS KMS
Developer Guide, "Using condition keys with set operators".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keyturn.call import Call
from keyturn.errors.common import AccessDenied, ValidationFailed
from keyturn.errors.kms import MalformedPolicyDocumentException, NotFoundException
from keyturn.operations.kit import Kit
from keyturn.operations.kms.locking import lock_key
from keyturn.operations.kms.pages import page_of
from keyturn.operations.kms.references import FoundKey
from keyturn.operations.kms.subjects import Keys, key_subject, own_key
from keyturn.operations.named_principals import missing_principals
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.overtaken_preflight import look_at_all_of_key
from keyturn.operations.subject import Subject
from keyturn.rules.policy.conditions import Quantifier
from keyturn.rules.policy.document import INVALID_KEY_PRINCIPAL, PolicyDocument, parse_key_policy
from keyturn.storage import kms_keys
from keyturn.storage.database import Transaction
from keyturn.storage.kms_keys import KmsKeyRecord
from keyturn.wire.types.kms import (
    GetKeyPolicyRequest,
    GetKeyPolicyResponse,
    ListKeyPoliciesRequest,
    ListKeyPoliciesResponse,
    PutKeyPolicyRequest,
    PutKeyPolicyResponse,
)

_DEFAULT = "default"
_OF_RAM = "AWS_RAM"
_PUT = "kms:PutKeyPolicy"
_PAGE_SIZE = 100
# Condition keys with one value at most, by their beginning, with what AWS calls them.
_SINGLE_VALUED = {"kms:encryptioncontext:": "encryption context", "aws:requesttag/": "tag"}


def _key_with_policy_name(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[KmsKeyRecord]:
    return own_key(kit, call, request, _policy_name_keys(request.get("PolicyName", _DEFAULT)))


def _key_to_put(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[KmsKeyRecord]:
    return own_key(
        kit, call, request, {**_policy_name_keys(request.get("PolicyName", _DEFAULT)), **bypass_keys(request)}
    )


@operation("kms", "GetKeyPolicy", subject=_key_with_policy_name)
def get_key_policy(_kit: Kit, _call: Call, request: GetKeyPolicyRequest, record: KmsKeyRecord) -> GetKeyPolicyResponse:
    """Show a key's policy as it was put."""
    _check_name(request.get("PolicyName", _DEFAULT))
    return {"Policy": record.policy, "PolicyName": _DEFAULT}


@operation("kms", "PutKeyPolicy", subject=_key_to_put)
def put_key_policy(kit: Kit, call: Call, request: PutKeyPolicyRequest, record: KmsKeyRecord) -> PutKeyPolicyResponse:
    """Replace a key's policy."""
    name = request.get("PolicyName", _DEFAULT)
    if name == _OF_RAM:
        raise ValidationFailed("The AWS_RAM policy can only be managed by the RAM service.")
    _check_name(name)
    with kit.state.write() as transaction:
        current = lock_key(transaction, record)
        bypassed = request.get("BypassPolicyLockoutSafetyCheck", False)
        check_policy(kit, transaction, call, current, request["Policy"], bypassed=bypassed)
        kms_keys.update_key(transaction, current, policy=request["Policy"])
        look_at_all_of_key(kit, transaction, current.arn, call.at)
    return {}


@operation("kms", "ListKeyPolicies", subject=own_key)
def list_key_policies(
    kit: Kit, call: Call, request: ListKeyPoliciesRequest, record: KmsKeyRecord
) -> ListKeyPoliciesResponse:
    """Name the one policy that a key has."""
    page = page_of(kit, call, f"kms:ListKeyPolicies {record.arn}", request, [_DEFAULT], str, _PAGE_SIZE)
    return {"PolicyNames": list(page.items), "Truncated": page.is_truncated}


def check_policy(
    kit: Kit, transaction: Transaction, call: Call, record: KmsKeyRecord, policy: str, *, bypassed: bool
) -> None:
    """Check that a text can be the policy of a key.

    Args:
        kit: Decides whether the caller could still change the policy.
        transaction: Reads principals.
        call: Who puts it.
        record: The key.
        policy: As sent.
        bypassed: Whether the caller does not mind being locked out.

    Raises:
        MalformedPolicyDocumentException: It cannot.
        LimitExceededException: It is too long.
    """
    document = parse_key_policy(policy)
    _check_set_operators(document)
    if missing_principals(transaction.connection, document):
        raise MalformedPolicyDocumentException(INVALID_KEY_PRINCIPAL)
    if bypassed:
        return
    changed = FoundKey(record.arn, replace(record, policy=policy))
    try:
        kit.authorise(call, _PUT, key_subject(call, changed, _policy_name_keys(_DEFAULT)))
    except AccessDenied as error:
        raise MalformedPolicyDocumentException(
            "The new key policy will not allow you to update the key policy in the future."
        ) from error


def _check_set_operators(document: PolicyDocument) -> None:
    """Refuse conditions that are true of every request without the key that they look at.

    Raises:
        MalformedPolicyDocumentException: There is one.
    """
    for condition in (condition for statement in document.statements for condition in statement.conditions):
        for beginning, kind in _SINGLE_VALUED.items():
            if condition.quantifier is Quantifier.ALL and condition.key.startswith(beginning):
                raise MalformedPolicyDocumentException(
                    "OverlyPermissiveCondition: Using the ForAllValues set operator with a single-valued condition key"
                    f" matches requests without the specified {kind} or with an unspecified {kind}. To fix, remove"
                    " ForAllValues."
                )


def bypass_keys(request: Mapping[str, Any]) -> Keys:
    """Condition key of a request that may do without the lock-out check; absent if it does not mention it."""
    bypassed = request.get("BypassPolicyLockoutSafetyCheck")
    return {} if bypassed is None else {"kms:bypasspolicylockoutsafetycheck": (str(bypassed).lower(),)}


def _policy_name_keys(name: str) -> Keys:
    return {"kms:policyname": (name,)}


def _check_name(name: str) -> None:
    if name != _DEFAULT:
        raise NotFoundException("No such policy exists")
