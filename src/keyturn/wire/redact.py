"""What of a request or response may be seen: the one place that removes sensitive members, for audit and for logs.

Keys are spelled as CloudTrail spells them: the first letter in lower case, an abbreviation whole. A member that the
model marks sensitive is gone at any depth, and so is every blob, whatever the model says: packages, payloads and
ciphertexts have no place in an audit event. What is left is plain JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from keyturn.wire.models import OperationModel, Shape
from keyturn.wire.timestamps import to_iso8601
from keyturn.wire.validate import label_of

Redactor = Callable[[Any], Any]


def request_parameters(operation: OperationModel, params: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the ``requestParameters`` of an audit event, None if nothing is left to show."""
    return _shown(operation.input, params)


def response_elements(operation: OperationModel, response: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the ``responseElements`` of an audit event; for operations that only read, AWS records none at all."""
    return _shown(operation.output, response)


def _shown(shape: Shape | None, values: Mapping[str, Any]) -> dict[str, Any] | None:
    redact = None if shape is None else _redactor(shape)
    return (redact(values) or None) if redact is not None else None


@cache
def _redactor(shape: Shape) -> Redactor | None:
    """Return the function that makes a value of this shape fit to be seen, None if it never is."""
    if shape.sensitive or shape.kind == "blob":
        return None
    if shape.kind == "structure":
        return _structure_redactor(shape)
    if shape.kind == "list":
        return _list_redactor(shape)
    if shape.kind == "map":
        return _map_redactor(shape)
    return _scalar


def _scalar(value: Any) -> Any:
    return to_iso8601(value) if isinstance(value, datetime) else value


def _structure_redactor(shape: Shape) -> Redactor:
    members = shape.members

    def redact(values: Mapping[str, Any]) -> dict[str, Any]:
        result = {}
        for name, value in values.items():
            # A name the model does not know cannot be vouched for.
            member = None if value is None or name not in members else _redactor(members[name])
            if member is not None:
                result[_event_key(name)] = member(value)
        return result

    return redact


def _event_key(name: str) -> str:
    # Until February 2024 AWS wrote "aRN" in some events.
    return name.lower() if name.isupper() else label_of(name)


def _list_redactor(shape: Shape) -> Redactor | None:
    redact = _redactor(shape.member)
    return None if redact is None else lambda values: [redact(value) for value in values]


def _map_redactor(shape: Shape) -> Redactor | None:
    redact = _redactor(shape.value)
    if redact is None or _redactor(shape.key) is None:
        return None
    return lambda values: {key: redact(value) for key, value in values.items()}
