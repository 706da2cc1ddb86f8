"""A picture of a VPC: subnets with what is in them, their route tables, where those lead, and the security groups.

Three columns, read from left to right: a packet leaves its subnet, asks the route table, and goes to a target. Whoever
does not see the picture has the same in the tables below it, and its text in a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from keyturn.rules.network.routes import target_of

Json = Mapping[str, Any]

_LEFT, _WIDE, _GAP, _LINE, _HEAD = 24, 260, 20, 18, 44
_TABLES, _TARGETS = 364, 704
_TOP = 56
_MOST_LINES: Final = 8
_MOST_CHARACTERS: Final = 35


@dataclass(frozen=True, slots=True)
class Network:
    """EC2's entries of one VPC, and the functions in it; empty where they may not be looked at."""

    vpc: Json
    subnets: Sequence[Json] = ()
    route_tables: Sequence[Json] = ()
    groups: Sequence[Json] = ()
    endpoints: Sequence[Json] = ()
    functions: Sequence[Json] = ()

    def table_of(self, subnet_id: str) -> Json | None:
        """Return the route table of a subnet: its own, or the VPC's main one."""
        main: Json | None = None
        for table in self.route_tables:
            for each in table.get("Associations", []):
                if each.get("SubnetId") == subnet_id:
                    return table
                main = table if each.get("Main") else main
        return main

    def functions_in(self, subnet_id: str) -> list[str]:
        """Return the names of the functions that have an interface in a subnet."""
        return [
            str(each["FunctionName"])
            for each in self.functions
            if subnet_id in (each.get("VpcConfig") or {}).get("SubnetIds", ())
        ]

    def functions_with(self, group_id: str) -> list[str]:
        """Return the names of the functions that have a security group."""
        return [
            str(each["FunctionName"])
            for each in self.functions
            if group_id in (each.get("VpcConfig") or {}).get("SecurityGroupIds", ())
        ]

    def endpoints_in(self, subnet_id: str) -> list[str]:
        """Return what the endpoints in a subnet are of: ``secretsmanager``."""
        return [_service(each) for each in self.endpoints if subnet_id in each.get("SubnetIds", ())]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with a title, a line below it, and more lines."""

    kind: str
    x: int
    y: int
    width: int
    height: int
    title: str
    below: str
    lines: tuple[str, ...] = ()

    @property
    def middle(self) -> int:
        """Where lines come in and go out."""
        return self.y + self.height // 2


@dataclass(frozen=True, slots=True)
class Line:
    """A curve between two boxes, as SVG's path has it."""

    path: str


@dataclass(slots=True)
class Drawing:
    """What is drawn."""

    width: int = 988
    height: int = 0
    frame: Box | None = None
    boxes: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    told: str = ""


def draw(network: Network) -> Drawing:
    """Return the picture of a network."""
    drawing = Drawing()
    tables: dict[str, Box] = {}
    subnets = _column(_LEFT, (_subnet(network, each) for each in network.subnets), _WIDE)
    used = [each for each in network.route_tables if _is_used(network, each)]
    for table, box in zip(used, _column(_TABLES, map(_table, used), _WIDE), strict=True):
        tables[str(table["RouteTableId"])] = box
    targets = _targets(used)
    target_boxes = dict(zip(targets, _column(_TARGETS, map(_target, targets), _WIDE), strict=True))
    for subnet, box in zip(network.subnets, subnets, strict=True):
        own = network.table_of(str(subnet["SubnetId"]))
        if own is not None and str(own["RouteTableId"]) in tables:
            drawing.lines.append(_line(box, tables[str(own["RouteTableId"])]))
    for table in used:
        for target in _targets([table]):
            drawing.lines.append(_line(tables[str(table["RouteTableId"])], target_boxes[target]))
    end = max((box.y + box.height for box in (*subnets, *tables.values())), default=_TOP)
    groups = _groups(network, end + _GAP)
    inner = max((box.y + box.height for box in groups), default=end) + _GAP
    drawing.boxes = [*subnets, *tables.values(), *target_boxes.values(), *groups]
    drawing.frame = Box("vpc", 8, 8, _TARGETS - 40, inner - 8, _name(network.vpc, "VpcId"), _cidr(network.vpc))
    drawing.height = max(inner, *(box.y + box.height for box in (*target_boxes.values(), drawing.frame))) + 12
    drawing.told = _told(network, targets)
    return drawing


