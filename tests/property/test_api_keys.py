"""Which API keys a rotation revokes: none that is in use, none of somebody else's, and in the end all that is old."""

from __future__ import annotations

from urllib.parse import unquote

from hypothesis import assume, given
from hypothesis import strategies as st

from keyturn.rotators.engines.http_keys.description import Template
from keyturn.rotators.new_key import Inventory, outdated

PREFIX = "keyturn-0123456789ab-"
ids = st.text("abc123", min_size=1, max_size=3)
names = st.sampled_from([f"{PREFIX}1", f"{PREFIX}2", f"{PREFIX}3-ff", "by hand", "keyturn-of-another-1"])
inventories = st.builds(
    Inventory, st.none() | st.dictionaries(ids, names), prefix=st.just(PREFIX), is_own=st.booleans()
)
references = st.frozensets(ids | names, max_size=2)


@given(inventories, references, st.none() | ids | names, st.booleans())
def test_nothing_that_is_kept_or_unknown_is_revoked(
    inventory: Inventory, kept: frozenset[str], previous_id: str | None, known: bool
) -> None:
    found = outdated(inventory, kept=kept, previous_id=previous_id, current_is_known=known)
    assert not kept & set(found)
    if inventory.listed is None:
        assert set(found) <= {previous_id}
        return
    assert set(found) <= set(inventory.listed)
    for key_id in found:
        name = inventory.listed[key_id]
        assert name not in kept
        assert name.startswith(PREFIX) or (inventory.is_own and previous_id in (key_id, name))
        # Whose id is unknown may be any, but not the previous one.
        assert known or previous_id in (key_id, name)


@given(st.dictionaries(ids, names), references)
def test_of_our_own_keys_only_the_kept_ones_are_left(listed: dict[str, str], kept: frozenset[str]) -> None:
    found = outdated(Inventory(listed, PREFIX, is_own=False), kept=kept, previous_id=None, current_is_known=True)
    left = {key_id: name for key_id, name in listed.items() if key_id not in found}
    assert all(kept & {key_id, name} for key_id, name in left.items() if name.startswith(PREFIX))


@given(st.text(min_size=1))
def test_a_blank_of_a_path_is_one_segment_that_says_what_it_was_filled_with(text: str) -> None:
    assume(text.strip("."))
    assume(text.isprintable())
    path = Template("API_LIST", "GET", "/a/{account}/keys?x={id}").filled_path({"account": text, "id": text})
    before, _, query = path.partition("?")
    _, a, account, keys = before.split("/")
    assert (a, unquote(account), keys) == ("a", text, "keys")
    assert unquote(query.removeprefix("x=")) == text
    assert "&" not in query
    assert "#" not in path
    assert path.isascii()
