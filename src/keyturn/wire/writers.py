"""From responses to JSON: one small function per shape, made once; None stands for "write it as it is".

Values that JSON and msgspec already agree on (strings, numbers, booleans, and bytes, which msgspec writes in Base64)
cost nothing. Members that are None are left out, as AWS never sends null. A member the model does not know is a
programming error and raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from keyturn.wire import timestamps
from keyturn.wire.models import Shape

Writer = Callable[[Any], Any]

_TIMESTAMP_WRITERS: Final[Mapping[str, Writer]] = {
    "unixTimestamp": timestamps.to_epoch,
    "iso8601": timestamps.to_iso8601,
    "rfc822": timestamps.to_http_date,
}


class UnknownMember(LookupError):
    """A response holds a member that its shape does not have: a mistake in a handler."""

    def __init__(self, shape: Shape, name: str) -> None:
        super().__init__(f"{shape.name} has no member {name}.")


def timestamp_writer(shape: Shape, default: str) -> Writer:
    """Return the writer of a timestamp; ``default`` is the protocol's format."""
    return _TIMESTAMP_WRITERS[shape.traits.get("timestampFormat", default)]


def writer_for(shape: Shape) -> Writer | None:
    """Return the writer of a shape in JSON, or None if its values are written as they are."""
    if shape.kind == "structure":
        return structure_writer(shape, shape.members)
    if shape.kind == "list":
        return _list_writer(shape)
    if shape.kind == "map":
        return _map_writer(shape)
    return timestamp_writer(shape, "unixTimestamp") if shape.kind == "timestamp" else None


def structure_writer(shape: Shape, members: Mapping[str, Shape]) -> Writer:
    """Return the writer of a structure that has only ``members``: those of its shape, or those that go in the body."""
    # Filled when a member is first met, because a shape may contain itself.
    known: dict[str, tuple[str, Writer | None]] = {}

    def write(value: Mapping[str, Any]) -> dict[str, Any]:
        result = {}
        for name, member_value in value.items():
            if member_value is None:
                continue
            entry = known.get(name)
            if entry is None:
                if name not in members:
                    raise UnknownMember(shape, name)
                entry = known[name] = (members[name].wire_name or name, writer_for(members[name]))
            wire_name, writer = entry
            result[wire_name] = member_value if writer is None else writer(member_value)
        return result

    return write


def _list_writer(shape: Shape) -> Writer | None:
    write = writer_for(shape.member)
    return None if write is None else lambda values: [write(value) for value in values]


def _map_writer(shape: Shape) -> Writer | None:
    write = writer_for(shape.value)
    return None if write is None else lambda values: {key: write(value) for key, value in values.items()}
