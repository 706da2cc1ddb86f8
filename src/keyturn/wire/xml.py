"""XML as AWS's Query services write it: from responses to text, one small function per shape, made once.

The dialects (``query.py``, ``ec2.py``) put the envelope around it. A list's elements are ``<member>`` or what the model
names them, maps are ``<entry>`` with ``<key>`` and ``<value>``; timestamps are ISO 8601, blobs Base64. Members that are
None are left out. A member the model does not know is a programming error and raises.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final
from urllib.parse import quote
from xml.sax.saxutils import escape

from keyturn.wire.http import HttpReply
from keyturn.wire.models import Shape
from keyturn.wire.writers import UnknownMember, timestamp_writer

_CONTENT_TYPE: Final = (b"content-type", b"text/xml")

# Characters that XML 1.0 cannot hold, not even escaped. An error may echo them from a request.
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

XmlWriter = Callable[[str, Any], str]
"""Writes a value as an element of the given name."""


def text(value: str) -> str:
    """Return a text as it may stand in an element."""
    # A carriage return would come back as a line feed.
    return escape(_NOT_XML.sub("\ufffd", value), {"\r": "&#13;"})


def http_reply(status: int, xml: str, request_id: str) -> HttpReply:
    """Return a document as the reply to a request."""
    body = xml.encode()
    headers = (
        (b"x-amzn-requestid", request_id.encode()),
        _CONTENT_TYPE,
        (b"content-length", str(len(body)).encode()),
    )
    return HttpReply(status, headers, body)


@cache
def xml_writer(shape: Shape) -> XmlWriter:
    """Return the writer of a shape; it raises UnknownMember for a member that the model does not have."""
    if shape.kind == "structure":
        write_members = members_writer(shape)
        return lambda name, value: f"<{name}>{write_members(value)}</{name}>"
    if shape.kind == "list":
        return _list_writer(shape)
    if shape.kind == "map":
        return _map_writer(shape)
    scalar = _scalar_writer(shape)
    return lambda name, value: f"<{name}>{scalar(value)}</{name}>"


@cache
def members_writer(shape: Shape) -> Callable[[Mapping[str, Any]], str]:
    """Return the writer of what stands inside the element of a structure."""
    members = shape.members

    def write(value: Mapping[str, Any]) -> str:
        pieces = []
        for name, member_value in value.items():
            if name not in members:
                raise UnknownMember(shape, name)
            if member_value is not None:
                member = members[name]
                pieces.append(xml_writer(member)(member.wire_name or name, member_value))
        return "".join(pieces)

    return write


def _scalar_writer(shape: Shape) -> Callable[[Any], str]:
    if shape.kind == "timestamp":
        write = timestamp_writer(shape, "iso8601")
        return lambda value: str(write(value))
    if shape.kind == "boolean":
        return lambda value: "true" if value else "false"
    if shape.kind == "blob":
        return lambda value: b64encode(value).decode()
    if shape.name == "policyDocumentType":
        # "Policies returned by this operation are URL-encoded compliant with RFC 3986": IAM API Reference, GetRole.
        return lambda value: quote(value, safe="")
    return lambda value: text(str(value))


def _list_writer(shape: Shape) -> XmlWriter:
    element_name = shape.member.wire_name or "member"

    def write(name: str, values: Sequence[Any]) -> str:
        write_element = xml_writer(shape.member)
        if shape.traits.get("flattened"):
            return "".join(write_element(shape.member.wire_name or name, value) for value in values)
        return f"<{name}>{''.join(write_element(element_name, value) for value in values)}</{name}>"

    return write


def _map_writer(shape: Shape) -> XmlWriter:
    key_name, value_name = shape.key.wire_name or "key", shape.value.wire_name or "value"

    def write(name: str, values: Mapping[Any, Any]) -> str:
        write_key, write_value = xml_writer(shape.key), xml_writer(shape.value)
        pairs = [f"{write_key(key_name, key)}{write_value(value_name, value)}" for key, value in values.items()]
        if shape.traits.get("flattened"):
            return "".join(f"<{name}>{pair}</{name}>" for pair in pairs)
        return f"<{name}>{''.join(f'<entry>{pair}</entry>' for pair in pairs)}</{name}>"

    return write
