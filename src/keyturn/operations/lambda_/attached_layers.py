"""May a function have these layers? They must exist, be usable by the caller, and fit beside the function's code.

Texts as recorded by localstack, 2025.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.errors.lambda_ import InvalidParameterValueException
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.layer_subjects import layer_version_subject, split_version_arn
from keyturn.operations.subject import NO_KEYS
from keyturn.runtime import package
from keyturn.storage import layers
from keyturn.storage.database import Transaction
from keyturn.storage.functions import AttachedLayer

_LIMIT = 5


def layer_keys(request: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    """Condition key of the layers in a request. Source: Service Authorization Reference, "AWS Lambda"."""
    return {"lambda:layer": tuple(request["Layers"])} if request.get("Layers") else NO_KEYS


def check_layers(kit: Kit, call: Call, arns: Sequence[str], unzipped_code_bytes: int) -> None:
    """Return if the caller may give these layer versions to a function.

    Raises:
        Refused: The caller, or the policy of another account's layer, does not allow it.
        InvalidParameterValueException: They are too many or too large, one does not exist, or two are of one layer.
    """
    if len(arns) > _LIMIT:
        raise InvalidParameterValueException(f"Cannot reference more than {_LIMIT} layers.")
    seen: dict[str, str] = {}
    sizes_bytes: list[int] = []
    for arn in arns:
        of_layer, version = split_version_arn(arn)
        if Place.of(arn).region != call.place.region:
            raise InvalidParameterValueException(
                "Layers are not in the same region as the function. Layers are expected to be in region"
                f" {call.place.region}."
            )
        subject = layer_version_subject(kit, of_layer, version, missing="")
        kit.authorise(call, "lambda:GetLayerVersion", subject)
        if subject.record is None:
            raise _does_not_exist(arn)
        if of_layer in seen:
            raise InvalidParameterValueException(
                "Two different versions of the same layer are not allowed to be referenced in the same function."
                f" {seen[of_layer]} and {arn} are versions of the same layer."
            )
        seen[of_layer] = arn
        sizes_bytes.append(subject.record.unzipped_size_bytes)
    package.check_together(unzipped_code_bytes, *sizes_bytes)


def attach(transaction: Transaction, arns: Sequence[str]) -> list[AttachedLayer] | None:
    """Return what a function keeps of these layer versions; none of them is deleted before the transaction ends.

    Raises:
        InvalidParameterValueException: One was deleted since it was checked.
    """
    attached: dict[str, AttachedLayer] = {}
    # In one order, whoever attaches: two that lock the same layers must not wait for each other.
    for arn in sorted(arns):
        record = layers.lock_version(transaction, *split_version_arn(arn))
        if record is None:
            raise _does_not_exist(arn)
        attached[arn] = record.attached
    return [attached[arn] for arn in arns] or None


def _does_not_exist(arn: str) -> InvalidParameterValueException:
    return InvalidParameterValueException(f"Layer version {arn} does not exist.")
