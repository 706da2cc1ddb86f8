"""The sentences of the contract, and the page that lists them."""

from __future__ import annotations

from pathlib import Path

from keyturn.bench.contract import CLAUSES

PAGE = (Path(__file__).parents[3] / "docs" / "function-test.md").read_text()


def test_each_sentence_has_a_name_of_its_own_and_stands_in_the_documentation() -> None:
    assert len({clause.name for clause in CLAUSES}) == len(CLAUSES)
    listed = [line for line in PAGE.splitlines() if line.startswith("| `") and line.count("|") == 3]
    contract = [line for line in listed if any(f"| `{clause.name}` |" in line for clause in CLAUSES)]
    assert contract == [f"| `{clause.name}` | {clause.title} |" for clause in CLAUSES]