def _column(x: int, parts: Iterable[tuple[str, str, str, Sequence[str]]], width: int) -> list[Box]:
    boxes, y = [], _TOP
    for kind, title, below, lines in parts:
        shown = [*lines[:_MOST_LINES], *([f"and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else [])]
        height = _HEAD + _LINE * len(shown) + 8
        boxes.append(Box(kind, x, y, width, height, _cut(title), _cut(below), tuple(map(_cut, shown))))
        y += height + _GAP
    return boxes


def _subnet(network: Network, subnet: Json) -> tuple[str, str, str, Sequence[str]]:
    subnet_id = str(subnet["SubnetId"])
    inside = [f"function {name}" for name in network.functions_in(subnet_id)]
    inside += [f"endpoint {name}" for name in network.endpoints_in(subnet_id)]
    return "subnet", _name(subnet, "SubnetId"), f"{_cidr(subnet)} · {subnet.get('AvailabilityZone', '')}", inside


def _table(table: Json) -> tuple[str, str, str, Sequence[str]]:
    is_main = any(each.get("Main") for each in table.get("Associations", []))
    routes = [f"{to_of(route)} → {target_of(route) or '?'}" for route in table.get("Routes", [])]
    return "table", _name(table, "RouteTableId"), "main route table" if is_main else "route table", routes


def _target(target: str) -> tuple[str, str, str, Sequence[str]]:
    kinds = {"igw": "internet gateway", "nat": "NAT gateway", "vpce": "endpoint", "pcx": "peering"}
    return "target", target, kinds.get(target.partition("-")[0], "target"), ()


def _groups(network: Network, y: int) -> list[Box]:
    boxes = []
    for number, group in enumerate(network.groups):
        column, row = number % 2, number // 2
        names = network.functions_with(str(group["GroupId"]))
        told = ", ".join(names) if names else str(group.get("Description", ""))
        at_y = y + row * (_HEAD + 8 + _GAP)
        x = _LEFT if column == 0 else _TABLES
        below = f"security group · {told}"
        boxes.append(Box("group", x, at_y, _WIDE, _HEAD + 8, _cut(str(group.get("GroupName", ""))), _cut(below)))
    return boxes


def _is_used(network: Network, table: Json) -> bool:
    tables = [network.table_of(str(subnet["SubnetId"])) for subnet in network.subnets]
    return any(each is table for each in tables)


def _targets(tables: Iterable[Json]) -> list[str]:
    found = (str(target_of(route) or "") for table in tables for route in table.get("Routes", []))
    return [each for each in dict.fromkeys(found) if each not in ("", "local")]


def to_of(route: Json) -> str:
    """Return where a route leads: its addresses or its prefix list."""
    return str(
        route.get("DestinationCidrBlock")
        or route.get("DestinationPrefixListId")
        or route.get("DestinationIpv6CidrBlock")
        or "?"
    )


def _line(begin: Box, end: Box) -> Line:
    x1, y1, x2, y2 = begin.x + begin.width, begin.middle, end.x, end.middle
    bend = (x1 + x2) // 2
    return Line(f"M{x1} {y1} C{bend} {y1} {bend} {y2} {x2} {y2}")


def _name(entry: Json, id_member: str) -> str:
    own_id = str(entry.get(id_member, ""))
    tags = {str(tag.get("Key")): str(tag.get("Value")) for tag in entry.get("Tags", [])}
    return tags.get("Name") or own_id


def _cidr(entry: Json) -> str:
    return str(entry.get("CidrBlock", ""))


def _service(endpoint: Json) -> str:
    return str(endpoint.get("ServiceName", "")).rpartition(".")[2]


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


def _told(network: Network, targets: Sequence[str]) -> str:
    """Return the picture in a sentence."""
    functions = sum(bool(network.functions_in(str(each["SubnetId"]))) for each in network.subnets)
    leads = ", ".join(targets) or "nowhere outside the VPC"
    return (
        f"The VPC {_name(network.vpc, 'VpcId')} has {len(network.subnets)} subnets, {functions} of them with functions,"
        f" and {len(network.groups)} security groups. Its routes lead to {leads}. The tables below say the same."
    )
