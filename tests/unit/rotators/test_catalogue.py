"""Engines and strategies are found, and what a secret's engine says leads to one of them only."""

from __future__ import annotations

import pytest

from keyturn.rotators import catalogue


def test_every_engine_and_every_strategy_is_found_and_their_interfaces_are_not() -> None:
    assert {"postgresql", "mariadb", "mysql"} <= set(catalogue.engines())
    assert not {"base", "network", "mysql_family"} & set(catalogue.engines())
    assert set(catalogue.strategies()) == {"single_user", "alternating_users"}


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
