"""A function's own 127.0.0.1, and what Keyturn alone knows: who is isolated, and which address leads nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contract.doctor.vpc import DATABASE_GROUP, OWN_HOST, PRIVATE_A, rule
from tests.contract.doctor.world import NOW, SECRET, World, diagnosed

from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts
from keyturn.doctor.model import Confidence, Report, Role, Section, Status
from keyturn.doctor.runner import examine
from keyturn.doctor.subject import Options

PROBE = "keyturn:ProbeFunctionNetwork"
TRACE = "\nTraceback (most recent call last):"


def on_keyturn(world: World) -> Report:
    return examine(collect(Facts(world.ask), SECRET, NOW, world.options), "https://keyturn.example")


def failing(world: World, host: str = "127.0.0.1", kind: str = "ConnectionRefused") -> World:
    world.fail("setSecret")
    world.run(f"[ERROR] {kind}: host {host}, port 5432: as it was{TRACE}")
    return world


def status(report: Report, cause_id: str) -> Status:
    return next(each.status for each in report.outcomes if each.cause.id == cause_id)


def causes(report: Report) -> list[str]:
    return [each.id for each in report.causes]


def in_vpc() -> World:
    world = World()
    world.in_vpc()
    return world


def told(network: str, **entry: Any) -> World:
    """A world that Keyturn serves, whose functions have such a network."""
    world = in_vpc() if network == "vpc" else World()
    probes = [{"SubnetId": PRIVATE_A, "Addresses": [{"Address": OWN_HOST, **entry}]}] if entry else []
    world.with_probe({"Network": network, "Probes": probes})
    return world


# 127.0.0.1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.0.1", "LOCALHOST"])
def test_in_a_vpc_a_loopback_is_the_function_itself_by_the_log_alone(host: str) -> None:
    report = on_keyturn(failing(in_vpc(), host))
    assert causes(report) == ["db-host-is-function-itself"]
    assert "network_map" in report.causes[0].remedy.text
    [refused] = [each for each in report.findings if each.id == "db-connection-refused"]
    assert refused.role is Role.CONTRIBUTING


def test_the_addresses_that_lead_to_the_machine_are_named_where_keyturn_tells_them() -> None:
    world = in_vpc()
    maps = ["10.0.4.15/32=127.0.0.1/32", "10.0.4.0/29=192.168.7.0/29", "10.9.0.0/16"]
    world.with_probe({"Network": "vpc", "NetworkMaps": maps})
    [found] = on_keyturn(failing(world)).causes
    assert "10.0.4.15 is the machine that Keyturn runs on" in found.remedy.text
    assert "192.168.7" not in found.remedy.text
    [command] = found.remedy.by_hand
    assert " 10.0.4.15 | aws secretsmanager put-secret-value " in command


def test_of_several_such_addresses_none_is_chosen() -> None:
    world = in_vpc()
    world.with_probe({"Network": "vpc", "NetworkMaps": ["10.0.4.15=127.0.0.1", "10.0.4.77=127.0.0.1"]})
    [found] = on_keyturn(failing(world)).causes
    assert "10.0.4.15 and 10.0.4.77 are the machine" in found.remedy.text
    assert " HOST | " in found.remedy.by_hand[0]


def test_the_value_shows_it_too() -> None:
    world = failing(in_vpc())
    world.with_own_database("127.0.0.1")
    report = diagnosed(world)
    assert causes(report) == ["db-host-is-function-itself"]
    assert any(each.source == "secretsmanager:GetSecretValue" for each in report.causes[0].evidence)
    assert "network_map" not in report.causes[0].remedy.text


def test_in_aws_a_function_in_no_vpc_is_alone_at_its_loopback_as_well() -> None:
    assert causes(diagnosed(failing(World()))) == ["db-host-is-function-itself"]


def test_on_keyturn_a_function_in_no_vpc_has_the_machine_there() -> None:
    world = failing(told("machine"))
    report = on_keyturn(world)
    assert causes(report) == ["db-connection-refused"]
    assert status(report, "db-host-is-function-itself") is Status.SKIPPED
    assert status(report, "function-isolated") is Status.PASS


def test_before_the_first_rotation_it_is_a_risk_and_after_a_good_one_nothing() -> None:
    world = in_vpc()
    world.with_own_database("127.0.0.1")
    assert status(diagnosed(world), "db-host-is-function-itself") is Status.PASS
    del world.secret["LastRotatedDate"]
    [risk] = [each for each in diagnosed(world).findings if each.id == "db-host-is-function-itself"]
    assert risk.role is Role.RISK


# Isolation


@pytest.mark.parametrize(("host", "kind"), [("127.0.0.1", "ConnectionRefused"), ("10.0.9.9", "HostUnreachable")])
def test_an_isolated_function_reaches_no_database_and_the_doctor_says_why(host: str, kind: str) -> None:
    report = on_keyturn(failing(told("isolated"), host, kind))
    assert causes(report) == ["function-isolated"]
    assert "--isolate-functions" in report.causes[0].remedy.text
    assert "docs/networks.md" in report.causes[0].remedy.text
    assert "AWSLambdaVPCAccessExecutionRole" in report.causes[0].remedy.by_hand[0]
    assert ("127.0.0.1 nor localhost" in report.causes[0].remedy.text) is (host == "127.0.0.1")
    assert report.facts[Section.NETWORK] == "the function is in no VPC, and isolated"


def test_what_the_preflight_did_not_reach_tells_it_as_well() -> None:
    world = told("isolated")
    world.with_own_database("10.0.9.9")
    world.options = Options(read_value=True, preflight=True, may_be_keyturn=True)
    item = {"Item": "database.connect", "Status": "failed", "Code": "HostUnreachable", "Reason": "no", "Seconds": 0.1}
    world.replies["keyturn:PreflightRotation"] = {
        "Verdict": "will fail",
        "Heartbeat": "unknown",
        "Causes": [],
        "Items": [item],
    }
    assert causes(on_keyturn(world)) == ["function-isolated"]


def test_where_the_databases_vpc_is_known_the_way_there_is_told_instead() -> None:
    world = failing(told("isolated"), OWN_HOST, "HostUnreachable")
    world.network.with_interface()
    assert causes(on_keyturn(world)) == ["function-outside-db-vpc"]


# Maps


def test_an_address_of_the_vpc_that_no_map_leads_to_is_told_with_the_line_for_the_setting() -> None:
    report = on_keyturn(failing(told("vpc", IsMapped=False, Destination="is nobody's"), OWN_HOST, "ConnectionTimedOut"))
    assert causes(report) == ["network-map-missing"]
    [found] = report.causes
    assert found.remedy.by_hand == (f'network_map = "{OWN_HOST}=MACHINE"',)
    assert found.confidence is Confidence.LIKELY


def test_the_line_for_the_setting_keeps_the_maps_that_are_there() -> None:
    world = in_vpc()
    there = {"Address": OWN_HOST, "IsMapped": False, "Destination": "is nobody's"}
    maps = ["10.0.4.15=127.0.0.1", "10.9.0.0/16"]
    world.with_probe({"Network": "vpc", "Probes": [{"Addresses": [there]}], "NetworkMaps": maps})
    [found] = on_keyturn(failing(world, OWN_HOST, "ConnectionTimedOut")).causes
    assert found.remedy.by_hand == (f'network_map = "10.0.4.15=127.0.0.1,10.9.0.0/16,{OWN_HOST}=MACHINE"',)


def test_what_blocks_the_way_there_is_told_first() -> None:
    world = failing(told("vpc", IsMapped=False, Destination="is nobody's"), OWN_HOST, "ConnectionTimedOut")
    world.network.with_interface()
    world.network.groups[DATABASE_GROUP]["IpPermissions"] = [rule(5432, cidr="192.168.0.0/16")]
    assert causes(on_keyturn(world)) == ["db-sg-blocks-function"]


def test_an_address_that_is_mapped_is_not_told() -> None:
    report = on_keyturn(failing(told("vpc", IsMapped=True), OWN_HOST, "ConnectionTimedOut"))
    assert causes(report) == ["db-unreachable"]


# Who asks


def test_the_probe_is_asked_after_such_a_failure_only_and_never_in_aws() -> None:
    world = told("isolated")
    world.with_own_database("10.0.9.9")
    world.options = Options(read_value=True, may_be_keyturn=True)
    on_keyturn(world)
    assert PROBE not in world.asked
    failing(world, "10.0.9.9", "HostUnreachable")
    world.options = Options(read_value=True)
    diagnosed(world)
    assert PROBE not in world.asked


@pytest.mark.parametrize("network", ["isolated", "vpc"])
def test_who_may_not_ask_is_told_what_would_let_him(network: str) -> None:
    world = failing(told(network), OWN_HOST, "ConnectionTimedOut")
    world.deny(PROBE)
    report = on_keyturn(world)
    cause_id = "function-isolated" if network == "isolated" else "network-map-missing"
    assert status(report, cause_id) is Status.BLIND
    assert PROBE in {each.action for each in report.blind}


def test_another_server_that_does_not_offer_it_is_not_blamed() -> None:
    world = failing(told("isolated"), OWN_HOST, "ConnectionTimedOut")
    del world.replies[PROBE]
    assert status(on_keyturn(world), "function-isolated") is Status.SKIPPED
