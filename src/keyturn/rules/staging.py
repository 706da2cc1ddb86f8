"""Which version holds which staging label, and what a change does to the others.

The rules, numbered as in the comments below:

1. A label sits on at most one version; attaching it elsewhere takes it off.
2. The first value of a secret gets AWSCURRENT, whatever labels it was put with.
3. When AWSCURRENT moves, AWSPREVIOUS moves to the version it left, and AWSPENDING is taken off that version.
4. A new value with AWSCURRENT ends an unfinished rotation: AWSPENDING is dropped wherever it sits.
5. Moving AWSCURRENT onto the AWSPENDING version leaves both labels there.
6. AWSCURRENT can be moved, never removed, and never to a version without a value. Custom labels stay where they are.
7. A version without labels is deprecated. When a secret has more than 100 versions, the oldest deprecated ones go,
   but none that is younger than 24 hours.
8. A version without a value exists for its labels: it ends with the last of them.
9. All versions together carry 20 labels. What counts is what callers attach: AWSPREVIOUS and AWSPENDING that the
   service attaches by itself are never refused, so that a secret full of labels can still be rotated.

Values, clocks and rows are not known here: every function returns a :class:`Change` whose difference storage writes.

Source: Secrets Manager API Reference, PutSecretValue and UpdateSecretVersionStage; User Guide, "What's in a secret";
recorded by localstack 2022-09 to 2025-03 (test_update_secret_version_stages_*) and by moto.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from keyturn.errors.secretsmanager import (
    InvalidParameterException,
    InvalidRequestException,
    LimitExceededException,
    ResourceNotFoundException,
)

AWSCURRENT = "AWSCURRENT"
AWSPREVIOUS = "AWSPREVIOUS"
AWSPENDING = "AWSPENDING"

LABEL_LIMIT = 20
VERSION_LIMIT = 100
MINIMUM_AGE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Staging:
    """The versions of one secret and their labels.

    Attributes:
        created_at: Version id to the moment of its creation; deprecated versions may be left out where nobody asks
            for them.
        labels: Staging label to version id; every version named here is in ``created_at``.
        without_value: Versions that a rotation has yet to fill. One without labels is but the token of a CreateSecret
            that brought no value; nobody ever sees it.
    """

    created_at: Mapping[str, datetime]
    labels: Mapping[str, str]
    without_value: frozenset[str] = frozenset()

    def stages_of(self, version_id: str) -> tuple[str, ...]:
        """Labels of one version, sorted."""
        return tuple(sorted(label for label, holder in self.labels.items() if holder == version_id))

    def is_visible(self, version_id: str) -> bool:
        """Whether callers can know of this version."""
        return version_id in self.created_at and (
            version_id not in self.without_value or version_id in self.labels.values()
        )

    @property
    def unfinished_rotation(self) -> str | None:
        """The version that a rotation has yet to finish: it holds AWSPENDING and is not current."""
        pending = self.labels.get(AWSPENDING)
        return None if pending == self.labels.get(AWSCURRENT) else pending


@dataclass(frozen=True, slots=True)
class Change:
    """Two states; the difference is what storage writes."""

    before: Staging
    after: Staging

    @property
    def moved_labels(self) -> dict[str, str | None]:
        """Labels that changed, with their new version; None for a label that is gone."""
        before, after = self.before.labels, self.after.labels
        return {
            label: after.get(label) for label in before.keys() | after.keys() if before.get(label) != after.get(label)
        }

    @property
    def added_versions(self) -> tuple[str, ...]:
        """Ids of new versions."""
        return tuple(self.after.created_at.keys() - self.before.created_at.keys())

    @property
    def removed_versions(self) -> tuple[str, ...]:
        """Ids of versions that are gone, oldest first."""
        removed = self.before.created_at.keys() - self.after.created_at.keys()
        return tuple(sorted(removed, key=lambda version_id: (self.before.created_at[version_id], version_id)))

    @property
    def abandoned_rotation(self) -> str | None:
        """The version of the unfinished rotation that this change ended without making it current, if any."""
        pending = self.before.unfinished_rotation
        if pending is None or self.after.labels.get(AWSPENDING) == pending:
            return None
        return None if self.after.labels.get(AWSCURRENT) == pending else pending


def put_version(
    state: Staging, version_id: str, stages: Collection[str] | None, at: datetime, *, label_limit: int = LABEL_LIMIT
) -> Change:
    """Add a version with its value, or put the value into the version that a rotation made ready.

    Args:
        state: Before.
        version_id: The ClientRequestToken.
        stages: Labels the caller asks for; None means AWSCURRENT.
        at: When; a version is as old as its value.
        label_limit: How many labels all versions may carry together.

    Raises:
        LimitExceededException: They would carry more.
    """
    wanted = set(stages) if stages else {AWSCURRENT}
    if AWSCURRENT not in state.labels:
        wanted.add(AWSCURRENT)  # Rule 2.
    labels = dict(state.labels)
    if AWSCURRENT in wanted:
        labels.pop(AWSPENDING, None)  # Rule 4.
    for stage in wanted - {AWSCURRENT}:
        labels[stage] = version_id  # Rule 1.
    if AWSCURRENT in wanted:
        _make_current(labels, version_id)
    _check_quota(state.labels, labels, wanted, label_limit)
    created_at = {**state.created_at, version_id: at}
    return _change(state, Staging(created_at, labels, state.without_value - {version_id}))


def move_label(
    state: Staging, stage: str, move_to: str | None, remove_from: str | None, *, label_limit: int = LABEL_LIMIT
) -> Change:
    """Attach a label, move it, or take it off.

    Args:
        state: Before, with deprecated versions, as they may get a label back.
        stage: The label.
        move_to: The version that gets it; None to take it off.
        remove_from: The version that has it; None if no version has it.
        label_limit: How many labels all versions may carry together.

    Raises:
        InvalidParameterException: ``remove_from`` is not the version that has the label, or AWSCURRENT would vanish.
        ResourceNotFoundException: No such version, or it has no value and would become current.
        LimitExceededException: The versions would carry more labels than they may.
    """
    if move_to is None and remove_from is None:
        raise InvalidParameterException("You must provide MoveToVersionId, RemoveFromVersionId, or both.")
    for version_id in (move_to, remove_from):
        if version_id is not None and not state.is_visible(version_id):
            raise _no_version(version_id)
    holder = state.labels.get(stage)
    if remove_from is not None and remove_from != holder:
        raise InvalidParameterException(
            f"When you move staging label {stage}, if you specify RemoveFromVersionId, it must be set to the version"
            f" that currently has the staging label {stage}."
        )
    labels = dict(state.labels)
    if move_to is None:
        if stage == AWSCURRENT:
            raise InvalidParameterException(  # Rule 6.
                "You can only move staging label AWSCURRENT to a different secret version."
                " It can’t be completely removed."
            )
        del labels[stage]
    elif move_to == holder:
        return Change(state, state)
    else:
        if holder is not None and remove_from is None:
            raise InvalidParameterException(
                f"The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to"
                f" version {holder}, so you must explicitly reference that version in RemoveFromVersionId."
            )
        if stage == AWSCURRENT:
            if move_to in state.without_value:
                raise _no_version(move_to)  # Rule 6: applications would find nothing to read.
            _make_current(labels, move_to)
        else:
            labels[stage] = move_to  # Rule 1.
    _check_quota(state.labels, labels, {stage}, label_limit)
    return _change(state, Staging(state.created_at, labels, state.without_value))


def begin_rotation(state: Staging, token: str, at: datetime) -> Change:
    """Label the version that a rotation is going to fill AWSPENDING.

    Beginning again with the token of the rotation under way changes nothing.

    Raises:
        InvalidRequestException: Another rotation has not been finished.
    """
    unfinished = state.unfinished_rotation
    if unfinished is not None and unfinished != token:
        raise previous_not_complete()
    is_new = token not in state.created_at
    without_value = state.without_value | {token} if is_new else state.without_value
    created_at = {token: at, **state.created_at}
    return _change(state, Staging(created_at, {**state.labels, AWSPENDING: token}, without_value))


def previous_not_complete() -> InvalidRequestException:
    """Return the refusal of a rotation before the one before it has ended."""
    return InvalidRequestException("A previous rotation isn't complete. That rotation will be reattempted.")


def end_test(state: Staging, version_id: str) -> Change:
    """Remove the version that a test of the rotation function worked with, unless somebody gave it another label."""
    labels = {label: holder for label, holder in state.labels.items() if (label, holder) != (AWSPENDING, version_id)}
    if version_id in labels.values():
        return _change(state, Staging(state.created_at, labels, state.without_value))
    created_at = _without(state.created_at, [version_id])
    return Change(state, Staging(created_at, labels, state.without_value - {version_id}))


def clean_up(state: Staging, now: datetime, *, version_limit: int = VERSION_LIMIT) -> Change:
    """Remove the oldest deprecated versions while there are too many versions (rule 7).

    Args:
        state: Before, with all deprecated versions.
        now: Aware UTC.
        version_limit: How many versions a secret keeps.
    """
    labelled = set(state.labels.values())
    visible = [version_id for version_id in state.created_at if state.is_visible(version_id)]
    excess = len(visible) - version_limit
    if excess <= 0:
        return Change(state, state)
    old_enough = sorted(
        (state.created_at[version_id], version_id)
        for version_id in visible
        if version_id not in labelled and now - state.created_at[version_id] >= MINIMUM_AGE
    )
    created_at = _without(state.created_at, [version_id for _, version_id in old_enough[:excess]])
    return Change(state, Staging(created_at, state.labels, state.without_value))


def _make_current(labels: dict[str, str], version_id: str) -> None:
    left = labels.get(AWSCURRENT)
    labels[AWSCURRENT] = version_id
    if left is None or left == version_id:
        return
    labels[AWSPREVIOUS] = left  # Rule 3.
    if labels.get(AWSPENDING) == left:
        del labels[AWSPENDING]


def _change(before: Staging, after: Staging) -> Change:
    """Take out what has lost its last label and never had a value (rule 8)."""
    lost = set(before.labels.values()) - set(after.labels.values())
    gone = after.without_value & lost
    if gone:
        after = Staging(_without(after.created_at, gone), after.labels, after.without_value - gone)
    return Change(before, after)


def _check_quota(before: Mapping[str, str], after: Mapping[str, str], asked: Collection[str], limit: int) -> None:
    if len(after) > limit and any(label not in before for label in asked):  # Rule 9.
        raise LimitExceededException(f"A secret can't have more than {limit} staging labels.")


def _no_version(version_id: str) -> ResourceNotFoundException:
    return ResourceNotFoundException(
        f"Secrets Manager can't find the specified secret value for VersionId: {version_id}"
    )


def _without(created_at: Mapping[str, datetime], version_ids: Iterable[str]) -> dict[str, datetime]:
    gone = set(version_ids)
    return {version_id: moment for version_id, moment in created_at.items() if version_id not in gone}
