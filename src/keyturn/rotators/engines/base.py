"""What every database engine has in common: the secret's JSON, the interface, the errors.

An engine is one file beside this one with a class ``Engine``. A driver's exception never leaves that file: the engine
turns it into a :class:`DatabaseError`, which keeps the driver's own reason and drops everything else, because a
driver's exception may carry the statement or the connection's parameters.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import ClassVar, Literal, Protocol, Self, TypeVar


class DatabaseError(Exception):
    """What a database, its driver or the way to it refused.

    Args:
        reason: The driver's own words, without password or connection string.
        code: The database's error code, an SQLSTATE for instance.
    """

    hint: ClassVar[str] = "Look up the reason in the documentation of the database."

    def __init__(self, reason: str, code: str | None = None) -> None:
        self.reason = reason
        self.code = code
        shown_code = f" ({code})" if code else ""
        super().__init__(f"{reason}{shown_code}. Hint: {self.hint}")


class HostNotFound(DatabaseError):
    """The name does not resolve."""

    hint = "Check host in the secret, and that the function's network can resolve it (DNS)."


class HostUnreachable(DatabaseError):
    """There is no route, or the way was lost before an answer."""

    hint = "Check routes, firewalls and security groups between the function and the database."


class ConnectionRefused(DatabaseError):
    """The host answered that nothing listens."""

    hint = "Check host and port in the secret, and that the database listens on that address."


class ConnectionTimedOut(DatabaseError):
    """Nobody answered in time."""

    hint = "A firewall, security group or route between the function and the database drops the packets, or it is down."


class ConnectionLost(DatabaseError):
    """The server closed the connection in the middle."""

    hint = "Look into the database's log at this moment; the next attempt finds out what had been done."


class TlsFailed(DatabaseError):
    """The server has no TLS, or its certificate does not hold."""

    hint = (
        "Turn on TLS in the database, use the name in its certificate as host, and name its authority in the function's"
        " SSL_CERT_FILE; ssl false in the secret gives up encryption."
    )


class TlsRequired(DatabaseError):
    """The server refuses connections without TLS."""

    hint = "Remove ssl from the secret or set it to true."


class AuthenticationFailed(DatabaseError):
    """The server refused this user with this password."""

    hint = (
        "The password was changed outside of rotation, has expired, or the user is gone: store the password that is"
        " valid in the database, or set the stored one there."
    )


class AuthenticationMethodRefused(DatabaseError):
    """The server wants to authenticate in a way this function does not support or considers unsafe."""

    hint = (
        "Let the server ask this user in a way that does not show the password (scram-sha-256 in PostgreSQL,"
        " mysql_native_password or ed25519 in MariaDB, caching_sha2_password over TLS in MySQL), or encrypt the"
        " connection with a certificate that holds."
    )


class NotAdmitted(DatabaseError):
    """The server does not let this user in from here, whatever the password."""

    hint = (
        "Admit this user from the function's addresses (pg_hba.conf in PostgreSQL, the host of the account in MySQL and"
        " MariaDB), and let it log in: neither locked nor expired."
    )


class UnsupportedMethod(AuthenticationMethodRefused, NotAdmitted):
    """The server wants to authenticate this user in a way that this function does not know, whatever the password.

    It may be a pretence: MariaDB asks for a user who is not there in the way of one who is.
    """

    hint = AuthenticationMethodRefused.hint


class HostBlocked(NotAdmitted):
    """The server has had too many broken connections from this address."""

    hint = "Run FLUSH HOSTS (mysqladmin flush-hosts) in the database, and find out what breaks connections off."


class DatabaseMissing(DatabaseError):
    """The server has no database of that name."""

    hint = "Set dbname in the secret to an existing database."


class NotReady(DatabaseError):
    """The server is starting, stopping or has no connection left."""

    hint = "Wait or raise the database's connection limit; the rotation is attempted again."


class StatementTimedOut(DatabaseError):
    """The server ended a statement because it took too long, or because somebody had it ended."""

    hint = (
        "Look for what the statement waited for, a lock on the user for instance, and whether statement_timeout of the"
        " server or of the user (max_statement_time in MariaDB) is long enough; the rotation is attempted again."
    )


class LockTimedOut(DatabaseError):
    """The server gave up waiting for a lock that another session holds."""

    hint = (
        "Another session holds a lock on the user, in a transaction that is still open: find and end it (pg_locks and"
        " pg_stat_activity in PostgreSQL, SHOW PROCESSLIST in MySQL and MariaDB), or raise lock_timeout; the rotation"
        " is attempted again."
    )


class ReadOnlyReplica(DatabaseError):
    """The server takes no changes."""

    hint = "Put the writer's endpoint into host; a reader can be kept under another key of the secret."


class BehindProxy(DatabaseError):
    """A proxy answered, not the database."""

    hint = (
        "Put the database's own endpoint into host: a proxy keeps passwords of its own, and changes may not reach it."
    )


class AnotherProduct(DatabaseError):
    """The server is a database of another kind than the secret says."""

    hint = "Set engine in the secret to what the server is, and use the rotation function made for it."


class MissingGrant(DatabaseError):
    """The user may log in but may not do this."""

    hint = (
        "Grant the user who logged in the right to change this password; with alternating users the superuser secret's"
        " user must also be allowed to create a user like the secret's."
    )


class PasswordRejected(DatabaseError):
    """A rule of the server refuses the new password."""

    hint = (
        "Set EXCLUDE_CHARACTERS and PASSWORD_LENGTH of the function to what the server takes, and let its password"
        " rules accept passwords that were hashed by the client."
    )


class UserMissing(DatabaseError):
    """The user whose password is to be set does not exist."""

    hint = "Create the user in the database, or correct username in the secret."


class NotAClone(DatabaseError):
    """The user whose password is to be set has more rights than the secret's user and is not its clone."""

    hint = (
        "If both users are to alternate, make one a member of the other (PostgreSQL) or give both the same rights"
        " (elsewhere); otherwise rename the secret's user."
    )


