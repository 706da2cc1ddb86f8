"""When KMS keys are rotated, and what their material is called."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyturn.errors.kms import ConflictException, LimitExceededException
from keyturn.rules.kms_rotation import check_on_demand, key_material_id, next_rotation

ARN = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def test_a_period_is_counted_in_days() -> None:
    assert next_rotation(NOW, 90) == NOW + timedelta(days=90)


def test_material_has_an_id_of_its_own() -> None:
    # The first one's is what it was before keys were rotated.
    assert key_material_id("one", 0) == "83f53b82e0d43809825855d0d60a0c8de605d061652487797ea660a3fa351ebd"
    named = {key_material_id(key_id, number) for key_id in ("one", "two") for number in (0, 1, 2, 10)}
    assert len(named) == 8
    assert {len(bytes.fromhex(name)) for name in named} == {32}


def test_25_rotations_on_demand_and_no_more() -> None:
    check_on_demand(ARN, 24, None, NOW)
    with pytest.raises(LimitExceededException) as refused:
        check_on_demand(ARN, 25, None, NOW)
    assert refused.value.message == (
        "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be"
        f" performed for this key: {ARN}"
    )


@pytest.mark.parametrize("minutes", [-5, 0, 20])
def test_a_key_that_is_about_to_be_rotated_is_not_rotated_on_demand(minutes: int) -> None:
    planned = NOW + timedelta(minutes=minutes)
    with pytest.raises(ConflictException):
        check_on_demand(ARN, 0, planned, NOW)
    check_on_demand(ARN, 0, NOW + timedelta(minutes=20, milliseconds=1), NOW)
