from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyturn.errors.secretsmanager import (
    InvalidParameterException,
    InvalidRequestException,
    LimitExceededException,
    ResourceNotFoundException,
)
from keyturn.rules.staging import Staging, begin_rotation, clean_up, end_test, move_label, put_version

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EMPTY = Staging({}, {})


def _state(**stages: str) -> Staging:
    """Build a state from version id to its labels, separated by blanks."""
    labels = {label: version_id for version_id, names in stages.items() for label in names.split()}
    return Staging(dict.fromkeys(stages, NOW), labels)


def _stages(state: Staging) -> dict[str, str]:
    return {version_id: " ".join(state.stages_of(version_id)) for version_id in state.created_at}


def test_the_first_value_becomes_current_whatever_it_was_put_as() -> None:
    assert _stages(put_version(EMPTY, "v1", ["MINE"], NOW).after) == {"v1": "AWSCURRENT MINE"}
    assert _stages(put_version(EMPTY, "v1", None, NOW).after) == {"v1": "AWSCURRENT"}


def test_awsprevious_follows_awscurrent() -> None:
    change = put_version(_state(v1="AWSPREVIOUS", v2="AWSCURRENT"), "v3", None, NOW)
    assert _stages(change.after) == {"v1": "", "v2": "AWSPREVIOUS", "v3": "AWSCURRENT"}
    assert change.moved_labels == {"AWSPREVIOUS": "v2", "AWSCURRENT": "v3"}
    assert change.added_versions == ("v3",)
    assert change.removed_versions == ()


def test_a_put_without_awscurrent_leaves_it_alone() -> None:
    change = put_version(_state(v1="AWSCURRENT"), "v2", ["AWSPENDING"], NOW)
    assert _stages(change.after) == {"v1": "AWSCURRENT", "v2": "AWSPENDING"}


def test_a_new_current_value_strips_awspending_from_the_version_that_was_current() -> None:
    change = put_version(_state(v1="AWSPREVIOUS", v2="AWSCURRENT AWSPENDING"), "v3", None, NOW)
    assert _stages(change.after) == {"v1": "", "v2": "AWSPREVIOUS", "v3": "AWSCURRENT"}
    assert change.abandoned_rotation is None


def test_a_new_current_value_ends_an_unfinished_rotation() -> None:
    change = put_version(_state(v1="AWSCURRENT", v2="AWSPENDING"), "v3", None, NOW)
    assert _stages(change.after) == {"v1": "AWSPREVIOUS", "v2": "", "v3": "AWSCURRENT"}
    assert change.abandoned_rotation == "v2"


def test_a_put_as_awspending_takes_the_label_off_the_current_version() -> None:
    change = put_version(_state(v1="AWSCURRENT AWSPENDING"), "v2", ["AWSPENDING"], NOW)
    assert _stages(change.after) == {"v1": "AWSCURRENT", "v2": "AWSPENDING"}


def test_custom_labels_stay_when_awscurrent_moves_on() -> None:
    change = put_version(_state(v1="AWSCURRENT MINE AWSSOMETHING"), "v2", None, NOW)
    assert _stages(change.after) == {"v1": "AWSPREVIOUS AWSSOMETHING MINE", "v2": "AWSCURRENT"}


def test_a_rotation_fills_the_version_it_labelled_before() -> None:
    begun = begin_rotation(_state(v1="AWSCURRENT"), "v2", NOW)
    assert _stages(begun.after) == {"v1": "AWSCURRENT", "v2": "AWSPENDING"}
    assert begun.after.without_value == {"v2"}
    filled = put_version(begun.after, "v2", ["AWSPENDING"], NOW + timedelta(seconds=1))
    assert (filled.moved_labels, filled.added_versions, filled.removed_versions) == ({}, (), ())
    # It is as old as its value.
    assert filled.after.created_at["v2"] == NOW + timedelta(seconds=1)
    assert filled.after.without_value == frozenset()
    finished = move_label(filled.after, "AWSCURRENT", "v2", "v1")
    assert _stages(finished.after) == {"v1": "AWSPREVIOUS", "v2": "AWSCURRENT AWSPENDING"}
    assert finished.abandoned_rotation is None
    assert finished.after.unfinished_rotation is None


