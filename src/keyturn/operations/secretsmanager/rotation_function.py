"""The function that rotates a secret: which one an ARN means, and whether Secrets Manager may invoke it.

Source: Secrets Manager User Guide, "Permissions policies for the Lambda rotation function"; the refusal as recorded.
"""

from __future__ import annotations

from datetime import timedelta

from keyturn.arn import Arn, InvalidArn, Place
from keyturn.call import Call
from keyturn.errors.base import AwsError
from keyturn.errors.common import AccessDenied
from keyturn.operations.authorization_messages import encoded_message
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.names import FunctionReference, parse_function_name
from keyturn.operations.lambda_.subjects import load_function, statements_of, subject_of
from keyturn.operations.refusal import Refused
from keyturn.operations.service_invocation import asked_by_service, service_may_invoke
from keyturn.rules.policy.explanation import explain
from keyturn.storage.functions import FunctionRecord

_CANNOT_INVOKE = (
    "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the"
    " principal secretsmanager.amazonaws.com."
)
_INVOKE = "lambda:InvokeFunction"


def invocable_function(kit: Kit, function_arn: str, secret_arn: str) -> tuple[FunctionRecord, str] | None:
    """Return the rotation function and its qualifier, if its policy lets Secrets Manager invoke it for this secret.

    None if there is no such function, or its policy does not.
    """
    found = find_function(kit, function_arn, secret_arn)
    if found is None:
        return None
    reference, function = found
    statements = statements_of(kit, function.arn, reference.qualifier)
    decision = service_may_invoke(reference.arn, statements, secret_arn, Place.of(secret_arn).account_id)
    return (function, reference.qualifier) if decision.allowed else None


def find_function(kit: Kit, function_arn: str, secret_arn: str) -> tuple[FunctionReference, FunctionRecord] | None:
    """Return the function that an ARN means, whether Secrets Manager may invoke it or not; None if there is none."""
    try:
        Arn.parse(function_arn)
        reference = parse_function_name(Place.of(secret_arn), function_arn)
    except (InvalidArn, AwsError):
        return None
    function = load_function(kit, reference)
    return None if function is None else (reference, function)


def function_timeout(kit: Kit, function_arn: str | None, secret_arn: str) -> timedelta:
    """Return how long a step of the rotation function can take; no time if there is no function."""
    found = find_function(kit, function_arn or "", secret_arn)
    return timedelta(seconds=found[1].timeout_seconds if found else 0)


def check_function(kit: Kit, call: Call, function_arn: str, secret_arn: str) -> None:
    """Return if Secrets Manager may invoke the function for a secret, and the caller may, too.

    Raises:
        AccessDenied: One of them may not; the message is AWS's.
    """
    if invocable_function(kit, function_arn, secret_arn) is None:
        raise cannot_invoke(kit, function_arn, secret_arn)
    # The caller could otherwise have any function run that Secrets Manager may invoke.
    reference = parse_function_name(Place.of(secret_arn), function_arn)
    kit.authorise(call, _INVOKE, subject_of(kit, reference, missing=_CANNOT_INVOKE))


def cannot_invoke(kit: Kit, function_arn: str, secret_arn: str) -> AccessDenied:
    """Return AWS's refusal of a function that Secrets Manager may not invoke; if there is one, with what it lacks."""
    found = find_function(kit, function_arn, secret_arn)
    if found is None:
        return AccessDenied(_CANNOT_INVOKE)
    reference, function = found
    account_id = Place.of(secret_arn).account_id
    statements = statements_of(kit, function.arn, reference.qualifier)
    explanation = explain(*asked_by_service(reference.arn, statements, secret_arn, account_id))
    encoded = encoded_message(kit.authorization_messages, explanation, account_id, ())
    return Refused(
        _CANNOT_INVOKE,
        explanation.decision,
        caller_account_id=account_id,
        owner_account_id=account_id,
        encoded_messages={account_id: encoded},
    )
