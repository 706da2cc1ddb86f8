"""Causes in words."""

from __future__ import annotations

from keyturn.client.rotation_cause import _WORDS, cause_in_words
from keyturn.rules.rotation_cause import KNOWN


def test_a_cause_is_put_into_words_where_it_is_known() -> None:
    assert cause_in_words("notInvoked") == "Secrets Manager could not invoke the function"
    assert cause_in_words("timeout") == "the function ran out of time"


def test_what_a_function_makes_up_stays_as_it_is() -> None:
    assert cause_in_words("TheirOwnError") == "TheirOwnError"


def test_no_words_are_kept_for_what_is_no_cause() -> None:
    assert _WORDS.keys() - KNOWN == {"AllRefused"}
