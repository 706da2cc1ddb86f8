from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyturn.errors.secretsmanager import InvalidParameterException, InvalidRequestException
from keyturn.rules.deletion import check_alive, check_name_free, deletion_moment, is_over

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "force", "days"), [(None, False, 30), (7, False, 7), (30, False, 30), (None, True, 0)]
)
def test_a_secret_ends_after_its_recovery_window(window: int | None, force: bool, days: int) -> None:
    assert deletion_moment(NOW, window, force=force) == NOW + timedelta(days=days)


@pytest.mark.parametrize(("window", "force"), [(6, False), (31, False), (0, False), (7, True)])
def test_other_windows_are_refused(window: int, force: bool) -> None:
    with pytest.raises(InvalidParameterException):
        deletion_moment(NOW, window, force=force)


def test_a_secret_that_waits_for_its_end_refuses_and_keeps_its_name() -> None:
    check_alive(None)
    check_name_free(None)
    with pytest.raises(InvalidRequestException, match=r"because it was marked for deletion.$"):
        check_alive(NOW)
    with pytest.raises(InvalidRequestException, match=r"already scheduled for deletion.$"):
        check_name_free(NOW)


@pytest.mark.parametrize(
    ("deleted_after", "window", "asked_after", "over"),
    [(0, 7, 6.9, False), (0, 7, 7, True), (0, 7, 8, True), (0, 0, 0, True), (0, 0, -1, True), (0, 7, -1, False)],
)
def test_a_window_is_over_when_it_ends_and_one_of_no_length_by_every_clock(
    deleted_after: float, window: float, asked_after: float, over: bool
) -> None:
    deleted_at = NOW + timedelta(days=deleted_after)
    asked_at = NOW + timedelta(days=asked_after)
    assert is_over(deleted_at, deleted_at + timedelta(days=window), asked_at) is over


def test_a_living_secret_has_no_window() -> None:
    assert not is_over(None, None, NOW)