class PasswordNotAsked(DatabaseError):
    """The server lets this user in without looking at the password, and setting one would shut out who sends none."""

    hint = "Give the user a password and store it in the secret, after its clients send one; then rotate."


class NotDurable(DatabaseError):
    """The server cannot keep a new password beyond its next start; nothing has been changed."""

    hint = (
        "Let the server keep its users: name an aclfile that it may write, or start it from a configuration file that"
        " it may write (Redis, Valkey). UNSAVED_PASSWORDS=true in the function's environment does without: after a"
        " restart the server has its old passwords back."
    )


OF_ONE_LOGIN = (TlsFailed, TlsRequired, AuthenticationMethodRefused, NotAdmitted, DatabaseMissing)
"""Errors of one login, by its user, its database or what it asks for; another one may succeed."""


# Amazon RDS User Guide, "Connecting to a database through RDS Proxy".
_RDS_PROXY = re.compile(r"\.proxy-\w+\.[\w-]+\.rds\.amazonaws\.com", re.IGNORECASE)


class TlsMode(StrEnum):
    """What the secret's ``ssl`` asks for."""

    REQUIRED = "required"
    FORBIDDEN = "forbidden"
    PREFERRED = "preferred"


@dataclass(frozen=True, slots=True)
class Login:
    """Everything an engine needs to log in.

    Attributes:
        host: As in the secret; several hosts are separated by commas.
        port: As in the secret, as text; one for all hosts, or one for each, separated by commas.
        retained_password: Of a superuser's login: what is to be accepted beside the new password of the user that it
            changes, by a database that can hold two.
    """

    username: str
    password: str = field(repr=False)
    host: str
    port: str
    dbname: str
    tls: TlsMode
    retained_password: str | None = field(default=None, repr=False)

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port pairs in the order to try.

        Raises:
            ValueError: A port is no number, or ports and hosts differ in number.
        """
        hosts = [host.strip().strip("[]") for host in self.host.split(",")]
        ports = [_port_number(port) for port in self.port.split(",")]
        if len(ports) == 1:
            ports *= len(hosts)
        if len(ports) != len(hosts) or not all(hosts):
            raise ValueError("host and port in the secret JSON must name as many ports as hosts, or one port for all.")
        return tuple(zip(hosts, ports, strict=True))


Confirm = Callable[[], object]
"""Raises unless a password is still to be set; what it returns means nothing here.

Called by whoever sets one, at the last moment at which nothing has come true yet, and when no other session can set
that user's password before it has: a function that was held up while its rotation was finished by another one, and
passed by a later one, must not put the password back.
"""

_ANSWER_HOLDS_SECONDS = 10


def ask(confirm: Confirm) -> Callable[[], None]:
    """Ask now, and return what raises NotReady once the answer is old.

    For a database that lets nobody lock a user: what is returned is called right before the change, and refuses it to a
    function that was held up since it asked. Not to one that is held up between that call and the change itself.
    """
    asked_at = time.monotonic()
    confirm()

    def refuse_old_answer() -> None:
        if time.monotonic() - asked_at > _ANSWER_HOLDS_SECONDS:
            raise NotReady("This function was held up after it had asked whether the password is still to be set")

    return refuse_old_answer


class Connection(Protocol):
    """One login, for a ``with`` block. Every method may be repeated."""

    @property
    def password_was_checked(self) -> bool:
        """Whether the server asked for the password; a trusting server proves nothing by letting us in."""
        ...

    def set_password(self, username: str, password: str, confirm: Confirm) -> None:
        """Set a user's password, durably; if ``confirm`` raises, nothing was changed.

        Raises:
            DatabaseError: The server refused; or the outcome is unknown, which the next login finds out.
        """
        ...

    def create_user_like(self, username: str, like: str, password: str, confirm: Confirm) -> None:
        """Create a user who may do what ``like`` may; of one that exists set the password only. All or nothing.

        Raises:
            NotAClone: The one that exists is stronger than ``like`` and has nothing to do with it.
            DatabaseError: As for :meth:`set_password`.
        """
        ...

    def test(self) -> None:
        """Read something harmless."""
        ...

    def close(self) -> None:
        """End the connection. Never raises."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Engine(Protocol):
    """One kind of database.

    Attributes:
        title: As people call it.
        engine_names: What ``engine`` in the secret may say; the first one is the usual one.
        exclude_characters: Default of the function's EXCLUDE_CHARACTERS.
        password_length: Default of its PASSWORD_LENGTH; 32 in AWS's functions, for Oracle 30.
        driver_distributions: What a deployment package must contain, by the names of the package index.

    Of some also ``keeps_previous``: whether a rotation may leave the previous password of the same user valid.
    """

    title: str
    engine_names: tuple[str, ...]
    exclude_characters: str
    password_length: int
    driver_distributions: tuple[str, ...]

    def login(self, value: Mapping[str, object]) -> Login:
        """Read the secret's JSON.

        Raises:
            KeyError: A key is missing, or ``engine`` names another database.
            ValueError: A value cannot be used.
        """
        ...

    def alternate_username(self, username: str) -> str:
        """Return the user that alternates with this one; of that one this one again.

        Raises:
            ValueError: The database has no names that long.
        """
        ...

    def connect(self, login: Login) -> Connection:
        """Log in where changes are possible.

        Raises:
            AuthenticationFailed: Only if the server refused user or password.
            DatabaseError: Anything else.
        """
        ...


