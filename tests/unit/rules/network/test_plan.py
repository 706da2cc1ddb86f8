"""What a function's network lets it reach: permits, doors, names."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest
from tests.contract.doctor.vpc import DATABASE_GROUP, ENDPOINT_GROUP, FUNCTION_GROUP, PRIVATE_A, PUBLIC, rule
from tests.unit.rules.network.networks import (
    DATABASE,
    ORIGIN,
    SECRETS_MANAGER,
    SERVICES,
    SOURCE,
    Land,
    interface,
    packet,
)

from keyturn.rules.network.gateways import routed_to_internet
from keyturn.rules.network.hops import Passage
from keyturn.rules.network.permits import permits_of
from keyturn.rules.network.picture import Picture
from keyturn.rules.network.plan import KEYTURN_PUBLIC_ADDRESS, Door, NetworkPlan, plan_of
from keyturn.rules.network.trace import hops_to
from keyturn.rules.network.ways import Origin

PUBLIC_HOST = "52.1.2.3"


def is_open(plan: NetworkPlan, address: str, port: int, protocol: str = "tcp") -> bool:
    return any(
        each.protocol == protocol
        and IPv4Address(address) in each.network
        and each.ports.first <= port <= each.ports.last
        for each in plan.permits
    )


def test_a_database_is_reached_at_its_port_and_a_free_address_at_any() -> None:
    plan = Land().plan

    assert is_open(plan, DATABASE, 5432)
    assert not is_open(plan, DATABASE, 5433)
    assert not is_open(plan, DATABASE, 5432, "udp")
    assert is_open(plan, "10.0.4.16", 1)


def test_an_address_in_no_subnet_and_one_of_other_private_networks_are_not_reached() -> None:
    plan = Land().plan

    assert is_open(plan, "10.0.4.255", 5432)
    assert not is_open(plan, "10.0.5.0", 5432)
    assert not is_open(plan, "10.1.0.1", 5432)
    assert not is_open(plan, "192.168.0.1", 5432)


def test_public_addresses_are_reached_through_a_nat_gateway_and_special_ones_never() -> None:
    with_nat, without = Land().plan, Land(nat=False).plan

    for address in (PUBLIC_HOST, KEYTURN_PUBLIC_ADDRESS, "192.0.9.1", "223.255.255.255"):
        assert (is_open(with_nat, address, 443), is_open(without, address, 443)) == (True, False)
    special = ("203.0.113.9", "198.51.100.1", "192.0.2.1", "198.18.0.1", "100.64.0.1", "169.254.169.254")
    for address in (*special, "127.0.0.1", "0.0.0.1", "192.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"):
        assert not is_open(with_nat, address, 443)


def test_an_internet_gateway_is_of_no_use_to_a_function() -> None:
    land = Land()
    plan = plan_of(
        land.picture,
        Origin(PUBLIC, (FUNCTION_GROUP,)),
        region="eu-west-1",
        interfaces=land.interfaces,
        address="10.0.3.7",
        services=SERVICES,
    )
    assert not is_open(plan, PUBLIC_HOST, 443)
    assert is_open(plan, DATABASE, 5432)


def test_a_group_is_known_by_its_members_in_both_directions() -> None:
    land = Land()
    land.network.groups[FUNCTION_GROUP]["IpPermissionsEgress"] = [rule(5432, source=DATABASE_GROUP)]

    assert is_open(land.plan, DATABASE, 5432)
    assert not is_open(land.plan, "10.0.4.16", 5432)
    land.network.groups[DATABASE_GROUP]["IpPermissions"] = [rule(5432, source=ENDPOINT_GROUP)]
    assert not is_open(land.plan, DATABASE, 5432)
    land.network.groups[DATABASE_GROUP]["IpPermissions"] = [rule(5432, cidr=f"{SOURCE}/32")]
    assert is_open(land.plan, DATABASE, 5432)
    land.network.groups[DATABASE_GROUP]["IpPermissions"] = [rule(5432, cidr="10.0.1.8/32")]
    assert not is_open(land.plan, DATABASE, 5432)


def test_a_prefix_list_counts_as_its_entries() -> None:
    land = Land()
    listed: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    land.network.groups[FUNCTION_GROUP]["IpPermissionsEgress"] = [{**listed, "PrefixListIds": [{"PrefixListId": "pl"}]}]

    assert not is_open(land.plan, PUBLIC_HOST, 443)
    land.network.lists["pl"] = [f"{PUBLIC_HOST}/32"]
    assert [(str(each.network), str(each.ports)) for each in land.plan.permits] == [(f"{PUBLIC_HOST}/32", "443")]


def acl_entry(number: int, action: str, cidr: str, ports: tuple[int, int], *, egress: bool) -> dict[str, Any]:
    ranged = {"From": ports[0], "To": ports[1]}
    found = {"RuleNumber": number, "RuleAction": action, "CidrBlock": cidr, "Protocol": "6", "Egress": egress}
    return {**found, "PortRange": ranged}


@pytest.mark.parametrize(
    ("refused", "passes"),
    [
        ((1024, 32767), True),
        ((5432, 5432), True),
        ((61000, 65535), True),
        ((32768, 32768), False),
        ((60999, 61000), False),
    ],
)
def test_answers_need_a_network_acl_that_lets_them_come_back_to_all_ports_that_linux_takes(
    refused: tuple[int, int], passes: bool
) -> None:
    land = Land()
    entries = land.network.acls[0]["Entries"]
    entries.append(acl_entry(50, "deny", "10.0.4.0/24", refused, egress=False))

    assert is_open(land.plan, DATABASE, 5432) is passes
    assert is_open(land.plan, DATABASE.replace("10.0.4", "10.0.2"), 5432)
    [hop] = [each for each in hops_to(land.picture, ORIGIN, land.interfaces, packet(DATABASE, 5432)) if each.lacks]
    assert (hop.passage, hop.is_partial) == ((Passage.PASSES, False) if passes else (Passage.BLOCKS, True))
    assert ("a part of the ports only" in hop.why) is not passes


def test_network_acls_are_not_asked_within_a_subnet() -> None:
    land = Land()
    land.network.acls[0]["Entries"] = []

    assert {str(each.network) for each in land.plan.permits} == {"10.0.1.0/24"}


def test_no_entries_no_permits() -> None:
    assert permits_of(Picture(), ORIGIN, [], SOURCE) == ()


def test_a_usual_vpc_has_a_few_hundred_permits() -> None:
    land = Land(endpoint=True)
    land.interfaces += [
        interface(f"eni-{each}", PRIVATE_A, f"10.0.1.{each}", DATABASE_GROUP) for each in range(100, 120)
    ]
    entries = land.network.acls[0]["Entries"]
    entries.append(acl_entry(90, "deny", "0.0.0.0/0", (3389, 3389), egress=True))

    assert len(land.plan.permits) < 600


# Doors and names.


def test_an_endpoint_is_a_door_and_the_public_address_is_another() -> None:
    assert Land(endpoint=True).plan.doors == (
        Door(("10.0.1.50", "10.0.2.50"), "vpce-01", "vpc-01"),
        Door((KEYTURN_PUBLIC_ADDRESS,), "", ""),
    )
    assert Land().plan.doors == (Door((KEYTURN_PUBLIC_ADDRESS,), "", ""),)


@pytest.mark.parametrize(
    "change",
    [
        {"State": "pending"},
        {"VpcId": "vpc-02"},
        {"ServiceName": "com.amazonaws.eu-west-1.s3"},
        {"VpcEndpointType": "Gateway"},
        {"NetworkInterfaceIds": []},
    ],
)
def test_what_is_no_available_endpoint_of_the_vpc_is_no_door(change: dict[str, Any]) -> None:
    land = Land(endpoint=True)
    land.network.endpoints[0] |= change

    assert [door.endpoint_id for door in land.plan.doors] == [""]


def test_a_door_is_open_to_whom_the_endpoints_own_group_admits() -> None:
    land = Land(endpoint=True)

    assert is_open(land.plan, "10.0.1.50", 443)
    assert is_open(land.plan, "10.0.2.50", 443)
    assert not is_open(land.plan, "10.0.1.50", 80)
    land.network.groups[ENDPOINT_GROUP]["IpPermissions"] = []
    assert not is_open(land.plan, "10.0.1.50", 443)
    assert len(land.plan.doors) == 2


def names(land: Land) -> dict[str, tuple[str, ...]]:
    return dict(land.plan.resolver.names)


def test_with_private_dns_the_services_name_leads_to_the_endpoint() -> None:
    found = names(Land(endpoint=True))

    assert found[SECRETS_MANAGER] == ("10.0.1.50", "10.0.2.50")
    for name in ("kms.eu-west-1", "sts.eu-west-1", "sts", "logs.eu-west-1", "lambda.eu-west-1", "iam"):
        assert found[f"{name}.amazonaws.com"] == (KEYTURN_PUBLIC_ADDRESS,)
    assert "iam.eu-west-1.amazonaws.com" not in found


@pytest.mark.parametrize("lacking", ["enableDnsSupport", "enableDnsHostnames", "PrivateDnsEnabled"])
def test_without_private_dns_the_name_leads_out_and_the_endpoints_own_names_do_not(lacking: str) -> None:
    land = Land(endpoint=True)
    (land.network.endpoints[0] if lacking == "PrivateDnsEnabled" else land.network.dns)[lacking] = False
    found = names(land)

    assert found[SECRETS_MANAGER] == (KEYTURN_PUBLIC_ADDRESS,)
    own = "secretsmanager.eu-west-1.vpce.amazonaws.com"
    assert found[f"vpce-01-abc.{own}"] == ("10.0.1.50", "10.0.2.50")
    assert found[f"vpce-01-abc-eu-west-1a.{own}"] == ("10.0.1.50",)
    assert land.plan.resolver.answers is (lacking != "enableDnsSupport")


def test_the_resolver_is_at_the_base_of_the_vpc_plus_two() -> None:
    assert Land().plan.resolver.addresses == ("10.0.0.2", "169.254.169.253")


def test_a_plan_knows_all_of_the_vpcs_networks() -> None:
    land = Land()
    assert [str(each) for each in land.plan.networks] == ["10.0.0.0/16"]
    for each in land.network.route_tables:
        each["Routes"].append({"DestinationCidrBlock": "11.0.0.0/16", "GatewayId": "local", "State": "active"})
    assert [str(each) for each in land.plan.networks] == ["10.0.0.0/16", "11.0.0.0/16"]
    # Nobody has the public addresses of the VPC's own that lie in no subnet.
    assert not is_open(land.plan, "11.0.0.1", 443)
    assert is_open(land.plan, "11.1.0.1", 443)


def test_rules_that_are_on_nobodys_way_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def routed(*arguments: Any) -> Any:
        asked.append(arguments)
        return routed_to_internet(*arguments)

    def ranges(land: Land) -> int:
        asked.clear()
        assert is_open(land.plan, PUBLIC_HOST, 443)
        return len(asked)

    monkeypatch.setattr("keyturn.rules.network.permits.routed_to_internet", routed)
    land = Land()
    alone = ranges(land)
    elsewhere = [rule(443, cidr=f"52.{number}.0.0/16") for number in range(200)]
    for name in ("sg-other", DATABASE_GROUP):
        land.network.groups[name] = {"GroupId": name, "IpPermissions": elsewhere, "IpPermissionsEgress": elsewhere}
    assert ranges(land) == alone

    land.network.groups[FUNCTION_GROUP]["IpPermissionsEgress"] += elsewhere[:1]
    assert ranges(land) > alone
