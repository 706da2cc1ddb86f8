"""Names and ids of Availability Zones."""

from __future__ import annotations

import pytest

from keyturn.operations.ec2.zones import zones_of


# Source: AWS RAM User Guide, "Availability Zone IDs for your AWS resources".
@pytest.mark.parametrize(
    ("region", "zone_id"),
    [
        ("us-east-1", "use1-az1"),
        ("us-west-2", "usw2-az1"),
        ("eu-central-1", "euc1-az1"),
        ("ap-southeast-2", "apse2-az1"),
        ("ap-northeast-1", "apne1-az1"),
        ("sa-east-1", "sae1-az1"),
        ("ca-central-1", "cac1-az1"),
        ("us-gov-west-1", "usgw1-az1"),
        ("nowhere", "nowhere-az1"),
    ],
)
def test_an_id_begins_with_the_regions_short_name(region: str, zone_id: str) -> None:
    assert zones_of(region)[f"{region}a"] == zone_id
    assert len(set(zones_of(region).values())) == 3
