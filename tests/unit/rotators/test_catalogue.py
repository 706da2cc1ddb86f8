"""Engines and strategies are found, and what a secret's engine says leads to one of them only."""

from __future__ import annotations

import pytest

from keyturn.rotators import catalogue


def test_every_engine_and_every_strategy_is_found_and_their_interfaces_are_not() -> None:
    assert {"postgresql", "mariadb", "mysql", "redis", "http_api"} <= set(catalogue.engines())
    assert not {"base", "network", "mysql_family"} & set(catalogue.engines())
    expected = {"single_user", "single_user_by_superuser", "alternating_users", "new_key"}
    assert set(catalogue.strategies()) == expected


@pytest.mark.parametrize(
    ("engine", "has_superuser", "strategy"),
    [
        ("postgresql", False, "single_user"),
        ("postgresql", True, "alternating_users"),
        ("redis", False, "single_user"),
        ("redis", True, "single_user_by_superuser"),
        ("http_api", False, "new_key"),
        ("http_api", True, "new_key"),
    ],
)
def test_each_engine_has_the_strategy_that_suits_it(engine: str, has_superuser: bool, strategy: str) -> None:
    assert catalogue.strategy_for(engine, has_superuser=has_superuser) == strategy
    assert catalogue.go_together(engine, strategy)


def test_api_keys_and_databases_have_no_strategy_in_common() -> None:
    assert not catalogue.go_together("http_api", "single_user")
    assert not catalogue.go_together("postgresql", "new_key")


def test_no_two_engines_have_a_name_in_common() -> None:
    names = catalogue.engine_names()
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", catalogue.engine_names())
def test_a_name_leads_to_its_engine(name: str) -> None:
    found = catalogue.engine_for(name)
    assert found is not None
    assert name in catalogue.engines()[found].engine_names


@pytest.mark.parametrize("name", [None, "", "visicalc", 5, ["postgres"], {"engine": "postgres"}])
def test_anything_else_leads_to_none(name: object) -> None:
    assert catalogue.engine_for(name) is None
