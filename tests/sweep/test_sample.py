"""A few points of the sweep, the same ones every time; ``make sweep`` plays them all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 600


@pytest.mark.slow
@pytest.mark.parametrize(
    ("series", "points"),
    [
        ("server-sqlite", ("--sample", "4")),
        ("server-postgresql", ("--sample", "3")),
        ("function", ("--sample", "3")),
        pytest.param("target-killed", ("--sample", "3"), marks=pytest.mark.long),
        pytest.param("one-killed", ("--points", "5"), marks=pytest.mark.long),
        # Halted between the login and the new password.
        pytest.param("one-stopped", ("--points", "20"), marks=pytest.mark.long),
    ],
)
def test_whatever_dies_a_rotation_ends_by_itself_and_the_current_password_logs_in(
    series: str, points: tuple[str, str]
) -> None:
    command = [sys.executable, "-m", "tests.sweep", series, *points]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not reached" not in done.stderr
