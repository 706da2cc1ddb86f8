"""How an operation of EC2 registers: what it acts on, what it touches beside that, and that it may be a dry run.

In this order: the policies are asked about the subject and about what else the operation touches, then, if it is to
make something with tags, whether the caller may tag it; what does not exist is told; and only then a dry run ends.

Source: Amazon EC2 User Guide, "Grant permission to tag Amazon EC2 resources during creation".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from itertools import chain
from typing import Any

from keyturn.call import Call
from keyturn.errors.common import NotImplementedHere
from keyturn.errors.ec2 import DryRunOperation
from keyturn.operations import registry
from keyturn.operations.ec2.kinds import Kind
from keyturn.operations.ec2.listing import Listing
from keyturn.operations.ec2.networks import Request, Response
from keyturn.operations.ec2.subjects import ObjectLoader, ObjectsLoader, new, tag_keys
from keyturn.operations.ec2.tagging import tags_for
from keyturn.operations.kit import Kit
from keyturn.operations.registry import Loader, no_subject
from keyturn.operations.subject import Subject

Handler = Callable[[Kit, Call, Any, Any], Response]


# What every operation takes; a ClientToken is not remembered.
_ALWAYS_TAKEN = frozenset({"DryRun", "ClientToken"})


def ec2_operation(
    name: str,
    *,
    takes: str,
    subject: Loader[Any] = no_subject,
    also: tuple[ObjectLoader, ...] = (),
    each: tuple[ObjectsLoader, ...] = (),
    makes: Kind | None = None,
) -> Callable[[Handler], Handler]:
    """Register the decorated handler of an EC2 operation.

    Args:
        name: Operation name as in the model.
        takes: The request's members that mean something here, with blanks between; others are refused by name.
        subject: Loads what it acts on; nothing in particular for what describes.
        also: Loaders of what it touches beside that, which the same action must be allowed on and which must exist.
        each: Likewise, where a member names several or may be left out.
        makes: The kind of object it makes; it may be given tags then.
    """
    taken = _ALWAYS_TAKEN.union(takes.split())

    def register(handle: Handler) -> Handler:
        @wraps(handle)
        def run(kit: Kit, call: Call, request: Request, record: Any) -> Response:
            several = (touched for load in each for touched in load(kit, call, request))
            for touched in chain((load(kit, call, request) for load in also), several):
                kit.authorise(call, f"ec2:{name}", touched)
                if touched.missing is not None:
                    raise touched.missing
            if makes is not None:
                _require_tagging(kit, call, request, name, makes)
            for member, value in request.items():
                if value and member not in taken:
                    raise NotImplementedHere(
                        f"Keyturn does not offer {member} of ec2 {name}; see docs/compatibility.md."
                    )
            if request.get("DryRun"):
                raise DryRunOperation
            return handle(kit, call, request, record)

        registry.operation("ec2", name, subject=subject)(run)
        return run

    return register


def makes(
    name: str, kind: Kind, *, takes: str, also: tuple[ObjectLoader, ...] = (), each: tuple[ObjectsLoader, ...] = ()
) -> Callable[[Handler], Handler]:
    """Register the decorated handler of an operation that makes an object of a kind, out of what else it touches."""
    taken = f"{takes} TagSpecifications"
    return ec2_operation(name, takes=taken, subject=new(kind), also=also, each=each, makes=kind)


def describes(name: str, listing: Listing) -> Callable[[Handler], Handler]:
    """Register the decorated handler of an operation that describes all objects of a kind, or some."""
    takes = f"{listing.ids_in} {listing.filters_in} MaxResults NextToken"
    return ec2_operation(name, takes=takes)


def _require_tagging(kit: Kit, call: Call, request: Request, name: str, kind: Kind) -> None:
    """Ask whether the caller may tag what it makes, if it gives it tags."""
    tags = tags_for(kind, request)
    if tags:
        arn = call.place.ec2_arn(kind.name, "*")
        keys = {"ec2:createaction": (name,), "ec2:region": (call.place.region,), **tag_keys(tags)}
        kit.authorise(call, "ec2:CreateTags", Subject(arn, arn, record=None, keys=keys))
