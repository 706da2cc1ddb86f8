from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from keyturn.rules.audit_anchor import Anchor
from keyturn.rules.audit_chain import ChainKey, Position
from keyturn.sensitive import Sensitive

KEY = ChainKey(Sensitive(b"k" * 32))
ANCHOR = Anchor(Position(12, bytes(range(32))), 7, datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC))


def test_an_anchor_is_written_and_read() -> None:
    assert Anchor.from_text(ANCHOR.to_text(KEY), KEY) == ANCHOR


@pytest.mark.parametrize("member", ["sequence", "link", "generation", "at", "seal"])
def test_an_anchor_that_was_changed_is_refused(member: str) -> None:
    document = json.loads(ANCHOR.to_text(KEY))
    changed = document[member] + 1 if isinstance(document[member], int) else "00" + document[member][2:]
    if changed == document[member]:
        changed = "ff" + document[member][2:]

    with pytest.raises(ValueError, match="not sealed here"):
        Anchor.from_text(json.dumps({**document, member: changed}), KEY)


def test_an_anchor_of_another_key_is_refused() -> None:
    with pytest.raises(ValueError, match="not sealed here"):
        Anchor.from_text(ANCHOR.to_text(KEY), ChainKey(Sensitive(b"f" * 32)))
