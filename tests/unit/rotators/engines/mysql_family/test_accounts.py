"""Accounts as MySQL and MariaDB describe them: taken apart, compared, and written for another account."""

from __future__ import annotations

import pytest

from keyturn.rotators.engines import base
from keyturn.rotators.engines.mysql_family.accounts import Account, Definition, Grants, account_for, quoted

# As MySQL 8.0's and 5.7's manuals and MariaDB 10.11 itself show them.
MYSQL_8 = (
    "CREATE USER `app`@`%` IDENTIFIED WITH 'caching_sha2_password' AS 0x244124303035242F DEFAULT ROLE `r`@`%`,`s`@`%`"
    " REQUIRE SUBJECT '/CN=it''s WITH \\'this' WITH MAX_QUERIES_PER_HOUR 5 PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK"
    " PASSWORD HISTORY DEFAULT PASSWORD REUSE INTERVAL DEFAULT PASSWORD REQUIRE CURRENT DEFAULT"
)
MYSQL_57 = (
    "CREATE USER 'app'@'%' IDENTIFIED WITH 'mysql_native_password' AS '*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19'"
    " REQUIRE NONE PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK"
)
MARIADB = (
    "CREATE USER `we'ird``IDENTIFIED BY`@`%` IDENTIFIED BY PASSWORD '*9BDE81F857CBD7E27CAED548ED36F57CE4307F0B'"
    " REQUIRE SSL WITH MAX_QUERIES_PER_HOUR 100 MAX_USER_CONNECTIONS 7 PASSWORD EXPIRE INTERVAL 90 DAY"
)


def test_a_mysql_users_definition_is_taken_apart() -> None:
    read = Definition.parse(MYSQL_8)
    assert read.plugins == ("caching_sha2_password",)
    assert read.default_roles == "`r`@`%`,`s`@`%`"
    assert read.require == "REQUIRE SUBJECT '/CN=it''s WITH \\'this'"
    assert read.limits == (("MAX_QUERIES_PER_HOUR", "5"),)
    assert read.options() == MYSQL_8[MYSQL_8.index("REQUIRE SUBJECT") :]
    old = Definition.parse(MYSQL_57)
    assert (old.plugins, old.options()) == (("mysql_native_password",), MYSQL_57[MYSQL_57.index("REQUIRE") :])


def test_a_mariadb_users_definition_is_taken_apart() -> None:
    read = Definition.parse(MARIADB)
    assert read.plugins == ("mysql_native_password",)
    assert read.options() == MARIADB[MARIADB.index("REQUIRE SSL") :]
    assert read.all_options("ACCOUNT UNLOCK") == (
        "REQUIRE SSL WITH MAX_QUERIES_PER_HOUR 100 MAX_UPDATES_PER_HOUR 0 MAX_CONNECTIONS_PER_HOUR 0"
        " MAX_USER_CONNECTIONS 7 PASSWORD EXPIRE INTERVAL 90 DAY"
    )


def test_what_is_not_said_is_said_when_another_account_must_be_made_like_it() -> None:
    plain = Definition.parse("CREATE USER `app`@`%`")
    assert (plain.plugins, plain.options()) == (("mysql_native_password",), "")
    assert plain.all_options("ACCOUNT UNLOCK").startswith("REQUIRE NONE WITH MAX_QUERIES_PER_HOUR 0")
    assert plain.all_options("ACCOUNT UNLOCK").endswith("MAX_USER_CONNECTIONS 0 ACCOUNT UNLOCK")


@pytest.mark.parametrize(
    ("identified", "plugins"),
    [
        ("VIA unix_socket OR mysql_native_password USING '*A'", ("unix_socket", "mysql_native_password")),
        ("WITH 'a' AS 'x AND IDENTIFIED' AND IDENTIFIED WITH 'b' AS 'y'", ("a", "b")),
        ("VIA ed25519 USING 'Gv2JI8Env2fd5YGonZ082tX3UAW+yJYldOlj4R1bfK4'", ("ed25519",)),
    ],
)
def test_several_ways_to_log_in_are_all_found(identified: str, plugins: tuple[str, ...]) -> None:
    assert Definition.parse(f"CREATE USER `a`@`%` IDENTIFIED {identified} REQUIRE NONE").plugins == plugins


@pytest.mark.parametrize(
    ("line", "statement"),
    [
        (
            "GRANT SELECT (`a`, `b`), INSERT ON `we``ird\\_x`.`t` TO `app`@`%` WITH GRANT OPTION",
            "GRANT SELECT (`a`, `b`), INSERT ON `we``ird\\_x`.`t` TO 'o''ther'@'%' WITH GRANT OPTION",
        ),
        # The hash of somebody's password must not go with it, nor be taken for an option.
        (
            "GRANT PROCESS ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*9B' REQUIRE SUBJECT 'WITH GRANT OPTION'",
            "GRANT PROCESS ON *.* TO 'o''ther'@'%'",
        ),
        (
            "GRANT `r`@`%`,`s`@`%` TO `app`@`%` WITH ADMIN OPTION",
            "GRANT `r`@`%`,`s`@`%` TO 'o''ther'@'%' WITH ADMIN OPTION",
        ),
        (
            "GRANT PROXY ON ``@`%` TO 'app'@'%' WITH GRANT OPTION",
            "GRANT PROXY ON ``@`%` TO 'o''ther'@'%' WITH GRANT OPTION",
        ),
        ("GRANT EXECUTE ON FUNCTION `shop`.`f` TO `app`@`%`", "GRANT EXECUTE ON FUNCTION `shop`.`f` TO 'o''ther'@'%'"),
        ("GRANT SELECT ON `TO`.`ON` TO `GRANT`@`%`", "GRANT SELECT ON `TO`.`ON` TO 'o''ther'@'%'"),
    ],
)  # fmt: skip
def test_a_grant_is_written_for_another_account(line: str, statement: str) -> None:
    [grant] = Grants.parse([line]).grants
    assert grant.to(Account("o'ther", "%")) == statement


