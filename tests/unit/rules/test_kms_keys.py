from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from keyturn.arn import Place
from keyturn.errors.common import ValidationFailed
from keyturn.errors.kms import DisabledException, KMSInvalidStateException, NotAuthorizedException
from keyturn.rules.kms_keys import (
    DELETION_WINDOW_DAYS,
    KeyState,
    check_alias,
    check_alias_of_customer,
    check_not_pending_deletion,
    check_pending_deletion,
    check_usable,
    data_key_bytes,
    default_key_policy,
    deletion_window,
    key_state,
    managed_key_policy,
)
from keyturn.rules.policy.document import Effect, parse_key_policy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = Place("aws", "us-east-1", "123456789012")
ARN = PLACE.kms_key_arn("one")


@pytest.mark.parametrize(
    ("enabled", "deletion_at", "state"),
    [
        (True, None, KeyState.ENABLED),
        (False, None, KeyState.DISABLED),
        (False, NOW, KeyState.PENDING_DELETION),
        (True, NOW, KeyState.PENDING_DELETION),
    ],
)
def test_a_scheduled_end_outweighs_the_rest(enabled: bool, deletion_at: datetime | None, state: KeyState) -> None:
    assert key_state(enabled=enabled, deletion_at=deletion_at) is state


def test_only_an_enabled_key_is_used() -> None:
    check_usable(ARN, KeyState.ENABLED)
    with pytest.raises(DisabledException, match=f"^{ARN} is disabled.$"):
        check_usable(ARN, KeyState.DISABLED)
    with pytest.raises(KMSInvalidStateException, match=f"^{ARN} is pending deletion.$"):
        check_usable(ARN, KeyState.PENDING_DELETION)


def test_a_key_that_waits_for_its_end_is_not_changed_and_no_other_end_is_cancelled() -> None:
    for state in (KeyState.ENABLED, KeyState.DISABLED):
        check_not_pending_deletion(ARN, state)
        with pytest.raises(KMSInvalidStateException, match=f"^{ARN} is not pending deletion.$"):
            check_pending_deletion(ARN, state)
    check_pending_deletion(ARN, KeyState.PENDING_DELETION)
    with pytest.raises(KMSInvalidStateException):
        check_not_pending_deletion(ARN, KeyState.PENDING_DELETION)


@pytest.mark.parametrize("days", [7, 8, DELETION_WINDOW_DAYS])
def test_a_key_waits_a_week_to_a_month(days: int) -> None:
    assert deletion_window(days) == timedelta(days=days)


@pytest.mark.parametrize("days", [6, 31, 0, -7])
def test_other_windows_are_refused(days: int) -> None:
    with pytest.raises(ValidationFailed, match="between 7 and 30"):
        deletion_window(days)


@pytest.mark.parametrize("alias", ["alias/a", "alias/Shop/orders_1-b", "alias/alias/a"])
def test_names_of_aliases(alias: str) -> None:
    check_alias(alias)
    check_alias_of_customer(alias)


@pytest.mark.parametrize("alias", ["a", "alias/", "Alias/a", "alias/a b", "alias/a:b", "alias/ä", "alias/a\n"])
def test_other_names_are_refused(alias: str) -> None:
    with pytest.raises(ValidationFailed):
        check_alias(alias)


def test_names_of_services_are_theirs() -> None:
    check_alias_of_customer("alias/awsome")
    with pytest.raises(NotAuthorizedException):
        check_alias_of_customer("alias/aws/secretsmanager")


@pytest.mark.parametrize(
    ("key_spec", "number_of_bytes", "size"), [("AES_128", None, 16), ("AES_256", None, 32), (None, 1, 1), (None, 9, 9)]
)
def test_a_data_key_is_as_long_as_was_asked(key_spec: str | None, number_of_bytes: int | None, size: int) -> None:
    assert data_key_bytes(key_spec, number_of_bytes) == size


@pytest.mark.parametrize(("key_spec", "number_of_bytes"), [(None, None), ("AES_256", 32)])
def test_a_data_keys_length_is_given_once(key_spec: str | None, number_of_bytes: int | None) -> None:
    with pytest.raises(ValidationFailed):
        data_key_bytes(key_spec, number_of_bytes)


@pytest.mark.parametrize("place", [PLACE, Place("aws-cn", "cn-north-1", "123456789012")])
def test_the_policies_that_keys_begin_with_can_be_read(place: Place) -> None:
    for text in (default_key_policy(place), managed_key_policy(place)):
        parsed = parse_key_policy(text)
        assert {statement.effect for statement in parsed.statements} == {Effect.ALLOW}
    for policy in (default_key_policy(place), managed_key_policy(place)):
        (root,) = [entry for entry in json.loads(policy)["Statement"] if entry["Principal"]["AWS"] == place.root_arn()]
        assert root["Resource"] == "*"
