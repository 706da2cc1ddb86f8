"""The picture of a VPC: nothing overlaps, everything is inside, and lines go where packets do."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.console.network_picture import Box, Drawing, Network, draw

VPC = {"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/16"}


def subnet(number: int, **more: Any) -> dict[str, Any]:
    return {
        "SubnetId": f"subnet-{number}",
        "CidrBlock": f"10.0.{number}.0/24",
        "AvailabilityZone": "us-east-1a",
        **more,
    }


def table(name: str, *targets: str, main: bool = False, subnets: tuple[str, ...] = ()) -> dict[str, Any]:
    associations: list[dict[str, Any]] = [{"Main": False, "SubnetId": each} for each in subnets]
    return {
        "RouteTableId": name,
        "Associations": [*associations, *([{"Main": True}] if main else [])],
        "Routes": [
            {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local"},
            *({"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": each} for each in targets),
        ],
    }


def function(name: str, *subnet_ids: str) -> dict[str, Any]:
    return {"FunctionName": name, "VpcConfig": {"SubnetIds": list(subnet_ids), "SecurityGroupIds": ["sg-0"]}}


def titles(drawing: Drawing, kind: str) -> list[str]:
    return [box.title for box in drawing.boxes if box.kind == kind]


def overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def test_a_subnet_without_a_table_of_its_own_has_the_main_one() -> None:
    tables = [table("rtb-own", "igw-1", subnets=("subnet-2",)), table("rtb-main", main=True), table("rtb-unused")]
    network = Network(VPC, [subnet(1), subnet(2)], tables)

    drawing = draw(network)

    assert [(network.table_of(f"subnet-{number}") or {})["RouteTableId"] for number in (1, 2)] == [
        "rtb-main",
        "rtb-own",
    ]
    assert titles(drawing, "table") == ["rtb-own", "rtb-main"]
    assert titles(drawing, "target") == ["igw-1"]
    # One from each subnet, and one out of the VPC.
    assert len(drawing.lines) == 3
    assert "lead to igw-1" in drawing.told


def test_what_is_in_a_subnet_is_written_into_it() -> None:
    endpoint = {"ServiceName": "com.amazonaws.us-east-1.secretsmanager", "SubnetIds": ["subnet-1"]}
    functions = [function("rotate", "subnet-1"), {"FunctionName": "free"}, function("other", "subnet-9")]

    drawing = draw(Network(VPC, [subnet(1)], [], [], [endpoint], functions))

    [box] = [box for box in drawing.boxes if box.kind == "subnet"]
    assert box.lines == ("function rotate", "endpoint secretsmanager")


def test_a_name_replaces_an_id_and_a_long_one_is_cut() -> None:
    tags = [{"Key": "Name", "Value": "x" * 100}]

    drawing = draw(Network({**VPC, "Tags": tags}, [subnet(1, Tags=tags)]))

    assert titles(drawing, "subnet") == ["x" * 34 + "…"]


def test_of_many_functions_the_first_are_shown_and_the_others_counted() -> None:
    functions = [function(f"f{number}", "subnet-1") for number in range(20)]

    [box] = draw(Network(VPC, [subnet(1)], functions=functions)).boxes

    assert len(box.lines) == 9
    assert box.lines[-1] == "and 12 more"


@pytest.mark.parametrize("subnets", [0, 1])
def test_what_may_not_be_looked_at_leaves_a_picture(subnets: int) -> None:
    drawing = draw(Network(VPC, [subnet(number) for number in range(subnets)]))

    assert drawing.frame is not None
    assert drawing.lines == []


@given(subnets=st.integers(0, 12), groups=st.integers(0, 9), targets=st.integers(0, 5), functions=st.integers(0, 12))
def test_no_box_is_on_another_and_all_are_in_the_picture(
    subnets: int, groups: int, targets: int, functions: int
) -> None:
    tables = [table("rtb-main", *(f"igw-{number}" for number in range(targets)), main=True)]
    network = Network(
        VPC,
        [subnet(number) for number in range(subnets)],
        tables,
        [{"GroupId": f"sg-{number}", "GroupName": f"group {number}"} for number in range(groups)],
        functions=[function(f"f{number}", f"subnet-{number % 3}") for number in range(functions)],
    )

    drawing = draw(network)

    assert not [pair for pair in combinations(drawing.boxes, 2) if overlap(*pair)]
    frame = drawing.frame
    assert frame is not None
    for box in (*drawing.boxes, frame):
        assert box.x + box.width <= drawing.width
        assert box.y + box.height <= drawing.height
        if box.kind in ("subnet", "table", "group"):
            assert frame.x < box.x
            assert box.x + box.width < frame.x + frame.width
            assert box.y + box.height < frame.y + frame.height
