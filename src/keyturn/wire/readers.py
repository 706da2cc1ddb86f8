"""From raw values to parameters: one small function per shape, made once, that converts and validates in one walk.

A *dialect* says how a protocol writes scalars and containers: JSON has types, a form and the parts of an HTTP request
have only text. The walk itself is the same. A reader takes the raw value, the path of what contains it (ending in a
dot, empty at the top) and the faults met so far. A wrong type ends the walk at once with SerializationFailed, as on
AWS; a broken constraint is noted and the walk goes on.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from keyturn.errors.common import SerializationFailed
from keyturn.wire import timestamps
from keyturn.wire.models import Shape
from keyturn.wire.validate import Faults, all_constraints, check_for, label_of

Reader = Callable[[Any, str, Faults], Any]
Convert = Callable[[Any], Any]

_JAVA_NAMES: Final = {
    "string": "String",
    "integer": "Integer",
    "long": "Long",
    "float": "Float",
    "double": "Double",
    "boolean": "Boolean",
    "blob": "Blob",
    "timestamp": "Timestamp",
}
_BITS: Final = {"integer": 31, "long": 63}
_CONTAINERS: Final = frozenset({"structure", "list", "map"})


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one protocol writes values.

    Attributes:
        converter: Returns the function that converts a scalar of a shape.
        members: A structure's raw members by their names on the wire.
        elements: A list's raw elements.
        pairs: A map's raw keys and values.
        wire_name: What a member is called, given its shape and its name.
    """

    converter: Callable[[Shape], Convert]
    members: Callable[[Any], Mapping[str, Any]]
    elements: Callable[[Any, Shape], Sequence[Any]]
    pairs: Callable[[Any, Shape], Iterable[tuple[Any, Any]]]
    wire_name: Callable[[Shape, str], str] = lambda member, name: member.wire_name or name


def reader_for(shape: Shape, label: str, dialect: Dialect) -> Reader:
    """Return the reader of a shape.

    Args:
        shape: What to read.
        label: Its own part of the path in errors, for instance ``secretId``; ``member`` inside a list.
        dialect: How it is written.
    """
    if shape.kind == "structure":
        return _structure_reader(shape, label, dialect)
    if shape.kind == "list":
        return _list_reader(shape, label, dialect)
    if shape.kind == "map":
        return _map_reader(shape, label, dialect)
    return _scalar_reader(shape, label, dialect)


def _scalar_reader(shape: Shape, label: str, dialect: Dialect) -> Reader:
    convert = dialect.converter(shape)
    check = check_for(shape)
    if check is None:
        return lambda raw, _where, _faults: convert(raw)

    def read(raw: Any, where: str, faults: Faults) -> Any:
        value = convert(raw)
        broken = check(value)
        if broken:
            faults.add(value, shape, where + label, broken)
        return value

    return read


def _structure_reader(shape: Shape, label: str, dialect: Dialect) -> Reader:
    """Read the members that are there; names the model does not know are passed over, as AWS does."""
    names = {dialect.wire_name(member, name): name for name, member in shape.members.items()}
    required = tuple((name, label_of(name)) for name in shape.required)
    inside = f"{label}." if label else ""
    members_of = dialect.members
    # Filled when a member is first met, because a shape may contain itself.
    known: dict[str, tuple[str, Reader]] = {}

    def meet(wire_name: str) -> tuple[str, Reader]:
        name = names[wire_name]
        return known.setdefault(wire_name, (name, reader_for(shape.members[name], label_of(name), dialect)))

    def read(raw: Any, where: str, faults: Faults) -> dict[str, Any]:
        path = where + inside
        result: dict[str, Any] = {}
        for wire_name, value in members_of(raw).items():
            if value is None or wire_name not in names:
                continue
            name, reader = known.get(wire_name) or meet(wire_name)
            result[name] = reader(value, path, faults)
        for name, name_in_path in required:
            if name not in result:
                faults.add_missing(path + name_in_path)
        return result

    return read


def _list_reader(shape: Shape, label: str, dialect: Dialect) -> Reader:
    check = check_for(shape)
    read_elements = _container_elements(shape, label, dialect)

    def read(raw: Any, where: str, faults: Faults) -> list[Any]:
        values = read_elements(dialect.elements(raw, shape), where, faults)
        broken = check(values) if check is not None else ()
        if broken:
            faults.add(values, shape, where + label, broken)
        return values

    return read


