"""The table of operations in ``docs/compatibility.md`` is the one that its script writes."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / "scripts/generate_operations_table.py"))


def test_the_page_has_the_table_as_it_is_now(capsys: pytest.CaptureFixture[str]) -> None:
    assert (SCRIPT["main"](["--check"]), capsys.readouterr().out) == (0, "")


def test_a_stale_page_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    stale = f"before\n{SCRIPT['BEGIN']}old\n{SCRIPT['END']}after\n"
    monkeypatch.setattr(Path, "read_text", lambda _path: stale)

    assert SCRIPT["main"](["--check"]) == 1
    assert capsys.readouterr().out == "stale: compatibility.md\n"


def test_the_table_has_a_row_for_each_operation_of_the_model() -> None:
    rows = [row for row in SCRIPT["table"]().splitlines() if row.startswith("| ")][1:]

    assert len(rows) == 26
    assert "| GetSecretValue | offered |" in SCRIPT["table"]()
