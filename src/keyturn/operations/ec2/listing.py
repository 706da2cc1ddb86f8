"""Describing: all objects of a kind, those with some ids, those that pass filters; page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from keyturn.call import Call
from keyturn.clock import to_milliseconds
from keyturn.errors.ec2 import InvalidNextToken, InvalidParameterCombination
from keyturn.operations.ec2.filters import Filters, passes_all
from keyturn.operations.ec2.kinds import Kind
from keyturn.operations.ec2.networks import Networks, Request, Response, reading
from keyturn.operations.kit import Kit
from keyturn.operations.paging import page_after
from keyturn.storage.network_objects import Document, NetworkObject

_MOST_AT_ONCE = 1000


def always(_networks: Networks, _record: NetworkObject) -> bool:
    """Describe every object."""
    return True


def as_stored(_networks: Networks, record: NetworkObject) -> Document:
    """Describe an object as it is stored."""
    return record.body


@dataclass(frozen=True, slots=True)
class Listing:
    """What a Describe operation describes.

    Attributes:
        kind: The objects' kind.
        answered_in: The response's member that holds them.
        ids_in: The request's member that may name some of them.
        filters: Where the operation's filters look.
        shown: Describes one: what it says of others is worked out here.
        exists: Whether one is described at all.
        filters_in: The request's member that holds filters.
    """

    kind: Kind
    answered_in: str
    ids_in: str
    filters: Filters = field(default_factory=dict)
    shown: Callable[[Networks, NetworkObject], Document] = as_stored
    exists: Callable[[Networks, NetworkObject], bool] = always
    filters_in: str = "Filters"

    def answer(self, kit: Kit, call: Call, request: Request) -> Response:
        """Return the response to a request.

        Raises:
            Ec2Error: An object that it names does not exist, or a filter or a token cannot be.
        """
        named = request.get(self.ids_in) or ()
        passes = passes_all(request.get(self.filters_in) or (), self.filters, self.kind.tags_member)
        with reading(kit, call) as networks:
            every = [record for record in networks.all(self.kind) if self.exists(networks, record)]
            records = self._named(every, named) if named else every
            described = {record.object_id: self.shown(networks, record) for record in records}
        passing = [record for record in records if passes(described[record.object_id])]
        return self._page(kit, call, request, passing, described)

    @staticmethod
    def _position(record: NetworkObject) -> str:
        return f"{to_milliseconds(record.created_at):016d} {record.object_id}"

    def _named(self, records: Sequence[NetworkObject], object_ids: Sequence[str]) -> list[NetworkObject]:
        known = {record.object_id for record in records}
        for object_id in object_ids:
            if object_id not in known:
                raise self.kind.missing(object_id)
        return [record for record in records if record.object_id in object_ids]

    def _page(
        self,
        kit: Kit,
        call: Call,
        request: Request,
        records: Sequence[NetworkObject],
        described: Mapping[str, Document],
    ) -> Response:
        limit, token = request.get("MaxResults"), request.get("NextToken")
        if limit is not None and request.get(self.ids_in):
            raise InvalidParameterCombination(
                f"The parameter {self.ids_in[0].lower()}{self.ids_in[1:]} cannot be used with the parameter maxResults"
            )
        page = page_after(
            kit,
            call,
            f"ec2:{self.answered_in}",
            records,
            self._position,
            marker=token or None,
            limit=limit or _MOST_AT_ONCE,
            refusal=InvalidNextToken(f"The token '{token}' is invalid"),
        )
        more = {"NextToken": page.marker} if page.marker else {}
        return {self.answered_in: [described[record.object_id] for record in page.items], **more}
