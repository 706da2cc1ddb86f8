"""What a function's VPC lets it reach, compiled from EC2's objects as they are now.

A plan is kept until any of the networks' objects changes, so that a warm invocation costs no more for it than the
question whether anything was committed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from keyturn.arn import Place
from keyturn.errors.lambda_ import ENINotReadyException
from keyturn.operations.ec2.kinds import (
    NAT_GATEWAY,
    NETWORK_ACL,
    NETWORK_INTERFACE,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    VPC,
    VPC_ATTRIBUTES,
    VPC_ENDPOINT,
    Kind,
)
from keyturn.operations.ec2.networks import Networks
from keyturn.operations.ec2.route_tables import described_route_table
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.interfaces import interfaces_in, places_of
from keyturn.rules.network.picture import Picture
from keyturn.rules.network.plan import NetworkPlan, plan_of
from keyturn.rules.network.ways import Origin
from keyturn.runtime.network import SERVICES
from keyturn.storage.functions import AttachedVpc
from keyturn.storage.kept import Key
from keyturn.storage.network_objects import NETWORK, Document, subject_of

_KIND = "network-plans"


def plans_for(kit: Kit, place: Place, vpc: AttachedVpc | None) -> tuple[NetworkPlan, ...]:
    """Return what a function reaches from each of its subnets; nothing if it is in no VPC.

    Args:
        kit: Keeps what was compiled.
        place: Where the function is.
        vpc: What it is attached to.

    Raises:
        ENINotReadyException: It is not attached so any more: it has just been changed.
    """
    if vpc is None or not vpc["SubnetIds"]:
        return ()
    # Who runs a function is not always in a call, before which this is done.
    kit.kept.refresh()
    networks = subject_of(place)

    def load(connection: Connection) -> tuple[tuple[NetworkPlan, ...], Collection[Key]]:
        return _compiled(connection, place, vpc, kit.clock.now()), ((NETWORK, networks),)

    return kit.kept.get_made(_KIND, " ".join([networks, *vpc["SubnetIds"], *vpc["SecurityGroupIds"]]), load)


def _compiled(connection: Connection, place: Place, vpc: AttachedVpc, now: datetime) -> tuple[NetworkPlan, ...]:
    networks = Networks(connection, place, now)
    records = networks.of_vpc(vpc["VpcId"])

    def described(kind: Kind) -> Sequence[Document]:
        return [each.body for each in records if each.kind == kind.name]

    picture = Picture(
        subnets=described(SUBNET),
        # What has become of where routes lead is not stored.
        route_tables=[described_route_table(networks, each) for each in records if each.kind == ROUTE_TABLE.name],
        acls=described(NETWORK_ACL),
        groups=described(SECURITY_GROUP),
        endpoints=described(VPC_ENDPOINT),
        nat_gateways=described(NAT_GATEWAY),
        instances=(),
        peerings=(),
        vpcs=described(VPC),
        dns=_dns_attributes([each.body for each in records if each.kind == VPC_ATTRIBUTES]),
    )
    own = interfaces_in(records)
    if not all(each in own for each in places_of(vpc)):
        raise ENINotReadyException(
            "Lambda could not invoke the function because the network interface of its VPC connection is not ready."
        )
    return tuple(
        plan_of(
            picture,
            Origin(subnet_id, tuple(vpc["SecurityGroupIds"])),
            region=place.region,
            interfaces=described(NETWORK_INTERFACE),
            address=str(own[subnet_id, group_ids].body["PrivateIpAddress"]),
            services=SERVICES,
        )
        for subnet_id, group_ids in places_of(vpc)
    )


def _dns_attributes(attributes: Sequence[Document]) -> Mapping[str, bool]:
    """Return the attributes of a VPC that are about its DNS, by the names that DescribeVpcAttribute gives them."""
    return {
        name: bool(each[member]["Value"])
        for each in attributes
        for name, member in (("enableDnsSupport", "EnableDnsSupport"), ("enableDnsHostnames", "EnableDnsHostnames"))
    }
