"""The bounded memory."""

from __future__ import annotations

import pytest

from keyturn.kept import Kept


def test_the_least_recently_used_entry_goes_first() -> None:
    kept: Kept[str, int] = Kept(2)
    kept.put("a", 1)
    kept.put("b", 2)
    assert kept.get("a") == 1
    kept.put("c", 3)
    assert (kept.get("a"), kept.get("b"), kept.get("c"), len(kept)) == (1, None, 3, 2)


def test_an_entry_is_replaced_in_place() -> None:
    kept: Kept[str, int] = Kept(2)
    kept.put("a", 1)
    kept.put("a", 2)
    assert (kept.get("a"), len(kept)) == (2, 1)


def test_entries_can_be_forgotten() -> None:
    kept: Kept[str, int] = Kept(3)
    for name in "abc":
        kept.put(name, 1)
    kept.forget("a")
    kept.forget("never there")
    assert (kept.get("a"), len(kept)) == (None, 2)
    kept.clear()
    assert len(kept) == 0


def test_a_memory_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Kept(0)
