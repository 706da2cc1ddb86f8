"""What EC2's operations act on, for policies: things that exist, things that are to be, and nothing in particular.

Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon EC2".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.operations.ec2.kinds import VPC, VPC_ENDPOINT, Kind
from keyturn.operations.ec2.networks import Request, reading
from keyturn.operations.ec2.tagging import tags_for
from keyturn.operations.kit import Kit
from keyturn.operations.subject import KeysOnDemand, Subject
from keyturn.storage.network_objects import NetworkObject

Keys = Mapping[str, tuple[str, ...]]
ObjectLoader = Callable[[Kit, Call, Request], Subject[NetworkObject]]
ObjectsLoader = Callable[[Kit, Call, Request], Iterable[Subject[NetworkObject]]]


def existing(kind: Kind, member: str = "") -> ObjectLoader:
    """Return the loader of an object.

    Args:
        kind: Its kind.
        member: Of the request, with its id; if omitted the kind's own.
    """
    named = member or kind.id_member

    def load(kit: Kit, call: Call, request: Request) -> Subject[NetworkObject]:
        return subject_of(kit, call, kind, request.get(named, ""))

    return load


def existing_each(kind: Kind, member: str) -> ObjectsLoader:
    """Return the loader of the objects that a member of the request names: a list of ids, one id, or nothing."""

    def load(kit: Kit, call: Call, request: Request) -> Iterable[Subject[NetworkObject]]:
        named = request.get(member) or ()
        for object_id in (named,) if isinstance(named, str) else named:
            yield subject_of(kit, call, kind, object_id)

    return load


def _no_keys(_request: Request) -> Keys:
    return {}


def new(kind: Kind, keys_of: Callable[[Request], Keys] = _no_keys) -> ObjectLoader:
    """Return the loader of an object that is to be made, with the tags that it is to have.

    Args:
        kind: Its kind.
        keys_of: Returns further condition keys, of the request.
    """

    def load(_kit: Kit, call: Call, request: Request) -> Subject[NetworkObject]:
        arn = call.place.ec2_arn(kind.name, "*")
        keys = KeysOnDemand(lambda: {**_of_region(call.place), **tag_keys(tags_for(kind, request)), **keys_of(request)})
        return Subject(arn, arn, record=None, keys=keys)

    return load


def subject_of(kit: Kit, call: Call, kind: Kind, object_id: str, keys: Keys | None = None) -> Subject[NetworkObject]:
    """Return an object as what a call acts on.

    Args:
        kit: Keeps it.
        call: Who acts.
        kind: Its kind.
        object_id: Its id.
        keys: Further condition keys, of the request.
    """
    with reading(kit, call) as networks:
        record = networks.get(kind, object_id)
    arn = call.place.ec2_arn(kind.name, object_id)
    if record is None:
        return Subject(arn, arn, record=None, missing=kind.missing(object_id), keys={**(keys or {})})
    on_demand = KeysOnDemand(lambda: {**object_keys(call.place, kind, record), **(keys or {})})
    return Subject(arn, arn, record, keys=on_demand)


def object_keys(place: Place, kind: Kind, record: NetworkObject) -> Keys:
    """Condition keys of an object: its tags, its VPC, its region."""
    tags = record.body.get(kind.tags_member) or ()
    keys: dict[str, tuple[str, ...]] = {
        f"{prefix}:resourcetag/{tag['Key'].lower()}": (tag["Value"],) for tag in tags for prefix in ("aws", "ec2")
    }
    if record.vpc_id is not None:
        keys["ec2:vpc"] = (place.ec2_arn(VPC.name, record.vpc_id),)
    if kind is VPC_ENDPOINT:
        keys.update(endpoint_keys(record.body))
    id_key = kind.id_key or f"{kind.name.replace('-', '')}id"
    return {**keys, f"ec2:{id_key}": (record.object_id,), **_of_region(place)}


def endpoint_keys(described: Mapping[str, Any]) -> Keys:
    """Condition keys of a VPC endpoint, or of a request for one: which service it leads to, and whose that is."""
    return {"ec2:vpceservicename": (described.get("ServiceName", ""),), "ec2:vpceserviceowner": ("amazon",)}


def tag_keys(tags: Sequence[Mapping[str, str]]) -> Keys:
    """Condition keys of tags in a request."""
    if not tags:
        return {}
    return {
        "aws:tagkeys": tuple(tag.get("Key", "") for tag in tags),
        **{f"aws:requesttag/{tag.get('Key', '').lower()}": (tag.get("Value", ""),) for tag in tags},
    }


def _of_region(place: Place) -> Keys:
    return {"ec2:region": (place.region,)}
