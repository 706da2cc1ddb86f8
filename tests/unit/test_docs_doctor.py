"""The doctor's pages are those that their script writes from the catalogue."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / "scripts/generate_doctor_pages.py"))


def test_the_pages_are_as_the_catalogue_is_now(capsys: pytest.CaptureFixture[str]) -> None:
    assert (SCRIPT["main"](["--check"]), capsys.readouterr().out) == (0, "")


def test_a_stale_page_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    texts = SCRIPT["pages"]()
    monkeypatch.setattr(Path, "read_text", lambda path: "old" if path.name == "pending-stuck.md" else texts[path.name])

    assert SCRIPT["main"](["--check"]) == 1
    assert capsys.readouterr().out == "stale: pending-stuck.md\n"


def test_the_index_leads_to_every_page() -> None:
    pages = SCRIPT["pages"]()

    assert all(f"]({name})" in pages["README.md"] for name in pages if name != "README.md")