def test_usage_is_no_right_and_a_default_role_is_kept() -> None:
    read = Grants.parse(
        ["GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*9B'", "SET DEFAULT ROLE `r` FOR `a`@`%`"]
    )
    assert (read.grants, read.default_role) == ((), "`r`")


def test_a_partial_revoke_is_refused() -> None:
    with pytest.raises(base.DatabaseError, match="partial revoke"):
        Grants.parse(["GRANT SELECT ON *.* TO `a`@`%`", "REVOKE SELECT ON `mysql`.* FROM `a`@`%`"])


@pytest.mark.parametrize(
    "text", ["", "CREATE USER", "GRANT SELECT ON x", "GRANT SELECT (", "CREATE USER `a`@`%` IDENTIFIED"]
)
def test_what_cannot_be_read_is_no_crash(text: str) -> None:
    with pytest.raises(base.DatabaseError):
        Definition.parse(text) if text.startswith("CREATE") or not text else Grants.parse([text])


@pytest.mark.parametrize(
    ("held", "by_model", "within"),
    [
        ("SELECT ON `d`.`t`", "SELECT ON `d`.`t`", True),
        ("SELECT ON `d`.`t`", "SELECT, INSERT ON `d`.*", True),
        ("SELECT (`c`) ON `d`.`t`", "ALL PRIVILEGES ON *.*", True),
        ("EXECUTE ON FUNCTION `d`.`f`", "EXECUTE ON `d`.*", True),
        ("SELECT (`c`) ON `d`.`t`", "SELECT ON `d`.`t`", True),
        ("SELECT ON `d`.`t`", "SELECT (`c`) ON `d`.`t`", False),
        ("SELECT ON `d`.*", "SELECT ON `d`.`t`", False),
        ("SELECT ON `d`.`t`", "SELECT ON `d`.`other`", False),
        ("INSERT ON `d`.*", "SELECT ON *.*", False),
        ("ALL PRIVILEGES ON `d`.*", "SELECT, INSERT ON `d`.*", False),
        ("PROXY ON ``@`%`", "ALL PRIVILEGES ON *.*", False),
    ],
)
def test_a_right_is_within_others_that_are_as_strong(held: str, by_model: str, within: bool) -> None:
    [right] = Grants.parse([f"GRANT {held} TO `a`@`%`"]).rights()
    assert right.is_within(Grants.parse([f"GRANT {by_model} TO `b`@`%`"]).rights()) is within


def test_a_right_that_may_be_handed_on_is_stronger_and_so_is_a_role() -> None:
    [right] = Grants.parse(["GRANT SELECT ON `d`.* TO `a`@`%` WITH GRANT OPTION"]).rights()
    assert not right.is_within(Grants.parse(["GRANT SELECT ON `d`.* TO `b`@`%`"]).rights())
    assert str(right) == "SELECT ON `d`.* WITH GRANT OPTION"
    [role] = Grants.parse(["GRANT `r` TO `a`@`%`"]).rights()
    assert not role.is_within(Grants.parse(["GRANT ALL PRIVILEGES ON *.* TO `b`@`%`"]).rights())
    assert role.is_within(Grants.parse(["GRANT `r`,`s` TO `b`@`%`"]).rights())


@pytest.mark.parametrize(
    ("hosts", "client", "host"),
    [
        (["%", "10.%", "10.1.2.3"], "10.1.2.3", "10.1.2.3"),
        (["%", "10.%", "10.1.%"], "10.1.2.3", "10.1.%"),
        (["%", ""], "10.1.2.3", "%"),
        (["10.1.0.0/255.255.0.0", "%"], "10.1.2.3", "10.1.0.0/255.255.0.0"),
        (["10.2.0.0/255.255.0.0", "localhost"], "10.1.2.3", None),
        (["localhost", "127.0.0.1"], "localhost", "localhost"),
        (["%.Example"], "db.example", "%.Example"),
        (["10.1.0.0/16"], "db.example", None),
        ([], "10.1.2.3", None),
    ],
)
def test_the_account_is_the_most_specific_one_that_matches_the_client(
    hosts: list[str], client: str, host: str | None
) -> None:
    assert account_for(hosts, client) == host


def test_quotes_and_backslashes_in_a_text_are_doubled() -> None:
    assert quoted("a'; \\") == "'a''; \\\\'"
    assert str(Account.parse("we'ird@name@10.%")) == "'we''ird@name'@'10.%'"
