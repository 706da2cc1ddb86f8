"""What breaks Secrets Manager's model, and AWS's words for it: derived from the model's JSON, not from Keyturn's code.

Each violation is one request of one operation that is wrong in one place. Members are walked to every depth.

How AWS tells them: recorded for names of secrets (localstack, test_invalid_secret_name), sensitive members (AWS CDK
deployments), nested members and enumerations (moto), elements of lists (AWS Lambda's ``layers``), the pattern before
the length (EventBridge, three at once), wrong types (kinesalite on Kinesis, athena-local on Athena, floci on SES).
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.loaders import Loader

MODEL: Mapping[str, Any] = Loader().load_service_model("secretsmanager", "service-2", "2017-10-17")
SHAPES: Mapping[str, Any] = MODEL["shapes"]

Place = Callable[[Any], dict[str, Any]]
"""Puts a value where it belongs in an otherwise valid request."""


@dataclass(frozen=True)
class Violation:
    """One request that breaks the model in one place.

    Attributes:
        operation: Whose request it is.
        what: The place and the constraint or type, for the test's name.
        request: What is sent.
        told: AWS's sentence about it.
    """

    operation: str
    what: str
    request: dict[str, Any]
    told: str

    @property
    def member(self) -> str:
        """The member of the request in which it is."""
        return self.what.partition(" ")[0].partition(".")[0].partition("[")[0]


def valid(shape_name: str) -> Any:
    """The smallest value that keeps every constraint of a shape, as JSON."""
    shape = SHAPES[shape_name]
    match shape["type"]:
        case "structure":
            return {name: valid(shape["members"][name]["shape"]) for name in shape.get("required", ())}
        case "list":
            return [valid(shape["member"]["shape"])] * max(shape.get("min", 0), 1)
        case "boolean":
            return True
        case "integer" | "long":
            return shape.get("min", 1)
        case "blob":
            return b64encode(b"x" * max(shape.get("min", 0), 1)).decode()
        case _:
            return "us-east-1" if shape_name == "RegionType" else _text(shape, max(shape.get("min", 0), 1))


def request_of(operation: str) -> dict[str, Any]:
    """The smallest valid request."""
    request: dict[str, Any] = valid(MODEL["operations"][operation]["input"]["shape"])
    return request


def broken_constraints(operation: str) -> Iterator[Violation]:
    """Break each constraint of each member once."""
    base = request_of(operation)
    shape = SHAPES[MODEL["operations"][operation]["input"]["shape"]]
    for name in shape.get("required", ()):
        without = {other: value for other, value in base.items() if other != name}
        told = f"Value null at '{_label(name)}' failed to satisfy constraint: Member must not be null"
        yield Violation(operation, f"{name} required", without, told)
        yield Violation(operation, f"{name} null", {**base, name: None}, told)
    for path, label, member, place in _members(shape, "", "", _into(base)):
        for constraint, value in _breaking(member):
            echo = "Value" if member.get("sensitive") else f"Value '{_java(member, value)}'"
            told = "; ".join(
                f"{echo} at '{label}' failed to satisfy constraint: {text}" for text in _texts(member, value)
            )
            yield Violation(operation, f"{path} {constraint}", place(value), told)


def wrong_types(operation: str) -> Iterator[Violation]:
    """Send each member as every other type that JSON has."""
    base = request_of(operation)
    shape = SHAPES[MODEL["operations"][operation]["input"]["shape"]]
    for path, _, member, place in _members(shape, "", "", _into(base)):
        for value, told in _TYPES[member["type"]]:
            yield Violation(operation, f"{path} as {value!r}", place(value), told)
        if member["type"] == "list" and SHAPES[member["member"]["shape"]]["type"] != "structure":
            for value, told in _TYPES[SHAPES[member["member"]["shape"]]["type"]]:
                yield Violation(operation, f"{path}[] as {value!r}", place([value]), told)


def joined(told: list[str]) -> str:
    """Several violations in one message; each text may be of several that are joined already."""
    count = sum(one.count(" failed to satisfy constraint: ") for one in told)
    return f"{count} validation error{'' if count == 1 else 's'} detected: {'; '.join(told)}"


def _members(shape: Mapping[str, Any], path: str, label: str, place: Place) -> Iterator[tuple[str, str, Any, Place]]:
    """Every member at any depth: its path, its name in errors, its shape, and how to send one value of it."""
    for name, reference in shape.get("members", {}).items():
        member = SHAPES[reference["shape"]]
        own_path, own_label, put = f"{path}{name}", f"{label}{_label(name)}", _as_member(name, place)
        yield own_path, own_label, member, put
        if member["type"] == "structure":
            yield from _members(member, f"{own_path}.", f"{own_label}.", put)
        elif member["type"] == "list" and SHAPES[member["member"]["shape"]]["type"] == "structure":
            element, put_one = SHAPES[member["member"]["shape"]], _as_element(put)
            yield f"{own_path}[]", own_label, element, put_one
            yield from _members(element, f"{own_path}[].", f"{own_label}.1.member.", put_one)


def _into(base: dict[str, Any]) -> Place:
    return lambda members: {**base, **members}


def _as_member(name: str, place: Place) -> Place:
    return lambda value: place({name: value})


def _as_element(place: Place) -> Place:
    return lambda value: place([value])


def _breaking(shape: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """One value for each constraint of a shape, of its elements too, that breaks this one and no other if possible."""
    match shape["type"]:
        case "list":
            element = SHAPES[shape["member"]["shape"]]
            sound = valid(shape["member"]["shape"])
            if shape.get("min"):
                yield "min", [sound] * (shape["min"] - 1)
            if "max" in shape:
                yield "max", [sound] * (shape["max"] + 1)
            if element["type"] != "structure":
                yield from ((f"[] {constraint}", [value]) for constraint, value in _breaking(element))
                yield "[] null", [None]
        case "integer" | "long":
            yield from ((name, shape[name] + step) for name, step in (("min", -1), ("max", 1)) if name in shape)
        case "blob":
            for name, length in _wrong_lengths(shape):
                yield name, b64encode(b"x" * length).decode()
        case "string":
            if "enum" in shape:
                yield "enum", "no-such-value"
            for name, length in _wrong_lengths(shape):
                yield name, _text(shape, length)
            if "pattern" in shape:
                yield "pattern", "~" * max(shape.get("min", 0), 1)


def _wrong_lengths(shape: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    if shape.get("min"):
        yield "min", shape["min"] - 1
    if "max" in shape and "enum" not in shape:
        yield "max", shape["max"] + 1


def _text(shape: Mapping[str, Any], length: int) -> str:
    """A text of a length that fits the pattern, if there is one."""
    if enum := shape.get("enum"):
        return str(enum[0])
    shapes = ("x" * length, "1" * (length - 1) + "h", "x" * (length - 2) + "-1")
    fitting = [text for text in shapes if len(text) == length and _fits(shape, text)]
    # A pattern that no text of this length fits is broken together with the length.
    return fitting[0] if fitting else "x" * length


def _fits(shape: Mapping[str, Any], text: str) -> bool:
    return "pattern" not in shape or re.fullmatch(shape["pattern"], text) is not None


def _texts(shape: Mapping[str, Any], value: Any) -> list[str]:
    """The texts of the constraints that a value breaks."""
    if shape["type"] in ("integer", "long"):
        return [text for text in _bounds(shape, "value") if not _keeps(text, value)]
    if "enum" in shape:
        return [_enum(shape)]
    length = len(b64decode(value)) if shape["type"] == "blob" else len(value)
    texts = [] if shape["type"] != "string" or _fits(shape, value) else [_pattern(shape)]
    texts += [text for text in _bounds(shape, "length") if not _keeps(text, length)]
    if shape["type"] == "list" and not texts:
        element = SHAPES[shape["member"]["shape"]]
        every = [_enum(element)] if "enum" in element else _bounds(element, "length")
        every += [_pattern(element)] if "pattern" in element else []
        return [f"Member must satisfy constraint: [{', '.join([*every, 'Member must not be null'])}]"]
    return texts


def _bounds(shape: Mapping[str, Any], word: str) -> list[str]:
    most = [f"Member must have {word} less than or equal to {shape['max']}"] if "max" in shape else []
    least = [f"Member must have {word} greater than or equal to {shape['min']}"] if "min" in shape else []
    return most + least


def _keeps(text: str, number: int) -> bool:
    bound = int(text.rpartition(" ")[2])
    return number <= bound if "less than" in text else number >= bound


def _enum(shape: Mapping[str, Any]) -> str:
    return f"Member must satisfy enum value set: [{', '.join(shape['enum'])}]"


def _pattern(shape: Mapping[str, Any]) -> str:
    return f"Member must satisfy regular expression pattern: {shape['pattern']}"


def _java(shape: Mapping[str, Any], value: Any) -> str:
    """A value as Java prints it; of a structure only its name is shown."""
    if shape["type"] == "list":
        element = shape["member"]["shape"]
        is_named = SHAPES[element]["type"] == "structure"
        return f"[{', '.join(element if is_named else _java(SHAPES[element], one) for one in value)}]"
    return "null" if value is None else str(value)


def _label(name: str) -> str:
    return name[:1].lower() + name[1:]


_LIST, _MAP = "Start of list found where not expected", "Start of structure or map found where not expected."
_CONTAINERS: tuple[tuple[Any, str], ...] = (([], _LIST), ({}, _MAP))
_TRUTHS = (True, "TRUE_VALUE"), (False, "FALSE_VALUE")
_SCALARS: tuple[tuple[Any, str], ...] = ((1, "NUMBER_VALUE"), (1.5, "NUMBER_VALUE"), *_TRUTHS)


def _tokens(wanted: str, *tokens: tuple[Any, str]) -> tuple[tuple[Any, str], ...]:
    told = tuple((value, f"{token} can not be converted to {wanted}") for value, token in tokens)
    return (*told, *_CONTAINERS)


# Type of the model to (what is sent, what AWS says).
_TYPES: Mapping[str, tuple[tuple[Any, str], ...]] = {
    "string": _tokens("a String", *_SCALARS),
    "blob": _tokens("a Blob", *_SCALARS),
    "integer": _tokens("an Integer", ("1", "STRING_VALUE"), *_TRUTHS),
    "long": _tokens("a Long", ("1", "STRING_VALUE"), *_TRUTHS),
    "boolean": (
        ("sure", "STRING_VALUE can not be converted to an Boolean"),
        (1, "NUMBER_VALUE can not be converted to a Boolean"),
        *_CONTAINERS,
    ),
    "list": (*((value, "Expected list or null") for value in ("x", 1, 1.5, True)), ({}, _MAP)),
    "structure": (*((value, "Expected null") for value in ("x", 1, 1.5, True)), ([], _LIST)),
}
