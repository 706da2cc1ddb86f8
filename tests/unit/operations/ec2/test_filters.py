"""Filters: where they look, what their values match, and that they never break."""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.errors.ec2 import FilterLimitExceeded, InvalidParameterValue
from keyturn.operations.ec2.filters import passes_all

DOCUMENT = {
    "Id": "rtb-1",
    "Main": True,
    "Count": 251,
    "Nothing": None,
    "Associations": [{"SubnetId": "subnet-1", "State": {"Name": "associated"}}, {"GatewayId": "igw-1"}],
    "Names": ["one", "two"],
    "Tags": [{"Key": "Name", "Value": "a*b"}, {"Key": "Team", "Value": ""}],
}
KNOWN = {
    "id": "Id",
    "main": "Main",
    "count": "Count",
    "nothing": "Nothing",
    "association.subnet-id": "Associations.SubnetId",
    "association.state": "Associations.State.Name",
    "name": "Names",
    "absent": "No.Such.Member",
}


def passes(*wanted: tuple[str, list[str]], document: dict[str, Any] | None = None) -> bool:
    filters = [{"Name": name, "Values": values} for name, values in wanted]
    return passes_all(filters, KNOWN)(document or DOCUMENT)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("id", "rtb-1", True),
        ("id", "RTB-1", False),
        ("id", "rtb", False),
        ("id", "rtb-?", True),
        ("id", "rtb-1?", False),
        ("id", "*", True),
        ("id", "r*1*", True),
        ("id", "rtb.1", False),
        ("main", "true", True),
        ("main", "True", False),
        ("count", "251", True),
        ("count", "25", False),
        ("nothing", "*", False),
        ("absent", "*", False),
        ("association.subnet-id", "subnet-1", True),
        ("association.state", "associated", True),
        ("association.state", "*ing", False),
        ("name", "two", True),
        ("tag:Name", "a*b", True),
        ("tag:Name", r"a\*b", True),
        ("tag:Name", r"a\?b", False),
        ("tag:Name", "axb", False),
        ("tag:Team", "", True),
        ("tag:name", "*", False),
        ("tag:", "*", False),
        ("tag-key", "Te*", True),
        ("tag-key", "Value", False),
    ],
)
def test_a_value_matches_whole_with_wildcards(name: str, value: str, found: bool) -> None:
    assert passes((name, [value])) is found


def test_all_filters_must_pass_each_with_one_of_its_values() -> None:
    assert passes(("id", ["rtb-0", "rtb-1"]), ("main", ["true"]))
    assert not passes(("id", ["rtb-0", "rtb-1"]), ("main", ["false"]))
    assert not passes(("id", []))
    assert passes()


def test_a_backslash_at_the_end_stands_for_itself() -> None:
    assert passes(("id", ["a\\"]), document={"Id": "a\\"})


def test_what_is_no_filter_is_refused() -> None:
    for name in ("colour", "Id", ""):
        with pytest.raises(InvalidParameterValue) as caught:
            passes((name, ["x"]))
        assert caught.value.message == f"The filter '{name}' is invalid"


def test_there_are_at_most_200_values_together() -> None:
    assert not passes(("id", ["a"] * 100), ("main", ["b"] * 100))
    with pytest.raises(FilterLimitExceeded):
        passes(("id", ["a"] * 100), ("main", ["b"] * 101))


_TEXTS = st.text("ab.[]-*?", max_size=8)


@given(_TEXTS, _TEXTS)
def test_wildcards_are_those_of_file_names_and_nothing_else_is_special(value: str, text: str) -> None:
    # What stands in brackets is special there, and not here.
    expected = fnmatch.fnmatchcase(text, value.replace("[", "[[]"))
    assert passes(("id", [value]), document={"Id": text}) is expected
