"""What Lambda's operations act on: functions by whatever name a caller gives them, with policy and condition keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from keyturn.call import Call
from keyturn.errors.lambda_ import ResourceNotFoundException
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.names import UNQUALIFIED, FunctionReference, parse_function_name
from keyturn.operations.subject import NO_KEYS, Subject
from keyturn.storage import function_versions, functions
from keyturn.storage.function_versions import Qualifiers
from keyturn.storage.functions import FunctionRecord, StatementRecord


def function(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[FunctionRecord]:
    """Load the function that ``FunctionName`` and ``Qualifier`` mean."""
    reference = parse_function_name(call.place, request["FunctionName"], request.get("Qualifier"))
    return subject_of(kit, reference, missing=f"Function not found: {reference.arn}")


def whole_function(
    kit: Kit, call: Call, request: Mapping[str, Any], keys: Mapping[str, tuple[str, ...]] = NO_KEYS
) -> Subject[FunctionRecord]:
    """Load the function that a change concerns: policies are asked about the ARN without a qualifier.

    ``$LATEST``, a version or an alias in the name means the same function, and must not lead around a Deny that names
    it. The record is that of ``$LATEST``.
    """
    return _whole(kit, parse_function_name(call.place, request["FunctionName"]), keys)


def tagged_function(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[FunctionRecord]:
    """Load the function whose ARN is ``Resource``."""
    return _whole(kit, parse_function_name(call.place, request["Resource"]), tag_keys(request.get("Tags")))


def _whole(
    kit: Kit, reference: FunctionReference, keys: Mapping[str, tuple[str, ...]] = NO_KEYS
) -> Subject[FunctionRecord]:
    whole = replace(reference, qualifier=UNQUALIFIED)
    return subject_of(kit, whole, missing=f"Function not found: {whole.arn}", keys=keys)


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
    arn = reference.unqualified_arn
    latest = kit.kept.get(functions.FUNCTION, arn, lambda connection: functions.load_function(connection, arn))
    if latest is None or reference.names_latest:
        return latest
    return at_qualifier(latest, qualifiers_of(kit, arn), reference.qualifier)


def stored_function(connection: Connection, reference: FunctionReference) -> FunctionRecord | None:
    """Return what :func:`load_function` does, read from the database."""
    latest = functions.load_function(connection, reference.unqualified_arn)
    if latest is None or reference.names_latest:
        return latest
    return at_qualifier(latest, function_versions.load_qualifiers(connection, latest.arn), reference.qualifier)


def at_qualifier(latest: FunctionRecord, qualifiers: Qualifiers, qualifier: str) -> FunctionRecord | None:
    """Return the version of a function that a version number or an alias means; None if there is none."""
    alias = qualifiers.aliases.get(qualifier)
    if alias is not None and alias.version is None:
        return latest
    version = alias.version if alias is not None else qualifiers.number(qualifier)
    record = None if version is None else qualifiers.versions.get(version)
    return None if version is None or record is None else record.of(latest, version)


def qualifiers_of(kit: Kit, function_arn: str) -> Qualifiers:
    """Return a function's versions and aliases."""
    return kit.kept.get(
        functions.FUNCTION_QUALIFIERS,
        function_arn,
        lambda connection: function_versions.load_qualifiers(connection, function_arn),
    )


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
