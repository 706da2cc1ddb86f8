"""How many random histories a state machine plays: few and always the same ones, or as many as asked for."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

VARIABLE = "KEYTURN_TEST_HISTORIES"


def histories(number: int, steps: int) -> settings:
    """Settings of one machine; ``KEYTURN_TEST_HISTORIES=50`` plays fifty times as many, and others every time."""
    factor = int(os.environ.get(VARIABLE, "1"))
    return settings(
        max_examples=number * factor,
        stateful_step_count=steps,
        derandomize=factor == 1,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        phases=[Phase.generate, Phase.shrink],
    )
