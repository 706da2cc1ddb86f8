"""ACL users: as each version of the server describes them, and what is more than what."""

from __future__ import annotations

import pytest

from keyturn.rotators.engines import base
from keyturn.rotators.engines.redis_acl.users import Rules, User, digest

REDIS_6 = [
    b"flags", [b"on", b"allkeys", b"allchannels"], b"passwords", [digest("a").encode()],
    b"commands", b"-@all +get", b"keys", [b"*"], b"channels", [b"*"],
]  # fmt: skip
REDIS_7 = [
    b"flags", [b"on", b"sanitize-payload"], b"passwords", [], b"commands", b"-@all +@read", b"keys", b"~a %R~b",
    b"channels", b"", b"selectors", [[b"commands", b"-@all +set", b"keys", b"~s", b"channels", b"&c"]],
]  # fmt: skip
VALKEY_9 = [
    b"flags", [b"on"], b"passwords", [], b"commands", b"+@all", b"keys", b"~*", b"channels", b"&*",
    b"databases", b"db=1", b"selectors", [],
]  # fmt: skip


def test_redis_6_lists_patterns_without_prefixes_and_knows_no_selectors() -> None:
    user = User.parse(REDIS_6)
    assert user.passwords == (digest("a"),)
    assert user.words() == ["resetkeys", "resetchannels", "-@all", "+get", "~*", "&*"]


def test_redis_7_has_everything_in_a_text_and_selectors() -> None:
    user = User.parse(REDIS_7)
    assert user.words() == [
        "sanitize-payload", "resetkeys", "resetchannels", "clearselectors", "-@all", "+@read", "~a", "%R~b",
        "(-@all +set ~s &c)",
    ]  # fmt: skip


def test_valkey_9_has_databases() -> None:
    assert User.parse(VALKEY_9).root.databases == ("db=1",)
    everywhere = [b"alldbs" if value == b"db=1" else value for value in VALKEY_9]
    assert User.parse(VALKEY_9).is_within(User.parse(everywhere))
    assert not User.parse(everywhere).is_within(User.parse(VALKEY_9))


@pytest.mark.parametrize(
    "reply",
    [
        [*REDIS_7, b"bandwidth", b"all"],
        [b"flags", [b"on", b"omnipotent"], *REDIS_7[2:]],
        [b"flags", b"on", *REDIS_7[2:]],
        [b"flags", [b"on"], b"passwords", [], b"commands", 7, b"keys", b""],
    ],
)
def test_what_is_not_known_is_refused_because_a_copy_might_be_allowed_more(reply: list[object]) -> None:
    with pytest.raises(base.DatabaseError, match="The server describes users in"):
        User.parse(reply)


def test_an_exchange_names_every_password_that_was_there_and_each_new_one_once() -> None:
    user = User.parse([b"flags", [b"on"], b"passwords", [b"old", b"kept"], *REDIS_7[4:]])
    assert user.exchange("new", "kept") == ["!old", "!kept", "#new", "#kept"]
    assert user.exchange("kept", "kept") == ["!old", "!kept", "#kept"]


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        (("-@all", "~a"), ("-@all +get", "~a ~b"), True),
        (("-@all +get", "~a"), ("-@all +get", "~*"), True),
        (("-@all +get", "~a"), ("+@all", "~a"), True),
        (("-@all +get", "~a"), ("-@all +get +set", "~a"), False),  # true, but not certain: the order counts
        (("-@all +get", "~a ~b"), ("-@all +get", "~a"), False),
        (("+@all", "~a"), ("-@all +get", "~a"), False),
    ],
)
def test_only_what_is_certain_counts_as_within(own: tuple[str, str], other: tuple[str, str], expected: bool) -> None:
    def rules(commands: str, keys: str) -> Rules:
        return Rules.parse({"commands": commands, "keys": keys})

    assert rules(*own).is_within(rules(*other)) is expected
