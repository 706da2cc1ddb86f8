"""Laws of what rotation functions make of a secret's names and passwords for Oracle and Db2."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from keyturn.rotators.engines import base, db2, oracle

NAMES = st.text(st.characters(codec="utf-8", exclude_characters='"\0[]'), min_size=1, max_size=20)


@given(NAMES, st.booleans())
def test_alternating_twice_names_the_same_oracle_user_again(name: str, is_quoted: bool) -> None:
    engine = oracle.Engine()
    username = f'"{name}"' if is_quoted else name
    assume(oracle._normal(username).removesuffix("_CLONE"))
    other = engine.alternate_username(username)
    assert oracle._normal(other) != oracle._normal(username)
    assert oracle._normal(engine.alternate_username(other)) == oracle._normal(username)


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
def test_what_db2_accepts_stays_one_value_of_the_connection_string(password: str, username: str, dbname: str) -> None:
    value = {"engine": "db2", "host": "db", "ssl": True, "password": password, "username": username, "dbname": dbname}
    try:
        login = db2.Engine().login(value)
    except ValueError:
        return
    text = "".join(f"{name}={word};" for name, word in db2.connection_words(login, "db", 50443, "/file.pem").items())
    assert dict(word.split("=", 1) for word in text.removesuffix(";").split(";"))["PWD"] == password
    assert text.count(";") == len(db2.connection_words(login, "db", 50443, "/file.pem"))


@given(st.text(st.characters(categories=("L", "N", "P", "S"), max_codepoint=126), min_size=32, max_size=32))
def test_a_generated_password_is_one_that_db2_accepts(password: str) -> None:
    generated = "".join(each for each in password if each not in db2.Engine.exclude_characters)
    assume(generated)
    value = {"engine": "db2", "host": "db", "ssl": True, "username": "app", "dbname": "SHOP", "password": generated}
    assert db2.Engine().login(value).tls is base.TlsMode.REQUIRED
