"""Handlers of EC2 on a workbench, called by somebody who may do everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keyturn.storage import inline_policies
from keyturn.testing.handlers import ALLOW_ALL, HandlerBench, open_bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        with opened.kit.state.write() as transaction:
            inline_policies.put_inline_policy(transaction, opened.caller.arn, "everything", ALLOW_ALL)
        yield opened
