"""The menu has what can be used, is asked for once in a while, and is nobody else's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

from keyturn.console.menu import Menus
from keyturn.console.routing import Place, discover
from keyturn.console.visit import Visit

NOW = datetime(2026, 11, 28, 2, tzinfo=UTC)
HOME = Place("Overview", "", 10, {})
SECRETS = Place("Secrets", "secrets", 20, {"secretsmanager": ["list_secrets"]})
AUDIT = Place("Audit", "audit", 60, {"cloudtrail": ["lookup_events"], "keyturn": ["lookup_denied_events"]})


@dataclass
class Rights:
    """What somebody may; counts how often that is asked."""

    allowed: set[str]
    asked: int = 0

    def allow(self, service: str, operation: str) -> bool:
        self.asked += 1
        return f"{service} {operation}" in self.allowed


def visit(rights: Rights, at: datetime = NOW, *, key: str = "AKIA1", region: str = "us-east-1") -> Visit:
    session = SimpleNamespace(access_key_id=key, region=region)
    return cast("Visit", SimpleNamespace(session=session, clients=rights, now=at))


def test_one_of_the_calls_that_a_page_makes_is_enough() -> None:
    menu = Menus([HOME, SECRETS, AUDIT]).of(visit(Rights({"keyturn lookup_denied_events"})))

    assert menu.usable == [HOME, AUDIT]
    assert menu.others == [SECRETS]
    assert menu.offers("audit")
    assert not menu.offers("secrets")


def test_a_change_of_policies_shows_after_some_seconds() -> None:
    menus, rights = Menus([HOME, SECRETS]), Rights(set())
    assert menus.of(visit(rights)).usable == [HOME]
    rights.allowed.add("secretsmanager list_secrets")

    assert menus.of(visit(rights, NOW + timedelta(seconds=4))).usable == [HOME]
    assert rights.asked == 1
    assert menus.of(visit(rights, NOW + timedelta(seconds=5))).usable == [HOME, SECRETS]


def test_another_key_and_another_region_have_menus_of_their_own() -> None:
    menus, rights = Menus([HOME, SECRETS]), Rights({"secretsmanager list_secrets"})
    menus.of(visit(rights))

    assert menus.of(visit(Rights(set()), key="AKIA2")).usable == [HOME]
    assert menus.of(visit(Rights(set()), region="eu-west-1")).usable == [HOME]


def test_every_page_of_the_menu_but_the_first_says_what_it_calls() -> None:
    assert [place.title for place in discover().places if not place.calls] == ["Overview"]
