from __future__ import annotations

from datetime import UTC, datetime
from itertools import product

import pytest

from keyturn.rules.repair import Answers, Repair, in_words, read_words, repair_of, settled
from keyturn.rules.staging import AWSCURRENT, AWSPENDING, AWSPREVIOUS, Staging

LABELS = {AWSCURRENT: "c", AWSPREVIOUS: "p", AWSPENDING: "n"}
ALL = frozenset("cpn")
AT = datetime(2026, 1, 1, tzinfo=UTC)


def said(**answers: bool) -> Answers:
    """What the database says to each version: True if it accepts it."""
    return Answers(
        frozenset(name for name, yes in answers.items() if yes),
        frozenset(name for name, yes in answers.items() if not yes),
    )


@pytest.mark.parametrize(
    ("answers", "repair"),
    [
        (said(n=True), Repair.FORWARD),
        # Alternating users: both log in.
        (said(n=True, c=True, p=True), Repair.FORWARD),
        (said(n=False, c=True), Repair.BACK),
        (said(n=False, c=False, p=True), Repair.REVERT),
        (said(n=False, c=False, p=False), Repair.ALL_REFUSED),
        (said(), Repair.UNKNOWN),
        (said(c=True), Repair.UNKNOWN),
        (said(n=False), Repair.UNKNOWN),
        (said(n=False, p=True), Repair.UNKNOWN),
        (said(n=False, c=False), Repair.UNKNOWN),
    ],
)
def test_what_the_database_accepts_decides(answers: Answers, repair: Repair) -> None:
    assert repair_of(LABELS, ALL, answers) is repair


def test_a_pending_version_without_value_is_none_that_the_database_has() -> None:
    assert repair_of(LABELS, frozenset("cp"), said(c=True)) is Repair.BACK
    assert repair_of(LABELS, frozenset("cp"), said(c=False, p=True)) is Repair.REVERT


def test_without_a_pending_version_there_may_be_nothing_to_do() -> None:
    for labels in ({AWSCURRENT: "c"}, {AWSCURRENT: "c", AWSPENDING: "c"}):
        assert repair_of(labels, ALL, said(c=True)) is Repair.NONE_NEEDED
        assert repair_of(labels, ALL, said(c=False)) is Repair.ALL_REFUSED
        assert repair_of(labels, ALL, said()) is Repair.UNKNOWN


def test_what_the_database_said_is_told_by_label() -> None:
    answers = Answers(frozenset("c"), frozenset("n"))
    assert in_words(LABELS, ALL, answers) == "pending refused, current accepted, previous no answer"
    assert in_words(LABELS, frozenset("cp"), answers) == "current accepted, previous no answer"
    assert in_words({AWSCURRENT: "c", AWSPENDING: "c"}, ALL, answers) == "current accepted"
    assert read_words(in_words(LABELS, ALL, answers)) == {
        AWSPENDING: "refused", AWSCURRENT: "accepted", AWSPREVIOUS: "no answer"
    }  # fmt: skip
    lost = Answers(frozenset("l"), frozenset("cpn"))
    assert in_words(LABELS, ALL | {"l"}, lost) == "unlabelled accepted"
    assert read_words("unlabelled accepted") == {"unlabelled": "accepted"}
    # It has a column's room.
    nothing = in_words(LABELS, ALL, Answers())
    assert len(nothing) <= 64


def test_what_is_settled_leaves_the_label_on_a_version_that_logs_in_and_nothing_pending_beside_it() -> None:
    state = Staging(dict.fromkeys(ALL, AT), LABELS)
    for pending, current, previous in product((True, False, None), repeat=3):
        answered = {"n": pending, "c": current, "p": previous}
        answers = said(**{name: yes for name, yes in answered.items() if yes is not None})

        after = settled(state, repair_of(LABELS, ALL, answers), answers).after

        if after.labels == LABELS:
            continue
        assert after.labels[AWSCURRENT] in answers.accepted
        assert after.unfinished_rotation is None
        assert after.created_at == state.created_at
        assert after.labels[AWSPREVIOUS] == ("p" if after.labels[AWSCURRENT] == "c" else "c")


def test_a_version_that_was_rotated_to_and_is_refused_since_gives_both_of_its_labels_up() -> None:
    # AWSPENDING stays on the version that a rotation has made current.
    labels = {AWSCURRENT: "c", AWSPENDING: "c", AWSPREVIOUS: "p"}
    state = Staging(dict.fromkeys("cp", AT), labels)

    answers = said(c=False, p=True)
    after = settled(state, repair_of(labels, frozenset("cp"), answers), answers).after

    assert after.labels == {AWSCURRENT: "p", AWSPREVIOUS: "c"}


def test_a_version_that_lost_its_label_is_found_again_if_all_others_are_refused() -> None:
    state = Staging(dict.fromkeys("cpnl", AT), LABELS)
    answers = said(n=False, c=False, p=False, l=True)

    assert repair_of(LABELS, ALL | {"l"}, answers) is Repair.RECOVER
    assert settled(state, Repair.RECOVER, answers).after.labels == {AWSCURRENT: "l", AWSPREVIOUS: "c"}
    assert repair_of(LABELS, ALL, answers) is Repair.ALL_REFUSED, "its value is gone"
    assert repair_of(LABELS, ALL | {"l"}, said(n=False, c=True, l=True)) is Repair.BACK
