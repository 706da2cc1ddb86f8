"""The text of a namespace's rules; that a kernel takes it and does what it says, an end-to-end test shows."""

from __future__ import annotations

import dataclasses

from tests.unit.rules.network.networks import Land

from keyturn.rules.network.maps import maps_of
from keyturn.rules.network.packet_rules import InnerPorts, ruleset

INNER = InnerPorts({"vpce-01": 4001, "": 4003}, resolver=4053)


def test_neighbouring_networks_are_one_range_of_a_set() -> None:
    text = ruleset(Land(endpoint=True).plan, ports=INNER, maps=maps_of(["10.0.4.0/24=192.168.7.0/24"]))

    assert " 192.169.0.0-198.17.255.255 . 0-65535," in text
    assert " 10.0.4.0-10.0.4.14 . 0-65535," in text
    assert " 10.0.4.15 . 5432" in text
    assert " 10.0.1.50 . 443," in text
    assert "10.0.4.16 . 5432" not in text


def test_who_may_reach_nothing_has_empty_sets() -> None:
    plan = dataclasses.replace(Land().plan, permits=())
    text = ruleset(plan, ports=INNER, maps=())

    assert text.count("elements") == 1
    assert "203.0.113.10 . 443 : 127.0.0.1 . 4003" in text


def test_an_address_that_is_mapped_to_itself_is_not_translated() -> None:
    text = ruleset(
        Land().plan, ports=INNER, maps=maps_of(["10.0.4.0/24", "10.0.2.1=127.0.0.1"]), host_loopback="10.9.9.9"
    )

    assert "ip daddr 10.0.4.0/24" not in text
    assert "ip daddr 10.0.2.1/32 dnat to 10.9.9.9\n" in text


def test_an_endpoint_that_has_the_public_address_is_reached_there() -> None:
    plan = Land(endpoint=True).plan
    own, public = plan.doors
    plan = dataclasses.replace(plan, doors=(dataclasses.replace(own, addresses=("10.0.1.50", "203.0.113.10")), public))

    text = ruleset(plan, ports=InnerPorts({own.endpoint_id: 4001, "": 4003}, resolver=4053), maps=())

    assert "{ 10.0.1.50 . 443 : 127.0.0.1 . 4001, 203.0.113.10 . 443 : 127.0.0.1 . 4001 }" in text
