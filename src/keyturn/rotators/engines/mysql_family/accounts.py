"""Accounts as the server describes them: ``'user'@'host'``, SHOW CREATE USER and SHOW GRANTS, read and written again.

An account is a name and a host from which it is used; several accounts of one name are different users to the server.
What a statement says is taken apart into words, because names and hashes may contain anything.

Source: MySQL 8.0 Reference Manual and MariaDB documentation, "Specifying Account Names", "CREATE USER", "SHOW GRANTS".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .. import base

_WORD = re.compile(r"""`(?:[^`]|``)*`|'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|[(),@;]|[^\s`'"(),@;]+""", re.DOTALL)
_LIMITS = ("MAX_QUERIES_PER_HOUR", "MAX_UPDATES_PER_HOUR", "MAX_CONNECTIONS_PER_HOUR", "MAX_USER_CONNECTIONS")
_DESCRIBES_PASSWORD = ("ACCOUNT", "PASSWORD", "FAILED_LOGIN_ATTEMPTS", "PASSWORD_LOCK_TIME", "COMMENT", "ATTRIBUTE")
_ALL = "ALL PRIVILEGES"
_ROLE = "role"


@dataclass(frozen=True, slots=True)
class Account:
    """A user's name, and the host or pattern of hosts from which it logs in."""

    user: str
    host: str

    @classmethod
    def parse(cls, text: str) -> Account:
        """Read what CURRENT_USER() and USER() return; a host has no @."""
        user, _, host = text.rpartition("@")
        return cls(user, host)

    def __str__(self) -> str:
        """Return the account as SQL takes it."""
        return f"{quoted(self.user)}@{quoted(self.host)}"


