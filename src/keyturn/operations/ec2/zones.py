"""Regions, and Availability Zones: every region has three, and nothing tells them apart but their names.

Source: Amazon EC2 API Reference, DescribeAvailabilityZones and DescribeRegions; AWS RAM User Guide, "Availability Zone
IDs".
"""

from __future__ import annotations

from typing import Any, Final

from keyturn.call import Call
from keyturn.errors.ec2 import InvalidParameterValue
from keyturn.operations.ec2.filters import passes_all
from keyturn.operations.ec2.networks import Request, Response
from keyturn.operations.ec2.operation import ec2_operation
from keyturn.operations.kit import Kit
from keyturn.wire.models import regions_of

_LETTERS: Final = "abc"
_DIRECTIONS: Final = ("north", "south", "east", "west", "central")
_FILTERS: Final = {
    "group-name": "GroupName",
    "message": "Messages.Message",
    "opt-in-status": "OptInStatus",
    "region-name": "RegionName",
    "state": "State",
    "zone-id": "ZoneId",
    "zone-name": "ZoneName",
    "zone-type": "ZoneType",
}


_REGION_FILTERS: Final = {"endpoint": "Endpoint", "opt-in-status": "OptInStatus", "region-name": "RegionName"}


@ec2_operation("DescribeRegions", takes="Filters RegionNames AllRegions")
def describe_regions(_kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Describe the regions of the partition, all of which are there."""
    known = regions_of(call.place.partition) | {call.place.region}
    wanted = set(request.get("RegionNames") or known)
    if unknown := sorted(wanted - known):
        raise InvalidParameterValue(f"Invalid region: [{', '.join(unknown)}]")
    regions = [
        {"RegionName": name, "Endpoint": f"ec2.{name}.amazonaws.com", "OptInStatus": "opt-in-not-required"}
        for name in sorted(wanted)
    ]
    passes = passes_all(request.get("Filters") or (), _REGION_FILTERS)
    return {"Regions": [region for region in regions if passes(region)]}


@ec2_operation("DescribeAvailabilityZones", takes="Filters ZoneNames ZoneIds AllAvailabilityZones")
def describe_availability_zones(_kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Describe the Availability Zones of a region."""
    region = call.place.region
    zones = [_zone(region, name, zone_id) for name, zone_id in zones_of(region).items()]
    for member, of_zone in (("ZoneNames", "ZoneName"), ("ZoneIds", "ZoneId")):
        wanted = request.get(member)
        if not wanted:
            continue
        if unknown := sorted(set(wanted) - {zone[of_zone] for zone in zones}):
            raise InvalidParameterValue(f"Invalid availability zone: [{', '.join(unknown)}]")
        zones = [zone for zone in zones if zone[of_zone] in wanted]
    passes = passes_all(request.get("Filters") or (), _FILTERS)
    return {"AvailabilityZones": [zone for zone in zones if passes(zone)]}


def zones_of(region: str) -> dict[str, str]:
    """Return the names of a region's zones with their ids: ``us-east-1a`` is ``use1-az1``."""
    return {f"{region}{letter}": f"{_short(region)}-az{number}" for number, letter in enumerate(_LETTERS, 1)}


def _short(region: str) -> str:
    """Return a region's name as the ids of its zones begin with it."""
    if region.count("-") < 2:
        # A region of the operator's own making.
        return region
    area, *words, number = region.split("-")
    # "southeast" is two directions; what is none ("gov") is told by its first letter.
    letters = ("".join(one[0] for one in _DIRECTIONS if one in word) or word[0] for word in words)
    return f"{area}{''.join(letters)}{number}"


def _zone(region: str, name: str, zone_id: str) -> dict[str, Any]:
    return {
        "RegionName": region,
        "ZoneName": name,
        "ZoneId": zone_id,
        "ZoneType": "availability-zone",
        "GroupName": f"{region}-zg-1",
        "NetworkBorderGroup": region,
        "OptInStatus": "opt-in-not-required",
        "State": "available",
        "Messages": [],
    }