def _container_elements(
    shape: Shape, label: str, dialect: Dialect
) -> Callable[[Sequence[Any], str, Faults], list[Any]]:
    """Read a list's elements: containers have paths of their own, scalars are told together."""
    if shape.member.kind in _CONTAINERS:
        read_one = reader_for(shape.member, "member", dialect)

        def read_containers(raws: Sequence[Any], where: str, faults: Faults) -> list[Any]:
            values = []
            for position, raw in enumerate(raws, 1):
                path = f"{where}{label}.{position}."
                if raw is None:
                    faults.add_missing(f"{path}member")
                else:
                    values.append(read_one(raw, path, faults))
            return values

        return read_containers

    read_scalar = _element_reader(shape.member, dialect)
    told = (f"Member must satisfy constraint: {all_constraints(shape.member)}",)

    def read_scalars(raws: Sequence[Any], where: str, faults: Faults) -> list[Any]:
        values, sound = [], True
        for raw in raws:
            value, is_sound = read_scalar(raw)
            values.append(value)
            sound = sound and is_sound
        if not sound:
            faults.add(values, shape, where + label, told)
        return values

    return read_scalars


def _map_reader(shape: Shape, label: str, dialect: Dialect) -> Reader:
    check = check_for(shape)
    read_key = _element_reader(shape.key, dialect)
    is_deep = shape.value.kind in _CONTAINERS
    read_deep = reader_for(shape.value, "member", dialect) if is_deep else None
    read_flat = None if is_deep else _element_reader(shape.value, dialect)
    bad_keys = (f"Map keys must satisfy constraint: {all_constraints(shape.key)}",)
    bad_values = (f"Map value must satisfy constraint: {all_constraints(shape.value)}",)

    def read(raw: Any, where: str, faults: Faults) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        keys_sound = values_sound = True
        for raw_key, raw_value in dialect.pairs(raw, shape):
            key, is_sound = read_key(raw_key)
            keys_sound = keys_sound and is_sound
            if read_flat is not None:
                result[key], is_sound = read_flat(raw_value)
                values_sound = values_sound and is_sound
            elif raw_value is None:
                values_sound = False
            elif read_deep is not None:
                result[key] = read_deep(raw_value, f"{where}{label}.{key}.", faults)
        broken = (
            *(() if keys_sound else bad_keys),
            *(() if values_sound else bad_values),
            *(check(result) if check is not None else ()),
        )
        if broken:
            faults.add(result, shape, where + label, broken)
        return result

    return read


def _element_reader(shape: Shape, dialect: Dialect) -> Callable[[Any], tuple[Any, bool]]:
    """Read one scalar of a list or map and say whether it keeps its constraints."""
    convert = dialect.converter(shape)
    check = check_for(shape)

    def read(raw: Any) -> tuple[Any, bool]:
        if raw is None:
            return None, False
        value = convert(raw)
        return value, check is None or not check(value)

    return read


# JSON -----------------------------------------------------------------------------------------------------------------
# What AWS's parser takes for what, and its texts, were measured on services with the same one: on Kinesis by kinesalite
# (tests/helpers.js), on Athena (46 requests, 2026-09-23) by athena-local, booleans on SES by floci.

_LIST_NOT_EXPECTED: Final = "Start of list found where not expected"
_STRUCTURE_NOT_EXPECTED: Final = "Start of structure or map found where not expected."
_TRUTHS: Final = {
    **dict.fromkeys(("true", "yes", "y", "t", "1"), True),
    **dict.fromkeys(("false", "no", "n", "f", "0"), False),
}


def wrong_container(raw: Any, wanted: str = "") -> SerializationFailed:
    """Say what was met in place of a container; ``wanted`` is what AWS says of a scalar, nothing at the top."""
    if isinstance(raw, list):
        return SerializationFailed(_LIST_NOT_EXPECTED)
    return SerializationFailed(_STRUCTURE_NOT_EXPECTED if isinstance(raw, dict) else wanted)


def wrong_type(raw: Any, wanted: str) -> SerializationFailed:
    """Name the kind of token that was met, never the value: it may be somebody's password in the wrong place."""
    if isinstance(raw, (list, dict)):
        return wrong_container(raw)
    if isinstance(raw, bool):
        token = "TRUE_VALUE" if raw else "FALSE_VALUE"
    else:
        token = "STRING_VALUE" if isinstance(raw, str) else "NUMBER_VALUE"
    return SerializationFailed(f"{token} can not be converted to {'an' if wanted[0] in 'AEIOU' else 'a'} {wanted}")


def _json_string(raw: Any) -> str:
    if type(raw) is not str:
        raise wrong_type(raw, "String")
    return raw


def _json_boolean(raw: Any) -> bool:
    if type(raw) is bool:
        return raw
    if type(raw) is str:
        if (truth := _TRUTHS.get(raw.lower())) is not None:
            return truth
        raise SerializationFailed("STRING_VALUE can not be converted to an Boolean")
    raise wrong_type(raw, "Boolean")