def quoted(text: str) -> str:
    """Return a string as SQL takes it, unless sql_mode has NO_BACKSLASH_ESCAPES."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def account_for(hosts: Iterable[str], client: str) -> str | None:
    """Return the host of the account that the server picks for a client: the most specific one that matches.

    Args:
        hosts: Of the accounts of one name.
        client: The client's name or address, as USER() shows it.
    """
    matching = [host for host in hosts if _matches(host, client)]
    return max(matching, key=_specificity, default=None)


def _matches(host: str, client: str) -> bool:
    if "/" in host:
        try:
            return ipaddress.ip_address(client) in ipaddress.ip_network(host, strict=False)
        except ValueError:
            return False
    pattern = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in host)
    # An empty host means any, in the grant tables.
    return not host or re.fullmatch(pattern, client, re.IGNORECASE | re.DOTALL) is not None


def _specificity(host: str) -> tuple[bool, int, int]:
    wildcard = re.search("[%_]", host)
    return wildcard is None and host != "", wildcard.start() if wildcard else len(host), len(host)


@dataclass(frozen=True, slots=True)
class Definition:
    """What SHOW CREATE USER says.

    Attributes:
        plugins: How the user may log in, one plugin or several.
        default_roles: As SQL takes them; empty in MariaDB, where SHOW GRANTS names the role.
        require: From REQUIRE on; empty if nothing is said.
        limits: Name and number.
        rest: From ACCOUNT or PASSWORD on; empty if nothing is said.
    """

    plugins: tuple[str, ...]
    default_roles: str
    require: str
    limits: tuple[tuple[str, str], ...]
    rest: str

    @classmethod
    def parse(cls, statement: str) -> Definition:
        """Read one statement."""
        words = _Words(statement)
        words.skip_to("USER")
        words.account()
        plugins = _plugins(words)
        default_roles = ""
        if words.take("DEFAULT") and words.take("ROLE"):
            default_roles = words.text_until("REQUIRE", "WITH", *_DESCRIBES_PASSWORD)
        require = words.text_until("WITH", *_DESCRIBES_PASSWORD)
        limits = []
        if words.take("WITH"):
            while not words.is_at("", *_DESCRIBES_PASSWORD):
                limits.append((words.next(), words.next()))
        return cls(plugins, default_roles, require, tuple(limits), words.text_until())

    def options(self) -> str:
        """Return what CREATE USER needs beside name and password."""
        limits = " ".join(f"{name} {number}" for name, number in self.limits)
        return " ".join(part for part in (self.require, limits and f"WITH {limits}", self.rest) if part)

    def all_options(self, default_rest: str) -> str:
        """Return what ALTER USER needs to give another account exactly these options, whatever it has."""
        limits = dict.fromkeys(_LIMITS, "0") | dict(self.limits)
        explicit = " ".join(f"{name} {number}" for name, number in limits.items())
        return f"{self.require or 'REQUIRE NONE'} WITH {explicit} {self.rest or default_rest}".strip()


def _plugins(words: _Words) -> tuple[str, ...]:
    plugins = []
    while words.take("IDENTIFIED") or words.take("OR") or words.take("AND"):
        words.take("IDENTIFIED")
        if words.take("BY"):
            # MariaDB's short form; the hash follows.
            words.take("PASSWORD")
            words.next()
            plugins.append("mysql_native_password")
        else:
            _ = words.take("VIA") or words.take("WITH")
            plugins.append(_unquoted(words.next()))
            if words.take("USING") or words.take("AS"):
                words.next()
    return tuple(plugins) or ("mysql_native_password",)


@dataclass(frozen=True, slots=True)
class Right:
    """One privilege on one object, or one role (``on`` is "role")."""

    privilege: str
    on: str
    column: str
    may_be_granted: bool

    def is_within(self, others: Iterable[Right]) -> bool:
        """Tell whether one of these rights is at least as strong."""
        wider = {self.on, *_wider(self.on)}
        return any(
            other.on in wider
            and (other.privilege == self.privilege or (other.privilege == _ALL and self.on != _ROLE))
            and other.column in ("", self.column)
            and (other.may_be_granted or not self.may_be_granted)
            for other in others
        )

    def __str__(self) -> str:
        """Return the right as people write it."""
        column = f" ({self.column})" if self.column else ""
        on = "" if self.on == _ROLE else f" ON {self.on}"
        return f"{self.privilege}{column}{on}{' WITH GRANT OPTION' if self.may_be_granted else ''}"


def _wider(on: str) -> tuple[str, ...]:
    """Return the objects that contain this one: a table or routine is in its database, and that in everything."""
    if on == _ROLE or "@" in on:
        return ()
    names = [word for word in _WORD.findall(on) if word[0] == "`"]
    return ("*.*", f"{names[0]}.*") if names else ("*.*",)


@dataclass(frozen=True, slots=True)
class Grant:
    """One line of SHOW GRANTS."""

    rights: tuple[Right, ...]
    what: str
    may_be_granted: str

    def to(self, account: Account) -> str:
        """Return the statement that gives another account the same."""
        return f"GRANT {self.what} TO {account}{self.may_be_granted}"


@dataclass(frozen=True, slots=True)
class Grants:
    """What SHOW GRANTS says, and the default role that MariaDB names there."""

    grants: tuple[Grant, ...]
    default_role: str

    @classmethod
    def parse(cls, lines: Iterable[str]) -> Grants:
        """Read the lines.

        Raises:
            DatabaseError: One of them cannot be given to another account.
        """
        grants, default_role = [], ""
        for line in lines:
            words = _Words(line)
            if words.take("GRANT"):
                grant = _grant(words)
                if grant.rights:
                    grants.append(grant)
            elif words.take("SET") and words.take("DEFAULT") and words.take("ROLE"):
                default_role = words.text_until("FOR")
            else:
                raise base.DatabaseError("A partial revoke cannot be given to a second user alike")
        return cls(tuple(grants), default_role)

    def rights(self) -> frozenset[Right]:
        """Return everything that is granted."""
        return frozenset(right for grant in self.grants for right in grant.rights)


def _grant(words: _Words) -> Grant:
    start = words.position
    privileges = words.list_until("ON", "TO")
    on = _ROLE
    if words.take("ON"):
        on = words.text_until("TO")
    what = words.text_since(start)
    words.take("TO")
    words.account()
    option = next((f" WITH {kind} OPTION" for kind in ("GRANT", "ADMIN") if words.has(kind, "OPTION")), "")
    rights = [
        Right(privilege, on, column, bool(option))
        for privilege, columns in privileges
        for column in columns or ("",)
        if privilege != "USAGE" or option
    ]
    return Grant(tuple(rights), what, option)


class _Words:
    """A statement, word by word."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._words = [(match.group(), match.start(), match.end()) for match in _WORD.finditer(text)]
        self._at = 0

    @property
    def position(self) -> int:
        """Where in the text the next word begins."""
        return self._words[self._at][1] if self._at < len(self._words) else len(self._text)

    def next(self) -> str:
        if self._at == len(self._words):
            raise base.DatabaseError("The server describes a user in words that this function does not know")
        word = self._words[self._at][0]
        self._at += 1
        return word

    def is_at(self, *words: str) -> bool:
        """Tell whether the next word is one of these; "" is the end."""
        return (self._words[self._at][0] if self._at < len(self._words) else "") in words

    def take(self, word: str) -> bool:
        """Go past the next word if it is this one."""
        if self.is_at(word):
            self._at += 1
            return True
        return False

    def skip_to(self, word: str) -> None:
        while self.next() != word:
            pass

    def has(self, *sequence: str) -> bool:
        """Tell whether these words follow one another in the rest."""
        rest = [word for word, _, _ in self._words[self._at :]]
        return any(tuple(rest[at : at + len(sequence)]) == sequence for at in range(len(rest)))

    def account(self) -> None:
        """Go past a name and its host."""
        self.next()
        if self.take("@"):
            self.next()

    def text_until(self, *words: str) -> str:
        """Go to the first of these words, or to the end, and return the text in between."""
        start = self.position
        while not self.is_at("", *words):
            self._at += 1
        return self.text_since(start)

    def text_since(self, start: int) -> str:
        return self._text[start : self.position].strip()

    def list_until(self, *words: str) -> Sequence[tuple[str, tuple[str, ...]]]:
        """Read privileges or roles separated by commas, with the columns that follow in parentheses."""
        found = []
        while True:
            name = self.text_until(",", "(", *words)
            columns: list[str] = []
            if self.take("("):
                while not self.take(")"):
                    word = self.next()
                    if word != ",":
                        columns.append(word)
            found.append((name, tuple(columns)))
            if not self.take(","):
                return found


def _unquoted(word: str) -> str:
    return word[1:-1] if word[0] in "'`\"" else word
