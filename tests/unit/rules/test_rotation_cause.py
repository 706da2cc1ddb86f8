"""Causes of failed steps as they are counted: few, and none that a function makes up."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.rotators.engines import base
from keyturn.rules.rotation_cause import KNOWN, OTHER, counted_cause


@pytest.mark.parametrize(
    ("cause", "counted"),
    [
        ("timeout", "timeout"),
        ("notInvoked", "notInvoked"),
        ("AuthenticationFailed", "AuthenticationFailed"),
        ("Runtime.ExitError", "Runtime.ExitError"),
        ("PendingFromElsewhere", "PendingFromElsewhere"),
        ("MyOwnError1234", OTHER),
        ("succeeded", OTHER),
        ("", OTHER),
        (None, OTHER),
    ],
)
def test_a_cause(cause: str | None, counted: str) -> None:
    assert counted_cause(cause) == counted


@given(st.none() | st.text() | st.from_regex(r"[A-Za-z.]+"))
def test_there_are_no_others(cause: str | None) -> None:
    assert counted_cause(cause) in {OTHER, *KNOWN}


def test_the_faults_of_our_own_functions_are_told_apart() -> None:
    faults = {name for name, value in vars(base).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert faults
    assert faults <= KNOWN
