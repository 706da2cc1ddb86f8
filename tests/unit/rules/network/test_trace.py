"""The way to any host and port, hop by hop."""

from __future__ import annotations

import pytest
from tests.contract.doctor.vpc import DATABASE_GROUP, FUNCTION_GROUP, NAT, PRIVATE_TABLE, rule, table
from tests.unit.rules.network.networks import DATABASE, ORIGIN, SECRETS_MANAGER, Land, packet

from keyturn.rules.network.hops import Hop, HopKind, Passage, passage_of
from keyturn.rules.network.maps import maps_of
from keyturn.rules.network.trace import Packet, hops_to, landed, resolved

PASSES, BLOCKS, UNKNOWN = Passage.PASSES, Passage.BLOCKS, Passage.UNKNOWN


def way(land: Land, sent: Packet) -> tuple[Hop, ...]:
    return hops_to(land.picture, ORIGIN, land.interfaces, sent)


def told(hops: tuple[Hop, ...]) -> list[str]:
    return [f"{hop.kind}: {hop.at} {hop.passage}" for hop in hops]


def blocking(hops: tuple[Hop, ...]) -> list[str]:
    return [f"{hop.at} {hop.why}" for hop in hops if hop.passage is BLOCKS]


def test_the_hops_to_a_database_are_in_the_order_of_the_packet_and_then_of_the_answer() -> None:
    assert told(way(Land(), packet(DATABASE, 5432))) == [
        "function's security group: sg-0f passes",
        "network ACL: acl-01 passes",
        "route: rtb-0a passes",
        "network ACL: acl-01 passes",
        "network interface's security group: sg-0d passes",
        "network ACL: acl-01 passes",
        "network ACL: acl-01 passes",
    ]


def test_within_the_functions_own_subnet_there_are_no_network_acls() -> None:
    assert told(way(Land(), packet("10.0.1.99", 5432))) == [
        "function's security group: sg-0f passes",
        "route: rtb-0a passes",
    ]


def test_the_hops_to_a_public_address_lead_through_the_gateways_subnet() -> None:
    hops = way(Land(), packet("52.1.2.3", 443))

    assert [hop.kind for hop in hops if hop.kind is not HopKind.ACL] == [HopKind.FUNCTION_GROUP, HopKind.NAT]
    assert (len(hops), passage_of(hops)) == (8, PASSES)


def test_who_blocks_is_told_with_the_cause() -> None:
    land = Land(nat=False)
    land.network.groups[FUNCTION_GROUP]["IpPermissionsEgress"] = [rule(443, cidr="0.0.0.0/0")]
    land.network.groups[DATABASE_GROUP]["IpPermissions"] = []

    assert blocking(way(land, packet(DATABASE, 5432))) == [
        f"sg-0f has no rule that lets tcp 5432 to {DATABASE} pass",
        "sg-0d has no rule that lets tcp 5432 from the function at 10.0.1.7 pass",
    ]
    assert blocking(way(land, packet("52.1.2.3", 443))) == ["rtb-0a has no default route"]
    assert blocking(way(land, packet("52.1.2.3", 443, "udp"))) == [
        "sg-0f has no rule that lets udp 443 to 52.1.2.3 pass",
        "rtb-0a has no default route",
    ]


def test_an_address_of_the_vpc_in_no_subnet_is_nobodys() -> None:
    assert blocking(way(Land(), packet("10.0.99.1", 5432))) == ["vpc-01 has no subnet in which 10.0.99.1 lies"]


def test_a_private_address_elsewhere_is_not_reached_by_what_leads_to_the_internet() -> None:
    assert blocking(way(Land(nat=False), packet("172.16.0.1", 5432))) == [
        "rtb-0a has no route that leads to 172.16.0.1, which is no public address"
    ]
    assert blocking(way(Land(), packet("172.16.0.1", 5432))) == [
        f"rtb-0a leads to {NAT}, which takes nothing to 172.16.0.1: it is no public address"
    ]


