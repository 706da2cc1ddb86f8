"""The VPC endpoints that calls come through, as far as a call is concerned: where each leads, and its policy.

Source: AWS PrivateLink Guide, "Access an AWS service using an interface VPC endpoint" and "Control access to VPC
endpoints using endpoint policies".
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import Connection

from keyturn.entrance import Entrance
from keyturn.errors.common import SignatureMismatch, UnknownOperation
from keyturn.operations.ec2.kinds import VPC_ENDPOINT
from keyturn.storage.kept import KeptRows, Key
from keyturn.storage.network_objects import NETWORK, Document, load_object, subject_of

_GONE = frozenset({"deleting", "deleted"})
_FIPS = "-fips"


@dataclass(frozen=True, slots=True)
class VpcEndpoint:
    """An interface endpoint.

    Attributes:
        service_name: ``com.amazonaws.us-east-1.secretsmanager``.
        policy: Text of its policy; empty if it has none, and then it lets everything through.
    """

    service_name: str
    policy: str

    @property
    def service(self) -> str:
        """The name of the service behind it, as actions begin with it."""
        return self.service_name.rpartition(".")[2].removesuffix(_FIPS)


FindVpcEndpoint = Callable[[Entrance], VpcEndpoint | None]
"""Returns an endpoint as it is now; None if it is not there any more."""


def check_service(endpoint: VpcEndpoint, service: str) -> None:
    """Check that a call is for the service that the endpoint leads to.

    Raises:
        UnknownOperation: It is for another one.
    """
    if endpoint.service != service:
        raise UnknownOperation


def check_region(entrance: Entrance, region: str) -> None:
    """Check that a call is for the region of the endpoint that it came through.

    Raises:
        SignatureMismatch: It is signed for another one.
    """
    if region != entrance.place.region:
        raise SignatureMismatch(f"Credential should be scoped to a valid region, not '{region}'. ")


def vpc_endpoint_finder(kept: KeptRows) -> FindVpcEndpoint:
    """Return what finds endpoints among EC2's objects, as they are now."""

    def find(entrance: Entrance) -> VpcEndpoint | None:
        subject = subject_of(entrance.place)

        def load(connection: Connection) -> tuple[VpcEndpoint | None, Collection[Key]]:
            stored = load_object(connection, entrance.place, VPC_ENDPOINT.name, entrance.vpc_endpoint_id)
            return None if stored is None else _endpoint(stored.body), ((NETWORK, subject),)

        return kept.get_made(VPC_ENDPOINT.name, f"{subject} {entrance.vpc_endpoint_id}", load)

    return find


def _endpoint(body: Document) -> VpcEndpoint | None:
    """Return an endpoint from what EC2 describes of it."""
    if body["State"] in _GONE:
        return None
    return VpcEndpoint(body["ServiceName"], body.get("PolicyDocument", ""))
