"""What the fuzzer has found, and the inputs it begins with, go through the same targets in every run of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
INPUTS = [path for path in sorted(CORPUS.rglob("*")) if path.is_file()]
LARGEST, MOST = 4096, 100


@pytest.mark.parametrize("path", INPUTS, ids=[str(path.relative_to(CORPUS)) for path in INPUTS])
def test_an_input_of_the_corpus_breaks_nothing(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


def test_every_target_has_a_small_corpus() -> None:
    sizes = {name: [path.stat().st_size for path in (CORPUS / name).iterdir()] for name in TARGETS}

    assert {path.name for path in CORPUS.iterdir()} == TARGETS.keys()
    assert all(5 <= len(each) <= MOST and max(each) <= LARGEST for each in sizes.values()), sizes


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("data", [b"", b"\0", b"\xff", b"\xff" * 300, b"\0" * 300, bytes(range(256))])
def test_a_target_takes_any_octets(name: str, data: bytes) -> None:
    TARGETS[name](data)