_Opened = TypeVar("_Opened", bound=Connection)


def connect_to_first(kind: Callable[[Login, str, int], _Opened], login: Login) -> _Opened:
    """Log in at the first host that can be reached and takes changes.

    Args:
        kind: Logs in at one host and port; ReadOnlyReplica if that one takes no changes.
        login: Names the hosts.

    Raises:
        AuthenticationFailed: Only if a server refused user or password.
        DatabaseError: Anything else; if no host will do, what was wrong with the first one.
    """
    failure: DatabaseError | None = None
    for host, port in login.addresses:
        if _RDS_PROXY.search(host):
            raise BehindProxy(f"{host} is an RDS Proxy, which lets users in by the secrets that it has read itself")
        try:
            return kind(login, host, port)
        except (
            HostNotFound, HostUnreachable, ConnectionRefused, ConnectionTimedOut, ConnectionLost, NotReady,
            ReadOnlyReplica,
        ) as error:  # fmt: skip
            failure = failure or error
    raise failure or HostNotFound("The secret names no host")


def read_login(
    value: Mapping[str, object], *, engines: tuple[str, ...], default_port: int, default_dbname: str
) -> Login:
    """Read the keys that AWS's secrets for databases share.

    Source: AWS Secrets Manager User Guide, "JSON structure of AWS Secrets Manager secrets". ``ssl`` is true or false as
    a JSON boolean or as text; anything else leaves the choice to the function.

    Raises:
        KeyError: A key is missing, or ``engine`` names another database.
        ValueError: A value is not text.
    """
    for key in ("engine", "host", "username", "password"):
        if key not in value:
            raise KeyError(f"{key} key is missing from secret JSON")
    if value["engine"] not in engines:
        raise KeyError(f"Database engine must be set to '{engines[0]}' in order to use this rotation lambda")
    return Login(
        username=_text(value, "username"),
        password=_text(value, "password"),
        host=_text(value, "host"),
        port=str(value.get("port") or default_port),
        dbname=_text(value, "dbname") if value.get("dbname") else default_dbname,
        tls=_tls_mode(value.get("ssl")),
    )


def alternate_username(username: str, *, suffix: str, limit: int, unit: Literal["bytes", "characters"]) -> str:
    """Return ``username`` with the suffix, or without it if it has one.

    Source: AWS Secrets Manager User Guide, "Rotation strategies", alternating users.

    Args:
        username: The name of one of the two.
        suffix: What the second one's name has more.
        limit: How long a name may be.
        unit: What the database counts.

    Raises:
        ValueError: The name would be longer than the limit, or empty.
    """
    alternate = username.removesuffix(suffix)
    if alternate == username:
        alternate = username + suffix
    if not 0 < len(alternate.encode() if unit == "bytes" else alternate) <= limit:
        raise ValueError(
            f"Unable to clone user, username length with {suffix} appended would exceed {limit} {unit}"
            if alternate
            else f"Unable to clone user, a username must have more than {suffix}"
        )
    return alternate


def _text(value: Mapping[str, object], key: str) -> str:
    text = value[key]
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError(f"{key} in the secret JSON must be text, not empty and without NUL.")
    return text


def _tls_mode(ssl: object) -> TlsMode:
    if isinstance(ssl, str):
        ssl = {"true": True, "false": False}.get(ssl.strip().lower())
    if ssl is True:
        return TlsMode.REQUIRED
    return TlsMode.FORBIDDEN if ssl is False else TlsMode.PREFERRED


def _port_number(text: str) -> int:
    number = int(text) if text.strip().isdecimal() else 0
    if not 0 < number < 2**16:
        raise ValueError("port in the secret JSON must be a number from 1 to 65535.")
    return number
