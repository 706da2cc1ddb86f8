"""The condition keys of EC2's objects, as policies name them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from keyturn.operations.ec2.kinds import ELASTIC_IP, NAT_GATEWAY, NETWORK_INTERFACE, SECURITY_GROUP, VPC, Kind, kind_of
from keyturn.operations.ec2.subjects import object_keys, tag_keys
from keyturn.storage.network_objects import NetworkObject
from keyturn.testing.handlers import PLACE

RECORD = NetworkObject(PLACE.account_id, PLACE.region, "vpc", "an-id", None, {}, datetime(2026, 1, 1, tzinfo=UTC))


# Source: Service Authorization Reference, "Condition keys for Amazon EC2".
@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (VPC, "ec2:vpcid"),
        (SECURITY_GROUP, "ec2:securitygroupid"),
        (NETWORK_INTERFACE, "ec2:networkinterfaceid"),
        (NAT_GATEWAY, "ec2:natgatewayid"),
        (ELASTIC_IP, "ec2:allocationid"),
    ],
)
def test_an_object_is_named_by_its_id(kind: Kind, key: str) -> None:
    assert object_keys(PLACE, kind, RECORD) == {key: ("an-id",), "ec2:region": (PLACE.region,)}


def test_an_object_of_a_vpc_names_it_by_its_arn_and_its_tags_under_two_names() -> None:
    body = {"TagSet": [{"Key": "Team", "Value": "blue"}], "Tags": [{"Key": "not", "Value": "these"}]}
    keys = object_keys(PLACE, NETWORK_INTERFACE, replace(RECORD, vpc_id="vpc-1", body=body))
    assert keys["ec2:vpc"] == (f"arn:aws:ec2:us-east-1:{PLACE.account_id}:vpc/vpc-1",)
    assert keys["aws:resourcetag/team"] == keys["ec2:resourcetag/team"] == ("blue",)
    assert not [key for key in keys if key.endswith("/not")]


def test_tags_of_a_request_are_keys() -> None:
    assert tag_keys([{"Key": "Team", "Value": "blue"}, {"Key": "Alone"}]) == {
        "aws:tagkeys": ("Team", "Alone"),
        "aws:requesttag/team": ("blue",),
        "aws:requesttag/alone": ("",),
    }
    assert tag_keys([]) == {}


@pytest.mark.parametrize(
    ("object_id", "name"),
    [
        ("vpc-1", "vpc"),
        ("vpce-1", "vpc-endpoint"),
        ("eipalloc-1", "elastic-ip"),
        ("tgw-1", None),
        ("vpc", None),
        ("", None),
    ],
)
def test_a_kind_is_told_by_an_ids_prefix(object_id: str, name: str | None) -> None:
    kind = kind_of(object_id)
    assert (kind.name if kind else None) == name
