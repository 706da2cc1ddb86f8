"""Which context keys policies ask for: what to supply to the policy simulator."""

from __future__ import annotations

from collections.abc import Iterable

from keyturn.call import Call
from keyturn.errors.base import AwsError
from keyturn.errors.iam import InvalidInputException
from keyturn.operations.iam.policy_sources import PolicySource, policy_source
from keyturn.operations.kit import Kit
from keyturn.operations.registry import no_subject, operation
from keyturn.rules.policy.context_keys import context_keys
from keyturn.rules.policy.document import parse_identity_policy
from keyturn.wire.types.iam import (
    GetContextKeysForCustomPolicyRequest,
    GetContextKeysForCustomPolicyResponse,
    GetContextKeysForPrincipalPolicyRequest,
    GetContextKeysForPrincipalPolicyResponse,
)


@operation("iam", "GetContextKeysForCustomPolicy", subject=no_subject)
def get_context_keys_for_custom_policy(
    _kit: Kit, _call: Call, request: GetContextKeysForCustomPolicyRequest, _subject: None
) -> GetContextKeysForCustomPolicyResponse:
    """List the context keys of policies that are in the request."""
    return {"ContextKeyNames": _names(_checked(request["PolicyInputList"]))}


@operation("iam", "GetContextKeysForPrincipalPolicy", subject=policy_source)
def get_context_keys_for_principal_policy(
    _kit: Kit, _call: Call, request: GetContextKeysForPrincipalPolicyRequest, source: PolicySource
) -> GetContextKeysForPrincipalPolicyResponse:
    """List the context keys of a principal's policies, and of those in the request."""
    stored = [policy.text for policy in source.policies.identity]
    return {"ContextKeyNames": _names([*stored, *_checked(request.get("PolicyInputList", []))])}


def _checked(texts: Iterable[str]) -> list[str]:
    """Return policies that are well-formed.

    Raises:
        InvalidInputException: One of them is not.
    """
    checked = []
    for text in texts:
        try:
            parse_identity_policy(text)
        except AwsError as error:
            raise InvalidInputException(error.message) from error
        checked.append(text)
    return checked


def _names(texts: Iterable[str]) -> list[str]:
    found: dict[str, str] = {}
    for text in texts:
        for name, written in context_keys(text).items():
            found.setdefault(name, written)
    return list(found.values())
