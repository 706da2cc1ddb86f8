"""The linear matcher of log filters agrees with Python's, and takes its time where Python's takes for ever."""

from __future__ import annotations

import re
import time

from hypothesis import given
from hypothesis import strategies as st

from keyturn.rules.log_regex import LinearRegex

pieces = st.builds(
    str.__add__,
    st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "\\d", "\\w"]),
    st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,}", "{0,2}", "{0}"]),
)
rows = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "^"]),
    st.lists(pieces, min_size=1, max_size=6).map("".join),
    st.sampled_from(["", "$"]),
)


@given(st.lists(rows, min_size=1, max_size=3).map("|".join), st.text("ab1\n", max_size=10))
def test_it_finds_what_pythons_matcher_finds(expression: str, text: str) -> None:
    # Python's "$" also matches before a newline at the end, "\\Z" does not.
    reference = re.compile(expression.replace("$", "\\Z"), re.DOTALL | re.ASCII)
    assert LinearRegex(expression).found_in(text) is bool(reference.search(text))


def test_a_hostile_expression_takes_linear_time() -> None:
    began = time.monotonic()
    assert not LinearRegex(".*a.*" * 100 + "b").found_in("a" * 20_000)
    assert not LinearRegex("a?" * 400 + "b").found_in("a" * 20_000)
    assert time.monotonic() - began < 5
