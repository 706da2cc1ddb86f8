"""Tags of everything that has an id: put, removed, described all together.

Source: Amazon EC2 API Reference, CreateTags, DeleteTags, DescribeTags.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from keyturn.call import Call
from keyturn.errors.ec2 import InvalidID, InvalidNextToken
from keyturn.operations.ec2.filters import passes_all
from keyturn.operations.ec2.kinds import KINDS, Kind, kind_of
from keyturn.operations.ec2.networks import ChangingNetworks, Request, Response, changing, reading
from keyturn.operations.ec2.operation import ec2_operation
from keyturn.operations.ec2.subjects import subject_of, tag_keys
from keyturn.operations.ec2.tagging import merged
from keyturn.operations.kit import Kit
from keyturn.operations.paging import page_after
from keyturn.operations.subject import NO_SUBJECT, Subject
from keyturn.storage.network_objects import NetworkObject

_MOST_AT_ONCE = 1000
_FILTERS: Final = {
    "key": "Key",
    "resource-id": "ResourceId",
    "resource-type": "ResourceType",
    "value": "Value",
}


def first_resource(kit: Kit, call: Call, request: Request) -> Subject[NetworkObject] | Subject[None]:
    """Load the first object that ``Resources`` names."""
    return next(iter(each_resource(kit, call, request)), NO_SUBJECT)


def each_resource(kit: Kit, call: Call, request: Request) -> Iterable[Subject[NetworkObject]]:
    """Load the objects that ``Resources`` names."""
    keys = tag_keys(request.get("Tags") or ())
    for object_id in request["Resources"]:
        kind = kind_of(object_id)
        if kind is None:
            # AWS asks about "*" then, and so does whoever reads this refusal.
            yield Subject("*", "", record=None, missing=_unknown(object_id), keys=keys)
        else:
            yield subject_of(kit, call, kind, object_id, keys)


@ec2_operation("CreateTags", takes="Resources Tags", subject=first_resource, each=(each_resource,))
def create_tags(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Put tags on objects: on all of them, or on none."""
    with changing(kit, call) as networks:
        for kind, record in _named(networks, request):
            tags = merged(record.body.get(kind.tags_member) or (), request["Tags"])
            networks.update(record, **{kind.tags_member: tags})
    return {}


@ec2_operation("DeleteTags", takes="Resources Tags", subject=first_resource, each=(each_resource,))
def delete_tags(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Remove tags from objects: by key, by key and value, or all of them."""
    with changing(kit, call) as networks:
        for kind, record in _named(networks, request):
            present = record.body.get(kind.tags_member) or ()
            kept = [tag for tag in present if not _is_doomed(tag, request.get("Tags"))]
            networks.update(record, **{kind.tags_member: kept})
    return {}


@ec2_operation("DescribeTags", takes="Filters MaxResults NextToken")
def describe_tags(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Describe the tags of all objects."""
    passes = passes_all(request.get("Filters") or (), _FILTERS)
    with reading(kit, call) as networks:
        found = [
            {"ResourceId": record.object_id, "ResourceType": kind.name, **tag}
            for kind in KINDS.values()
            for record in networks.all(kind)
            for tag in record.body.get(kind.tags_member) or ()
            if passes({"ResourceId": record.object_id, "ResourceType": kind.name, **tag, "Tags": [tag]})
        ]
    token = request.get("NextToken") or None
    page = page_after(
        kit,
        call,
        "ec2:Tags",
        sorted(found, key=_position),
        _position,
        marker=token,
        limit=request.get("MaxResults") or _MOST_AT_ONCE,
        refusal=InvalidNextToken(f"The token '{token}' is invalid"),
    )
    return {"Tags": page.items, **({"NextToken": page.marker} if page.marker else {})}


def _named(networks: ChangingNetworks, request: Request) -> Iterable[tuple[Kind, NetworkObject]]:
    for object_id in dict.fromkeys(request["Resources"]):
        kind = kind_of(object_id)
        if kind is None:
            raise _unknown(object_id)
        yield kind, networks.require(kind, object_id)


def _unknown(object_id: str) -> InvalidID:
    return InvalidID(f"The ID '{object_id}' is not valid")


def _is_doomed(tag: Mapping[str, str], wanted: Iterable[Mapping[str, str]] | None) -> bool:
    if not wanted:
        # Source: AWS, DeleteTags: "If you omit this parameter, we delete all user-defined tags".
        return True
    return any(one.get("Key") == tag["Key"] and one.get("Value", tag["Value"]) == tag["Value"] for one in wanted)


def _position(tag: Mapping[str, str]) -> str:
    return f"{tag['ResourceId']} {tag['Key']}"
