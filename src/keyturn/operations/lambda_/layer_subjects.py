"""Layers and their versions by whatever name a caller gives them, with policy and condition keys.

Texts as recorded by localstack, 2025 and 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.errors.lambda_ import InvalidParameterValueException, ResourceNotFoundException
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.subjects import policy_text
from keyturn.operations.subject import Subject
from keyturn.storage import layers
from keyturn.storage.functions import StatementRecord
from keyturn.storage.layers import LayerVersionRecord

NO_SUCH_LAYER_VERSION = "The resource you requested does not exist."

# More than a database's integer holds.
_DIGITS = 10
_NO_VERSION = 10**_DIGITS - 1


def layer(_kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[None]:
    """The layer that ``LayerName`` means; there may be none yet."""
    arn = layer_arn(call.place, request["LayerName"])
    return Subject(arn, arn, record=None)


def layer_version(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[LayerVersionRecord]:
    """Load the layer version that ``LayerName`` and ``VersionNumber`` mean."""
    return layer_version_subject(kit, *_asked(call, request), missing=NO_SUCH_LAYER_VERSION)


def layer_version_by_arn(kit: Kit, _call: Call, request: Mapping[str, Any]) -> Subject[LayerVersionRecord]:
    """Load the layer version whose ARN is ``Arn``."""
    return layer_version_subject(kit, *split_version_arn(request["Arn"]), missing=NO_SUCH_LAYER_VERSION)


def layer_version_with_policy(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[LayerVersionRecord]:
    """Load the layer version whose policy is shown or changed."""
    arn, version = _asked(call, request)
    return layer_version_subject(kit, arn, version, missing=f"Layer version {arn}:{version} does not exist.")


def layer_version_to_delete(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[LayerVersionRecord | None]:
    """Load the layer version; what is not there is deleted already."""
    found = layer_version_subject(kit, *_asked(call, request), missing="")
    is_gone = isinstance(found.missing, ResourceNotFoundException)
    return Subject(found.arn, found.asked, found.record, None if is_gone else found.missing, found.policy)


def layer_version_subject(kit: Kit, arn: str, version: int, *, missing: str) -> Subject[LayerVersionRecord]:
    """Return a layer version as the subject of a call.

    Args:
        kit: Adapters.
        arn: Of the layer.
        version: Its number.
        missing: What a caller who may ask is told if it does not exist.
    """
    version_arn = f"{arn}:{version}"
    if version < 1:
        error = InvalidParameterValueException("Layer Version Cannot be less than 1")
        return Subject(version_arn, version_arn, record=None, missing=error)
    with kit.state.read() as connection:
        record = layers.load_version(connection, arn, version)
    if record is None:
        return Subject(version_arn, version_arn, record=None, missing=ResourceNotFoundException(missing))
    return Subject(version_arn, version_arn, record, policy=layer_policy_text(record))


def layer_policy_text(record: LayerVersionRecord) -> str | None:
    """Return the policy of a layer version as GetLayerVersionPolicy shows it; None without any statement."""
    return policy_text(tuple(StatementRecord(*statement) for statement in record.statements))


def layer_arn(place: Place, name: str) -> str:
    """Return the ARN of the layer that ``name`` means: a name in the caller's account, or an ARN already."""
    return name if name.startswith("arn:") else place.layer_arn(name)


def split_version_arn(arn: str) -> tuple[str, int]:
    """Return the ARN of a layer and the number of its version; the model's pattern has been checked."""
    of_layer, _, version = arn.rpartition(":")
    # AWS's own layers, the pattern's other form, have no number; there are none here. Nor are there such numbers.
    return (of_layer, int(version)) if version.isdecimal() and len(version) < _DIGITS else (arn, _NO_VERSION)


def _asked(call: Call, request: Mapping[str, Any]) -> tuple[str, int]:
    return layer_arn(call.place, request["LayerName"]), request["VersionNumber"]