def test_a_value_put_as_current_into_the_pending_version_finishes_it() -> None:
    begun = begin_rotation(_state(v1="AWSCURRENT"), "v2", NOW)
    change = put_version(begun.after, "v2", None, NOW)
    assert _stages(change.after) == {"v1": "AWSPREVIOUS", "v2": "AWSCURRENT"}
    assert change.abandoned_rotation is None


@pytest.mark.parametrize("stages", [["AWSCURRENT"], ["AWSPENDING"]])
def test_a_version_without_a_value_ends_with_its_last_label(stages: list[str]) -> None:
    begun = begin_rotation(_state(v1="AWSCURRENT"), "v2", NOW).after
    by_put = put_version(begun, "v3", stages, NOW)
    assert (by_put.removed_versions, by_put.abandoned_rotation) == (("v2",), "v2")
    by_hand = move_label(begun, "AWSPENDING", None, "v2")
    assert _stages(by_hand.after) == {"v1": "AWSCURRENT"}
    assert (by_hand.removed_versions, by_hand.abandoned_rotation) == (("v2",), "v2")
    labelled = move_label(begun, "MINE", "v2", None).after
    assert _stages(move_label(labelled, "AWSPENDING", None, "v2").after) == {"v1": "AWSCURRENT", "v2": "MINE"}


def test_a_version_without_a_value_does_not_become_current() -> None:
    begun = begin_rotation(_state(v1="AWSCURRENT"), "v2", NOW).after
    with pytest.raises(ResourceNotFoundException, match=r"secret value for VersionId: v2$"):
        move_label(begun, "AWSCURRENT", "v2", "v1")


def test_the_token_of_an_empty_secret_is_no_version_until_it_gets_a_value() -> None:
    state = Staging({"v1": NOW}, {}, frozenset({"v1"}))
    assert not state.is_visible("v1")
    with pytest.raises(ResourceNotFoundException):
        move_label(state, "MINE", "v1", None)
    first = put_version(state, "v2", None, NOW)
    # It stays known, as nobody has taken a label off it.
    assert first.removed_versions == ()
    assert _stages(put_version(first.after, "v1", ["MINE"], NOW).after) == {"v1": "MINE", "v2": "AWSCURRENT"}


def test_a_second_rotation_waits_for_the_first_and_the_same_token_begins_it_once() -> None:
    state = _state(v1="AWSCURRENT", v2="AWSPENDING")
    with pytest.raises(
        InvalidRequestException, match=r"^A previous rotation isn't complete. That rotation will be rea"
    ):
        begin_rotation(state, "v3", NOW)
    again = begin_rotation(state, "v2", NOW + timedelta(days=1))
    assert again.before == again.after


def test_a_rotation_may_begin_while_the_current_version_still_holds_awspending() -> None:
    change = begin_rotation(_state(v1="AWSCURRENT AWSPENDING"), "v2", NOW)
    assert _stages(change.after) == {"v1": "AWSCURRENT", "v2": "AWSPENDING"}


def test_a_tested_version_is_removed_unless_it_got_another_label() -> None:
    removed = end_test(_state(v1="AWSCURRENT", v2="AWSPENDING"), "v2")
    assert _stages(removed.after) == {"v1": "AWSCURRENT"}
    assert (removed.removed_versions, removed.abandoned_rotation) == (("v2",), "v2")
    assert _stages(end_test(_state(v1="AWSPREVIOUS", v2="AWSCURRENT AWSPENDING"), "v2").after) == {
        "v1": "AWSPREVIOUS",
        "v2": "AWSCURRENT",
    }
    assert _stages(end_test(_state(v1="AWSCURRENT", v2="", v3="AWSPENDING"), "v2").after) == {
        "v1": "AWSCURRENT",
        "v3": "AWSPENDING",
    }
    assert end_test(removed.after, "v2").after == removed.after


def test_moving_awscurrent_back_takes_awspending_off() -> None:
    change = move_label(_state(v1="AWSPREVIOUS", v2="AWSCURRENT AWSPENDING"), "AWSCURRENT", "v1", "v2")
    assert _stages(change.after) == {"v1": "AWSCURRENT", "v2": "AWSPREVIOUS"}


def test_a_label_comes_and_goes() -> None:
    attached = move_label(_state(v1="AWSCURRENT", v2=""), "MINE", "v2", None)
    assert _stages(attached.after) == {"v1": "AWSCURRENT", "v2": "MINE"}
    assert move_label(attached.after, "MINE", "v2", None).moved_labels == {}
    assert move_label(attached.after, "MINE", None, "v2").moved_labels == {"MINE": None}