def _json_float(raw: Any) -> float:
    if type(raw) is int:
        # An integer may be longer than any float.
        return _bounded_integer(raw, "long")
    if type(raw) is not float:
        raise wrong_type(raw, "Double")
    return raw


def _json_blob(raw: Any) -> bytes:
    if type(raw) is not str:
        raise wrong_type(raw, "Blob")
    return _from_base64(raw)


def _json_timestamp(raw: Any) -> datetime:
    if type(raw) is not int and type(raw) is not float:
        raise wrong_type(raw, "Timestamp")
    return timestamps.from_epoch(raw)


def _json_integer(shape: Shape) -> Convert:
    kind = shape.kind
    # What is too large for an Integer breaks its upper bound, if it has one, and is told so.
    size = "long" if "max" in shape.traits else kind

    def convert(raw: Any) -> int:
        if type(raw) is float:
            # Some languages have no integers and send 1.0; AWS drops what is behind the point.
            raw = int(raw)
        if type(raw) is not int:
            raise wrong_type(raw, _JAVA_NAMES[kind])
        return _bounded_integer(raw, size)

    return convert


_JSON_CONVERTERS: Final[Mapping[str, Convert]] = {
    "string": _json_string,
    "boolean": _json_boolean,
    "float": _json_float,
    "double": _json_float,
    "blob": _json_blob,
    "timestamp": _json_timestamp,
}


def _json_converter(shape: Shape) -> Convert:
    return _json_integer(shape) if shape.kind in _BITS else _JSON_CONVERTERS[shape.kind]


def _json_members(raw: Any) -> Mapping[str, Any]:
    if type(raw) is not dict:
        raise wrong_container(raw, "Expected null")
    return raw


def _json_elements(raw: Any, _shape: Shape) -> Sequence[Any]:
    if type(raw) is not list:
        raise wrong_container(raw, "Expected list or null")
    return raw


def _json_pairs(raw: Any, _shape: Shape) -> Iterable[tuple[Any, Any]]:
    if type(raw) is not dict:
        raise wrong_container(raw, "Expected map or null")
    return raw.items()


JSON: Final = Dialect(
    converter=_json_converter,
    members=_json_members,
    elements=_json_elements,
    pairs=_json_pairs,
)


# Text -----------------------------------------------------------------------------------------------------------------

_TIMESTAMP_READERS: Final[Mapping[str, Callable[[str], datetime]]] = {
    "iso8601": timestamps.from_iso8601,
    "rfc822": timestamps.from_http_date,
    "unixTimestamp": lambda text: timestamps.from_epoch(_text_float(text)),
}

# Longer than any 64-bit number; int() of a megabyte of digits is slow.
_LONGEST_NUMBER: Final = 64


def text_converter(shape: Shape, timestamp_format: str = "iso8601") -> Convert:
    """Return the function that converts a scalar written as text: in a form, a path, a query or a header."""
    if shape.kind == "timestamp":
        read = _TIMESTAMP_READERS[shape.traits.get("timestampFormat", timestamp_format)]
    elif shape.kind in _BITS:
        return _text_integer(shape.kind)
    else:
        return _TEXT_CONVERTERS[shape.kind]
    return lambda raw: read(_text(raw))


def _text(raw: Any) -> str:
    if type(raw) is not str:
        raise SerializationFailed("Unexpected complex element where a scalar was expected.")
    return raw


def _text_boolean(raw: Any) -> bool:
    lowered = _text(raw).lower()
    if lowered not in ("true", "false"):
        raise wrong_type(raw, "Boolean")
    return lowered == "true"


def _text_integer(kind: str) -> Convert:
    def convert(raw: Any) -> int:
        text = _text(raw)
        # int() alone would take blanks, underscores and the digits of every script.
        if len(text) > _LONGEST_NUMBER or not text.isascii() or not text.removeprefix("-").isdigit():
            raise wrong_type(raw, _JAVA_NAMES[kind])
        return _bounded_integer(int(text), kind)

    return convert


def _text_float(raw: Any) -> float:
    text = _text(raw)
    try:
        return float(text[:_LONGEST_NUMBER])
    except ValueError as error:
        raise wrong_type(raw, "Double") from error


def _text_blob(raw: Any) -> bytes:
    return _from_base64(_text(raw))


_TEXT_CONVERTERS: Final[Mapping[str, Convert]] = {
    "string": _text,
    "boolean": _text_boolean,
    "float": _text_float,
    "double": _text_float,
    "blob": _text_blob,
}


# Both -----------------------------------------------------------------------------------------------------------------


def _bounded_integer(value: int, kind: str) -> int:
    limit = 1 << _BITS[kind]
    if not -limit <= value < limit:
        raise SerializationFailed(f"The number is out of the range of {_JAVA_NAMES[kind]}.")
    return value


def _from_base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise SerializationFailed("The blob is not Base64.") from error
