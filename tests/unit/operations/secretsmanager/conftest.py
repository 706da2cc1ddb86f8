from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from keyturn.operations.accesses import Accesses
from keyturn.storage import inline_policies
from keyturn.testing.handlers import ALLOW_ALL, HandlerBench, open_bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HandlerBench]:
    """The tests of a module share it; each makes secrets and users of its own."""
    with open_bench(tmp_path_factory.mktemp("bench")) as opened:
        opened.kit = replace(opened.kit, accesses=Accesses())
        # Handlers ask about tags and about policies themselves, also for a caller who is not asked otherwise.
        with opened.kit.state.write() as transaction:
            inline_policies.put_inline_policy(transaction, opened.caller.arn, "everything", ALLOW_ALL)
        yield opened
