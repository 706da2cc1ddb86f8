"""What is written for people to read is read by YAML as what it was."""

from __future__ import annotations

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from keyturn.cli.yaml_text import yaml_text

# What a template consists of; no text of it has a control character, which JSON escapes otherwise than YAML reads.
WORDS = st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), max_size=20) | st.sampled_from(
    ["yes", "No", "null", "on", "1.0", "2010-09-09", "a: b", "a:", "Fn::Sub", "- x", "# x", "~", "1e3", "0x1", "12:30"]
)
SCALARS = WORDS | st.integers() | st.booleans()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12
)


@given(st.dictionaries(WORDS, VALUES, min_size=1, max_size=4))
@example({"a": [{"b": [], "c": {}}, [["d"]]]})
@example({"=": "<<", "<<": "="})
def test_a_text_is_read_as_what_it_was(value: dict[str, object]) -> None:
    assert yaml.safe_load(yaml_text(value)) == value
