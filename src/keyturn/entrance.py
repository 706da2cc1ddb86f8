"""By which way out of a VPC a call came: through one of its endpoints, or through a NAT gateway."""

from __future__ import annotations

from dataclasses import dataclass

from keyturn.arn import Place


@dataclass(frozen=True, slots=True)
class Entrance:
    """The server's side of a way out of a VPC. Calls that came to the server's own address have none.

    Attributes:
        vpc_endpoint_id: ``vpce-…``; empty where a NAT gateway leads to the public address of the APIs.
        vpc_id: The VPC that the caller is in.
        source_address: Whom the services see: the private address in the VPC, behind a NAT gateway the gateway's
            public one.
        place: The account and the region of the VPC.
    """

    vpc_endpoint_id: str
    vpc_id: str
    source_address: str
    place: Place
