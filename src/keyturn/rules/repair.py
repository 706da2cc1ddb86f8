"""What a database's own answer means for the labels of a secret: roll forward, roll back, or ask again.

A rotation can stop between the database and the secret: the database has the new password and AWSCURRENT is on the old
version, or somebody has changed either by hand. Which stored version is true is then never guessed but asked of the
database: the rotation function tries to log in with the versions labelled AWSPENDING, AWSCURRENT and AWSPREVIOUS, and
if it refuses those with the newest that rotations have left without a label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from keyturn.rules.staging import AWSCURRENT, AWSPENDING, AWSPREVIOUS, Change, Staging, move_label

_UNLABELLED = "unlabelled"
_NAMES = {"pending": AWSPENDING, "current": AWSCURRENT, "previous": AWSPREVIOUS}


class Repair(StrEnum):
    """What brings the labels in line with the database."""

    # The database accepts the pending version: it becomes current.
    FORWARD = "forward"
    # It accepts the current version and not the pending one: AWSPENDING is taken off, for a rotation to begin afresh.
    BACK = "back"
    # It accepts the previous version only: that becomes current again.
    REVERT = "revert"
    # It refuses these, and accepts one that somebody has taken the label off: that becomes current.
    RECOVER = "recover"
    # It accepts the current version, and nothing is pending.
    NONE_NEEDED = "noneNeeded"
    # It refuses all of them: no label helps, somebody has to set a password.
    ALL_REFUSED = "allRefused"
    # It could not be asked, or did not tell.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answers:
    """What the database said to each version that it was asked about; of any other nothing is known.

    Attributes:
        accepted: Version ids that log in.
        refused: Version ids whose user or password it refuses.
        is_partial: Whether some could not be asked about.
    """

    accepted: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    is_partial: bool = False


def repair_of(labels: Mapping[str, str], with_value: frozenset[str], answers: Answers) -> Repair:
    """Return what is to be done about a secret's labels.

    Args:
        labels: Staging label to version id, as stored now.
        with_value: Versions that have a value, labelled or not; one without cannot be what the database has.
        answers: What the database said.
    """
    current, previous, pending = labels.get(AWSCURRENT), labels.get(AWSPREVIOUS), labels.get(AWSPENDING)
    if pending == current:
        pending = None
    lost = _lost_version(labels, answers)
    if pending in with_value and pending in answers.accepted:
        return Repair.FORWARD
    if lost in with_value and current in answers.refused:
        return Repair.RECOVER
    if pending in with_value and pending not in answers.refused:
        return Repair.UNKNOWN
    if current in answers.accepted:
        return Repair.NONE_NEEDED if pending is None else Repair.BACK
    if current not in answers.refused:
        return Repair.UNKNOWN
    if previous in with_value and previous in answers.accepted:
        return Repair.REVERT
    if previous in with_value and previous not in answers.refused:
        return Repair.UNKNOWN
    unasked = with_value.difference(_labelled(labels), answers.refused)
    return Repair.UNKNOWN if answers.is_partial and unasked else Repair.ALL_REFUSED


def _lost_version(labels: Mapping[str, str], answers: Answers) -> str | None:
    """Return the version without a label of AWS's that the database accepts; the function stops at the first."""
    return min(answers.accepted.difference(_labelled(labels)), default=None)


def _labelled(labels: Mapping[str, str]) -> set[str]:
    return {version_id for label, version_id in labels.items() if label in _NAMES.values()}


def in_words(labels: Mapping[str, str], with_value: frozenset[str], answers: Answers) -> str:
    """Return what the database said to each labelled version, by its label: ``pending refused, current accepted``.

    ``unlabelled accepted`` if it refuses all of these, and accepts one that has lost its label.
    """
    if repair_of(labels, with_value, answers) is Repair.RECOVER:
        return f"{_UNLABELLED} accepted"
    said: dict[str, str] = {}
    for name, label in _NAMES.items():
        version_id = labels.get(label)
        if version_id not in with_value or (label == AWSPENDING and version_id == labels.get(AWSCURRENT)):
            continue
        is_accepted, is_refused = version_id in answers.accepted, version_id in answers.refused
        said[name] = "accepted" if is_accepted else "refused" if is_refused else "no answer"
    return ", ".join(f"{name} {answer}" for name, answer in said.items())


def read_words(said: str) -> dict[str, str]:
    """Return the answers that :func:`in_words` has told, by staging label."""
    parts = (part.partition(" ") for part in said.split(", "))
    return {_NAMES.get(name, name): answer for name, _, answer in parts if name in (*_NAMES, _UNLABELLED)}


def settled(state: Staging, repair: Repair, answers: Answers) -> Change:
    """Bring the labels in line with what the database accepts.

    Args:
        state: Before.
        repair: What :func:`repair_of` says of these labels.
        answers: What the database said.
    """
    after = state
    target = {
        Repair.FORWARD: state.labels.get(AWSPENDING),
        Repair.REVERT: state.labels.get(AWSPREVIOUS),
        Repair.RECOVER: _lost_version(state.labels, answers),
    }.get(repair)
    if target is not None:
        after = move_label(after, AWSCURRENT, target, state.labels.get(AWSCURRENT)).after
    # A version that AWSCURRENT has left has lost AWSPENDING with it.
    pending = after.labels.get(AWSPENDING)
    if repair in (Repair.BACK, Repair.REVERT, Repair.RECOVER) and pending is not None:
        after = move_label(after, AWSPENDING, None, pending).after
    return Change(state, after)
