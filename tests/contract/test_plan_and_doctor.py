"""What the doctor reads of a function's network, and what is enforced: they never disagree."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Any

import pytest
from tests.contract.doctor.vpc import VPC
from tests.contract.doctor.world import NOW, SECRET, World
from tests.contract.test_every_check import BREAKERS

from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts, Unseen
from keyturn.doctor.network import Network
from keyturn.rules.network.endpoints import DNS_ATTRIBUTES
from keyturn.rules.network.hops import Hop, Passage, passage_of
from keyturn.rules.network.picture import Picture
from keyturn.rules.network.plan import NetworkPlan, plan_of
from keyturn.rules.network.ways import Origin

Json = dict[str, Any]


def host(picture: Picture, subnet_id: str, number: int) -> str:
    """An address of a subnet."""
    return str(IPv4Address(int(IPv4Address(str(picture.networks(subnet_id)[0].network_address))) + number))


def with_interfaces(picture: Picture) -> tuple[Picture, list[Json]]:
    """Give the endpoints the interfaces that EC2 would."""
    endpoints, interfaces = [], []
    for endpoint in picture.endpoints or ():
        own = [
            {
                "NetworkInterfaceId": f"eni-{endpoint['VpcEndpointId']}-{subnet_id}",
                "VpcId": endpoint["VpcId"],
                "PrivateIpAddress": host(picture, subnet_id, 50),
            }
            for subnet_id in endpoint["SubnetIds"]
        ]
        endpoints.append({**endpoint, "NetworkInterfaceIds": [each["NetworkInterfaceId"] for each in own]})
        interfaces += own
    return dataclasses.replace(picture, endpoints=endpoints), interfaces


def plan_from(network: Network, subnet_id: str) -> NetworkPlan:
    picture, interfaces = with_interfaces(network.picture)
    place = network.place
    # Of a place without groups nothing is known but the subnet: no interface has the address.
    if place is not None and place.group_ids is not None:
        groups = [{"GroupId": group_id} for group_id in place.group_ids]
        interfaces += [
            {"VpcId": VPC, "PrivateIpAddress": host(picture, each, 15), "Groups": groups} for each in place.subnet_ids
        ]
    return plan_of(
        dataclasses.replace(picture, dns={**dict.fromkeys(DNS_ATTRIBUTES, True), **picture.dns}),
        Origin(subnet_id, network.group_ids),
        region=network.region,
        interfaces=interfaces,
        address=host(picture, subnet_id, 7),
        services=("secretsmanager",),
    )


def is_open(plan: NetworkPlan, address: str, port: int) -> bool:
    return any(
        each.protocol == "tcp" and IPv4Address(address) in each.network and each.ports.first <= port <= each.ports.last
        for each in plan.permits
    )


def doors_reached(plan: NetworkPlan, name: str) -> list[bool]:
    """Whether a door stands open at each of the addresses of a name."""
    at = {address for door in plan.doors for address in door.addresses}
    addresses = dict(plan.resolver.names)[name] if plan.resolver.answers else ()
    return [each in at and is_open(plan, each, 443) for each in addresses]


def world_of(cause_id: str) -> World:
    world = World()
    if cause_id in BREAKERS:
        BREAKERS[cause_id](world)
        return world
    world.in_vpc()
    world.with_value()
    if cause_id == "healthy, by an endpoint":
        world.network.with_endpoint()
    return world


def network_of(world: World) -> Network:
    return collect(Facts(world.ask), SECRET, NOW, world.options).network


def is_in_vpc(cause_id: str) -> bool:
    try:
        return network_of(world_of(cause_id)).vpc is not None
    except Unseen:
        return False


IN_VPC = [cause_id for cause_id in sorted(BREAKERS) if is_in_vpc(cause_id)]


def agree(hops: Sequence[Hop], reached: Sequence[bool]) -> bool:
    """Whether what is said of a way is true of all of its ends: what is not known is never open."""
    return (passage_of(hops) is Passage.PASSES) is (bool(reached) and all(reached))


@pytest.mark.parametrize("cause_id", ["healthy", "healthy, by an endpoint", *IN_VPC])
def test_the_function_reaches_what_the_doctor_says_it_reaches(cause_id: str) -> None:
    network = network_of(world_of(cause_id))
    assert network.ways_to_secrets_manager

    for subnet_id, hops in network.ways_to_secrets_manager.items():
        reached = doors_reached(plan_from(network, subnet_id), network.public_host)
        assert agree(hops, reached), (hops, reached)
    place = network.place
    if place is None or place.vpc_id != VPC:
        return
    for subnet_id, hops in network.ways_to_database.items():
        plan = plan_from(network, subnet_id)
        reached = [is_open(plan, host(network.picture, each, 15), 5432) for each in place.subnet_ids]
        assert agree(hops, reached), (hops, reached)
