"""Names and texts in Transact-SQL: whatever they hold, they end where they are meant to."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from keyturn.rotators.engines.tds.principals import inside, literal, quoted

TEXTS = st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF)).filter(
    lambda text: "\\\n" not in text and "\\\r\n" not in text
)


def read_literal(sql: str) -> tuple[str, str]:
    """Read one literal as SQL Server does; return it and what follows."""
    found = re.match(r"N'((?:[^']|'')*)'(?!')", sql)
    assert found
    return found[1].replace("''", "'"), sql[found.end() :]


@given(TEXTS, TEXTS)
def test_a_text_is_read_as_it_was_written_and_nothing_of_it_is_left_over(text: str, after: str) -> None:
    assert read_literal(literal(text) + f" {after}") == (text, f" {after}")


@given(TEXTS, TEXTS)
def test_a_name_is_read_as_it_was_written(name: str, after: str) -> None:
    found = re.match(r"\[((?:[^\]]|\]\])*)\](?!\])", quoted(name) + f" {after}")
    assert found
    assert found[1].replace("]]", "]") == name


@given(TEXTS, TEXTS)
def test_statements_for_another_database_arrive_there_whole(database: str, text: str) -> None:
    statement = f"ALTER USER [a] WITH PASSWORD = {literal(text)};"
    sent = inside(database, statement)
    prefix = f"EXEC {quoted(database)}.sys.sp_executesql "
    assert sent.startswith(prefix)
    received, rest = read_literal(sent.removeprefix(prefix))
    assert (received, rest) == (statement, ";")
    assert read_literal(received.split(" = ", 1)[1])[0] == text
