from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyturn.errors.secretsmanager import (
    InvalidParameterException,
    InvalidRequestException,
    LimitExceededException,
    ResourceNotFoundException,
)
from keyturn.rules.staging import Staging, abandon_pending, begin_rotation, clean_up, move_label, put_version

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
    filled = put_version(begun.after, "v2", ["AWSPENDING"], NOW + timedelta(seconds=1))
    assert filled.before == filled.after
    finished = move_label(filled.after, "AWSCURRENT", "v2", "v1")
    assert _stages(finished.after) == {"v1": "AWSPREVIOUS", "v2": "AWSCURRENT AWSPENDING"}
    assert finished.abandoned_rotation is None
    assert finished.after.unfinished_rotation is None


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


def test_an_abandoned_version_stays_unless_it_is_to_be_removed() -> None:
    state = _state(v1="AWSCURRENT", v2="AWSPENDING")
    assert _stages(abandon_pending(state, remove_version=False).after) == {"v1": "AWSCURRENT", "v2": ""}
    removed = abandon_pending(state, remove_version=True)
    assert (removed.removed_versions, removed.abandoned_rotation) == (("v2",), "v2")
    both = _state(v1="AWSCURRENT AWSPENDING")
    assert _stages(abandon_pending(both, remove_version=True).after) == {"v1": "AWSCURRENT"}
    assert abandon_pending(removed.after, remove_version=True).after == removed.after


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
        move_label(state, "ONE-MORE", "v1", None)


def test_beyond_a_hundred_versions_the_oldest_deprecated_ones_go_but_none_of_the_last_day() -> None:
    created = {f"v{number:03}": NOW + timedelta(hours=number) for number in range(105)}
    state = Staging(created, {"AWSCURRENT": "v104", "MINE": "v001"})
    late = NOW + timedelta(days=30)
    assert clean_up(state, late).removed_versions == ("v000", "v002", "v003", "v004", "v005")
    assert clean_up(state, NOW + timedelta(hours=26)).removed_versions == ("v000", "v002")
    assert clean_up(_state(v1="AWSCURRENT", v2=""), late).removed_versions == ()
