"""The way from a function to a host: what is read of EC2's entries, and what a probe adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.contract.doctor.vpc import (
    DATABASE_ADDRESS,
    DATABASE_GROUP,
    ENDPOINT,
    ENDPOINT_ADDRESS,
    FUNCTION_GROUP,
    NAT,
    PRIVATE_A,
    PRIVATE_B,
    PRIVATE_TABLE,
    allow_all,
    interface,
    table,
)
from tests.contract.doctor.world import REGION, World, refusal

from keyturn.doctor.facts import Facts
from keyturn.doctor.tracing import Trace, Wanted, Way, trace
from keyturn.rules.network.agreement import CANNOT_RUN, Outcome, Verdict
from keyturn.rules.network.hops import HopKind, Passage

SERVICES = ("secretsmanager", "lambda")
SECRETS_MANAGER = f"secretsmanager.{REGION}.amazonaws.com"
PUBLIC_ADDRESS = "52.94.1.1"
KEYTURN_ADDRESS = "203.0.113.10"


def in_vpc() -> World:
    world = World()
    world.in_vpc()
    return world


def traced(
    world: World, host: str, port: int, known: Mapping[str, Sequence[str]] | None = None, **wanted: Any
) -> Trace:
    asked = Wanted("rotate-orders", host, port, **{"subnet_id": PRIVATE_A, "services": SERVICES, **wanted})
    return trace(Facts(world.ask), world.configuration, REGION, asked, lambda name: (known or {}).get(name, ()))


def probed(world: World, host: str, port: int, answer: Any, **wanted: Any) -> Trace:
    world.replies["keyturn:ProbeFunctionNetwork"] = answer
    return traced(world, host, port, may_be_keyturn=True, **wanted)


def one(found: Trace) -> Way:
    [way] = found.ways
    return way


def answered(outcome: str, *addresses: Mapping[str, Any], network: str = "vpc", **probe: Any) -> dict[str, Any]:
    tried = [{"Outcome": outcome, "Error": "", "Milliseconds": 3, **each} for each in addresses]
    return {
        "Network": network,
        "Probes": [{"SubnetId": PRIVATE_A, "Outcome": outcome, "Milliseconds": 5, "Addresses": tried, **probe}],
    }


def at(address: str, **members: Any) -> dict[str, Any]:
    return {"Address": address, **members}


# The reading.


def test_there_is_a_way_for_each_subnet_unless_one_is_named() -> None:
    assert [way.subnet_id for way in traced(in_vpc(), DATABASE_ADDRESS, 5432, subnet_id="").ways] == [
        PRIVATE_A,
        PRIVATE_B,
    ]
    assert one(traced(in_vpc(), DATABASE_ADDRESS, 5432)).subnet_id == PRIVATE_A


def test_an_open_way_has_every_hop_there_and_back() -> None:
    way = one(traced(in_vpc(), DATABASE_ADDRESS, 5432))

    assert way.reading is Passage.PASSES
    assert [hop.kind for hop in way.hops] == [
        HopKind.FUNCTION_GROUP,
        HopKind.ACL,
        HopKind.ROUTE,
        HopKind.ACL,
        HopKind.INTERFACE_GROUP,
        HopKind.ACL,
        HopKind.ACL,
    ]


def test_who_guards_the_address_is_asked_for_although_the_function_does_not_name_it() -> None:
    world = in_vpc()
    world.network.groups[DATABASE_GROUP]["IpPermissions"] = []

    found = traced(world, DATABASE_ADDRESS, 5432)

    assert found.verdict is Verdict.BLOCKS
    assert one(found).decisive is not None
    assert one(found).decisive.at == DATABASE_GROUP  # type: ignore[union-attr]  # asserted above
    assert DATABASE_GROUP in {group["GroupId"] for group in found.groups}


def test_the_functions_own_address_is_what_the_rules_are_asked_of() -> None:
    world = in_vpc()
    world.network.interfaces.append(interface("eni-0f", "10.0.1.7", PRIVATE_A, FUNCTION_GROUP, "lambda"))

    assert one(traced(world, DATABASE_ADDRESS, 5432)).source == "10.0.1.7"
    assert one(traced(in_vpc(), DATABASE_ADDRESS, 5432)).source == "10.0.1.0/24"


def test_an_address_of_nobody_is_told_in_aws() -> None:
    found = traced(in_vpc(), "10.0.4.77", 5432)

    assert found.verdict is Verdict.BLOCKS
    assert one(found).hops[-1].kind is HopKind.INTERFACE


def test_interfaces_that_may_not_be_looked_at_are_not_taken_for_none() -> None:
    world = in_vpc()
    world.deny("ec2:DescribeNetworkInterfaces")

    found = traced(world, DATABASE_ADDRESS, 5432)

    assert found.verdict is Verdict.UNKNOWN
    assert [answer.question.action for answer in found.unseen] == ["ec2:DescribeNetworkInterfaces"]


@pytest.mark.parametrize(
    "action",
    [
        "ec2:DescribeSubnets",
        "ec2:DescribeRouteTables",
        "ec2:DescribeNetworkAcls",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeNetworkInterfaces",
    ],
)
def test_what_may_not_be_looked_at_is_never_taken_for_open(action: str) -> None:
    world = in_vpc()
    world.deny(action)

    assert traced(world, DATABASE_ADDRESS, 5432).verdict is Verdict.UNKNOWN


def test_a_gateway_that_may_not_be_looked_at_is_not_taken_for_open() -> None:
    world = in_vpc()
    world.deny("ec2:DescribeNatGateways")

    assert traced(world, PUBLIC_ADDRESS, 443).verdict is Verdict.UNKNOWN


def test_a_public_address_is_reached_through_the_nat_gateway() -> None:
    way = one(traced(in_vpc(), PUBLIC_ADDRESS, 443))

    assert way.reading is Passage.PASSES
    assert NAT in [hop.at for hop in way.hops]


def test_a_service_is_the_endpoint_where_private_dns_leads_there() -> None:
    world = in_vpc()
    world.network.with_endpoint()

    way = one(traced(world, SECRETS_MANAGER, 443, {SECRETS_MANAGER: (PUBLIC_ADDRESS,)}))

    assert (way.address, way.reading) == (ENDPOINT_ADDRESS, Passage.PASSES)
    assert way.hops[0].kind is HopKind.VPC_DNS


@pytest.mark.parametrize("off", ["enableDnsHostnames", "PrivateDnsEnabled"])
def test_a_service_is_public_where_private_dns_does_not_lead_to_the_endpoint(off: str) -> None:
    world = in_vpc()
    world.network.with_endpoint()
    world.network.endpoints[0]["PrivateDnsEnabled"] = off != "PrivateDnsEnabled"
    world.network.dns["enableDnsHostnames"] = off != "enableDnsHostnames"

    found = traced(world, SECRETS_MANAGER, 443, {SECRETS_MANAGER: (PUBLIC_ADDRESS,)})

    way = one(found)
    assert (way.address, found.verdict) == (PUBLIC_ADDRESS, Verdict.BLOCKS)
    assert way.decisive is not None
    assert way.decisive.kind is (HopKind.PRIVATE_DNS if off == "PrivateDnsEnabled" else HopKind.VPC_DNS)
    assert "does not lead to it" in way.decisive.why or "to which the name does not lead" in way.decisive.why
    assert [hop.kind for hop in way.hops if hop.passage is Passage.BLOCKS][-1] is HopKind.ROUTE


def test_an_endpoint_that_the_name_passes_by_is_not_told_where_another_way_leads() -> None:
    world = in_vpc()
    world.network.with_endpoint()
    world.network.endpoints[0]["PrivateDnsEnabled"] = False
    world.network.route_tables[0] = table(PRIVATE_TABLE, {"NatGatewayId": NAT}, main=True)

    found = traced(world, SECRETS_MANAGER, 443, {SECRETS_MANAGER: (PUBLIC_ADDRESS,)})

    assert found.verdict is Verdict.PASSES
    assert HopKind.PRIVATE_DNS not in {hop.kind for hop in one(found).hops}


def test_any_service_of_aws_may_have_an_endpoint_with_private_dns() -> None:
    world = in_vpc()
    world.network.with_endpoint()
    host = f"ssm.{REGION}.amazonaws.com"
    world.network.endpoints[0] |= {
        "ServiceName": f"com.amazonaws.{REGION}.ssm",
        "DnsEntries": [{"DnsName": f"{ENDPOINT}-abc.ssm.{REGION}.vpce.amazonaws.com"}, {"DnsName": host}],
    }

    assert one(traced(world, host, 443, {host: (PUBLIC_ADDRESS,)})).address == ENDPOINT_ADDRESS


def test_without_dns_in_the_vpc_no_name_has_an_address() -> None:
    world = in_vpc()
    world.network.dns["enableDnsSupport"] = False

    found = traced(world, "orders.example.org", 5432, {"orders.example.org": (DATABASE_ADDRESS,)})

    assert (found.verdict, one(found).address) == (Verdict.BLOCKS, "")


def test_a_name_that_this_machine_does_not_know_is_not_said_to_have_no_address() -> None:
    assert traced(in_vpc(), "orders.internal", 5432).verdict is Verdict.UNKNOWN


def test_attributes_that_may_not_be_looked_at_do_not_switch_dns_off() -> None:
    world = in_vpc()
    world.deny("ec2:DescribeVpcAttribute")

    found = traced(world, "orders.example.org", 5432, {"orders.example.org": (DATABASE_ADDRESS,)})

    assert (found.verdict, one(found).address) == (Verdict.UNKNOWN, DATABASE_ADDRESS)


def test_every_address_of_a_name_has_its_way() -> None:
    known = {"orders.example.org": (DATABASE_ADDRESS, "10.0.4.77")}
    found = traced(in_vpc(), "orders.example.org", 5432, known)

    assert [way.agreement.verdict for way in found.ways] == [Verdict.PASSES, Verdict.BLOCKS]
    assert found.verdict is Verdict.BLOCKS


@pytest.mark.parametrize(("port", "verdict"), [(53, Verdict.PASSES), (443, Verdict.BLOCKS)])
def test_neither_groups_nor_acls_stand_before_the_vpcs_dns_server(port: int, verdict: Verdict) -> None:
    world = in_vpc()
    world.network.acls[0]["Entries"] = [allow_all(egress=True) | {"RuleAction": "deny"}]

    assert traced(world, "10.0.0.2", port).verdict is verdict


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "LocalHost.", "::1"])
@pytest.mark.parametrize("world", [in_vpc(), World()])
def test_nothing_is_reached_on_the_functions_own_loopback(world: World, host: str) -> None:
    found = traced(world, host, 5432, subnet_id="", known={"localhost": ("127.0.0.1",), "LocalHost.": ("127.0.0.1",)})

    assert found.verdict is Verdict.BLOCKS
    assert {tuple(hop.kind for hop in way.hops) for way in found.ways} == {(HopKind.LOOPBACK,)}
    assert "use the host's address" in one(replace(found, ways=found.ways[:1])).hops[0].why


@pytest.mark.parametrize(
    ("host", "verdict"), [(PUBLIC_ADDRESS, Verdict.PASSES), ("10.0.4.15", Verdict.BLOCKS), ("fd00::1", Verdict.UNKNOWN)]
)
def test_a_function_in_no_vpc_of_aws_reaches_what_is_public(host: str, verdict: Verdict) -> None:
    assert traced(World(), host, 443, subnet_id="").verdict is verdict


# The probe.


def test_nobody_is_asked_for_a_probe_in_aws_or_without_being_wanted() -> None:
    world = in_vpc()
    traced(world, DATABASE_ADDRESS, 5432)
    found = traced(world, DATABASE_ADDRESS, 5432, may_be_keyturn=True, probes=False)

    assert "keyturn:ProbeFunctionNetwork" not in world.asked
    assert "--no-probe" in one(found).unprobed


def test_who_offers_no_probe_is_read_like_aws() -> None:
    found = traced(in_vpc(), "10.0.4.77", 5432, may_be_keyturn=True)

    assert "a reading alone" in one(found).unprobed
    assert found.verdict is Verdict.BLOCKS


def test_a_refused_probe_leaves_the_reading_and_says_why() -> None:
    why = refusal("ProbeFunctionNetwork", "AccessDeniedException", "is not authorized")
    found = probed(in_vpc(), DATABASE_ADDRESS, 5432, why)

    assert found.verdict is Verdict.PASSES
    assert "is not authorized" in one(found).unprobed


@pytest.mark.parametrize("is_blocked", [False, True])
def test_a_function_that_cannot_run_reaches_nothing_whatever_the_rules_say(is_blocked: bool) -> None:
    world = in_vpc()
    if is_blocked:
        world.network.groups[DATABASE_GROUP]["IpPermissions"] = []
    why = refusal("ProbeFunctionNetwork", "InvalidRequestException", f"{CANNOT_RUN}slirp4netns is not installed.")

    found = probed(world, DATABASE_ADDRESS, 5432, why)

    assert found.verdict is (Verdict.BLOCKS if is_blocked else Verdict.FAILS)
    assert one(found).unprobed == f"{CANNOT_RUN}slirp4netns is not installed"
    assert "cannot be run" in one(found).agreement.meaning


@pytest.mark.parametrize("outcome", ["refused", "connected", "timeout"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_server_says_what_to_use_in_place_of_the_functions_loopback(host: str, outcome: str) -> None:
    there = at("127.0.0.1", IsMapped=False, Destination="is the function's own; use 10.0.4.15")
    found = probed(in_vpc(), host, 5432, answered(outcome, there))
    [hop] = one(found).hops

    assert (found.verdict, one(found).agreement.agrees) == (Verdict.BLOCKS, True)
    assert (hop.kind, hop.why) == (HopKind.LOOPBACK, "is the function's own; use 10.0.4.15")


def test_an_isolated_function_has_a_loopback_of_its_own_and_others_the_machines() -> None:
    shut = probed(World(), "127.0.0.1", 5432, answered("refused", at("127.0.0.1"), network="isolated"), subnet_id="")
    open_ = probed(World(), "127.0.0.1", 5432, answered("connected", at("127.0.0.1"), network="machine"), subnet_id="")

    assert (shut.verdict, open_.verdict) == (Verdict.BLOCKS, Verdict.PASSES)
    assert "isolated" in one(shut).hops[0].why


def test_ipv6_is_not_tried() -> None:
    world = in_vpc()
    found = probed(world, "fd00::1", 5432, answered("connected"))

    assert "keyturn:ProbeFunctionNetwork" not in world.asked
    assert (found.verdict, one(found).unprobed) == (Verdict.UNKNOWN, "none, as it tries IPv4 only")


def test_reading_and_probe_agree_that_it_passes() -> None:
    there = at(DATABASE_ADDRESS, IsMapped=True, Destination="is 127.0.0.1 in the real network")
    found = probed(in_vpc(), DATABASE_ADDRESS, 5432, answered("connected", there, SourceAddress="10.0.1.9"))
    way = one(found)

    assert found.verdict is Verdict.PASSES
    assert (way.agreement.agrees, way.source) == (True, "10.0.1.9")
    assert (way.hops[-1].kind, way.hops[-1].why) == (HopKind.MAP, "is 127.0.0.1 in the real network")


def test_an_address_that_no_network_map_leads_to_is_a_hop_that_blocks() -> None:
    there = at(DATABASE_ADDRESS, IsMapped=False, Destination="is nobody's: no network map leads there")
    found = probed(in_vpc(), DATABASE_ADDRESS, 5432, answered("timeout", there))

    assert (found.verdict, one(found).agreement.agrees) == (Verdict.BLOCKS, True)
    assert one(found).decisive is one(found).hops[-1]


def test_on_keyturn_a_host_needs_no_interface() -> None:
    there = at("10.0.4.77", IsMapped=True, Destination="is 127.0.0.1 in the real network")
    found = probed(in_vpc(), "10.0.4.77", 5432, answered("connected", there))

    assert found.verdict is Verdict.PASSES


def test_a_probe_that_comes_through_where_a_rule_blocks_is_disputed() -> None:
    world = in_vpc()
    world.network.groups[DATABASE_GROUP]["IpPermissions"] = []

    assert (
        probed(world, DATABASE_ADDRESS, 5432, answered("connected", at(DATABASE_ADDRESS))).verdict is Verdict.DISPUTED
    )


def test_a_name_is_what_the_functions_resolver_says() -> None:
    found = probed(
        in_vpc(),
        "orders.example.org",
        5432,
        answered("connected", at(DATABASE_ADDRESS)),
        known={"orders.example.org": ("192.0.2.1",)},
    )

    assert one(found).address == DATABASE_ADDRESS
    assert found.verdict is Verdict.PASSES


def test_a_name_without_an_address_agrees_with_a_resolver_that_knows_none() -> None:
    found = probed(in_vpc(), "orders.example.org", 5432, answered("name-not-found"))
    way = one(found)

    assert (found.verdict, way.agreement.agrees) == (Verdict.BLOCKS, True)
    assert way.probed is not None
    assert way.probed.outcome is Outcome.NAME_NOT_FOUND


def test_keyturns_own_services_have_keyturns_public_address() -> None:
    way = one(probed(in_vpc(), SECRETS_MANAGER, 443, answered("connected", at(KEYTURN_ADDRESS))))

    assert (way.address, way.reading) == (KEYTURN_ADDRESS, Passage.PASSES)


def test_a_service_that_keyturn_does_not_serve_is_aws_own() -> None:
    way = one(probed(in_vpc(), f"rds.{REGION}.amazonaws.com", 443, answered("connected", at(PUBLIC_ADDRESS))))

    assert (way.address, way.reading) == (PUBLIC_ADDRESS, Passage.PASSES)


@pytest.mark.parametrize(
    ("network", "outcome", "verdict"),
    [
        ("machine", "connected", Verdict.PASSES),
        ("machine", "refused", Verdict.FAILS),
        ("isolated", "unreachable", Verdict.BLOCKS),
    ],
)
def test_a_function_in_no_vpc_of_keyturn_is_what_the_probe_says(network: str, outcome: str, verdict: Verdict) -> None:
    answer = answered(outcome, at("10.9.9.9"), network=network)

    assert probed(World(), "10.9.9.9", 5432, answer, subnet_id="").verdict is verdict


def test_an_odd_answer_is_no_connection() -> None:
    found = probed(in_vpc(), DATABASE_ADDRESS, 5432, answered("what nobody knows", at(DATABASE_ADDRESS)))

    assert (found.verdict, one(found).probed.outcome) == (Verdict.FAILS, Outcome.FAILED)  # type: ignore[union-attr]  # there is one


def test_a_route_table_without_a_default_route_blocks_what_is_public() -> None:
    world = in_vpc()
    world.network.route_tables[0] = table(PRIVATE_TABLE, {}, main=True)

    found = probed(world, PUBLIC_ADDRESS, 443, answered("timeout", at(PUBLIC_ADDRESS)))

    assert (found.verdict, one(found).agreement.agrees) == (Verdict.BLOCKS, True)
    assert one(found).decisive.kind is HopKind.ROUTE  # type: ignore[union-attr]  # there is one