def test_whether_another_network_of_ones_own_is_reached_is_not_known() -> None:
    land = Land()
    land.network.route_tables[0] = table(PRIVATE_TABLE, {"TransitGatewayId": "tgw-1"}, main=True)

    assert passage_of(way(land, packet("172.16.0.1", 5432))) is UNKNOWN
    assert passage_of(way(land, packet("52.1.2.3", 443))) is UNKNOWN


# Names, and what is there.


def test_a_name_is_asked_of_the_vpcs_dns_server_first() -> None:
    resolver = Land(endpoint=True).plan.resolver

    hop, addresses = resolved(resolver, f"{SECRETS_MANAGER.upper()}.")
    assert (hop.kind, hop.at, hop.passage) == (HopKind.VPC_DNS, "10.0.0.2", PASSES)
    assert addresses == ("10.0.1.50", "10.0.2.50")
    assert resolved(resolver, "db.example.com", ["10.0.4.15"])[1] == ("10.0.4.15",)
    assert resolved(resolver, SECRETS_MANAGER, ["10.9.9.9"])[1] == ("10.0.1.50", "10.0.2.50")

    hop, addresses = resolved(resolver, "db.example.com")
    assert (hop.passage, hop.why, addresses) == (BLOCKS, "knows no address of db.example.com", ())


def test_without_dns_support_no_name_has_an_address() -> None:
    land = Land(endpoint=True)
    land.network.dns["enableDnsSupport"] = False

    hop, addresses = resolved(land.plan.resolver, SECRETS_MANAGER)
    assert (hop.passage, addresses) == (BLOCKS, ())
    assert "enableDnsSupport" in hop.why


MAPS = maps_of(["10.0.4.15=127.0.0.1", "52.9.9.9=192.168.7.1"])


@pytest.mark.parametrize(
    ("sent", "passage", "why"),
    [
        (packet("10.0.1.50", 443), PASSES, "leads to Keyturn"),
        (packet("10.0.1.50", 5432), BLOCKS, "answers at tcp 443 only"),
        (packet("203.0.113.10", 443), PASSES, "leads to Keyturn"),
        (packet("203.0.113.10", 443, "udp"), BLOCKS, "answers at tcp 443 only"),
        (packet("10.0.0.2", 53, "udp"), PASSES, "is the VPC's DNS server"),
        (packet(DATABASE, 5432), PASSES, "is 127.0.0.1 in the real network"),
        (packet("52.9.9.9", 5432), PASSES, "is 192.168.7.1 in the real network"),
        (packet("52.1.2.3", 443), PASSES, "is a public address, reached from this machine"),
        (packet("172.16.0.1", 5432), BLOCKS, "is nobody's: no network map leads there"),
        (
            packet("10.0.4.16", 5432),
            BLOCKS,
            (
                "is nobody's: no network map leads there; serve with --network-map 10.0.4.16=ADDRESS, the real one"
                " (setting network_map)"
            ),
        ),
    ],
)
def test_what_is_at_an_address(sent: Packet, passage: Passage, why: str) -> None:
    hop = landed(Land(endpoint=True).plan, MAPS, sent)

    assert (hop.passage, hop.why) == (passage, why)


@pytest.mark.parametrize(
    ("maps", "instead"),
    [
        (["10.0.4.15=127.0.0.1"], "by the network map that machine is 10.0.4.15: use that address"),
        (
            ["10.0.4.15=127.0.0.1", "10.0.4.16=127.0.0.1", "10.9.9.9=127.0.0.1"],
            "by the network map that machine is 10.0.4.15 and 10.0.4.16: use that address",
        ),
        (
            ["10.9.9.9=127.0.0.1"],
            (
                "serve with --network-map ADDRESS=127.0.0.1 (setting network_map), an ADDRESS in 10.0.0.0/16, and use"
                " that"
            ),
        ),
    ],
)
@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9"])
def test_a_functions_own_loopback_is_not_the_machines_and_what_is_is_told(
    maps: list[str], instead: str, address: str
) -> None:
    hop = landed(Land().plan, maps_of(maps), packet(address, 5432))

    assert (hop.kind, hop.passage) == (HopKind.LOOPBACK, BLOCKS)
    assert hop.why == f"is the function's own, and nothing of the server's machine is there; {instead}"
