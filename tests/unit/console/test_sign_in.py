from __future__ import annotations

from datetime import timedelta

import pytest

from keyturn.console.sign_in import WINDOW, SignInLimits, next_page
from keyturn.testing.clock import FakeClock

NOW = FakeClock().now()
NOTHING = timedelta(0)


def failed(limits: SignInLimits, times: int, address: str = "10.0.0.1", key: str = "AKIA") -> None:
    for _ in range(times):
        assert limits.take(address, key, NOW) == NOTHING


def test_who_fails_often_waits_and_others_do_not() -> None:
    limits = SignInLimits()
    failed(limits, 6)

    assert limits.take("10.0.0.1", "AKIA", NOW) == WINDOW
    # The owner of the key, who sits elsewhere, is not locked out by somebody's guesses.
    assert limits.take("10.0.0.2", "AKIA", NOW) == NOTHING
    assert limits.take("10.0.0.1", "AKIB", NOW) == NOTHING
    assert limits.take("10.0.0.1", "AKIA", NOW + WINDOW) == NOTHING


def test_who_succeeds_is_not_counted() -> None:
    limits = SignInLimits()
    for _ in range(200):
        failed(limits, 1)
        limits.give_back("10.0.0.1", "AKIA", NOW)
    failed(limits, 5)

    # The one that is under way counts until it is known to be good.
    failed(limits, 1)
    assert limits.take("10.0.0.1", "AKIA", NOW) == WINDOW
    limits.give_back("10.0.0.1", "AKIA", NOW)
    assert limits.take("10.0.0.1", "AKIA", NOW) == NOTHING


def test_nothing_is_kept_of_who_succeeded() -> None:
    limits = SignInLimits()
    failed(limits, 1)

    limits.give_back("10.0.0.1", "AKIA", NOW)

    assert not limits._failures


def test_who_is_refused_does_not_wait_the_longer_for_it() -> None:
    limits = SignInLimits()
    failed(limits, 6)

    assert limits.take("10.0.0.1", "AKIA", NOW + WINDOW / 2) == WINDOW / 2

    assert limits.take("10.0.0.1", "AKIA", NOW + WINDOW) == NOTHING


def test_who_tries_many_keys_is_slowed_down_too() -> None:
    limits = SignInLimits()
    for number in range(30):
        failed(limits, 1, key=f"AKIA{number}")

    assert limits.take("10.0.0.1", "another", NOW) == WINDOW


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("fe80::1%lo", "fe80::2%lo", True),
        ("::1", "::1", True),
        ("", "nowhere", False),
    ],
)
def test_a_network_that_one_has_alone_counts_as_one_address(one: str, other: str, are_one: bool) -> None:
    limits = SignInLimits()
    failed(limits, 6, address=one)

    assert (limits.take(other, "AKIA", NOW) == WINDOW) is are_one


def test_a_key_that_is_guessed_from_everywhere_is_guarded() -> None:
    limits = SignInLimits()
    for number in range(100):
        failed(limits, 1, address=f"10.0.0.{number}")

    assert limits.take("10.9.9.9", "AKIA", NOW) == WINDOW


def test_what_is_counted_is_bounded() -> None:
    limits = SignInLimits()
    for number in range(12_000):
        limits.take(f"10.0.{number}", f"{number}" * 50, NOW)

    assert len(limits._failures) <= 10_000


@pytest.mark.parametrize("wanted", ["/console/", "/console/secret?id=a%2Fb&x=y", "/console/secrets?search=a+b"])
def test_a_page_of_the_console_is_gone_on_to(wanted: str) -> None:
    assert next_page(wanted) == wanted


@pytest.mark.parametrize(
    "wanted",
    [
        "",
        "https://evil.example/console/",
        "//evil.example/console/",
        "/\\evil.example",
        "\\\\evil.example/console/",
        "/console/../../x",
        "/console",
        "javascript:alert(1)",
        "/console/\r\nset-cookie: a=b",
        "/console/\té",
        "http:/console/",
        "/console/\\..\\x",
    ],
)
def test_nothing_else_is(wanted: str) -> None:
    assert next_page(wanted) == "/console/"


@pytest.mark.parametrize("wanted", ["http://[", "//[", "http://[::1]x/"])
def test_what_is_no_address_leads_home(wanted: str) -> None:
    assert next_page(wanted) == "/console/"
