"""ACL rules of Redis: a copy has what its model has, and "within" is an order that words respect."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keyturn.rotators.engines.redis_acl.users import Rules, User

commands = st.sampled_from(["-@all", "+@all", "-@all +get", "-@all +@read -keys", "+@all -@dangerous"])
patterns = st.lists(st.sampled_from(["a", "b:*", "*", "ü"]), unique=True, max_size=3)


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    keys = tuple(f"{draw(st.sampled_from(['~', '%R~', '%W~']))}{pattern}" for pattern in draw(patterns))
    channels = tuple(f"&{pattern}" for pattern in draw(patterns))
    return Rules(draw(commands), keys, channels, draw(st.sampled_from([(), ("alldbs",), ("db=1",)])))


@st.composite
def users(draw: st.DrawFn) -> User:
    flags = draw(st.frozensets(st.sampled_from(["on", "off", "nopass", "sanitize-payload", "skip-sanitize-payload"])))
    passwords = tuple(draw(st.lists(st.text("0123456789abcdef", min_size=4, max_size=4), unique=True, max_size=4)))
    return User(flags, passwords, draw(rules()), tuple(draw(st.lists(rules(), max_size=2))), has_selectors=True)


def reply(user: User) -> list[object]:
    def fields(part: Rules) -> list[object]:
        databases: list[object] = [b"databases", " ".join(part.databases).encode()] if part.databases else []
        texts: list[object] = [
            b"commands", part.commands.encode(), b"keys", " ".join(part.keys).encode(),
            b"channels", " ".join(part.channels).encode(),
        ]  # fmt: skip
        return [*texts, *databases]

    return [
        b"flags", [flag.encode() for flag in user.flags], b"passwords", [word.encode() for word in user.passwords],
        *fields(user.root), b"selectors", [fields(selector) for selector in user.selectors],
    ]  # fmt: skip


@given(users())
def test_what_a_server_describes_is_read_as_it_is(user: User) -> None:
    assert User.parse(reply(user)) == user


@given(users(), users(), users())
def test_within_is_an_order(first: User, second: User, third: User) -> None:
    assert first.is_within(first)
    if first.is_within(second) and second.is_within(third):
        assert first.is_within(third)


@given(users(), users())
def test_who_may_the_same_is_within_whatever_passwords_there_are(user: User, other: User) -> None:
    same = User(other.flags | (user.flags - {"on", "off", "nopass"}), other.passwords, user.root, user.selectors, True)
    if same.may_what(user):
        assert same.is_within(user)
        assert user.is_within(same)
        assert same.words() == user.words()


@given(users(), st.lists(st.text("0123456789abcdef", min_size=4, max_size=4), min_size=1, max_size=3))
def test_an_exchange_leaves_the_new_passwords_and_fails_if_an_old_one_is_missing(user: User, new: list[str]) -> None:
    def exchanged(passwords: set[str]) -> set[str] | None:
        left = set(passwords)
        for word in user.exchange(*new):
            if word[0] == "!":
                if word[1:] not in left:
                    return None
                left.remove(word[1:])
            else:
                left.add(word[1:])
        return left

    assert exchanged(set(user.passwords)) == set(new)
    assert exchanged({*user.passwords, "another"}) == {*new, "another"}
    for gone in user.passwords:
        assert exchanged(set(user.passwords) - {gone}) is None
