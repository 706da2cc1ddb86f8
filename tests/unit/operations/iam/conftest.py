from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyturn.storage import inline_policies
from keyturn.testing.handlers import HandlerBench, open_bench

_EVERYTHING = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        # Tags on something new are asked for by the handler itself, also for a caller who is not asked otherwise.
        with opened.kit.state.write() as transaction:
            inline_policies.put_inline_policy(transaction, opened.caller.arn, "everything", _EVERYTHING)
        yield opened
