"""The operator's maps between addresses of VPCs and real ones."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from keyturn.rules.network.maps import maps_of, real_of, seen_as

MAPS = maps_of(["10.20.0.0/16", "10.0.2.15=127.0.0.1", " 10.0.2.64/26 = 192.168.7.0/26 ", "10.1.2.15=127.0.0.1"])


@pytest.mark.parametrize(
    ("seen", "real"),
    [
        ("10.20.3.4", "10.20.3.4"),
        ("10.0.2.15", "127.0.0.1"),
        ("10.0.2.64", "192.168.7.0"),
        ("10.0.2.127", "192.168.7.63"),
        ("10.0.2.16", None),
        ("10.0.2.128", None),
    ],
)
def test_an_address_leads_to_the_one_at_the_same_place(seen: str, real: str | None) -> None:
    assert real_of(MAPS, IPv4Address(seen)) == (None if real is None else IPv4Address(real))


@pytest.mark.parametrize(
    ("real", "seen"),
    [
        ("10.20.3.4", ["10.20.3.4"]),
        ("127.0.0.1", ["10.0.2.15", "10.1.2.15"]),
        ("192.168.7.63", ["10.0.2.127"]),
        ("192.168.7.64", []),
    ],
)
def test_a_real_address_is_seen_wherever_it_is_mapped(real: str, seen: list[str]) -> None:
    assert [str(each) for each in seen_as(MAPS, IPv4Address(real))] == seen


def test_a_map_is_told_as_it_is_written() -> None:
    assert [str(each) for each in MAPS[:2]] == ["10.20.0.0/16", "10.0.2.15=127.0.0.1"]
    assert maps_of([str(each) for each in MAPS]) == MAPS


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([""], "a network is missing"),
        (["10.0.0.1="], "a network is missing"),
        (["=10.0.0.1"], "a network is missing"),
        (["db.example.com"], "db.example.com is no IPv4 network"),
        (["10.0.0.1=fd00::1"], "fd00::1 is no IPv4 network"),
        (["10.0.0.1=10.0.0.2=10.0.0.3"], "10.0.0.2=10.0.0.3 is no IPv4 network"),
        (["10.0.0.0/33"], "10.0.0.0/33 is no IPv4 network"),
        (["10.0.2.15/24"], "10.0.2.15/24 does not begin at its network's first address; 10.0.2.0/24 does"),
        (["10.0.2.0/24=192.168.0.0/25"], "10.0.2.0/24 and 192.168.0.0/25 differ in size"),
        (["10.0.2.0/24=127.0.0.1"], "differ in size"),
        (["127.0.0.1"], "a function's 127.0.0.0/8 is its own"),
        (["0.0.0.0/0=0.0.0.0/0"], "a function's 127.0.0.0/8 is its own"),
        (["10.0.2.15=127.0.0.2"], "functions can reach 127.0.0.1 only"),
        (["10.0.0.0/8=127.0.0.0/8"], "functions can reach 127.0.0.1 only"),
        (["10.0.2.15=169.254.169.254"], "169.254.0.0/16 has no hosts"),
        (["169.254.76.2=10.0.0.1"], "169.254.0.0/16 has no hosts"),
        (["224.0.0.1"], "224.0.0.0/3 has no hosts"),
        (["203.0.113.0/24"], "203.0.113.10 is Keyturn's own"),
        (["10.0.0.0/16", "10.0.2.15=127.0.0.1"], "10.0.0.0/16 and 10.0.2.15=127.0.0.1 overlap"),
    ],
)
def test_what_is_no_map_is_told_in_a_sentence(texts: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=r"\.$") as told:
        maps_of(texts)

    assert said in str(told.value)
    assert texts[-1] in str(told.value) or "overlap" in said
