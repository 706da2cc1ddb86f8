"""No text of a request holds U+0000 but those that are stored sealed or made storable.

PostgreSQL has no text with that character, SQLite has; the same request must have the same answer on both. Told in the
framework's words, after all constraints of the model. A lone surrogate never gets here: the decoders take it for
malformed JSON and malformed UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from keyturn.wire.models import Shape
from keyturn.wire.validate import Faults, label_of

_TOLD: Final = ("Member must not contain null characters",)
# A secret's value, which is stored sealed; a line of a log, which is made storable; what names a secret, which its
# service refuses in words of its own.
_TAKEN: Final = frozenset({"SecretStringType", "EventMessage", "NameType", "SecretIdType"})


def refuse_in_json(shape: Shape, params: dict[str, Any], body: bytes) -> None:
    """Refuse U+0000 in what was read from a JSON body; there it can only be escaped, and in one spelling.

    Raises:
        ValidationFailed: A text has one.
    """
    if b"\\u0000" in body:
        _refuse(shape, params)


def refuse_in_encoded(shape: Shape, params: dict[str, Any], *encoded: bytes) -> None:
    """Refuse U+0000 in what was read from a form, a query or a path.

    Raises:
        ValidationFailed: A text has one.
    """
    if any(b"%00" in one or b"\0" in one for one in encoded):
        _refuse(shape, params)


def _refuse(shape: Shape, params: dict[str, Any]) -> None:
    faults = Faults()
    _note(shape, params, "", faults)
    if faults.count:
        raise faults.error()


def _note(shape: Shape, value: Any, path: str, faults: Faults) -> None:
    """Walk through what was read; elements, keys and flat values are told with what holds them, as constraints are."""
    if shape.kind == "structure":
        inside = f"{path}." if path else ""
        for name, one in value.items():
            _note(shape.members[name], one, inside + label_of(name), faults)
        return
    if shape.kind == "list":
        held = _hold(shape.member, value)
        deeper = [(str(position), one) for position, one in enumerate(value, 1)]
        element = shape.member
    elif shape.kind == "map":
        held = _hold(shape.key, value) or _hold(shape.value, value.values())
        deeper = list(value.items())
        element = shape.value
    else:
        held, deeper, element = _hold(shape, (value,)), [], shape
    if held:
        faults.add(value, shape, path, _TOLD)
    if element.kind in ("structure", "list", "map"):
        for name, one in deeper:
            _note(element, one, f"{path}.{name}.member", faults)


def _hold(shape: Shape, values: Iterable[Any]) -> bool:
    return shape.kind == "string" and shape.name not in _TAKEN and any("\0" in value for value in values)
