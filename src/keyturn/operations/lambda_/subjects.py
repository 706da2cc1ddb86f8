"""What Lambda's operations act on: functions by whatever name a caller gives them, with policy and condition keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyturn.call import Call
from keyturn.errors.lambda_ import ResourceNotFoundException
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.names import LATEST, FunctionReference, parse_function_name
from keyturn.operations.subject import NO_KEYS, Subject
from keyturn.storage import functions
from keyturn.storage.functions import FunctionRecord, StatementRecord

UNQUALIFIED = ""
"""The qualifier under which statements for the function as a whole are stored."""


def function(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[FunctionRecord]:
    """Load the function that ``FunctionName`` and ``Qualifier`` mean."""
    reference = parse_function_name(call.place, request["FunctionName"], request.get("Qualifier"))
    return subject_of(kit, reference, missing=f"Function not found: {reference.arn}")


def whole_function(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[FunctionRecord]:
    """Load the function that a change concerns: policies are asked about the ARN without a qualifier.

    ``$LATEST`` in the name means the same function, and must not lead around a Deny that names it.
    """
    return _unqualified(kit, call, request["FunctionName"], function(kit, call, request))


def tagged_function(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[FunctionRecord]:
    """Load the function whose ARN is ``Resource``."""
    reference = parse_function_name(call.place, request["Resource"])
    subject = subject_of(
        kit, reference, missing=f"Function not found: {reference.arn}", keys=tag_keys(request.get("Tags"))
    )
    return _unqualified(kit, call, request["Resource"], subject)


def _unqualified(kit: Kit, call: Call, text: str, subject: Subject[FunctionRecord]) -> Subject[FunctionRecord]:
    arn = parse_function_name(call.place, text).unqualified_arn
    policy = None if subject.record is None else policy_text(statements_of(kit, subject.record.arn))
    return Subject(arn, arn, subject.record, subject.missing, policy, subject.keys)


def subject_of(
    kit: Kit, reference: FunctionReference, *, missing: str, keys: Mapping[str, tuple[str, ...]] = NO_KEYS
) -> Subject[FunctionRecord]:
    """Return a function as the subject of a call.

    Args:
        kit: Adapters.
        reference: Which function.
        missing: What a caller who may ask is told if it does not exist.
        keys: Condition keys of the request; those of the function's tags are added.
    """
    record = load_function(kit, reference)
    if record is None:
        error = ResourceNotFoundException(missing)
        return Subject(reference.arn, reference.arn, record=None, missing=error, keys=keys)
    return Subject(
        reference.arn,
        reference.arn,
        record=record,
        policy=policy_text(statements_of(kit, record.arn, reference.qualifier)),
        keys={**keys, **_resource_tag_keys(record)},
    )


def load_function(kit: Kit, reference: FunctionReference) -> FunctionRecord | None:
    """Return the function, or None if there is none by that name and qualifier in that account and region."""
    if reference.qualifier not in (UNQUALIFIED, LATEST):
        return None
    arn = reference.unqualified_arn
    return kit.kept.get(functions.FUNCTION, arn, lambda connection: functions.load_function(connection, arn))


def statements_of(kit: Kit, function_arn: str, qualifier: str = UNQUALIFIED) -> tuple[StatementRecord, ...]:
    """Return the statements of a function's policy, oldest first."""
    by_qualifier = kit.kept.get(
        functions.FUNCTION_POLICY, function_arn, lambda connection: functions.load_statements(connection, function_arn)
    )
    return by_qualifier.get(qualifier, ())


def policy_text(statements: tuple[StatementRecord, ...]) -> str | None:
    """Return the policy document that the statements make, as GetPolicy shows it; None without any."""
    if not statements:
        return None
    joined = ",".join(record.statement for record in statements)
    return f'{{"Version":"2012-10-17","Id":"default","Statement":[{joined}]}}'


def tag_keys(tags: Mapping[str, str] | None) -> Mapping[str, tuple[str, ...]]:
    """Condition keys of tags in a request. Source: IAM User Guide, "Controlling access to AWS resources using tags"."""
    if not tags:
        return NO_KEYS
    return {"aws:tagkeys": tuple(tags), **{f"aws:requesttag/{key.lower()}": (value,) for key, value in tags.items()}}


def _resource_tag_keys(record: FunctionRecord) -> Mapping[str, tuple[str, ...]]:
    return {f"aws:resourcetag/{key.lower()}": (value,) for key, value in (record.tags or {}).items()}
