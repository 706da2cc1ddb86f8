from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keyturn.testing.handlers import HandlerBench, open_bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        yield opened
