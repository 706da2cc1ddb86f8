"""ACL users as the server describes them: ACL GETUSER, read and written again as rules of ACL SETUSER.

A user is a set of hashed passwords and what one may do who knows one of them: a root of rules, and from Redis 7 on
further ones (selectors), of which one has to allow a command with all its keys. The reply differs by version: Redis 6
lists patterns bare, Redis 7 in one text with their prefixes, Valkey 9 adds the databases. What this module does not
know it refuses, because a copy without it might be allowed more.

Source: Redis and Valkey documentation, "ACL", "ACL GETUSER" and "ACL SETUSER".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .. import base

Reply = Sequence[object]

# Whether a user may log in, and what Redis 6 says of the rules a second time.
_NOT_COPIED = frozenset({"on", "off", "nopass", "allkeys", "allchannels", "allcommands"})
_SKIPS_CHECKS = "skip-sanitize-payload"
_FLAGS = _NOT_COPIED | {_SKIPS_CHECKS, "sanitize-payload"}
_USER_FIELDS = frozenset({"flags", "passwords", "commands", "keys", "channels", "databases", "selectors"})
_ALL_COMMANDS, _NO_COMMANDS = "+@all", "-@all"
_EVERYTHING = frozenset({"~*", "&*", "alldbs"})


def digest(password: str) -> str:
    """Return what the server keeps of a password."""
    return hashlib.sha256(password.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Rules:
    """The root of a user, or one selector.

    Attributes:
        commands: As ``-@all +@read +config|get``; the order counts.
        keys: Patterns with their prefix.
        channels: Likewise.
        databases: ``alldbs``, or ``db=`` with numbers; empty where the server knows none of it.
    """

    commands: str
    keys: tuple[str, ...]
    channels: tuple[str, ...]
    databases: tuple[str, ...]

    @classmethod
    def parse(cls, fields: Mapping[str, object]) -> Rules:
        """Read the fields that root and selectors share."""
        return cls(
            _text(fields["commands"]),
            _patterns(fields["keys"], "~"),
            _patterns(fields.get("channels", ""), "&"),
            _patterns(fields.get("databases", ""), ""),
        )

    def is_within(self, other: Rules) -> bool:
        """Tell whether whoever has these rules is certain to have no more than the others allow."""
        return _commands_within(self.commands, other.commands) and all(
            set(own) <= set(others) or bool(_EVERYTHING & set(others))
            for own, others in (
                (self.keys, other.keys),
                (self.channels, other.channels),
                (self.databases, other.databases),
            )
        )

    def words(self) -> list[str]:
        """Return them as rules of ACL SETUSER, for one who has none yet."""
        return [*self.commands.split(), *self.keys, *self.channels, *self.databases]


@dataclass(frozen=True, slots=True)
class User:
    """One ACL user.

    Attributes:
        passwords: SHA-256, in hexadecimal digits.
        has_selectors: Whether the server knows selectors.
    """

    flags: frozenset[str]
    passwords: tuple[str, ...]
    root: Rules
    selectors: tuple[Rules, ...]
    has_selectors: bool

    @classmethod
    def parse(cls, reply: Reply) -> User:
        """Read the reply to ACL GETUSER.

        Raises:
            DatabaseError: It says something that this function does not know.
        """
        fields = _fields(reply)
        flags = frozenset(_text(flag) for flag in _list(fields["flags"]))
        if unknown := sorted((set(fields) - _USER_FIELDS) | (flags - _FLAGS)):
            raise base.DatabaseError(
                f"The server describes users in words that this function does not know: {', '.join(unknown)}"
            )
        return cls(
            flags,
            tuple(_text(password) for password in _list(fields["passwords"])),
            Rules.parse(fields),
            tuple(Rules.parse(_fields(_list(selector))) for selector in _list(fields.get("selectors", ()))),
            "selectors" in fields,
        )

    def is_within(self, other: User) -> bool:
        """Tell whether this user is certain to be allowed no more than the other one."""
        wider = (other.root, *other.selectors)
        return (
            # Redis allows a command if the root or one selector does.
            all(any(rules.is_within(each) for each in wider) for rules in (self.root, *self.selectors))
            and (_SKIPS_CHECKS in other.flags or _SKIPS_CHECKS not in self.flags)
        )

    def may_what(self, other: User) -> bool:
        """Tell whether both have the same rules."""
        return (self.flags - _NOT_COPIED, self.root, self.selectors) == (
            other.flags - _NOT_COPIED,
            other.root,
            other.selectors,
        )

    def words(self) -> list[str]:
        """Return the rules of ACL SETUSER that give any user, whatever it may do now, exactly these."""
        reset = ["resetkeys", "resetchannels", *(["clearselectors"] if self.has_selectors else [])]
        selectors = [f"({' '.join(rules.words())})" for rules in self.selectors]
        return [*sorted(self.flags - _NOT_COPIED), *reset, *self.root.words(), *selectors]

    def exchange(self, *passwords: str) -> list[str]:
        """Return the rules of ACL SETUSER that leave these hashed passwords only.

        They name each password that goes, and the server refuses all of them together if one has gone already.
        """
        return [*(f"!{old}" for old in self.passwords), *(f"#{new}" for new in dict.fromkeys(passwords))]


def _commands_within(own: str, others: str) -> bool:
    return own in (others, _NO_COMMANDS) or others == _ALL_COMMANDS


def _fields(reply: Reply) -> dict[str, object]:
    return {_text(name): value for name, value in zip(reply[::2], reply[1::2], strict=True)}


def _patterns(value: object, prefix: str) -> tuple[str, ...]:
    if isinstance(value, list | tuple):
        # Redis 6, without prefixes. Redis 7's % is always in a text.
        return tuple(prefix + _text(pattern) for pattern in value)
    return tuple(_text(value).split())


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        raise base.DatabaseError("The server describes users in a form that this function does not know")
    return value


def _text(value: object) -> str:
    if not isinstance(value, bytes | str):
        raise base.DatabaseError("The server describes users in a form that this function does not know")
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def described(differences: Iterable[str]) -> str:
    """Return a list of rules as people read it, not endless."""
    return ", ".join(sorted(differences)[:5])
