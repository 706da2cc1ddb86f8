"""Causes of failed steps: few, and none that a function makes up."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.rotators.engines import base
from keyturn.rules.rotation import StepOutcome
from keyturn.rules.rotation_cause import KNOWN, OTHER, cause_of


@pytest.mark.parametrize(
    ("outcome", "error", "cause"),
    [
        (StepOutcome.SUCCEEDED, None, ""),
        (StepOutcome.TIMEOUT, "Sandbox.Timedout: Task timed out after 3.00 seconds", "timeout"),
        (StepOutcome.THROTTLED, "Rate Exceeded.", "throttled"),
        (StepOutcome.NOT_INVOKED, "Secrets Manager cannot invoke the function", "notInvoked"),
        (StepOutcome.FUNCTION_ERROR, "AuthenticationFailed: no", "AuthenticationFailed"),
        (StepOutcome.FUNCTION_ERROR, "Runtime.ExitError: RequestId: x Error: Runtime exited", "Runtime.ExitError"),
        (StepOutcome.FUNCTION_ERROR, "MyOwnError1234: no", OTHER),
        (StepOutcome.FUNCTION_ERROR, "KeyError", OTHER),
        (StepOutcome.FUNCTION_ERROR, "", OTHER),
        (StepOutcome.FUNCTION_ERROR, None, OTHER),
    ],
)
def test_a_cause(outcome: StepOutcome, error: str | None, cause: str) -> None:
    assert cause_of(outcome, error) == cause


@given(st.sampled_from(StepOutcome), st.none() | st.text() | st.from_regex(r"[A-Za-z.]+: .*"))
def test_there_are_no_others(outcome: StepOutcome, error: str | None) -> None:
    assert cause_of(outcome, error) in {"", "timeout", "throttled", "notInvoked", OTHER, *KNOWN}


def test_the_faults_of_our_own_functions_are_told_apart() -> None:
    faults = {name for name, value in vars(base).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert faults
    assert faults <= KNOWN
