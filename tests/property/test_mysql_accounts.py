"""Names, hashes and certificates' subjects may hold anything: what a server says of an account is taken apart right."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keyturn.rotators.engines.mysql_family.accounts import Account, Definition, Grants, quoted

words = st.sampled_from(
    ["TO", "ON", "WITH GRANT OPTION", "REQUIRE", "IDENTIFIED BY", "@", ",", "(", "'", '"', "`", "\\", " ", "%"]
)
texts = st.lists(words | st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8), min_size=1).map(
    "".join
)


def in_backticks(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


@given(texts, texts, st.booleans())
def test_a_grant_is_given_to_another_account_whatever_the_names(
    owner: str, database: str, may_be_granted: bool
) -> None:
    option = " WITH GRANT OPTION" if may_be_granted else ""
    on = f"{in_backticks(database)}.*"
    [grant] = Grants.parse([f"GRANT SELECT, INSERT ON {on} TO {in_backticks(owner)}@`%`{option}"]).grants
    assert {(right.privilege, right.on, right.may_be_granted) for right in grant.rights} == {
        ("SELECT", on, may_be_granted), ("INSERT", on, may_be_granted),
    }  # fmt: skip
    other = Account("other", "%")
    assert grant.to(other) == f"GRANT SELECT, INSERT ON {on} TO 'other'@'%'{option}"


@given(texts, texts, texts)
def test_a_definition_is_taken_apart_whatever_it_holds(owner: str, stored: str, subject: str) -> None:
    options = f"REQUIRE SUBJECT {quoted(subject)} WITH MAX_USER_CONNECTIONS 7 PASSWORD EXPIRE DEFAULT"
    read = Definition.parse(f"CREATE USER {in_backticks(owner)}@`%` IDENTIFIED WITH 'p' AS {quoted(stored)} {options}")
    assert read.plugins == ("p",)
    assert read.options() == options