@pytest.mark.parametrize(
    ("stage", "move_to", "remove_from", "message"),
    [
        (
            "AWSCURRENT",
            "v2",
            None,
            (
                "The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to"
                " version v1, so you must explicitly reference that version in RemoveFromVersionId."
            ),
        ),
        (
            "AWSCURRENT",
            None,
            "v1",
            (
                "You can only move staging label AWSCURRENT to a different secret version."
                " It can’t be completely removed."
            ),
        ),
        (
            "AWSCURRENT",
            "v2",
            "v2",
            (
                "When you move staging label AWSCURRENT, if you specify RemoveFromVersionId, it must be set to the"
                " version that currently has the staging label AWSCURRENT."
            ),
        ),
        ("MINE", None, None, "You must provide MoveToVersionId, RemoveFromVersionId, or both."),
    ],
)
def test_a_wrong_move_is_refused(stage: str, move_to: str | None, remove_from: str | None, message: str) -> None:
    with pytest.raises(InvalidParameterException) as caught:
        move_label(_state(v1="AWSCURRENT", v2="AWSPREVIOUS"), stage, move_to, remove_from)
    assert caught.value.message == message


def test_a_label_does_not_move_to_a_version_that_is_not_there() -> None:
    with pytest.raises(ResourceNotFoundException):
        move_label(_state(v1="AWSCURRENT"), "MINE", "v9", None)


def test_all_versions_together_carry_twenty_labels_at_most() -> None:
    state = put_version(EMPTY, "v1", [f"L{number}" for number in range(19)], NOW).after
    with pytest.raises(LimitExceededException):
        put_version(state, "v2", ["ONE-MORE"], NOW)
    with pytest.raises(LimitExceededException):
        put_version(EMPTY, "v1", [f"L{number}" for number in range(20)], NOW)
    with pytest.raises(LimitExceededException):
        move_label(state, "ONE-MORE", "v1", None)
    assert put_version(state, "v2", ["L7"], NOW).after.labels["L7"] == "v2"


def test_a_secret_full_of_labels_can_still_be_changed_and_rotated() -> None:
    full = put_version(EMPTY, "v1", [f"L{number}" for number in range(19)], NOW).after
    changed = put_version(full, "v2", None, NOW).after
    assert changed.labels["AWSPREVIOUS"] == "v1"
    begun = begin_rotation(full, "v2", NOW).after
    filled = put_version(begun, "v2", ["AWSPENDING"], NOW).after
    assert move_label(filled, "AWSCURRENT", "v2", "v1").after.labels["AWSPREVIOUS"] == "v1"


def test_limits_can_be_others() -> None:
    state = _state(v1="AWSPREVIOUS", v2="AWSCURRENT", v3="")
    with pytest.raises(LimitExceededException, match="more than 2 staging labels"):
        put_version(state, "v4", ["MINE"], NOW, label_limit=2)
    with pytest.raises(LimitExceededException, match="more than 2 staging labels"):
        move_label(state, "MINE", "v1", None, label_limit=2)
    assert clean_up(state, NOW + timedelta(days=1), version_limit=2).removed_versions == ("v3",)


def test_beyond_a_hundred_versions_the_oldest_deprecated_ones_go_but_none_of_the_last_day() -> None:
    created = {f"v{number:03}": NOW + timedelta(hours=number) for number in range(105)}
    state = Staging(created, {"AWSCURRENT": "v104", "MINE": "v001"})
    late = NOW + timedelta(days=30)
    assert clean_up(state, late).removed_versions == ("v000", "v002", "v003", "v004", "v005")
    assert clean_up(state, NOW + timedelta(hours=26)).removed_versions == ("v000", "v002")
    assert clean_up(_state(v1="AWSCURRENT", v2=""), late).removed_versions == ()


def test_a_token_without_a_value_is_no_version_to_be_counted_or_cleaned_up() -> None:
    created = {f"v{number:03}": NOW for number in range(101)}
    state = Staging(created, {"AWSCURRENT": "v100"}, frozenset({"v000"}))
    assert clean_up(state, NOW + timedelta(days=2)).removed_versions == ()
